//! A repository in a folder of its own, and the real binary run in it.

#![allow(dead_code, reason = "each test file uses its part of this")]

use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

pub struct Repo {
    folder: tempfile::TempDir,
}

/// What a run of the binary gave.
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Repo {
    /// A repository with this pipeline.yaml, under git.
    pub fn new(pipeline: &str) -> Repo {
        let repo = Repo::without_git(pipeline);
        for args in [&["init", "-q", "-b", "main"][..], &["add", "."], &["commit", "-qm", "one"]] {
            repo.git(args);
        }
        repo
    }

    /// The same without git.
    pub fn without_git(pipeline: &str) -> Repo {
        let repo = Repo { folder: tempfile::tempdir().unwrap() };
        repo.write("pipeline.yaml", pipeline);
        repo.write("app/input.txt", "one\n");
        repo
    }

    /// One service `hello` of language `other` with these lint commands, as YAML.
    pub fn linting(commands: &str) -> Repo {
        Repo::new(&format!(
            "version: 1\nproject: test\nservices:\n  hello:\n    path: app\n    language: other\n    env: [FLAVOUR]\n    \
             checks:\n      lint: {commands}\n"
        ))
    }

    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    pub fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_default()
    }

    pub fn git(&self, args: &[&str]) {
        let status = Command::new("git")
            .current_dir(self.root())
            .args(["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"])
            .args(args)
            .status()
            .unwrap();
        assert!(status.success(), "git {args:?}");
    }

    /// The command, with an environment that does not depend on who runs the tests.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command.current_dir(self.root()).args(args).stdin(Stdio::null());
        for name in ["CI", "GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "NO_COLOR", "FLAVOUR", "GITHUB_BASE_REF"] {
            command.env_remove(name);
        }
        command
    }

    pub fn run(&self, args: &[&str]) -> Ran {
        Ran::of(self.command(args).output().unwrap())
    }

    pub fn report(&self) -> Value {
        serde_json::from_str(&self.read("target/xtask/report.json")).unwrap()
    }

    /// The record of one stage in the last report.
    pub fn stage(&self, id: &str) -> Value {
        let report = self.report();
        let stages = report["stages"].as_array().unwrap();
        stages.iter().find(|stage| stage["id"] == id).unwrap_or_else(|| panic!("no {id} in {report}")).clone()
    }
}

impl Ran {
    pub fn of(output: Output) -> Ran {
        Ran {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Asserts the exit code and gives itself back.
    #[track_caller]
    pub fn exits(self, code: i32) -> Ran {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    #[track_caller]
    pub fn says(self, words: &str) -> Ran {
        assert!(self.stdout.contains(words) || self.stderr.contains(words), "no `{words}` in\n{}\n{}", self.stdout, self.stderr);
        self
    }
}
