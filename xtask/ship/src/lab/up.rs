//! Bringing a lab up, or mending one: each step looks first whether it is done. A command that is killed anywhere leaves what the
//! next `up` goes on from and `down` removes.

use super::build::{self, Build};
use super::cgroup;
use super::daemon;
use super::doctor;
use super::error::LabError;
use super::host::Host;
use super::hub;
use super::kubeconfig;
use super::names::{LabName, Node};
use super::node;
use super::spec::Spec;
use super::state::{HUB, Home, Lab, Labs, Ports, write, write_json};
use crate::say;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// What the whole of it may take once it is built. Machines that are busy with something else take their time.
const PATIENCE: Duration = Duration::from_secs(180);
/// Between two looks.
const INTERVAL: Duration = Duration::from_millis(100);

/// Shows how long each step took.
struct Steps(Instant);

impl Steps {
    fn done(&mut self, what: &str) {
        let now = Instant::now();
        say::progress(&format!("  {:>5.1} s  {what}", now.duration_since(self.0).as_secs_f64()));
        self.0 = now;
    }
}

/// Everything that the steps share.
struct Site<'a> {
    host: &'a Host,
    name: &'a LabName,
    home: Home,
    lab: Lab,
    build: Build,
}

/// Brings it up. Nothing is said of the number of nodes: as many as it has.
pub(super) async fn up(host: &Host, labs: &Labs, name: &LabName, nodes: Option<u8>) -> Result<(), LabError> {
    doctor::check(host)?;
    let current = build::ensure(labs, host).await?;
    let began = Instant::now();
    let mut steps = Steps(began);
    let home = labs.of(name);
    let _held = home.lock(|| say::progress(&format!("waiting for another command on the lab {name}")))?;
    let known = home.load()?;
    let lab = wanted(known.as_ref(), nodes, &current)?;
    // Machines that run keep what they run; a lab is never half of one build and half of another.
    let build = build::find(labs, &lab.build).ok_or_else(|| {
        LabError::Usage(format!("what the lab {name} runs is gone from the cache; take it down first"))
    })?;
    if known.as_ref() != Some(&lab) {
        home.save(&lab)?;
    }
    let mut site = Site { host, name, home, lab, build };
    site.keys().await?;
    steps.done("keys and configuration");
    site.start_hub()?;
    for node in Node::first(site.lab.nodes) {
        site.start_node(node)?;
    }
    steps.done("machines started");
    site.wait_for_api(began).await?;
    steps.done("the API server is ready");
    site.push_pause(began).await?;
    steps.done("the registry is ready");
    site.wait_for_nodes(began).await?;
    steps.done("the nodes are ready");
    say::progress(&format!(
        "the lab {name} is up after {:.1} s: Kubernetes {}, {} node{}",
        began.elapsed().as_secs_f64(),
        build::KUBERNETES,
        site.lab.nodes,
        if site.lab.nodes == 1 { "" } else { "s" },
    ));
    Ok(())
}

/// What the lab is to be like from now on.
fn wanted(known: Option<&Lab>, nodes: Option<u8>, current: &Build) -> Result<Lab, LabError> {
    let Some(known) = known else {
        return Ok(Lab::new(nodes.unwrap_or(1), current.key.clone(), Ports::free()?));
    };
    let nodes = nodes.unwrap_or(known.nodes);
    if nodes < known.nodes {
        return Err(LabError::Usage(format!(
            "the lab has {} nodes, and `up` takes none away; `lab node stop` or `lab down` does",
            known.nodes
        )));
    }
    Ok(Lab { nodes, ..known.clone() })
}

