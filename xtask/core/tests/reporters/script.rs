//! Scripted runs: reports with everything in them, and the events that lead to them.

use serde_json::json;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use xtask_core::error::{ExitCode, Transient};
use xtask_core::event::{Event, Stream};
use xtask_core::ids::{NodeId, ServiceName, StageId};
use xtask_core::outcome::{Finding, Severity, Standing, Why};
use xtask_core::report::{ErrorRecord, OutcomeKind, RunInfo, RunReport, SCHEMA, StageRecord, ToolRecord};
use xtask_core::reporters::{Mode, Reporters, Setup, replay};

/// A writer whose content the test reads.
#[derive(Clone, Default)]
pub(crate) struct Shared(Arc<Mutex<Vec<u8>>>);

impl Shared {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(crate) fn setup(mode: Mode) -> Setup {
    Setup { mode, color: false, folder: None, step_summary: None }
}

/// What a run leaves on standard output and standard error.
pub(crate) fn live(report: &RunReport, setup: Setup) -> (String, String) {
    let (stdout, stderr) = (Shared::default(), Shared::default());
    let mut reporters = Reporters::new(setup, Box::new(stdout.clone()), Box::new(stderr.clone()));
    for event in events(report) {
        reporters.on(event);
    }
    assert_eq!(&reporters.finish().unwrap(), report);
    (stdout.text(), stderr.text())
}

/// What a replay leaves on standard output, the report having gone through JSON.
pub(crate) fn replayed(report: &RunReport, mode: Mode, color: bool) -> String {
    let report = RunReport::parse(&serde_json::to_string(report).unwrap()).unwrap();
    let (stdout, stderr) = (Shared::default(), Shared::default());
    replay(report, mode, color, Box::new(stdout.clone()), Box::new(stderr.clone()));
    assert_eq!(stderr.text(), "");
    stdout.text()
}

pub(crate) fn node(record: &StageRecord) -> NodeId {
    NodeId { stage: record.id, service: record.service.clone() }
}

/// The events of a run that ends in this report, with all the noise that a live run makes.
pub(crate) fn events(report: &RunReport) -> Vec<Event> {
    let mut events = vec![
        Event::RunStarted {
            schema: SCHEMA,
            run: report.run.id.clone(),
            command: report.run.command.clone(),
            nodes: report.stages.iter().map(node).collect(),
            expected_ms: Some(40_000),
        },
        Event::Progress { node: None, doing: "downloading syft 1.18.1".into(), done: 1, total: Some(4) },
        Event::Progress { node: None, doing: "downloading syft 1.18.1".into(), done: 4, total: Some(4) },
    ];
    for record in &report.stages {
        let node = node(record);
        if record.attempts > 0 && !record.cached {
            events.push(Event::StageStarted { node: node.clone(), attempt: 1 });
            events.push(Event::Line {
                node: node.clone(),
                stream: Stream::Stderr,
                text: "   Compiling \u{1b}[1mhello\u{1b}[0m v0.1.0 ##[error]x".into(),
            });
            events.push(Event::Slow { node: node.clone(), elapsed_ms: 60_000 });
            events.push(Event::Retrying {
                node: node.clone(),
                attempt: 1,
                transient: Transient::Throttled,
                after_ms: 2_000,
            });
        }
        events.push(Event::StageFinished { record: Box::new(record.clone()) });
        events.push(Event::Line { node, stream: Stream::Stdout, text: "too late".into() });
    }
    events.push(Event::CancelRequested { by: "SIGINT" });
    events.push(Event::RunFinished { run: report.run.clone() });
    events
}

pub(crate) fn report(stages: Vec<StageRecord>, code: ExitCode) -> RunReport {
    RunReport {
        schema: SCHEMA,
        run: RunInfo {
            id: "20261121T101500Z-4711".into(),
            command: "cargo xtask pr-checks --keep-going".into(),
            started: "2026-11-21T10:15:00Z".into(),
            duration_ms: 43_210,
            outcome: code.meaning().into(),
            exit_code: code.number(),
        },
        stages,
        releases: Vec::new(),
    }
}

pub(crate) fn stage(id: StageId, outcome: OutcomeKind) -> StageRecord {
    let service = (id.scope() == xtask_core::ids::Scope::Service)
        .then(|| ServiceName::try_from("hello".to_owned()).unwrap());
    StageRecord {
        log: Some(format!("target/xtask/logs/{id}.log")),
        id,
        service,
        outcome,
        cached: false,
        key: None,
        duration_ms: 1_234,
        attempts: 1,
        facts: json!(null),
        findings: Vec::new(),
        tools: Vec::new(),
        skipped: None,
        error: None,
        tail: Vec::new(),
        notes: Vec::new(),
        exit_code: 0,
    }
}

pub(crate) fn skipped(id: StageId, why: Why) -> StageRecord {
    StageRecord {
        skipped: Some(why),
        attempts: 0,
        duration_ms: 0,
        log: None,
        ..stage(id, OutcomeKind::Skipped)
    }
}

pub(crate) fn broke(id: StageId, message: &str, hint: Option<&str>) -> StageRecord {
    let error = ErrorRecord { message: message.into(), hint: hint.map(str::to_owned) };
    StageRecord { error: Some(error), exit_code: 20, ..stage(id, OutcomeKind::Broke) }
}

pub(crate) fn finding(
    standing: Standing,
    severity: Severity,
    rule: &str,
    place: Option<(&str, Option<u32>)>,
    message: &str,
) -> Finding {
    Finding {
        standing,
        severity,
        rule: rule.into(),
        message: message.into(),
        file: place.map(|(file, _)| file.to_owned()),
        line: place.and_then(|(_, line)| line),
    }
}

fn tool(name: &str, version: &str) -> ToolRecord {
    ToolRecord { name: name.into(), version: version.into(), sha256: "0123456789abcdef".repeat(4) }
}

/// Every way to end, every standing and severity, notes, retries, gaps.
pub(crate) fn everything() -> RunReport {
    use Severity::{Critical, High, Low, Medium, Unknown};
    use Standing::{Blocks, Noted, Waived};
    let image = None;
    let scan = StageRecord {
        findings: vec![
            finding(
                Blocks,
                Critical,
                "CVE-2026-0001",
                image,
                "openssl 3.0.1 (fixed in 3.0.2): a crafted certificate stops the service",
            ),
            finding(
                Blocks,
                High,
                "CVE-2026-0002",
                image,
                "zlib 1.3: an archive with a long comment writes past the end of a buffer, which lets whoever can upload an archive run code in the service; no fixed version yet",
            ),
            finding(Noted, Medium, "CVE-2026-0003", image, "tar 1.34: out of bounds read"),
            finding(Noted, Unknown, "CVE-2026-0004", image, "reserved"),
            finding(Waived, High, "CVE-2026-0005", image, "curl 8.5: cookie leak"),
        ],
        tools: vec![tool("trivy", "0.66.0")],
        duration_ms: 12_040,
        attempts: 2,
        notes: vec!["the first try was throttled by the server".into()],
        exit_code: 10,
        ..stage(StageId::Scan, OutcomeKind::Rejected)
    };
    let dockerfile = StageRecord {
        findings: vec![
            finding(
                Blocks,
                High,
                "DL3008",
                Some(("app/Dockerfile", Some(3))),
                "Pin versions in apt get install",
            ),
            finding(
                Blocks,
                Medium,
                "DL3059",
                Some(("app/Dockerfile", Some(14))),
                "Multiple consecutive `RUN` instructions. Consider consolidation, since every one of them makes a layer of its own",
            ),
            finding(
                Noted,
                Low,
                "DL3057",
                Some(("app/Dockerfile", None)),
                "`HEALTHCHECK` instruction missing",
            ),
        ],
        tail: vec!["not shown: the findings have places".into()],
        exit_code: 10,
        ..stage(StageId::Dockerfile, OutcomeKind::Rejected)
    };
    let lint = StageRecord {
        findings: vec![finding(Blocks, High, "cargo", None, "`cargo clippy --workspace` exited with 101")],
        tail: vec![
            "error: this `unwrap` cannot fail".into(),
            "\t--> app/src/main.rs:12".into(),
            "error: could not compile `hello`".into(),
        ],
        exit_code: 10,
        ..stage(StageId::Lint, OutcomeKind::Rejected)
    };
    let test = StageRecord {
        cached: true,
        key: Some("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa".into()),
        duration_ms: 95_000,
        facts: json!({ "tests": 12 }),
        tools: vec![tool("cargo", "1.95.0")],
        ..stage(StageId::Test, OutcomeKind::Passed)
    };
    let sbom = StageRecord {
        findings: vec![finding(
            Noted,
            High,
            "license",
            Some(("Cargo.lock", None)),
            "one crate has no licence",
        )],
        notes: vec!["a corrupt cache entry was ignored".into()],
        ..stage(StageId::Sbom, OutcomeKind::Passed)
    };
    let build = StageRecord {
        tail: vec!["Step 3/9 : RUN apt-get update".into(), "E: Could not resolve 'deb.debian.org'".into()],
        duration_ms: 185_000,
        ..broke(
            StageId::Build,
            "`docker` died of signal 9 (SIGKILL)",
            Some("all of its output: target/xtask/logs/build.log"),
        )
    };
    let terraform = broke(
        StageId::Terraform,
        "the configuration cannot be read\n  --> pipeline.yaml:7\n\t|\n7\t|   max_destroy: many\n\t|                ^^^^ a number is expected",
        Some("`cargo xtask doctor` checks pipeline.yaml and every need"),
    );
    let iac = StageRecord {
        tail: vec!["checking infra/terraform/main.tf".into()],
        duration_ms: 1_200_000,
        exit_code: 30,
        ..stage(StageId::Iac, OutcomeKind::TimedOut)
    };
    let unreachable = Why::Unreachable {
        tool: "kubeconform".into(),
        tried: vec!["path: not on PATH".into(), "archive: cannot resolve github.com".into()],
    };
    let stages = vec![
        test,
        scan,
        sbom,
        skipped(StageId::Chart, unreachable),
        dockerfile,
        stage(StageId::Secrets, OutcomeKind::Passed),
        build,
        lint,
        iac,
        terraform,
        StageRecord { exit_code: 130, ..stage(StageId::Ansible, OutcomeKind::Cancelled) },
        skipped(StageId::Workflows, Why::Unaffected),
    ];
    report(stages, ExitCode::Cancelled)
}

/// All is well, all of it from the cache.
pub(crate) fn clean() -> RunReport {
    let stages = [StageId::Lint, StageId::Test, StageId::Secrets]
        .map(|id| StageRecord { cached: true, ..stage(id, OutcomeKind::Passed) });
    let mut report = report(stages.into(), ExitCode::Passed);
    report.run.duration_ms = 8;
    report
}

/// Nothing failed, but not everything was checked.
pub(crate) fn gaps() -> RunReport {
    let trivy = Why::Unreachable {
        tool: "trivy".into(),
        tried: vec![
            "path: not on PATH".into(),
            "archive: cannot resolve github.com: Name or service not known".into(),
            "go: no such module".into(),
        ],
    };
    let build =
        NodeId { stage: StageId::Build, service: Some(ServiceName::try_from("hello".to_owned()).unwrap()) };
    let stages = vec![
        stage(StageId::Lint, OutcomeKind::Passed),
        skipped(StageId::Scan, trivy.clone()),
        skipped(StageId::Secrets, trivy),
        skipped(StageId::Sbom, Why::Upstream { node: build }),
        skipped(StageId::Iac, Why::Without),
        skipped(StageId::Chart, Why::FailFast),
        skipped(StageId::Ansible, Why::Unaffected),
    ];
    report(stages, ExitCode::Passed)
}

/// A scanner on a bad day.
pub(crate) fn flood(number: usize) -> RunReport {
    let findings = (0..number)
        .map(|at| {
            let message = format!("problem {at} {}", "of many words ".repeat(100));
            finding(
                Standing::Blocks,
                Severity::High,
                "CKV_AWS_39",
                Some((&format!("infra/{at}.tf"), Some(7))),
                &message,
            )
        })
        .collect();
    let tail = (0..number).map(|at| format!("line {at} {}", "x".repeat(4096))).collect();
    let iac = StageRecord { findings, tail, exit_code: 10, ..stage(StageId::Iac, OutcomeKind::Rejected) };
    report(vec![iac], ExitCode::Rejected)
}

/// Text that wants to be more than text.
pub(crate) const HOSTILE: &str = "::error::pwned\r\n::add-mask::a\n##[error]b\u{1b}[2J\u{1b}]0;title\u{7}\u{9b}31m\0\u{8}\u{202e}<script>|`</pre></details>]]>\"'&*_[x](http://y)@team%0A::stop-commands::t";

/// Hostile text in every field that has room for it.
pub(crate) fn hostile() -> RunReport {
    let bad = || HOSTILE.to_owned();
    let finding = |standing, severity, line| Finding {
        standing,
        severity,
        rule: bad(),
        message: bad(),
        file: Some(bad()),
        line: Some(line),
    };
    let tools = vec![ToolRecord { name: bad(), version: bad(), sha256: bad() }];
    let rich = |record: StageRecord| StageRecord {
        findings: vec![
            finding(Standing::Blocks, Severity::High, 1),
            finding(Standing::Noted, Severity::High, 0),
            finding(Standing::Waived, Severity::Low, 3),
        ],
        tools: tools.clone(),
        key: Some(bad()),
        log: Some(bad()),
        tail: vec![bad(), "::endgroup::".into()],
        notes: vec![bad()],
        facts: json!({ HOSTILE: HOSTILE }),
        ..record
    };
    let mut broken = rich(broke(StageId::Scan, HOSTILE, Some(HOSTILE)));
    broken.findings.clear();
    let stages = vec![
        rich(stage(StageId::Lint, OutcomeKind::Rejected)),
        rich(stage(StageId::Test, OutcomeKind::Passed)),
        broken,
        skipped(StageId::Iac, Why::Unreachable { tool: bad(), tried: vec![bad()] }),
    ];
    let mut report = report(stages, ExitCode::ToolBroke);
    report.run.command = bad();
    report.run.outcome = bad();
    report.run.id = bad();
    report
}
