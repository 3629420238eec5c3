//! `tools`: the external tools that tools.lock pins: install, list, check, move to another version.

use crate::cli::ToolsCommand;
use crate::commands::{Failure, say};
use crate::equip;
use crate::session::Session;
use crate::stages;
use std::collections::BTreeSet;
use std::io::Write;
use xtask_core::cancel::Cancel;
use xtask_core::engine::Node;
use xtask_core::error::ExitCode;
use xtask_core::process::signals;
use xtask_core::tools::provision::{Provisioner, State, ToolProgress, Unavailable, Verified};

/// The file that pins the tools, in the root.
const LOCK_FILE: &str = "tools.lock";

/// Does what the subcommand says.
pub(super) async fn tools(session: &Session<'_>, command: &ToolsCommand) -> Result<ExitCode, Failure> {
    let provisioner = session.provisioner()?;
    let cancel = signals::listen(|_| {}).map_err(|error| Failure::bug(format!("no signals: {error}")))?;
    let result = match command {
        ToolsCommand::Sync { names } => sync(session, &provisioner, names, &cancel).await,
        ToolsCommand::List => Ok(list(&provisioner)),
        ToolsCommand::Verify { names } => verify(&provisioner, names, &cancel).await,
        ToolsCommand::Update { name, version } => update(session, &provisioner, name, version, &cancel).await,
    };
    session.supervisor.clone().shutdown().await;
    result
}

/// Every tool that a stage of this repository needs.
fn needed(session: &Session<'_>) -> BTreeSet<&'static str> {
    stages::table(&session.pipeline).iter().flat_map(|node| node.needs().tools).collect()
}

fn known(provisioner: &Provisioner, name: &str) -> Result<(), Failure> {
    let lock = provisioner.lock();
    if lock.tool(name).is_some() || lock.database(name).is_some() {
        return Ok(());
    }
    let tools = lock.tools().map(|pin| pin.name.to_string());
    let names: Vec<String> =
        tools.chain(lock.databases().map(|database| database.name.to_string())).collect();
    Err(Failure::usage(format!("`{name}` is not in tools.lock; it has {}", names.join(", "))))
}

async fn sync(
    session: &Session<'_>,
    provisioner: &Provisioner,
    names: &[String],
    cancel: &Cancel,
) -> Result<ExitCode, Failure> {
    let of_stages = needed(session);
    let wanted: BTreeSet<&str> =
        if names.is_empty() { of_stages } else { names.iter().map(String::as_str).collect() };
    for name in &wanted {
        known(provisioner, name)?;
    }
    let (databases, tools): (Vec<&str>, Vec<&str>) =
        wanted.iter().partition(|name| provisioner.lock().database(name).is_some());
    let mut failures: Vec<Unavailable> = Vec::new();
    for (_, result) in provisioner.ensure(&tools, cancel, watch).await {
        match result {
            Ok(tool) => {
                say(&format!("{} {}  {}  ({})\n", tool.name, tool.version, tool.path.display(), tool.source));
            }
            Err(unavailable) => failures.push(unavailable),
        }
    }
    for name in databases {
        match equip::database(provisioner, name, cancel, watch).await {
            Ok(data) => say(&format!("{}  {}  ({})\n", data.name, data.path.display(), data.source)),
            Err(unavailable) => failures.push(unavailable),
        }
    }
    for failure in &failures {
        say(&format!("{failure}\n"));
    }
    Ok(match (cancel.is_raised(), failures.is_empty()) {
        (true, _) => ExitCode::Cancelled,
        (false, true) => ExitCode::Passed,
        (false, false) => ExitCode::ToolMissing,
    })
}

/// Shows each new phase of a tool once, as a line.
fn watch(ToolProgress { name, version, phase, done, line, .. }: ToolProgress) {
    if done == 0 && line.is_none() {
        // With standard error gone nobody watches.
        let _ = writeln!(std::io::stderr(), "{phase} {name} {version}");
    }
}

fn list(provisioner: &Provisioner) -> ExitCode {
    let rows = provisioner.list();
    let width = rows.iter().map(|row| row.name.len() + row.version.len() + 1).max().unwrap_or(0);
    for row in rows {
        let name = format!("{} {}", row.name, row.version);
        let state = match row.state {
            State::Ready { source, path, bytes, .. } => {
                format!("ready    {} MiB  {}  ({source})", bytes.div_ceil(1 << 20), path.display())
            }
            State::Unasked => "unknown  a program on PATH has not been asked for its version yet".to_owned(),
            State::Damaged(why) => format!("damaged  {why}"),
            State::Missing => format!("absent   from {}", row.sources.join(", ")),
        };
        say(&format!("{name:width$}  {state}\n"));
    }
    ExitCode::Passed
}

async fn verify(provisioner: &Provisioner, names: &[String], cancel: &Cancel) -> Result<ExitCode, Failure> {
    for name in names {
        known(provisioner, name)?;
    }
    let mut code = ExitCode::Passed;
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for (name, verified) in provisioner.verify(&names, cancel, watch).await {
        match verified {
            Verified::Good { path, sha256 } => {
                say(&format!("good     {name}  sha256:{sha256}  {}\n", path.display()));
            }
            Verified::Bad(why) => {
                code = ExitCode::ToolBroke;
                say(&format!("BAD      {name}: {why}; `cargo xtask tools sync {name}` installs it again\n"));
            }
            Verified::Missing => say(&format!("absent   {name}\n")),
        }
    }
    Ok(code)
}

async fn update(
    session: &Session<'_>,
    provisioner: &Provisioner,
    name: &str,
    version: &str,
    cancel: &Cancel,
) -> Result<ExitCode, Failure> {
    known(provisioner, name)?;
    let path = session.pipeline.root.join(LOCK_FILE);
    let text = std::fs::read_to_string(&path).map_err(|error| Failure {
        code: ExitCode::Usage,
        message: format!("cannot read {}: {error}", path.display()),
        hint: Some("this repository uses the tools.lock that is built into xtask; put its own beside pipeline.yaml first".to_owned()),
    })?;
    let update = provisioner.update(&text, name, version, cancel, watch).await.map_err(|error| Failure {
        code: ExitCode::ToolBroke,
        message: error.to_string(),
        hint: None,
    })?;
    xtask_core::engine::store::replace(&path, update.text.as_bytes())
        .map_err(|error| Failure::usage(format!("cannot write {}: {error}", path.display())))?;
    for line in update.done {
        say(&format!("{line}\n"));
    }
    for line in update.by_hand {
        say(&format!("to do by hand: {line}\n"));
    }
    Ok(ExitCode::Passed)
}
