//! Twenty services as one release set: forward in order, back in reverse, killed, stopped, and how much of it the cluster has to watch.

use crate::lab::Lab;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

pub(crate) const CHART: &str = "apiVersion: v2\nname: tiny\nversion: 0.1.0\n";

pub(crate) const TEMPLATES: &str = r#"apiVersion: v1
kind: ConfigMap
metadata: { name: {{ .Release.Name }}, labels: { environment: dev } }
data: { SYS_ENV: set }
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: {{ .Release.Name }}, labels: { environment: dev } }
spec:
  replicas: 1
  selector: { matchLabels: { app: {{ .Release.Name }} } }
  strategy: { type: RollingUpdate, rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } }
  template:
    metadata: { labels: { app: {{ .Release.Name }}, environment: dev } }
    spec:
      terminationGracePeriodSeconds: 2
      containers:
        - name: app
          image: {{ .Values.image }}
          envFrom: [{ configMapRef: { name: {{ .Release.Name }} } }]
          env:
            - { name: FAULT, value: {{ index .Values.faults .Release.Name | default "slow:0ms" | quote }} }
            - { name: APP_COMMIT, value: {{ .Values.stamp | quote }} }
            - { name: DRAIN_SETTLE_SECONDS, value: "0" }
            - { name: DRAIN_DEADLINE_SECONDS, value: "1" }
          ports: [{ name: http, containerPort: 8080 }]
          startupProbe: { httpGet: { path: /livez, port: 8080 }, periodSeconds: 1, failureThreshold: 60 }
          readinessProbe: { httpGet: { path: /readyz, port: 8080 }, periodSeconds: 1, failureThreshold: 3 }
          resources: { requests: { cpu: 1m, memory: 8Mi }, limits: { memory: 64Mi } }
"#;

/// The one that is bad, in the middle.
const BAD: &str = "s08";

fn name(number: usize) -> String {
    format!("s{number:02}")
}

/// One first, four on it, seven on one of those, seven on one of those, and one that depends on nothing.
fn before(number: usize) -> Option<usize> {
    match number {
        2..=5 => Some(1),
        6..=12 => Some(3),
        13..=19 => Some(8),
        _ => None,
    }
}

/// The chart and twenty services that have it.
fn repository(lab: &Lab) {
    std::fs::create_dir_all(lab.path("charts/tiny/templates")).unwrap();
    std::fs::write(lab.path("charts/tiny/Chart.yaml"), CHART).unwrap();
    std::fs::write(lab.path("charts/tiny/templates/all.yaml"), TEMPLATES).unwrap();
    let mut services = String::new();
    for number in 1..=20 {
        let after = before(number).map_or_else(String::new, |before| format!(", after: [{}]", name(before)));
        let _ = writeln!(
            services,
            "  {}: {{ path: app, language: other, chart: charts/tiny{after} }}",
            name(number)
        );
    }
    let text = format!(
        "version: 1\nproject: set\nregistry: {}\nservices:\n{services}environments:\n  \
         set: {{ namespace: set, label: dev, values: values.set.yaml, kubeconfig: kubeconfig, budgets: {{ soak: 1s, watch: 3m }} }}\n",
        lab.registry
    );
    std::fs::write(lab.path("pipeline.yaml"), text).unwrap();
    values(lab, "0", None);
}

/// Another stamp makes every service another one; a fault makes one of them bad.
fn values(lab: &Lab, stamp: &str, fault: Option<&str>) {
    let faults = fault.map_or_else(|| json!({}), |fault| json!({ BAD: fault }));
    let image = format!("{}/hello@{}", lab.registry, lab.good[0]);
    let values = json!({ "image": image, "stamp": stamp, "faults": faults });
    for file in ["values.yaml", "values.set.yaml"] {
        std::fs::write(lab.path("charts/tiny").join(file), values.to_string()).unwrap();
    }
}

/// All that `status` knows, by service.
fn status(lab: &Lab) -> BTreeMap<String, Value> {
    let said = lab.say(&["status", "--env", "set", "--set", "--json"]);
    let status: Value =
        serde_json::from_str(&said.stdout).unwrap_or_else(|error| panic!("{error}: {said:?}"));
    let releases = status["releases"].as_array().unwrap().iter();
    releases.map(|release| (release["release"].as_str().unwrap().to_owned(), release.clone())).collect()
}

