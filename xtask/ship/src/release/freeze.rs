//! The last rung: nothing leads back, so nothing more goes forward. The Deployment is paused and its bad ReplicaSet emptied, where older
//! pods serve in its place; a person leads on from there, and [`Drive::thaw`] undoes it as soon as something does.

use super::drive::Drive;
use super::error::ReleaseError;
use super::journal::{Back, Record, Rung};
use super::objects::Object;
use crate::cluster::ClusterError;
use crate::rollout::seen::{Pod, ReplicaSet, Workload, WorkloadKind};
use std::time::Duration;
use tokio::time::sleep;

/// Between two looks whether a Deployment's controller has heard of a pause.
const LOOK: Duration = Duration::from_millis(200);
/// How often it is looked.
const LOOKS: u32 = 25;

/// What a cluster said is cut to this, so that a journal has room for what can be chosen from.
const MOST_WHY: usize = 300;

/// What is done to a Deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Freeze {
    /// So many older pods serve; this ReplicaSet is emptied.
    Empty { set: String, serving: usize },
    /// It is left as it is.
    Leave(&'static str),
}

/// Decides. Only a set whose pods others can stand in for is emptied.
fn judge(live: &Workload, sets: &[ReplicaSet], pods: &[Pod]) -> Freeze {
    let own = || sets.iter().filter(|set| set.owner == live.id.uid);
    let Some(newest) = own().find(|set| set.revision == live.revision) else {
        return Freeze::Leave("its newest ReplicaSet is not known");
    };
    let older = |pod: &&Pod| own().any(|set| set.id.uid == pod.owner && set.id.uid != newest.id.uid);
    match pods.iter().filter(older).filter(|pod| pod.is_ready()).count() {
        0 => Freeze::Leave("no older pod of it serves"),
        serving => Freeze::Empty { set: newest.id.name.clone(), serving },
    }
}

impl Drive<'_> {
    /// Freezes what could not be put back, and leaves word of what was done and what to choose from.
    pub(super) async fn freeze(
        &mut self,
        record: &mut Record,
        left: &[(Object, String)],
    ) -> Result<(), ReleaseError> {
        let mut done = Vec::new();
        for (object, why) in left {
            let what = match object.workload() {
                Some(WorkloadKind::Deployment) => self.freeze_one(record, &object.name).await?,
                _ => "left as it is".to_owned(),
            };
            let why = &why[..why.floor_char_boundary(MOST_WHY.min(why.len()))];
            done.push(format!("{}: {what} (the cluster refuses to take it back: {why})", object.title()));
        }
        let env = &self.cx.env_name;
        let to = record.back.as_ref().map_or(0, |back| back.to);
        let why = record.reason.clone().unwrap_or_default();
        let said = record.back.as_ref().and_then(|back| back.helm_said.clone()).unwrap_or_default();
        // What can be chosen comes first: a journal cuts what is too long.
        record.because(&format!(
            "nothing led back to revision {to}. When what stands in the way is gone, `cargo xtask rollback --env {env}` goes back and \
             `cargo xtask recover --env {env} --resume` goes on with what was released; either ends a freeze. {}. ({why}; Helm: {said})",
            done.join("; "),
        ));
        Ok(())
    }

    async fn freeze_one(&mut self, record: &mut Record, name: &str) -> Result<String, ReleaseError> {
        let cx = self.cx;
        let kind = WorkloadKind::Deployment;
        let live = match cx.cluster.workload(&cx.namespace, kind, name).await {
            Ok(live) => live,
            Err(ClusterError::Missing { .. }) => return Ok("it is not there".to_owned()),
            Err(error) => return Err(error.into()),
        };
        let (sets, pods) = (cx.cluster.replica_sets(&cx.namespace), cx.cluster.pods(&cx.namespace));
        let (set, serving) = match judge(&live, &sets.await?, &pods.await?) {
            Freeze::Empty { set, serving } => (set, serving),
            Freeze::Leave(why) => return Ok(format!("left as it is, because {why}")),
        };
        if !record.frozen.iter().any(|frozen| frozen == name) {
            record.frozen.push(name.to_owned());
        }
        record.back = record.back.take().map(|back| Back { rung: Rung::Freeze, ..back });
        self.lock.check().await?;
        self.journal.write(record.clone()).await?;
        if let Err(why) = cx.cluster.pause(&cx.namespace, name, true).await? {
            record.frozen.retain(|frozen| frozen != name);
            return Ok(format!("left as it is, because it cannot be paused: {why}"));
        }
        // A controller that has not heard of the pause would fill the set again.
        for _ in 0..LOOKS {
            let live = cx.cluster.workload(&cx.namespace, kind, name).await?;
            if live.observed >= live.generation {
                break;
            }
            sleep(LOOK).await;
        }
        self.lock.check().await?;
        let what = match cx.cluster.empty_set(&cx.namespace, &set).await? {
            Ok(()) => format!("paused, its ReplicaSet {set} emptied, {serving} older pods serve"),
            Err(why) => format!("paused; its ReplicaSet {set} cannot be emptied: {why}"),
        };
        cx.tell.line(&format!("FROZEN: Deployment {name}: {what}"));
        Ok(what)
    }

    /// Lets Deployments go on that were frozen, now that something leads on.
    pub(super) async fn thaw(&mut self, record: &mut Record) -> Result<(), ReleaseError> {
        let cx = self.cx;
        for name in std::mem::take(&mut record.frozen) {
            self.lock.check().await?;
            match cx.cluster.pause(&cx.namespace, &name, false).await {
                Ok(Ok(())) => cx.tell.line(&format!("the Deployment {name} may go on")),
                Ok(Err(why)) => {
                    let what = format!("let the Deployment {name} go on");
                    return Err(ClusterError::Refused { what, why }.into());
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::seen::{Condition, Identity};

    fn id(uid: &str) -> Identity {
        Identity { name: format!("hello-{uid}"), uid: uid.to_owned(), version: 1 }
    }

    fn set(uid: &str, owner: &str, revision: u64) -> ReplicaSet {
        ReplicaSet { id: id(uid), owner: owner.to_owned(), revision, ..ReplicaSet::default() }
    }

    fn pod(owner: &str, ready: bool) -> Pod {
        let status = if ready { "True" } else { "False" };
        let condition =
            Condition { kind: "Ready".to_owned(), status: status.to_owned(), ..Condition::default() };
        Pod { owner: owner.to_owned(), conditions: vec![condition], ..Pod::default() }
    }

    #[test]
    fn only_a_bad_set_is_emptied_and_only_while_older_pods_serve() {
        let live = Workload { id: id("d"), revision: 2, ..Workload::default() };
        let sets = [set("old", "d", 1), set("bad", "d", 2), set("strange", "other", 2)];
        let judge = |pods: &[Pod]| judge(&live, &sets, pods);
        let frozen = Freeze::Empty { set: "hello-bad".to_owned(), serving: 2 };
        assert_eq!(judge(&[pod("old", true), pod("old", true), pod("bad", false)]), frozen);
        for pods in [
            vec![],
            vec![pod("old", false), pod("bad", true)],
            vec![pod("strange", true)],
            vec![pod("bad", true)],
        ] {
            assert_eq!(judge(&pods), Freeze::Leave("no older pod of it serves"), "{pods:?}");
        }
        let newer = Workload { revision: 3, ..live.clone() };
        assert!(matches!(super::judge(&newer, &sets, &[pod("old", true)]), Freeze::Leave(_)));
    }
}
