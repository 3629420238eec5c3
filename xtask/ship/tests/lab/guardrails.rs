//! The admission policies of charts/guardrails, decided by a real API server. What they say of pods is compared with what the built-in
//! Pod Security admission of the same server says.

use crate::inside::eventually;
use crate::support::Lab;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

const DIGEST: &str =
    "registry.example/app@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// What a server said of an object: nothing, or why it refuses it.
type Said = Option<String>;

/// A lab with four namespaces: two environments, one without, and one in which the built-in admission refuses.
fn guarded(mode: &str) -> Lab {
    let lab = Lab::up(&format!("g-{mode}"), 1);
    for namespace in ["dev", "prod", "unlabelled", "builtin"] {
        lab.kubectl(&["create", "namespace", namespace]);
    }
    // Without one a pod is refused by somebody else.
    for namespace in ["dev", "prod", "unlabelled", "builtin"] {
        eventually("the namespace has its service account", || {
            !lab.kubectl(&["get", "serviceaccounts", "--namespace", namespace, "-o", "name"]).is_empty()
        });
    }
    lab.kubectl(&["label", "namespace", "dev", "environment=dev"]);
    lab.kubectl(&["label", "namespace", "prod", "environment=prod"]);
    lab.kubectl(&["label", "namespace", "builtin", "pod-security.kubernetes.io/enforce=restricted"]);
    guard(&lab, mode);
    lab
}

/// Puts the policies in place and waits until the server applies them.
fn guard(lab: &Lab, mode: &str) {
    apply(lab, &[], &rendered(mode));
    // The server reads new policies when it gets to it. In either mode it says so: as an error or as a warning.
    eventually("the policies are applied", || {
        let probe = labelled("ConfigMap", "probe", "dev", "prod");
        stderr(lab, &[probe], &["--dry-run=server"]).contains("slipway-environment")
    });
}

