//! `push` as a command: the real binary in a repository of its own.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]
#![expect(clippy::disallowed_methods, reason = "these tests start the binary itself")]

#[path = "../../src/net/fake.rs"]
mod fake;
#[cfg(feature = "real-tools")]
mod real;
mod repo;

use fake::{Fake, Reply};
use repo::{Ran, Repo};
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

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

/// A registry of ECR in a region that there is not.
const ECR: &str = "111122223333.dkr.ecr.eu-nowhere-1.amazonaws.com/hello";
/// `AWS:` and a password.
const ECR_TOKEN: &str = "QVdTOmV5SndZWGxzYjJGa1BBU1NXT1JE";
const ECR_PASSWORD: &str = "eyJwYXlsb2FkPASSWORD";
const SECRET_KEY: &str = "0123456789abcdefSECRETKEY";

/// What the SDK must not find on this machine, and what it is given.
fn cloud(endpoint: &str) -> [(&str, &str); 6] {
    [
        ("AWS_ENDPOINT_URL", endpoint),
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("AWS_CONFIG_FILE", "/nonexistent"),
        ("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent"),
        ("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
    ]
}

fn holds_no_secret(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            holds_no_secret(&path);
        } else if let Ok(bytes) = fs::read(&path) {
            let text = String::from_utf8_lossy(&bytes);
            for secret in [SECRET_KEY, ECR_PASSWORD, ECR_TOKEN] {
                assert!(!text.contains(secret), "{}", path.display());
            }
        }
    }
}

#[test]
fn a_registry_of_ecr_gets_a_password_from_ecr_that_is_nowhere_to_be_seen() {
    let ecr = Fake::start(|request| {
        assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "/"));
        let body = format!(r#"{{"authorizationData": [{{"authorizationToken": "{ECR_TOKEN}"}}]}}"#);
        Reply::Say(200, "Content-Type: application/x-amz-json-1.1\r\n", body)
    });
    let repo = Repo::new();
    let ran = repo.push_in(&cloud(&ecr.url()), &["--to", ECR]).exits(20).says("cannot be reached");
    let [asked] = &ecr.seen()[..] else { panic!("one question") };
    assert_eq!(asked.body, "{}");
    assert!(asked.headers["x-amz-target"].ends_with(".GetAuthorizationToken"), "{asked:?}");
    assert!(asked.headers["authorization"].contains("/eu-nowhere-1/ecr/"), "{asked:?}");
    for secret in [SECRET_KEY, ECR_PASSWORD, ECR_TOKEN] {
        assert!(!ran.stdout.contains(secret) && !ran.stderr.contains(secret), "{ran:?}");
    }
    holds_no_secret(&repo.path(""));
}

#[test]
fn ecr_is_not_asked_where_a_password_was_given_or_nothing_is_pushed() {
    let ecr = Fake::start(|_| Reply::Gone);
    let repo = Repo::new();
    let url = ecr.url();
    repo.push_in(&cloud(&url), &["--to", ECR, "--dry-run"]).exits(0);
    let given =
        [&cloud(&url)[..], &[("REGISTRY_USERNAME", "a"), ("REGISTRY_PASSWORD", "long-word")]].concat();
    repo.push_in(&given, &["--to", ECR]).exits(20).says("cannot be reached");
    assert!(ecr.seen().is_empty());
}

#[test]
fn a_push_that_is_interrupted_while_ecr_is_silent_is_130() {
    let ecr = Fake::start(|_| Reply::Hang);
    let repo = Repo::new();
    let child = repo.start_in(&cloud(&ecr.url()), &["--to", ECR]);
    while ecr.seen().is_empty() {
        std::thread::sleep(Duration::from_millis(20));
    }
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    Ran::of(child.wait_with_output().unwrap()).exits(130);
}
