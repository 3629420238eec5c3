//! A client of the OCI distribution API for one repository: asks what is there, sends what is not, reads back. It tries again what
//! may be tried again, asks for a token when it must, and says nothing by itself.

use crate::push::challenge::{self, Challenge};
use crate::push::fault::Fault;
use crate::push::login::{Credentials, Login};
use crate::push::reference::{Repository, Tag};
use crate::push::retry::{Patience, retry_after};
use crate::push::wire::{Answer, Payload, Wire};
use hyper::body::Bytes;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Method, StatusCode, Uri};
use jiff::Timestamp;
use serde::Deserialize;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use xtask_core::ids::Digest;
use xtask_core::redact::Redactor;

/// The kinds of manifest that a name may stand for. A registry may answer in an older kind if it is not told of the newer ones.
const MANIFESTS: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, \
                         application/vnd.docker.distribution.manifest.v2+json, \
                         application/vnd.docker.distribution.manifest.list.v2+json";
/// How often an answer may lead elsewhere.
const REDIRECTS: usize = 5;
/// How much of what a registry says is shown.
const SAID: usize = 200;

/// A blob of an image: a layer or the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Blob {
    /// Its digest.
    pub(super) digest: Digest,
    /// Its size in bytes.
    pub(super) size: u64,
    /// The file that holds it.
    pub(super) path: PathBuf,
}

/// What a person who watches may want to know.
#[derive(Debug)]
pub(super) enum Moment<'a> {
    /// So many bytes of a blob are out.
    Sending {
        /// The blob.
        blob: &'a Blob,
        /// Bytes that are out.
        done: u64,
    },
    /// Something is tried again after a while.
    Waiting {
        /// What went wrong.
        fault: &'a Fault,
        /// After how long.
        wait: Duration,
    },
}

/// Who is told.
pub(super) type Watch<'a> = &'a (dyn Fn(Moment<'_>) + Send + Sync);

/// One repository of one registry.
pub(super) struct Registry<'a> {
    repository: &'a Repository,
    login: &'a Login,
    wire: Wire,
    patience: Patience,
    clock: fn() -> Timestamp,
    watch: Watch<'a>,
    redactor: Redactor,
    authorization: Mutex<Option<HeaderValue>>,
    waited: Mutex<Duration>,
}

/// A request, which may be sent more than once.
struct Ask<'a> {
    method: Method,
    address: Uri,
    headers: HeaderMap,
    payload: Payload,
    /// For errors: `asking for blob sha256:…`.
    doing: &'a str,
    /// For progress.
    blob: Option<&'a Blob>,
}

impl<'a> Registry<'a> {
    /// A client that has asked nothing yet.
    pub(super) fn new(
        repository: &'a Repository,
        login: &'a Login,
        patience: Patience,
        clock: fn() -> Timestamp,
        watch: Watch<'a>,
    ) -> Result<Self, Fault> {
        let redactor = match login {
            Login::Known(credentials) => credentials.redactor(),
            Login::Nobody | Login::Unusable(_) => Redactor::default(),
        };
        Ok(Registry {
            repository,
            login,
            wire: Wire::new(patience.silence)?,
            patience,
            clock,
            watch,
            redactor,
            authorization: Mutex::default(),
            waited: Mutex::default(),
        })
    }

    /// Whether the registry has the manifest with this digest.
    pub(super) async fn has_manifest(&self, digest: &Digest) -> Result<bool, Fault> {
        let doing = format!("asking for manifest {digest}");
        self.retrying(|| async {
            let answer = self.ask_manifest(Method::HEAD, digest.as_str(), &doing).await?;
            self.present(&answer, &doing)
        })
        .await
    }

    /// The digest that a name stands for, if the registry knows it.
    pub(super) async fn digest_of(&self, tag: &Tag) -> Result<Option<Digest>, Fault> {
        let doing = format!("asking what `{tag}` stands for");
        self.retrying(|| async {
            let answer = self.ask_manifest(Method::HEAD, &tag.to_string(), &doing).await?;
            if !self.present(&answer, &doing)? {
                return Ok(None);
            }
            if let Some(digest) = content_digest(&answer, &doing)? {
                return Ok(Some(digest));
            }
            let answer = self.ask_manifest(Method::GET, &tag.to_string(), &doing).await?;
            Ok(Some(Digest::of(&self.expected(answer, &[StatusCode::OK], &doing)?.body)))
        })
        .await
    }

    /// Sends a blob, unless the registry has it; says whether it was sent.
    pub(super) async fn ensure_blob(&self, blob: &Blob) -> Result<bool, Fault> {
        self.retrying(|| self.ensure_blob_once(blob)).await
    }

