//! The main job on real input with real tools: this repository's own service, chart, infrastructure and workflows. Slow the first
//! time, because it provisions every tool; `cargo xtask selftest` runs it.
#![cfg(feature = "real-tools")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]
#![expect(clippy::disallowed_methods, reason = "this test starts the binary itself")]

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// Runs the binary in this repository as CI would: strict. Progress goes to the test's own standard error, so that somebody who
/// waits sees it.
fn xtask(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_xtask"))
        .current_dir(root())
        .args(args)
        .env("CI", "true")
        .env_remove("GITHUB_ACTIONS")
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .unwrap()
}

fn stages() -> Vec<Value> {
    let report = std::fs::read_to_string(root().join("target/xtask/report.json")).unwrap();
    let report: Value = serde_json::from_str(&report).unwrap();
    report["stages"].as_array().unwrap().clone()
}

/// The stage that cannot be had everywhere: Trivy is published by release archive only.
const WITHOUT: &[&str] = &["pr-checks", "--keep-going", "--output", "plain", "--without", "scan"];

#[test]
fn the_whole_of_pr_checks_passes_on_this_repository_and_a_second_run_takes_it_all_from_the_cache() {
    let first = xtask(WITHOUT);
    let shown = String::from_utf8_lossy(&first.stdout);
    println!("{shown}");
    assert_eq!(first.status.code(), Some(0), "{shown}");
    assert!(shown.contains("NOT CHECKED: scan:hello"), "what was left out is said out loud");
    let ran = stages();
    assert_eq!(ran.iter().filter(|stage| stage["outcome"] == "passed").count(), 11);

    let second = xtask(WITHOUT);
    assert_eq!(second.status.code(), Some(0));
    for stage in stages().iter().filter(|stage| stage["outcome"] != "skipped") {
        assert_eq!(stage["cached"], true, "{stage}");
    }
}
