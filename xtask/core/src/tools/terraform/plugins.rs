//! Where Terraform takes providers from, as a CLI configuration file of our own: the user's decides nothing.

use super::diagnostics::transient;
use super::{TOOL, unreadable};
use crate::engine::{Call, Cx};
use crate::error::StageError;
use crate::tools::{common, read_json};
use serde::Deserialize;
use std::fs;
use std::path::{Path, PathBuf};

/// The program that builds a stand-in provider.
pub const GO: &str = "go";

/// Where providers are kept between runs, relative to the root.
const KEPT: &str = "target/xtask/terraform";

/// The file of a stand-in's Go module that says for whom it stands in.
const STAND_IN: &str = "stand-in.json";

/// Where providers come from.
#[derive(Debug)]
pub struct Plugins {
    /// The CLI configuration file.
    pub(super) config: PathBuf,
    /// The folder of the stand-in, if there is one.
    pub(super) stand_in: Option<String>,
}

/// The provider that a stand-in stands in for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct StandIn {
    /// Its full address: `registry.terraform.io/hashicorp/aws`.
    address: String,
    /// The version whose schemas it serves; one that the configuration's constraint allows.
    version: String,
}

#[derive(Deserialize)]
struct Version {
    /// `linux_amd64`: Go's names, and how Terraform calls the folders of a mirror.
    platform: String,
}

impl Plugins {
    /// Providers from their registries, kept for the next run if a lock file has their checksums.
    pub fn from_registries(cx: &Cx) -> Result<Plugins, StageError> {
        let kept = cx.root().join(KEPT).join("plugins");
        fs::create_dir_all(&kept).map_err(StageError::io("cannot make folder", &kept))?;
        let text = format!("disable_checkpoint = true\nplugin_cache_dir = {}\n", quoted(&kept)?);
        Ok(Plugins { config: written(cx, &text)?, stand_in: None })
    }

    /// The provider that the Go module in `folder` stands in for from there, all others from their registries. Go's own cache makes
    /// a build without changes a matter of a second.
    pub async fn with_stand_in(cx: &Cx, folder: &str) -> Result<Plugins, StageError> {
        let StandIn { address, version } = stand_in(cx.root(), folder)?;
        let platform = platform(cx).await?;
        // Each version has a mirror of its own, so that an older build is never what Terraform prefers.
        let mirror = cx.root().join(KEPT).join("mirror").join(&version);
        let program = mirror.join(program_in_mirror(&address, &version, &platform)?);
        build(cx, folder, &program, &platform).await?;
        Ok(Plugins { config: written(cx, &mirrored(&mirror, &address)?)?, stand_in: Some(folder.to_owned()) })
    }
}

fn stand_in(root: &Path, folder: &str) -> Result<StandIn, StageError> {
    let wrong = |why: String| {
        let right = r#"it says for whom the provider stands in, as {"address": "HOST/NAMESPACE/TYPE", "version": "1.2.3"}"#;
        StageError::Config(format!("{folder}/{STAND_IN}: {why}; {right}"))
    };
    let text = fs::read(root.join(folder).join(STAND_IN)).map_err(|error| wrong(error.to_string()))?;
    serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))
}

/// The platform that this Terraform wants providers for, which need not be the machine's own.
async fn platform(cx: &Cx) -> Result<String, StageError> {
    let ran = cx.exec(Call::new(cx.program(TOOL)?).args(["version", "-json"])).await?;
    if ran.code != 0 {
        return Err(cx.broke(TOOL, format!("version exited with {}", ran.code)));
    }
    read_json::<Version>(TOOL, &ran.stdout).map(|version| version.platform)
}

/// The path of a provider's program in a mirror.
fn program_in_mirror(address: &str, version: &str, platform: &str) -> Result<PathBuf, StageError> {
    let parts: Vec<&str> = address.split('/').collect();
    let [_host, _namespace, kind] = parts[..] else {
        return Err(StageError::Config(format!("{STAND_IN}: `{address}` is not HOST/NAMESPACE/TYPE")));
    };
    let folder = Path::new(address).join(version).join(platform);
    Ok(folder.join(format!("terraform-provider-{kind}_v{version}")))
}

