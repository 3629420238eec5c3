//! What is shipped: small, and without a trace of fault injection.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

const EIGHT_MIB: usize = 8 * 1024 * 1024;

/// What only fault injection says. The variable's name is no mark: C's library has it in `EFAULT`.
const MARKERS: [&str; 6] =
    ["slow:500ms", "never-ready", "crash:start", "leak:1MiB/s", "fault injection is on", "crashing, as told"];

/// The bytes of the release binary, built and linked as the image's build does it: it is all that the image
/// holds. In a folder of its own: one with faults must never lie where the image's build looks.
fn release(features: &[&str]) -> io::Result<Vec<u8>> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("release");
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--locked", "--release", "--package", "app", "--quiet"]).args(features);
    build.args(["--target", &target, "--target-dir"]).arg(&folder);
    build.env("RUSTFLAGS", "-C target-feature=+crt-static").current_dir(env!("CARGO_MANIFEST_DIR"));
    assert!(build.status()?.success(), "{build:?}");
    fs::read(folder.join(target).join("release/app"))
}

fn contains(binary: &[u8], text: &str) -> bool {
    binary.windows(text.len()).any(|window| window == text.as_bytes())
}

fn traces(binary: &[u8]) -> Vec<&'static str> {
    MARKERS.into_iter().filter(|marker| contains(binary, marker)).collect()
}

#[test]
fn the_release_binary_is_small_and_has_no_fault_injection_and_the_other_has() -> io::Result<()> {
    let with = release(&["--features", "faults"])?;
    let shipped = release(&[])?;
    assert!(shipped.len() <= EIGHT_MIB, "{} bytes", shipped.len());
    // Where the program interpreter would be named: there is none in the image.
    assert!(!contains(&shipped, "/ld-linux"), "not linked statically");
    assert_eq!(traces(&shipped), [""; 0]);
    assert_eq!(traces(&with), MARKERS);
    Ok(())
}
