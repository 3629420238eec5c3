//! The full binary of Slipway: what the light one does, and the commands that touch the world outside of a checkout. Those are here,
//! so that checking never waits for their dependencies to compile.
//!
//! - [`cluster`]: the only place that names the client of Kubernetes for rollouts. - [`rollout`]: whether what was applied works,
//!   known in seconds. - `release`: deploy, prove, go back. - `helm`: what applies.
//! - `push`: images to a registry. - `github`, `aws`: the only places that name those clients. - `net`: addresses. - `lab`: a real Kubernetes on one Linux machine.
//! - `say`: what commands show.

mod aws;
pub mod cluster;
mod github;
mod helm;
mod lab;
mod net;
mod push;
mod release;
pub mod rollout;
mod say;

use clap::Parser;
use xtask::cli::{Cli, Command};
use xtask_core::config::Ambient;
use xtask_core::error::ExitCode;

/// Runs the command line of this process to its end.
pub fn main(ambient: &Ambient) -> ExitCode {
    match &Cli::try_parse() {
        Ok(Cli { command: Command::Lab(command), .. }) => lab::main(command, ambient),
        Ok(cli @ Cli { command: Command::Push(args), .. }) => push::main(cli, args, ambient),
        Ok(Cli { command: Command::Replay(args), .. }) if rollout::is_recording(args) => rollout::show(args),
        // Every other command, and the words for a wrong one, are the light binary's.
        Ok(cli) => release::main(cli, ambient).unwrap_or_else(|| xtask::main(ambient)),
        Err(_) => xtask::main(ambient),
    }
}
