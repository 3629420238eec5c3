//! One metric and one log line for each request, whatever becomes of it.
//!
//! The record is made when the observation is dropped, so that a request whose client leaves (hyper then
//! drops the handler's future) is counted too, as status 499. Only the route's pattern is logged: paths and
//! queries may carry what does not belong in a log.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use tracing::{Instrument, Span};

use crate::metrics::{Metrics, RequestLabels, Trace, method_label};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const CLIENT_LEFT: u16 = 499;

/// Middleware: gives the request an id, runs it in a span with that id, and records it.
pub async fn observe(State(metrics): State<Metrics>, request: Request, next: Next) -> Response {
    let id = RequestId::of(request.headers());
    let parent = TraceParent::of(request.headers());
    let trace_id = parent.as_ref().map(|parent| parent.trace_id);
    let span = tracing::info_span!("request", request_id = id.0, trace_id);
    let sampled =
        parent.filter(|parent| parent.sampled).map(|parent| Trace { trace_id: parent.trace_id.to_owned() });
    let route = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str).to_owned();
    let mut observation =
        Observation::start(metrics, span.clone(), method_label(request.method()), route, sampled);

    let mut response = next.run(request).instrument(span).await;

    observation.labels.status = response.status().as_u16();
    if let Ok(value) = HeaderValue::from_str(&id.0) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

struct Observation {
    metrics: Metrics,
    span: Span,
    started: Instant,
    labels: RequestLabels,
    trace: Option<Trace>,
}

impl Observation {
    fn start(
        metrics: Metrics,
        span: Span,
        method: &'static str,
        route: String,
        trace: Option<Trace>,
    ) -> Self {
        metrics.started();
        let labels = RequestLabels { method, route, status: CLIENT_LEFT };
        Self { metrics, span, started: Instant::now(), labels, trace }
    }
}

impl Drop for Observation {
    fn drop(&mut self) {
        let took = self.started.elapsed();
        self.metrics.finished(&self.labels, took, self.trace.take());
        let RequestLabels { method, route, status } = &self.labels;
        let duration_ms = took.as_secs_f64() * 1000.0;
        let _in_span = self.span.enter();
        if *status < 500 && route.ends_with('z') {
            // Probes: several a second in a cluster, and never news while they pass.
            tracing::debug!(method, route, status, duration_ms, "request");
        } else {
            tracing::info!(method, route, status, duration_ms, "request");
        }
    }
}

/// The id that joins the log lines of one request over several services.
struct RequestId(String);

impl RequestId {
    /// The caller's id when it is harmless in a log and in a header, else a fresh one.
    fn of(headers: &HeaderMap) -> Self {
        let given = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok());
        match given {
            Some(id) if is_harmless(id) => Self(id.to_owned()),
            _ => Self::fresh(),
        }
    }

    /// Unique, not unguessable: random keys of the process and a counter.
    fn fresh() -> Self {
        static PROCESS: std::sync::LazyLock<RandomState> = std::sync::LazyLock::new(RandomState::new);
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        Self(format!("{:016x}{count:08x}", PROCESS.hash_one("request-id")))
    }
}

