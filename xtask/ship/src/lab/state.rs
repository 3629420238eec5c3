//! What is known of a lab between commands: one folder a lab in the user's cache, and in it one file that says what was wanted.
//! Whether it is so is asked of the system each time.
//!
//! ```text
//! <cache>/slipway/lab/build/KEY/       see `build`
//! <cache>/slipway/lab/NAME/lock        held by the one command that changes the lab
//!                         /lab.json    written before the first process is started, removed after the last one is gone
//!                         /kubeconfig  for its administrator
//!                         /pki/        its authorities
//!                         /hub/ /n1/   a machine: spec.json, machine.json (its process), etc/, log/, var/
//! ```

use super::error::LabError;
use super::names::{LabName, Node};
use rustix::fs::{FlockOperation, flock};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

const SCHEMA: u32 = 1;

/// Ports of the host's loopback device that lead into a lab.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ports {
    /// To the API server.
    pub(super) api: u16,
    /// To the registry.
    pub(super) registry: u16,
}

impl Ports {
    /// Two that are free now. Somebody may take one before the lab does; then `up` says so, and finds others the next time.
    pub(super) fn free() -> Result<Ports, LabError> {
        let bind = || std::net::TcpListener::bind("127.0.0.1:0");
        let port = |listener: &std::net::TcpListener| listener.local_addr().map(|address| address.port());
        let both = || -> io::Result<Ports> {
            let (api, registry) = (bind()?, bind()?);
            Ok(Ports { api: port(&api)?, registry: port(&registry)? })
        };
        both().map_err(|error| LabError::broke("no free port on 127.0.0.1", &error))
    }
}

/// What was wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Lab {
    pub(super) schema: u32,
    /// How many nodes.
    pub(super) nodes: u8,
    /// The key of the build that its machines run.
    pub(super) build: String,
    /// Where it answers.
    pub(super) ports: Ports,
}

impl Lab {
    /// A new one.
    pub(super) fn new(nodes: u8, build: String, ports: Ports) -> Lab {
        Lab { schema: SCHEMA, nodes, build, ports }
    }

    /// Its machines, the hub first.
    pub(super) fn machines(&self) -> Vec<String> {
        std::iter::once(HUB.to_owned()).chain(Node::first(self.nodes).map(Node::name)).collect()
    }
}

/// The machine of the control plane.
pub(super) const HUB: &str = "hub";

/// A machine's first process: with the time of its start, the number means this process for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Process {
    /// Its number on the host.
    pub(super) pid: i32,
    /// When it started, in ticks since the host did.
    pub(super) started: u64,
}

impl Process {
    /// Whether it still runs.
    pub(super) fn lives(self) -> bool {
        fs::read_to_string(format!("/proc/{}/stat", self.pid))
            .is_ok_and(|stat| started(&stat) == Some(self.started))
    }
}

