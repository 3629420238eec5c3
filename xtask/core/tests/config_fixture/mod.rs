//! A repository to load a `pipeline.yaml` in: something of every kind that the file can name.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test by panicking")]

use jiff::civil::{Date, date};
use std::fs;
use std::path::{Path, PathBuf};

/// The day on which the tests play.
pub(crate) const TODAY: Date = date(2026, 11, 21);

/// A repository in a folder of its own.
pub(crate) struct Repository {
    _folder: tempfile::TempDir,
    root: PathBuf,
}

impl Repository {
    /// A repository with this `pipeline.yaml`. Beside its root is a folder that links lead out to.
    pub(crate) fn with(document: impl AsRef<[u8]>) -> Repository {
        let folder = tempfile::tempdir().unwrap();
        let base = fs::canonicalize(folder.path()).unwrap();
        let repository = Repository { _folder: folder, root: base.join("repository") };
        for file in [
            "app/Cargo.toml",
            "app/Dockerfile",
            "app/src/main.rs",
            "charts/app/Chart.yaml",
            "charts/app/values.dev.yaml",
            "infra/ansible/runner.yml",
            "infra/terraform/main.tf",
            "tool/run.sh",
        ] {
            repository.write(file, "");
        }
        repository.write("broken/package.json", "{");
        fs::create_dir_all(base.join("elsewhere/src")).unwrap();
        repository.link("outside", "../elsewhere");
        repository.link("dangling", "gone");
        repository.write("pipeline.yaml", document);
        repository
    }

    /// Its root.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Writes a file, and the folders around it.
    pub(crate) fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let file = self.root.join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, content).unwrap();
    }

    /// Makes a symbolic link.
    pub(crate) fn link(&self, path: &str, target: &str) {
        std::os::unix::fs::symlink(target, self.root.join(path)).unwrap();
    }
}
