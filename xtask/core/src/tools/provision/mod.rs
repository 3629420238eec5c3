//! Provisioning: from `tools.lock` to a program that can be run, verified, in a cache of the user's; nothing global, nothing half
//! done.
//!
//! A tool may come from several sources, tried in the order of `tools.lock`: already on PATH, a release file, the Go module proxy,
//! the Python package index. What was installed is described by a `tool.json`, so that the next run needs a `stat` and no hash, no
//! process and no network ([`Provisioner::quick`]).
//!
//! This room must not: know what a tool is for, decide whether a missing one matters, read the environment, or print.

mod data;
mod failure;
mod fetch;
mod files;
mod golang;
mod home;
mod lock;
mod memo;
mod names;
mod obtain;
mod origin;
mod platform;
mod probe;
mod progress;
mod pypi;
mod status;
mod unpack;
mod update;
mod work;

pub use data::{Data, Recipe};
pub use failure::{Reason, Tried, Unavailable};
pub use fetch::Patience;
pub use lock::{
    Archive, Database, GoBuild, GoModule, Lock, LockError, Probe, ReleaseFile, Source, ToolPin, Wheels,
};
pub use names::{FileName, Hex, ModuleSum, ToolName, ToolTag, Url, Variables, Version};
pub use origin::Origin;
pub use platform::Platform;
pub use progress::{Phase, ToolProgress};
pub use status::{State, Status, Verified};
pub use update::{Update, UpdateError};

use crate::cancel::Cancel;
use crate::config::Ambient;
use crate::process::Supervisor;
use failure::Failure;
use home::{Found, Home, Manifest, Place};
use probe::Known;
use progress::Progress;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use work::{INSTALLER_ENV, Work};

/// A tool that can be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tool {
    /// Its name in `tools.lock`.
    pub name: String,
    /// Its version, as pinned.
    pub version: String,
    /// The file to run; absolute.
    pub path: PathBuf,
    /// SHA-256 of that file.
    pub sha256: Hex,
    /// Where it came from: `path`, `archive https://…`.
    pub source: String,
    /// A folder to put in front of its PATH: it looks for its companions there.
    pub extra_path: Option<PathBuf>,
    /// What a person should know about how it was had this time.
    pub notes: Vec<String>,
}

/// Provisions tools. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Provisioner(Arc<Setup>);

/// All that provisioning knows of the machine.
#[derive(Debug)]
struct Setup {
    lock: Lock,
    home: Home,
    platform: Option<Platform>,
    search_path: Vec<PathBuf>,
    env: BTreeMap<OsString, OsString>,
    patience: Patience,
    supervisor: Supervisor,
    dead_hosts: fetch::DeadHosts,
    /// Downloads, questions and packages at the same time. Neither semaphore is ever closed: a permit always comes.
    many: Semaphore,
    /// A Go build keeps every core busy by itself.
    builds: Semaphore,
}

/// Why a repository's tools cannot be looked for.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is no folder for caches.
    #[error("neither HOME nor XDG_CACHE_HOME is set")]
    NoPlace,
    /// The lock file cannot be used.
    #[error(transparent)]
    Lock(#[from] LockError),
}

impl Provisioner {
    /// The provisioner of the repository at `root`, with the cache of the user of this environment.
    pub fn open(root: &Path, ambient: &Ambient, supervisor: Supervisor) -> Result<Provisioner, OpenError> {
        let cache = ambient.cache_home().ok_or(OpenError::NoPlace)?.join("slipway/tools");
        let lock = Lock::load(root, &cache)?;
        let installers = |(name, _): &(OsString, OsString)| INSTALLER_ENV.iter().any(|known| name == *known);
        let env = ambient.base().into_iter().filter(installers).collect();
        let (platform, path) = (Platform::current(), ambient.path());
        Ok(Provisioner::new(lock, cache, platform, path, env, Patience::default(), supervisor))
    }

    /// Makes a provisioner; nothing is read or written yet.
    ///
    /// `cache` is the folder that holds all installations. `search_path` is PATH, split. `env` holds those variables of
    /// [`INSTALLER_ENV`] that are set. `platform` is none where no release file is made for this machine. Every process is the
    /// supervisor's.
    pub fn new(
        lock: Lock,
        cache: PathBuf,
        platform: Option<Platform>,
        search_path: Vec<PathBuf>,
        env: BTreeMap<OsString, OsString>,
        patience: Patience,
        supervisor: Supervisor,
    ) -> Provisioner {
        Provisioner(Arc::new(Setup {
            lock,
            home: Home::new(cache),
            platform,
            search_path,
            env,
            patience,
            supervisor,
            dead_hosts: fetch::DeadHosts::default(),
            many: Semaphore::new(4),
            builds: Semaphore::new(1),
        }))
    }

    /// The lock file.
    pub fn lock(&self) -> &Lock {
        &self.0.lock
    }

