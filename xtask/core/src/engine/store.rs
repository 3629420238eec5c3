//! Small files that survive a crash: written whole or not at all, and checked when they are read.
//!
//! Knows nothing of what is in them.

use crate::ids::sha256;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Writes a file by way of a temporary one beside it, so that readers and other runs see the old content or the new.
///
/// The folder is made if it is missing. A crash leaves at most a `.tmp` file.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = temporary_beside(path);
    let written = write_new(&temporary, bytes).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // The error that matters is the first one; a temporary file left over harms nobody.
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// Where runs keep their files in a repository: `target/xtask`, made ready and out of git's sight. One place, so that no command
/// leaves files that another one takes for the user's.
pub fn own_folder(root: &Path) -> io::Result<PathBuf> {
    let own = root.join("target/xtask");
    let ignore = own.join(".gitignore");
    if !ignore.exists() {
        replace(&ignore, b"*\n")?;
    }
    Ok(own)
}

/// A name beside `path` that no other run and no other thread uses.
pub fn temporary_beside(path: &Path) -> PathBuf {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}-{}.tmp", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed)));
    path.with_file_name(name)
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let open = || fs::OpenOptions::new().write(true).create_new(true).open(path);
    let mut file = match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            open()?
        }
        other => other?,
    };
    file.write_all(bytes)
}

/// What is wrong with a sealed file.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsealed {
    /// There is none.
    #[error("not there")]
    Absent,
    /// Another version of this program wrote it.
    #[error("written by another version of xtask")]
    OtherVersion,
    /// The content does not have the digest that the first line promises.
    #[error("truncated or corrupt")]
    Corrupt,
    /// The system does not let it be read.
    #[error("unreadable: {0}")]
    Unreadable(String),
}

/// Writes bytes under a first line that holds a kind, a version and the digest of the rest.
pub fn seal(path: &Path, kind: &str, version: u32, bytes: &[u8]) -> io::Result<()> {
    let mut sealed = format!("{kind} {version} {}\n", sha256(bytes)).into_bytes();
    sealed.extend_from_slice(bytes);
    replace(path, &sealed)
}

/// Reads what [`seal`] wrote, or says why it cannot be trusted.
pub fn unseal(path: &Path, kind: &str, version: u32) -> Result<Vec<u8>, Unsealed> {
    let bytes = fs::read(path).map_err(|error| {
        if error.kind() == io::ErrorKind::NotFound {
            Unsealed::Absent
        } else {
            Unsealed::Unreadable(error.to_string())
        }
    })?;
    let end = bytes.iter().position(|byte| *byte == b'\n').ok_or(Unsealed::Corrupt)?;
    let first = std::str::from_utf8(&bytes[..end]).map_err(|_| Unsealed::Corrupt)?;
    let mut words = first.split(' ');
    if words.next() != Some(kind) {
        return Err(Unsealed::Corrupt);
    }
    if words.next() != Some(version.to_string().as_str()) {
        return Err(Unsealed::OtherVersion);
    }
    let content = &bytes[end + 1..];
    if words.next() == Some(sha256(content).as_str()) { Ok(content.to_vec()) } else { Err(Unsealed::Corrupt) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_is_read_back_and_any_damage_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/er/entry");
        assert_eq!(unseal(&path, "entry", 1), Err(Unsealed::Absent));
        seal(&path, "entry", 1, b"content\nof two lines").unwrap();
        assert_eq!(unseal(&path, "entry", 1).unwrap(), b"content\nof two lines");
        assert_eq!(unseal(&path, "entry", 2), Err(Unsealed::OtherVersion));
        assert_eq!(unseal(&path, "other", 1), Err(Unsealed::Corrupt));
        let whole = fs::read(&path).unwrap();
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            assert!(unseal(&path, "entry", 1).is_err(), "truncated to {length}");
        }
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            fs::write(&path, &damaged).unwrap();
            assert!(unseal(&path, "entry", 1).is_err(), "damaged at {at}");
        }
    }

    #[test]
    fn a_failed_write_leaves_the_old_content_and_no_litter() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("entry");
        replace(&path, b"old").unwrap();
        fs::create_dir(folder.path().join("occupied")).unwrap();
        fs::write(folder.path().join("occupied/x"), "").unwrap();
        assert!(replace(&folder.path().join("occupied"), b"new").is_err());
        replace(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
