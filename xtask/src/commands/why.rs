//! `why`: the part of a stage's inputs that changed since its nearest earlier run.

use crate::cli::{RunArgs, WhyArgs};
use crate::commands::run::{self, Prepared};
use crate::commands::{Failure, say};
use crate::session::Checkout;
use crate::stages;
use tokio::sync::mpsc;
use xtask_core::cancel::CancelSource;
use xtask_core::engine::{Node, Why};
use xtask_core::error::ExitCode;

/// How many details of one part are shown.
const DETAILS: usize = 20;

/// Explains one stage, of one service or of every service that has it.
pub(super) async fn why(checkout: Checkout<'_>, args: &WhyArgs) -> Result<ExitCode, Failure> {
    let Checkout { session, files } = checkout;
    let (events, _inbox) = mpsc::unbounded_channel();
    let (_source, cancel) = CancelSource::new();
    let chosen = RunArgs { service: args.service.clone().into_iter().collect(), ..RunArgs::default() };
    let Prepared { planned, equipment, .. } = run::prepare(
        &session,
        files,
        stages::table(&session.pipeline),
        Some(args.stage),
        &chosen,
        events,
        cancel,
    )?;
    for node in planned.nodes().iter().map(Node::id).filter(|node| node.stage == args.stage) {
        let why = planned.why(&node, equipment.programs.clone());
        let text = why.map_or_else(
            || format!("{node}: its inputs cannot be read\n"),
            |why| text(&node.to_string(), &why),
        );
        say(&text);
    }
    Ok(ExitCode::Passed)
}

fn text(node: &str, why: &Why) -> String {
    match why {
        Why::Cached => format!("{node}: nothing changed, its result is in the cache\n"),
        Why::NeverRan => format!("{node}: it has not run in this checkout yet\n"),
        Why::NotKept { run } => {
            format!(
                "{node}: its inputs are those of run {run}, which did not pass; only accepted results are kept\n"
            )
        }
        Why::Changed { run, parts } => {
            let mut out = format!("{node}: differs from run {run} in\n");
            for (part, details) in parts {
                out.push_str(&format!("  {part}\n"));
                for detail in details.iter().take(DETAILS) {
                    out.push_str(&format!("    {detail}\n"));
                }
                if details.len() > DETAILS {
                    out.push_str(&format!("    and {} more\n", details.len() - DETAILS));
                }
            }
            out
        }
    }
}
