//! `smoke`: asks what runs, and says what is wrong with the answer.

use crate::lab::Lab;
use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use std::thread::sleep;
use std::time::{Duration, Instant};

#[test]
fn a_service_is_asked_who_it_is_and_no_wrong_answer_passes() {
    let lab = Lab::up("q", &[("dev".to_owned(), String::new())]);
    let said = lab.say(&["smoke", "--env", "dev"]);
    assert_eq!(said.code, 2, "nothing runs yet: {said:?}");
    let said = lab.say(&["deploy", "--env", "dev", "--digest", &lab.good[0]]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(
        said.stderr.contains(&format!("image {}", lab.good[0])),
        "a release asks for its build too: {said:?}"
    );
    right(&lab);
    cut(&lab);
    another_environment_or_build(&lab);
    nobody_ready(&lab);
}

fn right(lab: &Lab) {
    let said = lab.say(&["smoke", "--env", "dev", "--json"]);
    assert_eq!(said.code, 0, "{said:?}");
    let found: Value = serde_json::from_str(&said.stdout).unwrap();
    let right = &found["asked"][0]["right"];
    assert_eq!(
        (&right["sys_env"], &right["build"]["image"]),
        (&"helloworld".into(), &json!(lab.good[0])),
        "{found}"
    );
    assert_eq!(right["build"]["version"], "0.1.0", "{found}");
    let report = std::fs::read_to_string(lab.path("target/xtask/report.json")).unwrap();
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(
        (&report["run"]["exit_code"], &report["releases"][0]["phase"]),
        (&0.into(), &"smoke".into()),
        "{report}"
    );
}

/// Changes what the container is told, without Helm.
fn told(lab: &Lab, change: &Value) {
    let patch = json!({ "spec": { "template": { "spec": { "containers": [change] } } } });
    let done = lab.ask(async |client| {
        let api: Api<Deployment> = Api::namespaced(client, "dev");
        api.patch("hello-app", &PatchParams::default(), &Patch::Strategic(&patch)).await
    });
    let generation = done.unwrap().metadata.generation.unwrap();
    let deadline = Instant::now() + Duration::from_secs(90);
    while Instant::now() < deadline {
        let now = lab.ask(async |client| Api::<Deployment>::namespaced(client, "dev").get("hello-app").await);
        let status = now.unwrap().status.unwrap();
        let all = status.replicas.unwrap_or_default();
        if status.observed_generation == Some(generation) && status.updated_replicas == Some(all) {
            return;
        }
        sleep(Duration::from_millis(200));
    }
    panic!("the change was not rolled out");
}

fn rejected(lab: &Lab, expected: &str) {
    let said = lab.say(&["smoke", "--env", "dev"]);
    assert_eq!(said.code, 10, "{said:?}");
    assert!(said.stderr.contains(expected), "{expected}: {said:?}");
}

fn another_environment_or_build(lab: &Lab) {
    told(lab, &json!({ "name": "app", "env": [{ "name": "SYS_ENV", "value": "elsewhere" }] }));
    rejected(lab, "/healthz shows SYS_ENV `elsewhere`, expected `helloworld`");
    let change = json!([{ "name": "SYS_ENV", "value": "helloworld" }, { "name": "APP_IMAGE_DIGEST", "value": "sha256:00" }]);
    told(lab, &json!({ "name": "app", "env": change }));
    rejected(lab, "/version shows image `sha256:00`, expected `sha256:");
}

fn nobody_ready(lab: &Lab) {
    let probe = json!({ "httpGet": { "path": "/nowhere", "port": 8080 }, "periodSeconds": 1 });
    let patch = json!({ "spec": {
        "strategy": { "type": "Recreate", "rollingUpdate": null },
        "template": { "spec": { "containers": [{ "name": "app", "readinessProbe": probe }] } },
    } });
    let done = lab.ask(async |client| {
        let api: Api<Deployment> = Api::namespaced(client, "dev");
        api.patch("hello-app", &PatchParams::default(), &Patch::Strategic(&patch)).await
    });
    done.unwrap();
    rejected(lab, "no pod of the newest revision of hello-app is ready");
}

/// No port can be forwarded to a node without power: nothing is known of the release then, though its pods still count as ready.
fn cut(lab: &Lab) {
    lab.power("stop", "n1");
    let said = lab.say(&["smoke", "--env", "dev"]);
    assert_eq!(said.code, 20, "{said:?}");
    assert!(said.stderr.contains("forward port 8080"), "{said:?}");
    lab.power("start", "n1");
    let deadline = Instant::now() + Duration::from_secs(90);
    while lab.say(&["smoke", "--env", "dev"]).code != 0 {
        assert!(Instant::now() < deadline, "the node did not come back");
        sleep(Duration::from_secs(1));
    }
}
