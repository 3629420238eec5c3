//! Objects of Kubernetes to what was seen of them. Pure. What is missing in an object is what its default says.

use crate::rollout::seen::{
    Condition, Container, ContainerState, Ended, Event, Identity, Node, Pod, Probe, ReplicaSet, Revision,
    Workload, WorkloadKind,
};
use k8s_openapi::api::apps::v1 as apps;
use k8s_openapi::api::batch::v1 as batch;
use k8s_openapi::api::core::v1 as core;
use kube::api::ObjectMeta;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use xtask_core::ids::Digest;

/// Where a revision is noted.
const REVISION: &str = "deployment.kubernetes.io/revision";
/// Where a pod says of which revision it is, and a ControllerRevision how its pods say it.
const POD_REVISION: &str = "controller-revision-hash";

pub(super) fn deployment(object: &apps::Deployment) -> Workload {
    let (spec, status) = (object.spec.clone().unwrap_or_default(), object.status.clone().unwrap_or_default());
    let wanted = count(Some(spec.replicas.unwrap_or(1)));
    let min_ready = count(spec.min_ready_seconds);
    let conditions = status.conditions.unwrap_or_default().into_iter().map(|it| Condition {
        since: it.last_transition_time.map(|time| time.0.to_string()).unwrap_or_default(),
        ..condition(it.type_, it.status, it.reason, it.message)
    });
    Workload {
        kind: WorkloadKind::Deployment,
        id: identity(&object.metadata),
        generation: object.metadata.generation.unwrap_or_default(),
        observed: status.observed_generation.unwrap_or_default(),
        spec: fingerprint(&apps::DeploymentSpec { replicas: None, ..spec }),
        revision: revision(&object.metadata),
        newest: String::new(),
        wanted,
        kept: 0,
        total: count(status.replicas),
        updated: count(status.updated_replicas),
        ready: count(status.ready_replicas),
        available: count(status.available_replicas),
        min_ready,
        conditions: conditions.collect(),
    }
}

pub(super) fn stateful_set(object: &apps::StatefulSet) -> Workload {
    let (spec, status) = (object.spec.clone().unwrap_or_default(), object.status.clone().unwrap_or_default());
    let wanted = count(Some(spec.replicas.unwrap_or(1)));
    let strategy = spec.update_strategy.clone().unwrap_or_default();
    let kept = match strategy.type_.as_deref() {
        Some("OnDelete") => wanted,
        _ => count(strategy.rolling_update.and_then(|rolling| rolling.partition)).min(wanted),
    };
    Workload {
        kind: WorkloadKind::StatefulSet,
        id: identity(&object.metadata),
        generation: object.metadata.generation.unwrap_or_default(),
        observed: status.observed_generation.unwrap_or_default(),
        min_ready: count(spec.min_ready_seconds),
        spec: fingerprint(&apps::StatefulSetSpec { replicas: None, ..spec }),
        newest: status.update_revision.unwrap_or_default(),
        wanted,
        kept,
        total: count(Some(status.replicas)),
        updated: count(status.updated_replicas),
        ready: count(status.ready_replicas),
        available: count(status.available_replicas),
        ..Workload::default()
    }
}

pub(super) fn daemon_set(object: &apps::DaemonSet) -> Workload {
    let (spec, status) = (object.spec.clone().unwrap_or_default(), object.status.clone().unwrap_or_default());
    let wanted = count(Some(status.desired_number_scheduled));
    let on_delete =
        spec.update_strategy.as_ref().is_some_and(|strategy| strategy.type_.as_deref() == Some("OnDelete"));
    Workload {
        kind: WorkloadKind::DaemonSet,
        id: identity(&object.metadata),
        generation: object.metadata.generation.unwrap_or_default(),
        observed: status.observed_generation.unwrap_or_default(),
        min_ready: count(spec.min_ready_seconds),
        newest: fingerprint(&spec.template),
        spec: fingerprint(&spec),
        wanted,
        kept: if on_delete { wanted } else { 0 },
        total: count(Some(status.current_number_scheduled)),
        updated: count(status.updated_number_scheduled),
        ready: count(Some(status.number_ready)),
        available: count(status.number_available),
        ..Workload::default()
    }
}

