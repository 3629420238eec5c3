//! A made-up Deployment `hello` that was working and is being rolled out anew, and what is seen of it.

use crate::rollout::seen::{
    Condition, Container, ContainerState, Ended, Event, Identity, Kind, Millis, Pod, Probe, ReplicaSet, Seen,
    What, Workload, WorkloadKind,
};
use crate::rollout::{Expected, Failure, Graces, State, Target, Verdict};

pub(super) const SOAK: Millis = 30_000;
pub(super) const BUDGET: Millis = 900_000;

/// What is seen, one after the other.
pub(super) struct Scene {
    pub(super) state: State,
    version: u64,
    pub(super) deployment: Workload,
    at: Millis,
}

pub(super) fn target() -> Target {
    Target {
        namespace: "here".to_owned(),
        workloads: vec![Expected { name: "hello".to_owned(), generation: Some(2), ..Expected::default() }],
        soak_ms: SOAK,
        budget_ms: BUDGET,
        images_proven: false,
        graces: Graces::default(),
    }
}

impl Scene {
    /// Revision 2 of `hello` has been applied and seen by its controller; two pods are wanted, and two of revision 1 work.
    pub(super) fn new() -> Scene {
        Scene::of(target(), 2)
    }

    pub(super) fn of(target: Target, wanted: u32) -> Scene {
        let deployment = Workload {
            id: Identity { name: "hello".to_owned(), uid: "d".to_owned(), version: 1 },
            generation: 2,
            observed: 2,
            spec: "new".to_owned(),
            revision: 2,
            wanted,
            total: wanted,
            ready: wanted,
            available: wanted,
            ..Workload::default()
        };
        let mut scene =
            Scene { state: State::new(target), version: 10, deployment: deployment.clone(), at: 0 };
        scene.see(0, What::Workload(deployment));
        scene.set(0, "old", 1, wanted);
        scene.set(0, "new", 2, 1);
        for number in 0..wanted {
            scene.see(0, What::Pod(ready(&format!("old-{number}"), "old")));
        }
        for (kind, uids) in [
            (Kind::Workload(WorkloadKind::Deployment), vec!["d".to_owned()]),
            (Kind::ReplicaSet, vec!["old".to_owned(), "new".to_owned()]),
            (Kind::Pod, (0..wanted).map(|number| format!("old-{number}")).collect()),
        ] {
            scene.see(0, What::Relisted { kind, version: 1000, uids });
        }
        scene
    }

    pub(super) fn see(&mut self, at: Millis, mut what: What) {
        self.version += 1;
        let version = self.version;
        match &mut what {
            What::Workload(it) => it.id.version = version,
            What::ReplicaSet(it) => it.id.version = version,
            What::Pod(it) => it.id.version = version,
            What::Revision(it) => it.id.version = version,
            What::Event(_) | What::Node(_) | What::Gone { .. } | What::Relisted { .. } | What::Tick => {}
        }
        assert!(at >= self.at, "a scene is told in order");
        self.at = at;
        let state = std::mem::replace(&mut self.state, State::new(target()));
        self.state = state.step(&Seen { at, what });
    }

    pub(super) fn set(&mut self, at: Millis, uid: &str, revision: u64, total: u32) {
        self.see(at, What::ReplicaSet(set(uid, revision, total)));
    }

    pub(super) fn pod(&mut self, at: Millis, pod: Pod) {
        self.see(at, What::Pod(pod));
    }

    pub(super) fn deployment(&mut self, at: Millis, change: impl FnOnce(&mut Workload)) {
        change(&mut self.deployment);
        let deployment = self.deployment.clone();
        self.see(at, What::Workload(deployment));
    }

    pub(super) fn event(&mut self, at: Millis, pod: &str, reason: &str, message: &str, count: u32) {
        self.see(at, What::Event(event(pod, reason, message, count)));
    }

    pub(super) fn verdict(&self) -> Verdict {
        self.state.verdict()
    }

    /// The verdict when no more is seen until then.
    pub(super) fn at(&mut self, at: Millis) -> Verdict {
        self.see(at, What::Tick);
        self.verdict()
    }

