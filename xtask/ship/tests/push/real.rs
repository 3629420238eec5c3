//! The other end is the lab's registry: CNCF distribution, as `cargo xtask lab up` builds it.

use crate::repo::Repo;
use serde_json::Value;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A registry on a free port, with nothing in it.
struct Registry {
    child: Child,
    address: String,
    store: tempfile::TempDir,
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Registry {
    fn start() -> Registry {
        let home = || PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache");
        let caches = std::env::var_os("XDG_CACHE_HOME").map_or_else(home, PathBuf::from);
        let builds = caches.join("slipway/lab/build");
        let built = fs::read_dir(&builds).into_iter().flatten().flatten();
        let program = built.map(|build| build.path().join("bin/registry")).find(|path| path.is_file());
        assert!(program.is_some(), "no registry below {}: `cargo xtask lab up` builds it", builds.display());
        let store = tempfile::tempdir().unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let config = store.path().join("registry.json");
        let text = serde_json::json!({
            "version": "0.1",
            "log": {"level": "warn"},
            "storage": {
                "filesystem": {"rootdirectory": store.path()},
                "maintenance": {"uploadpurging": {"enabled": false}},
            },
            "http": {"addr": address},
        });
        fs::write(&config, text.to_string()).unwrap();
        let log = fs::File::create(store.path().join("log")).unwrap();
        let child =
            Command::new(program.unwrap()).arg("serve").arg(config).stdout(Stdio::null()).stderr(log).spawn();
        let registry = Registry { child: child.unwrap(), address, store };
        let ends = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(&registry.address).is_err() {
            assert!(Instant::now() < ends, "the registry does not come up: {}", registry.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        registry
    }

    fn log(&self) -> String {
        fs::read_to_string(self.store.path().join("log")).unwrap_or_default()
    }

    /// The status and the digest that it answers with when asked for a manifest.
    fn manifest(&self, reference: &str) -> (String, Option<String>) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let ask = format!(
            "HEAD /v2/team/hello/manifests/{reference} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
             Accept: application/vnd.oci.image.manifest.v1+json\r\n\r\n"
        );
        stream.write_all(ask.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let digest = answer.lines().find_map(|line| line.strip_prefix("Docker-Content-Digest: "));
        (answer.split(' ').nth(1).unwrap_or_default().to_owned(), digest.map(str::to_owned))
    }
}

fn pushed(json: &str) -> Value {
    let list: Value = serde_json::from_str(json).unwrap();
    assert_eq!(list.as_array().map(Vec::len), Some(1), "{json}");
    list[0].clone()
}

#[test]
fn a_registry_has_what_was_pushed_under_its_digest_its_commit_and_its_branch() {
    let (repo, registry) = (Repo::new(), Registry::start());
    let to = format!("{}/team/hello", registry.address);
    let commit = repo.git(&["rev-parse", "HEAD"]);
    let first = pushed(&repo.push(&["--to", &to, "--tag", "v1", "--json"]).exits(0).stdout);
    let digest = first["digest"].as_str().unwrap();
    assert_eq!(first["reference"], format!("{to}@{digest}"));
    assert_eq!(first["sent"]["blobs"], 2);
    assert_eq!(repo.stage("build")["facts"]["digest"], digest);
    for name in [digest, &commit, "main", "v1"] {
        assert_eq!(registry.manifest(name), ("200".into(), Some(digest.to_owned())), "{name}");
    }

    let again = repo.push(&["--to", &to]).exits(0);
    again.says(&format!("{to}@{digest}: it was there already; verified"));
    assert_eq!(repo.stage("push")["facts"]["sent"]["already_there"], true);
    assert_eq!(repo.stage("build")["cached"], true);

    repo.write("app/input.txt", "two\n");
    repo.push(&["--to", &to]).exits(0).says("changes that are not committed").says("no other name");
    assert_eq!(registry.manifest("main").1.as_deref(), Some(digest), "main stands for what was committed");

    repo.commit();
    let moved = pushed(&repo.push(&["--to", &to, "--json"]).exits(0).stdout);
    assert_ne!(moved["digest"], *digest);
    assert_eq!(moved["names"][1]["before"], *digest);
    assert_eq!(registry.manifest("main").1.as_deref(), moved["digest"].as_str());
    assert_eq!(registry.manifest(&commit).1.as_deref(), Some(digest), "the old commit keeps its image");
}

#[test]
fn an_image_that_was_damaged_on_disk_is_made_whole_before_it_is_pushed() {
    let (repo, registry) = (Repo::new(), Registry::start());
    let to = format!("{}/team/hello", registry.address);
    repo.push(&["--to", "127.0.0.1:9/hello"]).exits(20);
    let built = repo.stage("build")["facts"]["digest"].as_str().unwrap().to_owned();
    for item in fs::read_dir(repo.path("target/xtask/images/hello/blobs/sha256")).unwrap() {
        let path = item.unwrap().path();
        let mut bytes = fs::read(&path).unwrap();
        bytes[0] ^= 1;
        fs::write(&path, bytes).unwrap();
    }
    repo.push(&["--to", &to]).exits(0);
    assert_eq!(registry.manifest("main"), ("200".into(), Some(built)));
}
