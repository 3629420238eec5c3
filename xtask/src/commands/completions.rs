//! `completions`: for the shell that asks.

use crate::cli::Cli;
use crate::commands::say;
use clap::CommandFactory;
use xtask_core::error::ExitCode;

/// Prints the completions of a shell.
pub(super) fn completions(shell: clap_complete::Shell) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "xtask", &mut script);
    say(&String::from_utf8_lossy(&script));
    ExitCode::Passed
}
