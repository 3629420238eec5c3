//! Starting what outlives the command: the machines of a lab. Everything else goes through `host` and ends with the command.
//!
//! The program that is started here ends at once. What it leaves running is in a control group of the lab from its first moment,
//! where `down` finds it whatever happens to the command.

use super::error::LabError;
use std::path::Path;
use std::process::{Command, Stdio};

/// Starts a machine from its specification and waits until its programs are being started.
pub(super) fn start(launcher: &Path, spec: &Path) -> Result<(), LabError> {
    #[expect(clippy::disallowed_methods, reason = "what outlives the command cannot be under its guard")]
    let mut command = Command::new(launcher);
    command.arg("start").arg(spec).arg(std::process::id().to_string()).stdin(Stdio::null()).env_clear();
    let output = command.output();
    let what = || format!("cannot start the machine of {}", spec.display());
    let output = output.map_err(|error| LabError::broke(what(), &error))?;
    if output.status.success() {
        return Ok(());
    }
    let log = spec.with_file_name("log").join("machine.log");
    let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(LabError::Broke { what: what(), why, log: log.exists().then_some(log) })
}
