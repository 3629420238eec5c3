//! A lab that a test has for itself: brought up, given images, asked about, and taken down however the test ends. Every test program
//! that needs a lab includes this file as its module `support`.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A command of `lab`, not started yet.
pub(crate) fn lab(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask-ship"));
    command.arg("lab").args(args).stdin(Stdio::null());
    command
}

/// The name of a lab of this run of the tests.
pub(crate) fn name(of: &str) -> String {
    format!("t{}-{of}", std::process::id())
}

/// Runs what must succeed, and gives what it answered.
pub(crate) fn succeeds(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// A lab that is up, and is taken down when the test ends.
pub(crate) struct Lab {
    pub(crate) name: String,
}

impl Lab {
    /// Brings one up. No other test of the program may use the same word.
    pub(crate) fn up(of: &str, nodes: u8) -> Lab {
        let made = Lab { name: name(of) };
        made.run(&["up", "--nodes", &nodes.to_string()]);
        made
    }

    /// A command on this lab that must succeed.
    pub(crate) fn run(&self, args: &[&str]) -> String {
        succeeds(lab(args).args(["--name", &self.name]))
    }

    /// What `status --json` says of it.
    pub(crate) fn status(&self) -> Value {
        let all: Vec<Value> = serde_json::from_str(&succeeds(&mut lab(&["status", "--json"]))).unwrap();
        all.into_iter().find(|lab| lab["name"] == *self.name).unwrap()
    }

    /// Where its kubeconfig is.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        PathBuf::from(self.status()["kubeconfig"].as_str().unwrap())
    }

    /// Pushes a static program as an image, and gives its reference by digest.
    pub(crate) fn load(&self, program: &Path, reference: &str) -> String {
        self.run(&["load", program.to_str().unwrap(), reference]).trim().to_owned()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let ended = lab(&["down", "--name", &self.name]).output().unwrap();
        if !std::thread::panicking() {
            assert!(ended.status.success(), "{ended:?}");
        }
    }
}
