//! What is not a Deployment, what stands in the way of a rollback, and what is left when Helm cannot go back.

use crate::lab::Lab;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Client};
use serde_json::{Value, json};
use std::path::Path;
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

/// A chart whose one workload is chosen by its namespace. When it is the bad one, its image is not there or crashes, or its pods are not
/// allowed.
const CHART: &str = r#"
{{- $image := printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- if and (eq .Values.image.digest "BAD") (eq .Release.Namespace "stateful") }}
{{- $image = printf "%s:not-there" .Values.image.repository }}
{{- end }}
{{- $kinds := dict "stateful" "StatefulSet" "stateful-denied" "StatefulSet" "daemon" "DaemonSet" "daemon-denied" "DaemonSet" "jobs" "Job" }}
{{- $kind := get $kinds .Release.Namespace | default "Deployment" }}
apiVersion: {{ eq $kind "Job" | ternary "batch/v1" "apps/v1" }}
kind: {{ $kind }}
metadata:
  name: hello{{ if eq $kind "Job" }}-{{ .Values.image.digest | trunc -8 }}{{ end }}
  labels: { environment: dev }
spec:
  {{- if eq $kind "Job" }}
  backoffLimit: 0
  {{- else }}
  {{- if ne $kind "DaemonSet" }}
  replicas: 2
  {{- end }}
  {{- if eq $kind "StatefulSet" }}
  serviceName: hello
  {{- end }}
  {{- if eq $kind "Deployment" }}
  strategy: { rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } }
  {{- end }}
  selector: { matchLabels: { app: hello } }
  {{- end }}
  template:
    metadata: { labels: { app: hello } }
    spec:
      terminationGracePeriodSeconds: 2
      {{- if and (eq .Values.image.digest "BAD") (hasSuffix "-denied" .Release.Namespace) }}
      hostNetwork: true
      {{- end }}
      {{- if eq $kind "Job" }}
      restartPolicy: Never
      {{- end }}
      containers:
        - name: app
          image: {{ $image }}
          {{- if eq $kind "Job" }}
          args: [--help]
          {{- end }}
          env:
            - { name: SYS_ENV, value: dev }
            - { name: DRAIN_SETTLE_SECONDS, value: "0" }
          {{- if ne $kind "Job" }}
          readinessProbe: { httpGet: { path: /readyz, port: 8080 }, periodSeconds: 1 }
          {{- end }}
"#;

/// Namespaces in which a way back is tried.
const PLACES: [&str; 12] = [
    "stateful",
    "stateful-denied",
    "daemon",
    "daemon-denied",
    "jobs",
    "helmless",
    "killed",
    "frozen",
    "halted",
    "moved",
    "kinds",
    "unwritten",
];

#[test]
fn every_workload_goes_back_and_what_cannot_is_left_serving_with_its_question() {
    let mut environments: Vec<_> = PLACES.map(|name| (name.to_owned(), String::new())).into();
    environments.push(("guarded".to_owned(), ", approval: true".to_owned()));
    let lab = Lab::up("l", &environments);
    chart(&lab);
    let tries: [fn(&Lab); 10] =
        [stateful, stateful_denied, daemon, daemon_denied, jobs, helmless, killed, frozen, halted, moved];
    scope(|threads| {
        let tries: Vec<_> = tries
            .into_iter()
            .map(|one| {
                threads.spawn({
                    let lab = &lab;
                    move || one(lab)
                })
            })
            .collect();
        // Each has printed how it went.
        let failed = tries.into_iter().filter_map(|one| one.join().err()).count();
        assert_eq!(failed, 0, "{failed} of them failed");
    });
    unwritten(&lab);
    typed(&lab);
    // From here on the chart has kinds that a cluster takes only once.
    kinds(&lab);
}

fn chart(lab: &Lab) {
    let folder = lab.path("charts/app");
    std::fs::remove_dir_all(&folder).unwrap();
    std::fs::create_dir_all(folder.join("templates")).unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
    write("Chart.yaml", "apiVersion: v2\nname: app\nversion: 0.1.0\n");
    write("values.dev.yaml", "{}\n");
    write("templates/all.yaml", &CHART.replace("BAD", &lab.bad));
}

fn deploy(lab: &Lab, environment: &str, digest: &str) -> (i32, String, Value) {
    let said = lab.say(&["deploy", "--env", environment, "--digest", digest, "--json"]);
    let ending = serde_json::from_str(&said.stdout).unwrap_or_default();
    (said.code, said.stderr, ending)
}

fn good(lab: &Lab, environment: &str) {
    let (code, said, _) = deploy(lab, environment, &lab.good[0]);
    assert_eq!(code, 0, "{environment}: {said}");
}