async fn build(cx: &Cx, folder: &str, program: &Path, platform: &str) -> Result<(), StageError> {
    let (os, arch) = platform
        .split_once('_')
        .ok_or_else(|| unreadable(format!("`{platform}` is not the name of a platform")))?;
    let call = Call::new(cx.program(GO)?)
        // As tools are built: Go then finds its own library compiled.
        .args(["build", "-trimpath", "-gcflags=all=-dwarf=false", "-ldflags=-s -w", "-o"])
        .arg(program)
        .arg(".")
        .directory(cx.root().join(folder))
        .env("GOOS", os)
        .env("GOARCH", arch)
        .env("CGO_ENABLED", "0");
    let ran = cx.exec(call).await?;
    match (ran.code, transient(&String::from_utf8_lossy(&ran.stderr))) {
        (0, _) => Ok(()),
        (_, Some(kind)) => {
            Err(StageError::Transient { tool: GO.to_owned(), kind, log: Some(cx.log().to_owned()) })
        }
        (code, None) => {
            let reason = common::reason(&ran.stderr);
            Err(cx.broke(GO, format!("build of {folder} exited with {code}: {reason}")))
        }
    }
}

fn mirrored(mirror: &Path, address: &str) -> Result<String, StageError> {
    let mirror = quoted(mirror)?;
    Ok(format!(
        r#"disable_checkpoint = true

provider_installation {{
  filesystem_mirror {{
    path    = {mirror}
    include = ["{address}"]
  }}
  direct {{
    exclude = ["{address}"]
  }}
}}
"#
    ))
}

/// A path as a string of the configuration language, whose escapes are those of JSON but for two signs that begin a template.
fn quoted(path: &Path) -> Result<String, StageError> {
    let text = path.to_str().filter(|text| !text.contains("${") && !text.contains("%{"));
    let text = text.ok_or_else(|| {
        StageError::Config(format!("{} cannot be written in Terraform's configuration", path.display()))
    })?;
    serde_json::to_string(text).map_err(|error| StageError::Bug(error.to_string()))
}

fn written(cx: &Cx, text: &str) -> Result<PathBuf, StageError> {
    let path = cx.scratch()?.join("terraform.rc");
    fs::write(&path, text).map_err(StageError::io("cannot write", &path))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::testdata::recorded;

    #[test]
    fn a_program_is_where_terraform_looks_for_it_in_a_mirror() {
        let Version { platform } = read_json(TOOL, &recorded("terraform/1.11.4/version.json")).unwrap();
        let path = program_in_mirror("registry.terraform.io/hashicorp/aws", "6.25.0", &platform).unwrap();
        let expected =
            "registry.terraform.io/hashicorp/aws/6.25.0/linux_amd64/terraform-provider-aws_v6.25.0";
        assert_eq!(path, Path::new(expected));
        assert!(matches!(
            program_in_mirror("hashicorp/aws", "6.25.0", "linux_amd64"),
            Err(StageError::Config(_))
        ));
    }

    #[test]
    fn a_stand_in_that_does_not_say_for_whom_it_stands_in_is_told_how() {
        let folder = tempfile::tempdir().unwrap();
        let read = |text: Option<&str>| {
            text.into_iter().for_each(|text| fs::write(folder.path().join(STAND_IN), text).unwrap());
            stand_in(folder.path(), ".")
        };
        for wrong in [None, Some(""), Some("{}"), Some(r#"{"address": "a/b/c", "version": "1", "more": 1}"#)]
        {
            let said = read(wrong).unwrap_err().to_string();
            assert!(said.contains("./stand-in.json: ") && said.contains("HOST/NAMESPACE/TYPE"), "{said}");
        }
        assert_eq!(read(Some(r#"{"address": "a/b/c", "version": "1"}"#)).unwrap().address, "a/b/c");
    }

    #[test]
    fn the_provider_comes_from_the_mirror_and_only_others_from_elsewhere() {
        let text = mirrored(Path::new("/a b/\"c\""), "host/name/kind").unwrap();
        assert!(text.contains("path    = \"/a b/\\\"c\\\"\"\n    include = [\"host/name/kind\"]"), "{text}");
        assert!(text.contains("direct {\n    exclude = [\"host/name/kind\"]"), "{text}");
        assert!(matches!(quoted(Path::new("/${x}")), Err(StageError::Config(_))));
    }
}
