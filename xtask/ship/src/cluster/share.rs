//! One watch a kind for all who watch the same namespace, however many releases are watched at a time. Who comes later is told first what
//! is known by then, as a watch of its own would have begun with a list. A watch ends with the last who listens.

use crate::cluster::feed::{Topic, feed};
use crate::cluster::{Cluster, Fed};
use crate::rollout::seen::{Event, Identity, Kind, Node, What, WorkloadKind};
use futures_util::Stream;
use futures_util::stream::{BoxStream, StreamExt};
use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::task::{Context, Poll};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::task::AbortHandle;

/// What the cluster keeps of a name that it makes others from: a longer one is cut before its random end is added.
const STEM: usize = 58;

/// The feeds that somebody listens to, by namespace.
#[derive(Debug, Clone, Default)]
pub(super) struct Feeds(Arc<Mutex<Hubs>>);

type Hubs = BTreeMap<(String, Topic), Weak<Hub>>;

/// One feed: of one kind.
#[derive(Debug, Default)]
struct Hub {
    shared: Mutex<Shared>,
    task: OnceLock<AbortHandle>,
}

#[derive(Debug, Default)]
struct Shared {
    objects: BTreeMap<(Kind, String), What>,
    events: BTreeMap<String, Event>,
    /// As they were last told of, by name.
    nodes: BTreeMap<String, Node>,
    /// The last list.
    list: Option<What>,
    gone: BTreeSet<String>,
    listeners: Vec<(Arc<[String]>, UnboundedSender<Fed>)>,
}

/// Somebody who listens.
#[derive(Debug)]
pub struct Listener {
    /// Keeps the feeds alive.
    _hubs: Vec<Arc<Hub>>,
    receiver: UnboundedReceiver<Fed>,
}

impl Stream for Listener {
    type Item = Fed;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Fed>> {
        self.receiver.poll_recv(cx)
    }
}

/// Everything that happens in a namespace to the workloads of these kinds and names, and to what they make.
pub fn listen<'n>(
    cluster: &Cluster,
    namespace: &str,
    kinds: &BTreeSet<WorkloadKind>,
    names: impl IntoIterator<Item = &'n str>,
) -> Listener {
    cluster.feeds.listen(namespace, &Topic::of(kinds), names, |topic| feed(cluster, namespace, topic))
}

impl Feeds {
    fn listen<'n>(
        &self,
        namespace: &str,
        topics: &[Topic],
        names: impl IntoIterator<Item = &'n str>,
        mut begin: impl FnMut(Topic) -> BoxStream<'static, Fed>,
    ) -> Listener {
        let mut feeds = lock(&self.0);
        let names: Arc<[String]> = names.into_iter().map(str::to_owned).collect();
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut hubs = Vec::new();
        for topic in topics {
            let key = (namespace.to_owned(), *topic);
            let hub = feeds.get(&key).and_then(Weak::upgrade).unwrap_or_else(|| {
                let hub = Hub::begin(begin(*topic));
                feeds.insert(key, Arc::downgrade(&hub));
                hub
            });
            lock(&hub.shared).join(Arc::clone(&names), sender.clone());
            hubs.push(hub);
        }
        Listener { _hubs: hubs, receiver }
    }
}

impl Hub {
    fn begin(mut stream: BoxStream<'static, Fed>) -> Arc<Hub> {
        let hub = Arc::new(Hub::default());
        let of = Arc::downgrade(&hub);
        let task = tokio::spawn(async move {
            while let Some(fed) = stream.next().await {
                let Some(hub) = of.upgrade() else { return };
                lock(&hub.shared).publish(&fed);
            }
        });
        let _ = hub.task.set(task.abort_handle());
        hub
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        if let Some(task) = self.task.get() {
            task.abort();
        }
    }
}

impl Shared {
    /// Tells a listener what is known, and then what happens.
    fn join(&mut self, names: Arc<[String]>, listener: UnboundedSender<Fed>) {
        let events = self.events.values().cloned().map(What::Event);
        let nodes = self.nodes.values().cloned().map(What::Node);
        let known = self.objects.values().cloned().chain(self.list.clone()).chain(events).chain(nodes);
        for what in known.filter(|what| concerns(&names, what)) {
            let _ = listener.send(Fed::Seen(what));
        }
        self.listeners.push((names, listener));
    }

    fn publish(&mut self, fed: &Fed) {
        if let Fed::Seen(what) = fed {
            self.learn(what);
        }
        self.listeners.retain(|(names, listener)| {
            let concerned = match fed {
                Fed::Seen(what) => concerns(names, what),
                Fed::Answered | Fed::Failed(_) => true,
            };
            if concerned { listener.send(fed.clone()).is_ok() } else { !listener.is_closed() }
        });
    }

