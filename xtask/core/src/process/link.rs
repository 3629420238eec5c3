//! The run's end of the socket: starts the guard, sends requests in order, and hands each reply to the task that waits for it.

use super::GUARD_ARGUMENT;
use super::error::ProcessError;
use super::guard::kill_orphans_of;
use super::wire::{Frames, Reply, Request, Spawn, TaskId};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use rustix::process::Pid;
use std::collections::HashMap;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream as StdStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot::{self, Receiver, Sender};
use tokio::task::JoinHandle;

/// The most descriptors that one request carries: the three standard streams.
const STREAMS: usize = 3;

/// The connection to a running guard. Dropping it (with the runtime that it was started on) ends the guard and all tasks.
#[derive(Debug)]
pub(super) struct Link {
    outgoing: UnboundedSender<Outgoing>,
    routes: Arc<Routes>,
    /// Ends when the guard has ended; whoever closes the link takes it.
    reader: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
enum Outgoing {
    Frame { bytes: Vec<u8>, descriptors: Vec<OwnedFd> },
    Close,
}

/// Who waits for the reply about which task; none once the guard is gone.
#[derive(Debug)]
struct Routes(Mutex<Option<HashMap<TaskId, Sender<Reply>>>>);

/// A started task as its owner sees it. Dropped before the task has ended, it stops the task.
#[derive(Debug)]
pub(super) struct Task<'l> {
    link: &'l Link,
    id: TaskId,
    reply: Receiver<Reply>,
    over: bool,
}

impl Link {
    /// Starts the guard. Must be called on a runtime; the link lives as long as that.
    pub(super) fn start(guard: &Path) -> Result<Link, ProcessError> {
        let failed = |source: io::Error| {
            ProcessError::Guard(format!(
                "the guard process cannot be started from {}: {source}",
                guard.display()
            ))
        };
        let (ours, theirs) = StdStream::pair().map_err(failed)?;
        ours.set_nonblocking(true).map_err(failed)?;
        #[expect(clippy::disallowed_methods, reason = "this is the one place that starts the guard")]
        let child = Command::new(guard)
            .arg0("xtask")
            .arg(GUARD_ARGUMENT)
            .env_clear()
            .current_dir("/")
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(failed)?;
        let stream = Arc::new(UnixStream::from_std(ours).map_err(failed)?);
        let routes = Arc::new(Routes(Mutex::new(Some(HashMap::new()))));
        let (outgoing, requests) = unbounded_channel();
        tokio::spawn(write(Arc::clone(&stream), requests));
        let reader = Mutex::new(Some(tokio::spawn(read(stream, Arc::clone(&routes), child))));
        Ok(Link { outgoing, routes, reader })
    }

    /// Asks the guard to start a task with these streams.
    pub(super) fn spawn(&self, spawn: Spawn, descriptors: Vec<OwnedFd>) -> Result<Task<'_>, ProcessError> {
        let id = spawn.id;
        let request = Request::Spawn(spawn);
        let Some(bytes) = request.frame() else {
            let Request::Spawn(Spawn { program, .. }) = request else {
                return Err(gone());
            };
            return Err(ProcessError::TooLong { program });
        };
        let (waiting, reply) = oneshot::channel();
        if !self.routes.add(id, waiting)
            || self.outgoing.send(Outgoing::Frame { bytes, descriptors }).is_err()
        {
            return Err(gone());
        }
        Ok(Task { link: self, id, reply, over: false })
    }

    /// Lets the guard end; it first kills whatever is left. Returns when it has ended.
    pub(super) async fn close(&self) {
        // Fails if the guard is gone already.
        let _ = self.outgoing.send(Outgoing::Close);
        let reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(reader) = reader {
            // Fails only together with the runtime.
            let _ = reader.await;
        }
    }
}

/// The sentence for a guard that ended by itself.
pub(super) fn gone() -> ProcessError {
    ProcessError::Guard(
        "the guard process ended unexpectedly (was it killed?), and the tasks with it".to_owned(),
    )
}

