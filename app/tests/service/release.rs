//! What is shipped: small, and without a trace of fault injection.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

const EIGHT_MIB: usize = 8 * 1024 * 1024;

/// What only fault injection says. `FAULT` alone would be found in every `DEFAULT`.
const MARKERS: [&str; 6] =
    ["slow:500ms", "never-ready", "crash:start", "leak:1MiB/s", "fault injection is on", "crashing, as told"];

/// The bytes of the release binary, built as the image's build does it but for the flags of the linker. In a
/// folder of its own: one with faults must never lie where the image's build looks.
fn release(features: &[&str]) -> io::Result<Vec<u8>> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("release");
    let mut build = Command::new(env!("CARGO"));
    build
        .args(["build", "--locked", "--release", "--package", "app", "--quiet", "--target-dir"])
        .arg(&folder);
    let built = build.args(features).current_dir(env!("CARGO_MANIFEST_DIR")).status()?;
    assert!(built.success(), "{build:?}");
    fs::read(folder.join("release/app"))
}

fn traces(binary: &[u8]) -> Vec<&'static str> {
    let has = |marker: &str| binary.windows(marker.len()).any(|window| window == marker.as_bytes());
    let mut found: Vec<_> = MARKERS.into_iter().filter(|marker| has(marker)).collect();
    let names = binary.windows(7).filter(|window| window.ends_with(b"FAULT") && !window.starts_with(b"DE"));
    found.extend(names.take(1).map(|_| "FAULT"));
    found
}

#[test]
fn the_release_binary_is_small_and_has_no_fault_injection_and_the_other_has() -> io::Result<()> {
    let with = release(&["--features", "faults"])?;
    let shipped = release(&[])?;
    assert!(shipped.len() <= EIGHT_MIB, "{} bytes", shipped.len());
    assert_eq!(traces(&shipped), [""; 0]);
    let mut all = MARKERS.to_vec();
    all.push("FAULT");
    assert_eq!(traces(&with), all);
    Ok(())
}
