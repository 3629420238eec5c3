//! Whether an image is in its registry, and for which machines: asked by its digest, with the credentials that `push` would use, and
//! for reading only. Sends nothing.

use crate::push::challenge::Access;
use crate::push::fault::Fault;
use crate::push::login;
use crate::push::reference::Repository;
use crate::push::registry::Registry;
use crate::push::retry::Patience;
use hyper::StatusCode;
use hyper::body::Bytes;
use jiff::Timestamp;
use serde::Deserialize;
use xtask_core::config::Ambient;
use xtask_core::ids::Digest;

/// What is in a registry under a digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// There is nothing.
    Absent,
    /// It is there, for these architectures.
    For(Vec<String>),
}

/// Looks an image up: `registry/name@sha256:…`. Why it could not be seen is a sentence.
pub(crate) async fn look(ambient: &Ambient, image: &str, clock: fn() -> Timestamp) -> Result<Found, String> {
    let (repository, digest) = parts(image)?;
    let login = login::find(ambient, repository.registry()).map_err(|error| error.to_string())?.open().await;
    let place = (&repository, Access::Pull);
    let registry = Registry::new(place, &login, Patience::of_a_look(), clock, &|_| {});
    match registry {
        Ok(registry) => of(&registry, &digest).await,
        Err(fault) => Err(fault.to_string()),
    }
}

/// The same, of a registry that is known how to be got into.
pub(super) async fn of(registry: &Registry<'_>, digest: &Digest) -> Result<Found, String> {
    let Some(manifest) = there(registry.read_manifest(digest).await)? else { return Ok(Found::Absent) };
    if Digest::of(&manifest) != *digest {
        return Err(format!("what the registry gave does not have the digest {digest}"));
    }
    match manifest_of(&manifest)? {
        Manifest::Index(architectures) => Ok(Found::For(architectures)),
        Manifest::Single(config) => match there(registry.read_blob(&config).await)? {
            Some(bytes) => Ok(Found::For(vec![architecture(&bytes)?])),
            None => Ok(Found::Absent),
        },
    }
}

/// Only an answer of 404 means that there is nothing.
fn there(read: Result<Bytes, Fault>) -> Result<Option<Bytes>, String> {
    match read {
        Ok(bytes) => Ok(Some(bytes)),
        Err(Fault::Answered { status: StatusCode::NOT_FOUND, .. }) => Ok(None),
        Err(fault) => Err(fault.to_string()),
    }
}

/// Repository and digest.
fn parts(image: &str) -> Result<(Repository, Digest), String> {
    let (repository, digest) = image
        .split_once('@')
        .ok_or_else(|| format!("`{image}` is not named as REGISTRY/REPOSITORY@sha256:…"))?;
    let repository = repository.parse::<Repository>().map_err(|error| error.to_string())?;
    Ok((repository, Digest::try_from(digest.to_owned()).map_err(|error| error.to_string())?))
}

#[derive(Debug)]
enum Manifest {
    Index(Vec<String>),
    Single(Digest),
}

fn manifest_of(bytes: &[u8]) -> Result<Manifest, String> {
    #[derive(Deserialize)]
    struct Raw {
        #[serde(default)]
        manifests: Vec<Entry>,
        config: Option<Config>,
    }
    #[derive(Deserialize)]
    struct Entry {
        platform: Option<Platform>,
    }
    #[derive(Deserialize)]
    struct Platform {
        architecture: String,
    }
    #[derive(Deserialize)]
    struct Config {
        digest: Digest,
    }
    let raw: Raw = serde_json::from_slice(bytes).map_err(|error| format!("it is no manifest: {error}"))?;
    match raw.config {
        Some(config) => Ok(Manifest::Single(config.digest)),
        None if raw.manifests.is_empty() => Err("it is no manifest: neither a config nor a list".to_owned()),
        None => {
            let platforms = raw.manifests.into_iter().filter_map(|entry| entry.platform);
            Ok(Manifest::Index(platforms.map(|platform| platform.architecture).collect()))
        }
    }
}

fn architecture(config: &[u8]) -> Result<String, String> {
    #[derive(Deserialize)]
    struct Config {
        architecture: String,
    }
    let config: Config =
        serde_json::from_slice(config).map_err(|error| format!("its config cannot be read: {error}"))?;
    Ok(config.architecture)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_a_registry_a_name_and_a_digest() {
        let digest = Digest::of(b"");
        let (repository, found) = parts(&format!("127.0.0.1:5000/a/b@{digest}")).unwrap();
        assert_eq!((repository.registry(), repository.path()), ("127.0.0.1:5000", "a/b"));
        assert_eq!(found, digest);
        for wrong in ["hello:main", "r.example.com/hello", "r.example.com/hello@sha256:00", "hello@"] {
            assert!(parts(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_manifest_that_is_cut_or_of_another_kind_is_no_answer() {
        let index = br#"{"manifests":[{"platform":{"architecture":"amd64","os":"linux"}},{}]}"#;
        assert!(matches!(manifest_of(index), Ok(Manifest::Index(has)) if has == ["amd64"]));
        let config = Digest::of(b"");
        let single = format!(r#"{{"config":{{"digest":"{config}"}},"layers":[]}}"#);
        assert!(matches!(manifest_of(single.as_bytes()), Ok(Manifest::Single(found)) if found == config));
        for wrong in [&b""[..], b"{}", b"[]", &index[..20], br#"{"config":{"digest":"sha256:11"}}"#] {
            assert!(manifest_of(wrong).is_err(), "{wrong:?}");
        }
        assert!(architecture(b"{}").is_err());
    }
}
