//! Short questions to programs that answer at once and touch nothing: `git status`. They run without the guard, because
//! starting it would cost more than the question; anything that may run long or leave something behind goes through the
//! supervisor instead.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Stdio;

/// Runs a program to its end in `directory` and gives its standard output, or what went wrong in one sentence.
///
/// Standard input is empty. `input`, if any, is written to it first; the program must read all of it before it answers much.
pub fn ask<S: AsRef<OsStr>>(
    directory: &Path,
    program: &str,
    args: &[S],
    input: Option<&[u8]>,
) -> Result<Vec<u8>, QueryError> {
    #[expect(clippy::disallowed_methods, reason = "this module is one of the places that spawn")]
    let mut command = std::process::Command::new(program);
    command.args(args).current_dir(directory).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
    let failed = |why: String| QueryError { program: program.to_owned(), why };
    let mut child = command.spawn().map_err(|error| failed(error.to_string()))?;
    let writer = input
        .map(<[u8]>::to_vec)
        .zip(child.stdin.take())
        .map(|(bytes, mut pipe)| std::thread::spawn(move || std::io::Write::write_all(&mut pipe, &bytes)));
    let output = child.wait_with_output().map_err(|error| failed(error.to_string()))?;
    if let Some(writer) = writer {
        // A program that stops reading early says why by its exit status, which is looked at next.
        let _ = writer.join();
    }
    if output.status.success() {
        Ok(output.stdout)
    } else {
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no message");
        Err(failed(format!("{}: {last}", output.status)))
    }
}

/// A question without an answer.
#[derive(Debug, Clone, thiserror::Error)]
#[error("`{program}`: {why}")]
pub struct QueryError {
    /// The program.
    pub program: String,
    /// Its last line of standard error, or what the system said.
    pub why: String,
}
