//! Gathers what guards look at: from the cluster, the registry and what Helm renders. Changes nothing, and has no opinion.

use super::clock;
use super::error::ReleaseError;
use super::guards::{Facts, Look, Scaled, Tight};
use super::journal::Journal;
use super::objects::{self, Object};
use super::open::Cx;
use super::plan::WayBack;
use super::trial::{Trial, Tried};
use crate::helm::{Hook, Rendered, digest};
use crate::push;
use serde_json::Value;

/// All that was found.
pub(crate) struct Found {
    /// The objects that would be applied.
    pub(crate) target: Vec<Object>,
    /// For the guards.
    pub(crate) facts: Facts,
    /// Whether the last good release would be accepted.
    pub(crate) way_back: WayBack,
    /// What would change.
    pub(crate) changes: Vec<String>,
    /// The newest revision that Helm remembers.
    pub(crate) newest: Option<u32>,
}

/// Looks at everything.
pub(crate) async fn gather(
    cx: &Cx,
    journal: &Journal,
    rendered: &Rendered,
    image: Option<&str>,
) -> Result<Found, ReleaseError> {
    let target = objects::read("upgrade", &rendered.manifest)?;
    let history = cx.helm.history(&cx.release).await?;
    let newest = history.last().map(|newest| newest.number);
    let mut trial = Trial::new(cx);
    let tried = trial.all(&target).await?;
    let mut changes: Vec<String> = tried.iter().filter_map(Tried::change).collect();
    if let Some(newest) = newest {
        let now = objects::read("get manifest", &cx.helm.manifest(&cx.release, newest).await?)?;
        let gone = now.iter().filter(|old| !target.iter().any(|new| new.title() == old.title()));
        changes.extend(gone.map(|old| format!("- {}", old.title())));
    }
    let (cloud, seen) = tokio::join!(cx.cloud(), look(cx, image));
    let facts = Facts {
        cluster_uid: cx.cluster.uid().to_owned(),
        cloud,
        ci: cx.ambient.ci(),
        namespace: namespace_label(cx).await?,
        labels: labels(&target),
        git_ref: cx.git_ref.clone(),
        today: clock::now().to_zoned(jiff::tz::TimeZone::UTC).date(),
        image: seen,
        // Who may not list nodes does not know their architectures; then the image is only looked for.
        architectures: cx.cluster.architectures().await.unwrap_or_default(),
        refused: tried.iter().filter_map(Tried::refusal).collect(),
        secret_bytes: secret_bytes(cx, newest, rendered).await?,
        leftover_hooks: leftover_hooks(&mut trial, &rendered.hooks).await?,
        scaled: scaled(&target),
        stuck_budgets: stuck_budgets(&target),
        tight: tight(cx, &target).await?,
        unwatched: unwatched(&target),
    };
    Ok(Found { way_back: way_back(cx, journal, &mut trial).await?, facts, target, changes, newest })
}

/// What makes pods of which no watch can be sure: `CronJob tidy works: …`.
fn unwatched(target: &[Object]) -> Vec<String> {
    let makers = target.iter().filter(|object| object.pod_template().is_some());
    let why = |object: &Object| {
        let title = object.title();
        match (object.workload(), object.waits_for_deletion()) {
            (Some(_), false) => None,
            (Some(_), true) => Some(format!(
                "{title} works as released: its pods stay until somebody deletes them (OnDelete)"
            )),
            (None, _) if object.kind == "Job" => Some(format!(
                "{title} ends well: it removes itself too soon to be seen (ttlSecondsAfterFinished)"
            )),
            (None, _) => Some(format!("{title} works: its pods come later")),
        }
    };
    makers.filter_map(why).collect()
}

/// What is in the registry.
async fn look(cx: &Cx, image: Option<&str>) -> Option<(String, Look<push::Found>)> {
    let image = image?;
    let found = push::look(&cx.ambient, image, clock::now).await;
    Some((image.to_owned(), found.map_or_else(Look::Not, Look::Seen)))
}

/// The label `environment` of the namespace; outer none if there is no namespace.
pub(crate) async fn namespace_label(cx: &Cx) -> Result<Option<Option<String>>, ReleaseError> {
    Ok(cx.cluster.namespace_label(&cx.namespace, "environment").await?)
}

fn labels(target: &[Object]) -> Vec<String> {
    let mut labels: Vec<String> = target
        .iter()
        .filter_map(|object| object.at("/metadata/labels/environment")?.as_str().map(str::to_owned))
        .collect();
    labels.sort();
    labels.dedup();
    labels
}

