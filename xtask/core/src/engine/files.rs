//! The files of the repository and what is in them, as one snapshot a run, and what globs select of it. Pure: `engine::snapshot` takes
//! it.
//!
//! The snapshot is one buffer of `mode id<TAB>path<NUL>` entries sorted by path, so that the digest of a folder is one pass over
//! one slice.

use crate::ids::Hasher;
use std::collections::BTreeMap;
use std::ops::Range;

/// A snapshot of the repository's files.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct FileSet {
    buffer: Vec<u8>,
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    start: usize,
    path: usize,
    end: usize,
}

impl FileSet {
    /// An empty one with room for entries of so many bytes.
    pub(super) fn with_capacity(bytes: usize) -> FileSet {
        FileSet { buffer: Vec::with_capacity(bytes), entries: Vec::new() }
    }

    /// Adds the entry that comes after all others by path.
    pub(super) fn push(&mut self, id: &[u8], path: &[u8]) {
        let start = self.buffer.len();
        self.buffer.extend_from_slice(id);
        self.buffer.push(b'\t');
        let at = self.buffer.len();
        self.buffer.extend_from_slice(path);
        self.buffer.push(0);
        self.entries.push(Entry { start, path: at, end: self.buffer.len() });
    }

    fn path(&self, entry: &Entry) -> &[u8] {
        &self.buffer[entry.path..entry.end - 1]
    }

    /// How many files there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The files that the globs select, as ranges of entries. A glob with `!` in front excludes.
    pub fn select(&self, globs: &[String]) -> Selection {
        let (exclude, include): (Vec<&str>, Vec<&str>) =
            globs.iter().map(String::as_str).partition(|glob| glob.starts_with('!'));
        let mut ranges: Vec<Range<usize>> = Vec::new();
        for glob in include {
            self.collect(glob, &mut ranges);
        }
        ranges.sort_by_key(|range| range.start);
        let mut merged: Vec<Range<usize>> = Vec::new();
        for range in ranges {
            match merged.last_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                Some(_) | None => merged.push(range),
            }
        }
        if !exclude.is_empty() {
            merged = self.without(&merged, &exclude);
        }
        Selection { ranges: merged }
    }

    /// Adds the entries that one glob matches. A literal beginning narrows the search to a range of the sorted entries, so
    /// that `app/**` costs two binary searches and not a match a file.
    fn collect(&self, glob: &str, ranges: &mut Vec<Range<usize>>) {
        let literal = glob.find(['*', '?', '[', '{', '\\']).map_or(glob, |at| &glob[..at]);
        let prefix = literal.as_bytes();
        let from = self.entries.partition_point(|entry| self.path(entry) < prefix);
        let to = from + self.entries[from..].partition_point(|entry| self.path(entry).starts_with(prefix));
        if literal.len() == glob.len() {
            if self.entries[from..to].first().is_some_and(|entry| self.path(entry) == prefix) {
                ranges.push(from..from + 1);
            }
        } else if &glob[literal.len()..] == "**" && (literal.is_empty() || literal.ends_with('/')) {
            if from < to {
                ranges.push(from..to);
            }
        } else {
            for index in from..to {
                if fast_glob::glob_match(glob.as_bytes(), self.path(&self.entries[index])) {
                    ranges.push(index..index + 1);
                }
            }
        }
    }

    fn without(&self, ranges: &[Range<usize>], exclude: &[&str]) -> Vec<Range<usize>> {
        let mut out = Vec::new();
        for range in ranges {
            let mut open = None;
            for index in range.clone() {
                let path = self.path(&self.entries[index]);
                let left_out = exclude.iter().any(|glob| fast_glob::glob_match(&glob.as_bytes()[1..], path));
                match (left_out, open) {
                    (false, None) => open = Some(index),
                    (true, Some(start)) => {
                        out.push(start..index);
                        open = None;
                    }
                    (true, None) | (false, Some(_)) => {}
                }
            }
            if let Some(start) = open {
                out.push(start..range.end);
            }
        }
        out
    }

    /// One digest over the names, modes and contents of the selected files.
    pub fn digest(&self, selection: &Selection) -> String {
        let mut hasher = Hasher::default();
        for range in &selection.ranges {
            hasher.update(self.slice(range));
        }
        hasher.hex()
    }

    /// The selected entries as they are hashed: `mode id<TAB>path<NUL>`, sorted by path.
    pub fn manifest(&self, selection: &Selection) -> Vec<u8> {
        selection.ranges.iter().flat_map(|range| self.slice(range)).copied().collect()
    }

    fn slice(&self, range: &Range<usize>) -> &[u8] {
        match (
            self.entries.get(range.start),
            range.end.checked_sub(1).and_then(|last| self.entries.get(last)),
        ) {
            (Some(first), Some(last)) if range.start < range.end => &self.buffer[first.start..last.end],
            _ => &[],
        }
    }

    /// The paths of the selected files. Names that are not UTF-8 are shown with replacement characters.
    pub fn paths(&self, selection: &Selection) -> Vec<String> {
        selection
            .ranges
            .iter()
            .flat_map(|range| &self.entries[range.clone()])
            .map(|entry| String::from_utf8_lossy(self.path(entry)).into_owned())
            .collect()
    }
}

