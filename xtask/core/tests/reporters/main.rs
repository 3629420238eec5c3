//! What people and programs see of a run: scripted reports through every reporter, live and replayed.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test by panicking")]

mod files;
mod github;
mod script;
mod text;
