//! Kills deployers with SIGKILL at many points, and lets the next run find what they left.

use crate::lab::Lab;
use serde_json::Value;
use std::collections::BTreeMap;
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

/// Environments in which deployers are killed at the same time: most of it is waiting for the locks of dead ones.
const LANES: usize = 20;
/// How often each is killed.
const ROUNDS: usize = 3;
/// Points by time are so far apart.
const STEP: Duration = Duration::from_millis(150);

/// When a deployer is killed.
#[derive(Debug, Clone, Copy)]
enum Point {
    /// So long after it was started.
    After(Duration),
    /// When its journal names this phase.
    In(&'static str),
}

/// Every second point is a time, every second one a phase.
fn point(number: usize) -> Point {
    const PHASES: [&str; 7] = ["apply", "watch", "soak", "smoke", "evidence", "rollback", "verify-rollback"];
    if number.is_multiple_of(2) {
        Point::After(STEP * u32::try_from(number / 2 + 1).unwrap())
    } else {
        Point::In(PHASES[number / 2 % PHASES.len()])
    }
}

#[test]
fn a_deployer_that_is_killed_anywhere_leaves_what_the_next_run_finishes() {
    let environments: Vec<(String, String)> =
        (0..LANES).map(|lane| (format!("lane{lane}"), String::new())).collect();
    let lab = Lab::up("k", &environments);
    let hit = scope(|threads| {
        let lanes: Vec<_> = (0..LANES)
            .map(|lane| {
                threads.spawn({
                    let lab = &lab;
                    move || kill_in(lab, lane)
                })
            })
            .collect();
        lanes.into_iter().map(|lane| lane.join().unwrap()).collect::<Vec<_>>()
    });
    let mut left: BTreeMap<String, usize> = BTreeMap::new();
    for phase in hit.into_iter().flatten() {
        *left.entry(phase).or_default() += 1;
    }
    println!("phases in which deployers died: {left:?}");
    assert!(left.values().sum::<usize>() >= 50, "{left:?}");
    assert!(left.len() >= 6, "the points are spread over the phases: {left:?}");
}

/// The phases that killed deployers left behind.
fn kill_in(lab: &Lab, lane: usize) -> Vec<String> {
    let environment = format!("lane{lane}");
    assert_eq!(lab.say(&["deploy", "--env", &environment, "--digest", &lab.good[0]]).code, 0);
    let mut left = Vec::new();
    for round in 0..ROUNDS {
        let number = round * LANES + lane;
        let point = point(number);
        let bad = matches!(point, Point::In("evidence" | "rollback" | "verify-rollback"))
            || number.is_multiple_of(4);
        let digest = if bad { &lab.bad } else { &lab.good[(round + 1) % 2] };
        let mut child = lab.start(&["deploy", "--env", &environment, "--digest", digest]);
        let began = Instant::now();
        let mut lives = || began.elapsed() < Duration::from_secs(60) && child.try_wait().unwrap().is_none();
        match point {
            Point::After(time) => sleep(time),
            Point::In(phase) => drop(lab.reaches(&environment, phase, &mut lives)),
        }
        let over = child.try_wait().unwrap().is_some();
        let _ = child.kill();
        child.wait().unwrap();
        let phase = lab.phase(&environment).unwrap();
        if !over {
            left.push(phase.clone());
        }

        // Whoever comes next finishes it: somebody who says so, or just the next deployment.
        let deploys = number % 3 == 2;
        let next: &[&str] =
            if deploys { &["deploy", "--digest", &lab.good[(round + 1) % 2]] } else { &["recover"] };
        let said = lab.say(&[next, &["--env", &environment]].concat());
        let after = lab.status(&environment);
        let context = format!("{environment} {point:?} left {phase}: {said:?}\nafter {after}");
        assert!(said.code == 0 || said.code == 12 && !deploys, "{context}");
        assert_eq!(after["proven"], true, "{context}");
        assert_eq!(after["lock"], Value::Null, "the lock is free again: {context}");
        nothing_twice(&after, &context);
    }
    left
}

/// No revision is pending, and no run has applied twice.
fn nothing_twice(status: &Value, context: &str) {
    let mut runs: BTreeMap<&str, usize> = BTreeMap::new();
    for revision in status["history"].as_array().unwrap() {
        assert!(
            !revision["status"].as_str().unwrap().starts_with("Pending")
                || revision["revision"] != status["revision"],
            "{context}"
        );
        let description = revision["description"].as_str().unwrap();
        if description.starts_with("slipway ") {
            *runs.entry(description).or_default() += 1;
        }
    }
    assert!(runs.values().all(|times| *times == 1), "{context}");
}
