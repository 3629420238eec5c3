//! Rollouts: recordings of real ones through the pure function and, with `real-tools`, real ones in a lab.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]
#![cfg_attr(
    feature = "real-tools",
    expect(
        clippy::disallowed_methods,
        clippy::print_stdout,
        reason = "these tests start labs, and say how they went"
    )
)]

mod recordings;

#[cfg(feature = "real-tools")]
mod lab;
#[cfg(feature = "real-tools")]
mod real;
