//! `push`: images to an OCI registry, by digest. The stage runs in the same engine as the checks, after `build`; here are the words
//! of the command, and what must be known before anything starts.
//!
//! - `reference`, `names`, `login`, `challenge`, `retry`: what is pushed where under which names by whom; pure, or read once.
//! - `look`: whether an image is there, for those who push nothing.
//! - `layout`: the image. - `wire`: one HTTP exchange. - `session`: what lets it in. - `registry`: the distribution API. - `fault`: what can go wrong.
//! - `stage`: all of it in order.

mod challenge;
mod fault;
mod layout;
mod login;
mod look;
mod names;
mod reference;
mod registry;
mod retry;
mod session;
mod stage;
#[cfg(test)]
mod tests;
mod wire;

pub(crate) use look::{Found, look};

use crate::say;
use reference::{Repository, Tag};
use stage::Push;
use std::fmt::Write as _;
use xtask::cli::{Cli, PushArgs, RunArgs};
use xtask::stages::AnyStage;
use xtask::{Failure, Opened};
use xtask_core::config::Ambient;
use xtask_core::engine::{Driver, Node};
use xtask_core::error::ExitCode;
use xtask_core::ids::{NodeId, ServiceName, StageId};
use xtask_core::report::{RunReport, StageRecord};
use xtask_core::stage::{Needs, Stage};

/// Pushes what the command line says.
pub(crate) fn main(cli: &Cli, args: &PushArgs, ambient: &Ambient) -> ExitCode {
    let run = RunArgs { service: args.service.clone(), dry_run: args.dry_run, ..RunArgs::default() };
    let answer = args.json.then_some(json as xtask::Answer);
    xtask::run_stage(cli, ambient, (StageId::Push, &run), |opened| table(opened, args, ambient), answer)
}

/// A node of the graph of this command.
#[derive(Debug)]
enum Part {
    /// A check, or the build.
    Check(Box<AnyStage>),
    /// The push of one service's image.
    Push(Push),
}

impl Node for Part {
    fn id(&self) -> NodeId {
        match self {
            Part::Check(check) => check.id(),
            Part::Push(push) => NodeId::of(StageId::Push, push.service.clone()),
        }
    }

    fn needs(&self) -> Needs {
        match self {
            Part::Check(check) => check.needs(),
            Part::Push(push) => push.needs(),
        }
    }

    async fn drive(&self, driver: Driver) -> StageRecord {
        match self {
            Part::Check(check) => check.drive(driver).await,
            Part::Push(push) => driver.effect(push).await,
        }
    }
}

/// The checks, and a push for each image that is meant. Everything that can be wrong with names and credentials is found here.
fn table(opened: &Opened<'_>, args: &PushArgs, ambient: &Ambient) -> Result<Vec<Part>, Failure> {
    let pipeline = opened.pipeline;
    let meant = |name: &ServiceName| args.service.is_empty() || args.service.contains(name);
    let services: Vec<&ServiceName> = pipeline
        .services
        .values()
        .filter(|service| service.image.is_some() && meant(&service.name))
        .map(|service| &service.name)
        .collect();
    if args.to.is_some() && services.len() > 1 {
        let message = format!("--to names one repository, and {} images are meant", services.len());
        return Err(Failure {
            hint: Some("say which one with --service".to_owned()),
            ..Failure::usage(message)
        });
    }
    let tags = args.tag.iter().map(|tag| Tag::try_from(tag.clone())).collect::<Result<Vec<_>, _>>();
    let tags = tags.map_err(|error| Failure::usage(format!("--tag: {error}")))?;
    let (names, unnamed) = names::names(&names::look(&pipeline.root), ambient.github().as_ref(), tags);
    let mut parts: Vec<Part> =
        xtask::stages::table(pipeline).into_iter().map(|check| Part::Check(Box::new(check))).collect();
    for service in services {
        let to = repository(args.to.as_deref(), pipeline.registry.as_deref(), service)?;
        let login = login::find(ambient, to.registry()).map_err(|error| Failure::usage(error.to_string()))?;
        if args.dry_run {
            say::answer(&planned(service, &to, &names, unnamed.as_deref()));
        }
        parts.push(Part::Push(Push {
            service: service.clone(),
            to,
            names: names.clone(),
            unnamed: unnamed.clone(),
            login,
            accept_embedded: args.allow_embedded || !opened.strict,
        }));
    }
    Ok(parts)
}

/// Where a service's image goes.
fn repository(
    to: Option<&str>,
    registry: Option<&str>,
    service: &ServiceName,
) -> Result<Repository, Failure> {
    let (text, from) = match (to, registry) {
        (Some(to), _) => (to.to_owned(), "--to"),
        (None, Some(registry)) => (format!("{registry}/{service}"), "`registry` in pipeline.yaml"),
        (None, None) => {
            let hint = Some("say `registry: HOST` there, or push with --to REGISTRY/REPOSITORY".to_owned());
            return Err(Failure { hint, ..Failure::usage("pipeline.yaml names no registry".to_owned()) });
        }
    };
    text.parse().map_err(|error: reference::BadRepository| Failure::usage(format!("{from}: {error}")))
}

fn planned(service: &ServiceName, to: &Repository, names: &[Tag], unnamed: Option<&str>) -> String {
    let mut text = format!("{service} -> {to} by digest");
    for name in names {
        // Writing to a string cannot fail.
        let _ = write!(text, ", :{name}");
    }
    if let Some(why) = unnamed {
        let _ = write!(text, " ({why})");
    }
    text + "\n"
}

/// What was pushed, as a list.
fn json(report: &RunReport) -> Result<String, Failure> {
    let facts = |record: &StageRecord| record.id == Push::ID && !record.facts.is_null();
    let pushed: Vec<_> = report.stages.iter().filter(|it| facts(it)).map(|it| &it.facts).collect();
    let text = serde_json::to_string_pretty(&pushed).map_err(|error| Failure::bug(error.to_string()))?;
    Ok(text + "\n")
}
