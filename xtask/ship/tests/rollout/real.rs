//! Faults injected into real rollouts, each decided by its own rule, and what looks like a fault and is none. With
//! `UPDATE_RECORDINGS=1` the streams become the recordings that `recordings` replays.

use crate::lab::{Lab, Place};
use futures_util::StreamExt;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::sleep;
use xtask_core::redact::Redactor;
use xtask_ship::rollout::{self, Expected, Graces, Rule, SmokeError, SmokeTarget, Target, Verdict};

/// What is done to a Deployment that works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Case {
    AdmissionDenied,
    BadCommand,
    ConfigMissing,
    CrashLater,
    CrashOnStart,
    EditedMeanwhile,
    Good,
    ImageMissing,
    InitFails,
    LivenessKills,
    OneCrash,
    OutOfMemory,
    QuotaExceeded,
    ReadinessNever,
    ScaledMeanwhile,
    SecretNotMounted,
    SlowStart,
    Unschedulable,
    WrongPlatform,
}

/// What must come of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comes {
    Good,
    /// By this rule, at the latest so many seconds after it was visible.
    Bad(Rule, u64),
    Superseded,
}

const CASES: [(Case, &str, Comes); 19] = [
    (Case::AdmissionDenied, "admission-denied", Comes::Bad(Rule::F9, 5)),
    (Case::WrongPlatform, "wrong-platform", Comes::Bad(Rule::F6, 15)),
    (Case::Good, "good", Comes::Good),
    (Case::ImageMissing, "image-missing", Comes::Bad(Rule::F2, 2)),
    (Case::CrashOnStart, "crash-on-start", Comes::Bad(Rule::F6, 15)),
    (Case::ReadinessNever, "readiness-never", Comes::Bad(Rule::F11, 15)),
    (Case::SlowStart, "slow-start", Comes::Good),
    (Case::OneCrash, "one-crash", Comes::Good),
    (Case::ScaledMeanwhile, "scaled-meanwhile", Comes::Good),
    (Case::EditedMeanwhile, "edited-meanwhile", Comes::Superseded),
    (Case::BadCommand, "bad-command", Comes::Bad(Rule::F5, 25)),
    (Case::CrashLater, "crash-later", Comes::Bad(Rule::F6, 20)),
    (Case::ConfigMissing, "config-missing", Comes::Bad(Rule::F4, 17)),
    (Case::InitFails, "init-fails", Comes::Bad(Rule::F6, 15)),
    (Case::Unschedulable, "unschedulable", Comes::Bad(Rule::F8, 6)),
    (Case::QuotaExceeded, "quota-exceeded", Comes::Bad(Rule::F9, 5)),
    (Case::SecretNotMounted, "secret-not-mounted", Comes::Bad(Rule::F10, 6)),
    (Case::LivenessKills, "liveness-kills", Comes::Bad(Rule::F7, 30)),
    (Case::OutOfMemory, "out-of-memory", Comes::Bad(Rule::F6, 60)),
];

/// The graces that would make a test slow.
const GRACES: [&str; 3] = ["F8=4s", "F9=3s", "F10=4s"];

