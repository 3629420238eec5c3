//! Where a lock file, and the files that belong to it, come from: a repository, or this program itself.
//!
//! A repository with a `tools.lock` of its own may leave out files that it does not change; they are then taken from this program. If
//! they do not fit the version that it pins, the tool says another version once it is installed, and is refused.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// A file of this repository, as text in this program.
macro_rules! embedded {
    ($path:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/", $path))
    };
}

/// The lock file that came with this program.
pub(super) const EMBEDDED_LOCK: &str = embedded!("../../tools.lock");

/// Every file that the embedded lock file needs, by its path below `xtask/core/locks`. A test holds the two together.
const EMBEDDED_FILES: &[(&str, &str)] = &[
    ("go/helm/go.mod", embedded!("locks/go/helm/go.mod")),
    ("go/helm/go.sum", embedded!("locks/go/helm/go.sum")),
    ("go/promtool/go.mod", embedded!("locks/go/promtool/go.mod")),
    ("go/promtool/go.sum", embedded!("locks/go/promtool/go.sum")),
    ("go/terraform/go.mod", embedded!("locks/go/terraform/go.mod")),
    ("go/terraform/go.sum", embedded!("locks/go/terraform/go.sum")),
    ("python/ansible.txt", embedded!("locks/python/ansible.txt")),
    ("python/checkov.txt", embedded!("locks/python/checkov.txt")),
    ("python/hadolint.txt", embedded!("locks/python/hadolint.txt")),
    ("python/syft.txt", embedded!("locks/python/syft.txt")),
    ("python/zizmor.txt", embedded!("locks/python/zizmor.txt")),
];

/// Where the files are, below the folder of `tools.lock`.
const LOCKS: &str = "xtask/core/locks";

/// Where a lock file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// In this program.
    Embedded,
    /// In this folder.
    Folder(PathBuf),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Embedded => f.write_str("the built-in tools.lock"),
            Origin::Folder(folder) => write!(f, "{}", folder.join("tools.lock").display()),
        }
    }
}

impl Origin {
    /// A file by its path below `xtask/core/locks`.
    pub(super) fn read(&self, file: &str) -> Result<Vec<u8>, String> {
        let embedded = || {
            EMBEDDED_FILES.iter().find(|(name, _)| *name == file).map(|(_, text)| text.as_bytes().to_vec())
        };
        let path = match self {
            Origin::Embedded => {
                return embedded().ok_or_else(|| format!("{file} is not built into this program"));
            }
            Origin::Folder(folder) => folder.join(LOCKS).join(file),
        };
        match std::fs::read(&path) {
            Ok(bytes) => Ok(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => embedded().ok_or_else(|| {
                format!("{} does not exist, and is not built into this program", path.display())
            }),
            Err(error) => Err(format!("cannot read {}: {error}", path.display())),
        }
    }
}

/// The requirements of a Python environment.
pub(super) fn requirements(name: &super::ToolName) -> String {
    format!("python/{name}.txt")
}

/// A file of a Go module of ours.
pub(super) fn module_file(dir: &super::ToolName, file: &str) -> String {
    format!("go/{dir}/{file}")
}

/// Such a file as a person finds it in a repository.
pub(super) fn shown(file: &str) -> String {
    format!("{LOCKS}/{file}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::provision::{Lock, Source};
    use std::collections::BTreeSet;

    #[test]
    fn the_built_in_lock_file_has_all_of_its_files_and_no_others() {
        let lock = Lock::parse(EMBEDDED_LOCK, Origin::Embedded).unwrap();
        let mut needed = BTreeSet::new();
        for source in lock.tools().flat_map(|tool| &tool.sources) {
            match source {
                Source::Gomod(build) => {
                    needed.extend(["go.mod", "go.sum"].map(|file| module_file(&build.dir, file)));
                }
                Source::Pypi(wheels) => drop(needed.insert(requirements(&wheels.requirements))),
                Source::Path | Source::Archive(_) | Source::Go(_) => {}
            }
        }
        let embedded: BTreeSet<String> = EMBEDDED_FILES.iter().map(|(file, _)| (*file).to_owned()).collect();
        assert_eq!(needed, embedded);
    }

    #[test]
    fn a_repository_has_its_own_files_first_and_the_built_in_ones_otherwise() {
        let folder = tempfile::tempdir().unwrap();
        let origin = Origin::Folder(folder.path().to_owned());
        let built_in = Origin::Embedded.read("python/hadolint.txt").unwrap();
        assert_eq!(origin.read("python/hadolint.txt").unwrap(), built_in);
        std::fs::create_dir_all(folder.path().join("xtask/core/locks/python")).unwrap();
        std::fs::write(folder.path().join("xtask/core/locks/python/hadolint.txt"), "own").unwrap();
        assert_eq!(origin.read("python/hadolint.txt").unwrap(), b"own");
        let error = origin.read("python/none.txt").unwrap_err();
        assert!(error.contains("locks/python/none.txt does not exist"), "{error}");
    }
}
