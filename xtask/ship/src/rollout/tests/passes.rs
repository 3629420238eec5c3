//! What looks like a fault and is none, and what it takes to be good.

use super::scene::{
    BUDGET, SOAK, Scene, condition, crashed, exit, new_in, pod, probe, ready, running, set, target, waiting,
};
use crate::rollout::seen::{Kind, Node, Pod, What};
use crate::rollout::{Expected, Rule, Target, Verdict};

#[test]
fn a_rollout_that_completes_is_good_after_its_soak_and_not_before() {
    let mut scene = Scene::new();
    scene.complete(5000);
    assert_eq!(scene.at(5000 + SOAK - 1), Verdict::Watching);
    let Verdict::Good(proof) = scene.at(5000 + SOAK) else { unreachable!("{:?}", scene.verdict()) };
    assert_eq!((proof.complete_ms, proof.decided_ms), (5000, 35_000));
    let hello = &proof.workloads[0];
    assert_eq!((hello.generation, hello.revision, hello.replicas), (2, 2, 2));
}

#[test]
fn a_slow_start_within_its_budget_passes_however_long_nothing_moves() {
    let mut scene = Scene::new();
    let mut slow = running("new-0", "new");
    slow.containers[0].started = false;
    slow.containers[0].startup = Some(probe(10, 60));
    scene.pod(1000, slow);
    assert_eq!(scene.at(599_000), Verdict::Watching, "nothing has moved for ten minutes, as was allowed");
    scene.complete(600_000);
    assert!(matches!(scene.at(600_000 + SOAK), Verdict::Good(_)), "{}", scene.state.waits_for());
}

#[test]
fn one_transient_crash_passes() {
    let mut scene = Scene::new();
    scene.pod(1000, crashed(1, exit(1, "Error", "")));
    scene.complete(5000);
    let mut pod = ready("new-0", "new");
    pod.containers[0].restarts = 1;
    scene.pod(5000, pod);
    assert!(matches!(scene.at(5000 + SOAK), Verdict::Good(_)), "{}", scene.state.waits_for());
}

#[test]
fn a_crash_in_the_soak_begins_it_anew() {
    let mut scene = Scene::new();
    scene.complete(5000);
    scene.pod(20_000, crashed(1, exit(1, "Error", "")));
    scene.deployment(20_000, |it| (it.ready, it.available) = (1, 1));
    let mut pod = ready("new-0", "new");
    pod.containers[0].restarts = 1;
    scene.pod(22_000, pod);
    scene.deployment(22_000, |it| (it.ready, it.available) = (2, 2));
    assert_eq!(scene.at(22_000 + SOAK - 1), Verdict::Watching);
    assert!(matches!(scene.at(22_000 + SOAK), Verdict::Good(_)));
}

#[test]
fn readiness_that_is_lost_for_a_moment_is_no_fault_and_begins_the_soak_anew() {
    let mut scene = Scene::new();
    scene.complete(5000);
    let mut flaps = running("new-0", "new");
    flaps.containers[0].readiness = Some(probe(1, 3));
    scene.pod(20_000, flaps);
    scene.deployment(20_000, |it| it.ready = 1);
    assert_eq!(scene.at(21_000), Verdict::Watching, "it has the time of its probe again");
    scene.pod(21_000, ready("new-0", "new"));
    scene.deployment(21_000, |it| it.ready = 2);
    assert_eq!(scene.at(21_000 + SOAK - 1), Verdict::Watching);
    assert!(matches!(scene.at(21_000 + SOAK), Verdict::Good(_)));
}

