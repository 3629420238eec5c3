//! The real binary: command line, signals, exit codes, log lines.

use std::io::{self, BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use crate::wire::{connect, get, send};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

type Outcome = io::Result<()>;

/// The binary with a closed environment, on free ports of loopback.
pub(crate) fn app(vars: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_app"));
    command.env_clear().env("LISTEN_ADDR", "127.0.0.1:0").env("METRICS_ADDR", "127.0.0.1:0");
    command.envs(vars.iter().copied()).stdin(Stdio::null());
    command
}

pub(crate) struct Running {
    child: Child,
    log: Receiver<String>,
    pub(crate) address: SocketAddr,
    pub(crate) metrics: SocketAddr,
}

impl Running {
    /// Starts, and waits until it serves.
    pub(crate) fn start(vars: &[(&str, &str)]) -> io::Result<Self> {
        let mut running = Self::spawn(vars)?;
        let serving = running.line_with("serving")?;
        let address = |key: &str| {
            serving[key].as_str().and_then(|text| text.parse().ok()).ok_or(io::ErrorKind::InvalidData)
        };
        (running.address, running.metrics) = (address("address")?, address("metrics")?);
        Ok(running)
    }

    /// Starts without waiting; there are no addresses yet.
    pub(crate) fn spawn(vars: &[(&str, &str)]) -> io::Result<Self> {
        let mut child = app(vars).stdout(Stdio::piped()).spawn()?;
        let stdout = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let none_yet = SocketAddr::from(([127, 0, 0, 1], 0));
        Ok(Self { child, log: lines(stdout), address: none_yet, metrics: none_yet })
    }

    /// The next log line; every line has to be one JSON object.
    fn line(&mut self) -> io::Result<Value> {
        let line = self.log.recv_timeout(Duration::from_mins(1)).map_err(io::Error::other)?;
        Ok(serde_json::from_str(&line)?)
    }

    /// The next log line with this message.
    pub(crate) fn line_with(&mut self, message: &str) -> io::Result<Value> {
        loop {
            let line = self.line()?;
            if line["message"] == message {
                return Ok(line);
            }
        }
    }

    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for the end; the exit code, unless a signal ended it.
    pub(crate) fn wait(&mut self) -> io::Result<Option<i32>> {
        Ok(self.wait_status()?.code())
    }

    /// Waits for the end.
    pub(crate) fn wait_status(&mut self) -> io::Result<ExitStatus> {
        self.child.wait()
    }

    pub(crate) fn signal(&self, signal: Signal) -> Outcome {
        Ok(kill_process(Pid::from_child(&self.child), signal)?)
    }
}

/// Reads all the time, whether or not a test asks: a full pipe would stop the service.
fn lines(stdout: ChildStdout) -> Receiver<String> {
    let (send, lines) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let _test_may_be_over = send.send(line);
        }
    });
    lines
}

