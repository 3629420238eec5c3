//! What git's index holds, as `git ls-files` prints it. The answer is a function of one file, so while that file is the same the answer
//! of the last run is taken: one process less in a run with nothing to do.
//!
//! Only saves time: whatever is in doubt is asked again, and an answer that cannot be kept is no error.

use super::snapshot::OWN_FOLDER;
use super::store;
use crate::process::query::{self, QueryError};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

const KIND: &str = "listing";
const VERSION: u32 = 1;

/// Every file of the index below `root`: `mode id stage<TAB>path<NUL>`, sorted by path.
pub(super) fn of(root: &Path) -> Result<Vec<u8>, QueryError> {
    let memo = root.join(OWN_FOLDER).join("cache/listing");
    let before = stamp(root);
    if let Some(stamp) = &before
        && let Ok(kept) = store::unseal(&memo, KIND, VERSION)
        && let Some(listing) = kept.strip_prefix(stamp.as_bytes())
    {
        return Ok(listing.to_vec());
    }
    let listing = query::ask(root, "git", &["ls-files", "-s", "-z"], None)?;
    // Another git may have written the index meanwhile; then nobody knows whose answer this is.
    if let Some(stamp) = before.filter(|before| stamp(root).as_ref() == Some(before)) {
        let mut kept = stamp.into_bytes();
        kept.extend_from_slice(&listing);
        // The next run asks again.
        let _ = store::seal(&memo, KIND, VERSION, &kept);
    }
    Ok(listing)
}

/// What `stat` says of the index, in one line. None if it is somewhere else, as in a linked worktree, or so young that it could be
/// written again without a change of its time.
fn stamp(root: &Path) -> Option<String> {
    let meta = fs::symlink_metadata(root.join(".git/index")).ok()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    let settled = i64::try_from(now.as_secs()).ok()? - meta.ctime() > 1;
    let times = (meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec());
    (meta.is_file() && settled).then(|| format!("{} {} {times:?}\n", meta.len(), meta.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread::sleep;
    use std::time::Duration;

    fn git(root: &Path, args: &[&str]) {
        query::ask(root, "git", args, None).unwrap();
    }

    /// A repository whose index holds `a`.
    fn repository() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a"), "1").unwrap();
        git(folder.path(), &["init", "-q"]);
        git(folder.path(), &["add", "a"]);
        folder
    }

    fn settle(root: &Path) {
        while stamp(root).is_none() {
            sleep(Duration::from_millis(50));
        }
    }

    fn forge(root: &Path, listing: &[u8]) {
        let mut kept = stamp(root).unwrap().into_bytes();
        kept.extend_from_slice(listing);
        store::seal(&root.join(OWN_FOLDER).join("cache/listing"), KIND, VERSION, &kept).unwrap();
    }

    #[test]
    fn the_index_is_asked_once_while_it_stays_the_same() {
        let folder = repository();
        let root = folder.path();
        settle(root);
        let asked = of(root).unwrap();
        assert!(asked.ends_with(b"\ta\0"), "{asked:?}");
        assert_eq!(of(root).unwrap(), asked);
        forge(root, b"kept");
        assert_eq!(of(root).unwrap(), b"kept", "it is the kept answer that is given");
    }

    #[test]
    fn a_changed_index_is_asked_again() {
        let folder = repository();
        let root = folder.path();
        settle(root);
        forge(root, b"kept");
        fs::write(root.join("b"), "2").unwrap();
        git(root, &["add", "b"]);
        assert!(of(root).unwrap().ends_with(b"\tb\0"));
        settle(root);
        assert!(of(root).unwrap().ends_with(b"\tb\0"));
    }

    #[test]
    fn an_index_that_was_just_written_is_not_remembered() {
        let folder = repository();
        git(folder.path(), &["add", "a"]);
        // Its time is of this second.
        if stamp(folder.path()).is_none() {
            of(folder.path()).unwrap();
            assert!(!folder.path().join(OWN_FOLDER).exists());
        }
    }

    #[test]
    fn a_damaged_answer_is_asked_again() {
        let folder = repository();
        settle(folder.path());
        let asked = of(folder.path()).unwrap();
        let memo = folder.path().join(OWN_FOLDER).join("cache/listing");
        let mut bytes = fs::read(&memo).unwrap();
        let last = bytes.len() - 2;
        bytes[last] ^= 1;
        fs::write(&memo, bytes).unwrap();
        assert_eq!(of(folder.path()).unwrap(), asked);
    }
}
