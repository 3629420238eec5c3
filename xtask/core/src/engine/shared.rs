//! What all nodes of one run share: the snapshot of the files, the cache, facts of nodes that have passed, what waits to be kept.

use crate::cancel::Cancel;
use crate::config::Limits;
use crate::engine::cache::{Cache, Entry, Lookup};
use crate::engine::cx::{Cx, Program, Used};
use crate::engine::files::FileSet;
use crate::engine::history::{History, Past};
use crate::engine::key::{Key, Part, Parts};
use crate::engine::retry::Budget;
use crate::engine::schedule::Capacity;
use crate::engine::snapshot::FilesError;
use crate::engine::stamps::Stamps;
use crate::error::StageError;
use crate::event::Event;
use crate::ids::NodeId;
use crate::process::Supervisor;
use crate::redact::Redactor;
use crate::report::{OutcomeKind, StageRecord};
use crate::stage::Needs;
use jiff::civil::Date;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;

/// Everything that a run is given.
#[derive(Debug)]
pub struct Setup {
    /// The root of the repository.
    pub root: PathBuf,
    /// Where runs keep their files: `target/xtask` in the root.
    pub own: PathBuf,
    /// The run's id; unique and sorted by time.
    pub run_id: String,
    /// The command as typed, without secrets.
    pub command: String,
    /// What policy accepts.
    pub limits: Limits,
    /// Today, for waivers.
    pub today: Date,
    /// The environment that every child gets.
    pub base_env: BTreeMap<OsString, OsString>,
    /// The values of declared variables; absent ones have none.
    pub variables: BTreeMap<String, Option<String>>,
    /// The digest of this program itself: another version of it may see other things in the same files.
    pub own_digest: String,
    /// The files of the repository.
    pub files: FileSet,
    /// Digests that are expensive to make.
    pub stamps: Stamps,
    /// What the machine has.
    pub capacity: Capacity,
    /// Whether other nodes run on when one fails.
    pub keep_going: bool,
    /// What masks secrets.
    pub redactor: Redactor,
    /// The spawn point.
    pub supervisor: Supervisor,
    /// The stop signal.
    pub cancel: Cancel,
    /// Where events go.
    pub events: UnboundedSender<Event>,
}

/// A result that is kept once it is certain that its inputs did not change while it was made.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) node: NodeId,
    pub(super) key: Key,
    pub(super) inputs: Vec<String>,
    pub(super) files: String,
    pub(super) entry: Entry,
}

/// What all nodes of one run share.
#[derive(Debug)]
pub struct Shared {
    pub(super) setup: Setup,
    pub(super) cache: Cache,
    pub(super) history: History,
    stamps: Mutex<Stamps>,
    selections: Mutex<BTreeMap<Vec<String>, String>>,
    facts: Mutex<BTreeMap<NodeId, Arc<serde_json::Value>>>,
    pending: Mutex<Vec<Pending>>,
    past: Mutex<BTreeMap<String, Past>>,
    /// The globs behind digests of files.
    manifests: Mutex<BTreeMap<String, Vec<String>>>,
    budget: Budget,
    programs: Mutex<BTreeMap<String, Program>>,
}

impl Shared {
    pub(super) fn new(mut setup: Setup) -> Shared {
        let folder = setup.own.join("cache");
        let unused = Stamps::load(PathBuf::new());
        let stamps = std::mem::replace(&mut setup.stamps, unused);
        Shared {
            cache: Cache::new(&setup.root, &folder),
            history: History::new(&folder),
            stamps: Mutex::new(stamps),
            selections: Mutex::default(),
            facts: Mutex::default(),
            pending: Mutex::default(),
            past: Mutex::default(),
            manifests: Mutex::default(),
            budget: Budget::default(),
            programs: Mutex::default(),
            setup,
        }
    }

    /// Takes tools and programs that nodes need, by name, before anything that needs them runs.
    pub(super) fn equip(&self, programs: BTreeMap<String, Program>) {
        let mut known = lock(&self.programs);
        for (name, program) in programs {
            // Another program of that name would change keys of nodes that have already run; the first one stays.
            known.entry(name).or_insert(program);
        }
    }

