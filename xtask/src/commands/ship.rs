//! Commands of the full binary: built once, visibly, by cargo, which then becomes it.

use crate::commands::{Failure, warn};
use std::ffi::OsString;
use std::path::Path;
use xtask_core::error::ExitCode;
use xtask_core::process;

/// Becomes the full binary, with the same words on the command line.
pub(super) fn become_full() -> Result<ExitCode, Failure> {
    let mut args: Vec<OsString> = ["run", "--locked", "--package", "xtask-ship"].map(OsString::from).into();
    let sibling = std::env::current_exe().map(|this| this.with_file_name("xtask-ship"));
    if sibling.is_ok_and(|sibling| sibling.exists()) {
        args.push("--quiet".into());
    } else {
        warn("building xtask-ship, once");
    }
    args.push("--".into());
    args.extend(std::env::args_os().skip(1));
    // Where cargo finds the workspace; the working directory stays, because paths on the command line count from it.
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("ship/Cargo.toml");
    args.splice(1..1, ["--manifest-path".into(), manifest.into_os_string()]);
    let error = process::replace(Path::new("."), "cargo", &args);
    Err(Failure {
        code: ExitCode::ToolMissing,
        message: format!("cannot run cargo: {error}"),
        hint: Some("this command is compiled when it is first used, with Rust on PATH".to_owned()),
    })
}
