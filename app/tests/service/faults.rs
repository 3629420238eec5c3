//! Each fault does what a drill expects of it, and nothing else.

use std::io::{self, Write};
use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::process::{Running, app};
use crate::wire::{connect, get, read_reply, read_to_close, until};

type Outcome = io::Result<()>;

const ABORTED: i32 = Signal::ABORT.as_raw();

fn metric(app: &Running, series: &str) -> Option<f64> {
    let text = get(app.metrics, "/metrics").ok()?.body;
    text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

#[test]
fn without_the_variable_nothing_is_wrong() -> Outcome {
    let app = Running::start(&[])?;
    for path in ["/", "/healthz", "/readyz", "/livez", "/version"] {
        assert_eq!(get(app.address, path)?.status, 200, "{path}");
    }
    Ok(())
}

#[test]
fn a_fault_is_announced_and_a_wrong_one_refused() -> Outcome {
    let mut running = Running::spawn(&[("FAULT", "error:0.5")])?;
    assert_eq!(running.line_with("fault injection is on")?["level"], "WARN");
    let output = app(&[("FAULT", "error:2")]).output()?;
    assert_eq!(output.status.code(), Some(2));
    let log = String::from_utf8_lossy(&output.stdout);
    assert!(log.contains("FAULT=") && log.contains("is not a list") && log.contains("slow:500ms"), "{log}");
    Ok(())
}

#[test]
fn slow_delays_requests_and_not_probes() -> Outcome {
    let app = Running::start(&[("FAULT", "slow:1500ms")])?;
    let took = |path: &str| {
        let started = Instant::now();
        get(app.address, path).map(|reply| (reply.status, started.elapsed()))
    };
    let (status, slow) = took("/version")?;
    assert!(status == 200 && slow >= Duration::from_millis(1500), "{slow:?}");
    for probe in ["/readyz", "/livez"] {
        assert_eq!(get(app.address, probe)?.status, 200);
    }
    // Told by the histogram: the bucket below the delay holds probes and not the slow request.
    let in_time = |route: &str| {
        let series = r#"http_request_duration_seconds_bucket{le="1.0","#;
        metric(&app, &format!(r#"{series}method="GET",route="{route}",status="200"}}"#))
    };
    assert_eq!((in_time("/version"), in_time("/livez")), (Some(0.0), Some(1.0)));
    Ok(())
}

#[test]
fn slower_than_the_limit_is_answered_with_503() -> Outcome {
    let app = Running::start(&[("FAULT", "slow:1m")])?;
    assert_eq!(get(app.address, "/version")?.status, 503);
    Ok(())
}

#[test]
fn error_fails_its_share_of_requests_evenly_and_no_probe() -> Outcome {
    let app = Running::start(&[("FAULT", "error:0.25")])?;
    let mut failed = Vec::new();
    for number in 0..40 {
        if get(app.address, "/version")?.status == 500 {
            failed.push(number);
        }
        assert_eq!(get(app.address, "/readyz")?.status, 200);
    }
    assert_eq!(failed, [3, 7, 11, 15, 19, 23, 27, 31, 35, 39]);
    assert_eq!(
        metric(&app, r#"http_request_duration_seconds_count{method="GET",route="/version",status="500"}"#),
        Some(10.0)
    );
    Ok(())
}

#[test]
fn crash_at_start_aborts_before_listening() -> Outcome {
    let output = app(&[("FAULT", "crash:start")]).output()?;
    assert_eq!(output.status.signal(), Some(ABORTED));
    let log = String::from_utf8_lossy(&output.stdout);
    assert!(log.contains("crashing, as told") && !log.contains("serving"), "{log}");
    Ok(())
}

#[test]
fn crash_after_a_time_serves_until_then() -> Outcome {
    let mut app = Running::start(&[("FAULT", "crash:1s")])?;
    assert_eq!(app.line_with("crashing, as told")?["level"], "ERROR");
    assert_eq!(app.wait_status()?.signal(), Some(ABORTED));
    Ok(())
}

#[test]
fn never_ready_is_alive_and_healthy() -> Outcome {
    let app = Running::start(&[("FAULT", "never-ready")])?;
    let reply = get(app.address, "/readyz")?;
    assert_eq!((reply.status, reply.body.as_str()), (503, "never ready\n"));
    assert_eq!(get(app.address, "/livez")?.status, 200);
    assert_eq!(get(app.address, "/healthz")?.status, 200);
    Ok(())
}

#[test]
fn not_live_fails_liveness_alone_after_its_time() -> Outcome {
    let app = Running::start(&[("FAULT", "not-live:1s")])?;
    until("not live", || get(app.address, "/livez").is_ok_and(|reply| reply.status == 503))?;
    assert_eq!(get(app.address, "/readyz")?.status, 200);
    let app = Running::start(&[("FAULT", "not-live:60m")])?;
    assert_eq!(get(app.address, "/livez")?.status, 200);
    Ok(())
}

#[test]
fn a_leak_shows_in_resident_memory() -> Outcome {
    let app = Running::start(&[("FAULT", "leak:100MiB/s")])?;
    let resident = || metric(&app, "process_resident_memory_bytes").unwrap_or_default();
    until("100 MiB leaked", || resident() > 100.0 * 1_048_576.0)
}

#[test]
fn a_slow_start_listens_late_and_can_be_stopped_before() -> Outcome {
    let started = Instant::now();
    let app = Running::start(&[("FAULT", "slow-start:500ms")])?;
    assert!(started.elapsed() >= Duration::from_millis(500));
    assert_eq!(get(app.address, "/readyz")?.status, 200);

    let mut starting = Running::spawn(&[("FAULT", "slow-start:60m")])?;
    starting.line_with("fault injection is on")?;
    starting.signal(Signal::TERM)?;
    assert_eq!(starting.wait()?, Some(0));
    Ok(())
}

/// A request that is being answered, as the metrics port confirms.
fn ask_slow(app: &Running) -> io::Result<std::net::TcpStream> {
    let mut stream = connect(app.address)?;
    stream.write_all(b"GET /version HTTP/1.1\r\nhost: test\r\n\r\n")?;
    until("in flight", || metric(app, "http_requests_in_flight") == Some(1.0))?;
    Ok(stream)
}

#[test]
fn a_request_in_flight_at_sigterm_is_finished_and_the_process_ends_with_zero() -> Outcome {
    let vars = [("FAULT", "slow:2s"), ("DRAIN_SETTLE_SECONDS", "0"), ("DRAIN_DEADLINE_SECONDS", "60")];
    let mut app = Running::start(&vars)?;
    let mut stream = ask_slow(&app)?;
    app.signal(Signal::TERM)?;
    app.line_with("draining")?;
    let reply = read_reply(&mut stream)?;
    assert_eq!((reply.status, reply.header("connection")), (200, Some("close")));
    assert_eq!(app.wait()?, Some(0));
    Ok(())
}

#[test]
fn a_stuck_request_is_cut_at_the_deadline_and_the_process_ends_with_zero() -> Outcome {
    let vars = [("FAULT", "slow:9s"), ("DRAIN_SETTLE_SECONDS", "0"), ("DRAIN_DEADLINE_SECONDS", "1")];
    let mut app = Running::start(&vars)?;
    let mut stream = ask_slow(&app)?;
    app.signal(Signal::TERM)?;
    assert_eq!(read_to_close(&mut stream)?, "");
    assert_eq!(app.line_with("deadline reached, connections cut")?["connections"], 1);
    assert_eq!(app.wait()?, Some(0));
    Ok(())
}
