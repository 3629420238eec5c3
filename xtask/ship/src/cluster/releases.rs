//! What a release keeps on a cluster, what it asks of it before it touches anything (labels, quotas, dry runs), and the few changes that
//! are not Helm's. Notes and Leases are written only on top of the version that was read.

use crate::cluster::questions::answer;
use crate::cluster::{Cluster, ClusterError};
use crate::rollout::seen::Identity;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1 as apps;
use k8s_openapi::api::coordination::v1 as coordination;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{
    DeleteParams, DynamicObject, ListParams, ObjectMeta, Patch, PatchParams, PostParams, Preconditions,
};
use kube::core::{ApiResource, GroupVersionKind};
use kube::discovery::{Scope, pinned_kind};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// A text that is kept in a ConfigMap of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Note {
    /// Its content.
    pub(crate) text: String,
    /// The version to write on top of.
    pub(crate) version: String,
}

/// A Lease as far as a lock goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lease {
    /// Who holds it; none if it was given back.
    pub(crate) holder: Option<String>,
    /// How often it changed hands.
    pub(crate) transitions: i32,
    /// The version to write on top of; another one after each renewal.
    pub(crate) version: String,
}

/// How many of something a namespace may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Quota {
    /// The quota's name.
    pub(crate) name: String,
    /// What it limits: `pods`.
    pub(crate) resource: &'static str,
    /// How many there may be.
    pub(crate) hard: u64,
    /// How many there are.
    pub(crate) used: u64,
}

/// How an object is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Apply {
    /// To see what would come of it: nothing is changed, and what others claim is refused.
    Dry,
    /// Whoever else claims its fields.
    Forced,
}

/// A kind of object that the cluster knows.
#[derive(Debug, Clone)]
pub(crate) struct Kind {
    resource: ApiResource,
    namespaced: bool,
}

/// The number of an answer's status, if the API server gave one.
fn code(error: &kube::Error) -> u16 {
    if let kube::Error::Api(status) = error { status.code } else { 0 }
}

/// The version after a write, or nothing if somebody else has written before.
fn written<T: ResourceExt>(what: &str, result: kube::Result<T>) -> Result<Option<String>, ClusterError> {
    match result {
        Ok(object) => Ok(Some(object.resource_version().unwrap_or_default())),
        Err(error) if code(&error) == 409 => Ok(None),
        Err(error) => Err(ClusterError::of(what, &error)),
    }
}

/// What came of a change; inner error: why the cluster refuses it.
fn taken<T>(what: &str, result: kube::Result<T>) -> Result<Result<T, String>, ClusterError> {
    match result {
        Ok(object) => Ok(Ok(object)),
        Err(kube::Error::Api(status)) => Ok(Err(status.message)),
        Err(error) => Err(ClusterError::of(what, &error)),
    }
}

impl Cluster {
    /// Reads a note.
    pub(crate) async fn note(
        &self,
        namespace: &str,
        name: &str,
        key: &str,
    ) -> Result<Option<Note>, ClusterError> {
        let api: Api<core::ConfigMap> = Api::namespaced(self.client.clone(), namespace);
        let found = answer(&format!("show the ConfigMap {namespace}/{name}"), api.get_opt(name)).await?;
        Ok(found.map(|map| Note {
            version: map.resource_version().unwrap_or_default(),
            text: map.data.and_then(|mut data| data.remove(key)).unwrap_or_default(),
        }))
    }

    /// Writes a note on top of a version, or makes it. Gives its new version; nothing if somebody else has written meanwhile.
    pub(crate) async fn keep_note(
        &self,
        namespace: &str,
        name: &str,
        key: &str,
        text: String,
        version: Option<&str>,
    ) -> Result<Option<String>, ClusterError> {
        let api: Api<core::ConfigMap> = Api::namespaced(self.client.clone(), namespace);
        let labels = BTreeMap::from([("app.kubernetes.io/managed-by".to_owned(), "slipway".to_owned())]);
        let map = core::ConfigMap {
            metadata: ObjectMeta { labels: Some(labels), ..metadata(name, version) },
            data: Some(BTreeMap::from([(key.to_owned(), text)])),
            ..core::ConfigMap::default()
        };
        let params = PostParams::default();
        let result = match version {
            None => api.create(&params, &map).await,
            Some(_) => api.replace(name, &params, &map).await,
        };
        written("write the journal", result)
    }

    /// Reads a Lease.
    pub(crate) async fn lease(&self, namespace: &str, name: &str) -> Result<Option<Lease>, ClusterError> {
        let api: Api<coordination::Lease> = Api::namespaced(self.client.clone(), namespace);
        let found = answer(&format!("show the Lease {namespace}/{name}"), api.get_opt(name)).await?;
        Ok(found.map(|lease| {
            let version = lease.resource_version().unwrap_or_default();
            let spec = lease.spec.unwrap_or_default();
            Lease {
                holder: spec.holder_identity.filter(|holder| !holder.is_empty()),
                transitions: spec.lease_transitions.unwrap_or_default(),
                version,
            }
        }))
    }

