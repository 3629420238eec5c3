//! Carries a release from the phase that its journal names to an end. `deploy`, `rollback` and `recover` differ only in where they
//! enter. The journal names a phase before anything of it is done, and the lock is asked before each change.

use super::clock;
use super::error::ReleaseError;
use super::journal::{Back, Journal, LastGood, Record};
use super::ladder::way_back;
use super::lock::Held;
use super::objects::{self, Object};
use super::open::Cx;
use super::phase::{Phase, Signal, next};
use super::prove::{self, Answered, Fault, Seen};
use super::tell::seconds;
use crate::helm::{Chart, HelmError, Rendered, digest};
use serde::Serialize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use xtask_core::cancel::{Cancel, CancelSource};
use xtask_core::engine::store;
use xtask_core::error::ExitCode;

/// How long a stopped run waits for Helm to end by itself; the whole run ends within 2.5 s.
const FAREWELL: Duration = Duration::from_millis(1000);
/// How long writing the journal may take then.
const LAST_WORD: Duration = Duration::from_millis(500);

/// How a release ended.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Ending {
    /// The environment's name.
    pub(crate) environment: String,
    /// The release's name.
    pub(crate) release: String,
    /// The phase in which it ended.
    pub(crate) phase: Phase,
    /// The exit code.
    pub(crate) exit_code: u8,
    /// What happened, in a sentence.
    pub(crate) summary: String,
    /// The revision that runs now, if that is known.
    pub(crate) revision: Option<u32>,
    /// Why the release was bad, if it was.
    pub(crate) fault: Option<Fault>,
    /// Where the evidence is.
    pub(crate) evidence: Option<String>,
    /// Recordings of the watches, for `replay`.
    pub(crate) recordings: Vec<String>,
    /// From the start of the command.
    pub(crate) duration_ms: u64,
}

/// Tells the releases that go forward together that one of them is bad.
#[derive(Debug, Clone)]
pub(crate) struct Alarm {
    source: Arc<CancelSource>,
    raised: Cancel,
}

impl Alarm {
    /// Not raised yet.
    pub(crate) fn new() -> Alarm {
        let (source, raised) = CancelSource::new();
        Alarm { source: Arc::new(source), raised }
    }
}

/// A release that is under way.
pub(crate) struct Drive<'a> {
    pub(crate) cx: &'a Cx,
    pub(crate) journal: Journal,
    pub(crate) lock: &'a Held,
    /// What Helm applies; only a deployment has it.
    pub(crate) chart: Option<Chart>,
    /// Shared by those of a set that go forward together: who is bad raises it, and who can go back then does.
    pub(crate) alarm: Option<Alarm>,
    fault: Option<Fault>,
    evidence: Option<String>,
    recordings: Vec<PathBuf>,
    /// When rolling back began.
    pub(super) back_since: Option<Instant>,
    pub(super) verified: Option<Duration>,
}

impl<'a> Drive<'a> {
    /// A release whose journal is open and whose lock is held.
    pub(crate) fn new(cx: &'a Cx, journal: Journal, lock: &'a Held, chart: Option<Chart>) -> Self {
        Drive {
            cx,
            journal,
            lock,
            chart,
            alarm: None,
            fault: None,
            evidence: None,
            recordings: Vec::new(),
            back_since: None,
            verified: None,
        }
    }

    /// Begins with this record, and goes on until the end.
    pub(crate) async fn from(&mut self, mut record: Record) -> Result<Ending, ReleaseError> {
        record.token = self.lock.token();
        record.interrupted = false;
        self.lock.check().await?;
        self.journal.write(record).await?;
        let cancel = self.cx.cancel.clone();
        let ended = tokio::select! {
            biased;
            () = cancel.raised() => None,
            ended = self.on_until_the_end() => Some(ended),
        };
        match ended {
            Some(Err(ReleaseError::Cancelled(_))) | None => Err(self.interrupted().await),
            Some(ended) => ended,
        }
    }

