//! Every exit code that a command of this package can end with, by the real binary. The codes of deployments are tested with them.

use crate::repo::Repo;
use std::time::{Duration, Instant};

#[test]
fn accepted_is_0() {
    Repo::linting("[[\"true\"]]").run(&["lint"]).exits(0);
}

#[test]
fn a_wrong_command_line_is_2() {
    Repo::linting("[[\"true\"]]").run(&["lnt"]).exits(2).says("lint");
    Repo::linting("[[\"true\"]]").run(&["lint", "--service", "nobody"]).exits(2).says("hello");
    Repo::linting("[[\"true\"]]").run(&["test"]).exits(2).says("not in the graph");
}

#[test]
fn a_wrong_configuration_is_2_with_its_place() {
    let repo = Repo::new("version: 1\nproject: x\nservices:\n  hello:\n    path: app\n    langauge: rust\n");
    repo.run(&["pr-checks"]).exits(2).says("pipeline.yaml:6:5");
}

#[test]
fn a_folder_without_pipeline_yaml_is_2_and_shows_one_to_start_with() {
    let folder = tempfile::tempdir().unwrap();
    let repo = Repo::linting("[[\"true\"]]");
    let ran = repo.run(&["lint", "--root", folder.path().to_str().unwrap()]).exits(2);
    assert!(ran.stderr.contains("services:"), "{}", ran.stderr);
}

#[test]
fn a_check_that_exits_with_another_code_than_0_is_10() {
    let ran = Repo::linting("[[\"sh\", \"-c\", \"echo because; exit 3\"]]").run(&["lint"]).exits(10);
    assert!(ran.stdout.contains("because") && ran.stdout.contains("exited with 3"), "{}", ran.stdout);
}

#[test]
fn tests_that_fail_before_they_write_their_junit_are_10_and_tests_that_pass_without_it_are_20() {
    let testing = |code: u8| {
        Repo::new(&format!(
            "version: 1\nproject: test\nservices:\n  hello:\n    path: app\n    language: other\n    junit: [junit.xml]\n    \
             checks:\n      test: [[sh, -c, \"exit {code}\"]]\n"
        ))
    };
    testing(3).run(&["test"]).exits(10).says("exited with 3");
    testing(0).run(&["test"]).exits(20).says("junit.xml");
}

#[test]
fn a_check_that_dies_of_a_signal_is_20() {
    Repo::linting("[[\"sh\", \"-c\", \"kill -SEGV $$\"]]").run(&["lint"]).exits(20).says("SIGSEGV");
}

#[test]
fn a_check_whose_program_is_missing_is_21() {
    let repo = Repo::linting("[[\"no-such-program-anywhere\"]]");
    repo.run(&["lint"]).exits(21).says("no-such-program-anywhere");
    repo.run(&["doctor"]).exits(21).says("MISSING");
}

#[test]
fn a_passed_deadline_is_30() {
    let repo = Repo::new(
        "version: 1\nproject: test\nservices:\n  hello:\n    path: app\n    language: other\n    checks:\n      lint: [[sleep, \
         \"60\"]]\nlimits:\n  timeouts: { lint: 1s }\n",
    );
    let began = Instant::now();
    repo.run(&["lint"]).exits(30);
    assert!(began.elapsed() < Duration::from_secs(30));
}

#[test]
fn a_report_that_cannot_be_written_is_an_error_that_names_it() {
    let repo = Repo::linting("[[\"true\"]]");
    repo.run(&["lint"]).exits(0);
    std::fs::remove_file(repo.path("target/xtask/report.json")).unwrap();
    std::fs::create_dir(repo.path("target/xtask/report.json")).unwrap();
    let ran = repo.run(&["lint"]);
    assert_ne!(ran.code, 0);
    assert!(ran.stderr.contains("report.json"), "{}", ran.stderr);
}
