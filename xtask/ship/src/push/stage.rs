//! `push`: one service's image, from the layout that `build` leaves to a repository. Looks first, sends what is not there, and reads
//! back what a deployment will rely on.

use crate::push::challenge::Access;
use crate::push::fault::Fault;
use crate::push::layout::{self, Image};
use crate::push::login::Source;
use crate::push::reference::{Repository, Tag};
use crate::push::registry::Registry;
use crate::push::retry::Patience;
use crate::push::session::{Moment, Watch};
use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use xtask::image::{Builder, Built};
use xtask_core::config::Limits;
use xtask_core::engine::Cx;
use xtask_core::error::StageError;
use xtask_core::ids::{Digest, NodeId, ServiceName, StageId};
use xtask_core::outcome::Verdict;
use xtask_core::stage::{Effect, Needs, Stage};

/// The push of one service's image.
#[derive(Debug)]
pub(super) struct Push {
    /// The service.
    pub(super) service: ServiceName,
    /// Where to.
    pub(super) to: Repository,
    /// The names that the digest gets.
    pub(super) names: Vec<Tag>,
    /// Names that it does not get, and why.
    pub(super) unnamed: Option<String>,
    /// Who pushes.
    pub(super) login: Source,
    /// Whether an image of the embedded builder will do.
    pub(super) accept_embedded: bool,
}

/// An image that is in a registry, verified there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pushed {
    /// The service.
    pub(super) service: ServiceName,
    /// What a deployment names: `REGISTRY/REPOSITORY@sha256:…`.
    pub(super) reference: String,
    /// Where it is.
    pub(super) repository: Repository,
    /// The digest of its manifest.
    pub(super) digest: Digest,
    /// Who built it.
    pub(super) builder: Builder,
    /// Its other names.
    pub(super) names: Vec<Named>,
    /// What was sent.
    pub(super) sent: Sent,
}

/// A name of a digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Named {
    /// The name.
    pub(super) tag: Tag,
    /// What it stood for before.
    pub(super) before: Option<Digest>,
}

/// What it took to get an image into a registry.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Sent {
    /// Whether the manifest was there, and with it everything else.
    pub(super) already_there: bool,
    /// Blobs that were sent.
    pub(super) blobs: u32,
    /// Bytes of these.
    pub(super) bytes: u64,
    /// Blobs that were there.
    pub(super) blobs_there: u32,
}

impl Stage for Push {
    const ID: StageId = StageId::Push;
    type Kind = Effect;
    type Facts = Pushed;

    fn needs(&self) -> Needs {
        Needs { after: vec![NodeId::of(StageId::Build, self.service.clone())], ..Needs::default() }
    }

    async fn run(&self, cx: &Cx) -> Result<Pushed, StageError> {
        let built: Built = cx
            .facts(StageId::Build)?
            .ok_or_else(|| StageError::Bug(format!("{} was not built before it is pushed", self.service)))?;
        if built.builder == Builder::Embedded {
            self.accept(&built, cx)?;
        }
        if let Some(note) = &self.unnamed {
            cx.note(note);
        }
        let watch = |moment: Moment<'_>| match moment {
            Moment::Sending { blob, done } => {
                cx.progress(format!("sending {}", blob.digest), done, Some(blob.size));
            }
            Moment::Waiting { fault, wait } => {
                cx.progress(format!("waiting {} s: {fault}", wait.as_secs()), 0, None);
                cx.note(format!("{fault}; tried again after {} ms", wait.as_millis()));
            }
        };
        let pushed = tokio::select! {
            biased;
            () = cx.cancel().raised() => return Err(StageError::Cancelled),
            () = tokio::time::sleep_until(cx.deadline()) => return Err(StageError::TimedOut),
            pushed = self.push(cx, &built, &watch) => pushed,
        };
        let pushed = pushed.map_err(|fault| fault.into_stage_error(self.to.registry()))?;
        cx.note(summary(&pushed));
        Ok(pushed)
    }

    fn judge(&self, _: &Pushed, _: &Limits, _: Date) -> Verdict {
        Verdict::clean()
    }
}

