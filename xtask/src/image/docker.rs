//! The Docker engine, through its API. The only file that names bollard.

use crate::image::context;
use crate::image::layout::{self, Written};
use bollard::Docker;
use bollard::errors::Error;
use bollard::query_parameters::{BuildImageOptionsBuilder, RemoveImageOptions};
use futures_util::StreamExt;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::time::Duration;
use xtask_core::config::Image;
use xtask_core::engine::Cx;
use xtask_core::error::{StageError, Transient};

const ENGINE: &str = "docker";

/// The engine, if one answers within two seconds.
pub(super) async fn connect() -> Option<Docker> {
    let docker = Docker::connect_with_defaults().ok()?;
    let answered = tokio::time::timeout(Duration::from_secs(2), docker.ping()).await;
    matches!(answered, Ok(Ok(_))).then_some(docker)
}

/// Builds from the Dockerfile and writes the result as a layout to `target`, relative to the root.
pub(super) async fn build(
    cx: &Cx,
    docker: &Docker,
    image: &Image,
    platform: &str,
    target: &str,
) -> Result<Written, StageError> {
    let archive = context::archive(cx.root(), &image.context, &image.dockerfile)?;
    let folder = if image.context == "." { "" } else { image.context.as_str() };
    let dockerfile =
        image.dockerfile.strip_prefix(folder).unwrap_or(&image.dockerfile).trim_start_matches('/');
    let options = BuildImageOptionsBuilder::new()
        .dockerfile(dockerfile)
        .platform(platform)
        .rm(true)
        .forcerm(true)
        .build();
    let id = tokio::select! {
        id = run_build(cx, docker, options, archive) => id?,
        () = cx.cancel().raised() => return Err(StageError::Cancelled),
    };
    let saved = tokio::select! {
        saved = save(docker, &id) => saved,
        () = cx.cancel().raised() => Err(StageError::Cancelled),
    };
    if let Err(error) = remove(docker, &id).await {
        cx.note(format!("the engine keeps the image {id}: {error}"));
    }
    let (config, layers) = unpack(&saved?).map_err(|error| unreadable(&error.to_string()))?;
    let (os, architecture) = platform.split_once('/').unwrap_or(("linux", platform));
    let folder = cx.root().join(target);
    layout::write(&folder, &config, &layers, (os, architecture))
        .map_err(StageError::io("cannot write the image to", &folder))
}

async fn run_build(
    cx: &Cx,
    docker: &Docker,
    options: bollard::query_parameters::BuildImageOptions,
    archive: Vec<u8>,
) -> Result<String, StageError> {
    let mut stream = docker.build_image(options, None, Some(bollard::body_full(archive.into())));
    let mut id = None;
    let mut lines = Lines::default();
    let ended = loop {
        match stream.next().await {
            Some(Ok(message)) => {
                lines.add(message.stream.as_deref().unwrap_or_default(), |line| cx.line(line));
                id = message.aux.and_then(|aux| aux.id).or(id);
            }
            Some(Err(error)) => break Err(error),
            None => break Ok(()),
        }
    };
    lines.end(|line| cx.line(line));
    ended.map_err(|error| broke(cx, error))?;
    id.ok_or_else(|| unreadable("the build ended without an image id"))
}

/// What the steps of a build print. It comes in pieces, as the steps write it, and the classic builder paints each piece of standard
/// error red.
#[derive(Default)]
struct Lines {
    stdout: String,
    stderr: String,
}

impl Lines {
    fn add(&mut self, piece: &str, mut line: impl FnMut(&str)) {
        let red = piece.strip_prefix("\u{1b}[91m").and_then(|piece| piece.strip_suffix("\u{1b}[0m"));
        let open = if red.is_some() { &mut self.stderr } else { &mut self.stdout };
        open.push_str(red.unwrap_or(piece));
        while let Some((whole, rest)) = open.split_once('\n') {
            if !whole.trim().is_empty() {
                line(whole.trim_end_matches('\r'));
            }
            *open = rest.to_owned();
        }
    }

    /// What was printed after the last line breaks.
    fn end(self, line: impl FnMut(&str)) {
        [self.stdout, self.stderr]
            .iter()
            .map(String::as_str)
            .filter(|text| !text.trim().is_empty())
            .for_each(line);
    }
}

fn broke(cx: &Cx, error: Error) -> StageError {
    #[expect(clippy::wildcard_enum_match_arm, reason = "bollard has thirty kinds; two of them are what an engine said")]
    match error {
        Error::DockerStreamError { error: message } | Error::DockerResponseServerError { message, .. } => {
            failed(cx, message.trim())
        }
        lost => cx.broke(
            ENGINE,
            format!("could not build the image: the connection to the engine broke ({lost}); `docker info` shows whether it runs"),
        ),
    }
}

