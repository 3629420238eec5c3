//! Nodes and zones that are lost while something is released: three zones, services with two replicas, spread. What dies is never
//! taken for the release's fault, and whoever asks another pod when one does not answer loses nothing.

use crate::asking::Clients;
use crate::inside::eventually;
use crate::lab::Lab;
use std::thread::scope;
use std::time::{Duration, Instant};

/// Pods are given up ten seconds after the cluster lost their node, not after the five minutes that are usual.
const VALUES: &str = "environment: dev
sysEnv: helloworld
replicas: 2
rollout: { minReadySeconds: 3, progressDeadlineSeconds: 300 }
spread: { zones: DoNotSchedule }
tolerations:
  - { key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: 10 }
  - { key: node.kubernetes.io/not-ready, operator: Exists, effect: NoExecute, tolerationSeconds: 10 }
";

/// What is going on when the power goes: a good release and a bad one have begun, and a good one soaks.
const SERVICES: [&str; 3] = ["moving", "soaking", "failing"];

/// What loses its power.
struct Outage {
    what: &'static str,
    /// The command on the lab.
    stop: [&'static str; 3],
    /// The nodes that it takes.
    takes: &'static [&'static str],
    /// Nodes of one zone that take no pods before the outage, so that each service has a pod in each of the two others; the clients are
    /// on the first one.
    spare: &'static [&'static str],
    /// Which image the good releases have.
    good: usize,
}

#[test]
fn a_node_or_a_zone_that_is_lost_is_not_the_releases_fault_and_a_drain_costs_no_request() {
    let more = ", values: values.zones.yaml, budgets: { soak: 1s, watch: 5m }";
    let environments = SERVICES.map(|name| (name.to_owned(), more.to_owned()));
    // The fourth node is in the first zone too.
    let lab = Lab::of("zones", 4, &environments);
    lab.values("values.zones.yaml", VALUES);
    nodes(&lab, "cordon", &["n1", "n4"]);
    scope(|threads| {
        for name in SERVICES {
            let lab = &lab;
            threads.spawn(move || {
                assert_eq!(lab.say(&["deploy", "--env", name, "--digest", &lab.good[0]]).code, 0);
            });
        }
    });
    // From now on one of them soaks for longer than the others need to get going.
    let pipeline = std::fs::read_to_string(lab.path("pipeline.yaml")).unwrap();
    let soaking = |line: &str| {
        let soaks = line.trim_start().starts_with("soaking:");
        if soaks { line.replace("soak: 1s", "soak: 60s") } else { line.to_owned() }
    };
    let pipeline: Vec<String> = pipeline.lines().map(soaking).collect();
    std::fs::write(lab.path("pipeline.yaml"), pipeline.join("\n")).unwrap();
    let (node, zone) = (["node", "stop", "n3"], ["zone", "stop", "zone-a"]);
    lost(&lab, &Outage { what: "a node", stop: node, takes: &["n3"], spare: &["n1", "n4"], good: 1 });
    back(&lab, &["n3"]);
    nodes(&lab, "cordon", &["n2"]);
    lost(&lab, &Outage { what: "a zone", stop: zone, takes: &["n1", "n4"], spare: &["n2"], good: 0 });
    back(&lab, &["n1", "n4"]);
    drained(&lab);
}

fn nodes(lab: &Lab, verb: &str, nodes: &[&str]) {
    lab.lab.kubectl(&[&[verb], nodes].concat());
}

/// Gives nodes their power back.
fn back(lab: &Lab, nodes: &[&str]) {
    for node in nodes {
        lab.lab.run(&["node", "start", node]);
    }
    eventually("the nodes are back", || lab.lab.status()["ready"] == true);
}

/// How many pods of a service that are ready there are on these nodes.
fn ready_on(lab: &Lab, service: &str, nodes: &[&str]) -> usize {
    let path =
        "jsonpath={range .items[*]}{.spec.nodeName}={.status.conditions[?(@.type==\"Ready\")].status} {end}";
    let said = lab.lab.kubectl(&["get", "pods", "--namespace", service, "-o", path]);
    let here = |pod: &&str| nodes.iter().any(|node| *pod == format!("{node}=True"));
    said.split_whitespace().filter(here).count()
}