impl Site<'_> {
    /// Keys, certificates and configuration files. Those that are there stay.
    async fn keys(&self) -> Result<(), LabError> {
        let folder = |path: &str| self.home.join(path).display().to_string();
        let mut asked = hub::certificates(&folder("hub/etc/pki"), &folder("pki"));
        for node in Node::first(self.lab.nodes) {
            asked.extend(node::certificates(node, &folder(&format!("{}/etc/pki", node.name()))));
        }
        let keys = self.home.join("pki");
        fs::create_dir_all(&keys).map_err(LabError::io("make", &keys))?;
        private(&self.home.join(""))?;
        let input = Value::from(asked).to_string().into_bytes();
        let certs = self.build.program("certs");
        self.host.ask("cannot make certificates", &certs, [&keys], Some(input)).await?;
        for file in ["ca.crt", "front-proxy-ca.crt", "sa.key", "sa.pub"] {
            self.copy(&keys.join(file), &self.home.machine(HUB).join("etc/pki").join(file))?;
        }
        for (file, content) in hub::files() {
            write_json(&self.home.machine(HUB).join("etc").join(file), &content)?;
        }
        for (file, content) in hub::texts() {
            write(&self.home.machine(HUB).join("etc").join(file), content.as_bytes())?;
        }
        for node in Node::first(self.lab.nodes) {
            let etc = self.home.machine(&node.name()).join("etc");
            self.copy(&keys.join("ca.crt"), &etc.join("pki/ca.crt"))?;
            for (file, content) in node::files(node, &cgroup::name(self.name, &node.name())) {
                write_json(&etc.join(file), &content)?;
            }
            for (file, content) in node::texts() {
                write(&etc.join(file), content.as_bytes())?;
            }
        }
        let context = format!("lab-{}", self.name);
        let config = kubeconfig::render(&self.server(), &folder("pki"), "admin", &context);
        write_json(&self.home.join("kubeconfig"), &config)
    }

    fn copy(&self, from: &Path, to: &Path) -> Result<(), LabError> {
        let bytes = fs::read(from).map_err(LabError::io("read", from))?;
        write(to, &bytes)?;
        private(to)
    }

    fn server(&self) -> String {
        format!("https://127.0.0.1:{}", self.lab.ports.api)
    }

    fn start_hub(&mut self) -> Result<(), LabError> {
        if self.home.process(HUB)?.is_some() {
            return Ok(());
        }
        // Every cable ended in it, and died with it.
        for machine in self.lab.machines() {
            stop(self.name, &self.home, &machine)?;
        }
        let spec = Spec {
            addresses: vec![format!("{}/32", super::names::HUB_ADDRESS)],
            uplink: None,
            forwards: hub::forwards(self.lab.ports),
            programs: hub::programs(),
            ..self.blank(HUB)
        };
        self.launch(HUB, spec).inspect_err(|_| {
            // A port may have been taken since it was chosen.
            if let Ok(ports) = Ports::free() {
                let _ = self.home.save(&Lab { ports, ..self.lab.clone() });
            }
        })
    }

    fn start_node(&self, node: Node) -> Result<(), LabError> {
        if self.home.process(&node.name())?.is_some() {
            return Ok(());
        }
        let Some(router) = self.home.process(HUB)? else {
            return Err(LabError::Usage(format!("the lab {} is not up", self.name)));
        };
        stop(self.name, &self.home, &node.name())?;
        let spec = Spec {
            uplink: Some(node::uplink(node, router.pid)),
            programs: node::programs(node),
            ..self.blank(&node.name())
        };
        self.launch(&node.name(), spec)
    }

    fn blank(&self, machine: &str) -> Spec {
        Spec {
            name: machine.to_owned(),
            folder: self.home.machine(machine),
            binaries: self.build.bin.clone(),
            groups: Vec::new(),
            addresses: Vec::new(),
            uplink: None,
            forwards: Vec::new(),
            programs: Vec::new(),
        }
    }

    fn launch(&self, machine: &str, spec: Spec) -> Result<(), LabError> {
        let folder = self.home.machine(machine);
        for needed in ["log", "var/lib", "var/log", "var/tmp"] {
            let path = folder.join(needed);
            fs::create_dir_all(&path).map_err(LabError::io("make", &path))?;
        }
        let groups = cgroup::create(&cgroup::hierarchies()?, self.name, machine)?;
        let path = folder.join("spec.json");
        write_json(&path, &Spec { groups, ..spec })?;
        daemon::start(&self.build.program("machine"), &path)
    }

    async fn get(&self, path: &str) -> Result<String, LabError> {
        api(self.host, &self.build, &self.home, &self.lab, path).await
    }

    async fn wait_for_api(&self, began: Instant) -> Result<(), LabError> {
        loop {
            match self.get("/readyz").await {
                Ok(_) => return Ok(()),
                Err(LabError::Cancelled) => return Err(LabError::Cancelled),
                Err(error) => self.overdue(began, "the API server", HUB, &error.to_string())?,
            }
            self.host.pause(INTERVAL).await?;
        }
    }

    async fn push_pause(&self, began: Instant) -> Result<(), LabError> {
        let image = format!("127.0.0.1:{}/{}", self.lab.ports.registry, node::PAUSE);
        let (registry, pause) = (self.build.program("registry"), self.build.program("pause"));
        loop {
            let args = ["push".into(), pause.clone().into_os_string(), image.clone().into()];
            match self.host.ask("cannot push", &registry, args, None).await {
                Ok(_) => return Ok(()),
                Err(LabError::Cancelled) => return Err(LabError::Cancelled),
                Err(error) => self.overdue(began, "the registry", HUB, &error.to_string())?,
            }
            self.host.pause(INTERVAL).await?;
        }
    }

    /// Waits until every node takes pods, and knows the addresses of services.
    async fn wait_for_nodes(&self, began: Instant) -> Result<(), LabError> {
        for node in Node::first(self.lab.nodes) {
            let path = format!("/api/v1/nodes/{}", node.name());
            let proxy = format!("/api/v1/nodes/http:{}:10256/proxy/healthz", node.name());
            loop {
                let why = match self.get(&path).await {
                    Ok(said) => match readiness(&said) {
                        Readiness::Ready => match self.get(&proxy).await {
                            Ok(_) => break,
                            Err(LabError::Cancelled) => return Err(LabError::Cancelled),
                            Err(error) => format!("kube-proxy: {error}"),
                        },
                        Readiness::Not(why) => why,
                    },
                    Err(LabError::Cancelled) => return Err(LabError::Cancelled),
                    Err(error) => error.to_string(),
                };
                self.overdue(began, &format!("the node {}", node.name()), &node.name(), &why)?;
                self.host.pause(INTERVAL).await?;
            }
        }
        Ok(())
    }

    fn overdue(&self, began: Instant, what: &str, machine: &str, why: &str) -> Result<(), LabError> {
        if began.elapsed() < PATIENCE {
            return Ok(());
        }
        Err(LabError::TimedOut {
            what: what.to_owned(),
            seconds: PATIENCE.as_secs(),
            why: why.to_owned(),
            log: self.home.machine(machine).join("log"),
        })
    }
}

