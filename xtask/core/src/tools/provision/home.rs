//! The cache on disk: where what lies, who may write, and what `tool.json` says of an installation.
//!
//! ```text
//! <cache>/helm/lock                          held while helm is installed
//!             probes.json                    what programs on PATH answered
//!             <sha256>.part                  a download, until it is whole and checked
//!             4.3.1-archive-0123456789ab/    an installation; complete if, and only if, it has a tool.json
//! <cache>/@python/ansible/0123456789ab/      an environment that tools share; complete if, and only if, it has an env.json
//! <cache>/@data/trivy-db/                    a scanner's database
//! <cache>/@lock                              what reading `tools.lock` gave
//! ```
//!
//! An installation is made in its final place, and `tool.json` is written last. A folder without one is what a killed run left
//! behind; the next run, under the same lock, removes it and begins again.

use super::failure::Failure;
use super::files::{self, Contents, Stamp};
use super::lock::{Lock, Source, ToolPin};
use super::names::{Hex, ToolName};
use super::origin;
use super::platform::Platform;
use super::pypi::{self, Environment};
use super::work::Built;
use crate::cancel::Cancel;
use crate::ids::Hasher;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

const MANIFEST: &str = "tool.json";
const SCHEMA: u32 = 1;

/// The cache.
#[derive(Debug, Clone)]
pub(super) struct Home(PathBuf);

impl Home {
    pub(super) fn new(root: PathBuf) -> Home {
        Home(root)
    }

    /// The folder of all that concerns one tool.
    pub(super) fn of(&self, tool: &ToolName) -> PathBuf {
        self.0.join(tool.as_str())
    }

    /// The folder of all environments of one list of requirements. No tool's name begins with `@`.
    pub(super) fn of_python(&self, requirements: &ToolName) -> PathBuf {
        self.0.join("@python").join(requirements.as_str())
    }

    /// The folder of a scanner's database.
    pub(super) fn of_data(&self, name: &ToolName) -> PathBuf {
        self.0.join("@data").join(name.as_str())
    }

    /// What programs on PATH answered.
    pub(super) fn probes(&self, tool: &ToolName) -> PathBuf {
        self.of(tool).join("probes.json")
    }

    /// Where a source's installation is, or would be.
    pub(super) fn place(
        &self,
        lock: &Lock,
        pin: &ToolPin,
        source: &Source,
        platform: Option<Platform>,
    ) -> Place {
        let identity = identity(lock, pin, source, platform);
        let folder =
            self.of(&pin.name).join(format!("{}-{}-{}", pin.version, source.kind(), &identity[..12]));
        Place { folder, identity }
    }
}

/// What an installation depends on: a change of any of it is another installation. What is pinned for other platforms, and the
/// other sources, is none of it.
fn identity(lock: &Lock, pin: &ToolPin, source: &Source, platform: Option<Platform>) -> String {
    let mut hasher = Hasher::default();
    let mut part = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    for word in [pin.name.as_str(), pin.version.as_str(), pin.bin.as_str(), source.kind()] {
        part(word.as_bytes());
    }
    // A file that cannot be read makes the installation fail, with the reason; until then no identity is right.
    let read = |file: String| lock.origin().read(&file).unwrap_or_default();
    match source {
        Source::Archive(archive) => {
            let file = platform.and_then(|platform| archive.for_platform(platform));
            part(file.map_or(b"", |(_, file)| file.sha256.as_str().as_bytes()));
        }
        Source::Path | Source::Go(_) | Source::Gomod(_) | Source::Pypi(_) => {
            // These types hold strings, lists and maps, so that writing them to memory cannot fail.
            part(&serde_json::to_vec(source).unwrap_or_default());
        }
    }
    match source {
        Source::Path | Source::Archive(_) | Source::Go(_) => {}
        Source::Gomod(build) => {
            for file in ["go.mod", "go.sum"] {
                part(&read(origin::module_file(&build.dir, file)));
            }
        }
        Source::Pypi(wheels) => part(&read(origin::requirements(&wheels.requirements))),
    }
    hasher.hex()
}

/// One installation's folder and what it must be made of.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub folder: PathBuf,
    pub identity: String,
}

/// What `tool.json` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    schema: u32,
    pub name: String,
    pub version: String,
    /// The kind of source and where exactly.
    pub source: String,
    identity: String,
    /// The file that runs: where, and what `stat` said of it.
    pub program: Stamp,
    /// SHA-256 of the file that runs.
    pub sha256: Hex,
    /// The Python environment that it is in; none if it is in the folder of this file.
    pub environment: Option<Environment>,
    /// All files of that folder, this one aside.
    contents: Contents,
}

impl Manifest {
    /// All bytes that the tool takes on disk.
    pub(super) fn bytes(&self) -> u64 {
        self.environment.as_ref().map_or(self.contents.bytes, |environment| environment.contents.bytes)
    }
}

/// What is in the place of an installation.
#[derive(Debug)]
pub(super) enum Found {
    /// All as it was when it was installed, as far as `stat` tells.
    Whole(Manifest),
    /// Its file has another time or inode: a copy, or damage. Only its digest can tell.
    Touched(Manifest),
    /// Nothing, or what a killed run left.
    Nothing,
    /// It cannot be used, and why.
    Damaged(String),
}

