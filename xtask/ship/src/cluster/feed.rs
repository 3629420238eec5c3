//! The stream of what happens in a namespace: one watch a kind, however many Deployments are of interest, and a list of ReplicaSets and
//! Pods every 15 seconds, because a watch that has silently missed something looks like one in which nothing happens.

use crate::cluster::questions::answer;
use crate::cluster::{Cluster, ClusterError, convert};
use crate::rollout::seen::{Identity, Kind, What};
use futures_util::stream::{self, BoxStream, StreamExt};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{Event, Node, Pod};
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
#[derive(Debug)]
pub enum Fed {
    /// Something was seen.
    Seen(What),
    /// A list was complete: the cluster answers.
    Answered,
    /// The cluster does not answer, or refuses. The stream goes on and tries again by itself.
    Failed(ClusterError),
}

/// Everything that happens to the Deployments, ReplicaSets, Pods and events of a namespace. It never ends.
pub fn feed(cluster: &Cluster, namespace: &str) -> BoxStream<'static, Fed> {
    let deployments: Api<Deployment> = Api::namespaced(cluster.client.clone(), namespace);
    let sets: Api<ReplicaSet> = Api::namespaced(cluster.client.clone(), namespace);
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), namespace);
    let events: Api<Event> = Api::namespaced(cluster.client.clone(), namespace);
    let told =
        watcher(events, watcher::Config::default()).default_backoff().filter_map(async |event| match event {
            Ok(watcher::Event::Apply(event) | watcher::Event::InitApply(event)) => {
                Some(Fed::Seen(What::Event(convert::event(&event))))
            }
            Ok(watcher::Event::Delete(_) | watcher::Event::Init | watcher::Event::InitDone) => None,
            Err(error) => Some(failed(&error)),
        });
    let watches = [
        watched(deployments.clone(), Kind::Deployment, |it| What::Deployment(convert::deployment(it))),
        watched(sets.clone(), Kind::ReplicaSet, |it| What::ReplicaSet(convert::replica_set(it))),
        watched(pods.clone(), Kind::Pod, |it| What::Pod(convert::pod(it))),
        listed(deployments, Kind::Deployment, |it| What::Deployment(convert::deployment(it))),
        listed(sets, Kind::ReplicaSet, |it| What::ReplicaSet(convert::replica_set(it))),
        listed(pods, Kind::Pod, |it| What::Pod(convert::pod(it))),
        told.boxed(),
        nodes(Api::all(cluster.client.clone())),
    ];
    stream::select_all(watches).boxed()
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
