//! The report of a run: versioned JSON, the protocol between jobs, laptops and people.
//!
//! A reporter's lasting output is a function of this value alone; that is what makes `replay` exact.

use crate::error::ExitCode;
use crate::ids::{ServiceName, StageId};
use crate::outcome::{Finding, Why};
use serde::{Deserialize, Serialize};

/// The version of the report that this program writes and reads.
pub const SCHEMA: u32 = 1;

/// A whole run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunReport {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The run as a whole.
    pub run: RunInfo,
    /// Every node, in the order in which they ended.
    pub stages: Vec<StageRecord>,
    /// What became of releases, for commands that release.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub releases: Vec<ReleaseRecord>,
}

/// What became of a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseRecord {
    /// The environment's name.
    pub environment: String,
    /// The release's name.
    pub release: String,
    /// The phase in which it ended, as the journal spells it; `smoke` if it was only asked, `none` if it was left alone.
    pub phase: String,
    /// What happened, in a sentence.
    pub summary: String,
    /// The revision that is there now, if that is known.
    pub revision: Option<u32>,
    /// The folder of the evidence, if something went wrong.
    pub evidence: Option<String>,
    /// Recordings of its watches, for `replay`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recordings: Vec<String>,
}

/// The run as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunInfo {
    /// Unique on this machine; sorts by time.
    pub id: String,
    /// The command as typed, without secrets.
    pub command: String,
    /// Start, RFC 3339, UTC.
    pub started: String,
    /// Wall time in milliseconds.
    pub duration_ms: u64,
    /// `passed` or the meaning of the exit code.
    pub outcome: String,
    /// The exit code.
    pub exit_code: u8,
}

/// The closed set of ways a stage can end, as the report spells them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeKind {
    /// Accepted.
    Passed,
    /// Refused by policy.
    Rejected,
    /// Could not see what it should see.
    Broke,
    /// The deadline passed.
    TimedOut,
    /// The run was stopped.
    Cancelled,
    /// It did not run.
    Skipped,
}

/// One node of the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageRecord {
    /// The stage.
    pub id: StageId,
    /// The service, for stages of a service.
    pub service: Option<ServiceName>,
    /// How it ended.
    pub outcome: OutcomeKind,
    /// Whether facts came from the cache.
    pub cached: bool,
    /// The input key, hexadecimal, for pure stages that got as far as computing it.
    pub key: Option<String>,
    /// Wall time in milliseconds; of the original run if `cached`.
    pub duration_ms: u64,
    /// How often it was tried; 0 if it did not run.
    pub attempts: u32,
    /// What was seen; the shape belongs to the stage. Null if it saw nothing.
    pub facts: serde_json::Value,
    /// What was found, what blocks first.
    pub findings: Vec<Finding>,
    /// The external tools that were used.
    pub tools: Vec<ToolRecord>,
    /// Where all output of its children is, relative to the root.
    pub log: Option<String>,
    /// Why it did not run, if `outcome` is `skipped`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<Why>,
    /// What went wrong, if `outcome` is `broke`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorRecord>,
    /// The last lines that its children printed, masked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tail: Vec<String>,
    /// What a person should know about the run of this stage itself: a corrupt cache entry, a retry.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// The exit code that this node asks for.
    pub exit_code: u8,
}

/// An external tool as it was used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolRecord {
    /// Its name in `tools.lock`, or the program's name.
    pub name: String,
    /// Its version, if it is pinned.
    pub version: String,
    /// SHA-256 of the file that was run.
    pub sha256: String,
}

/// An error as the report keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorRecord {
    /// What failed, on which input, with its causes.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
}

impl StageRecord {
    /// `stage` or `stage:service`.
    pub fn name(&self) -> String {
        match &self.service {
            Some(service) => format!("{}:{service}", self.id),
            None => self.id.to_string(),
        }
    }
}

impl RunReport {
    /// Reads a report, refusing other versions with a sentence that says what to do.
    pub fn parse(text: &str) -> Result<RunReport, ReadError> {
        #[derive(Deserialize)]
        struct Version {
            schema: u32,
        }
        let Version { schema } = serde_json::from_str(text).map_err(ReadError::NotAReport)?;
        if schema != SCHEMA {
            return Err(ReadError::OtherVersion(schema));
        }
        serde_json::from_str(text).map_err(ReadError::NotAReport)
    }
}

/// A report that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Not JSON, or not this shape.
    #[error("not a run report: {0}")]
    NotAReport(serde_json::Error),
    /// Written by another version of this program.
    #[error(
        "this report has schema {0}, this program reads schema {SCHEMA}: use the xtask of the commit that wrote it"
    )]
    OtherVersion(u32),
}

/// The run's outcome in the report's words.
pub fn outcome_word(code: ExitCode) -> String {
    code.meaning().to_owned()
}
