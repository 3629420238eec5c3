//! `plan`: the graph, what is in the cache, what it should cost. Nothing runs.

use crate::cli::PlanArgs;
use crate::commands::run::{self, Prepared};
use crate::commands::{Failure, say};
use crate::session::{Checkout, Session};
use crate::stages;
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use tokio::sync::mpsc;
use xtask_core::cancel::CancelSource;
use xtask_core::engine::{Fate, Forecast, Node, Preset};
use xtask_core::error::ExitCode;

/// Shows the plan.
pub(super) async fn plan(checkout: Checkout<'_>, args: &PlanArgs) -> Result<ExitCode, Failure> {
    let Checkout { session, files } = checkout;
    let (events, _inbox) = mpsc::unbounded_channel();
    let (_source, cancel) = CancelSource::new();
    let prepared =
        run::prepare(&session, files, stages::table(&session.pipeline), None, &args.run, events, cancel)?;
    if args.matrix {
        say(&matrix(&forecast(prepared)?.0)?);
        return Ok(ExitCode::Passed);
    }
    if args.json {
        let (forecast, _) = forecast(prepared)?;
        say(&format!("{}\n", json(&forecast)?));
        return Ok(ExitCode::Passed);
    }
    show(prepared)
}

/// Shows the plan of a run instead of running it; says what is missing by the exit code that a strict run would have.
pub(super) fn dry_run<N: Node>(session: &Session<'_>, prepared: Prepared<N>) -> Result<ExitCode, Failure> {
    let lacks_program = !prepared.equipment.not_found.is_empty();
    show(prepared)?;
    Ok(if lacks_program && session.strict { ExitCode::ToolMissing } else { ExitCode::Passed })
}

fn forecast<N: Node>(prepared: Prepared<N>) -> Result<(Vec<Forecast>, Lacks), Failure> {
    let Prepared { planned, equipment, missing, presets, .. } = prepared;
    let lacks = Lacks {
        to_fetch: missing.iter().map(|name| (*name).to_owned()).collect(),
        not_found: equipment.not_found.iter().cloned().collect(),
    };
    let mut forecast = planned.forecast(equipment.programs);
    forecast.retain(|one| !matches!(presets.get(&one.node), Some(Preset::Skip(_))));
    Ok((forecast, lacks))
}

struct Lacks {
    to_fetch: Vec<String>,
    not_found: Vec<String>,
}

fn show<N: Node>(prepared: Prepared<N>) -> Result<ExitCode, Failure> {
    let services: BTreeSet<_> =
        prepared.planned.nodes().iter().filter_map(|node| node.id().service).collect();
    let (forecast, lacks) = forecast(prepared)?;
    let mut out = String::new();
    let width = forecast.iter().map(|one| one.node.to_string().len()).max().unwrap_or(0);
    let mut known = 0;
    for one in &forecast {
        let fate = match one.fate {
            Fate::Cached => "cached",
            Fate::Runs => "runs",
            Fate::Depends => "runs if what it waits for changes",
        };
        let time = match (one.fate, one.expected_ms) {
            (Fate::Cached, _) => String::new(),
            (Fate::Runs | Fate::Depends, Some(ms)) => {
                known += ms;
                format!(", about {}", seconds(ms))
            }
            (Fate::Runs | Fate::Depends, None) => ", never ran here".to_owned(),
        };
        let after =
            if one.after.is_empty() { String::new() } else { format!(" (after {})", one.after.join(", ")) };
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{:width$}  {fate}{time}{after}", one.node.to_string());
    }
    let cached = forecast.iter().filter(|one| one.fate == Fate::Cached).count();
    let _ = writeln!(
        out,
        "\n{} stages over {} services; {cached} from the cache",
        forecast.len(),
        services.len()
    );
    if known > 0 {
        let _ = writeln!(out, "work that is known: {}, spread over the cores", seconds(known));
    }
    if !lacks.to_fetch.is_empty() {
        let _ = writeln!(out, "to be provisioned first: {}", lacks.to_fetch.join(", "));
    }
    if !lacks.not_found.is_empty() {
        let _ = writeln!(out, "MISSING on PATH: {}", lacks.not_found.join(", "));
    }
    say(&out);
    Ok(ExitCode::Passed)
}

fn seconds(ms: u64) -> String {
    format!("{}.{} s", ms / 1000, ms % 1000 / 100)
}

#[derive(Serialize)]
struct MatrixEntry {
    name: String,
    args: String,
}

/// One entry a service that has work to do, and one for the repository's own stages.
fn matrix(forecast: &[Forecast]) -> Result<String, Failure> {
    let busy = |one: &&Forecast| one.fate != Fate::Cached;
    let services: BTreeSet<_> =
        forecast.iter().filter(busy).filter_map(|one| one.node.service.as_ref()).collect();
    let mut include: Vec<MatrixEntry> = services
        .into_iter()
        .map(|service| MatrixEntry {
            name: service.to_string(),
            args: format!("pr-checks --service {service}"),
        })
        .collect();
    let repository = forecast.iter().filter(busy).filter(|one| one.node.service.is_none());
    include
        .extend(repository.map(|one| MatrixEntry { name: one.node.to_string(), args: one.node.to_string() }));
    Ok(format!("{}\n", json(&serde_json::json!({ "include": include }))?))
}

fn json(value: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string(value).map_err(|error| Failure::bug(error.to_string()))
}
