//! Rollouts: recordings of real ones through the pure function and, with `real-tools`, real ones in a lab.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that cannot go on ends; these start programs and look at the environment themselves"
)]
#![cfg_attr(feature = "real-tools", expect(clippy::print_stdout, reason = "these tests say how it went"))]

mod recordings;

#[cfg(feature = "real-tools")]
mod lab;
#[cfg(feature = "real-tools")]
mod real;
#[cfg(feature = "real-tools")]
#[path = "../support/service.rs"]
mod service;
#[cfg(feature = "real-tools")]
#[path = "../support/lab.rs"]
mod support;
