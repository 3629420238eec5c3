//! Whether an image is in its registry, asked over HTTP through the machine's curl, which knows its proxies and certificates. Only
//! what needs no password can be asked; everything else is said to be unchecked.

use super::guards::{Image, Look};
use super::open::Cx;
use serde::Deserialize;
use std::time::Duration;
use tokio::time::Instant;
use xtask_core::ids::sha256;
use xtask_core::process::{Command, Exit};

/// How long a registry may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Every kind of manifest that a registry may hold.
const ACCEPT: &str = "Accept: application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
                      application/vnd.docker.distribution.manifest.list.v2+json, \
                      application/vnd.docker.distribution.manifest.v2+json";

/// Looks an image up: `registry/name@sha256:…`.
pub(crate) async fn look(cx: &Cx, image: &str) -> Look<Image> {
    let Some((host, name, digest)) = parts(image) else {
        return Look::Not("it is not named as registry/name@sha256:…".to_owned());
    };
    let base = format!("{}://{host}/v2/{name}", scheme(host));
    let manifest = match fetch(cx, &format!("{base}/manifests/{digest}")).await {
        Answer::Body(bytes) => bytes,
        Answer::Absent => return Look::Seen(Image::Absent),
        Answer::Other(why) => return Look::Not(why),
    };
    if sha256(&manifest) != digest.trim_start_matches("sha256:") {
        return Look::Not("what the registry gave does not have that digest".to_owned());
    }
    match manifest_of(&manifest) {
        Ok(Manifest::Index(architectures)) => Look::Seen(Image::For(architectures)),
        Ok(Manifest::Single(config)) => match fetch(cx, &format!("{base}/blobs/{config}")).await {
            Answer::Body(bytes) => match architecture(&bytes) {
                Ok(architecture) => Look::Seen(Image::For(vec![architecture])),
                Err(why) => Look::Not(why),
            },
            Answer::Absent => Look::Seen(Image::Absent),
            Answer::Other(why) => Look::Not(why),
        },
        Err(why) => Look::Not(why),
    }
}

/// Host, name and digest.
fn parts(image: &str) -> Option<(&str, &str, &str)> {
    let (repository, digest) = image.split_once('@')?;
    let (host, name) = repository.split_once('/')?;
    Some((host, name, digest))
}

/// Registries of this machine speak plain HTTP, as every container engine assumes too.
fn scheme(host: &str) -> &'static str {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    if matches!(name, "localhost" | "127.0.0.1") { "http" } else { "https" }
}

enum Answer {
    Body(Vec<u8>),
    Absent,
    Other(String),
}

async fn fetch(cx: &Cx, url: &str) -> Answer {
    let mut command = Command::new("curl", &cx.pipeline.root);
    command.env = cx.ambient.base();
    let status = [
        "--silent",
        "--show-error",
        "--location",
        "--max-filesize",
        "4194304",
        "--write-out",
        "\n%{http_code}",
    ];
    command.args = status.into_iter().chain(["--header", ACCEPT, "--", url]).map(Into::into).collect();
    let finished = cx.supervisor.run(command, Some(Instant::now() + PATIENCE), &cx.cancel, |_, _| {}).await;
    match finished {
        Err(error) => Answer::Other(error.to_string()),
        Ok(finished) if finished.exit == Exit::Code(0) => answer(finished.stdout.bytes()),
        Ok(finished) => {
            Answer::Other(finished.tail.last().cloned().unwrap_or_else(|| "no answer".to_owned()))
        }
    }
}

/// The body, and behind its last line end the status.
fn answer(stdout: &[u8]) -> Answer {
    let Some(at) = stdout.iter().rposition(|byte| *byte == b'\n') else {
        return Answer::Other("no answer".to_owned());
    };
    match &stdout[at + 1..] {
        b"200" => Answer::Body(stdout[..at].to_vec()),
        b"404" => Answer::Absent,
        b"401" | b"403" => Answer::Other("the registry asks who we are".to_owned()),
        other => Answer::Other(format!("the registry answered {}", String::from_utf8_lossy(other))),
    }
}

enum Manifest {
    Index(Vec<String>),
    Single(String),
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
        digest: String,
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
        assert_eq!(parts("127.0.0.1:5000/a/b@sha256:00"), Some(("127.0.0.1:5000", "a/b", "sha256:00")));
        assert_eq!(parts("hello:main"), None);
        assert_eq!(scheme("localhost:5000"), "http");
        assert_eq!(scheme("127.0.0.1"), "http");
        assert_eq!(scheme("registry.example.com"), "https");
    }

    #[test]
    fn only_an_answer_of_404_means_that_there_is_nothing() {
        assert!(matches!(answer(b"{\n}\n200"), Answer::Body(body) if body == b"{\n}"));
        assert!(matches!(answer(b"no\n404"), Answer::Absent));
        for other in [&b"\n401"[..], b"\n500", b"\n", b"", b"\n000", b"200"] {
            assert!(matches!(answer(other), Answer::Other(_)), "{other:?}");
        }
    }

    #[test]
    fn a_manifest_that_is_cut_or_of_another_kind_is_no_answer() {
        let index = br#"{"manifests":[{"platform":{"architecture":"amd64","os":"linux"}},{}]}"#;
        assert!(matches!(manifest_of(index), Ok(Manifest::Index(has)) if has == ["amd64"]));
        let single = br#"{"config":{"digest":"sha256:11"},"layers":[]}"#;
        assert!(matches!(manifest_of(single), Ok(Manifest::Single(config)) if config == "sha256:11"));
        for wrong in [&b""[..], b"{}", b"[]", &index[..20]] {
            assert!(manifest_of(wrong).is_err(), "{wrong:?}");
        }
        assert!(architecture(b"{}").is_err());
    }
}
