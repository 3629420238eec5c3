//! What a rollout is to become, and what is said of it: the questions and answers of this module, without how they are found.

use crate::rollout::rules::{Graces, Rule};
use crate::rollout::seen::{Millis, Workload, WorkloadKind};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use xtask_core::ids::Digest;

/// What is to be true at the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Where.
    pub namespace: String,
    /// What was applied; all of it must become good, and one that is bad decides. Recordings from when only Deployments were watched
    /// call it so.
    #[serde(alias = "deployments")]
    pub workloads: Vec<Expected>,
    /// For how long everything must stay good before it is called good.
    pub soak_ms: Millis,
    /// For all of it, soak included: rule F15.
    pub budget_ms: Millis,
    /// Whether the images were seen in their registry before: then "not found" must be said twice to be believed (F2).
    #[serde(default)]
    pub images_proven: bool,
    /// Graces that differ from those of the rules.
    #[serde(default)]
    pub graces: Graces,
}

impl Target {
    /// The kinds of its workloads.
    pub fn kinds(&self) -> BTreeSet<WorkloadKind> {
        self.workloads.iter().map(|expected| expected.kind).collect()
    }
}

/// A workload as it was applied.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expected {
    /// What it is.
    #[serde(default)]
    pub kind: WorkloadKind,
    /// Its name.
    pub name: String,
    /// Its generation when it had been applied. Without one, the first that is seen counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<i64>,
    /// SHA-256 of what it asked for when it had been applied (`Workload::spec`). Without one, what is seen first counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<String>,
    /// The digest that each container must run; containers that are missing here are not compared.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub images: BTreeMap<String, Digest>,
}

impl Expected {
    /// A Deployment of which no more is known than its name.
    pub fn named(name: &str) -> Self {
        Expected { name: name.to_owned(), ..Expected::default() }
    }

    /// `deployment hello`.
    pub fn title(&self) -> String {
        format!("{} {}", self.kind.name().to_lowercase(), self.name)
    }

    /// Whether that is the one.
    pub(super) fn is(&self, seen: &Workload) -> bool {
        self.kind == seen.kind && self.name == seen.id.name
    }
}

/// What is known about a rollout by now. All but `Watching` are final.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Neither good nor bad yet.
    Watching,
    /// Everything runs as it was meant to, and stayed so.
    Good(Proof),
    /// It will not become good; the rule says why.
    Bad(Failure),
    /// Somebody else has changed it: there is nothing to judge any more, and nothing to roll back.
    Superseded(Superseded),
}

/// What was seen of a good rollout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// Each workload.
    pub workloads: Vec<Proven>,
    /// When all pods were there and ready.
    pub complete_ms: Millis,
    /// When they had stayed so for long enough.
    pub decided_ms: Millis,
}

/// A workload that is good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proven {
    /// Which: `deployment hello`.
    pub workload: String,
    /// Its generation.
    pub generation: i64,
    /// The revision of a Deployment.
    pub revision: u64,
    /// Its pods, all ready; of a Job, all ended well.
    pub replicas: u32,
    /// What each container runs, as the node reports it.
    pub images: BTreeMap<String, String>,
}

/// Why a rollout is bad.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The rule that decided.
    pub rule: Rule,
    /// The workload: `deployment hello`.
    pub workload: String,
    /// What is broken: `pod hello-1`, `deployment hello`.
    pub object: String,
    /// What was seen, in words.
    pub message: String,
    /// Whose log is likely to say more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_hint: Option<LogHint>,
    /// When the fault could first be seen.
    pub visible_ms: Millis,
    /// When it was certain.
    pub decided_ms: Millis,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Failure { rule, object, message, visible_ms, decided_ms, .. } = self;
        let (visible, decided) = (seconds(*visible_ms), seconds(*decided_ms));
        write!(f, "{rule}: {object} {message}; visible at +{visible} s, decided at +{decided} s")
    }
}

/// Seconds with one decimal.
pub(crate) fn seconds(ms: Millis) -> String {
    format!("{}.{}", ms / 1000, ms % 1000 / 100)
}

/// A log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogHint {
    /// The pod.
    pub pod: String,
    /// The container.
    pub container: String,
    /// Whether its last run has the cause, not this one.
    pub previous: bool,
}

/// Who came in between.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Superseded {
    /// The workload: `deployment hello`.
    pub workload: String,
    /// By what.
    pub by: String,
    /// When it was seen, and decided.
    pub decided_ms: Millis,
}
