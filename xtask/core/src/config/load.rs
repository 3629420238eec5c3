//! Finds `pipeline.yaml`, reads it, and turns it into a [`Pipeline`] or into one error.

use super::error::{Complaint, ConfigError, Extent};
use super::explain::explain;
use super::outline::{Entry, Outline};
use super::paths::Root;
use super::raw;
use super::resolve::resolve;
use super::resolved::Pipeline;
use super::trail::Problem;
use super::value::Given;
use jiff::civil::Date;
use std::fs;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

/// The file's name.
pub const FILE_NAME: &str = "pipeline.yaml";

/// The smallest file that works, to start with.
pub const MINIMAL: &str = "\
version: 1
project: hello
services:
  hello:
    path: .
    language: rust   # or node, python, go, php, other
";

/// A file of hundreds of services has a tenth of this; anything larger is not a configuration.
const MAX_BYTES: u64 = 1024 * 1024;

/// The most keys and values, with the beginnings and ends of lists and mappings: a thousand services have as many.
pub(super) const MAX_EVENTS: usize = 60_000;

/// Where to look for `pipeline.yaml`.
#[derive(Debug, Clone, Copy)]
pub enum Start<'a> {
    /// In this folder, or in the nearest one around it that has the file.
    Nearest(&'a Path),
    /// In this folder only.
    Root(&'a Path),
}

/// A `pipeline.yaml` that was found and not yet read, so that other work on its repository can begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    file: PathBuf,
    /// What messages call it.
    shown: String,
    root: PathBuf,
}

impl Found {
    /// The repository's root, without symbolic links.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Reads the configuration. `today` decides whether its waivers still hold.
    ///
    /// # Errors
    ///
    /// Whatever is wrong first: not YAML, not of this format, or naming what is not there.
    pub fn load(self, today: Date) -> Result<Pipeline, ConfigError> {
        let Found { file, shown, root } = self;
        let text = read(&file, &shown)?;
        let raw = parse(&text).map_err(|error| explain(&shown, &text, &error))?;
        resolve(raw, &Root::new(root), today).map_err(|problem| placed(&shown, &text, &problem))
    }
}

/// Finds the configuration and loads it.
///
/// # Errors
///
/// Those of [`find`] and of [`Found::load`].
pub fn load(start: Start<'_>, today: Date) -> Result<Pipeline, ConfigError> {
    find(start)?.load(today)
}

/// Reads the text as the format, without looking at the disk.
pub(super) fn parse(text: &str) -> Result<raw::Pipeline, serde_yaml::Error> {
    // Truth values and numbers as in YAML 1.2 and JSON, so that the schema and this parser agree; limits that no honest file
    // comes near, because the file may come from a stranger's pull request.
    let options = serde_yaml::options! {
        strict_booleans: true,
        no_schema: true,
        reject_unsupported_tags: true,
        ignore_binary_tag_for_string: true,
        with_snippet: false,
        budget: serde_yaml::budget! {
            max_events: MAX_EVENTS,
            max_nodes: MAX_EVENTS,
            max_depth: 32,
            flow_nesting_limit: 32,
            max_aliases: 10_000,
            max_anchors: 10_000,
        },
        alias_limits: serde_yaml::alias_limits! {
            max_total_replayed_events: 30_000,
            max_replay_stack_depth: 16,
        },
    };
    serde_yaml::from_str_with_options(text, options).map(|Given(raw)| raw)
}

/// Finds the configuration.
///
/// # Errors
///
/// There is none, or its folder cannot be read.
pub fn find(start: Start<'_>) -> Result<Found, ConfigError> {
    let (from, upwards) = match start {
        Start::Nearest(from) => (from, true),
        Start::Root(root) => (root, false),
    };
    let absolute =
        std::path::absolute(from).map_err(|error| unreadable(&from.display().to_string(), &error))?;
    let folders: Vec<&Path> = absolute.ancestors().take(if upwards { usize::MAX } else { 1 }).collect();
    let mut other_name = None;
    for folder in &folders {
        let file = folder.join(FILE_NAME);
        if fs::symlink_metadata(&file).is_ok() {
            let shown = if !upwards {
                from.join(FILE_NAME).display().to_string()
            } else if *folder == absolute {
                FILE_NAME.to_owned()
            } else {
                file.display().to_string()
            };
            let root = fs::canonicalize(folder).map_err(|error| unreadable(&shown, &error))?;
            return Ok(Found { file, shown, root });
        }
        let other = folder.join("pipeline.yml");
        if other_name.is_none() && fs::symlink_metadata(&other).is_ok() {
            other_name = Some(other);
        }
    }
    Err(not_found(&folders, other_name.as_deref()))
}

fn not_found(folders: &[&Path], other_name: Option<&Path>) -> ConfigError {
    let looked: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
    let help = match other_name {
        Some(other) => format!("rename {} to {FILE_NAME}", other.display()),
        None => {
            format!("put this into the root of the repository, and change it to what is there:\n\n{MINIMAL}")
        }
    };
    ConfigError::whole(FILE_NAME, &Complaint::new(format!("not found in {}", looked.join(", ")), help))
}

fn read(file: &Path, shown: &str) -> Result<String, ConfigError> {
    let whole = |what: String, help: &str| ConfigError::whole(shown, &Complaint::new(what, help));
    let meta = fs::metadata(file).map_err(|error| unreadable(shown, &error))?;
    // A pipe would block, a device would never end.
    if !meta.is_file() {
        return Err(whole(
            "this is not a regular file".into(),
            "it holds text: services, environments, limits",
        ));
    }
    let mut bytes = Vec::new();
    let limited = fs::File::open(file).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes));
    limited.map_err(|error| unreadable(shown, &error))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(whole(
            format!("the file has {} bytes", meta.len()),
            "at most 1 MiB is read: is this the right file?",
        ));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let text = String::from_utf8_lossy(error.as_bytes());
        let line_start = text[..valid].rfind('\n').map_or(0, |at| at + 1);
        let extent = Extent {
            line: text[..valid].matches('\n').count() + 1,
            column: text[line_start..valid].chars().count() + 1,
            width: 1,
        };
        ConfigError::placed(
            shown,
            &text,
            extent,
            &Complaint::new("this is not UTF-8", "save the file as UTF-8"),
        )
    })
}

fn unreadable(shown: &str, error: &std::io::Error) -> ConfigError {
    let help = if error.kind() == ErrorKind::NotFound {
        "it is a symbolic link to nothing: mend or remove it"
    } else {
        "make it readable to you"
    };
    ConfigError::whole(shown, &Complaint::new(format!("cannot be read: {error}"), help))
}

fn placed(shown: &str, text: &str, problem: &Problem) -> ConfigError {
    match Outline::of(text).nearest(&problem.path).map(Entry::place) {
        Some(extent) => ConfigError::placed(shown, text, extent, &problem.complaint),
        None => ConfigError::whole(shown, &problem.complaint),
    }
}