pub(super) fn job(object: &batch::Job) -> Workload {
    let (spec, status) = (object.spec.clone().unwrap_or_default(), object.status.clone().unwrap_or_default());
    let conditions = status.conditions.unwrap_or_default().into_iter();
    let conditions = conditions.map(|it| condition(it.type_, it.status, it.reason, it.message));
    let generation = object.metadata.generation.unwrap_or_default();
    let succeeded = count(status.succeeded);
    Workload {
        kind: WorkloadKind::Job,
        id: identity(&object.metadata),
        generation,
        observed: generation,
        // The rest of it others may change: a queue starts it, an operator gives it more pods at a time.
        spec: fingerprint(&spec.template),
        wanted: count(spec.completions.or(spec.parallelism)).max(1),
        total: count(status.active),
        ready: succeeded,
        available: succeeded,
        conditions: conditions.collect(),
        ..Workload::default()
    }
}

/// A template that a DaemonSet has had, by a fingerprint that is the same as that of the DaemonSet which has it now.
pub(super) fn controller_revision(object: &apps::ControllerRevision) -> Revision {
    let template = object.data.as_ref().and_then(|data| data.0.pointer("/spec/template"));
    let template = template.and_then(|template| core::PodTemplateSpec::deserialize(template).ok());
    let labels = object.metadata.labels.as_ref();
    Revision {
        id: identity(&object.metadata),
        owner: owner(&object.metadata),
        template: template.map(|template| fingerprint(&template)).unwrap_or_default(),
        hash: labels.and_then(|labels| labels.get(POD_REVISION)).cloned().unwrap_or_default(),
    }
}

fn fingerprint(value: &impl Serialize) -> String {
    Digest::of(&serde_json::to_vec(value).unwrap_or_default()).hex()[..16].to_owned()
}

/// A condition of any kind of object; each kind has a type of its own for the same fields. Since when it holds only counts for a
/// Deployment.
pub(super) fn condition(
    kind: String,
    status: String,
    reason: Option<String>,
    message: Option<String>,
) -> Condition {
    let (reason, message) = (reason.unwrap_or_default(), message.unwrap_or_default());
    Condition { kind, status, reason, message, since: String::new() }
}

pub(super) fn replica_set(object: &apps::ReplicaSet) -> ReplicaSet {
    let status = object.status.clone().unwrap_or_default();
    let conditions = status
        .conditions
        .unwrap_or_default()
        .into_iter()
        .map(|it| condition(it.type_, it.status, it.reason, it.message));
    ReplicaSet {
        id: identity(&object.metadata),
        owner: owner(&object.metadata),
        revision: revision(&object.metadata),
        wanted: count(object.spec.as_ref().map(|spec| spec.replicas.unwrap_or(1))),
        total: count(Some(status.replicas)),
        conditions: conditions.collect(),
    }
}

pub(super) fn node(object: &core::Node) -> Node {
    let conditions = object.status.as_ref().and_then(|status| status.conditions.as_ref());
    let ready = conditions.into_iter().flatten().find(|condition| condition.type_ == "Ready");
    let name = object.metadata.name.clone().unwrap_or_default();
    Node { name, lost: ready.is_some_and(|condition| condition.status != "True") }
}

pub(super) fn pod(object: &core::Pod) -> Pod {
    let (spec, status) = (object.spec.clone().unwrap_or_default(), object.status.clone().unwrap_or_default());
    let conditions = status.conditions.unwrap_or_default().into_iter();
    let conditions =
        conditions.filter(|it| matches!(it.type_.as_str(), "Ready" | "PodScheduled" | "DisruptionTarget"));
    let conditions = conditions.map(|it| condition(it.type_, it.status, it.reason, it.message));
    let statuses = status.init_container_statuses.into_iter().flatten();
    let statuses = statuses.chain(status.container_statuses.into_iter().flatten());
    let statuses: BTreeMap<String, core::ContainerStatus> =
        statuses.map(|status| (status.name.clone(), status)).collect();
    let inits = spec
        .init_containers
        .into_iter()
        .flatten()
        .map(|it| (it.restart_policy.as_deref() != Some("Always"), it));
    let containers = inits.chain(spec.containers.into_iter().map(|it| (false, it)));
    Pod {
        id: identity(&object.metadata),
        owner: owner(&object.metadata),
        revision: object
            .metadata
            .labels
            .as_ref()
            .and_then(|all| all.get(POD_REVISION))
            .cloned()
            .unwrap_or_default(),
        phase: status.phase.unwrap_or_default(),
        reason: status.reason.unwrap_or_default(),
        ending: object.metadata.deletion_timestamp.is_some(),
        node: spec.node_name.unwrap_or_default(),
        conditions: conditions.collect(),
        containers: containers.map(|(init, it)| container(&it, init, statuses.get(&it.name))).collect(),
    }
}

