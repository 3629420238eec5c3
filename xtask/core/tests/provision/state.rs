//! What is installed: seen again, damaged, copied, installed by two at once.

use crate::server::{Reply, Server};
use crate::support::{Bench, never, program, sha256};
use std::fs;
use std::time::{Duration, SystemTime};
use xtask_core::tools::provision::{State, Tool, Verified};

async fn served() -> (Server, Bench) {
    let server = Server::start(|_, _| Reply::Bytes(program())).await;
    let bench = Bench::new();
    bench.pin(&Bench::archive(&server.url, "tool", &sha256(&program())));
    (server, bench)
}

async fn verified(bench: &Bench) -> Verified {
    let (_source, cancel) = never();
    bench.provisioner().verify(&["tool"], &cancel, |_| {}).await.remove(0).1
}

fn state(bench: &Bench) -> State {
    bench.provisioner().list().remove(0).state
}

/// Sets the time of a file back to what it was, as if nobody had written to it.
fn with_old_time(tool: &Tool, change: impl FnOnce()) {
    let time = fs::metadata(&tool.path).unwrap().modified().unwrap();
    change();
    fs::File::options().append(true).open(&tool.path).unwrap().set_modified(time).unwrap();
}

#[tokio::test]
async fn the_list_says_what_is_there_and_where_else_it_may_come_from() {
    let (server, bench) = served().await;
    let before = bench.provisioner().list();
    assert_eq!((before.len(), before[0].name.as_str(), before[0].version.as_str()), (1, "tool", "1.2.3"));
    assert_eq!(before[0].state, State::Missing);
    assert_eq!(before[0].sources, [format!("archive {}/tool", server.url)]);
    let tool = bench.ensure().await.unwrap();
    let State::Ready { path, bytes, sha256, .. } = state(&bench) else { panic!("{:?}", state(&bench)) };
    assert_eq!((path, bytes, sha256), (tool.path, program().len() as u64, tool.sha256));
}