impl Task<'_> {
    /// What became of it; none if the guard is gone. May be dropped half-way, but not be called again after it has returned.
    pub(super) async fn reply(&mut self) -> Option<Reply> {
        let reply = (&mut self.reply).await.ok();
        self.over = true;
        reply
    }

    /// Asks it to stop by its policy.
    pub(super) fn stop(&self) {
        if let Some(bytes) = Request::Stop(self.id).frame() {
            // Fails if the guard is gone; then so is the task.
            let _ = self.link.outgoing.send(Outgoing::Frame { bytes, descriptors: Vec::new() });
        }
    }
}

impl Drop for Task<'_> {
    fn drop(&mut self) {
        if !self.over {
            self.stop();
        }
    }
}

impl Routes {
    /// False if the guard is gone.
    fn add(&self, id: TaskId, waiting: Sender<Reply>) -> bool {
        self.lock().as_mut().map(|routes| routes.insert(id, waiting)).is_some()
    }

    fn deliver(&self, reply: Reply) {
        let (Reply::Refused { id, .. } | Reply::Exited { id, .. }) = reply;
        if let Some(waiting) = self.lock().as_mut().and_then(|routes| routes.remove(&id)) {
            // Whoever waited may have given up.
            let _ = waiting.send(reply);
        }
    }

    /// Nobody will hear from the guard again.
    fn close(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> MutexGuard<'_, Option<HashMap<TaskId, Sender<Reply>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends requests one after the other. A task of its own, so that nobody who gives up leaves half a frame behind.
async fn write(stream: Arc<UnixStream>, mut requests: UnboundedReceiver<Outgoing>) {
    while let Some(Outgoing::Frame { bytes, descriptors }) = requests.recv().await {
        if send(&stream, &bytes, descriptors).await.is_err() {
            break;
        }
    }
    // The guard ends when it reads this end. It can still reply until then.
    let _ = rustix::net::shutdown(&*stream, rustix::net::Shutdown::Write);
}

async fn send(stream: &UnixStream, mut bytes: &[u8], mut descriptors: Vec<OwnedFd>) -> io::Result<()> {
    while !bytes.is_empty() {
        let sent = stream
            .async_io(Interest::WRITABLE, || {
                let borrowed: Vec<_> = descriptors.iter().map(OwnedFd::as_fd).collect();
                let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(STREAMS))];
                let mut control = SendAncillaryBuffer::new(&mut space);
                if !borrowed.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&borrowed)) {
                    return Err(io::ErrorKind::InvalidInput.into());
                }
                Ok(rustix::net::sendmsg(stream, &[IoSlice::new(bytes)], &mut control, SendFlags::empty())?)
            })
            .await;
        match sent {
            Ok(sent) => {
                bytes = bytes.get(sent..).unwrap_or_default();
                // They went along with the first byte. Ours must be closed, or the pipes would never end.
                descriptors.clear();
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

async fn read(stream: Arc<UnixStream>, routes: Arc<Routes>, mut guard: Child) {
    let mut frames = Frames::default();
    let mut bytes = [0; 4096];
    'open: while stream.readable().await.is_ok() {
        match stream.try_read(&mut bytes) {
            Ok(0) => break,
            Ok(count) => frames.push(&bytes[..count]),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(_) => break,
        }
        loop {
            match frames.next().and_then(|frame| frame.map(|frame| Reply::parse(&frame)).transpose()) {
                Ok(Some(reply)) => routes.deliver(reply),
                Ok(None) => break,
                Err(_) => break 'open,
            }
        }
    }
    // It closed its end by ending, so this does not wait; it only takes the dead process off the table. A guard that did not end
    // by itself may have left something behind.
    let _ = guard.kill();
    if !guard.wait().is_ok_and(|status| status.success()) {
        kill_orphans_of(Pid::from_child(&guard));
    }
    routes.close();
}
