//! Paths of `pipeline.yaml`: relative, inside of the root, and there. Nothing that the file names may lead out of the repository,
//! neither by `..` nor through a symbolic link.

use super::explain::similar;
use super::trail::{Problem, Trail};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The root of the repository, and every question about what is below it.
#[derive(Debug)]
pub(super) struct Root {
    /// Without symbolic links.
    real: PathBuf,
}

/// What a path must lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Want {
    Folder,
    File,
    Either,
}

impl Root {
    pub(super) fn new(real: PathBuf) -> Root {
        Root { real }
    }

    pub(super) fn path(&self) -> &Path {
        &self.real
    }

    /// A folder that is there. The answer is free of `.`, of slashes at the end and of symbolic links, because git lists no
    /// files behind a link.
    pub(super) fn folder(&self, at: &Trail<'_>, text: &str) -> Result<String, Problem> {
        self.there(at, "", text, Want::Folder)
    }

    /// A file that is there.
    pub(super) fn file(&self, at: &Trail<'_>, text: &str) -> Result<String, Problem> {
        self.there(at, "", text, Want::File)
    }

    /// A folder that holds the file by which its kind is known.
    pub(super) fn folder_with(&self, at: &Trail<'_>, text: &str, marker: &str) -> Result<String, Problem> {
        let folder = self.folder(at, text)?;
        if self.has(&folder, marker) {
            return Ok(folder);
        }
        Err(at.wrong(
            format!("there is no `{marker}` in `{folder}`"),
            format!("name the folder that holds `{marker}`"),
        ))
    }

    /// A file below another folder that is written relative to it.
    pub(super) fn file_in(&self, at: &Trail<'_>, base: &str, text: &str) -> Result<String, Problem> {
        self.there(at, base, text, Want::File).map(|path| relative(base, path))
    }

    /// A file or folder below another folder that is written relative to it.
    pub(super) fn either_in(&self, at: &Trail<'_>, base: &str, text: &str) -> Result<String, Problem> {
        self.there(at, base, text, Want::Either).map(|path| relative(base, path))
    }

    /// A file that a command will make: it need not be there, but its folder may not lead out of the root.
    pub(super) fn made(&self, at: &Trail<'_>, text: &str) -> Result<String, Problem> {
        let path = clean(at, text)?;
        if path == "." {
            return Err(at.wrong("the root itself is in place of a file", "name one file"));
        }
        self.walk(at, &path)?;
        Ok(path)
    }

    /// A glob of files, with or without `!` in front.
    pub(super) fn glob(&self, at: &Trail<'_>, text: &str) -> Result<String, Problem> {
        let (sign, glob) = text.strip_prefix('!').map_or(("", text), |glob| ("!", glob));
        if glob.is_empty() || glob.starts_with('!') {
            return Err(at.wrong(
                format!("`{text}` names no files"),
                "write one `!` and the glob of what is left out",
            ));
        }
        if let Err(error) = fast_glob::validate(glob) {
            return Err(at.wrong(
                format!("not a glob: {error}"),
                "`*` is any name, `**` any folders, `{a,b}` one of both",
            ));
        }
        let literal = glob
            .find(['*', '?', '[', '{', '\\'])
            .map_or(glob.len(), |meta| glob[..meta].rfind('/').map_or(0, |at| at + 1));
        let (folders, pattern) = glob.split_at(literal);
        let folders = if folders.is_empty() { ".".to_owned() } else { clean(at, folders)? };
        if pattern.split(['/', '{', ',', '}']).any(|part| part == "..") {
            return Err(leaves(at));
        }
        self.walk(at, &folders)?;
        if pattern.is_empty() && fs::metadata(self.real.join(&folders)).is_ok_and(|meta| meta.is_dir()) {
            let all = below(&folders, "**");
            return Err(at.wrong(
                format!("`{text}` is a folder, and a glob selects files"),
                format!("write `{sign}{all}`"),
            ));
        }
        Ok(format!("{sign}{}", if pattern.is_empty() { folders } else { below(&folders, pattern) }))
    }

    /// Whether a folder of the root holds a file of this name.
    pub(super) fn has(&self, folder: &str, name: &str) -> bool {
        fs::metadata(self.real.join(folder).join(name)).is_ok_and(|meta| meta.is_file())
    }

    /// Whether the folder, or one around it up to the root, holds a file of this name.
    pub(super) fn has_around(&self, folder: &str, name: &str) -> bool {
        Path::new(folder)
            .ancestors()
            .any(|folder| folder.to_str().is_some_and(|folder| self.has(folder, name)))
    }

