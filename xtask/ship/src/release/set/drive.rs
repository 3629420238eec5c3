//! Carries a set to its end. Every member is carried by the same `Drive` as a release alone, under a lock and a journal of its own; here is
//! only who moves next. What is to be done is read from the journals before each move, so it makes no difference who began.

use super::record::{SetEnding, SetRecord};
use super::state::{Move, Stand, Stands, Turn, next, taken_back};
use crate::helm::Chart;
use crate::release::approved::Approved;
use crate::release::clock;
use crate::release::deploy;
use crate::release::drive::{Alarm, Drive, Ending};
use crate::release::error::ReleaseError;
use crate::release::journal::{Journal, Record};
use crate::release::ladder::way_back;
use crate::release::lock::Held;
use crate::release::open::Cx;
use crate::release::phase::Phase;
use crate::release::prove::{self, Fault};
use crate::release::recover;
use futures_util::future::{join_all, try_join_all};
use std::collections::BTreeMap;
use xtask_core::ids::ServiceName;

/// A member whose lock is held.
pub(crate) struct Member {
    pub(crate) cx: Cx,
    pub(crate) held: Held,
}

/// A set whose locks are held.
pub(crate) struct SetDrive<'a> {
    /// For all that is not of one member.
    pub(crate) cx: &'a Cx,
    pub(crate) lock: &'a Held,
    pub(crate) members: &'a BTreeMap<ServiceName, Member>,
    pub(crate) journal: Journal<SetRecord>,
    /// What was approved; only the run that has planned has it, and it alone begins members.
    pub(crate) approved: Option<BTreeMap<ServiceName, (Approved, Chart)>>,
    pub(crate) endings: BTreeMap<ServiceName, Ending>,
    /// Members that somebody else has changed since they were proven, and how.
    pub(crate) foreign: BTreeMap<ServiceName, String>,
}

/// What came of a member's part in a move.
enum Part {
    /// It ended.
    Ended(Option<Box<Ending>>),
    /// Somebody else has changed it.
    Foreign(String),
}

