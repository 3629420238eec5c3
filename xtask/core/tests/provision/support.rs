//! A machine of the test's own: a repository, a cache, and a PATH on which only is what the test puts there.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use xtask_core::cancel::{Cancel, CancelSource};
use xtask_core::process::Supervisor;
use xtask_core::redact::Redactor;
use xtask_core::tools::provision::{Lock, Patience, Platform, Provisioner, Tool, ToolProgress, Unavailable};

/// A program that says that it is `tool` 1.2.3, large enough to be cut in the middle.
pub(crate) fn program() -> Vec<u8> {
    let padding = "# padding, so that there is a middle to cut\n".repeat(4000);
    format!("#!/bin/sh\necho 'tool 1.2.3'\nexit 0\n{padding}").into_bytes()
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    xtask_core::ids::Digest::of(bytes).hex().to_owned()
}

pub(crate) fn platform() -> Platform {
    Platform::current().expect("these tests run where tools are pinned for")
}

pub(crate) struct Bench {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) cache: PathBuf,
    pub(crate) bin: PathBuf,
    pub(crate) repository: PathBuf,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) patience: Patience,
}

impl Bench {
    /// With the real curl, tar, gzip and unzip on PATH.
    pub(crate) fn new() -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let bench = Bench {
            cache: at("cache"),
            bin: at("bin"),
            repository: at("repository"),
            env: BTreeMap::new(),
            patience: Patience {
                tries: 3,
                backoff: Duration::from_millis(1),
                stall: Duration::from_secs(1),
                ..Patience::default()
            },
            folder,
        };
        fs::create_dir_all(&bench.bin).unwrap();
        fs::create_dir_all(&bench.repository).unwrap();
        for name in ["curl", "tar", "gzip", "unzip"] {
            std::os::unix::fs::symlink(real(name), bench.bin.join(name)).unwrap();
        }
        bench
    }

    /// Puts a fake, a shell script, on PATH. It runs with nothing but that PATH: other programs by their absolute paths.
    pub(crate) fn fake(&self, name: &str, script: &str) -> PathBuf {
        let path = self.bin.join(name);
        write_program(&path, script);
        path
    }

    /// Writes the repository's tools.lock, with one tool `tool` 1.2.3 and these sources.
    pub(crate) fn pin(&self, sources: &str) {
        self.pin_as("tool", sources, "");
    }

    /// The same for several tools: further entries are given as text.
    pub(crate) fn pin_as(&self, name: &str, sources: &str, more: &str) {
        let text = format!(
            "version: 1\ntools:\n  {name}:\n    version: 1.2.3\n    probe: {{ args: [--version], after: \"tool \" }}\n    sources:\n{sources}{more}"
        );
        fs::write(self.repository.join("tools.lock"), text).unwrap();
    }

    /// A source that downloads `file` from a server.
    pub(crate) fn archive(url: &str, file: &str, sha256: &str) -> String {
        format!(
            "      - archive:\n          url: {url}/{{file}}\n          files:\n            {}: {{ file: {file}, sha256: {sha256} }}\n",
            platform()
        )
    }

    pub(crate) fn provisioner(&self) -> Provisioner {
        self.provisioner_on(vec![self.bin.clone()])
    }

    pub(crate) fn provisioner_on(&self, search_path: Vec<PathBuf>) -> Provisioner {
        let lock = Lock::load(&self.repository, &self.cache.with_extension("memo")).unwrap();
        let env = self.env.iter().map(|(name, value)| (name.into(), value.into())).collect();
        let supervisor = Supervisor::with_guard(Redactor::default(), env!("CARGO_BIN_EXE_process-probe"));
        let (cache, patience) = (self.cache.clone(), self.patience.clone());
        Provisioner::new(lock, cache, Some(platform()), search_path, env, patience, supervisor)
    }

    /// Ensures `tool`, as a new run of the program would.
    pub(crate) async fn ensure(&self) -> Result<Tool, Unavailable> {
        ensure(&self.provisioner(), "tool").await
    }

    /// Every file below the cache, lock files aside, relative and sorted.
    pub(crate) fn cached(&self) -> Vec<String> {
        let mut found = Vec::new();
        walk(&self.cache, &mut |path| {
            if path.file_name().is_some_and(|name| name != "lock") {
                found.push(path.strip_prefix(&self.cache).unwrap().display().to_string());
            }
        });
        found.sort();
        found
    }

    /// The one file of that name below the cache.
    pub(crate) fn only(&self, name: &str) -> PathBuf {
        let mut found = Vec::new();
        walk(&self.cache, &mut |path| {
            if path.file_name().is_some_and(|file| file == name) {
                found.push(path.to_owned());
            }
        });
        assert_eq!(found.len(), 1, "{name}: {found:?}");
        found.remove(0)
    }
}

pub(crate) fn write_program(path: &Path, script: &str) {
    fs::write(path, script).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn walk(folder: &Path, see: &mut impl FnMut(&Path)) {
    for entry in fs::read_dir(folder).into_iter().flatten().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            walk(&entry.path(), see);
        } else {
            see(&entry.path());
        }
    }
}

pub(crate) fn never() -> (CancelSource, Cancel) {
    CancelSource::new()
}

pub(crate) async fn ensure(provisioner: &Provisioner, name: &str) -> Result<Tool, Unavailable> {
    watch(provisioner, name).await.0
}

/// With every step that was shown.
pub(crate) async fn watch(
    provisioner: &Provisioner,
    name: &str,
) -> (Result<Tool, Unavailable>, Vec<ToolProgress>) {
    let (_source, cancel) = never();
    let mut steps = Vec::new();
    let mut results = provisioner.ensure(&[name], &cancel, |step| steps.push(step)).await;
    assert_eq!(results.len(), 1);
    let (named, result) = results.remove(0);
    assert_eq!(named, name);
    (result, steps)
}

/// The PATH that the tests themselves run with.
pub(crate) fn real_path() -> Vec<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "a test may look for the real programs")]
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).collect()
}

/// The real program of that name.
pub(crate) fn real(name: &str) -> PathBuf {
    let found = real_path().into_iter().map(|folder| folder.join(name)).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("these tests need `{name}`"))
}

/// Runs a real program that must succeed.
pub(crate) fn run(program: &str, args: &[&str], cwd: &Path) {
    #[expect(clippy::disallowed_methods, reason = "a test makes its own input")]
    let status = Command::new(program).args(args).current_dir(cwd).status().unwrap();
    assert!(status.success(), "{program} {args:?}: {status}");
}
