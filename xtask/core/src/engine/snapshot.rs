//! Takes the snapshot of the repository's files: git's object ids where a file is as committed or staged, a hash of the content where
//! it is not. Without git, every file is hashed. It reads and hashes; it decides nothing.

use super::files::FileSet;
use super::listing;
use crate::ids::sha256;
use crate::process::query::{self, QueryError, Question};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Where a run keeps its own files; never an input, whatever a glob says.
pub const OWN_FOLDER: &str = "target/xtask/";

/// Why no snapshot could be made.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// Git is there but did not answer.
    #[error("cannot list the repository's files: {0}")]
    Git(#[from] QueryError),
    /// A file or folder could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A snapshot that is being taken: git works while something else is done.
#[derive(Debug)]
pub struct Listing {
    root: PathBuf,
    status: Option<Result<Question, QueryError>>,
}

impl FileSet {
    /// Takes a snapshot of everything below `root`.
    pub fn snapshot(root: &Path) -> Result<FileSet, FilesError> {
        FileSet::begin(root.to_owned()).wait()
    }

    /// Begins to take a snapshot: git needs as long as all else that a command does before its first stage.
    pub fn begin(root: PathBuf) -> Listing {
        let in_git = match fs::symlink_metadata(root.join(".git")) {
            Ok(_) => true,
            // A root inside a larger checkout, or no git at all. Asking git costs a spawn, once, on the slower path.
            Err(_) => query::ask(&root, "git", &["rev-parse", "--is-inside-work-tree"], None)
                .is_ok_and(|answer| answer.starts_with(b"true")),
        };
        let status = in_git.then(|| query::start(&root, "git", &STATUS, None));
        Listing { root, status }
    }
}

/// `--no-optional-locks`: a run must never make somebody's `git commit` fail by holding the index for a moment.
const STATUS: [&str; 8] = [
    "--no-optional-locks",
    "status",
    "--porcelain=v2",
    "-z",
    "--untracked-files=all",
    "--no-renames",
    "--",
    ".",
];

impl Listing {
    /// The snapshot, once it is there.
    pub fn wait(self) -> Result<FileSet, FilesError> {
        let Listing { root, status } = self;
        match status {
            Some(status) => {
                let status = status?;
                let listed = listing::of(&root)?;
                from_git(&root, &listed, &status.answer()?)
            }
            None => from_walk(&root),
        }
    }
}

/// What the index lists, with what differs from it.
fn from_git(root: &Path, listed: &[u8], status: &[u8]) -> Result<FileSet, FilesError> {
    let prefix = if status.is_empty() { Vec::new() } else { prefix(root)? };
    let dirty = parse_status(status, &prefix);
    let ids = hash_contents(root, &prefix, &dirty)?;
    let mut overlay = dirty.into_iter().zip(ids).peekable();
    let mut set = FileSet::with_capacity(listed.len());
    let mut rest = listed;
    // A search byte by byte would be the longest part of a run with nothing to do, in a build without optimization.
    while let Some(end) = memchr::memchr(0, rest) {
        let line = &rest[..end];
        rest = &rest[end + 1..];
        // mode SP id SP stage TAB path
        let Some(tab) = memchr::memchr(b'\t', line) else { continue };
        let path = &line[tab + 1..];
        while let Some(((untracked, _), id)) = overlay.next_if(|((dirty, _), _)| dirty.as_slice() < path) {
            add(&mut set, id.as_deref(), &untracked);
        }
        match overlay.next_if(|((dirty, _), _)| dirty.as_slice() == path) {
            Some((_, id)) => add(&mut set, id.as_deref(), path),
            // The stages of a merge conflict repeat the path; all of them count.
            None if !path.starts_with(OWN_FOLDER.as_bytes()) => set.push(&line[..tab], path),
            None => {}
        }
    }
    for ((untracked, _), id) in overlay {
        add(&mut set, id.as_deref(), &untracked);
    }
    Ok(set)
}

fn add(set: &mut FileSet, id: Option<&[u8]>, path: &[u8]) {
    if let Some(id) = id
        && !path.starts_with(OWN_FOLDER.as_bytes())
    {
        set.push(id, path);
    }
}

/// What `root` is called inside its repository: status names files from the top, `ls-files` from here.
fn prefix(root: &Path) -> Result<Vec<u8>, FilesError> {
    if fs::symlink_metadata(root.join(".git")).is_ok() {
        return Ok(Vec::new());
    }
    let mut prefix = query::ask(root, "git", &["rev-parse", "--show-prefix"], None)?;
    while prefix.last().is_some_and(|byte| *byte == b'\n') {
        prefix.pop();
    }
    Ok(prefix)
}

/// The paths whose content is not what the index says, sorted, with whether they are a submodule.
fn parse_status(status: &[u8], prefix: &[u8]) -> Vec<(Vec<u8>, bool)> {
    let mut dirty = Vec::new();
    for record in status.split(|byte| *byte == 0) {
        let fields = match record.first() {
            // 1 XY sub mH mI mW hH hI path · u XY sub m1 m2 m3 mW h1 h2 h3 path · ? path
            Some(b'1') => 8,
            Some(b'u') => 10,
            Some(b'?') => 1,
            _ => continue,
        };
        let mut parts = record.splitn(fields + 1, |byte| *byte == b' ');
        let state = parts.nth(1).unwrap_or_default();
        let submodule = parts.next().is_some_and(|sub| fields > 1 && sub.starts_with(b"S"));
        let path = if fields == 1 { &record[2..] } else { parts.nth(fields - 3).unwrap_or_default() };
        let worktree_differs = fields != 8 || state.get(1) != Some(&b'.');
        if worktree_differs && let Some(path) = path.strip_prefix(prefix) {
            dirty.push((path.to_vec(), submodule));
        }
    }
    dirty.sort();
    dirty
}

/// For each dirty path what stands for its content; none for a file that is gone. Git itself hashes, so that an edit has the same
/// id before and after it is committed, whatever filters apply.
fn hash_contents(
    root: &Path,
    prefix: &[u8],
    dirty: &[(Vec<u8>, bool)],
) -> Result<Vec<Option<Vec<u8>>>, FilesError> {
    let mut ids: Vec<Option<Vec<u8>>> = Vec::with_capacity(dirty.len());
    let mut regular: Vec<usize> = Vec::new();
    let mut names = Vec::new();
    for (index, (path, submodule)) in dirty.iter().enumerate() {
        let full = root.join(bytes_to_path(path));
        let id = match fs::symlink_metadata(&full) {
            Err(_) => None,
            Ok(_) if *submodule => Some(content_id("160000", b"dirty")),
            Ok(meta) if meta.is_dir() => Some(content_id("040000", b"nested repository")),
            Ok(meta) if meta.is_symlink() => {
                let target =
                    fs::read_link(&full).map_err(|source| FilesError::Read { path: full.clone(), source })?;
                Some(content_id("120000", target.as_os_str().as_encoded_bytes()))
            }
            Ok(meta) if path.contains(&b'\n') => {
                let bytes =
                    fs::read(&full).map_err(|source| FilesError::Read { path: full.clone(), source })?;
                Some(content_id(mode(&meta), &bytes))
            }
            Ok(meta) => {
                regular.push(index);
                // Git reads these names from the top of the checkout, wherever it is asked.
                names.extend_from_slice(prefix);
                names.extend_from_slice(path);
                names.push(b'\n');
                Some(format!("{} ", mode(&meta)).into_bytes())
            }
        };
        ids.push(id);
    }
    if !regular.is_empty() {
        let answer = query::ask(root, "git", &["hash-object", "--stdin-paths"], Some(&names))?;
        for (index, id) in regular.iter().zip(answer.split(|byte| *byte == b'\n')) {
            if let Some(entry) = &mut ids[*index] {
                entry.extend_from_slice(id);
                entry.extend_from_slice(b" 0");
            }
        }
    }
    Ok(ids)
}

fn content_id(mode: &str, bytes: &[u8]) -> Vec<u8> {
    format!("{mode} {}", sha256(bytes)).into_bytes()
}

#[cfg(unix)]
fn mode(meta: &fs::Metadata) -> &'static str {
    use std::os::unix::fs::PermissionsExt;
    if meta.permissions().mode() & 0o111 == 0 { "100644" } else { "100755" }
}

