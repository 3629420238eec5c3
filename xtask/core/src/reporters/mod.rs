//! The only place that writes to the terminal. Each reporter turns the event stream or a report into bytes.
//!
//! What lasts goes to standard output and is a pure function of the report, stages in the order in which they ended; so
//! [`replay`] shows the same bytes. What only lives while the run lives (progress, "still running") goes to standard error, and
//! nobody needs it to understand the result.
//!
//! A reporter that cannot write (a reader that went away, a full disk) never stops a run. Only a `report.json` that could not be
//! written changes what the run returns.

mod bars;
mod block;
mod file;
mod github;
pub mod job;
mod jsonl;
mod junit;
mod markdown;
mod pulse;
mod sarif;
mod sink;
mod summary;
mod text;

pub use file::WriteError;

use crate::error::ExitCode;
use crate::event::Event;
use crate::ids::NodeId;
use crate::report::{OutcomeKind, RunInfo, RunReport, SCHEMA, StageRecord};
use bars::Bars;
use pulse::Pulse;
use sink::{Out, Sink};
use std::io::Write;
use std::path::PathBuf;
use text::Ink;

/// Where a run leaves its report, relative to the root.
pub const REPORT: &str = "target/xtask/report.json";
/// Where a run leaves all findings, relative to the root.
pub const FINDINGS: &str = "target/xtask/findings.sarif";

/// How a run is shown. The lasting text of `Terminal` and `Plain` is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// For a person at a terminal: what runs moves on standard error, which must be one (see [`Mode::fitting`]).
    Terminal,
    /// For a log file: lines only.
    Plain,
    /// For the log of a GitHub Actions step: groups, annotations, step summary.
    Github,
    /// For programs: every event as a line of JSON.
    Jsonl,
}

impl Mode {
    /// Every mode, in the order in which help lists them.
    pub const ALL: [Mode; 4] = [Mode::Terminal, Mode::Plain, Mode::Github, Mode::Jsonl];

    /// The name on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Mode::Terminal => "terminal",
            Mode::Plain => "plain",
            Mode::Github => "github",
            Mode::Jsonl => "jsonl",
        }
    }

    /// The mode that fits the place, given what was asked for, if anything. `stderr_is_terminal` is false for one that cannot move
    /// its cursor (`TERM=dumb`). Bars in a file help nobody: without a terminal, `Terminal` is `Plain`, which leaves the same text.
    pub const fn fitting(asked: Option<Mode>, in_github_actions: bool, stderr_is_terminal: bool) -> Mode {
        match (asked, in_github_actions, stderr_is_terminal) {
            (Some(Mode::Terminal), _, false) => Mode::Plain,
            (Some(mode), _, _) => mode,
            (None, true, _) => Mode::Github,
            (None, false, true) => Mode::Terminal,
            (None, false, false) => Mode::Plain,
        }
    }
}

/// How and where a run is shown and kept.
#[derive(Debug, Clone)]
pub struct Setup {
    /// How it is shown.
    pub mode: Mode,
    /// Whether text for people is coloured: standard output is a terminal and nobody set `NO_COLOR`.
    pub color: bool,
    /// The folder for `report.json`, `findings.sarif` and `junit.xml`; none in a replay.
    pub folder: Option<PathBuf>,
    /// The file that GitHub names in `GITHUB_STEP_SUMMARY`; only [`Mode::Github`] appends to it. None in a replay.
    pub step_summary: Option<PathBuf>,
}

enum Screen {
    Terminal(Ink, Bars),
    Plain(Ink, Pulse),
    Github(Pulse),
    Jsonl,
}

impl Screen {
    fn new(mode: Mode, color: bool, out: &Out) -> Self {
        match mode {
            Mode::Terminal => Screen::Terminal(Ink(color), Bars::new(out.stderr.clone())),
            Mode::Plain => Screen::Plain(Ink(color), Pulse::default()),
            Mode::Github => Screen::Github(Pulse::default()),
            Mode::Jsonl => Screen::Jsonl,
        }
    }

    /// What lasts of a stage.
    fn stage(&self, record: &StageRecord) -> String {
        match self {
            Screen::Terminal(ink, _) | Screen::Plain(ink, _) => block::text(record, *ink),
            Screen::Github(_) => github::stage(record),
            Screen::Jsonl => String::new(),
        }
    }

    /// What lasts of the whole.
    fn end(&self, report: &RunReport) -> String {
        match self {
            Screen::Terminal(ink, _) | Screen::Plain(ink, _) => summary::text(report, *ink),
            Screen::Github(_) => github::end(report),
            Screen::Jsonl => String::new(),
        }
    }

    /// What an event changes for those who watch.
    fn live(&mut self, event: &Event, out: &Out) {
        match self {
            Screen::Terminal(_, bars) => bars.on(event),
            Screen::Plain(_, pulse) | Screen::Github(pulse) => {
                if let Some(line) = pulse.line(event) {
                    out.stderr.put(&line);
                }
            }
            Screen::Jsonl => out.stdout.put(&jsonl::line(event)),
        }
    }

