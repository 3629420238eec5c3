//! What happens to a release from outside: somebody edits what it applied, somebody releases at the same time, Helm is killed in the
//! middle of a write, and the chart says that there is no way back.

use crate::lab::{Lab, Said, connected};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Child;
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

/// How often a kill may come too late.
const TRIES: usize = 5;
/// How long it is not looked for Helm, and how long Helm runs between two looks; it is in the middle of a write for many times that.
const SLICE: Duration = Duration::from_millis(5);
/// Environments in which nothing is installed yet: there is one first time in each.
const INSTALLATIONS: usize = 6;

fn installation(number: usize) -> String {
    format!("install{number}")
}

#[test]
fn whatever_is_done_to_a_release_from_outside_it_ends_proven_or_with_a_question() {
    let usual = ["upgrade", "rollback", "forward"].map(str::to_owned);
    let usual = usual.into_iter().chain((0..INSTALLATIONS).map(installation));
    let mut environments: Vec<(String, String)> = usual.map(|name| (name, String::new())).collect();
    // Long enough to come in between.
    for name in ["edited", "shared"] {
        environments.push((name.to_owned(), ", budgets: { soak: 10s, watch: 2m, lock: 1s }".to_owned()));
    }
    let lab = Lab::up("meanw", &environments);
    scope(|threads| {
        let parts: [fn(&Lab); 5] = [
            edited_by_somebody_else,
            two_at_once,
            helm_killed_in_an_upgrade,
            helm_killed_in_a_rollback,
            helm_killed_in_an_installation,
        ];
        let parts = parts.map(|part| {
            let lab = &lab;
            threads.spawn(move || part(lab))
        });
        for part in parts {
            part.join().unwrap();
        }
    });
    // The chart is everybody's.
    no_way_back(&lab);
}

fn deploy(lab: &Lab, environment: &str, digest: &str) -> Said {
    lab.say(&["deploy", "--env", environment, "--digest", digest])
}

/// Waits until the journal names a phase.
fn reaches(lab: &Lab, environment: &str, phase: &str) {
    let deadline = Instant::now() + Duration::from_secs(60);
    let reached = lab.reaches(environment, phase, || Instant::now() < deadline);
    assert!(reached, "{environment} never reaches {phase}");
}

/// That what runs is proven, nothing is pending, and nobody holds the lock.
fn is_well(lab: &Lab, environment: &str) {
    let status = lab.status(environment);
    assert_eq!((&status["proven"], &status["lock"]), (&true.into(), &serde_json::Value::Null), "{status}");
    assert_eq!(pending(lab, environment), None, "{status}");
}

/// What Helm says of its newest revision, if it says that it is in the middle of something.
fn pending(lab: &Lab, environment: &str) -> Option<String> {
    let status = lab.status(environment);
    let newest = status["history"].as_array()?.iter().max_by_key(|revision| revision["revision"].as_u64())?;
    newest["status"].as_str().filter(|status| status.starts_with("Pending")).map(str::to_owned)
}

fn edited_by_somebody_else(lab: &Lab) {
    assert_eq!(deploy(lab, "edited", &lab.good[0]).code, 0);
    let said = scope(|threads| {
        let deployment = threads.spawn(|| deploy(lab, "edited", &lab.good[1]));
        reaches(lab, "edited", "watch");
        edit(lab, "while it is watched");
        deployment.join().unwrap()
    });
    assert_eq!(said.code, 14, "{said:?}");
    assert!(
        said.stderr.contains("SUPERSEDED: ") && said.stderr.contains("it is generation 3 now"),
        "{said:?}"
    );
    assert_eq!(lab.status("edited")["revision"], 2, "nothing was rolled back");
    let now = lab.ask(async |client| Api::<Deployment>::namespaced(client, "edited").get("hello-app").await);
    let spec = now.unwrap().spec.unwrap();
    let annotations = spec.template.metadata.unwrap().annotations.unwrap();
    assert_eq!(annotations["edited"], "while it is watched", "the edit is there");
    let image = spec.template.spec.unwrap().containers[0].image.clone().unwrap();
    assert!(image.ends_with(&lab.good[1]), "and so is what was released: {image}");

    assert_eq!(lab.say(&["recover", "--env", "edited"]).code, 14, "only a person can say");
    assert_eq!(lab.say(&["recover", "--env", "edited", "--resume"]).code, 0);
    is_well(lab, "edited");

    let code = (0..TRIES).map(|number| edited_while_it_is_asked(lab, number)).find(|code| *code != 0);
    assert_eq!(code, Some(14), "what answers then is not what was applied");
    let reason = lab.journal("edited", "hello")["reason"].clone();
    assert!(
        reason.as_str().unwrap().starts_with("superseded: the Deployment hello-app was changed"),
        "{reason}"
    );
    assert_eq!(lab.say(&["recover", "--env", "edited", "--resume"]).code, 0);
    is_well(lab, "edited");
}

