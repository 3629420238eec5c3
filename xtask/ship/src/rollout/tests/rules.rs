//! Each rule fires when it must, and not a millisecond before.

use super::scene::{
    BUDGET, Scene, condition, crashed, event, exit, new_in, pod, probe, ready, running, set, target, waiting,
};
use crate::rollout::seen::{ContainerState, Kind, Millis, What, WorkloadKind};
use crate::rollout::{Expected, Graces, Rule, Target, Verdict};
use xtask_core::ids::sha256;

/// What a container waits for, and how long that is borne.
#[test]
fn a_container_that_waits_is_borne_for_as_long_as_its_reason_may_pass() {
    let not_found = "failed to pull and unpack image: registry/app:1: not found";
    let platform = "no match for platform in manifest: not found";
    let throttled = "429 Too Many Requests: not found in time";
    let table: [(&str, &str, Rule, Millis); 14] = [
        ("InvalidImageName", "couldn't parse image name", Rule::F1, 0),
        ("ErrImageNeverPull", "is not present with pull policy of Never", Rule::F1, 0),
        ("ErrImagePull", not_found, Rule::F2, 0),
        ("ErrImagePull", platform, Rule::F2, 0),
        ("ErrImagePull", "pull access denied, repository does not exist", Rule::F2, 0),
        ("ImagePullBackOff", "Back-off pulling image: ErrImagePull: manifest unknown", Rule::F2, 0),
        ("ErrImagePull", "dial tcp: lookup registry: no such host", Rule::F3, 90_000),
        ("ErrImagePull", throttled, Rule::F3, 90_000),
        ("ImagePullBackOff", "Back-off pulling image \"registry/app:1\"", Rule::F3, 90_000),
        ("CreateContainerConfigError", "configmap \"hello\" not found", Rule::F4, 15_000),
        ("CreateContainerConfigError", "failed to sync configmap cache: timed out", Rule::F4, 90_000),
        ("RegistryUnavailable", "", Rule::F3, 90_000),
        ("ImageInspectError", "", Rule::F3, 90_000),
        ("SignatureValidationFailed", "", Rule::F3, 90_000),
    ];
    for (reason, message, rule, grace) in table {
        let mut scene = Scene::new();
        assert_eq!(scene.at(4000), Verdict::Watching);
        scene.pod(4000, new_in(waiting(reason, message)));
        let failure = if grace == 0 { scene.failed(4000) } else { scene.fails_at(4000 + grace) };
        assert_eq!((failure.rule, failure.visible_ms), (rule, 4000), "{reason}: {message}");
        assert_eq!(failure.object, "pod hello-new-0");
        assert!(failure.message.contains(message.split_whitespace().next().unwrap_or("cannot")), "{failure}");
    }
}

#[test]
fn an_image_that_was_proven_must_be_refused_twice() {
    let mut scene = Scene::of(Target { images_proven: true, ..target() }, 2);
    let refused = || new_in(waiting("ErrImagePull", "registry/app:1: not found"));
    scene.pod(1000, refused());
    scene.pod(1500, refused());
    scene.pod(2000, new_in(waiting("ImagePullBackOff", "Back-off pulling image")));
    assert_eq!(scene.at(11_999), Verdict::Watching, "the same answer seen again is one answer");
    scene.pod(12_000, refused());
    let failure = scene.failed(12_000);
    assert_eq!((failure.rule, failure.visible_ms), (Rule::F2, 1000));
}

#[test]
fn what_the_registry_said_is_kept_while_the_node_waits_to_ask_again() {
    let mut scene = Scene::of(Target { images_proven: true, ..target() }, 2);
    let text = "Failed to pull image \"registry/app:1\": not found";
    scene.event(900, "new-0", "Failed", text, 1);
    scene.pod(1000, new_in(waiting("ImagePullBackOff", "Back-off pulling image")));
    assert_eq!(scene.at(5000), Verdict::Watching);
    scene.event(6000, "new-0", "Failed", text, 2);
    assert_eq!(scene.failed(6000).rule, Rule::F2);
}

