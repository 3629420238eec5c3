//! All that a lab could leave on a machine, as sets that are compared. What belongs to other labs is left out, so that they may come
//! and go meanwhile; everything else counts, whoever it seems to belong to: a leak has lost its owner.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

/// What comes and goes on any machine that is in use; of these only what is new is a leak.
const MOVING: [&str; 4] = ["control groups", "listening", "namespaces", "programs of a lab"];

/// Everything, by kind.
#[derive(Debug)]
pub(crate) struct Inventory(BTreeMap<&'static str, BTreeSet<String>>);

impl Inventory {
    /// Looks, for the lab of this name.
    pub(crate) fn take(lab: &str) -> Inventory {
        let said = |program: &str, args: &[&str]| {
            Command::new(program)
                .args(args)
                .output()
                .map_or(String::new(), |output| String::from_utf8_lossy(&output.stdout).into_owned())
        };
        let lines = |text: String| -> BTreeSet<String> { text.lines().map(str::to_owned).collect() };
        let mut kinds = BTreeMap::from([
            ("mounts", mounts(&text("/proc/self/mountinfo"))),
            ("interfaces", names(Path::new("/sys/class/net"), 1)),
            ("routes", lines(said("ip", &["route", "show", "table", "all"]))),
            ("addresses", lines(said("ip", &["-brief", "address"]))),
            ("packet filter", lines(said("nft", &["list", "ruleset"]))),
            ("network namespaces by name", names(Path::new("/run/netns"), 1)),
            ("control groups", groups(lab)),
            ("listening", BTreeSet::new()),
            ("programs of a lab", BTreeSet::new()),
            ("namespaces", BTreeSet::new()),
        ]);
        for folder in ["/run", "/etc", "/opt", "/var/lib", "/var/log", "/var/run", "/dev"] {
            kinds.entry("files").or_default().extend(names(Path::new(folder), 2));
        }
        // Each terminal that somebody opens has a file there.
        kinds.entry("files").or_default().retain(|path| !path.starts_with("/dev/pts/"));
        let mut sockets = BTreeSet::new();
        for process in fs::read_dir("/proc").unwrap().filter_map(Result::ok) {
            let Ok(pid) = process.file_name().into_string() else { continue };
            // A dead process is nothing but a number until whoever adopted it buries it.
            let lives = |pid: &str| process_state(pid).is_some_and(|state| state != 'Z' && state != 'X');
            if !pid.bytes().all(|byte| byte.is_ascii_digit()) || !lives(&pid) || works_for_another(&pid, lab)
            {
                continue;
            }
            for kind in ["mnt", "net", "pid", "uts", "ipc"] {
                if let Ok(link) = fs::read_link(process.path().join("ns").join(kind)) {
                    kinds.entry("namespaces").or_default().insert(link.display().to_string());
                }
            }
            let program = fs::read_link(process.path().join("exe")).unwrap_or_default().display().to_string();
            if program.contains("slipway/lab/") || program.ends_with("/runc") {
                kinds.entry("programs of a lab").or_default().insert(format!("{pid} {program}"));
                sockets.extend(links(&process.path().join("fd")));
            }
        }
        kinds.insert("listening", listening(&sockets));
        Inventory(kinds)
    }

    /// What was left by the time of `later`, or is missing since.
    pub(crate) fn left(&self, later: &Inventory) -> Vec<String> {
        let of = |(kind, before): (&&'static str, &BTreeSet<String>)| {
            let now = &later.0[*kind];
            let gone = before.difference(now).filter(|_| !MOVING.contains(kind));
            let items = now.difference(before).chain(gone);
            items.map(|item| format!("{kind}: {item}")).collect::<Vec<_>>()
        };
        self.0.iter().flat_map(of).collect()
    }
}

/// The control groups of labs, those of others left out. The folder of all is theirs as long as one of them is in it.
fn groups(lab: &str) -> BTreeSet<String> {
    let mut groups = names(Path::new("/sys/fs/cgroup"), 9);
    let theirs: BTreeSet<String> = groups.iter().filter(|group| of_another(group, lab)).cloned().collect();
    groups.retain(|group| {
        let shared = group.ends_with("/slipway.lab");
        let is_theirs =
            |theirs: &String| theirs == group || shared && theirs.starts_with(&format!("{group}/"));
        !theirs.iter().any(is_theirs)
    });
    // Whoever else makes groups is no lab.
    groups.retain(|group| group.contains("/slipway.lab"));
    groups
}

/// Whether a control group is of another lab.
fn of_another(group: &str, lab: &str) -> bool {
    let below = group.split_once("/slipway.lab/").map(|(_, below)| below);
    below.is_some_and(|below| below.split('/').next() != Some(lab))
}

/// Whether a process belongs to another lab: by its control group, or because it or somebody above it is a command on one.
fn works_for_another(pid: &str, lab: &str) -> bool {
    if text(&format!("/proc/{pid}/cgroup")).lines().any(|group| of_another(group, lab)) {
        return true;
    }
    let mut above = Some(pid.to_owned());
    while let Some(pid) = above {
        let said = text(&format!("/proc/{pid}/cmdline"));
        let mut words = said.split('\0');
        let is_ours = words.next().is_some_and(|program| program.ends_with("xtask-ship"));
        if is_ours && words.next() == Some("lab") && !said.split('\0').any(|word| word == lab) {
            return true;
        }
        let parent = stat(&pid).and_then(|fields| fields.split(' ').nth(1).map(str::to_owned));
        above = parent.filter(|parent| parent != "0");
    }
    false
}

/// Where the host listens on these sockets.
fn listening(sockets: &BTreeSet<String>) -> BTreeSet<String> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(text).concat();
    let lines = tables.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let ours = lines.filter(|fields| {
        let socket = fields.get(9).map(|inode| format!("socket:[{inode}]"));
        fields.get(3) == Some(&"0A") && socket.is_some_and(|socket| sockets.contains(&socket))
    });
    ours.map(|fields| fields[1].to_owned()).collect()
}

fn text(path: &str) -> String {
    fs::read(path).map_or(String::new(), |bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// What the links of a folder lead to.
fn links(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    entries.filter_map(|entry| Some(fs::read_link(entry.path()).ok()?.display().to_string())).collect()
}

/// The letter of a process's state; none if it is gone.
pub(crate) fn process_state(pid: &str) -> Option<char> {
    stat(pid)?.chars().next()
}

/// The fields of a process after its name, which may hold anything: state, parent and so on.
fn stat(pid: &str) -> Option<String> {
    Some(text(&format!("/proc/{pid}/stat")).rsplit_once(") ")?.1.to_owned())
}

/// Mounts without their numbers, which the system counts on.
fn mounts(mountinfo: &str) -> BTreeSet<String> {
    mountinfo.lines().map(|line| line.split(' ').skip(3).collect::<Vec<_>>().join(" ")).collect()
}

/// The names below a folder, so many levels deep; of control groups the folders are what counts.
fn names(folder: &Path, depth: usize) -> BTreeSet<String> {
    let groups = folder.starts_with("/sys/fs/cgroup");
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok) {
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_folder || !groups {
            found.insert(entry.path().display().to_string());
        }
        if is_folder && depth > 1 {
            found.extend(names(&entry.path(), depth - 1));
        }
    }
    found
}
