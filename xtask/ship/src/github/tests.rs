//! The client against a server that answers as GitHub's reference says, or not at all.

use super::*;
use crate::net::fake::{Fake, Reply, Request};

const TOKEN: &str = "ghs_0123456789secret";
const HASTY: Patience = Patience {
    answer: Duration::from_millis(400),
    waits: &[Duration::from_millis(1), Duration::from_millis(1)],
};

const RUN: &str = r#"{"id": 7, "head_sha": "abc", "run_attempt": 1, "status": "in_progress", "name": "promote", "event": "push"}"#;
const APPROVALS: &str = r#"[{"state": "approved", "comment": "fine", "user": {"login": "octocat", "id": 1},
    "environments": [{"id": 3, "name": "prod", "created_at": "2026-11-21T10:00:00Z"}]}]"#;
const ENVIRONMENT: &str = r#"{"id": 3, "name": "prod/eu", "protection_rules": [{"id": 1, "type": "wait_timer", "wait_timer": 1},
    {"id": 2, "type": "required_reviewers", "reviewers": [{"type": "User", "reviewer": {"login": "octocat"}}]}]}"#;

fn say(status: u16, body: &str) -> Reply {
    Reply::Say(status, "Content-Type: application/json\r\n", body.to_owned())
}

/// As GitHub would answer, but for what `other` says.
fn github(other: impl Fn(&Request) -> Option<Reply> + Send + Sync + 'static) -> Fake {
    Fake::start(move |request| {
        other(request).unwrap_or_else(|| match request.target.as_str() {
            "/api/v3/repos/owner/name/actions/runs/7" => say(200, RUN),
            "/api/v3/repos/owner/name/actions/runs/7/approvals" => say(200, APPROVALS),
            "/api/v3/repos/owner/name/environments/prod%2Feu" => say(200, ENVIRONMENT),
            _ => say(404, r#"{"message": "Not Found"}"#),
        })
    })
}

fn place(fake: &Fake) -> Place {
    Place { api_url: format!("{}/api/v3", fake.url()), repository: "owner/name".into(), run_id: 7 }
}

async fn asked(fake: &Fake) -> Result<Told, GitHubError> {
    Client::new(&place(fake), TOKEN, HASTY)?.told("prod/eu").await
}

#[tokio::test]
async fn run_reviews_and_rules_are_read_as_github_writes_them_with_the_token_in_a_header() {
    let fake = github(|_| None);
    let told = asked(&fake).await.unwrap();
    let review = Review { state: "approved".into(), by: "octocat".into(), environments: vec!["prod".into()] };
    let run = Run { id: 7, head_sha: "abc".into(), run_attempt: 1, status: "in_progress".into() };
    assert_eq!(told, Told { run, reviews: vec![review], gate: Gate::Reviewers });
    for request in fake.seen() {
        assert_eq!(request.headers["authorization"], format!("Bearer {TOKEN}"));
        assert_eq!(request.method, "GET", "nothing is changed there");
        assert!(!request.target.contains("ghs_"));
    }
}

#[tokio::test]
async fn an_environment_without_reviewers_is_open_and_one_that_may_not_be_seen_is_unknown() {
    let environment = |status, body: &'static str| {
        github(move |request| request.target.contains("/environments/").then(|| say(status, body)))
    };
    for open in [
        r#"{"name": "Prod/EU"}"#,
        r#"{"name": "prod/eu", "protection_rules": []}"#,
        r#"{"name": "prod/eu", "protection_rules": [{"type": "wait_timer"}, {"type": "required_reviewers", "reviewers": []}]}"#,
    ] {
        assert_eq!(asked(&environment(200, open)).await.unwrap().gate, Gate::Open, "{open}");
    }
    for status in [403, 404] {
        let told =
            asked(&environment(status, r#"{"message": "Resource not accessible by integration"}"#)).await;
        let Gate::Unknown(why) = told.unwrap().gate else { panic!("{status}") };
        assert!(why.contains(&status.to_string()) && why.contains("not accessible"), "{why}");
    }
    for wrong in ["[]", "{}", r#"{"name": "dev"}"#, r#"{"name": "prod/eu", "protection_rules": {}}"#] {
        assert!(asked(&environment(200, wrong)).await.is_err(), "what cannot be read is neither: {wrong}");
    }
}

#[tokio::test]
async fn a_token_that_may_not_look_is_told_at_once_and_never_shown() {
    for status in [401, 403, 404] {
        let body = format!(r#"{{"message": "{TOKEN} may not"}}"#);
        let fake = github(move |_| Some(say(status, &body)));
        let error = asked(&fake).await.unwrap_err();
        assert!(matches!(&error, GitHubError::Denied { status: found, .. } if *found == status), "{error}");
        assert!(!format!("{error} {error:?}").contains(TOKEN), "{error}");
        assert_eq!(fake.seen().len(), 1);
    }
}

#[tokio::test]
async fn what_may_pass_is_tried_again_and_then_given_up() {
    let slow = r#"{"message": "You have exceeded a secondary rate limit"}"#;
    for (status, body) in [(500, ""), (502, "<html>bad</html>"), (503, "{}"), (429, slow), (403, slow)] {
        let fake = github(move |_| Some(say(status, body)));
        let error = asked(&fake).await.unwrap_err();
        assert!(matches!(error, GitHubError::Transient { .. }), "{status}: {error}");
        assert_eq!(fake.seen().len(), 3, "{status}");
    }
    let once = std::sync::atomic::AtomicBool::new(true);
    let fake = github(move |_| {
        once.swap(false, std::sync::atomic::Ordering::Relaxed).then(|| say(502, "one moment"))
    });
    assert!(asked(&fake).await.is_ok());
}

#[tokio::test]
async fn silence_and_a_lost_connection_are_given_up_in_time() {
    for (hang, expected) in [(true, "did not answer within"), (false, "cannot be reached")] {
        let fake = github(move |_| Some(if hang { Reply::Hang } else { Reply::Gone }));
        let error = asked(&fake).await.unwrap_err();
        assert!(matches!(&error, GitHubError::Transient { why, .. } if why.contains(expected)), "{error}");
    }
}

#[tokio::test]
async fn an_answer_that_is_cut_or_of_another_kind_is_no_answer() {
    let part = |end: &'static str, body: String| {
        github(move |request| request.target.ends_with(end).then(|| say(200, &body)))
    };
    for length in [0, 1, 20, RUN.len() - 1] {
        let error = asked(&part("/7", RUN[..length].to_owned())).await.unwrap_err();
        assert!(
            matches!(&error, GitHubError::Broke { why, .. } if why.contains("cannot be read")),
            "{error}"
        );
    }
    for wrong in ["[]", "{}", "null", "<html>", r#"{"id": "7"}"#] {
        assert!(asked(&part("/7", wrong.to_owned())).await.is_err(), "{wrong}");
    }
    for wrong in ["{}", "null", r#"[{"state": "approved"}]"#, r#"[{"environments": []}]"#] {
        assert!(asked(&part("/approvals", wrong.to_owned())).await.is_err(), "{wrong}");
    }
    // An account that was deleted has still said what it said.
    let gone = r#"[{"state": "approved", "user": null, "environments": []}]"#;
    assert_eq!(asked(&part("/approvals", gone.to_owned())).await.unwrap().reviews[0].by, "somebody");
}

#[tokio::test]
async fn an_answer_that_leads_elsewhere_is_not_followed() {
    let other = github(|_| None);
    let location: &'static str =
        format!("Location: {}/api/v3/repos/owner/name/actions/runs/7\r\n", other.url()).leak();
    for status in [301, 302, 307] {
        let fake = github(move |_| Some(Reply::Say(status, location, String::new())));
        assert!(matches!(asked(&fake).await, Err(GitHubError::Broke { .. })), "{status}");
    }
    assert!(other.seen().is_empty(), "the token went nowhere else");
}

#[tokio::test]
async fn a_token_is_sent_to_no_place_that_others_can_read() {
    let fake = github(|_| None);
    let good = place(&fake);
    for wrong in [
        Place { api_url: "http://github.example.com".into(), ..good.clone() },
        Place { api_url: String::new(), ..good.clone() },
        Place { repository: "owner".into(), ..good.clone() },
        Place { repository: "owner/name/../../x".into(), ..good.clone() },
        Place { repository: "owner/..".into(), ..good.clone() },
        Place { repository: "owner/na me".into(), ..good },
    ] {
        assert!(matches!(Client::new(&wrong, TOKEN, HASTY), Err(GitHubError::Unusable(_))), "{wrong:?}");
    }
}
