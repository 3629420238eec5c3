//! Whatever a task looks like and however the run is stopped: nothing is left. Four shapes times four stops.
#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "what only tests call may fail as tests do"
)]

mod process_support;

use process_support::{before, children, patience, processes_with, runs};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use signal_hook::consts::SIGINT;
use signal_hook::flag::register_conditional_shutdown;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Once};
use std::time::{Duration, Instant};

/// What the task is, and how many `sleep` it consists of.
#[derive(Debug, Clone, Copy)]
struct Shape {
    name: &'static str,
    script: &'static str,
    sleeps: usize,
}

const SHAPES: [Shape; 6] = [
    Shape { name: "a child in the background", script: "sleep 1000 & wait", sleeps: 1 },
    Shape {
        name: "a child that ignores SIGINT and SIGTERM",
        script: "trap '' INT TERM; sleep 1000 & while :; do sleep 1000; done",
        sleeps: 2,
    },
    Shape { name: "a child in the foreground", script: "sleep 1000; :", sleeps: 1 },
    Shape { name: "a child in a session of its own", script: "setsid sleep 1000 & wait", sleeps: 1 },
    // Beyond the sixteen: all of it at once, and deeper.
    Shape {
        name: "a stubborn tree over three sessions",
        script: "trap '' INT TERM; setsid sh -c 'sleep 1000 & setsid sh -c \"sleep 1000; :\"; :' & sleep 1000; wait",
        sleeps: 3,
    },
    Shape {
        name: "a halted child",
        script: "sleep 1000 & until read name < /proc/$!/comm && [ $name = sleep ]; do :; done; kill -STOP $!; sleep 1000",
        sleeps: 2,
    },
];

#[derive(Debug, Clone, Copy, PartialEq)]
enum Stop {
    Process(Signal),
    Group(Signal),
}

/// A probe that runs a shape, and all of whose processes can be found.
struct Running {
    probe: Child,
    pid: Pid,
    guard: Option<Pid>,
    variable: String,
}

/// Whoever started the tests in the background has them ignore SIGINT, and what is ignored stays ignored in a child until it has
/// handlers of its own. What is handled goes back to its default there.
fn hear_of_sigint() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        register_conditional_shutdown(SIGINT, 130, Arc::new(AtomicBool::new(true))).unwrap();
    });
}

fn launch(shape: Shape, case: &str) -> Running {
    hear_of_sigint();
    let variable = format!("PROBE_CASE={}-{case}-{}", std::process::id(), shape.name);
    let (name, value) = variable.split_once('=').unwrap();
    #[expect(clippy::disallowed_methods, reason = "the probe is started as CI would start the binary")]
    let probe = Command::new(env!("CARGO_BIN_EXE_process-probe"))
        .args(["sh", "-c", shape.script])
        .env(name, value)
        .stdin(Stdio::null())
        .process_group(0)
        .spawn()
        .unwrap();
    let pid = Pid::from_child(&probe);
    Running { probe, pid, guard: None, variable }
}

/// Launches it and waits until all of it is there.
fn start(shape: Shape, case: &str) -> Running {
    let mut running = launch(shape, case);
    let sleeps = || processes_with(&running.variable).iter().filter(|(_, name)| name == "sleep").count();
    assert!(
        before(patience(), || sleeps() == shape.sleeps),
        "{shape:?}: {:?}",
        processes_with(&running.variable)
    );
    running.guard = children(&running.pid.as_raw_nonzero().to_string()).first().copied();
    assert!(running.guard.is_some());
    running
}

impl Running {
    fn left(&self) -> Vec<(Pid, String)> {
        let mut left = processes_with(&self.variable);
        left.retain(|(pid, _)| runs(*pid));
        left.extend(self.guard.filter(|guard| runs(*guard)).map(|guard| (guard, "the guard".to_owned())));
        left
    }
}

impl Drop for Running {
    /// After a failed assertion nothing may stay behind either.
    fn drop(&mut self) {
        let _ = self.probe.kill();
        let _ = self.probe.wait();
    }
}

fn check(shape: Shape, stop: Stop) {
    let mut running = start(shape, &format!("{stop:?}"));
    let stopped = Instant::now();
    match stop {
        Stop::Process(signal) => kill_process(running.pid, signal).unwrap(),
        Stop::Group(signal) => kill_process_group(running.pid, signal).unwrap(),
    }
    let mut status = None;
    before(stopped + Duration::from_millis(2500), || {
        status = running.probe.try_wait().unwrap();
        status.is_some()
    });
    let Some(status) = status else {
        panic!("{shape:?}, {stop:?}: still runs after 2.5 s: {:?}", running.left())
    };
    let deadline = if stop == Stop::Process(Signal::KILL) {
        assert_eq!(status.signal(), Some(9));
        stopped + Duration::from_secs(3)
    } else {
        assert_eq!(status.code(), Some(130), "{shape:?}, {stop:?}");
        Instant::now() + Duration::from_secs(1)
    };
    let gone = before(deadline, || running.left().is_empty());
    println!("{:>5} ms  {stop:?}, {}", stopped.elapsed().as_millis(), shape.name);
    assert!(gone, "{shape:?}, {stop:?}: left: {:?}", running.left());
}

