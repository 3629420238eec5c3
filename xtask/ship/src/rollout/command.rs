//! `replay` of a recording: what it would have decided, with other graces if wanted. It reads one file and asks no cluster.

use crate::rollout::replay::replay;
use crate::rollout::rules::{BadGrace, Graces};
use crate::say;
use std::fs::File;
use std::io::Read;
use xtask::cli::ReplayArgs;
use xtask_core::error::ExitCode;

/// How every recording begins.
const BEGINS: &[u8] = b"{\"recording\":";

/// Whether the file that is to be shown is the recording of a rollout.
pub(crate) fn is_recording(args: &ReplayArgs) -> bool {
    let mut begins = [0; BEGINS.len()];
    let file = args.report.as_ref().and_then(|path| File::open(path).ok());
    file.is_some_and(|mut file| file.read_exact(&mut begins).is_ok()) && begins == BEGINS
}

/// Shows what the recording says.
pub(crate) fn show(args: &ReplayArgs) -> ExitCode {
    match judged(args) {
        Ok(text) => {
            say::answer(&text);
            ExitCode::Passed
        }
        Err(message) => {
            say::failure(&message, None);
            ExitCode::Usage
        }
    }
}

fn judged(args: &ReplayArgs) -> Result<String, String> {
    let graces = args.grace.iter().try_fold(Graces::default(), |all, text| Ok(all.and(&text.parse()?)));
    let graces = graces.map_err(|error: BadGrace| error.to_string())?;
    let path = args.report.clone().unwrap_or_default();
    let of_file = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let text = std::fs::read_to_string(&path).map_err(|error| of_file(&error))?;
    let replayed = replay(&text, &graces).map_err(|error| of_file(&error))?;
    Ok(replayed.to_string())
}