    fn there(&self, at: &Trail<'_>, base: &str, text: &str, want: Want) -> Result<String, Problem> {
        let path = below(base, &clean(at, text)?);
        let Some(found) = self.walk(at, &path)? else {
            return Err(self.missing(at, &path, want));
        };
        match (want, found.folder) {
            (Want::Folder, false) => Err(at.wrong(format!("`{path}` is a file"), "name a folder")),
            (Want::File, true) => Err(at.wrong(format!("`{path}` is a folder"), "name a file")),
            (Want::Folder, true) | (Want::File, false) | (Want::Either, _) => Ok(found.real.unwrap_or(path)),
        }
    }

    fn missing(&self, at: &Trail<'_>, path: &str, want: Want) -> Problem {
        let kind = match want {
            Want::Folder => "folder",
            Want::File => "file",
            Want::Either => "file or folder",
        };
        let (folder, name) = path.rsplit_once('/').unwrap_or((".", path));
        let names: Vec<String> = fs::read_dir(self.real.join(folder))
            .map(|items| items.flatten().filter_map(|item| item.file_name().into_string().ok()).collect())
            .unwrap_or_default();
        let help = match similar(name, names.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{}`?", below(if folder == "." { "" } else { folder }, near)),
            None => "paths are relative to the folder of pipeline.yaml".to_owned(),
        };
        at.wrong(format!("there is no {kind} `{path}`"), help)
    }

    /// Follows a path as far as it is there, and refuses it if a symbolic link leads it out of the root or into nothing. `None`
    /// if it ends before its last part: what is missing would be made inside of what has been walked through.
    fn walk(&self, at: &Trail<'_>, path: &str) -> Result<Option<Found>, Problem> {
        let mut full = self.real.clone();
        let (mut linked, mut folder, mut whole) = (false, true, true);
        for part in path.split('/').filter(|part| *part != ".") {
            full.push(part);
            match fs::symlink_metadata(&full) {
                Ok(meta) => {
                    linked |= meta.is_symlink();
                    folder = meta.is_dir();
                }
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                    full.pop();
                    whole = false;
                    break;
                }
                Err(error) => {
                    return Err(at.wrong(format!("`{path}` cannot be read: {error}"), "make it readable"));
                }
            }
        }
        let mut found = Found { folder, real: None };
        if linked {
            let Ok(real) = fs::canonicalize(&full) else {
                return Err(at.wrong(
                    format!("`{path}` is a symbolic link to nothing"),
                    "mend the link or name another path",
                ));
            };
            let Ok(inside) = real.strip_prefix(&self.real) else {
                let what = format!("`{path}` leads out of the repository through a symbolic link");
                return Err(at.wrong(what, "name a path inside of it"));
            };
            found.folder = real.is_dir();
            found.real = inside.to_str().map(|inside| below(inside, "."));
        }
        Ok(whole.then_some(found))
    }
}

/// What a path leads to.
struct Found {
    folder: bool,
    /// The path without symbolic links, if the written one has any.
    real: Option<String>,
}

/// The path without `.` and without slashes at the end; `.` for the root itself.
fn clean(at: &Trail<'_>, text: &str) -> Result<String, Problem> {
    if text.starts_with('/') {
        return Err(at.wrong(
            format!("`{text}` is an absolute path"),
            "write it relative to the folder of pipeline.yaml",
        ));
    }
    let parts: Vec<&str> = text.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if parts.contains(&"..") {
        return Err(leaves(at));
    }
    Ok(if parts.is_empty() { ".".to_owned() } else { parts.join("/") })
}

fn leaves(at: &Trail<'_>) -> Problem {
    at.wrong("a path with `..` in it", "write the way from the folder of pipeline.yaml down, without `..`")
}

/// A path below a folder, where `.` and nothing are the root.
pub(super) fn below(folder: &str, path: &str) -> String {
    match (folder, path) {
        ("" | ".", path) => path.to_owned(),
        (folder, ".") => folder.to_owned(),
        (folder, path) => format!("{folder}/{path}"),
    }
}

/// A path inside of its base, relative to it again; a link may have led out of the base, then it stays as it is.
fn relative(base: &str, path: String) -> String {
    if base == "." {
        path
    } else {
        path.strip_prefix(base).and_then(|rest| rest.strip_prefix('/')).map(str::to_owned).unwrap_or(path)
    }
}
