//! Whether what was applied is good: the doors to the rollout, and what its verdicts mean for a release. What can be watched is for
//! `Object::workload` to say; the plan names the rest.

use super::error::ReleaseError;
use super::journal::{Applied, Mark};
use super::objects::Object;
use super::open::Cx;
use super::smoke::{self, Asked};
use crate::cluster::ClusterError;
use crate::rollout::seen::WorkloadKind;
use crate::rollout::{self, Expected, Failure, Graces, LogHint, Options, Rule, Target, Verdict, WatchError};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use xtask_core::engine::store;
use xtask_core::ids::{Digest, sha256};

/// What the watch saw.
#[derive(Debug)]
pub(crate) enum Seen {
    /// Everything runs, and stayed well.
    Good,
    /// The release is bad.
    Bad(Fault),
    /// Somebody else changed it.
    Superseded(String),
}

/// What its Deployments answered.
#[derive(Debug)]
pub(crate) enum Answered {
    /// What they should, in words.
    Right(String),
    /// Something else, or nothing.
    Wrong(Fault),
    /// Somebody else changed it meanwhile: what answered was not what was applied.
    Superseded(String),
}

/// Why a release is bad.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(untagged)]
pub(crate) enum Fault {
    /// A rule of the rollout decided.
    Rollout(Failure),
    /// A step failed.
    Step {
        /// `apply`, `smoke`, `set`.
        step: &'static str,
        /// What it said.
        said: String,
    },
}

/// The step of a release that went back because of another one.
const SET: &str = "set";

impl Fault {
    /// It is not bad itself.
    pub(crate) fn of_set() -> Fault {
        Fault::Step { step: SET, said: "another service of its set is bad".to_owned() }
    }

    /// Whether it only went back with others.
    pub(crate) fn is_of_set(&self) -> bool {
        matches!(self, Fault::Step { step: SET, .. })
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Fault::Rollout(failure) => failure.fmt(f),
            Fault::Step { step, said } => write!(f, "{step}: {said}"),
        }
    }
}

/// What is watched, and how.
pub(crate) struct Watched<'a> {
    /// The objects of the manifest that was applied.
    pub(crate) objects: &'a [Object],
    /// By what they are known again.
    pub(crate) applied: &'a Applied,
    /// Whether the images were seen in their registry.
    pub(crate) images_proven: bool,
    /// Until everything must run.
    pub(crate) budget: Duration,
    /// For how long it must stay so.
    pub(crate) soak: Duration,
    /// Where the watch is recorded, if anywhere.
    pub(crate) record: Option<PathBuf>,
}

