//! Checkov: policies for infrastructure as code. Looks at files only; downloads nothing and sends nothing.
//!
//! Its exit code says little: 0 also for a folder that is not there, a file that it could not parse, a framework that it could not
//! run. So the report decides, and every file that should have been looked at must be in it.
//!
//! Severities: those of the report; without the vendor's service it has none, then a failed check is High. A file about which the
//! report says nothing is Unknown, which blocks like High: nobody knows.

use crate::engine::{Call, Cx, Ran};
use crate::error::StageError;
use crate::facts::Observation;
use crate::outcome::Severity;
use crate::tools::{common, read_json};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Its name in `tools.lock`.
pub const TOOL: &str = "checkov";

/// The rule of a file that the report says nothing about.
const NOT_CHECKED: &str = "not-checked";

/// What it is run on. All paths are relative to the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A folder of Terraform source, with its modules.
    Terraform(String),
    /// What `terraform show -json` says of a plan.
    Plan {
        /// That file.
        json: String,
        /// The folder of the source that was planned: findings are placed there, and skips in it hold.
        source: String,
    },
    /// A folder of Kubernetes objects.
    Kubernetes(String),
    /// Dockerfiles.
    Dockerfiles(Vec<String>),
    /// A folder of GitHub Actions workflows.
    Workflows(String),
}

impl Target {
    /// What it is called in reports: Checkov's own name of the framework.
    pub fn name(&self) -> &'static str {
        match self {
            Target::Terraform(_) => "terraform",
            Target::Plan { .. } => "terraform_plan",
            Target::Kubernetes(_) => "kubernetes",
            Target::Dockerfiles(_) => "dockerfile",
            Target::Workflows(_) => "github_actions",
        }
    }

    fn arguments(&self) -> Vec<String> {
        let flagged = |flag: &str, value: &String| [flag.to_owned(), value.clone()];
        match self {
            Target::Terraform(folder) | Target::Kubernetes(folder) | Target::Workflows(folder) => {
                flagged("--directory", folder).to_vec()
            }
            Target::Plan { json, source } => {
                let enrichment = flagged("--repo-root-for-plan-enrichment", source);
                flagged("--file", json).into_iter().chain(enrichment).collect()
            }
            Target::Dockerfiles(files) => files.iter().flat_map(|file| flagged("--file", file)).collect(),
        }
    }

    /// The folder that paths in the report may be relative to, if not to the root.
    fn base(&self) -> &str {
        match self {
            Target::Terraform(folder) | Target::Kubernetes(folder) | Target::Workflows(folder) => folder,
            Target::Plan { source, .. } => source,
            Target::Dockerfiles(_) => "",
        }
    }
}

/// A check that a file itself skips.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Skip {
    /// The check: `CKV_AWS_39`.
    pub id: String,
    /// The file, relative to the root.
    pub file: Option<String>,
    /// The first line of what is skipped.
    pub line: Option<u32>,
    /// The reason that the file gives; may be empty.
    pub reason: String,
}

/// What was seen of one target.
#[derive(Debug, PartialEq, Eq)]
pub struct Seen {
    /// How many checks passed.
    pub passed: u64,
    /// The checks that files skip.
    pub skipped: Vec<Skip>,
    /// The checks that failed, and files that were not looked at.
    pub observations: Vec<Observation>,
}

