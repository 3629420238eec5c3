//! Names and addresses of a lab's parts. Pure.
//!
//! All labs have the same addresses: each lives in network namespaces of its own, where it meets no other lab and nothing of the
//! host. The host reaches a lab through two ports of its loopback device.

use super::error::LabError;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The router's address, at which every machine and pod of a lab reaches the API server and the registry.
pub(super) const HUB_ADDRESS: &str = "10.200.0.1";
/// Addresses of services.
pub(super) const SERVICES: &str = "10.96.0.0/16";
/// The first of them is the API server's.
pub(super) const API_SERVICE: &str = "10.96.0.1";
/// Addresses of pods, of all nodes.
pub(super) const PODS: &str = "10.244.0.0/16";
/// The end of the names of services.
pub(super) const DOMAIN: &str = "cluster.local";
/// Where the API server listens, in the hub.
pub(super) const API_PORT: u16 = 6443;
/// Where the registry listens, in the hub.
pub(super) const REGISTRY_PORT: u16 = 5000;

/// A lab's name: it is part of paths and of control groups.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct LabName(String);

impl LabName {
    /// Lower-case letters, digits and hyphens; 20 at most.
    pub(super) fn new(text: &str) -> Result<LabName, LabError> {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        // `build` is the folder beside the labs that holds what they run.
        let good = (1..=20).contains(&text.len())
            && text.chars().all(fits)
            && !text.starts_with('-')
            && text != "build";
        if good {
            return Ok(LabName(text.to_owned()));
        }
        Err(LabError::Usage(format!(
            "`{text}` cannot be a lab's name: 1 to 20 of a-z, 0-9 and `-`, not `-` first, and not `build`"
        )))
    }

    /// The text.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for LabName {
    type Error = LabError;

    fn try_from(text: String) -> Result<LabName, LabError> {
        LabName::new(&text)
    }
}

impl From<LabName> for String {
    fn from(name: LabName) -> String {
        name.0
    }
}

impl fmt::Display for LabName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A node, by its number: 1 to 9.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Node(u8);

impl Node {
    /// The first so many nodes.
    pub(super) fn first(count: u8) -> impl Iterator<Item = Node> {
        (1..=count).map(Node)
    }

    /// The node of this name, of a lab with so many.
    pub(super) fn named(name: &str, count: u8) -> Result<Node, LabError> {
        Node::first(count).find(|node| node.name() == name).ok_or_else(|| {
            let names: Vec<String> = Node::first(count).map(Node::name).collect();
            LabError::Usage(format!("there is no node `{name}`; the lab has {}", names.join(", ")))
        })
    }

    /// Host name, and the node's name in Kubernetes.
    pub(super) fn name(self) -> String {
        format!("n{}", self.0)
    }

    /// The node's address.
    pub(super) fn address(self) -> String {
        format!("10.200.0.{}", 10 + self.0)
    }

    /// Addresses of the node's pods.
    pub(super) fn pods(self) -> String {
        format!("10.244.{}.0/24", self.0)
    }

    /// The zone that the node is labelled with: a, b, c in turn.
    pub(super) fn zone(self) -> &'static str {
        ["zone-c", "zone-a", "zone-b"][usize::from(self.0 % 3)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_could_leave_its_folder_is_refused() {
        for bad in ["", "..", "a/b", "A", "-a", "a b", "ä", "build", "aaaaaaaaaaaaaaaaaaaaa"] {
            assert!(LabName::new(bad).is_err(), "{bad}");
        }
        for good in ["dev", "a-1", "0"] {
            assert_eq!(LabName::new(good).unwrap().to_string(), good);
        }
    }

    #[test]
    fn no_two_nodes_share_a_name_or_an_address() {
        let nodes: Vec<Node> = Node::first(9).collect();
        for of in [Node::name, Node::address, Node::pods] {
            let mut all: Vec<String> = nodes.iter().map(|node| of(*node)).collect();
            all.push(HUB_ADDRESS.to_owned());
            all.sort();
            all.dedup();
            assert_eq!(all.len(), 10);
        }
    }

    #[test]
    fn zones_take_turns() {
        let zones: Vec<&str> = Node::first(4).map(Node::zone).collect();
        assert_eq!(zones, ["zone-a", "zone-b", "zone-c", "zone-a"]);
    }

    #[test]
    fn a_node_that_the_lab_has_not_is_an_error_that_names_those_it_has() {
        assert_eq!(Node::named("n2", 2).unwrap().name(), "n2");
        let error = Node::named("n3", 2).unwrap_err().to_string();
        assert!(error.ends_with("the lab has n1, n2"), "{error}");
    }
}
