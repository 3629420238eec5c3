//! What a run would do, without doing it: which nodes would come from the cache, how long the rest should take, and why a node
//! would run again.

use crate::engine::cx::Program;
use crate::engine::files::changed_files;
use crate::engine::key::{Part, Parts};
use crate::engine::run::{Node, Planned};
use crate::ids::NodeId;
use serde::Serialize;
use std::collections::BTreeMap;

/// What would happen to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// Its result is in the cache.
    Cached,
    /// It runs.
    Runs,
    /// It runs if what it waits for gives another result than last time.
    Depends,
}

/// What would happen to a node, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Forecast {
    /// The node.
    #[serde(flatten)]
    pub node: NodeId,
    /// What would happen.
    pub fate: Fate,
    /// How long it took last time, in milliseconds.
    pub expected_ms: Option<u64>,
    /// What it waits for.
    pub after: Vec<String>,
}

/// Why a node would run again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// It would not: its result is in the cache.
    Cached,
    /// It has never run in this checkout, as far as is remembered.
    NeverRan,
    /// The run nearest to the present inputs differs in these parts; for files, each with what happened to it.
    Changed {
        /// That run.
        run: String,
        /// Each part that differs, and details where they are known.
        parts: Vec<(Part, Vec<String>)>,
    },
    /// The inputs are those of an earlier run whose result was not kept, because it did not pass.
    NotKept {
        /// That run.
        run: String,
    },
}

impl<N: Node> Planned<N> {
    /// Forecasts every node, in an order in which each comes after those that it waits for.
    pub fn forecast(&self, programs: BTreeMap<String, Program>) -> Vec<Forecast> {
        self.shared.equip(programs);
        let mut settled = vec![false; self.graph.len()];
        self.graph
            .order()
            .iter()
            .map(|at| {
                let node = &self.graph.nodes()[*at];
                let waits: Vec<usize> = self.graph.must_end(*at).collect();
                let fate = if waits.iter().any(|before| !settled[*before]) {
                    Fate::Depends
                } else if self.recall(*at) {
                    settled[*at] = true;
                    Fate::Cached
                } else {
                    Fate::Runs
                };
                let after = waits.iter().map(|before| self.graph.nodes()[*before].to_string()).collect();
                Forecast { node: node.clone(), fate, expected_ms: self.expected[*at], after }
            })
            .collect()
    }

    /// Whether a node's result is in the cache; its facts then serve those that wait for it.
    fn recall(&self, at: usize) -> bool {
        let node = &self.graph.nodes()[at];
        let Ok(parts) = self.shared.parts(node, &self.needs[at]) else {
            return false;
        };
        let entry = self.shared.cache.peek(node, &parts.key());
        let known = entry.is_some();
        if let Some(entry) = entry {
            self.shared.passed(node.clone(), entry.facts);
        }
        known
    }

    /// Explains one node. None if it is not in the graph.
    pub fn why(&self, wanted: &NodeId, programs: BTreeMap<String, Program>) -> Option<Why> {
        self.forecast(programs);
        let at = self.graph.nodes().iter().position(|node| node == wanted)?;
        let parts = self.shared.parts(wanted, &self.needs[at]).ok()?;
        if self.shared.cache.peek(wanted, &parts.key()).is_some() {
            return Some(Why::Cached);
        }
        let past = self.shared.history.of(wanted);
        // Of equally near runs the latest is the one that a person remembers.
        let nearest = past.iter().rev().min_by_key(|past| parts.differing(&past.parts).len());
        let Some(nearest) = nearest else {
            return Some(Why::NeverRan);
        };
        let differing = parts.differing(&nearest.parts);
        if differing.is_empty() {
            return Some(Why::NotKept { run: nearest.run.clone() });
        }
        let parts = differing
            .into_iter()
            .map(|part| {
                let details =
                    if *part == Part::Files { self.file_changes(at, &nearest.parts) } else { Vec::new() };
                (part.clone(), details)
            })
            .collect();
        Some(Why::Changed { run: nearest.run.clone(), parts })
    }

    fn file_changes(&self, at: usize, before: &Parts) -> Vec<String> {
        let files = &self.shared.setup.files;
        let before = before.get(&Part::Files).and_then(|digest| self.shared.history.manifest_of(digest));
        let Some(before) = before else { return Vec::new() };
        let now = files.manifest(&files.select(&self.needs[at].inputs));
        changed_files(&before, &now).into_iter().map(|(path, what)| format!("{what} {path}")).collect()
    }
}