    /// Asks again before each try: of a connection that was lost nobody knows how far it came, and an upload that was begun is not
    /// gone on with, because a registry may have kept a part of it.
    async fn ensure_blob_once(&self, blob: &Blob) -> Result<bool, Fault> {
        let digest = &blob.digest;
        let doing = format!("asking for blob {digest}");
        let answer = self.ask(Method::HEAD, &format!("blobs/{digest}"), &doing).await?;
        if self.present(&answer, &doing)? {
            return Ok(false);
        }
        let doing = format!("sending blob {digest}");
        let answer = self.ask(Method::POST, "blobs/uploads/", &doing).await?;
        let answer = self.expected(answer, &[StatusCode::ACCEPTED], &doing)?;
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        let ask = Ask {
            method: Method::PUT,
            address: self.upload_address(&answer, digest, &doing)?,
            headers,
            payload: Payload::File { path: blob.path.clone(), size: blob.size },
            doing: &doing,
            blob: Some(blob),
        };
        let answer = self.expected(self.call(&ask).await?, &[StatusCode::CREATED], &doing)?;
        self.same(digest, content_digest(&answer, &doing)?, || format!("blob {digest}"))?;
        Ok(true)
    }

    /// Puts a manifest under its digest or under a name.
    pub(super) async fn put_manifest(
        &self,
        reference: &str,
        media_type: &str,
        bytes: &Bytes,
    ) -> Result<(), Fault> {
        let doing = format!("putting manifest {reference}");
        let mut headers = HeaderMap::new();
        let media_type = HeaderValue::from_str(media_type)
            .map_err(|_| self.broken(&doing, "its media type cannot be sent".to_owned()))?;
        headers.insert(CONTENT_TYPE, media_type);
        let ask = Ask {
            method: Method::PUT,
            address: self.address(&format!("manifests/{reference}"))?,
            headers,
            payload: Payload::Bytes(bytes.clone()),
            doing: &doing,
            blob: None,
        };
        let answer =
            self.retrying(|| async { self.expected(self.call(&ask).await?, &[StatusCode::CREATED], &doing) });
        let found = content_digest(&answer.await?, &doing)?;
        self.same(&Digest::of(bytes), found, || format!("manifest {reference}"))
    }

    /// Reads a manifest back.
    pub(super) async fn read_manifest(&self, digest: &Digest) -> Result<Bytes, Fault> {
        let doing = format!("reading manifest {digest} back");
        self.retrying(|| async {
            let answer = self.ask_manifest(Method::GET, digest.as_str(), &doing).await?;
            Ok(self.expected(answer, &[StatusCode::OK], &doing)?.body)
        })
        .await
    }

    /// Reads a small blob back.
    pub(super) async fn read_blob(&self, digest: &Digest) -> Result<Bytes, Fault> {
        let doing = format!("reading blob {digest} back");
        self.retrying(|| async {
            let answer = self.ask(Method::GET, &format!("blobs/{digest}"), &doing).await?;
            Ok(self.expected(answer, &[StatusCode::OK], &doing)?.body)
        })
        .await
    }

    /// Does something, again while that may help.
    async fn retrying<T, F: Future<Output = Result<T, Fault>>>(
        &self,
        step: impl Fn() -> F,
    ) -> Result<T, Fault> {
        let mut tries = 1;
        loop {
            let fault = match step().await {
                Err(fault) if fault.transient().is_some() => fault,
                ended => return ended,
            };
            let waited = *lock(&self.waited);
            let seed = u64::from((self.clock)().subsec_nanosecond().unsigned_abs());
            let Some(wait) = self.patience.wait(tries, fault.asked(), waited, seed) else {
                return Err(Fault::GivenUp { last: Box::new(fault), tries, waited });
            };
            (self.watch)(Moment::Waiting { fault: &fault, wait });
            *lock(&self.waited) += wait;
            tokio::time::sleep(wait).await;
            tries += 1;
        }
    }

