//! The input key of a pure stage: everything that decides its result, as named parts, so that `why` can name the one that changed.
//!
//! Knows nothing of how parts are obtained; the same parts in any order give the same key.

use crate::ids::{Hasher, sha256};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// A part of a key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// The declared input files.
    Files,
    /// Argument lists and configuration.
    Settings,
    /// The stage's own revision in this program.
    Revision,
    /// Operating system and architecture.
    Platform,
    /// A declared variable; its value only as a digest.
    Variable(String),
    /// A tool or program; the digest of the file that runs.
    Tool(String),
    /// The facts of a stage that came before.
    Upstream(String),
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Part::Files => f.write_str("input files"),
            Part::Settings => f.write_str("commands and configuration"),
            Part::Revision => f.write_str("the stage itself, in another version of xtask"),
            Part::Platform => f.write_str("operating system or architecture"),
            Part::Variable(name) => write!(f, "variable {name}"),
            Part::Tool(name) => write!(f, "tool {name}"),
            Part::Upstream(node) => write!(f, "result of {node}"),
        }
    }
}

/// The parts of one key, each with a digest of its content.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "Vec<(Part, String)>", into = "Vec<(Part, String)>")]
pub struct Parts(BTreeMap<Part, String>);

impl From<Vec<(Part, String)>> for Parts {
    fn from(parts: Vec<(Part, String)>) -> Parts {
        Parts(parts.into_iter().collect())
    }
}

impl From<Parts> for Vec<(Part, String)> {
    fn from(parts: Parts) -> Vec<(Part, String)> {
        parts.0.into_iter().collect()
    }
}

impl Parts {
    /// Adds a part whose digest is already known.
    pub fn digest(&mut self, part: Part, digest: String) {
        self.0.insert(part, digest);
    }

    /// Adds a part by its content. Absent and empty differ.
    pub fn content(&mut self, part: Part, content: Option<&[u8]>) {
        let digest = content.map_or_else(|| "absent".to_owned(), sha256);
        self.0.insert(part, digest);
    }

    /// The digest of a part.
    pub fn get(&self, part: &Part) -> Option<&str> {
        self.0.get(part).map(String::as_str)
    }

    /// The key.
    pub fn key(&self) -> Key {
        let mut hasher = Hasher::default();
        for (part, digest) in &self.0 {
            // The debug form separates kinds and quotes names, so that no two different lists hash the same bytes.
            hasher.update(format!("{part:?}={digest}\n").as_bytes());
        }
        let mut digest = hasher.hex();
        digest.truncate(32);
        Key(digest)
    }

    /// The parts that are not the same here and there.
    pub fn differing<'a>(&'a self, other: &'a Parts) -> Vec<&'a Part> {
        let here =
            self.0.iter().filter(|(part, digest)| other.0.get(*part) != Some(*digest)).map(|(part, _)| part);
        let only_there = other.0.keys().filter(|part| !self.0.contains_key(*part));
        here.chain(only_there).collect()
    }
}

/// An input key: 32 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(String);

impl Key {
    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts() -> Parts {
        let mut parts = Parts::default();
        parts.digest(Part::Files, "f1".into());
        parts.content(Part::Variable("A".into()), Some(b"1"));
        parts.content(Part::Tool("helm".into()), Some(b"bytes"));
        parts
    }

    #[test]
    fn every_part_decides_the_key() {
        let base = parts();
        let mut seen = vec![base.key()];
        let changes: [(Part, Option<&[u8]>); 6] = [
            (Part::Files, Some(b"f2")),
            (Part::Variable("A".into()), Some(b"2")),
            (Part::Variable("A".into()), None),
            (Part::Variable("A".into()), Some(b"")),
            (Part::Variable("B".into()), Some(b"1")),
            (Part::Tool("helm".into()), Some(b"other")),
        ];
        for (part, content) in changes {
            let mut changed = base.clone();
            changed.content(part.clone(), content);
            assert_eq!(base.differing(&changed), [&part]);
            assert!(!seen.contains(&changed.key()), "{part}");
            seen.push(changed.key());
        }
    }

    #[test]
    fn the_order_in_which_parts_are_added_does_not_matter() {
        let mut other = Parts::default();
        other.content(Part::Tool("helm".into()), Some(b"bytes"));
        other.content(Part::Variable("A".into()), Some(b"1"));
        other.digest(Part::Files, "f1".into());
        assert_eq!(other.key(), parts().key());
    }

    #[test]
    fn parts_survive_the_way_to_disk() {
        let text = serde_json::to_string(&parts()).unwrap();
        assert_eq!(serde_json::from_str::<Parts>(&text).unwrap(), parts());
    }
}
