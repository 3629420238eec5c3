//! `replay`: the report of an earlier run, shown again.

use crate::cli::{Cli, ReplayArgs};
use crate::commands::Failure;
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
    let report =
        RunReport::parse(&text).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
    let (mode, color) = appearance(cli.output, ambient);
    reporters::replay(report, mode, color, Box::new(io::stdout()), Box::new(io::stderr()));
    Ok(ExitCode::Passed)
}
