//! A recorded watch through the same pure function, with other graces if wanted: what it would have decided, and when each rule would
//! have fired had none before it.

use crate::rollout::record::{FORM, Header};
use crate::rollout::rules::{Graces, Rule};
use crate::rollout::seen::{Millis, Seen, What};
use crate::rollout::state::State;
use crate::rollout::target::{Verdict, seconds};
use std::collections::BTreeMap;
use std::fmt;

/// How fine time passes.
const TICK: Millis = 100;

/// What a recording says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replayed {
    /// The version of the cluster that it was recorded in.
    pub kubernetes: String,
    /// The verdict; `Watching` if the recording ends before there is one.
    pub verdict: Verdict,
    /// The rules that fired until the recording ends, in the order in which they did.
    pub fired: Vec<Fired>,
    /// How long the recording is.
    pub length_ms: Millis,
}

/// A rule that fired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fired {
    /// Which.
    pub rule: Rule,
    /// On whom.
    pub object: String,
    /// Since when it was visible.
    pub visible_ms: Millis,
    /// When.
    pub at_ms: Millis,
}

/// Why a recording cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// There is nothing in it.
    #[error("the recording is empty")]
    Empty,
    /// A line is not what it must be.
    #[error("line {line} is not one of a recording: {source}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// Its form is another one.
    #[error("the recording has form {0}; this program reads form {FORM}")]
    Form(u32),
    /// Time runs backwards in it.
    #[error("line {0} is earlier than the one before it")]
    Order(usize),
    /// Its end is missing: it is not known how long nothing more was seen.
    #[error("the recording has no end: it was cut, or its watch was stopped")]
    Cut,
}

/// Replays a recording. `graces` hold before those of the recording.
pub fn replay(text: &str, graces: &Graces) -> Result<Replayed, ReplayError> {
    let mut lines = text.lines().enumerate().map(|(index, line)| (index + 1, line));
    let (_, first) = lines.next().ok_or(ReplayError::Empty)?;
    let header: Header =
        serde_json::from_str(first).map_err(|source| ReplayError::Line { line: 1, source })?;
    if header.recording != FORM {
        return Err(ReplayError::Form(header.recording));
    }
    let Header { kubernetes, mut target, .. } = header;
    target.graces = target.graces.and(graces);
    let mut state = State::new(target);
    let mut fired: BTreeMap<Rule, Fired> = BTreeMap::new();
    let (mut now, mut ended) = (0, false);
    for (line, text) in lines {
        let seen: Seen = serde_json::from_str(text).map_err(|source| ReplayError::Line { line, source })?;
        if seen.at < now {
            return Err(ReplayError::Order(line));
        }
        while now + TICK < seen.at {
            now += TICK;
            state = note(state.step(&Seen { at: now, what: What::Tick }), now, &mut fired);
        }
        now = seen.at;
        ended = seen.what == What::Tick;
        state = note(state.step(&seen), now, &mut fired);
    }
    if !ended {
        return Err(ReplayError::Cut);
    }
    let mut fired: Vec<Fired> = fired.into_values().collect();
    fired.sort_by_key(|fired| (fired.at_ms, fired.rule));
    Ok(Replayed { kubernetes, verdict: state.verdict(), fired, length_ms: now })
}

fn note(state: State, at_ms: Millis, fired: &mut BTreeMap<Rule, Fired>) -> State {
    for fault in state.faults().iter().filter(|fault| fault.due) {
        let (rule, object, visible_ms) = (fault.rule, &fault.object, fault.visible_ms);
        fired.entry(rule).or_insert_with(|| Fired { rule, object: object.clone(), visible_ms, at_ms });
    }
    state
}

impl fmt::Display for Replayed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} s recorded from Kubernetes {}", seconds(self.length_ms), self.kubernetes)?;
        match &self.verdict {
            Verdict::Watching => writeln!(f, "no verdict by then")?,
            Verdict::Good(proof) => writeln!(f, "good at +{} s", seconds(proof.decided_ms))?,
            Verdict::Bad(failure) => writeln!(f, "bad: {failure}")?,
            Verdict::Superseded(by) => {
                writeln!(f, "superseded at +{} s: {}: {}", seconds(by.decided_ms), by.workload, by.by)?;
            }
        }
        for Fired { rule, object, visible_ms, at_ms } in &self.fired {
            let (visible, at) = (seconds(*visible_ms), seconds(*at_ms));
            writeln!(f, "{rule} at +{at} s on {object}, visible at +{visible} s: {}", rule.explanation())?;
        }
        Ok(())
    }
}
