//! `doctor`: every need of every stage, and what is missing on this machine. Looks only; installs nothing and asks no network.

use crate::commands::{Failure, say};
use crate::equip::Equipment;
use crate::image;
use crate::session::Session;
use crate::stages::{self, AnyStage};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use xtask_core::engine::Node;
use xtask_core::engine::stamps::Stamps;
use xtask_core::error::ExitCode;

/// Shows what each stage needs. Exits 21 if a program that pipeline.yaml names is missing: provisioning cannot mend that.
pub(super) async fn doctor(session: &Session<'_>) -> Result<ExitCode, Failure> {
    let table = stages::table(&session.pipeline);
    let nodes: Vec<&AnyStage> = table.iter().collect();
    let provisioner = session.provisioner()?;
    let search = session.search();
    let mut stamps = Stamps::load(session.own_folder()?.join("cache/stamps"));
    let (equipment, to_fetch) = Equipment::at_hand(&nodes, &provisioner, &search, &mut stamps);
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{}: pipeline.yaml is right", session.pipeline.project);
    let _ = writeln!(out, "\nstages and what they need");
    let mut rows: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for node in &nodes {
        let needs = node.needs();
        let tools = needs.tools.iter().map(|name| (*name).to_owned());
        let env = needs.env.iter().map(|name| format!("${}", name.as_str()));
        let mut all: Vec<String> = tools.chain(needs.programs).chain(env).collect();
        all.dedup();
        rows.insert(node.id().to_string(), all);
    }
    let width = rows.keys().map(String::len).max().unwrap_or(0);
    for (node, needs) in &rows {
        let needs = if needs.is_empty() { "nothing but the files".to_owned() } else { needs.join(", ") };
        let _ = writeln!(out, "  {node:width$}  {needs}");
    }
    let _ = writeln!(out, "\non this machine");
    for (name, program) in &equipment.programs {
        let _ = writeln!(out, "  ok       {name} {} {}", program.version, program.path.display());
    }
    for name in &to_fetch {
        let _ = writeln!(
            out,
            "  absent   {name}: the first run that needs it provisions it (`cargo xtask tools sync {name}`)"
        );
    }
    for name in &equipment.not_found {
        let _ = writeln!(out, "  MISSING  {name}: pipeline.yaml names it, and it is not on PATH");
    }
    let git = search.find("git").is_some();
    let _ = writeln!(
        out,
        "  {}",
        if git { "ok       git" } else { "absent   git: every file is hashed instead" }
    );
    let engine = match image::engine_answers().await {
        true => "ok       a Docker engine answers: images are built from their Dockerfiles",
        false => {
            "absent   no Docker engine answers: images are built here, from the final stage of their Dockerfiles"
        }
    };
    let _ = writeln!(out, "  {engine}");
    for name in
        session.pipeline.secrets.iter().filter(|name| !matches!(session.ambient.value(name), Ok(Some(_))))
    {
        let _ = writeln!(out, "  unset    ${}: a secret that pipeline.yaml names", name.as_str());
    }
    say(&out);
    Ok(if equipment.not_found.is_empty() { ExitCode::Passed } else { ExitCode::ToolMissing })
}