impl Place {
    /// Looks, without hashing anything.
    pub(super) fn look(&self) -> Found {
        let path = self.folder.join(MANIFEST);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Found::Nothing,
            Err(error) => return Found::Damaged(format!("cannot read {}: {error}", path.display())),
        };
        let manifest: Manifest = match serde_json::from_slice(&bytes) {
            Ok(manifest) => manifest,
            Err(error) => return Found::Damaged(format!("{} cannot be understood: {error}", path.display())),
        };
        if manifest.schema != SCHEMA || manifest.identity != self.identity {
            return Found::Damaged(format!("{} is of something else", path.display()));
        }
        let program = &manifest.program.path;
        match &manifest.environment {
            None if program.starts_with(&self.folder) => {}
            None => return Found::Damaged(format!("it was made elsewhere, as {}", program.display())),
            Some(environment) if environment.interpreter.holds() => {}
            Some(environment) => {
                return Found::Damaged(format!(
                    "{} has changed since",
                    environment.interpreter.path.display()
                ));
            }
        }
        match Stamp::of(program) {
            Ok(now) if now == manifest.program => Found::Whole(manifest),
            Ok(now) if now.size == manifest.program.size => Found::Touched(manifest),
            Ok(_) => Found::Damaged(format!("{} has another size than it had", program.display())),
            Err(error) => Found::Damaged(format!("{}: {error}", program.display())),
        }
    }

    /// Hashes everything and compares.
    pub(super) fn examine(&self, manifest: &Manifest) -> Result<(), String> {
        let cannot = |path: &Path| {
            let path = path.display().to_string();
            move |error: io::Error| format!("cannot read {path}: {error}")
        };
        let program = &manifest.program.path;
        let sha256 = files::sha256_of_file(program).map_err(cannot(program))?;
        if sha256 != manifest.sha256 {
            let then = &manifest.sha256;
            return Err(format!("{} has the SHA-256 {sha256}; {then} was installed", program.display()));
        }
        let (folder, except, then) = match &manifest.environment {
            None => (&self.folder, MANIFEST, &manifest.contents),
            Some(environment) => (&environment.folder, pypi::MARKER, &environment.contents),
        };
        let now = Contents::of(folder, except).map_err(cannot(folder))?;
        if now == *then {
            Ok(())
        } else {
            let (now, then) = (now.files, then.files);
            let folder = folder.display();
            Err(format!("{folder} does not hold the files that were installed: {then} then, {now} now"))
        }
    }

    /// Declares the folder complete. From here on other runs use it.
    pub(super) fn publish(&self, pin: &ToolPin, source: &str, built: Built) -> Result<Manifest, Failure> {
        let Built { program, environment } = built;
        let cannot = |doing| Failure::io(doing, &program);
        // Of the other files of a large environment the system may still hold the bytes back; `verify` sees it if they get lost.
        File::open(&program).and_then(|file| file.sync_all()).map_err(cannot("cannot write"))?;
        let contents = Contents::of(&self.folder, MANIFEST);
        let manifest = Manifest {
            schema: SCHEMA,
            name: pin.name.to_string(),
            version: pin.version.to_string(),
            source: source.to_owned(),
            identity: self.identity.clone(),
            sha256: files::sha256_of_file(&program).map_err(cannot("cannot read"))?,
            program: Stamp::of(&program).map_err(cannot("cannot read"))?,
            environment,
            contents: contents.map_err(Failure::io("cannot read", &self.folder))?,
        };
        self.write(&manifest)?;
        Ok(manifest)
    }

    /// Writes `tool.json`.
    pub(super) fn write(&self, manifest: &Manifest) -> Result<(), Failure> {
        let path = self.folder.join(MANIFEST);
        let bytes =
            serde_json::to_vec_pretty(manifest).map_err(|error| Failure::failed(error.to_string()))?;
        files::write_durably(&path, &bytes).map_err(Failure::io("cannot write", &path))
    }

    /// Empties the place. The manifest goes first: a run that is killed half-way must not leave a folder that looks complete.
    pub(super) fn clear(&self) -> Result<(), Failure> {
        let cleared = files::remove(&self.folder.join(MANIFEST)).and_then(|()| files::remove(&self.folder));
        cleared.map_err(Failure::io("cannot remove", &self.folder))
    }
}

/// Removes what killed runs left in a tool's folder: downloads and installations that never became whole. The caller holds the lock, so
/// that none of it is anyone's work; what cannot be removed only takes room.
pub(super) fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok) {
        let path = entry.path();
        let litter = if path.is_dir() {
            !path.join(MANIFEST).exists()
        } else {
            path.extension().is_some_and(|extension| extension == "part" || extension == "headers")
        };
        if litter {
            let _ = files::remove(&path);
        }
    }
}

/// Held by the one run that changes a folder. The system takes it back when that run ends, however it ends.
#[derive(Debug)]
pub(super) struct Held {
    _file: File,
}

/// Waits for the lock of a folder, which is made if it is missing; `waiting` is called once if somebody else holds it.
pub(super) async fn hold(folder: &Path, cancel: &Cancel, waiting: impl FnOnce()) -> Result<Held, Failure> {
    fs::create_dir_all(folder).map_err(Failure::io("cannot make", folder))?;
    let path = folder.join("lock");
    let open = File::options().create(true).truncate(false).write(true).open(&path);
    let file = open.map_err(Failure::io("cannot open", &path))?;
    let mut waiting = Some(waiting);
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(Held { _file: file }),
            Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => {}
            Err(error) => return Err(Failure::io("cannot lock", &path)(error.into())),
        }
        if let Some(waiting) = waiting.take() {
            waiting();
        }
        // A blocking wait could not be cancelled.
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(50)) => {}
            () = cancel.raised() => return Err(Failure::cancelled()),
        }
    }
}
