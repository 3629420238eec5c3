//! The service of this repository, with its faults, as one static program: what an image in a lab is made of.

use crate::support::succeeds;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Builds it, unless it is built.
pub(crate) fn service() -> PathBuf {
    let target = root().join("target/faults");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--locked", "--release", "--package", "app", "--features", "faults"]);
    cargo.args(["--target", "x86_64-unknown-linux-gnu"]).current_dir(root());
    cargo.env("RUSTFLAGS", "-C target-feature=+crt-static").env("CARGO_TARGET_DIR", &target);
    succeeds(&mut cargo);
    target.join("x86_64-unknown-linux-gnu/release/app")
}
