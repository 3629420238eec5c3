//! The way through the file while it is resolved, so that whatever turns out wrong can be shown at its place. It lives on the
//! stack and costs nothing until then.

use super::error::Complaint;
use super::outline::{Path, Step};

/// Where `resolve` is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trail<'a> {
    parent: Option<&'a Trail<'a>>,
    here: Here<'a>,
}

#[derive(Debug, Clone, Copy)]
enum Here<'a> {
    Top,
    Key(&'a str),
    Index(usize),
}

/// A complaint, and the value that it is about.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) path: Path,
    pub(super) complaint: Complaint,
}

impl<'a> Trail<'a> {
    /// The file as a whole.
    pub(super) const TOP: Trail<'static> = Trail { parent: None, here: Here::Top };

    /// One of its fields.
    pub(super) fn key(&'a self, key: &'a str) -> Trail<'a> {
        Trail { parent: Some(self), here: Here::Key(key) }
    }

    /// One of its items.
    pub(super) fn index(&'a self, index: usize) -> Trail<'a> {
        Trail { parent: Some(self), here: Here::Index(index) }
    }

    /// What is here is wrong.
    pub(super) fn wrong(&self, what: impl Into<String>, help: impl Into<String>) -> Problem {
        let mut path = Path::default();
        let mut at = Some(self);
        while let Some(trail) = at {
            match trail.here {
                Here::Top => {}
                Here::Key(key) => path.0.push(Step::Key(key.to_owned())),
                Here::Index(index) => path.0.push(Step::Index(index)),
            }
            at = trail.parent;
        }
        path.0.reverse();
        Problem { path, complaint: Complaint::new(what, help) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_knows_the_whole_way_to_its_value() {
        let (services, hello) = (Trail::TOP.key("services"), "hello");
        let hello = services.key(hello);
        let inputs = hello.key("inputs");
        assert_eq!(inputs.index(2).wrong("a", "b").path.to_string(), "services.hello.inputs[2]");
        assert_eq!(Trail::TOP.wrong("a", "b").path, Path::default());
    }
}
