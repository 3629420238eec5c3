//! The log, annotations and step summary of GitHub Actions.

use crate::script::{broke, clean, everything, finding, flood, gaps, hostile, live, report, setup, stage};
use insta::assert_snapshot;
use std::fs;
use xtask_core::error::ExitCode;
use xtask_core::ids::StageId;
use xtask_core::outcome::{Severity, Standing};
use xtask_core::report::{OutcomeKind, RunReport, StageRecord};
use xtask_core::reporters::{Mode, Setup};

fn log(report: &RunReport) -> String {
    live(report, setup(Mode::Github)).0
}

fn markdown(report: &RunReport, before: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("summary.md");
    fs::write(&path, before).unwrap();
    live(report, Setup { step_summary: Some(path.clone()), ..setup(Mode::Github) });
    fs::read_to_string(path).unwrap()
}

/// What GitHub's runner makes of a line, by the rules of its parser: `::name ...::` after white space, `##[name]` anywhere.
fn command(line: &str) -> Option<&str> {
    const NAMES: [&str; 9] =
        ["error", "warning", "notice", "group", "endgroup", "add-mask", "debug", "stop-commands", "set-env"];
    let modern = line.trim_start().strip_prefix("::").and_then(|rest| Some(&rest[..rest.find("::")?]));
    let old = line.split_once("##[").and_then(|(_, rest)| Some(&rest[..rest.find(']')?]));
    [modern, old]
        .into_iter()
        .flatten()
        .map(|info| info.split(' ').next().unwrap())
        .find(|name| NAMES.contains(name))
}

#[test]
fn a_run_with_everything_in_it() {
    assert_snapshot!(log(&everything()));
}

#[test]
fn a_run_without_a_fault() {
    assert_snapshot!(log(&clean()));
}

#[test]
fn groups_do_not_nest_and_all_of_them_end() {
    for report in [everything(), clean(), gaps(), hostile(), flood(100)] {
        let mut open = false;
        for line in log(&report).lines() {
            match command(line) {
                Some("group") => assert!(!std::mem::replace(&mut open, true), "{line}"),
                Some("endgroup") => assert!(std::mem::replace(&mut open, false), "{line}"),
                Some("error" | "warning" | "notice") => assert!(open, "{line}"),
                Some(other) => panic!("{other} in {line}"),
                None => {}
            }
        }
        assert!(!open);
    }
}

#[test]
fn what_failed_stands_after_all_groups() {
    let log = log(&everything());
    let (folded, open) = log.rsplit_once("::endgroup::\n").unwrap();
    for failed in ["rejected  scan:hello", "broke     build:hello", "timed out iac"] {
        assert!(!folded.lines().any(|line| line.starts_with(failed)), "{failed}");
        assert!(open.contains(&format!("\n{failed}")), "{failed}");
    }
}

#[test]
fn a_tool_cannot_speak_to_the_runner() {
    let (stdout, stderr) = live(&hostile(), setup(Mode::Github));
    let spoken: Vec<&str> = stdout.lines().chain(stderr.lines()).filter_map(command).collect();
    // One group for the stage that passed, one for the annotations, and those.
    assert_eq!(
        spoken,
        [
            "group", "endgroup", "group", "error", "error", "warning", "warning", "warning", "notice",
            "notice", "endgroup"
        ]
    );
    for mode in [Mode::Plain, Mode::Jsonl] {
        let (stdout, stderr) = live(&hostile(), setup(mode));
        assert_eq!(stdout.lines().chain(stderr.lines()).find_map(command), None, "{mode:?}");
    }
}

#[test]
fn properties_of_annotations_cannot_be_forged() {
    let rule =
        finding(Standing::Blocks, Severity::High, "R,title=x::y", Some(("a,line=9:b", Some(2))), "50 %");
    let lint = StageRecord { findings: vec![rule], ..stage(StageId::Lint, OutcomeKind::Rejected) };
    let log = log(&report(vec![lint], ExitCode::Rejected));
    let line = "::error file=a%2Cline=9%3Ab,line=2,title=R%2Ctitle=x%3A%3Ay (high%2C lint%3Ahello)::50 %25\n";
    assert!(log.contains(line), "{log}");
}

#[test]
fn every_failed_stage_gets_an_annotation_before_one_of_them_gets_two() {
    let mut report = flood(5_000);
    report.stages.push(broke(StageId::Scan, "`trivy` exited with 2", None));
    report.stages.push(StageRecord { exit_code: 30, ..stage(StageId::Build, OutcomeKind::TimedOut) });
    let log = log(&report);
    let errors: Vec<&str> = log.lines().filter(|line| command(line) == Some("error")).collect();
    assert_eq!(errors.len(), 10);
    assert!(
        errors[0]
            .starts_with("::error file=infra/0.tf,line=7,title=CKV_AWS_39 (high%2C iac)::problem 0 of many")
    );
    assert_eq!(errors[1], "::error title=scan%3Ahello broke::`trivy` exited with 2");
    assert_eq!(errors[2], "::error title=build%3Ahello timed out::after 1.2 s");
    assert!(log.contains("without an annotation, because GitHub keeps 10 of a kind: 4992 errors\n"), "{log}");
}

#[test]
fn the_step_summary_of_a_run_with_everything_in_it() {
    assert_snapshot!(markdown(&everything(), ""));
}

#[test]
fn the_step_summary_of_hostile_text() {
    let text = markdown(&hostile(), "");
    assert!(!text.contains("<script"));
    assert_eq!(text.matches("</pre>").count(), text.matches("<pre>").count());
    assert_eq!(text.matches("</details>").count(), text.matches("<details>").count());
    assert_snapshot!(text);
}

#[test]
fn the_step_summary_is_added_to_what_is_there() {
    let text = markdown(&clean(), "# before\n");
    assert!(text.starts_with("# before\n## exit 0&#58; passed\n"), "{text}");
}

#[test]
fn the_step_summary_stays_below_the_limit_and_says_that_it_was_cut() {
    const LIMIT: usize = 1024 * 1024;
    let mut report = flood(60);
    report.stages = vec![report.stages[0].clone(); 60];
    for before in [0, LIMIT - 200_000, LIMIT - 200, LIMIT - 10, LIMIT] {
        let text = markdown(&report, &"x".repeat(before));
        assert!(text.len() <= LIMIT, "{before}: {}", text.len());
        let room = LIMIT - before > 150;
        assert_eq!(text.ends_with("The log and `report.json` have all of it.\n"), room, "{before}");
        assert_eq!(text.matches("<details>").count(), text.matches("</details>").count());
    }
}

#[test]
fn only_github_writes_a_step_summary() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("summary.md");
    for mode in [Mode::Plain, Mode::Terminal, Mode::Jsonl] {
        live(&clean(), Setup { step_summary: Some(path.clone()), ..setup(mode) });
        assert!(!path.exists(), "{mode:?}");
    }
}
