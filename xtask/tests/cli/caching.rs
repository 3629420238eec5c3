//! What the cache may and may not do, seen from outside: by a check that leaves a line in a file each time that it really runs.

use crate::repo::{Ran, Repo};
use serde_json::Value;
use std::fs;

/// A lint that counts its runs outside of the repository's inputs and prints the content of its input.
fn counting() -> Repo {
    Repo::linting(
        "[[\"sh\", \"-c\", \"echo run >> target/count; cat app/input.txt; echo flavour $FLAVOUR\"]]",
    )
}

fn runs(repo: &Repo) -> usize {
    repo.read("target/count").lines().count()
}

fn prepared() -> Repo {
    let repo = counting();
    repo.write(".gitignore", "target\n");
    fs::create_dir_all(repo.path("target")).unwrap();
    repo
}

#[test]
fn nothing_changed_means_that_nothing_runs_and_the_tail_is_shown_again() {
    let repo = prepared();
    repo.run(&["lint"]).exits(0);
    let first = repo.stage("lint");
    repo.run(&["lint"]).exits(0).says("cached");
    assert_eq!(runs(&repo), 1);
    let second = repo.stage("lint");
    assert_eq!(second["cached"], Value::Bool(true));
    assert_eq!(
        (&first["key"], &first["tail"], &first["facts"]),
        (&second["key"], &second["tail"], &second["facts"])
    );
}

#[test]
fn an_edit_a_new_file_a_removed_file_and_a_mode_each_make_it_run_again_and_going_back_does_not() {
    let repo = prepared();
    let changes: [(&str, &dyn Fn()); 4] = [
        ("edit", &|| repo.write("app/input.txt", "two\n")),
        ("new file", &|| repo.write("app/new.txt", "x")),
        ("removed", &|| fs::remove_file(repo.path("app/input.txt")).unwrap()),
        ("mode", &|| {
            use std::os::unix::fs::PermissionsExt;
            fs::set_permissions(repo.path("app/new.txt"), fs::Permissions::from_mode(0o755)).unwrap();
        }),
    ];
    // The check itself must not care whether its input is there.
    repo.write(
        "pipeline.yaml",
        &repo.read("pipeline.yaml").replace("cat app/input.txt;", "cat app/input.txt || true;"),
    );
    repo.run(&["lint"]).exits(0);
    for (at, (what, change)) in changes.iter().enumerate() {
        change();
        repo.run(&["lint"]).exits(0);
        assert_eq!(runs(&repo), at + 2, "after: {what}");
    }
    repo.write("app/input.txt", "one\n");
    fs::remove_file(repo.path("app/new.txt")).unwrap();
    repo.run(&["lint"]).exits(0);
    assert_eq!(runs(&repo), 5, "the first state is still known");
}

#[test]
fn a_file_outside_of_the_inputs_changes_nothing() {
    let repo = prepared();
    repo.run(&["lint"]).exits(0);
    repo.write("elsewhere/x", "1");
    repo.run(&["lint"]).exits(0);
    assert_eq!(runs(&repo), 1);
}

#[test]
fn a_declared_variable_belongs_to_the_key_and_an_undeclared_one_does_not_reach_the_check() {
    let repo = prepared();
    let run = |flavour: &str, other: &str| {
        let mut command = repo.command(&["lint"]);
        command.env("FLAVOUR", flavour).env("OTHER", other);
        Ran::of(&command.output().unwrap()).exits(0);
    };
    run("sweet", "1");
    run("sour", "1");
    assert_eq!(runs(&repo), 2);
    run("sweet", "2");
    assert_eq!(runs(&repo), 2, "sweet is known, and OTHER is not declared");
    assert!(repo.stage("lint")["tail"].to_string().contains("flavour sweet"));
}

#[test]
fn another_command_runs_again() {
    let repo = prepared();
    repo.run(&["lint"]).exits(0);
    repo.write("pipeline.yaml", &repo.read("pipeline.yaml").replace("cat app", "cat  app"));
    repo.run(&["lint"]).exits(0);
    assert_eq!(runs(&repo), 2);
}

#[test]
fn a_rejected_check_runs_again() {
    let repo = Repo::linting("[[\"sh\", \"-c\", \"echo run >> target/count; exit 1\"]]");
    repo.write(".gitignore", "target\n");
    fs::create_dir_all(repo.path("target")).unwrap();
    repo.run(&["lint"]).exits(10);
    repo.run(&["lint"]).exits(10);
    assert_eq!(runs(&repo), 2);
}

