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
mod signals;
pub mod stages;

use clap::Parser;
use std::io::Write;
use xtask_core::config::Ambient;
use xtask_core::error::ExitCode;

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
    // Two threads do what blocks: hashing, git. The rest waits for children, and one thread is enough to wait.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(4).build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(commands::dispatch(cli, ambient)),
        Err(error) => Err(commands::Failure::bug(format!("cannot start: {error}"))),
    };
    result.unwrap_or_else(|failure| {
        // With standard error gone there is nobody left to tell.
        let _ = writeln!(std::io::stderr(), "error: {}", failure.message);
        if let Some(hint) = &failure.hint {
            let _ = writeln!(std::io::stderr(), "hint: {hint}");
        }
        failure.code
    })
}
