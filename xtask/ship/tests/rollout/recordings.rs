//! Streams that real clusters gave, recorded by `real`, through the pure function again: the same verdict, at the same moment. The
//! folder is named by the version of Kubernetes.

use std::path::{Path, PathBuf};
use std::process::Command;
use xtask_ship::rollout::{Graces, ReplayError, Replayed, Rule, Verdict, replay};

/// What each recording must give (those of workloads other than Deployments are from releases, `tests/release/ladder.rs`): the rule that decides, or none for good, or nothing for superseded.
const RECORDED: [(&str, Given); 25] = [
    ("admission-denied", Given::Bad(Rule::F9)),
    ("bad-command", Given::Bad(Rule::F5)),
    ("config-missing", Given::Bad(Rule::F4)),
    ("crash-later", Given::Bad(Rule::F6)),
    ("crash-on-start", Given::Bad(Rule::F6)),
    ("daemon-back", Given::Good),
    ("daemon-bad", Given::Bad(Rule::F6)),
    ("edited-meanwhile", Given::Superseded),
    ("good", Given::Good),
    ("image-missing", Given::Bad(Rule::F2)),
    ("init-fails", Given::Bad(Rule::F6)),
    ("jobs-back", Given::Good),
    ("jobs-bad", Given::Bad(Rule::F12)),
    ("liveness-kills", Given::Bad(Rule::F7)),
    ("one-crash", Given::Good),
    ("out-of-memory", Given::Bad(Rule::F6)),
    ("quota-exceeded", Given::Bad(Rule::F9)),
    ("readiness-never", Given::Bad(Rule::F11)),
    ("scaled-meanwhile", Given::Good),
    ("secret-not-mounted", Given::Bad(Rule::F10)),
    ("slow-start", Given::Good),
    ("stateful-back", Given::Good),
    ("stateful-bad", Given::Bad(Rule::F2)),
    ("unschedulable", Given::Bad(Rule::F8)),
    ("wrong-platform", Given::Bad(Rule::F6)),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Given {
    Good,
    Bad(Rule),
    Superseded,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/rollout/v1.36.3")
}

fn text(name: &str) -> String {
    std::fs::read_to_string(folder().join(format!("{name}.jsonl"))).unwrap()
}

fn replayed(name: &str, graces: &str) -> Replayed {
    replay(&text(name), &if graces.is_empty() { Graces::default() } else { graces.parse().unwrap() }).unwrap()
}

fn given(verdict: &Verdict) -> Option<Given> {
    match verdict {
        Verdict::Watching => None,
        Verdict::Good(_) => Some(Given::Good),
        Verdict::Bad(failure) => Some(Given::Bad(failure.rule)),
        Verdict::Superseded(_) => Some(Given::Superseded),
    }
}

fn decided(verdict: &Verdict) -> u64 {
    match verdict {
        Verdict::Watching => 0,
        Verdict::Good(proof) => proof.decided_ms,
        Verdict::Bad(failure) => failure.decided_ms,
        Verdict::Superseded(by) => by.decided_ms,
    }
}

#[test]
fn each_recording_gives_its_verdict_again_when_it_was_given() {
    for (name, wanted) in RECORDED {
        let replayed = replayed(name, "");
        assert_eq!(replayed.kubernetes, "v1.36.3");
        assert_eq!(given(&replayed.verdict), Some(wanted), "{name}: {replayed}");
        // Time passes in steps of 0.2 s in a watch, and in finer ones in a replay.
        let early = replayed.length_ms - decided(&replayed.verdict);
        assert!(early <= 250, "{name}: {early} ms before its end: {replayed}");
    }
}

#[test]
fn every_recording_is_in_the_table() {
    let mut there: Vec<String> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    there.sort();
    assert_eq!(there, RECORDED.map(|(name, _)| name));
}

#[test]
fn with_another_grace_a_recording_says_what_would_have_been() {
    let usual = replayed("quota-exceeded", "");
    let sooner = replayed("quota-exceeded", "F9=1s");
    assert!(decided(&sooner.verdict) + 1500 < decided(&usual.verdict), "{sooner}{usual}");
    assert_eq!(given(&replayed("quota-exceeded", "F9=40s").verdict), None, "the recording ends before");
    assert_eq!(
        given(&replayed("one-crash", "F6=1x").verdict),
        Some(Given::Bad(Rule::F6)),
        "one crash was one too many"
    );
    let fired = replayed("crash-on-start", "").fired;
    assert_eq!(fired.iter().map(|fired| fired.rule).collect::<Vec<_>>(), [Rule::F6]);
}

#[test]
fn a_recording_that_was_cut_is_refused_wherever_it_was() {
    let whole = text("readiness-never");
    let last = whole.trim_end().rfind('\n').unwrap();
    for end in [0, 1, last / 2, last, whole.trim_end().len() - 1] {
        let cut = replay(&whole[..end], &Graces::default());
        assert!(
            matches!(cut, Err(ReplayError::Empty | ReplayError::Line { .. } | ReplayError::Cut)),
            "{end}: {cut:?}"
        );
    }
}

#[test]
fn the_command_line_judges_a_recording_again() {
    let recording = folder().join("quota-exceeded.jsonl");
    let run = |args: &[&str]| {
        let command = &mut Command::new(env!("CARGO_BIN_EXE_xtask-ship"));
        let output = command.arg("replay").arg(&recording).args(args).output().unwrap();
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        (output.status.code(), said.concat())
    };
    let (code, said) = run(&[]);
    assert!(code == Some(0) && said.contains("bad: F9: deployment hello"), "{said}");
    let (code, said) = run(&["--grace", "F9=40s"]);
    assert!(code == Some(0) && said.contains("no verdict by then"), "{said}");
    let (code, said) = run(&["--grace", "F9=soon"]);
    assert!(code == Some(2) && said.contains("F9=40s"), "{said}");
}
