//! The routes, through a real socket, in this process.

use std::env::VarError;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

use crate::wire::{connect, get, read_to_close, send, until};
use app::config::Config;
use app::lifecycle::Lifecycle;
use app::metrics::Metrics;
use app::routes::{RequestLimits, guard, public};
use app::secret::folder::Folder;
use app::server::{ConnectionLimits, Drained, Listener};
use axum::Router;
use axum::routing::get as on_get;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Far beyond any test's duration: what must not decide a test.
const FOREVER: Duration = Duration::from_hours(1);

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    metrics: Metrics,
    lifecycle: Lifecycle,
    stop: Option<oneshot::Sender<()>>,
    end: JoinHandle<Drained>,
    runtime: Runtime,
}

#[derive(Default)]
pub(crate) struct Setup {
    pub(crate) vars: Vec<(&'static str, &'static str)>,
    pub(crate) extra: Router,
    pub(crate) request: RequestLimits,
    pub(crate) connection: ConnectionLimits,
    pub(crate) drain_deadline: Option<Duration>,
}

impl Setup {
    pub(crate) fn start(self) -> io::Result<Server> {
        let config = Config::read(|name| {
            let found = self.vars.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned()).ok_or(VarError::NotPresent)
        });
        let config = config.map_err(io::Error::other)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let lifecycle = Lifecycle::default();
        let secrets = Folder::open(config.secrets_dir.as_deref()).map_err(io::Error::other)?;
        let metrics = Metrics::new(&config, &secrets);
        let unguarded = public(&config, lifecycle.clone(), secrets).merge(self.extra);
        let router = guard(unguarded, metrics.clone(), lifecycle.clone(), self.request);
        let listener = runtime.block_on(Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0))))?;
        let address = listener.address();
        let (stop, stopped) = oneshot::channel();
        let stopped = async {
            let _either_way = stopped.await;
        };
        let deadline = self.drain_deadline.unwrap_or(FOREVER);
        let end = runtime.spawn(listener.serve(router, self.connection, stopped, deadline));
        Ok(Server { address, metrics, lifecycle, stop: Some(stop), end, runtime })
    }
}

impl Server {
    pub(crate) fn with_defaults() -> io::Result<Self> {
        Setup::default().start()
    }

    /// Tells the server to stop, as the signal handler does after the settle time.
    pub(crate) fn stop(&mut self) {
        self.lifecycle.drain();
        drop(self.stop.take());
    }

    pub(crate) fn drained(self) -> io::Result<Drained> {
        Ok(self.runtime.block_on(self.end)?)
    }

    /// The value of the series whose text is `series`, when it exists.
    pub(crate) fn metric(&self, series: &str) -> Option<f64> {
        let text = self.metrics.encode().ok()?;
        text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
    }

    /// Waits until the series has `value`: recording happens after the reply is sent.
    pub(crate) fn wait_for(&self, series: &str, value: f64) -> Outcome {
        until(series, || self.metric(series) == Some(value))
    }
}

/// A route that says when it is entered, and another end that lets it answer.
pub(crate) fn held_route() -> (Router, mpsc::Receiver<()>, tokio::sync::watch::Sender<bool>) {
    let (entered, entries) = mpsc::channel();
    let (release, released) = tokio::sync::watch::channel(false);
    let handler = move || {
        let (entered, mut released) = (entered.clone(), released.clone());
        async move {
            let _test_may_be_gone = entered.send(());
            let _either_way = released.wait_for(|released| *released).await;
            "finished\n"
        }
    };
    (Router::new().route("/held", on_get(handler)), entries, release)
}

pub(crate) fn ask_held(address: SocketAddr) -> io::Result<TcpStream> {
    let mut stream = connect(address)?;
    stream.write_all(b"GET /held HTTP/1.1\r\nhost: test\r\n\r\n")?;
    Ok(stream)
}

pub(crate) type Outcome = io::Result<()>;

