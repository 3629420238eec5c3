//! `push` as a command: the real binary in a repository of its own.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]
#![expect(clippy::disallowed_methods, reason = "these tests start the binary itself")]

#[cfg(feature = "real-tools")]
mod real;
mod repo;

use repo::{Ran, Repo};
use std::fs;
use std::net::TcpListener;
use std::process::Command;

/// Where nobody listens.
const NOWHERE: &str = "127.0.0.1:9/hello";

#[test]
fn a_command_that_cannot_be_meant_is_2_before_anything_is_built() {
    let repo = Repo::new();
    repo.push(&[]).exits(2).says("names no registry").says("--to REGISTRY/REPOSITORY");
    repo.push(&["--to", "hello"]).exits(2).says("--to: `hello` is not REGISTRY/REPOSITORY");
    repo.push(&["--to", NOWHERE, "--tag", "a b"]).exits(2).says("--tag: `a b` is not a tag");
    repo.push(&["--to", NOWHERE, "--service", "other"]).exits(2).says("no service `other`");
    fs::write(repo.docker_config(), "{").unwrap();
    repo.push(&["--to", NOWHERE]).exits(2).says("config.json: not the configuration of Docker");
    assert!(!repo.path("target/made").exists());
}

#[test]
fn a_dry_run_says_what_would_go_where_under_which_names() {
    let repo = Repo::new();
    let commit = repo.git(&["rev-parse", "HEAD"]);
    let plan = format!("hello -> {NOWHERE} by digest, :{commit}, :main, :v1\n");
    repo.push(&["--to", NOWHERE, "--tag", "v1", "--dry-run"]).exits(0).says(&plan).says("push:hello");
    repo.write("app/input.txt", "two\n");
    repo.push(&["--to", NOWHERE, "--dry-run"]).exits(0).says("changes that are not committed");
}

#[test]
fn an_image_without_its_dockerfile_is_refused_with_11_where_nothing_is_let_pass() {
    let repo = Repo::new();
    repo.push(&["--to", NOWHERE, "--strict"]).exits(11).says("--allow-embedded");
    let push = repo.stage("push");
    let message = push["error"]["message"].as_str().unwrap();
    assert!(message.contains("made by the embedded builder"), "{message}");
    repo.push(&["--to", NOWHERE, "--strict", "--allow-embedded"]).exits(20).says("cannot be reached");
    assert!(repo.stage("push")["notes"][0].as_str().unwrap().starts_with("WARNING"));
}

#[test]
fn a_registry_that_is_not_there_is_20_and_named() {
    let repo = Repo::new();
    repo.push(&["--to", NOWHERE]).exits(20).says("registry 127.0.0.1:9").says("cannot be reached");
    let ran = repo.push(&["--to", NOWHERE, "--json"]).exits(20);
    assert_eq!(ran.stdout, "[]\n", "standard output is the answer and nothing else");
}

#[test]
fn a_push_that_is_interrupted_while_a_registry_is_silent_is_130() {
    let repo = Repo::new();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = format!("{}/hello", silent.local_addr().unwrap());
    let child = repo.start(&["--to", &to]);
    let (_held, _) = silent.accept().unwrap();
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    Ran::of(child.wait_with_output().unwrap()).exits(130);
    assert_eq!(repo.stage("push")["outcome"], "cancelled");
}