/// The workloads of a manifest, with what they are known again by.
fn target(cx: &Cx, objects: &[Object], applied: &Applied, soak: Duration, budget: Duration) -> Target {
    let expected = |(kind, object): (WorkloadKind, &Object)| {
        let mark = applied.get(&object.title());
        Expected {
            kind,
            name: object.name.clone(),
            generation: mark.map(|mark| mark.generation),
            spec: mark.map(|mark| mark.spec.clone()),
            images: images(object),
        }
    };
    Target {
        namespace: cx.namespace.clone(),
        workloads: workloads(objects).map(expected).collect(),
        soak_ms: millis(soak),
        budget_ms: millis(budget + soak),
        images_proven: false,
        graces: Graces::default(),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// What of a manifest is watched.
pub(super) fn workloads(objects: &[Object]) -> impl Iterator<Item = (WorkloadKind, &Object)> {
    objects.iter().filter_map(|object| Some((object.workload()?, object)))
}

pub(super) fn deployments(objects: &[Object]) -> impl Iterator<Item = &Object> {
    workloads(objects).filter(|(kind, _)| *kind == WorkloadKind::Deployment).map(|(_, object)| object)
}

/// The digests that its containers must run, where the manifest names digests.
fn images(object: &Object) -> BTreeMap<String, Digest> {
    let containers = object.at("/spec/template/spec/containers").and_then(Value::as_array);
    let named = containers.into_iter().flatten().filter_map(|container| {
        let (_, digest) = container.get("image")?.as_str()?.split_once('@')?;
        Some((container.get("name")?.as_str()?.to_owned(), Digest::try_from(digest.to_owned()).ok()?))
    });
    named.collect()
}

/// By what the workloads are known again, right after they were applied.
pub(crate) async fn marks(cx: &Cx, objects: &[Object]) -> Result<Applied, ReleaseError> {
    let mut marks = Applied::new();
    for (kind, object) in workloads(objects) {
        let live = cx.cluster.workload(&cx.namespace, kind, &object.name).await?;
        let mark = Mark { generation: live.generation, spec: sha256(live.spec.as_bytes()) };
        marks.insert(object.title(), mark);
    }
    Ok(marks)
}

/// Who changed a workload since it was applied, if somebody did.
pub(super) async fn changed(cx: &Cx, applied: &Applied) -> Result<Option<String>, ReleaseError> {
    for (title, mark) in applied {
        // A journal from when only Deployments were watched has names alone.
        let (kind, name) = title.split_once(' ').unwrap_or((WorkloadKind::Deployment.name(), title));
        let kind = WorkloadKind::named(kind)
            .ok_or_else(|| ReleaseError::Bug(format!("the journal has a mark of a {kind}")))?;
        let found = match cx.cluster.workload(&cx.namespace, kind, name).await {
            Ok(live) if sha256(live.spec.as_bytes()) == mark.spec => continue,
            Ok(live) => {
                format!("the {} {name} was changed: it is generation {} now", kind.name(), live.generation)
            }
            // Jobs may remove themselves when they have ended.
            Err(ClusterError::Missing { .. }) if kind == WorkloadKind::Job => continue,
            Err(ClusterError::Missing { .. }) => format!("the {} {name} was deleted", kind.name()),
            Err(error) => return Err(error.into()),
        };
        return Ok(Some(found));
    }
    Ok(None)
}

/// Watches until the workloads of a manifest are good or bad.
pub(crate) async fn watch(cx: &Cx, watched: Watched<'_>) -> Result<Seen, ReleaseError> {
    let Watched { objects, applied, images_proven, budget, soak, record } = watched;
    if let Some(by) = changed(cx, applied).await? {
        return Ok(Seen::Superseded(by));
    }
    if workloads(objects).next().is_none() {
        return Ok(Seen::Good);
    }
    let options = Options {
        record,
        cancel: cx.cancel.clone(),
        progress: Box::new(|line| cx.tell.line(line)),
        redactor: cx.redactor.clone(),
    };
    let target = Target { images_proven, ..target(cx, objects, applied, soak, budget) };
    match rollout::watch(&cx.cluster, &target, options).await {
        Ok(Verdict::Good(_)) => Ok(Seen::Good),
        Ok(Verdict::Bad(failure)) => Ok(Seen::Bad(Fault::Rollout(failure))),
        Ok(Verdict::Superseded(by)) => Ok(Seen::Superseded(format!("{}: {}", by.workload, by.by))),
        Ok(Verdict::Watching) => Err(ReleaseError::Bug("a watch ended without a verdict".to_owned())),
        Err(WatchError::Cancelled) => Err(ReleaseError::Cancelled(String::new())),
        Err(WatchError::Refused(error) | WatchError::Blind(error)) => Err(error.into()),
    }
}

/// Asks each Deployment that serves HTTP. Nobody watches meanwhile; so it is looked at once more at the end.
pub(crate) async fn smoke(cx: &Cx, objects: &[Object], applied: &Applied) -> Result<Answered, ReleaseError> {
    let asked = smoke::ask(cx, objects).await?;
    if let Some(by) = changed(cx, applied).await? {
        return Ok(Answered::Superseded(by));
    }
    if let Some(said) = asked.iter().find_map(Asked::wrong) {
        return Ok(Answered::Wrong(Fault::Step { step: "smoke", said: said.to_owned() }));
    }
    let said: Vec<String> = asked.iter().map(ToString::to_string).collect();
    Ok(Answered::Right(if said.is_empty() {
        "NOT ASKED: the release has no Deployment".to_owned()
    } else {
        said.join("; ")
    }))
}

/// Collects what going back would delete, and says where it is.
pub(crate) async fn evidence(cx: &Cx, objects: &[Object], fault: Option<&Fault>) -> Option<PathBuf> {
    let target = target(cx, objects, &Applied::new(), Duration::ZERO, Duration::ZERO);
    let failure = match fault {
        Some(Fault::Rollout(failure)) => failure.clone(),
        // What is collected does not depend on the rule; a failed step has none of its own.
        Some(Fault::Step { .. }) | None => Failure {
            rule: Rule::F15,
            workload: target.workloads.first().map(Expected::title).unwrap_or_default(),
            object: format!("release {}", cx.release),
            message: fault.map_or_else(|| "interrupted".to_owned(), ToString::to_string),
            log_hint: None::<LogHint>,
            visible_ms: 0,
            decided_ms: 0,
        },
    };
    let found = rollout::evidence(&cx.cluster, &target, &failure, &cx.redactor).await;
    cx.tell.show(&found.brief());
    let root = &cx.pipeline.root;
    let written = store::own_folder(root).and_then(|own| {
        let folder = own.join("evidence").join(format!("{}-{}", cx.release, cx.run.id));
        found.write(&folder).map(|()| folder)
    });
    written
        .inspect_err(|error| {
            cx.tell.line(&format!(
                "the evidence could not be written to {}/target/xtask: {error}",
                root.display()
            ));
        })
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::objects::parse;

    const MANIFEST: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata: { name: hello }\nspec: { template: { spec: { containers: [\n  \
        { name: a, image: 'r/a@sha256:0000000000000000000000000000000000000000000000000000000000000000' },\n  \
        { name: b, image: 'r/b:main' }] } } }\n";

    #[test]
    fn what_must_run_is_read_from_the_manifest() {
        let objects = parse(MANIFEST).unwrap();
        let images = images(&objects[0]);
        assert_eq!(images.keys().collect::<Vec<_>>(), ["a"], "a tag names no bytes to compare");
    }
}
