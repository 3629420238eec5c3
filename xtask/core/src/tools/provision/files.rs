//! File operations that must survive a crash or a large file: digests by stream, whole-or-nothing writes, the identity of a file
//! by what one `stat` tells.

use super::names::Hex;
use crate::ids::Hasher;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// SHA-256 of a file.
pub(super) fn sha256_of_file(path: &Path) -> io::Result<Hex> {
    let mut hasher = Hasher::default();
    each_chunk(path, |chunk| hasher.update(chunk))?;
    Ok(Hex::of(hasher))
}

fn each_chunk(path: &Path, mut take: impl FnMut(&[u8])) -> io::Result<()> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 1 << 18];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(()),
            read => take(&buffer[..read]),
        }
    }
}

/// What `stat` tells of a file: enough to see that it is not the one that was looked at before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stamp {
    pub path: PathBuf,
    pub size: u64,
    pub mtime: (i64, i64),
    pub inode: u64,
}

impl Stamp {
    /// Of the file that a path leads to, symbolic links followed.
    pub(super) fn of(path: &Path) -> io::Result<Stamp> {
        let meta = fs::metadata(path)?;
        Ok(Stamp {
            path: path.to_owned(),
            size: meta.len(),
            mtime: (meta.mtime(), meta.mtime_nsec()),
            inode: meta.ino(),
        })
    }

    /// Whether the file is still the same. A deleted file is not.
    pub(super) fn holds(&self) -> bool {
        Stamp::of(&self.path).is_ok_and(|now| now == *self)
    }
}

/// Whether a path leads to a file that may be executed.
pub(super) fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// Every program of that name in the folders of a search path, in its order, each file once.
pub(super) fn candidates(program: &str, search_path: &[PathBuf]) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    for folder in search_path {
        let path = folder.join(program);
        if folder.is_absolute() && !found.contains(&path) && is_program(&path) {
            found.push(path);
        }
    }
    found
}

/// Writes a file so that after a crash, of this program or of the machine, it is there as a whole or not at all.
pub(super) fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = path.with_file_name(name);
    let write = || {
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    };
    let written = write();
    if written.is_err() {
        // The error that matters is the first one.
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// Removes a file or a whole folder, if there is one.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// What is in a folder: enough to see that any of it has changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Contents {
    pub files: u64,
    pub bytes: u64,
    pub sha256: String,
}

impl Contents {
    /// Of all files below a folder, by name, kind and content, except the one called `except` on top, and Python's own caches,
    /// which it writes whenever it likes.
    pub(super) fn of(folder: &Path, except: &str) -> io::Result<Contents> {
        let mut hasher = Hasher::default();
        let mut contents = Contents { files: 0, bytes: 0, sha256: String::new() };
        let mut open = vec![folder.to_owned()];
        while let Some(current) = open.pop() {
            let mut entries: Vec<_> = fs::read_dir(&current)?.collect::<Result<_, _>>()?;
            entries.sort_by_key(fs::DirEntry::file_name);
            for entry in entries {
                let path = entry.path();
                let relative = path.strip_prefix(folder).unwrap_or(&path);
                if relative == Path::new(except) || entry.file_name() == "__pycache__" {
                    continue;
                }
                let meta = entry.metadata()?;
                // Lengths go in front, so that no two different trees give the same bytes.
                let mut item = |kind: &str, size: u64| {
                    let name = relative.as_os_str().as_encoded_bytes();
                    hasher.update(format!("{kind} {} {size} ", name.len()).as_bytes());
                    hasher.update(name);
                };
                if meta.is_dir() {
                    open.push(path);
                } else if meta.is_symlink() {
                    let target = fs::read_link(&path)?;
                    let target = target.as_os_str().as_encoded_bytes();
                    item("link", target.len() as u64);
                    hasher.update(target);
                } else {
                    let executable = meta.mode() & 0o111 != 0;
                    item(if executable { "program" } else { "file" }, meta.len());
                    each_chunk(&path, |chunk| {
                        hasher.update(chunk);
                    })?;
                    contents.files += 1;
                    contents.bytes += meta.len();
                }
            }
        }
        contents.sha256 = hasher.hex();
        Ok(contents)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_differ_when_anything_but_a_python_cache_differs() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir_all(root.join("a/__pycache__")).unwrap();
        fs::write(root.join("a/one"), "1").unwrap();
        fs::write(root.join("tool.json"), "{}").unwrap();
        let first = Contents::of(root, "tool.json").unwrap();
        assert_eq!((first.files, first.bytes), (1, 1));
        fs::write(root.join("a/__pycache__/one.pyc"), "x").unwrap();
        fs::write(root.join("tool.json"), "{\"other\":1}").unwrap();
        assert_eq!(Contents::of(root, "tool.json").unwrap(), first);
        let changes: [fn(&Path); 4] = [
            |root| fs::write(root.join("a/one"), "2").unwrap(),
            |root| fs::set_permissions(root.join("a/one"), fs::Permissions::from_mode(0o755)).unwrap(),
            |root| fs::write(root.join("b"), "").unwrap(),
            |root| std::os::unix::fs::symlink("b", root.join("c")).unwrap(),
        ];
        let mut seen = vec![first.sha256];
        for change in changes {
            change(root);
            let now = Contents::of(root, "tool.json").unwrap().sha256;
            assert!(!seen.contains(&now));
            seen.push(now);
        }
    }

    #[test]
    fn only_programs_are_candidates_and_each_is_named_once() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (folder.path().join("a"), folder.path().join("b"));
        for at in [&a, &b] {
            fs::create_dir(at).unwrap();
            fs::write(at.join("tool"), "").unwrap();
        }
        fs::set_permissions(b.join("tool"), fs::Permissions::from_mode(0o755)).unwrap();
        let path = [a, PathBuf::from("relative"), b.clone(), b.clone()];
        assert_eq!(candidates("tool", &path), [b.join("tool")]);
    }
}
