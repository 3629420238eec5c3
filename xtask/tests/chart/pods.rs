//! The restricted pod standard of Kubernetes, asked of what the chart renders: its controls one by one, for every kind of container.

use crate::tools::{DEFAULTS, DEV, PROD, objects, rendered};
use serde_json::{Value, json};

/// Volumes that the standard allows; a path of the node is not among them.
const VOLUMES: [&str; 8] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

/// What a pod does that the standard forbids.
fn breaches(spec: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut demand = |holds: bool, what: String| {
        if !holds {
            found.push(what);
        }
    };
    for name in ["hostNetwork", "hostPID", "hostIPC"] {
        demand(spec[name] != true, name.to_owned());
    }
    for volume in spec["volumes"].as_array().into_iter().flatten() {
        let kinds = volume.as_object().unwrap().keys().filter(|key| *key != "name");
        kinds.for_each(|kind| demand(VOLUMES.contains(&kind.as_str()), format!("volume of kind {kind}")));
    }
    let pod = &spec["securityContext"];
    demand(pod["sysctls"].as_array().is_none_or(Vec::is_empty), "sysctls".to_owned());
    let lists = ["containers", "initContainers", "ephemeralContainers"];
    let containers: Vec<&Value> = lists.iter().filter_map(|list| spec[list].as_array()).flatten().collect();
    demand(!containers.is_empty(), "no containers".to_owned());
    for container in containers {
        let name = container["name"].as_str().unwrap_or_default();
        let own = &container["securityContext"];
        // A container's own word wins over the pod's.
        let effective = |key: &str| if own[key].is_null() { &pod[key] } else { &own[key] };
        demand(own["privileged"] != true, format!("{name}: privileged"));
        demand(own["allowPrivilegeEscalation"] == false, format!("{name}: allowPrivilegeEscalation"));
        demand(effective("runAsNonRoot") == true, format!("{name}: runAsNonRoot"));
        demand(effective("runAsUser") != 0, format!("{name}: runAsUser"));
        let seccomp = effective("seccompProfile")["type"].as_str();
        demand(matches!(seccomp, Some("RuntimeDefault" | "Localhost")), format!("{name}: seccompProfile"));
        let capabilities = &own["capabilities"];
        demand(
            capabilities["drop"].as_array().is_some_and(|drop| drop.contains(&"ALL".into())),
            format!("{name}: drop"),
        );
        let added = capabilities["add"].as_array().cloned().unwrap_or_default();
        demand(added.iter().all(|add| add == "NET_BIND_SERVICE"), format!("{name}: add"));
        let mount = own["procMount"].as_str();
        demand(matches!(mount, None | Some("Default")), format!("{name}: procMount"));
        let ports = container["ports"].as_array().into_iter().flatten();
        demand(ports.into_iter().all(|port| port["hostPort"].is_null()), format!("{name}: hostPort"));
        // Not in the standard, and kept here all the same.
        demand(own["readOnlyRootFilesystem"] == true, format!("{name}: readOnlyRootFilesystem"));
        demand(container["resources"]["limits"]["memory"].is_string(), format!("{name}: memory limit"));
    }
    demand(spec["automountServiceAccountToken"] == false, "automountServiceAccountToken".to_owned());
    found
}

/// The pods in some objects, whichever kind makes them.
fn pods(objects: &[Value]) -> Vec<(String, &Value)> {
    let pod = |object: &Value| match object["kind"].as_str() {
        Some("Pod") => Some("/spec"),
        _ => object.pointer("/spec/template/spec/containers").map(|_| "/spec/template/spec"),
    };
    let found = objects.iter().filter_map(|object| {
        Some((format!("{} {}", object["kind"], object["metadata"]["name"]), object.pointer(pod(object)?)?))
    });
    found.collect()
}

#[test]
fn every_pod_in_every_environment_keeps_to_the_restricted_standard() {
    for values in [DEFAULTS, DEV, PROD] {
        let objects = objects(&rendered(values));
        let pods = pods(&objects);
        assert_eq!(pods.len(), 2, "the server and the test: {pods:?}");
        for (name, spec) in pods {
            assert_eq!(breaches(spec), Vec::<String>::new(), "{name} with {values:?}");
        }
    }
}

#[test]
fn each_breach_of_the_standard_is_found() {
    let good = || {
        let objects = objects(&rendered(PROD));
        pods(&objects)[0].1.clone()
    };
    assert!(breaches(&good()).is_empty());
    let container = "/containers/0/securityContext";
    for (place, key, value) in [
        ("", "hostNetwork", json!(true)),
        ("", "hostPID", json!(true)),
        ("", "hostIPC", json!(true)),
        ("", "volumes", json!([{ "name": "a", "hostPath": { "path": "/" } }])),
        ("", "containers", json!([])),
        ("", "initContainers", json!([{ "name": "a", "securityContext": { "privileged": true } }])),
        ("", "automountServiceAccountToken", Value::Null),
        ("/securityContext", "runAsNonRoot", Value::Null),
        ("/securityContext", "runAsUser", json!(0)),
        ("/securityContext", "seccompProfile", json!({ "type": "Unconfined" })),
        ("/securityContext", "sysctls", json!([{ "name": "a", "value": "b" }])),
        (container, "runAsNonRoot", json!(false)),
        (container, "privileged", json!(true)),
        (container, "allowPrivilegeEscalation", Value::Null),
        (container, "readOnlyRootFilesystem", json!(false)),
        (container, "capabilities", json!({ "drop": ["NET_RAW"] })),
        (container, "capabilities", json!({ "drop": ["ALL"], "add": ["SYS_ADMIN"] })),
        (container, "procMount", json!("Unmasked")),
        ("/containers/0/ports/0", "hostPort", json!(80)),
        ("/containers/0/resources", "limits", json!({ "cpu": "1" })),
    ] {
        let mut pod = good();
        pod.pointer_mut(place).unwrap()[key] = value.clone();
        assert!(!breaches(&pod).is_empty(), "{place}/{key} = {value}");
    }
}
