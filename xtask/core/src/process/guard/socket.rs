//! The guard's end of the socket: requests with descriptors in, replies out.

use super::super::wire::{Frames, Malformed, Reply, Request};
use super::task::Streams;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SocketType};
use std::collections::VecDeque;
use std::io::{self, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

/// More than come with one frame: how many the system hands over at once is its own affair.
const DESCRIPTORS: usize = 32;

pub(super) struct Socket {
    stream: UnixStream,
    frames: Frames,
    /// In the order of the requests that they belong to.
    descriptors: VecDeque<OwnedFd>,
}

impl Socket {
    /// Standard input, if it is a stream socket.
    pub(super) fn from_stdin() -> Option<Socket> {
        let stdin = io::stdin();
        if rustix::net::sockopt::socket_type(&stdin).ok()? != SocketType::STREAM {
            return None;
        }
        let stream = stdin.as_fd().try_clone_to_owned().ok()?.into();
        Some(Socket { stream, frames: Frames::default(), descriptors: VecDeque::new() })
    }

    /// Takes what is there. An error if the run is gone.
    pub(super) fn receive(&mut self) -> io::Result<()> {
        let mut bytes = [0; 16 << 10];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = loop {
            let buffers = &mut [IoSliceMut::new(&mut bytes)];
            match rustix::net::recvmsg(&self.stream, buffers, &mut control, RECEIVE) {
                Err(rustix::io::Errno::INTR) => {}
                result => break result?,
            }
        };
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                for descriptor in descriptors {
                    close_on_exec(&descriptor)?;
                    self.descriptors.push_back(descriptor);
                }
            }
        }
        if received.bytes == 0 || received.flags.contains(ReturnFlags::CTRUNC) {
            // With descriptors lost, nobody knows any more which of them belong to which request.
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.frames.push(&bytes[..received.bytes]);
        Ok(())
    }

    /// The next request that is complete.
    pub(super) fn next_request(&mut self) -> io::Result<Option<Request>> {
        let malformed = |Malformed| io::Error::from(io::ErrorKind::InvalidData);
        self.frames
            .next()
            .map_err(malformed)?
            .map(|frame| Request::parse(&frame).map_err(malformed))
            .transpose()
    }

    /// The descriptors that came with the request.
    pub(super) fn take_streams(&mut self, stdin: bool) -> io::Result<Streams> {
        let mut next = || self.descriptors.pop_front().ok_or(io::Error::from(io::ErrorKind::InvalidData));
        Ok(Streams { stdout: next()?, stderr: next()?, stdin: if stdin { Some(next()?) } else { None } })
    }

    /// Tells the run something. An error if it is gone.
    pub(super) fn reply(&mut self, reply: Reply) -> io::Result<()> {
        self.stream.write_all(&reply.frame())
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// No task may inherit another task's pipes: it would keep them open.
#[cfg(target_os = "linux")]
const RECEIVE: RecvFlags = RecvFlags::CMSG_CLOEXEC;
#[cfg(not(target_os = "linux"))]
const RECEIVE: RecvFlags = RecvFlags::empty();

#[cfg(target_os = "linux")]
fn close_on_exec(_: &OwnedFd) -> io::Result<()> {
    Ok(())
}

/// One thread, so nothing is spawned between the arrival and this.
#[cfg(not(target_os = "linux"))]
fn close_on_exec(descriptor: &OwnedFd) -> io::Result<()> {
    Ok(rustix::io::fcntl_setfd(descriptor, rustix::io::FdFlags::CLOEXEC)?)
}
