//! Looking at real processes, with deadlines instead of pauses.

use rustix::process::Pid;
use std::time::{Duration, Instant};

/// Every process whose environment holds `NAME=value`, with its program's name.
pub(crate) fn processes_with(variable: &str) -> Vec<(Pid, String)> {
    let entries = std::fs::read_dir("/proc").unwrap();
    let pids = entries.filter_map(|entry| Pid::from_raw(entry.ok()?.file_name().to_str()?.parse().ok()?));
    let marked = pids.filter(|pid| {
        let environment =
            std::fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero())).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|entry| entry == variable.as_bytes())
    });
    marked.map(|pid| (pid, name(pid))).collect()
}

/// The name of a process's program; empty if there is no such process.
pub(crate) fn name(pid: Pid) -> String {
    let name = std::fs::read_to_string(format!("/proc/{}/comm", pid.as_raw_nonzero())).unwrap_or_default();
    name.trim().to_owned()
}

/// Whether the process runs: a dead one that nobody has collected yet does not.
pub(crate) fn runs(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// The children of a process, or of a single thread: `1`, `thread-self`.
pub(crate) fn children(of: &str) -> Vec<Pid> {
    let main = format!("/proc/{of}/task/{of}/children");
    let list =
        std::fs::read_to_string(main).or_else(|_| std::fs::read_to_string(format!("/proc/{of}/children")));
    list.unwrap().split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect()
}

/// Asks again and again until the answer is yes; whether it was before the deadline.
pub(crate) fn before(deadline: Instant, mut answer: impl FnMut() -> bool) -> bool {
    loop {
        if answer() {
            return true;
        }
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Long enough for anything that is sure to come, on a machine that has much else to do.
pub(crate) fn patience() -> Instant {
    Instant::now() + Duration::from_secs(30)
}
