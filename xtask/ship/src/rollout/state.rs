//! A rollout as one pure function: `state × sighting → state`, and the verdict that follows. No clock, no cluster: time comes in with
//! each sighting, so a recording gives the same verdict again.
//!
//! Which pods count is in `newest`, what is wrong with them in `look`, when all is as it should be in `whole`.

use crate::rollout::look::{Fault, given_up};
use crate::rollout::nodes::Nodes;
use crate::rollout::rules::Rule;
use crate::rollout::seen::{
    Event, Kind, Millis, Pod, ReplicaSet, Revision, Seen, What, Workload, WorkloadKind,
};
use crate::rollout::signs::Memory;
use crate::rollout::target::{Expected, Failure, Proof, Superseded, Target, Verdict};
use crate::rollout::whole;
use std::collections::{BTreeMap, BTreeSet};
use xtask_core::ids::sha256;

/// All that is known of a rollout.
#[derive(Debug, Clone)]
pub struct State {
    pub(super) target: Target,
    pub(super) now: Millis,
    pub(super) workloads: Vec<Watched>,
    /// By the Deployment they belong to.
    pub(super) sets: BTreeMap<String, BTreeMap<String, ReplicaSet>>,
    /// By the DaemonSet they belong to.
    pub(super) revisions: BTreeMap<String, BTreeMap<String, Revision>>,
    /// By the ReplicaSet or the workload they belong to.
    pub(super) pods: BTreeMap<String, BTreeMap<String, Pod>>,
    pub(super) memories: BTreeMap<String, Memory>,
    /// How often each event about a workload had been told when it was first heard.
    told: BTreeMap<String, u32>,
    /// What must have been listed once before anything is said.
    kinds: BTreeSet<Kind>,
    listed: BTreeSet<Kind>,
    gone: BTreeSet<String>,
    pub(super) nodes: Nodes,
    pub(super) signs: Vec<Fault>,
    soak: Option<Soak>,
    decided: Option<Verdict>,
}

/// A workload of the target, and what was seen of it.
#[derive(Debug, Clone)]
pub(super) struct Watched {
    pub(super) expected: Expected,
    pub(super) seen: Option<Workload>,
    /// Its identity and specification when it was ours.
    pinned: Option<(String, String)>,
    /// When the controller had given up on an earlier rollout.
    pub(super) given_up_before: Option<String>,
    /// Since when pods of it may not be created, and why.
    pub(super) not_created: Option<(Millis, String)>,
    pub(super) changed: Millis,
    /// A Job that had ended well when it was removed.
    pub(super) ended: bool,
}

/// The time since which all was ready.
#[derive(Debug, Clone)]
struct Soak {
    since: Millis,
    crashes: u32,
    pods: BTreeSet<String>,
}

impl State {
    /// Before anything was seen.
    pub fn new(target: Target) -> Self {
        let workloads = target.workloads.iter().map(|expected| Watched {
            expected: expected.clone(),
            seen: None,
            pinned: None,
            given_up_before: None,
            not_created: None,
            changed: 0,
            ended: false,
        });
        let workloads = workloads.collect();
        State {
            kinds: Kind::of(&target.kinds()),
            target,
            now: 0,
            workloads,
            sets: BTreeMap::new(),
            revisions: BTreeMap::new(),
            pods: BTreeMap::new(),
            memories: BTreeMap::new(),
            told: BTreeMap::new(),
            listed: BTreeSet::new(),
            gone: BTreeSet::new(),
            nodes: Nodes::default(),
            signs: Vec::new(),
            soak: None,
            decided: None,
        }
    }

    /// What is known after one more sighting. A verdict, once given, stays.
    #[must_use]
    pub fn step(mut self, seen: &Seen) -> State {
        self.now = self.now.max(seen.at);
        let superseded = match &seen.what {
            What::Workload(workload) => self.workload(workload),
            What::ReplicaSet(set) => {
                self.set(set);
                None
            }
            What::Revision(revision) => {
                self.revision(revision);
                None
            }
            What::Pod(pod) => {
                self.pod(pod);
                None
            }
            What::Event(event) => {
                self.event(event);
                None
            }
            What::Node(node) => {
                self.nodes.see(node);
                None
            }
            What::Gone { kind, uid } => self.remove(*kind, uid),
            What::Relisted { kind, version, uids } => self.relisted(*kind, *version, uids),
            What::Tick => None,
        };
        self.signs = self.look();
        self.soak();
        if self.decided.is_none() {
            self.decided = superseded
                .or_else(|| self.foreign_image())
                .map(Verdict::Superseded)
                .or_else(|| self.decide());
        }
        self
    }