fn container(spec: &core::Container, init: bool, status: Option<&core::ContainerStatus>) -> Container {
    let state = status.and_then(|status| status.state.clone()).unwrap_or_default();
    let state = match (state.running, state.terminated, state.waiting) {
        (Some(_), _, _) => ContainerState::Running,
        (None, Some(end), _) => ContainerState::Ended(ended(end)),
        (None, None, Some(waiting)) => ContainerState::Waiting {
            reason: waiting.reason.unwrap_or_default(),
            message: waiting.message.unwrap_or_default(),
        },
        (None, None, None) => ContainerState::Unknown,
    };
    let last = status.and_then(|status| status.last_state.clone()?.terminated).map(ended);
    Container {
        name: spec.name.clone(),
        init,
        state,
        last,
        restarts: count(status.map(|status| status.restart_count)),
        started: status.and_then(|status| status.started).unwrap_or_default(),
        ready: status.is_some_and(|status| status.ready),
        image: spec.image.clone().unwrap_or_default(),
        image_id: status.map(|status| status.image_id.clone()).unwrap_or_default(),
        startup: spec.startup_probe.as_ref().map(probe),
        readiness: spec.readiness_probe.as_ref().map(probe),
    }
}

fn ended(end: core::ContainerStateTerminated) -> Ended {
    Ended {
        code: end.exit_code,
        reason: end.reason.unwrap_or_default(),
        message: end.message.unwrap_or_default(),
    }
}

fn probe(probe: &core::Probe) -> Probe {
    let or = |value: Option<i32>, default: u32| value.map_or(default, |value| count(Some(value)));
    Probe {
        delay: or(probe.initial_delay_seconds, 0),
        period: or(probe.period_seconds, 10),
        timeout: or(probe.timeout_seconds, 1),
        failures: or(probe.failure_threshold, 3),
        successes: or(probe.success_threshold, 1),
    }
}

pub(super) fn event(object: &core::Event) -> Event {
    let about = &object.involved_object;
    let path = about.field_path.as_deref().unwrap_or_default();
    let container = path.split_once('{').and_then(|(_, rest)| rest.strip_suffix('}')).unwrap_or_default();
    let kind = about.kind.as_deref().unwrap_or_default();
    let series = object.series.as_ref().and_then(|series| series.count);
    Event {
        uid: object.metadata.uid.clone().unwrap_or_default(),
        about: about.uid.clone().unwrap_or_default(),
        object: format!("{kind}/{}", about.name.as_deref().unwrap_or_default()),
        container: container.to_owned(),
        reason: object.reason.clone().unwrap_or_default(),
        message: object.message.clone().unwrap_or_default(),
        count: count(object.count.or(series)).max(1),
    }
}

pub(super) fn identity(metadata: &ObjectMeta) -> Identity {
    Identity {
        name: metadata.name.clone().unwrap_or_default(),
        uid: metadata.uid.clone().unwrap_or_default(),
        version: version(metadata.resource_version.as_deref()),
    }
}

/// A version as a number. Since 1.35 the API promises that they can be compared; before, those of etcd could.
pub(super) fn version(text: Option<&str>) -> u64 {
    text.and_then(|text| text.parse().ok()).unwrap_or_default()
}

fn owner(metadata: &ObjectMeta) -> String {
    let mut owners = metadata.owner_references.iter().flatten();
    owners.find(|owner| owner.controller == Some(true)).map(|owner| owner.uid.clone()).unwrap_or_default()
}

