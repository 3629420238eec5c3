//! `pipeline.yaml` as it is written. The comments on the fields are the descriptions in `pipeline.schema.json`, which editors
//! show; `schema` generates it from these types.
//!
//! Nothing here has a default and nothing looks at the disk: `resolve` does both.

use super::resolved::Language;
use super::text::{
    Account, Checked, Day, Deadline, Name, Platform, Prose, Registry, Text, Timed, Variable, Word,
};
use super::value::{Command, Count, Entries, Flag, List, Opt, Version};
use crate::outcome::Severity;
use serde::Deserialize;

/// Services, environments and limits: the one file that a team edits. All paths are relative to the folder that holds it. What is
/// not configured is not checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Pipeline {
    /// The version of this file's format: 1.
    #[serde(rename = "version")]
    pub(super) _version: Version,
    /// The project's name: lower-case letters, digits and dashes.
    pub(super) project: Checked<Name>,
    /// The registry that images are pushed to, without `https://`.
    #[serde(default)]
    pub(super) registry: Opt<Checked<Registry>>,
    /// The services, by name. At least one.
    pub(super) services: Entries<Checked<Name>, Service, 1>,
    /// The environments that releases go to, by name.
    #[serde(default)]
    pub(super) environments: Opt<Entries<Checked<Name>, Environment>>,
    /// Helm charts that belong to no service.
    #[serde(default)]
    pub(super) charts: Opt<List<Checked<Text>>>,
    /// The Terraform root module.
    #[serde(default)]
    pub(super) terraform: Opt<Terraform>,
    /// The Ansible playbooks.
    #[serde(default)]
    pub(super) ansible: Opt<Ansible>,
    /// The GitHub Actions workflows.
    #[serde(default)]
    pub(super) workflows: Opt<Workflows>,
    /// Names of variables whose values are secret: masked wherever they would be shown or written.
    #[serde(default)]
    pub(super) secrets: Opt<List<Checked<Variable>>>,
    /// What is acceptable.
    #[serde(default)]
    pub(super) limits: Opt<Limits>,
}

/// One service.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Service {
    /// Its folder.
    pub(super) path: Checked<Text>,
    /// Its language: it gives the default lint and test commands, and the default inputs.
    pub(super) language: Word<Language>,
    /// Commands in place of the language's own.
    #[serde(default)]
    pub(super) checks: Opt<Checks>,
    /// Globs of the files that decide its results; `!` in front leaves files out. Default: everything in its folder, and the
    /// language's manifests in the root. Write it when the service reads anything else, such as a crate that it shares.
    #[serde(default)]
    pub(super) inputs: Opt<List<Checked<Text>, 1>>,
    /// Files that its checks make, and that are restored when a result comes from the cache.
    #[serde(default)]
    pub(super) outputs: Opt<List<Checked<Text>>>,
    /// Names of variables that its checks see. They decide its results too; every other variable, but for a short base, is
    /// kept from them.
    #[serde(default)]
    pub(super) env: Opt<List<Checked<Variable>>>,
    /// JUnit files that its test commands write.
    #[serde(default)]
    pub(super) junit: Opt<List<Checked<Text>>>,
    /// Its image.
    #[serde(default)]
    pub(super) image: Opt<Image>,
    /// The folder of its Helm chart.
    #[serde(default)]
    pub(super) chart: Opt<Checked<Text>>,
    /// Services that are released before it, and go back after it, when they are released together.
    #[serde(default)]
    pub(super) after: Opt<List<Checked<Name>>>,
}

/// Commands in place of the language's own, run in order in the root. Each is a list of words, never a line for a shell. An
/// empty list of commands takes the check away.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Checks {
    /// The linters: `[["cargo", "clippy"]]`.
    #[serde(default)]
    pub(super) lint: Opt<List<Command>>,
    /// The tests: `[["cargo", "test"]]`.
    #[serde(default)]
    pub(super) test: Opt<List<Command>>,
}

/// How a service's image is built.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Image {
    /// The Dockerfile. Default: `Dockerfile` in the service's folder.
    #[serde(default)]
    pub(super) dockerfile: Opt<Checked<Text>>,
    /// The build context. Default: the root.
    #[serde(default)]
    pub(super) context: Opt<Checked<Text>>,
    /// The platforms. Default: `linux/amd64`.
    #[serde(default)]
    pub(super) platforms: Opt<List<Checked<Platform>, 1>>,
    /// How the same image is made on a machine without a container engine.
    #[serde(default)]
    pub(super) embedded: Opt<Embedded>,
}

/// What a build without a container engine needs; the final stage of the Dockerfile says everything else.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Embedded {
    /// The command that makes the files, run in the root.
    pub(super) build: Command,
    /// For each file that the final stage copies from an earlier one, the file that the command makes.
    pub(super) files: Entries<Checked<Text>, Checked<Text>, 1>,
}

