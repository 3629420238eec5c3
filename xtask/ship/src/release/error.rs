//! Why a release command could not do its work. That a release is bad is no error: it is how the release ended.

use super::guards::Refusal;
use crate::cluster::ClusterError;
use crate::github::GitHubError;
use crate::helm::HelmError;
use std::fmt::Write;
use xtask_core::error::ExitCode;
use xtask_core::ids::ServiceName;

/// Why a release command could not do its work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReleaseError {
    /// The command line or the configuration.
    #[error("{0}")]
    Usage(String),
    /// Guards refuse.
    #[error("{}", refusals(.0))]
    Refused(Vec<Refusal>),
    /// Guards refuse releases of a set: each with the services that it refuses.
    #[error("{}", refusals_of_set(.0))]
    RefusedSet(Vec<(Refusal, Vec<String>)>),
    /// One release of a set.
    #[error("{release}: {error}")]
    Of {
        /// Which.
        release: String,
        /// Why.
        error: Box<ReleaseError>,
    },
    /// Somebody must approve, and nobody has.
    #[error("not approved: {0}")]
    NotApproved(Refusal),
    /// GitHub did not say whether somebody has.
    #[error("{0}; nothing was touched")]
    GitHub(GitHubError),
    /// Somebody else is at work on this release.
    #[error("{holder} is at work on this release, and still was when the time to wait was over")]
    Held {
        /// Who.
        holder: String,
    },
    /// The lock went to somebody else meanwhile.
    #[error("the lock of this release went to {holder} meanwhile; nothing more was touched")]
    LockLost {
        /// To whom.
        holder: String,
    },
    /// An earlier release ended with a question that only a person can answer.
    #[error("a person is needed: {0}")]
    NeedsHuman(String),
    /// The journal.
    #[error("the journal {name}: {why}")]
    Journal {
        /// The ConfigMap.
        name: String,
        /// What is wrong.
        why: String,
    },
    /// Helm.
    #[error(transparent)]
    Helm(HelmError),
    /// The cluster.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// A tool is not there.
    #[error("`{tool}` is missing: {why}")]
    Missing {
        /// Which.
        tool: String,
        /// Where it was looked for.
        why: String,
    },
    /// The command was stopped: where, and what it left.
    #[error("stopped{0}")]
    Cancelled(String),
    /// The command was stopped while it looked, planned or asked.
    #[error("stopped before anything was touched")]
    NotBegun,
    /// A fault of this program.
    #[error("{0}; this is a fault of xtask, please report it")]
    Bug(String),
}

fn refusals(all: &[Refusal]) -> String {
    let mut text = format!("refused by {}", if all.len() == 1 { "a guard" } else { "guards" });
    for refusal in all {
        let _ = write!(text, "\n  {refusal}");
    }
    text
}

fn refusals_of_set(all: &[(Refusal, Vec<String>)]) -> String {
    let mut text = "refused by guards".to_owned();
    for (refusal, names) in all {
        let _ = write!(text, "\n  {refusal} ({})", names.join(", "));
    }
    text
}

impl From<HelmError> for ReleaseError {
    fn from(error: HelmError) -> Self {
        match error {
            HelmError::Cancelled => ReleaseError::Cancelled(String::new()),
            error @ (HelmError::Process(_) | HelmError::Failed { .. } | HelmError::Unreadable { .. }) => {
                ReleaseError::Helm(error)
            }
        }
    }
}

impl ReleaseError {
    /// The same, as one release of a set. A stop is that of the whole command.
    pub(crate) fn of(self, release: &ServiceName) -> ReleaseError {
        if matches!(self, ReleaseError::Of { .. } | ReleaseError::Cancelled(_) | ReleaseError::NotBegun) {
            return self;
        }
        ReleaseError::Of { release: release.to_string(), error: Box::new(self) }
    }

    /// The same, of work that only looks: a stop leaves nothing behind that could be finished.
    pub(crate) fn before_it_began(self) -> ReleaseError {
        if matches!(self, ReleaseError::Cancelled(_)) { ReleaseError::NotBegun } else { self }
    }

    /// The exit code.
    pub(crate) fn code(&self) -> ExitCode {
        match self {
            ReleaseError::Usage(_) => ExitCode::Usage,
            ReleaseError::Of { error, .. } => error.code(),
            ReleaseError::Refused(_)
            | ReleaseError::RefusedSet(_)
            | ReleaseError::NotApproved(_)
            | ReleaseError::Held { .. }
            | ReleaseError::LockLost { .. } => ExitCode::GuardRefused,
            ReleaseError::NeedsHuman(_) => ExitCode::NeedsHuman,
            ReleaseError::Journal { .. }
            | ReleaseError::Helm(_)
            | ReleaseError::GitHub(_)
            | ReleaseError::Cluster(_) => ExitCode::ToolBroke,
            ReleaseError::Missing { .. } => ExitCode::ToolMissing,
            ReleaseError::Cancelled(_) | ReleaseError::NotBegun => ExitCode::Cancelled,
            ReleaseError::Bug(_) => ExitCode::OurBug,
        }
    }

    /// What to do next. `env` is what follows `--env`: the environment's name, and `--set` or a service.
    pub(crate) fn hint(&self, env: &str) -> Option<String> {
        match self {
            ReleaseError::Of { release, error } => {
                error.hint(&format!("{} --service {release}", env.trim_end_matches(" --set")))
            }
            ReleaseError::Held { .. } | ReleaseError::LockLost { .. } => {
                Some(format!("`cargo xtask status --env {env}` shows who and since when"))
            }
            ReleaseError::NeedsHuman(_) => Some(format!(
                "look with `cargo xtask status --env {env}`; then `cargo xtask recover --env {env} --resume` goes on from what runs \
                 now, `--override` forgets the question"
            )),
            ReleaseError::Cancelled(_) => Some(format!(
                "`cargo xtask recover --env {env}` finishes what was begun; so does the next deployment"
            )),
            ReleaseError::Missing { tool, .. } => {
                Some(format!("`cargo xtask tools sync {tool}` tries again and shows each source"))
            }
            ReleaseError::Journal { .. } => {
                Some("look at the ConfigMap; it is only ever written by this program".to_owned())
            }
            ReleaseError::GitHub(_) => Some(
                "GitHub may be down; an approval counts in the first attempt, so start a new run".to_owned(),
            ),
            ReleaseError::Usage(_)
            | ReleaseError::Refused(_)
            | ReleaseError::RefusedSet(_)
            | ReleaseError::NotApproved(_)
            | ReleaseError::NotBegun
            | ReleaseError::Helm(_)
            | ReleaseError::Cluster(_)
            | ReleaseError::Bug(_) => None,
        }
    }
}
