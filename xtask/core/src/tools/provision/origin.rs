//! Where a lock file, and the files that belong to it, come from: a repository, or this program itself.
//!
//! A repository with a `tools.lock` of its own may leave out files that it does not change; they are then taken from this program. If
//! they do not fit the version that it pins, the tool says another version once it is installed, and is refused.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// The lock file that came with this program.
pub(super) const EMBEDDED_LOCK: &str = "version: 1\ntools: {}\n";

/// Every file that the embedded lock file needs, by its path below `xtask/core/locks`. A test holds the two together.
const EMBEDDED_FILES: &[(&str, &str)] = &[];

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
            EMBEDDED_FILES
                .iter()
                .find(|(name, _)| *name == file)
                .map(|(_, text)| text.as_bytes().to_vec())
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
                format!(
                    "{} does not exist, and is not built into this program",
                    path.display()
                )
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
