//! Recordings of a watch: JSON lines, the first of which says what was watched. What is written has its secrets masked.

use crate::rollout::seen::{Seen, What};
use crate::rollout::target::Target;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use xtask_core::redact::Redactor;

/// The form of recordings; another one is refused.
pub(super) const FORM: u32 = 1;

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The form of the lines that follow.
    pub recording: u32,
    /// The version of the cluster.
    pub kubernetes: String,
    /// What was watched.
    pub target: Target,
}

/// Writes sightings as they are made.
pub(super) struct Recorder {
    file: BufWriter<File>,
    redactor: Redactor,
}

impl Recorder {
    /// Begins a recording.
    pub(super) fn new(path: &Path, header: &Header, redactor: &Redactor) -> io::Result<Recorder> {
        let mut recorder = Recorder { file: BufWriter::new(File::create(path)?), redactor: redactor.clone() };
        recorder.line(header)?;
        Ok(recorder)
    }

    /// One sighting. Time that passes is not written: a replay lets it pass by itself.
    pub(super) fn seen(&mut self, seen: &Seen) -> io::Result<()> {
        match seen.what {
            What::Tick => Ok(()),
            What::Deployment(_)
            | What::ReplicaSet(_)
            | What::Pod(_)
            | What::Event(_)
            | What::Node(_)
            | What::Gone { .. }
            | What::Relisted { .. } => self.line(seen),
        }
    }

    /// The moment at which the watch ended.
    pub(super) fn end(mut self, at: u64) -> io::Result<()> {
        self.line(&Seen { at, what: What::Tick })?;
        self.file.flush()
    }

    fn line(&mut self, value: &impl Serialize) -> io::Result<()> {
        let text = serde_json::to_string(value)?;
        writeln!(self.file, "{}", self.redactor.redact(&text))?;
        // What was recorded until a kill is worth having.
        self.file.flush()
    }
}
