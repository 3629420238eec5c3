//! What requests notice of releases: nothing.

use crate::asking::{Clients, Counted};
use crate::lab::{Lab, Said};
use std::time::{Duration, Instant};

const VALUES: &str = "values.test.yaml";

/// Two replicas of what `values.dev.yaml` says, and this.
fn values(lab: &Lab, more: &str) {
    let text = format!(
        "environment: dev\nsysEnv: helloworld\nreplicas: 2\nrollout: {{ minReadySeconds: 1, progressDeadlineSeconds: 120 }}\n{more}"
    );
    lab.values(VALUES, &text);
}

#[test]
fn no_request_is_lost_by_good_releases_and_by_bad_ones_that_go_back() {
    let lab = Lab::up("req", &[("asked".to_owned(), format!(", values: {VALUES}"))]);
    let deploy = |digest: Option<&String>| -> Said {
        let digest = digest.into_iter().flat_map(|digest| ["--digest", digest]);
        lab.say(&["deploy", "--env", "asked"].into_iter().chain(digest).collect::<Vec<_>>())
    };
    values(&lab, "");
    assert_eq!(deploy(Some(&lab.good[0])).code, 0);

    let (clients, began) = (Clients::start(&lab, "asked", "n1"), Instant::now());
    assert_eq!(deploy(Some(&lab.good[1])).code, 0);
    for (case, more, digest, rule) in [
        ("crash", String::new(), Some(&lab.bad), "REJECTED F6"),
        (
            "never ready",
            "probes: { readiness: { path: /nowhere, periodSeconds: 1, timeoutSeconds: 1, failureThreshold: 2 } }\n".to_owned(),
            Some(&lab.good[0]),
            "REJECTED F11",
        ),
        // By name and tag no guard looks for it.
        ("image missing", format!("image: {{ repository: {}/hello, tag: not-there }}\n", lab.registry), None, "REJECTED F2"),
    ] {
        values(&lab, &more);
        let said = deploy(digest);
        assert!(said.code == 12 && said.stderr.contains(rule), "{case}: {said:?}");
    }
    let took = began.elapsed();
    let seen = clients.end();
    println!("one good release and three bad ones in {took:.1?}: {}", seen.line());
    for Counted { asked, lost } in [&seen.once, &seen.again] {
        assert!(lost.is_empty(), "{}", seen.line());
        let expected = usize::try_from(took.as_millis()).unwrap() / 50;
        assert!(*asked > expected * 8 / 10, "{asked} of {expected} were asked at all");
    }

    // The same clients, when there is something to lose.
    let clients = Clients::start(&lab, "asked", "n1");
    lab.lab.kubectl(&["scale", "deployment/hello-app", "--replicas=0", "--namespace=asked"]);
    lab.lab.kubectl(&["wait", "--for=delete", "pods", "--all", "--namespace=asked", "--timeout=60s"]);
    std::thread::sleep(Duration::from_secs(1));
    let seen = clients.end();
    println!("no pods: {}", seen.line());
    assert!(seen.once.lost.len() > 10 && seen.again.lost.len() > 10, "{}", seen.line());
}
