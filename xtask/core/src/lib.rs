//! The language, engine, policy, reporters and tool adapters of Slipway.
//!
//! Rooms, and which way they may look (checked by a test in `tests/tidy.rs`):
//!
//! - [`ids`], [`outcome`], [`error`], [`event`], [`report`], [`redact`], [`cancel`]: the vocabulary. They name no other room.
//! - [`stage`]: what a stage is. Looks at the vocabulary, `config` and `process`.
//! - [`config`]: `pipeline.yaml` and the environment, strict on the way in, resolved on the way out.
//! - [`policy`]: facts in, verdict out. Pure: no clock, no input or output, no tool's name.
//! - [`process`]: the only place that spawns.
//! - [`tools`]: external tools: where they come from, how they are called, what they said.
//! - [`engine`]: graph, schedule, cache, run.
//! - [`reporters`]: the only place that writes to the terminal.
//!
//! No SDK is named in this package.

pub mod cancel;
pub mod config;
pub mod engine;
pub mod error;
pub mod event;
pub mod facts;
pub mod ids;
pub mod outcome;
pub mod policy;
pub mod process;
pub mod redact;
pub mod report;
pub mod reporters;
pub mod stage;
pub mod tools;
