//! Graph, schedule, cache, run. Names no stage and no tool: nodes come from outside as [`Node`]s, programs as [`Program`]s.
//!
//! From the inside out: `store`, `stamps` (files that survive a crash), [`files`], [`snapshot`], [`key`], [`cache`], [`history`] (what decides
//! a result and what is known of it), [`graph`], [`schedule`] (pure: who runs next), `drive` (one stage), `run` (all of them).

pub mod cache;
mod cx;
mod drive;
pub mod files;
mod forecast;
pub mod graph;
pub mod history;
pub mod key;
mod listing;
mod retry;
mod run;
pub mod schedule;
mod shared;
pub mod snapshot;
pub mod stamps;
pub mod store;

pub use cx::{Call, Cx, Program, Ran};
pub use drive::Driver;
pub use forecast::{Fate, Forecast, Why};
pub use run::{Node, Planned, Preset, Supplies};
pub use shared::{Setup, Shared};
