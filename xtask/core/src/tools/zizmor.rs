//! zizmor: what an auditor objects to in GitHub Actions workflows. Exit 0 means nothing found, 11 to 14 findings by the highest
//! severity, anything else a fault; except that it audits nothing at all when one workflow is invalid, which is a finding about that
//! workflow.
//!
//! Its severities are ours; `Informational` is [`Severity::Low`]. What a workflow's own comments tell it to ignore is left out.

use crate::engine::{Call, Cx, Ran};
use crate::error::StageError;
use crate::facts::Observation;
use crate::outcome::Severity;
use crate::tools::common::{at_home, config_file, exited, plain, shortened, unreadable};
use crate::tools::read_json;
use serde::Deserialize;

/// Its name in `tools.lock`.
pub const TOOL: &str = "zizmor";

/// Audits workflows, named relative to the root. Obeys `.github/zizmor.yml`.
pub async fn audit(cx: &Cx, workflows: &[String]) -> Result<Vec<Observation>, StageError> {
    if workflows.is_empty() {
        return Err(unreadable(TOOL, "it was given no workflow"));
    }
    let call = Call::new(cx.program(TOOL)?)
        .args(["--persona", "auditor", "--offline", "--no-progress", "--format", "json"])
        // Otherwise it leaves out what it cannot read, and exits with 0.
        .arg("--strict-collection");
    let call = match config_file(cx, &[".github/zizmor.yml", ".github/zizmor.yaml"]) {
        Some(config) => call.args(["--config", config]),
        // It would look in the root too, which is no input of the stage.
        None => call.arg("--no-config"),
    };
    let ran = cx.exec(at_home(call.args(workflows), cx.scratch()?)).await?;
    match ran.code {
        0 | 11..=14 => parse(&ran),
        1 => invalid(&ran.stderr).map(|seen| vec![seen]).ok_or_else(|| exited(cx, TOOL, &ran)),
        _ => Err(exited(cx, TOOL, &ran)),
    }
}

/// The workflow that made it give up: `failed to load file://.github/workflows/a.yml as workflow`, and the causes below.
fn invalid(stderr: &[u8]) -> Option<Observation> {
    let said = plain(&String::from_utf8_lossy(stderr));
    let (_, rest) = said.split_once("failed to load file://")?;
    let (path, causes) = rest.split_once(" as ")?;
    let causes: Vec<&str> =
        causes.lines().filter_map(|line| line.trim().split_once(": ")).map(|(_, why)| why).collect();
    let why = shortened(&causes.join("; "), 400);
    let message = format!("no workflow was audited, because this one is invalid: {why}");
    Some(Observation::new("invalid-workflow", Severity::High, message).at(relative(path), None))
}

#[derive(Deserialize)]
struct Finding {
    ident: String,
    desc: String,
    determinations: Determinations,
    locations: Vec<Location>,
    ignored: bool,
}

#[derive(Deserialize)]
struct Determinations {
    severity: Level,
}

#[derive(Deserialize, Clone, Copy)]
enum Level {
    Informational,
    Low,
    Medium,
    High,
    #[serde(other)]
    Unknown,
}

#[derive(Deserialize)]
struct Location {
    symbolic: Symbolic,
    concrete: Concrete,
}

