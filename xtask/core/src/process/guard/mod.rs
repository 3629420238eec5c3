//! The guard process: starts the tasks, and sees to it that nothing of them outlives them or the run.
//!
//! A program of its own: one thread, no runtime, a few hundred kilobytes. It survives every signal that means "stop" (those are
//! for the run, which tells it what to do) and ends when the other end of its socket is closed: by the run when it is done, or by
//! the system when the run died. It must not decide anything else.

mod socket;
mod task;
#[cfg(target_os = "linux")]
mod tree;
/// Without `/proc` and subreapers there is nothing to find beyond the groups.
#[cfg(not(target_os = "linux"))]
mod tree {
    pub(super) fn adopted() -> Vec<rustix::process::Pid> {
        Vec::new()
    }

    pub(super) fn task_of(_: rustix::process::Pid) -> Option<super::TaskId> {
        None
    }

    pub(super) fn adopt() {}

    pub(in super::super) fn kill_orphans_of(_: rustix::process::Pid) {}
}

pub(super) use tree::kill_orphans_of;

use super::wire::{Reply, Request, TaskId};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, kill_process_group};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use socket::Socket;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};
use task::Task;

/// The variable by which the guard recognises what belongs to a task, wherever it went: `<guard's pid>-<task>`.
const MARKER: &str = "XTASK_TASK";

/// When the run is gone, no task gets a longer grace than this.
const LAST_GRACE: Duration = Duration::from_secs(1);
/// After that, the guard waits so long for processes that do not die even when killed, then ends all the same.
const UNKILLABLE: Duration = Duration::from_secs(3);
/// While something is expected to die, the guard looks at least this often: not every death is announced to it.
const GLANCE: Duration = Duration::from_millis(20);

/// The whole guard. Standard input is the socket to the run.
pub fn main() -> ExitCode {
    let Some(socket) = Socket::from_stdin() else {
        // Somebody typed it. There is nobody to talk to, so there is nothing to say.
        return ExitCode::from(2);
    };
    // The run waits for nothing from here but answers; without the guard it says so itself.
    match Guard::new(socket) {
        Ok(mut guard) => guard.watch(),
        Err(_) => ExitCode::FAILURE,
    }
}

struct Guard {
    socket: Socket,
    tasks: BTreeMap<TaskId, Task>,
    /// Readable when a child has died.
    deaths: UnixStream,
    /// When the guard ends at the latest; set when the run is gone.
    ends: Option<Instant>,
}

