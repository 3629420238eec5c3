//! A server on loopback that answers as it is told: a fake at the wire for APIs whose answers are published. What it proves of a client
//! holds as far as its answers are like the real ones.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A request.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

/// What it does about one.
pub(crate) enum Reply {
    /// Answers with this status, these headers (lines that end with CR LF) and this body.
    Say(u16, &'static str, String),
    /// Says nothing until the client leaves.
    Hang,
    /// Is gone.
    Gone,
}

/// A server; it ends with the process.
pub(crate) struct Fake {
    /// `127.0.0.1:PORT`.
    pub(crate) address: String,
    seen: Arc<Mutex<Vec<Request>>>,
}

type Answer = dyn Fn(&Request) -> Reply + Send + Sync;

impl Fake {
    /// One that answers so.
    pub(crate) fn start(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let fake = Fake { address, seen: Arc::clone(&seen) };
        let answer: Arc<Answer> = Arc::new(answer);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
                std::thread::spawn(move || {
                    // A client that goes away in the middle is what some tests are about.
                    let _ = serve(stream, &seen, &*answer);
                });
            }
        });
        fake
    }

    /// Where it is, as an address.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All requests that came.
    pub(crate) fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }
}

fn serve(stream: TcpStream, seen: &Mutex<Vec<Request>>, answer: &Answer) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        if line.trim().is_empty() {
            break;
        }
        lines.push(line.trim().to_owned());
    }
    let mut first = lines[0].split(' ');
    let mut next = || first.next().unwrap_or_default().to_owned();
    let (method, target) = (next(), next());
    let headers: BTreeMap<String, String> = lines[1..]
        .iter()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length = headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let request = Request { method, target, headers, body: String::from_utf8_lossy(&body).into_owned() };
    seen.lock().unwrap().push(request.clone());
    let (status, headers, body) = match answer(&request) {
        Reply::Say(status, headers, body) => (status, headers, body),
        Reply::Hang => return reader.read_to_end(&mut Vec::new()).map(drop),
        Reply::Gone => return Ok(()),
    };
    let mut head = format!("HTTP/1.1 {status} X\r\nConnection: close\r\n{headers}");
    write!(head, "Content-Length: {}\r\n\r\n{body}", body.len()).map_err(io::Error::other)?;
    reader.get_mut().write_all(head.as_bytes())?;
    reader.get_mut().flush()
}
