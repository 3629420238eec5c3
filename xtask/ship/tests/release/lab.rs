//! A lab with images in its registry, and a repository whose environments are namespaces of it.

use crate::service::{root, service};
use crate::support::{self, succeeds};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod};
use kube::api::{DeleteParams, ListParams, ObjectMeta, PostParams};
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use kube::{Api, Client};
use serde_json::Value;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A lab that is taken down when the test ends, however it ends.
pub(crate) struct Lab {
    pub(crate) lab: support::Lab,
    folder: tempfile::TempDir,
    /// What images of this lab are called before the last slash.
    pub(crate) registry: String,
    /// Digests of images that work.
    pub(crate) good: [String; 2],
    /// The digest of one that crashes.
    pub(crate) bad: String,
}

/// What a command answered.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Lab {
    /// A lab with these environments: name, and what else pipeline.yaml says of it.
    pub(crate) fn up(name: &str, environments: &[(String, String)]) -> Lab {
        Lab::of(name, 1, environments)
    }

    /// The same with so many nodes. What pipeline.yaml says of an environment stands before what is usual here.
    pub(crate) fn of(name: &str, nodes: u8, environments: &[(String, String)]) -> Lab {
        let root = root();
        let folder = tempfile::tempdir().unwrap();
        let (registry, good, bad) = Default::default();
        let mut lab = Lab { lab: support::Lab::up(name, nodes), folder, registry, good, bad };
        let (service, crashing) = (service(), lab.crashing());
        // Bytes after the end of a program change its digest and nothing else.
        let other = lab.path("other");
        let mut bytes = std::fs::read(&service).unwrap();
        bytes.extend(b"another build");
        std::fs::write(&other, bytes).unwrap();
        std::fs::set_permissions(&other, std::fs::metadata(&service).unwrap().permissions()).unwrap();
        let (registry, first) = lab.load(&service, "first");
        lab.registry.clone_from(&registry);
        lab.good = [first, lab.load(&other, "second").1];
        lab.bad = lab.load(&crashing, "bad").1;

        std::fs::copy(lab.lab.kubeconfig(), lab.path("kubeconfig")).unwrap();
        std::fs::create_dir(lab.path("app")).unwrap();
        std::fs::copy(root.join("tools.lock"), lab.path("tools.lock")).unwrap();
        copy(&root.join("charts/app"), &lab.path("charts/app"));
        let mut text = format!(
            "version: 1\nproject: hello\nregistry: {}\nservices:\n  hello: {{ path: app, language: other, chart: charts/app }}\n\
             environments:\n",
            lab.registry
        );
        for (environment, more) in environments {
            let _ = write!(
                text,
                "  {environment}: {{ namespace: {environment}, label: dev, kubeconfig: kubeconfig{more}"
            );
            for (field, usual) in [("values", "values.dev.yaml"), ("budgets", "{ soak: 1s, watch: 2m }")] {
                if !more.contains(&format!("{field}:")) {
                    let _ = write!(text, ", {field}: {usual}");
                }
            }
            text.push_str(" }\n");
            lab.namespace(environment);
        }
        std::fs::write(lab.path("pipeline.yaml"), text).unwrap();
        lab
    }

    /// A file of the repository.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file of values of the chart, for environments that name it.
    pub(crate) fn values(&self, file: &str, text: &str) {
        std::fs::write(self.path("charts/app").join(file), text).unwrap();
    }

    /// An image that works, of another service. Gives its digest.
    pub(crate) fn also(&self, good: usize, name: &str) -> String {
        let program = if good == 0 { service() } else { self.path("other") };
        let said = self.lab.load(&program, &format!("{name}:works"));
        said.split_once('@').unwrap().1.to_owned()
    }

    /// Registry and digest.
    fn load(&self, program_file: &Path, tag: &str) -> (String, String) {
        let said = self.lab.load(program_file, &format!("hello:{tag}"));
        let (image, digest) = said.split_once('@').unwrap();
        (image.rsplit_once('/').unwrap().0.to_owned(), digest.to_owned())
    }

    /// A static program that crashes.
    fn crashing(&self) -> PathBuf {
        let (source, program) = (self.path("bad.rs"), self.path("bad"));
        std::fs::write(&source, "fn main() { panic!(\"no database\") }").unwrap();
        let mut rustc = Command::new("rustc");
        rustc.args(["-O", "-C", "target-feature=+crt-static", "--target", "x86_64-unknown-linux-gnu", "-o"]);
        succeeds(rustc.args([&program, &source]));
        program
    }

    /// Asks the cluster, without this program. A client a question, because threads ask too.
    pub(crate) fn ask<T>(&self, question: impl AsyncFnOnce(Client) -> T) -> T {
        connected(&self.path("kubeconfig"), question)
    }

    fn namespace(&self, name: &str) {
        let labels = Some([("environment".to_owned(), "dev".to_owned())].into());
        let metadata = ObjectMeta { name: Some(name.to_owned()), labels, ..ObjectMeta::default() };
        let namespace = Namespace { metadata, ..Namespace::default() };
        self.ask(async |client| Api::all(client).create(&PostParams::default(), &namespace).await).unwrap();
    }

    /// Takes the power of a node, or gives it back.
    pub(crate) fn power(&self, power: &str, node: &str) {
        self.lab.run(&["node", power, node]);
    }

    /// How many pods there are.
    pub(crate) fn pods(&self, namespace: &str) -> usize {
        let list =
            async |client| Api::<Pod>::namespaced(client, namespace).list(&ListParams::default()).await;
        self.ask(list).unwrap().items.len()
    }

    /// Removes the journal of an environment.
    pub(crate) fn forget(&self, namespace: &str) {
        let name = "slipway-journal-hello";
        let params = DeleteParams::default();
        self.ask(async |client| Api::<ConfigMap>::namespaced(client, namespace).delete(name, &params).await)
            .unwrap();
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask-ship"));
        // As on a laptop, whatever this machine is: in CI a protected environment asks somebody else.
        command.args(args).current_dir(self.folder.path()).env_remove("GITHUB_ACTIONS").stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub(crate) fn say(&self, args: &[&str]) -> Said {
        self.say_in(&[], args)
    }

    /// The same with these variables.
    pub(crate) fn say_in(&self, variables: &[(&str, &str)], args: &[&str]) -> Said {
        let mut command = self.command(args);
        command.envs(variables.iter().copied());
        let Output { status, stdout, stderr } = command.output().unwrap();
        let said = Said {
            code: status.code().unwrap_or(-1),
            stdout: String::from_utf8(stdout).unwrap(),
            stderr: String::from_utf8(stderr).unwrap(),
        };
        // Should the test fail, what went well is only in the way of what did not.
        let told = if said.code == 0 { "" } else { said.stderr.as_str() };
        println!("$ {} -> {}\n{told}", args.join(" "), said.code);
        said
    }

    /// Starts a command.
    pub(crate) fn start(&self, args: &[&str]) -> Child {
        self.start_in(&[], args)
    }

    /// The same with these variables.
    pub(crate) fn start_in(&self, variables: &[(&str, &str)], args: &[&str]) -> Child {
        let mut command = self.command(args);
        command.envs(variables.iter().copied()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// Runs a command at a terminal of its own, where these keys are pressed once it asks. Gives its exit code and the screen.
    pub(crate) fn at_terminal(&self, args: &[&str], keys: &str) -> (i32, String) {
        // `script` makes the terminal the controlling one, which takes unsafe code here: only there does ^C become a signal.
        let words: Vec<String> = args.iter().map(|word| format!("'{word}'")).collect();
        let line = format!("'{}' {}", env!("CARGO_BIN_EXE_xtask-ship"), words.join(" "));
        let screen = self.path("screen");
        let _ = std::fs::remove_file(&screen);
        let mut command = Command::new("script");
        command.args(["--quiet", "--return", "--flush", "--command", &line]).arg(&screen);
        // As on a laptop, whatever this machine is.
        command.current_dir(self.path("")).env_remove("GITHUB_ACTIONS").env_remove("CI");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let mut typing = child.stdin.take().unwrap();
        let shown = || String::from_utf8_lossy(&std::fs::read(&screen).unwrap_or_default()).into_owned();
        while !shown().contains("type `") && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(50));
        }
        // It may have ended without a question; the caller sees that on the screen.
        let _ = typing.write_all(keys.as_bytes());
        let code = child.wait().unwrap().code().unwrap_or(-1);
        println!("$ {} -> {code}\n{}", args.join(" "), shown());
        (code, shown())
    }

    /// What `status` knows.
    pub(crate) fn status(&self, environment: &str) -> Value {
        let mut said = self.say(&["status", "--env", environment, "--json"]);
        // The cluster of a machine that is busy may not answer in time; asking again changes nothing.
        for _ in 0..5 {
            if said.code != 20 {
                break;
            }
            said = self.say(&["status", "--env", environment, "--json"]);
        }
        serde_json::from_str(&said.stdout).unwrap_or_else(|error| panic!("{error}: {said:?}"))
    }

    /// What the journal of a release says, asked without this program; null if there is none.
    pub(crate) fn journal(&self, namespace: &str, release: &str) -> Value {
        let name = format!("slipway-journal-{release}");
        let map =
            self.ask(async |client| Api::<ConfigMap>::namespaced(client, namespace).get_opt(&name).await);
        let text = map.unwrap().and_then(|map| map.data.unwrap_or_default().remove("journal.json"));
        text.map(|text| serde_json::from_str(&text).unwrap()).unwrap_or_default()
    }

    /// Waits until the journal of a release names this phase, in another run than the one that is `known`.
    pub(crate) fn comes_to(&self, namespace: &str, release: &str, phase: &str, known: &str) {
        let deadline = Instant::now() + Duration::from_secs(180);
        loop {
            let record = self.journal(namespace, release);
            if record["phase"] == phase && record["run"]["id"] != known {
                return;
            }
            assert!(Instant::now() < deadline, "{release} never came to {phase}: {record}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The phase that the journal of an environment names, asked without this program.
    pub(crate) fn phase(&self, namespace: &str) -> Option<String> {
        self.ask(async |client| phase(&Api::namespaced(client, namespace)).await)
    }

    /// Waits until the journal of an environment names a phase, as long as that makes sense. Says whether it did.
    pub(crate) fn reaches(&self, namespace: &str, wanted: &str, mut go_on: impl FnMut() -> bool) -> bool {
        self.ask(async |client| {
            let journals = Api::namespaced(client, namespace);
            while go_on() {
                if phase(&journals).await.as_deref() == Some(wanted) {
                    return true;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            false
        })
    }
}

async fn phase(journals: &Api<ConfigMap>) -> Option<String> {
    let map = journals.get_opt("slipway-journal-hello").await.ok()??;
    let record: Value = serde_json::from_str(map.data?.get("journal.json")?).ok()?;
    Some(record["phase"].as_str()?.to_owned())
}

/// Does something with a client of its own.
pub(crate) fn connected<T>(kubeconfig: &Path, work: impl AsyncFnOnce(Client) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let file = Kubeconfig::read_from(kubeconfig).unwrap();
        let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.unwrap();
        work(Client::try_from(config).unwrap()).await
    })
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for item in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(item.file_name());
        if item.file_type().unwrap().is_dir() {
            copy(&item.path(), &to);
        } else {
            std::fs::copy(item.path(), to).unwrap();
        }
    }
}
