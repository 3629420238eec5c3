//! What the chart renders: the same bytes every time, the same with either Helm and for each Kubernetes, and what was committed.

use crate::files::{chart, text};
use crate::tools::{DEFAULTS, DEV, NEWEST, PROD, copy, objects, render, rendered, run, xtask};
use serde_json::Value;
use std::fs;

/// Values that take the branches which no environment of ours takes.
const INGRESS: &str = "
environment: dev
secret: {source: plain, sysEnv: {value: a}, files: {api-token: {value: b}}}
expose:
  by: ingress
  hosts: [a.example.com]
  ingress:
    {className: c, tlsSecretName: t, clusterIssuer: letsencrypt-prod, allowFrom: [192.0.2.0/24], allowFromAnnotation: a.example/allow}
metrics: {monitor: none, rules: {enabled: true}}
";

fn same_as_committed(values: &[&str]) {
    let snapshot = chart().join("tests/snapshots").join(values[0]);
    let (render, committed) = (rendered(values), text(&snapshot));
    let differs = render.lines().zip(committed.lines()).position(|(now, then)| now != then);
    assert!(
        render == committed,
        "what {} renders differs from {} at line {:?}. If that is meant: cargo xtask chart; cp target/xtask/charts/app/{} {}",
        values[0],
        snapshot.display(),
        differs.map_or(render.lines().count().min(committed.lines().count()) + 1, |line| line + 1),
        values[0],
        snapshot.display(),
    );
}

#[test]
fn dev_renders_what_was_committed() {
    same_as_committed(DEV);
}

#[test]
fn prod_renders_what_was_committed() {
    same_as_committed(PROD);
}

#[test]
fn the_same_chart_in_two_folders_renders_the_same_bytes_again_and_again() {
    let other = copy();
    for values in [DEFAULTS, DEV, PROD] {
        let first = rendered(values);
        assert_eq!(rendered(values), first);
        assert_eq!(render("helm", &other.path().join("app"), NEWEST, values).stdout, first);
    }
}

#[test]
fn helm_3_and_helm_4_render_the_same() {
    let folder = copy();
    let app = folder.path().join("app");
    fs::write(app.join("ingress.yaml"), INGRESS).unwrap();
    for values in [DEFAULTS, DEV, PROD, &["ingress.yaml"]] {
        // They differ in the empty lines between objects.
        let lines = |helm: &str| {
            let ran = render(helm, &app, NEWEST, values);
            assert!(ran.passed, "{helm}: {}", ran.all);
            ran.stdout.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect::<Vec<_>>()
        };
        let (three, four) = (lines("helm3"), lines("helm"));
        assert!(four.len() > 100, "{four:?}");
        assert_eq!(three, four, "{values:?}");
    }
}

#[test]
fn both_helms_refuse_what_the_schema_and_the_templates_refuse() {
    for helm in ["helm", "helm3"] {
        for (set, says) in [
            ("imgae.tag=x", "imgae"),
            ("environment=prod", "tag"),
            ("environment=prod,image.tag=", "prod accepts images by digest only"),
            ("secret.source=external", "neither secret.sysEnv nor secret.files"),
        ] {
            let ran = run(helm, &chart(), ["template", "app", ".", "--kube-version", NEWEST, "--set", set]);
            assert!(!ran.passed && ran.all.contains(says), "{helm} {set}: {}", ran.all);
        }
    }
}

#[test]
fn each_kubernetes_gets_the_same_objects_and_the_stage_validates_them_for_each() {
    let ran = xtask(&["chart", "--output", "plain"]);
    let shown = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{shown}");
    let report = crate::files::root().join("target/xtask/report.json");
    let report: Value = serde_json::from_str(&text(&report)).unwrap();
    let stages = report["stages"].as_array().unwrap();
    let facts = &stages.iter().find(|stage| stage["facts"]["renders"].is_array()).unwrap()["facts"];
    assert!(facts["rules"].as_u64() > Some(20) && facts["rule_tests"].as_u64() > Some(30), "{facts}");
    for renders in facts["renders"].as_array().unwrap() {
        assert_eq!(renders["kubernetes"], serde_json::json!(["1.34", "1.35", "1.36"]));
    }
    for values in [DEFAULTS, DEV, PROD] {
        for minor in ["1.34", "1.35"] {
            assert_eq!(render("helm", &chart(), minor, values).stdout, rendered(values), "{minor}");
        }
    }
    let older = render("helm", &chart(), "1.33", DEFAULTS);
    assert!(!older.passed && older.all.contains("kubeVersion"), "{}", older.all);
}

#[test]
fn every_object_is_marked_with_its_environment() {
    for (values, environment) in [(DEFAULTS, "local"), (DEV, "dev"), (PROD, "prod")] {
        let objects = objects(&rendered(values));
        assert!(objects.len() > 6);
        for object in objects {
            let labels = &object["metadata"]["labels"];
            assert_eq!(
                labels["environment"], environment,
                "{} {}",
                object["kind"], object["metadata"]["name"]
            );
        }
    }
}

#[test]
fn no_secret_is_in_what_prod_renders() {
    let kinds: Vec<String> =
        objects(&rendered(PROD)).iter().map(|object| object["kind"].as_str().unwrap().to_owned()).collect();
    assert!(
        !kinds.contains(&"Secret".to_owned()) && kinds.contains(&"ExternalSecret".to_owned()),
        "{kinds:?}"
    );
}

/// The scanner's exceptions that an object asks for: check and reason.
fn exceptions(object: &Value) -> Vec<(String, String)> {
    let annotations = object["metadata"]["annotations"].as_object().cloned().unwrap_or_default();
    let asked = annotations.iter().filter(|(key, _)| key.starts_with("checkov.io/skip"));
    asked
        .map(|(_, value)| {
            let (check, reason) = value.as_str().unwrap().split_once('=').unwrap();
            (check.to_owned(), reason.to_owned())
        })
        .collect()
}

#[test]
fn the_scanner_finds_nothing_and_each_exception_is_used_and_has_a_reason_and_an_end() {
    for values in [DEFAULTS, DEV, PROD] {
        let folder = tempfile::tempdir().unwrap();
        let render = rendered(values);
        fs::write(folder.path().join("render.yaml"), &render).unwrap();
        let args = ["--framework", "kubernetes", "--skip-download", "--compact", "--output", "json"];
        let ran = run("checkov", folder.path(), args.into_iter().chain(["--file", "render.yaml"]));
        let report: Value =
            serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {}", ran.all));
        let results = |list: &str| report["results"][list].as_array().unwrap().clone();
        let ids = |list: &str| -> Vec<String> {
            results(list).iter().map(|check| format!("{} {}", check["check_id"], check["resource"])).collect()
        };
        assert!(results("passed_checks").len() > 100);
        assert_eq!(ids("failed_checks"), Vec::<String>::new(), "{values:?}");
        let used = ids("skipped_checks");
        let mut asked = 0;
        for object in objects(&render) {
            let (kind, name) =
                (object["kind"].as_str().unwrap(), object["metadata"]["name"].as_str().unwrap());
            for (check, reason) in exceptions(&object) {
                asked += 1;
                let resource = format!("\"{check}\" \"{kind}.rendered.{name}\"");
                assert!(used.contains(&resource), "{resource} is excepted and needs no exception: {used:?}");
                let (why, until) =
                    reason.rsplit_once("; expires ").unwrap_or_else(|| panic!("no end: {reason}"));
                assert!(why.len() > 20 && until.len() == 10 && until.starts_with("20"), "{reason}");
            }
        }
        assert_eq!(used.len(), asked, "{used:?}");
    }
}
