//! What GitHub and AWS have to say about a release: the real binary and a real cluster, and fakes at the wire in the place of the two.

use crate::fake::{Fake, Reply, Request};
use crate::lab::{Lab, Said};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

/// Of this run of the tests: others may run on the same machine.
static TOKEN: LazyLock<String> = LazyLock::new(|| format!("ghs_{}secret", std::process::id()));
const SECRET_KEY: &str = "0123456789abcdefSECRETKEY";

/// In the place of a status: it says nothing, or is gone.
const SILENT: u16 = 0;
const GONE: u16 = 1;

/// What GitHub answers: the end of a path, and status and body.
type Answers = Vec<(&'static str, u16, Value)>;

struct GitHub {
    fake: Fake,
    answers: Arc<Mutex<Answers>>,
    commit: String,
}

impl GitHub {
    fn start(commit: &str) -> GitHub {
        let answers: Arc<Mutex<Answers>> = Arc::default();
        let known = Arc::clone(&answers);
        let fake = Fake::start(move |request| {
            assert_eq!(request.headers["authorization"], format!("Bearer {}", *TOKEN));
            assert_eq!(request.method, "GET", "nothing is changed there");
            let known = known.lock().unwrap();
            let path = request.target.strip_prefix("/repos/owner/name/").unwrap_or_default();
            match known.iter().find(|(known, ..)| *known == path) {
                Some((_, SILENT, _)) => Reply::Hang,
                Some((_, GONE, _)) => Reply::Gone,
                Some((_, status, body)) => {
                    Reply::Say(*status, "Content-Type: application/json\r\n", body.to_string())
                }
                None => Reply::Say(404, "", r#"{"message": "Not Found"}"#.to_owned()),
            }
        });
        let github = GitHub { fake, answers, commit: commit.to_owned() };
        github.says(|_| {});
        github
    }

    /// As it answers when all is well, but for what `change` changes.
    fn says(&self, change: impl FnOnce(&mut Answers)) {
        let run = json!({ "id": 7, "head_sha": self.commit, "run_attempt": 1, "status": "in_progress" });
        let reviewers = json!([{ "type": "required_reviewers", "reviewers": [{ "type": "User" }] }]);
        let mut answers = vec![
            ("actions/runs/7", 200, run),
            ("actions/runs/7/approvals", 200, approvals("approved", "production")),
            ("environments/production", 200, json!({ "name": "production", "protection_rules": reviewers })),
        ];
        change(&mut answers);
        *self.answers.lock().unwrap() = answers;
    }
}

fn approvals(state: &str, environment: &str) -> Value {
    json!([{ "state": state, "user": { "login": "octocat" }, "comment": "", "environments": [{ "name": environment }] }])
}

/// The folder becomes a checkout; gives its commit.
fn checked_out(lab: &Lab) -> String {
    let git = |args: &[&str]| {
        let own = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"];
        let output = Command::new("git").current_dir(lab.path("")).args(own).args(args).output().unwrap();
        assert!(output.status.success(), "git {args:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    git(&["init", "-q", "-b", "main"]);
    git(&["add", "pipeline.yaml", "charts", "tools.lock"]);
    git(&["commit", "-qm", "a commit"]);
    git(&["rev-parse", "HEAD"])
}

/// No file below here has a secret in it.
fn holds_no_secret(folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            holds_no_secret(&path);
        } else if let Ok(bytes) = std::fs::read(&path) {
            let text = String::from_utf8_lossy(&bytes);
            assert!(!text.contains(TOKEN.as_str()) && !text.contains(SECRET_KEY), "{}", path.display());
        }
    }
}

fn refused(said: &Said, code: i32, expected: &str) {
    assert_eq!(said.code, code, "{expected}: {said:?}");
    assert!(said.stderr.contains(expected), "{expected}: {said:?}");
    for text in [&said.stdout, &said.stderr] {
        assert!(!text.contains(TOKEN.as_str()) && !text.contains(SECRET_KEY), "{said:?}");
    }
}

#[test]
fn what_reviewers_approved_in_this_very_run_is_released_and_nothing_else_and_only_where_the_cloud_agrees() {
    let environments = [
        ("guarded".to_owned(), ", approval: true, github_environment: production".to_owned()),
        (
            "there".to_owned(),
            ", account: \"111122223333\", region: eu-central-1, cluster: slipway".to_owned(),
        ),
    ];
    let lab = Lab::up("a", &environments);
    let commit = checked_out(&lab);
    reviewed(&lab, &GitHub::start(&commit));
    in_its_account(&lab);
    holds_no_secret(&lab.path(""));
}

fn reviewed(lab: &Lab, github: &GitHub) {
    let (url, summary, output) = (github.fake.url(), lab.path("summary.md"), lab.path("output"));
    let of_job: Vec<(&str, &str)> = vec![
        ("GITHUB_ACTIONS", "true"),
        ("GITHUB_SHA", &github.commit),
        ("GITHUB_RUN_ID", "7"),
        ("GITHUB_RUN_ATTEMPT", "1"),
        ("GITHUB_REPOSITORY", "owner/name"),
        ("GITHUB_API_URL", &url),
        ("GITHUB_STEP_SUMMARY", summary.to_str().unwrap()),
        ("GITHUB_OUTPUT", output.to_str().unwrap()),
        ("GITHUB_TOKEN", TOKEN.as_str()),
    ];
    let deploy = ["deploy", "--env", "guarded", "--digest", &lab.good[0]];
    let with = |more: &[&'static str]| [&deploy[..], more].concat();

    // The job that plans.
    let said = lab.say_in(&of_job, &with(&["--dry-run", "--json"]));
    assert_eq!(said.code, 0, "{said:?}");
    let plan: Value = serde_json::from_str(&said.stdout).unwrap();
    let digest = plan["digest"].as_str().unwrap().to_owned();
    assert_eq!(std::fs::read_to_string(&output).unwrap(), format!("plan={digest}\n"));
    let shown = std::fs::read_to_string(&summary).unwrap();
    assert!(shown.contains(&format!("plan {digest}")) && shown.contains(&lab.good[0]), "{shown}");
    assert!(github.fake.seen().is_empty(), "a plan needs nobody's approval");

    // The job that deploys, when something is not as it must be.
    refused(
        &lab.say_in(&of_job, &deploy),
        11,
        "expected --plan DIGEST, of the plan that the reviewers were shown",
    );
    let carry_out = [&deploy[..], &["--plan", &digest]].concat();
    let other = ["deploy", "--env", "guarded", "--digest", &lab.good[1], "--plan", &digest];
    refused(&lab.say_in(&of_job, &other), 11, "wanted differ); the plan changed since it was approved");
    refused(
        &lab.say_in(&replaced(&of_job, "GITHUB_TOKEN", ""), &carry_out),
        11,
        "permissions: { actions: read }",
    );
    refused(&lab.say_in(&replaced(&of_job, "GITHUB_RUN_ID", "x"), &carry_out), 11, "that one is missing");
    refused(&lab.say_in(&replaced(&of_job, "GITHUB_RUN_ID", "8"), &carry_out), 11, "GitHub answered 404");
    refused(&lab.say_in(&replaced(&of_job, "GITHUB_RUN_ATTEMPT", "2"), &carry_out), 11, "found attempt 2");
    refused(
        &lab.say_in(&replaced(&of_job, "GITHUB_API_URL", "http://192.0.2.1"), &carry_out),
        11,
        "without TLS",
    );
    assert!(
        github.fake.seen().len() < 8,
        "what is known without GitHub is not asked: {:?}",
        github.fake.seen()
    );
    type Change = fn(&mut Answers);
    let table: [(Change, i32, &str); 10] = [
        (|a| a[1].2 = json!([]), 11, "found no review"),
        (|a| a[1].2 = approvals("rejected", "production"), 11, "octocat rejected it"),
        (|a| a[1].2 = approvals("approved", "dev"), 11, "found approved of dev"),
        (|a| a[0].2["head_sha"] = "abc".into(), 11, "expected the commit abc of this run"),
        (|a| a[0].2["status"] = "completed".into(), 11, "that it is over"),
        (|a| a[2].2["protection_rules"] = json!([]), 11, "found that it demands none"),
        (
            |a| a[1] = ("actions/runs/7/approvals", 403, json!({ "message": "not accessible" })),
            11,
            "answered 403",
        ),
        (|a| a[1] = ("actions/runs/7/approvals", 502, json!({})), 20, "answered 502"),
        (|a| a[1].1 = GONE, 20, "GitHub cannot be reached"),
        (|a| a[1].2 = json!({ "state": "approved" }), 20, "cannot be read"),
    ];
    for (change, code, expected) in table {
        github.says(change);
        refused(&lab.say_in(&of_job, &carry_out), code, expected);
    }
    github.says(|a| a[1].1 = SILENT);
    stopped(lab, github, &of_job, &carry_out);
    assert_eq!(lab.status("guarded")["revision"], Value::Null, "nothing was touched");

    // And when all is well.
    github.says(|_| {});
    std::fs::write(
        lab.path("tools.lock"),
        std::fs::read_to_string(lab.path("tools.lock")).unwrap() + "# x\n",
    )
    .unwrap();
    refused(&lab.say_in(&of_job, &carry_out), 11, "-dirty");
    let lock = std::fs::read_to_string(lab.path("tools.lock")).unwrap();
    std::fs::write(lab.path("tools.lock"), lock.trim_end_matches("# x\n")).unwrap();
    let said = lab.say_in(&of_job, &carry_out);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.stderr.contains("approved by octocat for production"), "{said:?}");
    assert_eq!(lab.status("guarded")["proven"], true);
    refused(&lab.say_in(&of_job, &carry_out), 11, "the plan changed since it was approved");
}

/// No process of this machine has it among its arguments, and none but this one in its environment.
fn nobody_else_has_the_token(owner: u32) {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let mut looked = 0;
    for process in numbers {
        for file in ["cmdline", "environ"].iter().filter(|file| process != owner || **file == "cmdline") {
            // One that ended meanwhile has nothing any more.
            let Ok(bytes) = std::fs::read(format!("/proc/{process}/{file}")) else { continue };
            assert!(
                !String::from_utf8_lossy(&bytes).contains(TOKEN.as_str()),
                "process {process} has it in {file}"
            );
            looked += 1;
        }
    }
    assert!(looked > 2, "/proc was looked at");
}

/// Stops a deployment while GitHub says nothing.
fn stopped(lab: &Lab, github: &GitHub, variables: &[(&str, &str)], args: &[&str]) {
    let before = github.fake.seen().len();
    let mut child = lab.start_in(variables, args);
    while github.fake.seen().len() < before + 2 {
        assert!(child.try_wait().unwrap().is_none(), "it waits for GitHub");
        std::thread::sleep(Duration::from_millis(20));
    }
    nobody_else_has_the_token(child.id());
    let asked = Instant::now();
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(asked.elapsed() < Duration::from_millis(2500), "{:?}", asked.elapsed());
}

/// These variables with another value for one.
fn replaced<'a>(all: &[(&'a str, &'a str)], name: &str, value: &'a str) -> Vec<(&'a str, &'a str)> {
    all.iter().map(|(known, old)| (*known, if *known == name { value } else { *old })).collect()
}

fn aws(request: &Request, account: &str, endpoint: &str) -> Reply {
    if request.body.contains("Action=GetCallerIdentity") {
        let body = format!(
            "<GetCallerIdentityResponse><GetCallerIdentityResult><Account>{account}</Account></GetCallerIdentityResult>\
             </GetCallerIdentityResponse>"
        );
        return Reply::Say(200, "Content-Type: text/xml\r\n", body);
    }
    assert_eq!(request.target, "/clusters/slipway");
    let arn = "arn:aws:eks:eu-central-1:111122223333:cluster/slipway";
    let cluster = json!({ "cluster": { "name": "slipway", "arn": arn, "endpoint": endpoint } });
    Reply::Say(200, "Content-Type: application/json\r\n", cluster.to_string())
}

fn in_its_account(lab: &Lab) {
    let kubeconfig = std::fs::read_to_string(lab.path("kubeconfig")).unwrap();
    let server = kubeconfig.split_once("https://").unwrap().1;
    let end = server.find(|c: char| !(c.is_ascii_alphanumeric() || ".:-".contains(c))).unwrap();
    let server = format!("https://{}", &server[..end]);
    let plan = ["deploy", "--env", "there", "--digest", &lab.good[0], "--dry-run"];
    let nobody = [
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("AWS_CONFIG_FILE", "/nonexistent"),
        ("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent"),
        ("AWS_ACCESS_KEY_ID", ""),
        ("AWS_SECRET_ACCESS_KEY", ""),
        ("CI", "false"),
    ];
    let said = lab.say_in(&nobody, &plan);
    assert_eq!(said.code, 0, "{said:?}");
    let line = "NOT CHECKED  credentials of the account 111122223333: no AWS credentials were found";
    assert!(said.stdout.contains(line), "{said:?}");
    refused(&lab.say_in(&replaced(&nobody, "CI", "true"), &plan), 11, "in CI the cloud must answer");

    for (account, endpoint, expected) in [
        ("999999999999", server.as_str(), "found those of the account 999999999999"),
        (
            "111122223333",
            "https://abc.gr7.eu-central-1.eks.amazonaws.com",
            "a kubeconfig that leads to the EKS cluster slipway",
        ),
        ("111122223333", server.as_str(), ""),
    ] {
        let (account, endpoint) = (account.to_owned(), endpoint.to_owned());
        let fake = Fake::start(move |request| aws(request, &account, &endpoint));
        let url = fake.url();
        let somebody = [
            ("AWS_ENDPOINT_URL", url.as_str()),
            ("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE"),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
            ("CI", "true"),
        ];
        let said = lab.say_in(&somebody, &plan);
        if expected.is_empty() {
            assert_eq!(said.code, 0, "{said:?}");
            assert!(!said.stdout.contains("account"), "nothing is left unchecked: {said:?}");
        } else {
            refused(&said, 11, expected);
        }
    }
}
