//! What `terraform test` came to.

use super::stream::{self, Said, Status, Summary};
use super::unreadable;
use crate::error::StageError;
use crate::facts::Observation;
use crate::outcome::Severity;
use serde::{Deserialize, Serialize};

/// The rule of a failed test.
const FAILED: &str = "terraform-test";

/// How many runs of tests there were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tests {
    /// Their assertions held.
    pub passed: u32,
    /// An assertion did not hold, or they could not be run.
    pub failed: u32,
    /// They were not run, because an earlier one in their file could not be.
    pub skipped: u32,
}

/// Reads the counts, and what is wrong with the runs that failed.
pub(super) fn results(
    code: i32,
    stdout: &[u8],
    place: impl Fn(&str) -> Option<String>,
) -> Result<(Tests, Vec<Observation>), StageError> {
    let said = stream::read(stdout)?;
    let Some(Summary { passed, failed, errored, skipped }) = said.summary else {
        let why = said.errors().next().map_or_else(|| "it was cut".to_owned(), |error| error.sentence());
        return Err(unreadable(format!("the tests have no summary: {why}")));
    };
    let tests = Tests { passed, failed: failed + errored, skipped };
    let count = said.runs.iter().filter(|run| run.status != Some(Status::Pending)).count();
    if u64::from(passed + failed + errored + skipped) != count as u64 {
        return Err(unreadable(format!("{count} runs of tests ended, and the summary has another number")));
    }
    if count == 0 {
        return Err(unreadable("there are files with tests, and no test was run"));
    }
    let observations = failures(&said, place);
    if (code == 0) != observations.is_empty() {
        return Err(unreadable(format!(
            "test exited with {code} and listed {} failures",
            observations.len()
        )));
    }
    Ok((tests, observations))
}

/// The errors of each run; a failed run without any is one by itself. Errors outside of runs count too.
fn failures(said: &Said, place: impl Fn(&str) -> Option<String>) -> Vec<Observation> {
    let mut observations = Vec::new();
    for complaint in said.complaints.iter().filter(|complaint| complaint.diagnostic.is_error()) {
        let mut seen = complaint.diagnostic.observed(FAILED, &place);
        if let Some(run) = &complaint.run {
            seen.message = format!("{run}: {}", seen.message);
        }
        observations.push(seen);
    }
    for run in &said.runs {
        let explained =
            said.complaints.iter().any(|one| one.diagnostic.is_error() && one.run.as_ref() == Some(&run.run));
        if matches!(run.status, Some(Status::Fail | Status::Error)) && !explained {
            let seen = Observation::new(FAILED, Severity::High, format!("{} failed", run.run));
            observations.push(match place(&run.path) {
                Some(file) => seen.at(file, None),
                None => seen,
            });
        }
    }
    observations
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::testdata::{recorded, refuses_any_cut};

    fn read(code: i32, stdout: &[u8]) -> Result<(Tests, Vec<Observation>), StageError> {
        results(code, stdout, |file| Some(format!("infra/{file}")))
    }

    #[test]
    fn failed_and_broken_runs_are_observed_at_their_place_and_skipped_ones_counted() {
        let (tests, seen) = read(1, &recorded("terraform/1.11.4/test-json-fail.jsonl")).unwrap();
        assert_eq!(tests, Tests { passed: 1, failed: 2, skipped: 1 });
        assert_eq!(seen.len(), 2);
        assert_eq!(seen[0].message, "does_not_hold: Test assertion failed: the input is not three");
        assert_eq!(seen[0].file.as_deref(), Some("infra/tests/main.tftest.hcl"));
        assert!(seen[0].line.is_some() && seen[0].severity == Severity::High);
        assert!(seen[1].message.starts_with("cannot_run: Invalid value for variable: At most nine."));
    }

    #[test]
    fn passed_runs_are_counted_and_none_at_all_is_not_a_pass() {
        let (tests, seen) = read(0, &recorded("terraform/1.11.4/test-json-pass.jsonl")).unwrap();
        assert_eq!((tests.passed, tests.failed, seen.len()), (1, 0, 0));
        let none = read(0, &recorded("terraform/1.11.4/test-json-none.jsonl"));
        assert!(matches!(none, Err(StageError::Unreadable { why, .. }) if why.contains("no test was run")));
    }

    #[test]
    fn results_that_are_cut_or_contradict_the_exit_code_are_refused() {
        for (code, case) in [(1, "fail"), (0, "pass")] {
            let whole = recorded(&format!("terraform/1.11.4/test-json-{case}.jsonl"));
            refuses_any_cut(&whole, |text| read(code, text));
            assert!(read(1 - code, &whole).is_err());
            // Cuts between lines, which leave only whole ones.
            let text = String::from_utf8(whole).unwrap();
            for (end, _) in text.match_indices('\n').filter(|(end, _)| end + 1 < text.len()) {
                assert!(read(code, &text.as_bytes()[..=end]).is_err(), "cut after {end}");
            }
        }
    }

    #[test]
    fn a_failed_run_that_gives_no_reason_is_observed_all_the_same() {
        let text = String::from_utf8(recorded("terraform/1.11.4/test-json-fail.jsonl")).unwrap();
        let silent: String = text
            .lines()
            .filter(|line| !line.contains("\"type\":\"diagnostic\""))
            .flat_map(|line| [line, "\n"])
            .collect();
        let (_, seen) = read(1, silent.as_bytes()).unwrap();
        let messages: Vec<&str> = seen.iter().map(|one| one.message.as_str()).collect();
        assert_eq!(messages, ["does_not_hold failed", "cannot_run failed"]);
    }
}
