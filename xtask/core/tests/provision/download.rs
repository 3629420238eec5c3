//! Release files: what arrives, what is resumed, what is refused.

use crate::server::{Reply, Server};
use crate::support::{Bench, ensure, never, program, run, sha256, watch, write_program};
use std::fs;
use std::time::Duration;
use xtask_core::tools::provision::{Phase, Reason};

#[tokio::test]
async fn a_plain_program_is_downloaded_checked_and_asked_only_once() {
    let bytes = program();
    let sum = sha256(&bytes);
    let server = Server::start(move |_, _| Reply::Bytes(program())).await;
    let bench = Bench::new();
    bench.pin(&Bench::archive(&server.url, "tool-linux", &sum));

    let provisioner = bench.provisioner();
    assert_eq!(provisioner.quick("tool"), None);
    let (tool, steps) = watch(&provisioner, "tool").await;
    let tool = tool.unwrap();
    assert_eq!(
        (tool.name.as_str(), tool.version.as_str(), tool.sha256.as_str()),
        ("tool", "1.2.3", sum.as_str())
    );
    assert_eq!(tool.source, format!("archive {}/tool-linux", server.url));
    assert_eq!(fs::read(&tool.path).unwrap(), bytes);
    assert_eq!(steps.last().map(|step| step.phase), Some(Phase::Ready));
    assert!(steps.iter().any(|step| step.phase == Phase::Checking), "{steps:?}");

    assert_eq!(bench.provisioner().quick("tool"), Some(tool.clone()));
    assert_eq!(ensure(&bench.provisioner(), "tool").await.unwrap(), tool);
    assert_eq!(server.seen().len(), 1);
    assert!(bench.cached().iter().all(|file| !file.ends_with(".part") && !file.ends_with(".headers")));
}

#[tokio::test]
async fn the_program_is_found_in_archives_by_its_name() {
    let bench = Bench::new();
    let packed = bench.folder.path().join("packed");
    fs::create_dir_all(packed.join("tool-1.2.3/docs")).unwrap();
    write_program(&packed.join("tool-1.2.3/tool"), "#!/bin/sh\necho tool 1.2.3\n");
    fs::write(packed.join("tool-1.2.3/docs/tool.md"), "x").unwrap();
    run("tar", &["-czf", "tool.tar.gz", "tool-1.2.3"], &packed);
    run("zip", &["-q", "-r", "tool.zip", "tool-1.2.3"], &packed);
    for file in ["tool.tar.gz", "tool.zip"] {
        let bytes = fs::read(packed.join(file)).unwrap();
        let sum = sha256(&bytes);
        let server = Server::start(move |_, _| Reply::Bytes(bytes.clone())).await;
        bench.pin(&Bench::archive(&server.url, file, &sum));
        let tool = bench.ensure().await.unwrap();
        assert_eq!(tool.path.file_name().unwrap(), "tool");
        let beside: Vec<_> = fs::read_dir(tool.path.parent().unwrap())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(beside.len(), 2, "the program and tool.json, nothing unpacked is left: {beside:?}");
    }
}