/// How a container ends, how often, and which rule that is.
#[test]
fn a_container_that_ends_is_borne_once() {
    let table = [
        (exit(1, "Error", ""), Rule::F6, 2, "crashed in `app` twice, exit 1"),
        (exit(134, "Error", ""), Rule::F6, 2, "exit 134"),
        (exit(137, "OOMKilled", ""), Rule::F6, 2, "out of memory"),
        (exit(0, "Completed", ""), Rule::F6, 2, "exit 0"),
        (exit(128, "StartError", "exec: \"/no\": stat /no: no such file or directory"), Rule::F5, 2, "/no"),
        (exit(128, "StartError", "exec /app: exec format error"), Rule::F6, 1, "exec format error"),
        (exit(128, "StartError", "cannot set up its network"), Rule::F5, 5, "network"),
    ];
    for (end, rule, needed, words) in table {
        let mut scene = Scene::new();
        for times in 1..needed {
            scene.pod(u64::from(times) * 1000, crashed(times, end.clone()));
            assert_eq!(scene.at(u64::from(times) * 1000 + 900), Verdict::Watching, "{end:?} {times}");
        }
        scene.pod(u64::from(needed) * 1000, crashed(needed, end.clone()));
        let failure = scene.failed(u64::from(needed) * 1000);
        assert_eq!((failure.rule, failure.visible_ms), (rule, 1000), "{end:?}");
        assert!(failure.message.contains(words), "{failure}");
    }
}

#[test]
fn a_crash_is_counted_once_however_often_it_is_seen() {
    let mut scene = Scene::new();
    scene.pod(1000, crashed(1, exit(1, "Error", "")));
    let mut back_off = crashed(1, exit(1, "Error", ""));
    back_off.containers[0].last = Some(exit(1, "Error", ""));
    back_off.containers[0].state = waiting("CrashLoopBackOff", "back-off 10s");
    scene.pod(2000, back_off.clone());
    let mut again = running("new-0", "new");
    again.containers[0].restarts = 1;
    again.containers[0].last = Some(exit(1, "Error", ""));
    scene.pod(3000, again);
    assert_eq!(scene.at(7000), Verdict::Watching);
    back_off.containers[0].restarts = 1;
    scene.pod(7500, back_off);
    let failure = scene.failed(7500);
    assert_eq!((failure.rule, failure.visible_ms), (Rule::F6, 1000));
    let hint = failure.log_hint.unwrap();
    assert_eq!((hint.container.as_str(), hint.previous), ("app", true));
}

#[test]
fn more_crashes_are_borne_where_that_is_wanted() {
    let graces: Graces = "F6=3x".parse().unwrap();
    let mut scene = Scene::of(Target { graces, ..target() }, 2);
    scene.pod(1000, crashed(2, exit(1, "Error", "")));
    assert_eq!(scene.at(2000), Verdict::Watching);
    scene.pod(3000, crashed(3, exit(1, "Error", "")));
    assert_eq!(scene.failed(3000).rule, Rule::F6);
}

#[test]
fn an_init_container_that_fails_is_a_crash_and_one_that_succeeds_is_none() {
    for (code, bad) in [(1, true), (0, false)] {
        let mut scene = Scene::new();
        let mut pod = crashed(2, exit(code, "Error", ""));
        pod.containers[0].init = true;
        pod.containers[0].restarts = u32::from(bad);
        scene.pod(1000, pod);
        assert_eq!(matches!(scene.verdict(), Verdict::Bad(failure) if failure.rule == Rule::F6), bad);
    }
}

#[test]
fn a_probe_that_has_it_killed_is_named_and_counts_from_the_first_kill() {
    for probe in ["liveness", "startup"] {
        let mut scene = Scene::new();
        scene.event(
            900,
            "new-0",
            "Killing",
            &format!("Container app failed {probe} probe, will be restarted"),
            1,
        );
        scene.pod(1000, crashed(1, exit(143, "Error", "")));
        assert_eq!(scene.at(5000), Verdict::Watching);
        scene.pod(6000, crashed(2, exit(137, "Error", "")));
        let failure = scene.failed(6000);
        assert_eq!((failure.rule, failure.visible_ms), (Rule::F7, 1000));
        assert!(failure.message.contains(probe), "{failure}");
    }
    let mut scene = Scene::new();
    scene.event(900, "new-0", "Killing", "Stopping container app", 1);
    scene.pod(1000, crashed(2, exit(137, "Error", "")));
    assert_eq!(scene.failed(1000).rule, Rule::F6, "a kill for another reason is no failed probe");
}

