//! Workloads other than Deployments: which of their pods count, when they are good, and what makes them bad.

use super::scene::{SOAK, condition, crashed, event, exit, new_in, pod, ready, running, target, waiting};
use crate::rollout::seen::{
    Event, Identity, Kind, Millis, Pod, Revision, Seen, What, Workload, WorkloadKind,
};
use crate::rollout::{Expected, Rule, State, Target, Verdict};

/// One workload, which has been applied and seen by its controller, and what is seen of it.
struct Scene {
    state: State,
    workload: Workload,
    version: u64,
}

impl Scene {
    fn of(kind: WorkloadKind, wanted: u32) -> Scene {
        let workload = Workload {
            kind,
            id: Identity { name: "db".to_owned(), uid: "w".to_owned(), version: 1 },
            generation: 2,
            observed: 2,
            spec: "new".to_owned(),
            newest: "db-2".to_owned(),
            wanted,
            total: wanted,
            ready: wanted,
            available: wanted,
            ..Workload::default()
        };
        let expected = Expected { kind, generation: Some(2), ..Expected::named("db") };
        let state = State::new(Target { workloads: vec![expected], ..target() });
        let mut scene = Scene { state, workload, version: 10 };
        scene.see(0, What::Workload(scene.workload.clone()));
        for kind in Kind::of(&[kind].into()) {
            let uids =
                if kind == Kind::Workload(scene.workload.kind) { vec!["w".to_owned()] } else { Vec::new() };
            scene.see(0, What::Relisted { kind, version: 1, uids });
        }
        scene
    }

    fn see(&mut self, at: Millis, mut what: What) {
        self.version += 1;
        match &mut what {
            What::Workload(it) => it.id.version = self.version,
            What::Pod(it) => it.id.version = self.version,
            What::ReplicaSet(_) | What::Revision(_) | What::Event(_) | What::Node(_) => {}
            What::Gone { .. } | What::Relisted { .. } | What::Tick => {}
        }
        let state = std::mem::replace(&mut self.state, State::new(target()));
        self.state = state.step(&Seen { at, what });
    }

    fn change(&mut self, at: Millis, change: impl FnOnce(&mut Workload)) {
        change(&mut self.workload);
        self.see(at, What::Workload(self.workload.clone()));
    }

    fn pod(&mut self, at: Millis, pod: Pod) {
        self.see(at, What::Pod(pod));
    }

    fn at(&mut self, at: Millis) -> Verdict {
        self.see(at, What::Tick);
        self.state.verdict()
    }

    fn is_good_at(&mut self, at: Millis) -> bool {
        matches!(self.at(at), Verdict::Good(_))
    }

    fn rule_at(&mut self, at: Millis) -> Option<Rule> {
        match self.at(at) {
            Verdict::Bad(failure) => Some(failure.rule),
            Verdict::Watching | Verdict::Good(_) | Verdict::Superseded(_) => None,
        }
    }

    /// Tells that a pod may not be created, for the `count`th time.
    fn refused(&mut self, at: Millis, uid: &str, count: u32) {
        let event = Event {
            uid: uid.to_owned(),
            about: "w".to_owned(),
            object: "StatefulSet/db".to_owned(),
            container: String::new(),
            ..event("w", "FailedCreate", "exceeded quota: small", count)
        };
        self.see(at, What::Event(event));
    }
}

/// The same pod, of this revision of `db`.
fn of(revision: &str, mut pod: Pod) -> Pod {
    pod.owner = "w".to_owned();
    pod.revision = revision.to_owned();
    pod
}

#[test]
fn a_stateful_set_is_good_when_the_last_of_its_pods_is_new_and_ready() {
    let mut scene = Scene::of(WorkloadKind::StatefulSet, 2);
    scene.pod(0, of("db-1", ready("a0", "w")));
    scene.pod(0, of("db-2", ready("b1", "w")));
    scene.change(0, |it| it.updated = 1);
    assert_eq!(scene.at(SOAK + 1000), Verdict::Watching, "{}", scene.state.waits_for());
    assert_eq!(scene.state.waits_for(), "statefulset db: 1 of 2 new pods ready, 1 old to go");
    scene.see(40_000, What::Gone { kind: Kind::Pod, uid: "a0".to_owned() });
    scene.pod(40_000, of("db-2", ready("b0", "w")));
    scene.change(40_000, |it| it.updated = 2);
    assert_eq!(scene.at(40_000 + SOAK - 1), Verdict::Watching);
    assert!(scene.is_good_at(40_000 + SOAK), "{}", scene.state.waits_for());
}