fn is_harmless(id: &str) -> bool {
    (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

/// What a W3C `traceparent` says (version 00, or a later one that keeps its first four fields).
#[derive(Debug, PartialEq, Eq)]
struct TraceParent<'a> {
    trace_id: &'a str,
    sampled: bool,
}

impl<'a> TraceParent<'a> {
    fn of(headers: &'a HeaderMap) -> Option<Self> {
        let mut parts = headers.get(TRACEPARENT)?.to_str().ok()?.split('-');
        let (version, trace_id, parent_id, flags) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let lower_hex = |field: &str, len: usize| {
            field.len() == len && field.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        };
        let set = |field: &str| field.bytes().any(|b| b != b'0');
        let well_formed =
            lower_hex(version, 2) && version != "ff" && (version != "00" || parts.next().is_none());
        let ids = lower_hex(trace_id, 32) && set(trace_id) && lower_hex(parent_id, 16) && set(parent_id);
        let flags = lower_hex(flags, 2).then(|| u8::from_str_radix(flags, 16).ok())??;
        (well_formed && ids).then_some(Self { trace_id, sampled: flags & 1 == 1 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn headers(name: HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_bytes(value.as_bytes()).unwrap())])
    }

    #[test]
    fn a_harmless_request_id_is_kept() {
        for id in ["a", "6f1e-4b.9_Z", &"x".repeat(64)] {
            assert_eq!(RequestId::of(&headers(REQUEST_ID, id)).0, id);
        }
    }

    #[test]
    fn a_request_id_that_could_forge_a_log_line_or_is_missing_is_replaced() {
        for id in ["", "a b", "a\"b", "{}", "é", &"x".repeat(65)] {
            let fresh = RequestId::of(&headers(REQUEST_ID, id)).0;
            assert!(fresh != id && is_harmless(&fresh), "{id:?} gave {fresh:?}");
        }
        assert!(is_harmless(&RequestId::of(&HeaderMap::new()).0));
    }

    #[test]
    fn fresh_request_ids_differ() {
        assert_ne!(RequestId::fresh().0, RequestId::fresh().0);
    }

    #[test]
    fn a_valid_traceparent_gives_the_trace_and_whether_it_is_kept() {
        let trace_id = "4bf92f3577b34da6a3ce929d0e0e4736";
        for (value, sampled) in [
            (format!("00-{trace_id}-00f067aa0ba902b7-01"), true),
            (format!("00-{trace_id}-00f067aa0ba902b7-00"), false),
            (format!("00-{trace_id}-00f067aa0ba902b7-fe"), false),
            (format!("cc-{trace_id}-00f067aa0ba902b7-01-what-the-future-adds"), true),
        ] {
            let headers = headers(TRACEPARENT, &value);
            assert_eq!(TraceParent::of(&headers), Some(TraceParent { trace_id, sampled }), "{value}");
        }
    }

    #[test]
    fn a_traceparent_that_breaks_the_standard_is_ignored() {
        for value in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-extra",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-zz",
        ] {
            assert_eq!(TraceParent::of(&headers(TRACEPARENT, value)), None, "{value:?}");
        }
    }

    fn header(name: HeaderName, value: &[u8]) -> HeaderMap {
        HeaderMap::from_iter(HeaderValue::from_bytes(value).ok().map(|value| (name, value)))
    }

    proptest! {
        #[test]
        fn whatever_is_sent_as_a_request_id_the_id_in_use_is_harmless(sent: Vec<u8>) {
            prop_assert!(is_harmless(&RequestId::of(&header(REQUEST_ID, &sent)).0));
        }

        #[test]
        fn a_request_id_of_harmless_characters_is_kept(sent in "[A-Za-z0-9._-]{1,64}") {
            prop_assert_eq!(RequestId::of(&header(REQUEST_ID, sent.as_bytes())).0, sent);
        }

        #[test]
        fn a_traceparent_of_the_standards_form_is_understood(
            trace in "[0-9a-f]{31}[1-9a-f]", parent in "[1-9a-f][0-9a-f]{15}", flags: u8
        ) {
            let headers = header(TRACEPARENT, format!("00-{trace}-{parent}-{flags:02x}").as_bytes());
            let expected = TraceParent { trace_id: &trace, sampled: flags % 2 == 1 };
            prop_assert_eq!(TraceParent::of(&headers), Some(expected));
        }

        // Near misses: mostly the right characters, mostly the right lengths.
        #[test]
        fn what_passes_for_a_trace_id_is_always_32_lower_hex_digits(
            sent in "[0-9a-fA-F]{1,3}-[0-9a-fg]{31,33}-[0-9a-f]{15,17}-[0-9a-f]{1,3}(-[a-z]{0,3})?"
        ) {
            let headers = header(TRACEPARENT, sent.as_bytes());
            if let Some(TraceParent { trace_id, .. }) = TraceParent::of(&headers) {
                let hex = trace_id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
                prop_assert!(hex && trace_id.len() == 32, "{}", sent);
            }
        }

        #[test]
        fn any_bytes_as_a_traceparent_are_read_or_ignored(sent: Vec<u8>) {
            let _either = TraceParent::of(&header(TRACEPARENT, &sent));
        }
    }
}