    async fn on_until_the_end(&mut self) -> Result<Ending, ReleaseError> {
        loop {
            let record = self.record()?.clone();
            if record.phase.is_end() {
                return Ok(self.ending(&record));
            }
            let (mut after, signal) = self.step(record).await?;
            let phase = next(after.phase, signal).ok_or_else(|| {
                ReleaseError::Bug(format!("the phase {} cannot end with {signal:?}", after.phase))
            })?;
            after.phase = phase;
            after.since = clock::now();
            if phase == Phase::Commit {
                after = committed(after);
            }
            self.lock.check().await?;
            self.journal.write(after).await?;
        }
    }

    /// Does one phase. Gives the record back with what was learned.
    async fn step(&mut self, mut record: Record) -> Result<(Record, Signal), ReleaseError> {
        let cx = self.cx;
        let budgets = cx.env.budgets;
        let signal = match record.phase {
            Phase::Apply => self.apply(&mut record).await?,
            Phase::Watch => {
                cx.tell.line(&format!("watching revision {}", record.revision));
                self.watch(&mut record, budgets.watch, Duration::ZERO).await?
            }
            Phase::Soak => {
                cx.tell.line(&format!("everything runs; it must stay so for {}", seconds(budgets.soak)));
                self.watch(&mut record, budgets.watch, budgets.soak).await?
            }
            Phase::Smoke => self.smoke(&mut record).await?,
            Phase::Evidence => self.evidence(&mut record).await?,
            Phase::Rollback => self.roll_back(&mut record).await?,
            Phase::VerifyRollback => self.verify(&mut record).await?,
            Phase::Preflight
            | Phase::Lock
            | Phase::Recover
            | Phase::Plan
            | Phase::Commit
            | Phase::Failed
            | Phase::NeedsHuman => {
                return Err(ReleaseError::Bug(format!("nothing is done in the phase {}", record.phase)));
            }
        };
        Ok((record, signal))
    }

