//! Releases in a real cluster: what is good becomes the last good release, what is bad is rolled back, and whoever is killed anywhere
//! leaves something that the next run finishes.

#![cfg(feature = "real-tools")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail the test by panicking")]
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "these tests start labs, and say how they went"
)]

mod approval;
mod asking;
mod blackout;
#[path = "../../src/net/fake.rs"]
mod fake;
#[path = "../support/inside.rs"]
mod inside;
mod killing;
mod lab;
mod ladder;
mod meanwhile;
mod requests;
#[path = "../support/service.rs"]
mod service;
mod set;
mod smoke;
mod story;
#[path = "../support/lab.rs"]
mod support;
mod together;
