//! The lines on standard error that say that a run without a terminal still lives. Nobody needs them to understand the result.

use super::node;
use super::text::{clean, count, cut, duration, inert};
use crate::event::Event;
use crate::ids::NodeId;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// So many characters of what a child said last are shown.
const SAID: usize = 120;

/// How long it is silent about the details of something that it has named. The only clock in a reporter that writes lines.
const SILENCE: Duration = Duration::from_secs(10);

/// What stages said last, and what has been named as being done.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    said: BTreeMap<NodeId, String>,
    doing: BTreeSet<String>,
    detail: Option<Instant>,
}

impl Pulse {
    /// The line that an event is worth, if it is worth one.
    pub(super) fn line(&mut self, event: &Event) -> Option<String> {
        let text = match event {
            Event::RunStarted { nodes, expected_ms, .. } => {
                let time = duration((*expected_ms)?);
                format!("{}, about {time} if they take as long as before", count(nodes.len(), "stage"))
            }
            Event::Line { node, text, .. } => {
                // Kept as it came: of a thousand lines one is shown, and only that one is worth cleaning.
                let said = self.said.entry(node.clone()).or_default();
                said.clear();
                said.push_str(text);
                return None;
            }
            Event::Progress { node, doing, done, total } => {
                let who = node.as_ref().map_or_else(|| "tools".to_owned(), NodeId::to_string);
                let text = format!("{who}: {}", cut(&clean(doing), SAID));
                let silent = self.detail.is_some_and(|last| last.elapsed() < SILENCE);
                if silent && self.is_detail(&text) {
                    return None;
                }
                let line = format!("{text}{}", percent(*done, *total));
                self.detail = Some(Instant::now());
                self.doing.insert(text);
                line
            }
            Event::Slow { node, elapsed_ms } => {
                let said = self.said.get(node).map(|said| clean(said)).filter(|said| !said.is_empty());
                let said =
                    said.map(|said| format!("; it said last: {}", cut(&said, SAID))).unwrap_or_default();
                format!("still running: {node}, {}{said}", duration(*elapsed_ms))
            }
            Event::Retrying { node, attempt, transient, after_ms } => {
                format!("{node}: {transient}; try {} follows in {}", attempt + 1, duration(*after_ms))
            }
            Event::CancelRequested { by } => format!("stopping ({by})"),
            Event::StageFinished { record } => {
                self.said.remove(&node(record));
                return None;
            }
            Event::StageStarted { .. } | Event::RunFinished { .. } => return None,
        };
        Some(format!("{}\n", inert(&text)))
    }

    /// Whether this only adds to what has been named: `building helm 4.3.1: compiling …` to `building helm 4.3.1`.
    fn is_detail(&self, text: &str) -> bool {
        self.doing.iter().any(|named| text.starts_with(named.as_str()))
    }
}

/// ` 25 %`, where it is known how much there is.
pub(super) fn percent(done: u64, total: Option<u64>) -> String {
    match total.filter(|total| *total > 0) {
        Some(total) => format!(" {:>3} %", (u128::from(done) * 100 / u128::from(total)).min(100)),
        None => String::new(),
    }
}
