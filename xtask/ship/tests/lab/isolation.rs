//! Labs beside each other, and machines that cannot have one.

use crate::support::{Lab, lab};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

#[test]
fn two_labs_with_the_same_addresses_do_not_meet() {
    let one = Lab::up("one", 1);
    let two = Lab::up("two", 1);
    one.serve(1);
    two.serve(1);
    let of = |lab: &Lab| {
        (
            lab.status()["server"].clone(),
            lab.kubectl(&["get", "nodes", "-o", "jsonpath={.items[*].metadata.uid}"]),
        )
    };
    let ((server_one, node_one), (server_two, node_two)) = (of(&one), of(&two));
    assert!(server_one != server_two && node_one != node_two);
    one.answers(&one.pid("n1"));
    two.answers(&two.pid("n1"));

    one.run(&["node", "stop", "n1"]);
    drop(one);
    assert_eq!(two.status()["ready"], true, "the other lab's end is not seen");
    two.answers(&two.pid("n1"));
}

#[test]
fn a_user_without_the_right_is_told_every_reason() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let binary = folder.path().join("xtask-ship");
    std::fs::copy(env!("CARGO_BIN_EXE_xtask-ship"), &binary).unwrap();
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(&binary)
        .args(["lab", "up"])
        .env("HOME", folder.path())
        .env_remove("XDG_CACHE_HOME")
        .current_dir(folder.path());
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(21), "{said}");
    assert!(said.contains("this is not root") && said.contains("--driver kind"), "{said}");
}

#[test]
fn a_lab_that_is_not_there_is_named_in_the_refusal_and_taking_it_down_is_no_error() {
    for args in [&["kubeconfig"][..], &["node", "stop", "n1"], &["load", "x", "y:z"], &["logs", "n1/kubelet"]]
    {
        let output = lab(args).args(["--name", "nowhere"]).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("no lab nowhere"), "{output:?}");
    }
    assert!(lab(&["down", "--name", "nowhere"]).status().unwrap().success());
}