#[test]
fn below_its_partition_a_stateful_set_keeps_its_old_pods_and_above_it_may_not() {
    let mut scene = Scene::of(WorkloadKind::StatefulSet, 3);
    scene.change(0, |it| (it.kept, it.updated) = (2, 1));
    for name in ["a0", "a1"] {
        scene.pod(0, of("db-1", ready(name, "w")));
    }
    scene.pod(0, of("db-1", ready("a2", "w")));
    assert_eq!(scene.at(SOAK), Verdict::Watching, "{}", scene.state.waits_for());
    scene.see(SOAK, What::Gone { kind: Kind::Pod, uid: "a2".to_owned() });
    scene.pod(SOAK, of("db-2", ready("b2", "w")));
    assert!(scene.is_good_at(SOAK * 2), "{}", scene.state.waits_for());
}

#[test]
fn pods_that_wait_for_somebody_to_delete_them_are_watched_as_they_are() {
    let mut scene = Scene::of(WorkloadKind::StatefulSet, 2);
    scene.change(0, |it| it.kept = 2);
    scene.pod(0, of("db-1", ready("a0", "w")));
    scene.pod(0, of("db-1", ready("a1", "w")));
    assert!(scene.is_good_at(SOAK), "{}", scene.state.waits_for());
}

#[test]
fn only_pods_of_the_newest_revision_make_a_stateful_set_bad() {
    let broken = || new_in(waiting("ErrImagePull", "db:2: not found"));
    let mut scene = Scene::of(WorkloadKind::StatefulSet, 2);
    scene.pod(1000, of("db-1", broken()));
    assert_eq!(scene.at(20_000), Verdict::Watching);
    scene.pod(21_000, of("db-2", broken()));
    let Verdict::Bad(failure) = scene.at(21_000) else { unreachable!("{}", scene.state.waits_for()) };
    assert_eq!((failure.rule, failure.workload.as_str()), (Rule::F2, "statefulset db"));
}

#[test]
fn which_pods_of_a_daemon_set_are_the_newest_is_told_by_their_template() {
    let revision = |uid: &str, template: &str, hash: &str| {
        let id = Identity { name: format!("db-{hash}"), uid: uid.to_owned(), version: 1 };
        let (owner, template, hash) = ("w".to_owned(), template.to_owned(), hash.to_owned());
        What::Revision(Revision { id, owner, template, hash })
    };
    let crashing = |revision: &str| of(revision, crashed(3, exit(1, "Error", "")));
    let mut scene = Scene::of(WorkloadKind::DaemonSet, 1);
    scene.see(500, revision("r1", "older", "h1"));
    scene.pod(1000, crashing("h1"));
    assert_eq!(scene.at(2000), Verdict::Watching, "the new revision has not been heard of");
    scene.see(3000, revision("r2", "db-2", "h2"));
    assert_eq!(scene.at(9000), Verdict::Watching, "the crashing pod is an old one");
    scene.pod(10_000, crashing("h2"));
    assert_eq!(scene.rule_at(10_000), Some(Rule::F6));

    let mut scene = Scene::of(WorkloadKind::DaemonSet, 1);
    scene.see(500, revision("r2", "db-2", "h2"));
    scene.pod(1000, of("h2", ready("b", "w")));
    scene.change(1000, |it| it.updated = 1);
    assert!(scene.is_good_at(1000 + SOAK), "{}", scene.state.waits_for());
}

#[test]
fn pods_that_may_not_be_created_are_told_by_events_of_this_rollout_alone() {
    for kind in [WorkloadKind::StatefulSet, WorkloadKind::DaemonSet, WorkloadKind::Job] {
        let mut scene = Scene::of(kind, 2);
        let (total, ready) = (1, 0);
        scene.change(0, |it| (it.total, it.ready) = (total, ready));
        scene.refused(1000, "e", 3);
        scene.refused(2000, "e", 4);
        assert_eq!(scene.rule_at(20_999), None, "{kind:?}: {}", scene.state.waits_for());
        assert_eq!(scene.rule_at(21_000), Some(Rule::F9), "{kind:?}: {}", scene.state.waits_for());

        let mut healed = Scene::of(kind, 2);
        healed.change(0, |it| (it.total, it.ready) = (1, 0));
        healed.refused(1000, "e", 3);
        healed.change(15_000, |it| it.total = 2);
        healed.change(16_000, |it| it.total = 1);
        assert_eq!(healed.rule_at(36_000), None, "{kind:?}: an event is not taken back, but it is over");
    }
    // What is on the first list is of an earlier rollout.
    let expected = Expected { kind: WorkloadKind::StatefulSet, ..Expected::named("db") };
    let mut scene = Scene::of(WorkloadKind::StatefulSet, 2);
    scene.state = State::new(Target { workloads: vec![expected], ..target() });
    scene.change(0, |it| (it.total, it.ready) = (1, 1));
    scene.refused(100, "e", 3);
    for kind in Kind::of(&[WorkloadKind::StatefulSet].into()) {
        scene.see(200, What::Relisted { kind, version: 1, uids: vec!["w".to_owned()] });
    }
    assert_eq!(scene.rule_at(60_000), None, "{}", scene.state.waits_for());
}

