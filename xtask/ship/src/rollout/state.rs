//! A rollout as one pure function: `state × sighting → state`, and the verdict that follows. No clock, no cluster: time comes in with
//! each sighting, so a recording gives the same verdict again.
//!
//! Only pods of the newest ReplicaSet count, and of them only those that neither end nor were put off their node nor are on one that is
//! lost: what an old revision or a node does says nothing about the new revision.

use crate::rollout::nodes::Nodes;
use crate::rollout::rules::{Grace, Rule};
use crate::rollout::seen::{Deployment, Event, Kind, Millis, Pod, ReplicaSet, Seen, What};
use crate::rollout::signs::Memory;
use crate::rollout::target::{Expected, Failure, LogHint, Proof, Superseded, Target, Verdict};
use crate::rollout::whole;
use std::collections::{BTreeMap, BTreeSet};

/// All that is known of a rollout.
#[derive(Debug, Clone)]
pub struct State {
    target: Target,
    now: Millis,
    deployments: Vec<Watched>,
    /// By the Deployment they belong to.
    pub(super) sets: BTreeMap<String, BTreeMap<String, ReplicaSet>>,
    /// By the ReplicaSet they belong to.
    pub(super) pods: BTreeMap<String, BTreeMap<String, Pod>>,
    memories: BTreeMap<String, Memory>,
    listed: BTreeSet<Kind>,
    gone: BTreeSet<String>,
    nodes: Nodes,
    signs: Vec<Fault>,
    soak: Option<Soak>,
    decided: Option<Verdict>,
}

/// A Deployment of the target, and what was seen of it.
#[derive(Debug, Clone)]
pub(super) struct Watched {
    pub(super) expected: Expected,
    pub(super) seen: Option<Deployment>,
    /// Its identity and specification when it was ours.
    pinned: Option<(String, String)>,
    /// When the controller had given up on an earlier rollout.
    given_up_before: Option<String>,
    not_created: Option<Millis>,
    changed: Millis,
}

