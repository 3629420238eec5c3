//! A client of bytes: what it sends and what it sees is exactly what is on the wire.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// One parsed response.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Waits until `done` holds; an error after a time that no healthy run comes near.
#[expect(clippy::disallowed_methods, reason = "a test thread may wait; this is the one place")]
pub(crate) fn until(what: &str, mut done: impl FnMut() -> bool) -> io::Result<()> {
    let given_up = Instant::now() + Duration::from_mins(1);
    while !done() {
        if Instant::now() > given_up {
            return Err(io::Error::new(io::ErrorKind::TimedOut, format!("never: {what}")));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Connects, with a limit on every read so that a hanging server fails the test instead of hanging it.
pub(crate) fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_mins(1)))?;
    Ok(stream)
}

/// Sends `request` as it is and reads one response.
pub(crate) fn send(stream: &mut TcpStream, request: &str) -> io::Result<Reply> {
    stream.write_all(request.as_bytes())?;
    read_reply(stream)
}

/// `GET path` on a connection of its own.
pub(crate) fn get(address: SocketAddr, path: &str) -> io::Result<Reply> {
    send(&mut connect(address)?, &format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n"))
}

/// Reads one response with a `content-length`, byte for byte, so that what follows stays in the socket.
pub(crate) fn read_reply(stream: &mut TcpStream) -> io::Result<Reply> {
    let broken = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).map_err(|_| broken("head is not UTF-8"))?;
    let mut lines = head.trim_end().split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok());
    let mut headers = Vec::new();
    for line in lines {
        let (name, value) = line.split_once(": ").ok_or_else(|| broken("a header without a colon"))?;
        headers.push((name.to_ascii_lowercase(), value.to_owned()));
    }
    let mut reply =
        Reply { status: status.ok_or_else(|| broken("no status"))?, headers, body: String::new() };
    let length = reply.header("content-length").map_or(Ok(0), str::parse::<usize>);
    let mut body = vec![0; length.map_err(|_| broken("content-length is not a number"))?];
    stream.read_exact(&mut body)?;
    reply.body = String::from_utf8(body).map_err(|_| broken("body is not UTF-8"))?;
    Ok(reply)
}

/// What the server sends until it closes the connection; a reset counts as closed.
pub(crate) fn read_to_close(stream: &mut TcpStream) -> io::Result<String> {
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest) {
        Err(error) if error.kind() != io::ErrorKind::ConnectionReset => Err(error),
        _ => Ok(String::from_utf8_lossy(&rest).into_owned()),
    }
}
