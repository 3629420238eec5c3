//! Watches a rollout until there is a verdict: from the stream of a cluster and the clock to the pure function, and nothing else.

use crate::cluster::{Cluster, ClusterError, Fed, listen};
use crate::rollout::record::{FORM, Header, NotRecorded, Recorder};
use crate::rollout::seen::{Millis, Seen, What};
use crate::rollout::state::State;
use crate::rollout::target::{Target, Verdict};
use futures_util::{Stream, StreamExt};
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::Instant;
use xtask_core::cancel::Cancel;
use xtask_core::redact::Redactor;

/// How often time passes: no verdict is later than this.
const TICK: Duration = Duration::from_millis(200);

/// How a rollout is watched.
pub struct Options<'a> {
    /// Where the stream is recorded, if anywhere. What cannot be recorded is watched all the same.
    pub record: Option<PathBuf>,
    /// Ends the watch.
    pub cancel: Cancel,
    /// Gets a line whenever what is waited for changes.
    pub progress: Box<dyn FnMut(&str) + 'a>,
    /// Masks secrets in the recording and in what is shown.
    pub redactor: Redactor,
}

/// Why there is no verdict.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// It was stopped.
    #[error("stopped while watching the rollout")]
    Cancelled,
    /// The cluster refuses to be watched.
    #[error(transparent)]
    Refused(ClusterError),
    /// The cluster did not answer until the time was spent. Whether the release is good is not known.
    #[error("the rollout cannot be judged: {0}")]
    Blind(ClusterError),
}

/// Watches until the target is good or bad, or somebody else has changed it. It ends at the latest when the target's budget is spent.
pub async fn watch(cluster: &Cluster, target: &Target, options: Options<'_>) -> Result<Verdict, WatchError> {
    let names = target.workloads.iter().map(|expected| expected.name.as_str());
    let stream = listen(cluster, &target.namespace, &target.kinds(), names);
    follow(stream, target, cluster.version(), options).await
}

/// The same over any stream.
pub(super) async fn follow(
    mut stream: impl Stream<Item = Fed> + Unpin,
    target: &Target,
    kubernetes: &str,
    options: Options<'_>,
) -> Result<Verdict, WatchError> {
    let Options { record, cancel, mut progress, redactor } = options;
    let header = Header { recording: FORM, kubernetes: kubernetes.to_owned(), target: target.clone() };
    let mut recorder = record.map(|path| Recorder::new(path, &redactor));
    let begun = recorder.as_mut().map_or(Ok(()), |recorder| recorder.begin(&header));
    told(begun, &mut progress);
    let begin = Instant::now();
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut state = State::new(target.clone());
    let mut shown = String::new();
    let mut trouble: Option<ClusterError> = None;
    let mut open = true;
    loop {
        let what = tokio::select! {
            biased;
            () = cancel.raised() => return Err(WatchError::Cancelled),
            fed = stream.next(), if open => match fed {
                Some(Fed::Seen(what)) => {
                    trouble = None;
                    what
                }
                Some(Fed::Answered) => {
                    trouble = None;
                    continue;
                }
                Some(Fed::Failed(error @ ClusterError::Refused { .. })) => return Err(WatchError::Refused(error)),
                Some(Fed::Failed(error)) => {
                    progress(&redactor.redact(&format!("trying again: {error}")));
                    trouble = Some(error);
                    continue;
                }
                None => {
                    open = false;
                    continue;
                }
            },
            _ = ticks.tick() => What::Tick,
        };
        // While the cluster does not answer, no rule's time passes: what was not seen cannot be told from what did not happen.
        if let (What::Tick, Some(error)) = (&what, trouble.take()) {
            if millis(begin) >= target.budget_ms {
                return Err(WatchError::Blind(error));
            }
            trouble = Some(error);
            continue;
        }
        let seen = Seen { at: millis(begin), what };
        told(recorder.as_mut().map_or(Ok(()), |recorder| recorder.seen(&seen)), &mut progress);
        state = state.step(&seen);
        let verdict = state.verdict();
        if verdict != Verdict::Watching {
            told(recorder.as_mut().map_or(Ok(()), |recorder| recorder.end(seen.at)), &mut progress);
            return Ok(verdict);
        }
        let line = state.waits_for();
        if seen.what == What::Tick && line != shown {
            progress(&redactor.redact(&line));
            shown = line;
        }
    }
}

/// A recording that ends is said, and no reason to end the watch.
fn told(recorded: Result<(), NotRecorded>, progress: &mut impl FnMut(&str)) {
    if let Err(error) = recorded {
        progress(&error.to_string());
    }
}

fn millis(begin: Instant) -> Millis {
    Millis::try_from(begin.elapsed().as_millis()).unwrap_or(Millis::MAX)
}
