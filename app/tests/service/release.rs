//! What is shipped: small, and without a trace of fault injection. What these tests run has it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

const EIGHT_MIB: usize = 8 * 1024 * 1024;

/// What only fault injection says. The variable's name is no mark: C's library has it in `EFAULT`.
const MARKERS: [&str; 6] =
    ["slow:500ms", "never-ready", "crash:start", "leak:1MiB/s", "fault injection is on", "crashing, as told"];

/// The bytes of the release binary, built and linked as the image's build does it without an engine, and where that does: it is all that
/// the image holds, and whoever comes second finds it made. So nothing with faults is ever built there.
fn shipped() -> io::Result<Vec<u8>> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = package.parent().unwrap_or(package).canonicalize()?;
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap_or(package);
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    let mut flags = vec![
        "-Ctarget-feature=+crt-static".to_owned(),
        "-Clink-arg=-Wl,--build-id=none".to_owned(),
        format!("--remap-path-prefix={}=/build", root.display()),
    ];
    flags.extend(home.map(|home| format!("--remap-path-prefix={}=/cargo", home.display())));
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--locked", "--release", "--package", "app", "--quiet"]);
    build.args(["--target", &target, "--target-dir"]).arg(folder).current_dir(root);
    build.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}")).env("CARGO_INCREMENTAL", "0");
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
    let with = fs::read(env!("CARGO_BIN_EXE_app"))?;
    let shipped = shipped()?;
    assert!(shipped.len() <= EIGHT_MIB, "{} bytes", shipped.len());
    // Where the program interpreter would be named: there is none in the image.
    assert!(!contains(&shipped, "/ld-linux"), "not linked statically");
    assert_eq!(traces(&shipped), [""; 0]);
    assert_eq!(traces(&with), MARKERS);
    Ok(())
}