#[tokio::test]
async fn an_archive_without_exactly_one_such_file_gives_nothing() {
    let bench = Bench::new();
    let packed = bench.folder.path().join("packed");
    fs::create_dir_all(packed.join("a")).unwrap();
    fs::write(packed.join("other"), "x").unwrap();
    run("tar", &["-czf", "none.tgz", "other"], &packed);
    std::os::unix::fs::symlink("/bin/sh", packed.join("tool")).unwrap();
    run("tar", &["-czf", "link.tgz", "tool"], &packed);
    fs::remove_file(packed.join("tool")).unwrap();
    write_program(&packed.join("tool"), "#!/bin/sh\n");
    write_program(&packed.join("a/tool"), "#!/bin/sh\n");
    run("tar", &["-czf", "two.tgz", "tool", "a"], &packed);
    fs::write(packed.join("broken.tgz"), "no archive").unwrap();
    for (file, why) in [
        ("none.tgz", "exactly one"),
        ("link.tgz", "exactly one"),
        ("two.tgz", "exactly one"),
        ("broken.tgz", "tar"),
    ] {
        let bytes = fs::read(packed.join(file)).unwrap();
        let sum = sha256(&bytes);
        let server = Server::start(move |_, _| Reply::Bytes(bytes.clone())).await;
        bench.pin(&Bench::archive(&server.url, file, &sum));
        let error = bench.ensure().await.unwrap_err();
        assert!(error.tried[0].why.contains(why), "{file}: {error}");
        assert_eq!(bench.provisioner().quick("tool"), None);
        assert!(bench.cached().iter().all(|file| file.ends_with(".part")), "{:?}", bench.cached());
    }
}

#[tokio::test]
async fn a_connection_that_breaks_is_continued_where_it_broke() {
    let bytes = program();
    let (middle, sum) = (bytes.len() / 2, sha256(&bytes));
    let server =
        Server::start(
            move |_, before| {
                if before == 0 { Reply::Cut(program(), middle) } else { Reply::Bytes(program()) }
            },
        )
        .await;
    let bench = Bench::new();
    bench.pin(&Bench::archive(&server.url, "tool", &sum));
    let (tool, steps) = watch(&bench.provisioner(), "tool").await;
    tool.unwrap();
    let asked: Vec<_> = server.seen().iter().map(|seen| seen.from).collect();
    assert_eq!(asked, [None, Some(middle)]);
    assert!(steps.iter().any(|step| step.phase == Phase::Retrying), "{steps:?}");
}

#[tokio::test]
async fn what_an_earlier_run_left_is_continued() {
    let bytes = program();
    let sum = sha256(&bytes);
    let server = Server::start(|_, _| Reply::Bytes(program())).await;
    let bench = Bench::new();
    bench.pin(&Bench::archive(&server.url, "tool", &sum));
    fs::create_dir_all(bench.cache.join("tool")).unwrap();
    fs::write(bench.cache.join(format!("tool/{sum}.part")), &bytes[..1000]).unwrap();
    bench.ensure().await.unwrap();
    let asked: Vec<_> = server.seen().iter().map(|seen| seen.from).collect();
    assert_eq!(asked, [Some(1000)]);
}

#[tokio::test]
async fn a_download_that_is_whole_already_needs_no_server() {
    let bytes = program();
    let sum = sha256(&bytes);
    let server = Server::start(|_, _| Reply::Bytes(program())).await;
    let bench = Bench::new();
    bench.pin(&Bench::archive(&server.url, "tool", &sum));
    fs::create_dir_all(bench.cache.join("tool")).unwrap();
    fs::write(bench.cache.join(format!("tool/{sum}.part")), &bytes).unwrap();
    bench.ensure().await.unwrap();
    assert_eq!(server.seen().len(), 0);
}

