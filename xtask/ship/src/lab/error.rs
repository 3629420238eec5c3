//! What can go wrong with a lab, with its exit code and the next command.

use std::io;
use std::path::{Path, PathBuf};
use xtask_core::error::ExitCode;

/// Why a lab's command could not do its work.
#[derive(Debug, thiserror::Error)]
pub(super) enum LabError {
    /// The command line asks for what is not there.
    #[error("{0}")]
    Usage(String),
    /// This machine cannot run one; every reason.
    #[error("this machine cannot run a lab:\n  - {}", .0.join("\n  - "))]
    Unfit(Vec<String>),
    /// A program is not on PATH.
    #[error("{0} is not on PATH")]
    Missing(String),
    /// A program failed.
    #[error("{what}: {why}")]
    Broke {
        /// What it was to do.
        what: String,
        /// What it said.
        why: String,
        /// Where all of it is.
        log: Option<PathBuf>,
    },
    /// Something did not get ready in time.
    #[error("{what} was not ready within {seconds} s: {why}")]
    TimedOut {
        /// What.
        what: String,
        /// How long it was waited for.
        seconds: u64,
        /// What it answered last.
        why: String,
        /// Where its logs are.
        log: PathBuf,
    },
    /// A file.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// Read, write, make, remove.
        doing: &'static str,
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The command was stopped.
    #[error("stopped")]
    Cancelled,
}

impl LabError {
    /// Gives an error of the system its file.
    pub(super) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> LabError {
        let path = path.to_path_buf();
        move |source| LabError::Io { doing, path, source }
    }

    /// A program's failure.
    pub(super) fn broke(what: impl Into<String>, why: &impl ToString) -> LabError {
        LabError::Broke { what: what.into(), why: why.to_string(), log: None }
    }

    /// The exit code.
    pub(super) fn code(&self) -> ExitCode {
        match self {
            LabError::Usage(_) => ExitCode::Usage,
            LabError::Unfit(_) | LabError::Missing(_) => ExitCode::ToolMissing,
            LabError::Broke { .. } | LabError::Io { .. } => ExitCode::ToolBroke,
            LabError::TimedOut { .. } => ExitCode::TimedOut,
            LabError::Cancelled => ExitCode::Cancelled,
        }
    }

    /// What to do next.
    pub(super) fn hint(&self) -> Option<String> {
        match self {
            LabError::Usage(_) => Some("`cargo xtask lab status` shows the labs".to_owned()),
            LabError::Unfit(_) => Some(
                "with a Docker engine and kind on PATH, `cargo xtask lab up --driver kind` works elsewhere too"
                    .to_owned(),
            ),
            LabError::Missing(_) => None,
            LabError::Broke { log: Some(log), .. } => Some(format!("all of what it said: {}", log.display())),
            LabError::TimedOut { log, .. } => Some(format!("the logs are in {}", log.display())),
            LabError::Broke { log: None, .. } | LabError::Io { .. } | LabError::Cancelled => {
                Some("`cargo xtask lab up` again goes on from here, `lab down` removes it".to_owned())
            }
        }
    }
}
