//! A copy of this repository as it stands, uncommitted changes included, under a git of its own.

use crate::repo::Repo;
use std::fs;
use std::path::Path;
use std::process::Command;

pub(crate) fn copy() -> Repo {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let repo = Repo::without_git("");
    fs::remove_dir_all(repo.path("app")).unwrap();
    let listed = Command::new("git")
        .current_dir(root)
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .output()
        .unwrap();
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let listed = String::from_utf8(listed.stdout).unwrap();
    // What is deleted but not committed is listed as well.
    for name in listed.split_terminator('\0').filter(|name| root.join(name).is_file()) {
        fs::create_dir_all(repo.path(name).parent().unwrap()).unwrap();
        fs::copy(root.join(name), repo.path(name)).unwrap();
    }
    commit(&repo);
    repo
}

/// Puts all that a folder holds under git.
pub(crate) fn commit(repo: &Repo) {
    for args in [&["init", "-q", "-b", "main"][..], &["add", "."], &["commit", "-qm", "one"]] {
        repo.git(args);
    }
}
