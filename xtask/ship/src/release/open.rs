//! Opens releases: the configuration, the environment, the services, Helm, the cluster. Looks, and changes nothing.

use super::clock;
use super::cloud::{self, Cloud};
use super::error::ReleaseError;
use super::journal::{Journal, RunRef};
use super::lock::Place;
use super::tell::Tell;
use crate::cluster::{self, Cluster};
use crate::helm::{self, Chart, Helm};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::OnceCell;
use xtask::cli::Cli;
use xtask_core::cancel::Cancel;
use xtask_core::config::{self, Ambient, Environment, Pipeline, Service, Start};
use xtask_core::ids::ServiceName;
use xtask_core::process::{Supervisor, query};
use xtask_core::redact::Redactor;
use xtask_core::tools::provision::{OpenError, Provisioner};

/// One release of one service in one environment. A clone shares Helm, the cluster and the run.
#[derive(Clone)]
pub(crate) struct Cx {
    /// The environment's name.
    pub(crate) env_name: String,
    /// The environment.
    pub(crate) env: Environment,
    /// The whole configuration.
    pub(crate) pipeline: Arc<Pipeline>,
    /// The service.
    pub(crate) service: Service,
    /// The release's name: the service's.
    pub(crate) release: String,
    /// The namespace.
    pub(crate) namespace: String,
    /// The registry that the cluster pulls from.
    pub(crate) registry: Option<String>,
    /// Helm.
    pub(crate) helm: Helm,
    /// The cluster.
    pub(crate) cluster: Cluster,
    /// Raised by SIGINT and its like.
    pub(crate) cancel: Cancel,
    /// What is shown.
    pub(crate) tell: Tell,
    /// What masks secrets.
    pub(crate) redactor: Redactor,
    /// This run.
    pub(crate) run: RunRef,
    /// The branch or tag that is checked out.
    pub(crate) git_ref: Option<String>,
    /// The environment of this process.
    pub(crate) ambient: Ambient,
    /// What the cloud says, once somebody has asked.
    cloud: Arc<OnceCell<Option<Cloud>>>,
}

/// The configuration of the repository that the command line means.
pub(crate) fn pipeline(cli: &Cli) -> Result<Pipeline, ReleaseError> {
    let usage = |error: &dyn std::fmt::Display| ReleaseError::Usage(error.to_string());
    let here = std::env::current_dir().map_err(|error| usage(&error))?;
    let start = cli.root.as_deref().map_or(Start::Nearest(&here), Start::Root);
    config::load(start, clock::now().to_zoned(jiff::tz::TimeZone::UTC).date()).map_err(|error| usage(&error))
}

/// What masks the values of all secrets.
pub(crate) fn redactor(pipeline: &Pipeline, ambient: &Ambient) -> Result<Redactor, ReleaseError> {
    let secrets = ambient.secrets(pipeline).map_err(|error| ReleaseError::Usage(error.to_string()))?;
    Ok(Redactor::new(secrets.into_iter().map(|(_, value)| value)))
}

/// What every release of one command is opened with.
pub(crate) struct Opener {
    /// The configuration.
    pub(crate) pipeline: Arc<Pipeline>,
    /// The environment of this process.
    pub(crate) ambient: Ambient,
    /// Where every child comes from.
    pub(crate) supervisor: Supervisor,
    /// What masks secrets.
    pub(crate) redactor: Redactor,
    /// Raised by SIGINT and its like.
    pub(crate) cancel: Cancel,
}

