//! The chart of the reference service: that its documents, values and rules fit together, and, with real tools, that it renders
//! what it should and that its own tests notice when a line of it is weakened.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on ends")]
#![cfg_attr(
    feature = "real-tools",
    expect(clippy::disallowed_methods, reason = "these tests start the tools themselves")
)]

#[cfg(feature = "real-tools")]
mod dashboard;
mod documents;
mod files;
#[cfg(feature = "real-tools")]
mod mutations;
#[cfg(feature = "real-tools")]
mod pods;
mod promql;
#[cfg(feature = "real-tools")]
mod renders;
mod schema;
#[cfg(feature = "real-tools")]
mod table;
#[cfg(feature = "real-tools")]
mod tools;
