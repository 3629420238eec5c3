//! The driver `kind`: which words kind is given, on a machine where `kind` is a program that writes them down.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]
#![expect(clippy::disallowed_methods, reason = "this test starts the binary itself")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn lab(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_xtask-ship"))
        .arg("lab")
        .args(args)
        .env("HOME", folder)
        .env_remove("XDG_CACHE_HOME")
        .env("PATH", format!("{}:/usr/bin:/bin", folder.display()))
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

#[test]
fn kind_brings_a_cluster_up_names_it_and_takes_it_down() {
    let folder = tempfile::tempdir().unwrap();
    let kind = folder.path().join("kind");
    let script = "#!/bin/sh\n\
        cd \"$HOME\" && echo \"$@\" >> said\n\
        case \"$1 $2\" in\n\
        'create cluster') cat > config ;;\n\
        'get clusters') echo slipway-k ;;\n\
        'get kubeconfig') echo 'kind: Config' ;;\n\
        esac\n";
    fs::write(&kind, script).unwrap();
    fs::set_permissions(&kind, fs::Permissions::from_mode(0o755)).unwrap();

    let up = lab(folder.path(), &["up", "--driver", "kind", "--name", "k", "--nodes", "2"]);
    assert_eq!(up.status.code(), Some(0), "{up:?}");
    let config = fs::read_to_string(folder.path().join("config")).unwrap();
    assert_eq!(config.matches("\"worker\"").count(), 2, "{config}");
    let shown = lab(folder.path(), &["kubeconfig", "--name", "k"]);
    assert_eq!(String::from_utf8_lossy(&shown.stdout), "kind: Config\n");
    let down = lab(folder.path(), &["down", "--name", "k"]);
    assert_eq!(down.status.code(), Some(0), "{down:?}");
    let said = fs::read_to_string(folder.path().join("said")).unwrap();
    let commands: Vec<&str> = said.lines().filter(|line| !line.starts_with("get clusters")).collect();
    assert_eq!(
        commands,
        [
            "create cluster --name slipway-k --config - --wait 180s",
            "get kubeconfig --name slipway-k",
            "delete cluster --name slipway-k",
        ]
    );
}

#[test]
fn without_kind_the_refusal_says_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let up = lab(folder.path(), &["up", "--driver", "kind"]);
    assert_eq!(up.status.code(), Some(21), "{up:?}");
    assert!(String::from_utf8_lossy(&up.stderr).contains("kind is not on PATH"), "{up:?}");
}
