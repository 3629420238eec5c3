//! `deploy`: looks, waits for the lock, finishes what was left, plans, asks, and carries the plan to its end.

use super::approved::{self, Approvable, Approved};
use super::drive::{Alarm, Drive, Ending};
use super::error::ReleaseError;
use super::facts;
use super::guards;
use super::journal::{Journal, Record, Wanted};
use super::lock::{Held, Place};
use super::objects::Object;
use super::open::Cx;
use super::phase::Phase;
use super::plan::{IRREVERSIBLE, Plan, WayBack};
use super::recover;
use crate::helm::{Chart, Rendered, digest};
use jiff::Timestamp;
use std::time::Duration;
use xtask_core::ids::sha256;

/// The image that is deployed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Image {
    /// Its digest.
    pub(crate) digest: String,
    /// When the environment before proved it, if it had to.
    pub(crate) proven_before: Option<Timestamp>,
}

/// Deploys an image, or the chart as it is; if the digest of a plan was shown, then only that plan.
pub(crate) async fn deploy(
    cx: &Cx,
    image: Option<&Image>,
    shown: Option<&str>,
) -> Result<Ending, ReleaseError> {
    let held = lock(cx).await?;
    let result = under_lock(cx, &held, image, shown).await;
    give_back(cx, held).await;
    result
}

/// How long giving the lock back may take when the run was stopped. A lock that is not given back expires.
const FAREWELL: Duration = Duration::from_millis(400);

/// Gives the lock back, unless Helm is still at work: then nobody may have it before Helm is certainly gone.
pub(crate) async fn give_back(cx: &Cx, held: Held) {
    if !cx.helm.settle(Duration::ZERO).await {
        return;
    }
    if cx.cancel.is_raised() {
        let _ = tokio::time::timeout(FAREWELL, held.release()).await;
    } else {
        held.release().await;
    }
}

/// Shows what `deploy` would do, and what guards say. Takes no lock and touches nothing.
pub(crate) async fn dry_run(cx: &Cx, image: Option<&Image>) -> Result<Plan, ReleaseError> {
    let journal = cx.journal().await?;
    plan(cx, &journal, &cx.chart(image.map(|image| image.digest.as_str()))?, image).await
}

/// Takes the release's lock.
pub(crate) async fn lock(cx: &Cx) -> Result<Held, ReleaseError> {
    take(cx, &cx.lock()).await
}

/// Takes a lock.
pub(crate) async fn take(cx: &Cx, place: &Place) -> Result<Held, ReleaseError> {
    let waiting = |other: &str| cx.tell.line(&format!("waiting for {other}, who is at work on this release"));
    tokio::select! {
        held = place.acquire(&cx.run.id, cx.env.budgets.lock, waiting) => held,
        () = cx.cancel.raised() => Err(ReleaseError::NotBegun),
    }
}

async fn under_lock(
    cx: &Cx,
    held: &Held,
    image: Option<&Image>,
    shown: Option<&str>,
) -> Result<Ending, ReleaseError> {
    let mut journal = cx.journal().await?;
    if let Some(ending) = recover::settle(cx, held, &mut journal).await?
        && (ending.phase == Phase::NeedsHuman)
    {
        return Ok(ending);
    }
    if let Some(record) = journal.record().filter(|record| record.phase == Phase::NeedsHuman) {
        return Err(ReleaseError::NeedsHuman(record.reason.clone().unwrap_or_default()));
    }
    let chart = cx.chart(image.map(|image| image.digest.as_str()))?;
    let plan = tokio::select! {
        plan = plan(cx, &journal, &chart, image) => plan.map_err(ReleaseError::before_it_began)?,
        () = cx.cancel.raised() => return Err(ReleaseError::NotBegun),
    };
    cx.tell.show(&plan.text());
    let approved = approved::approve(cx, plan, shown).await?;
    carry_out(cx, held, journal, chart, (&approved, None)).await
}