/// A sign, on whom, and since when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The rule it is a sign for.
    pub rule: Rule,
    /// The Deployment.
    pub deployment: String,
    /// `pod hello-1`, `deployment hello`.
    pub object: String,
    /// What was seen.
    pub message: String,
    /// Since when.
    pub visible_ms: Millis,
    /// Whether it has been seen for long or often enough.
    pub due: bool,
    /// When it decides, for people.
    pub progress: String,
    log_hint: Option<LogHint>,
    /// Whether it is one pod of many.
    of_a_pod: bool,
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
        let deployments = target.deployments.iter().map(|expected| Watched {
            expected: expected.clone(),
            seen: None,
            pinned: None,
            given_up_before: None,
            not_created: None,
            changed: 0,
        });
        let deployments = deployments.collect();
        State {
            target,
            now: 0,
            deployments,
            sets: BTreeMap::new(),
            pods: BTreeMap::new(),
            memories: BTreeMap::new(),
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
            What::Deployment(deployment) => self.deployment(deployment),
            What::ReplicaSet(set) => {
                self.set(set);
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
        let open = self.deployments.iter().filter(|watched| !whole::is_ready(self, watched));
        let mut lines: Vec<String> = open.map(|watched| whole::progress(self, watched)).collect();
        if let Some(more) = lines.len().checked_sub(3).filter(|more| *more > 0) {
            lines.truncate(3);
            lines.push(format!("{more} more Deployments"));
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

    fn deployment(&mut self, new: &Deployment) -> Option<Superseded> {
        let now = self.now;
        let stale = self.gone.contains(&new.id.uid);
        let watched = self.deployments.iter_mut().find(|watched| watched.expected.name == new.id.name)?;
        let older = |old: &Deployment| old.id.uid == new.id.uid && old.id.version > new.id.version;
        if stale || watched.seen.as_ref().is_some_and(older) {
            return None;
        }
        let by = watched.changed_by(new);
        if watched.seen.is_none() {
            watched.given_up_before = given_up(new).map(|condition| condition.since.clone());
        }
        let counts = |it: &Deployment| (it.observed, it.wanted, it.total, it.updated, it.ready, it.available);
        if watched.seen.as_ref().map(counts) != Some(counts(new)) {
            watched.changed = now;
        }
        watched.seen = Some(new.clone());
        let deployment = new.id.name.clone();
        by.map(|by| Superseded { deployment, by, decided_ms: now })
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
    }

    /// A pod of the ReplicaSet with this identity moves.
    fn pod_moves(&mut self, set: &str) {
        let owner = self.sets.iter().find(|(_, sets)| sets.contains_key(set)).map(|(owner, _)| owner.clone());
        if let Some(owner) = owner {
            self.changed(&owner);
        }
    }

    /// Something of the Deployment with this identity moves.
    fn changed(&mut self, uid: &str) {
        let now = self.now;
        let is = |watched: &&mut Watched| watched.seen.as_ref().is_some_and(|seen| seen.id.uid == uid);
        if let Some(watched) = self.deployments.iter_mut().find(is) {
            watched.changed = now;
        }
    }

    fn remove(&mut self, kind: Kind, uid: &str) -> Option<Superseded> {
        self.gone.insert(uid.to_owned());
        match kind {
            Kind::Deployment => {
                let is =
                    |watched: &&mut Watched| watched.pinned.as_ref().is_some_and(|(pinned, _)| pinned == uid);
                let watched = self.deployments.iter_mut().find(is)?;
                watched.seen = None;
                let deployment = watched.expected.name.clone();
                Some(Superseded { deployment, by: "it was deleted".to_owned(), decided_ms: self.now })
            }
            Kind::ReplicaSet => {
                self.sets.values_mut().for_each(|sets| drop(sets.remove(uid)));
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
            Kind::Deployment => {
                let seen = self.deployments.iter().filter_map(|watched| watched.seen.as_ref());
                seen.map(|seen| (seen.id.uid.as_str(), seen.id.version)).collect()
            }
            Kind::ReplicaSet => {
                self.sets.values().flatten().map(|(uid, set)| (uid.as_str(), set.id.version)).collect()
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

    /// The newest ReplicaSet of a Deployment, once its controller has acted on the newest specification.
    pub(super) fn newest(&self, watched: &Watched) -> Option<&ReplicaSet> {
        let seen = watched.seen.as_ref().filter(|seen| watched.is_observed(seen))?;
        self.sets.get(&seen.id.uid)?.values().find(|set| set.revision == seen.revision)
    }

    /// The pods of a ReplicaSet that say something about it.
    pub(super) fn counted<'s>(&'s self, set: &ReplicaSet) -> impl Iterator<Item = &'s Pod> + use<'s> {
        let pods = self.pods.get(&set.id.uid).into_iter().flat_map(BTreeMap::values);
        pods.filter(|pod| counts(pod) && !self.nodes.lost(pod))
    }

    /// How many pods of a Deployment, of any revision, are on nodes that are lost. The cluster replaces them when it gives them up.
    pub(super) fn stranded(&self, seen: &Deployment) -> usize {
        let sets = self.sets.get(&seen.id.uid).into_iter().flat_map(BTreeMap::keys);
        let pods = sets.filter_map(|set| self.pods.get(set)).flat_map(BTreeMap::values);
        pods.filter(|pod| counts(pod) && self.nodes.lost(pod)).count()
    }

    /// All signs that are there now.
    fn look(&mut self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut memories = std::mem::take(&mut self.memories);
        let mut deployments = std::mem::take(&mut self.deployments);
        for watched in &mut deployments {
            let name = watched.expected.name.clone();
            let newest = self.newest(watched);
            let mut quiet_until = 0;
            for pod in newest.into_iter().flat_map(|set| self.counted(set)) {
                let Some(memory) = memories.get_mut(&pod.id.uid) else { continue };
                quiet_until = quiet_until.max(memory.ready_until(pod).unwrap_or_default());
                let signs = memory.signs(pod, self.now, self.target.images_proven);
                let keys: BTreeSet<_> = signs.iter().map(|sign| key(sign.rule, &sign.container)).collect();
                memory.since.retain(|known, _| keys.contains(known));
                for sign in signs {
                    let since = *memory.since.entry(key(sign.rule, &sign.container)).or_insert(self.now);
                    let visible = sign.visible.unwrap_or(since);
                    // While an autoscaler brings a node, waiting begins anew.
                    let begin =
                        memory.scale_up.filter(|_| sign.rule == Rule::F8).map_or(since, |up| up.max(since));
                    let grace = self.target.graces.of(sign.rule, sign.grace);
                    let fault =
                        self.fault(&name, sign.rule, visible, (grace, begin, sign.times), sign.message);
                    faults.push(Fault {
                        object: format!("pod {}", pod.id.name),
                        log_hint: sign.log_hint,
                        of_a_pod: true,
                        ..fault
                    });
                }
            }
            let failure =
                newest.and_then(|set| set.conditions.iter().find(|it| it.is("ReplicaFailure", "True")));
            watched.not_created = failure.map(|_| watched.not_created.unwrap_or(self.now));
            let since = watched.not_created.zip(failure);
            faults.extend(since.map(|(since, condition)| {
                let grace = self.target.graces.of(Rule::F9, Rule::F9.grace());
                let message = format!("cannot have its pods created: {}", condition.message);
                self.fault(&name, Rule::F9, since, (grace, since, 1), message)
            }));
            // Until then nothing can move, and what its controller says of that is about the node.
            if let Some(seen) = watched.seen.as_ref().filter(|seen| self.stranded(seen) > 0) {
                watched.changed = self.now;
                watched.given_up_before = given_up(seen).map(|condition| condition.since.clone());
            }
            if !whole::is_ready(self, watched) {
                faults.extend(self.stuck(watched, quiet_until));
            }
        }
        self.deployments = deployments;
        self.memories = memories;
        faults.sort_by_key(|fault| (fault.rule, fault.visible_ms));
        faults
    }

    /// Signs of a whole Deployment that is in flight.
    fn stuck(&self, watched: &Watched, quiet_until: Millis) -> Vec<Fault> {
        let name = &watched.expected.name;
        let mut faults = Vec::new();
        let seen = watched.seen.as_ref().filter(|seen| watched.is_observed(seen));
        let gave_up =
            seen.and_then(given_up).filter(|it| Some(&it.since) != watched.given_up_before.as_ref());
        faults.extend(gave_up.map(|condition| {
            let message =
                format!("is given up by its controller: {}: {}", condition.reason, condition.message);
            self.fault(name, Rule::F12, self.now, (Rule::F12.grace(), self.now, 1), message)
        }));
        let grace = self.target.graces.of(Rule::F13, Rule::F13.grace());
        let begin = watched.changed;
        if let Grace::For(time) = grace
            && self.now >= begin + time
            && self.now >= quiet_until
        {
            let message = format!(
                "has not moved for {} s: {}",
                (self.now - begin) / 1000,
                whole::progress(self, watched)
            );
            faults.push(self.fault(name, Rule::F13, begin, (grace, begin, 1), message));
        }
        faults
    }

    /// A fault of a Deployment. `patience`: the grace, when it began, and how often the sign was seen.
    fn fault(
        &self,
        name: &str,
        rule: Rule,
        visible_ms: Millis,
        patience: (Grace, Millis, u32),
        message: String,
    ) -> Fault {
        let (grace, begin, times) = patience;
        let (due, progress) = match grace {
            Grace::For(0) => (true, "at once".to_owned()),
            Grace::For(time) => {
                (self.now.saturating_sub(begin) >= time, format!("decides after {} s", time / 1000))
            }
            Grace::Times(wanted) => (times >= wanted, format!("{times} of {wanted} times")),
        };
        let (deployment, object) = (name.to_owned(), format!("deployment {name}"));
        Fault {
            rule,
            deployment,
            object,
            message,
            visible_ms,
            due,
            progress,
            log_hint: None,
            of_a_pod: false,
        }
    }

    /// Keeps the time since which all was ready.
    fn soak(&mut self) {
        let pods = self
            .deployments
            .iter()
            .filter_map(|watched| self.newest(watched))
            .flat_map(|set| self.counted(set));
        let pods: Vec<&Pod> = pods.collect();
        let crashes = pods.iter().filter_map(|pod| self.memories.get(&pod.id.uid)).map(Memory::crashes).sum();
        let whole = self.is_listed() && self.deployments.iter().all(|watched| whole::is_ready(self, watched));
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
        [Kind::Deployment, Kind::ReplicaSet, Kind::Pod].iter().all(|kind| self.listed.contains(kind))
    }

    fn decide(&self) -> Option<Verdict> {
        let bad = self.signs.iter().find(|fault| fault.due && self.weighs(fault));
        if let Some(fault) = bad {
            return Some(self.bad(fault.clone()));
        }
        let whole = self.deployments.iter().all(|watched| whole::is_available(self, watched));
        if let Some(soak) =
            self.soak.as_ref().filter(|soak| whole && self.now >= soak.since + self.target.soak_ms)
        {
            let deployments = self.deployments.iter().filter_map(|watched| whole::proven(self, watched));
            let deployments = deployments.collect();
            return Some(Verdict::Good(Proof { deployments, complete_ms: soak.since, decided_ms: self.now }));
        }
        if self.now >= self.target.budget_ms {
            let open = self.deployments.iter().find(|watched| !whole::is_available(self, watched));
            let name = open.or(self.deployments.first()).map_or("", |watched| watched.expected.name.as_str());
            let message =
                format!("is not good after {} s: {}", self.target.budget_ms / 1000, self.waits_for());
            let sign = self.signs.first();
            let visible = sign.map_or(0, |sign| sign.visible_ms);
            let fault = self.fault(name, Rule::F15, visible, (Rule::F15.grace(), self.now, 1), message);
            return Some(self.bad(Fault { log_hint: sign.and_then(|sign| sign.log_hint.clone()), ..fault }));
        }
        None
    }

    /// Whether a fault of one pod is one of the whole: it is, unless others of many are ready.
    fn weighs(&self, fault: &Fault) -> bool {
        if !fault.of_a_pod {
            return true;
        }
        let watched = self.deployments.iter().find(|watched| watched.expected.name == fault.deployment);
        let Some((watched, set)) = watched.and_then(|watched| Some((watched, self.newest(watched)?))) else {
            return false;
        };
        let wanted = watched.seen.as_ref().map_or(0, |seen| seen.wanted);
        let allowed = if wanted > 10 { wanted / 10 } else { 0 };
        let is = |sign: &&Fault| sign.due && sign.of_a_pod && sign.deployment == fault.deployment;
        let failed: BTreeSet<&str> = self.signs.iter().filter(is).map(|sign| sign.object.as_str()).collect();
        let none_ready = !self.counted(set).any(Pod::is_ready);
        none_ready || failed.len() > usize::try_from(allowed).unwrap_or(usize::MAX)
    }

    fn bad(&self, fault: Fault) -> Verdict {
        let Fault { rule, deployment, object, message, visible_ms, log_hint, .. } = fault;
        Verdict::Bad(Failure {
            rule,
            deployment,
            object,
            message,
            log_hint,
            visible_ms,
            decided_ms: self.now,
        })
    }

    /// A pod of the newest revision that is meant to run another image than the one that was applied.
    fn foreign_image(&self) -> Option<Superseded> {
        self.deployments.iter().find_map(|watched| {
            let by = whole::foreign_image(self, watched)?;
            Some(Superseded { deployment: watched.expected.name.clone(), by, decided_ms: self.now })
        })
    }
}

impl Watched {
    /// Whether the Deployment is as it was applied, and its controller has acted on it.
    pub(super) fn is_observed(&self, seen: &Deployment) -> bool {
        self.pinned.is_some() && seen.observed >= seen.generation
    }

    /// Remembers the Deployment when it is ours, and says what has changed it since.
    fn changed_by(&mut self, new: &Deployment) -> Option<String> {
        match &self.pinned {
            None => {
                if self.expected.generation.is_none_or(|applied| new.generation >= applied) {
                    self.pinned = Some((new.id.uid.clone(), new.spec.clone()));
                }
                None
            }
            Some((uid, _)) if *uid != new.id.uid => Some("it was deleted and made again".to_owned()),
            Some((_, spec)) if *spec != new.spec => {
                Some(format!("its specification was changed: it is generation {} now", new.generation))
            }
            Some(_) => None,
        }
    }
}

/// Whether a pod says something about its revision. A pod of a Deployment is `Failed` only when its node gave it up: its own crashes
/// are restarted in place.
fn counts(pod: &Pod) -> bool {
    !pod.ending && pod.phase != "Failed" && !pod.conditions.iter().any(|it| it.is("DisruptionTarget", "True"))
}

/// The condition by which a Deployment's controller gives up.
fn given_up(deployment: &Deployment) -> Option<&crate::rollout::seen::Condition> {
    deployment.conditions.iter().find(|condition| condition.is("Progressing", "False"))
}

/// Under which name the first sighting of a sign is kept: a crash is not seen anew when the probe turns out to be its cause.
fn key(rule: Rule, container: &str) -> (Rule, String) {
    (if rule == Rule::F7 { Rule::F6 } else { rule }, container.to_owned())
}
