//! A rollout, with processes for pods: while old ones stop and new ones start, clients that keep their
//! connections and never try again lose no request.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use rustix::process::Signal;

use crate::process::Running;
use crate::wire::{connect, get, send, until};

const CLIENTS: usize = 4;
const ROLLS: usize = 5;
/// At least so many requests between two steps of a rollout, per client.
const BETWEEN_STEPS: usize = 50;

/// What a load balancer knows: who was ready when it last looked.
#[derive(Default)]
struct Balancer {
    ready: Mutex<Vec<SocketAddr>>,
    stopped: AtomicBool,
    /// Requests that each client has finished.
    done: [AtomicUsize; CLIENTS],
    failed: AtomicUsize,
}

impl Balancer {
    /// Keeps those that answer their readiness with 200.
    fn look(&self, pods: &[&Running]) {
        let is_ready = |address| get(address, "/readyz").is_ok_and(|reply| reply.status == 200);
        let ready = pods.iter().map(|pod| pod.address).filter(|&address| is_ready(address)).collect();
        *self.ready.lock().unwrap_or_else(PoisonError::into_inner) = ready;
    }

    fn ready(&self) -> Vec<SocketAddr> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn knows(&self, pod: &Running) -> bool {
        self.ready().contains(&pod.address)
    }

    /// Waits until every client has finished so many more requests: whatever it does next, it has chosen
    /// with what is known now.
    fn let_clients_go_on(&self) -> io::Result<()> {
        let before = self.done.each_ref().map(|done| done.load(Ordering::SeqCst));
        until("the clients went on", || {
            let now = self.done.iter().map(|done| done.load(Ordering::SeqCst));
            before.iter().zip(now).all(|(before, now)| now >= before + BETWEEN_STEPS)
        })
    }

    /// One client: each request goes to the next ready pod, over a kept connection if there is one.
    fn run_client(&self, client: usize) {
        let mut kept: Vec<(SocketAddr, TcpStream)> = Vec::new();
        let mut turn = client;
        while !self.stopped.load(Ordering::SeqCst) {
            turn += 1;
            let ready = self.ready();
            // A connection to a pod that is not chosen any more is closed by the client, as a balancer does.
            kept.retain(|(address, _)| ready.contains(address));
            let asked = ready.get(turn % ready.len().max(1)).map(|&address| ask(address, &mut kept));
            if !matches!(asked, Some(Ok(200))) {
                self.failed.fetch_add(1, Ordering::SeqCst);
            }
            self.done[client].fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// One attempt; never a second one.
fn ask(address: SocketAddr, kept: &mut Vec<(SocketAddr, TcpStream)>) -> io::Result<u16> {
    let found = kept.iter().position(|(kept, _)| *kept == address);
    let mut stream = found.map_or_else(|| connect(address), |at| Ok(kept.swap_remove(at).1))?;
    let reply = send(&mut stream, "GET /version HTTP/1.1\r\nhost: test\r\n\r\n")?;
    if reply.header("connection") != Some("close") {
        kept.push((address, stream));
    }
    Ok(reply.status)
}

/// A pod that settles for hours: the second signal, and not time, ends it.
fn pod() -> io::Result<Running> {
    Running::start(&[("DRAIN_SETTLE_SECONDS", "36000")])
}

/// How an old pod is stopped.
#[derive(Clone, Copy, PartialEq)]
enum Stop {
    /// The balancer sees that it is not ready, then it closes.
    Seen,
    /// It closes while the balancer still sends requests there.
    Unseen,
}

/// Ends the clients also when an assertion fails, or the test would wait for them for ever.
struct StopClients<'a>(&'a Balancer);

impl Drop for StopClients<'_> {
    fn drop(&mut self) {
        self.0.stopped.store(true, Ordering::SeqCst);
    }
}

/// Replaces one pod after the other under load; requests, and how many of them failed.
fn roll(stop: Stop) -> io::Result<(usize, usize)> {
    let balancer = Balancer::default();
    let mut old = pod()?;
    balancer.look(&[&old]);
    let rolled = thread::scope(|scope| {
        let stop_clients = StopClients(&balancer);
        for client in 0..CLIENTS {
            let balancer = &balancer;
            scope.spawn(move || balancer.run_client(client));
        }
        let rolled = (0..ROLLS).try_for_each(|_| {
            let new = pod()?;
            until("the new pod is ready", || {
                balancer.look(&[&old, &new]);
                balancer.knows(&new)
            })?;
            balancer.let_clients_go_on()?;

            old.signal(Signal::TERM)?;
            old.line_with("draining")?;
            // Not ready any more and still sent requests, which is what the settle time is for.
            balancer.let_clients_go_on()?;
            if stop == Stop::Seen {
                balancer.look(&[&old, &new]);
                assert!(!balancer.knows(&old) && balancer.knows(&new));
                balancer.let_clients_go_on()?;
            }
            old.signal(Signal::TERM)?;
            assert_eq!(old.wait()?, Some(0));
            balancer.let_clients_go_on()?;
            balancer.look(&[&new]);
            old = new;
            Ok(())
        });
        drop(stop_clients);
        rolled
    });
    let requests = balancer.done.iter().map(|done| done.load(Ordering::SeqCst)).sum();
    rolled.map(|()| (requests, balancer.failed.load(Ordering::SeqCst)))
}

#[test]
fn a_rolling_restart_loses_no_request() -> io::Result<()> {
    let (requests, failed) = roll(Stop::Seen)?;
    assert!(requests >= CLIENTS * ROLLS * 4 * BETWEEN_STEPS, "{requests}");
    assert_eq!(failed, 0, "of {requests}");
    Ok(())
}

#[test]
fn a_restart_that_the_balancer_does_not_see_does_lose_requests() -> io::Result<()> {
    let (requests, failed) = roll(Stop::Unseen)?;
    assert!(failed > 0, "of {requests}");
    Ok(())
}