/// What the Deployment is changed to.
async fn release(place: &Place<'_>, case: Case) {
    let mut object = place.good();
    let pod = &mut object["spec"]["template"]["spec"];
    let mut fault = |text: &str| pod["containers"][0]["env"][0]["value"] = json!(text);
    match case {
        Case::Good | Case::ScaledMeanwhile => fault("slow:1ms"),
        Case::OneCrash => fault("slow:2ms"),
        Case::EditedMeanwhile => fault("slow-start:20s"),
        Case::CrashOnStart => fault("crash:start"),
        Case::CrashLater => fault("crash:3s"),
        Case::ReadinessNever => fault("never-ready"),
        Case::SlowStart => fault("slow-start:12s"),
        Case::OutOfMemory => fault("leak:40MiB/s"),
        Case::LivenessKills => {
            fault("not-live:2s");
            let get = json!({"path": "/livez", "port": 8080});
            pod["containers"][0]["livenessProbe"] =
                json!({"httpGet": get, "periodSeconds": 1, "failureThreshold": 2});
        }
        Case::ImageMissing => {
            let image = place.lab.image.split_once('@').unwrap().0;
            pod["containers"][0]["image"] = json!(format!("{image}:not-there"));
        }
        // The namespace takes nothing that is less than `baseline`.
        Case::AdmissionDenied => pod["hostNetwork"] = json!(true),
        Case::WrongPlatform => pod["containers"][0]["image"] = json!(place.lab.foreign),
        Case::BadCommand => pod["containers"][0]["command"] = json!(["/not-there"]),
        Case::ConfigMissing => {
            pod["containers"][0]["envFrom"] = json!([{"configMapRef": {"name": "not-there"}}]);
        }
        Case::InitFails => {
            let env = json!([{"name": "LISTEN_ADDR", "value": "nowhere"}]);
            pod["initContainers"] = json!([{"name": "migrate", "image": place.lab.image, "env": env}]);
        }
        Case::Unschedulable => pod["nodeSelector"] = json!({"not": "there"}),
        Case::SecretNotMounted => {
            pod["volumes"] = json!([{"name": "token", "secret": {"secretName": "not-there"}}]);
            pod["containers"][0]["volumeMounts"] = json!([{"name": "token", "mountPath": "/run/token"}]);
        }
        Case::QuotaExceeded => {
            fault("slow:3ms");
            place.apply(&quota(&place.name)).await;
            // The controller of quotas counts what is there first.
            sleep(Duration::from_secs(3)).await;
        }
    }
    place.apply(&object).await;
}

fn quota(namespace: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "small", "namespace": namespace},
        "spec": {"hard": {"pods": "2"}},
    })
}

/// What happens while the release is watched.
async fn meanwhile(place: &Place<'_>, case: Case) {
    sleep(Duration::from_secs(3)).await;
    match case {
        Case::OneCrash => place.kill_one().await,
        Case::ScaledMeanwhile => place.edit(&json!({"spec": {"replicas": 4}})).await,
        Case::EditedMeanwhile => place.edit(&json!({"spec": {"revisionHistoryLimit": 3}})).await,
        Case::AdmissionDenied
        | Case::BadCommand
        | Case::ConfigMissing
        | Case::CrashLater
        | Case::CrashOnStart
        | Case::Good
        | Case::ImageMissing
        | Case::InitFails
        | Case::LivenessKills
        | Case::OutOfMemory
        | Case::QuotaExceeded
        | Case::ReadinessNever
        | Case::SecretNotMounted
        | Case::SlowStart
        | Case::Unschedulable
        | Case::WrongPlatform => {}
    }
}

/// One rollout to its verdict, and what is wrong with that.
async fn tried(lab: &Lab, folder: &Path, (case, name, comes): (Case, &str, Comes)) -> Option<String> {
    let place = lab.namespace(name).await;
    place.apply(&place.good()).await;
    let before = place.watch(&place.target(&GRACES).await, None).await;
    if !matches!(before, Verdict::Good(_)) {
        return Some(format!("{name}: it did not work before: {before:?}"));
    }
    release(&place, case).await;
    let mut target = place.target(&GRACES).await;
    if matches!(case, Case::CrashLater | Case::LivenessKills) {
        // It must not become good before it becomes bad.
        target.soak_ms = 30_000;
    }
    if matches!(case, Case::ImageMissing | Case::WrongPlatform) {
        target.workloads[0].images.clear();
    }
    let record = folder.join(format!("{name}.jsonl"));
    let (verdict, ()) = tokio::join!(place.watch(&target, Some(&record)), meanwhile(&place, case));
    println!("{name}: {verdict:?}");
    let wrong = match (&verdict, comes) {
        (Verdict::Good(_), Comes::Good) | (Verdict::Superseded(_), Comes::Superseded) => None,
        (Verdict::Bad(failure), Comes::Bad(rule, most)) if failure.rule == rule => {
            let took = failure.decided_ms - failure.visible_ms;
            let evidence = rollout::evidence(&lab.cluster, &target, failure, &Redactor::default()).await;
            println!("{name}: evidence in {} ms:\n{}", evidence.took_ms, evidence.brief());
            let crashed = matches!(case, Case::CrashOnStart | Case::InitFails | Case::WrongPlatform);
            let silent = crashed && evidence.last_words().is_none();
            let late = took > most * 1000;
            (late || silent || evidence.took_ms > 3500).then(|| {
                format!(
                    "{name}: {took} ms after it was visible, evidence in {} ms, silent: {silent}",
                    evidence.took_ms
                )
            })
        }
        _ => Some(format!("{name}: expected {comes:?}: {verdict:?}")),
    };
    if case == Case::Good && wrong.is_none() {
        return smoked(lab, &place).await;
    }
    wrong
}

