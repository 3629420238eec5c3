//! Python tools: an environment for each list of requirements, filled with wheels whose digests are pinned; tools that name the same
//! list share it.
//!
//! Wheels only, unless the requirements say otherwise for a package: to build a source package is to run it, and pip checks no digest
//! of what it takes for building.
//!
//! An environment is made in its final place, because it cannot be moved. It is complete if, and only if, it has an `env.json`.

use super::failure::Failure;
use super::files::{self, Contents, Stamp};
use super::home;
use super::lock::Wheels;
use super::origin;
use super::progress::Phase;
use super::work::{Built, Work};
use crate::ids::sha256;
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

/// The file that says that an environment is complete.
pub(super) const MARKER: &str = "env.json";

/// What `env.json` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Environment {
    /// Where it was made.
    pub folder: PathBuf,
    /// The Python that it was made from. Another one there, and its packages are not found any more.
    pub interpreter: Stamp,
    pub contents: Contents,
}

impl Environment {
    /// What is there, if it can still be used as far as `stat` tells.
    pub(super) fn look(folder: &Path) -> Option<Environment> {
        let bytes = fs::read(folder.join(MARKER)).ok()?;
        let environment: Environment = serde_json::from_slice(&bytes).ok()?;
        (environment.folder == folder && environment.interpreter.holds()).then_some(environment)
    }
}

/// The tool's script in its environment, which is made if need be.
pub(super) async fn install(work: &Work<'_>, source: &Wheels) -> Result<Built, Failure> {
    let environment = environment(work, source).await?;
    let program = environment.folder.join("bin").join(source.script.as_str());
    if !files::is_program(&program) {
        return Err(Failure::failed(format!("the packages bring no program `{}`", source.script)));
    }
    Ok(Built { program, environment: Some(environment) })
}

async fn environment(work: &Work<'_>, source: &Wheels) -> Result<Environment, Failure> {
    let file = origin::requirements(&source.requirements);
    let wanted = work.setup.lock.origin().read(&file).map_err(Failure::unsuitable)?;
    let digest = sha256(&wanted)[..12].to_owned();
    let all = work.setup.home.of_python(&source.requirements);
    let folder = all.join(&digest);
    let _held = home::hold(&all, work.cancel, || work.progress.phase(Phase::Waiting)).await?;
    if let Some(environment) = Environment::look(&folder) {
        // Whoever installs anew because something was damaged must not get the damage again.
        let (whole, expected) = (folder.clone(), environment.contents.clone());
        let found = work
            .blocking(move || Contents::of(&whole, MARKER).map_err(Failure::io("cannot read below", &whole)))
            .await?;
        if found == expected {
            return Ok(environment);
        }
    }
    let clear = || files::remove(&folder.join(MARKER)).and_then(|()| files::remove(&folder));
    clear().map_err(Failure::io("cannot remove", &folder))?;
    let made = make(work, &file, &folder).await;
    if made.is_err() {
        // The failure that matters is the first one; the next run clears it anyway.
        let _ = clear();
    }
    made
}

async fn make(work: &Work<'_>, file: &str, folder: &Path) -> Result<Environment, Failure> {
    let _permit = work.setup.many.acquire().await;
    let outside = work.need("python3")?;
    let args = ["-m".into(), "venv".into(), folder.into()];
    work.run(Phase::Installing, &outside, &args, Path::new("/"), &[]).await?;
    let requirements = folder.join("requirements.txt");
    work.lay(file, &requirements)?;
    let python = folder.join("bin/python");
    let mut args: Vec<OsString> = Vec::new();
    for arg in [
        "-m",
        "pip",
        "install",
        "--disable-pip-version-check",
        "--no-input",
        "--progress-bar=off",
        "--require-hashes",
        "--only-binary=:all:",
        "--requirement",
    ] {
        args.push(arg.into());
    }
    args.push(requirements.into());
    work.run(Phase::Installing, &python, &args, folder, &[]).await?;
    work.progress.phase(Phase::Checking);
    let folder = folder.to_owned();
    work.blocking(move || {
        let cannot = |doing| Failure::io(doing, &folder);
        let interpreter =
            fs::canonicalize(&python).and_then(|path| Stamp::of(&path)).map_err(cannot("no Python in"))?;
        let contents = Contents::of(&folder, MARKER).map_err(cannot("cannot read below"))?;
        let environment = Environment { folder: folder.clone(), interpreter, contents };
        let bytes =
            serde_json::to_vec_pretty(&environment).map_err(|error| Failure::failed(error.to_string()))?;
        let marker = folder.join(MARKER);
        files::write_durably(&marker, &bytes).map_err(Failure::io("cannot write", &marker))?;
        Ok(environment)
    })
    .await
}
