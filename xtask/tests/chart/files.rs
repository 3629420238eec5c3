//! The chart's files: where they are, and what is in them.

use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

/// The root of this repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

pub(crate) fn chart() -> PathBuf {
    root().join("charts/app")
}

pub(crate) fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub(crate) fn yaml(path: &Path) -> Value {
    serde_yaml::from_str(&text(path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The files right in a folder whose names end like this, sorted.
pub(crate) fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.is_file() && file.to_string_lossy().ends_with(ending));
    files.sort();
    files
}

pub(crate) fn name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

/// All rules of the chart, as they are before the chart fills them in.
pub(crate) fn rules() -> Vec<Value> {
    let groups = files(&chart().join("rules"), ".yaml")
        .iter()
        .flat_map(|file| list(&yaml(file)["groups"]))
        .collect::<Vec<_>>();
    groups.iter().flat_map(|group| list(&group["rules"])).collect()
}

/// The names of all alerts, sorted.
pub(crate) fn alerts() -> Vec<String> {
    let mut alerts: Vec<String> =
        rules().iter().filter_map(|rule| Some(rule.get("alert")?.as_str()?.to_owned())).collect();
    alerts.sort();
    alerts
}

pub(crate) fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}
