//! One stage from its needs to its record: look into the cache, run under a deadline, try again what may be tried again, judge.
//!
//! Only [`Driver::pure`] looks into the cache, and only pure stages fit into it:
//!
//! ```compile_fail
//! use xtask_core::engine::Driver;
//! use xtask_core::report::StageRecord;
//! use xtask_core::stage::{Effect, Stage};
//! async fn cached<S: Stage<Kind = Effect>>(driver: Driver, stage: &S) -> StageRecord {
//!     driver.pure(stage).await
//! }
//! ```
//!
//! The same with `Kind = Pure` compiles:
//!
//! ```
//! use xtask_core::engine::Driver;
//! use xtask_core::report::StageRecord;
//! use xtask_core::stage::{Pure, Stage};
//! async fn cached<S: Stage<Kind = Pure>>(driver: Driver, stage: &S) -> StageRecord {
//!     driver.pure(stage).await
//! }
//! ```

use crate::engine::cache::{Entry, Lookup, Output};
use crate::engine::cx::Used;
use crate::engine::history::Past;
use crate::engine::key::{Key, Part, Parts};
use crate::engine::retry;
use crate::engine::shared::{Pending, Shared};
use crate::error::StageError;
use crate::event::Event;
use crate::ids::NodeId;
use crate::outcome::{Finding, Outcome, Why};
use crate::report::{ErrorRecord, OutcomeKind, StageRecord};
use crate::stage::{Effect, Needs, Pure, Stage};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long a stage that was told to stop may take before the engine stops waiting for it.
const STOP_GRACE: Duration = Duration::from_millis(2200);

/// Drives one node of a run.
#[derive(Debug)]
pub struct Driver {
    pub(super) shared: Arc<Shared>,
    pub(super) node: NodeId,
}

/// What is known of a node when it has ended.
struct Ended {
    outcome: Outcome,
    facts: serde_json::Value,
    findings: Vec<Finding>,
    used: Used,
    attempts: u32,
    duration: Duration,
}

impl Driver {
    /// Drives a pure stage: a hit in the cache is as good as a run.
    pub async fn pure<S: Stage<Kind = Pure>>(self, stage: &S) -> StageRecord {
        let needs = stage.needs();
        let parts = match self.shared.parts(&self.node, &needs) {
            Ok(parts) => parts,
            Err(error) => return self.record(self.failed(error), None, None),
        };
        let key = parts.key();
        let mut notes = Vec::new();
        match self.shared.look_up(&self.node, &key) {
            Lookup::Hit(entry) => match serde_json::from_value::<S::Facts>(entry.facts.clone()) {
                Ok(facts) => return self.replayed(stage, &facts, entry, &key),
                Err(_) => notes.push(format!("cache entry {key} has facts of another shape: ran again")),
            },
            Lookup::Miss(note) => notes.extend(note),
        }
        let mut ended = self.run(stage, &needs, notes).await;
        // A refused result is not kept: whoever runs a failing test again wants it to run again.
        if matches!(ended.outcome, Outcome::Passed) {
            match self.shared.cache.keep_outputs(&self.node, &needs.outputs) {
                Ok(outputs) => self.queue_for_cache(&needs, &parts, &key, &ended, outputs),
                Err(error) => ended.used.notes.push(format!("not cached: {error}")),
            }
        }
        let past = Past {
            run: self.shared.setup.run_id.clone(),
            outcome: kind(&ended.outcome),
            duration_ms: millis(ended.duration),
            parts,
        };
        self.shared.remember(&self.node, &needs, past);
        self.record(ended, Some(key), None)
    }

    /// Drives a stage that changes the world: it runs every time, and looks at the world before it changes it.
    pub async fn effect<S: Stage<Kind = Effect>>(self, stage: &S) -> StageRecord {
        let ended = self.run(stage, &stage.needs(), Vec::new()).await;
        self.record(ended, None, None)
    }

