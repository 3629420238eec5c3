//! A copy of the configuration to work in: `init` writes beside what it reads, and what it would write there with a stand-in
//! provider must not get into the repository.

use crate::engine::Cx;
use crate::error::StageError;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

/// The lock file of providers.
pub(super) const LOCK_FILE: &str = ".terraform.lock.hcl";

/// A copy of a folder of the repository, for this try of a stage alone.
#[derive(Debug)]
pub struct Workspace {
    /// The folder in the repository, relative to its root.
    pub(super) path: String,
    /// The copy.
    pub(super) folder: PathBuf,
    /// Where Terraform is told that its home is, so that neither settings nor credentials of the user decide what it does.
    pub(super) home: PathBuf,
    /// The root modules in it: the folder itself, then every folder in it that configures a provider, which only a root module does.
    pub roots: Vec<Root>,
}

/// A root module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// Its folder in the repository, relative to the repository's root.
    pub path: String,
    /// The copy of it.
    pub(super) folder: PathBuf,
}

impl Workspace {
    /// Copies a folder, and finds the root modules in it.
    ///
    /// Left out are Terraform's own files (`.terraform`, state, plans): they are no part of the configuration, and a state would make
    /// a plan from another world.
    pub fn new(cx: &Cx, path: &str) -> Result<Workspace, StageError> {
        let (folder, home) = (cx.scratch()?.join("configuration"), cx.scratch()?.join("home"));
        // An earlier try may have left one.
        remove(&folder)?;
        copy(&cx.root().join(path), &folder)?;
        fs::create_dir_all(&home).map_err(StageError::io("cannot make folder", &home))?;
        if !holds(&folder, is_configuration)? {
            return Err(StageError::Config(format!(
                "`{path}` holds no .tf file, so it is no Terraform module"
            )));
        }
        let mut roots = vec![Root { path: path.to_owned(), folder: folder.clone() }];
        find_roots(path, &folder, &mut roots)?;
        Ok(Workspace { path: path.to_owned(), folder, home, roots })
    }
}

/// A path that Terraform names, as a path of the repository, if there is such a file. `base` is the folder that it ran on.
pub(super) fn place(repository: &Path, base: &str, file: &str) -> Option<String> {
    let path = plain(&Path::new(base).join(file))?;
    repository.join(&path).is_file().then_some(path)
}

/// Without `.` and `..`. None if it leads out, or nowhere.
fn plain(path: &Path) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => parts.push(name.to_str()?),
            Component::CurDir => {}
            Component::ParentDir => drop(parts.pop()?),
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}