#[test]
fn an_input_that_is_edited_while_the_check_runs_is_not_cached() {
    let repo = Repo::linting(
        "[[\"sh\", \"-c\", \"echo run >> target/count; test -e target/calm || echo edited >> app/input.txt\"]]",
    );
    repo.write(".gitignore", "target\n");
    fs::create_dir_all(repo.path("target")).unwrap();
    repo.run(&["lint"]).exits(0);
    repo.write("app/input.txt", "one\n");
    repo.write("target/calm", "");
    repo.run(&["lint"]).exits(0);
    assert_eq!(runs(&repo), 2, "nobody knows which of the two states the first run saw");
    repo.run(&["lint"]).exits(0);
    assert_eq!(runs(&repo), 2);
}

#[test]
fn a_damaged_entry_is_a_miss_with_a_note_and_heals() {
    for damage in [&b""[..], b"nonsense", b"slipway-entry 1 0000\n{}"] {
        let repo = prepared();
        repo.run(&["lint"]).exits(0);
        let folder = repo.path("target/xtask/cache/lint-hello");
        let entry = fs::read_dir(&folder)
            .unwrap()
            .map(|item| item.unwrap().path())
            .find(|path| path.is_file())
            .unwrap();
        fs::write(&entry, damage).unwrap();
        repo.run(&["lint"]).exits(0);
        assert_eq!(runs(&repo), 2);
        assert!(repo.stage("lint")["notes"].to_string().contains("truncated or corrupt"));
        repo.run(&["lint"]).exits(0);
        assert_eq!(runs(&repo), 2);
    }
}

#[test]
fn outputs_are_restored_when_they_are_gone_or_changed() {
    let repo = Repo::new(
        "version: 1\nproject: test\nservices:\n  hello:\n    path: app\n    language: other\n    outputs: [out/made.bin]\n    \
         checks:\n      test: [[sh, -c, \"echo run >> target/count; mkdir -p out; echo made > out/made.bin\"]]\n",
    );
    repo.write(".gitignore", "target\nout\n");
    fs::create_dir_all(repo.path("target")).unwrap();
    repo.run(&["test"]).exits(0);
    fs::remove_dir_all(repo.path("out")).unwrap();
    repo.run(&["test"]).exits(0);
    assert_eq!(repo.read("out/made.bin"), "made\n");
    repo.write("out/made.bin", "tampered\n");
    repo.run(&["test"]).exits(0);
    assert_eq!(repo.read("out/made.bin"), "made\n");
    assert_eq!(runs(&repo), 1);
}

#[test]
fn why_names_the_file_the_variable_and_the_command_that_changed() {
    let repo = prepared();
    repo.run(&["why", "lint"]).exits(0).says("has not run");
    repo.run(&["lint"]).exits(0);
    repo.run(&["why", "lint"]).exits(0).says("nothing changed");
    repo.write("app/input.txt", "two\n");
    repo.run(&["why", "lint"]).exits(0).says("changed app/input.txt");
    repo.write("app/input.txt", "one\n");
    let mut command = repo.command(&["why", "lint"]);
    Ran::of(&command.env("FLAVOUR", "x").output().unwrap()).exits(0).says("variable FLAVOUR");
    repo.write("pipeline.yaml", &repo.read("pipeline.yaml").replace("cat app", "cat  app"));
    repo.run(&["why", "lint"]).exits(0).says("commands and configuration");
}

#[test]
fn plan_says_what_is_cached_and_runs_nothing() {
    let repo = prepared();
    repo.run(&["plan", "--without", "secrets"]).exits(0).says("never ran here");
    repo.run(&["lint"]).exits(0);
    repo.run(&["plan", "--without", "secrets"]).exits(0).says("cached");
    repo.run(&["lint", "--dry-run"]).exits(0).says("cached");
    assert_eq!(runs(&repo), 1);
}

#[test]
fn a_repository_without_git_is_cached_too() {
    let repo = Repo::without_git(&counting().read("pipeline.yaml"));
    fs::create_dir_all(repo.path("target")).unwrap();
    repo.run(&["lint"]).exits(0);
    repo.run(&["lint"]).exits(0);
    assert_eq!(runs(&repo), 1);
    repo.write("app/input.txt", "two\n");
    repo.run(&["lint"]).exits(0);
    assert_eq!(runs(&repo), 2);
}

#[test]
fn two_runs_at_once_on_one_checkout_both_end_well() {
    let repo = prepared();
    let runs: Vec<_> = (0..4).map(|_| repo.command(&["lint"]).output()).collect();
    assert!(runs.into_iter().all(|run| run.unwrap().status.success()));
    let children: Vec<_> = (0..4)
        .map(|at| {
            repo.write("app/input.txt", &format!("{at}\n"));
            repo.command(&["lint"])
                .stdout(std::process::Stdio::piped())
                .stderr(std::process::Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    for child in children {
        Ran::of(&child.wait_with_output().unwrap()).exits(0);
    }
    repo.report();
    repo.run(&["lint"]).exits(0);
}
