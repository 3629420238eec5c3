//! What is wrong with one pod right now, and under which rule: from a pod and what is remembered of it to signs. Pure, without a clock:
//! whether a sign has been there for long enough is `state`'s question.

use crate::rollout::rules::{Grace, Rule};
use crate::rollout::seen::{Container, ContainerState, Ended, Event, Millis, Pod};
use crate::rollout::target::LogHint;
use std::collections::BTreeMap;

/// What a busy node may take to notice that a container is ready.
const NODE_IS_LATE: Millis = 5000;

/// A sign that a pod is broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sign {
    pub(super) rule: Rule,
    /// The container, or nothing where it is the whole pod.
    pub(super) container: String,
    pub(super) grace: Grace,
    /// How often it has been seen.
    pub(super) times: u32,
    /// Since when it could be seen, where that was before it became a sign.
    pub(super) visible: Option<Millis>,
    /// What was seen, in words that follow the pod's name.
    pub(super) message: String,
    pub(super) log_hint: Option<LogHint>,
}

/// What is remembered of a pod, because its status forgets it.
#[derive(Debug, Clone, Default)]
pub(super) struct Memory {
    containers: BTreeMap<String, ContainerMemory>,
    /// What was last said about its volumes.
    mount: Option<String>,
    /// When an autoscaler last said that it brings a node for it.
    pub(super) scale_up: Option<Millis>,
    /// When each sign was first seen.
    pub(super) since: BTreeMap<(Rule, String), Millis>,
}

/// What is remembered of a container.
#[derive(Debug, Clone, Default)]
struct ContainerMemory {
    /// Ends of runs that had happened before this rollout.
    before: u32,
    /// Ends of runs by now; a node that forgets them does not undo them.
    ends: u32,
    /// A final answer of the registry, and how often it was given. The status loses it while the node waits to try again.
    refused: Option<(String, u32)>,
    /// Whether the status was that of a failed pull when it was last seen.
    pulling_failed: bool,
    /// Which probe has it killed, and how that was said.
    killed: Option<String>,
    /// How often it could not be made, as events count it: the status does not.
    not_made: u32,
    /// When this run began, when its startup probe passed, and when it was last ready and then no longer.
    running: Option<Millis>,
    started: Option<Millis>,
    lost: Option<Millis>,
    ready: bool,
}

impl Memory {
    /// Remembers what a status says that later ones may not.
    pub(super) fn pod(&mut self, pod: &Pod, at: Millis, first: bool) {
        for container in &pod.containers {
            let known = self.containers.entry(container.name.clone()).or_default();
            let ends = ends(container);
            // A pod that was ready before anybody looked belongs to an earlier rollout that changed nothing in this template.
            if first && pod.is_ready() {
                known.before = ends;
            }
            let again = ends > known.ends;
            known.ends = known.ends.max(ends);
            let failed = match &container.state {
                ContainerState::Waiting { reason, message } if reason == "ErrImagePull" => {
                    if let (Some(text), false) = (refusal(message), known.pulling_failed) {
                        let times = known.refused.as_ref().map_or(0, |(_, times)| *times);
                        known.refused = Some((text, times + 1));
                    }
                    true
                }
                ContainerState::Waiting { reason, message } if reason == "ImagePullBackOff" => {
                    if let (Some(text), None) = (refusal(message), &known.refused) {
                        known.refused = Some((text, 1));
                    }
                    false
                }
                ContainerState::Unknown
                | ContainerState::Waiting { .. }
                | ContainerState::Running
                | ContainerState::Ended(_) => false,
            };
            known.pulling_failed = failed;
            match container.state {
                ContainerState::Running => {
                    self.mount = None;
                    known.refused = None;
                    if again || known.running.is_none() {
                        (known.running, known.started, known.lost) = (Some(at), None, None);
                    }
                    if container.started && known.started.is_none() {
                        known.started = Some(at);
                    }
                    if known.ready && !container.ready {
                        known.lost = Some(at);
                    }
                }
                ContainerState::Unknown | ContainerState::Waiting { .. } | ContainerState::Ended(_) => {
                    (known.running, known.started, known.lost) = (None, None, None);
                }
            }
            known.ready = container.ready;
        }
    }

    /// Remembers what an event says that no status does.
    pub(super) fn event(&mut self, event: &Event, at: Millis) {
        match event.reason.as_str() {
            "FailedMount" | "FailedAttachVolume" => self.mount = Some(line(&event.message)),
            "TriggeredScaleUp" => self.scale_up = Some(at),
            "Killing" => {
                let probe = ["liveness", "startup"]
                    .into_iter()
                    .find(|probe| event.message.contains(&format!("failed {probe} probe")));
                if let Some(probe) = probe {
                    self.containers.entry(event.container.clone()).or_default().killed =
                        Some(probe.to_owned());
                }
            }
            "Failed" if event.message.starts_with("Error: ") => {
                let known = self.containers.entry(event.container.clone()).or_default();
                known.not_made = known.not_made.max(event.count);
            }
            "Failed" => {
                if let Some(text) = refusal(&event.message).filter(|_| event.message.contains("pull image")) {
                    let known = self.containers.entry(event.container.clone()).or_default();
                    let times = known.refused.as_ref().map_or(0, |(_, times)| *times);
                    known.refused = Some((text, times.max(event.count)));
                }
            }
            _ => {}
        }
    }

