//! Rollouts: whether what was applied works, known in seconds, with the rule that decided.
//!
//! ```text
//! cluster::connect(kubeconfig, context)          -> Cluster            Cluster::uid(), Cluster::workload(namespace, kind, name)
//! rollout::watch(&cluster, &Target, Options)     -> Verdict            Good(Proof) | Bad(Failure) | Superseded
//! rollout::evidence(&cluster, &Target, &Failure, &Redactor) -> Evidence   within 3 s, best effort; Evidence::brief, ::write
//! rollout::smoke(&cluster, &SmokeTarget)         -> Smoked             /healthz and /version of a ready pod
//! rollout::replay(text, &Graces)                 -> Replayed           a recorded watch through the same pure function
//! ```
//!
//! `seen` and `target` are the words; `state` folds what is seen, `newest`, `signs`, `rules`, `look` and `whole` judge it; all are pure. `watch`, `evidence` and `smoke` ask the
//! cluster. Nothing here changes anything in a cluster.

mod command;
mod evidence;
mod look;
mod newest;
mod nodes;
mod record;
mod replay;
mod rules;
pub mod seen;
mod signs;
mod smoke;
mod state;
mod target;
mod watch;
mod whole;

#[cfg(test)]
mod tests;

pub(crate) use command::{is_recording, show};
pub use evidence::{Evidence, evidence};
pub use look::Fault;
pub use record::Header;
pub use replay::{Fired, ReplayError, Replayed, replay};
pub use rules::{BadGrace, Grace, Graces, Rule};
pub use smoke::{SmokeError, SmokeTarget, Smoked, smoke};
pub use state::State;
pub use target::{Expected, Failure, LogHint, Proof, Proven, Superseded, Target, Verdict};
pub use watch::{Options, WatchError, watch};