#[test]
fn a_container_that_cannot_be_made_is_borne_once_as_events_count_it() {
    let mut scene = Scene::new();
    scene.pod(1000, new_in(waiting("CreateContainerError", "no space left on device")));
    scene.event(1000, "new-0", "Failed", "Error: no space left on device", 1);
    assert_eq!(scene.at(8000), Verdict::Watching);
    scene.event(9000, "new-0", "Failed", "Error: no space left on device", 2);
    let failure = scene.failed(9000);
    assert_eq!((failure.rule, failure.visible_ms), (Rule::F5, 1000));
}

#[test]
fn a_pod_that_no_node_takes_is_borne_for_three_minutes_and_longer_while_a_node_is_coming() {
    let unplaced = |message: &str| {
        let mut pod = pod("new-0", "new");
        pod.containers[0].state = ContainerState::Unknown;
        pod.conditions = vec![condition("PodScheduled", "False", "Unschedulable", message)];
        pod
    };
    let mut scene = Scene::new();
    scene.pod(1000, unplaced("0/3 nodes are available: 3 Insufficient cpu"));
    assert_eq!(scene.fails_at(181_000).rule, Rule::F8);

    let mut scene = Scene::new();
    scene.pod(1000, unplaced("0/3 nodes are available: 3 Insufficient cpu"));
    scene.event(100_000, "new-0", "TriggeredScaleUp", "pod triggered scale-up", 1);
    let failure = scene.fails_at(280_000);
    assert_eq!((failure.rule, failure.visible_ms), (Rule::F8, 1000));

    let mut scene = Scene::new();
    scene.pod(1000, unplaced("pod has unbound immediate PersistentVolumeClaims"));
    assert_eq!(scene.fails_at(121_000).rule, Rule::F10, "it waits for a volume");
}

#[test]
fn pods_that_may_not_be_created_are_borne_for_twenty_seconds() {
    let mut scene = Scene::new();
    let mut quota = set("new", 2, 0);
    quota.conditions = vec![condition("ReplicaFailure", "True", "FailedCreate", "exceeded quota: small")];
    scene.see(1000, What::ReplicaSet(quota.clone()));
    let failure = scene.fails_at(21_000);
    assert_eq!((failure.rule, failure.visible_ms), (Rule::F9, 1000));
    assert!(failure.message.contains("exceeded quota"));

    let mut scene = Scene::new();
    scene.see(1000, What::ReplicaSet(quota.clone()));
    scene.set(20_000, "new", 2, 1);
    scene.see(20_500, What::ReplicaSet(quota));
    assert_eq!(scene.fails_at(40_500).visible_ms, 20_500, "it healed in between");
}

#[test]
fn a_volume_that_cannot_be_mounted_is_borne_for_two_minutes_unless_it_comes() {
    let text = "MountVolume.SetUp failed for volume \"token\": secret \"token\" not found";
    let mut scene = Scene::new();
    scene.pod(500, pod("new-0", "new"));
    scene.event(1000, "new-0", "FailedMount", text, 1);
    assert_eq!(scene.fails_at(121_000).rule, Rule::F10);

    let mut scene = Scene::new();
    scene.event(1000, "new-0", "FailedMount", text, 1);
    scene.pod(1000, pod("new-0", "new"));
    scene.pod(60_000, running("new-0", "new"));
    scene.pod(60_100, ready("new-0", "new"));
    assert_eq!(scene.at(130_000), Verdict::Watching);
}

