//! The OCI layout that `build` leaves: read, and checked against its digest before any of it is sent.

use crate::push::fault::Fault;
use hyper::body::Bytes;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use xtask_core::ids::Digest;

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

/// An image, ready to be sent.
#[derive(Debug)]
pub(super) struct Image {
    /// The digest of its manifest.
    pub(super) digest: Digest,
    /// The media type of its manifest.
    pub(super) media_type: String,
    /// Its manifest.
    pub(super) manifest: Bytes,
    /// The digest of its configuration.
    pub(super) config_digest: Digest,
    /// Its configuration.
    pub(super) config: Bytes,
    /// Each of its blobs once: layers, then the configuration.
    pub(super) blobs: Vec<Blob>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    media_type: String,
    config: Descriptor,
    layers: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Descriptor {
    digest: Digest,
    size: u64,
}

/// Reads the image with this digest. Layers are only named: whether they have their digest is for the registry to say, which hashes
/// them anyway.
pub(super) fn read(layout: &Path, digest: &Digest) -> Result<Image, Fault> {
    let file = |digest: &Digest| layout.join("blobs/sha256").join(digest.hex());
    let manifest = checked(file(digest), digest)?;
    let Manifest { media_type, config, layers } = serde_json::from_slice(&manifest)
        .map_err(|error| Fault::Layout { path: file(digest), why: format!("no image manifest: {error}") })?;
    let config_bytes = checked(file(&config.digest), &config.digest)?;
    let config_digest = config.digest.clone();
    let mut seen = BTreeSet::new();
    let blobs = layers
        .into_iter()
        .chain([config])
        .filter(|blob| seen.insert(blob.digest.clone()))
        .map(|Descriptor { digest, size }| Blob { path: file(&digest), digest, size })
        .collect();
    Ok(Image { digest: digest.clone(), media_type, manifest, config_digest, config: config_bytes, blobs })
}

/// A small blob, if it has its digest.
fn checked(path: PathBuf, digest: &Digest) -> Result<Bytes, Fault> {
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) => {
            return Err(Fault::Layout { path, why: format!("{error}; `cargo xtask build` makes it") });
        }
    };
    if Digest::of(&bytes) != *digest {
        let why =
            "its content does not have the digest of its name; `cargo xtask build` makes it anew".to_owned();
        return Err(Fault::Layout { path, why });
    }
    Ok(bytes.into())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use xtask::image::layout::Written;

    /// A layout with these layers, as `build` writes it.
    pub(in crate::push) fn written(folder: &Path, layers: &[Vec<u8>]) -> Written {
        let digests: Vec<Digest> = layers.iter().map(|layer| Digest::of(layer)).collect();
        let stage = xtask::image::dockerfile::final_stage("FROM scratch\nENTRYPOINT [\"/app\"]\n").unwrap();
        let platform = ("linux", "amd64");
        let config = xtask::image::layout::config(&stage, &digests, platform);
        xtask::image::layout::write(folder, &config, layers, platform).unwrap()
    }

    #[test]
    fn what_build_writes_is_read_whole_and_a_layer_that_occurs_twice_once() {
        let folder = tempfile::tempdir().unwrap();
        let layout = folder.path().join("image");
        let digest = written(&layout, &[b"one".to_vec(), b"two".to_vec(), b"one".to_vec()]).digest;
        let image = read(&layout, &digest).unwrap();
        assert_eq!(Digest::of(&image.manifest), digest);
        assert_eq!(Digest::of(&image.config), image.config_digest);
        assert_eq!(image.media_type, "application/vnd.oci.image.manifest.v1+json");
        let sizes: Vec<u64> = image.blobs.iter().map(|blob| blob.size).collect();
        assert_eq!(sizes, [3, 3, image.config.len() as u64]);
        assert_eq!(image.blobs[0].digest, Digest::of(b"one"));
        assert_eq!(image.blobs[2].digest, image.config_digest);
        assert!(image.blobs.iter().all(|blob| blob.path.is_file()));
    }

    #[test]
    fn a_damaged_or_missing_manifest_or_configuration_is_found_before_anything_is_sent() {
        let folder = tempfile::tempdir().unwrap();
        let layout = folder.path().join("image");
        let digest = written(&layout, &[b"one".to_vec()]).digest;
        let image = read(&layout, &digest).unwrap();
        for named in [&digest, &image.config_digest] {
            let file = layout.join("blobs/sha256").join(named.hex());
            let whole = fs::read(&file).unwrap();
            for damaged in [&whole[..whole.len() - 1], b"", b"{}"] {
                fs::write(&file, damaged).unwrap();
                let error = read(&layout, &digest).unwrap_err().to_string();
                assert!(error.contains(named.hex()) && error.contains("digest of its name"), "{error}");
            }
            fs::remove_file(&file).unwrap();
            assert!(read(&layout, &digest).unwrap_err().to_string().contains("cargo xtask build"));
            fs::write(&file, whole).unwrap();
        }
        let other = written(&folder.path().join("other"), &[]);
        assert!(read(&layout, &other.digest).is_err());
    }
}
