//! Releases: deploy, prove, go back. A release is carried by one state machine (`phase`), remembered in a journal on the cluster, and
//! guarded by a lock; whoever kills it anywhere leaves something that the next run can finish.
//!
//! - `phase`, `guards`, `plan`, `approved`: pure. - `journal`, `lock`: on the cluster. - `facts`, `trial`, `registry`: what guards look at.
//! - `open`: one release, opened. - `drive`: from a phase to the end; `ladder`, `freeze`: the way back. - `prove`: the doors to the rollout.
//! - `deploy`, `promote`, `rollback`, `recover`, `status`, `diff`: commands. - `report`, `tell`, `clock`, `error`: words, time, faults.

mod approved;
mod clock;
mod deploy;
mod diff;
mod drive;
mod error;
mod facts;
mod freeze;
mod guards;
mod journal;
mod ladder;
mod lock;
mod objects;
mod open;
mod phase;
mod plan;
mod promote;
mod prove;
mod recover;
mod registry;
mod report;
mod rollback;
mod status;
mod tell;
mod trial;

use crate::say;
use deploy::Image;
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

#[expect(clippy::wildcard_enum_match_arm, reason = "every other command is the light binary's")]
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
    let cancel =
        xtask::signals::listen(|_| {}).map_err(|error| ReleaseError::Bug(format!("no signals: {error}")))?;
    let pipeline = open::pipeline(cli)?;
    let redactor = open::redactor(&pipeline, ambient)?;
    let supervisor = Supervisor::new(redactor.clone());
    let result = command(cli, args, ambient, pipeline, &supervisor, redactor, cancel).await;
    supervisor.shutdown().await;
    result
}

#[expect(clippy::wildcard_enum_match_arm, reason = "`args` has let no other command come so far")]
async fn command(
    cli: &Cli,
    args: &ReleaseArgs,
    ambient: &Ambient,
    pipeline: Pipeline,
    supervisor: &Supervisor,
    redactor: Redactor,
    cancel: Cancel,
) -> Result<ExitCode, ReleaseError> {
    let open = |env: &str| {
        let args = ReleaseArgs { env: env.to_owned(), ..args.clone() };
        Cx::open(
            pipeline.clone(),
            args,
            ambient.clone(),
            supervisor.clone(),
            redactor.clone(),
            cancel.clone(),
        )
    };
    let cx = open(&args.env).await?;
    let ending = match &cli.command {
        Command::Deploy(words) => {
            let image = match (&words.digest, &cx.env.promoted_from) {
                (digest, Some(before)) => Some(promoted(&cx, &open(before).await?, digest.as_deref()).await?),
                (Some(digest), None) => Some(Image { digest: digest.clone(), proven_before: None }),
                (None, None) => cx.built().map(|digest| Image { digest, proven_before: None }),
            };
            release(&cx, args, image.as_ref(), words.dry_run).await?
        }
        Command::Promote(words) => {
            let before = cx.env.promoted_from.clone().ok_or_else(|| {
                ReleaseError::Usage(format!(
                    "environments.{}: nothing says what it is `promoted_from`",
                    args.env
                ))
            })?;
            let image = promoted(&cx, &open(&before).await?, None).await?;
            release(&cx, args, Some(&image), words.dry_run).await?
        }
        Command::Rollback(words) => Some(rollback::rollback(&cx, words.to).await?),
        Command::Recover(words) => {
            let word = match (words.resume, words.r#override) {
                (true, _) => Word::Resume,
                (false, true) => Word::Override,
                (false, false) => Word::None,
            };
            let ending = recover::recover(&cx, word).await?;
            if ending.is_none() {
                cx.tell.line("nothing is unfinished");
            }
            ending
        }
        Command::Status(_) => {
            let status = status::status(&cx).await?;
            if args.json {
                cx.tell.json(&status);
            } else {
                cx.tell.answer(&status.text());
            }
            None
        }
        Command::Diff(words) => {
            let built = words.digest.clone().or_else(|| cx.built());
            cx.tell.answer(&diff::diff(&cx, built.as_deref()).await?);
            None
        }
        _ => return Err(ReleaseError::Bug("a command without code".to_owned())),
    };
    let Some(ending) = ending else { return Ok(ExitCode::Passed) };
    if args.json {
        cx.tell.json(&ending);
    }
    report::write(&cx, &ending);
    Ok(ExitCode::of(ending.exit_code))
}

/// The image that the environment before has proven; the one that was asked for must be that one.
async fn promoted(cx: &Cx, before: &Cx, asked: Option<&str>) -> Result<Image, ReleaseError> {
    let journal = cx.journal().await?;
    let promote::Proven { digest, at } = promote::proven(before, journal.record()).await?;
    match asked.filter(|asked| *asked != digest) {
        Some(asked) => Err(ReleaseError::Refused(vec![promote::other(&before.env_name, &digest, asked)])),
        None => Ok(Image { digest, proven_before: Some(at) }),
    }
}

async fn release(
    cx: &Cx,
    args: &ReleaseArgs,
    image: Option<&Image>,
    dry_run: bool,
) -> Result<Option<Ending>, ReleaseError> {
    if !dry_run {
        return deploy::deploy(cx, image).await.map(Some);
    }
    let plan = deploy::dry_run(cx, image).await?;
    if args.json {
        cx.tell.json(&plan);
    } else {
        cx.tell.answer(&plan.text());
    }
    Ok(None)
}
