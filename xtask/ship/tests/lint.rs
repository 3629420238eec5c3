//! The lints and the format of the whole of `xtask`. `pr-checks` looks at the service alone, because nobody's first check shall wait for
//! the SDKs that the full binary compiles.

#![cfg(feature = "real-tools")]
#![expect(clippy::disallowed_methods, reason = "these tests run cargo by themselves")]

use std::io;
use std::process::Command;

fn cargo(words: &[&[&str]]) -> io::Result<()> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(env!("CARGO_MANIFEST_DIR")).args(words.concat());
    let output = cargo.output()?;
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
    Ok(())
}

const PACKAGES: [&str; 6] = ["--package", "xtask", "--package", "xtask-core", "--package", "xtask-ship"];

#[test]
fn no_package_of_xtask_has_warnings_with_everything_switched_on() -> io::Result<()> {
    let features = ["--features", "xtask/real-tools,xtask-ship/real-tools", "--", "-D", "warnings"];
    cargo(&[&["clippy", "--locked", "--quiet", "--all-targets"], &PACKAGES, &features])
}

#[test]
fn every_package_of_xtask_is_formatted() -> io::Result<()> {
    cargo(&[&["fmt", "--check"], &PACKAGES])
}