#[tokio::test]
async fn verifying_sees_what_a_stat_cannot() {
    let (server, bench) = served().await;
    assert_eq!(verified(&bench).await, Verified::Missing);
    let tool = bench.ensure().await.unwrap();
    assert_eq!(
        verified(&bench).await,
        Verified::Good { path: tool.path.clone(), sha256: tool.sha256.clone() }
    );
    let mut bytes = program();
    let last = bytes.len() - 2;
    bytes[last] ^= 1;
    with_old_time(&tool, || fs::write(&tool.path, &bytes).unwrap());
    assert!(
        bench.provisioner().quick("tool").is_some(),
        "the same size, time and inode: only the digest tells"
    );
    let Verified::Bad(why) = verified(&bench).await else { panic!("not seen") };
    assert!(why.contains(&sha256(&bytes)), "{why}");
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_file_that_was_added_is_seen() {
    let (_server, bench) = served().await;
    let tool = bench.ensure().await.unwrap();
    fs::write(tool.path.with_file_name("libevil.so"), "x").unwrap();
    let Verified::Bad(why) = verified(&bench).await else { panic!("not seen") };
    assert!(why.contains("1 then, 2 now"), "{why}");
}

#[tokio::test]
async fn a_damaged_tool_is_installed_again_with_a_note() {
    type Damage = fn(&Bench, &Tool);
    let damages: [(&str, Damage); 6] = [
        ("cut tool.json", |bench, _| {
            let path = bench.only("tool.json");
            let text = fs::read(&path).unwrap();
            fs::write(path, &text[..text.len() / 2]).unwrap();
        }),
        ("empty tool.json", |bench, _| fs::write(bench.only("tool.json"), "").unwrap()),
        ("tool.json of something else", |bench, _| {
            let path = bench.only("tool.json");
            let text = fs::read_to_string(&path).unwrap();
            fs::write(path, text.replacen("\"identity\": \"", "\"identity\": \"0", 1)).unwrap();
        }),
        ("cut program", |_, tool| fs::write(&tool.path, "#!/bin/sh\n").unwrap()),
        ("other program of the same size", |_, tool| {
            fs::write(&tool.path, vec![b'x'; program().len()]).unwrap();
        }),
        ("no program", |_, tool| fs::remove_file(&tool.path).unwrap()),
    ];
    for (what, damage) in damages {
        let (server, bench) = served().await;
        let tool = bench.ensure().await.unwrap();
        damage(&bench, &tool);
        assert_eq!(bench.provisioner().quick("tool"), None, "{what}");
        assert!(matches!(state(&bench), State::Damaged(_)), "{what}: {:?}", state(&bench));
        let again = bench.ensure().await.unwrap();
        assert_eq!(server.seen().len(), 2, "{what}");
        assert_eq!(fs::read(&again.path).unwrap(), program(), "{what}");
        assert!(
            again.notes.iter().any(|note| note.starts_with("tool was installed again: ")),
            "{what}: {again:?}"
        );
        let quick = bench.provisioner().quick("tool").unwrap();
        assert_eq!(quick.notes, Vec::<String>::new(), "{what}: a note is told once");
    }
}

#[tokio::test]
async fn a_copied_cache_is_hashed_once_and_not_fetched_again() {
    let (server, bench) = served().await;
    let tool = bench.ensure().await.unwrap();
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    fs::File::options().append(true).open(&tool.path).unwrap().set_modified(long_ago).unwrap();
    assert_eq!(bench.provisioner().quick("tool"), None);
    assert_eq!(bench.ensure().await.unwrap().sha256, tool.sha256);
    assert!(bench.provisioner().quick("tool").is_some());
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_cache_that_was_moved_is_not_trusted() {
    let (server, mut bench) = served().await;
    bench.ensure().await.unwrap();
    let moved = bench.folder.path().join("moved");
    fs::rename(&bench.cache, &moved).unwrap();
    bench.cache = moved;
    assert_eq!(bench.provisioner().quick("tool"), None);
    let tool = bench.ensure().await.unwrap();
    assert!(tool.path.starts_with(&bench.cache));
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn another_digest_in_the_lock_file_is_another_installation() {
    let (server, bench) = served().await;
    let first = bench.ensure().await.unwrap();
    bench.pin(&Bench::archive(&server.url, "tool", &sha256(b"other")));
    assert_eq!(bench.provisioner().quick("tool"), None);
    bench.pin(&Bench::archive(&server.url, "tool", &sha256(&program())));
    assert_eq!(bench.provisioner().quick("tool"), Some(first), "both can be there");
}

#[tokio::test]
async fn two_that_want_the_same_tool_at_once_fetch_it_once() {
    let (server, bench) = served().await;
    let (one, two) = (bench.provisioner(), bench.provisioner());
    let (one, two) = tokio::join!(crate::support::ensure(&one, "tool"), crate::support::ensure(&two, "tool"));
    assert_eq!(one.unwrap(), two.unwrap());
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn many_tools_at_once_come_in_the_order_of_the_question() {
    let server = Server::start(|_, _| Reply::Bytes(program())).await;
    let bench = Bench::new();
    let names: Vec<String> = ["tool", "b", "c", "d", "e", "f"].map(str::to_owned).into();
    let more: String = names[1..]
        .iter()
        .map(|name| {
            let source = Bench::archive(&server.url, name, &sha256(&program()));
            format!("  {name}:\n    version: 1.2.3\n    probe: {{ args: [], after: \"tool \" }}\n    sources:\n{source}")
        })
        .collect();
    bench.pin_as("tool", &Bench::archive(&server.url, "tool", &sha256(&program())), &more);
    let wanted: Vec<&str> = names.iter().rev().map(String::as_str).collect();
    let (_source, cancel) = never();
    let results = bench.provisioner().ensure(&wanted, &cancel, |_| {}).await;
    let got: Vec<&str> = results
        .iter()
        .map(|(name, result)| {
            assert!(result.is_ok(), "{result:?}");
            name.as_str()
        })
        .collect();
    assert_eq!(got, wanted);
}
