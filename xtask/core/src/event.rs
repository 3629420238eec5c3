//! The one stream of events of a run. Stages and the engine send, reporters listen; nobody else prints.
//!
//! Everything that stays on the screen or in a log is also in the report, so that `replay` can show it again: events that only
//! live while the run lives ([`Event::Line`], [`Event::Progress`], [`Event::Slow`]) never leave a lasting trace.

use crate::error::Transient;
use crate::ids::NodeId;
use crate::report::{RunInfo, StageRecord};
use serde::Serialize;

/// Which of a child's two streams a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Something that happened, in the order in which it happened. Secrets are masked before an event is sent.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The graph is known and the run begins.
    RunStarted {
        /// Version of this stream and of the report.
        schema: u32,
        /// The run's id.
        run: String,
        /// The command as typed, without secrets.
        command: String,
        /// Every node, in the order of the graph.
        nodes: Vec<NodeId>,
        /// Expected duration in milliseconds, when there is history for all of it.
        expected_ms: Option<u64>,
    },
    /// A stage begins, or begins again after a transient failure.
    StageStarted {
        /// The node.
        node: NodeId,
        /// The try, from 1.
        attempt: u32,
    },
    /// A line that a child printed.
    Line {
        /// The node.
        node: NodeId,
        /// The stream.
        stream: Stream,
        /// The line without its end, masked, at most 4 KiB.
        text: String,
    },
    /// What a stage is at.
    Progress {
        /// The node, or none while tools are provisioned.
        node: Option<NodeId>,
        /// What is being done: `downloading syft 1.18.1`.
        doing: String,
        /// Units done.
        done: u64,
        /// Units in all, when known.
        total: Option<u64>,
    },
    /// A stage runs longer than a minute; sent again each minute.
    Slow {
        /// The node.
        node: NodeId,
        /// Milliseconds since it began.
        elapsed_ms: u64,
    },
    /// A transient failure will be tried again.
    Retrying {
        /// The node.
        node: NodeId,
        /// The try that failed, from 1.
        attempt: u32,
        /// What failed.
        transient: Transient,
        /// Milliseconds until the next try.
        after_ms: u64,
    },
    /// A stage ended. Sent exactly once for each node.
    StageFinished {
        /// Everything that is known about it.
        record: Box<StageRecord>,
    },
    /// The run is being stopped.
    CancelRequested {
        /// What asked for it: `SIGINT`.
        by: &'static str,
    },
    /// The run is over.
    RunFinished {
        /// How it ended.
        run: RunInfo,
    },
}