    fn queue_for_cache(&self, needs: &Needs, parts: &Parts, key: &Key, ended: &Ended, outputs: Vec<Output>) {
        let entry = Entry {
            facts: ended.facts.clone(),
            duration_ms: millis(ended.duration),
            tail: ended.used.tail.clone(),
            notes: ended.used.said.iter().map(|note| self.mask(note)).collect(),
            tools: ended.used.tools.values().cloned().collect(),
            log: Some(self.shared.log_name(&self.node)),
            outputs,
        };
        self.shared.queue(Pending {
            node: self.node.clone(),
            key: key.clone(),
            inputs: needs.inputs.clone(),
            files: parts.get(&Part::Files).unwrap_or_default().to_owned(),
            entry,
        });
    }

    fn replayed<S: Stage>(&self, stage: &S, facts: &S::Facts, entry: Entry, key: &Key) -> StageRecord {
        let setup = &self.shared.setup;
        let verdict = stage.judge(facts, &setup.limits, setup.today);
        let ended = Ended {
            outcome: if verdict.rejects() { Outcome::Rejected } else { Outcome::Passed },
            facts: entry.facts.clone(),
            findings: verdict.into_findings(),
            used: Used {
                tools: entry.tools.into_iter().map(|tool| (tool.name.clone(), tool)).collect(),
                tail: entry.tail,
                said: entry.notes,
                notes: Vec::new(),
            },
            attempts: 0,
            duration: Duration::from_millis(entry.duration_ms),
        };
        self.record(ended, Some(key.clone()), Some(entry.log))
    }

    async fn run<S: Stage>(&self, stage: &S, needs: &Needs, notes: Vec<String>) -> Ended {
        let began = Instant::now();
        let limit = self.shared.setup.limits.timeouts.of(S::ID);
        let mut used = Used { notes, ..Used::default() };
        let mut attempt = 1;
        loop {
            self.shared.send(Event::StageStarted { node: self.node.clone(), attempt });
            let cx = self.shared.cx(&self.node, needs, began + limit);
            let result = self.bounded(stage.run(&cx), began + limit).await;
            let mut last = std::mem::take(&mut *cx.used());
            last.notes.splice(0..0, std::mem::take(&mut used.notes));
            used = last;
            if let Err(error) = &result
                && let Some(transient) = error.transient()
                && let Some(wait) = self.shared.retry_wait(attempt)
                && Instant::now() + wait < began + limit
                && !self.shared.setup.cancel.is_raised()
            {
                used.notes.push(format!(
                    "try {attempt} failed: {error}; tried again after {} ms",
                    wait.as_millis()
                ));
                self.shared.send(Event::Retrying {
                    node: self.node.clone(),
                    attempt,
                    transient,
                    after_ms: millis(wait),
                });
                retry::pause(wait, &self.shared.setup.cancel).await;
                attempt += 1;
                continue;
            }
            return self.judged(stage, result, used, attempt, began.elapsed());
        }
    }

    /// Waits for a stage, but not for ever: stages end by themselves when the deadline passes or the run is stopped, and are
    /// abandoned a little later if they do not.
    async fn bounded<F>(
        &self,
        run: impl Future<Output = Result<F, StageError>>,
        deadline: Instant,
    ) -> Result<F, StageError> {
        let cancel = &self.shared.setup.cancel;
        let stopped = async {
            cancel.raised().await;
            tokio::time::sleep(STOP_GRACE).await;
        };
        tokio::select! {
            biased;
            result = run => result,
            () = tokio::time::sleep_until(deadline + STOP_GRACE) => Err(StageError::TimedOut),
            () = stopped => Err(StageError::Cancelled),
        }
    }

    fn judged<S: Stage>(
        &self,
        stage: &S,
        result: Result<S::Facts, StageError>,
        used: Used,
        attempts: u32,
        duration: Duration,
    ) -> Ended {
        let setup = &self.shared.setup;
        let seen = result.and_then(|facts| {
            let value = serde_json::to_value(&facts)
                .map_err(|error| StageError::Bug(format!("the facts cannot be written: {error}")))?;
            Ok((facts, value))
        });
        let (outcome, facts, findings) = match seen {
            Ok((facts, value)) => {
                let verdict = stage.judge(&facts, &setup.limits, setup.today);
                let outcome = if verdict.rejects() { Outcome::Rejected } else { Outcome::Passed };
                (outcome, value, verdict.into_findings())
            }
            Err(error) => (failure(error), serde_json::Value::Null, Vec::new()),
        };
        // Adapters read raw output, so what they made of it is masked here, before it is shown or kept anywhere.
        let facts = mask_all(facts, &|text: &str| self.mask(text));
        let findings =
            findings.into_iter().map(|one| Finding { message: self.mask(&one.message), ..one }).collect();
        Ended { outcome, facts, findings, used, attempts, duration }
    }

