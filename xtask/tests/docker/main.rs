//! Images by a real Docker engine of its own, and the same image without one. Needs root, and Debian's `docker.io`.
#![cfg(feature = "real-tools")]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test that cannot go on ends, and these start the binary themselves"
)]

mod base;
mod engine;
mod layout;
#[path = "../cli/repo.rs"]
#[expect(dead_code, reason = "only some of it is of use here")]
mod repo;
mod workspace;

use engine::{Engine, PATIENCE};
use repo::{Ran, Repo};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

const LAYOUT: &str = "target/xtask/images/hello";

/// A repository whose Dockerfile starts from a shell and then says this.
fn starting_from_shell(instructions: &str) -> Repo {
    let repo = Repo::without_git(
        "version: 1\nproject: test\nservices:\n  hello:\n    path: app\n    language: other\n    image: { dockerfile: app/Dockerfile, \
         context: app, platforms: [linux/amd64] }\n",
    );
    repo.write("app/Dockerfile", &format!("FROM shell\n{instructions}\n"));
    workspace::commit(&repo);
    repo
}

fn engine_with_shell() -> Engine {
    let engine = Engine::start();
    base::import_shell(&engine, "shell");
    engine
}

fn build(repo: &Repo, host: &str) -> Command {
    let mut command = repo.command(&["build"]);
    command.env("DOCKER_HOST", host).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Starts a build and returns once the engine runs a container for it.
fn build_in_the_middle(repo: &Repo, engine: &Engine) -> Child {
    let child = build(repo, &engine.host()).spawn().unwrap();
    engine.wait_for(&["ps", "--quiet"], |containers| !containers.is_empty());
    child
}

/// The image that the last run left in this repository, with its digest, after looking at every byte of it.
#[track_caller]
fn built(repo: &Repo, builder: &str) -> (Value, layout::Image) {
    let facts = repo.stage("build")["facts"].clone();
    assert_eq!((&facts["builder"], &facts["layout"]), (&builder.into(), &LAYOUT.into()), "{facts}");
    let image = layout::read(&repo.path(LAYOUT), facts["digest"].as_str().unwrap());
    (facts["digest"].clone(), image)
}

/// This repository's image, built without an engine in a folder of its own.
fn embedded() -> (Value, layout::Image) {
    let repo = workspace::copy();
    Ran::of(&build(&repo, "unix:///nowhere").output().unwrap()).exits(0);
    built(&repo, "embedded")
}

/// Two tests compare with it, and it takes a while.
fn embedded_once() -> &'static (Value, layout::Image) {
    static IMAGE: OnceLock<(Value, layout::Image)> = OnceLock::new();
    IMAGE.get_or_init(embedded)
}

#[test]
fn without_an_engine_the_same_source_in_two_folders_is_the_same_image() {
    assert_eq!(embedded().0, embedded_once().0);
}

#[test]
fn the_dockerfile_becomes_an_image_that_serves_and_the_embedded_builder_makes_the_same() {
    let engine = Engine::start();
    let repo = workspace::copy();
    base::import_rust(&engine, "stand-in", repo.root());
    // A digest cannot be faked, so the line that pins the base image is another one here; all others are as they are.
    let dockerfile = repo.read("app/Dockerfile");
    let (pinned, rest) = dockerfile.split_once(" AS build\n").unwrap();
    let (above, from) = pinned.rsplit_once('\n').unwrap();
    assert!(from.starts_with("FROM rust:") && from.contains("@sha256:"), "{from}");
    repo.write("app/Dockerfile", &format!("{above}\nFROM stand-in AS build\n{rest}"));
    Ran::of(&build(&repo, &engine.host()).output().unwrap()).exits(0);
    let (_, image) = built(&repo, "docker");

    engine.docker_with(&["load"], |sink| sink.write_all(&image.archive("hello:test")).unwrap());
    serves_read_only_as_its_user_and_is_healthy(&engine, "hello:test", "stand-in");

    // The stand-in is this machine's tool chain, so the bytes must be those that are made here.
    let (_, embedded) = embedded_once();
    assert!(image.files() == embedded.files(), "name, permissions and content of every file");
    for field in [
        "Env",
        "User",
        "ExposedPorts",
        "Healthcheck",
        "Labels",
        "Entrypoint",
        "Cmd",
        "WorkingDir",
        "StopSignal",
    ] {
        let says = |image: &layout::Image| {
            Some(image.config["config"][field].clone()).filter(|value| !value.is_null() && value != "")
        };
        assert_eq!(says(&image), says(embedded), "{field}");
    }
}

