//! When a Deployment is all that it was meant to be, and how far it is from that. Pure.

use crate::rollout::seen::{Deployment, Pod};
use crate::rollout::state::{State, Watched};
use crate::rollout::target::Proven;
use std::collections::BTreeMap;

/// Whether all pods of the newest revision are there and ready, run the right images, and no other pods are left.
pub(super) fn is_ready(state: &State, watched: &Watched) -> bool {
    let Some(seen) = watched.seen.as_ref().filter(|seen| watched.is_observed(seen)) else { return false };
    let Some(newest) = state.newest(watched) else { return false };
    let all = |number: u32| number == seen.wanted;
    let ready = state.counted(newest).filter(|pod| pod.is_ready()).count();
    all(seen.total)
        && all(seen.updated)
        && all(seen.ready)
        && u32::try_from(ready).is_ok_and(all)
        && !has_old(state, seen, &newest.id.uid)
        && state.counted(newest).all(|pod| runs(watched, pod))
}

/// Whether it is ready, and its controller counts all pods as available too.
pub(super) fn is_available(state: &State, watched: &Watched) -> bool {
    watched.seen.as_ref().is_some_and(|seen| seen.available == seen.wanted) && is_ready(state, watched)
}

/// Whether pods of other revisions are still serving. Those that are ending get no requests any more.
fn has_old(state: &State, seen: &Deployment, newest: &str) -> bool {
    let others = state.sets.get(&seen.id.uid).into_iter().flatten().filter(|(uid, _)| *uid != newest);
    others.into_iter().any(|(uid, set)| {
        let ended = |pod: &Pod| pod.ending || matches!(pod.phase.as_str(), "Failed" | "Succeeded");
        set.total > 0 || state.pods.get(uid).is_some_and(|pods| !pods.values().all(ended))
    })
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
    let newest = state.newest(watched)?;
    state.counted(newest).find_map(|pod| {
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
    let name = &watched.expected.name;
    let Some(seen) = &watched.seen else { return format!("{name}: not there yet") };
    if !watched.is_observed(seen) {
        return format!("{name}: its controller has not seen it yet");
    }
    let Some(newest) = state.newest(watched) else { return format!("{name}: no ReplicaSet yet") };
    let pods: Vec<&Pod> = state.counted(newest).collect();
    let ready = pods.iter().filter(|pod| pod.is_ready()).count();
    let mut text = format!("{name}: {ready} of {} new pods ready", seen.wanted);
    if let Some(old) = seen.total.checked_sub(seen.updated).filter(|old| *old > 0) {
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
    let pods = state.newest(watched).into_iter().flat_map(|set| state.counted(set));
    let containers = pods.flat_map(|pod| &pod.containers);
    let images: BTreeMap<String, String> =
        containers.map(|container| (container.name.clone(), container.image_id.clone())).collect();
    let (generation, revision, replicas) = (seen.generation, seen.revision, seen.wanted);
    Some(Proven { name: seen.id.name.clone(), generation, revision, replicas, images })
}
