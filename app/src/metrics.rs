//! The metrics registry: which series exist and what labels they may carry.
//!
//! Every label value comes from a closed set (method, route pattern, status) or from the deployment, so that
//! no client can make series. Recording is the job of [`crate::observe`].

use std::sync::Arc;
use std::time::Duration;

use axum::http::header::CONTENT_TYPE;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Router, extract::State, routing::get};
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::exemplar::HistogramWithExemplars;
use prometheus_client::metrics::{family::Family, gauge::Gauge, info::Info};
use prometheus_client::registry::{Registry, Unit};

use crate::config::Config;
use crate::process::Process;
use crate::secret::folder::Folder;

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Seconds. The service answers in well under a millisecond; the upper end is the request timeout.
const BUCKETS: [f64; 12] = [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0];

/// The method as a label; whatever is not in the standard set is `OTHER`.
#[must_use]
pub fn method_label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "PATCH" => "PATCH",
        "OPTIONS" => "OPTIONS",
        _ => "OTHER",
    }
}

/// Labels of one request series.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    /// See [`method_label`].
    pub method: &'static str,
    /// The route's pattern, or `unmatched`; never the path that the client sent.
    pub route: String,
    /// The status code sent, or 499 when the client left first.
    pub status: u16,
}

/// Labels of an exemplar: which trace to open for a request that fell into this bucket.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Trace {
    /// The W3C trace id.
    pub trace_id: String,
}

type Durations = HistogramWithExemplars<Trace>;

/// Handles on all series; clones share them.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    durations: Family<RequestLabels, Durations, fn() -> Durations>,
    in_flight: Gauge,
}

impl Metrics {
    /// Registers everything; `config` supplies the constant series, `secrets` their ages.
    #[must_use]
    pub fn new(config: &Config, secrets: &Folder) -> Self {
        let mut registry = Registry::default();
        let durations =
            Family::new_with_constructor((|| Durations::new(BUCKETS.into_iter())) as fn() -> Durations);
        registry.register_with_unit(
            "http_request_duration",
            "Time from the request's head to the response's head",
            Unit::Seconds,
            durations.clone(),
        );
        let in_flight = Gauge::default();
        registry.register("http_requests_in_flight", "Requests being answered now", in_flight.clone());
        let identity = &config.identity;
        registry.register(
            "app_build",
            "Which build is running",
            Info::new(vec![
                ("version", identity.version.to_owned()),
                ("commit", identity.commit.clone()),
                ("build", identity.build.clone()),
                ("image", identity.image.clone()),
            ]),
        );
        let environment = &config.environment;
        registry.register(
            "app_environment",
            "The environment that the configuration was written for, and the one that the pod is in",
            Info::new(vec![
                ("configured", environment.configured.clone().unwrap_or_default()),
                ("expected", environment.expected.clone().unwrap_or_default()),
            ]),
        );
        let mismatch = Gauge::<i64>::default();
        mismatch.set(environment.is_wrong().into());
        registry.register(
            "app_environment_mismatch",
            "1 when the configuration is that of another environment, and nothing is served",
            mismatch,
        );
        registry.register_collector(Box::new(secrets.clone()));
        registry.register_collector(Box::new(Process::started_now()));
        Self { registry: Arc::new(registry), durations, in_flight }
    }

    pub(crate) fn started(&self) {
        self.in_flight.inc();
    }

    /// `trace`: the request's trace when it is kept; a trace that was not sampled cannot be opened.
    pub(crate) fn finished(&self, labels: &RequestLabels, took: Duration, trace: Option<Trace>) {
        self.in_flight.dec();
        self.durations.get_or_create(labels).observe(took.as_secs_f64(), trace, None);
    }

    /// The exposition, as text.
    ///
    /// # Errors
    /// When a collector cannot be encoded.
    pub fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut out = String::new();
        text::encode(&mut out, &self.registry)?;
        Ok(out)
    }

    /// The router of the metrics port.
    pub fn router(self) -> Router {
        Router::new().route("/metrics", get(expose)).with_state(self)
    }
}

async fn expose(State(metrics): State<Metrics>) -> Response {
    match metrics.encode() {
        Ok(body) => ([(CONTENT_TYPE, OPENMETRICS)], body).into_response(),
        Err(error) => {
            tracing::error!(%error, "metrics cannot be encoded");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
