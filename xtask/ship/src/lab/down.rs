//! Taking a lab down. What is to be removed is asked of the system, not of a list: the processes in the lab's control groups, the
//! groups, the folder. Mounts, interfaces and packet filter rules are in the machines' namespaces and end with their processes.

use super::cgroup;
use super::error::LabError;
use super::names::LabName;
use super::state::Labs;
use super::up;
use crate::say;
use std::time::Instant;

/// Removes it. That there is none is no error.
pub(super) fn down(labs: &Labs, name: &LabName) -> Result<(), LabError> {
    let began = Instant::now();
    let home = labs.of(name);
    let existed = home.join("").exists();
    let _held = home.lock(|| say::progress(&format!("waiting for another command on the lab {name}")))?;
    // A file that cannot be read must not keep the rest from being removed.
    if let Ok(Some(lab)) = home.load() {
        for machine in lab.machines().iter().rev() {
            up::stop(name, &home, machine)?;
        }
    }
    cgroup::destroy(&cgroup::hierarchies()?, name, None)?;
    home.remove()?;
    let what = if existed { "is gone" } else { "was not there" };
    say::progress(&format!("the lab {name} {what} ({:.1} s)", began.elapsed().as_secs_f64()));
    Ok(())
}
