//! The engine with stages made for the purpose: what is tried again, what is not, what a panic is, and what presets do.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on ends")]

use jiff::civil::{Date, date};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::future::ready;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use xtask_core::cancel::{Cancel, CancelSource};
use xtask_core::config::{Limits, TerraformLimits, Timeouts, Vulnerabilities};
use xtask_core::engine::files::FileSet;
use xtask_core::engine::schedule::Capacity;
use xtask_core::engine::stamps::Stamps;
use xtask_core::engine::{Cx, Driver, Node, Planned, Preset, Program, Setup, Supplies};
use xtask_core::error::{StageError, Transient};
use xtask_core::event::Event;
use xtask_core::ids::{NodeId, ServiceName, StageId};
use xtask_core::outcome::{Verdict, Why};
use xtask_core::process::Supervisor;
use xtask_core::redact::Redactor;
use xtask_core::report::{OutcomeKind, RunReport, StageRecord};
use xtask_core::stage::{Effect, Needs, Pure, Stage};

/// What a scripted stage does at each try.
#[derive(Clone, Copy, Debug)]
enum Act {
    Pass,
    Throttled,
    Broke,
    Panic,
    Hang,
}

/// A stage that follows a script and counts its tries.
#[derive(Debug)]
struct Scripted {
    acts: Vec<Act>,
    tries: Arc<AtomicU32>,
}

impl Stage for Scripted {
    const ID: StageId = StageId::Iac;
    type Kind = Pure;
    type Facts = Value;

    fn needs(&self) -> Needs {
        Needs::default()
    }

    async fn run(&self, cx: &Cx) -> Result<Value, StageError> {
        let at = self.tries.fetch_add(1, Ordering::SeqCst) as usize;
        let tool = "tool".to_owned();
        match self.acts[at] {
            Act::Pass => Ok(json!({"try": at})),
            Act::Throttled => Err(StageError::Transient { tool, kind: Transient::Throttled, log: None }),
            Act::Broke => Err(StageError::ToolBroke { tool, how: "exited with 2".to_owned(), log: None }),
            Act::Panic => panic!("on purpose"),
            Act::Hang => {
                cx.cancel().raised().await;
                Err(StageError::Cancelled)
            }
        }
    }

    fn judge(&self, _: &Value, _: &Limits, _: Date) -> Verdict {
        Verdict::clean()
    }
}

impl Node for Scripted {
    fn id(&self) -> NodeId {
        NodeId::repository(StageId::Iac)
    }

    fn needs(&self) -> Needs {
        Stage::needs(self)
    }

    async fn drive(&self, driver: Driver) -> StageRecord {
        driver.pure(self).await
    }
}

struct Ran {
    report: RunReport,
    events: Vec<Event>,
    tries: u32,
}

impl Ran {
    fn stage(&self) -> &StageRecord {
        &self.report.stages[0]
    }
}

fn limits(deadline: Duration) -> Limits {
    Limits {
        vulnerabilities: Vulnerabilities { reject: Vec::new(), ignore_unfixed: false },
        waivers: Vec::new(),
        timeouts: Timeouts { default: deadline, stages: BTreeMap::new() },
        terraform: TerraformLimits { max_destroy: 0 },
    }
}

fn setup(root: &Path, deadline: Duration, cancel: Cancel, events: UnboundedSender<Event>) -> Setup {
    Setup {
        root: root.to_owned(),
        own: root.join("target/xtask"),
        run_id: "run".to_owned(),
        command: "iac".to_owned(),
        limits: limits(deadline),
        today: date(2026, 11, 21),
        base_env: BTreeMap::new(),
        variables: BTreeMap::new(),
        own_digest: "this".to_owned(),
        files: FileSet::default(),
        stamps: Stamps::load(root.join("stamps")),
        capacity: Capacity { cores: 2, memory_mib: 1024 },
        keep_going: false,
        redactor: Redactor::default(),
        supervisor: Supervisor::new(Redactor::default()),
        cancel,
        events,
    }
}

