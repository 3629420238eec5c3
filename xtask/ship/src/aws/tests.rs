//! The SDKs against a server that answers as Amazon's references say, or not at all.

use super::*;
use crate::net::fake::{Fake, Reply, Request};
use aws_credential_types::Credentials;

const KEY: &str = "0123456789abcdefSECRETKEY";
const TOKEN: &str = "FwoGZXIvYXdzSESSION";
const PASSWORD: &str = "eyJwYXlsb2FkIjoiPASSWORD";

fn say(status: u16, headers: &'static str, body: impl Into<String>) -> Reply {
    Reply::Say(status, headers, body.into())
}

fn identity(account: &str) -> String {
    format!(
        "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult>\
         <Arn>arn:aws:sts::{account}:assumed-role/deploy/run</Arn><UserId>AROA:run</UserId><Account>{account}</Account>\
         </GetCallerIdentityResult><ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></GetCallerIdentityResponse>"
    )
}

fn xml_error(code: &str, message: &str) -> String {
    format!(
        "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"
    )
}

async fn open(fake: &Fake) -> Aws {
    let credentials = Credentials::new("AKIAEXAMPLE", KEY, Some(TOKEN.to_owned()), None, "test");
    let loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .endpoint_url(fake.url())
        .credentials_provider(credentials);
    Aws::of(loader, Some("eu-central-1"), (Duration::from_millis(400), Duration::from_secs(5))).await.unwrap()
}

/// Nothing that the SDK knows or the cloud said in secret is in an error.
fn harmless(error: &AwsError) -> String {
    let text = format!("{error} {error:?}");
    for secret in [KEY, TOKEN, PASSWORD] {
        assert!(!text.contains(secret), "{text}");
    }
    error.to_string()
}

#[tokio::test]
async fn the_account_is_that_of_the_credentials_and_the_secret_key_is_in_no_request() {
    let fake = Fake::start(|_| say(200, "Content-Type: text/xml\r\n", identity("111122223333")));
    assert_eq!(open(&fake).await.account().await.unwrap(), "111122223333");
    let [request] = &fake.seen()[..] else { panic!("one question") };
    assert!(request.body.contains("Action=GetCallerIdentity"), "{request:?}");
    assert!(!format!("{request:?}").contains(KEY), "it signs, and stays here");
}

#[tokio::test]
async fn a_cluster_is_read_as_eks_writes_it_and_one_that_is_not_there_is_none() {
    let eks = |request: &Request| match request.target.as_str() {
        "/clusters/slipway" => say(
            200,
            "Content-Type: application/json\r\n",
            r#"{"cluster": {"name": "slipway", "arn": "arn:aws:eks:eu-central-1:111122223333:cluster/slipway",
                "endpoint": "https://ABC.gr7.eu-central-1.eks.amazonaws.com", "status": "ACTIVE"}}"#,
        ),
        _ => say(
            404,
            "x-amzn-ErrorType: ResourceNotFoundException\r\nContent-Type: application/json\r\n",
            r#"{"message": "No cluster found for name: other."}"#,
        ),
    };
    let fake = Fake::start(eks);
    let aws = open(&fake).await;
    let expected = EksCluster {
        account: "111122223333".into(),
        region: "eu-central-1".into(),
        endpoint: "https://ABC.gr7.eu-central-1.eks.amazonaws.com".into(),
    };
    assert_eq!(aws.cluster("slipway").await.unwrap(), Some(expected));
    assert_eq!(aws.cluster("other").await.unwrap(), None);
    for half in
        ["{}", r#"{"cluster": {}}"#, r#"{"cluster": {"arn": "arn:aws:eks:x", "endpoint": "https://c"}}"#]
    {
        let fake = Fake::start(move |_| say(200, "Content-Type: application/json\r\n", half));
        let error = open(&fake).await.cluster("slipway").await.unwrap_err();
        assert!(harmless(&error).contains("missing in the answer"), "{half}: {error}");
    }
    // Any other 404 is no word about clusters.
    let fake = Fake::start(|_| say(404, "", "<html>"));
    assert!(open(&fake).await.cluster("slipway").await.is_err());
}

