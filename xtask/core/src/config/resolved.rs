//! The configuration as the rest of the product sees it: defaults filled in, names checked, paths known to exist.
//!
//! Nothing here reads a file; values are made by `load` only.

use crate::ids::{ServiceName, StageId};
use crate::outcome::Severity;
use jiff::civil::Date;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// A program and its arguments. Never a shell line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Argv {
    /// The program: a name looked up on PATH, or a path relative to the root.
    pub program: String,
    /// Its arguments.
    pub args: Vec<String>,
}

/// The name of an environment variable.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct EnvName(pub(super) String);

impl EnvName {
    /// Where the Docker engine is, if not at its usual socket.
    pub fn docker_host() -> EnvName {
        EnvName("DOCKER_HOST".to_owned())
    }

    /// Who pushes to a registry.
    pub fn registry_username() -> EnvName {
        EnvName("REGISTRY_USERNAME".to_owned())
    }

    /// The password or token of that user; masked like every secret.
    pub fn registry_password() -> EnvName {
        EnvName("REGISTRY_PASSWORD".to_owned())
    }

    /// With what GitHub's API is asked; masked like every secret.
    pub fn github_token() -> EnvName {
        EnvName("GITHUB_TOKEN".to_owned())
    }

    /// Variables whose values are secret wherever they are set, whether `pipeline.yaml` names them or not.
    pub(super) fn secret_by_themselves() -> impl Iterator<Item = EnvName> {
        let of_the_cloud =
            ["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"].map(|name| EnvName(name.to_owned()));
        [EnvName::registry_password(), EnvName::github_token()].into_iter().chain(of_the_cloud)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The whole of `pipeline.yaml`.
#[derive(Debug, Clone)]
pub struct Pipeline {
    /// The folder that holds `pipeline.yaml`, absolute.
    pub root: PathBuf,
    /// The project's name.
    pub project: String,
    /// The registry that images are pushed to, without a scheme.
    pub registry: Option<String>,
    /// The services, by name.
    pub services: BTreeMap<ServiceName, Service>,
    /// The environments, by name.
    pub environments: BTreeMap<String, Environment>,
    /// Charts that belong to no service, relative to the root.
    pub charts: Vec<String>,
    /// The Terraform root module.
    pub terraform: Option<Terraform>,
    /// The Ansible playbooks.
    pub ansible: Option<Ansible>,
    /// The GitHub Actions workflows.
    pub workflows: Option<Workflows>,
    /// Variables whose values are masked everywhere.
    pub secrets: Vec<EnvName>,
    /// What policy accepts.
    pub limits: Limits,
}

/// The languages with default checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// Cargo.
    Rust,
    /// npm.
    Node,
    /// ruff and pytest.
    Python,
    /// go vet and go test.
    Go,
    /// composer.
    Php,
    /// No defaults: only the checks that are written down.
    Other,
}

/// One service.
#[derive(Debug, Clone)]
pub struct Service {
    /// Its name.
    pub name: ServiceName,
    /// Its folder, relative to the root.
    pub path: String,
    /// Its language.
    pub language: Language,
    /// The lint commands, run in order in the root.
    pub lint: Vec<Argv>,
    /// The test commands, run in order in the root.
    pub test: Vec<Argv>,
    /// Globs of the files that decide its results, relative to the root.
    pub inputs: Vec<String>,
    /// Files that its checks leave behind and that a cache hit restores, relative to the root.
    pub outputs: Vec<String>,
    /// Variables that pass to its checks and belong to their key.
    pub env: Vec<EnvName>,
    /// JUnit files that its test commands write, relative to the root.
    pub junit: Vec<String>,
    /// Its image.
    pub image: Option<Image>,
    /// Its chart's folder, relative to the root.
    pub chart: Option<String>,
    /// Services that are released before it. Following them ends, and all of them have charts.
    pub after: Vec<ServiceName>,
}

/// How a service's image is built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Image {
    /// The Dockerfile, relative to the root.
    pub dockerfile: String,
    /// The build context, relative to the root.
    pub context: String,
    /// The platforms, as `linux/amd64`.
    pub platforms: Vec<String>,
    /// How the same image is made without an engine.
    pub embedded: Option<Embedded>,
}

