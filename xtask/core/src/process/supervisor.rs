//! Runs one child from start to end: drains its pipes, masks, logs, watches the clock and the stop signal.

use super::command::{Command, Stdin, StopPolicy};
use super::error::ProcessError;
use super::link::{Link, Task, gone};
use super::output::{Captured, LogError, Output};
use super::wire::{Reply, Spawn, Status, TaskId};
use crate::cancel::Cancel;
use crate::event::Stream;
use crate::redact::Redactor;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::unix::pipe;
use tokio::time::{Instant, sleep_until, timeout};

/// So much is read at once; half of what a pipe holds.
const BLOCK: usize = 32 << 10;
/// More than both pipes of a child can hold; it only ends the reading of one that somebody keeps filling.
const FULL_PIPES: usize = 1 << 20;
/// No grace is longer than this.
const LONGEST_GRACE: Duration = Duration::from_secs(3600);
/// The guard needs less to report a child that it has killed; a child that cannot be killed is not waited for.
const REPORT: Duration = Duration::from_secs(2);
/// A pipe that is still open so long after its task is over is held by something that the guard could not find.
const OPEN_PIPE: Duration = Duration::from_secs(1);
/// The guard ends sooner than this whatever happens.
const FAREWELL: Duration = Duration::from_secs(5);
/// Ctrl-C may reach the guard in the moment before it has left the terminal; then the stop signal is a moment away too.
const SAME_CTRL_C: Duration = Duration::from_millis(100);

/// Where every child comes from. Cheap to clone; all clones share one guard, which starts with the first child.
#[derive(Debug, Clone)]
pub struct Supervisor(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    redactor: Redactor,
    guard: PathBuf,
    link: Mutex<State>,
    next: AtomicU64,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Unused,
    Open(Arc<Link>),
    Closed,
}

/// A child that has run to its end.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub exit: Exit,
    /// Its standard output from the beginning, up to the command's limit. Not masked.
    pub stdout: Captured,
    /// The end of its standard error. Not masked.
    pub stderr: Captured,
    /// The last lines of both, masked.
    pub tail: Vec<String>,
    /// From the request to the end of its output.
    pub duration: Duration,
}

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By this signal, which did not come from here.
    Signal(i32),
    /// It was stopped because its deadline passed.
    TimedOut,
    /// It was stopped, or not even started, because the run was stopped.
    Cancelled,
}

impl Supervisor {
    /// A supervisor that masks with this redactor. The running binary must answer [`GUARD_ARGUMENT`](super::GUARD_ARGUMENT).
    pub fn new(redactor: Redactor) -> Self {
        // On Linux the link is right even when the file was replaced by a new build meanwhile.
        let this = Path::new("/proc/self/exe");
        let this =
            if this.exists() { this.to_path_buf() } else { std::env::current_exe().unwrap_or_default() };
        Supervisor::with_guard(redactor, this)
    }

    /// A supervisor whose guard is another binary: for tests, which do not run inside a binary that knows the argument.
    pub fn with_guard(redactor: Redactor, guard: impl Into<PathBuf>) -> Self {
        Supervisor(Arc::new(Shared {
            redactor,
            guard: guard.into(),
            link: Mutex::new(State::Unused),
            next: AtomicU64::new(1),
        }))
    }