impl Drop for Running {
    fn drop(&mut self) {
        let _already_gone = self.child.kill();
        let _already_reaped = self.child.wait();
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

#[test]
fn sigterm_turns_readiness_red_at_once_keeps_serving_and_ends_with_zero() -> Outcome {
    // Ten hours of settling: only the second signal can end it.
    let mut app = Running::start(&[("DRAIN_SETTLE_SECONDS", "36000")])?;
    assert_eq!(get(app.address, "/readyz")?.status, 200);

    app.signal(Signal::TERM)?;
    assert_eq!(app.line_with("draining")?["signal"], "SIGTERM");
    assert_eq!(get(app.address, "/readyz")?.status, 503);
    assert_eq!(get(app.address, "/livez")?.status, 200);
    assert_eq!(get(app.address, "/healthz")?.status, 200);
    assert_eq!(get(app.metrics, "/metrics")?.status, 200);

    app.signal(Signal::TERM)?;
    app.line_with("stopped")?;
    assert_eq!(app.wait()?, Some(0));
    Ok(())
}

#[test]
fn the_settle_time_ends_by_itself() -> Outcome {
    let mut app = Running::start(&[("DRAIN_SETTLE_SECONDS", "0")])?;
    app.signal(Signal::INT)?;
    assert_eq!(app.line_with("draining")?["signal"], "SIGINT");
    assert_eq!(app.wait()?, Some(0));
    Ok(())
}

#[test]
fn the_log_is_one_json_object_per_line_with_the_ids_of_the_request() -> Outcome {
    let mut app = Running::start(&[])?;
    let request = "GET /version?token=hidden HTTP/1.1\r\nhost: test\r\nx-request-id: abc\r\n\
                   traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\r\n";
    assert_eq!(send(&mut connect(app.address)?, request)?.status, 200);
    let line = app.line_with("request")?;
    assert_eq!(line["level"], "INFO");
    assert_eq!(line["method"], "GET");
    assert_eq!(line["route"], "/version");
    assert_eq!(line["status"], 200);
    assert!(line["duration_ms"].as_f64().is_some_and(|took| took > 0.0), "{line}");
    assert_eq!(line["span"]["request_id"], "abc");
    assert_eq!(line["span"]["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
    assert!(!line.to_string().contains("hidden"), "{line}");
    Ok(())
}

#[test]
fn passing_probes_are_logged_only_at_debug() -> Outcome {
    for (level, first_logged) in [("info", "/version"), ("debug", "/livez")] {
        let mut app = Running::start(&[("LOG_LEVEL", level)])?;
        get(app.address, "/livez")?;
        get(app.address, "/version")?;
        assert_eq!(app.line_with("request")?["route"], first_logged, "{level}");
    }
    Ok(())
}

#[test]
fn healthcheck_is_zero_for_a_running_service_and_one_for_none() -> Outcome {
    let running = Running::start(&[])?;
    let address = running.address.to_string();
    let output = app(&[]).args(["healthcheck", &address]).output()?;
    assert_eq!(code(&output), Some(0), "{}", text(&output.stderr));
    let output = app(&[("LISTEN_ADDR", &address)]).arg("healthcheck").output()?;
    assert_eq!(code(&output), Some(0), "{}", text(&output.stderr));

    drop(running);
    let output = app(&[]).args(["healthcheck", &address]).output()?;
    assert_eq!(code(&output), Some(1));
    assert!(
        text(&output.stderr).starts_with(&format!("no answer from {address}: ")),
        "{}",
        text(&output.stderr)
    );
    Ok(())
}

#[test]
fn healthcheck_of_something_that_is_not_an_address_is_wrong_usage() -> Outcome {
    let output = app(&[]).args(["healthcheck", "localhost:80"]).output()?;
    assert_eq!(code(&output), Some(2));
    assert_eq!(text(&output.stderr), "\"localhost:80\" is not an address like 10.0.0.1:80\n");
    Ok(())
}

#[test]
fn help_is_printed_on_request_and_wrong_usage_is_two() -> Outcome {
    let output = app(&[]).arg("--help").output()?;
    assert_eq!(code(&output), Some(0));
    assert!(text(&output.stdout).starts_with("usage: app"), "{}", text(&output.stdout));
    for arguments in [&["serve"][..], &["healthcheck", "127.0.0.1:1", "more"]] {
        let output = app(&[]).args(arguments).output()?;
        assert_eq!(code(&output), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).starts_with("usage: app"), "{}", text(&output.stderr));
    }
    Ok(())
}

#[test]
fn in_the_wrong_environment_it_lives_refuses_every_request_and_says_so_in_its_metrics() -> Outcome {
    let vars = [
        ("CONFIG_ENVIRONMENT", "prod"),
        ("POD_ENVIRONMENT", "beta"),
        ("SYS_ENV", "of-prod"),
        // Elsewhere this would end it with exit code 2; here it is not even looked at.
        ("APP_SECRETS_DIR", "/nowhere/secrets"),
        ("DRAIN_SETTLE_SECONDS", "0"),
    ];
    let mut app = Running::start(&vars)?;
    let line = app.line_with("wrong environment: refusing every request, never ready")?;
    let said = ["level", "configured", "expected"].map(|key| line[key].as_str());
    assert_eq!(said, [Some("ERROR"), Some("prod"), Some("beta")]);

    assert_eq!(get(app.address, "/livez")?.status, 200);
    for path in ["/readyz", "/healthz", "/version", "/private", "/", "/some/where?else"] {
        let reply = get(app.address, path)?;
        assert_eq!((reply.status, reply.body.as_str()), (503, "wrong environment\n"), "{path}");
    }
    let metrics = get(app.metrics, "/metrics")?.body;
    for line in [
        "app_environment_mismatch 1",
        r#"app_environment_info{configured="prod",expected="beta"} 1"#,
        r#"http_request_duration_seconds_count{method="GET",route="/readyz",status="503"} 1"#,
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is not in\n{metrics}");
    }

    app.signal(Signal::TERM)?;
    assert_eq!(app.wait()?, Some(0));
    Ok(())
}

#[test]
fn an_address_in_use_ends_with_one_and_names_it() -> Outcome {
    let taken = TcpListener::bind(("127.0.0.1", 0))?;
    let address = taken.local_addr()?.to_string();
    let output = app(&[("LISTEN_ADDR", &address)]).output()?;
    assert_eq!(code(&output), Some(1));
    assert!(
        text(&output.stdout).contains(&format!("cannot listen on {address}: ")),
        "{}",
        text(&output.stdout)
    );
    Ok(())
}
