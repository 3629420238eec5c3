//! A repository in a folder of its own, and the real binary run in it.

use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

pub(crate) struct Repo {
    folder: tempfile::TempDir,
    /// Tools of this user must not reach the tests, nor theirs the user.
    cache: tempfile::TempDir,
}

/// What a run of the binary gave.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Repo {
    /// A repository with this pipeline.yaml, under git.
    pub(crate) fn new(pipeline: &str) -> Repo {
        let repo = Repo::without_git(pipeline);
        for args in [&["init", "-q", "-b", "main"][..], &["add", "."], &["commit", "-qm", "one"]] {
            repo.git(args);
        }
        repo
    }

    /// The same without git.
    pub(crate) fn without_git(pipeline: &str) -> Repo {
        let repo = Repo { folder: tempfile::tempdir().unwrap(), cache: tempfile::tempdir().unwrap() };
        repo.write("pipeline.yaml", pipeline);
        repo.write("app/input.txt", "one\n");
        repo
    }

    /// One service `hello` of language `other` with these lint commands, as YAML.
    pub(crate) fn linting(commands: &str) -> Repo {
        Repo::new(&format!(
            "version: 1\nproject: test\nservices:\n  hello:\n    path: app\n    language: other\n    env: [FLAVOUR]\n    \
             checks:\n      lint: {commands}\n"
        ))
    }

    pub(crate) fn root(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_default()
    }

    pub(crate) fn git(&self, args: &[&str]) {
        let status = Command::new("git")
            .current_dir(self.root())
            .args(["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"])
            .args(args)
            .status()
            .unwrap();
        assert!(status.success(), "git {args:?}");
    }

    /// The command, with an environment that does not depend on who runs the tests.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command
            .current_dir(self.root())
            .args(args)
            .stdin(Stdio::null())
            .env("XDG_CACHE_HOME", self.cache.path());
        for name in ["CI", "GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "NO_COLOR", "FLAVOUR", "GITHUB_BASE_REF"]
        {
            command.env_remove(name);
        }
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        Ran::of(&self.command(args).output().unwrap())
    }

    pub(crate) fn report(&self) -> Value {
        serde_json::from_str(&self.read("target/xtask/report.json")).unwrap()
    }

    /// The record of one stage in the last report.
    pub(crate) fn stage(&self, id: &str) -> Value {
        let report = self.report();
        let stages = report["stages"].as_array().unwrap();
        stages.iter().find(|stage| stage["id"] == id).unwrap_or_else(|| panic!("no {id} in {report}")).clone()
    }
}

impl Ran {
    pub(crate) fn of(output: &Output) -> Ran {
        Ran {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Asserts the exit code and gives itself back.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Ran {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    #[track_caller]
    pub(crate) fn says(self, words: &str) -> Ran {
        assert!(
            self.stdout.contains(words) || self.stderr.contains(words),
            "no `{words}` in\n{}\n{}",
            self.stdout,
            self.stderr
        );
        self
    }
}
