//! What a lab runs, built once from published Go modules into the user's cache: Kubernetes, etcd, containerd, network plugins, the
//! registry, and the small programs of `lab/cluster/host`. The sources of ours are inside this binary.
//!
//! ```text
//! <cache>/slipway/lab/build/KEY/lock
//!                              /src/    the two modules, with the go.sum that vouches for every dependency
//!                              /bin/
//!                              /build.json   written last: the build is whole if it is there and the sizes agree
//! ```

use super::error::LabError;
use super::host::Host;
use super::state::{Labs, write, write_json};
use crate::say;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use xtask_core::ids::Hasher;

/// The version of Kubernetes, which its modules do not know by themselves.
pub(super) const KUBERNETES: &str = "1.36.3";

/// Every file of the two modules.
macro_rules! sources {
    ($($path:literal),* $(,)?) => {
        [$(($path, include_bytes!(concat!("../../../../lab/cluster/", $path)).as_slice())),*]
    };
}

const SOURCES: [(&str, &[u8]); 14] = sources![
    "host/api/main.go",
    "host/certs/main.go",
    "host/dns/main.go",
    "host/go.mod",
    "host/go.sum",
    "host/machine/init.go",
    "host/machine/main.go",
    "host/machine/start.go",
    "host/machine/wire.go",
    "host/pause/main.go",
    "host/registry/main.go",
    "kube/go.mod",
    "kube/go.sum",
    "kube/main.go",
];

/// What the two modules make.
const MADE: [&str; 11] = [
    "api",
    "certs",
    "containerd",
    "containerd-shim-runc-v2",
    "dns",
    "host-local",
    "kube",
    "machine",
    "pause",
    "ptp",
    "registry",
];

/// The names under which `kube` is another program.
const LINKS: [&str; 7] = [
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-proxy",
    "kube-scheduler",
    "kubectl",
    "kubelet",
];

/// A build that is whole.
#[derive(Debug, Clone)]
pub(super) struct Build {
    /// What it depends on, as one digest.
    pub(super) key: String,
    /// Where its programs are.
    pub(super) bin: PathBuf,
}

impl Build {
    /// The path of a program.
    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.bin.join(name)
    }
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Manifest {
    sizes: BTreeMap<String, u64>,
}

/// The build of this key, if it is there and whole.
pub(super) fn find(labs: &Labs, key: &str) -> Option<Build> {
    let folder = labs.builds().join(key);
    let manifest: Manifest = serde_json::from_slice(&fs::read(folder.join("build.json")).ok()?).ok()?;
    let bin = folder.join("bin");
    (sizes(&bin).ok()? == manifest.sizes).then(|| Build { key: key.to_owned(), bin })
}

/// The build that this binary makes, made if it is missing.
pub(super) async fn ensure(labs: &Labs, host: &Host) -> Result<Build, LabError> {
    let key = key();
    if let Some(build) = find(labs, &key) {
        return Ok(build);
    }
    let go = host.find("go").ok_or_else(|| {
        LabError::Unfit(vec!["Go is not on PATH, and the lab is built with it (1.26 or newer)".to_owned()])
    })?;
    let folder = labs.builds().join(&key);
    let lock = folder.join("lock");
    fs::create_dir_all(&folder).map_err(LabError::io("make", &folder))?;
    let held = File::create(&lock).map_err(LabError::io("open", &lock))?;
    while flock(&held, FlockOperation::NonBlockingLockExclusive).is_err() {
        // Another command builds the same.
        host.pause(Duration::from_millis(200)).await?;
    }
    if let Some(build) = find(labs, &key) {
        return Ok(build);
    }
    say::progress(&format!(
        "building Kubernetes {KUBERNETES}, etcd and containerd, once; this takes minutes"
    ));
    let (source, bin) = (folder.join("src"), folder.join("bin"));
    for stale in [&source, &bin] {
        if stale.exists() {
            fs::remove_dir_all(stale).map_err(LabError::io("remove", stale))?;
        }
    }
    for (path, bytes) in SOURCES {
        write(&source.join(path), bytes)?;
    }
    fs::create_dir_all(&bin).map_err(LabError::io("make", &bin))?;
    compile(host, &go, &source.join("host"), &bin, &["./...", "tool"]).await?;
    compile(host, &go, &source.join("kube"), &bin, &["."]).await?;
    for name in LINKS {
        let link = bin.join(name);
        symlink("kube", &link).map_err(LabError::io("make", &link))?;
    }
    let sizes = sizes(&bin).map_err(LabError::io("read", &bin))?;
    if let Some(absent) = MADE.iter().find(|name| !sizes.contains_key(**name)) {
        return Err(LabError::broke("the build is not whole", &format!("it made no `{absent}`")));
    }
    write_json(&folder.join("build.json"), &Manifest { sizes })?;
    prune(labs, &key);
    find(labs, &key).ok_or_else(|| LabError::broke("the build is not whole", &"its files changed meanwhile"))
}

