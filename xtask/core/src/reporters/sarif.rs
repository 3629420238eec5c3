//! `findings.sarif`: the findings in the form that code scanning and editors read, SARIF 2.1.0.
//!
//! One run for each kind of stage, not for each node: code scanning takes twenty runs of a file, and twenty services have a
//! hundred nodes. A stage that broke is there with `executionSuccessful: false`; one that did not run is not there at all.

use super::{block, summary};
use crate::ids::StageId;
use crate::outcome::{Finding, Severity, Standing};
use crate::report::{OutcomeKind, RunReport, StageRecord};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";
/// Code scanning refuses a file of which one result has no place in the repository. What is found in an image has none, so it
/// stands at the file that says that this image exists.
const NO_PLACE: &str = "pipeline.yaml";
/// By definition the root of the source tree.
const ROOT: &str = "%SRCROOT%";

/// The file's content.
pub(super) fn json(report: &RunReport) -> Result<Vec<u8>, serde_json::Error> {
    let mut nodes: BTreeMap<StageId, Vec<&StageRecord>> = BTreeMap::new();
    for record in report.stages.iter().filter(|record| record.outcome != OutcomeKind::Skipped) {
        nodes.entry(record.id).or_default().push(record);
    }
    let runs = nodes.into_iter().map(|(id, records)| run(id, &records)).collect();
    serde_json::to_vec_pretty(&Log { schema: SCHEMA, version: "2.1.0", runs })
}

#[derive(Serialize)]
struct Log<'a> {
    #[serde(rename = "$schema")]
    schema: &'static str,
    version: &'static str,
    runs: Vec<Run<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Run<'a> {
    tool: Tool<'a>,
    automation_details: AutomationDetails,
    invocations: Vec<Invocation>,
    results: Vec<SarifResult<'a>>,
}

#[derive(Serialize)]
struct Tool<'a> {
    driver: Component<'a>,
    extensions: Vec<Component<'a>>,
}

#[derive(Serialize)]
struct Component<'a> {
    name: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    version: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rules: Vec<Rule<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Rule<'a> {
    id: &'a str,
    short_description: Message,
}

/// Tells the runs of one file apart, and a run from the one of the commit before.
#[derive(Serialize)]
struct AutomationDetails {
    id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Invocation {
    execution_successful: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_execution_notifications: Vec<Notification>,
}

#[derive(Serialize)]
struct Notification {
    level: &'static str,
    message: Message,
}

#[derive(Serialize)]
struct Message {
    text: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SarifResult<'a> {
    rule_id: &'a str,
    rule_index: usize,
    level: &'static str,
    message: Message,
    locations: [Location<'a>; 1],
    /// Empty means "not suppressed"; absent would mean "not known".
    suppressions: Vec<Suppression>,
    properties: Properties<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Location<'a> {
    physical_location: PhysicalLocation,
    logical_locations: [LogicalLocation<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PhysicalLocation {
    artifact_location: ArtifactLocation,
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<Region>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ArtifactLocation {
    uri: String,
    uri_base_id: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Region {
    start_line: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LogicalLocation<'a> {
    fully_qualified_name: &'a str,
}

#[derive(Serialize)]
struct Suppression {
    kind: &'static str,
    status: &'static str,
    justification: &'static str,
}

#[derive(Serialize)]
struct Properties<'a> {
    stage: &'a str,
    severity: Severity,
    standing: Standing,
}

fn run<'a>(id: StageId, records: &[&'a StageRecord]) -> Run<'a> {
    let rules: BTreeSet<&str> =
        records.iter().flat_map(|record| &record.findings).map(|finding| finding.rule.as_str()).collect();
    let tools: BTreeSet<(&str, &str)> = records
        .iter()
        .flat_map(|record| &record.tools)
        .map(|tool| (tool.name.as_str(), tool.version.as_str()))
        .collect();
    let index: BTreeMap<&str, usize> = rules.iter().enumerate().map(|(at, rule)| (*rule, at)).collect();
    let results = records.iter().flat_map(|record| {
        record
            .findings
            .iter()
            .map(|finding| result(finding, record, index.get(finding.rule.as_str()).copied()))
    });
    Run {
        automation_details: AutomationDetails { id: format!("slipway/{id}/") },
        invocations: records.iter().map(|record| invocation(record)).collect(),
        results: results.collect(),
        tool: Tool {
            driver: Component {
                name: format!("slipway-{id}"),
                version: env!("CARGO_PKG_VERSION"),
                rules: rules
                    .iter()
                    .map(|rule| Rule {
                        id: rule,
                        short_description: Message { text: format!("{rule} ({id})") },
                    })
                    .collect(),
            },
            extensions: tools
                .into_iter()
                .map(|(name, version)| Component { name: name.to_owned(), version, rules: Vec::new() })
                .collect(),
        },
    }
}

fn invocation(record: &StageRecord) -> Invocation {
    let saw_everything = match record.outcome {
        OutcomeKind::Passed | OutcomeKind::Rejected => true,
        OutcomeKind::Broke | OutcomeKind::TimedOut | OutcomeKind::Cancelled | OutcomeKind::Skipped => false,
    };
    let notification = (!saw_everything).then(|| Notification {
        level: "error",
        message: Message {
            text: format!("{} {}: {}", record.name(), block::word(record.outcome), summary::because(record)),
        },
    });
    Invocation {
        execution_successful: saw_everything,
        tool_execution_notifications: notification.into_iter().collect(),
    }
}

fn result<'a>(finding: &'a Finding, record: &'a StageRecord, rule: Option<usize>) -> SarifResult<'a> {
    let waived = finding.standing == Standing::Waived;
    let suppression = Suppression {
        kind: "external",
        status: "accepted",
        justification: "waived in pipeline.yaml until it expires",
    };
    let line = finding.line.filter(|line| *line > 0 && finding.file.is_some());
    SarifResult {
        rule_id: &finding.rule,
        rule_index: rule.unwrap_or_default(),
        level: level(finding.severity),
        message: Message { text: finding.message.clone() },
        locations: [Location {
            physical_location: PhysicalLocation {
                artifact_location: ArtifactLocation {
                    uri: uri(finding.file.as_deref().unwrap_or(NO_PLACE)),
                    uri_base_id: ROOT,
                },
                region: line.map(|start_line| Region { start_line }),
            },
            logical_locations: [LogicalLocation { fully_qualified_name: record.id.as_str() }],
        }],
        suppressions: if waived { vec![suppression] } else { Vec::new() },
        properties: Properties {
            stage: record.id.as_str(),
            severity: finding.severity,
            standing: finding.standing,
        },
    }
}

/// What is not known is not harmless.
const fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical | Severity::High => "error",
        Severity::Medium | Severity::Unknown => "warning",
        Severity::Low => "note",
    }
}

/// A path as a relative reference. The colon is escaped too: in the first part of a path it would end a scheme.
fn uri(path: &str) -> String {
    let path = path.trim_start_matches("./").trim_start_matches('/');
    let mut uri = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/@+=".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            uri.push_str(&format!("%{byte:02X}"));
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_relative_references() {
        assert_eq!(uri("app/src/main.rs"), "app/src/main.rs");
        assert_eq!(uri("./a b:c%/ä?#"), "a%20b%3Ac%25/%C3%A4%3F%23");
        assert_eq!(uri("//host/x"), "host/x");
    }
}
