//! `rollback`: back to the last good release, or to a revision that a person names. Watched and asked like any release, and what is
//! proven then is the last good release. A person's word overrides what blocks a rollback by itself.

use super::cloud;
use super::deploy::{give_back, lock};
use super::drive::{Drive, Ending};
use super::error::ReleaseError;
use super::facts;
use super::guards;
use super::journal::{Back, Journal, Record, Wanted};
use super::lock::Held;
use super::objects;
use super::open::Cx;
use super::phase::Phase;
use super::recover;
use crate::helm::digest;

/// Goes back.
pub(crate) async fn rollback(cx: &Cx, to: Option<u32>) -> Result<Ending, ReleaseError> {
    let held = lock(cx).await?;
    let result = under_lock(cx, &held, to).await;
    give_back(cx, held).await;
    result
}

async fn under_lock(cx: &Cx, held: &Held, to: Option<u32>) -> Result<Ending, ReleaseError> {
    let namespace = facts::namespace_label(cx).await?;
    let mut judged = guards::place(&cx.env, cx.cluster.uid(), namespace.as_ref());
    let cloud = tokio::select! {
        cloud = cx.cloud() => cloud,
        () = cx.cancel.raised() => return Err(ReleaseError::NotBegun),
    };
    if let Some(cloud) = cloud {
        cloud::judge(&cx.env, &cloud, cx.ambient.ci(), &mut judged);
    }
    for what in &judged.not_checked {
        cx.tell.line(&format!("NOT CHECKED  {what}"));
    }
    if !judged.refusals.is_empty() {
        return Err(ReleaseError::Refused(judged.refusals));
    }
    let mut journal = cx.journal().await?;
    // What was under way ends first; if that ends with a question, this rollback is the answer.
    recover::settle(cx, held, &mut journal).await?;
    let record = intent(cx, &journal, held, to).await?;
    Drive::new(cx, journal, held, None).from(record).await
}

async fn intent(cx: &Cx, journal: &Journal, held: &Held, to: Option<u32>) -> Result<Record, ReleaseError> {
    let history = cx.helm.history(&cx.release).await?;
    let last_good = journal.last_good();
    let to = to.or(last_good.map(|good| good.revision)).ok_or_else(|| {
        ReleaseError::Usage("nothing was proven good yet: name a revision with --to".to_owned())
    })?;
    let Some(revision) = history.iter().find(|revision| revision.number == to) else {
        let known: Vec<String> = history.iter().map(|revision| revision.number.to_string()).collect();
        return Err(ReleaseError::Usage(format!(
            "Helm knows no revision {to} of {}; it knows {}",
            cx.release,
            if known.is_empty() { "none".to_owned() } else { known.join(", ") }
        )));
    };
    let manifest = cx.helm.manifest(&cx.release, to).await?;
    let manifest_sha256 = digest(&manifest);
    let wanted = match last_good.filter(|good| good.wanted.manifest_sha256 == manifest_sha256) {
        Some(good) => good.wanted.clone(),
        None => Wanted {
            image: cx.repository().ok().and_then(|repository| image(&manifest, &repository)),
            // It ran before, or at least was tried: nodes may have it, registries may not.
            image_seen: false,
            chart: revision.chart.clone(),
            manifest_sha256: manifest_sha256.clone(),
            irreversible: None,
            hooks_before_rollback: false,
            proven_before: None,
            crds: None,
        },
    };
    let newest = history.last().map_or(0, |newest| newest.number);
    let mut record = Record::intent(cx.run.clone(), held.token(), wanted, newest + 1, journal.record());
    record.phase = Phase::Rollback;
    record.back = Some(Back::to(to, manifest_sha256, true));
    Ok(record)
}

/// The image of the service in a manifest, if it is there by digest.
pub(crate) fn image(manifest: &str, repository: &str) -> Option<String> {
    let objects = objects::parse(manifest).ok()?;
    let templates = objects.iter().filter_map(objects::Object::pod_template);
    let containers = templates.filter_map(|template| template.pointer("/spec/containers")?.as_array());
    containers.flatten().find_map(|container| {
        let image = container.get("image")?.as_str()?;
        let (name, _) = image.split_once('@')?;
        (name == repository).then(|| image.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_of_the_service_is_found_among_others_and_by_digest_only() {
        let manifest = "apiVersion: apps/v1\nkind: Deployment\nmetadata: { name: a }\nspec: { template: { spec: { containers: [\n  \
            { name: side, image: 'r/side@sha256:11' }, { name: a, image: 'r/a@sha256:22' }] } } }\n";
        assert_eq!(image(manifest, "r/a").as_deref(), Some("r/a@sha256:22"));
        assert_eq!(image(manifest, "r/b"), None);
        assert_eq!(image(&manifest.replace("@sha256:22", ":main"), "r/a"), None);
    }
}
