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
        self.there(at, base, text, Want::File)
            .map(|path| relative(base, path))
    }

    /// A file or folder below another folder that is written relative to it.
    pub(super) fn either_in(&self, at: &Trail<'_>, base: &str, text: &str) -> Result<String, Problem> {
        self.there(at, base, text, Want::Either)
            .map(|path| relative(base, path))
    }

    /// A file that a command will make: it need not be there, but its folder may not lead out of the root.
    pub(super) fn made(&self, at: &Trail<'_>, text: &str) -> Result<String, Problem> {
        let path = clean(at, text)?;
        if path == "." {
            return Err(at.wrong("the root itself is in place of a file", "name one file"));
        }
        self.stays(at, &path)?;
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
        let folders = if folders.is_empty() {
            ".".to_owned()
        } else {
            clean(at, folders)?
        };
        if pattern.split(['/', '{', ',', '}']).any(|part| part == "..") {
            return Err(leaves(at));
        }
        self.stays(at, &folders)?;
        if pattern.is_empty() && fs::metadata(self.real.join(&folders)).is_ok_and(|meta| meta.is_dir()) {
            let all = below(&folders, "**");
            return Err(at.wrong(
                format!("`{text}` is a folder, and a glob selects files"),
                format!("write `{sign}{all}`"),
            ));
        }
        Ok(format!(
            "{sign}{}",
            if pattern.is_empty() {
                folders
            } else {
                below(&folders, pattern)
            }
        ))
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
        let linked = self.stays(at, &path)?;
        let full = self.real.join(&path);
        let meta = fs::metadata(&full).map_err(|error| match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => self.missing(at, &path, want),
            _ => at.wrong(format!("`{path}` cannot be read: {error}"), "make it readable"),
        })?;
        match (want, meta.is_dir()) {
            (Want::Folder, false) => Err(at.wrong(format!("`{path}` is a file"), "name a folder")),
            (Want::File, true) => Err(at.wrong(format!("`{path}` is a folder"), "name a file")),
            (Want::Folder, true) | (Want::File, false) | (Want::Either, _) if linked => {
                Ok(self.real_path(&full, path))
            }
            (Want::Folder, true) | (Want::File, false) | (Want::Either, _) => Ok(path),
        }
    }

    fn real_path(&self, full: &Path, written: String) -> String {
        let real = fs::canonicalize(full).ok();
        let inside = real
            .as_deref()
            .and_then(|real| real.strip_prefix(&self.real).ok())
            .and_then(Path::to_str);
        match inside {
            Some("") => ".".to_owned(),
            Some(inside) => inside.to_owned(),
            None => written,
        }
    }

    fn missing(&self, at: &Trail<'_>, path: &str, want: Want) -> Problem {
        let kind = match want {
            Want::Folder => "folder",
            Want::File => "file",
            Want::Either => "file or folder",
        };
        if fs::symlink_metadata(self.real.join(path)).is_ok() {
            return at.wrong(
                format!("`{path}` is a symbolic link to nothing"),
                format!("name a {kind} that is there"),
            );
        }
        let (folder, name) = path.rsplit_once('/').unwrap_or((".", path));
        let names: Vec<String> = fs::read_dir(self.real.join(folder))
            .map(|items| {
                items
                    .flatten()
                    .filter_map(|item| item.file_name().into_string().ok())
                    .collect()
            })
            .unwrap_or_default();
        let help = match similar(name, names.iter().map(String::as_str)) {
            Some(near) => format!(
                "did you mean `{}`?",
                below(if folder == "." { "" } else { folder }, near)
            ),
            None => "paths are relative to the folder of pipeline.yaml".to_owned(),
        };
        at.wrong(format!("there is no {kind} `{path}`"), help)
    }

    /// Refuses a path that a symbolic link leads out of the root; says whether there is any link on the way.
    fn stays(&self, at: &Trail<'_>, path: &str) -> Result<bool, Problem> {
        let mut full = self.real.clone();
        let mut linked = false;
        for part in path.split('/') {
            full.push(part);
            match fs::symlink_metadata(&full) {
                Ok(meta) => linked |= meta.is_symlink(),
                // What is not there yet is made inside of what has been walked through.
                Err(_) => {
                    full.pop();
                    break;
                }
            }
        }
        if !linked {
            return Ok(false);
        }
        match fs::canonicalize(&full) {
            Ok(real) if !real.starts_with(&self.real) => Err(at.wrong(
                format!("`{path}` leads out of the repository through a symbolic link"),
                "keep it inside",
            )),
            Ok(_) | Err(_) => Ok(true),
        }
    }
}

/// The path without `.` and without slashes at the end; `.` for the root itself.
fn clean(at: &Trail<'_>, text: &str) -> Result<String, Problem> {
    if text.starts_with('/') {
        return Err(at.wrong(
            format!("`{text}` is an absolute path"),
            "write it relative to the folder of pipeline.yaml",
        ));
    }
    let parts: Vec<&str> = text
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .collect();
    if parts.contains(&"..") {
        return Err(leaves(at));
    }
    Ok(if parts.is_empty() {
        ".".to_owned()
    } else {
        parts.join("/")
    })
}

fn leaves(at: &Trail<'_>) -> Problem {
    at.wrong(
        "a path with `..` in it",
        "write the way from the folder of pipeline.yaml down, without `..`",
    )
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
        path.strip_prefix(base)
            .and_then(|rest| rest.strip_prefix('/'))
            .map(str::to_owned)
            .unwrap_or(path)
    }
}
