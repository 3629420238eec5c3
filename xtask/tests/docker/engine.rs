//! A Docker engine of a test's own: `dockerd`, started by hand with its socket and all of its files in a temporary folder.
//!
//! It runs in namespaces of its own. Its mounts and its containers live in them and end with it, whatever becomes of the test; and it
//! has no network at all, so that it can neither pull anything nor touch the machine's addresses and packet filters.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// More than any step here takes on a busy machine; only a hang reaches it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A running engine; it ends when this is dropped.
pub(crate) struct Engine {
    folder: TempDir,
    /// `unshare`, whose only child is `dockerd`.
    outer: Child,
    cgroup: String,
}

impl Engine {
    pub(crate) fn start() -> Engine {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let installed =
            Command::new("dockerd").arg("--version").output().is_ok_and(|output| output.status.success());
        assert!(
            installed,
            "this test starts a Docker engine of its own: `apt-get install docker.io` installs dockerd"
        );
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().display();
        let cgroup = format!("xtask-test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let outer = Command::new("setpriv")
            // The signal comes when the thread of the test ends, so the engine also goes when the test binary is killed.
            .args(["--pdeathsig", "KILL"])
            .args(["unshare", "--mount", "--net", "--pid", "--fork", "--mount-proc", "--kill-child=KILL"])
            .args(["dockerd", "--bridge=none", "--iptables=false", "--ip-forward=false"])
            .args(["--exec-opt=native.cgroupdriver=cgroupfs", &format!("--cgroup-parent=/{cgroup}")])
            .args([&format!("--host=unix://{root}/socket"), &format!("--data-root={root}/data")])
            .args([&format!("--exec-root={root}/exec"), &format!("--pidfile={root}/pid")])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut engine = Engine { folder, outer, cgroup };
        engine.wait_until_it_answers();
        engine
    }

    fn wait_until_it_answers(&mut self) {
        let began = Instant::now();
        while !self.command(&["version"]).output().unwrap().status.success() {
            let ended = self.outer.try_wait().unwrap();
            if ended.is_some() || began.elapsed() > PATIENCE {
                let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
                panic!("dockerd does not answer (it must be started by root); {ended:?}; its log:\n{log}");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The value of DOCKER_HOST.
    pub(crate) fn host(&self) -> String {
        format!("unix://{}", self.folder.path().join("socket").display())
    }

    /// The client's command line, speaking to this engine.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("docker");
        command
            .env("DOCKER_HOST", self.host())
            .env("DOCKER_CONFIG", self.folder.path())
            .env_remove("DOCKER_CONTEXT");
        command.args(args).stdin(Stdio::null());
        command
    }

    /// What the client prints.
    #[track_caller]
    pub(crate) fn docker(&self, args: &[&str]) -> String {
        let output = self.command(args).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "docker {args:?}: {stderr}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// The same, with something on its standard input, which `write` may send in pieces.
    #[track_caller]
    pub(crate) fn docker_with(&self, args: &[&str], write: impl FnOnce(&mut dyn Write)) -> String {
        let mut child = self
            .command(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = std::io::BufWriter::with_capacity(1 << 20, child.stdin.take().unwrap());
        write(&mut stdin);
        stdin.flush().unwrap();
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "docker {args:?}: {stderr}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Waits until the client prints something that satisfies `is`.
    #[track_caller]
    pub(crate) fn wait_for(&self, args: &[&str], is: impl Fn(&str) -> bool) -> String {
        let began = Instant::now();
        loop {
            let printed = self.docker(args);
            if is(&printed) {
                return printed;
            }
            assert!(began.elapsed() < PATIENCE, "docker {args:?} still prints `{printed}`");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Kills the engine as a crash would, and everything in its namespaces with it; returns when all of it is gone.
    pub(crate) fn kill(&mut self) {
        let outer = self.outer.id();
        let daemon = fs::read_to_string(format!("/proc/{outer}/task/{outer}/children")).unwrap_or_default();
        match daemon.split_whitespace().next() {
            // The first process of a namespace takes all others with it before its parent learns of its end.
            Some(pid) => drop(Command::new("kill").args(["-KILL", pid]).status()),
            None => drop(self.outer.kill()),
        }
        drop(self.outer.wait());
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.kill();
        let hierarchies =
            fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten().map(|entry| entry.path());
        for hierarchy in hierarchies.chain([PathBuf::from("/sys/fs/cgroup")]) {
            remove_cgroups(&hierarchy.join(&self.cgroup));
        }
    }
}

/// Removes a control group and those in it. The files in them are the kernel's and go with them.
fn remove_cgroups(group: &Path) {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_cgroups(&entry.path());
        }
    }
    drop(fs::remove_dir(group));
}
