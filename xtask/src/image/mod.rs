//! Images. The Dockerfile is canonical: where a Docker engine answers, it builds; where none does, the embedded builder makes the
//! image that the Dockerfile's final stage describes. Either way what is left is one OCI layout with one digest.

mod context;
mod docker;
pub mod dockerfile;
mod embedded;
pub mod layout;

use serde::{Deserialize, Serialize};
use xtask_core::config::{EnvName, Image, Service};
use xtask_core::engine::Cx;
use xtask_core::error::StageError;
use xtask_core::ids::Digest;

/// Which of the two builders made an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Builder {
    /// A Docker engine, from the Dockerfile.
    Docker,
    /// This program, from the final stage of the Dockerfile.
    Embedded,
}

impl Builder {
    const fn describe(self) -> &'static str {
        match self {
            Builder::Docker => "from its Dockerfile by the Docker engine",
            Builder::Embedded => "from the final stage of its Dockerfile, without an engine",
        }
    }
}

/// An image that was built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Built {
    /// The digest of its manifest: what a registry will know it by.
    pub digest: Digest,
    /// Who built it.
    pub builder: Builder,
    /// Its platform, as `linux/amd64`.
    pub platform: String,
    /// Bytes of all of its blobs.
    pub size: u64,
    /// The OCI layout, relative to the root.
    pub layout: String,
}

/// Builds a service's image into the layout at `target`, relative to the root.
pub async fn build(cx: &Cx, service: &Service, image: &Image, target: &str) -> Result<Built, StageError> {
    let platform = match image.platforms.as_slice() {
        [platform] => platform.clone(),
        several => {
            let why = format!(
                "{}: images for several platforms ({}) are not built here",
                service.name,
                several.join(", ")
            );
            return Err(StageError::Config(why));
        }
    };
    let (builder, written) = match docker::connect().await {
        Some(engine) => {
            cx.progress("building with the Docker engine", 0, None);
            (Builder::Docker, docker::build(cx, &engine, image, &platform, target).await?)
        }
        None => {
            if let Some(engine) = expected(cx) {
                cx.note(format!("the Docker engine at {engine} does not answer; built without it"));
            }
            cx.progress("no Docker engine answers: building the same image here", 0, None);
            (Builder::Embedded, embedded::build(cx, service, image, &platform, target).await?)
        }
    };
    let layout::Written { digest, size } = written;
    cx.note(format!("{digest}, {} KiB, {}", size.div_ceil(1024), builder.describe()));
    Ok(Built { digest, builder, platform, size, layout: target.to_owned() })
}

const USUAL_SOCKET: &str = "/var/run/docker.sock";

/// Whether a Docker engine is where one usually is.
pub fn usual_socket_exists() -> bool {
    std::path::Path::new(USUAL_SOCKET).exists()
}

/// Where this machine says that an engine is.
fn expected(cx: &Cx) -> Option<String> {
    let named = cx.variable(&EnvName::docker_host()).filter(|address| !address.is_empty());
    named.map(str::to_owned).or_else(|| usual_socket_exists().then(|| USUAL_SOCKET.to_owned()))
}

/// Whether a Docker engine answers on this machine.
pub async fn engine_answers() -> bool {
    docker::connect().await.is_some()
}
