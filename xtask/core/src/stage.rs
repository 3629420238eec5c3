//! What a stage is: it says what it needs, it looks, and it judges what it saw. Three separate steps, so that each can be
//! tested, shown in a dry run, and cached without the others.
//!
//! A stage never prints, never spawns by itself, never reads the environment: all of that goes through [`Cx`](crate::engine::Cx).

use crate::config::{EnvName, Limits};
use crate::engine::Cx;
use crate::error::StageError;
use crate::ids::{NodeId, StageId};
use crate::outcome::Verdict;
use jiff::civil::Date;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::future::Future;

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Pure {}
    impl Sealed for super::Effect {}
}

/// Whether a stage may be cached; a type, so that caching the wrong one does not compile.
pub trait Kind: sealed::Sealed {}

/// The same inputs give the same facts, and nothing outside the run's own folders changes.
#[derive(Debug)]
pub enum Pure {}

/// It changes the world. Such a stage looks at the world first, and is never replayed from a cache.
#[derive(Debug)]
pub enum Effect {}

impl Kind for Pure {}
impl Kind for Effect {}

/// One stage of one node.
pub trait Stage: Send + Sync {
    /// Which stage.
    const ID: StageId;
    /// [`Pure`] or [`Effect`].
    type Kind: Kind;
    /// What was seen; no opinion.
    type Facts: Serialize + DeserializeOwned + Send;

    /// All that it needs, known before anything starts.
    fn needs(&self) -> Needs;

    /// Looks.
    fn run(&self, cx: &Cx) -> impl Future<Output = Result<Self::Facts, StageError>> + Send;

    /// Says whether what was seen is acceptable. Pure: the date comes in.
    fn judge(&self, facts: &Self::Facts, limits: &Limits, today: Date) -> Verdict;
}

/// All that a stage needs. The engine checks it before anything starts, and derives the cache key from it.
#[derive(Debug, Clone, Default)]
pub struct Needs {
    /// Tools of `tools.lock`, by name; provisioned.
    pub tools: Vec<&'static str>,
    /// Programs that the team's own checks name; looked up on PATH, never provisioned.
    pub programs: Vec<String>,
    /// Variables that pass to children and belong to the key.
    pub env: Vec<EnvName>,
    /// Nodes that must have passed, and whose facts it reads.
    pub after: Vec<NodeId>,
    /// Nodes that must have ended, and whose facts it reads if they passed.
    pub prefers: Vec<NodeId>,
    /// Globs of the files that it reads, relative to the root. `!` at the start excludes.
    pub inputs: Vec<String>,
    /// Files that it leaves behind and that a cache hit must restore, relative to the root.
    pub outputs: Vec<String>,
    /// Everything else that decides its result: argument lists, parts of the configuration.
    pub settings: Vec<String>,
    /// What it costs while it runs.
    pub weight: Weight,
}

impl Needs {
    /// Tools and programs, by name.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.tools.iter().copied().chain(self.programs.iter().map(String::as_str))
    }
}

/// What a stage costs while it runs; the scheduler keeps the sum within the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weight {
    /// Cores it keeps busy.
    pub cores: u32,
    /// Memory in MiB.
    pub memory_mib: u32,
}

impl Default for Weight {
    fn default() -> Self {
        Weight { cores: 1, memory_mib: 256 }
    }
}
