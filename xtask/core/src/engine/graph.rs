//! The graph of nodes: who waits for whom, and which chain of them is the longest. Pure.

use crate::ids::NodeId;
use std::collections::BTreeMap;

/// One node and what it waits for.
#[derive(Debug, Clone)]
pub struct Edges {
    /// The node.
    pub node: NodeId,
    /// Nodes that must have passed.
    pub after: Vec<NodeId>,
    /// Nodes that must have ended; their facts are used if they passed.
    pub prefers: Vec<NodeId>,
}

/// A graph without cycles, in an order in which every node comes after those that it waits for.
#[derive(Debug, Clone)]
pub struct Graph {
    nodes: Vec<NodeId>,
    after: Vec<Vec<usize>>,
    prefers: Vec<Vec<usize>>,
    order: Vec<usize>,
}

/// The nodes wait for each other in a circle.
#[derive(Debug, thiserror::Error)]
#[error("stages wait for each other in a circle: {}", path.join(" -> "))]
pub struct Cycle {
    /// The circle; the first name stands again at the end.
    pub path: Vec<String>,
}

impl Graph {
    /// Builds the graph. Waiting for a node that is not in it (left out, or not configured) means not waiting.
    pub fn new(edges: &[Edges]) -> Result<Graph, Cycle> {
        let index: BTreeMap<&NodeId, usize> =
            edges.iter().enumerate().map(|(at, edge)| (&edge.node, at)).collect();
        let resolve =
            |names: &[NodeId]| names.iter().filter_map(|name| index.get(name).copied()).collect::<Vec<_>>();
        let after: Vec<Vec<usize>> = edges.iter().map(|edge| resolve(&edge.after)).collect();
        let prefers: Vec<Vec<usize>> = edges.iter().map(|edge| resolve(&edge.prefers)).collect();
        let nodes: Vec<NodeId> = edges.iter().map(|edge| edge.node.clone()).collect();
        let mut graph = Graph { nodes, after, prefers, order: Vec::new() };
        graph.order = graph.sort()?;
        Ok(graph)
    }

    fn sort(&self) -> Result<Vec<usize>, Cycle> {
        let mut waiting: Vec<usize> = (0..self.len()).map(|at| self.waits_for(at).count()).collect();
        let mut order: Vec<usize> = (0..self.len()).filter(|at| waiting[*at] == 0).collect();
        let followers = self.followers();
        let mut done = 0;
        while let Some(at) = order.get(done).copied() {
            done += 1;
            for next in &followers[at] {
                waiting[*next] -= 1;
                if waiting[*next] == 0 {
                    order.push(*next);
                }
            }
        }
        if order.len() == self.len() { Ok(order) } else { Err(self.cycle(&waiting)) }
    }

    fn cycle(&self, waiting: &[usize]) -> Cycle {
        let stuck = |at: usize| self.waits_for(at).find(|before| waiting[*before] > 0);
        let Some(start) = waiting.iter().position(|count| *count > 0) else {
            return Cycle { path: Vec::new() };
        };
        let mut path = vec![start];
        while let Some(next) = path.last().and_then(|last| stuck(*last)) {
            if let Some(at) = path.iter().position(|seen| *seen == next) {
                path.drain(..at);
                path.push(next);
                break;
            }
            path.push(next);
        }
        path.reverse();
        Cycle { path: path.into_iter().map(|at| self.nodes[at].to_string()).collect() }
    }

    fn waits_for(&self, at: usize) -> impl Iterator<Item = usize> + '_ {
        self.after[at].iter().chain(&self.prefers[at]).copied()
    }

    fn followers(&self) -> Vec<Vec<usize>> {
        let mut followers = vec![Vec::new(); self.len()];
        for at in 0..self.len() {
            for before in self.waits_for(at) {
                followers[before].push(at);
            }
        }
        followers
    }

    /// How many nodes there are.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The nodes, as they were given.
    pub fn nodes(&self) -> &[NodeId] {
        &self.nodes
    }

    /// Indices in an order in which every node comes after those that it waits for.
    pub fn order(&self) -> &[usize] {
        &self.order
    }

    /// Those that must have passed before a node may start.
    pub fn must_pass(&self, at: usize) -> &[usize] {
        &self.after[at]
    }

    /// Those that must have ended before a node may start.
    pub fn must_end(&self, at: usize) -> impl Iterator<Item = usize> + '_ {
        self.waits_for(at)
    }

    /// For each node, the length of the longest chain from its start to the end of the run, by the given durations.
    pub fn remaining(&self, durations: &[u64]) -> Vec<u64> {
        let followers = self.followers();
        let mut remaining = vec![0; self.len()];
        for at in self.order.iter().rev().copied() {
            let longest = followers[at].iter().map(|next| remaining[*next]).max().unwrap_or(0);
            remaining[at] = longest + durations[at];
        }
        remaining
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::ids::StageId;

    pub(crate) fn node(stage: StageId) -> NodeId {
        NodeId::repository(stage)
    }

    pub(crate) fn edges(list: &[(StageId, &[StageId], &[StageId])]) -> Vec<Edges> {
        let named = |stages: &[StageId]| stages.iter().copied().map(node).collect();
        list.iter()
            .map(|(stage, after, prefers)| Edges {
                node: node(*stage),
                after: named(after),
                prefers: named(prefers),
            })
            .collect()
    }

    #[test]
    fn every_node_comes_after_those_it_waits_for_and_unknown_names_do_not_count() {
        let graph = Graph::new(&edges(&[
            (StageId::Scan, &[StageId::Build], &[StageId::Ansible]),
            (StageId::Build, &[StageId::Test], &[]),
            (StageId::Test, &[], &[]),
        ]))
        .unwrap();
        let order: Vec<_> = graph.order().iter().map(|at| graph.nodes()[*at].stage).collect();
        assert_eq!(order, [StageId::Test, StageId::Build, StageId::Scan]);
    }

    #[test]
    fn a_circle_is_named_link_by_link() {
        let error = Graph::new(&edges(&[
            (StageId::Test, &[], &[]),
            (StageId::Scan, &[StageId::Build], &[]),
            (StageId::Build, &[StageId::Sbom], &[]),
            (StageId::Sbom, &[], &[StageId::Scan]),
        ]))
        .unwrap_err();
        assert_eq!(error.path.len(), 4);
        assert_eq!(error.path.first(), error.path.last());
        assert!(!error.to_string().contains("test"));
    }

    #[test]
    fn what_remains_is_the_longest_chain_and_not_the_sum() {
        let graph = Graph::new(&edges(&[
            (StageId::Build, &[], &[]),
            (StageId::Sbom, &[StageId::Build], &[]),
            (StageId::Scan, &[], &[StageId::Build]),
        ]))
        .unwrap();
        assert_eq!(graph.remaining(&[10, 3, 5]), [15, 3, 5]);
    }
}
