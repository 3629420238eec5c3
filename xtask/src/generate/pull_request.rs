//! What runs on a pull request to main: the same `pr-checks` as on a laptop, and nothing else.

use crate::generate::workflow::{Action, Concurrency, Job, Step, Workflow};

/// Git asks this helper for a user and a password; the token travels by environment, never by argument or file.
const CREDENTIAL_HELPER: &str = "!f() { printf 'username=x-access-token\\npassword=%s\\n' \"$TOKEN\"; }; f";

/// Brings the commit here. GitHub's own checkout action would leave the token in the checkout's configuration.
pub(super) fn fetch() -> Step {
    Step {
        name: "Fetch the commit",
        condition: None,
        env: vec![
            ("REPOSITORY", "${{ github.server_url }}/${{ github.repository }}"),
            ("COMMIT", "${{ github.sha }}"),
            ("TOKEN", "${{ github.token }}"),
            ("GIT_CONFIG_COUNT", "1"),
            ("GIT_CONFIG_KEY_0", "credential.helper"),
            ("GIT_CONFIG_VALUE_0", CREDENTIAL_HELPER),
        ],
        action: Action::Run(vec![
            "git init --quiet .",
            "git fetch --quiet --no-tags \"$REPOSITORY\" \"$COMMIT\" +refs/heads/main:refs/remotes/origin/main",
            "git checkout --quiet --detach \"$COMMIT\"",
        ]),
    }
}

pub(super) fn workflow() -> Workflow {
    Workflow {
        comment: "Written by `cargo xtask generate`; change xtask/src/generate and not this file.",
        name: "pull request",
        on: &["pull_request:", "  branches: [main]"],
        concurrency: Concurrency { group: "pull-request-${{ github.ref }}", cancel: true },
        jobs: vec![Job {
            id: "checks",
            minutes: 60,
            permissions: vec![("contents", "read", "to fetch the commit")],
            steps: vec![
                fetch(),
                Step {
                    name: "Build xtask",
                    condition: None,
                    env: Vec::new(),
                    action: Action::Run(vec!["cargo build --locked --package xtask"]),
                },
                Step {
                    name: "Check",
                    condition: None,
                    env: Vec::new(),
                    // `exec`, so that a cancelled job's signal reaches xtask and not a shell that keeps it.
                    action: Action::Run(vec!["exec cargo xtask pr-checks"]),
                },
                Step {
                    name: "Keep what was seen",
                    condition: Some("always()"),
                    env: Vec::new(),
                    action: Action::Uses {
                        action: "actions/upload-artifact",
                        commit: "043fb46d1a93c77aae656e7c1c64a875d1fc6a0a",
                        version: "v7.0.1",
                        with: vec![
                            ("name", vec!["pull-request-report"]),
                            (
                                "path",
                                vec![
                                    "target/xtask/report.json",
                                    "target/xtask/findings.sarif",
                                    "target/xtask/junit.xml",
                                    "target/xtask/sbom/",
                                    "target/xtask/runs/",
                                ],
                            ),
                            ("if-no-files-found", vec!["warn"]),
                        ],
                    },
                },
            ],
        }],
    }
}