fn reaches(lab: &Lab, environment: &str, phase: &str) {
    let deadline = Instant::now() + Duration::from_secs(90);
    let reached = lab.reaches(environment, phase, || Instant::now() < deadline);
    assert!(reached, "{environment} never reaches {phase}");
}

fn lost(lab: &Lab, outage: &Outage) {
    let Outage { what, stop, takes, spare, good } = outage;
    println!("{what} is lost");
    scope(|threads| {
        let deploy = |service: &'static str, digest: &str| {
            let digest = digest.to_owned();
            threads.spawn(move || lab.say(&["deploy", "--env", service, "--digest", &digest]))
        };
        let soaking = deploy("soaking", &lab.good[*good]);
        reaches(lab, "soaking", "soak");
        for service in SERVICES {
            assert!(ready_on(lab, service, takes) > 0, "{service} has a pod that is lost");
        }
        let clients = SERVICES.map(|service| Clients::start(lab, service, spare[0]));
        let moving = deploy("moving", &lab.good[*good]);
        let failing = deploy("failing", &lab.bad);
        // These two have looked and planned before any of their pods is placed; the power goes at once.
        lab.lab.run(stop);
        assert_eq!(lab.phase("soaking").as_deref(), Some("soak"));
        let began = Instant::now();
        let ended = |service: &str, code: i32| {
            println!("{what}: {service} ended with {code} after {:.0?}", began.elapsed());
        };

        // Until the cluster knows, it places pods there that never start.
        let path = "jsonpath={.status.conditions[?(@.type==\"Ready\")].status}";
        for node in *takes {
            eventually("the cluster knows", || {
                lab.lab.kubectl(&["get", "node", node, "-o", path]) == "Unknown"
            });
        }
        println!("{what}: known to the cluster after {:.0?}", began.elapsed());
        nodes(lab, "uncordon", spare);
        let said = failing.join().unwrap();
        ended("failing", said.code);
        assert!(said.code == 12 && said.stderr.contains("REJECTED F6"), "its own fault is found: {said:?}");
        let said = moving.join().unwrap();
        ended("moving", said.code);
        assert_eq!(said.code, 0, "it waits until its pods run elsewhere: {said:?}");
        assert!(said.stderr.contains("on a node that is lost"), "there was something to wait for: {said:?}");
        let said = soaking.join().unwrap();
        ended("soaking", said.code);
        assert_eq!(said.code, 0, "what died was good: {said:?}");
        let path = "jsonpath={.status.availableReplicas}";
        for service in SERVICES {
            eventually("both of its pods run elsewhere", || {
                let get = ["get", "deployment/hello-app", "--namespace", service, "-o", path];
                ready_on(lab, service, takes) == 0 && lab.lab.kubectl(&get) == "2"
            });
        }
        for (service, seen) in SERVICES.into_iter().zip(clients.map(Clients::end)) {
            println!("{what}: {service}: {}", seen.line());
            assert!(!seen.once.lost.is_empty(), "the pod that died served: {service}");
            assert!(seen.again.lost.is_empty(), "{service}: {}", seen.line());
        }
    });
    for service in SERVICES {
        let status = lab.status(service);
        assert_eq!(
            (&status["proven"], &status["lock"]),
            (&true.into(), &serde_json::Value::Null),
            "{status}"
        );
    }
}

fn drained(lab: &Lab) {
    let clients = Clients::start(lab, "moving", "n1");
    scope(|threads| {
        let moving = threads.spawn(|| lab.say(&["deploy", "--env", "moving", "--digest", &lab.good[1]]));
        reaches(lab, "moving", "watch");
        assert!(ready_on(lab, "moving", &["n3"]) > 0, "it has a pod that is moved");
        lab.lab.kubectl(&["drain", "n3", "--timeout=120s", "--delete-emptydir-data"]);
        let said = moving.join().unwrap();
        assert_eq!(said.code, 0, "{said:?}");
    });
    let seen = clients.end();
    println!("a node is drained: {}", seen.line());
    assert!(seen.once.lost.is_empty() && seen.again.lost.is_empty(), "{}", seen.line());
}
