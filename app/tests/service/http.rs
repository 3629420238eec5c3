//! The routes and their limits, through a real socket, in this process.

use std::env::VarError;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

use crate::wire::{Reply, connect, get, read_reply, read_to_close, send, until};
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

struct Server {
    address: SocketAddr,
    metrics: Metrics,
    lifecycle: Lifecycle,
    stop: Option<oneshot::Sender<()>>,
    end: JoinHandle<Drained>,
    runtime: Runtime,
}

#[derive(Default)]
struct Setup {
    vars: Vec<(&'static str, &'static str)>,
    extra: Router,
    request: RequestLimits,
    connection: ConnectionLimits,
    drain_deadline: Option<Duration>,
}

impl Setup {
    fn start(self) -> io::Result<Server> {
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
    fn with_defaults() -> io::Result<Self> {
        Setup::default().start()
    }

    /// Tells the server to stop, as the signal handler does after the settle time.
    fn stop(&mut self) {
        self.lifecycle.drain();
        drop(self.stop.take());
    }

    fn drained(self) -> io::Result<Drained> {
        Ok(self.runtime.block_on(self.end)?)
    }

    /// The value of the series whose text is `series`, when it exists.
    fn metric(&self, series: &str) -> Option<f64> {
        let text = self.metrics.encode().ok()?;
        text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
    }

    /// Waits until the series has `value`: recording happens after the reply is sent.
    fn wait_for(&self, series: &str, value: f64) -> Outcome {
        until(series, || self.metric(series) == Some(value))
    }
}

/// A route that says when it is entered, and another end that lets it answer.
fn held_route() -> (Router, mpsc::Receiver<()>, tokio::sync::watch::Sender<bool>) {
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

fn ask_held(address: SocketAddr) -> io::Result<TcpStream> {
    let mut stream = connect(address)?;
    stream.write_all(b"GET /held HTTP/1.1\r\nhost: test\r\n\r\n")?;
    Ok(stream)
}

type Outcome = io::Result<()>;

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
fn every_reply_carries_the_security_headers() -> Outcome {
    let server = Server::with_defaults()?;
    for path in ["/", "/healthz", "/nowhere"] {
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
fn a_body_above_the_limit_is_refused_unread() -> Outcome {
    let server = Server::with_defaults()?;
    let mut stream = connect(server.address)?;
    let reply = send(&mut stream, "POST /healthz HTTP/1.1\r\nhost: test\r\ncontent-length: 65537\r\n\r\n")?;
    assert_eq!(reply.status, 413);
    Ok(())
}

#[test]
fn a_head_above_the_limit_is_refused() -> Outcome {
    let server = Server::with_defaults()?;
    let mut stream = connect(server.address)?;
    let request = format!("GET / HTTP/1.1\r\nhost: test\r\nx-padding: {}\r\n\r\n", "x".repeat(20_000));
    // The server stops reading, so the client may see its own writing fail first.
    let reply = send(&mut stream, &request);
    assert!(matches!(reply, Ok(Reply { status: 431, .. }) | Err(_)), "{reply:?}");
    assert_eq!(get(server.address, "/livez")?.status, 200);
    Ok(())
}

#[test]
fn a_head_that_never_ends_is_given_up() -> Outcome {
    let connection = ConnectionLimits { head_time: Duration::from_millis(20), ..ConnectionLimits::default() };
    let server = Setup { connection, ..Setup::default() }.start()?;
    let mut stream = connect(server.address)?;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: te")?;
    assert_eq!(read_to_close(&mut stream)?, "");
    Ok(())
}

#[test]
fn a_handler_that_takes_too_long_is_answered_for() -> Outcome {
    let extra = Router::new().route("/stuck", on_get(std::future::pending::<&str>));
    let request = RequestLimits { time: Duration::from_millis(20), ..RequestLimits::default() };
    let server = Setup { extra, request, ..Setup::default() }.start()?;
    assert_eq!(get(server.address, "/stuck")?.status, 503);
    server
        .wait_for(r#"http_request_duration_seconds_count{method="GET",route="/stuck",status="503"}"#, 1.0)?;
    Ok(())
}

#[test]
fn a_panic_costs_one_request_and_tells_the_client_nothing() -> Outcome {
    async fn panics() -> &'static str {
        panic!("the details")
    }
    let extra = Router::new().route("/panics", on_get(panics));
    let server = Setup { extra, ..Setup::default() }.start()?;
    let mut stream = connect(server.address)?;
    let reply = send(&mut stream, "GET /panics HTTP/1.1\r\nhost: test\r\n\r\n")?;
    assert_eq!((reply.status, reply.body.as_str()), (500, r#"{"error":"Internal Server Error"}"#));
    // Not even the connection is lost.
    assert_eq!(send(&mut stream, "GET /livez HTTP/1.1\r\nhost: test\r\n\r\n")?.status, 200);
    server
        .wait_for(r#"http_request_duration_seconds_count{method="GET",route="/panics",status="500"}"#, 1.0)?;
    server.wait_for("http_requests_in_flight", 0.0)?;
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

#[test]
fn connections_beyond_the_limit_wait_for_a_place() -> Outcome {
    let (extra, entries, release) = held_route();
    let connection = ConnectionLimits { connections: 1, ..ConnectionLimits::default() };
    let server = Setup { extra, connection, ..Setup::default() }.start()?;
    let mut first = ask_held(server.address)?;
    entries.recv().unwrap();
    let mut second = ask_held(server.address)?;
    release.send(true).unwrap();
    assert_eq!(read_reply(&mut first)?.body, "finished\n");
    // The first connection is still open, so the second request has not entered.
    assert!(entries.try_recv().is_err());
    drop(first);
    assert_eq!(read_reply(&mut second)?.body, "finished\n");
    Ok(())
}

#[test]
fn stopping_lets_a_request_in_flight_finish_and_accepts_no_other() -> Outcome {
    let (extra, entries, release) = held_route();
    let mut server = Setup { extra, ..Setup::default() }.start()?;
    let mut stream = ask_held(server.address)?;
    entries.recv().unwrap();
    server.stop();
    until("connections refused", || connect(server.address).is_err())?;
    release.send(true).unwrap();
    let reply = read_reply(&mut stream)?;
    assert_eq!((reply.status, reply.body.as_str()), (200, "finished\n"));
    assert_eq!(server.drained()?, Drained { cut: 0 });
    Ok(())
}

#[test]
fn stopping_closes_idle_connections_at_once() -> Outcome {
    let mut server = Server::with_defaults()?;
    let mut stream = connect(server.address)?;
    assert_eq!(send(&mut stream, "GET /livez HTTP/1.1\r\nhost: test\r\n\r\n")?.status, 200);
    server.stop();
    assert_eq!(read_to_close(&mut stream)?, "");
    assert_eq!(server.drained()?, Drained { cut: 0 });
    Ok(())
}

#[test]
fn a_request_still_open_at_the_deadline_is_cut_and_counted() -> Outcome {
    let (extra, entries, _release) = held_route();
    let mut server =
        Setup { extra, drain_deadline: Some(Duration::from_millis(20)), ..Setup::default() }.start()?;
    let mut stream = ask_held(server.address)?;
    entries.recv().unwrap();
    server.stop();
    assert_eq!(read_to_close(&mut stream)?, "");
    assert_eq!(server.drained()?, Drained { cut: 1 });
    Ok(())
}

#[test]
fn a_connection_that_never_asked_does_not_delay_stopping() -> Outcome {
    let mut server = Server::with_defaults()?;
    let mut silent = connect(server.address)?;
    // Accepted in order: once the later one is answered, the silent one is being served.
    assert_eq!(get(server.address, "/livez")?.status, 200);
    server.stop();
    assert_eq!(read_to_close(&mut silent)?, "");
    assert_eq!(server.drained()?, Drained { cut: 0 });
    Ok(())
}
