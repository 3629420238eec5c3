//! Why a source could not give a tool.

use std::fmt;
use std::io;
use std::path::Path;

/// A source that was tried in vain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// The source: `archive https://…`.
    pub source: String,
    /// What kind of failure it was.
    pub reason: Reason,
    /// What it answered, in one line.
    pub why: String,
}

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.source, self.why)
    }
}

/// Kinds of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// This machine lacks what the source needs, or the source has nothing for this machine.
    Unsuitable,
    /// It was tried and did not work.
    Failed,
    /// What came is not what is pinned. Never a matter of the network: somebody should look.
    Refused,
    /// The run was stopped.
    Cancelled,
}

/// A tool, or a scanner's data, that could not be had, with every source that was tried.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` could not be had{}", list(tried))]
pub struct Unavailable {
    /// The tool.
    pub name: String,
    /// Every source, in the order in which it was tried.
    pub tried: Vec<Tried>,
}

fn list(tried: &[Tried]) -> String {
    tried.iter().map(|tried| format!("\n  {tried}")).collect()
}

/// A failure whose source is not known yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub reason: Reason,
    pub why: String,
}

impl Failure {
    pub(super) fn unsuitable(why: impl Into<String>) -> Failure {
        Failure { reason: Reason::Unsuitable, why: why.into() }
    }

    pub(super) fn failed(why: impl Into<String>) -> Failure {
        Failure { reason: Reason::Failed, why: why.into() }
    }

    pub(super) fn refused(why: impl Into<String>) -> Failure {
        Failure { reason: Reason::Refused, why: why.into() }
    }

    pub(super) fn cancelled() -> Failure {
        Failure { reason: Reason::Cancelled, why: "stopped".to_owned() }
    }

    /// For `map_err` on file operations.
    pub(super) fn io(doing: &str, path: &Path) -> impl FnOnce(io::Error) -> Failure + use<> {
        let at = format!("{doing} {}", path.display());
        move |error| Failure::failed(format!("{at}: {error}"))
    }

    pub(super) fn of(self, source: impl Into<String>) -> Tried {
        Tried { source: source.into(), reason: self.reason, why: self.why }
    }
}