/// Removes the builds that no lab runs and nobody is making: each takes a quarter of a gigabyte.
fn prune(labs: &Labs, key: &str) {
    let used = labs.names().into_iter().filter_map(|name| labs.of(&name).load().ok()?).map(|lab| lab.build);
    let used: BTreeSet<String> = used.chain([key.to_owned()]).collect();
    for entry in fs::read_dir(labs.builds()).into_iter().flatten().filter_map(Result::ok) {
        let lock = File::open(entry.path().join("lock"));
        let idle = lock.is_ok_and(|lock| flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok());
        if idle && !used.contains(&*entry.file_name().to_string_lossy()) {
            // What cannot be removed only takes room.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Everything that decides what is built. Another patch release of Go builds the same well enough.
fn key() -> String {
    let mut hasher = Hasher::default();
    for (path, bytes) in SOURCES {
        for part in [path.as_bytes(), bytes] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
    }
    hasher.update(KUBERNETES.as_bytes());
    hasher.update(std::env::consts::ARCH.as_bytes());
    hasher.hex()[..12].to_owned()
}

async fn compile(
    host: &Host,
    go: &Path,
    module: &Path,
    bin: &Path,
    packages: &[&str],
) -> Result<(), LabError> {
    let mut command = host.command(go, module);
    let version = "-X k8s.io/component-base/version";
    let (major, minor) = ("1", KUBERNETES.split('.').nth(1).unwrap_or_default());
    let flags = format!(
        "-ldflags=-s -w {version}.gitVersion=v{KUBERNETES} {version}.gitMajor={major} {version}.gitMinor={minor}"
    );
    command.args =
        ["build", "-v", "-trimpath", "-mod=readonly", "-gcflags=all=-dwarf=false"].map(Into::into).into();
    command.args.extend([flags.into(), "-o".into(), bin.join("").into_os_string()]);
    command.args.extend(packages.iter().map(Into::into));
    for (name, value) in [("CGO_ENABLED", "0"), ("GOWORK", "off"), ("GOFLAGS", "-buildvcs=false")] {
        command.env.insert(name.into(), value.into());
    }
    command.log = Some(module.with_extension("log"));
    let (began, mut shown, mut packages) = (Instant::now(), Instant::now(), 0_u32);
    let watch = move |line: &str| {
        // `-v` prints a line for each package that is compiled, and one for each module that is downloaded.
        packages += u32::from(!line.starts_with("go: "));
        if shown.elapsed() > Duration::from_secs(5) {
            shown = Instant::now();
            say::progress(&format!("  {:>4} s  {packages} packages compiled", began.elapsed().as_secs()));
        }
    };
    host.run("the build failed", command, watch).await.map(drop)
}

fn sizes(bin: &Path) -> std::io::Result<BTreeMap<String, u64>> {
    fs::read_dir(bin)?
        .map(|entry| {
            let entry = entry?;
            let size = fs::metadata(entry.path())?.len();
            Ok((entry.file_name().to_string_lossy().into_owned(), size))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn below(folder: &Path, prefix: &str, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
            match entry.file_type().unwrap().is_dir() {
                true => below(&entry.path(), &format!("{name}/"), found),
                false => found.push(name),
            }
        }
    }

    #[test]
    fn every_source_of_the_modules_is_inside_this_binary() {
        let mut found = Vec::new();
        below(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../lab/cluster"), "", &mut found);
        found.retain(|path| !path.ends_with("_test.go"));
        found.sort();
        assert_eq!(found, SOURCES.map(|(path, _)| path));
    }

    #[test]
    fn the_version_is_that_of_the_module() {
        let (_, module) = SOURCES.iter().find(|(path, _)| *path == "kube/go.mod").unwrap();
        let module = std::str::from_utf8(module).unwrap();
        assert!(module.contains(&format!("k8s.io/kubernetes v{KUBERNETES}\n")));
        let staged = module.lines().filter(|line| line.contains(" => "));
        let staging = format!(" v0{}", &KUBERNETES[1..]);
        assert!(staged.clone().count() > 20 && staged.clone().all(|line| line.ends_with(&staging)));
    }

    #[test]
    fn builds_that_a_lab_runs_stay_and_others_go() {
        use super::super::names::LabName;
        use super::super::state::{Lab, Ports};
        let folder = tempfile::tempdir().unwrap();
        let labs = Labs::below(folder.path());
        for key in ["new", "used", "old"] {
            write(&labs.builds().join(key).join("lock"), b"").unwrap();
        }
        let lab = Lab::new(1, "used".into(), Ports { api: 1, registry: 2 });
        labs.of(&LabName::new("dev").unwrap()).save(&lab).unwrap();
        prune(&labs, "new");
        let left = ["new", "used", "old"].map(|key| labs.builds().join(key).exists());
        assert_eq!(left, [true, true, false]);
    }

    #[test]
    fn a_build_is_found_when_it_is_whole_and_only_then() {
        let folder = tempfile::tempdir().unwrap();
        let labs = Labs::below(folder.path());
        let place = labs.builds().join("k");
        assert!(find(&labs, "k").is_none());
        write(&place.join("bin/kube"), b"program").unwrap();
        assert!(find(&labs, "k").is_none(), "it was not finished");
        write_json(&place.join("build.json"), &Manifest { sizes: sizes(&place.join("bin")).unwrap() })
            .unwrap();
        assert_eq!(find(&labs, "k").unwrap().program("kube"), place.join("bin/kube"));
        write(&place.join("bin/kube"), b"progra").unwrap();
        assert!(find(&labs, "k").is_none(), "a file is cut short");
    }
}