    /// Runs a child to its end. `on_line` sees each line of its output as it comes: masked, as text, at most 4 KiB.
    ///
    /// Dropping the future stops the child by its policy, without waiting for it.
    ///
    /// # Errors
    /// Only if it could not be started, could not be logged, or the guard is gone; every way in which it ended is a [`Finished`].
    pub async fn run(
        &self,
        command: Command,
        deadline: Option<Instant>,
        cancel: &Cancel,
        mut on_line: impl FnMut(Stream, &str) + Send,
    ) -> Result<Finished, ProcessError> {
        let started = Instant::now();
        if cancel.is_raised() {
            return Ok(Finished::without_output(Exit::Cancelled, started));
        }
        let program = command.resolve()?;
        let mut output = Output::new(&self.0.redactor, command.stdout_limit, command.log.as_deref())?;
        let link = self.link()?;
        let id = self.0.next.fetch_add(1, Ordering::Relaxed);
        let mut child = Child::start(&link, id, program.clone(), command)?;

        let mut stopped = None;
        let mut raised = pin!(cancel.raised());
        let mut overdue = pin!(at(deadline));
        loop {
            let stop = tokio::select! {
                seen = child.next() => match seen {
                    Seen::Output(stream, bytes) => output.take(stream, bytes, &mut on_line).err().map(Stop::Log),
                    Seen::Refused(errno) => return Err(ProcessError::refused(&program, errno)),
                    Seen::Over => break,
                    Seen::GuardGone => {
                        if stopped.is_none() {
                            timeout(SAME_CTRL_C, raised.as_mut()).await.map_err(|_| gone())?;
                            stopped = Some(Stop::Cancelled);
                        }
                        break;
                    }
                },
                () = raised.as_mut(), if stopped.is_none() => Some(Stop::Cancelled),
                () = overdue.as_mut(), if stopped.is_none() => Some(Stop::TimedOut),
            };
            if stopped.is_none() && stop.is_some() {
                child.stop();
                stopped = stop;
            }
        }
        let (remains, log_error) = output.finish(&mut on_line);
        let exit = match stopped.or(log_error.map(Stop::Log)) {
            Some(Stop::Log(error)) => return Err(error.into()),
            Some(Stop::Cancelled) => Exit::Cancelled,
            Some(Stop::TimedOut) => Exit::TimedOut,
            None => match child.status {
                Some(Status::Code(code)) => Exit::Code(code),
                Some(Status::Signal(signal)) => Exit::Signal(signal),
                None => return Err(gone()),
            },
        };
        Ok(Finished {
            exit,
            stdout: remains.stdout,
            stderr: remains.stderr,
            tail: remains.tail,
            duration: started.elapsed(),
        })
    }

    /// Ends the guard, which first kills whatever still runs. Afterwards nothing can be started, by no clone.
    ///
    /// Call it last, also when the run was stopped: it returns when nothing is left.
    pub async fn shutdown(self) {
        let state = std::mem::replace(&mut *self.state(), State::Closed);
        if let State::Open(link) = state {
            // A guard that does not end has met a process that cannot be killed. There is nothing more to wait for.
            let _ = timeout(FAREWELL, link.close()).await;
        }
    }