    /// Writes a Lease on top of a version, or makes it, and says whether nobody else has written meanwhile. `now` is for people.
    pub(crate) async fn keep_lease(
        &self,
        namespace: &str,
        name: &str,
        lease: &Lease,
        expires: Duration,
        now: Timestamp,
    ) -> Result<bool, ClusterError> {
        let api: Api<coordination::Lease> = Api::namespaced(self.client.clone(), namespace);
        let version = Some(lease.version.as_str()).filter(|version| !version.is_empty());
        let object = coordination::Lease {
            metadata: metadata(name, version),
            spec: Some(coordination::LeaseSpec {
                holder_identity: Some(lease.holder.clone().unwrap_or_default()),
                lease_duration_seconds: i32::try_from(expires.as_secs()).ok(),
                lease_transitions: Some(lease.transitions),
                acquire_time: Some(MicroTime(now)),
                renew_time: Some(MicroTime(now)),
                ..coordination::LeaseSpec::default()
            }),
        };
        let params = PostParams::default();
        let result = match version {
            None => api.create(&params, &object).await,
            Some(_) => api.replace(name, &params, &object).await,
        };
        written("write the lock", result).map(|version| version.is_some())
    }

    /// A label of a namespace; outer none if there is no such namespace.
    pub(crate) async fn namespace_label(
        &self,
        namespace: &str,
        label: &str,
    ) -> Result<Option<Option<String>>, ClusterError> {
        let api: Api<core::Namespace> = Api::all(self.client.clone());
        let found = answer(&format!("show the namespace {namespace}"), api.get_opt(namespace)).await?;
        Ok(found.map(|namespace| namespace.labels().get(label).cloned()))
    }

    /// The architectures of the nodes, each once.
    pub(crate) async fn architectures(&self) -> Result<Vec<String>, ClusterError> {
        let api: Api<core::Node> = Api::all(self.client.clone());
        let nodes = answer("list nodes", api.list(&ListParams::default())).await?;
        let of = |node: core::Node| Some(node.status?.node_info?.architecture);
        let mut all: Vec<String> = nodes.items.into_iter().filter_map(of).collect();
        all.sort();
        all.dedup();
        Ok(all)
    }

    /// How many bytes a Secret holds; none if there is no such Secret.
    pub(crate) async fn secret_size(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Option<usize>, ClusterError> {
        let api: Api<core::Secret> = Api::namespaced(self.client.clone(), namespace);
        let found = answer(&format!("show the Secret {namespace}/{name}"), api.get_opt(name)).await?;
        Ok(found.map(|secret| secret.data.iter().flatten().map(|(_, data)| data.0.len()).sum()))
    }

    /// Removes a Secret if a label of it begins so, and it is still as it was when that was seen.
    pub(crate) async fn remove_secret(
        &self,
        namespace: &str,
        name: &str,
        (label, begins): (&str, &str),
    ) -> Result<(), ClusterError> {
        let api: Api<core::Secret> = Api::namespaced(self.client.clone(), namespace);
        let found = answer(&format!("show the Secret {namespace}/{name}"), api.get_opt(name)).await?;
        let Some(secret) = found.filter(|it| it.labels().get(label).is_some_and(|it| it.starts_with(begins)))
        else {
            return Ok(());
        };
        let same = Preconditions { uid: secret.uid(), resource_version: secret.resource_version() };
        let params = DeleteParams { preconditions: Some(same), ..DeleteParams::default() };
        answer(&format!("remove the Secret {namespace}/{name}"), api.delete(name, &params)).await.map(drop)
    }

    /// Removes a pod, if it still is that one.
    pub(crate) async fn remove_pod(&self, namespace: &str, pod: &Identity) -> Result<(), ClusterError> {
        let api: Api<core::Pod> = Api::namespaced(self.client.clone(), namespace);
        let same = Preconditions { uid: Some(pod.uid.clone()), resource_version: None };
        let params = DeleteParams { preconditions: Some(same), ..DeleteParams::default() };
        match api.delete(&pod.name, &params).await {
            Ok(_) => Ok(()),
            // It is gone, or another one has its name by now.
            Err(error) if matches!(code(&error), 404 | 409) => Ok(()),
            Err(error) => Err(ClusterError::of(format!("remove the pod {}", pod.name), &error)),
        }
    }

    /// The quotas of a namespace on the number of its pods.
    pub(crate) async fn pod_quotas(&self, namespace: &str) -> Result<Vec<Quota>, ClusterError> {
        let api: Api<core::ResourceQuota> = Api::namespaced(self.client.clone(), namespace);
        let quotas = answer("list quotas", api.list(&ListParams::default())).await?;
        let mut all = Vec::new();
        for quota in quotas {
            let name = quota.name_any();
            let status = quota.status.unwrap_or_default();
            let (hard, used) = (status.hard.unwrap_or_default(), status.used.unwrap_or_default());
            for resource in ["pods", "count/pods"] {
                let number = |of: &BTreeMap<
                    String,
                    k8s_openapi::apimachinery::pkg::api::resource::Quantity,
                >| { of.get(resource)?.0.parse::<u64>().ok() };
                if let (Some(hard), Some(used)) = (number(&hard), number(&used)) {
                    all.push(Quota { name: name.clone(), resource, hard, used });
                }
            }
        }
        Ok(all)
    }

    /// A kind of object by its API version (`apps/v1`) and name, if the cluster knows it.
    pub(crate) async fn kind(&self, api_version: &str, kind: &str) -> Result<Option<Kind>, ClusterError> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let what = format!("say whether it knows {kind} of {api_version}");
        let wanted = GroupVersionKind::gvk(group, version, kind);
        match pinned_kind(&self.client, &wanted).await {
            Ok((resource, about)) => {
                Ok(Some(Kind { resource, namespaced: about.scope == Scope::Namespaced }))
            }
            Err(kube::Error::Discovery(_)) => Ok(None),
            Err(error) if code(&error) == 404 => Ok(None),
            Err(error) => Err(ClusterError::of(what, &error)),
        }
    }

