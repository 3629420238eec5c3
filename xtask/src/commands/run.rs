//! `pr-checks` and every single stage: choose nodes, look for what they need, run them, show and keep what was seen.

use crate::cli::RunArgs;
use crate::commands::{Failure, plan, warn};
use crate::equip::Equipment;
use crate::select::{self, Wanted};
use crate::session::{Checkout, Session};
use crate::stages;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use xtask_core::cancel::Cancel;
use xtask_core::engine::schedule::Capacity;
use xtask_core::engine::snapshot::Listing;
use xtask_core::engine::stamps::Stamps;
use xtask_core::engine::{Node, Planned, Preset, Setup, Supplies};
use xtask_core::error::ExitCode;
use xtask_core::event::Event;
use xtask_core::ids::{NodeId, StageId};
use xtask_core::process::query;
use xtask_core::process::signals;
use xtask_core::report::RunReport;
use xtask_core::reporters::{self, Reporters};
use xtask_core::stage::Needs;
use xtask_core::tools::provision::{Provisioner, ToolProgress};

/// A run that is set up: its graph, what it has, and what keeps nodes from running.
pub(super) struct Prepared<N> {
    pub(super) planned: Planned<N>,
    pub(super) equipment: Equipment,
    provisioner: Provisioner,
    pub(super) missing: Vec<&'static str>,
    pub(super) presets: BTreeMap<NodeId, Preset>,
}

/// Where results are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Results {
    /// On standard output.
    Stdout,
    /// On standard error, because the command itself answers on standard output.
    Stderr,
}

/// What came of a run.
pub(crate) struct Ended {
    /// The exit code.
    pub(crate) code: ExitCode,
    /// What was seen; none if nothing was run.
    pub(crate) report: Option<RunReport>,
}

/// Runs the checks that the command means.
pub(super) async fn checks(
    checkout: Checkout<'_>,
    stage: Option<StageId>,
    args: &RunArgs,
) -> Result<ExitCode, Failure> {
    let table = stages::table(&checkout.session.pipeline);
    Ok(run(checkout, table, stage, args, Results::Stdout).await?.code)
}

/// Runs the nodes of a table that the command means.
pub(crate) async fn run<N: Node>(
    checkout: Checkout<'_>,
    table: Vec<N>,
    stage: Option<StageId>,
    args: &RunArgs,
    results: Results,
) -> Result<Ended, Failure> {
    let Checkout { session, files } = checkout;
    let session = &session;
    let (events, inbox) = mpsc::unbounded_channel();
    let to = events.clone();
    let told = move |by| drop(to.send(Event::CancelRequested { by }));
    let cancel = signals::listen(told).map_err(|error| Failure::bug(format!("no signals: {error}")))?;
    let prepared = prepare(session, files, table, stage, args, events.clone(), cancel.clone())?;
    if args.dry_run {
        return Ok(Ended { code: plan::dry_run(session, prepared)?, report: None });
    }
    for name in &session.unmasked {
        warn(&format!("${name} is too short, or too common a word, to be masked in what is shown and kept"));
    }
    let own = session.own_folder()?;
    let reporters = tokio::spawn(report(inbox, new_reporters(session, &own, results)));
    let Prepared { planned, equipment, provisioner, missing, mut presets } = prepared;
    planned.announce();
    let active = planned.nodes().iter().filter(|node| !presets.contains_key(&node.id()));
    let active: Vec<(NodeId, Needs)> = active.map(|node| (node.id(), node.needs())).collect();
    presets.extend(equipment.presets(&active, session.strict));
    let (arriving, arrivals) = mpsc::unbounded_channel();
    let late = async move {
        let mut fetched = Equipment::default();
        if !missing.is_empty() {
            let progress = |step| send_progress(&events, step);
            // Nobody takes what arrives only when the run is over.
            let arrived = |program| drop(arriving.send(program));
            fetched.fetch(&missing, &provisioner, &cancel, progress, arrived).await;
        }
        Supplies { presets: fetched.presets(&active, session.strict), programs: fetched.programs }
    };
    let report = planned.run(Supplies { programs: equipment.programs, presets }, arrivals, late).await;
    session.supervisor.clone().shutdown().await;
    prune_runs(&own);
    let code = ExitCode::of(report.run.exit_code);
    let finished = match reporters.await {
        Ok(reporters) => reporters.finish(),
        Err(error) => return Err(Failure::bug(format!("a reporter panicked: {error}"))),
    };
    match finished {
        Ok(_) => Ok(Ended { code, report: Some(report) }),
        Err(error) => {
            let code = ExitCode::worst([code, error.exit_code()]);
            Err(Failure { code, message: error.to_string(), hint: None })
        }
    }
}

