//! What is seen of a rollout, in types of our own: only the fields that rules use, so that a recording is small and the rules need no
//! cluster. Made in `cluster::convert`; nothing here judges.

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Milliseconds since the watch began.
pub type Millis = u64;

/// One sighting and when it was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// When.
    pub at: Millis,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// What was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// A workload is there or has changed. Recordings from when only Deployments were watched call it so.
    #[serde(alias = "deployment")]
    Workload(Workload),
    /// A ReplicaSet is there or has changed.
    ReplicaSet(ReplicaSet),
    /// A ControllerRevision is there: the templates that a DaemonSet has had.
    Revision(Revision),
    /// A Pod is there or has changed.
    Pod(Pod),
    /// An event was told, or told again.
    Event(Event),
    /// A node was lost, or is back. One that was never told of is there.
    Node(Node),
    /// An object was deleted.
    Gone {
        /// Its kind.
        kind: Kind,
        /// Its identity.
        uid: String,
    },
    /// All objects of a kind were listed: what is older than the list and not on it is gone.
    Relisted {
        /// The kind.
        kind: Kind,
        /// The version of the list.
        version: u64,
        /// Who is on it.
        uids: Vec<String>,
    },
    /// Time has passed.
    Tick,
}

/// The kinds that are watched and kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// ReplicaSets.
    ReplicaSet,
    /// ControllerRevisions.
    Revision,
    /// Pods.
    Pod,
    /// What makes pods.
    #[serde(untagged)]
    Workload(WorkloadKind),
}

impl Kind {
    /// The kinds that must be seen to judge workloads of these.
    pub fn of(workloads: &BTreeSet<WorkloadKind>) -> BTreeSet<Kind> {
        let through = workloads.iter().filter_map(|kind| match kind {
            WorkloadKind::Deployment => Some(Kind::ReplicaSet),
            WorkloadKind::DaemonSet => Some(Kind::Revision),
            WorkloadKind::StatefulSet | WorkloadKind::Job => None,
        });
        workloads.iter().map(|kind| Kind::Workload(*kind)).chain(through).chain([Kind::Pod]).collect()
    }
}

/// What makes pods and is released.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkloadKind {
    /// Pods that can take each other's place, by way of ReplicaSets.
    #[default]
    Deployment,
    /// Pods with names of their own, replaced one after the other.
    StatefulSet,
    /// A pod on each node.
    DaemonSet,
    /// Pods that are to end.
    Job,
}

impl WorkloadKind {
    /// All of them.
    pub const ALL: [WorkloadKind; 4] =
        [WorkloadKind::Deployment, WorkloadKind::StatefulSet, WorkloadKind::DaemonSet, WorkloadKind::Job];

    /// As a manifest has it.
    pub fn name(self) -> &'static str {
        match self {
            WorkloadKind::Deployment => "Deployment",
            WorkloadKind::StatefulSet => "StatefulSet",
            WorkloadKind::DaemonSet => "DaemonSet",
            WorkloadKind::Job => "Job",
        }
    }

    /// The kind of that name in a manifest, if it is one of these.
    pub fn named(name: &str) -> Option<WorkloadKind> {
        WorkloadKind::ALL.into_iter().find(|kind| kind.name() == name)
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
    fn is_deployment(&self) -> bool {
        *self == WorkloadKind::Deployment
    }
}

/// A node, as far as its pods depend on it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Whether the cluster does not hear from it, or it says that it cannot run pods.
    pub lost: bool,
}

/// Who an object is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The name.
    pub name: String,
    /// The identity.
    pub uid: String,
    /// The version; they count upwards.
    pub version: u64,
}

/// A condition of an object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// `Progressing`, `ReplicaFailure`, `Ready` …
    pub kind: String,
    /// `True`, `False`, `Unknown`.
    pub status: String,
    /// Why, in one word.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Why, in a sentence.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// When it changed, as the cluster wrote it; compared, never read.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub since: String,
}

impl Condition {
    /// Whether it is of this kind and has this status.
    pub fn is(&self, kind: &str, status: &str) -> bool {
        self.kind == kind && self.status == status
    }
}

/// A workload, as its controller counts it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workload {
    /// What it is.
    #[serde(default, skip_serializing_if = "WorkloadKind::is_deployment")]
    pub kind: WorkloadKind,
    /// Who it is.
    #[serde(flatten)]
    pub id: Identity,
    /// How often its specification has changed.
    pub generation: i64,
    /// The generation that its controller has acted on. Controllers of Jobs do not say it; their pods follow one template for ever.
    pub observed: i64,
    /// A fingerprint of the specification without the number of replicas, which an autoscaler may change.
    pub spec: String,
    /// The revision that a Deployment's controller has noted.
    pub revision: u64,
    /// By what its newest pods are known: the name of a StatefulSet's revision, the fingerprint of a DaemonSet's template.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub newest: String,
    /// How many pods are wanted; of a Job, how many are to succeed.
    pub wanted: u32,
    /// How many of them may stay of an older revision: below a StatefulSet's partition, or until somebody deletes them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub kept: u32,
    /// How many pods there are, those that are ending not counted.
    pub total: u32,
    /// How many of them are of the newest revision.
    pub updated: u32,
    /// How many are ready; of a Job, how many have succeeded.
    pub ready: u32,
    /// How many have been ready for `min_ready` seconds.
    pub available: u32,
    /// How long a pod must be ready to be available, in seconds.
    pub min_ready: u32,
    /// Conditions.
    pub conditions: Vec<Condition>,
}