#[test]
fn an_autoscaler_that_changes_replicas_is_nobody_else() {
    let mut scene = Scene::new();
    scene.complete(5000);
    scene.deployment(10_000, |it| (it.generation, it.wanted) = (3, 3));
    assert_eq!(scene.at(10_500), Verdict::Watching, "its controller has not seen it yet");
    scene.deployment(11_000, |it| (it.observed, it.total, it.updated) = (3, 3, 3));
    scene.pod(11_000, pod("new-2", "new"));
    assert_eq!(scene.at(5000 + SOAK), Verdict::Watching, "the third pod is not ready");
    scene.pod(40_000, ready("new-2", "new"));
    scene.deployment(40_000, |it| (it.ready, it.available) = (3, 3));
    assert!(matches!(scene.verdict(), Verdict::Good(_)), "the soak went on: {}", scene.state.waits_for());

    let mut scene = Scene::new();
    scene.complete(5000);
    scene.see(10_000, What::Gone { kind: Kind::Pod, uid: "new-1".to_owned() });
    scene.deployment(10_000, |it| {
        (it.generation, it.observed) = (3, 3);
        (it.wanted, it.total, it.updated, it.ready, it.available) = (1, 1, 1, 1, 1);
    });
    assert!(matches!(scene.at(5000 + SOAK), Verdict::Good(_)), "{}", scene.state.waits_for());
}

#[test]
fn pods_that_end_or_were_put_off_their_node_do_not_count() {
    let mut ending = crashed(5, exit(1, "Error", ""));
    ending.ending = true;
    let mut evicted = crashed(5, exit(1, "Error", ""));
    (evicted.phase, evicted.reason) = ("Failed".to_owned(), "Evicted".to_owned());
    let mut preempted = crashed(5, exit(1, "Error", ""));
    preempted.conditions = vec![condition("DisruptionTarget", "True", "PreemptionByScheduler", "")];
    let mut old = crashed(5, exit(1, "Error", ""));
    old.owner = "old".to_owned();
    let mut stranger = crashed(5, exit(1, "Error", ""));
    stranger.owner = "elsewhere".to_owned();
    for bad in [ending, evicted, preempted, old, stranger] {
        let mut scene = Scene::new();
        let mut bad = bad;
        bad.id.uid = "bad".to_owned();
        scene.pod(1000, bad.clone());
        assert_eq!(scene.at(20_000), Verdict::Watching, "{bad:?}");
        scene.complete(20_000);
        scene.see(20_000, What::Gone { kind: Kind::Pod, uid: "bad".to_owned() });
        assert!(matches!(scene.at(20_000 + SOAK), Verdict::Good(_)), "{}", scene.state.waits_for());
    }
}

fn node(lost: bool) -> What {
    What::Node(Node { name: "n3".to_owned(), lost })
}

/// On the node that is lost in these tests.
fn stranded(mut pod: Pod) -> Pod {
    pod.node = "n3".to_owned();
    pod
}

#[test]
fn a_pod_on_a_lost_node_is_no_sign_and_what_cannot_move_meanwhile_is_waited_for() {
    let mut scene = Scene::new();
    let mut silent = running("new-0", "new");
    silent.containers[0].readiness = Some(probe(1, 3));
    scene.pod(1000, stranded(silent));
    scene.see(2000, node(true));
    assert_eq!(scene.at(100_000), Verdict::Watching, "not ready for long, and no fault of its own");
    // The controller of the Deployment cannot know that either.
    let gave_up = condition("Progressing", "False", "ProgressDeadlineExceeded", "");
    scene.deployment(300_000, |it| it.conditions = vec![gave_up]);
    assert_eq!(scene.at(400_000), Verdict::Watching, "{}", scene.state.waits_for());
    assert!(scene.state.waits_for().contains("1 on a node that is lost"), "{}", scene.state.waits_for());
    // The cluster gives the pod up, and makes another one.
    let mut given_up = stranded(running("new-0", "new"));
    given_up.ending = true;
    scene.pod(400_000, given_up);
    scene.pod(400_000, pod("new-2", "new"));
    assert_eq!(scene.at(401_000), Verdict::Watching, "{}", scene.state.waits_for());
    scene.see(402_000, What::Gone { kind: Kind::Pod, uid: "new-0".to_owned() });
    scene.pod(402_000, ready("new-2", "new"));
    scene.pod(402_000, ready("new-1", "new"));
    for number in 0..2 {
        scene.see(402_000, What::Gone { kind: Kind::Pod, uid: format!("old-{number}") });
    }
    scene.set(402_000, "old", 1, 0);
    scene.set(402_000, "new", 2, 2);
    scene.deployment(402_000, |it| {
        it.conditions.clear();
        (it.total, it.updated, it.ready, it.available) = (2, 2, 2, 2);
    });
    assert!(matches!(scene.at(402_000 + SOAK), Verdict::Good(_)), "{}", scene.state.waits_for());
}

