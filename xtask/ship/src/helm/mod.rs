//! Helm, as a program: it renders, applies, goes back and remembers. It never waits for pods and never decides what is good.
//!
//! What changes the cluster runs to its own end: Helm that is told to stop in the middle leaves a release half applied, so a
//! deadline is Helm's own (`--timeout`), and a stop of this program waits as long as it can ([`Helm::settle`]).

mod read;

pub(crate) use read::{Hook, Rendered, Revision, Status, digest};

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;
use xtask_core::cancel::{Cancel, CancelSource};
use xtask_core::process::{Command, Exit, Finished, ProcessError, Supervisor};

/// Its name in `tools.lock`.
pub(crate) const TOOL: &str = "helm";

/// Helm could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HelmError {
    /// It did not start.
    #[error("{0}")]
    Process(#[from] ProcessError),
    /// It refused, or failed half-way.
    #[error("helm {command}: {said}")]
    Failed {
        /// The subcommand.
        command: &'static str,
        /// What it said last, masked.
        said: String,
    },
    /// It said something that cannot be read.
    #[error("the output of `helm {command}` cannot be read: {why}")]
    Unreadable {
        /// The subcommand.
        command: &'static str,
        /// What was expected and what was found.
        why: String,
    },
    /// This program was stopped.
    #[error("stopped")]
    Cancelled,
}

/// A chart with everything that decides what it renders.
#[derive(Debug, Clone)]
pub(crate) struct Chart {
    /// The release's name.
    pub(crate) release: String,
    /// The folder.
    pub(crate) folder: PathBuf,
    /// Files of values, later ones win.
    pub(crate) files: Vec<PathBuf>,
    /// Single values, as text; they win over files. Never a secret.
    pub(crate) set: Vec<(String, String)>,
}

/// Helm, for one namespace of one cluster. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Helm {
    supervisor: Supervisor,
    cancel: Cancel,
    program: PathBuf,
    env: BTreeMap<OsString, OsString>,
    cwd: PathBuf,
    scope: Vec<OsString>,
    busy: Arc<watch::Sender<u32>>,
    turns: Arc<Semaphore>,
}

/// So many run at a time, however many releases there are: each takes a core and a hundred megabytes for a second.
const AT_A_TIME: usize = 4;

/// How Helm is reached, and what it reaches.
#[derive(Debug)]
pub(crate) struct Setup {
    /// Where every child comes from.
    pub(crate) supervisor: Supervisor,
    /// Stops questions, never changes.
    pub(crate) cancel: Cancel,
    /// The program.
    pub(crate) program: PathBuf,
    /// Its environment, which says where the kubeconfig is.
    pub(crate) env: BTreeMap<OsString, OsString>,
    /// Where it runs.
    pub(crate) cwd: PathBuf,
    /// The namespace.
    pub(crate) namespace: String,
    /// The context of the kubeconfig.
    pub(crate) context: Option<String>,
}

impl Helm {
    /// Helm for one namespace.
    pub(crate) fn new(setup: Setup) -> Helm {
        let Setup { supervisor, cancel, program, env, cwd, namespace, context } = setup;
        let mut scope: Vec<OsString> = vec!["--namespace".into(), namespace.into()];
        if let Some(context) = context {
            scope.extend(["--kube-context".into(), context.into()]);
        }
        let (busy, turns) = (Arc::new(watch::channel(0).0), Arc::new(Semaphore::new(AT_A_TIME)));
        Helm { supervisor, cancel, program, env, cwd, scope, busy, turns }
    }

    /// Every revision that Helm remembers, oldest first; none if there is no such release.
    pub(crate) async fn history(&self, release: &str) -> Result<Vec<Revision>, HelmError> {
        let finished = self.ask(["history", release, "--output", "json", "--max", "256"]).await?;
        read::history(code(&finished)?, finished.stdout.bytes(), finished.stderr.bytes())
    }

    /// What a revision is made of. May hold Secrets: never show it.
    pub(crate) async fn manifest(&self, release: &str, revision: u32) -> Result<String, HelmError> {
        let number = revision.to_string();
        let finished = self.ask(["get", "manifest", release, "--revision", &number]).await?;
        read::manifest(code(&finished)?, finished.stdout.bytes(), finished.stderr.bytes())
    }

    /// What an upgrade would apply, rendered against the cluster. Changes nothing.
    pub(crate) async fn render(&self, chart: &Chart) -> Result<Rendered, HelmError> {
        let mut args = upgrade(chart);
        args.extend(["--dry-run=server", "--output", "json"].map(OsString::from));
        let finished = self.ask(args).await?;
        read::rendered(code(&finished)?, finished.stdout.bytes(), finished.stderr.bytes())
    }