async fn run_with(
    acts: &[Act],
    deadline: Duration,
    cancel: Cancel,
    presets: BTreeMap<NodeId, Preset>,
) -> Ran {
    let folder = tempfile::tempdir().unwrap();
    let (events, mut inbox) = mpsc::unbounded_channel();
    let tries = Arc::new(AtomicU32::new(0));
    let setup = setup(folder.path(), deadline, cancel, events);
    let planned =
        Planned::new(setup, vec![Scripted { acts: acts.to_vec(), tries: Arc::clone(&tries) }]).unwrap();
    let report = planned
        .run(Supplies { presets, ..Supplies::default() }, nothing_comes(), ready(Supplies::default()))
        .await;
    let mut all = Vec::new();
    while let Ok(event) = inbox.try_recv() {
        all.push(event);
    }
    Ran { report, events: all, tries: tries.load(Ordering::SeqCst) }
}

/// Time does not pass but jumps: waits between tries cost nothing.
async fn run(acts: &[Act]) -> Ran {
    tokio::time::pause();
    let (_source, cancel) = CancelSource::new();
    run_with(acts, Duration::from_secs(600), cancel, BTreeMap::new()).await
}

#[tokio::test]
async fn a_transient_failure_is_tried_again_and_the_record_says_so() {
    let ran = run(&[Act::Throttled, Act::Throttled, Act::Pass]).await;
    assert_eq!((ran.stage().outcome, ran.stage().attempts, ran.tries), (OutcomeKind::Passed, 3, 3));
    assert_eq!(ran.stage().notes.len(), 2, "{:?}", ran.stage().notes);
    let retries = ran.events.iter().filter(|event| matches!(event, Event::Retrying { .. })).count();
    assert_eq!(retries, 2);
    assert_eq!(ran.report.run.exit_code, 0);
}

#[tokio::test]
async fn a_transient_failure_that_stays_is_given_up_after_three_tries() {
    let ran = run(&[Act::Throttled; 5]).await;
    assert_eq!((ran.stage().outcome, ran.tries), (OutcomeKind::Broke, 3));
    assert_eq!(ran.report.run.exit_code, 20);
}

#[tokio::test]
async fn any_other_failure_is_never_tried_again() {
    let ran = run(&[Act::Broke, Act::Pass]).await;
    assert_eq!((ran.stage().outcome, ran.stage().attempts, ran.tries), (OutcomeKind::Broke, 1, 1));
}

#[tokio::test]
async fn a_panic_in_a_stage_is_our_bug_and_the_report_is_still_whole() {
    let ran = run(&[Act::Panic]).await;
    assert_eq!(ran.report.run.exit_code, 70);
    assert!(ran.stage().error.as_ref().unwrap().message.contains("please report it"));
    assert!(matches!(ran.events.last(), Some(Event::RunFinished { .. })));
}

#[tokio::test]
async fn a_stage_that_hangs_is_timed_out_and_one_that_is_stopped_is_cancelled() {
    tokio::time::pause();
    let (_source, cancel) = CancelSource::new();
    let ran = run_with(&[Act::Hang], Duration::from_secs(5), cancel, BTreeMap::new()).await;
    assert_eq!((ran.stage().outcome, ran.report.run.exit_code), (OutcomeKind::TimedOut, 30));

    let (source, cancel) = CancelSource::new();
    let (ran, ()) =
        tokio::join!(run_with(&[Act::Hang], Duration::from_secs(600), cancel, BTreeMap::new()), async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            source.raise();
        });
    assert_eq!((ran.stage().outcome, ran.report.run.exit_code), (OutcomeKind::Cancelled, 130));
}

#[tokio::test]
async fn a_transient_failure_is_not_tried_again_past_the_deadline() {
    tokio::time::pause();
    let (_source, cancel) = CancelSource::new();
    let ran = run_with(&[Act::Throttled; 3], Duration::from_millis(500), cancel, BTreeMap::new()).await;
    assert_eq!(ran.tries, 1);
}

