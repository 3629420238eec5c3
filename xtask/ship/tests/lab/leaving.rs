//! What is left of a lab: nothing, also when the command that brought it up was killed on the way.

use crate::inventory::Inventory;
use crate::support::{Lab, alone, eventually, lab, name};
use std::process::Stdio;
use std::time::Duration;

#[test]
fn a_lab_that_was_used_leaves_nothing() {
    let _alone = alone();
    let before = Inventory::take();
    let lab = Lab::up("used", 2);
    lab.serve(3);
    let while_up = Inventory::take();
    let touched = before.kinds(&while_up);
    for kind in ["control groups", "listening", "namespaces", "programs of a lab"] {
        assert!(touched.contains(&kind), "the inventory does not see {kind}: it could not fail");
    }
    for kind in ["addresses", "files", "interfaces", "mounts", "packet filter", "routes"] {
        assert!(
            !touched.contains(&kind),
            "a lab does not touch the host: {:#?}",
            before.difference(&while_up)
        );
    }
    let folder = lab.status()["kubeconfig"].as_str().unwrap().replace("/kubeconfig", "");
    drop(lab);
    assert_eq!(before.difference(&Inventory::take()), Vec::<String>::new());
    assert!(!std::path::Path::new(&folder).exists());
}

#[test]
fn a_killed_up_is_cleaned_by_down_and_mended_by_up() {
    let _alone = alone();
    // Whatever is to be built is built here, so that the kills below hit what comes after.
    drop(Lab::up("warm", 1));
    let before = Inventory::take();
    let name = name("killed");
    for after in [5, 20, 40, 60, 80, 120, 200, 400, 1500, 3000] {
        let mut up = lab(&["up", "--nodes", "2", "--name", &name]).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(after));
        up.kill().unwrap();
        up.wait().unwrap();
        let down = lab(&["down", "--name", &name]).output().unwrap();
        assert!(down.status.success(), "after {after} ms: {down:?}");
        // The guard of the killed command needs a moment to end what it held.
        eventually(&format!("nothing is left of what was killed after {after} ms"), || {
            before.difference(&Inventory::take()).is_empty()
        });
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
    assert_eq!(before.difference(&Inventory::take()), Vec::<String>::new());
}
