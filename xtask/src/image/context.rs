//! The build context as an engine wants it: one tar archive of the files that the repository holds and `.dockerignore` lets
//! through. Files that git ignores never leave the machine.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use xtask_core::engine::files::FileSet;
use xtask_core::error::StageError;

/// The archive of `context`, relative to the root, with the Dockerfile in it.
pub(super) fn archive(root: &Path, context: &str, dockerfile: &str) -> Result<Vec<u8>, StageError> {
    let files = FileSet::snapshot(root).map_err(|error| StageError::Config(error.to_string()))?;
    let folder = if context == "." { String::new() } else { format!("{}/", context.trim_end_matches('/')) };
    let selection = files.select(&[format!("{folder}**")]);
    let ignore = Ignore::of(root, &folder, dockerfile)?;
    let mut archive = tar::Builder::new(Vec::new());
    for path in files.paths(&selection) {
        let inside = &path[folder.len()..];
        if path == dockerfile || !ignore.covers(inside) {
            let full = root.join(&path);
            append(&mut archive, &full, inside)
                .map_err(StageError::io("cannot pack for the engine", &full))?;
        }
    }
    archive.into_inner().map_err(StageError::io("cannot pack for the engine", root))
}

fn append(archive: &mut tar::Builder<Vec<u8>>, full: &Path, name: &str) -> io::Result<()> {
    let meta = fs::symlink_metadata(full)?;
    let mut header = tar::Header::new_gnu();
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    if meta.is_symlink() {
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_mode(0o777);
        header.set_size(0);
        return archive.append_link(&mut header, name, fs::read_link(full)?);
    }
    if !meta.is_file() {
        return Ok(());
    }
    let bytes = fs::read(full)?;
    header.set_mode(if meta.permissions().mode() & 0o111 == 0 { 0o644 } else { 0o755 });
    header.set_size(bytes.len() as u64);
    archive.append_data(&mut header, name, bytes.as_slice())
}

/// The patterns of a `.dockerignore`; the last one that matches decides, `!` lets through again.
struct Ignore(Vec<(bool, String)>);

impl Ignore {
    /// `NAME.dockerignore` beside the Dockerfile wins over the one at the top of the context, as it does for Docker.
    fn of(root: &Path, folder: &str, dockerfile: &str) -> Result<Ignore, StageError> {
        for name in [format!("{dockerfile}.dockerignore"), format!("{folder}.dockerignore")] {
            let path = root.join(name);
            match fs::read_to_string(&path) {
                Ok(text) => return Ok(Ignore::parse(&text)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(StageError::io("cannot read", path)(error)),
            }
        }
        Ok(Ignore(Vec::new()))
    }

    fn parse(text: &str) -> Ignore {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let patterns = lines.map(|line| {
            let (lets_through, pattern) =
                line.strip_prefix('!').map_or((false, line), |pattern| (true, pattern));
            (lets_through, pattern.trim_matches('/').to_owned())
        });
        Ignore(patterns.collect())
    }

    /// A pattern covers a path if it matches the path or a folder above it.
    fn covers(&self, path: &str) -> bool {
        let prefixes: Vec<&str> =
            path.match_indices('/').map(|(at, _)| &path[..at]).chain(std::iter::once(path)).collect();
        let matches = |pattern: &str| prefixes.iter().any(|prefix| fast_glob::glob_match(pattern, prefix));
        let last = self.0.iter().rev().find(|(_, pattern)| matches(pattern));
        last.is_some_and(|(lets_through, _)| !lets_through)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_matching_pattern_decides() {
        let ignore = Ignore::parse("# all but\n*\n!app\n!Cargo.toml\n**/target\napp/Dockerfile*\n**/*.md\n");
        for covered in
            ["xtask/src/main.rs", "app/target/x", "app/Dockerfile", "app/docs/a.md", "README.md", ".env"]
        {
            assert!(ignore.covers(covered), "{covered}");
        }
        for free in ["app/src/main.rs", "Cargo.toml", "app/deep/er/file"] {
            assert!(!ignore.covers(free), "{free}");
        }
        assert!(!Ignore::parse("").covers("anything"));
    }

    #[test]
    fn the_archive_holds_what_is_not_ignored_and_always_the_dockerfile() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir_all(root.join("svc/src")).unwrap();
        for (path, text) in
            [("svc/Dockerfile", "FROM scratch"), ("svc/.dockerignore", "*\n!src\n"), ("svc/src/a", "a")]
        {
            fs::write(root.join(path), text).unwrap();
        }
        fs::write(root.join("outside"), "x").unwrap();
        let bytes = archive(root, "svc", "svc/Dockerfile").unwrap();
        let names: Vec<String> = tar::Archive::new(bytes.as_slice())
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap().path().unwrap().display().to_string())
            .collect();
        assert_eq!(names, ["Dockerfile", "src/a"]);
    }
}
