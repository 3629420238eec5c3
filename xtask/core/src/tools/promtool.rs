//! promtool: whether the recording rules and alerts of a chart can be read by Prometheus, and whether they do what their tests say.
//!
//! Rules are those that the chart renders: the `spec` of each PrometheusRule is a file of rules as Prometheus reads it. Tests are
//! `tests/rules/*.yaml` in the chart, in promtool's own form; in `rule_files` they name a render by its values file, such as
//! `values.prod.yaml`.
//!
//! Severities: rules that Prometheus refuses, and tests that fail, are High; rules without a test are Low, as is a file without
//! tests. A test of rules that are not there is High, although promtool itself only warns: silence is what most tests want.

use crate::engine::{Call, Cx, Ran};
use crate::error::StageError;
use crate::facts::Observation;
use crate::outcome::Severity;
use crate::tools::common;
use crate::tools::junit::{self, Tests};
use serde::Deserialize;
use serde_json::{Value, json};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Its name in `tools.lock`.
pub const TOOL: &str = "promtool";

/// The rule of rules that Prometheus refuses.
const INVALID: &str = "invalid-rules";
/// The rule of a file of tests of which one fails.
const FAILS: &str = "promtool-test";
/// The rule of rules without tests.
const NO_TESTS: &str = "no-rule-tests";

/// The kind of object that holds rules.
const KIND: &str = "PrometheusRule";
/// Where a chart's tests of its rules are.
const TESTS: &str = "tests/rules";
/// How much of what a test says goes into a finding.
const LONGEST: usize = 800;

/// What was seen of some rules.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// How many rules, or tests of them.
    pub count: u64,
    /// What is wrong.
    pub observations: Vec<Observation>,
}

/// The rules of one chart, a file for each render that has some.
#[derive(Debug)]
pub struct Rules {
    folder: PathBuf,
    any: bool,
}

/// Whether a template of the chart makes rules, as far as files tell; charts inside of the chart are taken to make some.
pub fn has_rules(root: &Path, chart: &str) -> bool {
    let chart = root.join(chart);
    chart.join("charts").is_dir() || any_holds_rules(&chart.join("templates"))
}

fn any_holds_rules(folder: &Path) -> bool {
    let Ok(entries) = fs::read_dir(folder) else { return false };
    entries.flatten().map(|entry| entry.path()).any(|path| match path.is_dir() {
        true => any_holds_rules(&path),
        false => fs::read_to_string(&path).is_ok_and(|text| holds_rules(&text)),
    })
}

fn holds_rules(text: &str) -> bool {
    text.lines().any(|line| line.strip_prefix("kind:").is_some_and(|kind| kind.trim() == KIND))
}

impl Rules {
    /// No rules yet, in a folder of their own.
    pub fn new(cx: &Cx) -> Result<Self, StageError> {
        let folder = cx.scratch()?.join("rules");
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(StageError::io("cannot remove", folder)(error));
            }
            Ok(()) | Err(_) => {}
        }
        fs::create_dir_all(&folder).map_err(StageError::io("cannot make folder", &folder))?;
        Ok(Rules { folder, any: false })
    }

    /// Checks the rules in a file of objects, named relative to the root, and keeps them for tests. Most files have none.
    pub async fn check(&mut self, cx: &Cx, render: &str) -> Result<Seen, StageError> {
        let path = cx.root().join(render);
        let text = fs::read_to_string(&path).map_err(StageError::io("cannot read", &path))?;
        let groups = match groups_in(&text) {
            Ok(groups) if groups.is_empty() => return Ok(Seen::default()),
            Ok(groups) => groups,
            Err(why) => {
                let found = Observation::new(INVALID, Severity::High, why).at(render, None);
                return Ok(Seen { count: 0, observations: vec![found] });
            }
        };
        self.any = true;
        let name = path.file_name().unwrap_or(OsStr::new("rules.yaml"));
        let file = self.folder.join(name);
        fs::write(&file, json!({ "groups": groups }).to_string())
            .map_err(StageError::io("cannot write", &file))?;
        let call = self.call(cx)?.args(["check", "rules", "--lint=all", "--lint-fatal"]).arg(name);
        read_check(&cx.exec(call).await?, &name.to_string_lossy(), render)
    }

    /// Runs the chart's tests of the rules that were checked.
    pub async fn test(&self, cx: &Cx, chart: &str) -> Result<Seen, StageError> {
        let mut seen = Seen::default();
        if !self.any {
            return Ok(seen);
        }
        let tests = test_files(&cx.root().join(chart).join(TESTS))?;
        if tests.is_empty() {
            let message = format!("it renders rules, and no {TESTS}/*.yaml says when they fire");
            let found =
                Observation::new(NO_TESTS, Severity::Low, message).at(format!("{chart}/Chart.yaml"), None);
            seen.observations.push(found);
        }
        for test in tests {
            let name = test.file_name().unwrap_or_default();
            let copy = self.folder.join(name);
            if copy.exists() {
                return Err(StageError::Config(format!(
                    "{}: a test must not be called like a values file; rename it",
                    test.display()
                )));
            }
            fs::copy(&test, &copy).map_err(StageError::io("cannot copy", &test))?;
            let report = common::fresh_report(cx, "promtool.xml")?;
            let mut junit = std::ffi::OsString::from("--junit=");
            junit.push(&report);
            let call = self.call(cx)?.arg("test").arg(junit).arg("rules").arg(name);
            let ran = cx.exec(call).await?;
            let tests =
                junit::read_all(cx.root(), &[report.to_string_lossy().into_owned()])?.unwrap_or_default();
            let file = format!("{chart}/{TESTS}/{}", name.to_string_lossy());
            let one = read_test(&ran, &tests, &file)?;
            seen.count += one.count;
            seen.observations.extend(one.observations);
        }
        Ok(seen)
    }

    fn call<'a>(&self, cx: &'a Cx) -> Result<Call<'a>, StageError> {
        Ok(common::at_home(Call::new(cx.program(TOOL)?), cx.scratch()?).directory(&self.folder))
    }
}