fn revision(metadata: &ObjectMeta) -> u64 {
    version(
        metadata.annotations.as_ref().and_then(|annotations| annotations.get(REVISION)).map(String::as_str),
    )
}

fn count(number: Option<i32>) -> u32 {
    number.and_then(|number| u32::try_from(number).ok()).unwrap_or_default()
}

/// The names of the Secrets that a pod is given, each once.
pub(super) fn secrets(object: &core::Pod) -> BTreeSet<String> {
    let spec = object.spec.clone().unwrap_or_default();
    let containers: Vec<core::Container> =
        spec.containers.into_iter().chain(spec.init_containers.into_iter().flatten()).collect();
    let from = containers
        .iter()
        .flat_map(|it| it.env_from.iter().flatten())
        .filter_map(|it| Some(it.secret_ref.as_ref()?.name.clone()));
    let keys = containers.iter().flat_map(|it| it.env.iter().flatten());
    let keys = keys.filter_map(|it| Some(it.value_from.as_ref()?.secret_key_ref.as_ref()?.name.clone()));
    let volumes = spec.volumes.iter().flatten().filter_map(|it| it.secret.as_ref()?.secret_name.clone());
    let projected = spec.volumes.iter().flatten().filter_map(|it| it.projected.as_ref()?.sources.as_ref());
    let projected = projected.flatten().filter_map(|it| Some(it.secret.as_ref()?.name.clone()));
    from.chain(keys).chain(volumes).chain(projected).collect()
}