#[test]
fn a_node_that_is_back_excuses_nothing() {
    let mut scene = Scene::new();
    let bad = stranded(crashed(2, exit(1, "Error", "")));
    scene.see(1000, node(true));
    scene.pod(1000, bad);
    assert_eq!(scene.at(60_000), Verdict::Watching);
    scene.see(60_000, node(false));
    assert_eq!(scene.failed(60_000).rule, Rule::F6);
}

#[test]
fn a_pod_of_the_revision_before_on_a_lost_node_keeps_time_from_passing_too() {
    let mut scene = Scene::new();
    scene.pod(0, stranded(ready("old-0", "old")));
    scene.see(1000, node(true));
    assert_eq!(scene.at(600_000), Verdict::Watching, "nothing could move for ten minutes");
    scene.see(600_000, What::Gone { kind: Kind::Pod, uid: "old-0".to_owned() });
    assert_eq!(scene.fails_at(840_000).rule, Rule::F13, "from when it could");
}

#[test]
fn crashes_from_before_the_rollout_are_history() {
    let mut scene = Scene::new();
    let mut long = ready("new-0", "new");
    long.containers[0].restarts = 7;
    scene.pod(1000, long.clone());
    assert_eq!(scene.at(2000), Verdict::Watching);
    long.containers[0].restarts = 8;
    scene.pod(3000, long);
    assert_eq!(scene.at(4000), Verdict::Watching, "one crash of its own");
}

#[test]
fn before_the_controller_has_acted_the_old_pods_say_nothing() {
    let mut scene = Scene::new();
    scene.deployment(0, |it| (it.observed, it.revision) = (1, 1));
    let mut bad = crashed(5, exit(1, "Error", ""));
    bad.owner = "old".to_owned();
    scene.pod(1000, bad);
    assert_eq!(scene.at(30_000), Verdict::Watching);
}

#[test]
fn what_healed_in_its_grace_is_forgotten() {
    let mut scene = Scene::new();
    scene.pod(1000, new_in(waiting("CreateContainerConfigError", "configmap not found")));
    scene.pod(15_000, new_in(waiting("ContainerCreating", "")));
    scene.pod(15_500, new_in(waiting("CreateContainerConfigError", "configmap not found")));
    assert_eq!(scene.at(30_000), Verdict::Watching);
    assert!(matches!(scene.at(30_500), Verdict::Bad(_)));
}

#[test]
fn it_is_not_good_while_anything_is_missing() {
    let spoil: [fn(&mut Scene); 7] = [
        |scene| scene.deployment(6000, |it| it.available = 1),
        |scene| scene.deployment(6000, |it| it.updated = 1),
        |scene| scene.deployment(6000, |it| it.total = 3),
        |scene| scene.deployment(6000, |it| it.observed = 1),
        |scene| scene.set(6000, "old", 1, 1),
        |scene| scene.pod(6000, ready("old-7", "old")),
        |scene| scene.see(6000, What::Gone { kind: Kind::Pod, uid: "new-1".to_owned() }),
    ];
    for (number, spoil) in spoil.into_iter().enumerate() {
        let mut scene = Scene::new();
        scene.complete(5000);
        spoil(&mut scene);
        assert_eq!(scene.at(5000 + SOAK + 60_000), Verdict::Watching, "{number}");
    }
}

