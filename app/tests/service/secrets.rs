//! Secret files: what is taken from the folder and when, and that a rotation needs no restart.

use std::env::VarError;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::symlink;
use std::time::{Duration, SystemTime};

use app::config::Config;
use app::metrics::Metrics;
use app::secret::folder::{Folder, FolderError};
use app::secret::{MAX_BYTES, Secret, Unusable};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use crate::process::Running;
use crate::volume::Volume;
use crate::wire::{Reply, connect, send, until};

type Outcome = io::Result<()>;

fn holds(folder: &Folder, name: &str, value: &str) -> Option<bool> {
    folder.with(name, |secret| secret.has_line(value))
}

fn exposition(folder: &Folder) -> io::Result<String> {
    let config = Config::read(|_| Err(VarError::NotPresent)).map_err(io::Error::other)?;
    Metrics::new(&config, folder).encode().map_err(io::Error::other)
}

/// The counters of the secrets.
fn counters(folder: &Folder) -> io::Result<Vec<String>> {
    let text = exposition(folder)?;
    let lines = text.lines().filter_map(|line| line.strip_prefix("app_secret_reload"));
    Ok(lines.map(str::to_owned).collect())
}

/// The ages in whole hours, by the series' labels.
fn hours(folder: &Folder) -> io::Result<Vec<(String, u64)>> {
    let text = exposition(folder)?;
    let ages = text.lines().filter_map(|line| line.strip_prefix("app_secret_age_seconds")?.split_once(' '));
    ages.map(|(labels, age)| {
        let age = age.parse().map(Duration::from_secs_f64).map_err(io::Error::other)?;
        Ok((labels.to_owned(), age.as_secs() / 3600))
    })
    .collect()
}

fn backdate(volume: &Volume, hours: u64) -> Outcome {
    let written = SystemTime::now() - Duration::from_hours(hours);
    File::options().write(true).open(volume.path().join("a"))?.set_modified(written)
}

#[test]
fn every_file_is_a_secret_and_the_volumes_own_entries_are_not() -> Outcome {
    let volume = Volume::new(&[("a", b"one\n"), ("b.pem", b"two")])?;
    let folder = Folder::open(Some(volume.path())).unwrap();
    assert_eq!(folder.names(), ["a", "b.pem"]);
    assert_eq!(holds(&folder, "a", "one"), Some(true));
    assert_eq!(holds(&folder, "b.pem", "one"), Some(false));
    assert_eq!(holds(&folder, "c", "one"), None);
    Ok(())
}

#[test]
fn a_plain_folder_works_too_and_its_folders_are_not_secrets() -> Outcome {
    let plain = tempfile::tempdir()?;
    fs::write(plain.path().join("a"), "one")?;
    fs::create_dir(plain.path().join("sub"))?;
    let folder = Folder::open(Some(plain.path())).unwrap();
    assert_eq!(folder.names(), ["a"]);
    fs::write(plain.path().join("a"), "two")?;
    folder.refresh();
    assert_eq!(holds(&folder, "a", "two"), Some(true));
    Ok(())
}

#[test]
fn without_a_folder_there_are_no_secrets_and_no_series() -> Outcome {
    let folder = Folder::open(None).unwrap();
    folder.refresh();
    assert!(folder.names().is_empty());
    assert!(!exposition(&folder)?.contains("secret"));
    Ok(())
}

#[test]
fn a_moved_link_is_followed_and_counted_for_what_changed_only() -> Outcome {
    let mut volume = Volume::new(&[("a", b"one"), ("b", b"same")])?;
    let folder = Folder::open(Some(volume.path())).unwrap();
    folder.refresh();
    volume.replace(&[("a", b"two"), ("b", b"same"), ("c", b"new")])?;
    folder.refresh();
    folder.refresh();
    assert_eq!(holds(&folder, "a", "two"), Some(true));
    assert_eq!(holds(&folder, "a", "one"), Some(false));
    assert_eq!(
        counters(&folder)?,
        [
            r#"s_total{secret="a"} 1"#,
            r#"s_total{secret="b"} 0"#,
            r#"s_total{secret="c"} 1"#,
            r#"_errors_total{secret="a"} 0"#,
            r#"_errors_total{secret="b"} 0"#,
            r#"_errors_total{secret="c"} 0"#,
        ]
    );
    Ok(())
}

