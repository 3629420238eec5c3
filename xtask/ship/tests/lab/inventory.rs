//! All that a lab could leave on a machine, as sets that are compared.

use crate::support::{lab, name};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Everything, by kind.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Inventory(BTreeMap<&'static str, BTreeSet<String>>);

impl Inventory {
    /// Looks.
    pub(crate) fn take() -> Inventory {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let said = |program: &str, args: &[&str]| {
            Command::new(program)
                .args(args)
                .output()
                .map_or(String::new(), |output| String::from_utf8_lossy(&output.stdout).into_owned())
        };
        let lines = |text: String| -> BTreeSet<String> { text.lines().map(str::to_owned).collect() };
        let listening = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| {
            let text = text(path);
            let sockets = text.lines().filter(|line| line.split_whitespace().nth(3) == Some("0A"));
            sockets.filter_map(|line| line.split_whitespace().nth(1)).map(str::to_owned).collect::<Vec<_>>()
        });
        let theirs = ports_of_others();
        let mut groups = names(Path::new("/sys/fs/cgroup"), 9);
        groups.retain(|group| !of_others(group));
        let mut kinds = BTreeMap::from([
            ("mounts", mounts(&text("/proc/self/mountinfo"))),
            ("interfaces", names(Path::new("/sys/class/net"), 1)),
            ("routes", lines(said("ip", &["route", "show", "table", "all"]))),
            ("addresses", lines(said("ip", &["-brief", "address"]))),
            ("packet filter", lines(said("nft", &["list", "ruleset"]))),
            ("listening", listening.concat().into_iter().filter(|socket| !theirs.contains(socket)).collect()),
            ("network namespaces by name", names(Path::new("/run/netns"), 1)),
            ("control groups", groups),
            ("programs of a lab", BTreeSet::new()),
            ("namespaces", BTreeSet::new()),
        ]);
        for folder in ["/run", "/etc", "/opt", "/var/lib", "/var/log", "/var/run", "/dev"] {
            kinds.entry("files").or_default().extend(names(Path::new(folder), 2));
        }
        for process in fs::read_dir("/proc").unwrap().filter_map(Result::ok) {
            let Ok(name) = process.file_name().into_string() else { continue };
            if !name.bytes().all(|byte| byte.is_ascii_digit()) {
                continue;
            }
            // A dead process is nothing but a number until whoever adopted it buries it.
            if process_state(&name).is_none_or(|state| state == 'Z' || state == 'X') {
                continue;
            }
            if text(&format!("/proc/{name}/cgroup")).lines().any(of_others) {
                continue;
            }
            for kind in ["mnt", "net", "pid", "uts", "ipc"] {
                if let Ok(link) = fs::read_link(process.path().join("ns").join(kind)) {
                    kinds.entry("namespaces").or_default().insert(link.display().to_string());
                }
            }
            let program = fs::read_link(process.path().join("exe")).unwrap_or_default().display().to_string();
            if program.contains("slipway/lab/") || program.ends_with("/runc") {
                kinds.entry("programs of a lab").or_default().insert(format!("{name} {program}"));
            }
        }
        Inventory(kinds)
    }

    /// What is in one and not in the other.
    pub(crate) fn difference(&self, other: &Inventory) -> Vec<String> {
        let kinds = self.0.iter().zip(other.0.values());
        kinds
            .flat_map(|((kind, one), other)| {
                one.symmetric_difference(other).map(move |item| format!("{kind}: {item}"))
            })
            .collect()
    }

    /// The kinds in which the two differ.
    pub(crate) fn kinds(&self, other: &Inventory) -> Vec<&'static str> {
        self.0.iter().filter(|(kind, one)| other.0[*kind] != **one).map(|(kind, _)| *kind).collect()
    }
}

/// Whether a control group is of a lab that these tests did not make. The machine may have some.
fn of_others(group: &str) -> bool {
    group.split_once("/slipway.lab/").is_some_and(|(_, lab)| !lab.starts_with(&name("")))
}

/// Where labs that these tests did not make listen, as the kernel writes it.
fn ports_of_others() -> BTreeSet<String> {
    let output = lab(&["status", "--json"]).output().unwrap();
    let all: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let others = all.iter().filter(|lab| lab["name"].as_str().is_some_and(|lab| !lab.starts_with(&name(""))));
    let ports = others
        .flat_map(|lab| ["server", "registry"].map(|what| lab[what].as_str().unwrap_or_default().to_owned()));
    let ports = ports.filter_map(|address| address.rsplit_once(':')?.1.parse::<u16>().ok());
    ports.map(|port| format!("0100007F:{port:04X}")).collect()
}

/// The letter of a process's state; none if it is gone.
pub(crate) fn process_state(pid: &str) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
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