/// The time of start in the text of `/proc/PID/stat`, unless the process is dead and only not yet buried.
fn started(stat: &str) -> Option<u64> {
    // The name in brackets may hold anything, brackets too.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

/// The folder of all labs.
#[derive(Debug, Clone)]
pub(super) struct Labs {
    root: PathBuf,
}

impl Labs {
    /// Below the user's folder for caches.
    pub(super) fn below(cache: &Path) -> Labs {
        Labs { root: cache.join("slipway/lab") }
    }

    /// Where builds are.
    pub(super) fn builds(&self) -> PathBuf {
        self.root.join("build")
    }

    /// The folder of one lab.
    pub(super) fn of(&self, name: &LabName) -> Home {
        Home { root: self.root.join(name.as_str()) }
    }

    /// The names of all that are there.
    pub(super) fn names(&self) -> Vec<LabName> {
        let entries = fs::read_dir(&self.root).into_iter().flatten().filter_map(Result::ok);
        let names = entries.filter_map(|entry| LabName::new(entry.file_name().to_str()?).ok());
        let mut names: Vec<LabName> = names.collect();
        names.sort();
        names
    }
}

/// One lab's folder.
#[derive(Debug, Clone)]
pub(super) struct Home {
    root: PathBuf,
}

impl Home {
    /// A file or folder in it.
    pub(super) fn join(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// The folder of a machine.
    pub(super) fn machine(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Waits for the lock of the lab; `waiting` is called if somebody else holds it.
    pub(super) fn lock(&self, waiting: impl FnOnce()) -> Result<Held, LabError> {
        let path = self.join("lock");
        let mut waiting = Some(waiting);
        loop {
            fs::create_dir_all(&self.root).map_err(LabError::io("make", &self.root))?;
            let opened = File::options().create(true).truncate(false).write(true).open(&path);
            let file = match opened {
                Ok(file) => file,
                // Taken down between the two steps.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(LabError::io("open", &path)(error)),
            };
            if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
                if let Some(waiting) = waiting.take() {
                    waiting();
                }
                flock(&file, FlockOperation::LockExclusive)
                    .map_err(|error| LabError::io("lock", &path)(error.into()))?;
            }
            // Whoever held it before may have removed the folder with the lock in it.
            let same = |a: &fs::Metadata, b: &fs::Metadata| {
                use std::os::unix::fs::MetadataExt;
                (a.dev(), a.ino()) == (b.dev(), b.ino())
            };
            if let (Ok(held), Ok(now)) = (file.metadata(), fs::metadata(&path))
                && same(&held, &now)
            {
                return Ok(Held { _file: file });
            }
        }
    }

    /// What was wanted of it; nothing if it was never brought up.
    pub(super) fn load(&self) -> Result<Option<Lab>, LabError> {
        let Some(lab) = read::<Lab>(&self.join("lab.json"))? else { return Ok(None) };
        if lab.schema == SCHEMA {
            return Ok(Some(lab));
        }
        let path = self.join("lab.json").display().to_string();
        Err(LabError::Usage(format!("{path} was written by another version; take the lab down first")))
    }

    /// Says what is wanted of it.
    pub(super) fn save(&self, lab: &Lab) -> Result<(), LabError> {
        write_json(&self.join("lab.json"), lab)
    }

    /// A machine's first process, if it runs.
    pub(super) fn process(&self, machine: &str) -> Result<Option<Process>, LabError> {
        let recorded: Option<Process> = read(&self.machine(machine).join("machine.json"))?;
        Ok(recorded.filter(|process| process.lives()))
    }

    /// Removes all of it. What says that the lab was there goes last, so that a `down` that is killed can be repeated.
    pub(super) fn remove(&self) -> Result<(), LabError> {
        let entries = match fs::read_dir(&self.root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries.map_err(LabError::io("read", &self.root))?,
        };
        for entry in entries.filter_map(Result::ok) {
            let (path, name) = (entry.path(), entry.file_name());
            if name == "lab.json" || name == "lock" {
                continue;
            }
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            let removed = if is_folder { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.map_err(LabError::io("remove", &path))?;
        }
        fs::remove_dir_all(&self.root).map_err(LabError::io("remove", &self.root))
    }
}

/// Held by the one command that changes a lab; the system takes it back when that command ends, however it ends.
#[derive(Debug)]
pub(super) struct Held {
    _file: File,
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, LabError> {
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        bytes => bytes.map_err(LabError::io("read", path))?,
    };
    let value = serde_json::from_slice(&bytes);
    value
        .map(Some)
        .map_err(|error| LabError::broke(format!("{} cannot be understood", path.display()), &error))
}

/// Writes a file whole, with the folders above it.
pub(super) fn write_json(path: &Path, value: &impl Serialize) -> Result<(), LabError> {
    let bytes = serde_json::to_vec_pretty(value)
        .map_err(|error| LabError::broke(format!("cannot write {}", path.display()), &error))?;
    write(path, &bytes)
}

/// The same for bytes.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), LabError> {
    xtask_core::engine::store::replace(path, bytes).map_err(LabError::io("write", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labs() -> (tempfile::TempDir, Labs) {
        let folder = tempfile::tempdir().unwrap();
        let labs = Labs::below(folder.path());
        (folder, labs)
    }

    #[test]
    fn a_lab_is_read_as_it_was_written_and_one_that_never_was_is_nothing() {
        let (_folder, labs) = labs();
        let home = labs.of(&LabName::new("dev").unwrap());
        assert_eq!(home.load().unwrap(), None);
        let lab = Lab::new(2, "key".into(), Ports { api: 1, registry: 2 });
        home.save(&lab).unwrap();
        assert_eq!(home.load().unwrap().as_ref(), Some(&lab));
        assert_eq!(lab.machines(), ["hub", "n1", "n2"]);
        assert_eq!(labs.names(), [LabName::new("dev").unwrap()]);
        home.remove().unwrap();
        assert!(labs.names().is_empty());
        home.remove().unwrap();
    }

    #[test]
    fn a_file_that_is_cut_short_or_of_another_version_is_an_error() {
        let (_folder, labs) = labs();
        let home = labs.of(&LabName::new("dev").unwrap());
        let whole = r#"{"schema":1,"nodes":1,"build":"k","ports":{"api":1,"registry":2}}"#;
        for bad in ["", "{", &whole[..20], &whole.replace("\"schema\":1", "\"schema\":2"), "{\"schema\":1}"] {
            write(&home.join("lab.json"), bad.as_bytes()).unwrap();
            assert!(home.load().is_err(), "{bad}");
        }
        write(&home.join("lab.json"), whole.as_bytes()).unwrap();
        assert!(home.load().unwrap().is_some());
    }

    #[test]
    fn the_start_of_a_process_is_read_whatever_its_name_is() {
        let fields = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 777 20";
        assert_eq!(started(&format!("42 (a) b) {fields}")), Some(777));
        assert_eq!(started(&format!("42 (a) {}", fields.replacen('S', "Z", 1))), None, "dead");
        for bad in ["", "42 (a", "42 (a) S 1"] {
            assert_eq!(started(bad), None, "{bad}");
        }
    }

    #[test]
    fn this_process_lives_and_another_start_of_its_number_does_not() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let stat = fs::read_to_string("/proc/self/stat").unwrap();
        let own = Process { pid, started: started(&stat).unwrap() };
        assert!(own.lives());
        assert!(!Process { started: own.started + 1, ..own }.lives());
    }

    #[test]
    fn the_lock_of_a_lab_is_held_by_one_and_survives_the_removal_of_its_folder() {
        let (_folder, labs) = labs();
        let home = labs.of(&LabName::new("dev").unwrap());
        let held = home.lock(|| panic!("nobody holds it")).unwrap();
        let path = home.join("lock");
        let other = File::options().write(true).open(&path).unwrap();
        assert!(flock(&other, FlockOperation::NonBlockingLockExclusive).is_err());
        home.remove().unwrap();
        drop(held);
        let _again = home.lock(|| panic!("nobody holds it")).unwrap();
        assert!(path.exists());
    }
}