/// Nothing is under way, nothing is locked, and what runs everywhere is what was proven there.
fn settled(all: &BTreeMap<String, Value>) {
    for (name, status) in all {
        assert_eq!((&status["proven"], &status["lock"]), (&true.into(), &Value::Null), "{name}: {status}");
    }
}

fn revisions(all: &BTreeMap<String, Value>) -> BTreeMap<&str, u64> {
    all.iter().map(|(name, status)| (name.as_str(), status["revision"].as_u64().unwrap())).collect()
}

/// When a service began to run what it runs now, and when that was proven.
fn times(status: &Value) -> (jiff::Timestamp, jiff::Timestamp) {
    let time = |value: &Value| value.as_str().unwrap().parse().unwrap();
    (time(&status["since"]), time(&status["journal"]["since"]))
}

#[test]
fn twenty_services_go_forward_in_order_and_back_in_reverse_whoever_carries_them() {
    let lab = Lab::up("m", &[("set".to_owned(), String::new())]);
    repository(&lab);
    all_good(&lab);
    one_bad(&lab);
    nothing_is_released_after_a_refusal(&lab);
    killed_and_recovered(&lab);
    stopped(&lab);
}

fn all_good(lab: &Lab) {
    let said = lab.say(&["deploy", "--env", "set", "--set", "--json"]);
    assert_eq!(said.code, 0, "{said:?}");
    let ending: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(ending["summary"], "GOOD: 20 services are proven, in 4 waves", "{ending}");
    let all = status(lab);
    settled(&all);
    for number in 1..=20 {
        let Some(before) = before(number) else { continue };
        let (began, _) = times(&all[&name(number)]);
        let (_, proven) = times(&all[&name(before)]);
        assert!(began > proven, "{} began at {began}, {} was proven at {proven}", name(number), name(before));
    }
    // The same again by one watch a kind, though seven are watched together.
    values(lab, "1", None);
    let (said, most) = watched(lab, || lab.say(&["deploy", "--env", "set", "--set"]));
    assert_eq!(said.code, 0, "{said:?}");
    println!("most watches of one namespace at a time: {most:?}");
    let kinds: BTreeSet<&str> = most.keys().map(String::as_str).collect();
    assert!(kinds.is_superset(&BTreeSet::from(["deployments", "events", "pods", "replicasets"])), "{most:?}");
    assert!(most.values().all(|most| *most == 1), "{most:?}");
}

fn one_bad(lab: &Lab) {
    let before_it = status(lab);
    values(lab, "2", Some("crash:start"));
    let said = lab.say(&["deploy", "--env", "set", "--set", "--json"]);
    assert_eq!(said.code, 12, "{said:?}");
    let ending: Value = serde_json::from_str(&said.stdout).unwrap();
    let summary = ending["summary"].as_str().unwrap();
    assert!(summary.starts_with("REJECTED s08: F6: pod s08-"), "{summary}");
    assert!(summary.ends_with("13 of 13 services that had moved are rolled back, verified"), "{summary}");
    let all = status(lab);
    settled(&all);
    for number in 1..=20 {
        let name = name(number);
        let moved = !(13..=19).contains(&number);
        let more = if moved { 2 } else { 0 };
        let (old, new) = (&before_it[&name], &all[&name]);
        assert_eq!(new["revision"].as_u64(), old["revision"].as_u64().map(|was| was + more), "{name}: {new}");
        let runs = |status: &Value| status["journal"]["last_good"]["manifest_sha256"].clone();
        assert_eq!(runs(new), runs(old), "{name} runs what it ran");
        if let Some(first) = before(number).filter(|_| moved) {
            let (_, back) = times(new);
            let (began, _) = times(&all[&self::name(first)]);
            assert!(
                began > back,
                "{name} was back at {back}, {} began to go back at {began}",
                self::name(first)
            );
        }
    }
}

fn nothing_is_released_after_a_refusal(lab: &Lab) {
    let before = status(lab);
    values(lab, "3", None);
    let template = lab.path("charts/tiny/templates/all.yaml");
    let wrong = TEMPLATES
        .replace("replicas: 1", "replicas: {{ if eq .Release.Name \"s19\" }}many{{ else }}1{{ end }}");
    std::fs::write(&template, wrong).unwrap();
    let said = lab.say(&["deploy", "--env", "set", "--set"]);
    assert!(said.code == 11 && said.stderr.contains("s19"), "{said:?}");
    std::fs::write(&template, TEMPLATES).unwrap();
    assert_eq!(revisions(&status(lab)), revisions(&before), "not even the first was touched");
    let said = lab.say(&["deploy", "--env", "set", "--set", "s01", "nobody"]);
    assert_eq!(said.code, 2, "{said:?}");
}