impl SetDrive<'_> {
    /// Begins with this record, and goes on until the end.
    pub(crate) async fn from(&mut self, record: SetRecord) -> Result<SetEnding, ReleaseError> {
        self.write(record).await?;
        loop {
            let record = self.record()?;
            let records = self.records().await?;
            let stands = self.stands(&record, &records);
            let step = next(&record.order, &stands, record.turn, self.approved.is_some());
            match &step {
                Move::End => return self.end(record, &stands).await,
                Move::Turn => self.turn(record, &stands, &records).await?,
                Move::Settle(names) | Move::Forward(names) | Move::Back(names) => {
                    self.step(&step, names, &record).await?;
                }
            }
        }
    }

    async fn step(
        &mut self,
        step: &Move,
        names: &[ServiceName],
        record: &SetRecord,
    ) -> Result<(), ReleaseError> {
        self.lock.check().await?;
        let list = names.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
        let wave = names.first().map_or(0, |name| record.order.wave(name));
        let what = match step {
            Move::Settle(_) => "finishing what was begun".to_owned(),
            Move::Back(_) => format!("going back, wave {wave}"),
            Move::Forward(_) | Move::Turn | Move::End => format!("wave {wave} of {}", record.order.waves()),
        };
        self.cx.tell.line(&format!("{what}: {list}"));
        let (this, alarm) = (&*self, &Alarm::new());
        let parts =
            names.iter().map(|name| async move { (name, this.part(step, name, record, alarm).await) });
        let parts = join_all(parts).await;
        let mut failed = None;
        for (name, part) in parts {
            match part {
                Ok(Part::Ended(ending)) => self.endings.extend(ending.map(|ending| (name.clone(), *ending))),
                Ok(Part::Foreign(by)) => {
                    self.cx.tell.line(&format!("{name} is left alone: {by}"));
                    self.foreign.insert(name.clone(), by);
                }
                Err(ReleaseError::Cancelled(_)) => {
                    failed = Some(ReleaseError::Cancelled(format!(
                        " in a set: {what}; each journal says where it is"
                    )));
                }
                Err(error) => {
                    failed.get_or_insert(error.of(name));
                }
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// The part of one member in a move.
    async fn part(
        &self,
        step: &Move,
        name: &ServiceName,
        record: &SetRecord,
        alarm: &Alarm,
    ) -> Result<Part, ReleaseError> {
        let Member { cx, held } = self.member(name)?;
        let mut journal = cx.journal().await?;
        match step {
            Move::Settle(_) => Ok(Part::Ended(recover::settle(cx, held, &mut journal).await?.map(Box::new))),
            Move::Forward(_) => {
                let (approved, chart) =
                    self.approved.as_ref().and_then(|all| all.get(name)).ok_or_else(|| {
                        ReleaseError::Bug(format!("{name} was to go forward without approval"))
                    })?;
                let ending =
                    deploy::carry_out(cx, held, journal, chart.clone(), (approved, Some(alarm.clone())))
                        .await?;
                Ok(Part::Ended(Some(Box::new(ending))))
            }
            Move::Back(_) => take_back(cx, held, journal, record.reason.as_deref()).await,
            Move::Turn | Move::End => Err(ReleaseError::Bug("a move without members".to_owned())),
        }
    }

    /// From now on it goes back.
    async fn turn(
        &mut self,
        mut record: SetRecord,
        stands: &Stands,
        records: &BTreeMap<ServiceName, Record>,
    ) -> Result<(), ReleaseError> {
        let failed = stands.iter().filter(|(_, stand)| {
            matches!(stand, Stand::Back | Stand::Unwell | Stand::Stuck | Stand::Foreign | Stand::Midway)
        });
        let fault = |name| self.endings.get(name).and_then(|ending| ending.fault.as_ref());
        // The first of those that are bad themselves, not of those that only went back with them.
        let first = failed.min_by_key(|(name, _)| fault(name).is_some_and(Fault::is_of_set));
        let why = match first {
            Some((name, Stand::Foreign)) => format!("{name} was changed by somebody else"),
            Some((name, _)) => {
                let told = records.get(name).and_then(|record| record.reason.clone());
                let why = fault(name).map(ToString::to_string).or(told);
                format!("{name}: {}", why.unwrap_or_else(|| "it failed".to_owned()))
            }
            None => {
                let open = stands.iter().filter(|(_, stand)| **stand == Stand::Untouched);
                let open: Vec<&str> = open.map(|(name, _)| name.as_str()).collect();
                format!("the run {} was stopped before it began {}", record.run.id, open.join(", "))
            }
        };
        self.cx.tell.line(&format!("the set goes back: {why}"));
        record.turn = Turn::Back;
        record.reason = Some(why);
        self.write(record).await
    }

    async fn end(&mut self, mut record: SetRecord, stands: &Stands) -> Result<SetEnding, ReleaseError> {
        record.turn = Turn::Ended;
        self.write(record.clone()).await?;
        let took = u64::try_from(self.cx.tell.began().elapsed().as_millis()).unwrap_or(u64::MAX);
        let endings = std::mem::take(&mut self.endings);
        let ending = SetEnding::of(&self.cx.env_name, &record, stands, endings, took);
        self.cx.tell.show(&ending.text());
        self.cx.tell.line(&ending.summary);
        Ok(ending)
    }

    async fn write(&mut self, mut record: SetRecord) -> Result<(), ReleaseError> {
        record.token = self.lock.token();
        record.since = clock::now();
        self.lock.check().await?;
        self.journal.write(record).await
    }

    fn record(&self) -> Result<SetRecord, ReleaseError> {
        self.journal.record().cloned().ok_or_else(|| ReleaseError::Bug("a set without a journal".to_owned()))
    }

    fn member(&self, name: &ServiceName) -> Result<&Member, ReleaseError> {
        self.members.get(name).ok_or_else(|| ReleaseError::Bug(format!("{name} is not of this set")))
    }

    /// What the members' journals say.
    async fn records(&self) -> Result<BTreeMap<ServiceName, Record>, ReleaseError> {
        let read = self.members.iter().map(|(name, member)| async move {
            let journal = member.cx.journal().await.map_err(|error| error.of(name))?;
            Ok::<_, ReleaseError>(journal.record().cloned().map(|record| (name.clone(), record)))
        });
        let all = tokio::select! {
            all = try_join_all(read) => all?,
            () = self.cx.cancel.raised() => return Err(ReleaseError::Cancelled(" between two moves of a set".to_owned())),
        };
        Ok(all.into_iter().flatten().collect())
    }

    fn stands(&self, set: &SetRecord, records: &BTreeMap<ServiceName, Record>) -> Stands {
        let stand = |name: &ServiceName| {
            if self.foreign.contains_key(name) {
                return Stand::Foreign;
            }
            Stand::of(records.get(name), &set.run.id, set.earlier.get(name).map(String::as_str))
        };
        set.order.members().map(|name| (name.clone(), stand(name))).collect()
    }
}

/// Takes a proven member back to what was good before the set, unless somebody else has changed it since.
async fn take_back(
    cx: &Cx,
    held: &Held,
    journal: Journal,
    reason: Option<&str>,
) -> Result<Part, ReleaseError> {
    let record =
        journal.record().ok_or_else(|| ReleaseError::Bug("a member without a journal".to_owned()))?;
    let newest = cx.helm.history(&cx.release).await?.last().map(|newest| newest.number);
    if newest != Some(record.revision) {
        return Ok(Part::Foreign(format!("revision {} is not the newest any more", record.revision)));
    }
    if let Some(by) = prove::changed(cx, &record.applied).await? {
        return Ok(Part::Foreign(by));
    }
    let mut record = taken_back(record);
    record.back = Some(way_back(&record).map_err(ReleaseError::Bug)?);
    record.phase = Phase::Rollback;
    record.since = clock::now();
    record.because(&format!("its set is bad: {}", reason.unwrap_or_default()));
    let ending = Drive::new(cx, journal, held, None).from(record).await?;
    Ok(Part::Ended(Some(Box::new(ending))))
}