/// Whether the globs select a path, which need not exist any more.
pub fn covers(globs: &[String], path: &str) -> bool {
    let matches = |glob: &str| glob == path || fast_glob::glob_match(glob, path);
    globs.iter().any(|glob| !glob.starts_with('!') && matches(glob))
        && !globs.iter().any(|glob| glob.strip_prefix('!').is_some_and(matches))
}

/// Files chosen by globs, as ranges of one snapshot's entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    ranges: Vec<Range<usize>>,
}

impl Selection {
    /// Whether nothing was selected.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }
}

/// The files that differ between two manifests of [`FileSet::manifest`], by name, with what happened to each.
pub fn changed_files(before: &[u8], after: &[u8]) -> Vec<(String, &'static str)> {
    let parse = |manifest: &'_ [u8]| -> BTreeMap<Vec<u8>, Vec<u8>> {
        manifest
            .split(|byte| *byte == 0)
            .filter_map(|line| {
                let tab = line.iter().position(|byte| *byte == b'\t')?;
                Some((line[tab + 1..].to_vec(), line[..tab].to_vec()))
            })
            .collect()
    };
    let (before, after) = (parse(before), parse(after));
    let mut changes = Vec::new();
    for (path, id) in &after {
        match before.get(path) {
            None => changes.push((String::from_utf8_lossy(path).into_owned(), "added")),
            Some(old) if old != id => changes.push((String::from_utf8_lossy(path).into_owned(), "changed")),
            Some(_) => {}
        }
    }
    for path in before.keys().filter(|path| !after.contains_key(*path)) {
        changes.push((String::from_utf8_lossy(path).into_owned(), "removed"));
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::snapshot::tests::{repository, selected};
    use std::fs;

    #[test]
    fn globs_select_folders_single_files_and_patterns_and_an_exclamation_mark_excludes() {
        let folder = repository();
        let root = folder.path();
        assert_eq!(selected(root, &["app/**"]), ["app/a.rs", "app/b.rs"]);
        assert_eq!(selected(root, &["Cargo.toml", "app/a.rs", "app/a.rs"]), ["Cargo.toml", "app/a.rs"]);
        assert_eq!(selected(root, &["app*/?.rs"]), ["app-two/c.rs", "app/a.rs", "app/b.rs"]);
        assert_eq!(selected(root, &["**", "!app/**"]), ["Cargo.toml", "app-two/c.rs"]);
        assert_eq!(selected(root, &["**/*.rs", "!app/b.rs"]), ["app-two/c.rs", "app/a.rs"]);
        assert!(selected(root, &["app/a", "nothing/**"]).is_empty());
    }

    #[test]
    fn manifests_name_the_files_that_differ() {
        let folder = repository();
        let root = folder.path();
        let take = || {
            let files = FileSet::snapshot(root).unwrap();
            files.manifest(&files.select(&["**".to_owned()]))
        };
        let before = take();
        fs::write(root.join("app/a.rs"), "changed").unwrap();
        fs::remove_file(root.join("app/b.rs")).unwrap();
        fs::write(root.join("new"), "x").unwrap();
        let changes = changed_files(&before, &take());
        let named: Vec<_> = changes.iter().map(|(path, what)| (path.as_str(), *what)).collect();
        assert_eq!(named, [("app/a.rs", "changed"), ("new", "added"), ("app/b.rs", "removed")]);
    }
}
