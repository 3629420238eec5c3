//! The phases of a release, and the one function that says which comes next. Pure: `deploy`, `rollback`, `recover` and the tests
//! all use it, and nothing else decides.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Where a release is. The journal names it before anything of it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Phase {
    /// Looking, touching nothing.
    Preflight,
    /// Waiting for the lock.
    Lock,
    /// Finishing what an earlier run left.
    Recover,
    /// Rendering, guarding, asking for approval.
    Plan,
    /// Helm changes the cluster.
    Apply,
    /// Until everything runs.
    Watch,
    /// Staying well.
    Soak,
    /// Asking the service itself.
    Smoke,
    /// It is the last good release. The end.
    Commit,
    /// Collecting what rolling back would delete.
    Evidence,
    /// Helm goes back.
    Rollback,
    /// Until the last good release runs again.
    VerifyRollback,
    /// The attempt is over and the last good release runs. The end.
    Failed,
    /// Only a person can say what is right. The end until somebody does.
    NeedsHuman,
}

/// How a phase ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Signal {
    /// As it should.
    Done,
    /// The release is bad, or what was tried failed.
    Bad,
    /// Somebody else changed what was being released: whatever comes now could undo their work.
    Superseded,
    /// Going back would do harm, or there is nothing to go back to.
    Blocked,
}

impl Phase {
    /// Whether nothing comes after it by itself.
    pub(crate) fn is_end(self) -> bool {
        match self {
            Phase::Commit | Phase::Failed | Phase::NeedsHuman => true,
            Phase::Preflight
            | Phase::Lock
            | Phase::Recover
            | Phase::Plan
            | Phase::Apply
            | Phase::Watch
            | Phase::Soak
            | Phase::Smoke
            | Phase::Evidence
            | Phase::Rollback
            | Phase::VerifyRollback => false,
        }
    }

    /// The name, as the journal has it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Phase::Preflight => "preflight",
            Phase::Lock => "lock",
            Phase::Recover => "recover",
            Phase::Plan => "plan",
            Phase::Apply => "apply",
            Phase::Watch => "watch",
            Phase::Soak => "soak",
            Phase::Smoke => "smoke",
            Phase::Commit => "commit",
            Phase::Evidence => "evidence",
            Phase::Rollback => "rollback",
            Phase::VerifyRollback => "verify-rollback",
            Phase::Failed => "failed",
            Phase::NeedsHuman => "needs-human",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The phase after this one. None where a phase cannot end that way: that would be a fault of this program.
pub(crate) fn next(phase: Phase, signal: Signal) -> Option<Phase> {
    use Phase::*;
    use Signal::{Bad, Blocked, Done, Superseded};
    Some(match (phase, signal) {
        (Preflight, Done) => Lock,
        (Lock, Done) => Recover,
        (Recover, Done) => Plan,
        (Plan, Done) => Apply,
        (Apply, Done) => Watch,
        (Watch, Done) => Soak,
        (Soak, Done) => Smoke,
        (Smoke, Done) => Commit,
        (Apply | Watch | Soak | Smoke, Bad) => Evidence,
        (Evidence, Done) => Rollback,
        (Rollback, Done) => VerifyRollback,
        (VerifyRollback, Done) => Failed,
        (Watch | Soak | Smoke | VerifyRollback, Superseded) => NeedsHuman,
        (Evidence | Rollback, Blocked) => NeedsHuman,
        (Rollback | VerifyRollback, Bad) => NeedsHuman,
        (Preflight | Lock | Recover | Plan, Bad | Superseded | Blocked)
        | (Apply, Superseded | Blocked)
        | (Watch | Soak | Smoke, Blocked)
        | (Evidence, Bad | Superseded)
        | (Rollback, Superseded)
        | (VerifyRollback, Blocked)
        | (Commit | Failed | NeedsHuman, Done | Bad | Superseded | Blocked) => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every phase, in the order of a good release and then of a bad one.
    const ALL: [Phase; 14] = [
        Phase::Preflight,
        Phase::Lock,
        Phase::Recover,
        Phase::Plan,
        Phase::Apply,
        Phase::Watch,
        Phase::Soak,
        Phase::Smoke,
        Phase::Commit,
        Phase::Evidence,
        Phase::Rollback,
        Phase::VerifyRollback,
        Phase::Failed,
        Phase::NeedsHuman,
    ];

    const SIGNALS: [Signal; 4] = [Signal::Done, Signal::Bad, Signal::Superseded, Signal::Blocked];

    fn walk(from: Phase, signals: &[Signal]) -> Option<Phase> {
        signals.iter().try_fold(from, |phase, signal| next(phase, *signal))
    }

    #[test]
    fn a_good_release_goes_straight_to_its_commit() {
        assert_eq!(walk(Phase::Preflight, &[Signal::Done; 8]), Some(Phase::Commit));
    }

    #[test]
    fn a_bad_release_is_seen_then_rolled_back_then_verified() {
        let back = [Signal::Bad, Signal::Done, Signal::Done, Signal::Done];
        for phase in [Phase::Apply, Phase::Watch, Phase::Soak, Phase::Smoke] {
            assert_eq!(walk(phase, &back), Some(Phase::Failed), "{phase}");
        }
    }

    #[test]
    fn nothing_is_rolled_back_over_somebody_elses_change() {
        for phase in [Phase::Watch, Phase::Soak, Phase::Smoke, Phase::VerifyRollback] {
            assert_eq!(next(phase, Signal::Superseded), Some(Phase::NeedsHuman), "{phase}");
        }
    }

    #[test]
    fn every_way_ends_and_no_way_leaves_an_end() {
        for phase in ALL {
            for signal in SIGNALS {
                match next(phase, signal) {
                    Some(_) if phase.is_end() => panic!("{phase} is an end"),
                    // Later in the list: no way can go on for ever.
                    Some(after) => assert!(
                        ALL.iter().position(|p| *p == after) > ALL.iter().position(|p| *p == phase),
                        "{phase} to {after}"
                    ),
                    None => {}
                }
            }
            assert_eq!(next(phase, Signal::Done).is_none(), phase.is_end(), "{phase}");
        }
    }

    #[test]
    fn only_what_was_watched_and_asked_becomes_the_last_good_release() {
        let before: Vec<Phase> = ALL
            .into_iter()
            .filter(|phase| SIGNALS.iter().any(|signal| next(*phase, *signal) == Some(Phase::Commit)))
            .collect();
        assert_eq!(before, [Phase::Smoke]);
    }

    #[test]
    fn the_journal_spells_a_phase_as_people_read_it() {
        for phase in ALL {
            assert_eq!(serde_json::to_value(phase).unwrap(), phase.name());
        }
    }
}