#[test]
fn what_is_not_ready_after_all_that_its_probes_allow_is_bad() {
    // 2 s delay + 3 × 5 s + 1 s, and one period more. With a shorter period it is 5 s more.
    let readiness = Some(crate::rollout::seen::Probe { delay: 2, ..probe(5, 3) });
    let mut scene = Scene::new();
    let mut pod = running("new-0", "new");
    pod.containers[0].readiness = readiness;
    scene.pod(1000, pod.clone());
    let failure = scene.fails_at(1000 + 18_000 + 5000);
    assert_eq!((failure.rule, failure.visible_ms), (Rule::F11, 1000));

    let mut scene = Scene::new();
    pod.containers[0].readiness = Some(probe(1, 3));
    scene.pod(1000, pod.clone());
    assert_eq!(scene.fails_at(1000 + 4000 + 5000).rule, Rule::F11);
    pod.containers[0].readiness = readiness;

    // Before the startup probe has passed, its 30 × 1 s + 1 s come first; then only what it used.
    let mut scene = Scene::new();
    pod.containers[0].started = false;
    pod.containers[0].startup = Some(probe(1, 30));
    scene.pod(1000, pod.clone());
    assert_eq!(scene.at(31_000), Verdict::Watching);
    pod.containers[0].started = true;
    scene.pod(31_500, pod.clone());
    assert_eq!(scene.fails_at(31_500 + 23_000).rule, Rule::F11);

    let mut scene = Scene::new();
    pod.containers[0].started = false;
    scene.pod(1000, pod);
    assert_eq!(scene.fails_at(1000 + 31_000 + 23_000).rule, Rule::F11, "the startup probe never passed");
}

#[test]
fn a_controller_that_gives_up_decides_at_once_but_not_for_an_earlier_rollout() {
    let gave_up = |since: &str| {
        let mut condition = condition("Progressing", "False", "ProgressDeadlineExceeded", "has timed out");
        condition.since = since.to_owned();
        condition
    };
    let mut scene = Scene::new();
    scene.deployment(7000, |it| it.conditions = vec![gave_up("2026-01-01T00:00:07Z")]);
    assert_eq!(scene.failed(7000).rule, Rule::F12);

    let mut deployment = Scene::new().deployment;
    deployment.conditions = vec![gave_up("2025-12-31T00:00:00Z")];
    let mut state = crate::rollout::State::new(target());
    for at in [0, 5000] {
        let what = What::Workload(deployment.clone());
        state = state.step(&crate::rollout::seen::Seen { at, what });
        assert_eq!(state.verdict(), Verdict::Watching, "it was there before");
    }

    let mut scene = Scene::new();
    scene.deployment(7000, |it| {
        it.conditions = vec![gave_up("2026-01-01T00:00:07Z")];
        it.observed = 1;
    });
    assert_eq!(scene.at(7000), Verdict::Watching, "said of a generation that is over");
}

#[test]
fn nothing_that_moves_for_four_minutes_is_bad() {
    let mut scene = Scene::new();
    scene.pod(5000, pod("new-0", "new"));
    let failure = scene.fails_at(245_000);
    assert_eq!((failure.rule, failure.visible_ms), (Rule::F13, 5000));
    assert!(failure.message.contains("0 of 2 new pods ready"), "{failure}");
}

#[test]
fn a_specification_that_somebody_else_changed_is_superseded_at_once() {
    for (words, uid, spec, generation) in
        [("generation 3", "d", "other", 3), ("made again", "other", "new", 1)]
    {
        let mut scene = Scene::new();
        scene.pod(1000, new_in(waiting("CreateContainerConfigError", "")));
        scene.deployment(2000, |it| {
            (it.id.uid, it.spec, it.generation) = (uid.to_owned(), spec.to_owned(), generation);
        });
        let verdict = scene.verdict();
        let Verdict::Superseded(by) = verdict else { unreachable!("{verdict:?}") };
        assert!(by.by.contains(words) && by.decided_ms == 2000, "{by:?}");
        assert!(matches!(scene.at(BUDGET), Verdict::Superseded(_)), "a verdict stays");
    }
    // Also before it was seen for the first time; what is older than what was applied does not count.
    let expected = Expected { generation: Some(2), spec: Some(sha256(b"old")), ..Expected::named("hello") };
    let verdict = Scene::of(Target { workloads: vec![expected], ..target() }, 2).verdict();
    assert!(matches!(&verdict, Verdict::Superseded(by) if by.by.contains("generation 2")), "{verdict:?}");
    let expected = Expected { generation: Some(3), spec: Some(sha256(b"newer")), ..Expected::named("hello") };
    let verdict = Scene::of(Target { workloads: vec![expected], ..target() }, 2).verdict();
    assert_eq!(verdict, Verdict::Watching);
    let mut scene = Scene::new();
    scene.see(2000, What::Gone { kind: Kind::Workload(WorkloadKind::Deployment), uid: "d".to_owned() });
    assert!(matches!(scene.verdict(), Verdict::Superseded(by) if by.by.contains("deleted")));
}

