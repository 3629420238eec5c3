//! Opens a release: the configuration, the environment, the service, Helm, the cluster. Looks, and changes nothing.

use super::clock;
use super::error::ReleaseError;
use super::journal::{Journal, RunRef};
use super::lock::Place;
use super::tell::Tell;
use crate::cluster::{self, Cluster};
use crate::helm::{self, Chart, Helm};
use std::path::{Path, PathBuf};
use xtask::cli::{Cli, ReleaseArgs};
use xtask_core::cancel::Cancel;
use xtask_core::config::{self, Ambient, Environment, Pipeline, Service, Start};
use xtask_core::process::{Supervisor, query};
use xtask_core::redact::Redactor;
use xtask_core::tools::provision::{OpenError, Provisioner};

/// One release of one service in one environment.
pub(crate) struct Cx {
    /// The environment's name.
    pub(crate) env_name: String,
    /// The environment.
    pub(crate) env: Environment,
    /// The whole configuration.
    pub(crate) pipeline: Pipeline,
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

impl Cx {
    /// Opens the release that the command line means.
    pub(crate) async fn open(
        pipeline: Pipeline,
        args: ReleaseArgs,
        ambient: Ambient,
        supervisor: Supervisor,
        redactor: Redactor,
        cancel: Cancel,
    ) -> Result<Cx, ReleaseError> {
        let env = environment(&pipeline, &args.env)?.clone();
        let service = service(&pipeline, &args)?.clone();
        let namespace = env.namespace.clone().ok_or_else(|| {
            ReleaseError::Usage(format!("environments.{}: a release needs `namespace: …`", args.env))
        })?;
        let kubeconfig = kubeconfig(&pipeline, &env, &ambient)?;
        let program = program(&pipeline.root, &ambient, supervisor.clone(), &cancel).await?;
        let mut child = ambient.base();
        child.insert("KUBECONFIG".into(), kubeconfig.clone().into_os_string());
        let helm = Helm::new(helm::Setup {
            supervisor,
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
            env_name: args.env,
            registry: env.registry.clone().or_else(|| pipeline.registry.clone()),
            env,
            release: service.name.to_string(),
            service,
            namespace,
            helm,
            cluster,
            cancel,
            tell: Tell::new(redactor.clone()),
            redactor,
            run: RunRef { id, commit, started },
            git_ref,
            ambient,
            pipeline,
        })
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

fn service<'p>(pipeline: &'p Pipeline, args: &ReleaseArgs) -> Result<&'p Service, ReleaseError> {
    let mut with_chart = pipeline.services.values().filter(|service| service.chart.is_some());
    match (&args.service, with_chart.next(), with_chart.next()) {
        (Some(name), ..) => pipeline.services.get(name).ok_or_else(|| {
            let names: Vec<&str> = pipeline.services.keys().map(|name| name.as_str()).collect();
            ReleaseError::Usage(format!(
                "no service `{name}` in pipeline.yaml, which has {}",
                names.join(", ")
            ))
        }),
        (None, Some(only), None) => Ok(only),
        (None, None, _) => Err(ReleaseError::Usage("no service in pipeline.yaml has a chart".to_owned())),
        (None, Some(_), Some(_)) => {
            Err(ReleaseError::Usage("several services have charts: name one with --service".to_owned()))
        }
    }
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
