//! Provisioning from outside: the real curl, tar, unzip and pip against a server on loopback, files on a real disk. What is a fake (a
//! small shell script on a PATH of the test's own) is called one.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail the test by panicking"
)]

mod builds;
mod crash;
mod data;
mod download;
mod path;
mod server;
mod state;
mod support;
mod update;
