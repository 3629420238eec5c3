//! What people and programs see of a run.

use crate::repo::{Ran, Repo};
use serde_json::Value;

const TWO: &str = "version: 1\nproject: test\nservices:\n  one:\n    path: app\n    language: other\n    checks:\n      lint: [[sh, -c, \
                   'echo app/input.txt:1: wrong; exit 1']]\n      test: [['true']]\n  two:\n    path: app\n    language: other\n    \
                   checks:\n      lint: [['true']]\n";

#[test]
fn replay_gives_the_same_bytes_in_every_mode_that_lasts() {
    for mode in ["plain", "terminal", "github"] {
        let repo = Repo::new(TWO);
        let ran = repo.run(&["lint", "--keep-going", "--output", mode]).exits(10);
        let again = repo.run(&["replay", "--output", mode]).exits(0);
        assert_eq!(ran.stdout, again.stdout, "{mode}");
        assert!(!ran.stdout.is_empty());
    }
}

#[test]
fn a_report_of_another_version_is_refused_with_a_sentence() {
    let repo = Repo::new(TWO);
    repo.write("old.json", "{\"schema\": 0}");
    repo.run(&["replay", "old.json"]).exits(2).says("schema 0");
    repo.write("cut.json", "{\"schema\": 1, \"run\"");
    repo.run(&["replay", "cut.json"]).exits(2).says("not a run report");
}

#[test]
fn jsonl_is_one_event_a_line_and_begins_and_ends_with_the_run() {
    let repo = Repo::new(TWO);
    let ran = repo.run(&["lint", "--keep-going", "--output", "jsonl"]).exits(10);
    let events: Vec<Value> = ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events.first().unwrap()["event"], "run_started");
    assert_eq!(events.first().unwrap()["schema"], 1);
    assert_eq!(events.last().unwrap()["event"], "run_finished");
    let finished = events.iter().filter(|event| event["event"] == "stage_finished").count();
    assert_eq!(finished, 2);
}

#[test]
fn the_report_has_the_shape_that_other_programs_rely_on() {
    let repo = Repo::new(TWO);
    repo.run(&["lint", "--keep-going"]).exits(10);
    let report = repo.report();
    assert_eq!(report["schema"], 1);
    for field in ["id", "command", "started", "duration_ms", "outcome", "exit_code"] {
        assert!(!report["run"][field].is_null(), "run.{field}");
    }
    assert_eq!(report["run"]["exit_code"], 10);
    let stage = report["stages"].as_array().unwrap().iter().find(|stage| stage["service"] == "one").unwrap();
    for field in [
        "id",
        "service",
        "outcome",
        "cached",
        "key",
        "duration_ms",
        "attempts",
        "facts",
        "findings",
        "tools",
        "log",
    ] {
        assert!(stage.get(field).is_some(), "stages[].{field}");
    }
    let finding = &stage["findings"][0];
    for field in ["rule", "severity", "message", "file", "line"] {
        assert!(finding.get(field).is_some(), "findings[].{field}");
    }
    assert_eq!(stage["tools"][0]["name"], "sh");
    assert!(
        repo.path("target/xtask/findings.sarif").exists() && repo.path("target/xtask/junit.xml").exists()
    );
    assert!(repo.path(stage["log"].as_str().unwrap()).exists());
}

#[test]
fn the_first_failure_stops_what_has_not_started_unless_told_otherwise() {
    let repo = Repo::new(TWO);
    let skipped = |report: Value| {
        let stages = report["stages"].as_array().unwrap().clone();
        stages.into_iter().filter(|stage| stage["outcome"] == "skipped").count()
    };
    repo.run(&["pr-checks", "--jobs", "1", "--without", "secrets"]).exits(10).says("NOT CHECKED");
    assert!(skipped(repo.report()) >= 2);
    repo.run(&["pr-checks", "--keep-going", "--without", "secrets"]).exits(10);
    assert_eq!(skipped(repo.report()), 1, "only what --without names");
}

