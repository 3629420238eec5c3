//! How a stage can end, and what was found on the way. The outcome space is closed: every place that reads it matches all of it.

use crate::error::{ExitCode, StageError};
use crate::ids::NodeId;
use serde::{Deserialize, Serialize};
use std::fmt;

/// How bad a finding is, in the words that scanners share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The tool gave no severity, or one that is not known here.
    Unknown,
    /// Worth reading.
    Low,
    /// Worth mending.
    Medium,
    /// Must be mended soon.
    High,
    /// Must be mended now.
    Critical,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Severity::Unknown => "unknown",
            Severity::Low => "low",
            Severity::Medium => "medium",
            Severity::High => "high",
            Severity::Critical => "critical",
        })
    }
}

/// What policy made of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// It rejects the stage.
    Blocks,
    /// Below the limit: shown, nothing more.
    Noted,
    /// It would block, but a waiver in `pipeline.yaml` covers it until it expires.
    Waived,
}

/// One thing that a stage found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Finding {
    /// What policy made of it.
    pub standing: Standing,
    /// The rule's name in the tool that found it: `CVE-2026-0001`, `DL3008`, `CKV_AWS_39`.
    pub rule: String,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in one sentence.
    pub message: String,
    /// The file, relative to the repository's root with forward slashes.
    pub file: Option<String>,
    /// The line in that file, from 1.
    pub line: Option<u32>,
}

/// What policy decided about a stage's facts: every finding with its standing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verdict {
    findings: Vec<Finding>,
}

impl Verdict {
    /// Nothing was found.
    pub fn clean() -> Self {
        Verdict::default()
    }

    /// A verdict on these findings, sorted so that what blocks comes first and equal runs print equal bytes.
    pub fn on(mut findings: Vec<Finding>) -> Self {
        findings.sort_by(|a, b| {
            (a.standing, std::cmp::Reverse(a.severity), &a.file, a.line, &a.rule, &a.message).cmp(&(
                b.standing,
                std::cmp::Reverse(b.severity),
                &b.file,
                b.line,
                &b.rule,
                &b.message,
            ))
        });
        findings.dedup();
        Verdict { findings }
    }

    /// Whether anything blocks.
    pub fn rejects(&self) -> bool {
        self.findings.iter().any(|finding| finding.standing == Standing::Blocks)
    }

    /// The findings, what blocks first.
    pub fn into_findings(self) -> Vec<Finding> {
        self.findings
    }
}

/// Why a stage did not run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum Why {
    /// A stage that it needs did not pass.
    Upstream {
        /// That stage.
        node: NodeId,
    },
    /// A tool, or its data, could not be had on this machine.
    Unreachable {
        /// The tool.
        tool: String,
        /// Each source that was tried and what it answered.
        tried: Vec<String>,
    },
    /// `--without` named it.
    Without,
    /// `--affected` found no change in its inputs.
    Unaffected,
    /// Something else failed first and `--keep-going` was not given.
    FailFast,
}

impl Why {
    /// Whether something that should have been checked was not.
    pub fn leaves_a_gap(&self) -> bool {
        match self {
            Why::Unreachable { .. } | Why::Without | Why::Upstream { .. } | Why::FailFast => true,
            Why::Unaffected => false,
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::Upstream { node } => write!(f, "{node} did not pass"),
            Why::Unreachable { tool, tried } if tried.is_empty() => write!(f, "{tool} could not be had"),
            Why::Unreachable { tool, tried } => write!(f, "{tool} could not be had ({})", tried.join("; ")),
            Why::Without => f.write_str("left out by --without"),
            Why::Unaffected => f.write_str("nothing that it reads has changed"),
            Why::FailFast => f.write_str("not started, another stage failed first (--keep-going runs it)"),
        }
    }
}

/// How a stage ended.
#[derive(Debug)]
pub enum Outcome {
    /// Policy accepts what was seen.
    Passed,
    /// Policy refuses what was seen; the findings say why.
    Rejected,
    /// The stage could not see what it should see. Never a pass.
    Broke(StageError),
    /// The deadline passed.
    TimedOut,
    /// The run was stopped.
    Cancelled,
    /// It did not run.
    Skipped(Why),
}

impl Outcome {
    /// The exit code that this outcome asks for.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Outcome::Passed | Outcome::Skipped(_) => ExitCode::Passed,
            Outcome::Rejected => ExitCode::Rejected,
            Outcome::Broke(error) => error.exit_code(),
            Outcome::TimedOut => ExitCode::TimedOut,
            Outcome::Cancelled => ExitCode::Cancelled,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(standing: Standing, severity: Severity, rule: &str) -> Finding {
        Finding { standing, rule: rule.into(), severity, message: "m".into(), file: None, line: None }
    }

    #[test]
    fn a_verdict_puts_what_blocks_first_and_the_worst_of_it_on_top() {
        let verdict = Verdict::on(vec![
            finding(Standing::Noted, Severity::Critical, "a"),
            finding(Standing::Blocks, Severity::High, "b"),
            finding(Standing::Blocks, Severity::Critical, "c"),
            finding(Standing::Blocks, Severity::Critical, "c"),
        ]);
        assert!(verdict.rejects());
        let rules: Vec<_> = verdict.into_findings().into_iter().map(|f| f.rule).collect();
        assert_eq!(rules, ["c", "b", "a"]);
    }

    #[test]
    fn noted_and_waived_findings_do_not_reject() {
        assert!(!Verdict::on(vec![finding(Standing::Noted, Severity::Critical, "a")]).rejects());
        assert!(!Verdict::on(vec![finding(Standing::Waived, Severity::Critical, "a")]).rejects());
        assert!(!Verdict::clean().rejects());
    }
}
