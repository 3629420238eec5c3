//! A registry on loopback that answers as the distribution specification says, and misbehaves as told. A fake at the wire: what it
//! proves of the client holds as far as it is like the real ones, one of which other tests run.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use xtask_core::ids::Digest;

pub(super) const NAME: &str = "robot";
pub(super) const PASSWORD: &str = "s3cret-word";

/// Whom it lets in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Door {
    Open,
    Basic,
    /// With a token, which it gives out itself; the first one is good for so many requests.
    Bearer(usize),
    /// With a token from a place that nobody should ask.
    Elsewhere(&'static str),
}

/// What it does instead of answering as it should.
pub(super) enum Mischief {
    /// This status with these headers and this body.
    Say(u16, &'static str, String),
    /// Reads this much of the body and is gone.
    Break(usize),
    /// Does what was asked for and is gone without an answer.
    Forget,
    /// Says nothing until the client leaves.
    Hang,
}

/// A request, without its body.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) target: String,
    headers: BTreeMap<String, String>,
}

impl Request {
    pub(super) fn is(&self, method: &str, part: &str) -> bool {
        self.method == method && self.target.contains(part)
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

#[derive(Default)]
pub(super) struct State {
    pub(super) blobs: BTreeMap<String, Vec<u8>>,
    /// By digest and by name: media type and bytes.
    pub(super) manifests: BTreeMap<String, (String, Vec<u8>)>,
    pub(super) seen: Vec<Request>,
    uploads: usize,
    tokens: usize,
    admitted: usize,
}

type Whim = dyn Fn(&Request, usize) -> Option<Mischief> + Send + Sync;

pub(super) struct Fake {
    pub(super) address: String,
    pub(super) state: Arc<Mutex<State>>,
}

impl Fake {
    /// Starts. `whim` is asked before each answer, with how many requests like this one came before.
    pub(super) fn start(
        door: Door,
        whim: impl Fn(&Request, usize) -> Option<Mischief> + Send + Sync + 'static,
    ) -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state = Arc::new(Mutex::new(State::default()));
        let fake = Fake { address: address.clone(), state: Arc::clone(&state) };
        let whim: Arc<Whim> = Arc::new(whim);
        // The threads end with the process of the tests.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (state, whim, address) = (Arc::clone(&state), Arc::clone(&whim), address.clone());
                std::thread::spawn(move || {
                    // A client that goes away in the middle is what some tests are about.
                    let _ = serve(stream, door, &address, &state, &*whim);
                });
            }
        });
        fake
    }

    /// One without whims.
    pub(super) fn plain(door: Door) -> Fake {
        Fake::start(door, |_, _| None)
    }

    /// How many requests of this kind came.
    pub(super) fn count(&self, method: &str, part: &str) -> usize {
        self.state.lock().unwrap().seen.iter().filter(|request| request.is(method, part)).count()
    }
}

/// A status, more headers, and a body.
struct Reply(u16, String, Vec<u8>);

fn reply(status: u16, headers: impl Into<String>) -> Reply {
    Reply(status, headers.into(), Vec::new())
}

