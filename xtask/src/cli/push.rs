//! The words of `push`: types only. What they do is in the full binary.

use crate::cli::service;
use clap::Args;
use xtask_core::ids::ServiceName;

/// What is pushed, and where to.
#[derive(Debug, Args)]
pub struct PushArgs {
    /// Only this service (may be given again).
    #[arg(long, value_name = "NAME", value_parser = service)]
    pub service: Vec<ServiceName>,
    /// Where to, for one service [default: the registry of pipeline.yaml, with the service's name as repository].
    #[arg(long, value_name = "REGISTRY/REPOSITORY")]
    pub to: Option<String>,
    /// A further name for the digest (may be given again), beside the commit and, on the branch main, `main`.
    #[arg(long, value_name = "TAG")]
    pub tag: Vec<String>,
    /// Push also what the embedded builder made where images from a Dockerfile are required: CI=true, --strict.
    #[arg(long)]
    pub allow_embedded: bool,
    /// Show what would be pushed where; push nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Print what was pushed as JSON on standard output; everything else goes to standard error.
    #[arg(long)]
    pub json: bool,
}
