//! A Kubernetes cluster: the only room that names its client. It answers questions and says what it saw, in types of `rollout::seen`;
//! it judges nothing. All that it changes is in `releases`: notes and locks, and what a rollback does when Helm cannot.

mod convert;
mod feed;
mod questions;
mod releases;
mod share;

pub use feed::Fed;
pub use questions::Stream;
pub(crate) use releases::{Apply, Kind, Lease};
pub use share::{Listener, listen};

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A cluster that answered.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    server: String,
    uid: String,
    version: String,
    feeds: share::Feeds,
}

/// Why a cluster could not be asked, or what it did not answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ClusterError {
    /// No usable kubeconfig.
    #[error("{}: {why}", path.as_ref().map_or("no kubeconfig".to_owned(), |path| path.display().to_string()))]
    Config {
        /// The file, if one was named.
        path: Option<PathBuf>,
        /// What is wrong with it.
        why: String,
    },
    /// It refuses us.
    #[error("the cluster refuses to {what}: {why}")]
    Refused {
        /// What was asked.
        what: String,
        /// What it said.
        why: String,
    },
    /// There is none of that name.
    #[error("the cluster does not have it: cannot {what}: {why}")]
    Missing {
        /// What was asked.
        what: String,
        /// What it said.
        why: String,
    },
    /// It did not answer, or not with what was asked for.
    #[error("the cluster did not {what}: {why}")]
    Broke {
        /// What was asked.
        what: String,
        /// What happened.
        why: String,
    },
}

/// Time for one question.
const ANSWER: Duration = Duration::from_secs(15);

/// Connects to the cluster of a kubeconfig, or to the one that `kubectl` would talk to, and makes sure that it answers.
pub async fn connect(kubeconfig: Option<&Path>, context: Option<&str>) -> Result<Cluster, ClusterError> {
    let options = KubeConfigOptions { context: context.map(str::to_owned), ..KubeConfigOptions::default() };
    let wrong = |why: String| ClusterError::Config { path: kubeconfig.map(Path::to_path_buf), why };
    let config = match kubeconfig {
        Some(path) => {
            let file = Kubeconfig::read_from(path).map_err(|error| wrong(error.to_string()))?;
            Config::from_custom_kubeconfig(file, &options).await
        }
        None => Config::from_kubeconfig(&options).await,
    };
    let mut config = config.map_err(|error| wrong(error.to_string()))?;
    config.connect_timeout = Some(ANSWER);
    let server = config.cluster_url.to_string();
    let client = Client::try_from(config).map_err(|error| wrong(error.to_string()))?;
    questions::meet(client, server).await
}

impl Cluster {
    /// The identity of the cluster: that of its namespace `kube-system`, which is never made again.
    pub fn uid(&self) -> &str {
        &self.uid
    }

    /// The address of its API server, as the kubeconfig has it.
    pub(crate) fn server(&self) -> &str {
        &self.server
    }

    /// The version that its API server says: `v1.36.3`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The client, for other kinds of objects than those of a rollout.
    pub fn client(&self) -> &Client {
        &self.client
    }
}

impl ClusterError {
    /// An error of the client, by what was being done.
    pub fn of(what: impl Into<String>, error: &kube::Error) -> ClusterError {
        let (what, why) = (what.into(), convert::said(error));
        let code = if let kube::Error::Api(status) = error { status.code } else { 0 };
        match code {
            401 | 403 => ClusterError::Refused { what, why },
            404 => ClusterError::Missing { what, why },
            _ => ClusterError::Broke { what, why },
        }
    }
}
