//! Programs that are already on PATH.

use crate::support::{Bench, never, write_program};
use std::fs;

const COUNTS: &str = "#!/bin/sh\necho run >> \"$0.runs\"\necho tool 1.2.3\n";

fn runs(bench: &Bench) -> usize {
    fs::read_to_string(bench.bin.join("tool.runs")).map_or(0, |text| text.lines().count())
}

#[tokio::test]
async fn the_right_version_is_taken_and_asked_only_once() {
    let bench = Bench::new();
    bench.pin("      - path\n");
    let program = bench.fake("tool", COUNTS);
    assert_eq!(bench.provisioner().quick("tool"), None, "it was never asked");
    let tool = bench.ensure().await.unwrap();
    assert_eq!((tool.path.as_path(), tool.source.as_str()), (program.as_path(), "path"));
    assert_eq!(bench.provisioner().quick("tool"), Some(tool.clone()));
    assert_eq!(bench.ensure().await.unwrap(), tool);
    assert_eq!(runs(&bench), 1);
}

#[tokio::test]
async fn another_file_is_asked_again() {
    let bench = Bench::new();
    bench.pin("      - path\n");
    bench.fake("tool", COUNTS);
    bench.ensure().await.unwrap();
    bench.fake("tool", "#!/bin/sh\necho tool 1.2.4, another file\n");
    assert_eq!(bench.provisioner().quick("tool"), None);
    let error = bench.ensure().await.unwrap_err();
    assert!(error.tried[0].why.contains("tool is version 1.2.4"), "{error}");
    assert!(error.tried[0].why.starts_with("not version 1.2.3"), "{error}");
}

#[tokio::test]
async fn a_wrong_one_in_front_does_not_hide_the_right_one() {
    let bench = Bench::new();
    bench.pin("      - path\n");
    let front = bench.folder.path().join("front");
    fs::create_dir(&front).unwrap();
    write_program(&front.join("tool"), "#!/bin/sh\nexit 3\n");
    let program = bench.fake("tool", COUNTS);
    let provisioner = bench.provisioner_on(vec![front.clone(), bench.bin.clone()]);
    let tool = crate::support::ensure(&provisioner, "tool").await.unwrap();
    assert_eq!(tool.path, program);
    assert_eq!(
        provisioner.quick("tool").map(|tool| tool.path),
        Some(program),
        "the failure is remembered too"
    );
}

#[tokio::test]
async fn the_shim_of_a_version_manager_is_not_taken() {
    let bench = Bench::new();
    bench.pin("      - path\n");
    let shims = bench.folder.path().join("shims");
    fs::create_dir(&shims).unwrap();
    write_program(&shims.join("tool"), COUNTS);
    let error = crate::support::ensure(&bench.provisioner_on(vec![shims.clone()]), "tool").await.unwrap_err();
    assert!(error.tried[0].why.contains("not on PATH"), "{error}");
    assert!(!shims.join("tool.runs").exists());
}

#[tokio::test]
async fn a_cache_that_cannot_be_written_does_not_matter_to_what_is_on_path() {
    let mut bench = Bench::new();
    bench.pin("      - path\n");
    bench.fake("tool", COUNTS);
    fs::write(bench.folder.path().join("file"), "").unwrap();
    bench.cache = bench.folder.path().join("file/cache");
    bench.ensure().await.unwrap();
}

#[tokio::test]
async fn a_program_that_never_answers_is_not_waited_for_and_not_remembered() {
    let mut bench = Bench::new();
    bench.pin("      - path\n");
    bench.fake("tool", "#!/bin/sh\nexec /bin/sleep 600\n");
    bench.patience.probe = std::time::Duration::from_millis(100);
    let error = bench.ensure().await.unwrap_err();
    assert!(error.tried[0].why.contains("was not done after"), "{error}");
    assert_eq!(bench.cached(), Vec::<String>::new());
}

#[tokio::test]
async fn verifying_asks_again_and_sees_another_answer() {
    let bench = Bench::new();
    bench.pin("      - path\n");
    // It answers what is written beside it: the same file, another answer.
    let program = bench.fake("tool", "#!/bin/sh\nread said < \"$0.says\"\necho \"$said\"\n");
    fs::write(bench.bin.join("tool.says"), "tool 1.2.3\n").unwrap();
    bench.ensure().await.unwrap();
    let (_source, cancel) = never();
    let verified = bench.provisioner().verify(&[], &cancel, |_| {}).await;
    assert!(format!("{verified:?}").contains("Good"), "{verified:?}");
    fs::write(bench.bin.join("tool.says"), "tool 9.9.9\n").unwrap();
    let verified = bench.provisioner().verify(&["tool"], &cancel, |_| {}).await;
    assert!(format!("{verified:?}").contains("another version"), "{verified:?}");
    assert!(program.exists());
}
