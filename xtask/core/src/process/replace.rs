//! Becoming another program: same process, same terminal, same environment. What it prints and how it ends is its own.

use std::ffi::OsStr;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;

/// Replaces this process by `program`, run in `directory`. Returns only if that failed.
pub fn replace<S: AsRef<OsStr>>(directory: &Path, program: &str, args: &[S]) -> io::Error {
    #[expect(clippy::disallowed_methods, reason = "this module is one of the places that spawn")]
    let mut command = std::process::Command::new(program);
    command.current_dir(directory).args(args).exec()
}
