//! A lab with the service in it, and namespaces in which rollouts are tried.

use crate::service::service;
use crate::support;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind, ObjectMeta};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;
use xtask_core::cancel::CancelSource;
use xtask_core::redact::Redactor;
use xtask_ship::cluster::{self, Cluster};
use xtask_ship::rollout::seen::WorkloadKind;
use xtask_ship::rollout::{self, Expected, Graces, Options, Target, Verdict};

/// A lab with the service in it.
pub(crate) struct Lab {
    _lab: support::Lab,
    pub(crate) image: String,
    /// The same for another kind of processor.
    pub(crate) foreign: String,
    pub(crate) cluster: Cluster,
}

impl Lab {
    /// No other test may use the same word.
    pub(crate) async fn up(of: &str) -> Lab {
        let lab = support::Lab::up(of, 1);
        let program = service();
        let image = lab.load(&program, "app:faults");
        let mut elf = std::fs::read(&program).unwrap();
        // The field of the header that says which processor it is for; this one is nobody's.
        elf[18..20].copy_from_slice(&[0xfe, 0xca]);
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("app"), elf).unwrap();
        let foreign = lab.load(&folder.path().join("app"), "app:foreign");
        let cluster = cluster::connect(Some(&lab.kubeconfig()), None).await.unwrap();
        Lab { _lab: lab, image, foreign, cluster }
    }

    /// A namespace of its own.
    pub(crate) async fn namespace(&self, name: &str) -> Place<'_> {
        let api: Api<Namespace> = Api::all(self.cluster.client().clone());
        let label = ("pod-security.kubernetes.io/enforce".to_owned(), "baseline".to_owned());
        let labels = Some([label].into());
        let metadata = ObjectMeta { name: Some(name.to_owned()), labels, ..ObjectMeta::default() };
        api.create(&PostParams::default(), &Namespace { metadata, ..Namespace::default() }).await.unwrap();
        Place { lab: self, name: name.to_owned() }
    }
}

/// A namespace.
pub(crate) struct Place<'a> {
    pub(crate) lab: &'a Lab,
    pub(crate) name: String,
}

impl Place<'_> {
    /// A Deployment of the service that works.
    pub(crate) fn good(&self) -> Value {
        let probe = |path: &str, failures: u32| {
            let get = json!({"path": path, "port": 8080});
            json!({"httpGet": get, "periodSeconds": 1, "timeoutSeconds": 1, "failureThreshold": failures})
        };
        json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "hello", "namespace": self.name},
            "spec": {
                "replicas": 2,
                "progressDeadlineSeconds": 600,
                "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
                "selector": {"matchLabels": {"app": "hello"}},
                "template": {
                    "metadata": {"labels": {"app": "hello"}},
                    "spec": {
                        "terminationGracePeriodSeconds": 2,
                        "containers": [{
                            "name": "app",
                            "image": self.lab.image,
                            "env": [
                                {"name": "FAULT", "value": "slow:0ms"},
                                {"name": "SYS_ENV", "value": self.name},
                                {"name": "DRAIN_SETTLE_SECONDS", "value": "0"},
                                {"name": "DRAIN_DEADLINE_SECONDS", "value": "1"},
                            ],
                            "startupProbe": probe("/livez", 30),
                            "readinessProbe": probe("/readyz", 3),
                            "resources": {
                                "requests": {"cpu": "1m", "memory": "8Mi"},
                                "limits": {"memory": "64Mi"},
                            },
                        }],
                    },
                },
            },
        })
    }

    /// Applies an object of any kind.
    pub(crate) async fn apply(&self, object: &Value) {
        let api_version = object["apiVersion"].as_str().unwrap();
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let kind = GroupVersionKind::gvk(group, version, object["kind"].as_str().unwrap());
        let client = self.lab.cluster.client().clone();
        let api: Api<DynamicObject> = Api::namespaced_with(client, &self.name, &ApiResource::from_gvk(&kind));
        let params = PatchParams::apply("test").force();
        let name = object["metadata"]["name"].as_str().unwrap();
        api.patch(name, &params, &Patch::Apply(object)).await.unwrap();
    }

    /// Changes the Deployment as somebody else would.
    pub(crate) async fn edit(&self, change: &Value) {
        let api: Api<Deployment> = Api::namespaced(self.lab.cluster.client().clone(), &self.name);
        api.patch("hello", &PatchParams::default(), &Patch::Strategic(change)).await.unwrap();
    }

    /// What is expected of the Deployment now.
    pub(crate) async fn target(&self, graces: &[&str]) -> Target {
        let now = self.lab.cluster.workload(&self.name, WorkloadKind::Deployment, "hello").await.unwrap();
        let digest = self.lab.image.split_once('@').unwrap().1.to_owned();
        let images = [("app".to_owned(), digest.try_into().unwrap())];
        let expected =
            Expected { generation: Some(now.generation), images: images.into(), ..Expected::named("hello") };
        let graces = graces.iter().fold(Graces::default(), |all, text| all.and(&text.parse().unwrap()));
        Target { workloads: vec![expected], graces, ..self.none() }
    }

    /// A target in this namespace, without anything that is to be there.
    pub(crate) fn none(&self) -> Target {
        Target {
            namespace: self.name.clone(),
            workloads: Vec::new(),
            soak_ms: 3000,
            budget_ms: 120_000,
            images_proven: false,
            graces: Graces::default(),
        }
    }

    /// Watches it to its verdict.
    pub(crate) async fn watch(&self, target: &Target, record: Option<&Path>) -> Verdict {
        let (_source, cancel) = CancelSource::new();
        let progress = Box::new(|line: &str| println!("{}: {line}", self.name));
        let record = record.map(Path::to_path_buf);
        let options = Options { record, cancel, progress, redactor: Redactor::default() };
        rollout::watch(&self.lab.cluster, target, options).await.unwrap()
    }

    /// Kills the service in one of its pods, as a fault of its own would.
    pub(crate) async fn kill_one(&self) {
        let api: Api<k8s_openapi::api::core::v1::Pod> =
            Api::namespaced(self.lab.cluster.client().clone(), &self.name);
        for _ in 0..150 {
            let pods = api.list(&kube::api::ListParams::default()).await.unwrap();
            let newest =
                pods.items.iter().max_by_key(|pod| pod.creation_timestamp().map(|time| time.0)).unwrap();
            if let Some(pid) = running(&newest.name_any()) {
                rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
                return;
            }
            // It is still being created.
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        unreachable!("the newest pod does not run after 30 s");
    }
}

/// The process of the service in this pod.
fn running(pod: &str) -> Option<rustix::process::Pid> {
    let sign = format!("HOSTNAME={pod}");
    let processes = std::fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path());
    let found = processes.into_iter().find(|process| {
        let environment = std::fs::read(process.join("environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == sign.as_bytes())
            && std::fs::read(process.join("comm")).is_ok_and(|name| name == b"app\n")
    });
    rustix::process::Pid::from_raw(found?.file_name()?.to_str()?.parse().ok()?)
}
