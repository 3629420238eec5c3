//! Which pods count: those of the newest revision, and of them only those that neither end nor were put off their node nor are on
//! one that is lost. What an old revision or a node does says nothing about the new revision. Pure.

use crate::rollout::seen::{Pod, ReplicaSet, Workload, WorkloadKind};
use crate::rollout::state::{State, Watched};
use std::collections::BTreeMap;

impl State {
    /// The newest ReplicaSet of a Deployment, once its controller has acted on the newest specification.
    pub(super) fn newest_set(&self, watched: &Watched) -> Option<&ReplicaSet> {
        let seen = watched.observed()?;
        self.sets.get(&seen.id.uid)?.values().find(|set| set.revision == seen.revision)
    }

    /// The pods of the newest revision of a workload that say something about it; none if it is not known yet which those are.
    pub(super) fn newest_pods(&self, watched: &Watched) -> Option<Vec<&Pod>> {
        let seen = watched.observed()?;
        let own = seen.id.uid.as_str();
        let (owner, revision) = match seen.kind {
            WorkloadKind::Deployment => (self.newest_set(watched)?.id.uid.as_str(), None),
            WorkloadKind::StatefulSet if seen.newest.is_empty() => return None,
            WorkloadKind::StatefulSet => (own, Some(seen.newest.as_str())),
            // Its status does not name the revision, and revisions are heard of in a watch of their own: the template tells.
            WorkloadKind::DaemonSet => {
                let mut revisions = self.revisions.get(own)?.values();
                (own, Some(revisions.find(|it| it.template == seen.newest)?.hash.as_str()))
            }
            WorkloadKind::Job => (own, None),
        };
        let pods = self.pods.get(owner).into_iter().flat_map(BTreeMap::values);
        let pods = pods.filter(|pod| counts(pod) && !self.nodes.lost(pod));
        Some(pods.filter(|pod| revision.is_none_or(|revision| pod.revision == revision)).collect())
    }

    /// How many pods of a workload, of any revision, are on nodes that are lost. The cluster replaces them when it gives them up.
    pub(super) fn stranded(&self, seen: &Workload) -> usize {
        let own = seen.id.uid.as_str();
        let sets = self.sets.get(own).into_iter().flat_map(BTreeMap::keys).map(String::as_str);
        let pods = sets.chain([own]).filter_map(|owner| self.pods.get(owner)).flat_map(BTreeMap::values);
        pods.filter(|pod| counts(pod) && self.nodes.lost(pod)).count()
    }
}

/// Whether a pod says something about its revision. A pod that is to stay is `Failed` only when its node gave it up: its own crashes
/// are restarted in place. How many pods of a Job may fail is for the Job to say.
fn counts(pod: &Pod) -> bool {
    !pod.ending && pod.phase != "Failed" && !pod.conditions.iter().any(|it| it.is("DisruptionTarget", "True"))
}
