//! What commands of this package show: answers on standard output, progress and faults on standard error. Nothing else writes there.

use std::io::Write;

/// An answer. A reader that went away has what it wanted.
pub(crate) fn answer(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// A line of progress.
pub(crate) fn progress(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Text that stays as it is: a plan, or a question whose answer follows on the same line.
pub(crate) fn ask(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// Why a command could not do its work, and what to do next.
pub(crate) fn failure(message: &str, hint: Option<&str>) {
    progress(&format!("error: {message}"));
    if let Some(hint) = hint {
        progress(&format!("hint: {hint}"));
    }
}
