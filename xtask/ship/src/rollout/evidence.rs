//! What is left of a failed rollout before a rollback removes it: collected within three seconds, as far as the cluster gives it, with
//! secrets masked. What could not be had is said, never left out in silence.

use crate::cluster::Cluster;
use crate::rollout::seen::{Condition, ContainerState, Event, Pod, ReplicaSet, What};
use crate::rollout::target::{Failure, LogHint, Target};
use futures_util::future::join_all;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use xtask_core::redact::Redactor;

/// For all of it: a rollback does not wait longer.
const BUDGET: Duration = Duration::from_secs(3);
/// Lines of each log.
const LINES: u16 = 200;
/// Pods whose logs are read. Those of a bad revision fail alike.
const MOST_PODS: usize = 5;

/// What was found.
#[derive(Debug, Clone, Serialize)]
pub struct Evidence {
    /// What was decided.
    pub failure: Failure,
    /// Workloads, ReplicaSets and Pods of the target, as they were.
    pub objects: Vec<What>,
    /// Events about any of them, each once.
    pub events: Vec<Event>,
    /// Logs of containers, by `POD/CONTAINER.log` and `POD/CONTAINER.previous.log`.
    #[serde(skip)]
    pub logs: BTreeMap<String, String>,
    /// Conditions of the nodes of these pods.
    pub nodes: BTreeMap<String, Vec<Condition>>,
    /// What could not be had, and why.
    pub missing: Vec<String>,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
}

/// Collects what there is. It never fails: what is missing is part of it.
pub async fn evidence(
    cluster: &Cluster,
    target: &Target,
    failure: &Failure,
    redactor: &Redactor,
) -> Evidence {
    let begin = Instant::now();
    let end = begin + BUDGET;
    let mut missing = Vec::new();
    let names: Vec<_> = target.workloads.iter().map(|it| (it.kind, it.name.as_str())).collect();
    let objects = timeout_at(end, cluster.present(&target.namespace, &names));
    let events = timeout_at(end, cluster.events(&target.namespace));
    let (objects, events) = tokio::join!(objects, events);
    let objects = objects.unwrap_or_else(|_| {
        missing.push("objects: no answer in time".to_owned());
        Vec::new()
    });
    let (objects, errors): (Vec<_>, Vec<_>) = objects.into_iter().partition(Result::is_ok);
    missing.extend(errors.into_iter().filter_map(Result::err).map(|error| error.to_string()));
    let objects = of_target(objects.into_iter().flatten().collect());
    let events = match events {
        Ok(Ok(events)) => about(events, &objects),
        Ok(Err(error)) => {
            missing.push(error.to_string());
            Vec::new()
        }
        Err(_) => {
            missing.push("events: no answer in time".to_owned());
            Vec::new()
        }
    };
    let pods = worst(&objects, failure);
    let (logs, secrets, nodes) = tokio::join!(
        logs(cluster, target, &pods, end),
        secrets(cluster, target, &pods, end),
        nodes(cluster, &pods, end),
    );
    let (logs, unread) = logs;
    missing.extend(unread);
    let (nodes, unknown) = nodes;
    missing.extend(unknown);
    let mut found = Evidence { failure: failure.clone(), objects, events, logs, nodes, missing, took_ms: 0 };
    match secrets {
        Ok(values) => found.mask(&[redactor.clone(), Redactor::new(values)]),
        // A log may hold what cannot be masked, because it is not known.
        Err(why) => {
            found.missing.push(format!(
                "logs: left out, because the Secrets of their pods could not be read to mask them: {why}"
            ));
            found.logs.clear();
            found.mask(std::slice::from_ref(redactor));
        }
    }
    found.took_ms = u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX);
    found
}

impl Evidence {
    /// What a person needs first: the fault, the end of the log that is likely to say why, and the warnings.
    pub fn brief(&self) -> String {
        let mut text = format!("{}\n", self.failure);
        if let Some((name, log)) = self.telling_log() {
            text.push_str(&format!("the end of {name}:\n"));
            let lines: Vec<&str> = log.lines().collect();
            lines[lines.len().saturating_sub(10)..]
                .iter()
                .for_each(|line| text.push_str(&format!("  {line}\n")));
        }
        let warnings = self.events.iter().filter(|event| !is_usual(&event.reason)).take(10);
        warnings.for_each(|event| {
            text.push_str(&format!(
                "{} {} ×{}: {}\n",
                event.object,
                event.reason,
                event.count,
                event.message.trim()
            ));
        });
        self.missing.iter().for_each(|what| text.push_str(&format!("not collected: {what}\n")));
        text
    }