impl Opener {
    /// Opens the release of a service.
    pub(crate) async fn open(&self, env_name: &str, service: &ServiceName) -> Result<Cx, ReleaseError> {
        let Opener { pipeline, ambient, supervisor, redactor, cancel } = self;
        let env = environment(pipeline, env_name)?.clone();
        let service = known(pipeline, service)?.clone();
        let namespace = env.namespace.clone().ok_or_else(|| {
            ReleaseError::Usage(format!("environments.{env_name}: a release needs `namespace: …`"))
        })?;
        let kubeconfig = kubeconfig(pipeline, &env, ambient)?;
        let program = program(&pipeline.root, ambient, supervisor.clone(), cancel).await?;
        let mut child = ambient.base();
        child.insert("KUBECONFIG".into(), kubeconfig.clone().into_os_string());
        let helm = Helm::new(helm::Setup {
            supervisor: supervisor.clone(),
            cancel: cancel.clone(),
            program,
            env: child,
            cwd: pipeline.root.clone(),
            namespace: namespace.clone(),
            context: env.context.clone(),
        });
        let cluster = cluster::connect(Some(&kubeconfig), env.context.as_deref()).await?;
        let github = ambient.github().unwrap_or_default();
        let ask = |words: &[&str]| {
            let said = query::ask(&pipeline.root, "git", words, None).ok()?;
            let said = String::from_utf8_lossy(&said).trim().to_owned();
            (!said.is_empty()).then_some(said)
        };
        // What is checked out, whatever a job says of itself: an approval is for what is released, not for what started the job.
        let head = ask(&["rev-parse", "HEAD"]).map(|head| {
            let dirty = ask(&["status", "--porcelain", "--untracked-files=no"]).is_some();
            if dirty { format!("{head}-dirty") } else { head }
        });
        // Where somebody must approve, the word of the job alone is not enough.
        let commit = head.or(github.sha.filter(|_| !env.approval));
        let git_ref = github.git_ref.or_else(|| ask(&["symbolic-ref", "--quiet", "HEAD"]));
        let started = clock::now();
        let id = match github.run_id {
            Some(run) => format!("github-{run}-{}", std::process::id()),
            None => format!("{}-{}", started.strftime("%Y%m%dT%H%M%SZ"), std::process::id()),
        };
        Ok(Cx {
            env_name: env_name.to_owned(),
            registry: env.registry.clone().or_else(|| pipeline.registry.clone()),
            env,
            release: service.name.to_string(),
            service,
            namespace,
            helm,
            cluster,
            cancel: cancel.clone(),
            tell: Tell::new(redactor.clone()),
            redactor: redactor.clone(),
            run: RunRef { id, commit, started },
            git_ref,
            ambient: ambient.clone(),
            pipeline: Arc::clone(pipeline),
            cloud: Arc::default(),
        })
    }
}

impl Cx {
    /// The release of another service in the same environment, by the same run. What it tells begins with its name.
    pub(crate) fn beside(&self, service: &ServiceName) -> Result<Cx, ReleaseError> {
        let service = known(&self.pipeline, service)?.clone();
        let release = service.name.to_string();
        Ok(Cx { tell: self.tell.of(&release), release, service, ..self.clone() })
    }

    /// What the cloud says of the environment, asked once for all of its releases: neither whose credentials these are nor where
    /// the cluster is changes during a run. None if the environment names nothing of the cloud.
    pub(crate) async fn cloud(&self) -> Option<Cloud> {
        self.cloud.get_or_init(|| cloud::look(&self.env, &self.cluster)).await.clone()
    }

    /// Reads the journal.
    pub(crate) async fn journal(&self) -> Result<Journal, ReleaseError> {
        Journal::open(&self.cluster, &self.namespace, &self.release).await
    }

    /// Where the lock is.
    pub(crate) fn lock(&self) -> Place {
        Place::of(&self.cluster, &self.namespace, &self.release)
    }

    /// The chart of the service with everything that this environment and this image add.
    pub(crate) fn chart(&self, digest: Option<&str>) -> Result<Chart, ReleaseError> {
        let folder = self.service.chart.as_deref().ok_or_else(|| {
            ReleaseError::Usage(format!("the service {} has no chart in pipeline.yaml", self.service.name))
        })?;
        let folder = self.pipeline.root.join(folder);
        let mut set = Vec::new();
        if let Some(digest) = digest {
            set.push(("image.repository".to_owned(), self.repository()?));
            set.push(("image.digest".to_owned(), digest.to_owned()));
        }
        if let Some(commit) = &self.run.commit {
            set.push(("build.commit".to_owned(), commit.clone()));
        }
        let files = self.env.values.iter().map(|name| folder.join(name)).collect();
        Ok(Chart { release: self.release.clone(), folder, files, set })
    }

    /// The digest of the image that `build` left last, if it left one.
    pub(crate) fn built(&self) -> Option<String> {
        let index = self.pipeline.root.join(format!("target/xtask/images/{}/index.json", self.service.name));
        let index: serde_json::Value = serde_json::from_slice(&std::fs::read(index).ok()?).ok()?;
        index.pointer("/manifests/0/digest")?.as_str().map(str::to_owned)
    }

    /// Where the service's images are.
    pub(crate) fn repository(&self) -> Result<String, ReleaseError> {
        let registry = self.registry.as_deref().ok_or_else(|| {
            ReleaseError::Usage(format!(
                "neither the project nor environments.{} names a `registry`",
                self.env_name
            ))
        })?;
        Ok(format!("{registry}/{}", self.service.name))
    }
}