#[derive(Deserialize)]
struct Object {
    spec: Spec,
}

#[derive(Deserialize)]
struct Spec {
    #[serde(default)]
    groups: Vec<Value>,
}

/// The groups of every PrometheusRule in a file of YAML documents.
fn groups_in(text: &str) -> Result<Vec<Value>, String> {
    let mut groups = Vec::new();
    for document in text.split("\n---").filter(|document| holds_rules(document)) {
        let object: Object =
            serde_yaml::from_str(document).map_err(|error| format!("a {KIND} cannot be read: {error}"))?;
        groups.extend(object.spec.groups);
    }
    Ok(groups)
}

fn test_files(folder: &Path) -> Result<Vec<PathBuf>, StageError> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(StageError::io("cannot read", folder))?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(StageError::io("cannot read", folder))?.path();
        if path.extension() == Some(OsStr::new("yaml")) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// What promtool says of one file of rules: each complaint begins with the file's name, and may go on over lines.
fn read_check(ran: &Ran, name: &str, render: &str) -> Result<Seen, StageError> {
    let said = String::from_utf8_lossy(&ran.stdout);
    let failed = String::from_utf8_lossy(&ran.stderr);
    let looked_at = said.lines().any(|line| line.strip_prefix("Checking ") == Some(name));
    let count = said.lines().find_map(|line| {
        line.trim().strip_prefix("SUCCESS: ")?.strip_suffix(" rules found")?.parse::<u64>().ok()
    });
    if let (0, true, Some(count), true) = (ran.code, looked_at, count, failed.is_empty()) {
        return Ok(Seen { count, observations: Vec::new() });
    }
    let begin = format!("{name}: ");
    let mut complaints: Vec<String> = Vec::new();
    for line in failed.lines().skip_while(|line| line.trim() != "FAILED:").skip(1) {
        match (line.strip_prefix(&begin), complaints.last_mut()) {
            (None, Some(complaint)) => *complaint += &format!(" {}", line.trim()),
            (stripped, _) => complaints.push(stripped.unwrap_or(line).trim().to_owned()),
        }
    }
    if !matches!(ran.code, 1 | 3) || !looked_at || complaints.is_empty() {
        let said = common::reason(&ran.stderr);
        return Err(common::unreadable(TOOL, format!("it exited with {} and said: {said}", ran.code)));
    }
    complaints.dedup();
    let observe = |what: String| {
        Observation::new(INVALID, Severity::High, common::shortened(&what, LONGEST)).at(render, None)
    };
    Ok(Seen { count: 0, observations: complaints.into_iter().map(observe).collect() })
}

