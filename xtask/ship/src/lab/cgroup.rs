//! Control groups: one a machine of a lab, in every hierarchy that is mounted. They are the inventory of a lab: all that was ever
//! started in it is in them, whoever recorded it or failed to.
//!
//! ```text
//! <hierarchy>/slipway.lab/NAME/hub/machine     the processes of the control plane
//!                             /n1/machine      containerd, kubelet, kube-proxy
//!                             /n1/kubepods/…   what the kubelet makes: the pods
//! ```

use super::error::LabError;
use super::names::LabName;
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The group of all labs, below the root of each hierarchy.
const ROOT: &str = "slipway.lab";
/// A process that was killed is gone sooner than this, unless the kernel holds it. On a machine with sixty times more to do than it has
/// processors, dying takes longer than ten seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// One hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hierarchy {
    root: PathBuf,
    unified: bool,
}

/// The hierarchies of this machine.
pub(super) fn hierarchies() -> Result<Vec<Hierarchy>, LabError> {
    let path = Path::new("/proc/self/mountinfo");
    match fs::read_to_string(path) {
        Ok(text) => Ok(mounted(&text)),
        // Not Linux: there are none, and nothing of a lab can be in them.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(LabError::io("read", path)(error)),
    }
}

/// The hierarchies in the text of `mountinfo`. The same one may be mounted twice; its first place is taken.
fn mounted(mountinfo: &str) -> Vec<Hierarchy> {
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for line in mountinfo.lines() {
        let Some((before, after)) = line.split_once(" - ") else { continue };
        let mut before = before.split(' ').skip(2);
        let (Some(device), Some(place)) = (before.next(), before.nth(1)) else { continue };
        let unified = match after.split(' ').next() {
            Some("cgroup") => false,
            Some("cgroup2") => true,
            _ => continue,
        };
        if seen.insert(device) {
            found.push(Hierarchy { root: place.into(), unified });
        }
    }
    found
}

/// What the kubelet calls a machine's group.
pub(super) fn name(lab: &LabName, machine: &str) -> String {
    format!("/{ROOT}/{lab}/{machine}")
}

/// Makes a machine's groups; gives those that its own processes are to join.
pub(super) fn create(
    hierarchies: &[Hierarchy],
    lab: &LabName,
    machine: &str,
) -> Result<Vec<PathBuf>, LabError> {
    hierarchies
        .iter()
        .map(|hierarchy| {
            let mut folder = hierarchy.root.clone();
            for part in [ROOT, lab.as_str(), machine, "machine"] {
                let above = folder.clone();
                folder.push(part);
                match fs::create_dir(&folder) {
                    Ok(()) => {}
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                    Err(error) => return Err(LabError::io("make", &folder)(error)),
                }
                inherit(hierarchy, &above, &folder)?;
            }
            Ok(folder)
        })
        .collect()
}

/// Gives a group what it needs before a process may join: controllers, processors and memory nodes.
fn inherit(hierarchy: &Hierarchy, above: &Path, folder: &Path) -> Result<(), LabError> {
    if hierarchy.unified {
        let controllers = fs::read_to_string(above.join("cgroup.controllers")).unwrap_or_default();
        let enabled: Vec<String> = controllers.split_whitespace().map(|name| format!("+{name}")).collect();
        if enabled.is_empty() {
            return Ok(());
        }
        let control = above.join("cgroup.subtree_control");
        return fs::write(&control, enabled.join(" ")).map_err(LabError::io("write", &control));
    }
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let (from, to) = (above.join(file), folder.join(file));
        if !to.exists() || !fs::read_to_string(&to).unwrap_or_default().trim().is_empty() {
            continue;
        }
        let value = fs::read_to_string(&from).map_err(LabError::io("read", &from))?;
        fs::write(&to, value.trim()).map_err(LabError::io("write", &to))?;
    }
    Ok(())
}

/// Every process of a lab, or of one machine of it.
pub(super) fn processes(hierarchies: &[Hierarchy], lab: &LabName, machine: Option<&str>) -> BTreeSet<i32> {
    let mut found = BTreeSet::new();
    for hierarchy in hierarchies {
        collect(&place(hierarchy, lab, machine), &mut found);
    }
    found
}

