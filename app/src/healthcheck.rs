//! `app healthcheck`: asks the running service for `/healthz`, for images that hold neither a shell nor curl.
//!
//! Plain blocking sockets: it runs every few seconds, and starting a runtime would cost more than the
//! request.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Why the service counts as unhealthy.
#[derive(Debug, thiserror::Error)]
pub enum Unhealthy {
    /// No connection, no answer, or none in time.
    #[error("no answer from {address}: {source}")]
    Unreachable {
        /// Who was asked.
        address: SocketAddr,
        /// What happened.
        source: io::Error,
    },
    /// An answer, but not 200.
    #[error("{address}/healthz answered {status:?}, not 200")]
    Refused {
        /// Who was asked.
        address: SocketAddr,
        /// The first line of the answer.
        status: String,
    },
}

/// Asks the service that listens on `listen` (an unspecified address means this machine); `patience` bounds
/// the whole exchange.
///
/// # Errors
/// When the answer is missing, late, or anything but 200.
pub fn probe(listen: SocketAddr, patience: Duration) -> Result<(), Unhealthy> {
    let address = SocketAddr::new(reachable(listen.ip()), listen.port());
    let status = ask(address, patience).map_err(|source| Unhealthy::Unreachable { address, source })?;
    match status.split(' ').nth(1) {
        Some("200") => Ok(()),
        _ => Err(Unhealthy::Refused { address, status }),
    }
}

fn reachable(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        IpAddr::V4(_) | IpAddr::V6(_) => ip,
    }
}

fn ask(address: SocketAddr, patience: Duration) -> io::Result<String> {
    let deadline = Instant::now() + patience;
    let mut stream = TcpStream::connect_timeout(&address, patience)?;
    stream.set_write_timeout(Some(patience))?;
    write!(stream, "GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut line = Vec::new();
    // A status line is short; whatever sends more than this without a line end does not speak HTTP.
    let mut chunk = [0; 256];
    while line.len() < chunk.len() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        let read = stream.read(&mut chunk)?;
        line.extend_from_slice(&chunk[..read]);
        if let Some(end) = line.iter().position(|&byte| byte == b'\r') {
            return Ok(String::from_utf8_lossy(&line[..end]).into_owned());
        }
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "not HTTP"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// A server that answers one connection with `reply`, then closes it.
    fn server(reply: &'static [u8]) -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            // The request is read first: closing with unread bytes would reset the connection under the
            // reply.
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                request.push(byte[0]);
            }
            assert!(request.starts_with(b"GET /healthz HTTP/1.1\r\n"));
            stream.write_all(reply).unwrap();
        });
        address
    }

    const PATIENCE: Duration = Duration::from_secs(30);

    #[test]
    fn two_hundred_is_healthy() {
        probe(server(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"), PATIENCE).unwrap();
    }

    #[test]
    fn any_other_answer_is_not() {
        for reply in
            [&b"HTTP/1.1 503 Service Unavailable\r\n\r\n"[..], b"HTTP/1.1 2000 OK\r\n\r\n", b"200\r\n"]
        {
            let error = probe(server(reply), PATIENCE).unwrap_err();
            assert!(matches!(error, Unhealthy::Refused { .. }), "{error}");
        }
    }

    #[test]
    fn an_answer_that_breaks_off_or_is_not_http_is_not_healthy() {
        for reply in [&b""[..], b"HTTP/1.1 200", &[b'x'; 5000]] {
            let error = probe(server(reply), PATIENCE).unwrap_err();
            assert!(matches!(error, Unhealthy::Unreachable { .. }), "{error}");
        }
    }

    #[test]
    fn nobody_listening_is_not_healthy() {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        assert!(matches!(probe(free, PATIENCE).unwrap_err(), Unhealthy::Unreachable { .. }));
    }

    #[test]
    fn a_service_that_never_answers_is_given_up() {
        let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let error = probe(silent.local_addr().unwrap(), Duration::from_millis(50)).unwrap_err();
        assert!(matches!(error, Unhealthy::Unreachable { .. }), "{error}");
    }

    #[test]
    fn an_unspecified_address_is_asked_on_loopback() {
        assert_eq!(reachable("0.0.0.0".parse().unwrap()), IpAddr::from(Ipv4Addr::LOCALHOST));
        assert_eq!(reachable("::".parse().unwrap()), IpAddr::from(Ipv6Addr::LOCALHOST));
        assert_eq!(reachable("10.1.2.3".parse().unwrap()), "10.1.2.3".parse::<IpAddr>().unwrap());
    }
}