fn refuse(status: u16, code: &str, message: &str) -> Reply {
    let body = format!(r#"{{"errors": [{{"code": "{code}", "message": "{message}"}}]}}"#);
    Reply(status, "Content-Type: application/json\r\n".into(), body.into_bytes())
}

fn serve(stream: TcpStream, door: Door, address: &str, state: &Mutex<State>, whim: &Whim) -> io::Result<()> {
    let mut reader = BufReader::with_capacity(1024, stream);
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
    let headers = lines[1..].iter().filter_map(|line| line.split_once(": "));
    let request = Request {
        method: next(),
        target: next(),
        headers: headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect(),
    };
    let before = {
        let mut state = state.lock().unwrap();
        let path = request.target.split('?').next().unwrap_or_default();
        let like = |it: &&Request| it.method == request.method && it.target.split('?').next() == Some(path);
        let before = state.seen.iter().filter(like).count();
        state.seen.push(request.clone());
        before
    };
    let length = request.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    let mischief = whim(&request, before);
    if let Some(Mischief::Break(most)) = mischief {
        // What is left unread makes the system reset the connection.
        return reader.read_exact(&mut body[..most]);
    }
    reader.read_exact(&mut body)?;
    let Reply(status, headers, body) = match mischief {
        Some(Mischief::Say(status, headers, body)) => Reply(status, headers.to_owned(), body.into_bytes()),
        Some(Mischief::Hang) => return reader.read_to_end(&mut Vec::new()).map(drop),
        Some(Mischief::Forget) => {
            answer(&request, &body, door, address, &mut state.lock().unwrap());
            return Ok(());
        }
        Some(Mischief::Break(_)) | None => answer(&request, &body, door, address, &mut state.lock().unwrap()),
    };
    let mut head = format!("HTTP/1.1 {status} X\r\nConnection: close\r\n{headers}");
    write!(head, "Content-Length: {}\r\n\r\n", body.len()).unwrap();
    let stream = reader.get_mut();
    stream.write_all(head.as_bytes())?;
    if request.method != "HEAD" {
        stream.write_all(&body)?;
    }
    stream.flush()
}

fn answer(request: &Request, body: &[u8], door: Door, address: &str, state: &mut State) -> Reply {
    if request.target.starts_with("/token?") {
        return token(request, state);
    }
    if let Some(refusal) = refused(request, door, address, state) {
        return refusal;
    }
    let Some(path) = request.target.strip_prefix("/v2/team/hello/") else {
        return refuse(404, "NAME_UNKNOWN", "repository name not known to registry");
    };
    let path = path.to_owned();
    match (request.method.as_str(), path.split_once('/').unwrap_or_default()) {
        ("POST", ("blobs", "uploads/")) => {
            state.uploads += 1;
            let location = format!("/v2/team/hello/blobs/uploads/{}?state=a%2Fb", state.uploads);
            reply(202, format!("Location: {location}\r\n"))
        }
        ("PUT", ("blobs", upload)) => {
            let Some((_, digest)) = upload.split_once("&digest=") else {
                return refuse(400, "DIGEST_INVALID", "no digest");
            };
            if Digest::of(body).as_str() != digest {
                return refuse(400, "DIGEST_INVALID", "provided digest did not match uploaded content");
            }
            state.blobs.insert(digest.to_owned(), body.to_vec());
            reply(201, format!("Docker-Content-Digest: {digest}\r\n"))
        }
        ("HEAD" | "GET", ("blobs", digest)) => match state.blobs.get(digest) {
            Some(bytes) => Reply(200, String::new(), bytes.clone()),
            None => refuse(404, "BLOB_UNKNOWN", "blob unknown to registry"),
        },
        ("PUT", ("manifests", name)) => {
            let digest = Digest::of(body);
            let entry = (request.header("content-type").unwrap_or_default().to_owned(), body.to_vec());
            state.manifests.insert(name.to_owned(), entry.clone());
            state.manifests.insert(digest.to_string(), entry);
            reply(201, format!("Docker-Content-Digest: {digest}\r\n"))
        }
        ("HEAD" | "GET", ("manifests", name)) => match state.manifests.get(name) {
            Some((kind, bytes)) => {
                let digest = Digest::of(bytes);
                let headers = format!("Content-Type: {kind}\r\nDocker-Content-Digest: {digest}\r\n");
                Reply(200, headers, bytes.clone())
            }
            None => refuse(404, "MANIFEST_UNKNOWN", "manifest unknown"),
        },
        _ => refuse(405, "UNSUPPORTED", "the operation is unsupported"),
    }
}

fn basic() -> String {
    use base64::Engine as _;
    let pair = base64::engine::general_purpose::STANDARD.encode(format!("{NAME}:{PASSWORD}"));
    format!("Basic {pair}")
}

fn token(request: &Request, state: &mut State) -> Reply {
    let wanted = "/token?service=fake%20registry&scope=repository:team/hello:pull";
    let rest = request.target.strip_prefix(wanted);
    if request.header("authorization") != Some(&basic()) || !matches!(rest, Some("" | ",push")) {
        return refuse(401, "UNAUTHORIZED", &format!("{PASSWORD} is wrong"));
    }
    state.tokens += 1;
    state.admitted = 0;
    Reply(200, String::new(), format!(r#"{{"token": "token-{}"}}"#, state.tokens).into_bytes())
}

fn refused(request: &Request, door: Door, address: &str, state: &mut State) -> Option<Reply> {
    let given = request.header("authorization");
    let challenge = match door {
        Door::Open => return None,
        Door::Basic if given == Some(&basic()) => return None,
        Door::Basic => "Basic realm=\"fake\"".to_owned(),
        Door::Bearer(first) => {
            let current = format!("Bearer token-{}", state.tokens);
            if given == Some(&current) && (state.tokens > 1 || state.admitted < first) {
                state.admitted += 1;
                return None;
            }
            format!("Bearer realm=\"http://{address}/token\",service=\"fake registry\",scope=\"x\"")
        }
        Door::Elsewhere(realm) => format!("Bearer realm=\"{realm}\""),
    };
    let Reply(status, headers, body) = refuse(401, "UNAUTHORIZED", "authentication required");
    Some(Reply(status, format!("{headers}WWW-Authenticate: {challenge}\r\n"), body))
}
