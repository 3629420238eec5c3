//! What a machine is made of: the file that `lab/cluster/host/machine` reads. The words are explained there.

use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Where a machine sees its configuration.
pub(super) const ETC: &str = "/run/lab/etc";

/// One machine.
#[derive(Debug, Serialize)]
pub(super) struct Spec {
    pub(super) name: String,
    pub(super) folder: PathBuf,
    pub(super) binaries: PathBuf,
    pub(super) groups: Vec<PathBuf>,
    pub(super) addresses: Vec<String>,
    pub(super) uplink: Option<Uplink>,
    pub(super) forwards: Vec<Forward>,
    pub(super) programs: Vec<Program>,
}

/// A cable to the router.
#[derive(Debug, Serialize)]
pub(super) struct Uplink {
    pub(super) router: i32,
    pub(super) device: String,
    pub(super) address: String,
    pub(super) gateway: String,
    pub(super) networks: Vec<String>,
}

/// A port of the host's loopback device that leads into the machine.
#[derive(Debug, Serialize)]
pub(super) struct Forward {
    pub(super) from: String,
    pub(super) to: String,
}

/// What runs in it.
#[derive(Debug, Serialize)]
pub(super) struct Program {
    pub(super) name: &'static str,
    pub(super) args: Vec<String>,
    pub(super) env: BTreeMap<&'static str, &'static str>,
    pub(super) after: String,
}

impl Program {
    /// A program that starts at once.
    pub(super) fn new<S: Into<String>>(name: &'static str, args: impl IntoIterator<Item = S>) -> Program {
        let args = std::iter::once(name.to_owned()).chain(args.into_iter().map(Into::into));
        Program { name, args: args.collect(), env: BTreeMap::new(), after: String::new() }
    }

    /// The same, once something answers there.
    pub(super) fn after(self, address: impl Into<String>) -> Program {
        Program { after: address.into(), ..self }
    }
}

/// The path of a file of a machine's configuration, as the machine sees it.
pub(super) fn etc(file: &str) -> String {
    format!("{ETC}/{file}")
}