fn serves_read_only_as_its_user_and_is_healthy(engine: &Engine, image: &str, shell: &str) {
    let locked_down = ["--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges"];
    engine.docker(&[&["run", "--detach", "--name=hello"], &locked_down[..], &[image]].concat());
    engine.wait_for(&["inspect", "--format={{.State.Health.Status}}", "hello"], |status| status == "healthy");
    // From inside of the container's network, because this engine has none that leads out.
    let request = "GET /healthz HTTP/1.1\\r\\nHost: hello\\r\\nConnection: close\\r\\n\\r\\n";
    let ask = format!("exec 3<>/dev/tcp/127.0.0.1/8080; printf '{request}' >&3; cat <&3");
    let answer = engine.docker(&["run", "--rm", "--network=container:hello", shell, "bash", "-c", &ask]);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(body, r#"{"SYS_ENV":"helloworld"}"#);
    let owner = engine.docker(&["top", "hello", "-o", "pid,uid,gid,args"]);
    let owner: Vec<&str> = owner.lines().nth(1).unwrap().split_whitespace().skip(1).collect();
    assert_eq!(owner, ["65532", "65532", "/app"]);
    engine.docker(&["stop", "-t", "30", "hello"]);
    assert_eq!(
        engine.docker(&["inspect", "--format={{.State.ExitCode}}", "hello"]),
        "0",
        "it drains and ends by itself"
    );
}

#[test]
fn the_engine_keeps_no_image_of_a_build_but_one_that_somebody_has_named() {
    let engine = engine_with_shell();
    let repo = starting_from_shell("RUN echo once > /file");
    let names = ["images", "--all", "--format={{.Repository}}"];
    Ran::of(&build(&repo, &engine.host()).output().unwrap()).exits(0);
    assert_eq!(engine.docker(&names), "shell");
    let mut by_hand = engine.command(&["build", "--quiet", "--tag=mine", "app"]);
    assert!(by_hand.current_dir(repo.root()).env("DOCKER_BUILDKIT", "0").output().unwrap().status.success());
    // The cache of results lives here; without it the stage runs again, and the engine finds the layers of the build by hand.
    fs::remove_dir_all(repo.path("target")).unwrap();
    Ran::of(&build(&repo, &engine.host()).output().unwrap()).exits(0);
    let tail = repo.stage("build")["tail"].to_string();
    assert!(tail.contains("Using cache"), "{tail}");
    // Two images of one second have no order.
    let left = engine.docker(&names);
    assert_eq!(left.lines().collect::<BTreeSet<_>>(), BTreeSet::from(["mine", "shell"]));
}

#[test]
fn a_failing_step_is_20_with_what_it_said_and_what_the_engine_says() {
    let engine = engine_with_shell();
    let repo = starting_from_shell("RUN echo out; echo err >&2; exit 7");
    Ran::of(&build(&repo, &engine.host()).output().unwrap()).exits(20).says("returned a non-zero code: 7");
    let tail = repo.stage("build")["tail"].clone();
    for said in ["out", "err"] {
        assert!(tail.as_array().unwrap().contains(&said.into()), "the whole line `{said}`: {tail}");
    }
    assert_eq!(engine.docker(&["ps", "--all", "--quiet"]), "", "no container is left");
}

#[test]
fn a_dockerfile_that_the_engine_cannot_read_is_20_with_its_message() {
    let engine = engine_with_shell();
    let repo = starting_from_shell("CPOY a b");
    Ran::of(&build(&repo, &engine.host()).output().unwrap()).exits(20).says("CPOY");
}

#[test]
fn a_base_image_that_cannot_be_had_is_20_with_its_name() {
    let engine = Engine::start();
    Ran::of(&build(&starting_from_shell(""), &engine.host()).output().unwrap()).exits(20).says("shell");
}

#[test]
fn an_engine_that_dies_during_a_build_is_20_and_not_a_hang() {
    let mut engine = engine_with_shell();
    let repo = starting_from_shell("RUN sleep 1000");
    let child = build_in_the_middle(&repo, &engine);
    engine.kill();
    let died = Instant::now();
    let ran = Ran::of(&child.wait_with_output().unwrap()).exits(20);
    assert!(died.elapsed() < PATIENCE);
    ran.says("connection to the engine");
}

#[test]
fn sigint_during_a_build_is_130_within_two_and_a_half_seconds_and_ends_the_containers_too() {
    let engine = engine_with_shell();
    let repo = starting_from_shell("RUN sleep 1000");
    let child = build_in_the_middle(&repo, &engine);
    let status = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let stopped = Instant::now();
    assert!(status.success());
    let ran = Ran::of(&child.wait_with_output().unwrap());
    let took = stopped.elapsed();
    ran.exits(130);
    assert!(took < Duration::from_millis(2500), "{took:?}");
    engine.wait_for(&["ps", "--all", "--quiet"], str::is_empty);
}