    /// Ends of runs in this rollout, of all containers.
    pub(super) fn crashes(&self) -> u32 {
        self.containers.values().map(|known| known.ends.saturating_sub(known.before)).sum()
    }

    /// When the last container that runs and is not ready must be, by what its probes allow.
    pub(super) fn ready_until(&self, pod: &Pod) -> Option<Millis> {
        pod.containers.iter().filter_map(|container| self.budget(container)).map(|(_, until)| until).max()
    }

    /// Since when a container runs without being ready, and until when it may.
    fn budget(&self, container: &Container) -> Option<(Millis, Millis)> {
        let known = self.containers.get(&container.name)?;
        let running = known.running.filter(|_| !container.ready && !container.init)?;
        // A node may be late by a period of the probe, or by a few seconds of its own.
        let late = container.readiness.map_or(0, |probe| Millis::from(probe.period) * 1000).max(NODE_IS_LATE);
        let readiness = container.readiness.map_or(0, |probe| probe.budget()) + late;
        let startup = container.startup.map_or(0, |probe| probe.budget());
        // Once the startup probe has passed, what it did not use is not given to the other one.
        let begin = known.started.unwrap_or(running + startup);
        // One that was ready and is not any more has the time of its readiness probe again: a single failure is noise.
        let since = known.lost.unwrap_or(running);
        Some((since, begin.max(since) + readiness))
    }

    /// All that is wrong with the pod. `proven`: its images were seen in the registry.
    pub(super) fn signs(&self, pod: &Pod, now: Millis, proven: bool) -> Vec<Sign> {
        let mut signs: Vec<Sign> = Vec::new();
        for container in &pod.containers {
            let Some(known) = self.containers.get(&container.name) else { continue };
            signs.extend(waiting(container, known, proven));
            signs.extend(ended(pod, container, known));
            if let Some((since, until)) = self.budget(container)
                && now >= until
            {
                let message = format!(
                    "runs, and `{}` is not ready after all the time that its probes allow",
                    container.name
                );
                let log_hint = Some(hint(pod, container, false));
                let (rule, name) = (Rule::F11, container.name.clone());
                let visible = Some(since);
                signs.push(Sign {
                    rule,
                    container: name,
                    grace: rule.grace(),
                    times: 1,
                    visible,
                    message,
                    log_hint,
                });
            }
        }
        signs.extend(self.placing(pod));
        signs
    }

    /// What keeps the whole pod from starting.
    fn placing(&self, pod: &Pod) -> Option<Sign> {
        let plain = |rule: Rule, message| {
            let container = String::new();
            Some(Sign {
                rule,
                container,
                grace: rule.grace(),
                times: 1,
                visible: None,
                message,
                log_hint: None,
            })
        };
        let unplaced = pod.conditions.iter().find(|condition| condition.is("PodScheduled", "False"));
        if let Some(condition) = unplaced.filter(|condition| condition.reason == "Unschedulable") {
            let message = line(&condition.message);
            return match message.contains("PersistentVolumeClaim")
                || message.contains("persistentvolumeclaim")
            {
                true => plain(Rule::F10, format!("waits for a volume: {message}")),
                false => plain(Rule::F8, format!("is taken by no node: {message}")),
            };
        }
        let begun = |container: &Container| match &container.state {
            ContainerState::Unknown => false,
            ContainerState::Waiting { reason, .. } => {
                !matches!(reason.as_str(), "ContainerCreating" | "PodInitializing")
            }
            ContainerState::Running | ContainerState::Ended(_) => true,
        };
        let mount = self.mount.as_ref().filter(|_| !pod.containers.iter().any(begun))?;
        plain(Rule::F10, format!("cannot mount a volume: {mount}"))
    }
}