/// The service that works answers as who it is, and is not taken for another one.
async fn smoked(lab: &Lab, place: &Place<'_>) -> Option<String> {
    let mut target = SmokeTarget {
        namespace: place.name.clone(),
        deployment: "hello".to_owned(),
        port: 8080,
        sys_env: place.name.clone(),
        build: [("version".to_owned(), env!("CARGO_PKG_VERSION").to_owned())].into(),
        deadline: Duration::from_secs(20),
    };
    let right = rollout::smoke(&lab.cluster, &target).await;
    println!("smoke: {right:?}");
    target.sys_env = "elsewhere".to_owned();
    let wrong = rollout::smoke(&lab.cluster, &target).await;
    let told = matches!(&wrong, Err(SmokeError::WrongEnvironment { found, .. }) if *found == place.name);
    (right.is_err() || !told).then(|| format!("smoke: {right:?}, elsewhere: {wrong:?}"))
}

#[tokio::test]
async fn each_fault_is_decided_by_its_own_rule_and_what_is_none_passes() {
    let keep = std::env::var_os("UPDATE_RECORDINGS").is_some();
    let folder = tempfile::tempdir().unwrap();
    let lab = Lab::up("faults").await;
    let only = std::env::var("ONLY").unwrap_or_default();
    let cases = CASES.into_iter().filter(|(_, name, _)| name.contains(&only));
    let tries = futures_util::stream::iter(cases.map(|case| tried(&lab, folder.path(), case)));
    let wrong: Vec<Option<String>> = tries.buffer_unordered(4).collect().await;
    if keep {
        let to =
            PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata/rollout").join(lab.cluster.version());
        std::fs::create_dir_all(&to).unwrap();
        for recording in std::fs::read_dir(folder.path()).unwrap().map(Result::unwrap) {
            std::fs::copy(recording.path(), to.join(recording.file_name())).unwrap();
        }
    }
    let wrong: Vec<String> = wrong.into_iter().flatten().collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn twenty_deployments_are_one_rollout_of_which_one_bad_one_decides() {
    let lab = Lab::up("set").await;
    let place = lab.namespace("set").await;
    let name = |number: usize| format!("hello-{number}");
    let object = |number: usize, fault: &str| {
        let mut object = place.good();
        object["metadata"]["name"] = json!(name(number));
        object["spec"]["replicas"] = json!(1);
        object["spec"]["selector"]["matchLabels"]["app"] = json!(name(number));
        object["spec"]["template"]["metadata"]["labels"]["app"] = json!(name(number));
        object["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"] = json!(fault);
        object
    };
    for number in 0..20 {
        place.apply(&object(number, "slow:0ms")).await;
    }
    let workloads = (0..20).map(|number| Expected::named(&name(number))).collect();
    let target = Target { workloads, budget_ms: 240_000, ..place.none() };
    let folder = tempfile::tempdir().unwrap();
    let record = folder.path().join("set.jsonl");
    let good = place.watch(&target, Some(&record)).await;
    assert!(matches!(&good, Verdict::Good(proof) if proof.workloads.len() == 20), "{good:?}");
    let began = std::time::Instant::now();
    let text = std::fs::read_to_string(&record).unwrap();
    let again = rollout::replay(&text, &Graces::default()).unwrap();
    println!("{} sightings judged again in {:?}", text.lines().count(), began.elapsed());
    assert!(matches!(again.verdict, Verdict::Good(_)), "{again}");

    place.apply(&object(7, "crash:start")).await;
    let mut target = target;
    target.workloads[7].generation = Some(2);
    let bad = place.watch(&target, None).await;
    assert!(
        matches!(&bad, Verdict::Bad(failure) if failure.workload == "deployment hello-7" && failure.rule == Rule::F6),
        "{bad:?}"
    );
}
