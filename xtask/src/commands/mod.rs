//! The commands, one file each, and the one `match` that leads to them.

mod completions;
mod doctor;
mod generate;
mod plan;
mod replay;
pub(crate) mod run;
mod selftest;
mod ship;
mod tools;
mod why;

use crate::cli::{Cli, Command};
use crate::session::{Checkout, Session};
use std::io::Write;
use xtask_core::config::Ambient;
use xtask_core::error::{ExitCode, StageError};
use xtask_core::ids::StageId;

/// Why a command could not do its work. What a run found is not a failure of the command; that is its exit code.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub code: ExitCode,
    /// What failed, on which input.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
}

impl Failure {
    /// The command line or the configuration is wrong.
    pub fn usage(message: String) -> Self {
        Failure { code: ExitCode::Usage, message, hint: None }
    }

    /// A fault of this program.
    pub fn bug(message: String) -> Self {
        Failure { code: ExitCode::OurBug, message, hint: None }
    }
}

impl From<StageError> for Failure {
    fn from(error: StageError) -> Self {
        Failure { code: error.exit_code(), message: error.to_string(), hint: error.hint() }
    }
}

/// Writes a command's own text. A reader that went away is no failure: it has what it wanted.
pub(crate) fn say(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// Writes a warning beside whatever a command shows.
fn warn(text: &str) {
    let _ = writeln!(std::io::stderr(), "warning: {text}");
}

/// Does what the command line says.
pub(crate) async fn dispatch(cli: Cli, ambient: &Ambient) -> Result<ExitCode, Failure> {
    let open = || Session::open(&cli, ambient);
    let checkout = || Checkout::open(&cli, ambient);
    let stage = |stage, args| async move { run::checks(checkout()?, Some(stage), args).await };
    match &cli.command {
        Command::PrChecks(args) => run::checks(checkout()?, None, args).await,
        Command::Lint(args) => stage(StageId::Lint, args).await,
        Command::Test(args) => stage(StageId::Test, args).await,
        Command::Build(args) => stage(StageId::Build, args).await,
        Command::Sbom(args) => stage(StageId::Sbom, args).await,
        Command::Scan(args) => stage(StageId::Scan, args).await,
        Command::Secrets(args) => stage(StageId::Secrets, args).await,
        Command::Dockerfile(args) => stage(StageId::Dockerfile, args).await,
        Command::Chart(args) => stage(StageId::Chart, args).await,
        Command::Terraform(args) => stage(StageId::Terraform, args).await,
        Command::Iac(args) => stage(StageId::Iac, args).await,
        Command::Ansible(args) => stage(StageId::Ansible, args).await,
        Command::Workflows(args) => stage(StageId::Workflows, args).await,
        Command::Plan(args) => plan::plan(checkout()?, args).await,
        Command::Why(args) => why::why(checkout()?, args).await,
        Command::Replay(args) => replay::replay(&cli, ambient, args),
        Command::Doctor => doctor::doctor(&open()?).await,
        Command::Tools(command) => tools::tools(&open()?, command).await,
        Command::Generate(args) => generate::generate(&open()?, args),
        Command::Deploy(_)
        | Command::Promote(_)
        | Command::Rollback(_)
        | Command::Recover(_)
        | Command::Smoke(_)
        | Command::Status(_)
        | Command::Diff(_)
        | Command::Lab(_)
        | Command::Push(_) => ship::become_full(),
        Command::Selftest => selftest::selftest(&open()?).await,
        Command::Completions { shell } => Ok(completions::completions(*shell)),
    }
}