/// The environment of this name.
pub(crate) fn environment<'p>(pipeline: &'p Pipeline, name: &str) -> Result<&'p Environment, ReleaseError> {
    pipeline.environments.get(name).ok_or_else(|| {
        let names: Vec<&str> = pipeline.environments.keys().map(String::as_str).collect();
        let there = if names.is_empty() { "there are none".to_owned() } else { names.join(", ") };
        ReleaseError::Usage(format!("no environment `{name}` in pipeline.yaml; {there}"))
    })
}

/// The environment that this one is promoted from.
pub(crate) fn promoted_from(cx: &Cx) -> Result<&str, ReleaseError> {
    cx.env.promoted_from.as_deref().ok_or_else(|| {
        ReleaseError::Usage(format!("environments.{}: nothing says what it is `promoted_from`", cx.env_name))
    })
}

/// The service that the command line means.
pub(crate) fn one(pipeline: &Pipeline, named: Option<&ServiceName>) -> Result<ServiceName, ReleaseError> {
    let mut with_chart = pipeline.services.values().filter(|service| service.chart.is_some());
    match (named, with_chart.next(), with_chart.next()) {
        (Some(name), ..) => known(pipeline, name).map(|service| service.name.clone()),
        (None, Some(only), None) => Ok(only.name.clone()),
        (None, None, _) => Err(no_chart()),
        (None, Some(_), Some(_)) => Err(ReleaseError::Usage(
            "several services have charts: name one with --service, or take all with --set".to_owned(),
        )),
    }
}

/// The services of a set: those that are named, or all that have a chart.
pub(crate) fn several(pipeline: &Pipeline, named: &[ServiceName]) -> Result<Vec<ServiceName>, ReleaseError> {
    let with_chart = pipeline.services.values().filter(|service| service.chart.is_some());
    let mut all: Vec<ServiceName> = match named {
        [] => with_chart.map(|service| service.name.clone()).collect(),
        named => named.to_vec(),
    };
    all.sort();
    all.dedup();
    for name in &all {
        if known(pipeline, name)?.chart.is_none() {
            return Err(ReleaseError::Usage(format!("the service {name} has no chart in pipeline.yaml")));
        }
    }
    if all.is_empty() { Err(no_chart()) } else { Ok(all) }
}

fn no_chart() -> ReleaseError {
    ReleaseError::Usage("no service in pipeline.yaml has a chart".to_owned())
}

fn known<'p>(pipeline: &'p Pipeline, name: &ServiceName) -> Result<&'p Service, ReleaseError> {
    pipeline.services.get(name).ok_or_else(|| {
        let names: Vec<&str> = pipeline.services.keys().map(|name| name.as_str()).collect();
        ReleaseError::Usage(format!("no service `{name}` in pipeline.yaml, which has {}", names.join(", ")))
    })
}

fn kubeconfig(pipeline: &Pipeline, env: &Environment, ambient: &Ambient) -> Result<PathBuf, ReleaseError> {
    let path = match &env.kubeconfig {
        Some(path) => pipeline.root.join(path),
        None => ambient.kubeconfig().ok_or_else(|| {
            ReleaseError::Usage("no kubeconfig: neither HOME nor KUBECONFIG is set".to_owned())
        })?,
    };
    if path.is_file() {
        return Ok(path);
    }
    Err(ReleaseError::Usage(format!("there is no kubeconfig {}", path.display())))
}

/// Helm, as tools.lock pins it; fetched if it is not there.
async fn program(
    root: &Path,
    ambient: &Ambient,
    supervisor: Supervisor,
    cancel: &Cancel,
) -> Result<PathBuf, ReleaseError> {
    let missing = |why: String| ReleaseError::Missing { tool: helm::TOOL.to_owned(), why };
    let provisioner = Provisioner::open(root, ambient, supervisor).map_err(|error| match error {
        OpenError::NoPlace => missing(error.to_string()),
        OpenError::Lock(error) => ReleaseError::Usage(error.to_string()),
    })?;
    if let Some(tool) = provisioner.quick(helm::TOOL) {
        return Ok(tool.path);
    }
    let mut found = provisioner.ensure(&[helm::TOOL], cancel, |_| {}).await;
    match found.pop() {
        Some((_, Ok(tool))) => Ok(tool.path),
        Some((_, Err(unavailable))) => {
            let tried: Vec<String> = unavailable.tried.iter().map(ToString::to_string).collect();
            Err(missing(tried.join("; ")))
        }
        None => Err(missing("it is not in tools.lock".to_owned())),
    }
}