    /// An object as it is now.
    pub(crate) async fn object(
        &self,
        kind: &Kind,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Value>, ClusterError> {
        let what = format!("show {name}");
        let found = answer(&what, self.objects(kind, namespace).get_opt(name)).await?;
        Ok(found.and_then(|object| serde_json::to_value(object).ok()))
    }

    /// What an object is after it was applied by this manager, or would be, or why the cluster refuses it.
    pub(crate) async fn apply(
        &self,
        kind: &Kind,
        namespace: &str,
        (name, value): (&str, &Value),
        (manager, how): (&str, Apply),
    ) -> Result<Result<Value, String>, ClusterError> {
        let (dry_run, force) = match how {
            Apply::Dry => (true, false),
            Apply::Forced => (false, true),
        };
        let params =
            PatchParams { dry_run, force, field_manager: Some(manager.to_owned()), ..PatchParams::default() };
        let applied = self.objects(kind, namespace).patch(name, &params, &Patch::Apply(value)).await;
        let after = taken(&format!("take {name}"), applied)?;
        Ok(after.and_then(|after| serde_json::to_value(after).map_err(|error| error.to_string())))
    }

    /// Keeps a Deployment from replacing pods, or lets it go on; or why the cluster refuses that.
    pub(crate) async fn pause(
        &self,
        namespace: &str,
        deployment: &str,
        paused: bool,
    ) -> Result<Result<(), String>, ClusterError> {
        let api: Api<apps::Deployment> = Api::namespaced(self.client.clone(), namespace);
        let change = json!({ "spec": { "paused": paused.then_some(true) } });
        let params = PatchParams { field_manager: Some("slipway".to_owned()), ..PatchParams::default() };
        match api.patch(deployment, &params, &Patch::Merge(&change)).await {
            // What is not there needs not be let go on.
            Err(error) if code(&error) == 404 && !paused => Ok(Ok(())),
            result => Ok(taken(&format!("pause the Deployment {deployment}"), result)?.map(drop)),
        }
    }

    /// Takes all pods of a ReplicaSet away, or says why the cluster refuses that.
    pub(crate) async fn empty_set(
        &self,
        namespace: &str,
        set: &str,
    ) -> Result<Result<(), String>, ClusterError> {
        let api: Api<apps::ReplicaSet> = Api::namespaced(self.client.clone(), namespace);
        let change = json!({ "spec": { "replicas": 0 } });
        let params = PatchParams { field_manager: Some("slipway".to_owned()), ..PatchParams::default() };
        let result = api.patch(set, &params, &Patch::Merge(&change)).await;
        Ok(taken(&format!("empty the ReplicaSet {set}"), result)?.map(drop))
    }

    fn objects(&self, kind: &Kind, namespace: &str) -> Api<DynamicObject> {
        if kind.namespaced {
            Api::namespaced_with(self.client.clone(), namespace, &kind.resource)
        } else {
            Api::all_with(self.client.clone(), &kind.resource)
        }
    }
}

fn metadata(name: &str, version: Option<&str>) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        resource_version: version.map(str::to_owned),
        ..ObjectMeta::default()
    }
}
