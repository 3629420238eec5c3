//! Reads an OCI layout and does not trust it.

use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::Path;
use xtask_core::ids::Digest;

/// An image out of a layout.
pub(crate) struct Image {
    pub(crate) config: Value,
    pub(crate) layers: Vec<Vec<u8>>,
}

/// The only image of a layout, after checking that every blob is what its name says, that every descriptor describes its blob, and that
/// nothing is missing or left over. `digest` is what the layout should lead to.
#[track_caller]
pub(crate) fn read(layout: &Path, digest: &str) -> Image {
    let json = |bytes: &[u8]| -> Value { serde_json::from_slice(bytes).unwrap() };
    let file = |path: &str| fs::read(layout.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    assert_eq!(json(&file("oci-layout"))["imageLayoutVersion"], "1.0.0");
    let index = json(&file("index.json"));
    let [manifest] = index["manifests"].as_array().unwrap().as_slice() else {
        panic!("not one manifest: {index}")
    };
    assert_eq!(manifest["digest"], digest);
    assert_eq!(manifest["platform"], serde_json::json!({"os": "linux", "architecture": "amd64"}));
    let mut named = BTreeSet::new();
    let mut blob = |descriptor: &Value| -> Vec<u8> {
        let hex = descriptor["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap().to_owned();
        let bytes = file(&format!("blobs/sha256/{hex}"));
        assert_eq!(Digest::of(&bytes).hex(), hex);
        assert_eq!(descriptor["size"], bytes.len());
        named.insert(hex);
        bytes
    };
    let manifest = json(&blob(manifest));
    assert_eq!(manifest["schemaVersion"], 2);
    let config = json(&blob(&manifest["config"]));
    let layers: Vec<Vec<u8>> = manifest["layers"].as_array().unwrap().iter().map(blob).collect();
    let contents: Vec<Value> = layers.iter().map(|layer| Digest::of(layer).as_str().into()).collect();
    assert_eq!(config["rootfs"]["diff_ids"], Value::Array(contents), "layers are not compressed");
    let there = fs::read_dir(layout.join("blobs/sha256")).unwrap();
    let there: BTreeSet<String> =
        there.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(there, named);
    Image { config, layers }
}

impl Image {
    /// The files of the image, as name, permissions and content.
    pub(crate) fn files(&self) -> Vec<(String, u32, Vec<u8>)> {
        let mut files = Vec::new();
        for layer in &self.layers {
            for entry in tar::Archive::new(layer.as_slice()).entries().unwrap() {
                let mut entry = entry.unwrap();
                let mut bytes = Vec::new();
                entry.read_to_end(&mut bytes).unwrap();
                files.push((
                    entry.path().unwrap().display().to_string(),
                    entry.header().mode().unwrap() & 0o7777,
                    bytes,
                ));
            }
        }
        files
    }

    /// The archive that `docker load` takes: engines older than 25 do not read layouts.
    pub(crate) fn archive(&self, tag: &str) -> Vec<u8> {
        let mut archive = tar::Builder::new(Vec::new());
        let mut put = |name: &str, bytes: &[u8]| {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            archive.append_data(&mut header, name, bytes).unwrap();
        };
        let names: Vec<String> = (0..self.layers.len()).map(|number| format!("{number}.tar")).collect();
        for (name, layer) in names.iter().zip(&self.layers) {
            put(name, layer);
        }
        put("config.json", &serde_json::to_vec(&self.config).unwrap());
        let manifest = serde_json::json!([{"Config": "config.json", "RepoTags": [tag], "Layers": names}]);
        put("manifest.json", &serde_json::to_vec(&manifest).unwrap());
        archive.into_inner().unwrap()
    }
}
