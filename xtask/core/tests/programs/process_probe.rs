//! The smallest program with a supervisor, for tests that need one to be stopped or killed from outside.
//!
//! `process-probe PROGRAM ARG…` runs one child and ends with its code: 130 if it was stopped by SIGINT or SIGTERM. Its lines are
//! printed. As every binary with a supervisor, it is its own guard.

use std::process::ExitCode;
use xtask_core::process::signals;
use xtask_core::process::{Command, Exit, GUARD_ARGUMENT, Supervisor, guard};
use xtask_core::redact::Redactor;

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    match args.split_first() {
        Some((first, _)) if first == GUARD_ARGUMENT => guard::main(),
        Some((program, args)) => {
            let mut command = Command::new(program, "/");
            command.args = args.to_vec();
            #[expect(clippy::disallowed_methods, reason = "the probe passes its environment on")]
            command.env.extend(std::env::vars_os());
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.map_or(ExitCode::from(70), |runtime| runtime.block_on(run(command)))
        }
        None => ExitCode::from(2),
    }
}

async fn run(command: Command) -> ExitCode {
    let Ok(cancel) = signals::listen(|_| {}) else {
        return ExitCode::from(70);
    };
    let supervisor = Supervisor::new(Redactor::default());
    #[expect(clippy::print_stdout, reason = "the probe is its own reporter")]
    let finished = supervisor.run(command, None, &cancel, |_, line| println!("{line}")).await;
    supervisor.shutdown().await;
    match finished.map(|finished| finished.exit) {
        Ok(Exit::Code(code)) => ExitCode::from(u8::try_from(code).unwrap_or(20)),
        Ok(Exit::Signal(_)) | Err(_) => ExitCode::from(20),
        Ok(Exit::TimedOut) => ExitCode::from(30),
        Ok(Exit::Cancelled) => ExitCode::from(130),
    }
}
