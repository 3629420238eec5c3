//! The other driver: kind, for machines that cannot run a lab of namespaces. It is used as it is; what it does not have (a registry,
//! power switches of nodes and zones) is not there with it either.

use super::error::LabError;
use super::host::Host;
use super::names::{LabName, Node};
use serde_json::json;
use std::path::PathBuf;

/// The name of the cluster, which kind gives its containers too.
fn cluster(name: &LabName) -> String {
    format!("slipway-{name}")
}

fn program(host: &Host) -> Result<PathBuf, LabError> {
    host.find("kind").ok_or_else(|| LabError::Missing("kind".to_owned()))
}

/// Brings a cluster up.
pub(super) async fn up(host: &Host, name: &LabName, nodes: u8) -> Result<(), LabError> {
    let kind = program(host)?;
    let args = ["create", "cluster", "--name", &cluster(name), "--config", "-", "--wait", "180s"];
    let input = configuration(nodes).into_bytes();
    host.ask("kind could not bring the cluster up", &kind, args, Some(input)).await.map(drop)
}

/// Whether it has a cluster of this name.
pub(super) async fn has(host: &Host, name: &LabName) -> Result<bool, LabError> {
    let Ok(kind) = program(host) else { return Ok(false) };
    let said = host.ask("kind could not list its clusters", &kind, ["get", "clusters"], None).await?;
    Ok(said.lines().any(|line| line == cluster(name)))
}

/// Takes it down.
pub(super) async fn down(host: &Host, name: &LabName) -> Result<(), LabError> {
    let args = ["delete", "cluster", "--name", &cluster(name)];
    host.ask("kind could not take the cluster down", &program(host)?, args, None).await.map(drop)
}

/// Its kubeconfig.
pub(super) async fn kubeconfig(host: &Host, name: &LabName) -> Result<String, LabError> {
    let args = ["get", "kubeconfig", "--name", &cluster(name)];
    host.ask("kind could not give the kubeconfig", &program(host)?, args, None).await
}

/// One control plane, and nodes in zones as in a lab of namespaces.
fn configuration(nodes: u8) -> String {
    let workers = Node::first(nodes).map(|node| {
        json!({"role": "worker", "labels": {
            "topology.kubernetes.io/zone": node.zone(), "topology.kubernetes.io/region": "lab",
        }})
    });
    let all: Vec<_> = std::iter::once(json!({"role": "control-plane"})).chain(workers).collect();
    json!({"kind": "Cluster", "apiVersion": "kind.x-k8s.io/v1alpha4", "nodes": all}).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nodes_are_workers_in_the_same_zones_as_in_a_lab() {
        let said: serde_json::Value = serde_json::from_str(&configuration(2)).unwrap();
        assert_eq!(said["nodes"].as_array().unwrap().len(), 3);
        assert_eq!(said["nodes"][2]["labels"]["topology.kubernetes.io/zone"], "zone-b");
    }
}
