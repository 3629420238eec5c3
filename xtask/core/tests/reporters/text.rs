//! Plain text and the lasting text of the terminal.

use crate::script::{
    HOSTILE, clean, events, everything, flood, gaps, hostile, live, replayed, report, setup,
};
use insta::assert_snapshot;
use xtask_core::error::ExitCode;
use xtask_core::report::RunReport;
use xtask_core::reporters::{Mode, Setup};

fn plain(report: &RunReport) -> String {
    live(report, setup(Mode::Plain)).0
}

#[test]
fn a_run_with_everything_in_it() {
    assert_snapshot!(plain(&everything()));
}

#[test]
fn a_run_without_a_fault() {
    assert_snapshot!(plain(&clean()));
}

#[test]
fn a_run_with_gaps_says_so_in_its_last_lines() {
    let text = plain(&gaps());
    assert!(text.lines().last().unwrap().starts_with("NOT CHECKED: "), "{text}");
    assert_snapshot!(text);
}

#[test]
fn a_run_of_nothing() {
    assert_snapshot!(plain(&report(Vec::new(), ExitCode::Passed)));
}

#[test]
fn an_exit_code_of_another_version_is_told_in_the_words_of_the_report() {
    let mut report = clean();
    report.run.exit_code = 99;
    report.run.outcome = "something new".into();
    assert!(plain(&report).contains("exit 99: something new\n"));
}

#[test]
fn hostile_text_stays_text() {
    assert_snapshot!(plain(&hostile()));
}

#[test]
fn no_control_character_reaches_a_terminal() {
    for mode in [Mode::Plain, Mode::Terminal, Mode::Github] {
        let (stdout, stderr) = live(&hostile(), setup(mode));
        // Bars move the cursor, by these sequences and no others.
        let stderr = stderr.replace("\r\u{1b}[2K", "").replace('\r', "");
        let moves = stderr.split("\u{1b}[").skip(1).filter_map(|rest| rest.chars().nth(1));
        assert!(moves.into_iter().all(|c| "ABCD".contains(c)), "{stderr:?}");
        for text in [stdout, stderr.replace("\u{1b}[", "")] {
            let odd: Vec<char> = text.chars().filter(|c| c.is_control() && *c != '\n').collect();
            assert!(odd.is_empty(), "{mode:?}: {odd:?}");
            assert!(!text.contains('\u{202e}'));
        }
    }
    assert!(HOSTILE.contains('\u{1b}'));
}

#[test]
fn five_thousand_findings_stay_readable() {
    let text = plain(&flood(5_000));
    assert!(text.lines().count() < 350, "{}", text.lines().count());
    assert!(text.len() < 64 * 1024, "{}", text.len());
    assert!(text.contains("and 4950 more; all of them are in target/xtask/findings.sarif"), "{text}");
}

#[test]
fn a_replay_gives_the_bytes_of_the_run() {
    for report in [everything(), clean(), gaps(), hostile(), flood(100), report(Vec::new(), ExitCode::Passed)]
    {
        for mode in [Mode::Plain, Mode::Terminal, Mode::Github] {
            for color in [false, true] {
                let (stdout, _) = live(&report, Setup { color, ..setup(mode) });
                assert_eq!(stdout, replayed(&report, mode, color), "{mode:?}");
            }
        }
    }
}

#[test]
fn the_terminal_leaves_the_same_text_as_a_plain_run() {
    assert_eq!(live(&everything(), setup(Mode::Terminal)).0, plain(&everything()));
}

#[test]
fn colours_add_nothing_but_colours() {
    let (colored, _) = live(&everything(), Setup { color: true, ..setup(Mode::Plain) });
    assert!(colored.contains("\u{1b}[1;31m"));
    let mut without = colored;
    for code in ["32", "1;31", "33", "2", "0"] {
        without = without.replace(&format!("\u{1b}[{code}m"), "");
    }
    assert_eq!(without, plain(&everything()));
}

#[test]
fn the_heartbeat_of_a_plain_run_is_on_standard_error() {
    assert_snapshot!(live(&gaps(), setup(Mode::Plain)).1, @r"
    7 stages, about 40.0 s if they take as long as before
    tools: downloading syft 1.18.1  25 %
    still running: lint:hello, 1 min 00 s; it said last:    Compiling hello v0.1.0 ## [error]x
    lint:hello: throttled by the server; try 2 follows in 2.0 s
    stopping (SIGINT)
    ");
}

#[test]
fn every_line_of_jsonl_is_an_event() {
    let report = hostile();
    let (stdout, stderr) = live(&report, setup(Mode::Jsonl));
    assert_eq!(stderr, "");
    assert!(!stdout.contains("##["));
    let lines: Vec<serde_json::Value> =
        stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), events(&report).len());
    assert_eq!(lines[0]["event"], "run_started");
    assert_eq!(lines[0]["schema"], 1);
    assert_eq!(lines[0]["command"], HOSTILE);
    let ended = lines.iter().find(|line| line["event"] == "stage_finished").unwrap();
    assert_eq!(ended["record"], serde_json::to_value(&report.stages[0]).unwrap());
    assert_eq!(lines.last().unwrap()["event"], "run_finished");
}

#[test]
fn a_replay_in_jsonl_has_what_lasts() {
    let lines: Vec<String> = replayed(&gaps(), Mode::Jsonl, false).lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), gaps().stages.len() + 2);
    let (stdout, _) = live(&gaps(), setup(Mode::Jsonl));
    for line in &lines[1..] {
        assert!(stdout.lines().any(|other| other == line), "{line}");
    }
}

#[test]
fn the_mode_fits_the_place() {
    assert_eq!(Mode::fitting(None, true, true), Mode::Github);
    assert_eq!(Mode::fitting(None, false, true), Mode::Terminal);
    assert_eq!(Mode::fitting(None, false, false), Mode::Plain);
    assert_eq!(Mode::fitting(Some(Mode::Terminal), true, false), Mode::Plain);
    for mode in Mode::ALL {
        assert_eq!(Mode::fitting(Some(mode), true, true), mode);
    }
    assert_eq!(Mode::ALL.map(Mode::as_str), ["terminal", "plain", "github", "jsonl"]);
}
