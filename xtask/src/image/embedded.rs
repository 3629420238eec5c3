//! The builder for machines without an engine: runs the service's own build command, takes the files that the final stage of the
//! Dockerfile copies, and writes the image that this stage describes.
//!
//! It is exact or it refuses: an instruction that it cannot follow is an error with its line.

use crate::image::dockerfile::{FinalStage, final_stage};
use crate::image::layout::{self, LayerFile, Written};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use xtask_core::config::{Embedded, Image, Language, Service};
use xtask_core::engine::{Call, Cx};
use xtask_core::error::StageError;
use xtask_core::ids::Digest;

/// Builds an image and writes its layout to `target`, relative to the root.
pub(super) async fn build(
    cx: &Cx,
    service: &Service,
    image: &Image,
    platform: &str,
    target: &str,
) -> Result<Written, StageError> {
    let Some(embedded) = &image.embedded else {
        return Err(StageError::Absent {
            what: format!(
                "no Docker engine answers, and pipeline.yaml says nothing under `image.embedded` of {}",
                service.name
            ),
            remedy: "start an engine, or say under `embedded` which command makes the files of the final stage",
        });
    };
    let platform = host_platform(platform)?;
    let dockerfile = cx.root().join(&image.dockerfile);
    let text = fs::read_to_string(&dockerfile).map_err(StageError::io("cannot read", &dockerfile))?;
    let stage = final_stage(&text).map_err(|error| {
        StageError::Config(format!(
            "{}:{}: {} (no Docker engine answers, so the image is built here)",
            image.dockerfile, error.line, error.why
        ))
    })?;
    compile(cx, service, embedded).await?;
    let files = collect(cx.root(), &stage, embedded)?;
    let folder = cx.root().join(target);
    let write = || -> std::io::Result<Written> {
        let layer = layout::layer(&files)?;
        let config = layout::config(&stage, &[Digest::of(&layer)], platform);
        layout::write(&folder, &config, &[layer], platform)
    };
    write().map_err(StageError::io("cannot write the image to", &folder))
}

/// The platform as (operating system, architecture), if programs for it can be made here without a cross compiler.
fn host_platform(platform: &str) -> Result<(&str, &str), StageError> {
    let host = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    match platform.split_once('/') {
        Some(("linux", architecture)) if std::env::consts::OS == "linux" && architecture == host => {
            Ok(("linux", architecture))
        }
        _ => Err(StageError::Absent {
            what: format!(
                "no Docker engine answers, and an image for {platform} cannot be built on {}/{host} without one",
                std::env::consts::OS
            ),
            remedy: "start an engine",
        }),
    }
}

async fn compile(cx: &Cx, service: &Service, embedded: &Embedded) -> Result<(), StageError> {
    let argv = &embedded.build;
    let mut call = Call::new(cx.program(&argv.program)?).args(&argv.args);
    if service.language == Language::Rust {
        for (name, value) in reproducible_rust(cx) {
            call = call.env(name, value);
        }
    }
    let ran = cx.exec(call).await?;
    if ran.code == 0 {
        Ok(())
    } else {
        Err(cx.broke(&argv.program, format!("exited with {} while building the image's files", ran.code)))
    }
}

/// What makes cargo write the same static binary in any folder of any machine: no path of this machine in it, and no build id.
fn reproducible_rust(cx: &Cx) -> Vec<(&'static str, String)> {
    let mut flags = vec![
        "-Ctarget-feature=+crt-static".to_owned(),
        "-Clink-arg=-Wl,--build-id=none".to_owned(),
        format!("--remap-path-prefix={}=/build", cx.root().display()),
    ];
    flags.extend(cx.cargo_home().map(|home| format!("--remap-path-prefix={}=/cargo", home.display())));
    vec![("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}")), ("CARGO_INCREMENTAL", "0".to_owned())]
}

fn collect(root: &Path, stage: &FinalStage, embedded: &Embedded) -> Result<Vec<LayerFile>, StageError> {
    stage
        .copies
        .iter()
        .map(|copy| {
            let local = embedded.files.get(&copy.source).ok_or_else(|| {
                let known: Vec<&str> = embedded.files.keys().map(String::as_str).collect();
                StageError::Config(format!(
                    "the Dockerfile's final stage copies `{}`, but `embedded.files` in pipeline.yaml only knows {}",
                    copy.source,
                    known.join(", ")
                ))
            })?;
            let path = root.join(local);
            let bytes = fs::read(&path).map_err(StageError::io("the build command did not leave", &path))?;
            let meta = fs::metadata(&path).map_err(StageError::io("cannot read", &path))?;
            let executable = meta.permissions().mode() & 0o111 != 0;
            Ok(LayerFile { path: copy.destination.clone(), bytes, executable })
        })
        .collect()
}
