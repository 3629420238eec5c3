//! What a scanner reads besides its own program and nobody can pin: a database that is new every few hours. It has an age instead of a
//! digest, and the scanner itself fetches it.
//!
//! ```text
//! <cache>/@data/trivy-db/lock
//!                        current.json     which folder holds, since when
//!                        1795252800123/   what was fetched then
//! ```
//! The folder before the current one stays: another run may be reading it.

use super::failure::{Failure, Reason, Tried, Unavailable};
use super::files;
use super::home::{self, Home};
use super::lock::Database;
use super::progress::{Phase, Progress, ToolProgress, shown};
use super::work::Work;
use super::{Provisioner, Tool};
use crate::cancel::Cancel;
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc;

/// How a scanner fetches its database; its adapter knows.
#[derive(Debug, Clone, Copy)]
pub struct Recipe {
    /// Its arguments to fetch into a folder from a repository.
    pub args: fn(folder: &Path, repository: &str) -> Vec<OsString>,
    /// Files below the folder that must be there, and not empty, afterwards.
    pub produces: &'static [&'static str],
    /// Older than this, it is fetched again.
    pub refresh: Duration,
    /// Older than this, and not to be had, it counts as missing.
    pub expire: Duration,
}

/// A scanner's database that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Data {
    /// Its name in `tools.lock`.
    pub name: String,
    /// The folder that holds it.
    pub path: PathBuf,
    /// The repository that it came from.
    pub source: String,
    /// When it was fetched.
    pub fetched: SystemTime,
    /// What a person should know about it: that it could not be refreshed.
    pub notes: Vec<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Current {
    folder: String,
    source: String,
    /// Milliseconds since 1970.
    fetched: u64,
}

impl Provisioner {
    /// A scanner's database, if it is there and young enough not to be fetched again.
    pub fn quick_data(&self, name: &str, recipe: &Recipe) -> Option<Data> {
        let database = self.0.lock.database(name)?;
        current(&self.0.home, database, recipe).filter(|data| age(data) < recipe.refresh)
    }

    /// A scanner's database, fetched by `tool`, which is what [`ensure`](Provisioner::ensure) gave for [`Database::tool`].
    ///
    /// What cannot be refreshed but is not expired is used, with a note.
    pub async fn ensure_data(
        &self,
        name: &str,
        recipe: &Recipe,
        tool: &Tool,
        cancel: &Cancel,
        progress: impl FnMut(ToolProgress),
    ) -> Result<Data, Unavailable> {
        if let Some(data) = self.quick_data(name, recipe) {
            return Ok(data);
        }
        let setup = &self.0;
        let unavailable = |tried| Unavailable { name: name.to_owned(), tried };
        let known = setup.lock.database(name);
        let Some((database, pin)) =
            known.and_then(|known| Some((known, setup.lock.tool(known.tool.as_str())?)))
        else {
            let unknown = Failure::unsuitable("it does not name this database");
            return Err(unavailable(vec![unknown.of(setup.lock.origin().to_string())]));
        };
        let (to, from) = mpsc::unbounded_channel();
        let steps = Progress::new(name, "", to);
        let work = Work { setup, pin, cancel, progress: &steps };
        let tried = match shown(work.refresh(database, recipe, tool), from, progress).await {
            Ok(data) => return Ok(data),
            Err(tried) => tried,
        };
        let stopped = tried.iter().any(|tried| tried.reason == Reason::Cancelled);
        let old = current(&setup.home, database, recipe).filter(|data| !stopped && age(data) < recipe.expire);
        let Some(mut old) = old else {
            return Err(unavailable(tried));
        };
        let hours = age(&old).as_secs() / 3600;
        let why: Vec<String> = tried.iter().map(ToString::to_string).collect();
        old.notes.push(format!("{name} is {hours} h old and could not be refreshed: {}", why.join("; ")));
        Ok(old)
    }
}

