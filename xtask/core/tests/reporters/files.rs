//! The files that a run leaves, and what happens when something cannot be written.

use crate::script::{HOSTILE, Shared, clean, events, everything, gaps, hostile, setup};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use xtask_core::error::ExitCode;
use xtask_core::report::RunReport;
use xtask_core::reporters::{FinishError, Mode, Reporters, Setup};

/// Runs a script; what it returned and what it said on standard error.
fn run(
    report: &RunReport,
    setup: Setup,
    stdout: Box<dyn Write + Send>,
) -> (Result<RunReport, FinishError>, String) {
    let stderr = Shared::default();
    let mut reporters = Reporters::new(setup, stdout, Box::new(stderr.clone()));
    for event in events(report) {
        reporters.on(event);
    }
    (reporters.finish(), stderr.text())
}

fn into(folder: &Path, mode: Mode) -> Setup {
    Setup { folder: Some(folder.to_owned()), ..setup(mode) }
}

/// The files of a report.
fn files(report: &RunReport) -> (String, Value, String) {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("target/xtask");
    run(report, into(&target, Mode::Plain), Box::new(io::sink())).0.unwrap();
    let names: BTreeSet<_> = fs::read_dir(&target)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(names, BTreeSet::from(["report.json", "findings.sarif", "junit.xml"].map(str::to_owned)));
    let read = |name| fs::read_to_string(target.join(name)).unwrap();
    (read("report.json"), serde_json::from_str(&read("findings.sarif")).unwrap(), read("junit.xml"))
}

#[test]
fn the_report_is_read_back_as_it_was() {
    for report in [everything(), clean(), gaps(), hostile()] {
        assert_eq!(RunReport::parse(&files(&report).0).unwrap(), report);
    }
}

#[test]
fn the_report_has_the_fields_that_other_programs_read() {
    let report: Value = serde_json::from_str(&files(&everything()).0).unwrap();
    assert_eq!(report["schema"], 1);
    for field in ["id", "command", "started", "duration_ms", "outcome", "exit_code"] {
        assert!(!report["run"][field].is_null(), "{field}");
    }
    let stage = &report["stages"][1];
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
        assert!(stage.get(field).is_some(), "{field}");
    }
    assert_eq!(stage["findings"][0]["rule"], "CVE-2026-0001");
    assert_eq!(stage["tools"][0]["name"], "trivy");
}

