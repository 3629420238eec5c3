//! Labs for real: clusters that come up on this machine, run pods, lose nodes, and leave nothing. The first run builds Kubernetes;
//! `cargo xtask selftest` runs them.
#![cfg(feature = "real-tools")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]
#![expect(
    clippy::disallowed_methods,
    reason = "these tests start programs and look at the environment themselves"
)]

mod guardrails;
#[path = "../support/inside.rs"]
mod inside;
mod inventory;
mod isolation;
mod leaving;
mod running;
mod server;
#[path = "../support/lab.rs"]
mod support;