    /// The last line of the log that is likely to say why.
    pub fn last_words(&self) -> Option<&str> {
        self.telling_log().and_then(|(_, log)| log.lines().rev().find(|line| !line.trim().is_empty()))
    }

    /// Writes everything into a folder: `evidence.json`, `brief.txt` and `logs/`.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        std::fs::create_dir_all(folder)?;
        std::fs::write(folder.join("evidence.json"), serde_json::to_vec_pretty(self)?)?;
        std::fs::write(folder.join("brief.txt"), self.brief())?;
        for (name, log) in &self.logs {
            let path = folder.join("logs").join(name);
            path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
            std::fs::write(path, log)?;
        }
        Ok(())
    }

    fn telling_log(&self) -> Option<(&str, &str)> {
        let LogHint { pod, container, previous } = self.failure.log_hint.as_ref()?;
        let (this, before) = names(pod, container);
        let wanted = if *previous { [before, this] } else { [this, before] };
        let logs = wanted.iter().filter_map(|name| self.logs.get_key_value(name));
        let mut logs = logs.filter(|(_, log)| !log.trim().is_empty());
        logs.next().map(|(name, log)| (name.as_str(), log.as_str()))
    }

    /// Masks secrets in everything that people or files get.
    fn mask(&mut self, redactors: &[Redactor]) {
        for redactor in redactors {
            let masked = |text: &mut String| *text = redactor.redact(text).into_owned();
            masked(&mut self.failure.message);
            self.logs.values_mut().for_each(masked);
            self.missing.iter_mut().for_each(masked);
            self.events.iter_mut().for_each(|event| masked(&mut event.message));
            self.nodes.values_mut().flatten().for_each(|condition| masked(&mut condition.message));
            for object in &mut self.objects {
                let What::Pod(pod) = object else { continue };
                pod.conditions.iter_mut().for_each(|condition| masked(&mut condition.message));
                for container in &mut pod.containers {
                    container.last.iter_mut().for_each(|end| masked(&mut end.message));
                    match &mut container.state {
                        ContainerState::Waiting { message, .. } => masked(message),
                        ContainerState::Ended(end) => masked(&mut end.message),
                        ContainerState::Unknown | ContainerState::Running => {}
                    }
                }
            }
        }
    }
}

/// What belongs to the workloads among these objects, directly or through a ReplicaSet.
fn of_target(objects: Vec<What>) -> Vec<What> {
    let mut owners: BTreeSet<String> = BTreeSet::new();
    // Workloads come first, then ReplicaSets, then Pods.
    objects
        .into_iter()
        .filter(|object| match object {
            What::Workload(workload) => owners.insert(workload.id.uid.clone()),
            What::ReplicaSet(ReplicaSet { owner, id, .. }) => {
                owners.contains(owner) && owners.insert(id.uid.clone())
            }
            What::Pod(pod) => owners.contains(&pod.owner),
            What::Revision(_)
            | What::Event(_)
            | What::Node(_)
            | What::Gone { .. }
            | What::Relisted { .. }
            | What::Tick => false,
        })
        .collect()
}

/// Events about these objects; the same words about the same object once, with the highest count.
fn about(events: Vec<Event>, objects: &[What]) -> Vec<Event> {
    let uids: BTreeSet<&str> = objects.iter().filter_map(uid).collect();
    let mut kept: Vec<Event> = Vec::new();
    for event in events.into_iter().filter(|event| uids.contains(event.about.as_str())) {
        let same = |other: &&mut Event| {
            (&other.about, &other.reason, &other.message) == (&event.about, &event.reason, &event.message)
        };
        match kept.iter_mut().find(same) {
            Some(other) => other.count = other.count.max(event.count),
            None => kept.push(event),
        }
    }
    kept
}

fn uid(object: &What) -> Option<&str> {
    match object {
        What::Workload(it) => Some(&it.id.uid),
        What::ReplicaSet(it) => Some(&it.id.uid),
        What::Pod(it) => Some(&it.id.uid),
        What::Revision(_)
        | What::Event(_)
        | What::Node(_)
        | What::Gone { .. }
        | What::Relisted { .. }
        | What::Tick => None,
    }
}