#[tokio::test]
async fn a_password_of_ecr_is_what_comes_after_the_user_and_anything_else_is_an_error_that_does_not_show_it()
{
    let token = STANDARD.encode(format!("AWS:{PASSWORD}"));
    let body = format!(
        r#"{{"authorizationData": [{{"authorizationToken": "{token}", "expiresAt": 1795347600,
            "proxyEndpoint": "https://111122223333.dkr.ecr.eu-central-1.amazonaws.com"}}]}}"#
    );
    let json = "Content-Type: application/x-amz-json-1.1\r\n";
    let whole = body.clone();
    let fake = Fake::start(move |_| say(200, json, whole.clone()));
    assert_eq!(open(&fake).await.password().await.unwrap(), PASSWORD);
    assert!(fake.seen()[0].headers["x-amz-target"].ends_with(".GetAuthorizationToken"));
    let wrong = STANDARD.encode(PASSWORD);
    for body in [
        body[..body.len() - 20].to_owned(),
        body.replace(&token, &wrong),
        body.replace(&token, "!!"),
        body.replace(&token, &STANDARD.encode("AWS:")),
        r#"{"authorizationData": []}"#.to_owned(),
        "{}".to_owned(),
        "<html>".to_owned(),
    ] {
        let fake = Fake::start(move |_| say(200, json, body.clone()));
        let error = open(&fake).await.password().await.unwrap_err();
        let text = harmless(&error);
        assert!(!text.contains(&token) && !text.contains(&wrong), "{text}");
    }
}

#[tokio::test]
async fn who_may_not_ask_is_told_what_it_takes() {
    let denied = xml_error("AccessDenied", "User: x is not authorized to perform: y");
    let fake = Fake::start(move |_| say(403, "Content-Type: text/xml\r\n", denied.clone()));
    let error = open(&fake).await.account().await.unwrap_err();
    assert!(matches!(&error, AwsError::Denied { needs: "sts:GetCallerIdentity", .. }), "{error}");
    let body = r#"{"__type": "AccessDeniedException", "message": "not authorized"}"#;
    let fake = Fake::start(move |_| say(400, "Content-Type: application/x-amz-json-1.1\r\n", body));
    let error = open(&fake).await.password().await.unwrap_err();
    assert!(harmless(&error).ends_with(
        "AWS answered AccessDeniedException (not authorized); it takes ecr:GetAuthorizationToken"
    ));
    let body = r#"{"message": "not authorized"}"#;
    let head = "x-amzn-ErrorType: AccessDeniedException\r\nContent-Type: application/json\r\n";
    let fake = Fake::start(move |_| say(403, head, body));
    let error = open(&fake).await.cluster("slipway").await.unwrap_err();
    assert!(harmless(&error).contains("eks:DescribeCluster"), "{error}");
}

#[tokio::test]
async fn a_refused_signature_does_not_show_the_request_that_was_signed() {
    let said =
        format!("The Canonical String for this request should have been POST x-amz-security-token:{TOKEN}");
    let fake = Fake::start(move |_| say(403, "", xml_error("SignatureDoesNotMatch", &said)));
    let error = open(&fake).await.account().await.unwrap_err();
    assert!(harmless(&error).contains("the secret key is wrong, or the clock"), "{error}");
}

#[tokio::test]
async fn what_may_pass_is_tried_again_and_silence_or_nonsense_is_no_answer() {
    for (status, body) in [(500, ""), (503, "<html>")] {
        let fake = Fake::start(move |_| say(status, "", body));
        let error = open(&fake).await.account().await.unwrap_err();
        assert!(matches!(error, AwsError::Broke { .. }), "{error}");
        assert_eq!(fake.seen().len(), 3, "{status}");
    }
    let throttled = xml_error("Throttling", "Rate exceeded");
    let first = std::sync::atomic::AtomicBool::new(true);
    let fake = Fake::start(move |_| match first.swap(false, std::sync::atomic::Ordering::Relaxed) {
        true => say(400, "", throttled.clone()),
        false => say(200, "", identity("111122223333")),
    });
    assert_eq!(open(&fake).await.account().await.unwrap(), "111122223333");
    for cut in ["", "<GetCallerIdentityResponse>", "{}", &identity("111122223333")[..150]] {
        let body = cut.to_owned();
        let fake = Fake::start(move |_| say(200, "", body.clone()));
        assert!(open(&fake).await.account().await.is_err(), "{cut}");
    }
    let fake = Fake::start(|_| Reply::Hang);
    let error = open(&fake).await.account().await.unwrap_err();
    assert!(harmless(&error).contains("did not answer in time"), "{error}");
    let fake = Fake::start(|_| Reply::Gone);
    let error = open(&fake).await.account().await.unwrap_err();
    assert!(harmless(&error).contains("AWS cannot be reached: "), "{error}");
}
