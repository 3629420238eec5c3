//! The lines of JSON that `init`, `plan` and `test` write with `-json`. They say what happened as it happens, so that the end of an
//! ended stream is a line of its own kind: without it, the stream was cut.
//!
//! `init` mixes text into them where it speaks of the backend, so that what does not look like JSON is passed over.

use super::diagnostics::{Diagnostic, known_version};
use super::{TOOL, unreadable};
use crate::error::StageError;
use crate::tools::read_json;
use serde::Deserialize;

/// One line, as far as it is of use.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Line {
    Version {
        ui: String,
    },
    InitOutput {
        #[serde(default)]
        message_code: String,
    },
    Diagnostic {
        #[serde(rename = "@testrun")]
        run: Option<String>,
        diagnostic: Diagnostic,
    },
    ChangeSummary {},
    TestRun {
        test_run: Run,
    },
    TestSummary {
        test_summary: Summary,
    },
    #[serde(other)]
    Other,
}

/// One run of a test, at one moment.
#[derive(Debug, Deserialize)]
pub(super) struct Run {
    pub(super) path: String,
    pub(super) run: String,
    /// Only known when it is over.
    pub(super) status: Option<Status>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    Pass,
    Fail,
    Error,
    Skip,
    Pending,
}

/// What a run of all tests came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) struct Summary {
    pub(super) passed: u32,
    pub(super) failed: u32,
    pub(super) errored: u32,
    pub(super) skipped: u32,
}

/// A complaint, and the run of a test that it is about.
#[derive(Debug)]
pub(super) struct Complaint {
    pub(super) run: Option<String>,
    pub(super) diagnostic: Diagnostic,
}

/// What one command said.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) complaints: Vec<Complaint>,
    /// `init` found something to initialise, and did so.
    pub(super) initialized: bool,
    /// `plan` came to its end.
    pub(super) planned: bool,
    /// The runs of tests that are over.
    pub(super) runs: Vec<Run>,
    /// `test` came to its end.
    pub(super) summary: Option<Summary>,
}

impl Said {
    /// The complaints that are no mere warnings, without the one that only says that there are others.
    pub(super) fn errors(&self) -> impl Iterator<Item = &Diagnostic> {
        const OTHERS: &str = "Terraform encountered problems during initialisation";
        let alone = self.complaints.iter().filter(|one| one.diagnostic.is_error()).count() == 1;
        self.complaints
            .iter()
            .map(|complaint| &complaint.diagnostic)
            .filter(move |one| one.is_error() && (alone || !one.summary.starts_with(OTHERS)))
    }
}

/// Reads the stream.
pub(super) fn read(stdout: &[u8]) -> Result<Said, StageError> {
    if !stdout.ends_with(b"\n") {
        return Err(unreadable("its lines of JSON end in the middle of one"));
    }
    let mut lines = stdout.split(|byte| *byte == b'\n').filter(|line| line.starts_with(b"{"));
    let Line::Version { ui } = read_json(TOOL, lines.next().unwrap_or_default())? else {
        return Err(unreadable("its lines of JSON do not begin with their version"));
    };
    known_version("the format of lines", &ui)?;
    let mut said = Said::default();
    for line in lines {
        match read_json(TOOL, line)? {
            Line::InitOutput { message_code } if message_code == "output_init_success_message" => {
                said.initialized = true;
            }
            Line::Diagnostic { run, diagnostic } => said.complaints.push(Complaint { run, diagnostic }),
            Line::ChangeSummary {} => said.planned = true,
            Line::TestRun { test_run } if test_run.status.is_some() => said.runs.push(test_run),
            Line::TestSummary { test_summary } => said.summary = Some(test_summary),
            Line::Version { .. } | Line::InitOutput { .. } | Line::TestRun { .. } | Line::Other => {}
        }
    }
    Ok(said)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Transient;
    use crate::tools::testdata::recorded;

    fn said(case: &str) -> Said {
        read(&recorded(&format!("terraform/1.11.4/{case}.jsonl"))).unwrap()
    }

    #[test]
    fn an_initialised_folder_is_told_from_an_empty_one_though_both_exit_with_zero() {
        assert!(said("init-json-good").initialized);
        let empty = said("init-json-empty");
        assert!(!empty.initialized && empty.complaints.is_empty());
        assert!(said("init-json-backend").initialized, "there is text between the lines");
    }

    #[test]
    fn faults_of_the_configuration_are_listed_without_the_one_that_announces_them() {
        let unparsable = said("init-json-unparsable");
        let summaries: Vec<&str> = unparsable.errors().map(|one| one.summary.as_str()).collect();
        assert_eq!(
            summaries,
            ["Invalid multi-line string", "Invalid multi-line string", "Unterminated template string"]
        );
        assert_eq!(said("plan-json-invalid").errors().count(), 2);
    }

    #[test]
    fn an_unreachable_registry_and_a_held_lock_can_be_tried_again_and_a_missing_provider_cannot() {
        let kind = |case: &str| said(case).errors().next().unwrap().transient();
        assert_eq!(kind("init-json-no-network"), Some(Transient::Dns));
        assert_eq!(kind("plan-json-lock-held"), Some(Transient::LockHeld));
        assert_eq!(kind("init-json-no-mirror"), None);
    }

    #[test]
    fn a_plan_is_only_made_when_its_summary_was_written() {
        assert!(said("plan-json-create").planned);
        assert!(!said("plan-json-invalid").planned);
    }

    #[test]
    fn streams_that_begin_or_end_wrongly_are_refused() {
        let whole = String::from_utf8(recorded("terraform/1.11.4/plan-json-create.jsonl")).unwrap();
        let refused = |text: &str| {
            assert!(matches!(read(text.as_bytes()), Err(StageError::Unreadable { .. })), "{text}");
        };
        refused("");
        refused("\n");
        refused(whole.trim_end());
        refused(&whole.replacen("\"ui\":\"1.2\"", "\"ui\":\"2.0\"", 1));
        refused(whole.split_once('\n').unwrap().1);
        refused(&format!("{whole}{{no JSON\n"));
    }
}
