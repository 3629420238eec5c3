//! OCI layouts: the same bytes in give the same digest out, on every machine and in every folder. Layers are not compressed, because
//! compressors differ between versions.

use crate::image::dockerfile::FinalStage;
use serde::Serialize;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use xtask_core::ids::Digest;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// One file of a layer.
#[derive(Debug)]
pub struct LayerFile {
    /// Where it stands in the image, absolute.
    pub path: String,
    /// Its content.
    pub bytes: Vec<u8>,
    /// Whether it can be executed.
    pub executable: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor<'a> {
    media_type: &'a str,
    digest: Digest,
    size: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<BTreeMap<&'a str, &'a str>>,
}

/// An image that was written.
#[derive(Debug, PartialEq, Eq)]
pub struct Written {
    /// The digest of its manifest: what a registry will know it by.
    pub digest: Digest,
    /// Bytes of all of its blobs.
    pub size: u64,
}

/// A layer of these files, owned by root. Every entry has the time 0, so that only names and contents count.
pub fn layer(files: &[LayerFile]) -> io::Result<Vec<u8>> {
    let mut folders = BTreeSet::new();
    for file in files {
        let path = Path::new(file.path.trim_start_matches('/'));
        folders.extend(
            path.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty()).map(PathBuf::from),
        );
    }
    let mut archive = tar::Builder::new(Vec::new());
    let header = |kind, mode, size| {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(size);
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        header
    };
    for folder in folders {
        let mut name = folder.into_os_string();
        name.push("/");
        archive.append_data(&mut header(tar::EntryType::Directory, 0o755, 0), name, io::empty())?;
    }
    let mut sorted: Vec<&LayerFile> = files.iter().collect();
    sorted.sort_by_key(|file| &file.path);
    for file in sorted {
        let mode = if file.executable { 0o755 } else { 0o644 };
        let mut header = header(tar::EntryType::Regular, mode, file.bytes.len() as u64);
        archive.append_data(&mut header, file.path.trim_start_matches('/'), file.bytes.as_slice())?;
    }
    archive.into_inner()
}

/// The image configuration of a final stage over one layer.
pub fn config(stage: &FinalStage, layers: &[Digest], (os, architecture): (&str, &str)) -> serde_json::Value {
    let mut env = vec!["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned()];
    env.extend(stage.env.iter().map(|(name, value)| format!("{name}={value}")));
    let mut config = serde_json::Map::new();
    let mut put = |name: &str, value: serde_json::Value| {
        let empty = match &value {
            serde_json::Value::Null => true,
            serde_json::Value::Array(list) => list.is_empty(),
            serde_json::Value::Object(map) => map.is_empty(),
            serde_json::Value::Bool(_) | serde_json::Value::Number(_) | serde_json::Value::String(_) => false,
        };
        if !empty {
            config.insert(name.to_owned(), value);
        }
    };
    put("Env", json!(env));
    put("Entrypoint", json!(stage.entrypoint));
    put("Cmd", json!(stage.cmd));
    put("User", json!(stage.user));
    put("WorkingDir", json!(stage.workdir));
    put("Labels", json!(stage.labels));
    put("StopSignal", json!(stage.stop_signal));
    let ports: BTreeMap<&str, serde_json::Value> =
        stage.exposed.iter().map(|port| (port.as_str(), json!({}))).collect();
    put("ExposedPorts", json!(ports));
    if let Some(check) = &stage.healthcheck {
        let mut health = serde_json::Map::new();
        health.insert("Test".into(), json!(check.test));
        let times =
            [("Interval", check.interval), ("Timeout", check.timeout), ("StartPeriod", check.start_period)];
        for (name, time) in times {
            if let Some(time) = time {
                health.insert(name.into(), json!(time));
            }
        }
        if let Some(retries) = check.retries {
            health.insert("Retries".into(), json!(retries));
        }
        put("Healthcheck", serde_json::Value::Object(health));
    }
    json!({
        "architecture": architecture,
        "os": os,
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": layers},
        "history": layers.iter().map(|_| json!({"created_by": "xtask build"})).collect::<Vec<_>>(),
    })
}

/// Writes a whole layout into `folder`, which is replaced.
pub fn write(
    folder: &Path,
    config: &serde_json::Value,
    layers: &[Vec<u8>],
    (os, architecture): (&str, &str),
) -> io::Result<Written> {
    let staging = xtask_core::engine::store::temporary_beside(folder);
    let blobs = staging.join("blobs/sha256");
    fs::create_dir_all(&blobs)?;
    let mut size = 0;
    let mut blob = |bytes: &[u8]| -> io::Result<Digest> {
        let digest = Digest::of(bytes);
        fs::write(blobs.join(digest.hex()), bytes)?;
        size += bytes.len() as u64;
        Ok(digest)
    };
    let config = serde_json::to_vec(config)?;
    let mut layer_descriptors = Vec::new();
    for bytes in layers {
        layer_descriptors.push(Descriptor {
            media_type: LAYER,
            digest: blob(bytes)?,
            size: bytes.len(),
            platform: None,
        });
    }
    let config_descriptor =
        Descriptor { media_type: CONFIG, digest: blob(&config)?, size: config.len(), platform: None };
    let manifest = serde_json::to_vec(&json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": config_descriptor,
        "layers": layer_descriptors,
    }))?;
    let digest = blob(&manifest)?;
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [Descriptor {
            media_type: MANIFEST,
            digest: digest.clone(),
            size: manifest.len(),
            platform: Some([("architecture", architecture), ("os", os)].into()),
        }],
    });
    fs::write(staging.join("oci-layout"), br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    fs::write(staging.join("index.json"), serde_json::to_vec(&index)?)?;
    replace_folder(&staging, folder)?;
    Ok(Written { digest, size })
}