    /// That nothing is decided a millisecond before, and this failure then.
    pub(super) fn fails_at(&mut self, at: Millis) -> Failure {
        assert_eq!(self.at(at - 1), Verdict::Watching, "a millisecond before");
        self.failed(at)
    }

    /// That it is bad, decided at this moment.
    pub(super) fn failed(&mut self, at: Millis) -> Failure {
        let verdict = self.at(at);
        let Verdict::Bad(failure) = verdict else { unreachable!("{verdict:?}: {}", self.state.waits_for()) };
        assert_eq!(failure.decided_ms, at, "{failure}");
        failure
    }

    /// All pods of revision 2 are ready, and those of revision 1 are gone.
    pub(super) fn complete(&mut self, at: Millis) {
        let wanted = self.deployment.wanted;
        for number in 0..wanted {
            self.pod(at, ready(&format!("new-{number}"), "new"));
            self.see(at, What::Gone { kind: Kind::Pod, uid: format!("old-{number}") });
        }
        self.set(at, "old", 1, 0);
        self.set(at, "new", 2, wanted);
        self.deployment(at, |it| {
            (it.total, it.updated, it.ready, it.available) = (wanted, wanted, wanted, wanted);
        });
    }
}

pub(super) fn set(uid: &str, revision: u64, total: u32) -> ReplicaSet {
    ReplicaSet {
        id: Identity { name: format!("hello-{uid}"), uid: uid.to_owned(), version: 0 },
        owner: "d".to_owned(),
        revision,
        wanted: total,
        total,
        conditions: Vec::new(),
    }
}

/// A pod with one container, `app`, that is being created.
pub(super) fn pod(uid: &str, owner: &str) -> Pod {
    let app = Container {
        name: "app".to_owned(),
        state: waiting("ContainerCreating", ""),
        image: "registry/app:1".to_owned(),
        ..Container::default()
    };
    Pod {
        id: Identity { name: format!("hello-{uid}"), uid: uid.to_owned(), version: 0 },
        owner: owner.to_owned(),
        phase: "Pending".to_owned(),
        containers: vec![app],
        ..Pod::default()
    }
}

/// The pod `new-0` whose container is in this state.
pub(super) fn new_in(state: ContainerState) -> Pod {
    let mut pod = pod("new-0", "new");
    pod.containers[0].state = state;
    pod
}

/// A pod that is ready.
pub(super) fn ready(uid: &str, owner: &str) -> Pod {
    let mut pod = running(uid, owner);
    pod.containers[0].ready = true;
    pod.conditions = vec![condition("Ready", "True", "", "")];
    pod
}

/// A pod whose container runs and is not ready.
pub(super) fn running(uid: &str, owner: &str) -> Pod {
    let mut pod = pod(uid, owner);
    pod.phase = "Running".to_owned();
    pod.containers[0].state = ContainerState::Running;
    pod.containers[0].started = true;
    pod
}

/// The pod `new-0` whose container has crashed so often, the last time just now.
pub(super) fn crashed(times: u32, end: Ended) -> Pod {
    let mut pod = pod("new-0", "new");
    pod.phase = "Running".to_owned();
    pod.containers[0].restarts = times - 1;
    pod.containers[0].state = ContainerState::Ended(end);
    pod
}

pub(super) fn exit(code: i32, reason: &str, message: &str) -> Ended {
    Ended { code, reason: reason.to_owned(), message: message.to_owned() }
}

pub(super) fn waiting(reason: &str, message: &str) -> ContainerState {
    ContainerState::Waiting { reason: reason.to_owned(), message: message.to_owned() }
}

pub(super) fn condition(kind: &str, status: &str, reason: &str, message: &str) -> Condition {
    Condition {
        kind: kind.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        since: "2026-01-01T00:00:00Z".to_owned(),
    }
}

pub(super) fn event(pod: &str, reason: &str, message: &str, count: u32) -> Event {
    Event {
        uid: format!("{pod}-{reason}"),
        about: pod.to_owned(),
        object: format!("Pod/hello-{pod}"),
        container: "app".to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        count,
    }
}

/// A probe that is tried every `period` seconds and may fail so often.
pub(super) fn probe(period: u32, failures: u32) -> Probe {
    Probe { delay: 0, period, timeout: 1, failures, successes: 1 }
}
