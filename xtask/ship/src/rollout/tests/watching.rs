//! The watch over made-up streams, recordings, and their replay.

use super::scene::{Scene, crashed, exit, set, target};
use crate::cluster::{ClusterError, Fed};
use crate::rollout::seen::What;
use crate::rollout::watch::follow;
use crate::rollout::{Graces, Options, ReplayError, Rule, Target, Verdict, WatchError, replay};
use futures_util::stream::{self, StreamExt};
use std::path::Path;
use xtask_core::cancel::CancelSource;
use xtask_core::redact::Redactor;

/// A Deployment whose newest pod has crashed twice.
fn bad() -> Vec<Fed> {
    let mut pod = crashed(2, exit(1, "Error", "the password is hunter22"));
    pod.id.version = 3;
    let things =
        [What::Workload(Scene::new().deployment), What::ReplicaSet(set("new", 2, 1)), What::Pod(pod)];
    things.map(Fed::Seen).into()
}

fn broke() -> Fed {
    Fed::Failed(ClusterError::Broke { what: "answer".to_owned(), why: "connection refused".to_owned() })
}

/// Follows a stream that goes silent at its end; gives what was shown, too.
async fn followed(
    fed: Vec<Fed>,
    target: &Target,
    record: Option<&Path>,
) -> (Result<Verdict, WatchError>, Vec<String>) {
    let (_source, cancel) = CancelSource::new();
    let mut shown = Vec::new();
    let progress = Box::new(|line: &str| shown.push(line.to_owned()));
    let redactor = Redactor::new(["hunter22".to_owned()]);
    let options = Options { record: record.map(Path::to_path_buf), cancel, progress, redactor };
    let stream = stream::iter(fed).chain(stream::pending());
    let verdict = follow(stream, target, "v1.36.3", options).await;
    (verdict, shown)
}

#[tokio::test(start_paused = true)]
async fn a_verdict_ends_the_watch_and_its_recording_gives_it_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bad.jsonl");
    let (verdict, _) = followed(bad(), &target(), Some(&path)).await;
    assert!(matches!(&verdict, Ok(Verdict::Bad(failure)) if failure.rule == Rule::F6), "{verdict:?}");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(!text.contains("hunter22") && text.contains("***"), "{text}");
    let replayed = replay(&text, &Graces::default()).unwrap();
    assert_eq!(replayed.kubernetes, "v1.36.3");
    assert!(matches!(&replayed.verdict, Verdict::Bad(failure) if failure.rule == Rule::F6));
    assert_eq!(replayed.fired[0].rule, Rule::F6);
    assert!(replayed.to_string().contains("bad: F6: pod hello-new-0 crashed in `app` twice"), "{replayed}");
    let more = replay(&text, &"F6=3x".parse().unwrap()).unwrap();
    assert_eq!(
        (more.verdict, more.fired.len()),
        (Verdict::Watching, 0),
        "with more patience there is no verdict yet"
    );
}

#[tokio::test(start_paused = true)]
async fn while_the_cluster_does_not_answer_nothing_is_decided() {
    let target = Target { budget_ms: 60_000, ..target() };
    let (verdict, shown) = followed(vec![broke()], &target, None).await;
    assert!(
        matches!(&verdict, Err(WatchError::Blind(error)) if error.to_string().contains("refused")),
        "{verdict:?}"
    );
    assert!(shown.iter().any(|line| line.contains("trying again")), "{shown:?}");

    let (verdict, _) = followed(vec![broke(), Fed::Answered], &target, None).await;
    assert!(matches!(&verdict, Ok(Verdict::Bad(failure)) if failure.rule == Rule::F15), "{verdict:?}");
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_refuses_ends_the_watch() {
    let refused =
        ClusterError::Refused { what: "let itself be watched".to_owned(), why: "forbidden".to_owned() };
    let (verdict, _) = followed(vec![Fed::Failed(refused)], &target(), None).await;
    assert!(matches!(verdict, Err(WatchError::Refused(_))), "{verdict:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_the_watch_at_once() {
    let (source, cancel) = CancelSource::new();
    source.raise();
    let options = Options { record: None, cancel, progress: Box::new(|_| {}), redactor: Redactor::default() };
    let verdict = follow(stream::iter(bad()), &target(), "v1", options).await;
    assert!(matches!(verdict, Err(WatchError::Cancelled)), "{verdict:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_waited_for_is_said_once() {
    let target = Target { budget_ms: 20_000, ..target() };
    let mut fed = bad();
    fed.pop();
    let (_, shown) = followed(fed, &target, None).await;
    assert_eq!(shown.len(), 1, "{shown:?}");
}

#[tokio::test(start_paused = true)]
async fn a_recording_that_cannot_be_written_is_said_once_and_changes_no_verdict() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "in the way").unwrap();
    // A folder that cannot be made, and a disk that is full.
    for place in [file.join("x.jsonl"), "/dev/full".into()] {
        let (verdict, shown) = followed(bad(), &target(), Some(&place)).await;
        assert!(matches!(&verdict, Ok(Verdict::Bad(failure)) if failure.rule == Rule::F6), "{verdict:?}");
        let place = place.display().to_string();
        assert_eq!(shown.iter().filter(|line| line.contains(&place)).count(), 1, "{shown:?}");
    }
}

#[test]
fn a_recording_that_is_empty_cut_of_another_form_or_out_of_order_is_refused() {
    let header = |form: u32| {
        let target = serde_json::to_string(&target()).unwrap();
        format!("{{\"recording\":{form},\"kubernetes\":\"v1\",\"target\":{target}}}\n")
    };
    let read = |text: &str| replay(text, &Graces::default());
    assert!(matches!(read(""), Err(ReplayError::Empty)));
    assert!(matches!(read("{}"), Err(ReplayError::Line { line: 1, .. })));
    assert!(matches!(read(&header(2)), Err(ReplayError::Form(2))));
    assert!(matches!(read(&header(1)), Err(ReplayError::Cut)));
    let tick = |at: u32| format!("{{\"at\":{at},\"tick\":null}}\n");
    assert!(matches!(read(&(header(1) + &tick(5) + "{\"at\":")), Err(ReplayError::Line { line: 3, .. })));
    assert!(matches!(read(&(header(1) + &tick(5) + &tick(4))), Err(ReplayError::Order(3))));
    assert_eq!(read(&(header(1) + &tick(5000))).unwrap().length_ms, 5000);
}