/// Checks one target.
pub async fn scan(cx: &Cx, target: &Target) -> Result<Seen, StageError> {
    let expected = expected(cx.root(), target)?;
    let report = common::fresh_report(cx, &format!("checkov-{}.json", target.name()))?;
    // The comma makes it a list of outputs, and only then is the report not written to standard output as well: it names every
    // check that passed, a megabyte that would drown the log.
    let mut output = report.clone().into_os_string();
    output.push(",");
    // Its settings are the repository's, not those of whoever runs it.
    let call = common::at_home(Call::new(cx.program(TOOL)?), cx.scratch()?)
        // What only the cloud will know counts as a value, not as a missing one.
        .env("EVAL_TF_PLAN_AFTER_UNKNOWN", "true")
        .args(target.arguments())
        .args(["--framework", target.name(), "--skip-download", "--compact", "--output", "json"])
        .arg("--output-file-path")
        .arg(output);
    let ran = cx.exec(call).await?;
    let json = if report.exists() { common::read_report(TOOL, &report)? } else { Vec::new() };
    let mut seen = read(cx.root(), target, &ran, &json)?;
    let looked_at: BTreeSet<&str> = seen.files.iter().map(String::as_str).collect();
    for file in expected.iter().filter(|file| !looked_at.contains(file.as_str())) {
        let message = format!(
            "Checkov says nothing about it: no {} check fits it, or it cannot be read",
            target.name()
        );
        seen.seen.observations.push(Observation::new(NOT_CHECKED, Severity::Unknown, message).at(file, None));
    }
    Ok(seen.seen)
}

/// The files of a target that checks must have looked at. Terraform files may hold nothing that is ever checked, such as variables.
fn expected(root: &Path, target: &Target) -> Result<Vec<String>, StageError> {
    match target {
        Target::Terraform(_) => Ok(Vec::new()),
        Target::Plan { json, .. } => {
            let path = root.join(json);
            let bytes = std::fs::read(&path).map_err(StageError::io("cannot read", path))?;
            // Checkov gives the same answer for "no check fits any of these resources" and "this is no plan".
            let _: PlanHead = read_json("terraform", &bytes)?;
            Ok(Vec::new())
        }
        Target::Kubernetes(folder) => {
            let mut renders = files(root, folder)?;
            let mut unreadable = Ok(());
            renders.retain(|file| match has_checked_kind(&root.join(file)) {
                Ok(has) => has,
                Err(error) => {
                    unreadable = Err(error);
                    false
                }
            });
            unreadable.map(|()| renders)
        }
        Target::Workflows(folder) => files(root, folder),
        Target::Dockerfiles(files) => Ok(files.clone()),
    }
}

