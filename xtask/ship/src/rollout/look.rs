//! What is wrong with a rollout right now, and whether it has been so for long enough: from all that is known to faults. Pure.

use crate::rollout::rules::{Grace, Rule};
use crate::rollout::seen::{Condition, Container, ContainerState, Millis, Pod, Workload, WorkloadKind};
use crate::rollout::state::{State, Watched};
use crate::rollout::target::LogHint;
use crate::rollout::whole;
use std::collections::BTreeSet;

/// A sign, on whom, and since when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The rule it is a sign for.
    pub rule: Rule,
    /// The workload: `deployment hello`.
    pub workload: String,
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
    pub(super) log_hint: Option<LogHint>,
    /// Whether it is one pod of many.
    pub(super) of_a_pod: bool,
}

impl State {
    /// All signs that are there now.
    pub(super) fn look(&mut self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut memories = std::mem::take(&mut self.memories);
        let mut workloads = std::mem::take(&mut self.workloads);
        for watched in &mut workloads {
            let title = watched.expected.title();
            let is_job = watched.expected.kind == WorkloadKind::Job;
            let mut quiet_until = 0;
            for pod in self.newest_pods(watched).into_iter().flatten() {
                let Some(memory) = memories.get_mut(&pod.id.uid) else { continue };
                quiet_until = quiet_until.max(memory.ready_until(pod).unwrap_or_default());
                let mut signs = memory.signs(pod, self.now, self.target.images_proven);
                if is_job {
                    // Its pods are to end, and how often they may fail is the Job's own grace. Work has no signs of moving.
                    signs.retain(|sign| !matches!(sign.rule, Rule::F6 | Rule::F7 | Rule::F11));
                    if pod.phase == "Running" {
                        quiet_until = Millis::MAX;
                    }
                }
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
                        self.fault(&title, sign.rule, visible, (grace, begin, sign.times), sign.message);
                    faults.push(Fault {
                        object: format!("pod {}", pod.id.name),
                        log_hint: sign.log_hint,
                        of_a_pod: true,
                        ..fault
                    });
                }
            }
            watched.not_created = self.not_created(watched);
            faults.extend(watched.not_created.as_ref().map(|(since, why)| {
                let grace = self.target.graces.of(Rule::F9, Rule::F9.grace());
                let message = format!("cannot have its pods created: {why}");
                self.fault(&title, Rule::F9, *since, (grace, *since, 1), message)
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
        self.workloads = workloads;
        self.memories = memories;
        faults.sort_by_key(|fault| (fault.rule, fault.visible_ms));
        faults
    }

    /// Since when pods of it may not be created, and why, if that is so now.
    fn not_created(&self, watched: &Watched) -> Option<(Millis, String)> {
        let known = watched.not_created.as_ref();
        if watched.expected.kind == WorkloadKind::Deployment {
            let conditions = &self.newest_set(watched)?.conditions;
            let failure = conditions.iter().find(|it| it.is("ReplicaFailure", "True"))?;
            return Some((known.map_or(self.now, |(since, _)| *since), failure.message.clone()));
        }
        // An event is not taken back; that all pods are there is.
        let seen = watched.seen.as_ref()?;
        let there = if seen.kind == WorkloadKind::Job { seen.total + seen.ready } else { seen.total };
        known.filter(|_| there < seen.wanted).cloned()
    }

    /// Signs of a whole workload that is in flight.
    fn stuck(&self, watched: &Watched, quiet_until: Millis) -> Vec<Fault> {
        let title = &watched.expected.title();
        let mut faults = Vec::new();
        let is_job = watched.expected.kind == WorkloadKind::Job;
        // A Job that has failed stays so, whenever that was; a Deployment may be given up and applied anew.
        let gave_up = watched.observed().and_then(given_up);
        let gave_up = gave_up.filter(|it| is_job || Some(&it.since) != watched.given_up_before.as_ref());
        faults.extend(gave_up.map(|condition| {
            let message =
                format!("is given up by its controller: {}: {}", condition.reason, condition.message);
            let fault = self.fault(title, Rule::F12, self.now, (Rule::F12.grace(), self.now, 1), message);
            Fault { log_hint: self.failed_pod(watched), ..fault }
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
            faults.push(self.fault(title, Rule::F13, begin, (grace, begin, 1), message));
        }
        faults
    }

    /// The log of a pod that has ended badly for good.
    fn failed_pod(&self, watched: &Watched) -> Option<LogHint> {
        let pods =
            self.pods.get(&watched.seen.as_ref()?.id.uid)?.values().filter(|pod| pod.phase == "Failed");
        let pod = pods.max_by_key(|pod| pod.id.version)?;
        let ended =
            |container: &&Container| matches!(&container.state, ContainerState::Ended(end) if end.code != 0);
        let container = pod.containers.iter().find(ended)?.name.clone();
        Some(LogHint { pod: pod.id.name.clone(), container, previous: false })
    }

    /// A fault of a workload. `patience`: the grace, when it began, and how often the sign was seen.
    pub(super) fn fault(
        &self,
        title: &str,
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
        Fault {
            rule,
            workload: title.to_owned(),
            object: title.to_owned(),
            message,
            visible_ms,
            due,
            progress,
            log_hint: None,
            of_a_pod: false,
        }
    }

    /// Whether a fault of one pod is one of the whole: it is, unless others of many are ready.
    pub(super) fn weighs(&self, fault: &Fault) -> bool {
        if !fault.of_a_pod {
            return true;
        }
        let watched = self.workloads.iter().find(|watched| watched.expected.title() == fault.workload);
        let Some((watched, pods)) = watched.and_then(|watched| Some((watched, self.newest_pods(watched)?)))
        else {
            return false;
        };
        let wanted = watched.seen.as_ref().map_or(0, |seen| seen.wanted);
        let allowed = if wanted > 10 { wanted / 10 } else { 0 };
        let is = |sign: &&Fault| sign.due && sign.of_a_pod && sign.workload == fault.workload;
        let failed: BTreeSet<&str> = self.signs.iter().filter(is).map(|sign| sign.object.as_str()).collect();
        let none_ready = !pods.into_iter().any(Pod::is_ready);
        none_ready || failed.len() > usize::try_from(allowed).unwrap_or(usize::MAX)
    }
}

/// The condition by which a controller gives up.
pub(super) fn given_up(workload: &Workload) -> Option<&Condition> {
    let (kind, status) = match workload.kind {
        WorkloadKind::Deployment => ("Progressing", "False"),
        WorkloadKind::Job => ("Failed", "True"),
        // Their controllers never do.
        WorkloadKind::StatefulSet | WorkloadKind::DaemonSet => return None,
    };
    workload.conditions.iter().find(|condition| condition.is(kind, status))
}

/// Under which name the first sighting of a sign is kept: a crash is not seen anew when the probe turns out to be its cause.
fn key(rule: Rule, container: &str) -> (Rule, String) {
    (if rule == Rule::F7 { Rule::F6 } else { rule }, container.to_owned())
}
