//! Releases: deploy, prove, go back. A release is carried by one state machine (`phase`), remembered in a journal on the cluster, and
//! guarded by a lock; whoever kills it anywhere leaves something that the next run can finish.
//!
//! - `phase`, `guards`, `plan`, `approved`: pure. - `journal`, `lock`: on the cluster. - `facts`, `trial`, `registry`: what guards look at.
//! - `open`: one release, opened. - `drive`: from a phase to the end. - `prove`: the doors to the rollout.
//! - `deploy`, `recover`: commands. - `tell`, `clock`, `error`: words, time, faults.

mod approved;
mod clock;
mod deploy;
mod drive;
mod error;
mod facts;
mod guards;
mod journal;
mod lock;
mod objects;
mod open;
mod phase;
mod plan;
mod prove;
mod recover;
mod registry;
mod tell;
mod trial;

use crate::say;
use drive::Ending;
use error::ReleaseError;
use open::Cx;
use recover::Word;
use std::time::Duration;
use xtask::cli::{Cli, Command, ReleaseArgs};
use xtask_core::cancel::Cancel;
use xtask_core::config::{Ambient, Pipeline};
use xtask_core::error::ExitCode;
use xtask_core::process::Supervisor;
use xtask_core::redact::Redactor;

/// Runs one of the commands that release. None if the command line means another one.
pub(crate) fn main(cli: &Cli, ambient: &Ambient) -> Option<ExitCode> {
    let args = args(&cli.command)?;
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            say::failure(&format!("cannot start: {error}"), None);
            return Some(ExitCode::OurBug);
        }
    };
    let result = runtime.block_on(run(cli, args, ambient));
    // A question at the terminal may still wait for its answer.
    runtime.shutdown_timeout(Duration::ZERO);
    Some(result.unwrap_or_else(|error| {
        say::failure(&error.to_string(), error.hint(&args.env).as_deref());
        error.code()
    }))
}

fn args(command: &Command) -> Option<&ReleaseArgs> {
    match command {
        Command::Deploy(args) | Command::Diff(args) => Some(&args.release),
        Command::Promote(args) => Some(&args.release),
        Command::Rollback(args) => Some(&args.release),
        Command::Recover(args) => Some(&args.release),
        Command::Status(args) => Some(args),
        _ => None,
    }
}

async fn run(cli: &Cli, args: &ReleaseArgs, ambient: &Ambient) -> Result<ExitCode, ReleaseError> {
    let cancel = open::listen().map_err(|error| ReleaseError::Bug(format!("no signals: {error}")))?;
    let pipeline = open::pipeline(cli)?;
    let redactor = open::redactor(&pipeline, ambient)?;
    let supervisor = Supervisor::new(redactor.clone());
    let result = command(cli, args, ambient, pipeline, &supervisor, redactor, cancel).await;
    supervisor.shutdown().await;
    result
}

async fn command(
    cli: &Cli,
    args: &ReleaseArgs,
    ambient: &Ambient,
    pipeline: Pipeline,
    supervisor: &Supervisor,
    redactor: Redactor,
    cancel: Cancel,
) -> Result<ExitCode, ReleaseError> {
    let cx = Cx::open(pipeline, args, ambient, supervisor.clone(), redactor, cancel).await?;
    let ending = match &cli.command {
        Command::Deploy(deploy) if deploy.dry_run => {
            let plan = deploy::dry_run(&cx, deploy.digest.as_deref()).await?;
            if args.json {
                cx.tell.json(&plan)
            } else {
                cx.tell.answer(&plan.text())
            }
            return Ok(ExitCode::Passed);
        }
        Command::Deploy(deploy) => Some(deploy::deploy(&cx, deploy.digest.as_deref()).await?),
        Command::Recover(words) => {
            let word = match (words.resume, words.r#override) {
                (true, _) => Word::Resume,
                (false, true) => Word::Override,
                (false, false) => Word::None,
            };
            recover::recover(&cx, word).await?
        }
        _ => return Err(ReleaseError::Bug("a command without code".to_owned())),
    };
    Ok(finish(&cx, args, ending))
}

fn finish(cx: &Cx, args: &ReleaseArgs, ending: Option<Ending>) -> ExitCode {
    match ending {
        Some(ending) => {
            if args.json {
                cx.tell.json(&ending);
            }
            ExitCode::of(ending.exit_code)
        }
        None => {
            cx.tell.line("nothing is unfinished");
            ExitCode::Passed
        }
    }
}
