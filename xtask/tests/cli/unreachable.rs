//! A tool that cannot be had: loud on a laptop, an error in CI. Its only source is a port of this machine where nobody listens.

use crate::repo::{Ran, Repo};

fn repo() -> Repo {
    let repo = Repo::linting("[['true']]");
    let zeros = "0".repeat(64);
    let platforms = ["linux-x86_64", "linux-aarch64", "macos-x86_64", "macos-aarch64"];
    let files: String = platforms
        .iter()
        .map(|platform| format!("            {platform}: {{ file: gitleaks, sha256: {zeros} }}\n"))
        .collect();
    repo.write(
        "tools.lock",
        &format!(
            "version: 1\ntools:\n  gitleaks:\n    version: 8.30.1\n    sources:\n      - archive:\n          url: \
             http://127.0.0.1:9/{{file}}\n          files:\n{files}"
        ),
    );
    repo
}

#[test]
fn on_a_laptop_the_stage_is_skipped_the_rest_runs_and_the_last_lines_say_what_was_not_checked() {
    let repo = repo();
    let ran = repo.run(&["pr-checks"]).exits(0);
    assert_eq!(repo.stage("lint")["outcome"], "passed");
    assert_eq!(repo.stage("secrets")["skipped"]["why"], "unreachable");
    let last = ran.stdout.trim_end().lines().last().unwrap().to_owned();
    assert!(last.contains("NOT CHECKED: secrets") && last.contains("127.0.0.1:9"), "{last}");
}

#[test]
fn in_ci_and_when_asked_to_be_strict_it_is_21_and_every_source_is_named() {
    let repo = repo();
    repo.run(&["pr-checks", "--strict"]).exits(21).says("127.0.0.1:9");
    let mut command = repo.command(&["pr-checks"]);
    Ran::of(&command.env("CI", "true").output().unwrap()).exits(21).says("127.0.0.1:9");
    repo.run(&["pr-checks", "--strict", "--without", "secrets"]).exits(0);
}