/// Edits what was released while the deployer, which stands still meanwhile, asks it who it is. Gives what that answered: 0 if it was
/// faster.
fn edited_while_it_is_asked(lab: &Lab, number: usize) -> i32 {
    let mut deployer = lab.start(&["deploy", "--env", "edited", "--digest", &lab.good[number % 2]]);
    let deployer_pid = Pid::from_child(&deployer);
    reaches(lab, "edited", "smoke");
    kill_process(deployer_pid, Signal::STOP).unwrap();
    edit(lab, &format!("while it is asked, {number}"));
    kill_process(deployer_pid, Signal::CONT).unwrap();
    deployer.wait().unwrap().code().unwrap()
}

/// What somebody does by hand: to a field that is not Helm's, so that Helm does not refuse the next release for it.
fn edit(lab: &Lab, note: &str) {
    let edit = Patch::Merge(json!({"spec": {"template": {"metadata": {"annotations": {"edited": note}}}}}));
    lab.ask(async |client| {
        let api = Api::<Deployment>::namespaced(client, "edited");
        api.patch("hello-app", &PatchParams::default(), &edit).await
    })
    .unwrap();
}

fn two_at_once(lab: &Lab) {
    let mut first = lab.start(&["deploy", "--env", "shared", "--digest", &lab.good[0]]);
    reaches(lab, "shared", "soak");
    let said = deploy(lab, "shared", &lab.good[1]);
    assert_eq!(said.code, 11, "its patience is short: {said:?}");
    assert!(first.wait().unwrap().success(), "the first does not notice");
    is_well(lab, "shared");
    assert_eq!(lab.status("shared")["revision"], 1);
    assert_eq!(deploy(lab, "shared", &lab.good[1]).code, 0, "nothing is in its way later");
}

fn helm_killed_in_an_upgrade(lab: &Lab) {
    assert_eq!(deploy(lab, "upgrade", &lab.good[0]).code, 0);
    for too in [false, true] {
        let left = struck(lab, "upgrade", "upgrade", too, |try_| lab.good[(try_ + 1) % 2].clone());
        // Helm's death is as good as its failure: the deployer that lives goes back, and for a dead one the next run does.
        assert_eq!(left, 12);
        is_well(lab, "upgrade");
    }
    assert_eq!(deploy(lab, "upgrade", &lab.good[1]).code, 0);
}

fn helm_killed_in_a_rollback(lab: &Lab) {
    assert_eq!(deploy(lab, "rollback", &lab.good[0]).code, 0);
    for too in [false, true] {
        let left = struck(lab, "rollback", "rollback", too, |_| lab.bad.clone());
        assert_eq!(left, 12);
        is_well(lab, "rollback");
    }
    assert_eq!(deploy(lab, "rollback", &lab.good[1]).code, 0);
}

fn helm_killed_in_an_installation(lab: &Lab) {
    let mut numbers = 0..INSTALLATIONS;
    for too in [false, true] {
        let mut each = numbers.by_ref().map(installation);
        let (environment, left) = each
            .find_map(|environment| {
                Some((environment.clone(), hit(lab, &environment, "install", too, &lab.good[0]).ok()?))
            })
            .unwrap();
        assert_eq!(left, 14, "{environment}: there is nothing to go back to");
        assert_eq!(deploy(lab, &environment, &lab.good[0]).code, 14, "the question stays");
        assert_eq!(lab.say(&["recover", "--env", &environment, "--override"]).code, 0);
        assert_eq!(deploy(lab, &environment, &lab.good[0]).code, 0, "over what Helm had made by then");
        is_well(lab, &environment);
    }
}

/// Releases until Helm was killed in the middle, and gives how that ended.
fn struck(lab: &Lab, environment: &str, step: &str, too: bool, digest: impl Fn(usize) -> String) -> i32 {
    for number in 0..TRIES {
        match hit(lab, environment, step, too, &digest(number)) {
            Ok(code) => return code,
            // It was faster: as any release, and then once more.
            Err(code) => assert!(matches!(code, 0 | 12), "{environment}: {code:?}"),
        }
    }
    unreachable!("{environment}: Helm was faster {TRIES} times");
}