/// What the API server or the connection said, without the types around it.
pub(super) fn said(error: &kube::Error) -> String {
    if let kube::Error::Api(status) = error {
        return status.message.clone();
    }
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::de::DeserializeOwned;

    /// An object as Kubernetes 1.36.3 printed it.
    fn recorded<T: DeserializeOwned>(name: &str) -> T {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/kubernetes/v1.36.3");
        let text = std::fs::read_to_string(folder.join(format!("{name}.json"))).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn a_deployment_its_replica_set_and_its_pod_belong_together() {
        let deployment = deployment(&recorded("deployment"));
        let set = replica_set(&recorded("replica-set"));
        let pod = pod(&recorded("pod"));
        assert_eq!(
            (deployment.id.name.as_str(), deployment.generation, deployment.observed),
            ("hello", 1, 1)
        );
        assert_eq!(
            (deployment.revision, deployment.wanted, deployment.total, deployment.ready),
            (1, 1, 1, 0)
        );
        assert_eq!((set.owner.as_str(), set.revision), (deployment.id.uid.as_str(), 1));
        assert_eq!(pod.owner, set.id.uid);
        assert!(deployment.id.version > 0 && deployment.min_ready == 2);
        let progressing = deployment.conditions.iter().find(|it| it.kind == "Progressing").unwrap();
        assert!(progressing.status == "True" && progressing.since.starts_with("2026-"), "{progressing:?}");
    }

    #[test]
    fn a_stateful_set_names_the_revision_of_its_newest_pods_and_keeps_those_below_its_partition() {
        let set = stateful_set(&recorded("stateful-set"));
        let pod = pod(&recorded("pod-of-stateful-set"));
        assert_eq!((set.kind, set.generation, set.observed), (WorkloadKind::StatefulSet, 1, 1));
        assert_eq!((set.wanted, set.kept, set.total), (3, 1, 3));
        assert!(set.newest.starts_with("hello-") && pod.revision == set.newest, "{set:?} {pod:?}");
        assert_eq!(pod.owner, set.id.uid);
        let mut on_delete: apps::StatefulSet = recorded("stateful-set");
        let spec = on_delete.spec.as_mut().unwrap();
        spec.update_strategy.as_mut().unwrap().type_ = Some("OnDelete".to_owned());
        assert_eq!(stateful_set(&on_delete).kept, 3);
    }

    #[test]
    fn the_revision_of_a_daemon_set_is_known_by_its_template() {
        let set = daemon_set(&recorded("daemon-set"));
        let (new, old) = ("controller-revision", "controller-revision-old");
        let (new, old) = (controller_revision(&recorded(new)), controller_revision(&recorded(old)));
        assert_eq!((set.generation, set.wanted, set.kept), (2, 1, 0));
        assert_eq!((&new.owner, &new.template), (&set.id.uid, &set.newest));
        assert!(old.owner == set.id.uid && old.template != set.newest && old.hash != new.hash);
        assert_eq!(new.id.name, format!("hello-{}", new.hash));
    }

    #[test]
    fn a_job_says_whether_it_has_ended_and_how() {
        let (ended, failed) = (job(&recorded("job")), job(&recorded("job-failed")));
        assert!(ended.has_ended_well() && (ended.wanted, ended.ready, ended.total) == (1, 1, 0), "{ended:?}");
        let why = failed.conditions.iter().find(|it| it.is("Failed", "True")).map(|it| it.reason.as_str());
        assert_eq!((failed.has_ended_well(), why), (false, Some("BackoffLimitExceeded")));
        let mut waits: batch::Job = recorded("job");
        waits.status = None;
        assert!(!job(&waits).has_ended_well());
    }

    #[test]
    fn a_crashed_container_shows_how_it_ended_and_what_its_probes_allow() {
        let pod = pod(&recorded("pod"));
        let [sidecar, app] = pod.containers.as_slice() else { unreachable!("{pod:?}") };
        assert!(!sidecar.init, "one that is always restarted is meant to stay");
        assert_eq!((app.name.as_str(), app.restarts, app.ready, app.started), ("app", 1, false, false));
        assert!(matches!(&app.state, ContainerState::Waiting { reason, .. } if reason == "CrashLoopBackOff"));
        assert_eq!(app.last.as_ref().map(|end| (end.code, end.reason.as_str())), Some((139, "Error")));
        assert!(app.image_id.contains("@sha256:"), "{}", app.image_id);
        let startup = Probe { delay: 0, period: 1, timeout: 1, failures: 30, successes: 1 };
        let readiness = Probe { delay: 3, period: 10, timeout: 1, failures: 3, successes: 1 };
        assert_eq!((app.startup, app.readiness), (Some(startup), Some(readiness)));
    }

    #[test]
    fn an_event_names_its_container_and_how_often_it_was_told() {
        let event = event(&recorded("event"));
        assert_eq!(event.about, pod(&recorded("pod")).id.uid);
        assert_eq!((event.container.as_str(), event.reason.as_str(), event.count), ("app", "BackOff", 3));
    }

    #[test]
    fn the_fingerprint_follows_every_change_but_the_number_of_replicas() {
        let was: apps::Deployment = recorded("deployment");
        let mut scaled = was.clone();
        scaled.spec.as_mut().unwrap().replicas = Some(7);
        let mut edited = was.clone();
        edited.spec.as_mut().unwrap().revision_history_limit = Some(3);
        let spec = deployment(&was).spec;
        assert_eq!(deployment(&scaled).spec, spec);
        assert_ne!(deployment(&edited).spec, spec);
    }

    #[test]
    fn the_secrets_of_a_pod_are_found_wherever_they_are_named() {
        let names: Vec<String> = secrets(&recorded("pod")).into_iter().collect();
        assert_eq!(names, ["hello", "more", "token"]);
    }

    #[test]
    fn an_object_with_nothing_in_it_is_read_as_its_defaults() {
        let nothing = deployment(&apps::Deployment::default());
        assert_eq!((nothing.wanted, nothing.observed, nothing.revision), (1, 0, 0));
        let nothing = stateful_set(&apps::StatefulSet::default());
        assert_eq!((nothing.wanted, nothing.kept, nothing.newest.as_str()), (1, 0, ""));
        assert_eq!(daemon_set(&apps::DaemonSet::default()).wanted, 0);
        assert!(!job(&batch::Job::default()).has_ended_well());
        assert_eq!(controller_revision(&apps::ControllerRevision::default()).template, "");
        assert!(pod(&core::Pod::default()).containers.is_empty());
        assert_eq!(event(&core::Event::default()).count, 1);
        assert_eq!(replica_set(&apps::ReplicaSet::default()).owner, "");
    }
}
