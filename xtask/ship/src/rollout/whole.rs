//! When a workload is all that it was meant to be, and how far it is from that. Pure.

use crate::rollout::seen::{Pod, Workload, WorkloadKind};
use crate::rollout::state::{State, Watched};
use crate::rollout::target::Proven;
use std::collections::BTreeMap;

/// Whether all pods of the newest revision are there and ready, run the right images, and no other pods are left but those that may
/// stay. A Job is ready when it has ended well.
pub(super) fn is_ready(state: &State, watched: &Watched) -> bool {
    if watched.ended {
        return true;
    }
    let Some(seen) = watched.observed() else { return false };
    if seen.kind == WorkloadKind::Job {
        return seen.has_ended_well();
    }
    let Some(pods) = state.newest_pods(watched) else { return false };
    let all = |number: u32| number == seen.wanted;
    let new = |number: u32| (seen.wanted - seen.kept.min(seen.wanted)..=seen.wanted).contains(&number);
    let ready = pods.iter().filter(|pod| pod.is_ready()).count();
    all(seen.total)
        && all(seen.ready)
        && new(seen.updated)
        && u32::try_from(ready).is_ok_and(new)
        && old(state, watched, seen, &pods) <= seen.kept
        && pods.iter().all(|pod| runs(watched, pod))
}

/// Whether it is ready, and its controller counts all pods as available too.
pub(super) fn is_available(state: &State, watched: &Watched) -> bool {
    let counted = |seen: &Workload| seen.kind == WorkloadKind::Job || seen.available == seen.wanted;
    watched.seen.as_ref().is_none_or(counted) && is_ready(state, watched)
}

/// How many pods of other revisions are still serving. Those that are ending get no requests any more.
fn old(state: &State, watched: &Watched, seen: &Workload, newest: &[&Pod]) -> u32 {
    let ended = |pod: &Pod| pod.ending || matches!(pod.phase.as_str(), "Failed" | "Succeeded");
    let serving = |owner: &str| {
        let pods = state.pods.get(owner).into_iter().flat_map(BTreeMap::values);
        let is_new = |pod: &Pod| newest.iter().any(|new| new.id.uid == pod.id.uid);
        u32::try_from(pods.filter(|pod| !ended(pod) && !is_new(pod)).count()).unwrap_or(u32::MAX)
    };
    let newest_set = state.newest_set(watched).map(|set| &set.id.uid);
    let sets = state.sets.get(&seen.id.uid).into_iter().flatten().filter(|(uid, _)| Some(*uid) != newest_set);
    let through_sets = sets.map(|(uid, set)| set.total.max(serving(uid))).sum::<u32>();
    through_sets + serving(&seen.id.uid)
}

/// Whether each container runs the digest that was approved. A node may report the digest of the image for its platform, which is a
/// child of the approved one; then what its pod asked for by digest cannot have been anything else.
fn runs(watched: &Watched, pod: &Pod) -> bool {
    watched.expected.images.iter().all(|(name, digest)| {
        let container = pod.containers.iter().find(|container| container.name == *name);
        container.is_some_and(|container| {
            container.image_id.ends_with(digest.as_str()) || container.image.ends_with(&at(digest))
        })
    })
}

/// A container that is meant to run another digest than the approved one, in words.
pub(super) fn foreign_image(state: &State, watched: &Watched) -> Option<String> {
    state.newest_pods(watched)?.into_iter().find_map(|pod| {
        watched.expected.images.iter().find_map(|(name, digest)| {
            let container = pod.containers.iter().find(|container| container.name == *name)?;
            let other = container.image.contains("@sha256:") && !container.image.ends_with(&at(digest));
            other.then(|| {
                format!("`{name}` of pod {} is to run `{}`, not {digest}", pod.id.name, container.image)
            })
        })
    })
}

fn at(digest: &xtask_core::ids::Digest) -> String {
    format!("@{}", digest.as_str())
}

/// How far it is, for people.
pub(super) fn progress(state: &State, watched: &Watched) -> String {
    let title = watched.expected.title();
    let Some(seen) = &watched.seen else { return format!("{title}: not there yet") };
    if watched.observed().is_none() {
        return format!("{title}: its controller has not seen it yet");
    }
    if seen.kind == WorkloadKind::Job {
        return format!("{title}: {} of {} pods ended well", seen.ready, seen.wanted);
    }
    let Some(pods) = state.newest_pods(watched) else { return format!("{title}: no new revision yet") };
    let ready = pods.iter().filter(|pod| pod.is_ready()).count();
    let mut text = format!("{title}: {ready} of {} new pods ready", seen.wanted - seen.kept.min(seen.wanted));
    if let Some(old) = seen.total.checked_sub(seen.updated + seen.kept).filter(|old| *old > 0) {
        text.push_str(&format!(", {old} old to go"));
    }
    let stranded = state.stranded(seen);
    if stranded > 0 {
        text.push_str(&format!(", {stranded} on a node that is lost"));
    }
    if let Some(pod) = pods.iter().find(|pod| !runs(watched, pod) && pod.is_ready()) {
        text.push_str(&format!(", {} runs another image than approved", pod.id.name));
    }
    text
}

/// What was proven of it.
pub(super) fn proven(state: &State, watched: &Watched) -> Option<Proven> {
    let seen = watched.seen.as_ref()?;
    let containers = state.newest_pods(watched).into_iter().flatten().flat_map(|pod| &pod.containers);
    let images: BTreeMap<String, String> =
        containers.map(|container| (container.name.clone(), container.image_id.clone())).collect();
    let (generation, revision, replicas) = (seen.generation, seen.revision, seen.wanted);
    Some(Proven { workload: watched.expected.title(), generation, revision, replicas, images })
}
