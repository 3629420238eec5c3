//! What is left of a lab: nothing, also when the command that brought it up was killed on the way. Other labs may come and go meanwhile.

use crate::inside::eventually;
use crate::inventory::Inventory;
use crate::support::{Lab, lab, name};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What one of these tests leaks on purpose, the others would find. Labs beside them are no matter.
static MACHINE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    MACHINE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn a_lab_that_was_used_leaves_nothing() {
    let _machine = alone();
    let before = Inventory::take(&name("used"));
    let lab = Lab::up("used", 2);
    lab.serve(3);
    let while_up = before.left(&Inventory::take(&lab.name));
    for kind in ["control groups", "listening", "namespaces", "programs of a lab"] {
        let seen = while_up.iter().any(|item| item.starts_with(&format!("{kind}: ")));
        assert!(seen, "the inventory does not see {kind}: it could not fail");
    }
    for kind in ["addresses", "files", "interfaces", "mounts", "packet filter", "routes"] {
        let touched = while_up.iter().any(|item| item.starts_with(&format!("{kind}: ")));
        assert!(!touched, "a lab does not touch the host: {while_up:#?}");
    }
    let folder = lab.kubeconfig().parent().unwrap().to_path_buf();
    drop(lab);
    nothing_is_left("used", &before);
    assert!(!folder.exists());
}

#[test]
fn what_a_lab_would_leak_is_found_while_another_lab_runs() {
    let _machine = alone();
    let before = Inventory::take(&name("leaks"));
    let another = Lab::up("beside", 1);
    let lab = Lab::up("leaks", 1);
    let leaks = Leaks::of(&lab);
    drop(lab);
    let left = before.left(&Inventory::take(&name("leaks")));
    drop(leaks);
    let shown = format!("{left:#?}");
    for leak in ["namespaces: mnt", "namespaces: net", "programs of a lab: ", "mounts: ", "interfaces: "] {
        assert!(left.iter().any(|item| item.starts_with(leak)), "{leak}: {shown}");
    }
    assert!(shown.contains("/n1/shim") && shown.contains(&cable()), "{shown}");
    nothing_is_left("leaks", &before);
    assert_eq!(another.status()["ready"], true, "the other lab was there all the time");
}

/// The name of an interface that nobody else has.
fn cable() -> String {
    format!("leak{}", std::process::id())
}

/// What a `down` could forget, made on purpose.
struct Leaks {
    processes: Vec<Child>,
    folder: tempfile::TempDir,
}

impl Leaks {
    fn of(lab: &Lab) -> Leaks {
        let mut leaks = Leaks { processes: Vec::new(), folder: tempfile::tempdir().unwrap() };
        let forever = |program: &str, args: &[&str]| Command::new(program).args(args).spawn().unwrap();
        // A shim: in the namespaces of a machine, and in no control group of the lab.
        let inside = format!("--target={}", lab.pid("n1"));
        leaks.processes.push(forever("nsenter", &[&inside, "--mount", "--net", "sleep", "1000"]));
        // The same in the namespaces of the host.
        let program = lab.kubeconfig().with_file_name("n1").join("shim");
        std::fs::copy("/bin/sleep", &program).unwrap();
        leaks.processes.push(forever(program.to_str().unwrap(), &["1000"]));
        run(Command::new("mount").args(["-t", "tmpfs", "leak"]).arg(leaks.folder.path()));
        run(Command::new("ip").args(["link", "add", &cable(), "type", "veth", "peer"]));
        leaks
    }
}

impl Drop for Leaks {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _ = process.kill();
            let _ = process.wait();
        }
        let _ = Command::new("umount").arg(self.folder.path()).status();
        let _ = Command::new("ip").args(["link", "del", &cable()]).status();
    }
}

#[test]
fn a_killed_up_is_cleaned_by_down_and_mended_by_up() {
    let _machine = alone();
    // Whatever is to be built is built here, so that the kills below hit what comes after.
    drop(Lab::up("warm", 1));
    let name = name("killed");
    let before = Inventory::take(&name);
    for after in [5, 20, 40, 60, 80, 120, 200, 400, 1500, 3000] {
        let mut up = lab(&["up", "--nodes", "2", "--name", &name]).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(after));
        up.kill().unwrap();
        up.wait().unwrap();
        let down = lab(&["down", "--name", &name]).output().unwrap();
        assert!(down.status.success(), "after {after} ms: {down:?}");
        nothing_is_left("killed", &before);
    }
    for after in [60, 300, 2000] {
        let mut up = lab(&["up", "--name", &name]).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(after));
        up.kill().unwrap();
        up.wait().unwrap();
    }
    let mended = Lab::up("killed", 1);
    assert_eq!(mended.status()["ready"], true);
    let hub = rustix::process::Pid::from_raw(mended.pid("hub").parse().unwrap()).unwrap();
    rustix::process::kill_process(hub, rustix::process::Signal::KILL).unwrap();
    eventually("the dead hub is seen", || mended.status()["machines"][0]["state"] == "off");
    mended.run(&["up"]);
    assert_eq!(mended.status()["ready"], true, "also when the hub died");
    drop(mended);
    nothing_is_left("killed", &before);
}

/// The guard of a killed command needs a moment to end what it held, and other people's work on the machine passes by.
fn nothing_is_left(of: &str, before: &Inventory) {
    let mut left = Vec::new();
    for _ in 0..50 {
        left = before.left(&Inventory::take(&name(of)));
        if left.is_empty() {
            return;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(left, Vec::<String>::new(), "after 10 s");
}

fn run(command: &mut Command) {
    assert!(command.status().unwrap().success(), "{command:?}");
}