/// Waits until every service has begun, for another run than before: Helm serves only some of a wave at a time.
fn all_begun(lab: &Lab, known: &str) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while status(lab).values().any(|status| status["journal"]["run"]["id"] == known) {
        assert!(Instant::now() < deadline, "not every service ever begins");
    }
}

fn last_run(lab: &Lab) -> String {
    status(lab)["s01"]["journal"]["run"]["id"].as_str().unwrap().to_owned()
}

fn killed_and_recovered(lab: &Lab) {
    for (stamp, fault, service, phase, code) in [
        // Not all had begun: those that had are proven, and go back.
        ("4", None, "s03", "watch", 12),
        // Already going back.
        ("5", Some("crash:start"), "s03", "verify-rollback", 12),
        // All had begun: they are proven to the end.
        ("6", None, "s15", "soak", 0),
    ] {
        values(lab, stamp, fault);
        let (known, before) = (last_run(lab), status(lab));
        let mut child = lab.start(&["deploy", "--env", "set", "--set"]);
        lab.comes_to("set", service, phase, &known);
        if code == 0 {
            all_begun(lab, &known);
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let said = lab.say(&["recover", "--env", "set", "--set"]);
        assert_eq!(said.code, code, "{service} {phase}: {said:?}");
        let all = status(lab);
        settled(&all);
        let same = |status: &Value| status["journal"]["last_good"]["manifest_sha256"].clone();
        for (name, status) in &all {
            assert_eq!(
                same(status) == same(&before[name]),
                code == 12,
                "{service} {phase}: {name}: {status}"
            );
        }
        assert_eq!(lab.say(&["recover", "--env", "set", "--set"]).code, 0, "nothing is left");
    }
}

fn stopped(lab: &Lab) {
    for (stamp, service, phase) in [("7", "s01", "apply"), ("8", "s10", "watch"), ("9", "s05", "soak")] {
        values(lab, stamp, None);
        let known = last_run(lab);
        let mut child = lab.start(&["deploy", "--env", "set", "--set"]);
        lab.comes_to("set", service, phase, &known);
        let asked = Instant::now();
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        let code = child.wait().unwrap().code();
        let took = asked.elapsed();
        println!("stopped in {service} {phase} after {took:?}");
        assert_eq!(code, Some(130), "{service} {phase}");
        assert!(took < Duration::from_millis(2500), "{service} {phase}: {took:?}");
        let said = lab.say(&["recover", "--env", "set", "--set"]);
        assert!(matches!(said.code, 0 | 12), "{service} {phase}: {said:?}");
        settled(&status(lab));
    }
}

/// How many watches of single namespaces the API server had at most at a time while something was done, by kind. Its own controllers
/// watch all namespaces at once.
fn watched<T: Send>(lab: &Lab, work: impl FnOnce() -> T + Send) -> (T, BTreeMap<String, u64>) {
    let over = AtomicBool::new(false);
    scope(|threads| {
        let counting = threads.spawn(|| {
            let mut most: BTreeMap<String, u64> = BTreeMap::new();
            while !over.load(Ordering::Relaxed) {
                for (kind, now) in watches(lab) {
                    let most = most.entry(kind).or_default();
                    *most = now.max(*most);
                }
                sleep(Duration::from_millis(200));
            }
            most
        });
        let done = work();
        over.store(true, Ordering::Relaxed);
        (done, counting.join().unwrap())
    })
}

fn watches(lab: &Lab) -> BTreeMap<String, u64> {
    let request = hyper::Request::get("/metrics").body(Vec::new()).unwrap();
    let text = lab.ask(async |client| client.request_text(request).await).unwrap();
    let lines = text.lines().filter(|line| {
        line.starts_with("apiserver_longrunning_requests{")
            && line.contains(r#"verb="WATCH""#)
            && line.contains(r#"scope="namespace""#)
    });
    let mut all = BTreeMap::new();
    for line in lines {
        let (_, rest) = line.split_once(r#",resource=""#).unwrap();
        let (kind, _) = rest.split_once('"').unwrap();
        let now: f64 = line.rsplit_once(' ').unwrap().1.parse().unwrap();
        let now = format!("{now}").parse::<u64>().unwrap();
        if now > 0 && ["deployments", "events", "pods", "replicasets"].contains(&kind) {
            *all.entry(kind.to_owned()).or_default() += now;
        }
    }
    all
}