/// Kills Helm while its newest revision is pending, and with `too` the deployer with it. Gives what the deployer that lives answered,
/// or what `recover` did; as an error what the deployer answered because Helm was faster.
fn hit(lab: &Lab, environment: &str, step: &str, too: bool, digest: &str) -> Result<i32, i32> {
    let mut deployer = None;
    let hit = connected(&lab.path("kubeconfig"), async |client| {
        let secrets = Api::<Secret>::namespaced(client, environment);
        let notes = Notes { secrets, labels: format!("owner=helm,status=pending-{step}") };
        // Helm never mends its note of a revision that was not the end.
        let before = notes.names().await;
        let deployer = deployer.insert(lab.start(&["deploy", "--env", environment, "--digest", digest]));
        strike(&notes, &before, deployer, || helm(lab, environment, step == "rollback"), too).await
    });
    let code = deployer.unwrap().wait().unwrap().code();
    println!(
        "{environment}: Helm died while pending-{step}: {hit}, the deployer too: {too}, it answered {code:?}"
    );
    match (code, hit) {
        (Some(code), true) => Ok(code),
        (Some(code), false) => Err(code),
        (None, _) => {
            let caught = pending(lab, environment).is_some();
            let code = lab.say(&["recover", "--env", environment]).code;
            if caught { Ok(code) } else { Err(code) }
        }
    }
}

/// What Helm notes in the cluster while it is in the middle of something.
struct Notes {
    secrets: Api<Secret>,
    labels: String,
}

impl Notes {
    /// Their names. The cluster of a machine that is busy may not answer in time; asking again changes nothing.
    async fn names(&self) -> BTreeSet<String> {
        let pending = ListParams::default().labels(&self.labels);
        let mut answer = self.secrets.list_metadata(&pending).await;
        for _ in 0..5 {
            if answer.is_ok() {
                break;
            }
            answer = self.secrets.list_metadata(&pending).await;
        }
        answer.unwrap().items.iter().map(ResourceExt::name_any).collect()
    }
}

/// Waits for a note that is not one of those `before`, and kills Helm there. No if it ended before.
async fn strike(
    notes: &Notes,
    before: &BTreeSet<String>,
    deployer: &mut Child,
    helm: impl Fn() -> Option<Pid>,
    too: bool,
) -> bool {
    while deployer.try_wait().unwrap().is_none() {
        let Some(helm) = helm() else {
            sleep(SLICE);
            continue;
        };
        // It runs in slices, and stands still while it is looked at: so its moment cannot be missed.
        while kill_process(helm, Signal::STOP).is_ok() && deployer.try_wait().unwrap().is_none() {
            let now = notes.names().await;
            let Some(new) = now.difference(before).next() else {
                let _ = kill_process(helm, Signal::CONT);
                sleep(SLICE);
                continue;
            };
            if too {
                deployer.kill().unwrap();
            }
            let _ = kill_process(helm, Signal::KILL);
            // Its last word may have been under way.
            sleep(Duration::from_millis(200));
            return notes.names().await.contains(new);
        }
    }
    false
}

/// The process that changes the lab's cluster for an environment.
fn helm(lab: &Lab, environment: &str, is_rollback: bool) -> Option<Pid> {
    let kubeconfig = format!("KUBECONFIG={}", lab.path("kubeconfig").display());
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let found = processes.into_iter().find(|process| {
        let read = |file| {
            let bytes = std::fs::read(process.path().join(file)).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let said = read("cmdline");
        let words: Vec<&str> = said.split('\0').collect();
        Path::new(words[0]).file_name().is_some_and(|name| name == "helm")
            && words.get(1) == Some(if is_rollback { &"rollback" } else { &"upgrade" })
            && words.windows(2).any(|pair| pair == ["--namespace", environment])
            && !words.contains(&"--dry-run=server")
            && read("environ").split('\0').any(|variable| variable == kubeconfig)
    });
    Pid::from_raw(found?.file_name().to_str()?.parse().ok()?)
}

fn no_way_back(lab: &Lab) {
    assert_eq!(deploy(lab, "forward", &lab.good[0]).code, 0);
    let file = lab.path("charts/app/Chart.yaml");
    let chart = std::fs::read_to_string(&file).unwrap();
    assert!(!chart.contains("\nannotations:"), "it is added here");
    std::fs::write(
        &file,
        format!("{chart}\nannotations:\n  slipway/irreversible: drops the column users.name\n"),
    )
    .unwrap();
    let said = deploy(lab, "forward", &lab.bad);
    assert_eq!(said.code, 14, "{said:?}");
    let choices = ["cargo xtask rollback --env forward", "cargo xtask recover --env forward --resume"];
    for word in ["NOT ROLLED BACK", "drops the column users.name"].into_iter().chain(choices) {
        assert!(said.stderr.contains(word), "{word}: {said:?}");
    }
    assert_eq!(lab.status("forward")["revision"], 2, "what was released is still there");
    assert_eq!(lab.say(&["rollback", "--env", "forward"]).code, 0, "a person may");
    is_well(lab, "forward");
}
