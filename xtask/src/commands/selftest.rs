//! `selftest`: the project's own tests, all of them: `cargo test` over the workspace, with those that need real tools.

use crate::commands::Failure;
use crate::session::Session;
use xtask_core::error::ExitCode;
use xtask_core::process;

/// Becomes `cargo test`, so that its closing lines, its signals and its exit code are cargo's own. In CI one failure does not hide the
/// next: nobody is there to start it again.
pub(super) async fn selftest(session: &Session<'_>) -> Result<ExitCode, Failure> {
    let mut args = vec![
        "test",
        "--workspace",
        "--locked",
        "--features",
        "xtask/real-tools,xtask-ship/real-tools,app/faults",
    ];
    if session.ambient.ci() {
        args.push("--no-fail-fast");
    }
    let error = process::replace(&session.pipeline.root, "cargo", &args);
    Err(Failure {
        code: ExitCode::ToolMissing,
        message: format!("cannot run cargo: {error}"),
        hint: Some("selftest runs inside Slipway's own checkout, with Rust on PATH".to_owned()),
    })
}
