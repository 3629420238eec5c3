//! Runs a program for the installers. Stands in for the supervisor of `process` with the same shape, until that is there.

use crate::cancel::Cancel;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// A program to run. Nothing of our own environment passes to it but `env`.
#[derive(Debug, Clone)]
pub(super) struct Command {
    pub program: PathBuf,
    pub args: Vec<OsString>,
    pub cwd: PathBuf,
    pub env: BTreeMap<OsString, OsString>,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    Code(i32),
    Signal(i32),
    TimedOut,
    Cancelled,
}

/// What is left of a program that ended.
#[derive(Debug)]
pub(super) struct Finished {
    pub exit: Exit,
    pub stdout: String,
    /// The last lines of both streams.
    pub tail: Vec<String>,
}

/// Runs programs.
#[derive(Debug, Clone, Default)]
pub(super) struct Spawner;

struct KillOnDrop(Option<rustix::process::Pid>);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            // It may just have ended by itself.
            let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
        }
    }
}

impl Spawner {
    pub(super) async fn run(
        &self,
        command: Command,
        deadline: Duration,
        cancel: &Cancel,
        mut on_line: impl FnMut(&str),
    ) -> std::io::Result<Finished> {
        #[expect(
            clippy::disallowed_methods,
            reason = "stands in for the supervisor of process/"
        )]
        let mut child = std::process::Command::new(&command.program)
            .args(&command.args)
            .current_dir(&command.cwd)
            .env_clear()
            .envs(command.env)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()?;
        let mut guard = KillOnDrop(
            i32::try_from(child.id())
                .ok()
                .and_then(rustix::process::Pid::from_raw),
        );
        let (line_to, mut line_from) = mpsc::unbounded_channel();
        if let Some(pipe) = child.stdout.take() {
            read_lines(pipe, true, line_to.clone());
        }
        if let Some(pipe) = child.stderr.take() {
            read_lines(pipe, false, line_to.clone());
        }
        drop(line_to);
        let (end_to, mut end_from) = oneshot::channel::<std::io::Result<ExitStatus>>();
        std::thread::spawn(move || {
            let _ = end_to.send(child.wait());
        });
        let (mut stdout, mut tail) = (String::new(), Vec::new());
        let mut stopped = None;
        let ended = async {
            while let Some((is_stdout, line)) = line_from.recv().await {
                on_line(&line);
                if is_stdout {
                    stdout.push_str(&line);
                    stdout.push('\n');
                }
                tail.push(line);
            }
            (&mut end_from).await
        };
        let status = tokio::select! {
            status = ended => Some(status),
            () = tokio::time::sleep(deadline) => { stopped = Some(Exit::TimedOut); None }
            () = cancel.raised() => { stopped = Some(Exit::Cancelled); None }
        };
        let exit = match (stopped, status) {
            (Some(exit), _) => exit,
            (None, Some(Ok(status))) => {
                guard.0 = None;
                let status = status?;
                match (status.code(), status.signal()) {
                    (Some(code), _) => Exit::Code(code),
                    (None, signal) => Exit::Signal(signal.unwrap_or_default()),
                }
            }
            (None, _) => Exit::Signal(0),
        };
        tail.drain(..tail.len().saturating_sub(20));
        Ok(Finished { exit, stdout, tail })
    }
}

fn read_lines(pipe: impl Read + Send + 'static, is_stdout: bool, to: mpsc::UnboundedSender<(bool, String)>) {
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
            let _ = to.send((
                is_stdout,
                String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned(),
            ));
        }
    });
}