    /// A tool, if that can be known by a few `stat`s: it is installed, or on PATH and was asked before.
    pub fn quick(&self, name: &str) -> Option<Tool> {
        self.0.quick(self.0.lock.tool(name)?)
    }

    /// Every one of these tools, or why it cannot be had, in this order. Those that are missing are installed, several at a time.
    pub async fn ensure(
        &self,
        names: &[&str],
        cancel: &Cancel,
        progress: impl FnMut(ToolProgress),
    ) -> Vec<(String, Result<Tool, Unavailable>)> {
        let mut results = Vec::with_capacity(names.len());
        self.ensure_each(names, cancel, progress, |index, name, result| results.push((index, name, result)))
            .await;
        results.sort_by_key(|(index, ..)| *index);
        results.into_iter().map(|(_, name, result)| (name, result)).collect()
    }

    /// The same, each as soon as it is known, with its place in the list.
    pub async fn ensure_each(
        &self,
        names: &[&str],
        cancel: &Cancel,
        mut progress: impl FnMut(ToolProgress),
        mut known: impl FnMut(usize, String, Result<Tool, Unavailable>),
    ) {
        let (to, mut from) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        for (index, name) in names.iter().enumerate() {
            let (setup, name, cancel, to) =
                (Arc::clone(&self.0), (*name).to_owned(), cancel.clone(), to.clone());
            tasks.spawn(async move {
                let result = setup.provide(&name, &cancel, to).await;
                (index, name, result)
            });
        }
        drop(to);
        loop {
            tokio::select! {
                biased;
                Some(step) = from.recv() => progress(step),
                Some(ended) = tasks.join_next() => match ended {
                    Ok((index, name, result)) => known(index, name, result),
                    // A panic of the task goes on here: it is one of this program, wherever it happened.
                    Err(error) => std::panic::resume_unwind(error.into_panic()),
                },
                else => break,
            }
        }
    }
}

impl Source {
    /// The word for it in `tools.lock`.
    pub fn kind(&self) -> &'static str {
        match self {
            Source::Path => "path",
            Source::Archive(_) => "archive",
            Source::Go(_) => "go",
            Source::Gomod(_) => "gomod",
            Source::Pypi(_) => "pypi",
        }
    }
}

impl Setup {
    fn quick(&self, pin: &ToolPin) -> Option<Tool> {
        for source in &pin.sources {
            if let Source::Path = source {
                match probe::known(&self.home, pin, &self.search_path) {
                    Known::Yes(found) => return Some(on_path(pin, found)),
                    Known::No => {}
                    Known::Unasked => return None,
                }
            } else if let Found::Whole(manifest) = self.place(pin, source).look() {
                return Some(installed(manifest, Vec::new()));
            }
        }
        None
    }

    fn place(&self, pin: &ToolPin, source: &Source) -> Place {
        self.home.place(&self.lock, pin, source, self.platform)
    }

    /// A source as errors and reports name it.
    fn describe(&self, source: &Source) -> String {
        let kind = source.kind();
        match source {
            Source::Path => kind.to_owned(),
            Source::Archive(archive) => {
                match self.platform.and_then(|platform| archive.for_platform(platform)) {
                    Some((url, _)) => format!("{kind} {url}"),
                    None => kind.to_owned(),
                }
            }
            Source::Go(module) => format!("{kind} {}@{}", module.package, module.version),
            Source::Gomod(build) => format!("{kind} {}", build.package),
            Source::Pypi(wheels) => format!("{kind} {}", origin::requirements(&wheels.requirements)),
        }
    }

    async fn provide(
        &self,
        name: &str,
        cancel: &Cancel,
        to: mpsc::UnboundedSender<ToolProgress>,
    ) -> Result<Tool, Unavailable> {
        let unavailable = |tried| Unavailable { name: name.to_owned(), tried };
        let Some(pin) = self.lock.tool(name) else {
            let unknown = Failure::unsuitable("it does not name this tool");
            return Err(unavailable(vec![unknown.of(self.lock.origin().to_string())]));
        };
        if let Some(tool) = self.quick(pin) {
            return Ok(tool);
        }
        let progress = Progress::new(name, pin.version.as_str(), to);
        let work = Work { setup: self, pin, cancel, progress: &progress };
        let result = work.obtain().await.map_err(unavailable);
        progress.phase(if result.is_ok() { Phase::Ready } else { Phase::Failed });
        result
    }
}

fn on_path(pin: &ToolPin, found: probe::OnPath) -> Tool {
    Tool {
        name: pin.name.to_string(),
        version: pin.version.to_string(),
        path: found.program.path,
        sha256: found.sha256,
        source: Source::Path.kind().to_owned(),
        extra_path: None,
        notes: Vec::new(),
    }
}

fn installed(manifest: Manifest, notes: Vec<String>) -> Tool {
    Tool {
        name: manifest.name,
        version: manifest.version,
        path: manifest.program.path,
        sha256: manifest.sha256,
        source: manifest.source,
        extra_path: manifest.environment.map(|environment| environment.folder.join("bin")),
        notes,
    }
}
