//! Releases: deploy, prove, go back. A release is carried by one state machine (`phase`), remembered in a journal on the cluster, and
//! guarded by a lock; whoever kills it anywhere leaves something that the next run can finish.
//!
//! - `phase`, `guards`, `plan`, `review`: pure. - `journal`, `lock`: on the cluster. - `facts`, `trial`, `cloud`: what guards look at.
//! - `approved`: who may; `handover`: what a plan leaves for those who do.
//! - `open`: one release, opened. - `drive`: from a phase to the end; `ladder`, `freeze`: the way back. - `prove`: the doors to the rollout.
//! - `deploy`, `promote`, `rollback`, `recover`, `smoke`, `status`, `diff`: commands. - `set`: several releases as one.
//! - `report`, `tell`, `clock`, `error`: words, time, faults.

mod approved;
mod clock;
mod cloud;
mod deploy;
mod diff;
mod drive;
mod error;
mod facts;
mod freeze;
mod guards;
mod handover;
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
mod report;
mod review;
mod rollback;
mod set;
mod smoke;
mod status;
mod tell;
mod trial;

use crate::say;
use approved::Approvable;
use deploy::Image;
use drive::Ending;
use error::ReleaseError;
use open::{Cx, Opener};
use recover::Word;
use std::sync::Arc;
use std::time::Duration;
use xtask::cli::{Cli, Command, ReleaseArgs};
use xtask_core::config::Ambient;
use xtask_core::error::ExitCode;
use xtask_core::process::Supervisor;

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
    let place = match (set::words(&cli.command), &args.service) {
        (Some(_), _) => format!("{} --set", args.env),
        (None, Some(service)) => format!("{} --service {service}", args.env),
        (None, None) => args.env.clone(),
    };
    Some(result.unwrap_or_else(|error| {
        say::failure(&error.to_string(), error.hint(&place).as_deref());
        error.code()
    }))
}

#[expect(clippy::wildcard_enum_match_arm, reason = "every other command is the light binary's")]
fn args(command: &Command) -> Option<&ReleaseArgs> {
    match command {
        Command::Deploy(args) => Some(&args.release),
        Command::Diff(args) => Some(&args.release),
        Command::Promote(args) => Some(&args.release),
        Command::Rollback(args) => Some(&args.release),
        Command::Recover(args) => Some(&args.release),
        Command::Smoke(args) => Some(args),
        Command::Status(args) => Some(&args.release),
        _ => None,
    }
}

async fn run(cli: &Cli, args: &ReleaseArgs, ambient: &Ambient) -> Result<ExitCode, ReleaseError> {
    let cancel = xtask_core::process::signals::listen(|_| {})
        .map_err(|error| ReleaseError::Bug(format!("no signals: {error}")))?;
    let pipeline = Arc::new(open::pipeline(cli)?);
    let redactor = open::redactor(&pipeline, ambient)?;
    let supervisor = Supervisor::new(redactor.clone());
    let opener =
        Opener { pipeline, ambient: ambient.clone(), supervisor: supervisor.clone(), redactor, cancel };
    let result = match set::words(&cli.command) {
        Some(words) => set::command(&opener, args, words).await,
        None => command(cli, args, &opener).await,
    };
    supervisor.shutdown().await;
    result
}

#[expect(clippy::wildcard_enum_match_arm, reason = "`args` has let no other command come so far")]
async fn command(cli: &Cli, args: &ReleaseArgs, opener: &Opener) -> Result<ExitCode, ReleaseError> {
    let service = open::one(&opener.pipeline, args.service.as_ref())?;
    let cx = opener.open(&args.env, &service).await?;
    let ending = match &cli.command {
        Command::Deploy(words) => {
            let image = match (&words.digest, &cx.env.promoted_from) {
                (digest, Some(before)) => {
                    let before = opener.open(before, &service).await?;
                    Some(promoted(&cx, &before, digest.as_deref()).await?)
                }
                (Some(digest), None) => Some(Image { digest: digest.clone(), proven_before: None }),
                (None, None) => cx.built().map(|digest| Image { digest, proven_before: None }),
            };
            release(&cx, args, image.as_ref(), how(words.dry_run, words.plan.as_deref())).await?
        }
        Command::Promote(words) => {
            let before = opener.open(open::promoted_from(&cx)?, &service).await?;
            let image = promoted(&cx, &before, None).await?;
            release(&cx, args, Some(&image), how(words.dry_run, words.plan.as_deref())).await?
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
        Command::Smoke(_) => {
            let smoke = smoke::smoke(&cx).await?;
            if args.json {
                cx.tell.json(&smoke);
            } else {
                cx.tell.answer(&format!("{}\n", smoke.summary));
            }
            report::write(&cx, smoke.exit_code, smoke.duration_ms, vec![smoke.record()]);
            return Ok(ExitCode::of(smoke.exit_code));
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
    report::write(&cx, ending.exit_code, ending.duration_ms, vec![ending.record()]);
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

/// Whether a plan is carried out or only made.
#[derive(Debug, Clone, Copy)]
enum How<'a> {
    /// It is made, shown and left for others.
    Plan,
    /// It is carried out; if a plan was shown before, that very one.
    Do { shown: Option<&'a str> },
}

/// A plan for programs.
#[derive(serde::Serialize)]
struct Shown<'a, P> {
    /// What `--plan` takes.
    digest: String,
    #[serde(flatten)]
    plan: &'a P,
}

fn how(dry_run: bool, shown: Option<&str>) -> How<'_> {
    if dry_run { How::Plan } else { How::Do { shown } }
}

async fn release(
    cx: &Cx,
    args: &ReleaseArgs,
    image: Option<&Image>,
    how: How<'_>,
) -> Result<Option<Ending>, ReleaseError> {
    if let How::Do { shown } = how {
        return deploy::deploy(cx, image, shown).await.map(Some);
    }
    let plan = deploy::dry_run(cx, image).await?;
    handover::leave(cx, &plan)?;
    if args.json {
        cx.tell.json(&Shown { digest: plan.digest(), plan: &plan });
    } else {
        cx.tell.answer(&plan.text());
    }
    Ok(None)
}
