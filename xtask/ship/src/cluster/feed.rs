//! The streams of what happens in a namespace: the watch of a kind, however many workloads are of interest, and its list every 15
//! seconds, because a watch that has silently missed something looks like one in which nothing happens. Kinds that are of no interest
//! are not asked for: a deployer needs no permission for what it does not release.

use crate::cluster::questions::answer;
use crate::cluster::{Cluster, ClusterError, convert};
use crate::rollout::seen::{Identity, Kind, What, WorkloadKind};
use futures_util::stream::{self, BoxStream, StreamExt};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{Event, Node};
use kube::Api;
use kube::api::ListParams;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, watcher};
use serde::de::DeserializeOwned;
use std::collections::BTreeSet;
use std::fmt::Debug;
use std::time::Duration;

/// How often everything is listed again.
const AGAIN: Duration = Duration::from_secs(15);

/// What comes out of the cluster.
#[derive(Debug, Clone)]
pub enum Fed {
    /// Something was seen.
    Seen(What),
    /// A list was complete: the cluster answers.
    Answered,
    /// The cluster does not answer, or refuses. The stream goes on and tries again by itself.
    Failed(ClusterError),
}

/// What is fed: one watch of a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Topic {
    /// Objects of a kind.
    Kind(Kind),
    /// What is told of them.
    Events,
    /// Nodes that are lost; they are in no namespace.
    Nodes,
}

impl Topic {
    /// All that workloads of these kinds are seen by.
    pub(super) fn of(kinds: &BTreeSet<WorkloadKind>) -> Vec<Topic> {
        Kind::of(kinds).into_iter().map(Topic::Kind).chain([Topic::Events, Topic::Nodes]).collect()
    }
}

/// Everything that happens in a namespace to what the topic names. It never ends.
pub(super) fn feed(cluster: &Cluster, namespace: &str, topic: Topic) -> BoxStream<'static, Fed> {
    match topic {
        Topic::Kind(kind) => objects(cluster, namespace, kind),
        Topic::Events => told(cluster, namespace),
        Topic::Nodes => nodes(Api::all(cluster.client.clone())),
    }
}

fn objects(cluster: &Cluster, namespace: &str, kind: Kind) -> BoxStream<'static, Fed> {
    match kind {
        Kind::Workload(WorkloadKind::Deployment) => {
            fed(cluster, namespace, kind, |it| What::Workload(convert::deployment(it)))
        }
        Kind::Workload(WorkloadKind::StatefulSet) => {
            fed(cluster, namespace, kind, |it| What::Workload(convert::stateful_set(it)))
        }
        Kind::Workload(WorkloadKind::DaemonSet) => {
            fed(cluster, namespace, kind, |it| What::Workload(convert::daemon_set(it)))
        }
        Kind::Workload(WorkloadKind::Job) => {
            fed(cluster, namespace, kind, |it| What::Workload(convert::job(it)))
        }
        Kind::ReplicaSet => fed(cluster, namespace, kind, |it| What::ReplicaSet(convert::replica_set(it))),
        Kind::Revision => {
            fed(cluster, namespace, kind, |it| What::Revision(convert::controller_revision(it)))
        }
        Kind::Pod => fed(cluster, namespace, kind, |it| What::Pod(convert::pod(it))),
    }
}

fn told(cluster: &Cluster, namespace: &str) -> BoxStream<'static, Fed> {
    let events: Api<Event> = Api::namespaced(cluster.client.clone(), namespace);
    let told =
        watcher(events, watcher::Config::default()).default_backoff().filter_map(async |event| match event {
            Ok(watcher::Event::Apply(event) | watcher::Event::InitApply(event)) => {
                Some(Fed::Seen(What::Event(convert::event(&event))))
            }
            Ok(watcher::Event::Delete(_) | watcher::Event::Init | watcher::Event::InitDone) => None,
            Err(error) => Some(failed(&error)),
        });
    told.boxed()
}

/// The watch of a kind, and its lists.
fn fed<K>(cluster: &Cluster, namespace: &str, kind: Kind, convert: fn(&K) -> What) -> BoxStream<'static, Fed>
where
    K: kube::Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + Debug
        + Send
        + 'static,
{
    let api: Api<K> = Api::namespaced(cluster.client.clone(), namespace);
    stream::select(watched(api.clone(), kind, convert), listed(api, kind, convert)).boxed()
}