    fn link(&self) -> Result<Arc<Link>, ProcessError> {
        let mut state = self.state();
        match &*state {
            State::Open(link) => Ok(Arc::clone(link)),
            State::Closed => {
                Err(ProcessError::Guard("the run is over: no more processes are started".to_owned()))
            }
            State::Unused => {
                let link = Arc::new(Link::start(&self.0.guard)?);
                *state = State::Open(Arc::clone(&link));
                Ok(link)
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.link.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Finished {
    fn without_output(exit: Exit, started: Instant) -> Self {
        let (stdout, stderr) = (Captured::default(), Captured::default());
        Finished { exit, stdout, stderr, tail: Vec::new(), duration: started.elapsed() }
    }
}

/// Why a child was stopped.
enum Stop {
    Cancelled,
    TimedOut,
    Log(LogError),
}

/// A child that was asked for.
struct Child<'l> {
    task: Task<'l>,
    grace: Duration,
    stdout: Option<pipe::Receiver>,
    stderr: Option<pipe::Receiver>,
    status: Option<Status>,
    /// When to stop waiting for what should have come by now.
    patience: Option<Instant>,
    /// The waiting is over: so much is still read of what is already there.
    rest: Option<usize>,
    buffer: Vec<u8>,
}

/// What happens to a child.
enum Seen<'b> {
    /// It printed something.
    Output(Stream, &'b [u8]),
    /// It was not started.
    Refused(i32),
    /// It has ended and its output too, or there is no more point in waiting for that.
    Over,
    /// Nobody will say what became of it.
    GuardGone,
}

impl<'l> Child<'l> {
    fn start(link: &'l Link, id: TaskId, program: PathBuf, command: Command) -> Result<Self, ProcessError> {
        let refused = |source| ProcessError::System { program: program.clone(), source };
        let (stdout, stdout_end) = pipe_from_child().map_err(refused)?;
        let (stderr, stderr_end) = pipe_from_child().map_err(refused)?;
        let mut descriptors = vec![stdout_end, stderr_end];
        let stdin = match command.stdin {
            Stdin::Null => false,
            Stdin::Bytes(bytes) => {
                descriptors.push(feed(bytes).map_err(refused)?);
                true
            }
        };
        let stop = StopPolicy { grace: command.stop.grace.min(LONGEST_GRACE), ..command.stop };
        let spawn = Spawn {
            id,
            program,
            args: command.args,
            cwd: command.cwd,
            env: command.env.into_iter().collect(),
            stdin,
            stop,
        };
        Ok(Child {
            task: link.spawn(spawn, descriptors)?,
            grace: stop.grace,
            stdout: Some(stdout),
            stderr: Some(stderr),
            status: None,
            patience: None,
            rest: None,
            buffer: vec![0; BLOCK],
        })
    }

    fn stop(&mut self) {
        if self.status.is_none() {
            self.task.stop();
            self.patience = Some(Instant::now() + self.grace + REPORT);
        }
    }

    /// The next thing that happens. May be dropped half-way: nothing is lost.
    async fn next(&mut self) -> Seen<'_> {
        loop {
            if self.status.is_some() && self.stdout.is_none() && self.stderr.is_none() {
                return Seen::Over;
            }
            if let Some(rest) = self.rest {
                // A busy run may be late with what was printed in time.
                let (stream, count) = match read(&mut self.stdout, &mut self.buffer) {
                    0 => (Stream::Stderr, read(&mut self.stderr, &mut self.buffer)),
                    count => (Stream::Stdout, count),
                };
                self.rest = rest.checked_sub(count);
                return match self.rest {
                    Some(_) if count > 0 => Seen::Output(stream, &self.buffer[..count]),
                    Some(_) | None => Seen::Over,
                };
            }
            tokio::select! {
                () = readable(self.stdout.as_ref()) => match read(&mut self.stdout, &mut self.buffer) {
                    0 => {}
                    count => return Seen::Output(Stream::Stdout, &self.buffer[..count]),
                },
                () = readable(self.stderr.as_ref()) => match read(&mut self.stderr, &mut self.buffer) {
                    0 => {}
                    count => return Seen::Output(Stream::Stderr, &self.buffer[..count]),
                },
                reply = self.task.reply(), if self.status.is_none() => match reply {
                    Some(Reply::Refused { errno, .. }) => return Seen::Refused(errno),
                    Some(Reply::Exited { status, .. }) => {
                        self.status = Some(status);
                        self.patience = Some(Instant::now() + OPEN_PIPE);
                    }
                    None => return Seen::GuardGone,
                },
                () = at(self.patience) => self.rest = Some(FULL_PIPES),
            }
        }
    }
}

/// A pipe whose writing end is for a child.
fn pipe_from_child() -> io::Result<(pipe::Receiver, OwnedFd)> {
    let (reader, writer) = io::pipe()?;
    Ok((pipe::Receiver::from_owned_fd(reader.into())?, writer.into()))
}

/// A pipe from which a child reads these bytes. A child that does not want them all is free to close it.
fn feed(bytes: Vec<u8>) -> io::Result<OwnedFd> {
    let (reader, writer) = io::pipe()?;
    let mut writer = pipe::Sender::from_owned_fd(writer.into())?;
    tokio::spawn(async move { writer.write_all(&bytes).await });
    Ok(reader.into())
}

async fn readable(pipe: Option<&pipe::Receiver>) {
    match pipe {
        // An error shows itself again when it is read.
        Some(pipe) => drop(pipe.readable().await),
        None => std::future::pending().await,
    }
}

/// How much was read; the pipe is dropped when it is at its end.
fn read(pipe: &mut Option<pipe::Receiver>, buffer: &mut [u8]) -> usize {
    match pipe.as_ref().map(|pipe| pipe.try_read(buffer)) {
        Some(Ok(count @ 1..)) => count,
        Some(Err(error))
            if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) =>
        {
            0
        }
        Some(Ok(0) | Err(_)) | None => {
            *pipe = None;
            0
        }
    }
}

async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

impl From<LogError> for ProcessError {
    fn from(LogError { path, source }: LogError) -> Self {
        ProcessError::Log { path, source }
    }
}