/// That the bad one is rejected by this rule and gone back from, and that its recording says the same again.
fn goes_back(lab: &Lab, environment: &str, rule: &str) -> String {
    good(lab, environment);
    let (code, said, ending) = deploy(lab, environment, &lab.bad);
    assert_eq!(code, 12, "{environment}: {said}");
    assert_eq!(ending["fault"]["rule"], rule, "{environment}: {ending}");
    assert!(ending["summary"].as_str().unwrap().contains("rolled back to revision 1, verified"), "{ending}");
    let recordings = ending["recordings"].as_array().unwrap();
    assert_eq!(recordings.len(), 2, "the watch and its verification: {ending}");
    let again = lab.say(&["replay", recordings[0].as_str().unwrap()]);
    let verdict = format!("bad: {rule}: {}", ending["fault"]["object"].as_str().unwrap());
    assert!(again.stdout.contains(&verdict), "{environment}: {again:?}");
    let back = lab.say(&["replay", recordings[1].as_str().unwrap()]);
    assert!(back.stdout.contains("good at"), "{environment}: {back:?}");
    keep(environment, recordings);
    said
}

/// With `UPDATE_RECORDINGS=1` they are what `tests/rollout/recordings.rs` replays.
fn keep(environment: &str, recordings: &[Value]) {
    if std::env::var_os("UPDATE_RECORDINGS").is_none()
        || !["stateful", "daemon", "jobs"].contains(&environment)
    {
        return;
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/rollout/v1.36.3");
    for (recording, name) in recordings.iter().zip(["bad", "back"]) {
        std::fs::copy(recording.as_str().unwrap(), folder.join(format!("{environment}-{name}.jsonl")))
            .unwrap();
    }
}

fn stateful(lab: &Lab) {
    let said = goes_back(lab, "stateful", "F2");
    assert!(said.contains("removing the pod hello-1, which its StatefulSet waits for"), "{said}");
    let images = pods(lab, "stateful");
    assert!(images.len() == 2 && images.iter().all(|image| image.ends_with(&lab.good[0])), "{images:?}");
}

/// What may not be created has no pods that could say so.
fn stateful_denied(lab: &Lab) {
    denied(lab, "stateful-denied");
}

fn daemon_denied(lab: &Lab) {
    denied(lab, "daemon-denied");
}

fn denied(lab: &Lab, namespace: &str) {
    let label = json!({ "metadata": { "labels": { "pod-security.kubernetes.io/enforce": "baseline" } } });
    lab.ask(async |client| {
        let api: Api<Namespace> = Api::all(client);
        api.patch(namespace, &PatchParams::default(), &Patch::Merge(&label)).await.unwrap();
    });
    let said = goes_back(lab, namespace, "F9");
    assert!(said.contains("cannot have its pods created") && said.contains("PodSecurity"), "{said}");
}

fn daemon(lab: &Lab) {
    goes_back(lab, "daemon", "F6");
    let ignore = std::fs::read_to_string(lab.path("target/xtask/.gitignore")).unwrap();
    assert_eq!(ignore, "*\n", "what a release leaves is out of git's sight");
}

fn jobs(lab: &Lab) {
    let said = goes_back(lab, "jobs", "F12");
    assert!(
        said.contains("BackoffLimitExceeded") && said.contains("no database"),
        "its log says why: {said}"
    );
}

/// Helm may not keep a third revision: its two tries fail, and the objects are put back without it.
fn helmless(lab: &Lab) {
    no_third_revision(lab, "helmless");
    let said = goes_back(lab, "helmless", "F6");
    assert!(said.contains("putting the last good release back without Helm"), "{said}");
    assert!(said.contains("without Helm, whose own record is behind"), "{said}");
    let status = lab.status("helmless");
    assert_eq!(
        (&status["journal"]["back"]["restored"], &status["revision"]),
        (&true.into(), &2.into()),
        "{status}"
    );
    allow(lab, "helmless");
    until(|| deploy(lab, "helmless", &lab.good[1]).0 == 0);
    assert_eq!(lab.status("helmless")["proven"], true);
}

/// A deployer dies while it puts the objects back; the next one climbs again.
fn killed(lab: &Lab) {
    no_third_revision(lab, "killed");
    good(lab, "killed");
    kill_at(lab, "killed", "objects");
    let said = lab.say(&["recover", "--env", "killed"]);
    assert_eq!(said.code, 12, "{said:?}");
    assert!(pods(lab, "killed").iter().all(|image| image.ends_with(&lab.good[0])));
}

/// Kills a deployment of the bad one when its journal names this rung.
fn kill_at(lab: &Lab, environment: &str, rung: &str) {
    let mut child = lab.start(&["deploy", "--env", environment, "--digest", &lab.bad]);
    let began = Instant::now();
    while lab.journal(environment, "hello")["back"]["rung"] != rung {
        assert!(began.elapsed() < Duration::from_secs(120) && child.try_wait().unwrap().is_none());
        sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

/// A deployer dies while it freezes; the next one ends with the same question, and nothing is done twice.
fn halted(lab: &Lab) {
    refuse(lab, "halted", "deployments", "UPDATE", &format!("request.dryRun == true || {}", not_back(lab)));
    good(lab, "halted");
    kill_at(lab, "halted", "freeze");
    let said = lab.say(&["recover", "--env", "halted"]);
    assert_eq!(said.code, 14, "{said:?}");
    assert_eq!(lab.journal("halted", "hello")["frozen"], json!(["hello"]), "{said:?}");
    assert!(is_paused(lab, "halted"));
    until(|| sets(lab, "halted").iter().sum::<i32>() == 2);
    assert!(lab.say(&["status", "--env", "halted"]).stdout.contains("FROZEN: the Deployment hello"));
}

/// Nothing that names the good image is taken any more: the bad ReplicaSet is emptied, and the older pods go on.
fn frozen(lab: &Lab) {
    refuse(lab, "frozen", "deployments", "UPDATE", &format!("request.dryRun == true || {}", not_back(lab)));
    good(lab, "frozen");
    let (code, said, ending) = deploy(lab, "frozen", &lab.bad);
    assert_eq!(code, 14, "{said}");
    let summary = ending["summary"].as_str().unwrap();
    for words in [
        "NOT ROLLED BACK",
        "Deployment hello: paused, its ReplicaSet hello-",
        "2 older pods serve",
        "not back",
        "cargo xtask rollback --env frozen",
        "cargo xtask recover --env frozen --resume",
    ] {
        assert!(summary.contains(words), "{words}: {summary}");
    }
    assert_eq!(lab.journal("frozen", "hello")["frozen"], json!(["hello"]));
    assert!(is_paused(lab, "frozen"));
    until(|| {
        pods(lab, "frozen")
            == [
                format!("{}@{}", repository(lab), lab.good[0]),
                format!("{}@{}", repository(lab), lab.good[0]),
            ]
    });
    let wanted: Vec<i32> = sets(lab, "frozen");
    assert_eq!(wanted.iter().sum::<i32>(), 2, "only the older set has pods: {wanted:?}");
    assert_eq!(deploy(lab, "frozen", &lab.good[1]).0, 14, "the question stays");

    allow(lab, "frozen");
    until(|| lab.say(&["rollback", "--env", "frozen"]).code == 0);
    assert!(!is_paused(lab, "frozen"), "it may go on");
    assert_eq!(lab.status("frozen")["proven"], true);
}

/// What the cluster took before the release it takes no more: nothing is tried, and the two ways on are named.
fn moved(lab: &Lab) {
    refuse(lab, "moved", "deployments", "UPDATE", &not_back(lab));
    good(lab, "moved");
    let (code, said, ending) = deploy(lab, "moved", &lab.bad);
    assert_eq!(code, 14, "{said}");
    let summary = ending["summary"].as_str().unwrap();
    for words in
        ["the cluster refuses Deployment hello of revision 1", "rollback --env moved", "--env moved --resume"]
    {
        assert!(summary.contains(words), "{words}: {summary}");
    }
    assert!(!said.contains("rolling back to"), "{said}");
}

/// No place for recordings, evidence and report is said, and no reason to release nothing.
fn unwritten(lab: &Lab) {
    std::fs::rename(lab.path("target"), lab.path("kept")).unwrap();
    std::fs::write(lab.path("target"), "in the way").unwrap();
    good(lab, "unwritten");
    let (code, said, ending) = deploy(lab, "unwritten", &lab.bad);
    assert_eq!((code, &ending["recordings"]), (12, &json!([])), "{said}");
    for words in
        ["no recording of this watch", "evidence could not be written", "report could not be written"]
    {
        assert!(said.contains(words), "{words}: {said}");
    }
    std::fs::remove_file(lab.path("target")).unwrap();
    std::fs::rename(lab.path("kept"), lab.path("target")).unwrap();
}

/// A release that comes with other kinds does not go back by itself.
fn kinds(lab: &Lab) {
    let write = |served: &str| {
        let schema = "schema: { openAPIV3Schema: { type: object } }";
        let text = format!(
            "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {{ name: things.example.com }}\nspec:\n  \
             group: example.com\n  scope: Namespaced\n  names: {{ kind: Thing, plural: things }}\n  versions:\n    \
             - {{ name: {served}, served: true, storage: true, {schema} }}\n"
        );
        std::fs::create_dir_all(lab.path("charts/app/crds")).unwrap();
        std::fs::write(lab.path("charts/app/crds/things.yaml"), text).unwrap();
    };
    write("v1");
    good(lab, "kinds");
    write("v2");
    let (code, said, ending) = deploy(lab, "kinds", &lab.bad);
    assert_eq!(code, 14, "{said}");
    let summary = ending["summary"].as_str().unwrap();
    for words in ["CustomResourceDefinitions", "rollback --env kinds", "--env kinds --resume"] {
        assert!(summary.contains(words), "{words}: {summary}");
    }
    assert_eq!(lab.say(&["rollback", "--env", "kinds"]).code, 0, "a person may");
}

/// At a terminal the environment's name approves, and nothing else does.
fn typed(lab: &Lab) {
    for (keys, code, words) in [
        ("yes\r", 11, "nothing was touched"),
        ("\u{3}", 130, "stopped"),
        ("\r", 11, "nothing was touched"),
        ("guarded\r", 0, "GOOD"),
    ] {
        assert_eq!(lab.journal("guarded", "hello"), Value::Null, "{keys:?}: nothing was touched before");
        let (found, said) = lab.at_terminal(&["deploy", "--env", "guarded", "--digest", &lab.good[0]], keys);
        assert_eq!(found, code, "{keys:?}: {said}");
        assert!(said.contains("type `guarded`") && said.contains(words), "{keys:?}: {said}");
    }
    assert_eq!(lab.status("guarded")["proven"], true);
}

fn until(mut so: impl FnMut() -> bool) {
    // A policy is not gone from every cache at once.
    let began = Instant::now();
    while !so() {
        assert!(began.elapsed() < Duration::from_secs(60), "it never was");
        sleep(Duration::from_millis(500));
    }
}

/// That the good image is not put in the place of another one.
fn not_back(lab: &Lab) -> String {
    let image = |of: &str| format!("{of}.spec.template.spec.containers[0].image");
    format!("{0} == {1} || !{0}.endsWith('{2}')", image("object"), image("oldObject"), lab.good[0])
}

fn no_third_revision(lab: &Lab, namespace: &str) {
    refuse(lab, namespace, "secrets", "CREATE", "object.metadata.name != 'sh.helm.release.v1.hello.v3'");
}

/// Has the cluster refuse what is not so in a namespace.
fn refuse(lab: &Lab, namespace: &str, resource: &str, operation: &str, so: &str) {
    let group = if resource == "secrets" { "" } else { "apps" };
    let rule = json!({
        "apiGroups": [group], "apiVersions": ["v1"], "operations": [operation], "resources": [resource],
    });
    let name = json!({ "name": namespace });
    let selector = json!({ "matchLabels": { "kubernetes.io/metadata.name": namespace } });
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": name,
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": { "resourceRules": [rule] },
            "validations": [{ "expression": so, "message": "not back" }],
        },
    });
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": name,
        "spec": {
            "policyName": namespace,
            "validationActions": ["Deny"],
            "matchResources": { "namespaceSelector": selector },
        },
    });
    lab.ask(async |client| {
        for object in [policy, binding] {
            let api = policies(client.clone(), object["kind"].as_str().unwrap());
            let params = PatchParams::apply("test").force();
            api.patch(namespace, &params, &Patch::Apply(&object)).await.unwrap();
        }
    });
}