/// Nodes that are lost and come back; what else happens to them is left out. To whoever may not watch nodes none is lost.
fn nodes(api: Api<Node>) -> BoxStream<'static, Fed> {
    let lost: BTreeSet<String> = BTreeSet::new();
    let events = watcher(api, watcher::Config::default()).default_backoff();
    let fed = events.scan(lost, |lost, event| {
        let node = match event {
            Ok(watcher::Event::Apply(node) | watcher::Event::InitApply(node)) => Some(convert::node(&node)),
            Ok(watcher::Event::Delete(_) | watcher::Event::Init | watcher::Event::InitDone) | Err(_) => None,
        };
        let news = node.filter(|node| match node.lost {
            true => lost.insert(node.name.clone()),
            false => lost.remove(&node.name),
        });
        std::future::ready(Some(news.map(|node| Fed::Seen(What::Node(node)))))
    });
    fed.filter_map(std::future::ready).boxed()
}

/// The watch of one kind. While it is listed anew, what was on the list is counted, so that what is missing can be told.
fn watched<K>(api: Api<K>, kind: Kind, convert: fn(&K) -> What) -> BoxStream<'static, Fed>
where
    K: kube::Resource<Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let events = watcher(api, watcher::Config::default()).default_backoff();
    let on_list: Vec<Identity> = Vec::new();
    let fed = events.scan(on_list, move |on_list, event| {
        let fed = match event {
            Ok(watcher::Event::Init) => {
                on_list.clear();
                Vec::new()
            }
            Ok(watcher::Event::InitApply(object)) => {
                on_list.push(convert::identity(object.meta()));
                vec![Fed::Seen(convert(&object))]
            }
            Ok(watcher::Event::InitDone) => {
                let version = on_list.iter().map(|id| id.version).max().unwrap_or_default();
                vec![relisted(kind, version, std::mem::take(on_list)), Fed::Answered]
            }
            Ok(watcher::Event::Apply(object)) => vec![Fed::Seen(convert(&object))],
            Ok(watcher::Event::Delete(object)) => {
                vec![Fed::Seen(What::Gone { kind, uid: convert::identity(object.meta()).uid })]
            }
            Err(error) => vec![failed(&error)],
        };
        std::future::ready(Some(stream::iter(fed)))
    });
    fed.flatten().boxed()
}

/// A list of one kind, again and again.
fn listed<K>(api: Api<K>, kind: Kind, convert: fn(&K) -> What) -> BoxStream<'static, Fed>
where
    K: kube::Resource<Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let lists = stream::unfold(api, move |api| async move {
        tokio::time::sleep(AGAIN).await;
        let fed = match answer("list what is there", api.list(&ListParams::default())).await {
            Ok(list) => {
                let version = convert::version(list.metadata.resource_version.as_deref());
                let ids = list.items.iter().map(|object| convert::identity(object.meta())).collect();
                let mut fed: Vec<Fed> = list.items.iter().map(|object| Fed::Seen(convert(object))).collect();
                fed.extend([relisted(kind, version, ids), Fed::Answered]);
                fed
            }
            Err(error) => vec![Fed::Failed(error)],
        };
        Some((stream::iter(fed), api))
    });
    lists.flatten().boxed()
}

fn relisted(kind: Kind, version: u64, ids: Vec<Identity>) -> Fed {
    Fed::Seen(What::Relisted { kind, version, uids: ids.into_iter().map(|id| id.uid).collect() })
}

fn failed(error: &watcher::Error) -> Fed {
    let what = "let itself be watched";
    Fed::Failed(match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => ClusterError::of(what, error),
        // A version that is too old by now, for one: the watch begins anew.
        watcher::Error::WatchError(status) => {
            ClusterError::Broke { what: what.to_owned(), why: status.message.clone() }
        }
        watcher::Error::NoResourceVersion => {
            ClusterError::Broke { what: what.to_owned(), why: error.to_string() }
        }
    })
}
