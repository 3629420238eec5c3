//! The files that a run leaves: `report.json`, and for other programs `findings.sarif` and `junit.xml` beside it.
//!
//! A reader sees the old file or the new one, never half of one. Not synced to the disk: a report that a power failure took can
//! be made again, and a run in which nothing changed must not wait for the disk.

use super::{junit, sarif};
use crate::error::ExitCode;
use crate::report::RunReport;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A file of the run that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}: {source}", path.display())]
pub struct WriteError {
    /// The file.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

impl WriteError {
    /// The exit code that a missing report asks for: what the run saw cannot be handed on.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::ToolBroke
    }
}

/// What became of the files: only a report that could not be written fails the run.
pub(super) struct Written {
    pub(super) report: Result<(), WriteError>,
    pub(super) others: Vec<WriteError>,
}

/// Writes all files of a report into a folder, which is made if it is not there.
pub(super) fn write(folder: &Path, report: &RunReport) -> Written {
    let one = |name: &str, content: Result<Vec<u8>, serde_json::Error>| {
        let path = folder.join(name);
        content
            .map_err(io::Error::from)
            .and_then(|content| replace(&path, &content))
            .map_err(|source| WriteError { path, source })
    };
    let main = one("report.json", serde_json::to_vec_pretty(report));
    let others =
        [one("findings.sarif", sarif::json(report)), one("junit.xml", Ok(junit::xml(report).into_bytes()))];
    Written { report: main, others: others.into_iter().filter_map(Result::err).collect() }
}

/// Puts a file in place in one step. The name of the new file on the way is nobody else's: two runs may share the folder.
fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let temporary = path.with_extension(format!("{}.{number}.tmp", std::process::id()));
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let result = File::create(&temporary)
        .and_then(|file| fill(file, content))
        .and_then(|()| fs::rename(&temporary, path));
    if result.is_err() {
        // The first error is the one to tell; a file that was never made cannot be removed.
        fs::remove_file(&temporary).unwrap_or_default();
    }
    result
}

fn fill(mut file: File, content: &[u8]) -> io::Result<()> {
    file.write_all(content)?;
    file.write_all(b"\n")
}

/// Appends to a file that others append to as well: GitHub's step summary. `text` gets the size that the file has.
pub(super) fn append(path: &Path, text: impl FnOnce(u64) -> String) -> Result<(), WriteError> {
    let append = || {
        let mut file = File::options().append(true).create(true).open(path)?;
        let text = text(file.metadata()?.len());
        file.write_all(text.as_bytes())
    };
    append().map_err(|source| WriteError { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_by_the_write_that_met_it() {
        // The one device that answers like a full disk.
        let full = File::options().write(true).open("/dev/full").unwrap();
        assert_eq!(fill(full, b"{}").unwrap_err().kind(), io::ErrorKind::StorageFull);
    }

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        // A folder cannot be replaced by a file.
        let path = folder.path().join("report.json");
        fs::create_dir(&path).unwrap();
        assert!(replace(&path, b"{}").is_err());
        let names: Vec<_> =
            fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["report.json"]);
        assert!(path.is_dir());
    }

    #[test]
    fn the_file_is_replaced_as_a_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/report.json");
        replace(&path, b"a long first report").unwrap();
        replace(&path, b"short").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"short\n");
    }
}
