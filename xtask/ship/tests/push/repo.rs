//! A repository with one service, and the real binary run in it.

use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

pub(crate) struct Repo {
    folder: tempfile::TempDir,
    /// Credentials and caches of this user must not reach the tests, nor theirs the user.
    home: tempfile::TempDir,
}

/// What a run of the binary gave.
#[derive(Debug)]
pub(crate) struct Ran {
    code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Repo {
    /// A service whose image is made without an engine, committed on the branch main.
    pub(crate) fn new() -> Repo {
        let repo = Repo { folder: tempfile::tempdir().unwrap(), home: tempfile::tempdir().unwrap() };
        repo.write(
            "pipeline.yaml",
            "version: 1\nproject: test\nservices:\n  hello:\n    path: app\n    language: other\n    image:\n      \
             dockerfile: app/Dockerfile\n      embedded: { build: [cp, app/input.txt, target/made], files: { /app: \
             target/made } }\n",
        );
        repo.write("app/Dockerfile", "FROM scratch\nCOPY --from=build /app /app\nENTRYPOINT [\"/app\"]\n");
        repo.write("app/input.txt", "one\n");
        repo.write(".gitignore", "/target\n");
        repo.write("target/kept", "");
        repo.git(&["init", "-q", "-b", "main"]);
        repo.commit();
        repo
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// Where the binary looks for credentials.
    pub(crate) fn docker_config(&self) -> PathBuf {
        self.home.path().join("config.json")
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn git(&self, args: &[&str]) -> String {
        let own = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"];
        let output =
            Command::new("git").current_dir(self.folder.path()).args(own).args(args).output().unwrap();
        assert!(output.status.success(), "git {args:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    pub(crate) fn commit(&self) {
        self.git(&["add", "."]);
        self.git(&["commit", "-qm", "a commit"]);
    }

    pub(crate) fn push(&self, args: &[&str]) -> Ran {
        Ran::of(self.start(args).wait_with_output().unwrap())
    }

    /// The same with these variables.
    pub(crate) fn push_in(&self, variables: &[(&str, &str)], args: &[&str]) -> Ran {
        Ran::of(self.start_in(variables, args).wait_with_output().unwrap())
    }

    pub(crate) fn start(&self, args: &[&str]) -> Child {
        self.start_in(&[], args)
    }

    /// The same with these variables.
    pub(crate) fn start_in(&self, variables: &[(&str, &str)], args: &[&str]) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask-ship"));
        command.current_dir(self.folder.path()).arg("push").args(args).stdin(Stdio::null());
        command.env("XDG_CACHE_HOME", self.home.path()).env("DOCKER_CONFIG", self.home.path());
        command.env("DOCKER_HOST", "unix:///nonexistent/docker.sock");
        for name in ["CI", "GITHUB_ACTIONS", "REGISTRY_USERNAME", "REGISTRY_PASSWORD"] {
            command.env_remove(name);
        }
        command.envs(variables.iter().copied());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// The record of one stage in the last report.
    pub(crate) fn stage(&self, id: &str) -> Value {
        let report: Value =
            serde_json::from_slice(&fs::read(self.path("target/xtask/report.json")).unwrap()).unwrap();
        let stages = report["stages"].as_array().unwrap();
        stages.iter().find(|stage| stage["id"] == id).unwrap().clone()
    }
}

impl Ran {
    pub(crate) fn of(Output { status, stdout, stderr }: Output) -> Ran {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ran { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
    }

    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Ran {
        assert_eq!(self.code, Some(code), "{}\n{}", self.stdout, self.stderr);
        self
    }

    #[track_caller]
    pub(crate) fn says(self, words: &str) -> Ran {
        assert!(self.stdout.contains(words) || self.stderr.contains(words), "no `{words}` in {self:#?}");
        self
    }
}
