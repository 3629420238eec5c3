//! `tools update`: a tool at another version, with every digest that can be computed anew, in the text of `tools.lock` as it is,
//! comments and order kept.
//!
//! What only a person can do (resolve Python requirements, tidy a Go module) is said, not guessed.

use super::failure::{Failure, Tried, Unavailable};
use super::lock::{Lock, LockError, Source, ToolPin};
use super::names::{FileName, Hex, Url, Version};
use super::progress::{Progress, ToolProgress, shown};
use super::work::Work;
use super::{Provisioner, fetch, files, golang, home, origin};
use crate::cancel::Cancel;
use std::path::Path;
use tokio::sync::mpsc;

/// A new text of `tools.lock`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// The whole text.
    pub text: String,
    /// What was changed, one line each.
    pub done: Vec<String>,
    /// What a person has to do, one line each. Until it is done that source is refused when it is used, because the tool says that it
    /// is of another version.
    pub by_hand: Vec<String>,
}

/// Why a lock file could not be brought up to date. It is unchanged.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    /// The lock file cannot be read, before or after.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// It does not name the tool.
    #[error("tools.lock has no tool `{0}`")]
    Unknown(String),
    /// The version cannot be one.
    #[error("{0}")]
    Version(String),
    /// Something could not be fetched, and a lock file with half of the digests would be worse than none.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The text has a shape that this cannot edit.
    #[error("`{tool}` is written in tools.lock in a way that cannot be edited here; put in by hand: {edits}")]
    Shape {
        /// The tool.
        tool: String,
        /// Old and new values.
        edits: String,
    },
}

impl Provisioner {
    /// Brings one tool in `text`, the content of `tools.lock`, to a version. Writes nothing but downloads in the cache.
    pub async fn update(
        &self,
        text: &str,
        name: &str,
        version: &str,
        cancel: &Cancel,
        progress: impl FnMut(ToolProgress),
    ) -> Result<Update, UpdateError> {
        let lock = Lock::parse(text, self.0.lock.origin().clone())?;
        let old = lock.tool(name).ok_or_else(|| UpdateError::Unknown(name.to_owned()))?;
        let version = Version::try_from(version.to_owned()).map_err(UpdateError::Version)?;
        let mut new = moved(old, &version).map_err(UpdateError::Version)?;
        let (to, from) = mpsc::unbounded_channel();
        let steps = Progress::new(name, version.as_str(), to);
        let work = Work { setup: &self.0, pin: old, cancel, progress: &steps };
        let repinned = shown(work.repin(&mut new), from, progress).await;
        repinned.map_err(|tried| Unavailable { name: name.to_owned(), tried })?;

        let edits = edits(old, &new);
        let text = rewrite(text, old, &edits);
        let done: Vec<String> = edits.iter().map(|(old, new)| format!("{old} → {new}")).collect();
        let after = Lock::parse(&text, lock.origin().clone())?;
        let others =
            |lock: &Lock| lock.tools().filter(|tool| tool.name != old.name).cloned().collect::<Vec<_>>();
        if after.tool(name) != Some(&new) || others(&after) != others(&lock) {
            return Err(UpdateError::Shape { tool: name.to_owned(), edits: done.join("; ") });
        }
        let by_hand = new.sources.iter().filter_map(|source| by_hand(source, &new)).collect();
        Ok(Update { text, done, by_hand })
    }
}

/// The tool at another version: wherever the version stands as a whole word, in names, addresses and linker variables.
fn moved(old: &ToolPin, version: &Version) -> Result<ToolPin, String> {
    let change = |text: &str| replace_word(text, old.version.as_str(), version.as_str());
    let mut new = ToolPin { version: version.clone(), ..old.clone() };
    for source in &mut new.sources {
        match source {
            Source::Path | Source::Pypi(_) => {}
            Source::Archive(archive) => {
                archive.url = change(&archive.url);
                for file in archive.files.values_mut() {
                    file.file = FileName::try_from(change(file.file.as_str()))?;
                }
            }
            Source::Go(module) => {
                module.version = change(&module.version);
                module.set = module.set.map(change);
            }
            Source::Gomod(build) => build.set = build.set.map(change),
        }
    }
    Ok(new)
}

/// What a person has to do for a source.
fn by_hand(source: &Source, new: &ToolPin) -> Option<String> {
    let (name, version) = (&new.name, &new.version);
    match source {
        Source::Path | Source::Archive(_) | Source::Go(_) => None,
        Source::Gomod(build) => Some(format!(
            "{name}: in {} run `go get {}@v{version}` and `go mod tidy`",
            origin::shown(&format!("go/{}", build.dir)),
            build.package
        )),
        Source::Pypi(wheels) => Some(format!(
            "{name}: resolve {} again for version {version}, by the command in its second line",
            origin::shown(&origin::requirements(&wheels.requirements))
        )),
    }
}