/// What a container waits for.
fn waiting(container: &Container, known: &ContainerMemory, proven: bool) -> Option<Sign> {
    let ContainerState::Waiting { reason, message } = &container.state else { return None };
    let name = &container.name;
    let sign = |rule, grace, times, message| {
        Some(Sign { rule, container: name.clone(), grace, times, visible: None, message, log_hint: None })
    };
    match reason.as_str() {
        "InvalidImageName" | "ErrImageNeverPull" => sign(
            Rule::F1,
            Rule::F1.grace(),
            1,
            format!("cannot pull `{}`: {reason}: {}", container.image, line(message)),
        ),
        "ErrImagePull"
        | "ImagePullBackOff"
        | "RegistryUnavailable"
        | "ImageInspectError"
        | "SignatureValidationFailed" => match &known.refused {
            Some((text, times)) => {
                let grace = if proven { Rule::F2.grace() } else { Grace::Times(1) };
                sign(Rule::F2, grace, *times, format!("cannot pull `{}`: {text}", container.image))
            }
            None => {
                let message = format!("cannot pull `{}`: {}", container.image, line(message));
                sign(Rule::F3, Rule::F3.grace(), 1, message)
            }
        },
        "CreateContainerConfigError" => {
            let caches = message.contains("failed to sync") && message.contains("cache");
            let grace = if caches { Grace::For(90_000) } else { Rule::F4.grace() };
            sign(Rule::F4, grace, 1, format!("cannot configure `{name}`: {}", line(message)))
        }
        "CreateContainerError" | "RunContainerError" if known.ends == known.before => sign(
            Rule::F5,
            Rule::F5.grace(),
            known.not_made.max(1),
            format!("cannot start `{name}`: {}", line(message)),
        ),
        _ => None,
    }
}

/// How a container ended, as often as it did.
fn ended(pod: &Pod, container: &Container, known: &ContainerMemory) -> Option<Sign> {
    let times = known.ends.saturating_sub(known.before);
    if times == 0 {
        return None;
    }
    let name = container.name.clone();
    let previous = !matches!(container.state, ContainerState::Ended(_));
    let end = match &container.state {
        ContainerState::Ended(end) => Some(end),
        ContainerState::Unknown | ContainerState::Waiting { .. } | ContainerState::Running => {
            container.last.as_ref()
        }
    };
    let end = end.cloned().unwrap_or_default();
    let log_hint = Some(hint(pod, container, previous));
    let said = line(&end.message);
    // A program for another kind of processor stays one.
    if said.contains("exec format error") {
        let message = format!("cannot run `{name}` on its node: {said}");
        return Some(Sign {
            rule: Rule::F6,
            container: name,
            grace: Grace::Times(1),
            times,
            visible: None,
            message,
            log_hint: None,
        });
    }
    if never_started(&end) {
        // The node may be at fault, unless the message says that the program is not there.
        let certain = ["not found", "no such file", "permission denied", "is a directory"];
        let certain = certain.iter().any(|text| said.contains(text));
        let grace = if certain { Rule::F5.grace() } else { Grace::Times(5) };
        let message = format!("cannot start `{name}`: {said}");
        return Some(Sign {
            rule: Rule::F5,
            container: name,
            grace,
            times,
            visible: None,
            message,
            log_hint: None,
        });
    }
    let how = match end.reason.as_str() {
        "OOMKilled" => "out of memory".to_owned(),
        _ => format!("exit {}", end.code),
    };
    if let Some(probe) = &known.killed {
        let message =
            format!("was killed {} because the {probe} probe of `{name}` failed, {how}", often(times));
        return Some(Sign {
            rule: Rule::F7,
            container: name,
            grace: Rule::F7.grace(),
            times,
            visible: None,
            message,
            log_hint,
        });
    }
    let verb = if container.init { "failed in its init container" } else { "crashed in" };
    let message = format!("{verb} `{name}` {}, {how}", often(times));
    Some(Sign {
        rule: Rule::F6,
        container: name,
        grace: Rule::F6.grace(),
        times,
        visible: None,
        message,
        log_hint,
    })
}

fn hint(pod: &Pod, container: &Container, previous: bool) -> LogHint {
    LogHint { pod: pod.id.name.clone(), container: container.name.clone(), previous }
}

fn never_started(end: &Ended) -> bool {
    matches!(end.reason.as_str(), "StartError" | "ContainerCannotRun")
}

/// How many runs of a container have ended; an init container that succeeds is one that has not.
fn ends(container: &Container) -> u32 {
    let dead = match &container.state {
        ContainerState::Ended(end) => !(container.init && end.code == 0),
        ContainerState::Waiting { reason, .. } => {
            container.last.is_some() && matches!(reason.as_str(), "CrashLoopBackOff" | "RunContainerError")
        }
        ContainerState::Unknown | ContainerState::Running => false,
    };
    container.restarts + u32::from(dead)
}

/// What the registry said, if it is final: the same question will get the same answer.
fn refusal(message: &str) -> Option<String> {
    const FINAL: [&str; 9] = [
        "not found",
        "manifest unknown",
        "name unknown",
        "no match for platform",
        "denied",
        "unauthorized",
        "forbidden",
        "authorization failed",
        "does not exist",
    ];
    // An overloaded registry or a name that does not resolve right now is not final, whatever else is in the text.
    const PASSING: [&str; 6] =
        ["no such host", "timeout", "connection refused", "too many requests", "i/o", "server misbehaving"];
    let lower = message.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    (has(&FINAL) && !has(&PASSING)).then(|| line(message))
}

/// The text on one line of bearable length.
fn line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let text = words.join(" ");
    match text.char_indices().nth(400) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn often(times: u32) -> String {
    match times {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        times => format!("{times} times"),
    }
}
