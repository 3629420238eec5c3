//! Nothing outlives a run: four shapes of children, four ways to stop, by the real binary.

use crate::repo::{Ran, Repo};
use std::fs;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Checks that say when they are up. All of their processes carry the folder `$FLAVOUR` in their environment, so that they can be found.
const SHAPES: [(&str, &str); 4] = [
    ("background child", "sleep 600 & touch $FLAVOUR/up; sleep 600"),
    ("child that ignores signals", "trap '' INT TERM; touch $FLAVOUR/up; while :; do sleep 1; done"),
    ("foreground child", "touch $FLAVOUR/up; sleep 600"),
    (
        "child in a session of its own",
        "setsid sh -c 'trap \"\" INT TERM HUP; touch $FLAVOUR/up; sleep 600' x $FLAVOUR & wait",
    ),
];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Stop {
    Interrupt,
    Terminate,
    Kill,
    CtrlC,
}

/// Processes with `marker` in their environment or arguments: everything that the check started.
fn alive(marker: &str) -> Vec<String> {
    let mut found = Vec::new();
    for item in fs::read_dir("/proc").unwrap().flatten() {
        let folder = item.path();
        let read = |name: &str| fs::read(folder.join(name)).unwrap_or_default();
        let holds = |bytes: &[u8]| bytes.windows(marker.len()).any(|window| window == marker.as_bytes());
        let zombie = String::from_utf8_lossy(&read("stat")).contains(") Z ");
        if !zombie && (holds(&read("environ")) || holds(&read("cmdline"))) {
            found.push(String::from_utf8_lossy(&read("cmdline")).replace('\0', " "));
        }
    }
    found
}

fn wait_until(limit: Duration, what: &str, holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < limit, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn signal(child: &Child, stop: Stop) {
    let pid = i64::from(child.id());
    let (name, target) = match stop {
        Stop::Interrupt => ("INT", pid),
        Stop::Terminate => ("TERM", pid),
        Stop::Kill => ("KILL", pid),
        Stop::CtrlC => ("INT", -pid),
    };
    let status =
        Command::new("kill").args([&format!("-{name}"), "--", &target.to_string()]).status().unwrap();
    assert!(status.success());
}

fn started(repo: &Repo, marker: &Path) -> Child {
    let mut command = repo.command(&["lint"]);
    command.env("FLAVOUR", marker).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    let child = command.spawn().unwrap();
    wait_until(Duration::from_secs(30), "the check is up", || marker.join("up").exists());
    child
}

#[test]
fn whatever_a_check_started_is_gone_after_any_stop() {
    for (shape, script) in SHAPES {
        for stop in [Stop::Interrupt, Stop::Terminate, Stop::Kill, Stop::CtrlC] {
            let marker = tempfile::tempdir().unwrap();
            let yaml = format!("[[sh, -c, {}]]", serde_json::to_string(script).unwrap());
            let repo = Repo::linting(&yaml);
            let mut child = started(&repo, marker.path());
            let text = marker.path().to_str().unwrap().to_owned();
            assert!(!alive(&text).is_empty(), "{shape}");
            signal(&child, stop);
            let began = Instant::now();
            let status = child.wait().unwrap();
            let took = began.elapsed();
            if stop == Stop::Kill {
                assert_eq!(status.signal(), Some(9));
            } else {
                assert_eq!(status.code(), Some(130), "{shape}, {stop:?}");
                assert!(took < Duration::from_millis(2500), "{shape}, {stop:?}: {took:?}");
            }
            let limit = if stop == Stop::Kill { Duration::from_secs(3) } else { Duration::from_secs(1) };
            wait_until(limit, &format!("{shape}, {stop:?}: {:?}", alive(&text)), || alive(&text).is_empty());
        }
    }
}

#[test]
fn a_stopped_run_leaves_a_report_that_says_so() {
    let marker = tempfile::tempdir().unwrap();
    let repo = Repo::linting("[[sh, -c, \"touch $FLAVOUR/up; sleep 600\"]]");
    let mut child = started(&repo, marker.path());
    signal(&child, Stop::Interrupt);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(repo.report()["run"]["exit_code"], 130);
    assert_eq!(repo.stage("lint")["outcome"], "cancelled");
}

#[test]
fn a_check_that_leaves_something_behind_does_not_hold_the_run_up() {
    let marker = tempfile::tempdir().unwrap();
    let repo = Repo::linting("[[sh, -c, \"setsid sleep 600 & echo done\"]]");
    let began = Instant::now();
    let mut command = repo.command(&["lint"]);
    let ran = Ran::of(&command.env("FLAVOUR", marker.path()).output().unwrap());
    ran.exits(0);
    assert!(began.elapsed() < Duration::from_secs(20));
    assert!(alive(marker.path().to_str().unwrap()).is_empty());
}
