//! What each node did in its last runs: how long it took, and from which inputs. Serves the schedule, the expected time and `why`.
//!
//! Losing it costs nothing but better guesses; it never decides a result.

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
const KEEP: usize = 12;

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

    fn file(&self, node: &NodeId) -> PathBuf {
        self.folder.join("history").join(node.file_stem())
    }

    fn manifest(&self, digest: &str) -> PathBuf {
        self.folder.join("manifests").join(digest)
    }

    /// The past of a node, oldest first.
    pub fn of(&self, node: &NodeId) -> Vec<Past> {
        store::unseal(&self.file(node), KIND, VERSION)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default()
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

    /// Adds a run. Failure is not worth a word: the next guess is worse, that is all.
    pub fn add(&self, node: &NodeId, past: Past) {
        let mut all = self.of(node);
        all.push(past);
        let surplus = all.len().saturating_sub(KEEP);
        all.drain(..surplus);
        if let Ok(bytes) = serde_json::to_vec(&all) {
            let _ = store::seal(&self.file(node), KIND, VERSION, &bytes);
        }
    }

    /// Keeps the list of input files behind a digest, so that `why` can name the files that changed.
    pub fn keep_manifest(&self, digest: &str, manifest: impl FnOnce() -> Vec<u8>) {
        let path = self.manifest(digest);
        if !path.exists() && store::seal(&path, KIND, VERSION, &manifest()).is_ok() {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::StageId;

    fn past(duration_ms: u64, outcome: OutcomeKind) -> Past {
        Past { run: "r".into(), outcome, duration_ms, parts: Parts::default() }
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
    fn only_the_last_runs_are_kept_and_a_damaged_file_means_no_past() {
        let folder = tempfile::tempdir().unwrap();
        let history = History::new(folder.path());
        let node = NodeId::repository(StageId::Iac);
        for number in 0..30 {
            history.add(&node, past(number, OutcomeKind::Passed));
        }
        assert_eq!(history.of(&node).len(), KEEP);
        fs::write(history.file(&node), "x").unwrap();
        assert!(history.of(&node).is_empty());
    }
}