#[test]
fn secrets_are_masked_on_the_screen_in_the_log_and_in_the_report() {
    let secret = "s3cr3t-Value/+x";
    let repo = Repo::new(
        "version: 1\nproject: test\nsecrets: [TOKEN]\nservices:\n  hello:\n    path: app\n    language: other\n    env: [TOKEN]\n    \
         checks:\n      lint: [[sh, -c, 'echo plain $TOKEN; printf %s $TOKEN | base64; printf \"half ${TOKEN%value*}\"; exit 1']]\n",
    );
    for mode in ["plain", "jsonl", "github"] {
        let mut command = repo.command(&["lint", "--output", mode]);
        let ran = Ran::of(&command.env("TOKEN", secret).output().unwrap()).exits(10);
        let log = repo.stage("lint")["log"].as_str().unwrap().to_owned();
        for text in [&ran.stdout, &ran.stderr, &repo.read("target/xtask/report.json"), &repo.read(&log)] {
            assert!(!text.contains(secret), "{mode}: {text}");
            assert!(!text.contains("czNjcjN0LVZhbHVlLyt4"), "{mode}: {text}");
        }
        assert!(repo.read(&log).contains("plain ***"));
    }
}

#[test]
fn affected_means_what_changed_since_the_merge_base() {
    let repo = Repo::new(
        "version: 1\nproject: test\nservices:\n  one:\n    path: one\n    language: other\n    checks: { lint: [['true']] }\n  two:\n    \
         path: app\n    language: other\n    checks: { lint: [['true']] }\n",
    );
    repo.write("one/x", "x");
    repo.git(&["add", "."]);
    repo.git(&["commit", "-qm", "two"]);
    repo.git(&["checkout", "-qb", "topic"]);
    repo.write("one/x", "changed");
    let outcomes = |repo: &Repo| -> Vec<(String, String)> {
        let report = repo.report();
        let stages = report["stages"].as_array().unwrap().clone();
        let mut all: Vec<_> = stages
            .iter()
            .map(|stage| {
                (stage["service"].as_str().unwrap().to_owned(), stage["outcome"].as_str().unwrap().to_owned())
            })
            .collect();
        all.sort();
        all
    };
    repo.run(&["lint", "--affected", "main"]).exits(0);
    assert_eq!(outcomes(&repo), [("one".into(), "passed".into()), ("two".into(), "skipped".into())]);
    repo.git(&["commit", "-qam", "three"]);
    repo.run(&["lint", "--affected", "main"]).exits(0);
    assert_eq!(outcomes(&repo), [("one".into(), "passed".into()), ("two".into(), "skipped".into())]);
    repo.run(&["lint", "--affected", "nowhere"]).exits(2).says("nowhere");
}

#[test]
fn the_matrix_has_an_entry_for_each_service_with_work_to_do() {
    let repo = Repo::new(TWO);
    let ran = repo.run(&["plan", "--matrix", "--without", "secrets"]).exits(0);
    let matrix: Value = serde_json::from_str(&ran.stdout).unwrap();
    let names: Vec<_> =
        matrix["include"].as_array().unwrap().iter().map(|entry| entry["name"].clone()).collect();
    assert_eq!(names, ["one", "two"]);
    repo.run(&["lint", "--service", "two"]).exits(0);
    let ran = repo.run(&["plan", "--matrix", "--without", "secrets"]).exits(0);
    let matrix: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(matrix["include"].as_array().unwrap().len(), 1);
}

#[test]
fn the_binary_serves_a_repository_from_any_folder_below_its_root() {
    let repo = Repo::new(TWO);
    std::fs::create_dir_all(repo.path("app/deep")).unwrap();
    let mut command = repo.command(&["lint", "--service", "two"]);
    Ran::of(&command.current_dir(repo.path("app/deep")).output().unwrap()).exits(0);
    assert!(repo.path("target/xtask/report.json").exists());
}

#[test]
fn help_of_every_command_and_completions_of_every_shell_are_there() {
    let repo = Repo::new(TWO);
    let help = repo.run(&["--help"]).exits(0);
    for word in ["pr-checks", "doctor", "rejected by policy"] {
        assert!(help.stdout.contains(word), "{word}");
    }
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        assert!(repo.run(&["completions", shell]).exits(0).stdout.contains("pr-checks"), "{shell}");
    }
}
