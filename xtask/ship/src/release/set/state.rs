//! What a set does next. Pure: where each member stands comes in, as its own journal tells it, and one move goes out.
//!
//! Forward, a member begins when all before it are proven. Back, a member goes when nothing after it is new any more: what was built
//! on it must not be left standing on something older. So a member that cannot go back keeps those before it where they are.

use super::order::Order;
use crate::release::journal::Record;
use crate::release::ladder::way_back;
use crate::release::phase::Phase;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use xtask_core::error::ExitCode;
use xtask_core::ids::ServiceName;

/// Which way a set goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Turn {
    /// Everything is to become new.
    Forward,
    /// Everything is to become as it was.
    Back,
    /// It is over.
    Ended,
}

/// Where a member stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "is", content = "because")]
pub(crate) enum Stand {
    /// This set has not changed it.
    Untouched,
    /// A phase of it is not over.
    Midway,
    /// It is new, and proven.
    Good,
    /// It is new and proven, and cannot go back, for this reason.
    Fixed(String),
    /// It is as it was, verified.
    Back,
    /// It is as it was, and not well.
    Unwell,
    /// It is neither: a person is needed.
    Stuck,
    /// Somebody else has changed it since.
    Foreign,
}

impl Stand {
    /// What a journal tells. `run` is that of the set, `earlier` that of the member's last attempt before the set.
    pub(crate) fn of(record: Option<&Record>, run: &str, earlier: Option<&str>) -> Stand {
        let Some(record) = record.filter(|record| record.run.id == run) else {
            let last = record.map(|record| record.run.id.as_str());
            return if last == earlier { Stand::Untouched } else { Stand::Foreign };
        };
        let arrived = record.back.as_ref().is_some_and(|back| back.arrived);
        match record.phase {
            Phase::Commit => match way_back(&taken_back(record)) {
                Ok(_) => Stand::Good,
                Err(why) => Stand::Fixed(why),
            },
            Phase::Failed if arrived => Stand::Back,
            // It ended before anything was applied.
            Phase::Failed => Stand::Untouched,
            Phase::NeedsHuman if arrived => Stand::Unwell,
            Phase::NeedsHuman => Stand::Stuck,
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
            | Phase::VerifyRollback => Stand::Midway,
        }
    }

    /// Whether what comes after it may begin.
    fn is_new(&self) -> bool {
        matches!(self, Stand::Good | Stand::Fixed(_))
    }

    /// Whether it is as it was before the set.
    fn is_old(&self) -> bool {
        matches!(self, Stand::Untouched | Stand::Back | Stand::Unwell)
    }
}

/// The record of a proven member, with what was good before it as its last good release again: that is where it goes back to.
pub(crate) fn taken_back(record: &Record) -> Record {
    Record { last_good: record.before.clone(), ..record.clone() }
}

/// All members.
pub(crate) type Stands = BTreeMap<ServiceName, Stand>;

/// What is done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Move {
    /// Finish what is under way in these.
    Settle(Vec<ServiceName>),
    /// Release these together.
    Forward(Vec<ServiceName>),
    /// Go back from now on.
    Turn,
    /// Take these back together.
    Back(Vec<ServiceName>),
    /// Nothing is left to do.
    End,
}

