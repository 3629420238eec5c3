//! What can go wrong in a stage, and the exit codes. One exhaustive match leads from either to the other.
//!
//! Errors say what failed, on which input, and what to do next; they are rendered at the edge and never print themselves.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;

/// The exit codes of every command. The numbers are an interface: they do not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExitCode {
    /// Everything that ran was accepted.
    Passed,
    /// The command line or the configuration is wrong.
    Usage,
    /// Policy rejected something.
    Rejected,
    /// A guard refused to touch the world.
    GuardRefused,
    /// A bad release was rolled back, and the rollback was verified.
    RolledBack,
    /// A bad release was rolled back; that it works now could not be verified.
    RolledBackUnverified,
    /// A bad release was not rolled back: a person is needed.
    NeedsHuman,
    /// A tool broke: it died, or what it said could not be read.
    ToolBroke,
    /// A tool is missing and could not be had.
    ToolMissing,
    /// A deadline passed.
    TimedOut,
    /// A fault of this program.
    OurBug,
    /// The run was stopped.
    Cancelled,
}

impl ExitCode {
    /// Every code, in the order of its number.
    pub const ALL: [ExitCode; 12] = [
        ExitCode::Passed,
        ExitCode::Usage,
        ExitCode::Rejected,
        ExitCode::GuardRefused,
        ExitCode::RolledBack,
        ExitCode::RolledBackUnverified,
        ExitCode::NeedsHuman,
        ExitCode::ToolBroke,
        ExitCode::ToolMissing,
        ExitCode::TimedOut,
        ExitCode::OurBug,
        ExitCode::Cancelled,
    ];

    /// The number that the process exits with.
    pub const fn number(self) -> u8 {
        match self {
            ExitCode::Passed => 0,
            ExitCode::Usage => 2,
            ExitCode::Rejected => 10,
            ExitCode::GuardRefused => 11,
            ExitCode::RolledBack => 12,
            ExitCode::RolledBackUnverified => 13,
            ExitCode::NeedsHuman => 14,
            ExitCode::ToolBroke => 20,
            ExitCode::ToolMissing => 21,
            ExitCode::TimedOut => 30,
            ExitCode::OurBug => 70,
            ExitCode::Cancelled => 130,
        }
    }

    /// What the code says, in the words of the table in OPERATIONS.md.
    pub const fn meaning(self) -> &'static str {
        match self {
            ExitCode::Passed => "passed",
            ExitCode::Usage => "usage or configuration",
            ExitCode::Rejected => "rejected by policy",
            ExitCode::GuardRefused => "guard refused",
            ExitCode::RolledBack => "bad release, rolled back and verified",
            ExitCode::RolledBackUnverified => "rolled back, not verified",
            ExitCode::NeedsHuman => "not rolled back, a person is needed",
            ExitCode::ToolBroke => "a tool broke",
            ExitCode::ToolMissing => "a tool is missing",
            ExitCode::TimedOut => "timed out",
            ExitCode::OurBug => "our bug",
            ExitCode::Cancelled => "cancelled",
        }
    }

    /// Of several codes the one that a run exits with: the code that most needs a person's attention wins.
    ///
    /// A stop beats everything, because what came after it says nothing; then our own faults, then what the world needs, then
    /// what could not be seen, then what was seen and refused.
    pub fn worst(codes: impl IntoIterator<Item = ExitCode>) -> ExitCode {
        codes.into_iter().max_by_key(|code| code.rank()).unwrap_or(ExitCode::Passed)
    }

    /// The code with this number. A number that this program does not know is our bug.
    pub fn of(number: u8) -> ExitCode {
        ExitCode::ALL.into_iter().find(|code| code.number() == number).unwrap_or(ExitCode::OurBug)
    }

    const fn rank(self) -> u8 {
        match self {
            ExitCode::Passed => 0,
            ExitCode::Rejected => 1,
            ExitCode::ToolMissing => 2,
            ExitCode::ToolBroke => 3,
            ExitCode::TimedOut => 4,
            ExitCode::GuardRefused => 5,
            ExitCode::RolledBack => 6,
            ExitCode::RolledBackUnverified => 7,
            ExitCode::NeedsHuman => 8,
            ExitCode::Usage => 9,
            ExitCode::OurBug => 10,
            ExitCode::Cancelled => 11,
        }
    }
}

/// Failures that another try may mend. Nothing else is ever retried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transient {
    /// A registry or server answered 429 or 503.
    Throttled,
    /// A connection was reset, refused half-way, or its TLS handshake broke.
    ConnectionReset,
    /// A name could not be resolved for the moment.
    Dns,
    /// Somebody else holds a lock (package cache, state).
    LockHeld,
}

impl fmt::Display for Transient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Transient::Throttled => "throttled by the server",
            Transient::ConnectionReset => "connection reset",
            Transient::Dns => "name not resolved",
            Transient::LockHeld => "a lock is held by another process",
        })
    }
}

