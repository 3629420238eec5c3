//! The habits of this repository as tests: who may name whom, how files look, and that the documents say what the program says.
//! Each failure says the place and what mends it; each rule is shown to find what it forbids.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on ends")]

mod documents;
mod manifests;
mod rooms;
mod source;
mod words;

use source::{Fault, assert_none, files, production, read, sources};

fn text_of(path: &str) -> String {
    read(path).unwrap_or_else(|| panic!("{path} is not text"))
}

#[test]
fn rooms_look_only_through_their_doors() {
    assert_none(&production().iter().flat_map(rooms::doors).collect::<Vec<_>>());
}

#[test]
fn spawning_printing_the_environment_the_clock_and_each_sdk_have_one_place() {
    assert_none(&production().iter().flat_map(rooms::owned_names).collect::<Vec<_>>());
}

#[test]
fn engine_policy_and_reporters_know_neither_stages_nor_tools() {
    let tools = rooms::tools_of(&text_of("tools.lock"));
    assert!(tools.len() > 5, "tools.lock has another shape: {tools:?}");
    let mut faults: Vec<Fault> = production().iter().flat_map(rooms::stages_named).collect();
    faults.extend(production().iter().flat_map(|source| rooms::tools_named(source, &tools)));
    assert_none(&faults);
}

#[test]
fn every_module_opens_with_what_it_is_for() {
    assert_none(&sources().iter().flat_map(words::opening).collect::<Vec<_>>());
}

#[test]
fn no_file_has_more_lines_than_can_be_read() {
    assert_none(&production().iter().flat_map(words::length).collect::<Vec<_>>());
}

#[test]
fn no_file_has_words_that_do_not_belong_here() {
    let texts = files().into_iter().filter_map(|path| read(&path).map(|text| (path, text)));
    assert_none(&texts.flat_map(|(path, text)| words::banned(&path, &text)).collect::<Vec<_>>());
}

#[test]
fn every_dependency_has_its_reason() {
    let manifests = files().into_iter().filter(|path| path == "Cargo.toml" || path.ends_with("/Cargo.toml"));
    assert_none(
        &manifests.flat_map(|path| manifests::unexplained(&path, &text_of(&path))).collect::<Vec<_>>(),
    );
}

#[test]
fn the_dockerfile_knows_every_program() {
    let dockerfile = text_of("app/Dockerfile");
    let manifests = ["app/Cargo.toml", "xtask/Cargo.toml", "xtask/core/Cargo.toml", "xtask/ship/Cargo.toml"];
    let faults = manifests.map(|path| manifests::unknown_programs(&dockerfile, path, &text_of(path)));
    assert_none(&faults.concat());
    // What the context leaves out cannot be copied, and only an engine would say so.
    let context = text_of("app/Dockerfile.dockerignore");
    let left_out = manifests.iter().filter(|path| {
        !context.lines().any(|line| line.strip_prefix('!').is_some_and(|kept| path.starts_with(kept)))
    });
    assert_eq!(left_out.collect::<Vec<_>>(), Vec::<&&str>::new());
}

#[test]
fn the_documents_have_the_tables_of_the_program() {
    let mut faults =
        documents::table("OPERATIONS.md", &text_of("OPERATIONS.md"), "exit codes", &documents::exit_codes());
    faults.extend(documents::table("README.md", &text_of("README.md"), "stages", &documents::stages()));
    assert_none(&faults);
}

#[test]
fn the_documents_name_only_commands_that_exist() {
    let documents = files().into_iter().filter(|path| path.ends_with(".md"));
    assert_none(&documents.flat_map(|path| documents::commands(&path, &text_of(&path))).collect::<Vec<_>>());
}

#[test]
fn the_change_log_has_the_version_or_what_comes_after_it() {
    assert_none(&documents::newest_section(
        "CHANGELOG.md",
        &text_of("CHANGELOG.md"),
        env!("CARGO_PKG_VERSION"),
    ));
}