/// What promtool says of one file of tests; its counts must fit its exit code.
fn read_test(ran: &Ran, tests: &Tests, file: &str) -> Result<Seen, StageError> {
    let said = String::from_utf8_lossy(&ran.stderr);
    let failed = tests.failed + tests.errors;
    let mut observations = Vec::new();
    for warning in said.lines().filter_map(|line| line.trim().strip_prefix("WARNING: ")) {
        observations.push(Observation::new(FAILS, Severity::High, warning).at(file, None));
    }
    match (ran.code, failed, tests.total) {
        (0, 0, 0) => {
            let message = "there is no test in it";
            observations.push(Observation::new(NO_TESTS, Severity::Low, message).at(file, None));
        }
        (0, 0, _) => {}
        (1, 1.., total) if said.contains("FAILED:") => {
            let told = said.split_once("FAILED:").map_or("", |(_, told)| told);
            let told = told.split_whitespace().collect::<Vec<_>>().join(" ");
            let message = format!("{failed} of {total} tests fail: {}", common::shortened(&told, LONGEST));
            observations.push(Observation::new(FAILS, Severity::High, message).at(file, None));
        }
        (code, failed, total) => {
            let said = common::reason(&ran.stderr);
            let why =
                format!("it exited with {code}, counts {failed} failures in {total} tests, and said: {said}");
            return Err(common::unreadable(TOOL, why));
        }
    }
    Ok(Seen { count: tests.total, observations })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::testdata::recorded;

    fn ran(case: &str, code: i32, streams: [bool; 2]) -> Ran {
        let read = |there: bool, extension: &str| match there {
            true => recorded(&format!("promtool/3.15.0/{case}.{extension}")),
            false => Vec::new(),
        };
        Ran { code, stdout: read(streams[0], "txt"), stderr: read(streams[1], "stderr.txt") }
    }

    fn test_of(case: &str, code: i32, streams: [bool; 2]) -> Result<Seen, StageError> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
        let tests = junit::read_all(&root, &[format!("promtool/3.15.0/{case}.xml")])?.unwrap();
        read_test(&ran(case, code, streams), &tests, "charts/x/tests/rules/a.yaml")
    }

    #[test]
    fn rules_that_prometheus_reads_are_counted() {
        let seen = read_check(&ran("check-pass", 0, [true, false]), "rules.yaml", "r").unwrap();
        assert_eq!(seen, Seen { count: 2, observations: Vec::new() });
    }

    #[test]
    fn each_rule_that_prometheus_refuses_is_a_finding_in_the_render() {
        let seen = read_check(&ran("check-expression", 1, [true, true]), "expression.yaml", "r").unwrap();
        let messages: Vec<&str> = seen.observations.iter().map(|one| one.message.as_str()).collect();
        assert_eq!(
            messages,
            [
                "5:15: group \"hello\", rule 1, \"HelloDown\": could not parse expression: 1:13: parse error: unexpected \"(\" in \
                 grouping opts, expected \",\" or \")\"",
                "group \"hello\", rule 2, \"HelloSlow\": annotation \"summary\": template: __alert_HelloSlow:1: unclosed action",
            ]
        );
        let first = &seen.observations[0];
        assert_eq!(
            (first.rule.as_str(), first.severity, first.file.as_deref()),
            (INVALID, Severity::High, Some("r"))
        );
    }

    #[test]
    fn rules_that_are_there_twice_or_are_no_yaml_are_one_finding() {
        let twice = read_check(&ran("check-duplicate", 3, [true, true]), "duplicate.yaml", "r").unwrap();
        assert_eq!(twice.observations.len(), 1);
        assert!(twice.observations[0].message.contains("Metric: HelloDown"), "{twice:?}");
        let cut = read_check(&ran("check-cut", 1, [true, true]), "cut.yaml", "r").unwrap();
        assert_eq!(cut.observations.len(), 1, "{cut:?}");
        assert!(cut.observations[0].message.contains("did not find expected node content"));
    }

    #[test]
    fn what_was_not_looked_at_is_no_pass() {
        let unreadable =
            |ran: &Ran, name: &str| matches!(read_check(ran, name, "r"), Err(StageError::Unreadable { .. }));
        assert!(unreadable(&ran("check-missing", 1, [false, true]), "absent.yaml"));
        // The same words about another file, with another exit code, cut, and none at all.
        assert!(unreadable(&ran("check-pass", 0, [true, false]), "other.yaml"));
        assert!(unreadable(&ran("check-pass", 1, [true, false]), "rules.yaml"));
        let mut cut = ran("check-pass", 0, [true, false]);
        cut.stdout.truncate(25);
        assert!(unreadable(&cut, "rules.yaml"));
        assert!(unreadable(&Ran { code: 0, stdout: Vec::new(), stderr: Vec::new() }, "rules.yaml"));
    }

    #[test]
    fn tests_that_pass_are_counted_and_those_that_fail_say_what_came_instead() {
        assert_eq!(
            test_of("test-pass", 0, [true, false]).unwrap(),
            Seen { count: 2, observations: Vec::new() }
        );
        let seen = test_of("test-fail", 1, [true, true]).unwrap();
        let found = &seen.observations[0];
        assert_eq!((seen.count, found.rule.as_str(), found.severity), (2, FAILS, Severity::High));
        assert_eq!(found.file.as_deref(), Some("charts/x/tests/rules/a.yaml"));
        assert!(
            found
                .message
                .starts_with("2 of 2 tests fail: name: it is down, alertname: HelloDown, time: 6m, exp:[]"),
            "{}",
            found.message
        );
    }

    #[test]
    fn a_test_of_rules_that_are_not_there_is_a_finding_also_when_it_passes() {
        let vacuous = test_of("test-vacuous", 0, [true, true]).unwrap();
        assert_eq!((vacuous.count, vacuous.observations.len()), (1, 1));
        assert_eq!(vacuous.observations[0].message, "no file match pattern absent.yaml");
        assert_eq!(vacuous.observations[0].severity, Severity::High);
        assert_eq!(test_of("test-missing-rules", 1, [true, true]).unwrap().observations.len(), 2);
    }

    #[test]
    fn a_file_without_tests_is_said_and_one_that_cannot_be_read_is_a_finding() {
        let none = test_of("test-none", 0, [true, false]).unwrap();
        assert_eq!((none.count, none.observations[0].rule.as_str()), (0, NO_TESTS));
        let unknown = test_of("test-unknown-field", 1, [true, true]).unwrap();
        assert!(unknown.observations[0].message.contains("field tsets not found"), "{unknown:?}");
    }

    #[test]
    fn counts_that_do_not_fit_the_exit_code_are_refused() {
        assert!(matches!(test_of("test-missing", 1, [false, true]), Err(StageError::Unreadable { .. })));
        assert!(matches!(test_of("test-pass", 1, [true, false]), Err(StageError::Unreadable { .. })));
        assert!(matches!(test_of("test-fail", 0, [true, true]), Err(StageError::Unreadable { .. })));
    }

    #[test]
    fn rules_are_the_specs_of_their_objects_and_nothing_else() {
        let text = "---\n# Source: a\nkind: Service\nspec: {ports: []}\n---\nkind: PrometheusRule\nspec:\n  groups:\n    - name: a\n      \
                    rules:\n        - {alert: A, expr: \"up == 0\", for: 5m, labels: {n: \"1\"}}\n---\nkind: PrometheusRule\nspec: {groups: [{name: b}]}\n";
        let rule = json!({ "alert": "A", "expr": "up == 0", "for": "5m", "labels": { "n": "1" } });
        let wanted = [json!({ "name": "a", "rules": [rule] }), json!({ "name": "b" })];
        assert_eq!(groups_in(text).unwrap(), wanted);
        assert!(groups_in("kind: Service\n").unwrap().is_empty());
        assert!(groups_in("kind: PrometheusRule\nspec: [\n").unwrap_err().contains("cannot be read"));
        assert!(groups_in("kind: PrometheusRule\n").is_err(), "a cut object");
    }

    #[test]
    fn a_chart_has_rules_if_a_template_makes_some() {
        let root = tempfile::tempdir().unwrap();
        assert!(!has_rules(root.path(), "chart"));
        fs::create_dir_all(root.path().join("chart/templates")).unwrap();
        fs::write(root.path().join("chart/templates/a.yaml"), "kind: Service\n# kind: PrometheusRule\n")
            .unwrap();
        assert!(!has_rules(root.path(), "chart"));
        fs::create_dir(root.path().join("chart/templates/more")).unwrap();
        fs::write(root.path().join("chart/templates/more/b.yaml"), "{{ if .x }}\nkind: PrometheusRule\n")
            .unwrap();
        assert!(has_rules(root.path(), "chart"));
        fs::create_dir_all(root.path().join("other/charts")).unwrap();
        assert!(has_rules(root.path(), "other"));
    }

    #[test]
    fn tests_are_the_yaml_files_of_their_folder_in_order() {
        let folder = tempfile::tempdir().unwrap();
        assert!(test_files(&folder.path().join("absent")).unwrap().is_empty());
        for name in ["b.yaml", "a.yaml", "README.md"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let files = test_files(folder.path()).unwrap();
        let names: Vec<_> = files.iter().map(|file| file.file_name().unwrap()).collect();
        assert_eq!(names, ["a.yaml", "b.yaml"]);
    }
}
