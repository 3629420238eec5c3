//! The command line: types only, no behaviour. Every word that `--help` shows is here.

mod lab;
mod push;
mod ship;

pub use lab::{Driver, LabCommand, Power};
pub use push::PushArgs;
pub use ship::{
    DeployArgs, DiffArgs, PromoteArgs, RecoverArgs, ReleaseArgs, RollbackArgs, SetArgs, StatusArgs,
};

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use xtask_core::ids::{ServiceName, StageId};

/// From commit to production and back, in one typed binary.
///
/// Every command reads the nearest pipeline.yaml upwards from the working directory. The same commands run on a laptop and in CI;
/// what they see is written to target/xtask/report.json.
#[derive(Debug, Parser)]
#[command(name = "xtask", bin_name = "cargo xtask", version, max_term_width = 110, after_help = EXIT_CODES)]
pub struct Cli {
    /// The repository: the folder that holds pipeline.yaml [default: the nearest one upwards].
    #[arg(long, global = true, value_name = "DIR", help_heading = "Everywhere")]
    pub root: Option<PathBuf>,
    /// How to show what happens.
    #[arg(long, global = true, value_enum, default_value_t = Output::Auto, help_heading = "Everywhere")]
    pub output: Output,
    /// A tool that cannot be had is an error (exit 21) and not a skipped stage. Always so when CI=true.
    #[arg(long, global = true, help_heading = "Everywhere")]
    pub strict: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
  0 passed · 2 usage or configuration · 10 rejected by policy · 11 guard refused · 12 bad release, rolled back and verified
  13 rolled back, not verified · 14 not rolled back, a person is needed · 20 a tool broke · 21 a tool is missing
  30 timed out · 70 our bug · 130 cancelled";

/// How to show what happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// terminal on a terminal, github in GitHub Actions, plain elsewhere.
    Auto,
    /// Progress on standard error, results on standard output.
    Terminal,
    /// Lines only.
    Plain,
    /// Groups, annotations and a step summary for GitHub Actions.
    Github,
    /// Every event as one line of JSON on standard output.
    Jsonl,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Every check that a pull request must pass: all stages, in parallel, nothing pushed.
    ///
    /// Provisions the tools that it needs, checks every service and the repository, builds the images, scans them, and prints a
    /// summary. A second run with nothing changed takes everything from the cache.
    PrChecks(RunArgs),
    /// Lint each service with its own commands.
    Lint(RunArgs),
    /// Test each service with its own commands.
    Test(RunArgs),
    /// Build each service's image; the digest is printed, nothing is pushed.
    Build(RunArgs),
    /// List what is in each image (CycloneDX and SPDX, by Syft).
    Sbom(RunArgs),
    /// Scan each image for vulnerabilities, secrets and misconfiguration (Trivy).
    Scan(RunArgs),
    /// Look for secrets in the repository (Gitleaks).
    Secrets(RunArgs),
    /// Lint every Dockerfile (hadolint).
    Dockerfile(RunArgs),
    /// Lint, render, validate and unit-test every chart (Helm, kubeconform, helm-unittest, promtool).
    Chart(RunArgs),
    /// Format, validate and plan the Terraform root module, and judge the plan.
    Terraform(RunArgs),
    /// Scan Terraform, its plan, chart renders, Dockerfiles and workflows against policies (Checkov).
    Iac(RunArgs),
    /// Check the Ansible playbooks (syntax, ansible-lint at its production profile).
    Ansible(RunArgs),
    /// Check the GitHub Actions workflows (actionlint, zizmor as auditor, drift of generated files).
    Workflows(RunArgs),
    /// Push each service's image to its registry by digest, and verify it there.
    ///
    /// Builds first, unless the image is in the cache. What the registry has is not sent again, so a second push costs a few
    /// questions. Credentials come from $REGISTRY_USERNAME and $REGISTRY_PASSWORD, or from where `docker login` leaves them, or for ECR
    /// from AWS credentials.
    Push(PushArgs),
    /// Show the graph: what would run, what is in the cache, how long it should take.
    Plan(PlanArgs),
    /// Say which part of a stage's inputs changed since its nearest earlier run.
    Why(WhyArgs),
    /// Show the report of an earlier run again, byte for byte; or judge a recorded rollout again.
    Replay(ReplayArgs),
    /// List every need of every stage, and what is missing on this machine.
    Doctor,
    /// Install, list and check the external tools that tools.lock pins.
    #[command(subcommand)]
    Tools(ToolsCommand),
    /// Write the files that are made from the stage table: the GitHub workflows.
    Generate(GenerateArgs),
    /// Release a service: apply, watch, prove; roll back to the last good release when it is bad.
    ///
    /// Exit 12 means that the release was bad and that the last good one runs again, verified. Nothing is touched before every guard
    /// has agreed; what stands in the way is listed with what was expected and what was found (exit 11).
    ///
    /// With --set, several services are one release: they go forward in the order of `after` in pipeline.yaml, and when one is bad, all
    /// that have moved go back in reverse, each to its own last good release.
    Deploy(DeployArgs),
    /// Release what the environment before has proven: the same image, by digest.
    Promote(PromoteArgs),
    /// Go back to the last good release, or to a revision, and verify that it is well.
    Rollback(RollbackArgs),
    /// Finish what an interrupted or killed release left behind.
    Recover(RecoverArgs),
    /// Ask the service that runs who it is: /healthz must show the environment, /version the build, of what was released.
    ///
    /// Asks a ready pod of each Deployment through the API server, and changes nothing. Exit 10 means that it answers wrongly or not at
    /// all, exit 20 that the cluster could not be asked. A release without anything to ask is no pass (exit 2).
    Smoke(ReleaseArgs),
    /// Say what runs: since when, from which run and commit, the last good release, who holds the lock.
    Status(StatusArgs),
    /// Show what a deployment would change on the cluster, as the cluster's own dry run says. Contents of Secrets are not shown.
    Diff(DiffArgs),
    /// Bring up a real Kubernetes on this machine, from its published sources (Linux, root), or take it down.
    #[command(subcommand)]
    Lab(LabCommand),
    /// Run this project's own tests: all of `cargo test --workspace`, and those that need real tools.
    Selftest,
    /// Print completions for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// Which nodes run, and how.
#[derive(Debug, Args, Clone, Default)]
pub struct RunArgs {
    /// Only this service (may be given again). Stages of the repository run only if no service is named.
    #[arg(long, value_name = "NAME", value_parser = service)]
    pub service: Vec<ServiceName>,
    /// Leave a stage out (may be given again). It counts as not checked.
    #[arg(long, value_name = "STAGE", value_parser = stage)]
    pub without: Vec<StageId>,
    /// Only what files changed since the merge base with BASE can affect [default BASE: the pull request's base, or origin/main].
    #[arg(long, value_name = "BASE", num_args = 0..=1, default_missing_value = "")]
    pub affected: Option<String>,
    /// Run everything that can run, even when something failed.
    #[arg(long)]
    pub keep_going: bool,
    /// Show what would run and what is missing; run nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Cores to use [default: all, and one more to start and end stages].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub jobs: Option<u32>,
}

/// What `plan` shows.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// Which nodes.
    #[command(flatten)]
    pub run: RunArgs,
    /// Print a matrix for GitHub Actions: one entry a service that has work to do, and one for the repository.
    #[arg(long)]
    pub matrix: bool,
    /// Print JSON.
    #[arg(long, conflicts_with = "matrix")]
    pub json: bool,
}

