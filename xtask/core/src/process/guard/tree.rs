//! Which processes the guard has adopted, and to which task they belong. Linux only: the facts stand in `/proc`.

use super::super::wire::TaskId;
use super::MARKER;
use rustix::process::{Pid, Signal};
use std::time::Duration;

/// Makes the guard the new parent of every process below it that loses its own.
pub(super) fn adopt() {
    // Known since Linux 3.4. Where it is refused, the guard is as good as on other systems: it kills groups.
    let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
}

/// The guard's children: the first processes of the tasks, and everything that it has adopted.
pub(super) fn adopted() -> Vec<Pid> {
    // One small file; but the kernel can be built without it.
    match std::fs::read_to_string("/proc/thread-self/children") {
        Ok(children) => children.split_ascii_whitespace().filter_map(pid).collect(),
        Err(_) => children_of(rustix::process::getpid()),
    }
}

/// The task of this guard to which a process belongs, by the variable that it inherited.
pub(super) fn task_of(process: Pid) -> Option<TaskId> {
    let number = marker_of(process, rustix::process::getpid())?;
    std::str::from_utf8(&number).ok()?.parse().ok()
}

/// Kills whatever a guard that died has left behind. Not for the guard itself: it knows its children.
pub(in super::super) fn kill_orphans_of(guard: Pid) {
    // A process can escape one look by being started during it.
    for _ in 0..10 {
        let orphans: Vec<Pid> = processes().filter(|&process| marker_of(process, guard).is_some()).collect();
        if orphans.is_empty() {
            break;
        }
        for orphan in orphans {
            let _ = rustix::process::kill_process(orphan, Signal::KILL);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What follows the guard's number in the variable.
fn marker_of(process: Pid, guard: Pid) -> Option<Vec<u8>> {
    let environment = std::fs::read(format!("/proc/{}/environ", process.as_raw_nonzero())).ok()?;
    let prefix = format!("{MARKER}={}-", guard.as_raw_nonzero());
    environment
        .split(|byte| *byte == 0)
        .find_map(|entry| entry.strip_prefix(prefix.as_bytes()))
        .map(<[u8]>::to_vec)
}

fn children_of(parent: Pid) -> Vec<Pid> {
    processes().filter(|&process| parent_of(process) == Some(parent)).collect()
}

fn processes() -> impl Iterator<Item = Pid> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten();
    entries.filter_map(|entry| pid(entry.ok()?.file_name().to_str()?))
}

fn parent_of(process: Pid) -> Option<Pid> {
    let path = format!("/proc/{}/stat", process.as_raw_nonzero());
    let stat = std::fs::read_to_string(path).ok()?;
    // The name in parentheses may hold anything, so it is skipped from behind; then come the state and the parent.
    pid(stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?)
}

fn pid(text: &str) -> Option<Pid> {
    text.parse().ok().and_then(Pid::from_raw)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_child_is_found_in_the_list_and_in_the_table_and_its_task_in_its_environment() {
        #[expect(clippy::disallowed_methods, reason = "the guard's view of a real process is what is tested")]
        let mut child = Command::new("/bin/cat")
            .env(MARKER, format!("{}-42", std::process::id()))
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let process = Pid::from_child(&child);
        assert!(adopted().contains(&process));
        assert!(children_of(rustix::process::getpid()).contains(&process));
        assert_eq!(task_of(process), Some(42));
        assert_eq!(task_of(rustix::process::getpid()), None);
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(!children_of(rustix::process::getpid()).contains(&process));
        assert_eq!(task_of(process), None);
    }
}
