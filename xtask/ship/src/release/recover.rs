//! `recover`: finishes what a killed or stopped run left behind. What to do is decided by one pure function from the journal and from
//! what Helm remembers; `deploy` does the same before it begins.

use super::clock;
use super::deploy;
use super::drive::{Drive, Ending, description};
use super::error::ReleaseError;
use super::journal::{Journal, Record, Wanted};
use super::lock::Held;
use super::open::Cx;
use super::phase::Phase;
use super::rollback;
use crate::helm::{Revision, Status};

/// What to do about what was left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Act {
    /// Nothing is under way.
    Nothing,
    /// It was never begun: end the attempt.
    Drop(&'static str),
    /// Go on from this phase.
    Enter(Phase),
    /// Only a person can say.
    Ask(String),
}

/// Decides. `newest` is the newest revision that Helm remembers.
pub(crate) fn decide(record: &Record, newest: Option<&Revision>) -> Act {
    let number = newest.map_or(0, |newest| newest.number);
    let ours = newest.is_some_and(|newest| newest.description == description(&record.run.id));
    match record.phase {
        Phase::Commit | Phase::Failed | Phase::NeedsHuman => Act::Nothing,
        Phase::Preflight | Phase::Lock | Phase::Recover | Phase::Plan => {
            Act::Drop("nothing had been applied")
        }
        Phase::Apply if number < record.revision => Act::Drop("Helm had not begun"),
        Phase::Apply | Phase::Watch | Phase::Soak | Phase::Smoke if number > record.revision => Act::Ask(
            format!("revision {number} was made by somebody else while {} was under way", record.revision),
        ),
        Phase::Apply => match newest.map(|newest| newest.status) {
            Some(Status::Deployed) if ours => Act::Enter(Phase::Watch),
            Some(Status::Deployed) => Act::Ask(format!(
                "revision {number} is not the one that the run {} was making",
                record.run.id
            )),
            // Helm died in the middle, or failed: some objects are new and some are not.
            _ => Act::Enter(Phase::Evidence),
        },
        // What was seen before counts for nothing: everything is looked at again.
        Phase::Watch | Phase::Soak | Phase::Smoke => Act::Enter(Phase::Watch),
        Phase::Evidence => Act::Enter(Phase::Evidence),
        Phase::Rollback if record.back.is_none() => Act::Enter(Phase::Evidence),
        Phase::Rollback => Act::Enter(Phase::Rollback),
        Phase::VerifyRollback if number == record.revision => Act::Enter(Phase::VerifyRollback),
        Phase::VerifyRollback => {
            Act::Ask(format!("revision {number} was made by somebody else while a rollback was verified"))
        }
    }
}

/// Finishes what the journal names, if anything is unfinished.
pub(crate) async fn settle(
    cx: &Cx,
    held: &Held,
    journal: &mut Journal,
) -> Result<Option<Ending>, ReleaseError> {
    let Some(mut record) = journal.record().cloned() else { return Ok(None) };
    let history = cx.helm.history(&cx.release).await?;
    let told = |what: &str| {
        cx.tell
            .line(&format!("the run {} left the phase {} unfinished: {what}", record.run.id, record.phase));
    };
    match decide(&record, history.last()) {
        Act::Nothing => return Ok(None),
        Act::Drop(why) => {
            told(&format!("{why}, so there is nothing to finish"));
            record.phase = Phase::Failed;
            record.because(&format!("stopped before anything was applied: {why}"));
            record.since = clock::now();
            record.token = held.token();
            held.check().await?;
            journal.write(record).await?;
            return Ok(None);
        }
        Act::Ask(question) => {
            told(&question);
            record.phase = Phase::NeedsHuman;
            record.because(&question);
        }
        Act::Enter(phase) => {
            told(&format!("going on with {phase}"));
            record.phase = phase;
        }
    }
    record.since = clock::now();
    let mut drive = Drive::new(cx, cx.journal().await?, held, None);
    let ending = drive.from(record).await?;
    *journal = drive.journal;
    Ok(Some(ending))
}

/// What a person may say about a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    /// Nothing.
    None,
    /// Watch what runs now.
    Resume,
    /// Forget the question.
    Override,
}

/// `recover`.
pub(crate) async fn recover(cx: &Cx, word: Word) -> Result<Option<Ending>, ReleaseError> {
    let held = deploy::lock(cx).await?;
    let result = under_lock(cx, &held, word).await;
    deploy::give_back(cx, held).await;
    result
}

async fn under_lock(cx: &Cx, held: &Held, word: Word) -> Result<Option<Ending>, ReleaseError> {
    let mut journal = cx.journal().await?;
    if let Some(ending) = settle(cx, held, &mut journal).await? {
        return Ok(Some(ending));
    }
    let question = journal.record().filter(|record| record.phase == Phase::NeedsHuman).cloned();
    match (question, word) {
        (None, _) => Ok(None),
        (Some(record), Word::None) => Err(ReleaseError::NeedsHuman(record.reason.unwrap_or_default())),
        (Some(record), Word::Resume) => resume(cx, held, journal, record).await.map(Some),
        (Some(record), Word::Override) => forget(cx, held, journal, record).await.map(|()| None),
    }
}