/// What `why` explains.
#[derive(Debug, Args)]
pub struct WhyArgs {
    /// The stage.
    #[arg(value_parser = stage)]
    pub stage: StageId,
    /// The service, if there is more than one.
    #[arg(long, value_name = "NAME", value_parser = service)]
    pub service: Option<ServiceName>,
}

/// What `replay` shows.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// The report [default: that of the last run], or the recording of a rollout.
    pub report: Option<PathBuf>,
    /// For a recording: the grace of a rule, such as F9=40s or F6=3x; may be given again.
    #[arg(long, value_name = "RULE=GRACE", requires = "report")]
    pub grace: Vec<String>,
}

/// What `generate` does.
#[derive(Debug, Args)]
pub struct GenerateArgs {
    /// Write nothing; exit 10 with a difference if a file is not what would be written.
    #[arg(long)]
    pub check: bool,
}

/// External tools.
#[derive(Debug, Subcommand)]
pub enum ToolsCommand {
    /// Install tools into the user's cache, verified; without names, all that this repository needs.
    Sync {
        /// Tools of tools.lock.
        names: Vec<String>,
    },
    /// Show every tool: version, whether it is installed, where from.
    List,
    /// Hash every installed tool again and compare.
    Verify {
        /// Tools of tools.lock; without names, all that are installed.
        names: Vec<String>,
    },
    /// Pin another version: fetches it once, and rewrites its checksums in tools.lock.
    Update {
        /// The tool.
        name: String,
        /// The version.
        version: String,
    },
}

fn stage(text: &str) -> Result<StageId, String> {
    text.parse().map_err(|_| {
        let names: Vec<&str> = StageId::ALL.iter().map(|id| id.as_str()).collect();
        format!("not a stage; the stages are {}", names.join(", "))
    })
}

fn service(text: &str) -> Result<ServiceName, String> {
    ServiceName::try_from(text.to_owned()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_help_names_every_exit_code() {
        for code in xtask_core::error::ExitCode::ALL {
            let entry = format!("{} {}", code.number(), code.meaning());
            let flat = EXIT_CODES.replace('\n', " ");
            assert!(flat.contains(&entry), "{entry}");
        }
    }

    #[test]
    fn every_stage_is_a_command() {
        let command = Cli::command();
        for id in StageId::ALL {
            assert!(command.find_subcommand(id.as_str()).is_some(), "{id}");
        }
    }
}
