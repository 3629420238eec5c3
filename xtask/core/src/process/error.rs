//! Why a child could not be run to its end.

use crate::error::StageError;
use rustix::io::Errno;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

/// Why a child could not be run to its end. How it ended, if it did, is [`Exit`](super::Exit).
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// No such program.
    #[error("`{}` was not found{}", program.display(), tried(searched))]
    NotFound {
        /// As asked for.
        program: OsString,
        /// Every file that would have done.
        searched: Vec<PathBuf>,
    },
    /// The file is there but cannot be executed.
    #[error("{} cannot be executed: {why}", program.display())]
    NotExecutable {
        /// The file.
        program: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The directory to run in cannot be used.
    #[error("cannot run in {}: {source}", path.display())]
    BadDirectory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Arguments and environment are more than the system passes on.
    #[error("the arguments and the environment of {} are longer than this system allows", program.display())]
    TooLong {
        /// The file.
        program: PathBuf,
    },
    /// An argument or a variable holds a zero byte, which no system can pass on.
    #[error("an argument or variable of `{}` holds a zero byte: {what:?}", program.display())]
    ZeroByte {
        /// As asked for.
        program: OsString,
        /// The argument, or the variable's name or value.
        what: String,
    },
    /// The log could not be written; the child was stopped.
    #[error("cannot write the log {}: {source}", path.display())]
    Log {
        /// The log.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The system refused a process or a pipe.
    #[error("cannot start {}: {source}", program.display())]
    System {
        /// The file.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The guard process is gone, and with it what it guarded.
    #[error("{0}")]
    Guard(String),
}

fn tried(searched: &[PathBuf]) -> String {
    let shown: Vec<String> = searched.iter().map(|path| path.display().to_string()).collect();
    if shown.is_empty() { ": PATH is empty".to_owned() } else { format!("; tried {}", shown.join(", ")) }
}

impl ProcessError {
    /// What the guard's failed attempt to spawn means.
    pub(super) fn refused(program: &Path, errno: i32) -> Self {
        let program = program.to_path_buf();
        // The file itself was there a moment ago, so ENOENT is about the interpreter in its first line.
        let why = match Errno::from_raw_os_error(errno) {
            Errno::NOENT => "the interpreter that it names is missing",
            Errno::ACCESS => "this user may not",
            Errno::NOEXEC => "it is not a program for this system",
            Errno::TOOBIG => return ProcessError::TooLong { program },
            _ => {
                return ProcessError::System { program, source: io::Error::from_raw_os_error(errno) };
            }
        };
        ProcessError::NotExecutable { program, why }
    }
}

impl From<ProcessError> for StageError {
    fn from(error: ProcessError) -> Self {
        let how = error.to_string();
        match error {
            ProcessError::NotFound { program, searched } => StageError::ToolMissing {
                tool: program.to_string_lossy().into_owned(),
                tried: searched.iter().map(|path| format!("{} does not exist", path.display())).collect(),
            },
            ProcessError::Log { path, source } => StageError::Io { doing: "cannot write", path, source },
            ProcessError::BadDirectory { path, source } => {
                StageError::Io { doing: "cannot run in", path, source }
            }
            ProcessError::ZeroByte { .. } => StageError::Config(how),
            ProcessError::NotExecutable { program, .. }
            | ProcessError::TooLong { program }
            | ProcessError::System { program, .. } => {
                let tool = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned();
                StageError::ToolBroke { tool, how: format!("did not start: {how}"), log: None }
            }
            ProcessError::Guard(how) => StageError::ToolBroke {
                tool: "xtask __guard".to_owned(),
                how: format!("failed: {how}"),
                log: None,
            },
        }
    }
}