/// What Helm kept last time, or a quarter of what it would keep before it compresses, which is more than was seen.
async fn secret_bytes(cx: &Cx, newest: Option<u32>, rendered: &Rendered) -> Result<usize, ReleaseError> {
    let estimate = rendered.bytes / 4;
    let Some(newest) = newest else { return Ok(estimate) };
    let kept = cx.cluster.secret_size(&cx.namespace, &secret_name(&cx.release, newest)).await?;
    Ok(kept.unwrap_or_default().max(estimate))
}

fn secret_name(release: &str, revision: u32) -> String {
    format!("sh.helm.release.v1.{release}.v{revision}")
}

/// Removes Helm's record of a revision, if it still is pending.
pub(crate) async fn forget_pending(cx: &Cx, revision: u32) -> Result<(), ReleaseError> {
    let name = secret_name(&cx.release, revision);
    Ok(cx.cluster.remove_secret(&cx.namespace, &name, ("status", "pending-")).await?)
}

/// Hooks that Helm does not remove before it makes them again, and that are there.
async fn leftover_hooks(trial: &mut Trial<'_>, hooks: &[Hook]) -> Result<Vec<String>, ReleaseError> {
    let mut left = Vec::new();
    for hook in hooks.iter().filter(|hook| !hook.runs_at("test") && !hook.is_replaced()) {
        let object = objects::parse(&hook.manifest).ok().and_then(|mut all| all.pop());
        if let Some(object) = object
            && trial.live(&object).await?.is_some()
        {
            left.push(object.title());
        }
    }
    Ok(left)
}

fn scaled(target: &[Object]) -> Vec<Scaled> {
    let autoscalers = target.iter().filter(|object| object.kind == "HorizontalPodAutoscaler");
    let one = |autoscaler: &Object| {
        let text = |path| autoscaler.at(path).and_then(Value::as_str);
        let title = format!("{} {}", text("/spec/scaleTargetRef/kind")?, text("/spec/scaleTargetRef/name")?);
        let replicas = target.iter().find(|object| object.title() == title)?.at("/spec/replicas");
        Some(Scaled {
            autoscaler: autoscaler.name.clone(),
            replicas: replicas.and_then(Value::as_u64),
            target: title,
        })
    };
    autoscalers.filter_map(one).collect()
}

fn stuck_budgets(target: &[Object]) -> Vec<(String, String)> {
    let budgets = target.iter().filter(|object| object.kind == "PodDisruptionBudget");
    let stuck = |budget: &Object| {
        let is =
            |path: &str, values: [Value; 2]| budget.at(path).filter(|found| values.contains(found)).cloned();
        let none = is("/spec/maxUnavailable", [Value::from(0), Value::from("0%")]);
        let all = is("/spec/minAvailable", [Value::from("100%"), Value::from("100%")]);
        let asks = none
            .map(|value| format!("maxUnavailable: {value}"))
            .or(all.map(|value| format!("minAvailable: {value}")))?;
        Some((budget.name.clone(), asks))
    };
    budgets.filter_map(stuck).collect()
}

/// Quotas on the number of pods that have no room for one more of each Deployment, which every rollout needs.
async fn tight(cx: &Cx, target: &[Object]) -> Result<Vec<Tight>, ReleaseError> {
    let needed = target.iter().filter(|object| object.kind == "Deployment").count() as u64;
    let quotas = cx.cluster.pod_quotas(&cx.namespace).await?;
    let tight = quotas.into_iter().map(|quota| Tight {
        quota: quota.name,
        resource: quota.resource.to_owned(),
        needed,
        left: quota.hard.saturating_sub(quota.used),
    });
    Ok(tight.filter(|tight| tight.left < tight.needed).collect())
}

/// Tries the last good release on the cluster as it is now.
async fn way_back(cx: &Cx, journal: &Journal, trial: &mut Trial<'_>) -> Result<WayBack, ReleaseError> {
    let Some(good) = journal.last_good() else {
        return Ok(WayBack::Impossible("nothing was proven good before".to_owned()));
    };
    let Ok(manifest) = cx.helm.manifest(&cx.release, good.revision).await else {
        return Ok(WayBack::Impossible(format!(
            "Helm does not remember revision {} any more",
            good.revision
        )));
    };
    if digest(&manifest) != good.wanted.manifest_sha256 {
        return Ok(WayBack::Impossible(format!(
            "revision {} is not as it was when it was proven",
            good.revision
        )));
    }
    if good.wanted.hooks_before_rollback {
        return Ok(WayBack::Impossible(format!(
            "revision {} has hooks that run before a rollback",
            good.revision
        )));
    }
    match objects::parse(&manifest) {
        Err(why) => Ok(WayBack::Unproven(why)),
        Ok(objects) => {
            let refused = trial.all(&objects).await?.iter().find_map(Tried::refusal);
            Ok(match refused {
                None => WayBack::Proven,
                Some((object, why)) => WayBack::Unproven(format!("the cluster refuses {object}: {why}")),
            })
        }
    }
}
