//! What can go wrong between this program and a registry. The few kinds that another try may mend are told apart here and nowhere
//! else; every other one ends a push at once.

use hyper::StatusCode;
use std::path::PathBuf;
use std::time::Duration;
use xtask_core::error::{StageError, Transient};
use xtask_core::ids::Digest;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// Nobody answers there, or TLS does not come about.
    #[error("{address} cannot be reached: {why}")]
    Unreachable {
        /// The address.
        address: String,
        /// What the system or TLS said.
        why: String,
    },
    /// The connection ended, or fell silent, before the answer was whole.
    #[error("{doing}: the connection was lost ({why})")]
    Lost {
        /// What was being done.
        doing: String,
        /// What the system said.
        why: String,
    },
    /// The registry has too much to do: 429, 503.
    #[error("{doing}: the registry answered {status}{}", after(said))]
    Throttled {
        /// What was being done.
        doing: String,
        /// 429 or 503.
        status: StatusCode,
        /// What it said beside that.
        said: String,
        /// How long it wants to be left alone.
        asked: Option<Duration>,
    },
    /// The registry does not let this be done by whoever asks.
    #[error("{doing}: the registry answered {status}{}; {remedy}", after(said))]
    Denied {
        /// What was being done.
        doing: String,
        /// 401 or 403.
        status: StatusCode,
        /// What it said beside that.
        said: String,
        /// What to do about the credentials.
        remedy: String,
    },
    /// Any other answer that is not the expected one.
    #[error("{doing}: the registry answered {status}{}", after(said))]
    Answered {
        /// What was being done.
        doing: String,
        /// The status.
        status: StatusCode,
        /// What it said beside that.
        said: String,
    },
    /// An answer that the specification does not allow, or that must not be followed.
    #[error("{doing}: {why}")]
    Broken {
        /// What was being done.
        doing: String,
        /// What is wrong with the answer.
        why: String,
    },
    /// The registry has other bytes than were sent.
    #[error("{what}: expected {expected}, the registry has {found}")]
    Differs {
        /// The manifest, the configuration, a name.
        what: String,
        /// What was pushed.
        expected: Digest,
        /// What is there.
        found: Digest,
    },
    /// A file of the image cannot be read, or is not what the image says.
    #[error("{}: {why}", path.display())]
    Layout {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A kind that another try may mend, and that outlived its tries.
    #[error("{last}; given up after {tries} tries and {} s of waiting", waited.as_secs())]
    GivenUp {
        /// The last one.
        last: Box<Fault>,
        /// How often it was tried.
        tries: u32,
        /// How long the whole push has waited by now.
        waited: Duration,
    },
}

fn after(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!(" ({said})") }
}

impl Fault {
    /// Whether another try may mend it.
    pub(super) fn transient(&self) -> Option<Transient> {
        match self {
            Fault::Lost { .. } => Some(Transient::ConnectionReset),
            Fault::Throttled { .. } => Some(Transient::Throttled),
            Fault::Unreachable { .. }
            | Fault::Denied { .. }
            | Fault::Answered { .. }
            | Fault::Broken { .. }
            | Fault::Differs { .. }
            | Fault::Layout { .. }
            | Fault::GivenUp { .. } => None,
        }
    }

    /// How long the registry wants to be left alone.
    pub(super) fn asked(&self) -> Option<Duration> {
        if let Fault::Throttled { asked, .. } = self { *asked } else { None }
    }

    /// The same as the stage's error. What could be tried again was: the engine, which knows no `Retry-After`, must not start over.
    pub(super) fn into_stage_error(self, registry: &str) -> StageError {
        StageError::ToolBroke { tool: format!("registry {registry}"), how: self.to_string(), log: None }
    }
}