#[test]
fn what_cannot_be_used_leaves_the_last_good_content_and_is_counted_each_time() -> Outcome {
    let large = vec![b'x'; MAX_BYTES + 1];
    for bad in [&b"not text \xff"[..], b"", b" \n", &large] {
        let mut volume = Volume::new(&[("a", b"good")])?;
        let folder = Folder::open(Some(volume.path())).unwrap();
        volume.replace(&[("a", bad)])?;
        folder.refresh();
        folder.refresh();
        assert_eq!(holds(&folder, "a", "good"), Some(true));
        assert_eq!(counters(&folder)?, [r#"s_total{secret="a"} 0"#, r#"_errors_total{secret="a"} 2"#]);
        volume.replace(&[("a", b"better")])?;
        folder.refresh();
        assert_eq!(holds(&folder, "a", "better"), Some(true));
        assert_eq!(counters(&folder)?, [r#"s_total{secret="a"} 1"#, r#"_errors_total{secret="a"} 2"#]);
    }
    Ok(())
}

#[test]
fn a_file_or_a_folder_that_vanishes_leaves_the_last_good_content() -> Outcome {
    let mut volume = Volume::new(&[("a", b"good")])?;
    let folder = Folder::open(Some(volume.path())).unwrap();
    volume.replace(&[])?;
    folder.refresh();
    drop(volume);
    folder.refresh();
    assert_eq!(holds(&folder, "a", "good"), Some(true));
    assert_eq!(counters(&folder)?, [r#"s_total{secret="a"} 0"#, r#"_errors_total{secret="a"} 2"#]);
    Ok(())
}

/// Both files say `number`.
fn replace_both(volume: &mut Volume, number: u32) -> Outcome {
    let text = number.to_string();
    volume.replace(&[("a", text.as_bytes()), ("b", text.as_bytes())])
}

#[test]
fn two_files_of_a_volume_are_never_taken_from_different_moments() -> Outcome {
    const CHANGES: u32 = 500;
    let mut volume = Volume::new(&[])?;
    replace_both(&mut volume, 0)?;
    let folder = Folder::open(Some(volume.path())).unwrap();
    let changes = std::thread::spawn(move || {
        (1..=CHANGES).try_for_each(|number| replace_both(&mut volume, number)).map(|()| volume)
    });
    let mut seen = 0;
    until("the last change", || {
        folder.refresh();
        // Only ever forwards, and both the same.
        let now = (seen..=CHANGES).find(|number| holds(&folder, "a", &number.to_string()) == Some(true));
        seen = now.unwrap();
        assert_eq!(holds(&folder, "b", &seen.to_string()), Some(true), "{seen}");
        seen == CHANGES
    })?;
    let _volume = changes.join().unwrap()?;
    let errors: Vec<_> = counters(&folder)?.into_iter().filter(|line| line.starts_with("_errors")).collect();
    assert_eq!(errors, [r#"_errors_total{secret="a"} 0"#, r#"_errors_total{secret="b"} 0"#]);
    Ok(())
}

#[test]
fn the_age_is_that_of_the_content_not_of_the_volume() -> Outcome {
    let mut volume = Volume::new(&[("a", b"one")])?;
    backdate(&volume, 5)?;
    let folder = Folder::open(Some(volume.path())).unwrap();
    let a = |hours: u64| (r#"{secret="a"}"#.to_owned(), hours);
    let b = |hours: u64| (r#"{secret="b"}"#.to_owned(), hours);
    assert_eq!(hours(&folder)?, [a(5)]);
    // The kubelet writes every file when one changes; this one says the same as before.
    volume.replace(&[("a", b"one"), ("b", b"new")])?;
    folder.refresh();
    assert_eq!(hours(&folder)?, [a(5), b(0)]);
    volume.replace(&[("a", b"two"), ("b", b"new")])?;
    backdate(&volume, 2)?;
    folder.refresh();
    assert_eq!(hours(&folder)?, [a(2), b(0)]);
    Ok(())
}

#[test]
fn at_start_a_file_that_is_no_secret_is_refused_by_name() -> Outcome {
    let volume = Volume::new(&[("a", b"good"), ("bad", b"\xff")])?;
    let error = Folder::open(Some(volume.path())).unwrap_err();
    assert!(
        matches!(&error, FolderError::File { name, why: Unusable::NotText, .. } if name == "bad"),
        "{error}"
    );

    let dangling = tempfile::tempdir()?;
    symlink("nowhere", dangling.path().join("a"))?;
    let error = Folder::open(Some(dangling.path())).unwrap_err();
    let why = Unusable::Unreadable(io::ErrorKind::NotFound);
    assert!(
        matches!(&error, FolderError::File { name, why: found, .. } if name == "a" && *found == why),
        "{error}"
    );

    let error = Folder::open(Some(&dangling.path().join("missing"))).unwrap_err();
    assert!(matches!(error, FolderError::Folder { .. }), "{error}");
    Ok(())
}

#[test]
fn a_pipe_among_the_files_does_not_make_the_service_wait() -> Outcome {
    let plain = tempfile::tempdir()?;
    let made = std::process::Command::new("mkfifo").arg(plain.path().join("a")).status()?;
    assert!(made.success());
    assert!(Folder::open(Some(plain.path())).is_err());
    Ok(())
}

/// Files as an operator may mount them; a name that no Secret may have cannot be mounted.
fn files() -> impl Strategy<Value = std::collections::BTreeMap<String, Vec<u8>>> {
    let content = prop_oneof![
        3 => "[ -~]{0,40}\n?".prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 0..40),
    ];
    btree_map("[a-zA-Z0-9_-][a-zA-Z0-9._-]{0,40}", content, 0..5)
}

proptest! {
    // Each case makes folders and files.
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_is_mounted_good_files_are_used_and_one_bad_file_refuses_the_start(files in files()) {
        let mounted: Vec<_> = files.iter().map(|(name, content)| (name.as_str(), content.as_slice())).collect();
        let volume = Volume::new(&mounted)?;
        let bad = files.iter().find(|(_, content)| Secret::from_file(content.to_vec()).is_err());
        match (Folder::open(Some(volume.path())), bad) {
            (Ok(folder), None) => prop_assert!(folder.names().iter().eq(files.keys())),
            (Err(FolderError::File { name, .. }), Some((first, _))) => prop_assert_eq!(&name, first),
            (opened, bad) => prop_assert!(false, "{:?} {:?}", opened, bad),
        }
    }

    #[test]
    fn whatever_comes_later_a_secret_in_use_is_replaced_only_by_a_good_one(later in files(), kept in "[a-z]{50}") {
        let mut volume = Volume::new(&[("a", kept.as_bytes())])?;
        let folder = Folder::open(Some(volume.path())).unwrap();
        let mut mounted: Vec<_> = later.iter().map(|(name, content)| (name.as_str(), content.as_slice())).collect();
        mounted.push(("a", b"\xff"));
        mounted.dedup_by_key(|(name, _)| *name);
        volume.replace(&mounted)?;
        folder.refresh();
        prop_assert_eq!(holds(&folder, "a", &kept), Some(true));
        for (name, content) in later.iter().filter(|(name, _)| *name != "a") {
            let good = Secret::from_file(content.clone()).is_ok();
            prop_assert_eq!(folder.names().contains(name), good, "{}", name);
        }
    }
}

fn ask_private(stream: &mut std::net::TcpStream, token: &str) -> io::Result<Reply> {
    send(stream, &format!("GET /private HTTP/1.1\r\nhost: test\r\nauthorization: Bearer {token}\r\n\r\n"))
}

#[test]
fn a_token_is_rotated_without_a_restart_and_without_a_refused_request() -> Outcome {
    let mut volume = Volume::new(&[("api-token", b"old")])?;
    let mut app = Running::start(&[("APP_SECRETS_DIR", volume.text())])?;
    let mut kept_alive = connect(app.address)?;
    assert_eq!(ask_private(&mut kept_alive, "old")?.status, 200);
    assert_eq!(ask_private(&mut kept_alive, "new")?.status, 401);

    // First the new one beside the old one: from here on callers move over, and none of them is refused.
    volume.replace(&[("api-token", b"old\nnew\n")])?;
    until("the new token is accepted", || {
        assert_eq!(ask_private(&mut kept_alive, "old").unwrap().status, 200);
        ask_private(&mut kept_alive, "new").unwrap().status == 200
    })?;
    volume.replace(&[("api-token", b"new")])?;
    until("the old token is refused", || {
        assert_eq!(ask_private(&mut kept_alive, "new").unwrap().status, 200);
        ask_private(&mut kept_alive, "old").unwrap().status == 401
    })?;

    // The same process all along, over the same connection.
    assert!(app.is_running());
    Ok(())
}

#[test]
fn without_a_token_nobody_is_let_in() -> Outcome {
    let app = Running::start(&[])?;
    for header in
        ["", "authorization: Bearer \r\n", "authorization: Bearer x\r\n", "authorization: Basic x\r\n"]
    {
        let request = format!("GET /private HTTP/1.1\r\nhost: test\r\n{header}\r\n");
        let reply = send(&mut connect(app.address)?, &request)?;
        assert_eq!((reply.status, reply.header("www-authenticate")), (401, Some("Bearer")), "{header:?}");
    }
    Ok(())
}

#[test]
fn a_secret_that_breaks_is_logged_once_by_name_and_again_when_it_recovers() -> Outcome {
    let mut volume = Volume::new(&[("api-token", b"old")])?;
    let mut app = Running::start(&[("APP_SECRETS_DIR", volume.text())])?;
    volume.replace(&[])?;
    let line = app.line_with("secret not reloaded, the last good one stays in use")?;
    let said = ["level", "secret", "error"].map(|key| line[key].as_str());
    assert_eq!(said, [Some("WARN"), Some("api-token"), Some("it is gone")]);
    assert_eq!(ask_private(&mut connect(app.address)?, "old")?.status, 200);
    volume.replace(&[("api-token", b"old")])?;
    assert_eq!(app.line_with("secret can be read again")?["secret"], "api-token");
    volume.replace(&[("api-token", b"new")])?;
    assert_eq!(app.line_with("secret reloaded")?["secret"], "api-token");
    Ok(())
}

#[test]
fn a_folder_that_is_not_there_refuses_to_start() -> Outcome {
    let output = crate::process::app(&[("APP_SECRETS_DIR", "/nowhere/secrets")]).output()?;
    assert_eq!(output.status.code(), Some(2));
    let line: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!(line["message"], "refusing to start");
    let error = line["error"].as_str().unwrap();
    assert!(error.starts_with(r#"APP_SECRETS_DIR="/nowhere/secrets" cannot be read: "#), "{error}");
    Ok(())
}
