//! `promote`: the image that the environment before has proven, and no other. It is named by digest, so what runs there and what will
//! run here are the same bytes.

use super::error::ReleaseError;
use super::guards::{Guard, Refusal};
use super::journal::{LastGood, Record};
use super::open::Cx;
use super::set;
use crate::helm::Revision;
use jiff::Timestamp;

/// What the environment before has proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Proven {
    /// The image's digest.
    pub(crate) digest: String,
    /// When it was proven there.
    pub(crate) at: Timestamp,
}

/// Asks the journal of the environment before. `target` is the journal's record here.
pub(crate) async fn proven(before: &Cx, target: Option<&Record>) -> Result<Proven, ReleaseError> {
    let journal = before.journal().await?;
    let set = set::under_way(before).await?;
    let history = before.helm.history(&before.release).await?;
    judge(&before.env_name, (journal.record(), set.as_deref()), history.last(), target)
        .map_err(|refusal| ReleaseError::Refused(vec![refusal]))
}

/// Why another image than the proven one is not deployed.
pub(crate) fn other(before: &str, proven: &str, asked: &str) -> Refusal {
    Refusal {
        guard: Guard::Promotion,
        expected: format!("{proven}, which {before} has proven"),
        found: asked.to_owned(),
        remedy: Some("`cargo xtask promote` takes what is proven".to_owned()),
    }
}

/// Pure: what is proven, or why nothing is. `source` is the journal there, and the run of a set that is under way there with this
/// release in it: what that has proven may still go back with the others.
fn judge(
    before: &str,
    (source, set): (Option<&Record>, Option<&str>),
    newest: Option<&Revision>,
    target: Option<&Record>,
) -> Result<Proven, Refusal> {
    let refusal = |expected: &str, found: String| Refusal {
        guard: Guard::Promotion,
        expected: expected.to_owned(),
        found,
        remedy: Some(format!("`cargo xtask status --env {before}` says more")),
    };
    let expected = format!("a release that is proven in {before}");
    let Some(record) = source else {
        return Err(refusal(&expected, "none was made by this program".to_owned()));
    };
    let Some(good) = &record.last_good else {
        return Err(refusal(&expected, format!("none; the last attempt ended as {}", record.phase)));
    };
    if !record.phase.is_end() {
        return Err(refusal(&expected, format!("one that is under way, in the phase {}", record.phase)));
    }
    if let Some(run) = set {
        return Err(refusal(&expected, format!("one whose set is under way, by the run {run}")));
    }
    if newest.is_none_or(|newest| newest.number != good.revision) {
        let now = newest.map_or_else(|| "nothing".to_owned(), |newest| format!("revision {}", newest.number));
        let found = format!("{now}, which is not: revision {} is", good.revision);
        return Err(refusal(&format!("what runs in {before} to be what is proven there"), found));
    }
    let Some((_, digest)) = good.wanted.image.as_deref().and_then(|image| image.split_once('@')) else {
        return Err(refusal(
            &format!("an image that is proven in {before}"),
            "a release without one".to_owned(),
        ));
    };
    let here = target.and_then(|record| record.last_good.as_ref());
    if let Some(older) = here.filter(|here| is_newer(here, digest, good.at)) {
        return Err(refusal(
            "something newer than what runs here",
            format!(
                "an image that {before} proved at {}, before the one that runs here (revision {})",
                good.at, older.revision
            ),
        ));
    }
    Ok(Proven { digest: digest.to_owned(), at: good.at })
}

/// Whether what runs here is another image, and was proven later.
fn is_newer(here: &LastGood, digest: &str, at: Timestamp) -> bool {
    let same = here.wanted.image.as_deref().is_some_and(|image| image.ends_with(digest));
    !same && here.wanted.proven_before.is_some_and(|before| before > at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::helm::Status;
    use crate::release::journal::tests::record;
    use crate::release::phase::Phase;

    fn newest(number: u32) -> Revision {
        Revision {
            number,
            updated: "2026-11-21T12:00:00Z".parse().unwrap(),
            status: Status::Deployed,
            chart: "app-0.1.0".into(),
            description: String::new(),
            rollback_revision: None,
        }
    }

    fn good() -> Record {
        Record { phase: Phase::Commit, ..record() }
    }

    fn found(source: Option<&Record>, number: u32, target: Option<&Record>) -> String {
        judge("dev", (source, None), Some(&newest(number)), target)
            .map_or_else(|refusal| refusal.found, |proven| proven.digest)
    }

    #[test]
    fn what_runs_and_is_proven_is_promoted_by_its_digest() {
        assert_eq!(found(Some(&good()), 7, None), "sha256:00");
    }

    #[test]
    fn what_has_moved_is_unproven_or_is_under_way_is_not() {
        assert_eq!(found(None, 7, None), "none was made by this program");
        assert_eq!(found(Some(&good()), 8, None), "revision 8, which is not: revision 7 is");
        assert_eq!(found(Some(&record()), 7, None), "one that is under way, in the phase apply");
        let failed = Record { phase: Phase::Failed, last_good: None, ..record() };
        assert_eq!(found(Some(&failed), 7, None), "none; the last attempt ended as failed");
        assert!(judge("dev", (Some(&good()), None), None, None).is_err());
        let set = judge("dev", (Some(&good()), Some("r9")), Some(&newest(7)), None).unwrap_err();
        assert_eq!(set.found, "one whose set is under way, by the run r9");
    }

    #[test]
    fn an_image_that_was_proven_before_the_one_that_runs_is_older_and_the_same_image_is_not() {
        let mut here = good();
        let runs = here.last_good.as_mut().unwrap();
        runs.wanted.image = Some("registry/hello@sha256:11".into());
        runs.wanted.proven_before = Some("2026-11-22T12:00:00Z".parse().unwrap());
        assert!(found(Some(&good()), 7, Some(&here)).contains("before the one that runs here"));
        here.last_good.as_mut().unwrap().wanted.image = Some("registry/hello@sha256:00".into());
        assert_eq!(found(Some(&good()), 7, Some(&here)), "sha256:00");
    }
}