#[test]
fn a_pod_that_is_to_run_another_digest_than_the_approved_one_is_somebody_elses() {
    let (ours, theirs) = ("a".repeat(64), "b".repeat(64));
    let digest = format!("sha256:{ours}").try_into().unwrap();
    let expected = Expected {
        images: [("app".to_owned(), digest)].into(),
        generation: Some(2),
        ..Expected::named("hello")
    };
    for (digest, foreign) in [(ours, false), (theirs, true)] {
        let mut scene = Scene::of(Target { workloads: vec![expected.clone()], ..target() }, 2);
        let mut pod = pod("new-0", "new");
        pod.containers[0].image = format!("registry/app@sha256:{digest}");
        scene.pod(1000, pod);
        assert_eq!(matches!(scene.verdict(), Verdict::Superseded(_)), foreign, "{:?}", scene.verdict());
    }
}

#[test]
fn the_budget_is_the_end_and_says_what_was_missing() {
    let mut scene = Scene::of(Target { budget_ms: 60_000, ..target() }, 2);
    scene.pod(5000, new_in(waiting("ErrImagePull", "i/o timeout")));
    let failure = scene.fails_at(60_000);
    assert_eq!((failure.rule, failure.visible_ms), (Rule::F15, 5000));
    assert!(failure.message.contains("i/o timeout") && failure.message.contains("F3"), "{failure}");
}

#[test]
fn of_many_replicas_a_tenth_may_fail_while_others_are_ready() {
    let mut scene = Scene::of(target(), 20);
    scene.pod(1000, ready("new-10", "new"));
    for number in 0..2 {
        let mut bad = crashed(2, exit(1, "Error", ""));
        bad.id.uid = format!("new-{number}");
        bad.id.name = format!("hello-new-{number}");
        scene.pod(2000, bad);
    }
    assert_eq!(scene.at(3000), Verdict::Watching, "two of twenty");
    let mut bad = crashed(2, exit(1, "Error", ""));
    bad.id.uid = "new-2".to_owned();
    bad.id.name = "hello-new-2".to_owned();
    scene.pod(4000, bad);
    assert_eq!(scene.failed(4000).rule, Rule::F6, "three of twenty");
}

#[test]
fn of_several_deployments_one_that_fails_decides_and_all_must_be_good() {
    let two = vec![Expected::named("hello"), Expected::named("other")];
    let mut scene = Scene::of(Target { workloads: two.clone(), ..target() }, 2);
    scene.complete(1000);
    assert_eq!(scene.at(100_000), Verdict::Watching, "the other one is not there");
    assert!(scene.state.waits_for().contains("other: not there yet"), "{}", scene.state.waits_for());

    let mut scene = Scene::of(Target { workloads: two, ..target() }, 2);
    scene.pod(1000, crashed(2, exit(1, "Error", "")));
    assert_eq!(scene.failed(1000).workload, "deployment hello");
}

#[test]
fn an_event_that_comes_before_its_pod_is_not_lost() {
    let mut scene = Scene::new();
    scene.see(500, What::Event(event("new-0", "FailedMount", "no such secret", 1)));
    scene.pod(1000, pod("new-0", "new"));
    assert_eq!(scene.fails_at(121_000).rule, Rule::F10);
}
