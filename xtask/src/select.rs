//! Which nodes of the table a command means, and which of them are left out. Pure.

use std::collections::{BTreeMap, BTreeSet};
use xtask_core::engine::files::covers;
use xtask_core::engine::{Node, Preset};
use xtask_core::ids::{NodeId, Scope, ServiceName, StageId};
use xtask_core::outcome::Why;
use xtask_core::stage::Needs;

/// What a command asks for.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// One stage with what it waits for; none for all of them.
    pub stage: Option<StageId>,
    /// Only these services; none for everything.
    pub services: Vec<ServiceName>,
    /// Stages that are left out.
    pub without: Vec<StageId>,
    /// Only what these changed files can affect.
    pub changed: Option<Vec<String>>,
}

/// A choice that cannot be made.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectError {
    /// A service that is not configured.
    #[error("there is no service `{name}` in pipeline.yaml; its services are {known}")]
    NoSuchService {
        /// As asked for.
        name: String,
        /// Those that there are.
        known: String,
    },
    /// A stage that nothing in the configuration asks for.
    #[error("`{stage}` is not in the graph: pipeline.yaml configures nothing for it{}", .service.as_ref().map(|name| format!(" in service `{name}`")).unwrap_or_default())]
    NotConfigured {
        /// The stage.
        stage: StageId,
        /// The service, if one was named.
        service: Option<ServiceName>,
    },
}

/// The nodes that a command means, in the order of the table, and those among them that are skipped on purpose.
pub fn choose<N: Node>(
    table: Vec<N>,
    wanted: &Wanted,
) -> Result<(Vec<N>, BTreeMap<NodeId, Preset>), SelectError> {
    let graph: BTreeMap<NodeId, Needs> = table.iter().map(|node| (node.id(), node.needs())).collect();
    check_services(&graph, &wanted.services)?;
    let mut chosen: BTreeSet<NodeId> = graph.keys().filter(|node| is_meant(node, wanted)).cloned().collect();
    if let Some(stage) = wanted.stage
        && chosen.is_empty()
    {
        return Err(SelectError::NotConfigured { stage, service: wanted.services.first().cloned() });
    }
    add_upstream(&graph, &mut chosen);
    let mut presets = BTreeMap::new();
    if let Some(changed) = &wanted.changed {
        let affected = affected(&graph, &chosen, changed);
        for node in chosen.iter().filter(|node| !affected.contains(*node)) {
            presets.insert(node.clone(), Preset::Skip(Why::Unaffected));
        }
    }
    for node in chosen.iter().filter(|node| wanted.without.contains(&node.stage)) {
        presets.insert(node.clone(), Preset::Skip(Why::Without));
    }
    let nodes = table.into_iter().filter(|node| chosen.contains(&node.id())).collect();
    Ok((nodes, presets))
}

fn check_services(graph: &BTreeMap<NodeId, Needs>, services: &[ServiceName]) -> Result<(), SelectError> {
    let known: BTreeSet<&ServiceName> = graph.keys().filter_map(|node| node.service.as_ref()).collect();
    match services.iter().find(|name| !known.contains(name)) {
        None => Ok(()),
        Some(name) => {
            let known: Vec<&str> = known.into_iter().map(ServiceName::as_str).collect();
            Err(SelectError::NoSuchService { name: name.to_string(), known: known.join(", ") })
        }
    }
}

fn is_meant(node: &NodeId, wanted: &Wanted) -> bool {
    let stage = wanted.stage.is_none_or(|stage| stage == node.stage);
    let service = match (&node.service, wanted.services.as_slice()) {
        (_, []) => true,
        (Some(service), named) => named.contains(service),
        // Named services leave the repository's stages out, unless the command is one of them.
        (None, _) => wanted.stage.is_some_and(|stage| stage.scope() == Scope::Repository),
    };
    stage && service
}

/// What the chosen nodes wait for is chosen too: a scan without a build would look at an old image.
fn add_upstream(graph: &BTreeMap<NodeId, Needs>, chosen: &mut BTreeSet<NodeId>) {
    let mut open: Vec<NodeId> = chosen.iter().cloned().collect();
    while let Some(node) = open.pop() {
        for before in graph.get(&node).into_iter().flat_map(|needs| needs.after.iter().chain(&needs.prefers))
        {
            if graph.contains_key(before) && chosen.insert(before.clone()) {
                open.push(before.clone());
            }
        }
    }
}

/// The nodes that a change of these files can affect: those that read one of them, those that wait for such a node, and what
/// all of those wait for.
fn affected(
    graph: &BTreeMap<NodeId, Needs>,
    chosen: &BTreeSet<NodeId>,
    changed: &[String],
) -> BTreeSet<NodeId> {
    let reads = |needs: &Needs| changed.iter().any(|path| covers(&needs.inputs, path));
    let mut affected: BTreeSet<NodeId> =
        chosen.iter().filter(|node| graph.get(*node).is_some_and(reads)).cloned().collect();
    loop {
        let follows = |node: &&NodeId| {
            let needs = graph.get(*node);
            needs.is_some_and(|needs| {
                needs.after.iter().chain(&needs.prefers).any(|before| affected.contains(before))
            })
        };
        let more: Vec<NodeId> =
            chosen.iter().filter(|node| !affected.contains(*node)).filter(follows).cloned().collect();
        if more.is_empty() {
            break;
        }
        affected.extend(more);
    }
    add_upstream(graph, &mut affected);
    affected
}