/// Puts `staging` in the place of `folder`.
fn replace_folder(staging: &Path, folder: &Path) -> io::Result<()> {
    if folder.exists() {
        let old = xtask_core::engine::store::temporary_beside(folder);
        fs::rename(folder, &old)?;
        fs::rename(staging, folder)?;
        return fs::remove_dir_all(old);
    }
    fs::rename(staging, folder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::dockerfile::final_stage;

    fn files() -> Vec<LayerFile> {
        vec![
            LayerFile { path: "/usr/bin/app".into(), bytes: b"binary".to_vec(), executable: true },
            LayerFile { path: "/etc/app.toml".into(), bytes: b"x".to_vec(), executable: false },
        ]
    }

    fn written(folder: &Path, files: &[LayerFile]) -> Written {
        let stage = final_stage("FROM scratch\nENV A=1\nEXPOSE 1\nENTRYPOINT [\"/usr/bin/app\"]\n").unwrap();
        let layer = layer(files).unwrap();
        let platform = ("linux", "amd64");
        let config = config(&stage, &[Digest::of(&layer)], platform);
        write(folder, &config, &[layer], platform).unwrap()
    }

    #[test]
    fn the_same_files_give_the_same_digest_in_any_folder_and_order_and_others_do_not() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let first = written(&one.path().join("a"), &files());
        let mut reversed = files();
        reversed.reverse();
        assert_eq!(written(&two.path().join("deep/b"), &reversed), first);
        assert_eq!(written(&one.path().join("a"), &files()), first, "an older layout is replaced");
        let mut changed = files();
        changed[0].bytes.push(b'!');
        assert_ne!(written(&one.path().join("a"), &changed).digest, first.digest);
        assert_eq!(fs::read_dir(one.path()).unwrap().count(), 1, "no litter");
    }

    #[test]
    fn every_blob_has_the_name_of_its_content_and_the_index_leads_to_all_of_them() {
        let folder = tempfile::tempdir().unwrap();
        let layout = folder.path().join("image");
        let image = written(&layout, &files());
        let index: serde_json::Value =
            serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
        assert_eq!(index["manifests"][0]["digest"], image.digest.as_str());
        let blobs = layout.join("blobs/sha256");
        let manifest: serde_json::Value =
            serde_json::from_slice(&fs::read(blobs.join(image.digest.hex())).unwrap()).unwrap();
        let mut named = vec![image.digest.hex().to_owned()];
        for descriptor in std::iter::once(&manifest["config"]).chain(manifest["layers"].as_array().unwrap()) {
            let digest = descriptor["digest"].as_str().unwrap().trim_start_matches("sha256:").to_owned();
            let bytes = fs::read(blobs.join(&digest)).unwrap();
            assert_eq!(descriptor["size"], bytes.len());
            named.push(digest);
        }
        for item in fs::read_dir(&blobs).unwrap() {
            let item = item.unwrap();
            let name = item.file_name().into_string().unwrap();
            assert_eq!(Digest::of(&fs::read(item.path()).unwrap()).hex(), name);
            assert!(named.contains(&name));
        }
        assert_eq!(named.len(), 3);
    }
}