impl Push {
    /// What is pushed may be deployed, so it must be what the Dockerfile says, to the letter.
    fn accept(&self, built: &Built, cx: &Cx) -> Result<(), StageError> {
        let what = format!(
            "the image of {} ({}) was made by the embedded builder, not from its Dockerfile by an engine",
            self.service, built.digest
        );
        if !self.accept_embedded {
            let remedy = "start a Docker engine and push again, or accept it with --allow-embedded";
            return Err(StageError::Refused { what, remedy });
        }
        cx.note(format!("WARNING: {what}; do not deploy it where it matters"));
        Ok(())
    }

    async fn push(&self, cx: &Cx, built: &Built, watch: Watch<'_>) -> Result<Pushed, Fault> {
        let image = layout::read(&cx.root().join(&built.layout), &built.digest)?;
        let login = self.login.open().await;
        let place = (&self.to, Access::PullAndPush);
        let registry = Registry::new(place, &login, Patience::default(), Timestamp::now, watch)?;
        let sent = send(&registry, &image).await?;
        let names = name(&registry, &image, &self.names).await?;
        verify(&registry, &image).await?;
        Ok(Pushed {
            service: self.service.clone(),
            reference: self.to.at(&image.digest),
            repository: self.to.clone(),
            digest: image.digest,
            builder: built.builder,
            names,
            sent,
        })
    }
}

/// Sends what the registry does not have. The manifest comes last: a digest that is there has all of its blobs.
pub(super) async fn send(registry: &Registry<'_>, image: &Image) -> Result<Sent, Fault> {
    if registry.has_manifest(&image.digest).await? {
        return Ok(Sent { already_there: true, ..Sent::default() });
    }
    let mut sent = Sent::default();
    for blob in &image.blobs {
        if registry.ensure_blob(blob).await? {
            sent.blobs += 1;
            sent.bytes += blob.size;
        } else {
            sent.blobs_there += 1;
        }
    }
    registry.put_manifest(image.digest.as_str(), &image.media_type, &image.manifest).await?;
    Ok(sent)
}

/// Gives the digest its names; one that stands for it already is left alone.
pub(super) async fn name(registry: &Registry<'_>, image: &Image, tags: &[Tag]) -> Result<Vec<Named>, Fault> {
    let mut names = Vec::new();
    for tag in tags {
        let before = registry.digest_of(tag).await?;
        if before.as_ref() != Some(&image.digest) {
            registry.put_manifest(&tag.to_string(), &image.media_type, &image.manifest).await?;
        }
        names.push(Named { tag: tag.clone(), before });
    }
    Ok(names)
}

/// Reads manifest and configuration back by their digests and compares them byte by byte with what was built.
pub(super) async fn verify(registry: &Registry<'_>, image: &Image) -> Result<(), Fault> {
    let differs = |what: &str, expected: &Digest, found: &[u8]| Fault::Differs {
        what: format!("{what} {expected}, read back"),
        expected: expected.clone(),
        found: Digest::of(found),
    };
    let manifest = registry.read_manifest(&image.digest).await?;
    if manifest != image.manifest {
        return Err(differs("manifest", &image.digest, &manifest));
    }
    let config = registry.read_blob(&image.config_digest).await?;
    if config != image.config {
        return Err(differs("configuration", &image.config_digest, &config));
    }
    Ok(())
}

fn summary(pushed: &Pushed) -> String {
    let Sent { already_there, blobs, bytes, blobs_there } = &pushed.sent;
    let how = if *already_there {
        "it was there already".to_owned()
    } else {
        format!("{blobs} blobs ({} KiB) sent, {blobs_there} were there", bytes.div_ceil(1024))
    };
    let names: Vec<String> = pushed
        .names
        .iter()
        .map(|Named { tag, before }| match before {
            Some(before) if *before == pushed.digest => format!(":{tag}"),
            Some(before) => format!(":{tag} (was {before})"),
            None => format!(":{tag} (new)"),
        })
        .collect();
    let names = if names.is_empty() { "no other name".to_owned() } else { names.join(", ") };
    format!("{}: {how}; verified; {names}", pushed.reference)
}
