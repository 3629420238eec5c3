//! The client against a registry that misbehaves.

mod fake;

use crate::push::challenge::Access;
use crate::push::fault::Fault;
use crate::push::layout::{self, Image};
use crate::push::login::{self, Login, Source};
use crate::push::look::{self, Found};
use crate::push::reference::{Repository, Tag};
use crate::push::registry::Registry;
use crate::push::retry::Patience;
use crate::push::session::Moment;
use crate::push::stage::{self, Named, Sent};
use fake::{Door, Fake, Mischief, NAME, PASSWORD};
use jiff::Timestamp;
use std::sync::Mutex;
use std::time::Duration;
use xtask_core::config::Ambient;
use xtask_core::ids::Digest;

/// An image whose first layer takes many pieces to send.
struct Fixture {
    folder: tempfile::TempDir,
    image: Image,
}

const BIG: usize = 3 << 20;

fn fixture() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let big: Vec<u8> = (0..BIG).map(|at| u8::try_from(at % 251).unwrap()).collect();
    let layout = folder.path().join("image");
    let digest = layout::tests::written(&layout, &[big, b"small".to_vec()]).digest;
    Fixture { image: layout::read(&layout, &digest).unwrap(), folder }
}

/// What a push did.
struct Done {
    result: Result<(Sent, Vec<Named>), Fault>,
    /// The waits, with what they were for.
    waits: Vec<(String, Duration)>,
    /// The most bytes that progress told of.
    furthest: u64,
}

impl Done {
    fn error(self) -> String {
        self.result.unwrap_err().to_string()
    }
}

fn hasty() -> Patience {
    Patience { first: Duration::from_millis(1), ..Patience::default() }
}

fn nobody() -> Login {
    Login::Nobody
}

fn robot() -> Login {
    of_variables(NAME)
}

fn of_variables(name: &str) -> Login {
    let ambient = Ambient::of([("REGISTRY_USERNAME", name), ("REGISTRY_PASSWORD", PASSWORD)]);
    let Source::Ready(login) = login::find(&ambient, "any").unwrap() else { panic!("no registry of ECR") };
    login
}

/// A push as the stage does it.
async fn push(address: &str, login: &Login, patience: Patience, image: &Image, tags: &[&str]) -> Done {
    let repository: Repository = format!("{address}/team/hello").parse().unwrap();
    let tags: Vec<Tag> = tags.iter().map(|tag| Tag::try_from((*tag).to_owned()).unwrap()).collect();
    let seen = Mutex::new((Vec::new(), 0));
    let watch = |moment: Moment<'_>| {
        let mut seen = seen.lock().unwrap();
        match moment {
            Moment::Waiting { fault, wait } => seen.0.push((fault.to_string(), wait)),
            Moment::Sending { done, .. } => seen.1 = done.max(seen.1),
        }
    };
    let result = async {
        let place = (&repository, Access::PullAndPush);
        let registry = Registry::new(place, login, patience, || Timestamp::UNIX_EPOCH, &watch)?;
        let sent = stage::send(&registry, image).await?;
        let names = stage::name(&registry, image, &tags).await?;
        stage::verify(&registry, image).await?;
        Ok((sent, names))
    }
    .await;
    let (waits, furthest) = seen.into_inner().unwrap();
    Done { result, waits, furthest }
}

async fn simply(fake: &Fake, image: &Image) -> Done {
    push(&fake.address, &nobody(), hasty(), image, &[]).await
}

#[tokio::test]
async fn a_new_image_is_sent_whole_and_a_second_push_of_it_sends_nothing() {
    let Fixture { image, folder: _folder } = fixture();
    let fake = Fake::plain(Door::Open);
    let (sent, names) =
        push(&fake.address, &nobody(), hasty(), &image, &["main", "v1"]).await.result.unwrap();
    let bytes = image.blobs.iter().map(|blob| blob.size).sum();
    assert_eq!(sent, Sent { already_there: false, blobs: 3, bytes, blobs_there: 0 });
    assert!(names.iter().all(|name| name.before.is_none()));
    {
        let state = fake.state.lock().unwrap();
        let found: Vec<usize> = image.blobs.iter().map(|it| state.blobs[it.digest.as_str()].len()).collect();
        assert_eq!(found, [BIG, 5, image.config.len()]);
        for name in [image.digest.as_str(), "main", "v1"] {
            assert_eq!(state.manifests[name], (image.media_type.clone(), image.manifest.to_vec()), "{name}");
        }
    }
    let writes = |fake: &Fake| (fake.count("POST", ""), fake.count("PUT", ""));
    let before = writes(&fake);
    let (sent, names) = push(&fake.address, &nobody(), hasty(), &image, &["main"]).await.result.unwrap();
    assert_eq!(sent, Sent { already_there: true, ..Sent::default() });
    assert_eq!(names[0].before.as_ref(), Some(&image.digest));
    assert_eq!(writes(&fake), before, "nothing was written");
}