/// Goes on from what runs now, whoever made it.
async fn resume(cx: &Cx, held: &Held, journal: Journal, mut record: Record) -> Result<Ending, ReleaseError> {
    let history = cx.helm.history(&cx.release).await?;
    let newest =
        history.last().ok_or_else(|| ReleaseError::Usage("there is no release to resume".to_owned()))?;
    let back = record.back.as_ref().filter(|back| back.restored || newest.rollback_revision.is_some());
    record.phase = match (back, newest.status.is_pending()) {
        // Applied half: Helm's own way to apply a revision whole is to go back to it.
        (_, true) => {
            let manifest = cx.helm.manifest(&cx.release, newest.number).await?;
            let digest = crate::helm::digest(&manifest);
            record.back = Some(super::journal::Back::to(newest.number, digest, true));
            Phase::Rollback
        }
        (Some(_), false) => Phase::VerifyRollback,
        (None, false) => {
            let manifest = cx.helm.manifest(&cx.release, newest.number).await?;
            record.back = None;
            // Whoever made it: what runs is what is proven.
            record.wanted = Wanted {
                image: cx.repository().ok().and_then(|repository| rollback::image(&manifest, &repository)),
                chart: newest.chart.clone(),
                manifest_sha256: crate::helm::digest(&manifest),
                ..record.wanted
            };
            record.applied.clear();
            Phase::Watch
        }
    };
    record.revision = newest.number;
    record.since = clock::now();
    Drive::new(cx, journal, held, None).from(record).await
}

/// Forgets the question. A revision that Helm left pending would make Helm refuse the next one: its record goes, its objects stay.
async fn forget(cx: &Cx, held: &Held, mut journal: Journal, mut record: Record) -> Result<(), ReleaseError> {
    let history = cx.helm.history(&cx.release).await?;
    held.check().await?;
    if let Some(pending) = history.last().filter(|newest| newest.status.is_pending()) {
        super::facts::forget_pending(cx, pending.number).await?;
        cx.tell.line(&format!(
            "revision {} was pending; Helm's record of it is removed, its objects stay",
            pending.number
        ));
    }
    record.phase = Phase::Failed;
    // Whoever carried it before, alone or in a set, has no say in it any more.
    record.run = cx.run.clone();
    let reason = record.reason.clone().unwrap_or_default();
    record.because(&format!("overridden by {}: {reason}", cx.run.id));
    record.token = held.token();
    record.since = clock::now();
    journal.write(record).await?;
    cx.tell.line("the question is forgotten; the next deployment starts from what runs now");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::journal::tests::record;
    use crate::release::journal::{Back, Record};

    /// Revision 8 is under way, 7 is the last good one.
    fn left(phase: Phase) -> Record {
        let back = Back::to(7, "aa".into(), false);
        Record { phase, back: Some(back), ..record() }
    }

    fn newest(number: u32, status: Status, run: &str) -> Revision {
        Revision {
            number,
            updated: "2026-11-21T12:00:00Z".parse().unwrap(),
            status,
            chart: "app-0.1.0".into(),
            description: description(run),
            rollback_revision: None,
        }
    }

    #[test]
    fn a_run_that_was_killed_while_applying_is_taken_up_by_what_helm_did() {
        use Status::*;
        let decide = |newest: &Revision| decide(&left(Phase::Apply), Some(newest));
        assert_eq!(decide(&newest(7, Deployed, "r0")), Act::Drop("Helm had not begun"));
        assert_eq!(decide(&newest(8, Deployed, "r1")), Act::Enter(Phase::Watch), "adopted");
        for status in [PendingInstall, PendingUpgrade, PendingRollback, Failed, Unknown] {
            assert_eq!(decide(&newest(8, status, "")), Act::Enter(Phase::Evidence), "{status:?}");
        }
        assert!(matches!(decide(&newest(8, Deployed, "other")), Act::Ask(_)), "made by somebody else");
        assert!(matches!(decide(&newest(9, Deployed, "other")), Act::Ask(_)), "somebody came after us");
    }

    #[test]
    fn a_first_installation_that_helm_had_not_begun_is_dropped() {
        let first = Record { revision: 1, last_good: None, ..left(Phase::Apply) };
        assert_eq!(decide(&first, None), Act::Drop("Helm had not begun"));
        let pending = newest(1, Status::PendingInstall, "");
        assert_eq!(decide(&first, Some(&pending)), Act::Enter(Phase::Evidence), "where it is held");
    }

    #[test]
    fn what_was_being_watched_is_watched_from_the_beginning() {
        for phase in [Phase::Watch, Phase::Soak, Phase::Smoke] {
            let same = newest(8, Status::Deployed, "r1");
            assert_eq!(decide(&left(phase), Some(&same)), Act::Enter(Phase::Watch), "{phase}");
            let later = newest(9, Status::Deployed, "other");
            assert!(matches!(decide(&left(phase), Some(&later)), Act::Ask(_)), "{phase}");
        }
    }

    #[test]
    fn a_rollback_is_finished_and_its_verification_resumed() {
        let now = newest(8, Status::PendingRollback, "");
        assert_eq!(decide(&left(Phase::Evidence), Some(&now)), Act::Enter(Phase::Evidence));
        assert_eq!(decide(&left(Phase::Rollback), Some(&now)), Act::Enter(Phase::Rollback));
        assert_eq!(decide(&left(Phase::VerifyRollback), Some(&now)), Act::Enter(Phase::VerifyRollback));
        let later = newest(9, Status::Deployed, "other");
        assert!(matches!(decide(&left(Phase::VerifyRollback), Some(&later)), Act::Ask(_)));
    }

    #[test]
    fn what_has_ended_is_left_alone() {
        for phase in [Phase::Commit, Phase::Failed, Phase::NeedsHuman] {
            assert_eq!(
                decide(&left(phase), Some(&newest(9, Status::Deployed, "other"))),
                Act::Nothing,
                "{phase}"
            );
        }
    }
}
