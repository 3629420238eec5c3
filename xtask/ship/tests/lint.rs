//! The lints of the whole of `xtask`. `pr-checks` leaves this package out, because nobody's first check shall wait for the SDKs that
//! it compiles.

#![cfg(feature = "real-tools")]

use std::io;
use std::process::Command;

#[test]
fn no_package_of_xtask_has_warnings_with_everything_switched_on() -> io::Result<()> {
    #[expect(clippy::disallowed_methods, reason = "tests run programs by themselves")]
    let mut clippy = Command::new(env!("CARGO"));
    clippy.current_dir(env!("CARGO_MANIFEST_DIR"));
    clippy.args(["clippy", "--locked", "--quiet", "--all-targets"]);
    clippy.args(["--package", "xtask", "--package", "xtask-core", "--package", "xtask-ship"]);
    clippy.args(["--features", "xtask/real-tools,xtask-ship/real-tools", "--", "-D", "warnings"]);
    let output = clippy.output()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