    fn put(&self, text: &str, out: &Out) {
        match self {
            Screen::Terminal(_, bars) => bars.above(&out.stdout, text),
            Screen::Plain(..) | Screen::Github(_) | Screen::Jsonl => out.stdout.put(text),
        }
    }
}

/// Everything that listens to a run. Takes every event in order, then [`finish`](Reporters::finish).
pub struct Reporters {
    setup: Setup,
    screen: Screen,
    out: Out,
    stages: Vec<StageRecord>,
    ended: Option<Ended>,
}

struct Ended {
    report: RunReport,
    written: Result<(), WriteError>,
    others: Vec<WriteError>,
}

/// Why there is no report of a run.
#[derive(Debug, thiserror::Error)]
pub enum FinishError {
    /// It could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The run stopped without an end.
    #[error("the run stopped without saying how it ended; this is a fault of xtask, please report it")]
    NoEnd,
}

impl FinishError {
    /// The exit code that this asks for; the run's own may be worse.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            FinishError::Write(error) => error.exit_code(),
            FinishError::NoEnd => ExitCode::OurBug,
        }
    }
}

impl Reporters {
    /// Reporters that write to the given outputs. Nothing is written before the first event.
    pub fn new(setup: Setup, stdout: Box<dyn Write + Send>, stderr: Box<dyn Write + Send>) -> Self {
        let out = Out { stdout: Sink::new(stdout), stderr: Sink::new(stderr) };
        let screen = Screen::new(setup.mode, setup.color, &out);
        Reporters { setup, screen, out, stages: Vec::new(), ended: None }
    }

    /// Takes the next event.
    pub fn on(&mut self, event: Event) {
        // The files come first, so that they are there when the end of the run is read.
        let ended = if let Event::RunFinished { run } = &event { Some(self.keep(run.clone())) } else { None };
        self.screen.live(&event, &self.out);
        if let Event::StageFinished { record } = event {
            self.screen.put(&self.screen.stage(&record), &self.out);
            self.stages.push(*record);
        } else if let Some(ended) = ended {
            self.screen.put(&self.screen.end(&ended.report), &self.out);
            self.ended = Some(ended);
        }
    }

    /// Writes the files of a run.
    fn keep(&mut self, run: RunInfo) -> Ended {
        let report =
            RunReport { schema: SCHEMA, run, stages: std::mem::take(&mut self.stages), releases: Vec::new() };
        let mut written = Ok(());
        let mut others = Vec::new();
        if let Some(folder) = &self.setup.folder {
            let files = file::write(folder, &report);
            written = files.report;
            others.extend(files.others);
        }
        if let (Mode::Github, Some(path)) = (self.setup.mode, &self.setup.step_summary) {
            let space =
                |size: u64| markdown::LIMIT.saturating_sub(usize::try_from(size).unwrap_or(usize::MAX));
            others.extend(file::append(path, |size| markdown::text(&report, space(size))).err());
        }
        Ended { report, written, others }
    }

    /// The report of the run. Says once, on standard error, what could not be written; a missing `report.json` is the caller's
    /// to tell.
    pub fn finish(self) -> Result<RunReport, FinishError> {
        let Some(Ended { report, written, others }) = self.ended else {
            return Err(FinishError::NoEnd);
        };
        for error in others {
            self.out.stderr.put(&format!("note: {error}\n"));
        }
        if let Some(fault) = self.out.stdout.fault() {
            let hint = if self.setup.folder.is_some() { "; cargo xtask replay shows all of it" } else { "" };
            let note = format!("note: standard output stopped early: {fault}{hint}\n");
            self.out.stderr.put(&note);
        }
        written?;
        Ok(report)
    }
}

/// Shows a report again, with the same bytes on standard output as the run itself. Writes no files.
pub fn replay(
    report: RunReport,
    mode: Mode,
    color: bool,
    stdout: Box<dyn Write + Send>,
    stderr: Box<dyn Write + Send>,
) {
    let setup = Setup { mode, color, folder: None, step_summary: None };
    let mut reporters = Reporters::new(setup, stdout, stderr);
    reporters.on(Event::RunStarted {
        schema: report.schema,
        run: report.run.id.clone(),
        command: report.run.command.clone(),
        nodes: report.stages.iter().map(node).collect(),
        expected_ms: None,
    });
    for record in report.stages {
        reporters.on(Event::StageFinished { record: Box::new(record) });
    }
    reporters.on(Event::RunFinished { run: report.run });
    // Without files there is nothing that could fail the replay; a reader that went away was told on standard error.
    drop(reporters.finish());
}

/// The node that a record is about.
fn node(record: &StageRecord) -> NodeId {
    NodeId { stage: record.id, service: record.service.clone() }
}

/// Whether this stage went wrong by itself. One that was stopped says nothing about the code.
fn failed(record: &StageRecord) -> bool {
    match record.outcome {
        OutcomeKind::Rejected | OutcomeKind::Broke | OutcomeKind::TimedOut => true,
        OutcomeKind::Passed | OutcomeKind::Cancelled | OutcomeKind::Skipped => false,
    }
}
