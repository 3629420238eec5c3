//! Everything that the chosen nodes need: provisioned tools, the team's own programs. What is at hand is known before anything
//! starts; what is missing is fetched while nodes run that do not need it. What cannot be had becomes a preset for the nodes that
//! need it, so that all of it is reported together.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use xtask_core::cancel::Cancel;
use xtask_core::engine::stamps::Stamps;
use xtask_core::engine::{Node, Preset, Program};
use xtask_core::error::StageError;
use xtask_core::ids::NodeId;
use xtask_core::outcome::Why;
use xtask_core::stage::Needs;
use xtask_core::tools::provision::{Data, Provisioner, Recipe, ToolProgress, Unavailable};
use xtask_core::tools::trivy;

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Equipment {
    /// The tools and programs, by name.
    pub(crate) programs: BTreeMap<String, Program>,
    /// The tools that cannot be had.
    pub(crate) unavailable: BTreeMap<String, Unavailable>,
    /// The programs that are not on PATH.
    pub(crate) not_found: BTreeSet<String>,
}

/// Where programs are looked for.
#[derive(Debug, Clone)]
pub(crate) struct Search {
    /// The root: a program with a slash in its name counts from here.
    pub(crate) root: PathBuf,
    /// PATH, split.
    pub(crate) path: Vec<PathBuf>,
}

impl Equipment {
    /// What is there already, without a process and without the network.
    pub(crate) fn at_hand<N: Node>(
        nodes: &[&N],
        provisioner: &Provisioner,
        search: &Search,
        stamps: &mut Stamps,
    ) -> (Equipment, Vec<&'static str>) {
        let mut equipment = Equipment::default();
        let mut missing = Vec::new();
        let needs: Vec<_> = nodes.iter().map(|node| node.needs()).collect();
        let tools: BTreeSet<&'static str> =
            needs.iter().flat_map(|needs| needs.tools.iter().copied()).collect();
        for name in tools {
            match provisioned(provisioner, name) {
                Some(program) => drop(equipment.programs.insert(name.to_owned(), program)),
                None => missing.push(name),
            }
        }
        let programs: BTreeSet<String> = needs.into_iter().flat_map(|needs| needs.programs).collect();
        for name in programs {
            match search.find(&name).and_then(|path| Some((stamps.digest(&path).ok()?, path))) {
                Some((digest, path)) => {
                    let program = Program {
                        name: name.clone(),
                        version: String::new(),
                        path,
                        digest,
                        extra_path: None,
                        notes: Vec::new(),
                    };
                    equipment.programs.insert(name, program);
                }
                None => drop(equipment.not_found.insert(name)),
            }
        }
        (equipment, missing)
    }

    /// Fetches what is missing. `arrived` hears of each tool as soon as it is there.
    pub(crate) async fn fetch(
        &mut self,
        missing: &[&'static str],
        provisioner: &Provisioner,
        cancel: &Cancel,
        mut progress: impl FnMut(ToolProgress),
        mut arrived: impl FnMut(Program),
    ) {
        let (databases, tools): (Vec<&str>, Vec<&str>) =
            missing.iter().partition(|name| recipe(name).is_some());
        let known = |_, name, result| match result {
            Ok(tool) => {
                let program = program(tool);
                arrived(program.clone());
                self.programs.insert(name, program);
            }
            Err(unavailable) => drop(self.unavailable.insert(name, unavailable)),
        };
        provisioner.ensure_each(&tools, cancel, &mut progress, known).await;
        for name in databases {
            match database(provisioner, name, cancel, &mut progress).await {
                Ok(data) => drop(self.programs.insert(name.to_owned(), folder(data))),
                Err(unavailable) => drop(self.unavailable.insert(name.to_owned(), unavailable)),
            }
        }
    }

    /// The nodes that cannot run, and why. A tool that cannot be had is an error in a strict run and a loud skip otherwise; a
    /// program that the team's own configuration names is always an error.
    pub(crate) fn presets(&self, nodes: &[(NodeId, Needs)], strict: bool) -> BTreeMap<NodeId, Preset> {
        let mut presets = BTreeMap::new();
        for (node, needs) in nodes {
            let program = needs.programs.iter().find(|name| self.not_found.contains(*name));
            let tool = needs.tools.iter().find_map(|name| self.unavailable.get(*name));
            let preset = match (program, tool) {
                (Some(name), _) => {
                    let tried = vec!["not on PATH".to_owned()];
                    Preset::Broke(StageError::ToolMissing { tool: name.clone(), tried })
                }
                (None, Some(unavailable)) => missing_tool(unavailable, strict),
                (None, None) => continue,
            };
            presets.insert(node.clone(), preset);
        }
        presets
    }
}

fn missing_tool(unavailable: &Unavailable, strict: bool) -> Preset {
    let tool = unavailable.name.clone();
    let tried = unavailable.tried.iter().map(ToString::to_string).collect();
    if strict {
        Preset::Broke(StageError::ToolMissing { tool, tried })
    } else {
        Preset::Skip(Why::Unreachable { tool, tried })
    }
}

fn provisioned(provisioner: &Provisioner, name: &str) -> Option<Program> {
    match recipe(name) {
        None => provisioner.quick(name).map(program),
        Some(recipe) => provisioner.quick_data(name, &recipe).map(folder),
    }
}

/// How a scanner fetches its database, for names that are one.
fn recipe(name: &str) -> Option<Recipe> {
    (name == trivy::DATABASE).then(trivy::recipe)
}

/// A scanner's database, fetched by the scanner; which must itself be had first.
pub(crate) async fn database(
    provisioner: &Provisioner,
    name: &str,
    cancel: &Cancel,
    progress: impl FnMut(ToolProgress),
) -> Result<Data, Unavailable> {
    let mut progress = progress;
    let nothing = || Unavailable { name: name.to_owned(), tried: Vec::new() };
    let (recipe, scanner) = recipe(name).zip(provisioner.lock().database(name)).ok_or_else(nothing)?;
    let (_, tool) = provisioner
        .ensure(&[scanner.tool.as_str()], cancel, &mut progress)
        .await
        .pop()
        .ok_or_else(nothing)?;
    provisioner.ensure_data(name, &recipe, &tool?, cancel, progress).await
}

fn program(tool: xtask_core::tools::provision::Tool) -> Program {
    Program {
        name: tool.name,
        version: tool.version,
        path: tool.path,
        digest: tool.sha256.to_string(),
        extra_path: tool.extra_path,
        notes: tool.notes,
    }
}

/// A scanner's data as something that a stage can name: its folder, and the time of its fetching for a digest.
fn folder(data: Data) -> Program {
    let since = data.fetched.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let fetched = since.as_millis().to_string();
    Program {
        name: data.name,
        version: fetched.clone(),
        path: data.path,
        digest: fetched,
        extra_path: None,
        notes: data.notes,
    }
}

impl Search {
    /// The file behind a program's name.
    pub(crate) fn find(&self, name: &str) -> Option<PathBuf> {
        if name.contains('/') {
            let path = self.root.join(name);
            return is_executable(&path).then_some(path);
        }
        self.path.iter().map(|folder| folder.join(name)).find(|path| is_executable(path))
    }
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}
