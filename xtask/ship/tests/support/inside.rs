//! Looking into a lab: kubectl, the processes of its machines, and waiting for what takes a while to be true.

use crate::support::{Lab, succeeds};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

impl Lab {
    /// kubectl, not started yet.
    pub(crate) fn client(&self) -> Command {
        let mut command = Command::new(programs().join("kubectl"));
        command.env("KUBECONFIG", self.kubeconfig()).stdin(Stdio::null());
        command
    }

    /// kubectl, which must succeed.
    pub(crate) fn kubectl(&self, args: &[&str]) -> String {
        succeeds(self.client().args(args))
    }

    /// The first process of a machine, on the host.
    pub(crate) fn pid(&self, machine: &str) -> String {
        let status = self.status();
        let machines = status["machines"].as_array().unwrap();
        machines.iter().find(|each| each["name"] == machine).unwrap()["pid"].to_string()
    }
}

/// Where the programs of the newest build are.
pub(crate) fn programs() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache"));
    let builds = std::fs::read_dir(cache.join("slipway/lab/build")).unwrap().map(Result::unwrap);
    let whole = builds.map(|build| build.path()).filter(|build| build.join("build.json").exists());
    let newest = whole.max_by_key(|build| build.join("build.json").metadata().unwrap().modified().unwrap());
    newest.unwrap().join("bin")
}

/// Waits for a fact that takes a while to be true.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(180), "not within 180 s: {what}");
        std::thread::sleep(Duration::from_millis(200));
    }
}
