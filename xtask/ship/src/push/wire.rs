//! One HTTP exchange: a request with its body out, an answer in. Knows what a lost connection is; knows neither registries nor
//! credentials, and never asks twice.

use crate::push::fault::Fault;
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body, Bytes, Frame, SizeHint};
use hyper::header::HeaderMap;
use hyper::{Method, Request, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use std::error::Error;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Instant;

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(10);
/// How often progress is looked at.
const TICK: Duration = Duration::from_millis(250);
/// The most that an answer may hold: manifests and configurations are small, and nothing else is read.
const MOST: usize = 8 << 20;
/// How much of a file is read at once.
const PIECE: usize = 128 << 10;

/// What a request carries.
#[derive(Debug, Clone)]
pub(super) enum Payload {
    /// Nothing.
    Nothing,
    /// These bytes.
    Bytes(Bytes),
    /// A file, read as it is sent.
    File {
        /// The file.
        path: PathBuf,
        /// Its size; another one is an error.
        size: u64,
    },
}

/// A whole answer.
#[derive(Debug)]
pub(super) struct Answer {
    /// The status.
    pub(super) status: StatusCode,
    /// The headers.
    pub(super) headers: HeaderMap,
    /// The body.
    pub(super) body: Bytes,
}

impl Answer {
    /// A header, if it is there and is text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// Connections to servers, kept while they are of use.
#[derive(Debug)]
pub(super) struct Wire {
    client: Client<HttpsConnector<HttpConnector>, Outgoing>,
    silence: Duration,
}

impl Wire {
    /// A pool of no connections yet. A connection that is silent for so long counts as lost.
    pub(super) fn new(silence: Duration) -> Result<Wire, Fault> {
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_connect_timeout(Some(CONNECT));
        let provider = rustls::crypto::ring::default_provider();
        let tls = HttpsConnectorBuilder::new().with_provider_and_native_roots(provider).map_err(|error| {
            Fault::Broken { doing: "TLS".to_owned(), why: format!("no certificates to trust: {error}") }
        })?;
        let connector = tls.https_or_http().enable_http1().wrap_connector(http);
        Ok(Wire { client: Client::builder(TokioExecutor::new()).build(connector), silence })
    }

    /// Sends a request and reads the whole answer. `doing` is for errors; `progress` gets the bytes of the body that are out.
    pub(super) async fn exchange(
        &self,
        (method, address, headers): (Method, &Uri, HeaderMap),
        payload: &Payload,
        doing: &str,
        progress: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<Answer, Fault> {
        let sent = Arc::new(AtomicU64::new(0));
        let mut request = Request::new(Outgoing::of(payload, &sent)?);
        *request.method_mut() = method;
        *request.uri_mut() = address.clone();
        *request.headers_mut() = headers;
        let mut exchange = std::pin::pin!(async {
            let response =
                self.client.request(request).await.map_err(|error| fault(&error, address, doing))?;
            let (parts, body) = response.into_parts();
            let body = Limited::new(body, MOST).collect().await;
            let body = body.map_err(|error| fault(&*error, address, doing))?.to_bytes();
            Ok(Answer { status: parts.status, headers: parts.headers, body })
        });
        let (mut seen, mut moved) = (0, Instant::now());
        loop {
            tokio::select! {
                answer = &mut exchange => return answer,
                () = tokio::time::sleep(TICK.min(self.silence)) => {}
            }
            let now = sent.load(Ordering::Relaxed);
            if now != seen {
                (seen, moved) = (now, Instant::now());
                progress(now);
            } else if moved.elapsed() >= self.silence {
                let why = format!("silent for {} s", self.silence.as_secs());
                return Err(Fault::Lost { doing: doing.to_owned(), why });
            }
        }
    }
}

/// Tells a connection that was lost from one that never came about, and both from an answer that makes no sense.
fn fault(error: &(dyn Error + 'static), address: &Uri, doing: &str) -> Fault {
    let (mut chain, mut next) = (Vec::new(), Some(error));
    while let Some(error) = next {
        chain.push(error);
        next = error.source();
    }
    // The innermost one says most; the outer ones are the names of layers.
    let why = chain.last().map(ToString::to_string).unwrap_or_default();
    let doing = doing.to_owned();
    if chain.iter().any(|error| is_lost(*error)) {
        return Fault::Lost { doing, why };
    }
    let of = |error: &&(dyn Error + 'static)| {
        error.downcast_ref::<hyper_util::client::legacy::Error>().is_some_and(|error| error.is_connect())
    };
    if chain.iter().any(of) {
        let address = address.authority().map(ToString::to_string).unwrap_or_default();
        return Fault::Unreachable { address, why };
    }
    Fault::Broken { doing, why }
}

/// Whether another try may mend it. A refused connection is not among these: nobody listens there.
fn is_lost(error: &(dyn Error + 'static)) -> bool {
    if let Some(error) = error.downcast_ref::<hyper::Error>() {
        return error.is_incomplete_message() || error.is_canceled() || error.is_closed();
    }
    let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
    matches!(
        kind,
        Some(
            io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe
                | io::ErrorKind::NotConnected
                | io::ErrorKind::TimedOut
                | io::ErrorKind::UnexpectedEof
        )
    )
}

/// A payload on its way out.
#[derive(Debug)]
enum Outgoing {
    Bytes(Option<Bytes>),
    File { file: File, left: u64, sent: Arc<AtomicU64> },
}

impl Outgoing {
    fn of(payload: &Payload, sent: &Arc<AtomicU64>) -> Result<Outgoing, Fault> {
        match payload {
            Payload::Nothing => Ok(Outgoing::Bytes(None)),
            Payload::Bytes(bytes) => Ok(Outgoing::Bytes(Some(bytes.clone()))),
            Payload::File { path, size } => {
                let layout = |why: String| Fault::Layout { path: path.clone(), why };
                let file = File::open(path).map_err(|error| layout(error.to_string()))?;
                let found = file.metadata().map_err(|error| layout(error.to_string()))?.len();
                if found != *size {
                    return Err(layout(format!("{found} bytes, where the manifest says {size}")));
                }
                Ok(Outgoing::File { file, left: *size, sent: Arc::clone(sent) })
            }
        }
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let frame = match self.get_mut() {
            Outgoing::Bytes(bytes) => bytes.take().map(|bytes| Ok(Frame::data(bytes))),
            Outgoing::File { left: 0, .. } => None,
            // A local file that was just written: reading a piece of it takes less than handing it to another thread.
            Outgoing::File { file, left, sent } => {
                let mut piece = vec![0; usize::try_from(*left).unwrap_or(PIECE).min(PIECE)];
                Some(file.read_exact(&mut piece).map(|()| {
                    *left -= piece.len() as u64;
                    sent.fetch_add(piece.len() as u64, Ordering::Relaxed);
                    Frame::data(piece.into())
                }))
            }
        };
        // A file that became shorter meanwhile must not look like a lost connection.
        Poll::Ready(frame.map(|frame| frame.map_err(|error| io::Error::other(error.to_string()))))
    }

    fn is_end_stream(&self) -> bool {
        self.size_hint().exact() == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match self {
            Outgoing::Bytes(bytes) => bytes.as_ref().map_or(0, |bytes| bytes.len() as u64),
            Outgoing::File { left, .. } => *left,
        })
    }
}
