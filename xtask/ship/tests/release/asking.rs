//! Clients that ask a service twenty times a second from inside the network of a node, and count what got no good answer.

use crate::lab::{Lab, connected};
use futures_util::StreamExt;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Api;
use kube::runtime::watcher::{self, Event};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::{JoinHandle, spawn};
use std::time::{Duration, Instant};

/// Twenty times a second.
const PACE: Duration = Duration::from_millis(50);
/// A busy machine answers later than this only when nothing will.
const PATIENCE: Duration = Duration::from_secs(3);
/// How many pods an ingress tries for one request.
const TRIES: usize = 3;

/// Pods that are ready, as the cluster says.
type Ready = Arc<Mutex<Vec<SocketAddr>>>;

/// How a request finds its pod.
enum Way {
    /// The service's address, once. What becomes of it is kube-proxy's choice.
    Address(SocketAddr),
    /// As an ingress does it: a ready pod, and another one if that does not answer.
    Pods(Ready),
}

/// What became of the requests.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    pub(crate) asked: usize,
    /// When, since the first one, and why.
    pub(crate) lost: Vec<(Duration, String)>,
}

/// Two clients of one service, until they are ended.
pub(crate) struct Clients {
    stop: Arc<AtomicBool>,
    threads: [JoinHandle<Counted>; 2],
    follower: JoinHandle<()>,
}

/// What the two saw.
#[derive(Debug)]
pub(crate) struct Seen {
    /// Of who asks the service's address, once.
    pub(crate) once: Counted,
    /// Of who asks another pod when one does not answer.
    pub(crate) again: Counted,
}

impl Clients {
    /// Begins to ask the service of an environment, from the network of a node.
    pub(crate) fn start(lab: &Lab, namespace: &str, node: &str) -> Clients {
        let service = async |client| Api::<Service>::namespaced(client, namespace).get("hello-app").await;
        let spec = lab.ask(service).unwrap().spec.unwrap();
        let address = SocketAddr::new(spec.cluster_ip.unwrap().parse().unwrap(), 80);
        let (stop, ready) = (Arc::new(AtomicBool::new(false)), Ready::default());
        let follower = follow(lab, namespace, &stop, &ready);
        let network = format!("/proc/{}/ns/net", lab.lab.pid(node));
        let start = |way| {
            let (stop, network) = (Arc::clone(&stop), File::open(&network).unwrap());
            spawn(move || {
                move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
                run(&Arc::new(way), &stop)
            })
        };
        // Who has not heard of any pod yet is no ingress yet.
        while ready.lock().unwrap().is_empty() {
            std::thread::sleep(PACE);
        }
        let threads = [start(Way::Address(address)), start(Way::Pods(ready))];
        Clients { stop, threads, follower }
    }

    /// Ends them.
    pub(crate) fn end(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        let [once, again] = self.threads.map(|thread| thread.join().unwrap());
        self.follower.join().unwrap();
        Seen { once, again }
    }
}

impl Seen {
    /// In a few words.
    pub(crate) fn line(&self) -> String {
        let of = |seen: &Counted| {
            let mut line = format!("{} of {}", seen.lost.len(), seen.asked);
            let mut whys: BTreeMap<&str, (Duration, Duration, usize)> = BTreeMap::new();
            for (at, why) in &seen.lost {
                let why = whys.entry(why).or_insert((*at, *at, 0));
                *why = (why.0.min(*at), why.1.max(*at), why.2 + 1);
            }
            for (why, (first, last, times)) in whys {
                let _ = write!(line, " ({times} from {first:.1?} to {last:.1?}: {why})");
            }
            line
        };
        format!("lost at the service's address: {}; with another pod: {}", of(&self.once), of(&self.again))
    }
}

/// Keeps the list of ready pods as the cluster has it.
fn follow(lab: &Lab, namespace: &str, stop: &Arc<AtomicBool>, ready: &Ready) -> JoinHandle<()> {
    let (kubeconfig, namespace) = (lab.path("kubeconfig"), namespace.to_owned());
    let (stop, ready) = (Arc::clone(stop), Arc::clone(ready));
    spawn(move || {
        connected(&kubeconfig, async |client| {
            let slices = Api::<EndpointSlice>::namespaced(client, &namespace);
            let of = watcher::Config::default().labels("kubernetes.io/service-name=hello-app");
            let mut events = watcher::watcher(slices, of).boxed();
            while !stop.load(Ordering::Relaxed) {
                let event = tokio::time::timeout(PACE, events.next()).await;
                if let Ok(Some(Ok(Event::Apply(slice) | Event::InitApply(slice)))) = event {
                    *ready.lock().unwrap() = addresses(&slice);
                }
            }
        });
    })
}

fn addresses(slice: &EndpointSlice) -> Vec<SocketAddr> {
    let ports = slice.ports.iter().flatten();
    let port = ports.into_iter().find(|port| port.name.as_deref() == Some("http")).and_then(|port| port.port);
    let ready = slice.endpoints.iter().flatten().filter(|endpoint| {
        endpoint.conditions.as_ref().is_some_and(|conditions| conditions.ready == Some(true))
    });
    let addresses = ready.filter_map(|endpoint| endpoint.addresses.first()?.parse::<IpAddr>().ok());
    addresses.map(|address| SocketAddr::new(address, port.unwrap().try_into().unwrap())).collect()
}

/// Asks until it is told to stop. Each request has its own time, however long the one before it takes.
fn run(way: &Arc<Way>, stop: &AtomicBool) -> Counted {
    let began = Instant::now();
    let (sender, answers) = mpsc::channel();
    let mut asked = 0;
    while !stop.load(Ordering::Relaxed) {
        let (way, sender, number, at) = (Arc::clone(way), sender.clone(), asked, began.elapsed());
        spawn(move || sender.send((at, request(&way, number))).unwrap());
        asked += 1;
        let next = PACE * u32::try_from(asked).unwrap();
        std::thread::sleep(next.saturating_sub(began.elapsed()));
    }
    drop(sender);
    let lost = answers.into_iter().filter_map(|(at, answer)| Some((at, answer.err()?))).collect();
    Counted { asked, lost }
}

fn request(way: &Way, number: usize) -> Result<(), String> {
    let ready = match way {
        Way::Address(address) => return ask(*address),
        Way::Pods(ready) => ready.lock().unwrap().clone(),
    };
    let mut answer = Err("no pod is ready".to_owned());
    for at in 0..TRIES.min(ready.len()) {
        answer = ask(ready[(number + at) % ready.len()]);
        if answer.is_ok() {
            break;
        }
    }
    answer
}

fn ask(address: SocketAddr) -> Result<(), String> {
    let answer = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: hello\r\nconnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    };
    match answer() {
        Ok(text) if text.starts_with("HTTP/1.1 200 ") => Ok(()),
        Ok(text) => Err(format!("{address}: {:?}", text.lines().next().unwrap_or_default())),
        Err(error) => Err(format!("{address}: {error}")),
    }
}
