//! What is installed, and whether it is still what was installed.

use super::home::Found;
use super::lock::{Source, ToolPin};
use super::names::Hex;
use super::probe::{self, Known};
use super::progress::{Phase, Progress, shown};
use super::work::Work;
use super::{Failure, Provisioner, Setup, ToolProgress, files};
use crate::cancel::Cancel;
use std::path::PathBuf;
use tokio::sync::mpsc;

/// A tool as it is on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Its name in `tools.lock`.
    pub name: String,
    /// The version that is pinned.
    pub version: String,
    /// What is there.
    pub state: State,
    /// Every place that it may come from, in order.
    pub sources: Vec<String>,
}

/// What is there of a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It can be used.
    Ready {
        /// Where it came from.
        source: String,
        /// The file that runs.
        path: PathBuf,
        /// Bytes on disk, of all of its files.
        bytes: u64,
        /// SHA-256 of the file that runs.
        sha256: Hex,
    },
    /// A program on PATH was never asked for its version, and nothing is installed.
    Unasked,
    /// It is there, but has to be checked or installed again, and why.
    Damaged(String),
    /// Nothing is there.
    Missing,
}

/// Whether a tool is what was installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verified {
    /// All of its files have their digests; on PATH, it still says its version.
    Good {
        /// The file that runs.
        path: PathBuf,
        /// SHA-256 of it.
        sha256: Hex,
    },
    /// Something differs, and what.
    Bad(String),
    /// It is not installed.
    Missing,
}

impl Provisioner {
    /// Every tool of the lock file, by name. Runs nothing, asks nobody.
    pub fn list(&self) -> Vec<Status> {
        let setup = &self.0;
        let status = |pin: &ToolPin| Status {
            name: pin.name.to_string(),
            version: pin.version.to_string(),
            state: setup.state(pin),
            sources: pin.sources.iter().map(|source| setup.describe(source)).collect(),
        };
        setup.lock.tools().map(status).collect()
    }

    /// Hashes every file of these tools again; of all that are there, if none is named.
    pub async fn verify(
        &self,
        names: &[&str],
        cancel: &Cancel,
        mut progress: impl FnMut(ToolProgress),
    ) -> Vec<(String, Verified)> {
        let all: Vec<&str> = self.0.lock.tools().map(|pin| pin.name.as_str()).collect();
        let mut results = Vec::new();
        for name in if names.is_empty() { &all } else { names } {
            let verified = match self.0.lock.tool(name) {
                None => Verified::Bad(format!("{} does not name it", self.0.lock.origin())),
                Some(pin) => {
                    let (to, from) = mpsc::unbounded_channel();
                    let steps = Progress::new(name, pin.version.as_str(), to);
                    steps.phase(Phase::Checking);
                    let work = Work { setup: &self.0, pin, cancel, progress: &steps };
                    shown(work.verify(), from, &mut progress).await
                }
            };
            results.push(((*name).to_owned(), verified));
        }
        results
    }
}

impl Setup {
    fn state(&self, pin: &ToolPin) -> State {
        let mut state = State::Missing;
        for source in &pin.sources {
            if let Source::Path = source {
                match probe::known(&self.home, pin, &self.search_path) {
                    Known::Yes(found) => {
                        return State::Ready {
                            source: self.describe(source),
                            path: found.program.path,
                            bytes: found.program.size,
                            sha256: found.sha256,
                        };
                    }
                    Known::Unasked => state = State::Unasked,
                    Known::No => {}
                }
                continue;
            }
            match self.place(pin, source).look() {
                Found::Whole(manifest) => {
                    return State::Ready {
                        bytes: manifest.bytes(),
                        source: manifest.source,
                        path: manifest.program.path,
                        sha256: manifest.sha256,
                    };
                }
                Found::Touched(manifest) => {
                    let program = manifest.program.path.display();
                    state = State::Damaged(format!("{program} has another time than it had"));
                }
                Found::Damaged(why) => state = State::Damaged(why),
                Found::Nothing => {}
            }
        }
        state
    }
}

impl Work<'_> {
    async fn verify(&self) -> Verified {
        for source in &self.pin.sources {
            if let Source::Path = source {
                if let Known::Yes(found) = probe::known(&self.setup.home, self.pin, &self.setup.search_path) {
                    return self.verify_on_path(found).await;
                }
                continue;
            }
            let place = self.setup.place(self.pin, source);
            let manifest = match place.look() {
                Found::Whole(manifest) | Found::Touched(manifest) => manifest,
                Found::Damaged(why) => return Verified::Bad(why),
                Found::Nothing => continue,
            };
            let examined = self.blocking(move || {
                place.examine(&manifest).map_err(Failure::refused)?;
                Ok((manifest.program.path, manifest.sha256))
            });
            return match examined.await {
                Ok((path, sha256)) => Verified::Good { path, sha256 },
                Err(failure) => Verified::Bad(failure.why),
            };
        }
        Verified::Missing
    }

    /// Nobody pinned its digest: it must have the one that it had when it was asked, and give the same answer.
    async fn verify_on_path(&self, found: probe::OnPath) -> Verified {
        let path = found.program.path.clone();
        let cannot = Failure::io("cannot read", &path);
        match self.blocking(move || files::sha256_of_file(&path).map_err(cannot)).await {
            Ok(now) if now != found.sha256 => {
                return Verified::Bad(format!(
                    "it has the SHA-256 {now}, and had {} when it was asked",
                    found.sha256
                ));
            }
            Ok(_) => {}
            Err(failure) => return Verified::Bad(failure.why),
        }
        match self.probe(&found.program.path).await {
            Ok(said) if probe::version_in(&said, self.pin) == Some(self.pin.version.as_str()) => {
                Verified::Good { path: found.program.path, sha256: found.sha256 }
            }
            Ok(_) => Verified::Bad("it says another version than it did".to_owned()),
            Err(failure) => Verified::Bad(failure.why),
        }
    }
}
