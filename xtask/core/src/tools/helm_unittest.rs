//! helm-unittest: a chart's own unit tests, `tests/*_test.yaml` in it.
//!
//! How many tests ran comes from its JUnit file; what a failure says is in its text only, where the two must agree. A failed test is
//! High. A chart without tests is Low: shown, and the team's choice. Exits 0 also when it ran nothing at all.

use crate::engine::{Call, Cx};
use crate::error::StageError;
use crate::facts::Observation;
use crate::outcome::Severity;
use crate::tools::common;
use crate::tools::junit::{self, Tests};
use std::path::Path;

/// Its name in `tools.lock`.
pub const TOOL: &str = "helm-unittest";

/// The rule of a test that fails.
const FAILS: &str = "helm-unittest";
/// The rule of a chart without tests.
const NO_TESTS: &str = "no-unit-tests";

/// What was seen of one chart.
#[derive(Debug, PartialEq, Eq)]
pub struct Tested {
    /// How many tests ran.
    pub tests: u64,
    /// Those that failed.
    pub observations: Vec<Observation>,
}

/// Runs the tests of a chart.
pub async fn test(cx: &Cx, chart: &str) -> Result<Tested, StageError> {
    if !has_tests(&cx.root().join(chart))? {
        let message = "no tests/*_test.yaml says what it should render";
        let observation =
            Observation::new(NO_TESTS, Severity::Low, message).at(format!("{chart}/Chart.yaml"), None);
        return Ok(Tested { tests: 0, observations: vec![observation] });
    }
    let report = common::fresh_report(cx, "helm-unittest.xml")?.to_string_lossy().into_owned();
    let call = common::at_home(Call::new(cx.program(TOOL)?), cx.scratch()?).args([
        "--color=false",
        "--output-type",
        "JUnit",
        "--output-file",
        &report,
        chart,
    ]);
    let ran = cx.exec(call).await?;
    let tests = junit::read_all(cx.root(), &[report])?.unwrap_or_default();
    summarize(ran.code, &String::from_utf8_lossy(&ran.stdout), &tests)
}

fn has_tests(chart: &Path) -> Result<bool, StageError> {
    let folder = chart.join("tests");
    let entries = match std::fs::read_dir(&folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        entries => entries.map_err(StageError::io("cannot read", &folder))?,
    };
    for entry in entries {
        let entry = entry.map_err(StageError::io("cannot read", &folder))?;
        if entry.file_name().to_string_lossy().ends_with("_test.yaml") {
            return Ok(true);
        }
    }
    Ok(false)
}

fn summarize(code: i32, said: &str, tests: &Tests) -> Result<Tested, StageError> {
    let observations = failures(said);
    let counted = tests.failed + tests.errors;
    let why = match (code, tests.total, observations.len() as u64) {
        // A suite that cannot be read keeps all others from running.
        (1, 0, listed) if listed > 0 => return Ok(Tested { tests: 0, observations }),
        (0, total, 0) if total > 0 && counted == 0 => return Ok(Tested { tests: total, observations }),
        (1, total, listed) if listed > 0 && listed == counted => {
            return Ok(Tested { tests: total, observations });
        }
        (_, 0, _) => "the chart has tests, and none ran".to_owned(),
        (code, total, listed) => {
            format!(
                "it exited with {code}, counts {counted} failures in {total} tests, and tells of {listed}"
            )
        }
    };
    let error = said.lines().find_map(|line| line.strip_prefix("### Error:"));
    let why = error.map_or(why.clone(), |error| format!("{why}: {}", error.trim()));
    Err(common::unreadable(TOOL, why))
}

