//! One task in the guard: a process group, from its start until nothing of it is left.

use super::super::command::{StopPolicy, StopSignal};
use super::super::wire::{Spawn, Status};
use super::MARKER;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitOptions, WaitStatus};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What was killed may take so long to go before its task counts as over all the same.
const LINGER: Duration = Duration::from_secs(1);
/// A process that is replacing its program does not say where it belongs for a moment shorter than this.
const DOUBT: Duration = Duration::from_millis(50);

/// The descriptors of a task.
pub(super) struct Streams {
    pub(super) stdout: OwnedFd,
    pub(super) stderr: OwnedFd,
    pub(super) stdin: Option<OwnedFd>,
}

/// A task and where it is on its way out.
pub(super) struct Task {
    /// The group, which is also the number of its first process.
    group: Pid,
    stop: StopPolicy,
    phase: Phase,
}

enum Phase {
    /// The first process runs.
    Running,
    /// It was asked to stop; it, or what is left of its group, is killed at this time.
    Stopping { status: Option<Status>, kill_at: Instant },
    /// The first process has ended and the rest was killed.
    Leaving { status: Status, since: Instant },
}

impl Task {
    /// Starts it; the error is the system's number.
    pub(super) fn start(spawn: Spawn, streams: Streams) -> Result<Task, i32> {
        #[expect(clippy::disallowed_methods, reason = "this is the one place that spawns tasks")]
        let mut command = Command::new(spawn.program);
        command
            .args(spawn.args)
            .env_clear()
            .envs(spawn.env)
            .env(MARKER, format!("{}-{}", std::process::id(), spawn.id))
            .current_dir(spawn.cwd)
            .stdin(streams.stdin.map_or_else(Stdio::null, Stdio::from))
            .stdout(streams.stdout)
            .stderr(streams.stderr)
            .process_group(0);
        let child =
            command.spawn().map_err(|error| error.raw_os_error().unwrap_or(Errno::INVAL.raw_os_error()))?;
        // `child` is dropped, which neither waits nor kills: from here on the number is what counts.
        let group =
            i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or(Errno::INVAL.raw_os_error())?;
        Ok(Task { group, stop: spawn.stop, phase: Phase::Running })
    }

    pub(super) fn group(&self) -> Pid {
        self.group
    }

    /// Asks it to stop, with its own grace or `longest`, whichever is shorter.
    pub(super) fn stop(&mut self, longest: Duration) {
        let kill_at = Instant::now() + self.stop.grace.min(longest);
        match &mut self.phase {
            Phase::Running => {
                self.signal(match self.stop.signal {
                    StopSignal::Interrupt => Signal::INT,
                    StopSignal::Terminate => Signal::TERM,
                });
                // A process that is halted could not hear it.
                self.signal(Signal::CONT);
                self.phase = Phase::Stopping { status: None, kill_at };
            }
            Phase::Stopping { kill_at: earlier, .. } => *earlier = kill_at.min(*earlier),
            Phase::Leaving { .. } => {}
        }
    }

    /// Notices what has happened to it and does what is due.
    pub(super) fn look(&mut self) {
        let now = Instant::now();
        match self.phase {
            Phase::Running => {
                if self.leader_is_dead() {
                    // While the first process is not collected, nobody else can get its number.
                    self.signal(Signal::KILL);
                    if let Some(status) = self.collect() {
                        self.phase = Phase::Leaving { status, since: now };
                    }
                }
            }
            Phase::Stopping { status, kill_at } => {
                let due = kill_at <= now;
                if due {
                    self.signal(Signal::KILL);
                }
                let status = status.or_else(|| if self.leader_is_dead() { self.collect() } else { None });
                self.phase = match status {
                    Some(status) if due => Phase::Leaving { status, since: now },
                    status => Phase::Stopping { status, kill_at: if due { now + LINGER } else { kill_at } },
                };
            }
            Phase::Leaving { .. } => {}
        }
    }

    /// After the dead of its group were collected: whether it has just stopped in time. What the first process left behind in
    /// the group has the same grace: it may be the one that tidies up.
    pub(super) fn settle(&mut self) -> bool {
        match self.phase {
            Phase::Stopping { status: Some(status), .. } if self.group_is_empty() => {
                self.phase = Phase::Leaving { status, since: Instant::now() };
                true
            }
            Phase::Running | Phase::Stopping { .. } | Phase::Leaving { .. } => false,
        }
    }

    /// Whether it runs no more and only its remains are left, if anything.
    pub(super) fn is_leaving(&self) -> bool {
        matches!(self.phase, Phase::Leaving { .. })
    }

    /// Whether it can be reported as ended: nothing of it is left, or it has lingered long enough. `haunted` if a process outside
    /// its group belongs to it, `suspected` if there is one of which nobody knows where it belongs.
    pub(super) fn is_over(&self, haunted: bool, suspected: bool) -> bool {
        match self.phase {
            Phase::Running | Phase::Stopping { .. } => false,
            Phase::Leaving { since, .. } => {
                let age = since.elapsed();
                age >= LINGER || self.group_is_empty() && !haunted && (!suspected || age >= DOUBT)
            }
        }
    }

    /// How the first process ended.
    pub(super) fn status(&self) -> Option<Status> {
        match self.phase {
            Phase::Running => None,
            Phase::Stopping { status, .. } => status,
            Phase::Leaving { status, .. } => Some(status),
        }
    }

    /// When to look again even if nothing happens.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Running => None,
            Phase::Stopping { kill_at, .. } => Some(kill_at),
            Phase::Leaving { since, .. } => Some(since + LINGER),
        }
    }

    fn signal(&self, signal: Signal) {
        // Fails if nobody is left, or if the process has become another user's: nothing could be done about either.
        let _ = rustix::process::kill_process_group(self.group, signal);
    }

    fn group_is_empty(&self) -> bool {
        rustix::process::test_kill_process_group(self.group) == Err(Errno::SRCH)
    }

    fn leader_is_dead(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        !matches!(rustix::process::waitid(WaitId::Pid(self.group), options), Ok(None))
    }

    fn collect(&self) -> Option<Status> {
        match rustix::process::waitpid(Some(self.group), WaitOptions::NOHANG) {
            Ok(None) => None,
            Ok(Some((_, status))) => Some(read(status)),
            // Nobody else collects the guard's children, so this cannot be; but it must not keep the run waiting.
            Err(_) => Some(Status::Signal(Signal::KILL.as_raw())),
        }
    }
}

fn read(status: WaitStatus) -> Status {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Status::Code(code),
        (None, Some(signal)) => Status::Signal(signal),
        (None, None) => Status::Signal(Signal::KILL.as_raw()),
    }
}