#[cfg(unix)]
fn bytes_to_path(bytes: &[u8]) -> &Path {
    use std::os::unix::ffi::OsStrExt;
    Path::new(std::ffi::OsStr::from_bytes(bytes))
}

fn from_walk(root: &Path) -> Result<FileSet, FilesError> {
    let mut map = BTreeMap::new();
    walk(root, root, &mut map)?;
    let mut set = FileSet::default();
    for (path, id) in map {
        set.push(&id, &path);
    }
    Ok(set)
}

fn walk(root: &Path, folder: &Path, map: &mut BTreeMap<Vec<u8>, Vec<u8>>) -> Result<(), FilesError> {
    let read = |path: &Path| {
        let path = path.to_owned();
        move |source| FilesError::Read { path, source }
    };
    for item in fs::read_dir(folder).map_err(read(folder))? {
        let item = item.map_err(read(folder))?;
        let path = item.path();
        let name = path.strip_prefix(root).unwrap_or(&path).as_os_str().as_encoded_bytes().to_vec();
        let meta = fs::symlink_metadata(&path).map_err(read(&path))?;
        if meta.is_dir() {
            // What `target` and `node_modules` hold is made from the other files; without git nothing else says so.
            let made = [&b"target"[..], b"node_modules", b".git", b".terraform"];
            if !made.contains(&item.file_name().as_encoded_bytes()) {
                walk(root, &path, map)?;
            }
        } else if meta.is_symlink() {
            let target = fs::read_link(&path).map_err(read(&path))?;
            map.insert(name, content_id("120000", target.as_os_str().as_encoded_bytes()));
        } else if meta.is_file() {
            let bytes = fs::read(&path).map_err(read(&path))?;
            map.insert(name, content_id(mode(&meta), &bytes));
        }
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    fn git(root: &Path, args: &[&str]) {
        let mut all = vec!["-c", "user.name=t", "-c", "user.email=t@t", "-c", "init.defaultBranch=main"];
        all.extend(args);
        query::ask(root, "git", &all, None).unwrap();
    }

    pub(crate) fn repository() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in [("app/a.rs", "a"), ("app/b.rs", "b"), ("app-two/c.rs", "c"), ("Cargo.toml", "t")]
        {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        git(folder.path(), &["init", "-q"]);
        git(folder.path(), &["add", "."]);
        git(folder.path(), &["commit", "-qm", "one"]);
        folder
    }

    pub(crate) fn selected(root: &Path, globs: &[&str]) -> Vec<String> {
        let files = FileSet::snapshot(root).unwrap();
        let globs: Vec<String> = globs.iter().map(|glob| (*glob).to_owned()).collect();
        files.paths(&files.select(&globs))
    }

    fn digest(root: &Path, glob: &str) -> String {
        let files = FileSet::snapshot(root).unwrap();
        files.digest(&files.select(&[glob.to_owned()]))
    }

    #[test]
    fn an_edit_changes_the_digest_of_its_folder_only_and_undoing_it_brings_the_digest_back() {
        let folder = repository();
        let root = folder.path();
        let (app, other) = (digest(root, "app/**"), digest(root, "app-two/**"));
        fs::write(root.join("app/a.rs"), "changed").unwrap();
        assert_ne!(digest(root, "app/**"), app);
        assert_eq!(digest(root, "app-two/**"), other);
        fs::write(root.join("app/a.rs"), "a").unwrap();
        assert_eq!(digest(root, "app/**"), app);
    }

    #[test]
    fn committing_an_edit_does_not_change_the_digest_it_already_had() {
        let folder = repository();
        let root = folder.path();
        fs::write(root.join("app/a.rs"), "changed").unwrap();
        fs::write(root.join("app/new.rs"), "new").unwrap();
        let edited = digest(root, "app/**");
        git(root, &["add", "."]);
        assert_eq!(digest(root, "app/**"), edited);
        git(root, &["commit", "-qm", "two"]);
        assert_eq!(digest(root, "app/**"), edited);
    }

    #[test]
    fn untracked_files_count_unless_git_ignores_them_and_removed_files_do_not() {
        let folder = repository();
        let root = folder.path();
        fs::write(root.join(".gitignore"), "ignored\n").unwrap();
        fs::write(root.join("app/ignored"), "x").unwrap();
        fs::write(root.join("app/zz untracked"), "x").unwrap();
        fs::remove_file(root.join("app/a.rs")).unwrap();
        assert_eq!(selected(root, &["app/**"]), ["app/b.rs", "app/zz untracked"]);
    }

    #[test]
    fn the_executable_bit_and_the_target_of_a_link_count() {
        use std::os::unix::fs::PermissionsExt;
        let folder = repository();
        let root = folder.path();
        let before = digest(root, "app/**");
        fs::set_permissions(root.join("app/a.rs"), fs::Permissions::from_mode(0o755)).unwrap();
        let executable = digest(root, "app/**");
        assert_ne!(before, executable);
        std::os::unix::fs::symlink("a.rs", root.join("app/link")).unwrap();
        let linked = digest(root, "app/**");
        fs::remove_file(root.join("app/link")).unwrap();
        std::os::unix::fs::symlink("b.rs", root.join("app/link")).unwrap();
        assert_ne!(digest(root, "app/**"), linked);
    }

    #[test]
    fn what_a_run_writes_itself_is_never_an_input() {
        let folder = repository();
        let root = folder.path();
        let before = digest(root, "**");
        fs::create_dir_all(root.join(OWN_FOLDER)).unwrap();
        fs::write(root.join(OWN_FOLDER).join("report.json"), "{}").unwrap();
        assert_eq!(digest(root, "**"), before);
    }

    #[test]
    fn a_folder_without_git_is_hashed_file_by_file() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir_all(root.join("app")).unwrap();
        fs::write(root.join("app/a"), "1").unwrap();
        let before = digest(root, "app/**");
        fs::write(root.join("app/a"), "2").unwrap();
        assert_ne!(digest(root, "app/**"), before);
        fs::write(root.join("app/a"), "1").unwrap();
        assert_eq!(digest(root, "app/**"), before);
    }

    #[test]
    fn a_root_below_the_top_of_a_checkout_sees_its_own_files_under_its_own_names() {
        let folder = repository();
        let root = folder.path().join("app");
        fs::write(root.join("a.rs"), "changed").unwrap();
        fs::write(root.join("new"), "x").unwrap();
        assert_eq!(selected(&root, &["**"]), ["a.rs", "b.rs", "new"]);
        let changed = digest(&root, "**");
        fs::write(root.join("a.rs"), "a").unwrap();
        assert_ne!(digest(&root, "**"), changed);
    }
}