impl Work<'_> {
    /// Computes every digest of a tool that can be computed.
    async fn repin(&self, new: &mut ToolPin) -> Result<(), Vec<Tried>> {
        let folder = self.setup.home.of(&new.name);
        let held = home::hold(&folder, self.cancel, || {}).await;
        let _held = held.map_err(|failure| vec![failure.of("cache")])?;
        let mut tried = Vec::new();
        for source in &mut new.sources {
            match source {
                Source::Path | Source::Gomod(_) | Source::Pypi(_) => {}
                Source::Archive(archive) => {
                    let url = archive.url.clone();
                    for file in archive.files.values_mut() {
                        let url = url.replace("{file}", file.file.as_str());
                        match self.digest_of(&url, &folder.join(format!("{}.update.part", file.file))).await {
                            Ok(sha256) => file.sha256 = sha256,
                            Err(failure) => tried.push(failure.of(format!("archive {url}"))),
                        }
                    }
                }
                Source::Go(module) => {
                    let sum = golang::sum_of(self, &module.module, &module.version, &folder).await;
                    match sum.and_then(|sum| sum.try_into().map_err(Failure::failed)) {
                        Ok(sum) => module.sum = sum,
                        Err(failure) => {
                            tried.push(failure.of(format!("go {}@{}", module.module, module.version)));
                        }
                    }
                }
            }
        }
        if tried.is_empty() { Ok(()) } else { Err(tried) }
    }

    async fn digest_of(&self, url: &str, part: &Path) -> Result<Hex, Failure> {
        // With nothing to compare to, what an earlier run left cannot be continued.
        files::remove(part).map_err(Failure::io("cannot remove", part))?;
        let url = Url::try_from(url.to_owned()).map_err(Failure::failed)?;
        let digest = fetch::fetch(self, &url, None, part).await?;
        files::remove(part).map_err(Failure::io("cannot remove", part))?;
        Ok(digest)
    }
}

/// Old and new of every value that differs, the version first.
fn edits(old: &ToolPin, new: &ToolPin) -> Vec<(String, String)> {
    let mut edits = vec![(old.version.to_string(), new.version.to_string())];
    for (old, new) in old.sources.iter().zip(&new.sources) {
        match (old, new) {
            (Source::Archive(old), Source::Archive(new)) => {
                let pairs = old.files.values().zip(new.files.values());
                edits.extend(pairs.map(|(old, new)| (old.sha256.to_string(), new.sha256.to_string())));
            }
            (Source::Go(old), Source::Go(new)) => edits.push((old.sum.to_string(), new.sum.to_string())),
            (Source::Path | Source::Archive(_) | Source::Go(_) | Source::Gomod(_) | Source::Pypi(_), _) => {}
        }
    }
    edits.retain(|(old, new)| old != new);
    edits
}

/// Replaces values in the lines of one tool, comments aside.
fn rewrite(text: &str, tool: &ToolPin, edits: &[(String, String)]) -> String {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let head = format!("{}:", tool.name);
    let mut under_tools = false;
    let mut inside: Option<usize> = None;
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let content = line.trim_start();
        let says_something = !content.trim().is_empty() && !content.starts_with('#');
        if says_something && indent(line) == 0 {
            (under_tools, inside) = (content.starts_with("tools:"), None);
        } else if says_something && inside.is_none_or(|at| indent(line) <= at) {
            let here = under_tools && content.starts_with(&head);
            inside = here.then(|| indent(line));
        }
        if inside.is_none() || !says_something {
            out.push_str(line);
            continue;
        }
        let (code, comment) = line.split_at(line.find(" #").unwrap_or(line.len()));
        let edited = edits.iter().fold(code.to_owned(), |code, (old, new)| replace_word(&code, old, new));
        out.push_str(&edited);
        out.push_str(comment);
    }
    out
}

/// Replaces a text where it is not part of a longer number or word. A `v` in front and a `.` that no digit follows are neither.
fn replace_word(text: &str, old: &str, new: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(old) {
        let (before, after) = (&rest[..at], &rest[at + old.len()..]);
        let bare = before.strip_suffix('v').unwrap_or(before);
        let previous = bare.chars().next_back();
        let longer_word = bare.len() < before.len() && previous.is_some_and(|c| c.is_ascii_alphabetic());
        let starts = !longer_word && !previous.is_some_and(|c| c.is_ascii_digit() || c == '.');
        let mut next = after.chars();
        let ends = match next.next() {
            Some('.') => !next.next().is_some_and(|c| c.is_ascii_digit()),
            Some(c) => !c.is_ascii_digit(),
            None => true,
        };
        out.push_str(before);
        out.push_str(if starts && ends { new } else { old });
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::provision::Origin;

    #[test]
    fn a_version_is_replaced_only_as_a_whole_word() {
        for (text, expected) in [
            ("1.2", "9.9"),
            ("v1.2", "v9.9"),
            ("a_1.2_linux.tar.gz", "a_9.9_linux.tar.gz"),
            ("x-1.2.linux", "x-9.9.linux"),
            ("https://a/v1.2/b-1.2.zip", "https://a/v9.9/b-9.9.zip"),
            ("1.2.3", "1.2.3"),
            ("11.2", "11.2"),
            ("0.1.2", "0.1.2"),
            ("1.20", "1.20"),
            ("dev1.2", "dev1.2"),
        ] {
            assert_eq!(replace_word(text, "1.2", "9.9"), expected);
        }
    }

    #[test]
    fn only_the_values_of_that_tool_change_and_comments_stay() {
        let (old, new) = ("a".repeat(64), "b".repeat(64));
        let text = format!(
            "# top\nversion: 1\ntools:\n  # about helm 1.2\n  helm: # the chart tool\n    version: 1.2 # why 1.2\n    probe: {{ args: [version] }}\n    sources:\n      - archive:\n          # 1.2 has none for arm\n          url: https://a.example/v1.2/{{file}}\n          files:\n            linux-x86_64: {{ file: helm_1.2.tgz, sha256: {old} }}\n\n  # about 1.2 too\n  helm-unittest:\n    version: 1.2\n    probe: {{ args: [version] }}\n    sources: [path]\n"
        );
        let lock = Lock::parse(&text, Origin::Embedded).unwrap();
        let edits = [("1.2".to_owned(), "1.3".to_owned()), (old.clone(), new.clone())];
        let after = rewrite(&text, lock.tool("helm").unwrap(), &edits);
        let expected = text
            .replace("version: 1.2 # why", "version: 1.3 # why")
            .replace("/v1.2/", "/v1.3/")
            .replace("helm_1.2", "helm_1.3")
            .replace(&old, &new);
        assert_eq!(after, expected);
    }
}