/// Ends that.
fn allow(lab: &Lab, namespace: &str) {
    lab.ask(async |client| {
        let api = policies(client, "ValidatingAdmissionPolicyBinding");
        api.delete(namespace, &DeleteParams::default()).await.unwrap();
    });
}

fn policies(client: Client, kind: &str) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("admissionregistration.k8s.io", "v1", kind);
    Api::all_with(client, &ApiResource::from_gvk(&kind))
}

/// The images that pods are to run, of pods that are not ending.
fn pods(lab: &Lab, namespace: &str) -> Vec<String> {
    let list =
        lab.ask(async |client| Api::<Pod>::namespaced(client, namespace).list(&ListParams::default()).await);
    let pods = list.unwrap().items.into_iter().filter(|pod| pod.metadata.deletion_timestamp.is_none());
    pods.map(|pod| pod.spec.unwrap().containers.remove(0).image.unwrap()).collect()
}

fn sets(lab: &Lab, namespace: &str) -> Vec<i32> {
    let list = lab.ask(async |client| {
        Api::<ReplicaSet>::namespaced(client, namespace).list(&ListParams::default()).await
    });
    list.unwrap().items.into_iter().map(|set| set.spec.unwrap().replicas.unwrap()).collect()
}

fn is_paused(lab: &Lab, namespace: &str) -> bool {
    let found = lab.ask(async |client| Api::<Deployment>::namespaced(client, namespace).get("hello").await);
    found.unwrap().spec.unwrap().paused == Some(true)
}

fn repository(lab: &Lab) -> String {
    let text = std::fs::read_to_string(lab.path("pipeline.yaml")).unwrap();
    let registry = text.lines().find_map(|line| line.strip_prefix("registry: ")).unwrap();
    format!("{registry}/hello")
}
