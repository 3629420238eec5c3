//! The way back: the ladder of a rollback, and whether what it leads to is well. Each rung asks the lock first, is named in the journal
//! before it is tried, and can be tried again by whoever comes after a killed run.

use super::drive::{Drive, committed};
use super::error::ReleaseError;
use super::facts;
use super::journal::{Back, Record, Rung};
use super::objects::{self, Object};
use super::phase::Signal;
use super::prove::{self, Answered, Seen};
use super::trial::{Trial, Tried};
use crate::cluster::ClusterError;
use crate::helm::{HelmError, Status, digest};
use crate::rollout::seen::{Pod, Workload, WorkloadKind};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How often it is looked whether a pod stands in the way.
const LOOK: Duration = Duration::from_secs(1);

impl Drive<'_> {
    /// Climbs the ladder: Helm, Helm without hooks, the objects without Helm, and at last a freeze, from which only a person leads on.
    /// Whoever comes after a killed run begins at its foot again: each rung looks first whether it is needed.
    pub(super) async fn roll_back(&mut self, record: &mut Record) -> Result<Signal, ReleaseError> {
        let cx = self.cx;
        let back =
            record.back.clone().ok_or_else(|| ReleaseError::Bug("nowhere to go back to".to_owned()))?;
        self.back_since.get_or_insert_with(Instant::now);
        let manifest = match cx.helm.manifest(&cx.release, back.to).await {
            Ok(manifest) => Some(manifest).filter(|manifest| digest(manifest) == back.manifest_sha256),
            Err(HelmError::Failed { said, .. }) if said.contains("not found") => None,
            // That nobody answers says nothing about the revision; the journal remembers what was to be done.
            Err(error) => return Err(error.into()),
        };
        let Some(manifest) = manifest else {
            record.because(&format!(
                "revision {} is not there any more, or not as it was when it was proven good",
                back.to
            ));
            return Ok(Signal::Blocked);
        };
        let objects = objects::read("get manifest", &manifest)?;
        for rung in [Rung::Helm, Rung::HelmWithoutHooks] {
            if self.by_helm(record, rung).await? {
                return self.arrived(record, &objects, false).await;
            }
        }
        let (left, others) = self.put_back(record, &objects).await?;
        if left.is_empty() {
            // What stood in Helm's way may be gone by now; then its own record is right again.
            let repaired = self.by_helm(record, Rung::Objects).await?;
            if !repaired {
                let newest = self.newest().await?;
                if newest.status.is_pending() {
                    self.lock.check().await?;
                    facts::forget_pending(cx, newest.number).await?;
                }
                record.revision = self.newest().await?.number;
                if let (Some(Back { helm_said: Some(said), .. }), false) =
                    (&mut record.back, others.is_empty())
                {
                    said.push_str(&format!("; the cluster refuses {}, too", others.join(" and ")));
                }
            }
            return self.arrived(record, &objects, !repaired).await;
        }
        self.freeze(record, &left).await?;
        Ok(Signal::Bad)
    }

    /// The cluster has gone back. Whoever looks at it now sees what was meant.
    async fn arrived(
        &mut self,
        record: &mut Record,
        objects: &[Object],
        restored: bool,
    ) -> Result<Signal, ReleaseError> {
        self.thaw(record).await?;
        record.applied = prove::marks(self.cx, objects).await?;
        record.back = record.back.take().map(|back| Back { arrived: true, restored, ..back });
        Ok(Signal::Done)
    }

    /// Says in the journal what is tried next.
    async fn step_on(&mut self, record: &mut Record, rung: Rung) -> Result<(), ReleaseError> {
        record.back = record.back.take().map(|back| Back { rung, ..back });
        self.lock.check().await?;
        self.journal.write(record.clone()).await
    }

    /// Has Helm go back, and says whether it has.
    async fn by_helm(&mut self, record: &mut Record, rung: Rung) -> Result<bool, ReleaseError> {
        let cx = self.cx;
        let to = record.back.as_ref().map_or(0, |back| back.to);
        let newest = self.newest().await?;
        // An earlier run may have come so far and no further.
        let made = newest.number == record.revision && newest.rollback_revision == Some(to);
        if made && newest.status == Status::Deployed {
            return Ok(true);
        }
        record.revision = newest.number + 1;
        self.step_on(record, rung).await?;
        cx.tell.line(&format!("rolling back to revision {to} (as revision {})", record.revision));
        match cx.helm.rollback(&cx.release, to, rung == Rung::Helm, cx.env.budgets.apply).await {
            Ok(()) => Ok(true),
            Err(HelmError::Failed { said, .. }) => {
                cx.tell.line(&format!("the rollback failed: {said}"));
                record.back = record.back.take().map(|back| Back { helm_said: Some(said), ..back });
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Puts the objects back without Helm, as far as the cluster takes them. Gives the workloads that it refuses, and why; and what else
    /// it refuses, by which the watch will not be misled. What a Job does has been done, and its template cannot be changed.
    async fn put_back(
        &mut self,
        record: &mut Record,
        objects: &[Object],
    ) -> Result<(Vec<(Object, String)>, Vec<String>), ReleaseError> {
        let cx = self.cx;
        self.step_on(record, Rung::Objects).await?;
        cx.tell.line("putting the last good release back without Helm");
        let mut trial = Trial::new(cx);
        let (mut left, mut others) = (Vec::new(), Vec::new());
        for object in objects.iter().filter(|object| object.kind != "Job") {
            self.lock.check().await?;
            if let Err(why) = trial.restore(object).await? {
                cx.tell.line(&format!("the cluster refuses {}: {why}", object.title()));
                match object.workload() {
                    Some(_) => left.push((object.clone(), why)),
                    None => others.push(object.title()),
                }
            }
        }
        Ok((left, others))
    }

    /// Whether the last good release runs again, and is well.
    pub(super) async fn verify(&mut self, record: &mut Record) -> Result<Signal, ReleaseError> {
        let cx = self.cx;
        let began = *self.back_since.get_or_insert_with(Instant::now);
        let back =
            record.back.clone().ok_or_else(|| ReleaseError::Bug("nowhere to go back to".to_owned()))?;
        // What was put back without Helm is in no newer revision.
        let revision = if back.restored { back.to } else { record.revision };
        let objects = self.objects(revision).await?;
        let record_to = self.recording(record);
        let asked = prove::Watched {
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
        let answered = match watched {
            Seen::Good => prove::smoke(cx, &objects, &record.applied).await?,
            Seen::Bad(fault) => Answered::Wrong(fault),
            Seen::Superseded(what) => Answered::Superseded(what),
        };
        match answered {
            Answered::Right(_) => {}
            Answered::Wrong(fault) => {
                record.because(&format!("revision {} runs again and is not well: {}", back.to, fault));
                return Ok(Signal::Bad);
            }
            Answered::Superseded(what) => {
                record.because(&format!("superseded while the rollback was verified: {what}"));
                return Ok(Signal::Superseded);
            }
        }
        self.verified = Some(began.elapsed());
        if back.restored {
            record.revision = back.to;
        }
        if back.asked {
            // It was watched and asked like any release.
            *record = committed(record.clone());
        } else if let Some(good) = &mut record.last_good {
            // The same manifest under a new number; Helm forgets the old one some day.
            good.revision = record.revision;
        }
        Ok(Signal::Done)
    }

    /// Whether the cluster would take the last good release as things are now; what was so before the release may not be so any more.
    pub(super) async fn still_taken(&self, back: Back) -> Result<Result<Back, String>, ReleaseError> {
        let objects = match self.cx.helm.manifest(&self.cx.release, back.to).await {
            Ok(manifest) => objects::read("get manifest", &manifest)?,
            // The first rung says so, and why that is the end.
            Err(HelmError::Failed { .. }) => return Ok(Ok(back)),
            Err(error) => return Err(error.into()),
        };
        let refusal = Trial::new(self.cx).all(&objects).await?.iter().find_map(Tried::refusal);
        Ok(match refusal {
            None => Ok(back),
            Some((object, why)) => {
                Err(format!("the cluster refuses {object} of revision {}: {why}", back.to))
            }
        })
    }

    /// Removes pods of bad revisions that keep a StatefulSet from going back: its controller waits for each pod to become ready before
    /// it replaces the next one, and these never do (kubernetes#67250). Ends only when the lock is lost.
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
                match self.unstick_one(set).await {
                    Ok(()) => {}
                    Err(ReleaseError::Cluster(error @ ClusterError::Refused { .. })) => {
                        self.cx.tell.line(&format!("{error}; the watch decides without it"));
                        return std::future::pending().await;
                    }
                    // The watch says so, too, and knows for how long that may be.
                    Err(ReleaseError::Cluster(_)) => {}
                    Err(error) => return error,
                }
            }
            sleep(LOOK).await;
        }
    }

    async fn unstick_one(&self, set: &Object) -> Result<(), ReleaseError> {
        let cx = self.cx;
        let live = cx.cluster.workload(&cx.namespace, WorkloadKind::StatefulSet, &set.name).await?;
        if live.observed < live.generation {
            return Ok(());
        }
        let pods = cx.cluster.pods(&cx.namespace).await?;
        for pod in pods.iter().filter(|pod| is_stuck(&live, pod)) {
            self.lock.check().await?;
            cx.tell.line(&format!("removing the pod {}, which its StatefulSet waits for", pod.id.name));
            cx.cluster.remove_pod(&cx.namespace, &pod.id).await?;
        }
        Ok(())
    }
}

