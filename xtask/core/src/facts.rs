//! What stages see, in words that stages, tools and policy share. Facts carry no opinion: whether an observation is acceptable is
//! for policy to say.

use crate::outcome::Severity;
use serde::{Deserialize, Serialize};

/// One thing that a tool reported, in the tool's own terms translated to ours.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Observation {
    /// The rule's name in the tool that found it: `CVE-2026-0001`, `DL3008`, `CKV_AWS_39`.
    pub rule: String,
    /// How bad the tool says it is.
    pub severity: Severity,
    /// What is wrong, in one sentence.
    pub message: String,
    /// The file, relative to the repository's root with forward slashes.
    pub file: Option<String>,
    /// The line in that file, from 1.
    pub line: Option<u32>,
    /// For a vulnerable package: whether a version without the fault exists. None for anything else.
    pub fixed: Option<bool>,
}

impl Observation {
    /// An observation without a place.
    pub fn new(rule: impl Into<String>, severity: Severity, message: impl Into<String>) -> Self {
        Observation {
            rule: rule.into(),
            severity,
            message: message.into(),
            file: None,
            line: None,
            fixed: None,
        }
    }

    /// The same at a place. Line 0, which some tools use for "the whole file", is no line.
    pub fn at(mut self, file: impl Into<String>, line: Option<u32>) -> Self {
        self.file = Some(file.into());
        self.line = line.filter(|line| *line > 0);
        self
    }
}

/// What a check that only reports observations saw.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Observed {
    /// What was looked at: files, charts, an image; so that "nothing found" can be told from "nothing looked at".
    pub looked_at: Vec<String>,
    /// What was found.
    pub observations: Vec<Observation>,
}

/// What would happen to infrastructure, told before it happens.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Changes {
    /// Every resource that would not stay as it is.
    pub resources: Vec<Change>,
    /// What would be open to the whole world afterwards, whether these changes open it or it is open already.
    pub exposures: Vec<Observation>,
}

/// What would happen to one resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The resource: `module.network.aws_subnet.private["a"]`.
    pub address: String,
    /// What would happen to it.
    pub action: Action,
    /// Why, where the tool says it, as the second half of a sentence: `` `name` cannot change in place ``.
    pub because: Option<String>,
}

/// What can happen to a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It would be made.
    Create,
    /// It would be changed and keep what it holds.
    Update,
    /// It would be destroyed and made anew, in whichever order.
    Replace,
    /// It would be destroyed.
    Delete,
    /// It would stay as it is, and nobody would look after it any more.
    Forget,
}
