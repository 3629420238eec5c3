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
/// How long Helm runs between two looks; it is in the middle of a write for many times that.
const SLICE: Duration = Duration::from_millis(5);
/// Environments in which nothing is installed yet: there is one first time in each.
const INSTALLATIONS: usize = 6;

fn installation(number: usize) -> String {
    format!("install{number}")
}

#[test]
fn whatever_is_done_to_a_release_from_outside_it_ends_proven_or_with_a_question() {
    let usual = ["edited", "upgrade", "rollback", "forward"].map(str::to_owned);
    let usual = usual.into_iter().chain((0..INSTALLATIONS).map(installation));
    let mut environments: Vec<(String, String)> = usual.map(|name| (name, String::new())).collect();
    let impatient = ", budgets: { soak: 8s, watch: 2m, lock: 1s }";
    environments.push(("shared".to_owned(), impatient.to_owned()));
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
        let edit = Patch::Merge(json!({"spec": {"revisionHistoryLimit": 3}}));
        lab.ask(async |client| {
            let api = Api::<Deployment>::namespaced(client, "edited");
            api.patch("hello-app", &PatchParams::default(), &edit).await
        })
        .unwrap();
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
    assert_eq!(spec.revision_history_limit, Some(3), "the edit is there");
    let image = spec.template.spec.unwrap().containers[0].image.clone().unwrap();
    assert!(image.ends_with(&lab.good[1]), "and so is what was released: {image}");

    assert_eq!(lab.say(&["recover", "--env", "edited"]).code, 14, "only a person can say");
    assert_eq!(lab.say(&["recover", "--env", "edited", "--resume"]).code, 0);
    is_well(lab, "edited");
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
    let mut deployer = lab.start(&["deploy", "--env", environment, "--digest", digest]);
    let hit = strike(lab, environment, step, &mut deployer, too);
    let code = deployer.wait().unwrap().code();
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

/// Waits for Helm's note that it is in the middle of something, and kills it there. No if it ended before.
fn strike(lab: &Lab, environment: &str, step: &str, deployer: &mut Child, too: bool) -> bool {
    let pending = ListParams::default().labels(&format!("owner=helm,status=pending-{step}"));
    let is_rollback = step == "rollback";
    connected(&lab.path("kubeconfig"), async |client| {
        let secrets = Api::<Secret>::namespaced(client, environment);
        let names = async || -> BTreeSet<String> {
            let list = secrets.list_metadata(&pending).await.unwrap();
            list.items.iter().map(ResourceExt::name_any).collect()
        };
        // Helm never mends its note of a revision that was not the end.
        let before = names().await;
        while deployer.try_wait().unwrap().is_none() {
            let Some(helm) = helm(environment, is_rollback) else { continue };
            // It runs in slices, and stands still while it is looked at: so its moment cannot be missed.
            while kill_process(helm, Signal::STOP).is_ok() && deployer.try_wait().unwrap().is_none() {
                let Some(new) = names().await.into_iter().find(|name| !before.contains(name)) else {
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
                return names().await.contains(&new);
            }
        }
        false
    })
}

/// The process that changes the cluster for an environment.
fn helm(environment: &str, is_rollback: bool) -> Option<Pid> {
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let found = processes.into_iter().find(|process| {
        let said = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        let said = String::from_utf8_lossy(&said);
        let words: Vec<&str> = said.split('\0').collect();
        Path::new(words[0]).file_name().is_some_and(|name| name == "helm")
            && words.get(1) == Some(if is_rollback { &"rollback" } else { &"upgrade" })
            && words.windows(2).any(|pair| pair == ["--namespace", environment])
            && !words.contains(&"--dry-run=server")
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
