//! Nodes that are lost: the cluster has not heard from them for longer than it waits, or they say that they cannot run pods. What was
//! last seen of a pod on one is no news of it, and that nothing moves there is not the release's doing. Pure.

use crate::rollout::seen::{Node, Pod};
use std::collections::BTreeSet;

/// The nodes that are lost now.
#[derive(Debug, Clone, Default)]
pub(super) struct Nodes(BTreeSet<String>);

impl Nodes {
    /// A node was lost, or is back.
    pub(super) fn see(&mut self, node: &Node) {
        if node.lost {
            self.0.insert(node.name.clone());
        } else {
            self.0.remove(&node.name);
        }
    }

    /// Whether the pod is on one.
    pub(super) fn lost(&self, pod: &Pod) -> bool {
        self.0.contains(&pod.node)
    }
}