/// What the text tells of failures: a line for the suite with its file, one for each test, and what the test says, by indentation.
fn failures(said: &str) -> Vec<Observation> {
    let mut found: Vec<Observation> = Vec::new();
    let mut suite: Option<(&str, &str)> = None;
    let mut open = false;
    for line in said.lines() {
        if let Some(rest) = line.strip_prefix(" FAIL ") {
            suite = rest.split_once('\t').map(|(name, file)| (name.trim(), file.trim()));
            open = false;
        } else if let (Some((name, file)), Some(test)) = (suite, line.strip_prefix("\t- ")) {
            let message =
                if name.is_empty() { test.trim().to_owned() } else { format!("{name}: {}", test.trim()) };
            found.push(Observation::new(FAILS, Severity::High, message).at(file, None));
            open = true;
        } else if line.starts_with('\t') {
            // The difference is the expectation and the outcome once more.
            open &= line.trim() != "Diff:";
            if open && let Some(one) = found.last_mut() {
                one.message += " ";
                one.message += line.trim();
            }
        } else if !line.is_empty() {
            suite = None;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::testdata::recorded;

    fn case(name: &str, code: i32) -> Result<Tested, StageError> {
        let path = |extension: &str| format!("helm-unittest/1.1.2/{name}.{extension}");
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
        let tests = junit::read_all(&root, &[path("xml")]).unwrap().unwrap();
        summarize(code, &String::from_utf8(recorded(&path("txt"))).unwrap(), &tests)
    }

    #[test]
    fn passing_tests_are_counted() {
        assert_eq!(case("pass", 0).unwrap(), Tested { tests: 2, observations: Vec::new() });
    }

    #[test]
    fn a_failing_test_says_what_it_expected_and_where_it_is() {
        let tested = case("fail", 1).unwrap();
        assert_eq!((tested.tests, tested.observations.len()), (4, 1));
        let failed = &tested.observations[0];
        assert_eq!((failed.rule.as_str(), failed.severity), (FAILS, Severity::High));
        assert_eq!(failed.file.as_deref(), Some("charts/good/tests/fail_test.yaml"));
        assert!(
            failed.message.starts_with("wrong expectations: expects five replicas")
                && failed.message.contains("Path:	spec.replicas Expected to equal: 5 Actual: 1")
                && !failed.message.contains("+++"),
            "{}",
            failed.message
        );
    }

    #[test]
    fn a_template_that_does_not_parse_fails_each_test() {
        let tested = case("broken-chart", 1).unwrap();
        assert_eq!((tested.tests, tested.observations.len()), (2, 2));
        assert!(tested.observations[1].message.contains("function \"nosuchfunction\" not defined"));
        assert_eq!(case("missing-template", 1).unwrap().observations.len(), 1);
    }

    #[test]
    fn a_suite_that_cannot_be_read_is_a_finding_although_no_test_ran() {
        for name in ["unparsable-suite", "partly-unparsable"] {
            let tested = case(name, 1).unwrap();
            assert_eq!((tested.tests, tested.observations.len()), (0, 1), "{name}");
            let found = &tested.observations[0];
            assert_eq!(found.file.as_deref(), Some("charts/good/tests/unparsable_test.yaml"));
            assert!(found.message.contains("did not find expected"), "{}", found.message);
        }
    }

    #[test]
    fn no_test_that_ran_and_text_that_does_not_fit_the_counts_are_no_pass() {
        assert!(
            matches!(case("no-suites", 0), Err(StageError::Unreadable { why, .. }) if why.contains("none ran"))
        );
        assert!(
            matches!(case("missing-chart", 1), Err(StageError::Unreadable { why, .. }) if why.contains("no such file"))
        );
        // The same files with another exit code contradict themselves.
        assert!(case("pass", 1).is_err() && case("fail", 0).is_err() && case("unparsable-suite", 0).is_err());
        // Text that was cut before its failures.
        let tests = Tests { total: 4, failed: 1, ..Tests::default() };
        assert!(summarize(1, "", &tests).is_err());
    }

    #[test]
    fn a_chart_has_tests_if_a_file_is_called_like_one() {
        let chart = tempfile::tempdir().unwrap();
        assert!(!has_tests(chart.path()).unwrap());
        std::fs::create_dir(chart.path().join("tests")).unwrap();
        std::fs::write(chart.path().join("tests/values.yaml"), "").unwrap();
        assert!(!has_tests(chart.path()).unwrap());
        std::fs::write(chart.path().join("tests/a_test.yaml"), "").unwrap();
        assert!(has_tests(chart.path()).unwrap());
    }
}
