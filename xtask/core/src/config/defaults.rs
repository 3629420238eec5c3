//! What each language checks and reads when `pipeline.yaml` does not say. Commands run in the root. They take a service's
//! dependencies as installed: installing is not a check.

use super::paths::{Root, below};
use super::resolved::{Argv, Language};
use super::trail::{Problem, Trail};
use crate::ids::ServiceName;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;

/// Files outside of a service's folder, in the root, that decide its results.
fn manifests(language: Language) -> &'static [&'static str] {
    match language {
        Language::Rust => &[
            "Cargo.toml",
            "Cargo.lock",
            ".cargo/config.toml",
            "clippy.toml",
            "rust-toolchain",
            "rust-toolchain.toml",
            "rustfmt.toml",
        ],
        Language::Node => &[
            ".eslintrc*",
            ".node-version",
            ".npmrc",
            ".nvmrc",
            "eslint.config.*",
            "npm-shrinkwrap.json",
            "package-lock.json",
            "package.json",
            "pnpm-lock.yaml",
            "pnpm-workspace.yaml",
            "tsconfig*.json",
            "yarn.lock",
        ],
        Language::Python => &[
            ".python-version",
            ".ruff.toml",
            "conftest.py",
            "poetry.lock",
            "pyproject.toml",
            "pytest.ini",
            "requirements*.txt",
            "ruff.toml",
            "setup.cfg",
            "tox.ini",
            "uv.lock",
        ],
        Language::Go => &["go.mod", "go.sum", "go.work", "go.work.sum"],
        Language::Php => &["composer.json", "composer.lock", "phpstan.neon*", "phpunit.xml*"],
        Language::Other => &[],
    }
}

/// The globs of everything in a service's folder, and of the language's manifests in the root.
pub(super) fn inputs(language: Language, path: &str) -> Vec<String> {
    let mut globs = vec![below(path, "**")];
    if path != "." {
        globs.extend(manifests(language).iter().map(|&glob| glob.to_owned()));
    }
    globs
}

/// The commands of one check, and the JUnit file that they write.
#[derive(Debug, Default)]
pub(super) struct Commands {
    pub(super) argv: Vec<Argv>,
    pub(super) junit: Option<String>,
}

/// The language's linter.
pub(super) fn lint(root: &Root, at: &Trail<'_>, language: Language, path: &str) -> Result<Commands, Problem> {
    let words = match language {
        Language::Rust => cargo(root, at, path, &["clippy"], &["--all-targets"], &["--", "-D", "warnings"])?,
        Language::Node => return script(root, at, path, &NPM, "lint"),
        Language::Python => words(&["python3", "-m", "ruff", "check", path]),
        Language::Go => go(root, at, path, "vet")?,
        Language::Php => return script(root, at, path, &COMPOSER, "lint"),
        Language::Other => return Ok(Commands::default()),
    };
    Ok(commands(words))
}

/// The language's tests.
pub(super) fn test(
    root: &Root,
    at: &Trail<'_>,
    language: Language,
    path: &str,
    service: &ServiceName,
) -> Result<Commands, Problem> {
    let words = match language {
        Language::Rust => cargo(root, at, path, &["test"], &[], &[])?,
        Language::Node => return script(root, at, path, &NPM, "test"),
        Language::Python => {
            // In the folder of the runs, which is never an input: the file must not change the key of what wrote it.
            let junit = format!("target/xtask/junit/{service}.xml");
            let words = words(&["python3", "-m", "pytest", path, &format!("--junitxml={junit}")]);
            return Ok(Commands { junit: Some(junit), ..commands(words) });
        }
        Language::Go => go(root, at, path, "test")?,
        Language::Php => return script(root, at, path, &COMPOSER, "test"),
        Language::Other => return Ok(Commands::default()),
    };
    Ok(commands(words))
}

fn commands(words: Vec<String>) -> Commands {
    let mut words = words.into_iter();
    let argv = words.next().map(|program| Argv { program, args: words.collect() });
    Commands { argv: argv.into_iter().collect(), junit: None }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

fn cargo(
    root: &Root,
    at: &Trail<'_>,
    path: &str,
    command: &[&str],
    options: &[&str],
    rest: &[&str],
) -> Result<Vec<String>, Problem> {
    needs(root, at, path, "Cargo.toml", "rust")?;
    // A library may have no lock file; with one, a check must not change it.
    let locked: &[&str] = if root.has_around(path, "Cargo.lock") { &["--locked"] } else { &[] };
    let manifest = below(path, "Cargo.toml");
    Ok(words(&[&["cargo"], command, locked, options, &["--manifest-path", &manifest], rest].concat()))
}

fn go(root: &Root, at: &Trail<'_>, path: &str, command: &str) -> Result<Vec<String>, Problem> {
    if !root.has_around(path, "go.mod") {
        needs(root, at, path, "go.mod", "go")?;
    }
    let folder: &[&str] = if path == "." { &[] } else { &["-C", path] };
    Ok(words(&[&["go"], folder, &[command, "./..."]].concat()))
}

fn needs(root: &Root, at: &Trail<'_>, path: &str, manifest: &str, language: &str) -> Result<(), Problem> {
    if root.has(path, manifest) {
        return Ok(());
    }
    Err(at.wrong(
        format!("there is no `{manifest}` in `{path}`, and the commands of {language} need it"),
        "correct `path` or `language`, or write the commands under `checks`",
    ))
}

/// A package manager that runs scripts of its manifest.
struct Scripts {
    manifest: &'static str,
    language: &'static str,
    program: &'static str,
    folder: &'static str,
    run: &'static str,
}

const NPM: Scripts =
    Scripts { manifest: "package.json", language: "node", program: "npm", folder: "--prefix", run: "run" };
const COMPOSER: Scripts = Scripts {
    manifest: "composer.json",
    language: "php",
    program: "composer",
    folder: "--working-dir",
    run: "run-script",
};

/// The script of this name; nothing if the manifest has none, because then the service has no such check.
fn script(
    root: &Root,
    at: &Trail<'_>,
    path: &str,
    manager: &Scripts,
    name: &str,
) -> Result<Commands, Problem> {
    #[derive(Deserialize)]
    struct Manifest {
        #[serde(default)]
        scripts: BTreeMap<String, serde::de::IgnoredAny>,
    }

    needs(root, at, path, manager.manifest, manager.language)?;
    let file = below(path, manager.manifest);
    let unreadable = |why: &dyn std::fmt::Display| {
        at.wrong(
            format!("the scripts of `{file}` cannot be read: {why}"),
            "correct that file, or write the commands under `checks`",
        )
    };
    let text = fs::read_to_string(root.path().join(&file)).map_err(|error| unreadable(&error))?;
    let manifest: Manifest = serde_json::from_str(&text).map_err(|error| unreadable(&error))?;
    if !manifest.scripts.contains_key(name) {
        return Ok(Commands::default());
    }
    let folder: &[&str] = if path == "." { &[] } else { &[manager.folder, path] };
    Ok(commands(words(&[&[manager.program], folder, &[manager.run, name]].concat())))
}
