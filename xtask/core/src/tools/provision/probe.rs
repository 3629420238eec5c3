//! Programs that are already on PATH: asked once for their version, remembered for as long as the file is the same.

use super::failure::{Failure, Reason};
use super::files::{self, Stamp};
use super::home::Home;
use super::lock::ToolPin;
use super::names::Hex;
use super::progress::Phase;
use super::work::Work;
use serde::{Deserialize, Serialize};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// What a program answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    program: Stamp,
    asked: Vec<String>,
    /// Its standard output, or why there was none.
    said: Result<String, String>,
    sha256: Hex,
}

impl Answer {
    fn is(&self, pin: &ToolPin) -> bool {
        self.said.as_ref().is_ok_and(|said| version_in(said, pin) == Some(pin.version.as_str()))
    }

    /// In words, for those who wonder why it was not taken.
    fn describe(&self, pin: &ToolPin) -> String {
        let path = self.program.path.display();
        match &self.said {
            Ok(said) => match version_in(said, pin) {
                Some(version) => format!("{path} is version {version}"),
                None => format!("{path} says no version"),
            },
            Err(why) => format!("{path}: {why}"),
        }
    }
}

/// A program on PATH that is what is pinned.
#[derive(Debug, Clone)]
pub(super) struct OnPath {
    pub program: Stamp,
    pub sha256: Hex,
}

/// What is known of PATH without running anything.
#[derive(Debug)]
pub(super) enum Known {
    /// This one is it.
    Yes(OnPath),
    /// None of those on PATH.
    No,
    /// Some were never asked.
    Unasked,
}

/// Programs on PATH that may be the tool. The shim of a version manager is none of them: it stays the same file while what it runs
/// changes, so that its answer cannot be remembered.
fn candidates(pin: &ToolPin, search_path: &[PathBuf]) -> Vec<PathBuf> {
    let mut found = files::candidates(pin.bin.as_str(), search_path);
    found.retain(|path| path.parent().and_then(Path::file_name) != Some(OsStr::new("shims")));
    found
}

/// What is known without running anything.
pub(super) fn known(home: &Home, pin: &ToolPin, search_path: &[PathBuf]) -> Known {
    let candidates = candidates(pin, search_path);
    if candidates.is_empty() {
        return Known::No;
    }
    let answers = remembered(home, pin);
    for candidate in candidates {
        let now = Stamp::of(&candidate).ok();
        match answers.iter().find(|answer| Some(&answer.program) == now.as_ref()) {
            None => return Known::Unasked,
            Some(answer) if answer.is(pin) => {
                return Known::Yes(OnPath { program: answer.program.clone(), sha256: answer.sha256.clone() });
            }
            Some(_) => {}
        }
    }
    Known::No
}

/// Asks those that were never asked, until one is what is pinned.
pub(super) async fn ask(work: &Work<'_>) -> Result<OnPath, Failure> {
    let pin = work.pin;
    let mut answers = remembered(&work.setup.home, pin);
    answers.retain(|answer| answer.program.holds());
    let mut others = Vec::new();
    for candidate in candidates(pin, &work.setup.search_path) {
        let Ok(now) = Stamp::of(&candidate) else { continue };
        let answer = match answers.iter().find(|answer| answer.program == now) {
            Some(answer) => answer.clone(),
            None => match question(work, now).await {
                Ok(answer) => {
                    answers.push(answer.clone());
                    remember(&work.setup.home, pin, &answers);
                    answer
                }
                Err(failure) if failure.reason == Reason::Cancelled => return Err(failure),
                Err(failure) => {
                    others.push(format!("{}: {}", candidate.display(), failure.why));
                    continue;
                }
            },
        };
        if answer.is(pin) {
            return Ok(OnPath { program: answer.program, sha256: answer.sha256 });
        }
        others.push(answer.describe(pin));
    }
    Err(Failure::unsuitable(if others.is_empty() {
        format!("`{}` is not on PATH", pin.bin)
    } else {
        format!("not version {}: {}", pin.version, others.join(", "))
    }))
}

