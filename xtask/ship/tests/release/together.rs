//! Three services as one release on their way through two environments: promoted and approved as one, one set at a time, and what
//! becomes of a set when somebody edits a member or takes the question on himself.

use crate::lab::{Lab, Said};
use crate::set::{CHART, TEMPLATES};
use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use std::fmt::Write;

/// Each needs the one before.
const SERVICES: [&str; 3] = ["front", "middle", "last"];

/// The chart, three services that have it, and an environment behind another. `patience` is for somebody else's lock.
fn repository(lab: &Lab, patience: &str) {
    let templates =
        TEMPLATES.replace("{{ .Values.image }}", "{{ .Values.image.repository }}@{{ .Values.image.digest }}");
    std::fs::create_dir_all(lab.path("charts/tiny/templates")).unwrap();
    std::fs::write(lab.path("charts/tiny/Chart.yaml"), CHART).unwrap();
    std::fs::write(lab.path("charts/tiny/templates/all.yaml"), templates).unwrap();
    let mut text = format!("version: 1\nproject: set\nregistry: {}\nservices:\n", lab.registry);
    let mut after = String::new();
    for service in SERVICES {
        let _ = writeln!(text, "  {service}: {{ path: app, language: other, chart: charts/tiny{after} }}");
        after = format!(", after: [{service}]");
    }
    text.push_str("environments:\n");
    for (environment, more) in [("dev", ""), ("prod", ", promoted_from: dev, approval: true")] {
        let _ = writeln!(
            text,
            "  {environment}: {{ namespace: {environment}, label: dev, kubeconfig: kubeconfig, values: values.yaml, \
             budgets: {{ soak: 1s, watch: 3m, lock: {patience} }}{more} }}"
        );
    }
    std::fs::write(lab.path("pipeline.yaml"), text).unwrap();
    faults(lab, &json!({}));
}

/// What is wrong with which service.
fn faults(lab: &Lab, faults: &Value) {
    let image = json!({ "repository": "", "digest": "" });
    let values = json!({ "image": image, "stamp": "0", "faults": faults });
    std::fs::write(lab.path("charts/tiny/values.yaml"), values.to_string()).unwrap();
}

/// Leaves what `build` would have left: one of two images for each service.
fn built(lab: &Lab, image: usize) {
    for service in SERVICES {
        let index = json!({ "manifests": [{ "digest": lab.also(image, service) }] });
        let folder = lab.path(&format!("target/xtask/images/{service}"));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("index.json"), index.to_string()).unwrap();
    }
}

/// Whether what was built last is the last good release of a service.
fn is_proven(lab: &Lab, environment: &str, service: &str) -> bool {
    let index = std::fs::read(lab.path(&format!("target/xtask/images/{service}/index.json"))).unwrap();
    let index: Value = serde_json::from_slice(&index).unwrap();
    image(lab, environment, service).ends_with(index["manifests"][0]["digest"].as_str().unwrap())
}

fn image(lab: &Lab, environment: &str, service: &str) -> String {
    let image = lab.journal(environment, service)["last_good"]["image"].clone();
    image.as_str().unwrap().to_owned()
}

fn refused(said: &Said, words: &str) {
    assert!(said.code == 11 && said.stderr.contains(words), "{words}: {said:?}");
}

#[test]
fn a_set_is_promoted_and_approved_as_one_and_nobody_else_touches_it_meanwhile() {
    let lab = Lab::up("t", &[("dev".to_owned(), String::new()), ("prod".to_owned(), String::new())]);
    repository(&lab, "1s");
    promoted(&lab);
    one_at_a_time(&lab);
    forgotten(&lab);
    edited(&lab);
}