    /// The definitions of kinds that a chart ships beside its objects, and that Helm installs once and never again.
    pub(crate) async fn crds(&self, chart: &Chart) -> Result<String, HelmError> {
        let finished = self.ask([OsStr::new("show"), OsStr::new("crds"), chart.folder.as_os_str()]).await?;
        read::done("show crds", code(&finished)?, finished.stderr.bytes())?;
        Ok(String::from_utf8_lossy(finished.stdout.bytes()).into_owned())
    }

    /// Installs or upgrades, without waiting for anything but hooks. `description` is how the revision is known again.
    pub(crate) async fn upgrade(
        &self,
        chart: &Chart,
        description: &str,
        patience: Duration,
    ) -> Result<Rendered, HelmError> {
        let mut args = upgrade(chart);
        args.extend(["--output", "json", "--description", description].map(OsString::from));
        args.extend(patient(patience));
        let finished = self.act(args).await?;
        read::rendered(code(&finished)?, finished.stdout.bytes(), finished.stderr.bytes())
    }

    /// Makes a new revision with what an earlier one was made of. Works on a release that an earlier Helm left pending.
    pub(crate) async fn rollback(
        &self,
        release: &str,
        to: u32,
        hooks: bool,
        patience: Duration,
    ) -> Result<(), HelmError> {
        let mut args: Vec<OsString> = vec!["rollback".into(), release.into(), to.to_string().into()];
        if !hooks {
            args.push("--no-hooks".into());
        }
        args.extend(patient(patience));
        let finished = self.act(args).await?;
        read::done("rollback", code(&finished)?, finished.stderr.bytes())
    }

    /// Waits at most so long for what is changing the cluster to end by itself, and says whether it has.
    pub(crate) async fn settle(&self, patience: Duration) -> bool {
        let mut busy = self.busy.subscribe();
        timeout(patience, busy.wait_for(|count| *count == 0)).await.is_ok_and(|seen| seen.is_ok())
    }

    fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(&self.program, &self.cwd);
        command.env = self.env.clone();
        command.args =
            args.into_iter().map(|arg| arg.as_ref().to_owned()).chain(self.scope.clone()).collect();
        command
    }

    /// Waits until one more may run. After a stop, none may begin.
    async fn turn(&self) -> Result<OwnedSemaphorePermit, HelmError> {
        let turn = tokio::select! {
            biased;
            () = self.cancel.raised() => return Err(HelmError::Cancelled),
            turn = Arc::clone(&self.turns).acquire_owned() => turn,
        };
        turn.map_err(|_| HelmError::Cancelled)
    }

    /// Runs what changes nothing; a stop ends it.
    async fn ask<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Result<Finished, HelmError> {
        let command = self.command(args);
        let _turn = self.turn().await?;
        Ok(self.supervisor.run(command, None, &self.cancel, |_, _| {}).await?)
    }

    /// Runs what changes the cluster, in a task of its own: whoever stops waiting for it does not stop it.
    async fn act<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Result<Finished, HelmError> {
        let turn = self.turn().await?;
        let (command, supervisor, busy) =
            (self.command(args), self.supervisor.clone(), Arc::clone(&self.busy));
        busy.send_modify(|count| *count += 1);
        let task = tokio::spawn(async move {
            // Never raised: nobody can stop Helm in the middle.
            let (_source, never) = CancelSource::new();
            let finished = supervisor.run(command, None, &never, |_, _| {}).await;
            busy.send_modify(|count| *count -= 1);
            drop(turn);
            finished
        });
        match task.await {
            Ok(finished) => Ok(finished?),
            Err(_) => Err(HelmError::Cancelled),
        }
    }
}

fn upgrade(chart: &Chart) -> Vec<OsString> {
    // Helm's own validation reads the schema of the whole cluster, which is half of its time, and lets unknown fields pass. The cluster
    // refuses them when it is asked to apply, which every object is, on trial, before Helm may.
    let mut args: Vec<OsString> =
        vec!["upgrade".into(), "--install".into(), "--disable-openapi-validation".into()];
    args.extend([OsString::from(&chart.release), chart.folder.clone().into_os_string()]);
    for file in &chart.files {
        args.extend(["--values".into(), file.clone().into_os_string()]);
    }
    for (name, value) in &chart.set {
        args.extend(["--set-string".into(), format!("{name}={value}").into()]);
    }
    args
}

fn patient(patience: Duration) -> [OsString; 2] {
    ["--timeout".into(), format!("{}s", patience.as_secs().max(1)).into()]
}

fn code(finished: &Finished) -> Result<i32, HelmError> {
    match finished.exit {
        Exit::Code(code) => Ok(code),
        Exit::Signal(signal) => {
            Err(HelmError::Failed { command: "", said: format!("died of signal {signal}") })
        }
        Exit::Cancelled | Exit::TimedOut => Err(HelmError::Cancelled),
    }
}