/// Runs a program once. What can be another answer next time, such as none in time, is a failure and not an answer.
async fn question(work: &Work<'_>, program: Stamp) -> Result<Answer, Failure> {
    let _permit = work.setup.many.acquire().await;
    work.progress.phase(Phase::Probing);
    let said = match work.probe(&program.path).await {
        Ok(said) => Ok(said),
        Err(failure) if failure.reason == Reason::Unsuitable => Err(failure.why),
        Err(failure) => return Err(failure),
    };
    let path = program.path.clone();
    let cannot = Failure::io("cannot read", &path);
    let sha256 = work.blocking(move || files::sha256_of_file(&path).map_err(cannot)).await?;
    Ok(Answer { program, asked: asked(work.pin), said, sha256 })
}

fn asked(pin: &ToolPin) -> Vec<String> {
    pin.probe.iter().flat_map(|probe| probe.args.clone()).collect()
}

fn remember(home: &Home, pin: &ToolPin, answers: &[Answer]) {
    if let Ok(bytes) = serde_json::to_vec_pretty(answers) {
        let made = std::fs::create_dir_all(home.of(&pin.name));
        // A cache that cannot be written only means that the question is asked again.
        let _ = made.and_then(|()| files::write_durably(&home.probes(&pin.name), &bytes));
    }
}

fn remembered(home: &Home, pin: &ToolPin) -> Vec<Answer> {
    // What cannot be read is asked again.
    let bytes = std::fs::read(home.probes(&pin.name)).unwrap_or_default();
    let mut answers: Vec<Answer> = serde_json::from_slice(&bytes).unwrap_or_default();
    answers.retain(|answer| answer.asked == asked(pin));
    answers
}

/// The version in what a tool printed: the first word after the text that comes before it, without a `v`.
pub(super) fn version_in<'a>(said: &'a str, pin: &ToolPin) -> Option<&'a str> {
    let after = pin.probe.as_ref().map_or("", |probe| probe.after.as_str());
    let rest = said[said.find(after)? + after.len()..].trim_start();
    let end = rest
        .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '+' | '-')))
        .unwrap_or(rest.len());
    let word = &rest[..end];
    let version = word.strip_prefix('v').unwrap_or(word);
    (!version.is_empty()).then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::provision::{Lock, Origin};

    fn found<'a>(said: &'a str, after: &str) -> Option<&'a str> {
        let text = format!(
            "version: 1\ntools:\n  x:\n    version: 1.0\n    probe: {{ args: [v], after: \"{after}\" }}\n    sources: [path]\n"
        );
        let lock = Lock::parse(&text, Origin::Embedded).unwrap();
        version_in(said, lock.tool("x").unwrap())
    }

    /// What the real tools print.
    #[test]
    fn a_version_is_the_first_word_after_its_mark() {
        assert_eq!(found("v4.3.1", ""), Some("4.3.1"));
        assert_eq!(found("1.7.12\ninstalled by building from source\n", ""), Some("1.7.12"));
        assert_eq!(found("Haskell Dockerfile Linter 2.15.1\n", "Haskell Dockerfile Linter "), Some("2.15.1"));
        assert_eq!(found("ansible-playbook [core 2.19.14]\n", "ansible-playbook [core "), Some("2.19.14"));
        assert_eq!(found("GitVersion:    v3.1.3\nGitCommit:  unknown\n", "GitVersion:"), Some("3.1.3"));
        assert_eq!(found("Terraform v1.11.4-dev\n", "Terraform "), Some("1.11.4-dev"));
        assert_eq!(found("v4.3.1+gabc", ""), Some("4.3.1+gabc"));
        assert_eq!(found("", ""), None);
        assert_eq!(found("Terraform v1.11.4", "OpenTofu "), None);
    }
}
