//! A service in a lab: it serves HTTP, is spread over the nodes, and is asked from inside a node.

use crate::inside::{eventually, programs};
use crate::support::Lab;
use std::process::{Command, Stdio};

impl Lab {
    /// Pushes an image of a program that serves HTTP: the registry, which is one static file.
    pub(crate) fn image(&self) -> String {
        self.load(&programs().join("registry"), "server:test")
    }

    /// Runs so many replicas of it behind a service, spread over the nodes, as an unprivileged workload must run.
    pub(crate) fn serve(&self, replicas: usize) {
        let manifest = include_str!("server.json")
            .replace("\"REPLICAS\"", &replicas.to_string())
            .replace("IMAGE", &self.image());
        let mut apply = self.client();
        let mut child = apply.args(["apply", "-f", "-"]).stdin(Stdio::piped()).spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), manifest.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
        self.kubectl(&["rollout", "status", "deployment/server", "--timeout=120s"]);
    }

    /// Waits until the service answers at its cluster address, asked from inside the network of a process. What a node knows of
    /// services follows the cluster by a moment.
    pub(crate) fn answers(&self, pid: &str) {
        let address = self.kubectl(&["get", "service", "server", "-o", "jsonpath={.spec.clusterIP}"]);
        let url = format!("http://{address}/v2/");
        let form = ["-s", "-m", "5", "-o", "/dev/null", "-w", "%{http_code}"];
        let network = format!("--net=/proc/{pid}/ns/net");
        eventually("the service answers", || {
            let output = Command::new("nsenter").args([&network, "curl"]).args(form).arg(&url).output();
            output.unwrap().stdout == b"200"
        });
    }

    /// The nodes that the pods of the service run on.
    pub(crate) fn nodes_of_pods(&self) -> Vec<String> {
        let path = "jsonpath={range .items[?(@.status.phase==\"Running\")]}{.spec.nodeName} {end}";
        let said = self.kubectl(&["get", "pods", "-l", "app=server", "-o", path]);
        let mut nodes: Vec<String> = said.split_whitespace().map(str::to_owned).collect();
        nodes.sort();
        nodes
    }
}