fn remove(folder: &Path) -> Result<(), StageError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(StageError::io("cannot remove", folder)(error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn copy(from: &Path, to: &Path) -> Result<(), StageError> {
    fs::create_dir_all(to).map_err(StageError::io("cannot make folder", to))?;
    for item in entries(from)? {
        let (name, path) = (item.file_name(), item.path());
        // The folder that holds the copy itself would be copied for ever.
        if is_terraforms_own(&name.to_string_lossy()) || to.starts_with(&path) {
            continue;
        }
        let target = to.join(&name);
        let kind = item.file_type().map_err(StageError::io("cannot read", &path))?;
        if kind.is_dir() {
            copy(&path, &target)?;
        } else if kind.is_symlink() {
            // What is behind it stays where it is: the copy only reads it.
            let real = fs::canonicalize(&path).map_err(StageError::io("cannot follow", &path))?;
            std::os::unix::fs::symlink(real, &target).map_err(StageError::io("cannot link", &target))?;
        } else {
            fs::copy(&path, &target).map_err(StageError::io("cannot copy", &path))?;
        }
    }
    Ok(())
}

fn is_terraforms_own(name: &str) -> bool {
    let made = [".tfstate", ".tfstate.backup", ".tfplan"].iter().any(|end| name.ends_with(end));
    made || name == ".git" || (name.starts_with(".terraform") && name != LOCK_FILE)
}

/// Adds the root modules below `folder`, which is the copy of `path`.
fn find_roots(path: &str, folder: &Path, roots: &mut Vec<Root>) -> Result<(), StageError> {
    for item in entries(folder)? {
        if !item.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        let name = item.file_name();
        let root = Root { path: format!("{path}/{}", name.to_string_lossy()), folder: item.path() };
        if holds(&root.folder, configures_a_provider)? {
            roots.push(root.clone());
        }
        find_roots(&root.path, &root.folder, roots)?;
    }
    Ok(())
}

/// Whether a file of the folder itself is such a one.
pub(super) fn holds(folder: &Path, is: impl Fn(&Path) -> bool) -> Result<bool, StageError> {
    Ok(entries(folder)?.iter().any(|item| is(&item.path())))
}

fn is_configuration(path: &Path) -> bool {
    let name = path.to_string_lossy();
    name.ends_with(".tf") || name.ends_with(".tf.json")
}

/// Whether tests are in the file.
pub(super) fn is_test(path: &Path) -> bool {
    let name = path.to_string_lossy();
    name.ends_with(".tftest.hcl") || name.ends_with(".tftest.json")
}

/// Whether a file has a `provider` block. Only the form that `fmt` writes is known; a file of JSON is not looked into.
fn configures_a_provider(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "tf")
        && fs::read_to_string(path).is_ok_and(|text| text.lines().any(|line| line.starts_with("provider \"")))
}

/// The entries of a folder, by name, so that every run does the same in the same order.
fn entries(folder: &Path) -> Result<Vec<fs::DirEntry>, StageError> {
    let read = || -> io::Result<Vec<fs::DirEntry>> {
        let mut entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        Ok(entries)
    };
    read().map_err(StageError::io("cannot list", folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn a_copy_has_the_configuration_without_state_plans_and_downloads_and_never_itself() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for path in ["main.tf", "modules/a/main.tf", LOCK_FILE, ".hidden.tpl"] {
            write(root, path, "");
        }
        for path in
            [".terraform/x", "terraform.tfstate", "old.tfplan", ".terraform.tfstate.lock.info", ".git/config"]
        {
            write(root, path, "");
        }
        std::os::unix::fs::symlink("modules/a/main.tf", root.join("linked.tf")).unwrap();
        let to = root.join("target/copy");
        copy(root, &to).unwrap();
        let mut found = Vec::new();
        for folder in [to.clone(), to.join("modules/a")] {
            found
                .extend(entries(&folder).unwrap().iter().map(|item| item.file_name().into_string().unwrap()));
        }
        assert_eq!(found, [".hidden.tpl", LOCK_FILE, "linked.tf", "main.tf", "modules", "main.tf"]);
        assert!(to.join("linked.tf").is_file());
    }

    #[test]
    fn a_folder_that_configures_a_provider_is_a_root_module_and_one_that_only_requires_it_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        write(root, "modules/a/main.tf", "terraform {\n  required_providers {\n    aws = {}\n  }\n}\n");
        write(root, "bootstrap/main.tf", "provider \"aws\" {\n}\n");
        write(root, "bootstrap/deep/b/main.tf", "provider \"aws\" {\n}\n");
        write(root, "tests/main.tftest.hcl", "provider \"aws\" {\n}\n");
        let mut roots = Vec::new();
        find_roots("infra", root, &mut roots).unwrap();
        let paths: Vec<&str> = roots.iter().map(|root| root.path.as_str()).collect();
        assert_eq!(paths, ["infra/bootstrap", "infra/bootstrap/deep/b"]);
        assert_eq!(roots[1].folder, root.join("bootstrap/deep/b"));
    }

    #[test]
    fn places_are_of_the_repository_and_there_or_none() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "infra/modules/a/main.tf", "");
        let place = |base: &str, file: &str| place(folder.path(), base, file);
        let expected = Some("infra/modules/a/main.tf".to_owned());
        assert_eq!(place("infra", "modules/a/main.tf"), expected);
        assert_eq!(place("infra/bootstrap", "../modules/a/main.tf"), expected);
        assert_eq!(place(".", "infra/modules/a/main.tf"), expected);
        assert_eq!(place("infra", "stand_in_override.tf"), None);
        assert_eq!(place("infra", "../../etc/passwd"), None);
        assert_eq!(place("infra", "/etc/passwd"), None);
    }
}