    /// The verdict by now.
    pub fn verdict(&self) -> Verdict {
        self.decided.clone().unwrap_or(Verdict::Watching)
    }

    /// All signs that are there now, whether they decide or not.
    pub fn faults(&self) -> &[Fault] {
        &self.signs
    }

    /// What it waits for, in one line.
    pub fn waits_for(&self) -> String {
        if !self.is_listed() {
            return "reading what is there".to_owned();
        }
        let open = self.workloads.iter().filter(|watched| !whole::is_ready(self, watched));
        let mut lines: Vec<String> = open.map(|watched| whole::progress(self, watched)).collect();
        if let Some(more) = lines.len().checked_sub(3).filter(|more| *more > 0) {
            lines.truncate(3);
            lines.push(format!("{more} more workloads"));
        }
        let sign = self.signs.iter().filter(|sign| sign.rule < Rule::F13).max_by_key(|sign| sign.due);
        lines.extend(
            sign.map(|sign| format!("{} {} ({}: {})", sign.object, sign.message, sign.rule, sign.progress)),
        );
        match (lines.is_empty(), &self.soak) {
            (true, Some(_)) => format!("all is ready, and must stay so for {} s", self.target.soak_ms / 1000),
            (true, None) => "all is ready".to_owned(),
            (false, _) => lines.join("; "),
        }
    }

    fn workload(&mut self, new: &Workload) -> Option<Superseded> {
        let now = self.now;
        let stale = self.gone.contains(&new.id.uid);
        let watched = self.workloads.iter_mut().find(|watched| watched.expected.is(new))?;
        let older = |old: &Workload| old.id.uid == new.id.uid && old.id.version > new.id.version;
        if stale || watched.seen.as_ref().is_some_and(older) {
            return None;
        }
        let by = watched.changed_by(new);
        if watched.seen.is_none() {
            watched.given_up_before = given_up(new).map(|condition| condition.since.clone());
        }
        let counts = |it: &Workload| (it.observed, it.wanted, it.total, it.updated, it.ready, it.available);
        if watched.seen.as_ref().map(counts) != Some(counts(new)) {
            watched.changed = now;
        }
        watched.seen = Some(new.clone());
        by.map(|by| Superseded { workload: watched.expected.title(), by, decided_ms: now })
    }

    fn set(&mut self, new: &ReplicaSet) {
        let sets = self.sets.entry(new.owner.clone()).or_default();
        let old = sets.get(&new.id.uid);
        if self.gone.contains(&new.id.uid) || old.is_some_and(|old| old.id.version > new.id.version) {
            return;
        }
        let changed = old.is_none_or(|old| (old.wanted, old.total) != (new.wanted, new.total));
        sets.insert(new.id.uid.clone(), new.clone());
        if changed {
            self.changed(&new.owner.clone());
        }
    }

    fn revision(&mut self, new: &Revision) {
        if !self.gone.contains(&new.id.uid) {
            let of = self.revisions.entry(new.owner.clone()).or_default();
            of.insert(new.id.uid.clone(), new.clone());
        }
    }

    fn pod(&mut self, new: &Pod) {
        let pods = self.pods.entry(new.owner.clone()).or_default();
        let old = pods.get(&new.id.uid);
        if self.gone.contains(&new.id.uid) || old.is_some_and(|old| old.id.version > new.id.version) {
            return;
        }
        let differs = |old: &Pod| old.containers != new.containers || old.conditions != new.conditions;
        let changed = old.is_none_or(differs);
        self.memories.entry(new.id.uid.clone()).or_default().pod(new, self.now, old.is_none());
        pods.insert(new.id.uid.clone(), new.clone());
        if changed {
            self.pod_moves(&new.owner);
        }
    }

    fn event(&mut self, event: &Event) {
        if event.object.starts_with("Pod/") && !self.gone.contains(&event.about) {
            self.memories.entry(event.about.clone()).or_default().event(event, self.now);
            let mut pods = self.pods.values().filter_map(|pods| pods.get(&event.about));
            // A node that is coming is movement, though no status shows it.
            if event.reason == "TriggeredScaleUp"
                && let Some(set) = pods.next().map(|pod| pod.owner.clone())
            {
                self.pod_moves(&set);
            }
        }
        if event.reason == "FailedCreate" {
            self.failed_create(event);
        }
    }