    /// The input key of a node, part by part. The nodes that it waits for must have ended.
    pub(super) fn parts(&self, node: &NodeId, needs: &Needs) -> Result<Parts, StageError> {
        let mut parts = Parts::default();
        parts.digest(Part::Files, self.files_digest(&needs.inputs));
        parts.digest(Part::Revision, self.setup.own_digest.clone());
        parts.content(
            Part::Platform,
            Some(format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH).as_bytes()),
        );
        let settings = serde_json::to_vec(&(&needs.settings, &needs.inputs, &needs.outputs))
            .map_err(|error| StageError::Bug(format!("the settings of {node} cannot be written: {error}")))?;
        parts.content(Part::Settings, Some(&settings));
        for name in &needs.env {
            let value = self.setup.variables.get(name.as_str()).and_then(Option::as_deref);
            parts.content(Part::Variable(name.as_str().to_owned()), value.map(str::as_bytes));
        }
        let programs = lock(&self.programs);
        for name in needs.names() {
            let digest = programs.get(name).map(|program| program.digest.as_bytes());
            parts.content(Part::Tool(name.to_owned()), digest);
        }
        drop(programs);
        let facts = lock(&self.facts);
        for before in needs.after.iter().chain(&needs.prefers) {
            let text = facts.get(before).map(|value| value.to_string());
            parts.content(Part::Upstream(before.to_string()), text.as_deref().map(str::as_bytes));
        }
        Ok(parts)
    }

    /// The digest of the files behind the globs; nodes with the same globs share the work.
    fn files_digest(&self, inputs: &[String]) -> String {
        let mut known = lock(&self.selections);
        if let Some(digest) = known.get(inputs) {
            return digest.clone();
        }
        let files = &self.setup.files;
        let digest = files.digest(&files.select(inputs));
        known.insert(inputs.to_vec(), digest.clone());
        digest
    }

    pub(super) fn look_up(&self, node: &NodeId, key: &Key) -> Lookup {
        self.cache.look_up(node, key, &mut lock(&self.stamps))
    }

    pub(super) fn passed(&self, node: NodeId, facts: serde_json::Value) {
        lock(&self.facts).insert(node, Arc::new(facts));
    }

    pub(super) fn cx(&self, node: &NodeId, needs: &Needs, deadline: Instant) -> Cx {
        let setup = &self.setup;
        let mut env = setup.base_env.clone();
        for name in &needs.env {
            if let Some(Some(value)) = setup.variables.get(name.as_str()) {
                env.insert(name.as_str().into(), value.into());
            }
        }
        let known = lock(&self.programs);
        let programs =
            needs.names().filter_map(|name| Some((name.to_owned(), known.get(name)?.clone()))).collect();
        drop(known);
        let facts = lock(&self.facts);
        let before = needs.after.iter().chain(&needs.prefers);
        let upstream =
            before.filter_map(|before| Some((before.clone(), facts.get(before)?.clone()))).collect();
        let folder = self.run_folder();
        Cx {
            node: node.clone(),
            root: setup.root.clone(),
            scratch: folder.join(node.file_stem()),
            log: folder.join(format!("{}.log", node.file_stem())),
            deadline,
            env,
            programs,
            upstream,
            supervisor: setup.supervisor.clone(),
            redactor: setup.redactor.clone(),
            cancel: setup.cancel.clone(),
            events: setup.events.clone(),
            used: Mutex::new(Used::default()),
        }
    }

    fn run_folder(&self) -> PathBuf {
        self.setup.own.join("runs").join(&self.setup.run_id)
    }

    pub(super) fn has_log(&self, node: &NodeId) -> bool {
        self.run_folder().join(format!("{}.log", node.file_stem())).exists()
    }

    /// The log's name in the report: relative to the root.
    pub(super) fn log_name(&self, node: &NodeId) -> String {
        let path = self.run_folder().join(format!("{}.log", node.file_stem()));
        path.strip_prefix(&self.setup.root).unwrap_or(&path).to_string_lossy().into_owned()
    }

    pub(super) fn retry_wait(&self, attempt: u32) -> Option<Duration> {
        let seed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        self.budget.wait(attempt, seed.map_or(0, |since| u64::from(since.subsec_nanos()) / 1000))
    }

    pub(super) fn remember(&self, node: &NodeId, needs: &Needs, past: Past) {
        if let Some(digest) = past.parts.get(&Part::Files) {
            lock(&self.manifests).entry(digest.to_owned()).or_insert_with(|| needs.inputs.clone());
        }
        lock(&self.past).insert(node.to_string(), past);
    }

    /// Keeps what the nodes of this run did.
    pub(super) fn keep_history(&self) {
        self.history.add(&self.setup.run_id, &lock(&self.past));
        let files = &self.setup.files;
        let of = |inputs: &Vec<String>| files.manifest(&files.select(inputs));
        self.history.keep_manifests(&lock(&self.manifests), of);
    }

    pub(super) fn expected(&self, nodes: &[NodeId]) -> Vec<Option<u64>> {
        let known = self.history.expected();
        nodes.iter().map(|node| known.get(&node.to_string()).copied()).collect()
    }

    /// Keeps how long each node took that really ran to its own end.
    pub(super) fn keep_timings(&self, records: &[StageRecord]) {
        let ended = |record: &&StageRecord| {
            !record.cached && matches!(record.outcome, OutcomeKind::Passed | OutcomeKind::Rejected)
        };
        let new = records.iter().filter(ended).map(|record| (record.name(), record.duration_ms));
        self.history.keep_timings(new.collect());
    }

    pub(super) fn queue(&self, pending: Pending) {
        lock(&self.pending).push(pending);
    }

    pub(super) fn has_pending(&self) -> bool {
        !lock(&self.pending).is_empty()
    }

    /// Keeps what waits to be kept, unless its inputs are no longer what they were when the run began: then nobody knows which
    /// of the two states the stage saw.
    pub(super) fn keep_pending(&self) -> Result<(), FilesError> {
        let pending = std::mem::take(&mut *lock(&self.pending));
        if pending.is_empty() {
            return Ok(());
        }
        let now = FileSet::snapshot(&self.setup.root)?;
        let mut known: BTreeMap<&[String], String> = BTreeMap::new();
        for Pending { node, key, inputs, files, entry } in &pending {
            let digest = known.entry(inputs).or_insert_with(|| now.digest(&now.select(inputs)));
            if digest == files {
                // A cache that cannot be written costs time in the next run and nothing else.
                let _ = self.cache.keep(node, key, entry);
            }
        }
        Ok(())
    }

    pub(super) fn send(&self, event: Event) {
        // Nobody listens any more only when the run is over.
        let _ = self.setup.events.send(event);
    }

    pub(super) fn save_stamps(&self) {
        lock(&self.stamps).save();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic in another stage leaves these values whole: each is changed by one assignment.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