/// The pods whose logs are worth reading: the one that decided, then others that are not ready.
fn worst(objects: &[What], failure: &Failure) -> Vec<Pod> {
    let pods = objects.iter().filter_map(|object| match object {
        What::Pod(pod) => Some(pod),
        What::Workload(_)
        | What::ReplicaSet(_)
        | What::Revision(_)
        | What::Event(_)
        | What::Node(_)
        | What::Gone { .. }
        | What::Relisted { .. }
        | What::Tick => None,
    });
    let decided = |pod: &Pod| failure.object == format!("pod {}", pod.id.name);
    let mut pods: Vec<Pod> = pods.filter(|pod| decided(pod) || !pod.is_ready()).cloned().collect();
    pods.sort_by_key(|pod| !decided(pod));
    pods.truncate(MOST_PODS);
    pods
}

/// What is normal in every rollout.
fn is_usual(reason: &str) -> bool {
    matches!(
        reason,
        "Scheduled"
            | "Pulling"
            | "Pulled"
            | "Created"
            | "Started"
            | "SuccessfulCreate"
            | "SuccessfulDelete"
            | "ScalingReplicaSet"
    )
}

/// The names of a container's logs: of this run and of the one before.
fn names(pod: &str, container: &str) -> (String, String) {
    (format!("{pod}/{container}.log"), format!("{pod}/{container}.previous.log"))
}

async fn logs(
    cluster: &Cluster,
    target: &Target,
    pods: &[Pod],
    end: Instant,
) -> (BTreeMap<String, String>, Vec<String>) {
    let mut wanted = Vec::new();
    for (pod, container) in
        pods.iter().flat_map(|pod| pod.containers.iter().map(move |container| (pod, container)))
    {
        let (this, before) = names(&pod.id.name, &container.name);
        // A container that never ran has no log, and one that never ended has none before it.
        if container.last.is_some()
            || matches!(container.state, ContainerState::Running | ContainerState::Ended(_))
        {
            wanted.push((this, &pod.id.name, &container.name, false));
        }
        if container.restarts > 0 {
            wanted.push((before, &pod.id.name, &container.name, true));
        }
    }
    let read = wanted.into_iter().map(async |(name, pod, container, previous)| {
        let log = cluster.log(&target.namespace, pod, container, previous, LINES);
        let log = timeout_at(end, log).await;
        (name, log)
    });
    let (mut logs, mut missing) = (BTreeMap::new(), Vec::new());
    for (name, log) in join_all(read).await {
        match log {
            Ok(Ok(log)) => drop(logs.insert(name, log)),
            Ok(Err(error)) => missing.push(error.to_string()),
            Err(_) => missing.push(format!("{name}: no answer in time")),
        }
    }
    (logs, missing)
}

async fn secrets(
    cluster: &Cluster,
    target: &Target,
    pods: &[Pod],
    end: Instant,
) -> Result<Vec<String>, String> {
    let read = pods.iter().map(|pod| timeout_at(end, cluster.secrets_of(&target.namespace, &pod.id.name)));
    let mut values = Vec::new();
    for found in join_all(read).await {
        let found = found.map_err(|_| "no answer in time".to_owned())?;
        values.extend(found.map_err(|error| error.to_string())?);
    }
    Ok(values)
}