#[test]
fn healthz_is_200_and_shows_sys_env_as_json() -> Outcome {
    for (vars, body) in [
        (vec![], r#"{"SYS_ENV":"helloworld"}"#),
        (vec![("SYS_ENV", "dev")], r#"{"SYS_ENV":"dev"}"#),
        (vec![("SYS_ENV", "a\"b\\c\n\u{e9}")], "{\"SYS_ENV\":\"a\\\"b\\\\c\\n\u{e9}\"}"),
    ] {
        let server = Setup { vars, ..Setup::default() }.start()?;
        let reply = get(server.address, "/healthz")?;
        assert_eq!((reply.status, reply.body.as_str()), (200, body));
        assert_eq!(reply.header("content-type"), Some("application/json"));
    }
    Ok(())
}

#[test]
fn draining_turns_readiness_red_and_nothing_else() -> Outcome {
    let server = Server::with_defaults()?;
    assert_eq!(get(server.address, "/readyz")?.status, 200);
    server.lifecycle.drain();
    let reply = get(server.address, "/readyz")?;
    assert_eq!((reply.status, reply.body.as_str()), (503, "draining\n"));
    for path in ["/livez", "/healthz", "/version", "/"] {
        assert_eq!(get(server.address, path)?.status, 200, "{path}");
    }
    Ok(())
}

#[test]
fn while_draining_kept_alive_connections_are_told_to_close() -> Outcome {
    let server = Server::with_defaults()?;
    let mut stream = connect(server.address)?;
    let request = "GET /healthz HTTP/1.1\r\nhost: test\r\n\r\n";
    assert_eq!(send(&mut stream, request)?.header("connection"), None);
    server.lifecycle.drain();
    assert_eq!(send(&mut stream, request)?.header("connection"), Some("close"));
    assert_eq!(read_to_close(&mut stream)?, "");
    Ok(())
}

#[test]
fn version_reports_what_the_deployment_says() -> Outcome {
    let vars = vec![("APP_COMMIT", "c0ffee"), ("APP_BUILD_NUMBER", "7"), ("APP_IMAGE_DIGEST", "sha256:d")];
    let server = Setup { vars, ..Setup::default() }.start()?;
    let expected = format!(
        r#"{{"version":"{}","commit":"c0ffee","build":"7","image":"sha256:d"}}"#,
        env!("CARGO_PKG_VERSION")
    );
    assert_eq!(get(server.address, "/version")?.body, expected);
    Ok(())
}

#[test]
fn the_page_for_people_shows_the_state_and_escapes_the_environment() -> Outcome {
    let vars = vec![("SYS_ENV", "<script>alert(1)</script>")];
    let server = Setup { vars, ..Setup::default() }.start()?;
    let reply = get(server.address, "/")?;
    assert_eq!(reply.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(reply.body.contains("<dt>State</dt><dd>ready</dd>"), "{}", reply.body);
    assert!(reply.body.contains("&lt;script&gt;alert(1)&lt;/script&gt;"), "{}", reply.body);
    assert!(!reply.body.contains("<script"), "{}", reply.body);
    Ok(())
}

#[test]
fn the_page_for_people_is_small_accessible_and_loads_nothing() -> Outcome {
    let vars = vec![("APP_COMMIT", "c0ffee"), ("APP_BUILD_NUMBER", "7")];
    let server = Setup { vars, ..Setup::default() }.start()?;
    let reply = get(server.address, "/")?;
    let page = &reply.body;
    assert!(page.len() < 1500, "{} bytes", page.len());
    for part in [
        "<html lang=\"en\">",
        "<title>",
        "<meta name=\"viewport\"",
        "<main>",
        "<h1>",
        "<dt>Version</dt><dd>",
        "<dt>SYS_ENV</dt><dd>helloworld</dd>",
        "<dt>Commit</dt><dd>c0ffee</dd>",
        "<dt>Build</dt><dd>7</dd>",
    ] {
        assert!(page.contains(part), "{part} is not in\n{page}");
    }
    // The policy would block them, and a page that needs what it may not load is broken.
    for part in ["://", "src=", "<script", "<style", "style=", "<link", "@import", "onclick"] {
        assert!(!page.contains(part), "{part} is in\n{page}");
    }
    // Every link leads to something.
    let links: Vec<&str> =
        page.split("href=\"").skip(1).filter_map(|rest| rest.split_once('"')).map(|(link, _)| link).collect();
    assert_eq!(links, ["/healthz", "/readyz", "/livez", "/version"]);
    for link in links {
        assert_eq!(get(server.address, link)?.status, 200, "{link}");
    }
    Ok(())
}

#[test]
fn every_reply_carries_the_security_headers() -> Outcome {
    let server = Server::with_defaults()?;
    for path in ["/", "/healthz", "/private", "/nowhere"] {
        let reply = get(server.address, path)?;
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(reply.header("cache-control"), Some("no-store"), "{path}");
        let policy = reply.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'"), "{path}: {policy}");
    }
    Ok(())
}

#[test]
fn an_unknown_path_is_404_and_a_wrong_method_405() -> Outcome {
    let server = Server::with_defaults()?;
    let reply = get(server.address, "/nowhere")?;
    assert_eq!((reply.status, reply.body.as_str()), (404, r#"{"error":"Not Found"}"#));
    let reply = send(&mut connect(server.address)?, "DELETE /healthz HTTP/1.1\r\nhost: test\r\n\r\n")?;
    assert_eq!((reply.status, reply.body.as_str()), (405, r#"{"error":"Method Not Allowed"}"#));
    Ok(())
}

#[test]
fn the_request_id_comes_back() -> Outcome {
    let server = Server::with_defaults()?;
    let request = "GET /livez HTTP/1.1\r\nhost: test\r\nx-request-id: abc-1\r\n\r\n";
    assert_eq!(send(&mut connect(server.address)?, request)?.header("x-request-id"), Some("abc-1"));
    assert_eq!(get(server.address, "/livez")?.header("x-request-id").map(str::len), Some(24));
    Ok(())
}

#[test]
fn a_client_that_leaves_early_is_counted_as_499() -> Outcome {
    let (extra, entries, _release) = held_route();
    let server = Setup { extra, ..Setup::default() }.start()?;
    let stream = ask_held(server.address)?;
    entries.recv().unwrap();
    assert_eq!(server.metric("http_requests_in_flight"), Some(1.0));
    drop(stream);
    server
        .wait_for(r#"http_request_duration_seconds_count{method="GET",route="/held",status="499"}"#, 1.0)?;
    server.wait_for("http_requests_in_flight", 0.0)?;
    Ok(())
}

#[test]
fn clients_cannot_make_series() -> Outcome {
    let server = Server::with_defaults()?;
    for n in 0..50 {
        let paths = [format!("/{n}"), format!("/healthz?{n}"), format!("/healthz/{n}"), format!("/%{n:02}")];
        for path in paths {
            let request = format!(
                "M{n} {path} HTTP/1.1\r\nhost: h{n}\r\nuser-agent: u{n}\r\nconnection: close\r\n\r\n"
            );
            send(&mut connect(server.address)?, &request)?;
        }
    }
    let text = server.metrics.encode().unwrap();
    let mut series: Vec<_> =
        text.lines().filter_map(|line| line.strip_prefix("http_request_duration_seconds_count")).collect();
    series.sort_unstable();
    assert_eq!(
        series,
        [
            r#"{method="OTHER",route="/healthz",status="405"} 50"#,
            r#"{method="OTHER",route="unmatched",status="404"} 150"#,
        ]
    );
    Ok(())
}

#[test]
fn a_kept_trace_is_named_beside_its_bucket() -> Outcome {
    let server = Server::with_defaults()?;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    for (path, flags) in [("/livez", "01"), ("/version", "00")] {
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: test\r\ntraceparent: 00-{trace}-00f067aa0ba902b7-{flags}\r\n\r\n"
        );
        send(&mut connect(server.address)?, &request)?;
        let series =
            format!(r#"http_request_duration_seconds_count{{method="GET",route="{path}",status="200"}}"#);
        server.wait_for(&series, 1.0)?;
    }
    let text = server.metrics.encode().unwrap();
    let exemplars: Vec<_> = text.lines().filter(|line| line.contains(" # {")).collect();
    assert!(
        matches!(exemplars[..], [line] if line.contains("/livez") && line.contains(trace)),
        "{exemplars:?}"
    );
    Ok(())
}

#[test]
fn metrics_are_not_on_the_public_port() -> Outcome {
    let server = Server::with_defaults()?;
    assert_eq!(get(server.address, "/metrics")?.status, 404);
    Ok(())
}
