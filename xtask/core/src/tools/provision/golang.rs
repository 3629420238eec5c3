//! Tools that Go builds: from a module at a version, or inside a committed module of ours.
//!
//! Neither runs code of what it builds: CGO is off, and Go has no build scripts.

use super::failure::Failure;
use super::files;
use super::home::Place;
use super::lock::{GoBuild, GoModule};
use super::names::{ToolTag, Variables};
use super::origin;
use super::progress::Phase;
use super::work::{Built, Work};
use serde::Deserialize;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

/// `go install` of a module at the pinned version. The checksum database vouches for its dependencies, `sum` for itself.
pub(super) async fn install(work: &Work<'_>, source: &GoModule, place: &Place) -> Result<Built, Failure> {
    let go = work.need("go")?;
    let _alone = work.setup.builds.acquire().await;
    let bin = place.folder.join("bin");
    let mut args: Vec<OsString> = vec!["install".into(), "-trimpath".into()];
    args.extend(flags(&source.set));
    args.push(format!("{}@{}", source.package, source.version).into());
    let mut env = environment(work);
    env.push(("GOBIN", bin.clone().into()));
    work.run(Phase::Building, &go, &args, &place.folder, &env).await?;
    let built = only_file(&bin)?;
    check_sum(work, &go, source, &built, place).await?;
    let program = place.folder.join(work.pin.bin.as_str());
    fs::rename(&built, &program).map_err(Failure::io("cannot write", &program))?;
    files::remove(&bin).map_err(Failure::io("cannot remove", &bin))?;
    Ok(Built { program, environment: None })
}

/// `go build` inside a module of ours, whose `go.sum` vouches for everything.
pub(super) async fn build(work: &Work<'_>, source: &GoBuild, place: &Place) -> Result<Built, Failure> {
    let go = work.need("go")?;
    let _alone = work.setup.builds.acquire().await;
    let module = place.folder.join("module");
    fs::create_dir(&module).map_err(Failure::io("cannot make", &module))?;
    for file in ["go.mod", "go.sum"] {
        work.lay(&origin::module_file(&source.dir, file), &module.join(file))?;
    }
    let program = place.folder.join(work.pin.bin.as_str());
    let mut args: Vec<OsString> = vec!["build".into(), "-trimpath".into(), "-mod=readonly".into()];
    args.extend(flags(&source.set));
    if !source.tags.is_empty() {
        let tags: Vec<&str> = source.tags.iter().map(ToolTag::as_str).collect();
        args.push(format!("-tags={}", tags.join(",")).into());
    }
    args.extend(["-o".into(), program.clone().into(), source.package.clone().into()]);
    work.run(Phase::Building, &go, &args, &module, &environment(work)).await?;
    Ok(Built { program, environment: None })
}

/// Without debug information, which nobody reads of a tool: a seventh of the time and a third of the file. What a program says of its
/// module is not part of it.
fn flags(set: &Variables) -> [OsString; 2] {
    let link = format!("-ldflags=-s -w {}", set.ldflags());
    ["-gcflags=all=-dwarf=false".into(), link.trim_end().into()]
}

fn environment(work: &Work<'_>) -> Vec<(&'static str, OsString)> {
    let mut env: Vec<(&str, OsString)> = vec![
        ("CGO_ENABLED", "0".into()),
        ("GO111MODULE", "on".into()),
        ("GOWORK", "off".into()),
        // The same file for the same source, wherever it is built, and nothing of the user's `go env -w`.
        ("GOFLAGS", "-buildvcs=false".into()),
        // Any pattern overrides what the user may have set with `go env -w`; this one matches nothing.
        ("GONOSUMDB", "none.invalid".into()),
        ("GIT_TERMINAL_PROMPT", "0".into()),
    ];
    let database = work.setup.env.get(OsStr::new("GOSUMDB"));
    if database.is_none_or(|database| database == "off" || database.is_empty()) {
        env.push(("GOSUMDB", "sum.golang.org".into()));
    }
    env
}

/// The one program that `go install` made: it is named after the package, which need not be the tool's name.
fn only_file(bin: &Path) -> Result<PathBuf, Failure> {
    let entries = fs::read_dir(bin).map_err(Failure::io("cannot read", bin))?;
    let mut files = entries.filter_map(Result::ok).map(|entry| entry.path()).filter(|path| path.is_file());
    match (files.next(), files.next()) {
        (Some(file), None) => Ok(file),
        (None, _) | (Some(_), Some(_)) => {
            Err(Failure::failed("`go install` did not make exactly one program"))
        }
    }
}

/// The module that a program was built from is written in it.
async fn check_sum(
    work: &Work<'_>,
    go: &Path,
    source: &GoModule,
    built: &Path,
    place: &Place,
) -> Result<(), Failure> {
    let args = ["version".into(), "-m".into(), built.into()];
    let said = work.run(Phase::Checking, go, &args, &place.folder, &environment(work)).await?;
    let pinned = (source.module.as_str(), source.version.as_str(), source.sum.as_str());
    match main_module(&said) {
        Some(found) if found == pinned => Ok(()),
        Some((module, version, sum)) => Err(Failure::refused(format!(
            "it was built from {module} {version} {sum}, and tools.lock pins {} {} {}",
            source.module, source.version, source.sum
        ))),
        None => Err(Failure::refused("the program does not say which module it was built from")),
    }
}

/// Path, version and sum of the main module in what `go version -m` prints.
fn main_module(said: &str) -> Option<(&str, &str, &str)> {
    said.lines().find_map(|line| {
        let mut words = line.split_ascii_whitespace();
        (words.next() == Some("mod")).then_some(())?;
        Some((words.next()?, words.next()?, words.next().unwrap_or("without a sum")))
    })
}

#[derive(Deserialize)]
struct Downloaded {
    #[serde(rename = "Sum")]
    sum: String,
}

/// The sum of a module at a version, by the checksum database.
pub(super) async fn sum_of(
    work: &Work<'_>,
    module: &str,
    version: &str,
    cwd: &Path,
) -> Result<String, Failure> {
    let go = work.need("go")?;
    let args = ["mod".into(), "download".into(), "-json".into(), format!("{module}@{version}").into()];
    let said = work.run(Phase::Downloading, &go, &args, cwd, &environment(work)).await?;
    serde_json::from_str(&said)
        .map(|Downloaded { sum }| sum)
        .map_err(|error| Failure::failed(format!("what `go mod download` said cannot be read: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_main_module_is_found_in_what_go_prints() {
        let printed = "kubeconform: go1.26.8\n\tpath\tgithub.com/yannh/kubeconform/cmd/kubeconform\n\tmod\tgithub.com/yannh/kubeconform\tv0.8.0\th1:abc=\n\tdep\tgithub.com/a/b\tv1.0.0\th1:def=\n";
        assert_eq!(main_module(printed), Some(("github.com/yannh/kubeconform", "v0.8.0", "h1:abc=")));
        assert_eq!(main_module("\tmod\tx\t(devel)\t\n"), Some(("x", "(devel)", "without a sum")));
        assert_eq!(main_module(""), None);
    }
}