#[tokio::test]
async fn a_blob_that_is_there_is_not_sent_again() {
    let Fixture { image, folder: _folder } = fixture();
    let fake = Fake::plain(Door::Open);
    let there = &image.blobs[0];
    fake.state.lock().unwrap().blobs.insert(there.digest.to_string(), Vec::new());
    let (sent, _) = simply(&fake, &image).await.result.unwrap();
    assert_eq!((sent.blobs, sent.blobs_there), (2, 1));
}

#[tokio::test]
async fn a_name_that_stands_for_another_digest_is_moved_and_the_old_one_is_told() {
    let Fixture { image, folder: _folder } = fixture();
    let fake = Fake::plain(Door::Open);
    let old = b"{}".to_vec();
    fake.state.lock().unwrap().manifests.insert("main".into(), ("x".into(), old.clone()));
    let (_, names) = push(&fake.address, &nobody(), hasty(), &image, &["main"]).await.result.unwrap();
    assert_eq!(names[0].before, Some(Digest::of(&old)));
    assert_eq!(fake.state.lock().unwrap().manifests["main"].1, image.manifest);
}

#[tokio::test]
async fn a_busy_registry_is_asked_again_no_earlier_than_it_wants() {
    let Fixture { image, folder: _folder } = fixture();
    for (status, header, least) in [(429, "Retry-After: 1\r\n", 1000), (503, "", 1)] {
        let fake = Fake::start(Door::Open, move |request, before| {
            let hit = request.is("PUT", "manifests") && before == 0;
            hit.then(|| Mischief::Say(status, header, r#"{"errors":[{"code":"TOOMANYREQUESTS"}]}"#.into()))
        });
        let done = simply(&fake, &image).await;
        done.result.unwrap();
        let [(why, wait)] = &done.waits[..] else { panic!("{:?}", done.waits) };
        assert!(why.contains(&status.to_string()) && why.contains("TOOMANYREQUESTS"), "{why}");
        assert!(wait.as_millis() >= least, "{wait:?}");
        assert_eq!(fake.count("PUT", "manifests"), 2);
    }
}

#[tokio::test]
async fn a_registry_that_stays_busy_is_given_up_after_its_tries_or_at_once_if_it_wants_more_than_the_budget()
{
    let Fixture { image, folder: _folder } = fixture();
    for (header, tries) in [("", 6), ("Retry-After: 3600\r\n", 1)] {
        let fake = Fake::start(Door::Open, move |_, _| Some(Mischief::Say(503, header, "busy".into())));
        let done = simply(&fake, &image).await;
        assert_eq!((done.waits.len() + 1, fake.count("HEAD", "")), (tries, tries));
        let error = done.error();
        assert!(error.contains("503") && error.contains(&format!("after {tries} tries")), "{error}");
    }
}

#[tokio::test]
async fn an_upload_that_is_reset_half_way_is_begun_again() {
    let Fixture { image, folder: _folder } = fixture();
    let fake = Fake::start(Door::Open, |request, _| {
        request.is("PUT", "uploads/1?").then_some(Mischief::Break(BIG / 2))
    });
    let done = simply(&fake, &image).await;
    done.result.unwrap();
    assert_eq!(done.waits.len(), 1);
    assert!(done.waits[0].0.contains("connection was lost"), "{:?}", done.waits);
    assert_eq!(fake.count("POST", "uploads"), 4, "three blobs, and one of them twice");
    assert_eq!(fake.state.lock().unwrap().blobs[image.blobs[0].digest.as_str()].len(), BIG);
}

#[tokio::test]
async fn an_upload_whose_answer_is_lost_is_found_done() {
    let Fixture { image, folder: _folder } = fixture();
    let fake =
        Fake::start(Door::Open, |request, _| request.is("PUT", "uploads/1?").then_some(Mischief::Forget));
    let done = simply(&fake, &image).await;
    assert_eq!(done.waits.len(), 1);
    assert_eq!(done.result.unwrap().0.blobs_there, 1);
    assert_eq!(fake.count("POST", "uploads"), 3, "nothing was sent twice");
}

#[tokio::test]
async fn a_registry_that_falls_silent_counts_as_lost() {
    let Fixture { image, folder: _folder } = fixture();
    let fake = Fake::start(Door::Open, |request, before| {
        (request.is("PUT", "manifests") && before == 0).then_some(Mischief::Hang)
    });
    let patience = Patience { silence: Duration::from_millis(300), ..hasty() };
    let done = push(&fake.address, &nobody(), patience, &image, &[]).await;
    done.result.unwrap();
    assert!(done.waits.iter().any(|(why, _)| why.contains("silent")), "{:?}", done.waits);
}

#[tokio::test]
async fn every_other_answer_ends_the_push_at_once() {
    let Fixture { image, folder: _folder } = fixture();
    let name_unknown = r#"{"errors":[{"code":"NAME_UNKNOWN","message":"no such repository"}]}"#;
    let table: [(&str, u16, &str, &str); 8] = [
        ("HEAD", 500, "", "500 Internal Server Error"),
        ("HEAD", 400, "", "400 Bad Request"),
        ("POST", 404, name_unknown, "NAME_UNKNOWN: no such repository"),
        ("POST", 202, "", "cannot be sent to the place ``"),
        ("POST", 502, "<html>\n  bad\n</html>", "502 Bad Gateway (<html> bad </html>)"),
        ("PUT", 413, "", "413"),
        ("PUT", 202, "", "202"),
        ("GET", 404, "", "reading manifest"),
    ];
    for (method, status, body, expected) in table {
        let fake = Fake::start(Door::Open, move |request, _| {
            (request.method == method).then(|| Mischief::Say(status, "", body.to_owned()))
        });
        let done = simply(&fake, &image).await;
        assert!(done.waits.is_empty(), "{method} {status}: {:?}", done.waits);
        assert_eq!(fake.count(method, ""), 1, "{method} {status}");
        let error = done.error();
        assert!(error.contains(expected), "{method} {status}: {error}");
    }
}

#[tokio::test]
async fn nobody_at_the_other_end_is_told_at_once() {
    let Fixture { image, folder: _folder } = fixture();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let done = push(&free, &nobody(), hasty(), &image, &[]).await;
    assert!(done.waits.is_empty());
    assert!(
        matches!(&done.result, Err(Fault::Unreachable { address, .. }) if *address == free),
        "{:?}",
        done.result
    );
}

#[tokio::test]
async fn a_layer_that_is_not_what_its_digest_says_is_refused_and_not_sent_again() {
    let Fixture { image, folder } = fixture();
    let layer = &image.blobs[0].path;
    let mut bytes = std::fs::read(layer).unwrap();
    bytes[7] ^= 1;
    std::fs::write(layer, bytes).unwrap();
    let fake = Fake::plain(Door::Open);
    let done = simply(&fake, &image).await;
    assert!(done.waits.is_empty());
    assert!(done.error().contains("DIGEST_INVALID"));
    assert!(fake.state.lock().unwrap().manifests.is_empty(), "no name for an image that is not whole");
    std::fs::write(layer, "short").unwrap();
    let error = simply(&fake, &image).await.error();
    assert!(error.contains(&format!("5 bytes, where the manifest says {BIG}")), "{error}");
    assert!(error.contains(folder.path().to_str().unwrap()));
}

#[tokio::test]
async fn other_bytes_than_were_sent_are_found_when_they_are_read_back() {
    let Fixture { image, folder: _folder } = fixture();
    for part in ["manifests", "blobs"] {
        let fake = Fake::start(Door::Open, move |request, _| {
            request.is("GET", part).then(|| Mischief::Say(200, "", "{}".into()))
        });
        let done = simply(&fake, &image).await;
        let Err(Fault::Differs { found, .. }) = done.result else { panic!("{:?}", done.result) };
        assert_eq!(found, Digest::of(b"{}"));
    }
}

#[tokio::test]
async fn a_registry_that_stores_under_another_digest_is_not_believed() {
    let Fixture { image, folder: _folder } = fixture();
    const OTHER: &str =
        "Docker-Content-Digest: sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\r\n";
    for part in ["manifests", "blobs"] {
        for (header, expected) in
            [(OTHER, "the registry has sha256:e3b0"), ("Docker-Content-Digest: x\r\n", "not a digest")]
        {
            let fake = Fake::start(Door::Open, move |request, _| {
                request.is("PUT", part).then(|| Mischief::Say(201, header, String::new()))
            });
            let error = simply(&fake, &image).await.error();
            assert!(error.contains(expected), "{part}: {error}");
        }
    }
}

#[tokio::test]
async fn a_token_is_asked_for_once_and_again_when_it_has_expired() {
    let Fixture { image, folder: _folder } = fixture();
    for (first, tokens) in [(1000, 1), (3, 2)] {
        let fake = Fake::plain(Door::Bearer(first));
        push(&fake.address, &robot(), hasty(), &image, &["main"]).await.result.unwrap();
        assert_eq!(fake.count("GET", "/token"), tokens);
    }
}

#[tokio::test]
async fn a_registry_that_wants_a_name_and_a_password_gets_them() {
    let Fixture { image, folder: _folder } = fixture();
    let fake = Fake::plain(Door::Basic);
    push(&fake.address, &robot(), hasty(), &image, &[]).await.result.unwrap();
}

#[tokio::test]
async fn who_is_not_let_in_is_told_why_at_once_and_no_password_is_shown() {
    let Fixture { image, folder: _folder } = fixture();
    let wrong = of_variables("other");
    let helper = Login::Unusable("docker-credential-x has the credentials, and is not asked".into());
    let table = [
        (Door::Basic, nobody(), "set $REGISTRY_USERNAME and $REGISTRY_PASSWORD, or `docker login"),
        (Door::Basic, wrong.clone(), "are not accepted"),
        (Door::Basic, helper, "docker-credential-x has the credentials"),
        (Door::Bearer(9), nobody(), "no credentials were found"),
        (Door::Bearer(9), wrong, "*** is wrong"),
        (Door::Elsewhere("http://192.0.2.1/token"), robot(), "no place to send a password to"),
        (Door::Elsewhere(""), robot(), "no place to send a password to"),
    ];
    for (door, login, expected) in table {
        let fake = Fake::plain(door);
        let done = push(&fake.address, &login, hasty(), &image, &[]).await;
        assert!(done.waits.is_empty());
        let error = done.error();
        assert!(error.contains(expected), "{error}");
        // Whoever knows no password cannot mask it; whoever does must.
        assert!(!error.contains(PASSWORD) || !matches!(login, Login::Known(_)), "{error}");
    }
}

#[tokio::test]
async fn a_question_that_is_led_elsewhere_is_followed_without_the_token() {
    let Fixture { image, folder: _folder } = fixture();
    let store = Fake::plain(Door::Open);
    let config = image.config.to_vec();
    store.state.lock().unwrap().blobs.insert(image.config_digest.to_string(), config);
    let location: &'static str =
        format!("Location: http://{}/v2/team/hello/blobs/{}\r\n", store.address, image.config_digest).leak();
    let fake = Fake::start(Door::Basic, move |request, _| {
        request.is("GET", "blobs").then(|| Mischief::Say(307, location, String::new()))
    });
    push(&fake.address, &robot(), hasty(), &image, &[]).await.result.unwrap();
    let seen = &store.state.lock().unwrap().seen;
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].header("authorization"), None);
}

