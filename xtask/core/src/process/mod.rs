//! The only place that spawns: guarded, masked, logged.

pub mod query;
