//! One service on its way: good, bad, by hand, promoted, stopped.

use crate::lab::Lab;
use std::time::{Duration, Instant};

#[test]
fn a_service_is_released_rolled_back_promoted_and_stopped_and_every_end_has_its_exit_code() {
    let more = |text: &str| text.to_owned();
    let environments = [
        ("first".to_owned(), more("")),
        ("dev".to_owned(), more("")),
        ("prod".to_owned(), more(", promoted_from: dev")),
        ("guarded".to_owned(), more(", approval: true")),
        ("frozen".to_owned(), more(", cluster_uid: another")),
    ];
    let lab = Lab::up("s", &environments);
    a_first_installation_that_fails_is_held(&lab);
    good_then_bad(&lab);
    by_hand(&lab);
    promoted(&lab);
    refused(&lab);
    stopped(&lab);
    two_at_once(&lab);
}

fn a_first_installation_that_fails_is_held(lab: &Lab) {
    let said = lab.say(&["deploy", "--env", "first", "--digest", &lab.bad]);
    assert_eq!(said.code, 14, "{said:?}");
    assert!(said.stderr.contains("REJECTED F6"), "{said:?}");
    assert!(said.stderr.contains("left as it is, to be looked at"), "{said:?}");
    assert!(lab.pods("first") > 0, "they are there to be looked at");
    assert_eq!(
        lab.say(&["deploy", "--env", "first", "--digest", &lab.good[0]]).code,
        14,
        "the question stays"
    );
    assert_eq!(lab.say(&["recover", "--env", "first", "--override"]).code, 0);
    assert_eq!(lab.say(&["deploy", "--env", "first", "--digest", &lab.good[0]]).code, 0);
}