#[tokio::test]
async fn a_preset_stands_in_for_a_stage_that_cannot_run() {
    let (_source, cancel) = CancelSource::new();
    let why = Why::Unreachable { tool: "trivy".to_owned(), tried: vec!["path: not on PATH".to_owned()] };
    let presets = BTreeMap::from([(NodeId::repository(StageId::Iac), Preset::Skip(why.clone()))]);
    let ran = run_with(&[Act::Pass], Duration::from_secs(1), cancel, presets).await;
    assert_eq!((ran.tries, ran.stage().skipped.as_ref()), (0, Some(&why)));
    assert_eq!(ran.report.run.exit_code, 0);
}

/// A stage that changes the world, and says how often it did.
#[derive(Debug, Default)]
struct Counted(Arc<AtomicU32>);

impl Stage for Counted {
    const ID: StageId = StageId::Push;
    type Kind = Effect;
    type Facts = u32;

    fn needs(&self) -> Needs {
        Needs::default()
    }

    async fn run(&self, _: &Cx) -> Result<u32, StageError> {
        Ok(self.0.fetch_add(1, Ordering::SeqCst))
    }

    fn judge(&self, _: &u32, _: &Limits, _: Date) -> Verdict {
        Verdict::clean()
    }
}

impl Node for Counted {
    fn id(&self) -> NodeId {
        NodeId::repository(StageId::Push)
    }

    fn needs(&self) -> Needs {
        Stage::needs(self)
    }

    async fn drive(&self, driver: Driver) -> StageRecord {
        driver.effect(self).await
    }
}

#[tokio::test]
async fn a_stage_that_changes_the_world_runs_every_time_and_has_no_key() {
    let folder = tempfile::tempdir().unwrap();
    let tries = Arc::new(AtomicU32::new(0));
    for run in 0..2 {
        let (_source, cancel) = CancelSource::new();
        let (events, _inbox) = mpsc::unbounded_channel();
        let setup = setup(folder.path(), Duration::from_secs(600), cancel, events);
        let planned = Planned::new(setup, vec![Counted(Arc::clone(&tries))]).unwrap();
        let report = planned.run(Supplies::default(), nothing_comes(), ready(Supplies::default())).await;
        let stage = &report.stages[0];
        assert_eq!((&stage.facts, stage.cached, &stage.key), (&json!(run), false, &None));
    }
}

/// A stage of a service that needs a tool or nothing, and says when it ran.
#[derive(Debug, Default)]
struct Tooled {
    service: &'static str,
    tools: Vec<&'static str>,
    ran: Arc<Notify>,
    takes: Duration,
    fails: bool,
}

impl Stage for Tooled {
    const ID: StageId = StageId::Lint;
    type Kind = Pure;
    type Facts = ();

    fn needs(&self) -> Needs {
        Needs { tools: self.tools.clone(), ..Needs::default() }
    }

    async fn run(&self, cx: &Cx) -> Result<(), StageError> {
        self.ran.notify_one();
        for tool in &self.tools {
            cx.program(tool)?;
        }
        tokio::time::sleep(self.takes).await;
        if self.fails { Err(StageError::Config("on purpose".to_owned())) } else { Ok(()) }
    }

    fn judge(&self, (): &(), _: &Limits, _: Date) -> Verdict {
        Verdict::clean()
    }
}

impl Node for Tooled {
    fn id(&self) -> NodeId {
        NodeId::of(StageId::Lint, ServiceName::try_from(self.service.to_owned()).unwrap())
    }

    fn needs(&self) -> Needs {
        Stage::needs(self)
    }

    async fn drive(&self, driver: Driver) -> StageRecord {
        driver.pure(self).await
    }
}

fn nothing_comes() -> UnboundedReceiver<Program> {
    mpsc::unbounded_channel().1
}

/// Two services: `needy` waits for a tool that is only there when `plain` has run, as `late` then says.
async fn run_with_late(late: Supplies) -> RunReport {
    run_both(Vec::new(), nothing_comes(), late).await
}

