//! A client of the OCI distribution API for one repository: asks what is there, sends what is not, reads back, and tries again what
//! may be tried again.

use crate::push::challenge::Access;
use crate::push::fault::Fault;
use crate::push::layout::Blob;
use crate::push::login::Login;
use crate::push::reference::{Repository, Tag};
use crate::push::retry::Patience;
use crate::push::session::{Ask, Moment, Session, Watch, broken, lock, resolved};
use crate::push::wire::{Answer, Payload};
use hyper::body::Bytes;
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Method, StatusCode, Uri};
use jiff::Timestamp;
use std::sync::Mutex;
use std::time::Duration;
use xtask_core::ids::Digest;

/// The kinds of manifest that a name may stand for. A registry may answer in an older kind if it is not told of the newer ones.
const MANIFESTS: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, \
                         application/vnd.docker.distribution.manifest.v2+json, \
                         application/vnd.docker.distribution.manifest.list.v2+json";

/// One repository of one registry.
pub(super) struct Registry<'a> {
    session: Session<'a>,
    patience: Patience,
    clock: fn() -> Timestamp,
    watch: Watch<'a>,
    waited: Mutex<Duration>,
}

impl<'a> Registry<'a> {
    /// A client that has asked nothing yet.
    pub(super) fn new(
        place: (&'a Repository, Access),
        login: &'a Login,
        patience: Patience,
        clock: fn() -> Timestamp,
        watch: Watch<'a>,
    ) -> Result<Self, Fault> {
        let session = Session::new(place, login, patience.silence, clock, watch)?;
        Ok(Registry { session, patience, clock, watch, waited: Mutex::default() })
    }

    /// Whether the registry has the manifest with this digest.
    pub(super) async fn has_manifest(&self, digest: &Digest) -> Result<bool, Fault> {
        let doing = format!("asking for manifest {digest}");
        self.retrying(|| async {
            let answer = self.ask_manifest(Method::HEAD, digest.as_str(), &doing).await?;
            self.session.present(&answer, &doing)
        })
        .await
    }

    /// The digest that a name stands for, if the registry knows it.
    pub(super) async fn digest_of(&self, tag: &Tag) -> Result<Option<Digest>, Fault> {
        let doing = format!("asking what `{tag}` stands for");
        self.retrying(|| async {
            let answer = self.ask_manifest(Method::HEAD, &tag.to_string(), &doing).await?;
            if !self.session.present(&answer, &doing)? {
                return Ok(None);
            }
            if let Some(digest) = content_digest(&answer, &doing)? {
                return Ok(Some(digest));
            }
            let answer = self.ask_manifest(Method::GET, &tag.to_string(), &doing).await?;
            Ok(Some(Digest::of(&self.session.expected(answer, &[StatusCode::OK], &doing)?.body)))
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
        if self.session.present(&answer, &doing)? {
            return Ok(false);
        }
        let doing = format!("sending blob {digest}");
        let answer = self.ask(Method::POST, "blobs/uploads/", &doing).await?;
        let answer = self.session.expected(answer, &[StatusCode::ACCEPTED], &doing)?;
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
        let answer = self.session.expected(self.session.call(&ask).await?, &[StatusCode::CREATED], &doing)?;
        same(digest, content_digest(&answer, &doing)?, || format!("blob {digest}"))?;
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
            .map_err(|_| broken(&doing, "its media type cannot be sent".to_owned()))?;
        headers.insert(CONTENT_TYPE, media_type);
        let ask = Ask {
            method: Method::PUT,
            address: self.session.address(&format!("manifests/{reference}"))?,
            headers,
            payload: Payload::Bytes(bytes.clone()),
            doing: &doing,
            blob: None,
        };
        let answer = self.retrying(|| async {
            self.session.expected(self.session.call(&ask).await?, &[StatusCode::CREATED], &doing)
        });
        let found = content_digest(&answer.await?, &doing)?;
        same(&Digest::of(bytes), found, || format!("manifest {reference}"))
    }

    /// Reads a manifest.
    pub(super) async fn read_manifest(&self, digest: &Digest) -> Result<Bytes, Fault> {
        let doing = format!("reading manifest {digest}");
        self.retrying(|| async {
            let answer = self.ask_manifest(Method::GET, digest.as_str(), &doing).await?;
            Ok(self.session.expected(answer, &[StatusCode::OK], &doing)?.body)
        })
        .await
    }

    /// Reads a small blob.
    pub(super) async fn read_blob(&self, digest: &Digest) -> Result<Bytes, Fault> {
        let doing = format!("reading blob {digest}");
        self.retrying(|| async {
            let answer = self.ask(Method::GET, &format!("blobs/{digest}"), &doing).await?;
            Ok(self.session.expected(answer, &[StatusCode::OK], &doing)?.body)
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
        let address = self.session.address(&format!("manifests/{reference}"))?;
        self.session
            .call(&Ask { method, address, headers, payload: Payload::Nothing, doing, blob: None })
            .await
    }

    async fn ask(&self, method: Method, path: &str, doing: &str) -> Result<Answer, Fault> {
        let address = self.session.address(path)?;
        let headers = HeaderMap::new();
        self.session
            .call(&Ask { method, address, headers, payload: Payload::Nothing, doing, blob: None })
            .await
    }

    /// Where an upload goes on, and that this is all of it.
    fn upload_address(&self, answer: &Answer, digest: &Digest, doing: &str) -> Result<Uri, Fault> {
        let location = answer.header("location").unwrap_or_default();
        let separator = if location.contains('?') { '&' } else { '?' };
        resolved(&self.session.address("")?, location)
            .and_then(|base| format!("{base}{separator}digest={digest}").parse().ok())
            .ok_or_else(|| {
                // Signatures of such places are in their query.
                let place = location.split('?').next().unwrap_or_default();
                broken(doing, format!("it cannot be sent to the place `{place}`"))
            })
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

/// That the registry says the same digest, if it says one.
fn same(expected: &Digest, found: Option<Digest>, what: impl Fn() -> String) -> Result<(), Fault> {
    match found.filter(|found| found != expected) {
        Some(found) => Err(Fault::Differs { what: what(), expected: expected.clone(), found }),
        None => Ok(()),
    }
}
