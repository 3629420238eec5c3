//! The words of `lab`: types only. What they do is in the full binary.

use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

/// A real Kubernetes on this machine.
#[derive(Debug, Subcommand)]
pub enum LabCommand {
    /// Bring a lab up, or mend one of which something died; it is there when this command ends.
    ///
    /// The first time, Kubernetes, etcd, containerd and the registry are built from their published Go modules, which takes
    /// minutes; after that a lab is up in seconds.
    Up {
        /// Which one.
        #[command(flatten)]
        lab: LabArgs,
        /// Nodes; they are labelled as zones a, b, c in turn [default: as many as it has, or 1].
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=9))]
        nodes: Option<u8>,
        /// What brings it up.
        #[arg(long, value_enum, default_value_t = Driver::Native)]
        driver: Driver,
    },
    /// Take a lab down: nothing of it is left. Mends also what a killed `up` left.
    Down {
        /// Which one.
        #[command(flatten)]
        lab: LabArgs,
        /// Every lab of this user.
        #[arg(long, conflicts_with = "name")]
        all: bool,
    },
    /// Show the labs: machines, nodes, where they answer.
    Status {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print a lab's kubeconfig.
    Kubeconfig {
        /// Which one.
        #[command(flatten)]
        lab: LabArgs,
    },
    /// Push an image into a lab's registry and print its reference with the digest.
    Load {
        /// Which one.
        #[command(flatten)]
        lab: LabArgs,
        /// The folder of an OCI layout, such as target/xtask/images/SERVICE; a file that `docker save` wrote; or one static
        /// program, of which an image is made.
        image: PathBuf,
        /// The repository and tag in the registry: hello:dev.
        reference: String,
    },
    /// Cut the power of a node, or give it back.
    Node {
        /// Which one.
        #[command(flatten)]
        lab: LabArgs,
        /// Off or on.
        power: Power,
        /// The node: n1.
        node: String,
    },
    /// Cut the power of every node of a zone, or give it back.
    Zone {
        /// Which one.
        #[command(flatten)]
        lab: LabArgs,
        /// Off or on.
        power: Power,
        /// The zone: zone-a.
        zone: String,
    },
    /// Print the log of a component.
    Logs {
        /// Which one.
        #[command(flatten)]
        lab: LabArgs,
        /// Machine and component: hub/kube-apiserver, n1/kubelet.
        component: String,
    },
}

/// Which lab.
#[derive(Debug, Args)]
pub struct LabArgs {
    /// The lab's name.
    #[arg(long, value_name = "LAB", default_value = "dev")]
    pub name: String,
}

/// What brings a lab up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Driver {
    /// Namespaces of this machine: Linux, root.
    Native,
    /// kind, which must be on PATH: containers of the Docker engine.
    Kind,
}

/// What happens to a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Power {
    /// All that runs on it dies at once.
    Stop,
    /// It starts again, with its disk as it was.
    Start,
}