fn age(data: &Data) -> Duration {
    // Data from the future, by a clock that was set back, is as old as can be.
    SystemTime::now().duration_since(data.fetched).unwrap_or(Duration::MAX)
}

/// What is there, of whatever age, if it is whole.
fn current(home: &Home, database: &Database, recipe: &Recipe) -> Option<Data> {
    let base = home.of_data(&database.name);
    let current: Current = serde_json::from_slice(&fs::read(base.join("current.json")).ok()?).ok()?;
    let path = base.join(&current.folder);
    missing(&path, recipe).is_none().then(|| Data {
        name: database.name.to_string(),
        path,
        source: current.source,
        fetched: UNIX_EPOCH + Duration::from_millis(current.fetched),
        notes: Vec::new(),
    })
}

/// The first of the files that must be there and is not, or is empty.
fn missing(folder: &Path, recipe: &Recipe) -> Option<&'static str> {
    let there = |path: &Path| fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.len() > 0);
    recipe.produces.iter().copied().find(|file| !there(&folder.join(file)))
}

impl Work<'_> {
    async fn refresh(&self, database: &Database, recipe: &Recipe, tool: &Tool) -> Result<Data, Vec<Tried>> {
        let base = self.setup.home.of_data(&database.name);
        let held = home::hold(&base, self.cancel, || self.progress.phase(Phase::Waiting)).await;
        let _held = held.map_err(|failure| vec![failure.of("cache")])?;
        let there = current(&self.setup.home, database, recipe);
        if let Some(data) = there.clone().filter(|data| age(data) < recipe.refresh) {
            return Ok(data);
        }
        let mut tried = Vec::new();
        for repository in &database.repositories {
            match self.fetch_into(&base, recipe, tool, repository).await {
                Ok(current) => {
                    let kept = there.as_ref().and_then(|data| data.path.file_name());
                    sweep(&base, &[Some(current.folder.as_ref()), kept]);
                    return Ok(Data {
                        name: database.name.to_string(),
                        path: base.join(&current.folder),
                        source: current.source,
                        fetched: UNIX_EPOCH + Duration::from_millis(current.fetched),
                        notes: Vec::new(),
                    });
                }
                Err(failure) => {
                    let stopped = failure.reason == Reason::Cancelled;
                    tried.push(failure.of(repository));
                    if stopped {
                        break;
                    }
                }
            }
        }
        Err(tried)
    }

    async fn fetch_into(
        &self,
        base: &Path,
        recipe: &Recipe,
        tool: &Tool,
        repository: &str,
    ) -> Result<Current, Failure> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let fetched = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let folder = base.join(fetched.to_string());
        fs::create_dir_all(&folder).map_err(Failure::io("cannot make", &folder))?;
        self.progress.phase(Phase::Fetching);
        let args = (recipe.args)(&folder, repository);
        let ran = self.run(Phase::Fetching, &tool.path, &args, base, &[]).await;
        let whole = ran.and_then(|_| match missing(&folder, recipe) {
            None => Ok(()),
            Some(file) => Err(Failure::failed(format!("`{}` ended well but left no {file}", tool.name))),
        });
        if let Err(failure) = whole {
            // What stays, like what a killed run left, is swept by the next success.
            let _ = files::remove(&folder);
            return Err(failure);
        }
        let current = Current { folder: fetched.to_string(), source: repository.to_owned(), fetched };
        let bytes =
            serde_json::to_vec_pretty(&current).map_err(|error| Failure::failed(error.to_string()))?;
        let file = base.join("current.json");
        files::write_durably(&file, &bytes).map_err(Failure::io("cannot write", &file))?;
        Ok(current)
    }
}

/// Removes all folders but these. What cannot be removed only takes room.
fn sweep(base: &Path, kept: &[Option<&std::ffi::OsStr>]) {
    for entry in fs::read_dir(base).into_iter().flatten().filter_map(Result::ok) {
        if entry.path().is_dir() && !kept.contains(&Some(&entry.file_name())) {
            let _ = files::remove(&entry.path());
        }
    }
}
