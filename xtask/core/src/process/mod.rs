//! The only place that spawns: guarded, masked, logged.
//!
//! A run starts its tasks through one small *guard* process, which is this same binary started again with [`GUARD_ARGUMENT`]:
//!
//! ```text
//! xtask ── socket pair ── guard ─┬─ task 1 (a process group of its own)
//!   └ reads the tasks' pipes     └─ task 2 …
//! ```
//!
//! The tasks are the guard's children. When a task's first process ends, what the task left behind is killed; when the run ends,
//! in whatever way, the socket closes, and the guard kills all that is left, then ends. Should the guard be killed, the run
//! finds and kills its tasks and fails.
//!
//! On Linux the guard is a *subreaper*: processes that move to another group or session still become its children once their
//! parents are gone, and carry the task's number in their environment.
//!
//! Elsewhere (macOS, BSD) there is no subreaper and no `/proc`. There the guard kills process groups only: a process that left
//! its task's group survives, and so do the tasks of a guard that was itself killed.
//!
//! Signals to this process are heard in [`signals`]. Two ways around the guard, for what needs none: [`query`] asks a short question,
//! [`replace`] becomes another program.
//!
//! What this room must not do: decide what an exit code means, retry, read the environment, or print.

mod command;
mod error;
pub mod guard;
mod link;
mod output;
pub mod query;
mod replace;
pub mod signals;
mod supervisor;
mod wire;

pub use command::{Command, Stdin, StopPolicy, StopSignal};
pub use error::ProcessError;
pub use output::Captured;
pub use replace::replace;
pub use supervisor::{Exit, Finished, Supervisor};

/// The hidden first argument with which the binary becomes the guard; `main` then calls [`guard::main`] and nothing else.
pub const GUARD_ARGUMENT: &str = "__guard";