/// One environment that releases go to.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Environment {
    /// The cluster's name.
    #[serde(default)]
    pub(super) cluster: Opt<Checked<Text>>,
    /// The cloud's region.
    #[serde(default)]
    pub(super) region: Opt<Checked<Text>>,
    /// The cloud's account: 12 digits, in quotes.
    #[serde(default)]
    pub(super) account: Opt<Checked<Account>>,
    /// The namespace.
    #[serde(default)]
    pub(super) namespace: Opt<Checked<Name>>,
    /// The name of the values file in the chart of each service.
    #[serde(default)]
    pub(super) values: Opt<Checked<Text>>,
    /// Whether somebody must approve before it is touched. Default: false.
    #[serde(default)]
    pub(super) approval: Opt<Flag>,
    /// The environment of GitHub whose reviewers approve in Actions. Default: the environment's name.
    #[serde(default)]
    pub(super) github_environment: Opt<Checked<Text>>,
    /// The environment in which an image must have proven itself before.
    #[serde(default)]
    pub(super) promoted_from: Opt<Checked<Name>>,
    /// The kubeconfig, if it is not the one of this machine. A relative path counts from the root.
    #[serde(default)]
    pub(super) kubeconfig: Opt<Checked<Text>>,
    /// The context in the kubeconfig. Default: its current one.
    #[serde(default)]
    pub(super) context: Opt<Checked<Text>>,
    /// The UID of the cluster's namespace `kube-system`: nothing is done to a cluster that has another one.
    #[serde(default)]
    pub(super) cluster_uid: Opt<Checked<Text>>,
    /// What the values and the label `environment` of the namespace must say. Default: the environment's name.
    #[serde(default)]
    pub(super) label: Opt<Checked<Name>>,
    /// The registry that this environment's cluster pulls from. Default: the project's.
    #[serde(default)]
    pub(super) registry: Opt<Checked<Registry>>,
    /// When a release is refused before anything is touched.
    #[serde(default)]
    pub(super) guards: Opt<Guards>,
    /// How long each part of a release may take.
    #[serde(default)]
    pub(super) budgets: Opt<Budgets>,
}

/// When a release is refused before anything is touched.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Guards {
    /// Globs of the branches and tags that may be released. Default: all.
    #[serde(default)]
    pub(super) refs: Opt<List<Checked<Text>, 1>>,
    /// Times in which nothing is released.
    #[serde(default)]
    pub(super) freeze: Opt<List<Freeze>>,
}

/// A time in which nothing is released, for a reason. Days are those of UTC.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Freeze {
    /// The first day.
    pub(super) from: Checked<Day>,
    /// The last day.
    pub(super) to: Checked<Day>,
    /// Why.
    pub(super) reason: Checked<Prose>,
}

/// How long each part of a release may take, as `90s`, `20m` or `2h`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Budgets {
    /// How long to wait for somebody else's release of the same service to end. Default: 2m.
    #[serde(default)]
    pub(super) lock: Opt<Checked<Deadline>>,
    /// How long Helm may wait for one operation, such as a hook. Default: 5m.
    #[serde(default)]
    pub(super) apply: Opt<Checked<Deadline>>,
    /// How long until everything runs, from the moment when Helm is done. Default: 10m.
    #[serde(default)]
    pub(super) watch: Opt<Checked<Deadline>>,
    /// How long it must stay well before it counts as good. Default: 30s.
    #[serde(default)]
    pub(super) soak: Opt<Checked<Deadline>>,
}

/// The Terraform root module.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Terraform {
    /// Its folder.
    pub(super) path: Checked<Text>,
    /// The Go module of a stand-in for the cloud's provider, for plans without an account.
    #[serde(default)]
    pub(super) stand_in: Opt<Checked<Text>>,
    /// Files of variables for the plan, relative to `path`.
    #[serde(default)]
    pub(super) var_files: Opt<List<Checked<Text>>>,
}

/// The Ansible playbooks.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Ansible {
    /// Their folder.
    pub(super) path: Checked<Text>,
    /// The playbooks, relative to `path`.
    pub(super) playbooks: List<Checked<Text>, 1>,
    /// The inventory for the syntax check, relative to `path`.
    #[serde(default)]
    pub(super) inventory: Opt<Checked<Text>>,
}

/// The GitHub Actions workflows.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Workflows {
    /// Their folder.
    pub(super) path: Checked<Text>,
    /// Whether they are generated, and must be what the generator would write. Default: false.
    #[serde(default)]
    pub(super) generated: Opt<Flag>,
}

/// What is acceptable.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Limits {
    /// Which findings of scanners reject.
    #[serde(default)]
    pub(super) vulnerabilities: Opt<Vulnerabilities>,
    /// Findings that are accepted for a while.
    #[serde(default)]
    pub(super) waivers: Opt<List<Waiver>>,
    /// Deadlines, as `90s`, `20m` or `2h`: `default` is for each stage without one of its own. Default: 20m.
    #[serde(default)]
    pub(super) timeouts: Opt<Entries<Word<Timed>, Checked<Deadline>>>,
    /// What a Terraform plan may do.
    #[serde(default)]
    pub(super) terraform: Opt<TerraformLimits>,
}

/// Which findings of scanners reject. One whose severity nobody knows always does.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Vulnerabilities {
    /// The severities that reject. Default: high and critical.
    #[serde(default)]
    pub(super) reject: Opt<List<Word<Severity>>>,
    /// Whether vulnerabilities without a fix are only noted. Default: false.
    #[serde(default)]
    pub(super) ignore_unfixed: Opt<Flag>,
}

/// A finding that is accepted for a while, by somebody, for a reason.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Waiver {
    /// The rule, as `CVE-2026-0001` or `CKV_AWS_39`.
    pub(super) id: Checked<Text>,
    /// Who answers for it.
    pub(super) owner: Checked<Text>,
    /// The last day on which it holds, as `2027-01-31`. After it, the file is refused.
    pub(super) expires: Checked<Day>,
    /// Why it is accepted.
    pub(super) reason: Checked<Prose>,
}

/// What a Terraform plan may do.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct TerraformLimits {
    /// How many resources it may destroy or replace. Default: 0.
    #[serde(default)]
    pub(super) max_destroy: Opt<Count>,
}