#[derive(Deserialize)]
struct Symbolic {
    key: Key,
    annotation: String,
    kind: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Key {
    local: Local,
}

#[derive(Deserialize)]
struct Local {
    verbatim_path: String,
}

#[derive(Deserialize)]
struct Concrete {
    location: Span,
}

#[derive(Deserialize)]
struct Span {
    start_point: Point,
}

#[derive(Deserialize)]
struct Point {
    /// From 0.
    row: u32,
}

fn parse(ran: &Ran) -> Result<Vec<Observation>, StageError> {
    let findings: Vec<Finding> = read_json(TOOL, &ran.stdout)?;
    let seen: Vec<Observation> = findings.into_iter().filter(|one| !one.ignored).map(observation).collect();
    if seen.is_empty() != (ran.code == 0) {
        return Err(unreadable(
            TOOL,
            format!("it exited with {} and reported {} findings", ran.code, seen.len()),
        ));
    }
    Ok(seen)
}

fn observation(finding: Finding) -> Observation {
    let severity = match finding.determinations.severity {
        Level::Informational | Level::Low => Severity::Low,
        Level::Medium => Severity::Medium,
        Level::High => Severity::High,
        Level::Unknown => Severity::Unknown,
    };
    let primary = finding.locations.iter().find(|location| location.symbolic.kind == "Primary");
    let Some(Location { symbolic, concrete }) = primary.or(finding.locations.first()) else {
        return Observation::new(finding.ident, severity, finding.desc);
    };
    let line = concrete.location.start_point.row + 1;
    Observation::new(finding.ident, severity, format!("{}: {}", finding.desc, symbolic.annotation))
        .at(relative(&symbolic.key.local.verbatim_path), Some(line))
}

fn relative(path: &str) -> &str {
    path.strip_prefix("./").unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::testdata::{recorded, refuses_any_cut};

    fn read(json: &[u8], code: i32) -> Result<Vec<Observation>, StageError> {
        parse(&Ran { code, stdout: json.to_vec(), stderr: Vec::new() })
    }

    #[test]
    fn findings_keep_severity_and_their_primary_place_counted_from_1() {
        let seen = read(&recorded("zizmor/1.32.0/findings-json.json"), 14).unwrap();
        assert_eq!(seen.len(), 8);
        let injection = seen.iter().find(|one| one.rule == "template-injection").unwrap();
        assert_eq!(injection.severity, Severity::High);
        assert_eq!(
            (injection.file.as_deref(), injection.line),
            (Some(".github/workflows/findings.yml"), Some(9))
        );
        let anonymous = seen.iter().find(|one| one.rule == "anonymous-definition").unwrap();
        assert_eq!((anonymous.severity, anonymous.line), (Severity::Low, Some(5)));
        assert_eq!(
            seen[0].message,
            "credential persistence through GitHub Actions artifacts: does not set persist-credentials: false"
        );
    }

    #[test]
    fn what_a_comment_ignores_is_left_out() {
        let text = String::from_utf8(recorded("zizmor/1.32.0/findings-json.json")).unwrap();
        let ignored = text.replacen("\"ignored\": false", "\"ignored\": true", 1);
        assert_ne!(ignored, text);
        assert_eq!(read(ignored.as_bytes(), 14).unwrap().len(), 7);
    }

    #[test]
    fn an_invalid_workflow_is_a_finding_about_it() {
        let said = |case: &str| invalid(&recorded(&format!("zizmor/1.32.0/{case}.stderr.txt")));
        let schema = said("partial-strict-json").unwrap();
        assert_eq!(schema.file.as_deref(), Some(".github/workflows/invalid.yml"));
        assert!(schema.message.contains("does not match expected validation schema"), "{}", schema.message);
        let yaml = said("unparsable-strict-sarif").unwrap();
        assert_eq!(yaml.file.as_deref(), Some(".github/workflows/broken.yml"));
        assert!(yaml.message.contains("invalid YAML syntax"), "{}", yaml.message);
        assert_eq!(said("no-inputs-json"), None);
        assert_eq!(said("bad-usage"), None);
    }

    #[test]
    fn a_report_that_is_cut_of_another_version_or_against_its_code_is_refused() {
        let whole = recorded("zizmor/1.32.0/findings-json.json");
        refuses_any_cut(&whole, |cut| read(cut, 14));
        assert!(matches!(read(&whole, 0), Err(StageError::Unreadable { .. })));
        let older = recorded("zizmor/1.5.2/findings-json.json");
        assert!(matches!(read(&older, 14), Err(StageError::Unreadable { .. })));
        let clean = recorded("zizmor/1.32.0/clean-json.json");
        assert_eq!(read(&clean, 0).unwrap(), []);
        assert!(matches!(read(&clean, 13), Err(StageError::Unreadable { .. })));
        refuses_any_cut(&clean, |cut| read(cut, 0));
    }
}