#[tokio::test]
async fn answers_that_lead_in_circles_or_into_the_open_are_not_followed() {
    let Fixture { image, folder: _folder } = fixture();
    let table = [
        ("Location: /v2/team/hello/blobs/x\r\n", "in circles"),
        ("Location: http://192.0.2.1/x\r\n", "without TLS"),
        ("", "without TLS"),
    ];
    for (location, expected) in table {
        let fake = Fake::start(Door::Open, move |request, _| {
            request.is("GET", "blobs").then(|| Mischief::Say(307, location, String::new()))
        });
        let error = simply(&fake, &image).await.error();
        assert!(error.contains(expected), "{error}");
    }
}

#[tokio::test]
async fn who_watches_sees_a_large_blob_move() {
    let Fixture { image, folder: _folder } = fixture();
    // Read slowly enough for a look at the progress, which comes four times a second, to fall into it.
    let fake = Fake::start(Door::Open, |request, _| {
        if request.is("PUT", "uploads/1?") {
            std::thread::sleep(Duration::from_millis(700));
        }
        None
    });
    let done = simply(&fake, &image).await;
    done.result.unwrap();
    assert!(done.furthest > 0 && done.furthest <= BIG as u64, "{}", done.furthest);
}

/// A look as a guard does it.
async fn looked(fake: &Fake, login: &Login, digest: &Digest) -> Result<Found, String> {
    let repository: Repository = format!("{}/team/hello", fake.address).parse().unwrap();
    let place = (&repository, Access::Pull);
    let patience = Patience { silence: Duration::from_millis(300), tries: 2, ..hasty() };
    let registry = Registry::new(place, login, patience, || Timestamp::UNIX_EPOCH, &|_| {}).unwrap();
    look::of(&registry, digest).await
}