async fn run_both(
    of_plain: Vec<&'static str>,
    arrivals: UnboundedReceiver<Program>,
    late: Supplies,
) -> RunReport {
    let folder = tempfile::tempdir().unwrap();
    let (_source, cancel) = CancelSource::new();
    let (events, _inbox) = mpsc::unbounded_channel();
    let setup = setup(folder.path(), Duration::from_secs(600), cancel, events);
    let ran = Arc::new(Notify::new());
    let nodes = vec![
        Tooled { service: "needy", tools: vec!["helm"], ..Tooled::default() },
        Tooled { service: "plain", tools: of_plain, ran: Arc::clone(&ran), ..Tooled::default() },
    ];
    let planned = Planned::new(setup, nodes).unwrap();
    let late = async move {
        ran.notified().await;
        late
    };
    planned.run(Supplies::default(), arrivals, late).await
}

fn named<'r>(report: &'r RunReport, service: &str) -> &'r StageRecord {
    report
        .stages
        .iter()
        .find(|stage| stage.service.as_ref().is_some_and(|name| name.as_str() == service))
        .unwrap()
}

#[tokio::test]
async fn what_needs_no_tool_runs_while_tools_are_fetched_and_the_rest_runs_when_they_are_there() {
    let programs = BTreeMap::from([("helm".to_owned(), tool("helm"))]);
    let report = run_with_late(Supplies { programs, ..Supplies::default() }).await;
    assert_eq!(named(&report, "plain").outcome, OutcomeKind::Passed);
    assert_eq!(named(&report, "needy").outcome, OutcomeKind::Passed);
}

#[tokio::test]
async fn what_needs_a_tool_that_has_come_does_not_wait_for_the_others() {
    let (arriving, arrivals) = mpsc::unbounded_channel();
    arriving.send(tool("syft")).unwrap();
    let programs = BTreeMap::from([("helm".to_owned(), tool("helm"))]);
    let report = run_both(vec!["syft"], arrivals, Supplies { programs, ..Supplies::default() }).await;
    assert_eq!(named(&report, "plain").outcome, OutcomeKind::Passed);
    assert_eq!(named(&report, "needy").outcome, OutcomeKind::Passed);
}

fn tool(name: &str) -> Program {
    Program {
        name: name.to_owned(),
        version: "1".to_owned(),
        path: "/helm".into(),
        digest: "d".to_owned(),
        extra_path: None,
        notes: Vec::new(),
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_skipped_before_its_tool_was_known_to_be_missing_is_reported_once() {
    let folder = tempfile::tempdir().unwrap();
    let (_source, cancel) = CancelSource::new();
    let (events, _inbox) = mpsc::unbounded_channel();
    let setup = setup(folder.path(), Duration::from_secs(600), cancel, events);
    let nodes = vec![
        Tooled { service: "needy", tools: vec!["helm"], ..Tooled::default() },
        Tooled { service: "failing", fails: true, ..Tooled::default() },
        Tooled { service: "lasting", takes: Duration::from_secs(60), ..Tooled::default() },
    ];
    let node = nodes[0].id();
    let late = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let why = Why::Unreachable { tool: "helm".to_owned(), tried: Vec::new() };
        Supplies { presets: BTreeMap::from([(node, Preset::Skip(why))]), ..Supplies::default() }
    };
    let planned = Planned::new(setup, nodes).unwrap();
    let report = planned.run(Supplies::default(), nothing_comes(), late).await;
    assert_eq!(report.stages.len(), 3, "{report:?}");
    assert_eq!(named(&report, "needy").skipped, Some(Why::FailFast));
}

#[tokio::test]
async fn a_tool_that_turns_out_not_to_be_had_keeps_only_what_needs_it_from_running() {
    let node = NodeId::of(StageId::Lint, ServiceName::try_from("needy".to_owned()).unwrap());
    let why = Why::Unreachable { tool: "helm".to_owned(), tried: vec!["path: not on PATH".to_owned()] };
    let presets = BTreeMap::from([(node, Preset::Skip(why.clone()))]);
    let report = run_with_late(Supplies { presets, ..Supplies::default() }).await;
    assert_eq!(named(&report, "plain").outcome, OutcomeKind::Passed);
    assert_eq!(
        (named(&report, "needy").outcome, named(&report, "needy").skipped.as_ref()),
        (OutcomeKind::Skipped, Some(&why))
    );
}
