//! Whether what was applied is good: the doors to the rollout, and what its verdicts mean for a release. A release is watched, asked
//! and looked into by its Deployments; other workloads are not watched, and the plan says so.

use super::error::ReleaseError;
use super::journal::Applied;
use super::objects::Object;
use super::open::Cx;
use super::smoke::{self, Asked};
use crate::cluster::ClusterError;
use crate::rollout::{self, Expected, Failure, Graces, LogHint, Options, Rule, Target, Verdict, WatchError};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
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

/// The Deployments of a manifest, with what they are known again by.
fn target(cx: &Cx, objects: &[Object], applied: &Applied, soak: Duration, budget: Duration) -> Target {
    let expected = |object: &Object| Expected {
        name: object.name.clone(),
        generation: applied.get(&object.name).map(|mark| mark.generation),
        images: images(object),
    };
    Target {
        namespace: cx.namespace.clone(),
        deployments: deployments(objects).map(expected).collect(),
        soak_ms: millis(soak),
        budget_ms: millis(budget + soak),
        images_proven: false,
        graces: Graces::default(),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

pub(crate) fn deployments(objects: &[Object]) -> impl Iterator<Item = &Object> {
    objects.iter().filter(|object| object.kind == "Deployment")
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

/// By what the Deployments are known again, right after they were applied.
pub(crate) async fn marks(cx: &Cx, objects: &[Object]) -> Result<Applied, ReleaseError> {
    let mut marks = Applied::new();
    for object in deployments(objects) {
        let live = cx.cluster.deployment(&cx.namespace, &object.name).await?;
        let mark = super::journal::Mark { generation: live.generation, spec: sha256(live.spec.as_bytes()) };
        marks.insert(object.name.clone(), mark);
    }
    Ok(marks)
}

/// Who changed a Deployment since it was applied, if somebody did.
pub(crate) async fn changed(cx: &Cx, applied: &Applied) -> Result<Option<String>, ReleaseError> {
    for (name, mark) in applied {
        let found = match cx.cluster.deployment(&cx.namespace, name).await {
            Ok(live) if sha256(live.spec.as_bytes()) == mark.spec => continue,
            Ok(live) => {
                format!("the Deployment {name} was changed: it is generation {} now", live.generation)
            }
            Err(ClusterError::Missing { .. }) => format!("the Deployment {name} was deleted"),
            Err(error) => return Err(error.into()),
        };
        return Ok(Some(found));
    }
    Ok(None)
}

/// Watches until the Deployments of a manifest are good or bad.
pub(crate) async fn watch(
    cx: &Cx,
    objects: &[Object],
    applied: &Applied,
    images_proven: bool,
    (budget, soak): (Duration, Duration),
) -> Result<Seen, ReleaseError> {
    if let Some(by) = changed(cx, applied).await? {
        return Ok(Seen::Superseded(by));
    }
    if deployments(objects).next().is_none() {
        return Ok(Seen::Good);
    }
    let options = Options {
        record: None,
        cancel: cx.cancel.clone(),
        progress: Box::new(|line| cx.tell.line(line)),
        redactor: cx.redactor.clone(),
    };
    let target = Target { images_proven, ..target(cx, objects, applied, soak, budget) };
    match rollout::watch(&cx.cluster, &target, options).await {
        Ok(Verdict::Good(_)) => Ok(Seen::Good),
        Ok(Verdict::Bad(failure)) => Ok(Seen::Bad(Fault::Rollout(failure))),
        Ok(Verdict::Superseded(by)) => Ok(Seen::Superseded(format!("{}: {}", by.deployment, by.by))),
        Ok(Verdict::Watching) => Err(ReleaseError::Bug("a watch ended without a verdict".to_owned())),
        Err(WatchError::Cancelled) => Err(ReleaseError::Cancelled(String::new())),
        Err(WatchError::Refused(error) | WatchError::Blind(error)) => Err(error.into()),
        Err(error @ WatchError::Record { .. }) => Err(ReleaseError::Bug(error.to_string())),
    }
}

/// Asks each Deployment that serves HTTP. Gives what was answered, or why it is not right.
pub(crate) async fn smoke(cx: &Cx, objects: &[Object]) -> Result<Result<String, Fault>, ReleaseError> {
    let asked = smoke::ask(cx, objects).await?;
    if let Some(said) = asked.iter().find_map(Asked::wrong) {
        return Ok(Err(Fault::Step { step: "smoke", said: said.to_owned() }));
    }
    let said: Vec<String> = asked.iter().map(ToString::to_string).collect();
    Ok(Ok(if said.is_empty() {
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
            deployment: target.deployments.first().map(|first| first.name.clone()).unwrap_or_default(),
            object: format!("release {}", cx.release),
            message: fault.map_or_else(|| "interrupted".to_owned(), ToString::to_string),
            log_hint: None::<LogHint>,
            visible_ms: 0,
            decided_ms: 0,
        },
    };
    let found = rollout::evidence(&cx.cluster, &target, &failure, &cx.redactor).await;
    cx.tell.show(&found.brief());
    let folder = cx.pipeline.root.join("target/xtask/evidence").join(format!("{}-{}", cx.release, cx.run.id));
    match found.write(&folder) {
        Ok(()) => Some(folder),
        Err(error) => {
            cx.tell.line(&format!("the evidence could not be written to {}: {error}", folder.display()));
            None
        }
    }
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