/// What a registry holds under a name.
fn held(fake: &Fake, text: &str) -> Digest {
    let entry = ("x".to_owned(), text.as_bytes().to_vec());
    let digest = Digest::of(text.as_bytes());
    fake.state.lock().unwrap().manifests.insert(digest.to_string(), entry);
    digest
}

#[tokio::test]
async fn an_image_that_was_pushed_is_seen_with_its_architecture_and_a_list_with_all_of_them() {
    let Fixture { image, folder: _folder } = fixture();
    for (door, login) in [(Door::Open, nobody()), (Door::Basic, robot()), (Door::Bearer(9), robot())] {
        let fake = Fake::plain(door);
        push(&fake.address, &login, hasty(), &image, &[]).await.result.unwrap();
        let writes = fake.count("PUT", "") + fake.count("POST", "");
        assert_eq!(looked(&fake, &login, &image.digest).await, Ok(Found::For(vec!["amd64".into()])));
        assert_eq!(fake.count("PUT", "") + fake.count("POST", ""), writes, "nothing was sent");
    }
    let fake = Fake::plain(Door::Open);
    let list = r#"{"manifests": [{"platform": {"architecture": "amd64"}}, {"platform": {"architecture": "arm64"}}]}"#;
    let digest = held(&fake, list);
    assert_eq!(looked(&fake, &nobody(), &digest).await, Ok(Found::For(vec!["amd64".into(), "arm64".into()])));
}