impl Workload {
    /// Whether it is a Job that has ended well, or one that waits for somebody to start it.
    pub fn has_ended_well(&self) -> bool {
        let done = |it: &Condition| it.is("Complete", "True") || it.is("Suspended", "True");
        self.kind == WorkloadKind::Job && self.conditions.iter().any(done)
    }
}

/// A template that a DaemonSet has had.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision {
    /// Who it is.
    #[serde(flatten)]
    pub id: Identity,
    /// The workload it belongs to.
    pub owner: String,
    /// The fingerprint of the template.
    pub template: String,
    /// By what pods of this template are known.
    pub hash: String,
}

/// A ReplicaSet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaSet {
    /// Who it is.
    #[serde(flatten)]
    pub id: Identity,
    /// The Deployment it belongs to.
    pub owner: String,
    /// The revision of its Deployment.
    pub revision: u64,
    /// How many pods are wanted.
    pub wanted: u32,
    /// How many there are.
    pub total: u32,
    /// Conditions.
    pub conditions: Vec<Condition>,
}

/// A Pod.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pod {
    /// Who it is.
    #[serde(flatten)]
    pub id: Identity,
    /// The ReplicaSet or the workload it belongs to.
    pub owner: String,
    /// Of which revision of its workload it is, where workloads note that on pods.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub revision: String,
    /// `Pending`, `Running`, `Failed` …
    pub phase: String,
    /// Why it is in that phase: `Evicted` …
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Whether it is being deleted.
    #[serde(default, skip_serializing_if = "is_false")]
    pub ending: bool,
    /// Where it runs.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub node: String,
    /// Conditions: `Ready`, `PodScheduled`, `DisruptionTarget`.
    pub conditions: Vec<Condition>,
    /// Init containers first.
    pub containers: Vec<Container>,
}

impl Pod {
    /// Whether it gets requests.
    pub fn is_ready(&self) -> bool {
        !self.ending && self.conditions.iter().any(|condition| condition.is("Ready", "True"))
    }
}

/// A container and what its pod allows it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// Whether it runs before the others and is to end.
    #[serde(default, skip_serializing_if = "is_false")]
    pub init: bool,
    /// What it is doing.
    pub state: ContainerState,
    /// How its last run ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Ended>,
    /// How often it was started again.
    pub restarts: u32,
    /// Whether its startup probe has passed.
    pub started: bool,
    /// Whether it is ready.
    pub ready: bool,
    /// The image that its pod asks for.
    pub image: String,
    /// The image that runs.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub image_id: String,
    /// The time that its startup probe allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub startup: Option<Probe>,
    /// The time that its readiness probe allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readiness: Option<Probe>,
}

/// What a container is doing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContainerState {
    /// Nothing is known of it yet.
    #[default]
    Unknown,
    /// It waits.
    Waiting {
        /// `ContainerCreating`, `ErrImagePull`, `CrashLoopBackOff` …
        reason: String,
        /// In a sentence.
        message: String,
    },
    /// It runs.
    Running,
    /// It has ended.
    Ended(Ended),
}

/// The end of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// The exit code.
    pub code: i32,
    /// `Error`, `Completed`, `OOMKilled`, `StartError` …
    pub reason: String,
    /// In a sentence.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// The numbers of a probe, in seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// Before its first try.
    pub delay: u32,
    /// From try to try.
    pub period: u32,
    /// For one try.
    pub timeout: u32,
    /// Tries that may fail.
    pub failures: u32,
    /// Tries that must pass.
    pub successes: u32,
}

impl Probe {
    /// The time after which a container that has not passed will not pass, in milliseconds.
    pub fn budget(&self) -> Millis {
        let tries = self.failures + self.successes.max(1) - 1;
        Millis::from(self.delay + tries * self.period + self.timeout) * 1000
    }
}

/// An event about an object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// The identity of the event; it is told again under the same one.
    pub uid: String,
    /// Whom it is about, by identity.
    pub about: String,
    /// Whom it is about: `Pod/hello-1`.
    pub object: String,
    /// The container it is about, if any.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub container: String,
    /// Why, in one word.
    pub reason: String,
    /// Why, in a sentence.
    pub message: String,
    /// How often it was told.
    pub count: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_zero(value: &u32) -> bool {
    *value == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_false(value: &bool) -> bool {
    !*value
}