#[test]
fn a_container_that_runs_another_digest_is_not_good() {
    let digest = format!("sha256:{}", "a".repeat(64));
    let images = [("app".to_owned(), digest.clone().try_into().unwrap())];
    let expected = Expected { images: images.into(), generation: Some(2), ..Expected::named("hello") };
    for (image, image_id, good) in [
        ("registry/app:1".to_owned(), format!("registry/app@{digest}"), true),
        ("registry/app:1".to_owned(), format!("registry/app@sha256:{}", "b".repeat(64)), false),
        // The node reports the child of an index for its platform, and the pod asked for the index.
        (format!("mirror/app@{digest}"), format!("registry/app@sha256:{}", "c".repeat(64)), true),
        ("registry/app:1".to_owned(), String::new(), false),
    ] {
        let mut scene = Scene::of(Target { workloads: vec![expected.clone()], ..target() }, 2);
        scene.complete(5000);
        for uid in ["new-0", "new-1"] {
            let mut pod = ready(uid, "new");
            (pod.containers[0].image, pod.containers[0].image_id) = (image.clone(), image_id.clone());
            scene.pod(5000, pod);
        }
        assert_eq!(matches!(scene.at(5000 + SOAK), Verdict::Good(_)), good, "{image} {image_id}");
    }
}

#[test]
fn nothing_is_good_before_everything_was_listed_once() {
    let mut state = crate::rollout::State::new(target());
    let mut whole = Scene::new();
    whole.complete(0);
    let pods = ["new-0", "new-1"].map(|uid| What::Pod(ready(uid, "new")));
    let seen = [What::Workload(whole.deployment.clone()), What::ReplicaSet(set("new", 2, 2))];
    for what in seen.into_iter().chain(pods) {
        state = state.step(&crate::rollout::seen::Seen { at: 0, what });
    }
    let state = state.step(&crate::rollout::seen::Seen { at: SOAK + 1, what: What::Tick });
    assert_eq!(state.verdict(), Verdict::Watching, "an old ReplicaSet may not have been heard of");
}

#[test]
fn a_list_removes_what_a_watch_has_missed_and_nothing_that_is_newer() {
    let mut scene = Scene::new();
    scene.complete(5000);
    scene.pod(5000, ready("old-9", "old"));
    assert_eq!(scene.at(5000 + SOAK), Verdict::Watching);
    let uids = vec!["new-0".to_owned(), "new-1".to_owned()];
    scene.see(40_000, What::Relisted { kind: Kind::Pod, version: 5, uids: uids.clone() });
    assert_eq!(scene.at(40_000 + SOAK), Verdict::Watching, "the list is older than the pod");
    scene.see(80_000, What::Relisted { kind: Kind::Pod, version: 1000, uids });
    assert!(matches!(scene.at(80_000 + SOAK), Verdict::Good(_)), "{}", scene.state.waits_for());
}

#[test]
fn what_was_deleted_does_not_come_back_with_a_late_list() {
    let mut scene = Scene::new();
    scene.pod(1000, new_in(waiting("CreateContainerConfigError", "")));
    scene.see(2000, What::Gone { kind: Kind::Pod, uid: "new-0".to_owned() });
    scene.pod(3000, new_in(waiting("CreateContainerConfigError", "")));
    assert_eq!(scene.at(100_000), Verdict::Watching);
}

#[test]
fn an_older_version_does_not_replace_a_newer_one() {
    let mut scene = Scene::new();
    scene.complete(5000);
    let mut old = crashed(5, exit(1, "Error", ""));
    old.id.version = 1;
    let state = std::mem::replace(&mut scene.state, crate::rollout::State::new(target()));
    scene.state = state.step(&crate::rollout::seen::Seen { at: 6000, what: What::Pod(old) });
    assert!(matches!(scene.at(5000 + SOAK), Verdict::Good(_)));
}

#[test]
fn time_alone_decides_nothing_before_the_budget_when_nothing_is_wrong() {
    let mut scene = Scene::of(Target { soak_ms: BUDGET * 2, ..target() }, 2);
    scene.complete(5000);
    assert_eq!(scene.at(BUDGET - 1), Verdict::Watching);
    assert!(matches!(scene.at(BUDGET), Verdict::Bad(_)));
}
