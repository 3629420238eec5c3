//! A scanner's database. The scanner is a fake: the real one needs its registry.

use crate::support::{Bench, never};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;
use xtask_core::tools::provision::{Data, Recipe, Unavailable};

const RECIPE: Recipe = Recipe {
    args: |folder, repository| vec!["fetch".into(), folder.into(), repository.into()],
    produces: &["db/data", "db/metadata.json"],
    refresh: Duration::from_secs(24 * 3600),
    expire: Duration::from_secs(7 * 24 * 3600),
};

/// Fills the folder from a good repository, fails on others, and counts.
const SCANNER: &str = r#"#!/bin/sh
if [ "$1" = --version ]; then echo tool 1.2.3; exit 0; fi
echo "$*" >> "$0.calls"
[ "$1" = fetch ] || exit 64
case "$3" in
  good*) /bin/mkdir -p "$2/db" && echo data > "$2/db/data" && echo "{}" > "$2/db/metadata.json" ;;
  empty*) /bin/mkdir -p "$2/db" && : > "$2/db/data" && echo "{}" > "$2/db/metadata.json" ;;
  *) echo "FATAL cannot reach $3" >&2; exit 1 ;;
esac
"#;

fn bench(repositories: &str) -> Bench {
    let bench = Bench::new();
    let data = format!("databases:\n  scanner-db:\n    tool: scanner\n    repositories: [{repositories}]\n");
    bench.pin_as("scanner", "      - path\n", &data);
    bench.fake("scanner", SCANNER);
    bench
}

async fn ensure(bench: &Bench) -> Result<Data, Unavailable> {
    let (_source, cancel) = never();
    let provisioner = bench.provisioner();
    let scanner = crate::support::ensure(&provisioner, "scanner").await?;
    provisioner.ensure_data("scanner-db", &RECIPE, &scanner, &cancel, |_| {}).await
}

fn calls(bench: &Bench) -> usize {
    fs::read_to_string(bench.bin.join("scanner.calls")).map_or(0, |text| text.lines().count())
}

/// Makes the database so many hours older.
fn age(bench: &Bench, hours: u64) {
    let path = bench.cache.join("@data/scanner-db/current.json");
    let text = fs::read_to_string(&path).unwrap();
    let line = text.lines().find(|line| line.contains("\"fetched\"")).unwrap();
    let fetched: u64 = line.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap();
    fs::write(&path, text.replace(line, &format!("  \"fetched\": {}", fetched - hours * 3_600_000))).unwrap();
}

fn folders(bench: &Bench) -> Vec<PathBuf> {
    let entries = fs::read_dir(bench.cache.join("@data/scanner-db")).unwrap();
    entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect()
}

#[tokio::test]
async fn it_is_fetched_once_and_then_used() {
    let bench = bench("\"good.example/db:2\"");
    assert_eq!(bench.provisioner().quick_data("scanner-db", &RECIPE), None);
    let data = ensure(&bench).await.unwrap();
    assert_eq!(
        (data.source.as_str(), fs::read_to_string(data.path.join("db/data")).unwrap().as_str()),
        ("good.example/db:2", "data\n")
    );
    assert_eq!(ensure(&bench).await.unwrap(), data);
    assert_eq!(bench.provisioner().quick_data("scanner-db", &RECIPE), Some(data));
    assert_eq!(calls(&bench), 1);
}

#[tokio::test]
async fn the_next_repository_is_taken_when_one_fails_or_gives_nothing() {
    let bench = bench("bad.example/db, empty.example/db, good.example/db");
    assert_eq!(ensure(&bench).await.unwrap().source, "good.example/db");
    assert_eq!(calls(&bench), 3);
    assert_eq!(folders(&bench).len(), 1, "nothing is left of those that failed");
}

#[tokio::test]
async fn when_no_repository_gives_it_each_says_why() {
    let bench = bench("bad.example/db, empty.example/db");
    let error = ensure(&bench).await.unwrap_err();
    assert_eq!(error.name, "scanner-db");
    let said: Vec<_> = error.tried.iter().map(ToString::to_string).collect();
    assert_eq!(said[0], "bad.example/db: `scanner fetch` exited with 1: FATAL cannot reach bad.example/db");
    assert_eq!(said[1], "empty.example/db: `scanner` ended well but left no db/data");
}

#[tokio::test]
async fn an_old_one_is_refreshed_and_the_one_before_stays_for_those_who_read_it() {
    let bench = bench("good.example/db");
    let first = ensure(&bench).await.unwrap();
    age(&bench, 25);
    assert_eq!(bench.provisioner().quick_data("scanner-db", &RECIPE), None);
    let second = ensure(&bench).await.unwrap();
    assert_ne!(second.path, first.path);
    assert!(first.path.exists());
    age(&bench, 25);
    let third = ensure(&bench).await.unwrap();
    assert!(!first.path.exists() && second.path.exists() && third.path.exists());
    assert_eq!(calls(&bench), 3);
}

#[tokio::test]
async fn one_that_cannot_be_refreshed_is_used_with_a_note_until_it_expires() {
    let bench = bench("good.example/db");
    ensure(&bench).await.unwrap();
    bench.fake("scanner", &SCANNER.replace("good*)", "never*)"));
    age(&bench, 30);
    let old = ensure(&bench).await.unwrap();
    assert_eq!(old.notes.len(), 1);
    assert!(
        old.notes[0].starts_with("scanner-db is 30 h old and could not be refreshed: good.example/db: "),
        "{old:?}"
    );
    age(&bench, 7 * 24);
    let error = ensure(&bench).await.unwrap_err();
    assert!(error.tried[0].why.contains("cannot reach"), "{error}");
}