impl Guard {
    fn new(socket: Socket) -> io::Result<Guard> {
        let (deaths, announce) = UnixStream::pair()?;
        deaths.set_nonblocking(true)?;
        signal_hook::low_level::pipe::register(SIGCHLD, announce)?;
        // Handled, not ignored: what is ignored stays ignored in every task, what is handled goes back to its default there.
        for signal in [SIGINT, SIGTERM, SIGHUP, SIGQUIT] {
            signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)))?;
        }
        // A session of its own: Ctrl-C at the terminal is for the run, and a tool that would ask for a password there fails
        // instead of waiting for ever. Fails only if it has one already.
        let _ = rustix::process::setsid();
        tree::adopt();
        Ok(Guard { socket, tasks: BTreeMap::new(), deaths, ends: None })
    }

    fn watch(&mut self) -> ExitCode {
        loop {
            if self.wait().is_err() {
                self.end();
            }
            let left = self.look();
            if let Some(ends) = self.ends {
                if !left {
                    return ExitCode::SUCCESS;
                }
                if ends <= Instant::now() {
                    return ExitCode::FAILURE;
                }
            }
        }
    }

    /// Waits until there is something to do, and does what the run asks for.
    fn wait(&mut self) -> io::Result<()> {
        let mut descriptors =
            [PollFd::new(&self.deaths, PollFlags::IN), PollFd::new(&self.socket, PollFlags::IN)];
        // A closed socket would report itself without end.
        let watched = if self.ends.is_none() { &mut descriptors[..] } else { &mut descriptors[..1] };
        let timeout = self.timeout().and_then(|timeout| timeout.try_into().ok());
        match poll(watched, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let [died, heard] = descriptors.map(|descriptor| !descriptor.revents().is_empty());
        if died {
            // How many is of no interest, and what stays in there only makes the next wait short.
            let _ = (&self.deaths).read(&mut [0; 64]);
        }
        if heard {
            self.socket.receive()?;
            while let Some(request) = self.socket.next_request()? {
                self.obey(request)?;
            }
        }
        Ok(())
    }

    fn timeout(&self) -> Option<Duration> {
        let now = Instant::now();
        let glance = self.ends.is_some() || self.tasks.values().any(Task::is_leaving);
        let deadlines =
            self.tasks.values().filter_map(Task::deadline).map(|at| at.saturating_duration_since(now));
        deadlines.chain(glance.then_some(GLANCE)).min()
    }

    fn obey(&mut self, request: Request) -> io::Result<()> {
        match request {
            Request::Spawn(spawn) => {
                let id = spawn.id;
                let streams = self.socket.take_streams(spawn.stdin)?;
                match Task::start(spawn, streams) {
                    Ok(task) => {
                        self.tasks.insert(id, task);
                        Ok(())
                    }
                    Err(errno) => self.socket.reply(Reply::Refused { id, errno }),
                }
            }
            Request::Stop(id) => {
                // It may have ended while the request was on its way.
                if let Some(task) = self.tasks.get_mut(&id) {
                    task.stop(Duration::MAX);
                }
                Ok(())
            }
        }
    }

    /// The run is gone: everything must go.
    fn end(&mut self) {
        if self.ends.is_none() {
            self.ends = Some(Instant::now() + LAST_GRACE + UNKILLABLE);
            self.tasks.values_mut().for_each(|task| task.stop(LAST_GRACE));
        }
    }

    /// Notices deaths, kills what has no business to live, reports tasks that are over. Returns whether anything is left.
    fn look(&mut self) -> bool {
        let ghosts = loop {
            self.tasks.values_mut().for_each(Task::look);
            let ghosts = self.sweep();
            // Only when the dead are collected an empty group shows; and whatever died may have left children to the guard.
            let settled = self.tasks.values_mut().fold(false, |settled, task| task.settle() | settled);
            if !settled && !ghosts.collected {
                break ghosts;
            }
        };
        let over = |(id, task): (&TaskId, &Task)| {
            task.is_over(ghosts.of.contains(id), ghosts.unknown).then_some(*id)
        };
        let over: Vec<TaskId> = self.tasks.iter().filter_map(over).collect();
        for id in over {
            if let Some(status) = self.tasks.remove(&id).and_then(|task| task.status())
                && self.socket.reply(Reply::Exited { id, status }).is_err()
            {
                self.end();
            }
        }
        !self.tasks.is_empty() || !ghosts.of.is_empty() || ghosts.unknown
    }

    /// Collects the dead among the adopted processes, and kills those whose task does not run any more.
    fn sweep(&self) -> Ghosts {
        let live: HashSet<Pid> =
            self.tasks.values().filter(|task| !task.is_leaving()).map(Task::group).collect();
        let mut ghosts = Ghosts::default();
        for pid in tree::adopted().into_iter().filter(|pid| !live.contains(pid)) {
            if !matches!(rustix::process::waitpid(Some(pid), WaitOptions::NOHANG), Ok(None)) {
                ghosts.collected = true;
                continue;
            }
            match tree::task_of(pid) {
                Some(id) if self.tasks.get(&id).is_some_and(|task| !task.is_leaving()) => continue,
                Some(id) => {
                    ghosts.of.insert(id);
                }
                None => {
                    ghosts.unknown = true;
                    // It may belong to any task that still runs. Its turn comes when none does.
                    if !live.is_empty() {
                        continue;
                    }
                }
            }
            if let Ok(group) = rustix::process::getpgid(Some(pid))
                && !live.contains(&group)
                && group != rustix::process::getpgrp()
            {
                let _ = kill_process_group(group, Signal::KILL);
            }
            let _ = kill_process(pid, Signal::KILL);
        }
        ghosts
    }
}

/// Adopted processes that are not part of a running task, as far as is known.
#[derive(Default)]
struct Ghosts {
    /// The tasks that they belong to.
    of: BTreeSet<TaskId>,
    /// There is one that does not say where it belongs: it has thrown away its environment, or is just replacing its program.
    unknown: bool,
    /// Others were found dead and collected.
    collected: bool,
}