    async fn ask_manifest(&self, method: Method, reference: &str, doing: &str) -> Result<Answer, Fault> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static(MANIFESTS));
        let address = self.address(&format!("manifests/{reference}"))?;
        self.call(&Ask { method, address, headers, payload: Payload::Nothing, doing, blob: None }).await
    }

    async fn ask(&self, method: Method, path: &str, doing: &str) -> Result<Answer, Fault> {
        let address = self.address(path)?;
        let headers = HeaderMap::new();
        self.call(&Ask { method, address, headers, payload: Payload::Nothing, doing, blob: None }).await
    }

    /// Sends a request, with a token once the registry has asked for one.
    async fn call(&self, ask: &Ask<'_>) -> Result<Answer, Fault> {
        let answer = self.follow(ask).await?;
        if answer.status != StatusCode::UNAUTHORIZED {
            return self.admitted(answer, ask.doing);
        }
        self.authorize(&answer, ask.doing).await?;
        self.admitted(self.follow(ask).await?, ask.doing)
    }

    /// Sends a request, and after it whatever a question is led on to. Only the registry itself gets the token.
    async fn follow(&self, ask: &Ask<'_>) -> Result<Answer, Fault> {
        let own = self.address("")?;
        let mut address = ask.address.clone();
        for _ in 0..=REDIRECTS {
            let mut headers = ask.headers.clone();
            let authorization = lock(&self.authorization).clone();
            if let Some(value) = authorization.filter(|_| is_same_place(&address, &own)) {
                headers.insert(AUTHORIZATION, value);
            }
            let progress = |done| {
                if let Some(blob) = ask.blob {
                    (self.watch)(Moment::Sending { blob, done });
                }
            };
            let request = (ask.method.clone(), &address, headers);
            let answer = self.wire.exchange(request, &ask.payload, ask.doing, &progress).await?;
            let asks = ask.method == Method::GET || ask.method == Method::HEAD;
            if !(asks && answer.status.is_redirection()) {
                return Ok(answer);
            }
            address = resolved(&address, answer.header("location").unwrap_or_default()).ok_or_else(|| {
                self.broken(ask.doing, "the registry leads to a place without TLS".to_owned())
            })?;
        }
        Err(self.broken(ask.doing, "the registry leads in circles".to_owned()))
    }

    /// Gets what the registry asks for in its challenge.
    async fn authorize(&self, refusal: &Answer, doing: &str) -> Result<(), Fault> {
        let headers =
            refusal.headers.get_all("www-authenticate").iter().filter_map(|value| value.to_str().ok());
        let credentials = match self.login {
            Login::Known(credentials) => Some(credentials),
            Login::Nobody | Login::Unusable(_) => None,
        };
        let value = match (challenge::read(headers), credentials) {
            (Some(Challenge::Bearer { realm, service }), credentials) => {
                let token = self.token(&realm, service.as_deref(), credentials).await?;
                format!("Bearer {token}")
            }
            (Some(Challenge::Basic), Some(credentials)) => credentials.basic(),
            (Some(Challenge::Basic), None) | (None, _) => return Err(self.denied(refusal, doing)),
        };
        let mut value = HeaderValue::from_str(&value)
            .map_err(|_| self.broken(doing, "the token cannot be sent in a header".to_owned()))?;
        value.set_sensitive(true);
        *lock(&self.authorization) = Some(value);
        Ok(())
    }

    async fn token(
        &self,
        realm: &str,
        service: Option<&str>,
        credentials: Option<&Credentials>,
    ) -> Result<String, Fault> {
        #[derive(Deserialize)]
        struct Token {
            token: Option<String>,
            access_token: Option<String>,
        }
        let doing = format!("asking {realm} for a token");
        let address = challenge::token_address(realm, service, self.repository.path())
            .ok_or_else(|| self.broken(&doing, "that is no place to send a password to".to_owned()))?;
        let mut headers = HeaderMap::new();
        if let Some(credentials) = credentials {
            let mut value = HeaderValue::from_str(&credentials.basic())
                .map_err(|_| self.broken(&doing, "the credentials cannot be sent".to_owned()))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let request = (Method::GET, &address, headers);
        let answer = self.wire.exchange(request, &Payload::Nothing, &doing, &|_| {}).await?;
        let answer = self.expected(self.admitted(answer, &doing)?, &[StatusCode::OK], &doing)?;
        let token: Option<Token> = serde_json::from_slice(&answer.body).ok();
        token
            .and_then(|token| token.token.or(token.access_token))
            .filter(|token| !token.is_empty())
            .ok_or_else(|| self.broken(&doing, "there is no token in the answer".to_owned()))
    }

    /// An answer that is neither a refusal of the one who asks nor of the moment.
    fn admitted(&self, answer: Answer, doing: &str) -> Result<Answer, Fault> {
        match answer.status {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => Err(Fault::Throttled {
                doing: doing.to_owned(),
                status: answer.status,
                said: self.said(&answer),
                asked: answer.header("retry-after").and_then(|value| retry_after(value, (self.clock)())),
            }),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(self.denied(&answer, doing)),
            _ => Ok(answer),
        }
    }

    fn expected(&self, answer: Answer, wanted: &[StatusCode], doing: &str) -> Result<Answer, Fault> {
        if wanted.contains(&answer.status) {
            return Ok(answer);
        }
        Err(Fault::Answered { doing: doing.to_owned(), status: answer.status, said: self.said(&answer) })
    }

    /// Whether what was asked for is there; any answer but yes and no is an error.
    fn present(&self, answer: &Answer, doing: &str) -> Result<bool, Fault> {
        match answer.status {
            StatusCode::OK => Ok(true),
            StatusCode::NOT_FOUND => Ok(false),
            status => Err(Fault::Answered { doing: doing.to_owned(), status, said: self.said(answer) }),
        }
    }

    fn same(&self, expected: &Digest, found: Option<Digest>, what: impl Fn() -> String) -> Result<(), Fault> {
        match found.filter(|found| found != expected) {
            Some(found) => Err(Fault::Differs { what: what(), expected: expected.clone(), found }),
            None => Ok(()),
        }
    }

    fn address(&self, path: &str) -> Result<Uri, Fault> {
        let text = format!("{}/v2/{}/{path}", self.repository.origin(), self.repository.path());
        text.parse().map_err(|_| self.broken(&text, "that is no address".to_owned()))
    }

    /// Where an upload goes on, and that this is all of it.
    fn upload_address(&self, answer: &Answer, digest: &Digest, doing: &str) -> Result<Uri, Fault> {
        let location = answer.header("location").unwrap_or_default();
        let separator = if location.contains('?') { '&' } else { '?' };
        resolved(&self.address("")?, location)
            .and_then(|base| format!("{base}{separator}digest={digest}").parse().ok())
            .ok_or_else(|| self.broken(doing, format!("it cannot be sent to the place `{location}`")))
    }

    fn denied(&self, answer: &Answer, doing: &str) -> Fault {
        let registry = self.repository.registry();
        let remedy = match self.login {
            Login::Known(_) => "the credentials that were found are not accepted for it".to_owned(),
            Login::Nobody => format!(
                "no credentials were found: set $REGISTRY_USERNAME and $REGISTRY_PASSWORD, or `docker login {registry}`"
            ),
            Login::Unusable(why) => format!("{why}: set $REGISTRY_USERNAME and $REGISTRY_PASSWORD"),
        };
        Fault::Denied { doing: doing.to_owned(), status: answer.status, said: self.said(answer), remedy }
    }

    fn broken(&self, doing: &str, why: String) -> Fault {
        Fault::Broken { doing: doing.to_owned(), why }
    }

    /// What a registry says in words: the errors of the specification, or the beginning of whatever else it sent.
    fn said(&self, answer: &Answer) -> String {
        #[derive(Deserialize)]
        struct Errors {
            errors: Vec<Told>,
        }
        #[derive(Deserialize)]
        struct Told {
            code: String,
            #[serde(default)]
            message: String,
        }
        let text = match serde_json::from_slice::<Errors>(&answer.body) {
            Ok(Errors { errors }) => {
                let told = errors.iter().map(|it| format!("{}: {}", it.code, it.message));
                told.collect::<Vec<_>>().join("; ")
            }
            Err(_) => String::from_utf8_lossy(&answer.body).split_whitespace().collect::<Vec<_>>().join(" "),
        };
        self.redactor.redact(&text).chars().take(SAID).collect()
    }
}

