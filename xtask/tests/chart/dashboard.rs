//! Each query of the dashboard and of the rules names metrics that somebody really exposes: the service itself, asked over its own
//! port, the chart's own recording rules, or an exporter whose list is here.

use crate::files::{chart, list, root, rules, text};
use crate::promql::{metrics, selectors};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// From kube-state-metrics' own lists, `docs/metrics/workload/{deployment,horizontalpodautoscaler,pod}-metrics.md` of its repository; it
/// cannot be built here to be asked.
const KUBE_STATE_METRICS: [&str; 9] = [
    "kube_deployment_spec_replicas",
    "kube_deployment_status_replicas_available",
    "kube_deployment_status_replicas_updated",
    "kube_horizontalpodautoscaler_spec_max_replicas",
    "kube_horizontalpodautoscaler_spec_min_replicas",
    "kube_horizontalpodautoscaler_status_current_replicas",
    "kube_horizontalpodautoscaler_status_desired_replicas",
    "kube_pod_container_status_restarts_total",
    "kube_pod_container_status_waiting_reason",
];

/// Of operators: External Secrets 1.3.2, `pkg/controllers/externalsecret/esmetrics`; cert-manager's documented metrics.
const OPERATORS: [&str; 2] =
    ["certmanager_certificate_expiration_timestamp_seconds", "externalsecret_status_condition"];

/// A query with a number in the place of each word that the chart fills in.
fn filled(query: &str) -> String {
    query.split('@').step_by(2).collect::<Vec<_>>().join("1")
}

/// Every query of the dashboard, with its panel's title.
fn panels() -> Vec<(String, String)> {
    let dashboard: Value = serde_json::from_str(&text(&chart().join("dashboards/app.json"))).unwrap();
    let panels = list(&dashboard["panels"]);
    let of_panel = |panel: &Value| {
        let title = panel["title"].as_str().unwrap().to_owned();
        list(&panel["targets"])
            .into_iter()
            .map(move |target| (title.clone(), target["expr"].as_str().unwrap().to_owned()))
    };
    panels.iter().flat_map(of_panel).collect()
}

fn recorded() -> BTreeSet<String> {
    rules().iter().filter_map(|rule| Some(rule.get("record")?.as_str()?.to_owned())).collect()
}

/// The service, built from this repository and running with one secret; it ends when this is dropped.
struct Service {
    child: Child,
    http: SocketAddr,
    metrics: SocketAddr,
    _secrets: tempfile::TempDir,
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended by itself, which is no fault here.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn binary() -> PathBuf {
    let built = Command::new("cargo")
        .current_dir(root())
        .args(["build", "--quiet", "--locked", "--package", "app", "--message-format", "json"])
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(built.status.success());
    let said = String::from_utf8(built.stdout).unwrap();
    let artifacts = said.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut found = artifacts.filter_map(|artifact| Some(PathBuf::from(artifact["executable"].as_str()?)));
    found.next_back().unwrap()
}

impl Service {
    fn start() -> Service {
        let secrets = tempfile::tempdir().unwrap();
        std::fs::write(secrets.path().join("api-token"), "only-for-this-test").unwrap();
        let (http, metrics) = (free(), free());
        let child = Command::new(binary())
            .env_clear()
            .env("LISTEN_ADDR", http.to_string())
            .env("METRICS_ADDR", metrics.to_string())
            .env("APP_SECRETS_DIR", secrets.path())
            .env("CONFIG_ENVIRONMENT", "dev")
            .env("POD_ENVIRONMENT", "dev")
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let service = Service { child, http, metrics, _secrets: secrets };
        let began = Instant::now();
        while get(service.http, "/readyz").is_none_or(|answer| !answer.starts_with("HTTP/1.1 200")) {
            assert!(began.elapsed() < Duration::from_secs(30), "it does not get ready");
            std::thread::sleep(Duration::from_millis(20));
        }
        service
    }

    /// The names of all samples, as Prometheus would store them, each with those of its labels.
    fn scrape(&self) -> BTreeMap<String, BTreeSet<String>> {
        let answer = get(self.metrics, "/metrics").unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        let mut exposed = BTreeMap::<String, BTreeSet<String>>::new();
        for sample in body.lines().filter(|line| !line.starts_with('#')) {
            let name = sample.split(['{', ' ']).next().unwrap().to_owned();
            // A sample is a selector too.
            let labels = selectors(sample).into_iter().flat_map(|(_, labels)| labels);
            exposed.entry(name).or_default().extend(labels);
        }
        exposed
    }
}

/// An answer whole, if there is one.
fn get(address: SocketAddr, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

/// Every query of dashboard and rules, with the panel's title or the rule's name.
fn queries() -> Vec<(String, String)> {
    let of_rules = rules().into_iter().map(|rule| {
        let name = rule.get("alert").or(rule.get("record")).unwrap().as_str().unwrap().to_owned();
        (name, rule["expr"].as_str().unwrap().to_owned())
    });
    panels().into_iter().chain(of_rules).map(|(title, query)| (title, filled(&query))).collect()
}

#[test]
fn every_query_names_metrics_and_labels_that_are_really_there() {
    let service = Service::start();
    assert!(get(service.http, "/").is_some_and(|answer| answer.starts_with("HTTP/1.1 200")));
    let (exposed, recorded) = (service.scrape(), recorded());
    assert!(exposed["http_request_duration_seconds_bucket"].contains("le"), "{exposed:?}");
    let mut unknown = Vec::new();
    for (title, query) in queries() {
        let named = metrics(&query);
        assert!(!named.is_empty(), "{title}: {query}");
        for metric in named {
            let known = exposed.contains_key(&metric)
                || recorded.contains(&metric)
                || KUBE_STATE_METRICS.contains(&metric.as_str())
                || OPERATORS.contains(&metric.as_str());
            if !known {
                unknown.push(format!("{title}: {metric}"));
            }
        }
        for (metric, asked) in selectors(&query) {
            let Some(labels) = exposed.get(&metric) else { continue };
            // Those two are the scraper's.
            let missing = asked
                .iter()
                .filter(|label| !labels.contains(*label) && !["namespace", "pod"].contains(&label.as_str()));
            unknown.extend(missing.map(|label| format!("{title}: {metric} has no label {label}")));
        }
    }
    assert!(unknown.is_empty(), "nobody exposes these: {unknown:#?}");
}

#[test]
fn every_metric_of_an_exporter_that_is_listed_is_used() {
    let used: BTreeSet<String> = queries().iter().flat_map(|(_, query)| metrics(query)).collect();
    let listed = KUBE_STATE_METRICS.iter().chain(&OPERATORS);
    let idle: Vec<_> = listed.filter(|metric| !used.contains(**metric)).collect();
    assert!(idle.is_empty(), "{idle:?}");
}
