//! Digests of files that are expensive to hash again: compilers, outputs. A digest holds as long as size, inode, modification and
//! change time of the file are the same.
//!
//! A file that changed less than a second before it was hashed is not remembered: a later write could fall into the same tick of
//! the clock and go unseen.

use crate::engine::store;
use crate::ids::Hasher;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

const KIND: &str = "slipway-stamps";
const VERSION: u32 = 1;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    size: u64,
    inode: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    digest: String,
}

/// The digests that are known, kept in one file.
#[derive(Debug)]
pub struct Stamps {
    file: PathBuf,
    known: BTreeMap<PathBuf, Stamp>,
    dirty: bool,
}

impl Stamps {
    /// Reads what is known. A file that is missing or damaged means that nothing is.
    pub fn load(file: PathBuf) -> Stamps {
        let known = store::unseal(&file, KIND, VERSION)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default();
        Stamps { file, known, dirty: false }
    }

    /// The SHA-256 digest of a file's content.
    pub fn digest(&mut self, path: &Path) -> io::Result<String> {
        let meta = fs::metadata(path)?;
        if !meta.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        if let Some(stamp) = self.known.get(path)
            && stamp.size == meta.len()
            && stamp.inode == meta.ino()
            && stamp.modified == (meta.mtime(), meta.mtime_nsec())
            && stamp.changed == (meta.ctime(), meta.ctime_nsec())
        {
            return Ok(stamp.digest.clone());
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let mut hasher = Hasher::default();
        io::copy(&mut fs::File::open(path)?, &mut hasher)?;
        let digest = hasher.hex();
        let settled = i64::try_from(now).unwrap_or(0) - meta.ctime() > 1;
        let stamp = settled.then(|| Stamp {
            size: meta.len(),
            inode: meta.ino(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
            digest: digest.clone(),
        });
        self.dirty = true;
        match stamp {
            Some(stamp) => self.known.insert(path.to_owned(), stamp),
            None => self.known.remove(path),
        };
        Ok(digest)
    }

    /// Writes what was learned, if anything was. Failure only costs time in the next run.
    pub fn save(&mut self) {
        if self.dirty {
            self.known.retain(|path, _| path.exists());
            if let Ok(bytes) = serde_json::to_vec(&self.known) {
                let _ = store::seal(&self.file, KIND, VERSION, &bytes);
            }
            self.dirty = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_file_has_another_digest_even_with_the_same_size_and_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tool");
        fs::write(&path, "one").unwrap();
        let time = fs::metadata(&path).unwrap().modified().unwrap();
        let mut stamps = Stamps::load(folder.path().join("stamps"));
        let one = stamps.digest(&path).unwrap();
        fs::write(&path, "two").unwrap();
        fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
        assert_ne!(stamps.digest(&path).unwrap(), one);
    }

    #[test]
    fn a_settled_file_is_not_read_again_and_a_fresh_one_is() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("stamps");
        // The test binary itself: it was written well before this test started, or is hashed again, which is right too.
        let settled = std::env::current_exe().unwrap();
        let fresh = folder.path().join("fresh");
        fs::write(&fresh, "x").unwrap();
        let mut stamps = Stamps::load(file.clone());
        let digest = stamps.digest(&settled).unwrap();
        stamps.digest(&fresh).unwrap();
        assert!(!stamps.known.contains_key(&fresh));
        stamps.save();
        let mut again = Stamps::load(file);
        assert_eq!(again.digest(&settled).unwrap(), digest);
    }

    #[test]
    fn a_damaged_file_of_stamps_means_that_nothing_is_known() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("stamps");
        fs::write(&file, "nonsense").unwrap();
        assert!(Stamps::load(file).known.is_empty());
    }
}