#[tokio::test]
async fn a_look_asks_for_a_token_that_only_reads() {
    let fake = Fake::plain(Door::Bearer(9));
    assert_eq!(looked(&fake, &robot(), &Digest::of(b"x")).await, Ok(Found::Absent));
    assert_eq!((fake.count("GET", "/token"), fake.count("GET", "pull,push")), (1, 0));
}

#[tokio::test]
async fn only_an_answer_of_404_means_that_there_is_nothing() {
    let digest = Digest::of(b"nothing");
    assert_eq!(looked(&Fake::plain(Door::Open), &nobody(), &digest).await, Ok(Found::Absent));
    for (status, expected) in [(500, "500"), (503, "given up after 2 tries"), (400, "400"), (200, "digest")] {
        let fake = Fake::start(Door::Open, move |_, _| Some(Mischief::Say(status, "", "{}".into())));
        let error = looked(&fake, &nobody(), &digest).await.unwrap_err();
        assert!(error.contains(expected), "{status}: {error}");
    }
    let silent = Fake::start(Door::Open, |_, _| Some(Mischief::Hang));
    assert!(looked(&silent, &nobody(), &digest).await.unwrap_err().contains("silent"));
    let closed = Fake::plain(Door::Basic);
    let error = looked(&closed, &nobody(), &digest).await.unwrap_err();
    assert!(error.contains("no credentials were found"), "{error}");
}

#[tokio::test]
async fn a_manifest_without_its_configuration_is_no_image() {
    let fake = Fake::plain(Door::Open);
    let config = Digest::of(b"gone");
    let digest = held(&fake, &format!(r#"{{"config": {{"digest": "{config}"}}, "layers": []}}"#));
    assert_eq!(looked(&fake, &nobody(), &digest).await, Ok(Found::Absent));
}