#[test]
fn a_job_is_good_when_it_has_ended_well_and_stays_so_when_it_removes_itself() {
    let mut scene = Scene::of(WorkloadKind::Job, 1);
    scene.change(0, |it| (it.total, it.ready) = (1, 0));
    scene.pod(1000, of("", running("a", "w")));
    assert_eq!(scene.at(600_000), Verdict::Watching, "work takes its time: {}", scene.state.waits_for());
    let mut ended = running("a", "w");
    ended.phase = "Succeeded".to_owned();
    ended.containers[0].state = crate::rollout::seen::ContainerState::Ended(exit(0, "Completed", ""));
    scene.pod(601_000, of("", ended));
    scene.change(601_000, |it| {
        (it.total, it.ready) = (0, 1);
        it.conditions = vec![condition("Complete", "True", "", "")];
    });
    scene.see(610_000, What::Gone { kind: Kind::Workload(WorkloadKind::Job), uid: "w".to_owned() });
    assert!(scene.is_good_at(601_000 + SOAK), "{}", scene.state.waits_for());
}

#[test]
fn a_job_that_is_removed_before_it_has_ended_was_somebody_elses_doing() {
    let mut scene = Scene::of(WorkloadKind::Job, 1);
    scene.see(1000, What::Gone { kind: Kind::Workload(WorkloadKind::Job), uid: "w".to_owned() });
    assert!(matches!(scene.at(1000), Verdict::Superseded(_)));
}

#[test]
fn how_often_the_pods_of_a_job_may_fail_is_for_the_job_to_say() {
    let mut scene = Scene::of(WorkloadKind::Job, 1);
    scene.change(0, |it| (it.total, it.ready) = (1, 0));
    scene.pod(1000, of("", crashed(4, exit(1, "Error", ""))));
    assert_eq!(scene.at(5000), Verdict::Watching, "{}", scene.state.waits_for());
    let mut last = crashed(5, exit(3, "Error", ""));
    last.phase = "Failed".to_owned();
    scene.pod(6000, of("", last));
    scene.change(6000, |it| {
        it.conditions = vec![condition("Failed", "True", "BackoffLimitExceeded", "too often")];
    });
    let Verdict::Bad(failure) = scene.at(6000) else { unreachable!("{}", scene.state.waits_for()) };
    assert_eq!((failure.rule, failure.object.as_str()), (Rule::F12, "job db"));
    assert_eq!(failure.log_hint.map(|hint| hint.pod).as_deref(), Some("hello-new-0"));
}

#[test]
fn a_job_that_had_failed_before_anybody_looked_is_bad_and_one_whose_image_is_missing_does_not_wait() {
    let mut scene = Scene::of(WorkloadKind::Job, 1);
    scene.change(0, |it| it.conditions = vec![condition("Failed", "True", "DeadlineExceeded", "")]);
    assert_eq!(scene.rule_at(100), Some(Rule::F12));
    let mut scene = Scene::of(WorkloadKind::Job, 1);
    scene.pod(1000, of("", new_in(waiting("ErrImagePull", "db:2: not found"))));
    assert_eq!(scene.rule_at(1000), Some(Rule::F2));
    let mut slow = Scene::of(WorkloadKind::Job, 1);
    slow.change(0, |it| (it.total, it.ready) = (1, 0));
    slow.pod(1000, of("", pod("a", "w")));
    assert_eq!(slow.rule_at(241_000), Some(Rule::F13), "a pod that is not even begun has no work to do");
}

#[test]
fn two_workloads_of_one_name_are_told_apart_by_their_kind() {
    let expected = |kind| Expected { kind, generation: Some(2), ..Expected::named("db") };
    let workloads = vec![expected(WorkloadKind::StatefulSet), expected(WorkloadKind::Job)];
    let mut state = State::new(Target { workloads, ..target() });
    let of_kind = |kind, uid: &str, conditions| {
        let id = Identity { name: "db".to_owned(), uid: uid.to_owned(), version: 1 };
        What::Workload(Workload { kind, id, generation: 2, observed: 2, conditions, ..Workload::default() })
    };
    let failed = vec![condition("Failed", "True", "BackoffLimitExceeded", "")];
    for what in [of_kind(WorkloadKind::StatefulSet, "s", Vec::new()), of_kind(WorkloadKind::Job, "j", failed)]
    {
        state = state.step(&Seen { at: 0, what });
    }
    let verdict = state.verdict();
    assert!(matches!(&verdict, Verdict::Bad(failure) if failure.workload == "job db"), "{verdict:?}");
}
