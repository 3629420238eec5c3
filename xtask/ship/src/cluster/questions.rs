//! Single questions to a cluster. Each has its own deadline, or is asked by somebody who has one.

use crate::cluster::share::Feeds;
use crate::cluster::{ANSWER, Cluster, ClusterError, convert};
use crate::rollout::seen::{Condition, Event, Pod, ReplicaSet, What, Workload, WorkloadKind};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1 as apps;
use k8s_openapi::api::core::v1 as core;
use kube::api::{ListParams, LogParams};
use kube::{Api, Client};
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use std::future::Future;
use tokio::io::{AsyncRead, AsyncWrite};

/// Bytes to and from a port of a pod.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Stream for T {}

/// Asks a cluster who it is.
pub(super) async fn meet(client: Client, server: String) -> Result<Cluster, ClusterError> {
    let namespaces: Api<core::Namespace> = Api::all(client.clone());
    let system = answer("say who it is", namespaces.get("kube-system")).await?;
    let version = answer("say its version", client.apiserver_version()).await?;
    let uid = system.metadata.uid.unwrap_or_default();
    Ok(Cluster { client, server, uid, version: version.git_version, feeds: Feeds::default() })
}

/// One answer, in time.
pub(super) async fn answer<T>(
    what: &str,
    question: impl Future<Output = kube::Result<T>>,
) -> Result<T, ClusterError> {
    match tokio::time::timeout(ANSWER, question).await {
        Ok(answer) => answer.map_err(|error| ClusterError::of(what, &error)),
        Err(_) => {
            let why = format!("no answer within {} s", ANSWER.as_secs());
            Err(ClusterError::Broke { what: what.to_owned(), why })
        }
    }
}

impl Cluster {
    /// A workload as it is now: its generation is what a [`Target`](crate::rollout::Target) wants after an apply.
    pub async fn workload(
        &self,
        namespace: &str,
        kind: WorkloadKind,
        name: &str,
    ) -> Result<Workload, ClusterError> {
        match kind {
            WorkloadKind::Deployment => self.one(namespace, kind, name, convert::deployment).await,
            WorkloadKind::StatefulSet => self.one(namespace, kind, name, convert::stateful_set).await,
            WorkloadKind::DaemonSet => self.one(namespace, kind, name, convert::daemon_set).await,
            WorkloadKind::Job => self.one(namespace, kind, name, convert::job).await,
        }
    }

    async fn one<K>(
        &self,
        namespace: &str,
        kind: WorkloadKind,
        name: &str,
        convert: fn(&K) -> Workload,
    ) -> Result<Workload, ClusterError>
    where
        K: kube::Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + DeserializeOwned
            + Debug,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), namespace);
        let what = format!("show the {} {namespace}/{name}", kind.name());
        Ok(convert(&answer(&what, api.get(name)).await?))
    }

    /// The ReplicaSets of a namespace.
    pub(crate) async fn replica_sets(&self, namespace: &str) -> Result<Vec<ReplicaSet>, ClusterError> {
        let api: Api<apps::ReplicaSet> = Api::namespaced(self.client.clone(), namespace);
        let list = answer("list ReplicaSets", api.list(&ListParams::default())).await?;
        Ok(list.items.iter().map(convert::replica_set).collect())
    }

    /// The Pods of a namespace.
    pub(crate) async fn pods(&self, namespace: &str) -> Result<Vec<Pod>, ClusterError> {
        let api: Api<core::Pod> = Api::namespaced(self.client.clone(), namespace);
        let list = answer("list Pods", api.list(&ListParams::default())).await?;
        Ok(list.items.iter().map(convert::pod).collect())
    }

    /// The events of a namespace.
    pub(crate) async fn events(&self, namespace: &str) -> Result<Vec<Event>, ClusterError> {
        let api: Api<core::Event> = Api::namespaced(self.client.clone(), namespace);
        let list = answer("list events", api.list(&ListParams::default())).await?;
        Ok(list.items.iter().map(convert::event).collect())
    }

    /// The conditions of a node.
    pub(crate) async fn node(&self, name: &str) -> Result<Vec<Condition>, ClusterError> {
        let api: Api<core::Node> = Api::all(self.client.clone());
        let node = answer(&format!("show the node {name}"), api.get(name)).await?;
        let conditions = node.status.and_then(|status| status.conditions).unwrap_or_default();
        let conditions =
            conditions.into_iter().map(|it| convert::condition(it.type_, it.status, it.reason, it.message));
        Ok(conditions.collect())
    }

    /// The values of the Secrets that a pod is given, so that they can be masked in what it said.
    pub(crate) async fn secrets_of(&self, namespace: &str, pod: &str) -> Result<Vec<String>, ClusterError> {
        let pods: Api<core::Pod> = Api::namespaced(self.client.clone(), namespace);
        let pod = answer(&format!("show the pod {pod}"), pods.get(pod)).await?;
        let secrets: Api<core::Secret> = Api::namespaced(self.client.clone(), namespace);
        let mut values = Vec::new();
        for name in convert::secrets(&pod) {
            let secret = match answer(&format!("show the Secret {name}"), secrets.get(&name)).await {
                Ok(secret) => secret,
                // What is not there has no value to give away.
                Err(ClusterError::Missing { .. }) => continue,
                Err(error) => return Err(error),
            };
            let data = secret.data.unwrap_or_default().into_values();
            values.extend(data.filter_map(|value| String::from_utf8(value.0).ok()));
        }
        Ok(values)
    }

    /// The end of the log of a container.
    pub(crate) async fn log(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        previous: bool,
        lines: u16,
    ) -> Result<String, ClusterError> {
        let api: Api<core::Pod> = Api::namespaced(self.client.clone(), namespace);
        let params = LogParams {
            container: Some(container.to_owned()),
            previous,
            tail_lines: Some(lines.into()),
            // A line may be of any length; the evidence is not.
            limit_bytes: Some(256 * 1024),
            ..LogParams::default()
        };
        answer(&format!("show the log of {pod}/{container}"), api.logs(pod, &params)).await
    }

    /// Everything that is there now, as the first sightings of a watch are.
    pub(crate) async fn present(
        &self,
        namespace: &str,
        workloads: &[(WorkloadKind, &str)],
    ) -> Vec<Result<What, ClusterError>> {
        let mut found = Vec::new();
        for (kind, name) in workloads {
            found.push(self.workload(namespace, *kind, name).await.map(What::Workload));
        }
        match self.replica_sets(namespace).await {
            Ok(sets) => found.extend(sets.into_iter().map(|set| Ok(What::ReplicaSet(set)))),
            Err(error) => found.push(Err(error)),
        }
        match self.pods(namespace).await {
            Ok(pods) => found.extend(pods.into_iter().map(|pod| Ok(What::Pod(pod)))),
            Err(error) => found.push(Err(error)),
        }
        found
    }

    /// A connection to a port of a pod, through the API server.
    pub(crate) async fn forward(
        &self,
        namespace: &str,
        pod: &str,
        port: u16,
    ) -> Result<impl Stream + use<>, ClusterError> {
        let api: Api<core::Pod> = Api::namespaced(self.client.clone(), namespace);
        let what = format!("forward port {port} of the pod {pod}");
        let mut forwarder = answer(&what, api.portforward(pod, &[port])).await?;
        let stream = forwarder.take_stream(port);
        stream.ok_or_else(|| ClusterError::Broke { what, why: "there is no stream of that port".to_owned() })
    }
}
