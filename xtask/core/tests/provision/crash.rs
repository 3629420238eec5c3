//! A run that is killed in the middle.

use crate::server::{Reply, Server};
use crate::support::{Bench, program, sha256};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::time::Duration;

/// curl writes in pieces of 4 KiB.
const HALF: usize = 8192;
const ARENA: &str = "SLIPWAY_TEST_ARENA";

/// What is done by the process that will be killed: this test binary, started again by the test below and told where.
async fn be_killed(arena: &Path) {
    let mut bench = Bench::new();
    bench.cache = arena.join("cache");
    bench.repository = arena.join("repository");
    bench.patience.stall = Duration::from_secs(600);
    let result = bench.ensure().await;
    panic!("it should have been killed: {result:?}");
}

#[tokio::test]
async fn after_a_kill_the_next_run_continues_and_leaves_nothing_half_done() {
    #[expect(
        clippy::disallowed_methods,
        reason = "the way in which the test tells itself, started again, what to do"
    )]
    if let Some(arena) = std::env::var_os(ARENA) {
        return be_killed(Path::new(&arena)).await;
    }
    let sum = sha256(&program());
    let server =
        Server::start(
            |_, before| {
                if before == 0 { Reply::Hang(program(), HALF) } else { Reply::Bytes(program()) }
            },
        )
        .await;
    let bench = Bench::new();
    bench.pin(&Bench::archive(&server.url, "tool", &sum));
    #[expect(clippy::disallowed_methods, reason = "starts this test binary again")]
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "crash::after_a_kill_the_next_run_continues_and_leaves_nothing_half_done",
            "--nocapture",
        ])
        .env(ARENA, bench.folder.path())
        .process_group(0)
        .spawn()
        .unwrap();
    let part = bench.cache.join(format!("tool/{sum}.part"));
    while std::fs::metadata(&part).map_or(0, |meta| meta.len()) < HALF as u64 {
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    child.kill().unwrap();
    child.wait().unwrap();

    assert_eq!(bench.provisioner().quick("tool"), None);
    let tool = bench.ensure().await.unwrap();
    assert_eq!(tool.sha256.as_str(), sum);
    assert_eq!(server.seen().last().and_then(|seen| seen.from), Some(HALF));
    assert!(
        bench.cached().iter().all(|file| file.ends_with("/tool") || file.ends_with("/tool.json")),
        "{:?}",
        bench.cached()
    );
}

#[tokio::test]
async fn what_a_kill_left_in_the_place_itself_is_cleared() {
    let server = Server::start(|_, _| Reply::Bytes(program())).await;
    let bench = Bench::new();
    bench.pin(&Bench::archive(&server.url, "tool", &sha256(&program())));
    let tool = bench.ensure().await.unwrap();
    // As after a kill between unpacking and the last step: files, and no tool.json.
    std::fs::remove_file(bench.only("tool.json")).unwrap();
    std::fs::write(tool.path.with_file_name("half"), "x").unwrap();
    assert_eq!(bench.provisioner().quick("tool"), None);
    let again = bench.ensure().await.unwrap();
    assert_eq!(again.path, tool.path);
    assert!(!tool.path.with_file_name("half").exists());
}

#[tokio::test]
async fn what_a_kill_left_of_another_version_is_swept_and_whole_ones_stay() {
    let server = Server::start(|_, _| Reply::Bytes(program())).await;
    let bench = Bench::new();
    let of_tool = bench.cache.join("tool");
    for (folder, file) in [("1.0.0-archive-whole", "tool.json"), ("1.1.0-archive-half", "tool")] {
        std::fs::create_dir_all(of_tool.join(folder)).unwrap();
        std::fs::write(of_tool.join(folder).join(file), "x").unwrap();
    }
    std::fs::write(of_tool.join("0123.part"), "x").unwrap();
    bench.pin(&Bench::archive(&server.url, "tool", &sha256(&program())));
    bench.ensure().await.unwrap();
    let left = bench.cached();
    assert!(left.contains(&"tool/1.0.0-archive-whole/tool.json".to_owned()), "{left:?}");
    assert_eq!(left.len(), 3, "and the new one: {left:?}");
}