fn collect(folder: &Path, found: &mut BTreeSet<i32>) {
    let listed = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    found.extend(listed.lines().filter_map(|line| line.parse::<i32>().ok()).filter(|pid| *pid > 0));
    for below in folders(folder) {
        collect(&below, found);
    }
}

/// Kills every process of a lab, or of one machine, and removes the groups. Says so if that cannot be done.
pub(super) fn destroy(
    hierarchies: &[Hierarchy],
    lab: &LabName,
    machine: Option<&str>,
) -> Result<(), LabError> {
    let end = Instant::now() + PATIENCE;
    loop {
        let left = processes(hierarchies, lab, machine);
        for pid in &left {
            if let Some(pid) = rustix::process::Pid::from_raw(*pid) {
                // One that is gone by now is what is wanted.
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
        let refused: Vec<io::Error> =
            hierarchies.iter().filter_map(|each| remove(&place(each, lab, machine)).err()).collect();
        if left.is_empty() && refused.is_empty() {
            break;
        }
        if Instant::now() > end {
            let why =
                refused.first().map_or_else(|| format!("processes {left:?} do not die"), ToString::to_string);
            return Err(LabError::broke(format!("cannot remove the control groups of the lab {lab}"), &why));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    if machine.is_none() {
        for hierarchy in hierarchies {
            // Other labs may still be in it.
            let _ = fs::remove_dir(hierarchy.root.join(ROOT));
        }
    }
    Ok(())
}

fn place(hierarchy: &Hierarchy, lab: &LabName, machine: Option<&str>) -> PathBuf {
    let lab = hierarchy.root.join(ROOT).join(lab.as_str());
    machine.map_or_else(|| lab.clone(), |machine| lab.join(machine))
}

fn remove(folder: &Path) -> io::Result<()> {
    for below in folders(folder) {
        remove(&below)?;
    }
    match fs::remove_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn folders(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hierarchy_is_found_once_and_other_mounts_are_not() {
        let text = "25 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n\
            30 24 0:26 / /sys/fs/cgroup/cpu rw,relatime shared:9 - cgroup cgroup rw,cpu\n\
            31 24 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n\
            32 24 0:26 / /mnt/again rw,relatime - cgroup cgroup rw,cpu\n\
            a line that is cut";
        let found = mounted(text);
        let expected = [("/sys/fs/cgroup/cpu", false), ("/sys/fs/cgroup/unified", true)];
        let expected = expected.map(|(root, unified)| Hierarchy { root: root.into(), unified });
        assert_eq!(found, expected);
        assert!(mounted("").is_empty());
    }

    #[test]
    fn a_group_is_made_below_those_that_it_inherits_from_and_goes_without_a_trace() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("cpuset.cpus"), "0-1\n").unwrap();
        let hierarchy = [Hierarchy { root: root.path().into(), unified: false }];
        let lab = LabName::new("dev").unwrap();
        let joined = create(&hierarchy, &lab, "n1").unwrap();
        assert_eq!(joined, [root.path().join("slipway.lab/dev/n1/machine")]);
        assert_eq!(create(&hierarchy, &lab, "n1").unwrap(), joined, "again is no error");
        destroy(&hierarchy, &lab, Some("n1")).unwrap();
        assert!(root.path().join("slipway.lab/dev").exists() && !joined[0].exists());
        destroy(&hierarchy, &lab, None).unwrap();
        assert!(!root.path().join("slipway.lab").exists());
    }

    #[test]
    fn the_root_stays_as_long_as_another_lab_is_in_it() {
        let root = tempfile::tempdir().unwrap();
        let hierarchy = [Hierarchy { root: root.path().into(), unified: true }];
        let (one, two) = (LabName::new("one").unwrap(), LabName::new("two").unwrap());
        create(&hierarchy, &one, "hub").unwrap();
        create(&hierarchy, &two, "hub").unwrap();
        destroy(&hierarchy, &one, None).unwrap();
        assert!(root.path().join("slipway.lab/two/hub").exists());
        assert!(!root.path().join("slipway.lab/one").exists());
    }
}