/// What changes the cluster takes an approved plan. In a set there is an alarm too.
pub(crate) async fn carry_out(
    cx: &Cx,
    held: &Held,
    journal: Journal,
    chart: Chart,
    (approved, alarm): (&Approved, Option<Alarm>),
) -> Result<Ending, ReleaseError> {
    let plan = approved.plan();
    let before = journal.record();
    let record = Record::intent(cx.run.clone(), held.token(), plan.wanted.clone(), plan.revision, before);
    let mut drive = Drive::new(cx, journal, held, Some(chart));
    drive.alarm = alarm;
    drive.from(record).await
}

/// Renders, looks, judges.
pub(crate) async fn plan(
    cx: &Cx,
    journal: &Journal,
    chart: &Chart,
    image: Option<&Image>,
) -> Result<Plan, ReleaseError> {
    let rendered = cx.helm.render(chart).await?;
    let named =
        image.map(|image| cx.repository().map(|name| format!("{name}@{}", image.digest))).transpose()?;
    let found = facts::gather(cx, journal, &rendered, named.as_deref()).await?;
    let guards::Judged { refusals, not_checked } = guards::judge(&cx.env, &found.facts);
    if !refusals.is_empty() {
        return Err(ReleaseError::Refused(refusals));
    }
    let image_seen = matches!(found.facts.image, Some((_, guards::Look::Seen(_))));
    let proven_before = image.and_then(|image| image.proven_before);
    let crds = Some(crds(&cx.helm.crds(chart).await?, &found.target));
    let wanted = Wanted { image: named, image_seen, proven_before, crds, ..wanted(&rendered) };
    let way_back = match (&wanted.irreversible, journal.last_good()) {
        (Some(why), _) => WayBack::Impossible(format!("the chart says that it cannot be undone: {why}")),
        (None, None) => WayBack::Impossible("nothing was proven good before".to_owned()),
        (None, Some(_)) => found.way_back,
    };
    Ok(Plan {
        environment: cx.env_name.clone(),
        cluster_uid: found.facts.cluster_uid,
        namespace: cx.namespace.clone(),
        release: cx.release.clone(),
        commit: cx.run.commit.clone(),
        wanted,
        revision: found.newest.map_or(1, |newest| newest + 1),
        last_good: journal.last_good().map(|good| good.revision),
        way_back,
        changes: found.changes,
        not_checked,
    })
}

/// What a rendered chart is, whatever image is in it.
fn wanted(rendered: &Rendered) -> Wanted {
    Wanted {
        image: None,
        image_seen: false,
        chart: rendered.chart.clone(),
        manifest_sha256: digest(&rendered.manifest),
        irreversible: rendered.annotations.get(IRREVERSIBLE).cloned(),
        hooks_before_rollback: rendered.hooks.iter().any(|hook| hook.runs_at("pre-rollback")),
        proven_before: None,
        crds: None,
    }
}

/// What the kinds are that come with a chart, whether Helm installs them once (`shipped`) or they are objects like others.
fn crds(shipped: &str, objects: &[Object]) -> String {
    let defined = objects.iter().filter(|object| object.kind == "CustomResourceDefinition");
    let defined: String = defined.map(|object| object.value.to_string()).collect();
    sha256(format!("{}\n{defined}", shipped.trim()).as_bytes()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::objects::parse;

    #[test]
    fn kinds_that_come_with_a_chart_are_known_wherever_it_keeps_them() {
        let object = |kind: &str, served: bool| {
            parse(&format!(
                "apiVersion: v1\nkind: {kind}\nmetadata: {{ name: a }}\nspec: {{ served: {served} }}\n"
            ))
            .unwrap()
        };
        let crd = |served| object("CustomResourceDefinition", served);
        let all = [crds("", &[]), crds("kind: A", &[]), crds("", &crd(true)), crds("", &crd(false))];
        for (number, one) in all.iter().enumerate() {
            assert!(!all[..number].contains(one), "{number}");
        }
        assert_eq!(crds("\n", &object("Service", true)), all[0], "no other object is a kind");
    }
}