    async fn apply(&mut self, record: &mut Record) -> Result<Signal, ReleaseError> {
        let chart = self.chart.as_ref().ok_or_else(|| ReleaseError::Bug("nothing to apply".to_owned()))?;
        let description = description(&record.run.id);
        self.cx.tell.line(&format!("applying revision {}", record.revision));
        let applied = self.cx.helm.upgrade(chart, &description, self.cx.env.budgets.apply).await;
        match applied {
            Ok(Rendered { revision, manifest, .. }) => {
                if revision != record.revision {
                    record.because(&format!(
                        "Helm made revision {revision}, not {}: somebody else released meanwhile",
                        record.revision
                    ));
                    record.revision = revision;
                }
                // What was applied counts, should a template not give the same twice.
                record.wanted.manifest_sha256 = digest(&manifest);
                self.thaw(record).await?;
                record.applied = prove::marks(self.cx, &objects::read("get manifest", &manifest)?).await?;
                Ok(Signal::Done)
            }
            Err(HelmError::Failed { said, .. }) => {
                let fault = Fault::Step { step: "apply", said };
                self.reject(record, fault);
                Ok(Signal::Bad)
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn watch(
        &mut self,
        record: &mut Record,
        budget: Duration,
        soak: Duration,
    ) -> Result<Signal, ReleaseError> {
        self.thaw(record).await?;
        let objects = self.objects(record.revision).await?;
        let asked = prove::Watched {
            objects: &objects,
            applied: &record.applied,
            images_proven: record.wanted.image_seen,
            budget,
            soak,
            record: self.recording(record),
        };
        let seen = tokio::select! {
            seen = prove::watch(self.cx, asked) => seen?,
            () = self.alarmed(record) => Seen::Bad(Fault::of_set()),
        };
        Ok(match seen {
            Seen::Good => Signal::Done,
            Seen::Bad(fault) => {
                self.reject(record, fault);
                Signal::Bad
            }
            Seen::Superseded(what) => self.superseded(record, &what),
        })
    }

    fn superseded(&self, record: &mut Record, what: &str) -> Signal {
        self.cx.tell.line(&format!("SUPERSEDED: {what}; nothing more is touched"));
        record.because(&format!("superseded: {what}"));
        Signal::Superseded
    }

    async fn smoke(&mut self, record: &mut Record) -> Result<Signal, ReleaseError> {
        let objects = self.objects(record.revision).await?;
        Ok(match prove::smoke(self.cx, &objects, &record.applied).await? {
            Answered::Right(what) => {
                self.cx.tell.line(&format!("smoke: {what}"));
                record.because(&what);
                Signal::Done
            }
            Answered::Wrong(fault) => {
                self.reject(record, fault);
                Signal::Bad
            }
            Answered::Superseded(what) => self.superseded(record, &what),
        })
    }

    /// Returns when another one of the set is bad; never, where there is no way back: what was begun is proven then.
    async fn alarmed(&self, record: &Record) {
        match self.alarm.as_ref().filter(|_| way_back(record).is_ok()) {
            Some(alarm) => alarm.raised.raised().await,
            None => std::future::pending().await,
        }
    }

    /// Where the watch of this phase is recorded. That there is no place for it is said, and no reason to release nothing.
    pub(super) fn recording(&mut self, record: &Record) -> Option<PathBuf> {
        let cx = self.cx;
        let own = store::own_folder(&cx.pipeline.root);
        let own =
            own.inspect_err(|error| cx.tell.line(&format!("no recording of this watch: {error}"))).ok()?;
        let name = format!("{}-{}.{}-{}.jsonl", cx.release, cx.run.id, record.phase, record.revision);
        let path = own.join("watch").join(name);
        self.recordings.push(path.clone());
        Some(path)
    }

    fn reject(&mut self, record: &mut Record, fault: Fault) {
        let text = fault.to_string();
        self.cx.tell.line(&format!("REJECTED {text}"));
        record.because(&text);
        self.fault = Some(fault);
        if let Some(alarm) = &self.alarm {
            alarm.source.raise();
        }
    }

    /// Looks at what going back would delete, and whether going back is right at all.
    async fn evidence(&mut self, record: &mut Record) -> Result<Signal, ReleaseError> {
        self.back_since = Some(Instant::now());
        let objects = self.objects(record.revision).await.unwrap_or_default();
        // Of a release that was only stopped halfway there is nothing to find.
        let found_bad = self.fault.as_ref().is_none_or(|fault| !fault.is_of_set());
        if found_bad && let Some(path) = prove::evidence(self.cx, &objects, self.fault.as_ref()).await {
            self.cx.tell.line(&format!("evidence: {}", path.display()));
            self.evidence = Some(path.display().to_string());
        }
        let way = match way_back(record) {
            Ok(back) => self.still_taken(back).await?,
            Err(why) => Err(why),
        };
        match way {
            Ok(back) => {
                record.back = Some(back);
                Ok(Signal::Done)
            }
            Err(why) => {
                let env = &self.cx.env_name;
                let first = if record.last_good.is_some() {
                    format!("`cargo xtask rollback --env {env}` goes back all the same")
                } else {
                    format!(
                        "`cargo xtask recover --env {env} --override` lets the next deployment begin anew"
                    )
                };
                let why = format!(
                    "{why}. {first}, `cargo xtask recover --env {env} --resume` goes on with what runs now"
                );
                self.cx.tell.line(&format!("NOT ROLLED BACK: {why}"));
                let before = record.reason.clone().unwrap_or_default();
                record.because(&format!("{why} ({before})"));
                Ok(Signal::Blocked)
            }
        }
    }

    pub(super) async fn objects(&self, revision: u32) -> Result<Vec<Object>, ReleaseError> {
        let manifest = self.cx.helm.manifest(&self.cx.release, revision).await?;
        objects::read("get manifest", &manifest)
    }

    pub(super) async fn newest(&self) -> Result<crate::helm::Revision, ReleaseError> {
        let history = self.cx.helm.history(&self.cx.release).await?;
        history.into_iter().next_back().ok_or_else(|| {
            ReleaseError::NeedsHuman(format!(
                "Helm knows nothing of the release {} any more",
                self.cx.release
            ))
        })
    }

    fn record(&self) -> Result<&Record, ReleaseError> {
        self.journal.record().ok_or_else(|| ReleaseError::Bug("a release without a journal".to_owned()))
    }

    /// Leaves word that the run was stopped here. Helm, if it is at work, gets a moment to end by itself.
    async fn interrupted(&mut self) -> ReleaseError {
        let settled = self.cx.helm.settle(FAREWELL).await;
        let Some(mut record) = self.journal.record().cloned() else {
            return ReleaseError::Cancelled(String::new());
        };
        record.interrupted = true;
        let phase = record.phase;
        let word = tokio::time::timeout(LAST_WORD, self.journal.write(record)).await;
        let written =
            if matches!(word, Ok(Ok(()))) { "the journal says so" } else { "the journal could not be told" };
        let helm = if settled { "" } else { ", with Helm at work" };
        ReleaseError::Cancelled(format!(" in the phase {phase}{helm}; {written}"))
    }

    fn ending(&self, record: &Record) -> Ending {
        let cx = self.cx;
        let asked = record.back.as_ref().is_some_and(|back| back.asked);
        let (code, summary) = match record.phase {
            Phase::Commit => (
                ExitCode::Passed,
                format!("GOOD: revision {} of {} is proven", record.revision, record.wanted.chart),
            ),
            Phase::Failed if asked => (ExitCode::Passed, self.went_back(record)),
            Phase::Failed => {
                let what = self
                    .fault
                    .as_ref()
                    .map_or_else(|| record.reason.clone().unwrap_or_default(), ToString::to_string);
                (ExitCode::RolledBack, format!("REJECTED {what}; {}", self.went_back(record)))
            }
            // The caller asks at ends only, and of these only the last one is an end.
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
            | Phase::VerifyRollback
            | Phase::NeedsHuman => {
                let why = record.reason.clone().unwrap_or_default();
                if record.back.as_ref().is_some_and(|back| back.arrived) {
                    (ExitCode::RolledBackUnverified, format!("ROLLED BACK, NOT VERIFIED: {why}"))
                } else {
                    (ExitCode::NeedsHuman, format!("NOT ROLLED BACK, a person is needed: {why}"))
                }
            }
        };
        cx.tell.line(&summary);
        Ending {
            environment: cx.env_name.clone(),
            release: cx.release.clone(),
            phase: record.phase,
            exit_code: code.number(),
            summary,
            revision: Some(record.revision),
            fault: self.fault.clone(),
            evidence: self.evidence.clone(),
            // A watch that had nothing to watch, or a disk that was full, has left none.
            recordings: self
                .recordings
                .iter()
                .filter(|it| it.is_file())
                .map(|it| it.display().to_string())
                .collect(),
            duration_ms: u64::try_from(cx.tell.began().elapsed().as_millis()).unwrap_or(u64::MAX),
        }
    }

    fn went_back(&self, record: &Record) -> String {
        let to = record.back.as_ref().map_or(0, |back| back.to);
        let took = self.verified.map_or_else(String::new, |took| format!(" in {}", seconds(took)));
        let how = match &record.back {
            Some(Back { restored: true, helm_said, .. }) => format!(
                " without Helm, whose own record is behind until the next deployment ({})",
                helm_said.clone().unwrap_or_default()
            ),
            Some(_) | None => String::new(),
        };
        format!("rolled back to revision {to}, verified{took}{how}")
    }
}

/// How a revision of ours is known again in Helm's history.
pub(crate) fn description(run: &str) -> String {
    format!("slipway {run}")
}

/// What was proven becomes the last good release, in the same write that ends the attempt.
pub(super) fn committed(mut record: Record) -> Record {
    record.last_good = Some(LastGood {
        revision: record.revision,
        wanted: record.wanted.clone(),
        run: record.run.clone(),
        at: record.since,
        smoke: record.reason.take().unwrap_or_default(),
    });
    record
}
