//! The way back: the ladder of a rollback, and whether what it leads to is well. Each rung asks the lock first, is named in the journal
//! before it is tried, and can be tried again by whoever comes after a killed run.

use super::drive::{Drive, committed};
use super::error::ReleaseError;
use super::journal::{Back, Record};
use super::objects::Object;
use super::phase::Signal;
use super::prove::{self, Seen};
use crate::helm::{HelmError, Status, digest};
use crate::rollout::seen::WorkloadKind;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How often it is looked whether a pod stands in the way.
const LOOK: Duration = Duration::from_secs(1);

impl Drive<'_> {
    /// The ladder: with hooks, then without. Each rung asks the lock first, and looks whether it is needed.
    pub(super) async fn roll_back(&mut self, record: &mut Record) -> Result<Signal, ReleaseError> {
        let cx = self.cx;
        let back =
            record.back.clone().ok_or_else(|| ReleaseError::Bug("nowhere to go back to".to_owned()))?;
        self.back_since.get_or_insert_with(Instant::now);
        let same = match cx.helm.manifest(&cx.release, back.to).await {
            Ok(manifest) => digest(&manifest) == back.manifest_sha256,
            Err(HelmError::Failed { said, .. }) if said.contains("not found") => false,
            // That nobody answers says nothing about the revision; the journal remembers what was to be done.
            Err(error) => return Err(error.into()),
        };
        if !same {
            record.because(&format!(
                "revision {} is not there any more, or not as it was when it was proven good",
                back.to
            ));
            return Ok(Signal::Blocked);
        }
        for hooks in [true, false] {
            let newest = self.newest().await?;
            // An earlier run may have come so far and no further.
            let made = newest.number == record.revision && newest.rollback_revision == Some(back.to);
            if made && newest.status == Status::Deployed {
                record.revision = newest.number;
                record.applied.clear();
                record.back = Some(Back { arrived: true, ..back });
                return Ok(Signal::Done);
            }
            record.revision = newest.number + 1;
            self.lock.check().await?;
            self.journal.write(record.clone()).await?;
            cx.tell.line(&format!("rolling back to revision {} (as revision {})", back.to, record.revision));
            match cx.helm.rollback(&cx.release, back.to, hooks, cx.env.budgets.apply).await {
                Ok(()) => {
                    record.applied = prove::marks(cx, &self.objects(record.revision).await?).await?;
                    record.back = Some(Back { arrived: true, ..back });
                    return Ok(Signal::Done);
                }
                Err(HelmError::Failed { said, .. }) => {
                    cx.tell.line(&format!("the rollback failed: {said}"));
                    record.because(&format!("the rollback to revision {} failed: {said}", back.to));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Signal::Bad)
    }

    pub(super) async fn verify(&mut self, record: &mut Record) -> Result<Signal, ReleaseError> {
        let cx = self.cx;
        let began = *self.back_since.get_or_insert_with(Instant::now);
        let back =
            record.back.clone().ok_or_else(|| ReleaseError::Bug("nowhere to go back to".to_owned()))?;
        let objects = self.objects(record.revision).await?;
        let record_to = self.recording(record);
        let asked = prove::Asked {
            objects: &objects,
            applied: &record.applied,
            // Its images were there when it was proven.
            images_proven: true,
            budget: cx.env.budgets.watch,
            soak: Duration::ZERO,
            record: record_to,
        };
        let watched = tokio::select! {
            watched = prove::watch(cx, asked) => watched?,
            error = self.unstick(&objects) => return Err(error),
        };
        let failed = match watched {
            Seen::Good => prove::smoke(cx, &objects).await?.err(),
            Seen::Bad(fault) => Some(fault),
            Seen::Superseded(what) => {
                record.because(&format!("superseded while the rollback was verified: {what}"));
                return Ok(Signal::Superseded);
            }
        };
        if let Some(fault) = failed {
            record.because(&format!("revision {} runs again and is not well: {}", back.to, fault));
            return Ok(Signal::Bad);
        }
        self.verified = Some(began.elapsed());
        if back.asked {
            // It was watched and asked like any release.
            *record = committed(record.clone());
        } else if let Some(good) = &mut record.last_good {
            // The same manifest under a new number; Helm forgets the old one some day.
            good.revision = record.revision;
        }
        Ok(Signal::Done)
    }

    /// Removes pods of bad revisions that keep a StatefulSet from going back: its controller waits for each pod to become ready before
    /// it replaces the next one, and these never do (kubernetes#67250). Ends only with an error.
    async fn unstick(&self, objects: &[Object]) -> ReleaseError {
        let sets: Vec<&Object> = prove::workloads(objects)
            .filter(|(kind, _)| *kind == WorkloadKind::StatefulSet)
            .map(|(_, object)| object)
            .collect();
        if sets.is_empty() {
            return std::future::pending().await;
        }
        loop {
            for set in &sets {
                if let Err(error) = self.unstick_one(set).await {
                    return error;
                }
            }
            sleep(LOOK).await;
        }
    }

    async fn unstick_one(&self, set: &Object) -> Result<(), ReleaseError> {
        let cx = self.cx;
        let live = cx.cluster.workload(&cx.namespace, WorkloadKind::StatefulSet, &set.name).await?;
        if live.observed < live.generation || live.kept > 0 {
            return Ok(());
        }
        let pods = cx.cluster.pods(&cx.namespace).await?;
        let stuck = pods.iter().filter(|pod| {
            pod.owner == live.id.uid && pod.revision != live.newest && !pod.ending && !pod.is_ready()
        });
        for pod in stuck {
            self.lock.check().await?;
            cx.tell.line(&format!("removing the pod {}, which its StatefulSet waits for", pod.id.name));
            cx.cluster.remove_pod(&cx.namespace, &pod.id).await?;
        }
        Ok(())
    }
}

/// Where going back leads, or why it must not happen by itself.
pub(super) fn way_back(record: &Record) -> Result<Back, String> {
    if let Some(why) = &record.wanted.irreversible {
        return Err(format!(
            "the chart says that it cannot be undone ({why}): mend it forward, or `cargo xtask rollback` if you know better"
        ));
    }
    let Some(good) = &record.last_good else {
        return Err("there is no earlier release that was proven good; it is left as it is, to be looked at"
            .to_owned());
    };
    if good.wanted.hooks_before_rollback {
        return Err(format!(
            "revision {} has hooks that run before a rollback, with the old image: `cargo xtask rollback` if that is right",
            good.revision
        ));
    }
    Ok(Back {
        to: good.revision,
        manifest_sha256: good.wanted.manifest_sha256.clone(),
        asked: false,
        arrived: false,
    })
}