/// Asks the API server of a lab.
pub(super) async fn api(
    host: &Host,
    build: &Build,
    home: &Home,
    lab: &Lab,
    path: &str,
) -> Result<String, LabError> {
    let server = format!("https://127.0.0.1:{}", lab.ports.api);
    let args = [home.join("pki").into_os_string(), server.into(), path.into()];
    host.ask("the API server", &build.program("api"), args, None).await
}

/// Whether a node takes pods.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Readiness {
    /// It does.
    Ready,
    /// It does not, and why.
    Not(String),
}

/// What a node's object says.
pub(super) fn readiness(object: &str) -> Readiness {
    let object: Value = serde_json::from_str(object).unwrap_or(json!(null));
    let conditions = object["status"]["conditions"].as_array();
    let ready = conditions.and_then(|all| all.iter().find(|condition| condition["type"] == "Ready"));
    match ready {
        Some(condition) if condition["status"] == "True" => Readiness::Ready,
        Some(condition) => {
            Readiness::Not(condition["message"].as_str().unwrap_or("no reason given").to_owned())
        }
        None => Readiness::Not("its kubelet has not reported yet".to_owned()),
    }
}

/// Cuts a machine's power: all that runs on it dies at once, its disk stays.
pub(super) fn stop(name: &LabName, home: &Home, machine: &str) -> Result<(), LabError> {
    if let Some(process) = home.process(machine)?
        && let Some(pid) = rustix::process::Pid::from_raw(process.pid)
    {
        // The first process of its namespace takes all others along.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
    cgroup::destroy(&cgroup::hierarchies()?, name, Some(machine))
}

/// Gives machines their power back. Their nodes take some seconds to be ready.
pub(super) fn start_nodes(host: &Host, labs: &Labs, name: &LabName, nodes: &[Node]) -> Result<(), LabError> {
    let home = labs.of(name);
    let lab = home.load()?.ok_or_else(|| LabError::Usage(format!("there is no lab {name}")))?;
    let build = build::find(labs, &lab.build)
        .ok_or_else(|| LabError::Usage(format!("what the lab {name} runs is gone from the cache")))?;
    let site = Site { host, name, home, lab, build };
    for node in nodes {
        site.start_node(*node)?;
    }
    Ok(())
}

/// Keeps others from reading keys.
fn private(path: &Path) -> Result<(), LabError> {
    use std::os::unix::fs::PermissionsExt;
    let mode = if path.is_dir() { 0o700 } else { 0o600 };
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(LabError::io("protect", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_ready_when_it_says_so_and_only_then() {
        let said = |status: &str| {
            format!(
                r#"{{"status":{{"conditions":[{{"type":"MemoryPressure","status":"True"}},{{"type":"Ready","status":"{status}","message":"no network"}}]}}}}"#
            )
        };
        assert_eq!(readiness(&said("True")), Readiness::Ready);
        assert_eq!(readiness(&said("False")), Readiness::Not("no network".into()));
        for unclear in ["", "{}", "[", r#"{"status":{"conditions":[]}}"#] {
            assert!(matches!(readiness(unclear), Readiness::Not(_)), "{unclear}");
        }
    }

    /// Every path below the configuration that a text names.
    fn named(text: &str) -> Vec<String> {
        let parts = text.split("/run/lab/etc/").skip(1);
        parts.map(|part| part.split(['"', '\'', ',', ' ', '\n']).next().unwrap().to_owned()).collect()
    }

    #[test]
    fn every_file_that_a_machine_is_told_to_read_is_made() {
        let node = Node::first(2).last().unwrap();
        let json =
            |files: Vec<(String, Value)>| files.into_iter().map(|(file, value)| (file, value.to_string()));
        let machines = [
            (
                hub::certificates("pki", "elsewhere"),
                &["ca.crt", "front-proxy-ca.crt", "sa.key", "sa.pub"][..],
                json(hub::files()).chain(hub::texts()).collect::<Vec<_>>(),
                hub::programs(),
            ),
            (
                node::certificates(node, "pki"),
                &["ca.crt"],
                json(node::files(node, "/slipway.lab/dev/n2")).chain(node::texts()).collect(),
                node::programs(node),
            ),
        ];
        for (certificates, copied, files, programs) in machines {
            let mut made: Vec<String> = copied.iter().map(|file| format!("pki/{file}")).collect();
            for certificate in certificates {
                let path = certificate["path"].as_str().unwrap();
                made.extend([format!("{path}.crt"), format!("{path}.key")]);
            }
            made.extend(files.iter().map(|(file, _)| file.clone()));
            let folders = ["certs.d".to_owned(), "cni".to_owned()];
            let mut wanted: Vec<String> = files.iter().flat_map(|(_, text)| named(text)).collect();
            wanted.extend(programs.iter().flat_map(|program| named(&program.args.join(" "))));
            assert!(wanted.len() > 8, "{wanted:?}");
            for file in wanted {
                assert!(made.contains(&file) || folders.contains(&file), "nobody makes {file}: {made:?}");
            }
        }
    }

    #[test]
    fn a_lab_grows_but_does_not_shrink_and_keeps_what_it_runs() {
        let current = Build { key: "new".into(), bin: "/b".into() };
        let first = wanted(None, None, &current).unwrap();
        assert_eq!((first.nodes, first.build.as_str()), (1, "new"));
        let old = Lab { build: "old".into(), nodes: 2, ..first };
        assert_eq!(wanted(Some(&old), None, &current).unwrap(), old);
        assert_eq!(wanted(Some(&old), Some(3), &current).unwrap(), Lab { nodes: 3, ..old.clone() });
        assert!(wanted(Some(&old), Some(1), &current).is_err());
    }
}