fn promoted(lab: &Lab) {
    built(lab, 0);
    refused(&lab.say(&["promote", "--env", "prod", "--set"]), "expected a release that is proven in dev");
    assert_eq!(lab.say(&["deploy", "--env", "dev", "--set"]).code, 0);
    refused(&lab.say(&["promote", "--env", "prod", "--set"]), "not approved");
    let promote = ["promote", "--env", "prod", "--set"];
    let (code, screen) = lab.at_terminal(&promote, "\u{3}");
    assert!(code == 130 && screen.contains("stopped before anything was touched"), "{code}: {screen}");
    assert!(!screen.contains("recover"), "there is nothing to finish: {screen}");
    for service in SERVICES {
        assert_eq!(lab.journal("prod", service), Value::Null, "nothing was touched");
    }
    let (code, screen) = lab.at_terminal(&promote, "prod\r");
    assert!(code == 0 && screen.contains("GOOD: 3 services are proven, in 3 waves"), "{code}: {screen}");
    assert_eq!(screen.matches("type `prod`").count(), 1, "one question for all: {screen}");
    for service in SERVICES {
        assert_eq!(image(lab, "prod", service), image(lab, "dev", service));
        assert!(is_proven(lab, "prod", service), "{service}");
    }
}

fn one_at_a_time(lab: &Lab) {
    built(lab, 1);
    let known = lab.journal("dev", "middle")["run"]["id"].as_str().unwrap().to_owned();
    let mut first = lab.start(&["deploy", "--env", "dev", "--set"]);
    lab.comes_to("dev", "middle", "watch", &known);
    refused(&lab.say(&["deploy", "--env", "dev", "--set"]), "is at work on this release");
    refused(&lab.say(&["deploy", "--env", "dev", "--service", "front"]), "is at work on this release");
    // What is proven now may go back with the others.
    refused(
        &lab.say(&["promote", "--env", "prod", "--service", "front", "--dry-run"]),
        "one whose set is under way",
    );
    assert!(first.wait().unwrap().success(), "it does not notice");
    for service in SERVICES {
        assert!(is_proven(lab, "dev", service));
    }
    assert_eq!(lab.say(&["promote", "--env", "prod", "--service", "front", "--dry-run"]).code, 0);
}

fn forgotten(lab: &Lab) {
    // The lock of a dead one has to run out.
    repository(lab, "60s");
    built(lab, 0);
    let known = lab.journal("dev", "middle")["run"]["id"].as_str().unwrap().to_owned();
    let mut deployer = lab.start(&["deploy", "--env", "dev", "--set"]);
    lab.comes_to("dev", "middle", "watch", &known);
    deployer.kill().unwrap();
    deployer.wait().unwrap();
    let said = lab.say(&["recover", "--env", "dev", "--set", "--override"]);
    assert!(said.code == 0 && said.stderr.contains("the set is forgotten"), "{said:?}");
    let said = lab.say(&["recover", "--env", "dev", "--set"]);
    assert!(said.code == 0 && said.stderr.contains("no set is unfinished"), "{said:?}");
    assert_eq!(lab.journal("dev", "middle")["phase"], "watch", "each has a journal of its own");
    assert_eq!(lab.say(&["deploy", "--env", "dev", "--set"]).code, 0, "which is finished first");
    for service in SERVICES {
        assert!(is_proven(lab, "dev", service));
    }
}

fn edited(lab: &Lab) {
    built(lab, 1);
    faults(lab, &json!({ "last": "crash:start" }));
    let known = lab.journal("dev", "last")["run"]["id"].as_str().unwrap().to_owned();
    let mut deployer = lab.start(&["deploy", "--env", "dev", "--set"]);
    lab.comes_to("dev", "last", "watch", &known);
    let edit = Patch::Merge(json!({ "spec": { "revisionHistoryLimit": 3 } }));
    lab.ask(async |client| {
        let api = Api::<Deployment>::namespaced(client, "dev");
        api.patch("middle", &PatchParams::default(), &edit).await
    })
    .unwrap();
    assert_eq!(deployer.wait().unwrap().code(), Some(14), "somebody must look");
    assert_eq!(lab.journal("dev", "last")["phase"], "failed", "it went back by itself");
    for service in ["front", "middle"] {
        let context = "who edited it meant something, and what it was built on stays";
        assert!(is_proven(lab, "dev", service), "{service}: {context}");
        assert_eq!(lab.journal("dev", service)["phase"], "commit", "{service}: {context}");
    }
    faults(lab, &json!({}));
    assert_eq!(lab.say(&["deploy", "--env", "dev", "--set"]).code, 0, "and the next set is carried out");
}
