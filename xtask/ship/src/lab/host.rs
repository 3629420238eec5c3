//! How the lab's commands run programs: under the supervisor, so that nothing outlives the command. The one exception, the
//! machines themselves, is in `daemon`.

use super::error::LabError;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;
use xtask_core::cancel::Cancel;
use xtask_core::config::Ambient;
use xtask_core::process::{Command, Exit, Stdin, Supervisor, signals};
use xtask_core::redact::Redactor;

/// This machine, as the lab's commands use it.
#[derive(Debug)]
pub(super) struct Host {
    supervisor: Supervisor,
    cancel: Cancel,
    ambient: Ambient,
}

impl Host {
    /// Listens for signals from now on, inside the running runtime.
    pub(super) fn new(ambient: &Ambient) -> std::io::Result<Host> {
        let cancel = signals::listen(|_| {})?;
        Ok(Host { supervisor: Supervisor::new(Redactor::new([])), cancel, ambient: ambient.clone() })
    }

    /// A program of PATH.
    pub(super) fn find(&self, name: &str) -> Option<PathBuf> {
        // Administrators' programs are often not on the PATH of a user who became root.
        let more = ["/usr/sbin", "/sbin"].map(PathBuf::from);
        self.ambient
            .path()
            .into_iter()
            .chain(more)
            .map(|folder| folder.join(name))
            .find(|path| path.is_file())
    }

    /// Waits, unless the command is stopped.
    pub(super) async fn pause(&self, duration: Duration) -> Result<(), LabError> {
        tokio::select! {
            () = tokio::time::sleep(duration) => Ok(()),
            () = self.cancel.raised() => Err(LabError::Cancelled),
        }
    }

    /// A command with the usual environment.
    pub(super) fn command(&self, program: impl Into<OsString>, cwd: &Path) -> Command {
        let mut command = Command::new(program, cwd);
        command.env = self.ambient.base();
        command
    }

    /// Runs a program to its end and gives its standard output. `what` it does begins the error.
    pub(super) async fn run(
        &self,
        what: &str,
        command: Command,
        mut on_line: impl FnMut(&str) + Send,
    ) -> Result<String, LabError> {
        let log = command.log.clone();
        let broke = |why: String| LabError::Broke { what: what.to_owned(), why, log: log.clone() };
        let finished = self
            .supervisor
            .run(command, None, &self.cancel, |_, line| on_line(line))
            .await
            .map_err(|error| broke(error.to_string()))?;
        match finished.exit {
            Exit::Code(0) => String::from_utf8(finished.stdout.bytes().to_vec())
                .map_err(|_| broke("it answered with something that is no text".to_owned())),
            Exit::Cancelled | Exit::TimedOut => Err(LabError::Cancelled),
            Exit::Code(_) | Exit::Signal(_) => Err(broke(finished.tail.join("\n"))),
        }
    }

    /// Runs a program with these arguments, and with this as its standard input.
    pub(super) async fn ask<S: Into<OsString>>(
        &self,
        what: &str,
        program: &Path,
        args: impl IntoIterator<Item = S>,
        input: Option<Vec<u8>>,
    ) -> Result<String, LabError> {
        let here =
            std::env::current_dir().map_err(|error| LabError::broke("no working directory", &error))?;
        let mut command = self.command(program, &here);
        command.args = args.into_iter().map(Into::into).collect();
        command.stdin = input.map_or(Stdin::Null, Stdin::Bytes);
        self.run(what, command, |_| {}).await
    }

    /// Ends the guard.
    pub(super) async fn close(self) {
        self.supervisor.shutdown().await;
    }
}