/// Why a stage broke.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// A tool that is pinned in `tools.lock`, or a program that a check names, is not on this machine.
    #[error("`{tool}` is missing{}", list(tried))]
    ToolMissing {
        /// The tool or program.
        tool: String,
        /// Each place that was tried and what it answered.
        tried: Vec<String>,
    },
    /// Something else than a tool is not on this machine: an engine, a cluster.
    #[error("{what}")]
    Absent {
        /// What is not there, and what that keeps from being done.
        what: String,
        /// What would help.
        remedy: &'static str,
    },
    /// A guard refused to touch the world.
    #[error("{what}")]
    Refused {
        /// What was expected and what was found.
        what: String,
        /// What would make it acceptable.
        remedy: &'static str,
    },
    /// A tool ended in a way that says nothing about its input: by a signal, or with a code that it uses for its own faults.
    #[error("`{tool}` {how}")]
    ToolBroke {
        /// The tool.
        tool: String,
        /// How it ended: `died of signal 9 (SIGKILL)`, `exited with 2`.
        how: String,
        /// Where all of its output is.
        log: Option<PathBuf>,
    },
    /// A tool's output is not what its adapter can read.
    #[error("the output of `{tool}` cannot be read: {why}")]
    Unreadable {
        /// The tool.
        tool: String,
        /// What was expected and what was found, with the place.
        why: String,
    },
    /// A failure that another try may mend, and that outlived its tries.
    #[error("`{tool}`: {kind}")]
    Transient {
        /// The tool.
        tool: String,
        /// The kind of failure.
        kind: Transient,
        /// Where all of its output is.
        log: Option<PathBuf>,
    },
    /// A file could not be read or written.
    #[error("{doing} {}: {source}", path.display())]
    Io {
        /// What was tried: `cannot write`.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The configuration asks for something that cannot be done.
    #[error("{0}")]
    Config(String),
    /// The deadline passed.
    #[error("the deadline passed")]
    TimedOut,
    /// The run was stopped.
    #[error("stopped")]
    Cancelled,
    /// A fault of this program.
    #[error("{0}; this is a fault of xtask, please report it")]
    Bug(String),
}

fn list(tried: &[String]) -> String {
    if tried.is_empty() { String::new() } else { format!(": {}", tried.join("; ")) }
}

impl StageError {
    /// The exit code that this error asks for.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            StageError::ToolMissing { .. } | StageError::Absent { .. } => ExitCode::ToolMissing,
            StageError::Refused { .. } => ExitCode::GuardRefused,
            StageError::ToolBroke { .. }
            | StageError::Unreadable { .. }
            | StageError::Transient { .. }
            | StageError::Io { .. } => ExitCode::ToolBroke,
            StageError::Config(_) => ExitCode::Usage,
            StageError::TimedOut => ExitCode::TimedOut,
            StageError::Cancelled => ExitCode::Cancelled,
            StageError::Bug(_) => ExitCode::OurBug,
        }
    }

    /// The kind of failure, if another try may mend it.
    pub fn transient(&self) -> Option<Transient> {
        match self {
            StageError::Transient { kind, .. } => Some(*kind),
            StageError::ToolMissing { .. }
            | StageError::Absent { .. }
            | StageError::Refused { .. }
            | StageError::ToolBroke { .. }
            | StageError::Unreadable { .. }
            | StageError::Io { .. }
            | StageError::Config(_)
            | StageError::TimedOut
            | StageError::Cancelled
            | StageError::Bug(_) => None,
        }
    }

    /// What to do next, if there is something to do.
    pub fn hint(&self) -> Option<String> {
        match self {
            StageError::ToolMissing { tool, .. } => {
                Some(format!("`cargo xtask tools sync {tool}` tries again and shows each source"))
            }
            StageError::Absent { remedy, .. } | StageError::Refused { remedy, .. } => {
                Some((*remedy).to_owned())
            }
            StageError::ToolBroke { log: Some(log), .. } | StageError::Transient { log: Some(log), .. } => {
                Some(format!("all of its output: {}", log.display()))
            }
            StageError::Unreadable { tool, .. } => {
                Some(format!("`cargo xtask tools verify {tool}` checks that it is the version in tools.lock"))
            }
            StageError::Config(_) => {
                Some("`cargo xtask doctor` checks pipeline.yaml and every need".to_owned())
            }
            StageError::ToolBroke { log: None, .. }
            | StageError::Transient { log: None, .. }
            | StageError::Io { .. }
            | StageError::TimedOut
            | StageError::Cancelled
            | StageError::Bug(_) => None,
        }
    }

    /// For `map_err` on file operations.
    pub fn io(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> StageError {
        let path = path.into();
        move |source| StageError::Io { doing, path, source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_the_table() {
        let numbers: Vec<u8> = ExitCode::ALL.iter().map(|code| code.number()).collect();
        assert_eq!(numbers, [0, 2, 10, 11, 12, 13, 14, 20, 21, 30, 70, 130]);
    }

    #[test]
    fn a_stop_beats_a_rejection_and_a_broken_tool_is_never_hidden_by_one() {
        use ExitCode::*;
        assert_eq!(ExitCode::worst([]), Passed);
        assert_eq!(ExitCode::worst([Passed, Rejected]), Rejected);
        assert_eq!(ExitCode::worst([Rejected, ToolBroke]), ToolBroke);
        assert_eq!(ExitCode::worst([Cancelled, OurBug, Rejected]), Cancelled);
    }

    #[test]
    fn every_code_has_a_rank_of_its_own() {
        let mut ranks: Vec<u8> = ExitCode::ALL.iter().map(|code| code.rank()).collect();
        ranks.sort_unstable();
        ranks.dedup();
        assert_eq!(ranks.len(), ExitCode::ALL.len());
    }
}
