//! The words of the commands that release: types only. What they do is in the full binary.

use super::service;
use clap::Args;
use xtask_core::ids::ServiceName;

/// Which release.
#[derive(Debug, Args, Clone)]
pub struct ReleaseArgs {
    /// The environment, as in pipeline.yaml.
    #[arg(long, value_name = "NAME")]
    pub env: String,
    /// The service, if more than one has a chart.
    #[arg(long, value_name = "NAME", value_parser = service)]
    pub service: Option<ServiceName>,
    /// Print the result as JSON on standard output.
    #[arg(long)]
    pub json: bool,
}

/// Several releases at once.
#[derive(Debug, Args, Clone, Default)]
pub struct SetArgs {
    /// All services that have a chart, or only those named, as one: in the order of their `after`, and back in reverse.
    #[arg(long, value_name = "SERVICE", num_args = 0.., value_parser = service, conflicts_with = "service")]
    pub set: Option<Vec<ServiceName>>,
}

/// What is deployed.
#[derive(Debug, Args)]
pub struct DeployArgs {
    /// Which release.
    #[command(flatten)]
    pub release: ReleaseArgs,
    /// Or several.
    #[command(flatten)]
    pub set: SetArgs,
    /// The image: sha256:… in the environment's registry [default: the one that `build` made last].
    #[arg(long, value_name = "DIGEST", value_parser = digest, conflicts_with = "set")]
    pub digest: Option<String>,
    /// Show the plan and what the guards say; touch nothing. In GitHub Actions also in the step summary and as the output `plan`.
    #[arg(long)]
    pub dry_run: bool,
    /// Carry out the plan with this digest, which --dry-run has shown, and no other. GitHub's reviewers approve no less.
    #[arg(long, value_name = "DIGEST", value_parser = plan, conflicts_with = "dry_run")]
    pub plan: Option<String>,
}

/// What is compared with the cluster.
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// Which release.
    #[command(flatten)]
    pub release: ReleaseArgs,
    /// The image: sha256:… in the environment's registry [default: the one that `build` made last].
    #[arg(long, value_name = "DIGEST", value_parser = digest)]
    pub digest: Option<String>,
}

/// What `promote` does.
#[derive(Debug, Args)]
pub struct PromoteArgs {
    /// Which release; its environment names the one it is promoted from.
    #[command(flatten)]
    pub release: ReleaseArgs,
    /// Or several.
    #[command(flatten)]
    pub set: SetArgs,
    /// Show the plan and what the guards say; touch nothing. In GitHub Actions also in the step summary and as the output `plan`.
    #[arg(long)]
    pub dry_run: bool,
    /// Carry out the plan with this digest, which --dry-run has shown, and no other. GitHub's reviewers approve no less.
    #[arg(long, value_name = "DIGEST", value_parser = plan, conflicts_with = "dry_run")]
    pub plan: Option<String>,
}

/// Where `rollback` goes.
#[derive(Debug, Args)]
pub struct RollbackArgs {
    /// Which release.
    #[command(flatten)]
    pub release: ReleaseArgs,
    /// The revision [default: the last one that was proven good].
    #[arg(long, value_name = "REVISION", value_parser = clap::value_parser!(u32).range(1..))]
    pub to: Option<u32>,
}

/// What `recover` may do about a question that only a person can answer.
#[derive(Debug, Args)]
pub struct RecoverArgs {
    /// Which release.
    #[command(flatten)]
    pub release: ReleaseArgs,
    /// What a set left behind: its services are proven to the end, or all go back.
    #[arg(long, conflicts_with_all = ["service", "resume"])]
    pub set: bool,
    /// Go on where it stopped: watch what runs now, and call it good only when it is.
    #[arg(long)]
    pub resume: bool,
    /// Forget the question, because somebody has looked: the next deployment starts from what runs now.
    #[arg(long, conflicts_with = "resume")]
    pub r#override: bool,
}

/// Of what `status` tells.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Which release.
    #[command(flatten)]
    pub release: ReleaseArgs,
    /// Or several.
    #[command(flatten)]
    pub set: SetArgs,
}

fn is_sha256(hex: &str) -> bool {
    hex.len() == 64 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn plan(text: &str) -> Result<String, String> {
    if is_sha256(text) {
        Ok(text.to_owned())
    } else {
        Err("a plan is named by its whole digest: 64 digits or letters a to f".to_owned())
    }
}

fn digest(text: &str) -> Result<String, String> {
    if text.strip_prefix("sha256:").is_some_and(is_sha256) {
        Ok(text.to_owned())
    } else {
        Err("an image is named by its digest: sha256: and 64 digits or letters a to f".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_named_by_a_whole_digest_only() {
        let right = format!("sha256:{}", "0a".repeat(32));
        assert_eq!(digest(&right).as_deref(), Ok(right.as_str()));
        for wrong in ["", "main", "sha256:", &right[..70], &right.to_uppercase(), &format!("{right}0")] {
            assert!(digest(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_plan_is_named_by_its_whole_digest_which_can_be_no_path() {
        let right = "0a".repeat(32);
        assert_eq!(plan(&right).as_deref(), Ok(right.as_str()));
        for wrong in ["", "../x", &right[..12], &right.to_uppercase(), &format!("sha256:{right}")] {
            assert!(plan(wrong).is_err(), "{wrong}");
        }
    }
}
