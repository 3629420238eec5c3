//! What each node did in the last runs: how long it took, and from which inputs. Serves the schedule, the expected time and `why`.
//!
//! One file a run, written when it ends: one a node would be the most expensive part of a short one. Losing it costs nothing but better guesses; it never decides a result.

use crate::engine::key::Parts;
use crate::engine::store;
use crate::ids::NodeId;
use crate::report::OutcomeKind;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const KIND: &str = "slipway-history";
const VERSION: u32 = 1;
const KEEP_RUNS: usize = 50;

/// One time that a node really ran.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Past {
    /// The run's id.
    pub run: String,
    /// How it ended.
    pub outcome: OutcomeKind,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// The parts of its input key.
    pub parts: Parts,
}

/// The history of a checkout.
#[derive(Debug, Clone)]
pub struct History {
    folder: PathBuf,
}

impl History {
    /// The history kept in `folder`.
    pub fn new(folder: &Path) -> History {
        History { folder: folder.to_owned() }
    }

    fn runs(&self) -> PathBuf {
        self.folder.join("past")
    }

    fn manifest(&self, digest: &str) -> PathBuf {
        self.folder.join("manifests").join(digest)
    }

    /// The past of a node, oldest first.
    pub fn of(&self, node: &NodeId) -> Vec<Past> {
        let runs = files_in(&self.runs());
        let read = runs.iter().filter_map(|run| {
            let bytes = store::unseal(run, KIND, VERSION).ok()?;
            let mut nodes: BTreeMap<String, Past> = serde_json::from_slice(&bytes).ok()?;
            nodes.remove(&node.to_string())
        });
        read.collect()
    }

    /// The expected durations in milliseconds, by the node's name: of the last run that ended by itself. One file for all nodes,
    /// because every run reads it.
    pub fn expected(&self) -> BTreeMap<String, u64> {
        store::unseal(&self.timings(), KIND, VERSION)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default()
    }

    fn timings(&self) -> PathBuf {
        self.folder.join("timings")
    }

    /// Keeps new durations beside those that are known.
    pub fn keep_timings(&self, new: BTreeMap<String, u64>) {
        if new.is_empty() {
            return;
        }
        let mut all = self.expected();
        all.extend(new);
        if let Ok(bytes) = serde_json::to_vec(&all) {
            // Another run may write in between and lose a guess; the next run makes a new one.
            let _ = store::seal(&self.timings(), KIND, VERSION, &bytes);
        }
    }

    /// Adds what the nodes of a run did, by their names. Runs are sorted by their ids. Failure is not worth a word: the next guess is
    /// worse, that is all.
    pub fn add(&self, run: &str, nodes: &BTreeMap<String, Past>) {
        if nodes.is_empty() {
            return;
        }
        if let Ok(bytes) = serde_json::to_vec(nodes) {
            let _ = store::seal(&self.runs().join(run), KIND, VERSION, &bytes);
        }
        let mut all = files_in(&self.runs());
        let surplus = all.len().saturating_sub(KEEP_RUNS);
        for old in all.drain(..surplus) {
            let _ = fs::remove_file(old);
        }
    }

    /// Keeps the lists of input files behind digests, so that `why` can name the files that changed. `list` makes one of `globs`.
    pub fn keep_manifests<G>(&self, globs: &BTreeMap<String, G>, list: impl Fn(&G) -> Vec<u8>) {
        let mut new = false;
        for (digest, globs) in globs {
            let path = self.manifest(digest);
            new |= !path.exists() && store::seal(&path, KIND, VERSION, &list(globs)).is_ok();
        }
        if new {
            self.prune_manifests();
        }
    }

    /// The list of input files behind a digest, if it is still known.
    pub fn manifest_of(&self, digest: &str) -> Option<Vec<u8>> {
        store::unseal(&self.manifest(digest), KIND, VERSION).ok()
    }

    fn prune_manifests(&self) {
        const KEEP_MANIFESTS: usize = 200;
        let Ok(items) = fs::read_dir(self.folder.join("manifests")) else {
            return;
        };
        let mut files: Vec<_> = items
            .flatten()
            .filter_map(|item| Some((item.metadata().ok()?.modified().ok()?, item.path())))
            .collect();
        files.sort();
        let surplus = files.len().saturating_sub(KEEP_MANIFESTS);
        for (_, old) in files.drain(..surplus) {
            let _ = fs::remove_file(old);
        }
    }
}

/// The files of a folder, sorted by name.
fn files_in(folder: &Path) -> Vec<PathBuf> {
    let items = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = items.map(|item| item.path()).collect();
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::StageId;

    fn past(run: &str) -> Past {
        Past { run: run.into(), outcome: OutcomeKind::Passed, duration_ms: 1, parts: Parts::default() }
    }

    #[test]
    fn expected_times_are_kept_beside_each_other_and_damage_means_none() {
        let folder = tempfile::tempdir().unwrap();
        let history = History::new(folder.path());
        assert!(history.expected().is_empty());
        history.keep_timings(BTreeMap::from([("iac".to_owned(), 100), ("test:a".to_owned(), 5)]));
        history.keep_timings(BTreeMap::from([("iac".to_owned(), 200)]));
        assert_eq!(history.expected(), BTreeMap::from([("iac".to_owned(), 200), ("test:a".to_owned(), 5)]));
        fs::write(history.timings(), "x").unwrap();
        assert!(history.expected().is_empty());
    }

    #[test]
    fn only_the_last_runs_are_kept_and_a_damaged_file_costs_that_run_only() {
        let folder = tempfile::tempdir().unwrap();
        let history = History::new(folder.path());
        let node = NodeId::repository(StageId::Iac);
        for number in 0..KEEP_RUNS + 10 {
            let run = format!("run-{number:03}");
            history.add(&run, &BTreeMap::from([("iac".to_owned(), past(&run))]));
        }
        history.add("run-999", &BTreeMap::from([("chart".to_owned(), past("run-999"))]));
        let runs: Vec<String> = history.of(&node).into_iter().map(|past| past.run).collect();
        assert_eq!((runs.len(), runs[0].as_str()), (KEEP_RUNS - 1, "run-011"), "oldest first");
        fs::write(history.runs().join("run-020"), "x").unwrap();
        assert_eq!(history.of(&node).len(), KEEP_RUNS - 2);
    }
}
