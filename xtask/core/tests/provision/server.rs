//! An HTTP server on loopback that misbehaves as told.

use std::sync::{Arc, Mutex};
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What it answers.
pub(crate) enum Reply {
    /// These bytes, or the range of them that was asked for.
    Bytes(Vec<u8>),
    /// These bytes, whatever range was asked for.
    NoRanges(Vec<u8>),
    /// So many of these bytes, then the connection ends.
    Cut(Vec<u8>, usize),
    /// So many of these bytes, then nothing more comes.
    Hang(Vec<u8>, usize),
    /// A status line and headers, no bytes.
    Status(&'static str, &'static str),
}

/// A request.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// The first byte that was asked for, if it asked for a range.
    pub(crate) from: Option<usize>,
    pub(crate) at: Instant,
}

pub(crate) struct Server {
    pub(crate) url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// Starts; `reply` gets the path and how many requests came before.
    pub(crate) async fn start(reply: impl Fn(&str, usize) -> Reply + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (log, reply) = (Arc::clone(&seen), Arc::new(reply));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (log, reply) = (Arc::clone(&log), Arc::clone(&reply));
                tokio::spawn(async move {
                    // A client that goes away in the middle is what some tests are about.
                    let _ = answer(stream, &log, &*reply).await;
                });
            }
        });
        Server { url, seen, task }
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

async fn answer(
    mut stream: TcpStream,
    log: &Mutex<Vec<Seen>>,
    reply: &(impl Fn(&str, usize) -> Reply + Sync),
) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).await?;
        request.push(byte[0]);
    }
    let request = String::from_utf8_lossy(&request).into_owned();
    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
    let range = request
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("range: bytes=").map(str::to_owned));
    let from = range.and_then(|range| range.split('-').next()?.parse().ok());
    let before = {
        let mut log = log.lock().unwrap();
        log.push(Seen { from, at: Instant::now() });
        log.len() - 1
    };
    let (bytes, from, until, hang) = match reply(&path, before) {
        Reply::Status(status, headers) => {
            let head =
                format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n{headers}\r\n");
            return stream.write_all(head.as_bytes()).await;
        }
        Reply::Bytes(bytes) => {
            let until = bytes.len();
            (bytes, from, until, false)
        }
        Reply::NoRanges(bytes) => {
            let until = bytes.len();
            (bytes, None, until, false)
        }
        Reply::Cut(bytes, until) => (bytes, from, until, false),
        Reply::Hang(bytes, until) => (bytes, from, until, true),
    };
    let all = bytes.len();
    let start = from.unwrap_or(0);
    if from.is_some() && start >= all {
        let head = format!(
            "HTTP/1.1 416 Range\r\nContent-Range: bytes */{all}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        return stream.write_all(head.as_bytes()).await;
    }
    let status = if from.is_some() { "206 Partial Content" } else { "200 OK" };
    let range =
        from.map(|from| format!("Content-Range: bytes {from}-{}/{all}\r\n", all - 1)).unwrap_or_default();
    let head =
        format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{range}Connection: close\r\n\r\n", all - start);
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(&bytes[start.min(until)..until]).await?;
    stream.flush().await?;
    if hang {
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await?;
    }
    Ok(())
}