/// Kinds that no check is about. A render of nothing else is rightly not in the report.
const UNCHECKED_KINDS: [&str; 3] =
    ["PrometheusRule", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"];

/// Whether a file of rendered objects holds one that checks are about, or anything that cannot be told.
fn has_checked_kind(path: &Path) -> Result<bool, StageError> {
    let text = std::fs::read_to_string(path).map_err(StageError::io("cannot read", path))?;
    // A render is made by a program: each object's kind stands at the beginning of a line.
    let mut kinds = text.lines().filter_map(|line| line.strip_prefix("kind:")).map(str::trim).peekable();
    Ok(kinds.peek().is_none() || kinds.any(|kind| !UNCHECKED_KINDS.contains(&kind)))
}

#[derive(Deserialize)]
struct PlanHead {
    #[serde(rename = "format_version")]
    _format_version: String,
    #[serde(rename = "planned_values")]
    _planned_values: serde::de::IgnoredAny,
}

/// The YAML files below a folder, relative to the root.
fn files(root: &Path, folder: &str) -> Result<Vec<String>, StageError> {
    let mut found = Vec::new();
    let mut open = vec![PathBuf::from(folder)];
    while let Some(folder) = open.pop() {
        let path = root.join(&folder);
        for entry in std::fs::read_dir(&path).map_err(StageError::io("cannot read", &path))? {
            let entry = entry.map_err(StageError::io("cannot read", &path))?;
            let relative = folder.join(entry.file_name());
            if entry.path().is_dir() {
                open.push(relative);
            } else if relative.extension().is_some_and(|extension| extension == "yaml" || extension == "yml")
            {
                found.push(relative.to_string_lossy().into_owned());
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The report is an object with a framework's results, or nothing but a summary where no framework had anything to say.
#[derive(Deserialize)]
#[serde(untagged)]
enum Report {
    Results { check_type: String, results: Results, summary: Summary },
    Bare(Summary),
}

#[derive(Deserialize)]
struct Results {
    #[serde(default)]
    passed_checks: Vec<Check>,
    failed_checks: Vec<Check>,
    #[serde(default)]
    skipped_checks: Vec<Check>,
    #[serde(default)]
    parsing_errors: Vec<String>,
}

#[derive(Deserialize)]
struct Summary {
    passed: u64,
    failed: u64,
    skipped: u64,
    parsing_errors: u64,
    resource_count: u64,
}

#[derive(Deserialize)]
struct Check {
    check_id: String,
    check_name: String,
    check_result: CheckResult,
    file_path: String,
    file_line_range: Vec<u32>,
    resource: String,
    severity: Option<String>,
}

#[derive(Deserialize)]
struct CheckResult {
    suppress_comment: Option<String>,
}

#[derive(Debug)]
struct Read {
    seen: Seen,
    files: Vec<String>,
}

fn read(root: &Path, target: &Target, ran: &Ran, json: &[u8]) -> Result<Read, StageError> {
    let unreadable = |why: String| {
        common::unreadable(TOOL, format!("{why}; on standard error: {}", common::reason(&ran.stderr)))
    };
    if !matches!(ran.code, 0 | 1) || json.is_empty() {
        return Err(unreadable(format!(
            "it exited with {} and left no report on {}",
            ran.code,
            target.name()
        )));
    }
    let (check_type, results, summary) = match read_json::<Report>(TOOL, json)? {
        Report::Results { check_type, results, summary } => (check_type, results, summary),
        Report::Bare(summary) if matches!(target, Target::Plan { .. }) && summary.is_empty() => {
            let seen = Seen { passed: 0, skipped: Vec::new(), observations: Vec::new() };
            return Ok(Read { seen, files: Vec::new() });
        }
        Report::Bare(_) => {
            return Err(unreadable(format!(
                "it found nothing to look at in {}",
                target.arguments().join(" ")
            )));
        }
    };
    if summary.parsing_errors > 0 {
        let files = results.parsing_errors.join(", ");
        return Err(unreadable(format!("it could not parse {} file(s) {files}", summary.parsing_errors)));
    }
    let counts = [results.passed_checks.len(), results.failed_checks.len(), results.skipped_checks.len()];
    if counts.map(|count| count as u64) != [summary.passed, summary.failed, summary.skipped] {
        return Err(unreadable("it lists other checks than it counts".to_owned()));
    }
    if check_type != target.name() || counts == [0; 3] {
        return Err(unreadable(format!(
            "it reports {} checks of {check_type}",
            counts.iter().sum::<usize>()
        )));
    }
    let place = |check: &Check| place(root, target, &check.file_path);
    let line = |check: &Check| check.file_line_range.first().copied();
    let observations = results.failed_checks.iter().map(|check| {
        let message = format!("{} ({})", check.check_name, check.resource);
        Observation::new(&check.check_id, severity(check.severity.as_deref()), message)
            .at(place(check), line(check))
    });
    let skipped = results.skipped_checks.iter().map(|check| Skip {
        id: check.check_id.clone(),
        file: Some(place(check)),
        line: line(check).filter(|line| *line > 0),
        reason: check.check_result.suppress_comment.clone().unwrap_or_default(),
    });
    let seen =
        Seen { passed: summary.passed, skipped: skipped.collect(), observations: observations.collect() };
    let all = results.passed_checks.iter().chain(&results.failed_checks).chain(&results.skipped_checks);
    Ok(Read { seen, files: all.map(place).collect() })
}

impl Summary {
    fn is_empty(&self) -> bool {
        [self.passed, self.failed, self.skipped, self.parsing_errors, self.resource_count] == [0; 5]
    }
}

fn severity(name: Option<&str>) -> Severity {
    match name {
        None => Severity::High,
        Some("CRITICAL") => Severity::Critical,
        Some("HIGH") => Severity::High,
        Some("MEDIUM") => Severity::Medium,
        Some("LOW" | "INFO") => Severity::Low,
        Some(_) => Severity::Unknown,
    }
}

/// Where a file is, from the root. The report's paths start at the target for some frameworks and at the root for others, and its
/// absolute ones name the target's folder twice; what exists decides.
fn place(root: &Path, target: &Target, reported: &str) -> String {
    let reported = reported.trim_start_matches('/');
    let in_target = format!("{}/{reported}", target.base());
    let found =
        [in_target.trim_start_matches('/'), reported].into_iter().find(|path| root.join(path).is_file());
    match (found, target) {
        (Some(path), _) => path.to_owned(),
        // A plan that could not be traced to source is one line of JSON.
        (None, Target::Plan { json, .. }) => json.clone(),
        (None, _) => reported.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::testdata::{recorded, refuses_any_cut};

    fn fixtures() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/fixtures")
    }

    fn ran(code: i32) -> Ran {
        Ran { code, stdout: Vec::new(), stderr: Vec::new() }
    }

    fn seen(target: &Target, case: &str, code: i32) -> Result<Read, StageError> {
        read(&fixtures(), target, &ran(code), &recorded(&format!("checkov/3.3.30/{case}.json")))
    }

    fn terraform() -> Target {
        Target::Terraform("checkov/findings/terraform".into())
    }

    fn plan() -> Target {
        Target::Plan { json: "target/plan.json".into(), source: "checkov/planned".into() }
    }

    #[test]
    fn failed_checks_without_a_severity_are_high_and_keep_their_place() {
        let Read { seen, .. } = seen(&terraform(), "terraform-verbose", 1).unwrap();
        assert_eq!(seen.passed, 5);
        let open = &seen.observations[0];
        assert_eq!((open.rule.as_str(), open.severity), ("CKV_AWS_24", Severity::High));
        assert_eq!((open.file.as_deref(), open.line), (Some("checkov/findings/terraform/main.tf"), Some(1)));
        assert!(open.message.ends_with("(aws_security_group.open)"), "{}", open.message);
        assert_eq!(seen.observations.len(), 4);
    }

    #[test]
    fn a_skip_in_a_file_is_kept_with_its_reason() {
        let Read { seen, .. } = seen(&terraform(), "terraform-verbose", 1).unwrap();
        let skip = Skip {
            id: "CKV_AWS_136".into(),
            file: Some("checkov/findings/terraform/main.tf".into()),
            line: Some(14),
            reason: "the default key is enough here".into(),
        };
        assert_eq!(seen.skipped, [skip]);
    }

    #[test]
    fn exit_zero_does_not_hide_failed_checks() {
        // --soft-fail in a repository's .checkov.yaml does this.
        let json = String::from_utf8(recorded("checkov/3.3.30/terraform-verbose.json")).unwrap();
        let seen = read(&fixtures(), &terraform(), &ran(0), json.as_bytes()).unwrap();
        assert_eq!(seen.seen.observations.len(), 4);
    }

    #[test]
    fn what_could_not_be_parsed_or_was_not_there_is_no_pass() {
        let dockerfile = Target::Dockerfiles(vec!["absent".into()]);
        for (target, case) in [
            (terraform(), "terraform-unparsable"),
            (terraform(), "missing-file"),
            (terraform(), "nothing-to-scan"),
            (plan(), "plan-truncated"),
            // A report on something else than what was asked for.
            (dockerfile, "terraform-verbose"),
            // Passed checks are counted but not listed: then nobody knows which files they were about.
            (terraform(), "terraform-clean"),
        ] {
            let result = seen(&target, case, 0);
            assert!(matches!(result, Err(StageError::Unreadable { .. })), "{case}: {result:?}");
        }
        let nothing = read(&fixtures(), &terraform(), &ran(0), b"");
        assert!(matches!(nothing, Err(StageError::Unreadable { why, .. }) if why.contains("left no report")));
        let usage =
            Ran { code: 2, stdout: Vec::new(), stderr: recorded("checkov/3.3.30/bad-usage.stderr.txt") };
        assert!(read(&fixtures(), &terraform(), &usage, b"{}").is_err());
    }

    #[test]
    fn a_report_that_is_cut_is_refused() {
        let bytes = recorded("checkov/3.3.30/terraform-verbose.json");
        refuses_any_cut(&bytes, |json| read(&fixtures(), &terraform(), &ran(1), json));
    }

    #[test]
    fn a_plan_about_which_there_are_no_checks_is_clean_if_it_is_a_plan() {
        let clean = seen(&plan(), "plan-clean", 0).unwrap().seen;
        assert_eq!((clean.passed, clean.observations.len()), (0, 0));
        let root = tempfile::tempdir().unwrap();
        let target = Target::Plan { json: "plan.json".into(), source: "infra".into() };
        std::fs::write(root.path().join("plan.json"), recorded("terraform/1.11.4/show-mixed.json")).unwrap();
        assert!(expected(root.path(), &target).unwrap().is_empty());
        std::fs::write(root.path().join("plan.json"), r#"{"not": "a plan"}"#).unwrap();
        assert!(matches!(expected(root.path(), &target), Err(StageError::Unreadable { .. })));
    }

    #[test]
    fn findings_of_a_plan_are_placed_in_the_source_that_it_was_made_from() {
        let Read { seen, .. } = seen(&plan(), "plan-enriched", 1).unwrap();
        let places: BTreeSet<_> =
            seen.observations.iter().map(|one| (one.file.as_deref(), one.line)).collect();
        assert!(places.contains(&(Some("checkov/planned/main.tf"), Some(1))), "{places:?}");
        assert_eq!(seen.skipped.len(), 1, "a skip in the source holds for the plan");
    }

    #[test]
    fn every_file_that_is_there_must_be_looked_at() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("renders/app")).unwrap();
        for name in ["renders/app/values.yaml", "renders/app/values.dev.yaml", "renders/app/NOTES.txt"] {
            std::fs::write(root.path().join(name), "").unwrap();
        }
        assert_eq!(
            expected(root.path(), &Target::Kubernetes("renders".into())).unwrap(),
            ["renders/app/values.dev.yaml", "renders/app/values.yaml"]
        );
        assert!(expected(root.path(), &Target::Kubernetes("absent".into())).is_err());
    }

    #[test]
    fn a_render_must_be_looked_at_unless_no_check_is_about_any_of_its_objects() {
        let folder = tempfile::tempdir().unwrap();
        let policy = "kind: ValidatingAdmissionPolicy\nmetadata: {}\n";
        let binding = "kind: ValidatingAdmissionPolicyBinding\n";
        for (name, text) in [
            ("only-policies", format!("{policy}---\n{binding}")),
            ("a-pod-too", format!("{policy}---\nkind: Pod\n")),
            ("no-kind-at-all", "a: b\n".to_owned()),
            ("a-kind-inside", format!("{policy}spec:\n  kind: Pod\n")),
        ] {
            std::fs::write(folder.path().join(format!("{name}.yaml")), text).unwrap();
        }
        let target = Target::Kubernetes(String::new());
        let found = expected(folder.path(), &target).unwrap();
        assert_eq!(found, ["a-pod-too.yaml", "no-kind-at-all.yaml"]);
    }

    #[test]
    fn a_severity_that_is_not_known_is_unknown() {
        assert_eq!(severity(Some("MEDIUM")), Severity::Medium);
        assert_eq!(severity(Some("catastrophic")), Severity::Unknown);
    }
}