fn failed(cx: &Cx, message: &str) -> StageError {
    cx.line(message);
    let kinds = [
        ("toomanyrequests", Transient::Throttled),
        ("429 Too Many Requests", Transient::Throttled),
        ("connection reset", Transient::ConnectionReset),
        ("TLS handshake timeout", Transient::ConnectionReset),
        ("no such host", Transient::Dns),
        ("Temporary failure in name resolution", Transient::Dns),
    ];
    match kinds.into_iter().find(|(words, _)| message.contains(words)) {
        Some((_, kind)) => {
            StageError::Transient { tool: ENGINE.to_owned(), kind, log: Some(cx.log().to_owned()) }
        }
        None => cx.broke(ENGINE, format!("could not build the image: {message}")),
    }
}

fn unreadable(why: &str) -> StageError {
    StageError::Unreadable { tool: ENGINE.to_owned(), why: why.to_owned() }
}

async fn save(docker: &Docker, id: &str) -> Result<Vec<u8>, StageError> {
    let mut stream = Box::pin(docker.export_image(id));
    let mut bytes = Vec::new();
    while let Some(chunk) = stream.next().await {
        bytes.extend_from_slice(&chunk.map_err(|error| unreadable(&error.to_string()))?);
    }
    Ok(bytes)
}

/// The image only served to be taken out of the engine; layers stay in its build cache. One that also has a name was built by somebody
/// else from the same files, and removing it by its id would remove the name.
async fn remove(docker: &Docker, id: &str) -> Result<(), Error> {
    let tags = docker.inspect_image(id).await?.repo_tags.unwrap_or_default();
    if tags.is_empty() {
        docker.remove_image(id, None::<RemoveImageOptions>, None).await?;
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    layers: Vec<String>,
}

/// The configuration and the layers of what `docker save` gives. Engines from 25 on write an OCI layout into the same archive and keep
/// `manifest.json`, so one reader serves all of them.
fn unpack(archive: &[u8]) -> io::Result<(serde_json::Value, Vec<Vec<u8>>)> {
    let bad = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut links: BTreeMap<String, String> = BTreeMap::new();
    for entry in tar::Archive::new(archive).entries()? {
        let mut entry = entry?;
        let name = entry.path()?.to_string_lossy().into_owned();
        if let Some(link) = entry.link_name()? {
            links.insert(name, link.to_string_lossy().trim_start_matches("../").to_owned());
            continue;
        }
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes)?;
        files.insert(name, bytes);
    }
    let find = |name: &str| -> io::Result<&Vec<u8>> {
        let name = links.get(name).map_or(name, String::as_str);
        files.get(name).ok_or_else(|| bad(format!("the saved image names `{name}` but does not hold it")))
    };
    let manifests: Vec<Saved> = serde_json::from_slice(find("manifest.json")?)?;
    let [Saved { config, layers }] = manifests.as_slice() else {
        return Err(bad(format!("the saved archive holds {} images, not one", manifests.len())));
    };
    let config = serde_json::from_slice(find(config)?)?;
    let layers = layers.iter().map(|layer| find(layer).cloned()).collect::<io::Result<Vec<_>>>()?;
    Ok((config, layers))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_become_lines_without_the_colour_of_standard_error() {
        let mut seen = Vec::new();
        let mut lines = Lines::default();
        let red = |text: &str| format!("\u{1b}[91m{text}\u{1b}[0m");
        for piece in ["Step 1\n ---> 0\n", &red("  Compi"), "test .", &red("ling\n"), "..\n\n", "ok\r\ncut"] {
            lines.add(piece, |line| seen.push(line.to_owned()));
        }
        lines.end(|line| seen.push(line.to_owned()));
        assert_eq!(seen, ["Step 1", " ---> 0", "  Compiling", "test ...", "ok", "cut"]);
    }

    fn saved(files: &[(&str, &[u8])], links: &[(&str, &str)]) -> Vec<u8> {
        let mut archive = tar::Builder::new(Vec::new());
        for (name, bytes) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            archive.append_data(&mut header, name, *bytes).unwrap();
        }
        for (name, target) in links {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_size(0);
            archive.append_link(&mut header, name, target).unwrap();
        }
        archive.into_inner().unwrap()
    }

    #[test]
    fn a_saved_image_is_found_by_its_manifest_also_through_links_of_older_engines() {
        let manifest = br#"[{"Config":"c.json","Layers":["1/layer.tar","2/layer.tar"]}]"#;
        let files: [(&str, &[u8]); 3] =
            [("manifest.json", manifest), ("c.json", b"{\"os\":\"linux\"}"), ("1/layer.tar", b"L")];
        let (config, layers) = unpack(&saved(&files, &[("2/layer.tar", "../1/layer.tar")])).unwrap();
        assert_eq!(config["os"], "linux");
        assert_eq!(layers, [b"L".to_vec(), b"L".to_vec()]);
    }

    #[test]
    fn an_archive_that_lacks_what_it_names_is_an_error() {
        let manifest = br#"[{"Config":"c.json","Layers":["1/layer.tar"]}]"#;
        let error = unpack(&saved(&[("manifest.json", manifest), ("c.json", b"{}")], &[])).unwrap_err();
        assert!(error.to_string().contains("1/layer.tar"));
        assert!(unpack(&saved(&[("manifest.json", b"[]")], &[])).is_err());
        assert!(unpack(b"nonsense").is_err());
    }
}