/// Decides. Only the run that has planned and was approved may `begin` a member; whoever comes later proves what was begun, or goes back.
pub(crate) fn next(order: &Order, stands: &Stands, turn: Turn, begin: bool) -> Move {
    let stand = |name: &ServiceName| stands.get(name).unwrap_or(&Stand::Untouched);
    let all = |is: &dyn Fn(&ServiceName) -> bool| -> Vec<ServiceName> {
        order.members().filter(|name| is(name)).cloned().collect()
    };
    let midway = all(&|name| *stand(name) == Stand::Midway);
    if turn == Turn::Ended {
        return Move::End;
    }
    if !midway.is_empty() {
        return Move::Settle(midway);
    }
    if turn == Turn::Back {
        let free =
            all(&|name| *stand(name) == Stand::Good && order.after(name).all(|after| stand(after).is_old()));
        let last = free.iter().map(|name| order.wave(name)).max();
        let last = free.into_iter().filter(|name| Some(order.wave(name)) == last).collect::<Vec<_>>();
        return if last.is_empty() { Move::End } else { Move::Back(last) };
    }
    let failed = |stand: &Stand| !stand.is_new() && *stand != Stand::Untouched;
    if stands.values().any(failed) {
        return Move::Turn;
    }
    let ready = all(&|name| {
        *stand(name) == Stand::Untouched && order.before(name).all(|before| stand(before).is_new())
    });
    match (ready.is_empty(), begin) {
        (true, _) => Move::End,
        (false, true) => {
            let first = ready.iter().map(|name| order.wave(name)).min();
            Move::Forward(ready.into_iter().filter(|name| Some(order.wave(name)) == first).collect())
        }
        (false, false) if stands.values().any(Stand::is_new) => Move::Turn,
        (false, false) => Move::End,
    }
}