async fn nodes(
    cluster: &Cluster,
    pods: &[Pod],
    end: Instant,
) -> (BTreeMap<String, Vec<Condition>>, Vec<String>) {
    let names: BTreeSet<&str> =
        pods.iter().map(|pod| pod.node.as_str()).filter(|name| !name.is_empty()).collect();
    let read =
        names.into_iter().map(async |name| (name.to_owned(), timeout_at(end, cluster.node(name)).await));
    let (mut nodes, mut missing) = (BTreeMap::new(), Vec::new());
    for (name, conditions) in join_all(read).await {
        match conditions {
            Ok(Ok(conditions)) => drop(nodes.insert(name, conditions)),
            Ok(Err(error)) => missing.push(error.to_string()),
            Err(_) => missing.push(format!("node {name}: no answer in time")),
        }
    }
    (nodes, missing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::Rule;
    use crate::rollout::seen::{Container, Ended, Identity, Workload};

    fn id(uid: &str) -> Identity {
        Identity { name: uid.to_owned(), uid: uid.to_owned(), version: 1 }
    }

    fn failure() -> Failure {
        Failure {
            rule: Rule::F6,
            workload: "deployment hello".to_owned(),
            object: "pod hello-2".to_owned(),
            message: "crashed with hunter22".to_owned(),
            log_hint: Some(LogHint {
                pod: "hello-2".to_owned(),
                container: "app".to_owned(),
                previous: true,
            }),
            visible_ms: 4100,
            decided_ms: 9800,
        }
    }

    fn event(about: &str, reason: &str, message: &str, count: u32) -> Event {
        let object = format!("Pod/{about}");
        let (about, reason, message) = (about.to_owned(), reason.to_owned(), message.to_owned());
        Event { object, about, reason, message, count, ..Event::default() }
    }

    fn objects() -> Vec<What> {
        let set = ReplicaSet { id: id("set"), owner: "hello".to_owned(), ..ReplicaSet::default() };
        let ended = Ended { message: "hunter22".to_owned(), ..Ended::default() };
        let app =
            Container { name: "app".to_owned(), state: ContainerState::Ended(ended), ..Container::default() };
        let pod = |uid: &str, owner: &str| Pod {
            id: id(uid),
            owner: owner.to_owned(),
            containers: vec![app.clone()],
            ..Pod::default()
        };
        vec![
            What::Workload(Workload { id: id("hello"), ..Workload::default() }),
            What::ReplicaSet(set),
            What::ReplicaSet(ReplicaSet {
                id: id("strange"),
                owner: "other".to_owned(),
                ..ReplicaSet::default()
            }),
            What::Pod(pod("hello-1", "set")),
            What::Pod(pod("hello-2", "set")),
            What::Pod(pod("strange-1", "strange")),
        ]
    }

    fn found() -> Evidence {
        let logs = [("hello-2/app.previous.log", "one\nhunter22 failed\n\n"), ("hello-2/app.log", "again\n")];
        Evidence {
            failure: failure(),
            objects: of_target(objects()),
            events: vec![event("hello-2", "BackOff", "hunter22", 3), event("hello-2", "Pulled", "usual", 1)],
            logs: logs.map(|(name, log)| (name.to_owned(), log.to_owned())).into(),
            nodes: BTreeMap::new(),
            missing: vec!["node n1: no answer in time".to_owned()],
            took_ms: 12,
        }
    }

    #[test]
    fn only_what_belongs_to_the_target_is_kept_and_the_pod_that_decided_comes_first() {
        let objects = of_target(objects());
        assert_eq!(
            objects.iter().filter_map(uid).collect::<Vec<_>>(),
            ["hello", "set", "hello-1", "hello-2"]
        );
        let names: Vec<String> = worst(&objects, &failure()).into_iter().map(|pod| pod.id.name).collect();
        assert_eq!(names, ["hello-2", "hello-1"]);
    }

    #[test]
    fn an_event_that_is_told_twice_is_kept_once_with_its_highest_count() {
        let told = vec![
            event("hello-1", "BackOff", "again", 2),
            event("hello-1", "BackOff", "again", 5),
            event("hello-1", "Failed", "again", 1),
            event("strange-1", "BackOff", "again", 9),
        ];
        let kept: Vec<(String, u32)> =
            about(told, &of_target(objects())).into_iter().map(|event| (event.reason, event.count)).collect();
        assert_eq!(kept, [("BackOff".to_owned(), 5), ("Failed".to_owned(), 1)]);
    }

    #[test]
    fn the_brief_has_the_fault_the_end_of_its_log_the_warnings_and_what_is_missing() {
        let brief = found().brief();
        for words in [
            "F6: pod hello-2",
            "visible at +4.1 s, decided at +9.8 s",
            "  hunter22 failed",
            "BackOff ×3",
            "n1",
        ] {
            assert!(brief.contains(words), "{words}: {brief}");
        }
        assert!(!brief.contains("usual"), "{brief}");
        assert_eq!(found().last_words(), Some("hunter22 failed"));
        let mut silent = found();
        silent.logs.remove("hello-2/app.previous.log");
        assert_eq!(silent.last_words(), Some("again"), "the other run is better than nothing");
    }

    #[test]
    fn no_secret_is_left_in_what_is_written() {
        let mut found = found();
        found.mask(&[Redactor::new(["hunter22".to_owned()])]);
        let folder = tempfile::tempdir().unwrap();
        found.write(folder.path()).unwrap();
        for name in ["evidence.json", "brief.txt", "logs/hello-2/app.previous.log", "logs/hello-2/app.log"] {
            let text = std::fs::read_to_string(folder.path().join(name)).unwrap();
            assert!(!text.contains("hunter22") && !text.is_empty(), "{name}: {text}");
        }
    }
}