    /// Its pods may not be created. ReplicaSets say so in a condition; of other workloads only events tell, and those of an earlier
    /// rollout are still there: what counts is told while it is watched, or told again.
    fn failed_create(&mut self, event: &Event) {
        let listed = self.is_listed();
        let before = self.told.get(&event.uid).copied();
        if before.is_none() {
            self.told.insert(event.uid.clone(), event.count);
        }
        let news = before.map_or(listed, |before| event.count > before);
        let about = |watched: &&mut Watched| watched.seen.as_ref().is_some_and(|it| it.id.uid == event.about);
        if let (true, Some(watched)) = (news, self.workloads.iter_mut().find(about)) {
            let since = watched.not_created.as_ref().map_or(self.now, |(since, _)| *since);
            watched.not_created = Some((since, event.message.clone()));
        }
    }

    /// A pod moves that belongs to this ReplicaSet or workload.
    fn pod_moves(&mut self, owner: &str) {
        let through = self.sets.iter().find(|(_, sets)| sets.contains_key(owner));
        let uid = through.map_or(owner, |(uid, _)| uid).to_owned();
        self.changed(&uid);
    }

    /// Something of the workload with this identity moves.
    fn changed(&mut self, uid: &str) {
        let now = self.now;
        let is = |watched: &&mut Watched| watched.seen.as_ref().is_some_and(|seen| seen.id.uid == uid);
        if let Some(watched) = self.workloads.iter_mut().find(is) {
            watched.changed = now;
        }
    }

    fn remove(&mut self, kind: Kind, uid: &str) -> Option<Superseded> {
        self.gone.insert(uid.to_owned());
        match kind {
            Kind::Workload(_) => {
                let is =
                    |watched: &&mut Watched| watched.pinned.as_ref().is_some_and(|(pinned, _)| pinned == uid);
                let watched = self.workloads.iter_mut().find(is)?;
                // A Job may remove itself when it has ended.
                watched.ended = watched.seen.take().is_some_and(|seen| seen.has_ended_well());
                let workload = watched.expected.title();
                let by = "it was deleted".to_owned();
                (!watched.ended).then_some(Superseded { workload, by, decided_ms: self.now })
            }
            Kind::ReplicaSet => {
                self.sets.values_mut().for_each(|sets| drop(sets.remove(uid)));
                None
            }
            Kind::Revision => {
                self.revisions.values_mut().for_each(|revisions| drop(revisions.remove(uid)));
                None
            }
            Kind::Pod => {
                self.pods.values_mut().for_each(|pods| drop(pods.remove(uid)));
                self.memories.remove(uid);
                None
            }
        }
    }

    fn relisted(&mut self, kind: Kind, version: u64, uids: &[String]) -> Option<Superseded> {
        self.listed.insert(kind);
        let uids: BTreeSet<&str> = uids.iter().map(String::as_str).collect();
        let known: Vec<(&str, u64)> = match kind {
            Kind::Workload(kind) => {
                let seen = self.workloads.iter().filter_map(|watched| watched.seen.as_ref());
                let seen = seen.filter(|seen| seen.kind == kind);
                seen.map(|seen| (seen.id.uid.as_str(), seen.id.version)).collect()
            }
            Kind::ReplicaSet => {
                self.sets.values().flatten().map(|(uid, set)| (uid.as_str(), set.id.version)).collect()
            }
            Kind::Revision => {
                self.revisions.values().flatten().map(|(uid, it)| (uid.as_str(), it.id.version)).collect()
            }
            Kind::Pod => {
                self.pods.values().flatten().map(|(uid, pod)| (uid.as_str(), pod.id.version)).collect()
            }
        };
        // What is newer than the list came while it was made.
        let lost = known.into_iter().filter(|(uid, seen)| *seen <= version && !uids.contains(uid));
        let lost: Vec<String> = lost.map(|(uid, _)| uid.to_owned()).collect();
        lost.iter().fold(None, |superseded, uid| superseded.or(self.remove(kind, uid)))
    }

