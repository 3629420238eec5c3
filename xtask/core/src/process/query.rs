//! Short questions to programs that answer at once and touch nothing: `git status`. They run without the guard, because
//! starting it would cost more than the question; anything that may run long or leave something behind goes through the
//! supervisor instead.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread::JoinHandle;

/// A program that was asked and may not have answered yet.
#[derive(Debug)]
pub struct Question {
    program: String,
    child: Child,
    writer: Option<JoinHandle<io::Result<()>>>,
}

/// Runs a program to its end in `directory` and gives its standard output, or what went wrong in one sentence.
///
/// Standard input is empty. `input`, if any, is written to it first; the program must read all of it before it answers much.
pub fn ask<S: AsRef<OsStr>>(
    directory: &Path,
    program: &str,
    args: &[S],
    input: Option<&[u8]>,
) -> Result<Vec<u8>, QueryError> {
    start(directory, program, args, input)?.answer()
}

/// The same in two parts, so that something else can be done while the program works.
pub fn start<S: AsRef<OsStr>>(
    directory: &Path,
    program: &str,
    args: &[S],
    input: Option<&[u8]>,
) -> Result<Question, QueryError> {
    #[expect(clippy::disallowed_methods, reason = "this module is one of the places that spawn")]
    let mut command = std::process::Command::new(program);
    command.args(args).current_dir(directory).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
    let failed = |error: io::Error| QueryError { program: program.to_owned(), why: error.to_string() };
    let mut child = command.spawn().map_err(failed)?;
    let writer = input
        .map(<[u8]>::to_vec)
        .zip(child.stdin.take())
        .map(|(bytes, mut pipe)| std::thread::spawn(move || pipe.write_all(&bytes)));
    Ok(Question { program: program.to_owned(), child, writer })
}

impl Question {
    /// Waits for the end and gives the standard output, or what went wrong.
    pub fn answer(self) -> Result<Vec<u8>, QueryError> {
        let Question { program, child, writer } = self;
        let output = match child.wait_with_output() {
            Ok(output) => output,
            Err(error) => return Err(QueryError { program, why: error.to_string() }),
        };
        if let Some(writer) = writer {
            // A program that stops reading early says why by its exit status, which is looked at next.
            let _ = writer.join();
        }
        if output.status.success() {
            return Ok(output.stdout);
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no message");
        Err(QueryError { program, why: format!("{}: {last}", output.status) })
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
