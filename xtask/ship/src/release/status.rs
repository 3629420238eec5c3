//! `status`: what runs, since when, from which run and commit, what was proven good last, and who holds the lock. Changes nothing.

use super::error::ReleaseError;
use super::journal::Record;
use super::open::Cx;
use super::phase::Phase;
use crate::cluster::Lease;
use crate::helm::Revision;
use serde::Serialize;
use std::fmt::Write;

/// All that is known of a release.
#[derive(Debug, Serialize)]
pub(crate) struct Status {
    environment: String,
    namespace: String,
    cluster_uid: String,
    release: String,
    /// The newest revision that Helm remembers.
    revision: Option<u32>,
    /// What Helm calls it.
    helm: Option<String>,
    /// Since when it is there.
    since: Option<jiff::Timestamp>,
    /// Whether that revision is the one that was proven.
    proven: bool,
    /// The newest revisions that Helm remembers, oldest first.
    history: Vec<Past>,
    /// Who holds the lock.
    lock: Option<String>,
    /// The journal.
    journal: Option<Record>,
}

/// A revision.
#[derive(Debug, Serialize)]
struct Past {
    revision: u32,
    /// What Helm calls it.
    status: String,
    /// What made it; ours name the run.
    description: String,
}

/// So many revisions are told.
const MOST: usize = 10;

/// Looks.
pub(crate) async fn status(cx: &Cx) -> Result<Status, ReleaseError> {
    let history = cx.helm.history(&cx.release).await?;
    let journal = cx.journal().await?.record().cloned();
    let lock = cx.lock().look().await?;
    Ok(told(cx, &history, journal, lock))
}

fn told(cx: &Cx, history: &[Revision], journal: Option<Record>, lock: Option<Lease>) -> Status {
    let newest = history.last();
    let past = |revision: &Revision| Past {
        revision: revision.number,
        status: format!("{:?}", revision.status),
        description: revision.description.clone(),
    };
    let good = journal.as_ref().and_then(|record| record.last_good.as_ref());
    Status {
        environment: cx.env_name.clone(),
        namespace: cx.namespace.clone(),
        cluster_uid: cx.cluster.uid().to_owned(),
        release: cx.release.clone(),
        revision: newest.map(|newest| newest.number),
        helm: newest.map(|newest| format!("{:?}", newest.status)),
        since: newest.map(|newest| newest.updated),
        proven: newest.zip(good).is_some_and(|(newest, good)| newest.number == good.revision),
        history: history[history.len().saturating_sub(MOST)..].iter().map(past).collect(),
        lock: lock.and_then(|seen| seen.holder),
        journal,
    }
}

impl Status {
    /// For people.
    pub(crate) fn text(&self) -> String {
        let mut text = format!("{} in {} (namespace {})\n", self.release, self.environment, self.namespace);
        match (self.revision, self.since) {
            (Some(revision), Some(since)) => {
                let proven = if self.proven { "proven good" } else { "NOT PROVEN" };
                let helm = self.helm.as_deref().unwrap_or_default();
                let _ =
                    writeln!(text, "  runs       revision {revision} since {since}, {proven} (Helm: {helm})");
            }
            _ => text.push_str("  runs       nothing\n"),
        }
        match &self.journal {
            None => text.push_str("  journal    none: no release was made by this program\n"),
            Some(record) => self.record(&mut text, record),
        }
        let _ = writeln!(text, "  lock       {}", self.lock.as_deref().unwrap_or("free"));
        text
    }

    fn record(&self, text: &mut String, record: &Record) {
        let run = |run: &super::journal::RunRef| {
            format!("run {}, commit {}", run.id, run.commit.as_deref().unwrap_or("unknown"))
        };
        match &record.last_good {
            None => text.push_str("  last good  none\n"),
            Some(good) => {
                let image = good.wanted.image.as_deref().unwrap_or("no image of its own");
                let _ = writeln!(
                    text,
                    "  last good  revision {}, proven at {}: {}, {image}",
                    good.revision, good.at, good.wanted.chart
                );
                let _ = writeln!(text, "             {}", run(&good.run));
            }
        }
        let stopped = if record.interrupted { ", interrupted" } else { "" };
        let _ = writeln!(
            text,
            "  attempt    {}{stopped} since {}, {}",
            record.phase,
            record.since,
            run(&record.run)
        );
        if let Some(reason) = &record.reason {
            let _ = writeln!(text, "             {reason}");
        }
        if let Some(back) = record.back.as_ref().filter(|back| back.restored) {
            let _ = writeln!(
                text,
                "             put back without Helm: the objects are those of revision {}",
                back.to
            );
        }
        for name in &record.frozen {
            let _ = writeln!(
                text,
                "             FROZEN: the Deployment {name} is paused; rollback, --resume or a deployment ends that"
            );
        }
        if record.phase == Phase::NeedsHuman || !record.phase.is_end() {
            let _ = writeln!(text, "  next       cargo xtask recover --env {}", self.environment);
        }
    }
}