    /// Keeps the time since which all was ready.
    fn soak(&mut self) {
        // Pods of Jobs are to end.
        let lasting = self.workloads.iter().filter(|watched| watched.expected.kind != WorkloadKind::Job);
        let pods: Vec<&Pod> = lasting.filter_map(|watched| self.newest_pods(watched)).flatten().collect();
        let crashes = pods.iter().filter_map(|pod| self.memories.get(&pod.id.uid)).map(Memory::crashes).sum();
        let whole = self.is_listed() && self.workloads.iter().all(|watched| whole::is_ready(self, watched));
        let ready: BTreeSet<String> =
            pods.iter().filter(|pod| pod.is_ready()).map(|pod| pod.id.uid.clone()).collect();
        // An autoscaler may add and remove pods meanwhile; one that was ready and is not any more begins the soak anew.
        let broken = self.soak.as_ref().is_some_and(|soak| {
            crashes > soak.crashes
                || pods.iter().any(|pod| soak.pods.contains(&pod.id.uid) && !ready.contains(&pod.id.uid))
        });
        if broken {
            self.soak = None;
        }
        match &mut self.soak {
            Some(soak) => soak.pods.extend(ready),
            None if whole => self.soak = Some(Soak { since: self.now, crashes, pods: ready }),
            None => {}
        }
    }

    /// Whether everything was listed once. Before that, what is missing may only not have been heard of.
    fn is_listed(&self) -> bool {
        self.kinds.is_subset(&self.listed)
    }

    fn decide(&self) -> Option<Verdict> {
        let bad = self.signs.iter().find(|fault| fault.due && self.weighs(fault));
        if let Some(fault) = bad {
            return Some(self.bad(fault.clone()));
        }
        let whole = self.workloads.iter().all(|watched| whole::is_available(self, watched));
        if let Some(soak) =
            self.soak.as_ref().filter(|soak| whole && self.now >= soak.since + self.target.soak_ms)
        {
            let workloads = self.workloads.iter().filter_map(|watched| whole::proven(self, watched));
            let workloads = workloads.collect();
            return Some(Verdict::Good(Proof { workloads, complete_ms: soak.since, decided_ms: self.now }));
        }
        if self.now >= self.target.budget_ms {
            let open = self.workloads.iter().find(|watched| !whole::is_available(self, watched));
            let title = open.or(self.workloads.first()).map(|watched| watched.expected.title());
            let title = title.unwrap_or_default();
            let message =
                format!("is not good after {} s: {}", self.target.budget_ms / 1000, self.waits_for());
            let sign = self.signs.first();
            let visible = sign.map_or(0, |sign| sign.visible_ms);
            let fault = self.fault(&title, Rule::F15, visible, (Rule::F15.grace(), self.now, 1), message);
            return Some(self.bad(Fault { log_hint: sign.and_then(|sign| sign.log_hint.clone()), ..fault }));
        }
        None
    }

    fn bad(&self, fault: Fault) -> Verdict {
        let Fault { rule, workload, object, message, visible_ms, log_hint, .. } = fault;
        Verdict::Bad(Failure { rule, workload, object, message, log_hint, visible_ms, decided_ms: self.now })
    }

    /// A pod of the newest revision that is meant to run another image than the one that was applied.
    fn foreign_image(&self) -> Option<Superseded> {
        self.workloads.iter().find_map(|watched| {
            let by = whole::foreign_image(self, watched)?;
            Some(Superseded { workload: watched.expected.title(), by, decided_ms: self.now })
        })
    }
}

impl Watched {
    /// What was seen of it, once it is as it was applied and its controller has acted on it.
    pub(super) fn observed(&self) -> Option<&Workload> {
        self.seen.as_ref().filter(|seen| self.is_observed(seen))
    }

    fn is_observed(&self, seen: &Workload) -> bool {
        self.pinned.is_some() && seen.observed >= seen.generation
    }

    /// Remembers the workload when it is ours, and says what has changed it since.
    fn changed_by(&mut self, new: &Workload) -> Option<String> {
        let other =
            || Some(format!("its specification was changed: it is generation {} now", new.generation));
        match &self.pinned {
            None if self.expected.generation.is_some_and(|applied| new.generation < applied) => None,
            // Whoever came in between before anything was seen.
            None if self.expected.spec.as_ref().is_some_and(|spec| *spec != sha256(new.spec.as_bytes())) => {
                other()
            }
            None => {
                self.pinned = Some((new.id.uid.clone(), new.spec.clone()));
                None
            }
            Some((uid, _)) if *uid != new.id.uid => Some("it was deleted and made again".to_owned()),
            Some((_, spec)) if *spec != new.spec => other(),
            Some(_) => None,
        }
    }
}
