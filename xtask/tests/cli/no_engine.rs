//! `build` where no Docker engine answers. With one it is tested in `tests/docker`.

use crate::repo::{Ran, Repo};

fn image(embedded: &str) -> Repo {
    let repo = Repo::new(&format!(
        "version: 1\nproject: test\nservices:\n  hello:\n    path: app\n    language: other\n    image:\n      dockerfile: \
         app/Dockerfile\n{embedded}"
    ));
    repo.write("app/Dockerfile", "FROM scratch\nCOPY --from=build /app /app\nENTRYPOINT [\"/app\"]\n");
    repo
}

fn embedded() -> Repo {
    image("      embedded: { build: [cp, app/input.txt, made], files: { /app: made } }\n")
}

fn build(repo: &Repo, host: &str) -> Ran {
    Ran::of(&repo.command(&["build"]).env("DOCKER_HOST", host).output().unwrap())
}

#[test]
fn an_image_that_only_an_engine_can_build_is_21_and_says_what_would_help() {
    build(&image(""), "unix:///nonexistent/docker.sock").exits(21).says("start an engine");
}

#[test]
fn an_engine_that_is_named_and_does_not_answer_is_told_in_the_result() {
    let repo = embedded();
    build(&repo, "unix:///nonexistent/docker.sock").exits(0).says("/nonexistent/docker.sock does not answer");
    let notes = repo.stage("build")["notes"].to_string();
    assert!(notes.contains("does not answer") && notes.contains("without an engine"), "{notes}");
}

#[test]
fn another_engine_is_another_key() {
    let repo = embedded();
    build(&repo, "unix:///nonexistent/one.sock").exits(0);
    build(&repo, "unix:///nonexistent/one.sock").exits(0);
    assert_eq!(repo.stage("build")["cached"], true);
    build(&repo, "unix:///nonexistent/two.sock").exits(0);
    assert_eq!(repo.stage("build")["cached"], false);
}