/// How a set has ended.
pub(crate) fn outcome(stands: &Stands) -> ExitCode {
    let is = |wanted: fn(&Stand) -> bool| stands.values().any(wanted);
    if stands.values().all(Stand::is_new) || stands.values().all(|stand| *stand == Stand::Untouched) {
        ExitCode::Passed
    } else if is(|stand| !stand.is_old()) {
        ExitCode::NeedsHuman
    } else if is(|stand| *stand == Stand::Unwell) {
        ExitCode::RolledBackUnverified
    } else {
        ExitCode::RolledBack
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::journal::tests::record;
    use crate::release::journal::{Back, LastGood};
    use crate::release::set::order::tests::{name, order};

    /// Twenty services: a base, two on it, four on those, twelve in four rows of three on those, and one on its own.
    fn twenty() -> Order {
        let mut lines = vec!["s01:".to_owned(), "s02: s01".to_owned(), "s03: s01".to_owned()];
        lines.extend((4..=7).map(|number| format!("s{number:02}: s{:02}", 2 + number % 2)));
        lines.extend((8..=19).map(|number| {
            let before = if number < 12 { 4 + number % 4 } else { number - 4 };
            format!("s{number:02}: s{before:02}")
        }));
        lines.push("s20:".to_owned());
        order(&lines.join(","))
    }

    /// What becomes of a member that is released.
    type Fate<'a> = &'a dyn Fn(&ServiceName) -> Stand;

    struct Walk<'a> {
        order: &'a Order,
        stands: Stands,
        turn: Turn,
        begin: bool,
        fate: Fate<'a>,
        /// Those that went forward, and those that went back, in order.
        begun: Vec<ServiceName>,
        returned: Vec<ServiceName>,
    }

    impl<'a> Walk<'a> {
        fn new(order: &'a Order, fate: Fate<'a>) -> Self {
            let stands = order.members().map(|name| (name.clone(), Stand::Untouched)).collect();
            let (begun, returned) = (Vec::new(), Vec::new());
            Walk { order, stands, turn: Turn::Forward, begin: true, fate, begun, returned }
        }

        fn next(&self) -> Move {
            next(self.order, &self.stands, self.turn, self.begin)
        }

        /// Does one move whole. False at the end.
        fn step(&mut self) -> bool {
            match self.next() {
                Move::End => return false,
                Move::Turn => {
                    assert_eq!(self.turn, Turn::Forward);
                    self.turn = Turn::Back;
                }
                Move::Settle(names) => self.become_what_they_will(&names),
                Move::Forward(names) => {
                    assert!(self.begin, "only who has planned begins");
                    for name in &names {
                        assert!(
                            self.order.before(name).all(|it| self.stands[it].is_new()),
                            "{name} was too early"
                        );
                    }
                    self.begun.extend(names.iter().cloned());
                    self.become_what_they_will(&names);
                }
                Move::Back(names) => {
                    for name in &names {
                        assert!(
                            self.order.after(name).all(|it| self.stands[it].is_old()),
                            "{name} was too early"
                        );
                        self.stands.insert(name.clone(), Stand::Back);
                    }
                    self.returned.extend(names);
                }
            }
            true
        }

        fn become_what_they_will(&mut self, names: &[ServiceName]) {
            for name in names {
                self.stands.insert(name.clone(), (self.fate)(name));
            }
        }

        fn end(&mut self) -> ExitCode {
            for _ in 0..100 {
                if !self.step() {
                    return outcome(&self.stands);
                }
            }
            panic!("it never ends: {:?}", self.stands);
        }
    }

    #[test]
    fn a_good_set_goes_forward_in_order_and_is_proven() {
        let order = twenty();
        let mut walk = Walk::new(&order, &|_| Stand::Good);
        assert_eq!(walk.end(), ExitCode::Passed);
        assert_eq!((walk.begun.len(), walk.returned.len(), order.waves()), (20, 0, 6));
        assert!(walk.begun.is_sorted_by_key(|name| order.wave(name)));
    }

    #[test]
    fn wherever_one_of_twenty_fails_all_that_moved_are_back_in_reverse_and_the_others_were_never_touched() {
        let order = twenty();
        for bad in order.members() {
            let fate = |name: &ServiceName| if name == bad { Stand::Back } else { Stand::Good };
            let mut walk = Walk::new(&order, &fate);
            assert_eq!(walk.end(), ExitCode::RolledBack, "{bad}");
            assert!(walk.returned.is_sorted_by_key(|name| std::cmp::Reverse(order.wave(name))), "{bad}");
            assert_eq!(walk.returned.len() + 1, walk.begun.len(), "{bad}");
            for name in order.members() {
                let untouched = walk.stands[name] == Stand::Untouched;
                assert_eq!(untouched, order.wave(name) > order.wave(bad), "{bad}: {name}");
            }
        }
    }

    #[test]
    fn wherever_a_run_is_killed_the_next_one_proves_all_that_was_begun_or_takes_all_of_it_back() {
        let order = twenty();
        for bad in order.members().map(Some).chain([None]) {
            let fate = |name: &ServiceName| if Some(name) == bad { Stand::Back } else { Stand::Good };
            for kill in 0.. {
                let mut walk = Walk::new(&order, &fate);
                if !(0..kill).all(|_| walk.step()) {
                    break;
                }
                // The run dies in the middle of this move: its members stand midway, or the first of them only.
                let next = walk.next();
                if let Move::Forward(names) | Move::Back(names) = &next {
                    for name in names.iter().take(1 + kill % names.len()) {
                        walk.stands.insert(name.clone(), Stand::Midway);
                    }
                }
                // What was going back when it was killed goes on going back.
                let going_back = matches!(next, Move::Back(_));
                let later = |name: &ServiceName| if going_back { Stand::Back } else { fate(name) };
                let mut after = Walk { fate: &later, begin: false, ..walk };
                let code = after.end();
                let context = format!("{bad:?} failed, killed before move {kill}: {:?}", after.stands);
                let all = |is: fn(&Stand) -> bool| after.stands.values().all(is);
                assert!(all(Stand::is_new) || all(Stand::is_old), "{context}");
                assert!(matches!(code, ExitCode::Passed | ExitCode::RolledBack), "{context}");
            }
        }
    }

    #[test]
    fn what_cannot_go_back_keeps_what_it_was_built_on_and_nothing_else() {
        let order = order("a:, b: a, c: b, x:, y: x, bad: c y");
        let reason = "the chart says that it cannot be undone".to_owned();
        for (stays, kept) in [
            (Stand::Fixed(reason.clone()), vec!["a", "b"]),
            (Stand::Stuck, vec!["a", "b"]),
            (Stand::Foreign, vec!["a", "b"]),
            (Stand::Unwell, vec![]),
        ] {
            let fate = |it: &ServiceName| match it.as_str() {
                "bad" => Stand::Back,
                _ => Stand::Good,
            };
            let mut walk = Walk::new(&order, &fate);
            while walk.turn == Turn::Forward {
                assert!(walk.step());
            }
            // Going back, `c` turns out so.
            walk.stands.insert(name("c"), stays.clone());
            let code = walk.end();
            let good = walk.stands.iter().filter(|(_, stand)| **stand == Stand::Good);
            assert_eq!(good.map(|(name, _)| name.as_str()).collect::<Vec<_>>(), kept, "{stays:?}");
            assert_eq!(walk.stands[&name("x")], Stand::Back, "{stays:?}");
            let expected =
                if kept.is_empty() { ExitCode::RolledBackUnverified } else { ExitCode::NeedsHuman };
            assert_eq!(code, expected, "{stays:?}");
        }
    }

    #[test]
    fn the_exit_code_is_that_of_the_worst_member() {
        use Stand::{Back, Fixed, Foreign, Good, Stuck, Untouched, Unwell};
        let fixed = || Fixed("new".to_owned());
        for (stands, code) in [
            (vec![Good, fixed()], ExitCode::Passed),
            (vec![Untouched, Untouched], ExitCode::Passed),
            (vec![Back, Untouched], ExitCode::RolledBack),
            (vec![Back, Unwell], ExitCode::RolledBackUnverified),
            (vec![Back, Unwell, Stuck], ExitCode::NeedsHuman),
            (vec![Back, Good], ExitCode::NeedsHuman),
            (vec![Back, fixed()], ExitCode::NeedsHuman),
            (vec![Good, Foreign], ExitCode::NeedsHuman),
            (vec![Good, Untouched], ExitCode::NeedsHuman),
        ] {
            let names = ["a", "b", "c"].map(name);
            let stands: Stands = names.into_iter().zip(stands).collect();
            assert_eq!(outcome(&stands), code, "{stands:?}");
        }
    }

    #[test]
    fn where_a_member_stands_is_read_from_its_own_journal() {
        let back = |arrived| Some(Back { arrived, ..Back::to(7, "aa".into(), false) });
        let before: Option<LastGood> = record().last_good;
        let at = |phase, back: Option<Back>| Record { phase, back, before: before.clone(), ..record() };
        let stand = |record: &Record| Stand::of(Some(record), "r1", Some("r0"));
        assert_eq!(stand(&at(Phase::Commit, None)), Stand::Good);
        assert_eq!(stand(&at(Phase::Watch, None)), Stand::Midway);
        assert_eq!(stand(&at(Phase::Rollback, back(false))), Stand::Midway);
        assert_eq!(stand(&at(Phase::Failed, back(true))), Stand::Back);
        assert_eq!(stand(&at(Phase::Failed, None)), Stand::Untouched, "Helm had not begun");
        assert_eq!(stand(&at(Phase::NeedsHuman, back(true))), Stand::Unwell);
        assert_eq!(stand(&at(Phase::NeedsHuman, back(false))), Stand::Stuck);

        let first = Record { before: None, ..at(Phase::Commit, None) };
        assert!(matches!(stand(&first), Stand::Fixed(why) if why.contains("no earlier release")));
        let mut last = at(Phase::Commit, None);
        last.wanted.irreversible = Some("drops a column".into());
        assert!(matches!(stand(&last), Stand::Fixed(why) if why.contains("drops a column")));
    }

    #[test]
    fn a_journal_of_another_run_is_that_from_before_the_set_or_somebody_elses() {
        let record = record();
        assert_eq!(Stand::of(Some(&record), "set", Some("r1")), Stand::Untouched);
        assert_eq!(Stand::of(Some(&record), "set", Some("r0")), Stand::Foreign);
        assert_eq!(Stand::of(Some(&record), "set", None), Stand::Foreign);
        assert_eq!(Stand::of(None, "set", None), Stand::Untouched);
        assert_eq!(Stand::of(None, "set", Some("r0")), Stand::Foreign, "its journal was removed");
    }

    #[test]
    fn a_member_goes_back_to_what_was_good_before_the_set_and_not_to_itself() {
        let before = record().last_good;
        let mut proven = Record { phase: Phase::Commit, before: before.clone(), ..record() };
        proven.last_good.as_mut().unwrap().revision = 8;
        assert_eq!(taken_back(&proven).last_good, before);
        assert_eq!(way_back(&taken_back(&proven)).unwrap().to, 7);
    }
}
