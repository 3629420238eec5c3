//! `lab`: a real Kubernetes on one Linux machine, without a container engine and without pulling anything.
//!
//! A lab is a few *machines*: the hub with the control plane and the registry, and nodes. A machine is a process in namespaces of
//! its own (`lab/cluster/host/machine`), so that labs cannot collide, and so that the kernel removes all of a machine when its first
//! process is killed.
//!
//! - `names`, `hub`, `node`, `kubeconfig`, `spec`: what a lab is made of; pure. - `state`: what is known between commands.
//! - `build`, `doctor`: what must be there first. - `up`, `down`, `status`: the commands. - `cgroup`, `daemon`, `host`: the system.
//! - `kind`: the other driver.

mod build;
mod cgroup;
mod daemon;
mod doctor;
mod down;
mod error;
mod host;
mod hub;
mod kind;
mod kubeconfig;
mod names;
mod node;
mod spec;
mod state;
mod status;
mod up;

use crate::say;
use error::LabError;
use host::Host;
use names::{LabName, Node};
use state::{Home, Lab, Labs};
use std::path::Path;
use xtask::cli::{Driver, LabCommand, Power};
use xtask_core::config::Ambient;
use xtask_core::error::ExitCode;

/// Runs one command to its end.
pub(crate) fn main(command: &LabCommand, ambient: &Ambient) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(run(command, ambient)),
        Err(error) => Err(LabError::broke("cannot start", &error)),
    };
    match result {
        Ok(()) => ExitCode::Passed,
        Err(error) => {
            say::failure(&error.to_string(), error.hint().as_deref());
            error.code()
        }
    }
}

async fn run(command: &LabCommand, ambient: &Ambient) -> Result<(), LabError> {
    let cache = ambient.cache_home().ok_or_else(|| {
        LabError::Usage("no place for labs: neither HOME nor XDG_CACHE_HOME is set".to_owned())
    })?;
    let labs = Labs::below(&cache);
    let host = Host::new(ambient).map_err(|error| LabError::broke("no signals", &error))?;
    let result = dispatch(&host, &labs, command).await;
    host.close().await;
    result
}

async fn dispatch(host: &Host, labs: &Labs, command: &LabCommand) -> Result<(), LabError> {
    match command {
        LabCommand::Up { lab, nodes, driver: Driver::Native } => {
            up::up(host, labs, &LabName::new(&lab.name)?, *nodes).await
        }
        LabCommand::Up { lab, nodes, driver: Driver::Kind } => {
            kind::up(host, &LabName::new(&lab.name)?, nodes.unwrap_or(1)).await
        }
        LabCommand::Down { all: true, .. } => labs.names().iter().try_for_each(|name| down::down(labs, name)),
        LabCommand::Down { lab, all: false } => {
            let name = LabName::new(&lab.name)?;
            if kind::has(host, &name).await? {
                kind::down(host, &name).await?;
            }
            down::down(labs, &name)
        }
        LabCommand::Status { json } => {
            say::answer(&status::status(host, labs, *json).await?);
            Ok(())
        }
        LabCommand::Kubeconfig { lab } => {
            let name = LabName::new(&lab.name)?;
            let path = labs.of(&name).join("kubeconfig");
            let text = match std::fs::read_to_string(&path) {
                Ok(text) => text,
                Err(_) if kind::has(host, &name).await? => kind::kubeconfig(host, &name).await?,
                Err(_) => return Err(absent(&name)),
            };
            say::answer(&text);
            Ok(())
        }
        LabCommand::Load { lab, image, reference } => {
            let name = LabName::new(&lab.name)?;
            let (_, lab) = open(labs, &name)?;
            load(host, labs, &lab, image, reference).await
        }
        LabCommand::Node { lab, power, node } => {
            let name = LabName::new(&lab.name)?;
            let (_, lab) = open(labs, &name)?;
            switch(host, labs, &name, *power, &[Node::named(node, lab.nodes)?])
        }
        LabCommand::Zone { lab, power, zone } => {
            let name = LabName::new(&lab.name)?;
            let (_, lab) = open(labs, &name)?;
            let nodes: Vec<Node> = Node::first(lab.nodes).filter(|node| node.zone() == zone).collect();
            if nodes.is_empty() {
                return Err(LabError::Usage(format!("no node of the lab {name} is in `{zone}`")));
            }
            switch(host, labs, &name, *power, &nodes)
        }
        LabCommand::Logs { lab, component } => {
            let name = LabName::new(&lab.name)?;
            let (home, lab) = open(labs, &name)?;
            logs(&home, &lab, component)
        }
    }
}

fn absent(name: &LabName) -> LabError {
    LabError::Usage(format!("there is no lab {name}; `cargo xtask lab up` makes one"))
}

fn open(labs: &Labs, name: &LabName) -> Result<(Home, Lab), LabError> {
    let home = labs.of(name);
    let lab = home.load()?.ok_or_else(|| absent(name))?;
    Ok((home, lab))
}

/// Pushes an image and answers with its reference, by digest.
async fn load(host: &Host, labs: &Labs, lab: &Lab, image: &Path, reference: &str) -> Result<(), LabError> {
    let build = build::find(labs, &lab.build)
        .ok_or_else(|| LabError::Usage("what the lab runs is gone from the cache".to_owned()))?;
    let to = format!("127.0.0.1:{}/{reference}", lab.ports.registry);
    let args = ["push".into(), image.as_os_str().to_owned(), to.clone().into()];
    let digest = host.ask("cannot load the image", &build.program("registry"), args, None).await?;
    let start = to.rfind('/').unwrap_or_default();
    let repository = to[start..].find([':', '@']).map_or(to.as_str(), |at| &to[..start + at]);
    say::answer(&format!("{repository}@{digest}"));
    Ok(())
}

fn switch(host: &Host, labs: &Labs, name: &LabName, power: Power, nodes: &[Node]) -> Result<(), LabError> {
    let home = labs.of(name);
    let _held = home.lock(|| say::progress(&format!("waiting for another command on the lab {name}")))?;
    match power {
        Power::Stop => nodes.iter().try_for_each(|node| up::stop(name, &home, &node.name())),
        Power::Start => up::start_nodes(host, labs, name, nodes),
    }
}

fn logs(home: &Home, lab: &Lab, component: &str) -> Result<(), LabError> {
    let machines = lab.machines();
    let known = component.split_once('/').filter(|(machine, program)| {
        machines.iter().any(|name| name == machine) && !program.contains(['/', '.'])
    });
    let Some((machine, program)) = known else {
        return Err(LabError::Usage(format!("`{component}` is no MACHINE/COMPONENT, such as n1/kubelet")));
    };
    let folder = home.machine(machine).join("log");
    let path = folder.join(format!("{program}.log"));
    let text = std::fs::read(&path).map_err(|error| {
        let there = std::fs::read_dir(&folder).into_iter().flatten().filter_map(Result::ok);
        let mut there: Vec<String> =
            there.map(|entry| entry.file_name().to_string_lossy().replace(".log", "")).collect();
        there.sort();
        LabError::Usage(format!("{}: {error}; {machine} has {}", path.display(), there.join(", ")))
    })?;
    say::answer(&String::from_utf8_lossy(&text));
    Ok(())
}
