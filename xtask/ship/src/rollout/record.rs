//! Recordings of a watch: JSON lines, the first of which says what was watched. What is written has its secrets masked.

use crate::rollout::seen::{Seen, What};
use crate::rollout::target::Target;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
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

/// More than a watch of a hundred Deployments for ten minutes has; a disk is not filled by a cluster that cannot rest.
const MOST_BYTES: u64 = 64 << 20;

/// Writes sightings as they are made. A recording is worth having and never worth a release: what cannot be written ends it, which is
/// told once.
pub(super) struct Recorder {
    path: PathBuf,
    /// None once it has ended.
    file: Option<File>,
    left: u64,
    redactor: Redactor,
}

/// Why there is no recording, or only the beginning of one.
#[derive(Debug, thiserror::Error)]
#[error("no recording of this watch: {}: {source}", path.display())]
pub(super) struct NotRecorded {
    path: PathBuf,
    source: io::Error,
}

impl Recorder {
    /// Writes to this file, which is made with its folder by the first line.
    pub(super) fn new(path: PathBuf, redactor: &Redactor) -> Recorder {
        Recorder { path, file: None, left: MOST_BYTES, redactor: redactor.clone() }
    }

    /// The first line.
    pub(super) fn begin(&mut self, header: &Header) -> Result<(), NotRecorded> {
        let made = self.path.parent().map_or(Ok(()), std::fs::create_dir_all);
        match made.and_then(|()| File::create(&self.path)) {
            Ok(file) => self.file = Some(file),
            Err(source) => return Err(self.ended(source)),
        }
        self.line(header)
    }

    /// One sighting. Time that passes is not written: a replay lets it pass by itself.
    pub(super) fn seen(&mut self, seen: &Seen) -> Result<(), NotRecorded> {
        match seen.what {
            What::Tick => Ok(()),
            What::Workload(_)
            | What::ReplicaSet(_)
            | What::Revision(_)
            | What::Pod(_)
            | What::Event(_)
            | What::Node(_)
            | What::Gone { .. }
            | What::Relisted { .. } => self.line(seen),
        }
    }

    /// The moment at which the watch ended.
    pub(super) fn end(&mut self, at: u64) -> Result<(), NotRecorded> {
        self.line(&Seen { at, what: What::Tick })
    }

    fn line(&mut self, value: &impl Serialize) -> Result<(), NotRecorded> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let text = match serde_json::to_string(value) {
            Ok(text) => format!("{}\n", self.redactor.redact(&text)),
            Err(error) => return Err(self.ended(error.into())),
        };
        let Some(left) = self.left.checked_sub(text.len() as u64) else {
            return Err(self.ended(io::Error::other(format!("it would have more than {MOST_BYTES} bytes"))));
        };
        self.left = left;
        // Unbuffered: what was recorded until a kill is worth having.
        file.write_all(text.as_bytes()).map_err(|source| self.ended(source))
    }

    fn ended(&mut self, source: io::Error) -> NotRecorded {
        self.file = None;
        NotRecorded { path: self.path.clone(), source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_that_grows_too_large_ends_and_says_so_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        let mut recorder = Recorder::new(path.clone(), &Redactor::default());
        let target = Target {
            namespace: "here".to_owned(),
            workloads: Vec::new(),
            soak_ms: 0,
            budget_ms: 0,
            images_proven: false,
            graces: crate::rollout::Graces::default(),
        };
        recorder.begin(&Header { recording: FORM, kubernetes: String::new(), target }).unwrap();
        let gone =
            |uid: String| Seen { at: 1, what: What::Gone { kind: crate::rollout::seen::Kind::Pod, uid } };
        recorder.seen(&gone("a".to_owned())).unwrap();
        let error = recorder.seen(&gone("a".repeat(64 << 20))).unwrap_err().to_string();
        assert!(error.contains("a.jsonl") && error.contains("more than"), "{error}");
        assert!(recorder.seen(&gone("b".to_owned())).is_ok() && recorder.end(2).is_ok(), "it is told once");
        assert_eq!(std::fs::read_to_string(path).unwrap().lines().count(), 2);
    }
}
