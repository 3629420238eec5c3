//! Slipway's command line and the stages that check: everything that a pull request needs. The Docker engine's client is the only
//! SDK here; stages that touch a cluster or a cloud live in another package, so that checking never waits for their SDKs to compile.
//!
//! - [`cli`]: the words of the command line. - `session`: one repository, opened. - `commands`: one file a command.
//! - [`select`], `equip`: which nodes, with what. - [`stages`]: the table. - [`image`]: building images. - [`generate`]: files
//!   made from the table.

pub mod cli;
mod commands;
mod equip;
pub mod generate;
pub mod image;
pub mod select;
mod session;
pub mod stages;

pub use commands::Failure;

use clap::Parser;
use commands::run::{self, Ended, Results};
use session::Checkout;
use std::io::Write;
use std::sync::Arc;
use xtask_core::config::{Ambient, Pipeline};
use xtask_core::engine::Node;
use xtask_core::error::ExitCode;
use xtask_core::ids::StageId;
use xtask_core::report::RunReport;

/// Runs the command line of this process to its end.
pub fn main(ambient: &Ambient) -> ExitCode {
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to standard output and are no error; clap knows which is which.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::Usage } else { ExitCode::Passed };
        }
    };
    told(block_on(commands::dispatch(cli, ambient)))
}

/// What a table is made from.
#[derive(Debug)]
pub struct Opened<'a> {
    /// The configuration.
    pub pipeline: &'a Arc<Pipeline>,
    /// Whether nothing is let pass that is only good enough for a laptop.
    pub strict: bool,
}

/// Makes what a command itself says out of the report of its run.
pub type Answer = fn(&RunReport) -> Result<String, Failure>;

/// Runs one stage of a command that lives in another package, with all that it waits for: graph, cache, reporters and report are
/// those of every other command. `table` gives the nodes of the graph, and `answer` what the command itself says at the end on
/// standard output; then the reporters leave that alone.
pub fn run_stage<N: Node>(
    cli: &cli::Cli,
    ambient: &Ambient,
    (stage, args): (StageId, &cli::RunArgs),
    table: impl FnOnce(&Opened<'_>) -> Result<Vec<N>, Failure>,
    answer: Option<Answer>,
) -> ExitCode {
    let results = if answer.is_some() { Results::Stderr } else { Results::Stdout };
    told(block_on(async {
        let checkout = Checkout::open(cli, ambient)?;
        let opened = Opened { pipeline: &checkout.session.pipeline, strict: checkout.session.strict };
        let nodes = table(&opened)?;
        let Ended { code, report } = run::run(checkout, nodes, Some(stage), args, results).await?;
        if let Some((answer, report)) = answer.zip(report) {
            commands::say(&answer(&report)?);
        }
        Ok(code)
    }))
}

/// Runs to the end on this thread.
fn block_on(command: impl Future<Output = Result<ExitCode, Failure>>) -> Result<ExitCode, Failure> {
    // Two threads do what blocks: hashing, git. The rest waits for children, and one thread is enough to wait.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(4).build();
    runtime.map_err(|error| Failure::bug(format!("cannot start: {error}")))?.block_on(command)
}

/// The exit code; a failure is told first.
fn told(result: Result<ExitCode, Failure>) -> ExitCode {
    result.unwrap_or_else(|failure| {
        // With standard error gone there is nobody left to tell.
        let _ = writeln!(std::io::stderr(), "error: {}", failure.message);
        if let Some(hint) = &failure.hint {
            let _ = writeln!(std::io::stderr(), "hint: {hint}");
        }
        failure.code
    })
}
