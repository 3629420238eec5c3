//! `replay`: the report of an earlier run, shown again. Recordings of rollouts are the full binary's.

use crate::cli::{Cli, ReplayArgs};
use crate::commands::{Failure, ship};
use crate::session::{Session, appearance};
use std::io;
use xtask_core::config::Ambient;
use xtask_core::error::ExitCode;
use xtask_core::report::RunReport;
use xtask_core::reporters;

/// Shows a report. A named file needs no repository around it.
pub(super) fn replay(cli: &Cli, ambient: &Ambient, args: &ReplayArgs) -> Result<ExitCode, Failure> {
    let path = match &args.report {
        Some(path) => path.clone(),
        None => Session::open(cli, ambient)?.pipeline.root.join(reporters::REPORT),
    };
    let text = std::fs::read_to_string(&path).map_err(|error| Failure {
        code: ExitCode::Usage,
        message: format!("cannot read {}: {error}", path.display()),
        hint: Some("`cargo xtask pr-checks` writes a report".to_owned()),
    })?;
    // What was recorded of a rollout is judged where the rules are.
    if text.starts_with("{\"recording\":") {
        return ship::become_full();
    }
    if let Some(grace) = args.grace.first() {
        let message =
            format!("{}: no recording of a rollout, so `--grace {grace}` says nothing", path.display());
        return Err(Failure::usage(message));
    }
    let report =
        RunReport::parse(&text).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
    let (mode, color) = appearance(cli.output, ambient);
    reporters::replay(report, mode, color, Box::new(io::stdout()), Box::new(io::stderr()));
    Ok(ExitCode::Passed)
}