    fn failed(&self, error: StageError) -> Ended {
        Ended {
            outcome: failure(error),
            facts: serde_json::Value::Null,
            findings: Vec::new(),
            used: Used::default(),
            attempts: 0,
            duration: Duration::ZERO,
        }
    }

    fn mask(&self, text: &str) -> String {
        self.shared.setup.redactor.redact(text).into_owned()
    }

    /// The record of a node that did not run.
    pub(super) fn skipped(self, why: Why) -> StageRecord {
        self.record(
            Ended { outcome: Outcome::Skipped(why), ..self.failed(StageError::Cancelled) },
            None,
            None,
        )
    }

    /// The record of a node that could not start.
    pub(super) fn broken(self, error: StageError) -> StageRecord {
        self.record(self.failed(error), None, None)
    }

    /// `replayed` is the log of the run whose facts these are, if they come from the cache.
    fn record(&self, ended: Ended, key: Option<Key>, replayed: Option<Option<String>>) -> StageRecord {
        let Ended { outcome, facts, findings, used, attempts, duration } = ended;
        let exit_code = outcome.exit_code();
        let outcome_kind = kind(&outcome);
        let (skipped, error) = match outcome {
            Outcome::Skipped(why) => (Some(why), None),
            Outcome::Broke(error) => {
                (None, Some(ErrorRecord { message: self.mask(&error.to_string()), hint: error.hint() }))
            }
            Outcome::Passed | Outcome::Rejected | Outcome::TimedOut | Outcome::Cancelled => (None, None),
        };
        let cached = replayed.is_some();
        let ran = attempts > 0 && self.shared.has_log(&self.node);
        let log = replayed.unwrap_or_else(|| ran.then(|| self.shared.log_name(&self.node)));
        StageRecord {
            id: self.node.stage,
            service: self.node.service.clone(),
            outcome: outcome_kind,
            cached,
            key: key.map(|key| key.to_string()),
            duration_ms: millis(duration),
            attempts,
            facts,
            findings,
            tools: used.tools.into_values().collect(),
            log,
            skipped,
            error,
            tail: used.tail,
            notes: used.notes.iter().chain(&used.said).map(|note| self.mask(note)).collect(),
            exit_code: exit_code.number(),
        }
    }
}

/// The same value with every text in it masked.
fn mask_all(value: serde_json::Value, mask: &impl Fn(&str) -> String) -> serde_json::Value {
    match value {
        serde_json::Value::String(text) => serde_json::Value::String(mask(&text)),
        serde_json::Value::Array(list) => list.into_iter().map(|one| mask_all(one, mask)).collect(),
        serde_json::Value::Object(map) => {
            map.into_iter().map(|(name, one)| (name, mask_all(one, mask))).collect()
        }
        plain @ (serde_json::Value::Null | serde_json::Value::Bool(_) | serde_json::Value::Number(_)) => {
            plain
        }
    }
}

fn failure(error: StageError) -> Outcome {
    match error {
        StageError::TimedOut => Outcome::TimedOut,
        StageError::Cancelled => Outcome::Cancelled,
        other @ (StageError::ToolMissing { .. }
        | StageError::Absent { .. }
        | StageError::Refused { .. }
        | StageError::ToolBroke { .. }
        | StageError::Unreadable { .. }
        | StageError::Transient { .. }
        | StageError::Io { .. }
        | StageError::Config(_)
        | StageError::Bug(_)) => Outcome::Broke(other),
    }
}

fn kind(outcome: &Outcome) -> OutcomeKind {
    match outcome {
        Outcome::Passed => OutcomeKind::Passed,
        Outcome::Rejected => OutcomeKind::Rejected,
        Outcome::Broke(_) => OutcomeKind::Broke,
        Outcome::TimedOut => OutcomeKind::TimedOut,
        Outcome::Cancelled => OutcomeKind::Cancelled,
        Outcome::Skipped(_) => OutcomeKind::Skipped,
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
