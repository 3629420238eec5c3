//! What there is: labs, their machines, and what their nodes say of themselves.

use super::build;
use super::error::LabError;
use super::host::Host;
use super::names::{LabName, Node};
use super::state::{HUB, Labs};
use super::up::{self, Readiness};
use serde::Serialize;
use std::fmt::Write;

/// One lab, as `status --json` prints it.
#[derive(Debug, Serialize)]
struct Status {
    name: LabName,
    /// Whether everything in it runs and is ready.
    ready: bool,
    server: String,
    registry: String,
    kubeconfig: String,
    machines: Vec<Machine>,
}

/// One machine.
#[derive(Debug, Serialize)]
struct Machine {
    name: String,
    /// `off`, `on`, or `ready`: the node takes pods, the API server answers.
    state: State,
    zone: Option<&'static str>,
    /// Why it is not ready.
    why: Option<String>,
    /// Its first process, on the host.
    pid: Option<i32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Off,
    On,
    Ready,
}

/// All of it as text.
pub(super) async fn status(host: &Host, labs: &Labs, json: bool) -> Result<String, LabError> {
    let mut all = Vec::new();
    for name in labs.names() {
        if let Some(status) = one(host, labs, name).await? {
            all.push(status);
        }
    }
    if json {
        let text = serde_json::to_string_pretty(&all);
        return text.map(|text| text + "\n").map_err(|error| LabError::broke("cannot show the labs", &error));
    }
    Ok(table(&all))
}

async fn one(host: &Host, labs: &Labs, name: LabName) -> Result<Option<Status>, LabError> {
    let home = labs.of(&name);
    let Some(lab) = home.load()? else { return Ok(None) };
    let build = build::find(labs, &lab.build);
    let mut machines = Vec::new();
    for machine in lab.machines() {
        let process = home.process(&machine)?;
        let node = Node::named(&machine, lab.nodes).ok();
        let path = node.map_or_else(|| "/readyz".to_owned(), |node| format!("/api/v1/nodes/{}", node.name()));
        let (state, why) = match (process, &build) {
            (None, _) => (State::Off, None),
            (Some(_), None) => (State::On, Some("its programs are gone from the cache".to_owned())),
            (Some(_), Some(build)) => match up::api(host, build, &home, &lab, &path).await {
                Err(LabError::Cancelled) => return Err(LabError::Cancelled),
                Err(error) => (State::On, Some(error.to_string())),
                Ok(_) if machine == HUB => (State::Ready, None),
                Ok(said) => match up::readiness(&said) {
                    Readiness::Ready => (State::Ready, None),
                    Readiness::Not(why) => (State::On, Some(why)),
                },
            },
        };
        let pid = process.map(|process| process.pid);
        machines.push(Machine { name: machine, state, zone: node.map(Node::zone), why, pid });
    }
    Ok(Some(Status {
        ready: machines.iter().all(|machine| machine.state == State::Ready),
        server: format!("https://127.0.0.1:{}", lab.ports.api),
        registry: format!("127.0.0.1:{}", lab.ports.registry),
        kubeconfig: home.join("kubeconfig").display().to_string(),
        machines,
        name,
    }))
}

fn table(all: &[Status]) -> String {
    let mut text = String::new();
    if all.is_empty() {
        text.push_str("no lab; `cargo xtask lab up` makes one\n");
    }
    for lab in all {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}  {}  registry {}", lab.name, lab.server, lab.registry);
        let _ = writeln!(text, "  export KUBECONFIG={}", lab.kubeconfig);
        for Machine { name, state, zone, why, pid: _ } in &lab.machines {
            let state = match state {
                State::Off => "off",
                State::On => "on, not ready",
                State::Ready => "ready",
            };
            let _ = write!(text, "  {name:4} {:7} {state}", zone.unwrap_or_default());
            let _ = match why {
                Some(why) => writeln!(text, ": {why}"),
                None => writeln!(text),
            };
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_says_what_is_not_ready_and_why() {
        let machine = |name: &str, state, why: Option<&str>| Machine {
            name: name.into(),
            state,
            zone: (name != HUB).then_some("zone-a"),
            why: why.map(str::to_owned),
            pid: None,
        };
        let status = Status {
            name: LabName::new("dev").unwrap(),
            ready: false,
            server: "https://127.0.0.1:1".into(),
            registry: "127.0.0.1:2".into(),
            kubeconfig: "/k".into(),
            machines: vec![
                machine(HUB, State::Ready, None),
                machine("n1", State::On, Some("no network")),
                machine("n2", State::Off, None),
            ],
        };
        let expected = "dev  https://127.0.0.1:1  registry 127.0.0.1:2\n  export KUBECONFIG=/k\n  hub          ready\n  \
            n1   zone-a  on, not ready: no network\n  n2   zone-a  off\n";
        assert_eq!(table(&[status]), expected);
        assert!(table(&[]).starts_with("no lab"));
    }
}
