//! A lab that a test has for itself, and what is asked of it.

use serde_json::Value;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

static MACHINE: RwLock<()> = RwLock::new(());

/// Held by each test that brings labs up beside those of other tests: once, because a second time could wait for itself.
pub(crate) fn share() -> RwLockReadGuard<'static, ()> {
    MACHINE.read().unwrap_or_else(PoisonError::into_inner)
}

/// Held by a test that compares all of the machine before and after.
pub(crate) fn alone() -> RwLockWriteGuard<'static, ()> {
    MACHINE.write().unwrap_or_else(PoisonError::into_inner)
}

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

/// A lab that is up, and is taken down when the test ends, however it ends.
pub(crate) struct Lab {
    pub(crate) name: String,
}

impl Lab {
    /// Brings one up.
    pub(crate) fn up(of: &str, nodes: u8) -> Lab {
        let made = Lab { name: name(of) };
        let output = made.run(&["up", "--nodes", &nodes.to_string()]);
        println!("{}", String::from_utf8_lossy(&output.stderr));
        made
    }

    /// A command on this lab that must succeed.
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        succeeds(lab(args).args(["--name", &self.name]))
    }

    /// What `status --json` says of it.
    pub(crate) fn status(&self) -> Value {
        let output = succeeds(&mut lab(&["status", "--json"]));
        let all: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
        all.into_iter().find(|lab| lab["name"] == *self.name).unwrap()
    }

    /// The first process of a machine, on the host.
    pub(crate) fn pid(&self, machine: &str) -> String {
        let status = self.status();
        let machines = status["machines"].as_array().unwrap();
        machines.iter().find(|each| each["name"] == machine).unwrap()["pid"].to_string()
    }

    /// kubectl, which must succeed.
    pub(crate) fn kubectl(&self, args: &[&str]) -> String {
        text(&succeeds(self.client().args(args)))
    }

    /// kubectl, not started yet.
    pub(crate) fn client(&self) -> Command {
        let config = PathBuf::from(self.status()["kubeconfig"].as_str().unwrap());
        let programs = programs();
        let mut command = Command::new(programs.join("kubectl"));
        command.env("KUBECONFIG", config).stdin(Stdio::null());
        command
    }

    /// Pushes an image of a program that serves HTTP: the registry, which is one static file.
    pub(crate) fn image(&self) -> String {
        let program = programs().join("registry");
        text(&self.run(&["load", program.to_str().unwrap(), "server:test"])).trim().to_owned()
    }

    /// Runs so many replicas of it behind a service, spread over the nodes, as an unprivileged workload must run.
    pub(crate) fn serve(&self, replicas: usize) {
        let manifest = include_str!("server.json")
            .replace("\"REPLICAS\"", &replicas.to_string())
            .replace("IMAGE", &self.image());
        let mut apply = self.client();
        let mut child = apply.args(["apply", "-f", "-"]).stdin(Stdio::piped()).spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), manifest.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
        self.kubectl(&["rollout", "status", "deployment/server", "--timeout=120s"]);
    }

    /// Waits until the service answers at its cluster address, asked from inside the network of a process. What a node knows of
    /// services follows the cluster by a moment.
    pub(crate) fn answers(&self, pid: &str) {
        let address = self.kubectl(&["get", "service", "server", "-o", "jsonpath={.spec.clusterIP}"]);
        let url = format!("http://{address}/v2/");
        let form = ["-s", "-m", "5", "-o", "/dev/null", "-w", "%{http_code}"];
        let network = format!("--net=/proc/{pid}/ns/net");
        eventually("the service answers", || {
            text(&Command::new("nsenter").args([&network, "curl"]).args(form).arg(&url).output().unwrap())
                == "200"
        });
    }

    /// The nodes that the pods of the service run on.
    pub(crate) fn nodes_of_pods(&self) -> Vec<String> {
        let path = "jsonpath={range .items[?(@.status.phase==\"Running\")]}{.spec.nodeName} {end}";
        let said = self.kubectl(&["get", "pods", "-l", "app=server", "-o", path]);
        let mut nodes: Vec<String> = said.split_whitespace().map(str::to_owned).collect();
        nodes.sort();
        nodes
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

fn succeeds(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    output
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}