fn good_then_bad(lab: &Lab) {
    let said = lab.say(&["deploy", "--env", "dev", "--digest", &lab.good[0], "--json"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.stderr.contains("answered with SYS_ENV helloworld"), "{said:?}");
    assert_eq!(lab.status("dev")["proven"], true);

    let said = lab.say(&["deploy", "--env", "dev", "--digest", &lab.bad, "--json"]);
    assert_eq!(said.code, 12, "{said:?}");
    let ending: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(ending["fault"]["rule"], "F6", "{ending}");
    assert!(
        ending["summary"].as_str().unwrap().contains("rolled back to revision 1, verified in "),
        "{ending}"
    );
    let evidence = std::path::Path::new(ending["evidence"].as_str().unwrap());
    assert!(evidence.is_dir());
    let status = lab.status("dev");
    assert_eq!((&status["proven"], &status["revision"]), (&true.into(), &3.into()), "{status}");
    assert!(status["journal"]["last_good"]["image"].as_str().unwrap().ends_with(&lab.good[0]));
}

fn by_hand(lab: &Lab) {
    assert_eq!(lab.say(&["deploy", "--env", "dev", "--digest", &lab.good[1]]).code, 0);
    let said = lab.say(&["diff", "--env", "dev", "--digest", &lab.good[0]]);
    assert!(
        said.stdout.starts_with("~ Deployment hello-app\n") && said.stdout.contains(&lab.good[0]),
        "{said:?}"
    );
    assert_eq!(lab.say(&["rollback", "--env", "dev", "--to", "3"]).code, 0);
    assert!(lab.status("dev")["journal"]["last_good"]["image"].as_str().unwrap().ends_with(&lab.good[0]));
    assert_eq!(lab.say(&["rollback", "--env", "dev", "--to", "99"]).code, 2);
    assert_eq!(lab.say(&["recover", "--env", "dev"]).code, 0, "nothing is unfinished");
}

fn promoted(lab: &Lab) {
    let said = lab.say(&["deploy", "--env", "prod", "--digest", &lab.good[1]]);
    assert_eq!(said.code, 11, "dev has proven another one: {said:?}");
    assert_eq!(lab.say(&["promote", "--env", "prod"]).code, 0);
    assert!(lab.status("prod")["journal"]["last_good"]["image"].as_str().unwrap().ends_with(&lab.good[0]));
    // Without its journal nothing is proven there, whatever runs.
    lab.forget("dev");
    let said = lab.say(&["promote", "--env", "prod"]);
    assert_eq!(said.code, 11, "{said:?}");
    assert!(said.stderr.contains("promotion: expected a release that is proven in dev"), "{said:?}");
    assert_eq!(lab.say(&["deploy", "--env", "dev", "--digest", &lab.good[0]]).code, 0);
}

fn refused(lab: &Lab) {
    let said = lab.say(&["deploy", "--env", "guarded", "--digest", &lab.good[0]]);
    assert_eq!(said.code, 11, "nobody is at a terminal: {said:?}");
    assert!(said.stderr.contains("not approved"), "{said:?}");
    let said = lab.say(&["deploy", "--env", "frozen", "--digest", &lab.good[0]]);
    assert_eq!(said.code, 11, "{said:?}");
    assert!(said.stderr.contains("cluster: expected the cluster another"), "{said:?}");
    let absent = format!("sha256:{}", "0".repeat(64));
    let said = lab.say(&["deploy", "--env", "dev", "--digest", &absent]);
    assert_eq!(said.code, 11, "{said:?}");
    assert!(said.stderr.contains("found nothing in the registry"), "{said:?}");
    let template = lab.path("charts/app/templates/misspelt.yaml");
    std::fs::write(
        &template,
        "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: misspelt }\ndate: { a: b }\n",
    )
    .unwrap();
    let said = lab.say(&["deploy", "--env", "dev", "--digest", &lab.good[0]]);
    std::fs::remove_file(template).unwrap();
    assert_eq!(said.code, 11, "{said:?}");
    assert!(
        said.stderr.contains("ConfigMap misspelt") && said.stderr.contains(".date: field not declared"),
        "{said:?}"
    );
    for environment in ["guarded", "frozen"] {
        assert_eq!(lab.status(environment)["revision"], serde_json::Value::Null, "nothing was touched");
    }
    assert_eq!(lab.say(&["deploy", "--env", "nowhere"]).code, 2);
}

fn stopped(lab: &Lab) {
    for (round, phase) in
        ["apply", "watch", "soak", "smoke", "watch", "evidence", "verify-rollback"].iter().enumerate()
    {
        let digest = if round < 4 { &lab.good[(round + 1) % 2] } else { &lab.bad };
        let mut child = lab.start(&["deploy", "--env", "dev", "--digest", digest]);
        let deadline = Instant::now() + Duration::from_secs(20);
        lab.reaches("dev", phase, || Instant::now() < deadline && child.try_wait().unwrap().is_none());
        let pid = rustix::process::Pid::from_child(&child);
        let asked = Instant::now();
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::INT);
        let code = child.wait().unwrap().code();
        let took = asked.elapsed();
        // Over before it could be stopped is no failure; late is.
        assert!(took < Duration::from_millis(2500), "{phase}: {took:?}");
        assert!(matches!(code, Some(130 | 0 | 12)), "{phase}: {code:?}");
        let said = lab.say(&["recover", "--env", "dev"]);
        assert!(matches!(said.code, 0 | 12), "{phase}: {said:?}");
        let status = lab.status("dev");
        assert_eq!(status["proven"], true, "{phase}: {status}");
    }
}

fn two_at_once(lab: &Lab) {
    let mut first = lab.start(&["deploy", "--env", "dev", "--digest", &lab.good[0]]);
    let mut second = lab.start(&["deploy", "--env", "dev", "--digest", &lab.good[1]]);
    assert!(first.wait().unwrap().success() && second.wait().unwrap().success(), "one waits for the other");
    let status = lab.status("dev");
    assert_eq!((&status["proven"], &status["lock"]), (&true.into(), &serde_json::Value::Null), "{status}");
}
