//! The public routes, and the limits around each request.
//!
//! Handlers only answer; they never reach for the environment or the clock. [`guard`] is separate from
//! [`public`] so that tests can put a slow or a panicking route behind the very same layers.

use std::any::Any;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::{Json, Router, middleware, routing::any, routing::get};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::timeout::TimeoutLayer;

use crate::config::{Config, Identity};
use crate::lifecycle::{Lifecycle, Phase};
use crate::metrics::Metrics;
use crate::observe::observe;
use crate::secret::folder::Folder;

/// The secret whose lines are the tokens that `/private` accepts.
const API_TOKEN: &str = "api-token";

/// What one request may cost.
#[derive(Debug, Clone, Copy)]
pub struct RequestLimits {
    /// From head to head; then 503.
    pub time: Duration,
    /// Bytes of body; then 413.
    pub body: usize,
}

impl Default for RequestLimits {
    fn default() -> Self {
        Self { time: Duration::from_secs(10), body: 64 * 1024 }
    }
}

#[derive(Clone)]
struct Service {
    sys_env: String,
    identity: Identity,
    lifecycle: Lifecycle,
    secrets: Folder,
}

/// The routes that the world sees, unguarded. In the wrong environment every one but `/livez` is refused.
pub fn public(config: &Config, lifecycle: Lifecycle, secrets: Folder) -> Router {
    if config.environment.is_wrong() {
        return misplaced();
    }
    let (sys_env, identity) = (config.sys_env.clone(), config.identity.clone());
    let service = Service { sys_env, identity, lifecycle, secrets };
    Router::new()
        .route("/", get(home))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/livez", get(|| async { "alive\n" }))
        .route("/version", get(version))
        .route("/private", get(private))
        .with_state(service)
}

/// A service whose configuration is for elsewhere: alive, never ready, and of no use to anybody. It does not
/// exit, because a process that is gone exports no metric that could raise an alert; and nothing is lost by
/// staying, because what is never ready gets no traffic and stops the rollout.
fn misplaced() -> Router {
    let refused = || async { (StatusCode::SERVICE_UNAVAILABLE, "wrong environment\n") };
    Router::new()
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", any(refused))
        .route("/healthz", any(refused))
        .route("/{*anything}", any(refused))
        .route("/", any(refused))
}

/// Puts the limits around `router`, outermost last: record, catch panics, bound time, bound body.
pub fn guard(router: Router, metrics: Metrics, lifecycle: Lifecycle, limits: RequestLimits) -> Router {
    router
        .fallback(|| async { refusal(StatusCode::NOT_FOUND) })
        .method_not_allowed_fallback(|| async { refusal(StatusCode::METHOD_NOT_ALLOWED) })
        .layer(DefaultBodyLimit::disable())
        .layer(RequestBodyLimitLayer::new(limits.body))
        .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, limits.time))
        .layer(CatchPanicLayer::custom(|_panic: Box<dyn Any + Send>| {
            // The panic hook has already logged it, with the request's span; the client learns nothing of it.
            refusal(StatusCode::INTERNAL_SERVER_ERROR)
        }))
        .layer(middleware::map_response(harden))
        .layer(middleware::map_response_with_state(lifecycle, close_when_draining))
        .layer(middleware::from_fn_with_state(metrics, observe))
}

#[derive(serde::Serialize)]
struct Health {
    #[serde(rename = "SYS_ENV")]
    sys_env: String,
}

async fn healthz(State(service): State<Service>) -> Json<Health> {
    Json(Health { sys_env: service.sys_env })
}

async fn readyz(State(service): State<Service>) -> (StatusCode, &'static str) {
    match service.lifecycle.phase() {
        Phase::Ready => (StatusCode::OK, "ready\n"),
        Phase::Draining => (StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
    }
}

async fn version(State(service): State<Service>) -> Json<Identity> {
    Json(service.identity)
}

#[derive(serde::Serialize)]
struct Private {
    authorized: bool,
}

/// What only the holder of the token may ask. Without a token to compare with, nobody may.
async fn private(State(service): State<Service>, headers: HeaderMap) -> Response {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| bearer(value.to_str().ok()?));
    let accepted = given.and_then(|given| service.secrets.with(API_TOKEN, |token| token.has_line(given)));
    if accepted == Some(true) {
        return Json(Private { authorized: true }).into_response();
    }
    let mut response = refusal(StatusCode::UNAUTHORIZED);
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

/// The token of an `authorization` header; the scheme's case does not matter (RFC 9110, 11.1).
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

async fn home(State(service): State<Service>) -> Html<String> {
    let Identity { version, commit, build, .. } = &service.identity;
    let state = match service.lifecycle.phase() {
        Phase::Ready => "ready",
        Phase::Draining => "draining",
    };
    let rows = [
        ("State", state),
        ("SYS_ENV", &service.sys_env),
        ("Version", version),
        ("Commit", commit),
        ("Build", build),
    ];
    let rows = rows.map(|(name, value)| format!("<dt>{name}</dt><dd>{}</dd>\n", escape(value))).concat();
    Html(format!(
        r#"<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>app {version}</title>
<main>
<h1>It runs.</h1>
<dl>
{rows}</dl>
<p>For machines: <a href="/healthz">health</a>, <a href="/readyz">readiness</a>, <a href="/livez">liveness</a>,
<a href="/version">version</a>.</p>
</main>
</html>
"#
    ))
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(c),
        }
    }
    out
}

#[derive(serde::Serialize)]
struct Refusal {
    error: &'static str,
}

fn refusal(status: StatusCode) -> Response {
    (status, Json(Refusal { error: status.canonical_reason().unwrap_or("error") })).into_response()
}

async fn harden(mut response: Response) -> Response {
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; base-uri 'none'; frame-ancestors 'none'"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// A client that keeps its connection alive would otherwise keep coming back here until the connection is
/// cut.
async fn close_when_draining(State(lifecycle): State<Lifecycle>, mut response: Response) -> Response {
    if lifecycle.phase() == Phase::Draining {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_behind_its_scheme_only() {
        for (value, token) in [
            ("Bearer abc", Some("abc")),
            ("bEARER  a b ", Some("a b")),
            ("Bearer ", Some("")),
            ("Bearer", None),
            ("Basic abc", None),
            ("Bearerabc", None),
            ("", None),
        ] {
            assert_eq!(bearer(value), token, "{value:?}");
        }
    }

    #[test]
    fn text_from_the_environment_cannot_become_markup() {
        assert_eq!(escape(r#"<b a="1" c='2'>&amp;é"#), "&lt;b a=&quot;1&quot; c=&#39;2&#39;&gt;&amp;amp;é");
    }
}