#[tokio::test]
async fn what_cannot_be_continued_is_fetched_anew() {
    let bytes = program();
    let sum = sha256(&bytes);
    let length = bytes.len();
    type Case = (&'static str, Vec<u8>, fn() -> Reply);
    let parts: [Case; 3] = [
        ("other bytes", vec![b'x'; 1000], || Reply::Bytes(program())),
        ("more bytes than there are", vec![b'x'; length + 10], || Reply::Bytes(program())),
        ("a server without ranges", bytes[..1000].to_vec(), || Reply::NoRanges(program())),
    ];
    for (what, part, reply) in parts {
        let server = Server::start(move |_, _| reply()).await;
        let bench = Bench::new();
        bench.pin(&Bench::archive(&server.url, "tool", &sum));
        fs::create_dir_all(bench.cache.join("tool")).unwrap();
        fs::write(bench.cache.join(format!("tool/{sum}.part")), part).unwrap();
        let tool = bench.ensure().await.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(tool.sha256.as_str(), sum, "{what}");
        assert_eq!(server.seen().last().and_then(|seen| seen.from), None, "{what}: {:?}", server.seen());
    }
}

#[tokio::test]
async fn wrong_bytes_are_refused_and_leave_nothing() {
    let server =
        Server::start(|_, _| Reply::Bytes(b"#!/bin/sh\ntouch \"$0.has-run\"\necho tool 1.2.3\n".to_vec()))
            .await;
    let bench = Bench::new();
    let pinned = sha256(b"something else");
    bench.pin(&Bench::archive(&server.url, "tool", &pinned));
    let error = bench.ensure().await.unwrap_err();
    assert_eq!(error.tried.len(), 1);
    assert_eq!(error.tried[0].reason, Reason::Refused);
    assert!(error.tried[0].why.contains(&pinned), "{error}");
    assert_eq!(server.seen().len(), 1, "the same bytes would come again");
    assert_eq!(bench.cached(), Vec::<String>::new());
    assert_eq!(bench.provisioner().quick("tool"), None);
}

#[tokio::test]
async fn the_next_source_is_taken_and_a_refusal_before_it_is_told() {
    let bytes = program();
    let sum = sha256(&bytes);
    let server = Server::start(|path, _| {
        if path.starts_with("/bad") { Reply::Bytes(b"bad".to_vec()) } else { Reply::Bytes(program()) }
    })
    .await;
    let bench = Bench::new();
    let sources = Bench::archive(&format!("{}/bad", server.url), "tool", &sha256(b"good"))
        + &Bench::archive(&format!("{}/good", server.url), "tool", &sum);
    bench.pin(&sources);
    let tool = bench.ensure().await.unwrap();
    assert!(tool.source.contains("/good/"), "{tool:?}");
    assert!(tool.notes.iter().any(|note| note.starts_with("refused, and had from elsewhere: ") && note.contains("/bad/tool: ")), "{tool:?}");
}

#[tokio::test]
async fn a_program_of_another_version_is_refused() {
    let other = b"#!/bin/sh\necho tool 1.2.4\n".to_vec();
    let sum = sha256(&other);
    let server = Server::start(move |_, _| Reply::Bytes(other.clone())).await;
    let bench = Bench::new();
    bench.pin(&Bench::archive(&server.url, "tool", &sum));
    let error = bench.ensure().await.unwrap_err();
    assert_eq!(error.tried[0].reason, Reason::Refused);
    assert!(error.tried[0].why.contains("1.2.4"), "{error}");
    assert_eq!(bench.cached(), Vec::<String>::new());
}

#[tokio::test]
async fn a_program_that_does_not_run_here_is_not_installed() {
    let foreign = b"\x7fELF not for this machine".to_vec();
    let sum = sha256(&foreign);
    let server = Server::start(move |_, _| Reply::Bytes(foreign.clone())).await;
    let bench = Bench::new();
    bench.pin(&Bench::archive(&server.url, "tool", &sum));
    let error = bench.ensure().await.unwrap_err();
    assert!(error.tried[0].why.contains("does not run"), "{error}");
    assert_eq!(bench.cached(), Vec::<String>::new());
}

#[tokio::test]
async fn only_passing_failures_are_tried_again() {
    for (status, requests) in
        [("404 Not Found", 1), ("403 Forbidden", 1), ("500 Oops", 3), ("503 Busy", 3), ("429 Slow", 3)]
    {
        let server = Server::start(move |_, _| Reply::Status(status, "")).await;
        let bench = Bench::new();
        bench.pin(&Bench::archive(&server.url, "tool", &sha256(b"x")));
        let error = bench.ensure().await.unwrap_err();
        assert_eq!(server.seen().len(), requests, "{status}");
        assert!(error.tried[0].why.contains(&status[..3]), "{status}: {error}");
    }
}

#[tokio::test]
async fn a_server_that_asks_to_wait_is_waited_for() {
    let server = Server::start(|_, before| {
        if before == 0 { Reply::Status("429 Slow", "Retry-After: 1\r\n") } else { Reply::Bytes(program()) }
    })
    .await;
    let bench = Bench::new();
    bench.pin(&Bench::archive(&server.url, "tool", &sha256(&program())));
    bench.ensure().await.unwrap();
    let seen = server.seen();
    assert_eq!(seen.len(), 2);
    assert!(seen[1].at - seen[0].at >= Duration::from_secs(1));
}

#[tokio::test]
async fn a_server_that_asks_for_an_hour_is_left() {
    let server = Server::start(|_, _| Reply::Status("429 Slow", "Retry-After: 3600\r\n")).await;
    let bench = Bench::new();
    bench.pin(&Bench::archive(&server.url, "tool", &sha256(b"x")));
    let error = bench.ensure().await.unwrap_err();
    assert_eq!(server.seen().len(), 1);
    assert!(error.tried[0].why.contains("3600 s"), "{error}");
}

#[tokio::test]
async fn a_connection_that_stalls_is_given_up_and_continued() {
    let sum = sha256(&program());
    let server =
        Server::start(
            |_, before| {
                if before == 0 { Reply::Hang(program(), 8192) } else { Reply::Bytes(program()) }
            },
        )
        .await;
    let bench = Bench::new();
    bench.pin(&Bench::archive(&server.url, "tool", &sum));
    let (tool, steps) = watch(&bench.provisioner(), "tool").await;
    tool.unwrap();
    let asked: Vec<_> = server.seen().iter().map(|seen| seen.from).collect();
    assert_eq!(asked, [None, Some(8192)]);
    let total = program().len() as u64;
    let counted =
        |step: &&xtask_core::tools::provision::ToolProgress| step.done == 8192 && step.total == Some(total);
    assert!(steps.iter().any(|step| counted(&step)), "bytes done and in all are shown: {steps:?}");
}

#[tokio::test]
async fn a_redirect_to_another_scheme_is_not_followed() {
    let server = Server::start(|_, _| Reply::Status("302 Found", "Location: file:///etc/passwd\r\n")).await;
    let bench = Bench::new();
    bench.pin(&Bench::archive(&server.url, "tool", &sha256(b"x")));
    let error = bench.ensure().await.unwrap_err();
    assert!(error.tried[0].why.contains("not supported or disabled"), "{error}");
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn when_nothing_can_be_had_each_source_says_why() {
    let server = Server::start(|_, _| Reply::Status("404 Not Found", "")).await;
    let bench = Bench::new();
    let sources = "      - path\n".to_owned()
        + &Bench::archive(&server.url, "tool", &sha256(b"x"))
        + &format!(
            "      - go: {{ module: a.example/m, version: v1.2.3, package: a.example/m/tool, sum: \"h1:{}=\" }}\n",
            "A".repeat(43)
        )
        + "      - gomod: { dir: none, package: a.example/m/tool }\n      - pypi: { requirements: none, script: tool }\n";
    bench.pin(&sources);
    bench.fake("python3", "#!/bin/sh\nexit 9\n");
    let error = bench.ensure().await.unwrap_err();
    let said: Vec<_> = error.tried.iter().map(ToString::to_string).collect();
    assert_eq!(said.len(), 5, "{said:?}");
    assert_eq!(said[0], "path: `tool` is not on PATH");
    assert!(
        said[1].starts_with(&format!("archive {}/tool: ", server.url)) && said[1].contains("404"),
        "{said:?}"
    );
    assert_eq!(said[2], "go a.example/m/tool@v1.2.3: `go` is not on PATH");
    assert_eq!(said[3], "gomod a.example/m/tool: `go` is not on PATH");
    assert!(said[4].starts_with("pypi python/none.txt: ") && said[4].contains("does not exist"), "{said:?}");
    assert!(error.to_string().starts_with("`tool` could not be had\n  path: "), "{error}");
}

#[tokio::test]
async fn a_host_that_nobody_reaches_is_asked_for_one_tool_only() {
    // A port that was free a moment ago: nobody listens there.
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{address}");
    let bench = Bench::new();
    let other = format!(
        "  other:\n    version: 1.2.3\n    sources:\n{}",
        Bench::archive(&url, "other", &sha256(b"y"))
    );
    bench.pin_as("tool", &Bench::archive(&url, "tool", &sha256(b"x")), &other);
    let provisioner = bench.provisioner();
    let first = ensure(&provisioner, "tool").await.unwrap_err();
    assert!(first.tried[0].why.contains("2 tries"), "{first}");
    let second = ensure(&provisioner, "other").await.unwrap_err();
    assert!(
        second.tried[0].why.starts_with("not tried, 127.0.0.1 could not be reached a moment ago"),
        "{second}"
    );
}

#[tokio::test]
async fn a_stop_in_the_middle_keeps_what_has_come() {
    let sum = sha256(&program());
    let server =
        Server::start(
            |_, before| {
                if before == 0 { Reply::Hang(program(), 8192) } else { Reply::Bytes(program()) }
            },
        )
        .await;
    let mut bench = Bench::new();
    bench.patience.stall = Duration::from_secs(60);
    bench.pin(&Bench::archive(&server.url, "tool", &sum));
    let (source, cancel) = never();
    let results = bench
        .provisioner()
        .ensure(&["tool"], &cancel, |step| {
            if step.done == 8192 {
                source.raise();
            }
        })
        .await;
    let error = results[0].1.as_ref().unwrap_err();
    assert_eq!(error.tried[0].reason, Reason::Cancelled);
    bench.ensure().await.unwrap();
    assert_eq!(server.seen().last().and_then(|seen| seen.from), Some(8192));
}

#[tokio::test]
async fn a_tool_that_is_not_pinned_is_named() {
    let bench = Bench::new();
    bench.pin("      - path\n");
    let error = ensure(&bench.provisioner(), "other").await.unwrap_err();
    assert!(error.to_string().contains("tools.lock: it does not name this tool"), "{error}");
}

#[tokio::test]
async fn a_cache_that_cannot_be_made_is_named() {
    let server = Server::start(|_, _| Reply::Bytes(program())).await;
    let mut bench = Bench::new();
    bench.pin(&Bench::archive(&server.url, "tool", &sha256(&program())));
    fs::write(bench.folder.path().join("file"), "").unwrap();
    bench.cache = bench.folder.path().join("file/cache");
    let error = bench.ensure().await.unwrap_err();
    assert_eq!(error.tried[0].source, "cache");
    assert!(
        error.tried[0].why.contains("cannot make") && error.tried[0].why.contains("file/cache/tool"),
        "{error}"
    );
    assert_eq!(server.seen().len(), 0);
}

#[tokio::test]
async fn a_disk_without_room_is_named() {
    let server = Server::start(|_, _| Reply::Bytes(program())).await;
    let bench = Bench::new();
    bench.pin(&Bench::archive(&server.url, "tool", &sha256(&program())));
    let curl = fs::read_link(bench.bin.join("curl")).unwrap();
    fs::remove_file(bench.bin.join("curl")).unwrap();
    // The real curl, whose writes fail after a few bytes as on a full disk.
    bench.fake("curl", &format!("#!/bin/sh\ntrap '' XFSZ\nulimit -f 8\nexec {} \"$@\"\n", curl.display()));
    let error = bench.ensure().await.unwrap_err();
    assert!(error.tried[0].why.contains("cannot write") && error.tried[0].why.contains(".part"), "{error}");
    assert_eq!(server.seen().len(), 1, "a full disk is not the server's fault");
}
