//! `tools update` moves a pin and nothing else in the file.

use crate::server::{Reply, Server};
use crate::support::{Bench, never, program, sha256};
use std::fs;
use xtask_core::tools::provision::{Lock, Origin, Update, UpdateError};

async fn update(bench: &Bench, version: &str) -> Result<Update, UpdateError> {
    let (_source, cancel) = never();
    bench.provisioner().update(&text(bench), "tool", version, &cancel, |_| {}).await
}

fn text(bench: &Bench) -> String {
    fs::read_to_string(bench.repository.join("tools.lock")).unwrap()
}

#[tokio::test]
async fn a_release_file_is_pinned_by_the_digest_of_what_is_there() {
    let server = Server::start(|path, _| match path {
        "/v1.3.0/tool-1.3.0" => Reply::Bytes(program()),
        _ => Reply::Status("404 Not Found", ""),
    })
    .await;
    let bench = Bench::new();
    let old = sha256(b"old");
    bench.pin(&Bench::archive(&format!("{}/v1.2.3", server.url), "tool-1.2.3", &old));
    let before = format!("# why 1.2.3\n{}  # and here 1.2.3\n", text(&bench));
    fs::write(bench.repository.join("tools.lock"), &before).unwrap();
    let update = update(&bench, "1.3.0").await.unwrap();
    let expected = before
        .replace("    version: 1.2.3", "    version: 1.3.0")
        .replace("/v1.2.3/", "/v1.3.0/")
        .replace("tool-1.2.3", "tool-1.3.0")
        .replace(&old, &sha256(&program()));
    assert_eq!(update.text, expected);
    assert_eq!(update.done, ["1.2.3 → 1.3.0".to_owned(), format!("{old} → {}", sha256(&program()))]);
    assert_eq!(text(&bench), before, "writing it is the caller's");
    assert!(bench.cached().is_empty(), "{:?}", bench.cached());
}

#[tokio::test]
async fn a_release_that_is_not_there_changes_nothing() {
    let server = Server::start(|_, _| Reply::Status("404 Not Found", "")).await;
    let bench = Bench::new();
    bench.pin(&Bench::archive(&server.url, "tool-1.2.3", &sha256(b"old")));
    let error = update(&bench, "1.3.0").await.unwrap_err();
    assert!(error.to_string().contains("tool-1.3.0: ") && error.to_string().contains("404"), "{error}");
}

#[tokio::test]
async fn a_module_is_pinned_by_the_checksum_database_and_the_rest_is_said() {
    let bench = Bench::new();
    let (old, new) = (format!("h1:{}=", "A".repeat(43)), format!("h1:{}=", "B".repeat(43)));
    bench.pin(&format!(
        "      - go: {{ module: a.example/m, version: v1.2.3, package: a.example/m/tool, sum: \"{old}\", set: {{ main.v: v1.2.3 }} }}\n      - gomod: {{ dir: tool, package: a.example/m/tool }}\n      - pypi: {{ requirements: tool, script: tool }}\n"
    ));
    // A fake: what the real one says, without its proxy.
    bench.fake(
        "go",
        &format!("#!/bin/sh\n[ \"$*\" = 'mod download -json a.example/m@v1.3.0' ] || exit 64\necho '{{\"Path\": \"a.example/m\", \"Sum\": \"{new}\"}}'\n"),
    );
    let update = update(&bench, "1.3.0").await.unwrap();
    assert_eq!(update.text, text(&bench).replace("1.2.3", "1.3.0").replace(&old, &new));
    assert!(Lock::parse(&update.text, Origin::Embedded).is_ok());
    let notes = update.by_hand.join("\n");
    assert!(notes.contains("in xtask/core/locks/go/tool run `go get a.example/m/tool@v1.3.0`"), "{notes}");
    assert!(notes.contains("resolve xtask/core/locks/python/tool.txt again for version 1.3.0"), "{notes}");
}

#[tokio::test]
async fn what_cannot_be_a_version_or_a_tool_is_refused() {
    let bench = Bench::new();
    bench.pin("      - path\n");
    assert!(matches!(update(&bench, "v1").await, Err(UpdateError::Version(_))));
    let (_source, cancel) = never();
    let unknown = bench.provisioner().update(&text(&bench), "other", "1.0", &cancel, |_| {}).await;
    assert!(matches!(unknown, Err(UpdateError::Unknown(_))));
}

#[tokio::test]
async fn a_text_that_cannot_be_edited_is_left_alone_and_the_edits_are_said() {
    let bench = Bench::new();
    // All of the tool in one line of its own kind, with the version written as an escape.
    let text =
        "version: 1\ntools: { tool: { version: \"1.2\\x2e3\", probe: { args: [] }, sources: [path] } }\n";
    fs::write(bench.repository.join("tools.lock"), text).unwrap();
    let error = update(&bench, "1.3.0").await.unwrap_err();
    assert!(matches!(error, UpdateError::Shape { .. }), "{error}");
    assert!(error.to_string().contains("1.2.3 → 1.3.0"), "{error}");
}