/// Whether a StatefulSet would replace this pod, and waits for it instead. Below its partition it replaces none.
fn is_stuck(set: &Workload, pod: &Pod) -> bool {
    let ordinal = pod.id.name.rsplit('-').next().and_then(|number| number.parse::<u32>().ok());
    pod.owner == set.id.uid
        && pod.revision != set.newest
        && !pod.ending
        && !pod.is_ready()
        && ordinal.is_some_and(|ordinal| ordinal >= set.kept)
}

/// Where going back leads, or why it must not happen by itself.
pub(crate) fn way_back(record: &Record) -> Result<Back, String> {
    if let Some(why) = &record.wanted.irreversible {
        return Err(format!("the chart says that it cannot be undone ({why})"));
    }
    let Some(good) = &record.last_good else {
        return Err("there is no earlier release that was proven good; it is left as it is, to be looked at"
            .to_owned());
    };
    if good.wanted.hooks_before_rollback {
        return Err(format!(
            "revision {} has hooks that run before a rollback, with the old image",
            good.revision
        ));
    }
    if let (Some(old), Some(new)) = (&good.wanted.crds, &record.wanted.crds)
        && old != new
    {
        return Err(format!(
            "kinds (CustomResourceDefinitions) are not those of revision {}, and objects of them may not survive going back",
            good.revision
        ));
    }
    Ok(Back::to(good.revision, good.wanted.manifest_sha256.clone(), false))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::journal::Wanted;
    use crate::release::journal::tests::record;
    use crate::rollout::seen::{Condition, Identity};

    #[test]
    fn only_pods_that_their_stateful_set_would_replace_and_waits_for_are_removed() {
        let id = |name: &str| Identity { name: name.to_owned(), uid: name.to_owned(), version: 1 };
        let set = Workload { id: id("db"), newest: "good".to_owned(), wanted: 3, ..Workload::default() };
        let pod = |name: &str| Pod {
            id: id(name),
            owner: "db".to_owned(),
            revision: "bad".to_owned(),
            ..Pod::default()
        };
        assert!(is_stuck(&set, &pod("db-2")));
        let ready = vec![Condition { kind: "Ready".into(), status: "True".into(), ..Condition::default() }];
        for other in [
            Pod { revision: "good".to_owned(), ..pod("db-2") },
            Pod { owner: "other".to_owned(), ..pod("db-2") },
            Pod { ending: true, ..pod("db-2") },
            Pod { conditions: ready, ..pod("db-2") },
        ] {
            assert!(!is_stuck(&set, &other), "{other:?}");
        }
        let parted = Workload { kept: 2, ..set.clone() };
        assert!(is_stuck(&parted, &pod("db-2")) && !is_stuck(&parted, &pod("db-1")));
        assert!(
            !is_stuck(&Workload { kept: 3, ..set }, &pod("db-2")),
            "they wait for somebody to delete them"
        );
    }

    #[test]
    fn nothing_goes_back_by_itself_where_that_could_do_harm() {
        assert_eq!(way_back(&record()), Ok(Back::to(7, "aa".into(), false)));
        type Change = fn(&mut Record);
        let table: [(Change, &str); 4] = [
            (|it| it.wanted.irreversible = Some("drops a column".into()), "drops a column"),
            (|it| it.last_good = None, "no earlier release"),
            (|it| it.last_good.as_mut().unwrap().wanted.hooks_before_rollback = true, "hooks"),
            (|it| it.wanted.crds = Some("dd".into()), "CustomResourceDefinitions"),
        ];
        for (change, words) in table {
            let mut record = record();
            change(&mut record);
            let why = way_back(&record).unwrap_err();
            assert!(why.contains(words), "{why}");
        }
        let unknown = Record { wanted: Wanted { crds: None, ..record().wanted }, ..record() };
        assert!(way_back(&unknown).is_ok(), "a journal from before kinds were looked at");
    }
}