#[test]
fn sigint_to_the_process_leaves_nothing() {
    SHAPES.iter().for_each(|shape| check(*shape, Stop::Process(Signal::INT)));
}

#[test]
fn sigterm_to_the_process_leaves_nothing() {
    SHAPES.iter().for_each(|shape| check(*shape, Stop::Process(Signal::TERM)));
}

#[test]
fn sigkill_to_the_process_leaves_nothing() {
    SHAPES.iter().for_each(|shape| check(*shape, Stop::Process(Signal::KILL)));
}

#[test]
fn sigint_to_the_group_leaves_nothing() {
    SHAPES.iter().for_each(|shape| check(*shape, Stop::Group(Signal::INT)));
}

#[test]
fn a_run_that_is_stopped_while_it_starts_leaves_nothing_either() {
    for n in 0..40 {
        let shape = Shape { name: "starting", script: "setsid sleep 1000 & sleep 1000 & wait", sleeps: 0 };
        let mut running = launch(shape, &n.to_string());
        // From before the guard exists until after the task is complete.
        let moment = Instant::now() + Duration::from_micros(300) * n;
        while Instant::now() < moment {
            std::hint::spin_loop();
        }
        if n % 2 == 0 {
            kill_process(running.pid, Signal::KILL).unwrap();
        } else {
            kill_process_group(running.pid, Signal::INT).unwrap();
        }
        assert!(
            before(patience(), || running.probe.try_wait().unwrap().is_some()),
            "{n}: {:?}",
            running.left()
        );
        let status = running.probe.wait().unwrap();
        // Before it has its handlers, the probe itself dies of the signal.
        assert!(status.code() == Some(130) || matches!(status.signal(), Some(2 | 9)), "{n}: {status:?}");
        let gone = before(Instant::now() + Duration::from_secs(3), || running.left().is_empty());
        assert!(gone, "{n}: {:?}", running.left());
    }
}

#[test]
fn the_guard_survives_every_signal_that_means_stop_and_has_left_the_terminal() {
    let mut running = start(SHAPES[0], "survives");
    let guard = running.guard.unwrap();
    assert_eq!(rustix::process::getsid(Some(guard)), Ok(guard));
    // A guard that dies would look much the same from outside, so the kernel is asked what it catches.
    let status = std::fs::read_to_string(format!("/proc/{}/status", guard.as_raw_nonzero())).unwrap();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
    let caught = u64::from_str_radix(caught.trim(), 16).unwrap();
    for signal in [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT] {
        assert!(caught & 1 << (signal.as_raw() - 1) != 0, "{signal:?}: {caught:x}");
        kill_process(guard, signal).unwrap();
    }
    // It is alive if it still does its duty.
    kill_process(running.pid, Signal::INT).unwrap();
    assert!(before(patience(), || running.probe.try_wait().unwrap().is_some()));
    assert_eq!(running.probe.wait().unwrap().code(), Some(130));
    assert!(before(patience(), || running.left().is_empty()));
}

#[test]
fn a_run_whose_guard_is_killed_ends_with_an_error_and_takes_its_tasks_along() {
    let mut running = start(SHAPES[0], "guard killed");
    kill_process(running.guard.unwrap(), Signal::KILL).unwrap();
    assert!(before(patience(), || running.probe.try_wait().unwrap().is_some()));
    assert_eq!(running.probe.wait().unwrap().code(), Some(20));
    assert!(before(patience(), || running.left().is_empty()), "{:?}", running.left());
}

#[test]
fn signals_that_were_ignored_when_the_run_began_are_not_ignored_in_a_task() {
    #[expect(clippy::disallowed_methods, reason = "the probe is started as nohup would start it")]
    let status = Command::new("sh")
        .args(["-c", "trap '' INT TERM HUP; exec \"$0\" sh -c 'kill -INT $$; exit 3'"])
        .arg(env!("CARGO_BIN_EXE_process-probe"))
        .stdin(Stdio::null())
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(20), "the task dies of the signal");
}

#[test]
fn a_guard_that_nobody_speaks_to_ends_at_once() {
    #[expect(clippy::disallowed_methods, reason = "somebody typed it")]
    let status = Command::new(env!("CARGO_BIN_EXE_process-probe"))
        .arg("__guard")
        .stdin(Stdio::null())
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(2));
}
