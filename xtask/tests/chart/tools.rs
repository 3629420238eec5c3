//! The real tools, as `tools.lock` pins them, and what the chart renders with them.

use crate::files::{chart, root};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

const WANTED: [&str; 5] = ["checkov", "helm", "helm-unittest", "helm3", "promtool"];

/// Where a tool is; the first question installs what is missing.
fn tool(name: &str) -> &'static Path {
    static TOOLS: OnceLock<BTreeMap<String, PathBuf>> = OnceLock::new();
    let tools = TOOLS.get_or_init(|| {
        let said = xtask(&[&["tools", "sync"], &WANTED[..]].concat());
        let lines = String::from_utf8(said.stdout).unwrap();
        assert!(said.status.success(), "{lines}");
        let tools = lines.lines().map(|line| {
            let (name, rest) = line.split_once(' ').unwrap();
            let path = rest.split("  ").nth(1).unwrap();
            (name.to_owned(), PathBuf::from(path))
        });
        tools.collect()
    });
    tools.get(name).unwrap_or_else(|| panic!("{name} is not among {tools:?}"))
}

/// Runs the binary in this repository. Progress goes to the test's own standard error, for somebody who waits.
pub(crate) fn xtask(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_xtask"))
        .current_dir(root())
        .args(args)
        .env_remove("GITHUB_ACTIONS")
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .unwrap()
}

/// What a tool said, both streams, and whether it was content.
pub(crate) struct Ran {
    pub(crate) passed: bool,
    pub(crate) stdout: String,
    pub(crate) all: String,
}

pub(crate) fn run<A: AsRef<OsStr>>(name: &str, folder: &Path, args: impl IntoIterator<Item = A>) -> Ran {
    let output =
        Command::new(tool(name)).current_dir(folder).args(args).stdin(Stdio::null()).output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    let all = format!("{stdout}{}", String::from_utf8_lossy(&output.stderr));
    Ran { passed: output.status.success(), stdout, all }
}

/// Renders a chart as the `chart` stage does.
pub(crate) fn render(helm: &str, chart: &Path, minor: &str, values: &[&str]) -> Ran {
    let mut args = vec!["template", "app", ".", "--namespace", "rendered", "--kube-version", minor];
    args.extend(values.iter().flat_map(|values| ["--values", values]));
    run(helm, chart, args)
}

/// What each environment's file needs beside it.
pub(crate) const DEFAULTS: &[&str] = &[];
pub(crate) const DEV: &[&str] = &["values.dev.yaml"];
pub(crate) const PROD: &[&str] = &["values.prod.yaml", "ci/values.prod.yaml"];

/// The Kubernetes that renders are for when it does not matter.
pub(crate) const NEWEST: &str = "1.36";

/// A render of this repository's chart.
pub(crate) fn rendered(values: &[&str]) -> String {
    let ran = render("helm", &chart(), NEWEST, values);
    assert!(ran.passed, "{}", ran.all);
    ran.stdout
}

/// A copy of the chart that may be broken.
pub(crate) fn copy() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    copy_into(&chart(), &folder.path().join("app"));
    folder
}

fn copy_into(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_into(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// The objects of a render.
pub(crate) fn objects(render: &str) -> Vec<serde_json::Value> {
    let documents = render.split("\n---").map(|document| document.trim_start_matches("---"));
    let objects = documents.map(|document| serde_yaml::from_str(document).unwrap());
    objects.filter(|object: &serde_json::Value| !object.is_null()).collect()
}