#[test]
fn sarif_has_a_run_for_each_kind_of_stage_that_ran() {
    let sarif = files(&everything()).1;
    assert_eq!(sarif["version"], "2.1.0");
    let runs = sarif["runs"].as_array().unwrap();
    let names: Vec<&str> = runs.iter().map(|run| run["tool"]["driver"]["name"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        [
            "slipway-lint",
            "slipway-test",
            "slipway-build",
            "slipway-sbom",
            "slipway-scan",
            "slipway-secrets",
            "slipway-dockerfile",
            "slipway-terraform",
            "slipway-iac",
            "slipway-ansible"
        ]
    );
    let seeing: Vec<bool> =
        runs.iter().map(|run| run["invocations"][0]["executionSuccessful"].as_bool().unwrap()).collect();
    assert_eq!(seeing, [true, true, false, true, true, true, true, false, false, false]);
    assert_eq!(
        runs[2]["invocations"][0]["toolExecutionNotifications"][0]["message"]["text"],
        "build:hello broke: `docker` died of signal 9 (SIGKILL)"
    );
    let ids: BTreeSet<&str> =
        runs.iter().map(|run| run["automationDetails"]["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), runs.len());
}

#[test]
fn sarif_says_how_bad_a_finding_is_and_whether_it_is_waived() {
    let sarif = files(&everything()).1;
    let scan = &sarif["runs"][4];
    let results = scan["results"].as_array().unwrap();
    let of = |field: &str| {
        results.iter().map(|result| result[field].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(of("level"), ["error", "error", "warning", "warning", "error"]);
    let suppressed: Vec<usize> =
        results.iter().map(|result| result["suppressions"].as_array().unwrap().len()).collect();
    assert_eq!(suppressed, [0, 0, 0, 0, 1]);
    assert_eq!(results[4]["suppressions"][0]["status"], "accepted");
    for result in results {
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(scan["tool"]["driver"]["rules"][index]["id"], result["ruleId"]);
        // Code scanning refuses the whole file for one result without a place.
        assert_eq!(result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"], "pipeline.yaml");
    }
    assert_eq!(scan["tool"]["extensions"][0]["name"], "trivy");
    let dockerfile = &sarif["runs"][6]["results"];
    let place = |at: usize| &dockerfile[at]["locations"][0]["physicalLocation"];
    assert_eq!(place(0)["artifactLocation"]["uri"], "app/Dockerfile");
    assert_eq!(place(0)["artifactLocation"]["uriBaseId"], "%SRCROOT%");
    assert_eq!(place(0)["region"]["startLine"], 3);
    assert!(place(2).get("region").is_none());
    assert_eq!(dockerfile[2]["level"], "note");
}

#[test]
fn sarif_lines_start_at_one_and_paths_stay_relative() {
    let sarif = files(&hostile()).1;
    let results = sarif["runs"][0]["results"].as_array().unwrap();
    assert_eq!(results.len(), 3);
    assert_eq!(results[0]["message"]["text"], HOSTILE);
    for result in results {
        let place = &result["locations"][0]["physicalLocation"];
        let uri = place["artifactLocation"]["uri"].as_str().unwrap();
        assert!(uri.starts_with("%3A%3Aerror"), "{uri}");
        assert!(uri.bytes().all(|b| b.is_ascii_graphic()), "{uri}");
        assert!(place.get("region").is_none_or(|region| region["startLine"].as_u64().unwrap() >= 1));
    }
}

#[test]
fn junit_has_a_case_for_every_stage() {
    insta::assert_snapshot!(files(&everything()).2);
}

#[test]
fn junit_of_hostile_text_has_no_character_that_xml_forbids() {
    let xml = files(&hostile()).2;
    assert!(!xml.chars().any(|c| c.is_control() && c != '\n'));
    let tags = xml.matches('<').count();
    assert_eq!(tags, xml.matches('>').count());
    assert_eq!(xml.matches("<testcase").count(), 4);
    assert!(!xml.contains("<script"));
}

/// A pipe whose reader is gone. Not a real one: while another test of this process forks, its child holds both ends of every pipe.
struct Gone;

impl Write for Gone {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        const EPIPE: i32 = 32;
        Err(io::Error::from_raw_os_error(EPIPE))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_reader_that_went_away_costs_neither_the_run_nor_its_report() {
    for mode in Mode::ALL {
        let folder = tempfile::tempdir().unwrap();
        let (result, stderr) = run(&everything(), into(folder.path(), mode), Box::new(Gone));
        assert_eq!(result.unwrap(), everything());
        let text = fs::read_to_string(folder.path().join("report.json")).unwrap();
        assert_eq!(RunReport::parse(&text).unwrap(), everything());
        assert_eq!(stderr.matches("note: ").count(), 1, "{stderr}");
        assert!(stderr.contains("note: standard output stopped early: Broken pipe"), "{stderr}");
    }
}

#[test]
fn a_report_that_cannot_be_written_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a-file");
    fs::write(&file, "").unwrap();
    let stdout = Shared::default();
    let (result, stderr) = run(&clean(), into(&file.join("xtask"), Mode::Plain), Box::new(stdout.clone()));
    let error = result.unwrap_err();
    assert_eq!(error.exit_code(), ExitCode::ToolBroke);
    let path = file.join("xtask/report.json");
    assert!(error.to_string().starts_with(&format!("cannot write {}: ", path.display())), "{error}");
    // The summary is shown all the same, and the other files are told once each.
    assert!(stdout.text().contains("exit 0: passed"));
    assert_eq!(stderr.matches("note: cannot write ").count(), 2, "{stderr}");
}

#[test]
fn a_step_summary_that_cannot_be_written_is_a_note() {
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup { step_summary: Some(folder.path().join("no/such/folder")), ..setup(Mode::Github) };
    let (result, stderr) = run(&clean(), setup, Box::new(io::sink()));
    assert!(result.is_ok());
    assert!(stderr.contains("no/such/folder: "), "{stderr}");
}

#[test]
fn a_run_without_an_end_is_a_fault_of_ours() {
    let folder = tempfile::tempdir().unwrap();
    let mut reporters =
        Reporters::new(into(folder.path(), Mode::Plain), Box::new(io::sink()), Box::new(io::sink()));
    for event in events(&clean()).into_iter().take(3) {
        reporters.on(event);
    }
    let error = reporters.finish().unwrap_err();
    assert_eq!(error.exit_code(), ExitCode::OurBug);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