/// Sets a run up: chooses nodes and looks for what is at hand, without the network and without starting anything long.
pub(super) fn prepare<N: Node>(
    session: &Session<'_>,
    files: Listing,
    table: Vec<N>,
    stage: Option<StageId>,
    args: &RunArgs,
    events: UnboundedSender<Event>,
    cancel: Cancel,
) -> Result<Prepared<N>, Failure> {
    let root = &session.pipeline.root;
    let own = session.own_folder()?;
    let changed = match &args.affected {
        Some(base) => Some(changed_files(session, base)?),
        None => None,
    };
    let wanted = Wanted { stage, services: args.service.clone(), without: args.without.clone(), changed };
    let (nodes, presets) =
        select::choose(table, &wanted).map_err(|error| Failure::usage(error.to_string()))?;
    let mut stamps = Stamps::load(own.join("cache/stamps"));
    let active: Vec<&N> = nodes.iter().filter(|node| !presets.contains_key(&node.id())).collect();
    let provisioner = session.provisioner()?;
    let (equipment, missing) = Equipment::at_hand(&active, &provisioner, &session.search(), &mut stamps);
    let this = std::env::current_exe().map_err(|error| Failure::bug(format!("where am I? {error}")))?;
    let own_digest =
        stamps.digest(&this).map_err(|error| Failure::bug(format!("{}: {error}", this.display())))?;
    let files = files.wait().map_err(|error| Failure {
        code: ExitCode::ToolBroke,
        message: error.to_string(),
        hint: Some("is the checkout whole? `git status` says more".to_owned()),
    })?;
    let setup = Setup {
        root: root.clone(),
        own,
        run_id: run_id(),
        command: session.command.clone(),
        limits: session.pipeline.limits.clone(),
        today: session.today,
        base_env: session.child_env(),
        variables: session.variables()?,
        own_digest,
        files,
        stamps,
        capacity: capacity(args.jobs),
        keep_going: args.keep_going,
        redactor: session.redactor.clone(),
        supervisor: session.supervisor.clone(),
        cancel,
        events,
    };
    let planned = Planned::new(setup, nodes).map_err(|error| Failure::bug(error.to_string()))?;
    Ok(Prepared { planned, equipment, provisioner, missing, presets })
}

/// Unique on this machine, and sorted by time.
fn run_id() -> String {
    let now = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC);
    format!("{}-{}", now.strftime("%Y%m%dT%H%M%S%3f"), std::process::id())
}

/// One more stage than there are cores: while one starts or ends, another computes.
fn capacity(jobs: Option<u32>) -> Capacity {
    let cores =
        std::thread::available_parallelism().map_or(1, |count| u32::try_from(count.get()).unwrap_or(1));
    Capacity { cores: jobs.unwrap_or(cores + 1), memory_mib: memory_mib().unwrap_or(4096) }
}

/// The memory that the system can give without swapping, in MiB.
fn memory_mib() -> Option<u32> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    u32::try_from(kib / 1024).ok()
}

/// The files that differ from the merge base, committed or not, untracked ones included.
fn changed_files(session: &Session<'_>, base: &str) -> Result<Vec<String>, Failure> {
    let root = &session.pipeline.root;
    let github = session.ambient.github();
    let base = match (base, github.and_then(|github| github.base_ref)) {
        ("", Some(branch)) => format!("origin/{branch}"),
        ("", None) => "origin/main".to_owned(),
        (named, _) => named.to_owned(),
    };
    let ask = |args: &[&str]| {
        query::ask(root, "git", args, None).map_err(|error| Failure {
            code: ExitCode::Usage,
            message: format!("--affected {base}: {error}"),
            hint: Some("name a commit or branch that is in this clone: `--affected main`".to_owned()),
        })
    };
    let fork =
        String::from_utf8_lossy(&ask(&["merge-base", "--end-of-options", &base, "HEAD"])?).trim().to_owned();
    let mut paths = ask(&["diff", "--name-only", "--no-renames", "--relative", "-z", &fork, "--"])?;
    paths.extend(ask(&["ls-files", "--others", "--exclude-standard", "-z"])?);
    let names = paths.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    Ok(names.map(|name| String::from_utf8_lossy(name).into_owned()).collect())
}

fn new_reporters(session: &Session<'_>, own: &Path, results: Results) -> Reporters {
    let setup = reporters::Setup {
        mode: session.mode,
        color: session.color,
        folder: Some(own.to_owned()),
        step_summary: session.ambient.github().and_then(|github| github.step_summary),
    };
    let out: Box<dyn Write + Send> = match results {
        Results::Stdout => Box::new(io::stdout()),
        Results::Stderr => Box::new(io::stderr()),
    };
    Reporters::new(setup, out, Box::new(io::stderr()))
}

async fn report(mut inbox: UnboundedReceiver<Event>, mut reporters: Reporters) -> Reporters {
    while let Some(event) = inbox.recv().await {
        let last = matches!(event, Event::RunFinished { .. });
        reporters.on(event);
        if last {
            break;
        }
    }
    reporters
}

fn send_progress(events: &UnboundedSender<Event>, step: ToolProgress) {
    let ToolProgress { name, version, phase, done, total, line } = step;
    let mut doing = format!("{phase} {name} {version}");
    if let Some(line) = line {
        doing = format!("{}: {line}", doing.trim_end());
    }
    // Nobody listens any more only when the run is over.
    let _ = events.send(Event::Progress { node: None, doing: doing.trim_end().to_owned(), done, total });
}

/// How many runs keep their logs.
const KEEP_RUNS: usize = 20;

/// Drops the logs of old runs. Another run may be doing the same; whoever comes second finds nothing to do.
fn prune_runs(own: &Path) {
    let Ok(items) = std::fs::read_dir(own.join("runs")) else { return };
    let mut runs: Vec<_> = items.flatten().map(|item| item.path()).collect();
    runs.sort();
    let surplus = runs.len().saturating_sub(KEEP_RUNS);
    for old in runs.drain(..surplus) {
        let _ = std::fs::remove_dir_all(old);
    }
}
