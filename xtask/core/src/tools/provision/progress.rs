//! What is being done, for whoever shows it.

use std::fmt;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

/// A step in the provisioning of one tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolProgress {
    /// The tool, or the scanner's data.
    pub name: String,
    /// Its version; empty for data.
    pub version: String,
    /// What is being done.
    pub phase: Phase,
    /// Bytes done, where they are counted.
    pub done: u64,
    /// Bytes in all, where that is known.
    pub total: Option<u64>,
    /// The last line that the program at work printed.
    pub line: Option<String>,
}

/// What is being done to a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Another run is installing it.
    Waiting,
    /// A program on PATH is asked for its version.
    Probing,
    /// Bytes arrive.
    Downloading,
    /// The server asked for patience, or the connection broke.
    Retrying,
    /// Digests are computed.
    Checking,
    /// An archive is opened.
    Unpacking,
    /// Go compiles it.
    Building,
    /// Python packages are installed.
    Installing,
    /// A scanner fetches its data.
    Fetching,
    /// It can be used.
    Ready,
    /// It could not be had.
    Failed,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Phase::Waiting => "waiting for another run that installs",
            Phase::Probing => "asking for the version of",
            Phase::Downloading => "downloading",
            Phase::Retrying => "trying again to download",
            Phase::Checking => "checking",
            Phase::Unpacking => "unpacking",
            Phase::Building => "building",
            Phase::Installing => "installing",
            Phase::Fetching => "fetching",
            Phase::Ready => "ready:",
            Phase::Failed => "could not be had:",
        })
    }
}

/// As an event says it: `downloading syft 1.18.1`.
impl fmt::Display for ToolProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.phase, self.name)?;
        if self.version.is_empty() { Ok(()) } else { write!(f, " {}", self.version) }
    }
}

/// Sends steps of one tool.
#[derive(Debug, Clone)]
pub(super) struct Progress {
    name: String,
    version: String,
    to: UnboundedSender<ToolProgress>,
}

impl Progress {
    pub(super) fn new(name: &str, version: &str, to: UnboundedSender<ToolProgress>) -> Progress {
        Progress { name: name.to_owned(), version: version.to_owned(), to }
    }

    pub(super) fn phase(&self, phase: Phase) {
        self.send(phase, 0, None, None);
    }

    pub(super) fn bytes(&self, phase: Phase, done: u64, total: Option<u64>) {
        self.send(phase, done, total, None);
    }

    pub(super) fn line(&self, phase: Phase, line: &str) {
        self.send(phase, 0, None, Some(line.to_owned()));
    }

    fn send(&self, phase: Phase, done: u64, total: Option<u64>, line: Option<String>) {
        let (name, version) = (self.name.clone(), self.version.clone());
        // Nobody listens any more when the run is being stopped; the work itself is stopped elsewhere.
        let _ = self.to.send(ToolProgress { name, version, phase, done, total, line });
    }
}

/// Runs a job to its end and shows the steps that it sends meanwhile.
pub(super) async fn shown<T>(
    job: impl Future<Output = T>,
    mut steps: UnboundedReceiver<ToolProgress>,
    mut show: impl FnMut(ToolProgress),
) -> T {
    tokio::pin!(job);
    loop {
        tokio::select! {
            // Steps first, so that none is lost when the job is done.
            biased;
            Some(step) = steps.recv() => show(step),
            result = &mut job => return result,
        }
    }
}