/// The chart's objects as JSON text.
fn rendered(mode: &str) -> String {
    let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../charts/guardrails");
    let modes =
        ["environment", "digest", "restricted"].map(|policy| format!("--set=policies.{policy}={mode}"));
    let output =
        Command::new(helm()).args(["template", "guardrails"]).arg(chart).args(modes).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The helm that `tools.lock` pins.
fn helm() -> String {
    let mut sync = Command::new(env!("CARGO_BIN_EXE_xtask-ship"));
    let output = sync.args(["tools", "sync", "helm"]).stderr(Stdio::inherit()).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let line = said.lines().find(|line| line.starts_with("helm "));
    line.and_then(|line| line.split("  ").nth(1)).unwrap().to_owned()
}

fn create(lab: &Lab, text: &str, verb: &str, args: &[&str]) -> std::process::Output {
    let mut command = lab.client();
    command.arg(verb).args(args).args(["-f", "-"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn apply(lab: &Lab, args: &[&str], text: &str) {
    let output = create(lab, text, "apply", args);
    assert!(output.status.success(), "{output:?}");
}

fn list(objects: &[Value]) -> String {
    json!({ "apiVersion": "v1", "kind": "List", "items": objects }).to_string()
}

fn stderr(lab: &Lab, objects: &[Value], args: &[&str]) -> String {
    String::from_utf8(create(lab, &list(objects), "create", args).stderr).unwrap()
}

/// What the server says of each object, by name; nothing is created.
fn said(lab: &Lab, objects: &[Value]) -> BTreeMap<String, Said> {
    let errors = stderr(lab, objects, &["--dry-run=server"]);
    let mut all = BTreeMap::new();
    for object in objects {
        let name = object["metadata"]["name"].as_str().unwrap();
        let line = errors.lines().find(|line| {
            line.starts_with("Error from server") && line.contains(&format!("\"{name}\" is forbidden"))
        });
        all.insert(name.to_owned(), line.map(str::to_owned));
    }
    let refused = all.values().flatten().count();
    let lines = errors.lines().filter(|line| line.starts_with("Error")).count();
    assert_eq!(refused, lines, "every error is about one of the objects: {errors}");
    all
}

fn labelled(kind: &str, name: &str, namespace: &str, environment: &str) -> Value {
    let mut metadata = json!({ "name": name, "namespace": namespace });
    if !environment.is_empty() {
        metadata["labels"] = json!({ "environment": environment });
    }
    match kind {
        "Deployment" => json!({ "apiVersion": "apps/v1", "kind": kind, "metadata": metadata,
            "spec": { "selector": { "matchLabels": { "a": "b" } }, "template": template(&good(), "") } }),
        "CronJob" => {
            json!({ "apiVersion": "batch/v1", "kind": kind, "metadata": metadata, "spec": { "schedule": "1 1 * * *",
            "jobTemplate": { "spec": { "template": template(&on_failure(), "") } } } })
        }
        "Pod" => json!({ "apiVersion": "v1", "kind": kind, "metadata": metadata, "spec": good() }),
        "Service" => {
            json!({ "apiVersion": "v1", "kind": kind, "metadata": metadata, "spec": { "ports": [{ "port": 80 }] } })
        }
        other => json!({ "apiVersion": "v1", "kind": other, "metadata": metadata }),
    }
}

fn template(spec: &Value, environment: &str) -> Value {
    let mut labels = json!({ "a": "b" });
    if !environment.is_empty() {
        labels["environment"] = environment.into();
    }
    json!({ "metadata": { "labels": labels }, "spec": spec })
}

fn on_failure() -> Value {
    let mut spec = good();
    spec["restartPolicy"] = "OnFailure".into();
    spec
}

/// A pod that nobody refuses.
fn good() -> Value {
    json!({
        "securityContext": { "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" } },
        "containers": [{
            "name": "c", "image": DIGEST,
            "securityContext": { "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } }
        }]
    })
}

#[test]
fn what_belongs_to_another_environment_is_refused_and_what_belongs_to_none_is_not() {
    let lab = guarded("enforce");
    let policies: Value =
        serde_json::from_str(&lab.kubectl(&["get", "validatingadmissionpolicy", "-o", "json"])).unwrap();
    eventually("the server has checked the types", || {
        lab.kubectl(&[
            "get",
            "validatingadmissionpolicy",
            "-o",
            "jsonpath={.items[*].status.observedGeneration}",
        ]) == "1 1 1"
    });
    assert_eq!(policies["items"].as_array().unwrap().len(), 3);
    assert!(!policies.to_string().contains("expressionWarnings"), "{policies:#}");

    let kinds = ["ConfigMap", "Secret", "Service", "ServiceAccount", "Pod", "Deployment", "CronJob"];
    let (mut objects, mut wanted) = (Vec::new(), BTreeMap::new());
    for (kind, at) in kinds.iter().zip(0..) {
        for (label, namespace, refused) in
            [("prod", "dev", true), ("dev", "dev", false), ("", "dev", false), ("prod", "unlabelled", false)]
        {
            let name = format!("k{at}-{}-in-{namespace}", if label.is_empty() { "none" } else { label });
            objects.push(labelled(kind, &name, namespace, label));
            wanted.insert(name, refused);
        }
    }
    // The accident that a label on the workload alone would not show.
    let mut deployment = labelled("Deployment", "pods-of-another", "dev", "dev");
    deployment["spec"]["template"] = template(&good(), "prod");
    objects.push(deployment);
    wanted.insert("pods-of-another".to_owned(), true);
    let mut cron = labelled("CronJob", "cron-of-another", "dev", "dev");
    cron["spec"]["jobTemplate"]["spec"]["template"] = template(&on_failure(), "prod");
    objects.push(cron);
    wanted.insert("cron-of-another".to_owned(), true);

    let said = said(&lab, &objects);
    let refused: BTreeMap<String, bool> =
        said.iter().map(|(name, said)| (name.clone(), said.is_some())).collect();
    assert_eq!(refused, wanted, "{said:#?}");
    let why = said["k0-prod-in-dev"].as_ref().unwrap();
    assert!(
        why.contains("ConfigMap k0-prod-in-dev is labelled environment=prod, and namespace dev is dev"),
        "{why}"
    );

    images_without_a_digest_are_refused_where_digests_are_asked_for(&lab);
    pods_are_judged_as_by_the_built_in_admission(&lab);
    refusals_are_counted_under_the_names_that_the_alerts_ask_for(&lab, "deny");
}

fn images_without_a_digest_are_refused_where_digests_are_asked_for(lab: &Lab) {
    let tag = "registry.example/app:1.0";
    let with = |name: &str, namespace: &str, change: &dyn Fn(&mut Value)| {
        let mut pod = labelled("Pod", name, namespace, "");
        change(&mut pod["spec"]);
        pod
    };
    let by_tag = |spec: &mut Value| spec["containers"][0]["image"] = tag.into();
    let init_by_tag = |spec: &mut Value| {
        let mut container = spec["containers"][0].clone();
        container["name"] = "i".into();
        container["image"] = tag.into();
        spec["initContainers"] = json!([container]);
    };
    let volume_by_tag =
        |spec: &mut Value| spec["volumes"] = json!([{ "name": "v", "image": { "reference": tag } }]);
    let cut_digest =
        |spec: &mut Value| spec["containers"][0]["image"] = "registry.example/app@sha256:e3b0".into();
    let mut deployment = labelled("Deployment", "d-tag", "prod", "");
    by_tag(&mut deployment["spec"]["template"]["spec"]);
    let objects = [
        with("tag-in-dev", "dev", &by_tag),
        with("digest", "prod", &|_| {}),
        with("tag", "prod", &by_tag),
        with("init-tag", "prod", &init_by_tag),
        with("volume-tag", "prod", &volume_by_tag),
        with("cut-digest", "prod", &cut_digest),
        deployment,
    ];
    let errors = stderr(lab, &objects, &["--dry-run=server"]);
    let refused: Vec<&str> = ["tag-in-dev", "digest", "tag", "init-tag", "volume-tag", "cut-digest", "d-tag"]
        .into_iter()
        .filter(|name| errors.contains(&format!("\"{name}\"")))
        .collect();
    assert_eq!(refused, ["tag", "init-tag", "volume-tag", "cut-digest", "d-tag"], "{errors}");
    assert!(errors.contains("not by digest: registry.example/app:1.0"), "{errors}");
}

/// Each change of a good pod: its name, where, and what is put there.
fn changes() -> Vec<(&'static str, &'static str, Value)> {
    let container = "/containers/0";
    let own = "/containers/0/securityContext";
    vec![
        ("good", "", json!({})),
        ("host-network", "", json!({ "hostNetwork": true })),
        ("host-pid", "", json!({ "hostPID": true })),
        ("host-ipc", "", json!({ "hostIPC": true })),
        ("privileged", own, json!({ "privileged": true, "allowPrivilegeEscalation": true })),
        ("escalation-unsaid", own, json!({ "allowPrivilegeEscalation": null })),
        ("escalation", own, json!({ "allowPrivilegeEscalation": true })),
        ("drops-little", own, json!({ "capabilities": { "drop": ["NET_RAW"] } })),
        ("drops-nothing", own, json!({ "capabilities": null })),
        ("adds-admin", own, json!({ "capabilities": { "drop": ["ALL"], "add": ["SYS_ADMIN"] } })),
        ("adds-bind", own, json!({ "capabilities": { "drop": ["ALL"], "add": ["NET_BIND_SERVICE"] } })),
        ("root-pod", "/securityContext", json!({ "runAsNonRoot": false })),
        ("root-unsaid", "/securityContext", json!({ "runAsNonRoot": null })),
        ("root-container", own, json!({ "runAsNonRoot": false })),
        ("user-0", "/securityContext", json!({ "runAsUser": 0 })),
        ("user-0-container", own, json!({ "runAsUser": 0 })),
        ("user-65532", own, json!({ "runAsUser": 65532 })),
        ("seccomp-unsaid", "/securityContext", json!({ "seccompProfile": null })),
        ("seccomp-unconfined", own, json!({ "seccompProfile": { "type": "Unconfined" } })),
        ("seccomp-pod-unconfined", "/securityContext", json!({ "seccompProfile": { "type": "Unconfined" } })),
        ("host-path", "", json!({ "volumes": [{ "name": "v", "hostPath": { "path": "/" } }] })),
        ("nfs", "", json!({ "volumes": [{ "name": "v", "nfs": { "server": "a", "path": "/" } }] })),
        ("empty-dir", "", json!({ "volumes": [{ "name": "v", "emptyDir": {} }] })),
        ("image-volume", "", json!({ "volumes": [{ "name": "v", "image": { "reference": DIGEST } }] })),
        ("host-port", container, json!({ "ports": [{ "containerPort": 80, "hostPort": 80 }] })),
        ("port", container, json!({ "ports": [{ "containerPort": 80 }] })),
        (
            "proc-mount",
            "",
            json!({ "hostUsers": false, "containers": [{ "name": "c", "image": DIGEST, "securityContext":
            { "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] }, "procMount": "Unmasked" } }] }),
        ),
        ("apparmor-off", "/securityContext", json!({ "appArmorProfile": { "type": "Unconfined" } })),
        ("apparmor-default", own, json!({ "appArmorProfile": { "type": "RuntimeDefault" } })),
        ("selinux-user", "/securityContext", json!({ "seLinuxOptions": { "user": "u" } })),
        ("selinux-type", own, json!({ "seLinuxOptions": { "type": "spc_t" } })),
        ("selinux-container", own, json!({ "seLinuxOptions": { "type": "container_t" } })),
        (
            "sysctl-unsafe",
            "/securityContext",
            json!({ "sysctls": [{ "name": "kernel.msgmax", "value": "1" }] }),
        ),
        (
            "sysctl-safe",
            "/securityContext",
            json!({ "sysctls": [{ "name": "net.ipv4.tcp_syncookies", "value": "1" }] }),
        ),
        (
            "probe-host",
            container,
            json!({ "livenessProbe": { "httpGet": { "port": 80, "host": "example.com" } } }),
        ),
        ("probe", container, json!({ "livenessProbe": { "httpGet": { "port": 80 } } })),
        (
            "hook-host",
            container,
            json!({ "lifecycle": { "preStop": { "tcpSocket": { "port": 80, "host": "a" } } } }),
        ),
        (
            "init-privileged",
            "",
            json!({ "initContainers": [{ "name": "i", "image": DIGEST, "securityContext":
            { "privileged": true, "allowPrivilegeEscalation": true, "capabilities": { "drop": ["ALL"] } } }] }),
        ),
    ]
}

fn changed(name: &str, namespace: &str, at: &str, change: &Value) -> Value {
    let mut pod = labelled("Pod", name, namespace, "");
    let place = pod["spec"].pointer_mut(at).unwrap().as_object_mut().unwrap();
    for (key, value) in change.as_object().unwrap() {
        if value.is_null() {
            place.remove(key);
        } else {
            place.insert(key.clone(), value.clone());
        }
    }
    pod
}

fn pods_are_judged_as_by_the_built_in_admission(lab: &Lab) {
    let pods = |namespace: &str| -> Vec<Value> {
        changes().iter().map(|(name, at, change)| changed(name, namespace, at, change)).collect()
    };
    let refused = |said: &BTreeMap<String, Said>| -> Vec<String> {
        said.iter().filter(|(_, said)| said.is_some()).map(|(name, _)| name.clone()).collect()
    };
    let (ours, built_in) = (said(lab, &pods("dev")), said(lab, &pods("builtin")));
    assert_eq!(refused(&ours), refused(&built_in), "ours: {ours:#?}\nbuilt in: {built_in:#?}");
    assert!(refused(&ours).len() > 20 && !refused(&ours).contains(&"good".to_owned()), "{ours:#?}");
    // Where the built-in admission only warns: on what describes pods.
    let deployments: Vec<Value> = changes()
        .iter()
        .map(|(name, at, change)| {
            let mut deployment = labelled("Deployment", name, "dev", "");
            deployment["spec"]["template"]["spec"] = changed(name, "dev", at, change)["spec"].clone();
            deployment
        })
        .collect();
    assert_eq!(refused(&said(lab, &deployments)), refused(&built_in));
}

fn refusals_are_counted_under_the_names_that_the_alerts_ask_for(lab: &Lab, action: &str) {
    let metrics = lab.kubectl(&["get", "--raw", "/metrics"]);
    for policy in ["slipway-environment", "slipway-digest", "slipway-restricted"] {
        let counted = metrics.lines().any(|line| {
            line.starts_with("apiserver_validating_admission_policy_check_total{")
                && line.contains(&format!("policy=\"{policy}\""))
                && line.contains(&format!("enforcement_action=\"{action}\""))
        });
        assert!(counted, "{policy} {action}");
    }
}

#[test]
fn in_audit_mode_everything_is_accepted_warned_of_and_counted_and_can_be_finished_once_it_is_enforced() {
    let lab = guarded("audit");
    let mut pod = labelled("Pod", "bad", "prod", "dev");
    pod["spec"]["containers"][0]["image"] = "registry.example/app:1".into();
    pod["spec"]["hostNetwork"] = true.into();
    let mut deployment = labelled("Deployment", "bad", "prod", "dev");
    deployment["spec"]["replicas"] = 0.into();
    deployment["spec"]["template"]["spec"]["containers"][0]["image"] = "registry.example/app:1".into();
    let mut config = labelled("ConfigMap", "bad", "prod", "dev");
    config["metadata"]["finalizers"] = json!(["example.com/wait"]);
    let warnings = stderr(&lab, &[pod, deployment, config], &[]);
    for policy in ["slipway-environment", "slipway-digest", "slipway-restricted"] {
        assert!(
            warnings
                .contains(&format!("Warning: Validation failed for ValidatingAdmissionPolicy '{policy}'")),
            "{warnings}"
        );
    }
    assert!(!warnings.contains("Error"), "{warnings}");
    refusals_are_counted_under_the_names_that_the_alerts_ask_for(&lab, "warn");

    guard(&lab, "enforce");
    eventually("what is new is refused", || {
        stderr(&lab, &[labelled("ConfigMap", "new", "prod", "dev")], &["--dry-run=server"])
            .contains("denied request")
    });
    lab.kubectl(&["scale", "deployment/bad", "--namespace", "prod", "--replicas=1"]);
    lab.kubectl(&["delete", "configmap/bad", "--namespace", "prod", "--wait=false"]);
    let finish = "{\"metadata\":{\"finalizers\":null}}";
    lab.kubectl(&["patch", "configmap/bad", "--namespace", "prod", "--type=merge", "-p", finish]);
    eventually("it is gone", || {
        lab.kubectl(&[
            "get",
            "configmap",
            "--namespace",
            "prod",
            "--field-selector=metadata.name=bad",
            "-o",
            "name",
        ])
        .is_empty()
    });
    lab.kubectl(&["delete", "pod/bad", "deployment/bad", "--namespace", "prod", "--wait=false"]);
}