/// What the embedded builder needs: the final stage of the Dockerfile says everything else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Embedded {
    /// The command that makes the files, run in the root.
    pub build: Argv,
    /// For each source path of a `COPY --from` in the final stage, the file on this machine, relative to the root.
    pub files: BTreeMap<String, String>,
}

/// One environment that releases go to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Environment {
    /// The cluster's name.
    pub cluster: Option<String>,
    /// The cloud's region.
    pub region: Option<String>,
    /// The cloud's account, 12 digits.
    pub account: Option<String>,
    /// The namespace.
    pub namespace: Option<String>,
    /// The values file's name inside each chart.
    pub values: Option<String>,
    /// Whether touching it needs an approval.
    pub approval: bool,
    /// The environment of GitHub whose reviewers approve.
    pub github_environment: String,
    /// The environment that a digest must be proven in first.
    pub promoted_from: Option<String>,
    /// The kubeconfig, as written: absolute, or relative to the root.
    pub kubeconfig: Option<String>,
    /// The context in the kubeconfig.
    pub context: Option<String>,
    /// The UID of the cluster's namespace `kube-system`.
    pub cluster_uid: Option<String>,
    /// What the values and the namespace's label `environment` must say.
    pub label: String,
    /// The registry that the cluster pulls from, without a scheme.
    pub registry: Option<String>,
    /// When a release is refused before anything is touched.
    pub guards: Guards,
    /// How long each part of a release may take.
    pub budgets: Budgets,
}

/// When a release is refused before anything is touched.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Guards {
    /// Globs of the branches and tags that may be released; empty means all.
    pub refs: Vec<String>,
    /// Times in which nothing is released.
    pub freeze: Vec<Freeze>,
}

/// A time in which nothing is released.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Freeze {
    /// The first day, UTC.
    pub from: Date,
    /// The last day, UTC.
    pub to: Date,
    /// Why.
    pub reason: String,
}

/// How long each part of a release may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Budgets {
    /// Waiting for somebody else's release of the same service.
    pub lock: Duration,
    /// One operation of Helm, such as a hook.
    pub apply: Duration,
    /// From the moment when Helm is done until everything runs.
    pub watch: Duration,
    /// Staying well before it counts as good.
    pub soak: Duration,
}

/// The Terraform root module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Terraform {
    /// Its folder, relative to the root.
    pub path: String,
    /// The folder of a stand-in provider's Go module, for plans without an account.
    pub stand_in: Option<String>,
    /// Variable files for the plan, relative to `path`.
    pub var_files: Vec<String>,
}

/// The Ansible playbooks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ansible {
    /// The folder, relative to the root.
    pub path: String,
    /// The playbooks, relative to `path`.
    pub playbooks: Vec<String>,
    /// The inventory for the syntax check, relative to `path`.
    pub inventory: Option<String>,
}

/// The GitHub Actions workflows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Workflows {
    /// The folder, relative to the root.
    pub path: String,
    /// Whether the files are generated from the stage table and must not drift from it.
    pub generated: bool,
}

/// What policy accepts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// Vulnerabilities and other findings of scanners.
    pub vulnerabilities: Vulnerabilities,
    /// Findings that are accepted for a while.
    pub waivers: Vec<Waiver>,
    /// Deadlines.
    pub timeouts: Timeouts,
    /// Plans.
    pub terraform: TerraformLimits,
}

/// Which severities reject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Vulnerabilities {
    /// These reject.
    pub reject: Vec<Severity>,
    /// Whether vulnerabilities without a fix are only noted.
    pub ignore_unfixed: bool,
}

/// A finding that is accepted for a while, by somebody, for a reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Waiver {
    /// The rule: `CVE-2026-0001`, `CKV_AWS_39`.
    pub id: String,
    /// Who answers for it.
    pub owner: String,
    /// The last day on which it holds.
    pub expires: Date,
    /// Why it is accepted.
    pub reason: String,
}

/// Deadlines of stages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Timeouts {
    /// Of every stage without its own.
    pub default: Duration,
    /// Of single stages.
    pub stages: BTreeMap<StageId, Duration>,
}

impl Timeouts {
    /// The deadline of a stage.
    pub fn of(&self, stage: StageId) -> Duration {
        self.stages.get(&stage).copied().unwrap_or(self.default)
    }
}

/// What a plan may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TerraformLimits {
    /// How many resources a plan may destroy or replace.
    pub max_destroy: u32,
}