/// The digest that the registry says it has stored or found; not every registry says one.
fn content_digest(answer: &Answer, doing: &str) -> Result<Option<Digest>, Fault> {
    let header = answer.header("docker-content-digest");
    header
        .map(|text| Digest::try_from(text.to_owned()))
        .transpose()
        .map_err(|error| Fault::Broken { doing: doing.to_owned(), why: error.to_string() })
}

/// A place that an answer leads to, counted from where it came from; none if somebody on the way could read along.
fn resolved(from: &Uri, location: &str) -> Option<Uri> {
    let address = match location.strip_prefix('/') {
        Some(_) => format!("{}://{}{location}", from.scheme_str()?, from.authority()?),
        None => location.to_owned(),
    };
    address.parse().ok().filter(challenge::is_private)
}

fn is_same_place(one: &Uri, other: &Uri) -> bool {
    one.scheme() == other.scheme() && one.authority() == other.authority()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_leads_only_where_nobody_reads_along() {
        let from: Uri = "https://a.example.com/v2/x/".parse().unwrap();
        let table = [
            ("/v2/up?x=1", Some("https://a.example.com/v2/up?x=1")),
            ("https://b.example.com/up", Some("https://b.example.com/up")),
            ("http://127.0.0.1:5000/up", Some("http://127.0.0.1:5000/up")),
            ("http://b.example.com/up", None),
            ("up", None),
            ("", None),
        ];
        for (location, expected) in table {
            let found = resolved(&from, location).map(|uri| uri.to_string());
            assert_eq!(found.as_deref(), expected, "{location}");
        }
    }
}