    fn learn(&mut self, what: &What) {
        match what {
            What::Workload(it) => self.object(Kind::Workload(it.kind), &it.id, what),
            What::ReplicaSet(it) => self.object(Kind::ReplicaSet, &it.id, what),
            What::Revision(it) => self.object(Kind::Revision, &it.id, what),
            What::Pod(it) => self.object(Kind::Pod, &it.id, what),
            What::Event(event) => drop(self.events.insert(event.uid.clone(), event.clone())),
            What::Node(node) => drop(self.nodes.insert(node.name.clone(), node.clone())),
            What::Gone { kind, uid } => self.lose(*kind, uid),
            What::Relisted { kind, version, uids } => {
                let on_list: BTreeSet<&String> = uids.iter().collect();
                let is_lost = |((of, uid), it): &(&(Kind, String), &What)| {
                    // What is newer than the list came while it was made.
                    of == kind
                        && !on_list.contains(uid)
                        && identity(it).is_some_and(|id| id.version <= *version)
                };
                let lost = self.objects.iter().filter(is_lost).map(|((_, uid), _)| uid.clone());
                for uid in lost.collect::<Vec<_>>() {
                    self.lose(*kind, &uid);
                }
                self.list = Some(what.clone());
            }
            What::Tick => {}
        }
    }

    fn object(&mut self, kind: Kind, id: &Identity, what: &What) {
        let key = (kind, id.uid.clone());
        let known = self.objects.get(&key).and_then(identity);
        if !self.gone.contains(&id.uid) && known.is_none_or(|known| known.version <= id.version) {
            self.objects.insert(key, what.clone());
        }
    }

    fn lose(&mut self, kind: Kind, uid: &str) {
        self.gone.insert(uid.to_owned());
        self.objects.remove(&(kind, uid.to_owned()));
    }
}

fn identity(what: &What) -> Option<&Identity> {
    match what {
        What::Workload(it) => Some(&it.id),
        What::ReplicaSet(it) => Some(&it.id),
        What::Revision(it) => Some(&it.id),
        What::Pod(it) => Some(&it.id),
        What::Event(_) | What::Node(_) | What::Gone { .. } | What::Relisted { .. } | What::Tick => None,
    }
}

/// Whether it is about one of these, or about what one of them made: names of what is made begin with the maker's. It may let more pass,
/// and never less.
fn concerns(names: &[String], what: &What) -> bool {
    let name = match (what, identity(what)) {
        (What::Event(event), _) => event.object.split_once('/').map_or("", |(_, name)| name),
        (_, Some(id)) => id.name.as_str(),
        (_, None) => return true,
    };
    names.iter().any(|maker| name.starts_with(&maker[..maker.floor_char_boundary(STEM.min(maker.len()))]))
}

/// Whoever panicked while it held the lock has not left anything half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::seen::Pod;
    use futures_util::FutureExt;
    use futures_util::stream;

    fn pod(name: &str, version: u64) -> What {
        let id = Identity { name: name.to_owned(), uid: format!("uid-{name}"), version };
        What::Pod(Pod { id, ..Pod::default() })
    }

    fn relisted(version: u64, names: &[&str]) -> What {
        let uids = names.iter().map(|name| format!("uid-{name}")).collect();
        What::Relisted { kind: Kind::Pod, version, uids }
    }

    const PODS: [Topic; 1] = [Topic::Kind(Kind::Pod)];

    type Told = Option<UnboundedReceiver<What>>;

    fn one() -> (UnboundedSender<What>, Told) {
        let (tell, told) = mpsc::unbounded_channel();
        (tell, Some(told))
    }

    /// A feed that is told what to say, and how often it was begun.
    fn begin(receiver: UnboundedReceiver<What>) -> BoxStream<'static, Fed> {
        stream::unfold(receiver, async |mut receiver| {
            let what = receiver.recv().await?;
            Some((Fed::Seen(what), receiver))
        })
        .boxed()
    }

    /// All that was heard by now.
    async fn heard(listener: &mut Listener) -> Vec<What> {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        let mut all = Vec::new();
        while let Some(Some(fed)) = listener.next().now_or_never() {
            match fed {
                Fed::Seen(what) => all.push(what),
                Fed::Answered | Fed::Failed(_) => {}
            }
        }
        all
    }

    #[tokio::test]
    async fn two_listen_to_one_feed_and_each_hears_what_concerns_it() {
        let feeds = Feeds::default();
        let (tell, mut told) = one();
        let mut first = feeds.listen("ns", &PODS, ["a"], |_| begin(told.take().unwrap()));
        let mut second = feeds.listen("ns", &PODS, ["b"], |_| panic!("a second feed of the same namespace"));
        tell.send(pod("a-1", 1)).unwrap();
        tell.send(pod("b-1", 2)).unwrap();
        tell.send(relisted(2, &["a-1", "b-1"])).unwrap();
        assert_eq!(heard(&mut first).await, [pod("a-1", 1), relisted(2, &["a-1", "b-1"])]);
        assert_eq!(heard(&mut second).await, [pod("b-1", 2), relisted(2, &["a-1", "b-1"])]);
    }

    #[tokio::test]
    async fn who_comes_later_hears_first_what_is_there_and_nothing_that_is_gone() {
        let feeds = Feeds::default();
        let (tell, mut told) = one();
        let mut first = feeds.listen("ns", &PODS, ["a"], |_| begin(told.take().unwrap()));
        for what in [pod("a-1", 1), pod("a-2", 2), pod("a-3", 3), pod("a-1", 5)] {
            tell.send(what).unwrap();
        }
        // An older sighting comes late; one is deleted; one is missing on a list that is newer; one was made while it was listed.
        tell.send(pod("a-1", 4)).unwrap();
        tell.send(What::Gone { kind: Kind::Pod, uid: "uid-a-2".into() }).unwrap();
        tell.send(pod("a-4", 9)).unwrap();
        let list = relisted(8, &["a-1"]);
        tell.send(list.clone()).unwrap();
        tell.send(pod("a-2", 2)).unwrap();
        assert_eq!(heard(&mut first).await.len(), 9);
        let mut late = feeds.listen("ns", &PODS, ["a"], |_| panic!("a second feed"));
        assert_eq!(heard(&mut late).await, [pod("a-1", 5), pod("a-4", 9), list]);
    }

    #[tokio::test]
    async fn the_feed_ends_with_the_last_who_listens_and_begins_anew_with_the_next() {
        let feeds = Feeds::default();
        let (tell, mut told) = one();
        let first = feeds.listen("ns", &PODS, ["a"], |_| begin(told.take().unwrap()));
        let second = feeds.listen("ns", &PODS, ["a"], |_| panic!("a second feed"));
        drop(first);
        tokio::task::yield_now().await;
        assert!(!tell.is_closed());
        drop(second);
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        assert!(tell.is_closed());
        let (tell, mut told) = one();
        let mut third = feeds.listen("ns", &PODS, ["a"], |_| begin(told.take().unwrap()));
        tell.send(pod("a-1", 1)).unwrap();
        assert_eq!(heard(&mut third).await, [pod("a-1", 1)]);
    }

    #[tokio::test]
    async fn each_kind_is_fed_once_for_those_who_ask_for_it_and_a_listener_hears_all_of_its_own() {
        let feeds = Feeds::default();
        let all = [Topic::Kind(Kind::Pod), Topic::Events, Topic::Nodes];
        let mut begun = Vec::new();
        let mut first = feeds.listen("ns", &all, ["a"], |topic| {
            begun.push(topic);
            let what = match topic {
                Topic::Kind(_) => pod("a-1", 1),
                Topic::Events => What::Event(Event { object: "Pod/a-1".into(), ..Event::default() }),
                Topic::Nodes => What::Node(Node { name: "n1".into(), lost: true }),
            };
            stream::iter([Fed::Seen(what)]).chain(stream::pending()).boxed()
        });
        let mut second = feeds.listen("ns", &PODS, ["a"], |_| panic!("a second feed of the same kind"));
        assert_eq!(begun, all);
        assert_eq!(heard(&mut first).await.len(), 3);
        assert_eq!(heard(&mut second).await, [pod("a-1", 1)]);
        let mut late = feeds.listen("ns", &[Topic::Nodes], ["b"], |_| panic!("a second feed of nodes"));
        let lost = What::Node(Node { name: "n1".into(), lost: true });
        assert_eq!(heard(&mut late).await, [lost], "who comes later is told which nodes are lost");
    }

    #[test]
    fn what_is_made_from_a_long_name_is_known_by_what_is_left_of_it() {
        let long = "x".repeat(63);
        assert!(concerns(std::slice::from_ref(&long), &pod(&format!("{}abcde", "x".repeat(58)), 1)));
        assert!(!concerns(&["hello".to_owned()], &pod("other-1", 1)));
        let event = Event { object: "Pod/hello-1".into(), ..Event::default() };
        assert!(concerns(&["hello".to_owned()], &What::Event(event.clone())));
        assert!(!concerns(&["other".to_owned()], &What::Event(event)));
    }
}
