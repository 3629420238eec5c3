//! What adapters share: a tool's faults as errors, a home of its own for a tool that would write into the user's, and the report
//! file that a tool leaves.

use crate::engine::{Call, Cx, Ran};
use crate::error::StageError;
use std::io;
use std::path::{Path, PathBuf};

/// How much of what a tool said goes into an error; its log has all of it.
const LONGEST_REASON: usize = 400;

/// An error that says that a tool's output is not what its adapter can read.
pub(super) fn unreadable(tool: &str, why: impl Into<String>) -> StageError {
    StageError::Unreadable { tool: tool.to_owned(), why: why.into() }
}

/// An error that says that a tool ended with a code that means a fault of its own, with what it said last.
pub(super) fn exited(cx: &Cx, tool: &str, ran: &Ran) -> StageError {
    cx.broke(tool, format!("exited with {}: {}", ran.code, reason(&ran.stderr)))
}

/// The line of a standard error that says why: the last that speaks of an error, or the last of all. Without colours.
pub(super) fn reason(stderr: &[u8]) -> String {
    let text = plain(&String::from_utf8_lossy(stderr));
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let blames = |line: &&&str| {
        let line = line.to_ascii_lowercase();
        line.contains("error") || line.contains("fatal")
    };
    let line = lines.iter().rev().find(blames).or(lines.last()).copied();
    shortened(line.unwrap_or("it said nothing"), LONGEST_REASON)
}

/// Text without the escape sequences of colours.
pub(super) fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\u{1b}[") {
        out.push_str(before);
        // An escape sequence ends with its first letter.
        rest = after.find(|c: char| c.is_ascii_alphabetic()).map_or("", |end| &after[end + 1..]);
    }
    out + rest
}

/// At most so many bytes of a text, cut between characters.
pub(super) fn shortened(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    format!("{}…", &text[..text.floor_char_boundary(limit)])
}

/// Gives a tool the stage's scratch folder as its home, so that it neither reads nor leaves anything in the user's.
pub(super) fn at_home<'a>(call: Call<'a>, scratch: &Path) -> Call<'a> {
    ["HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"]
        .into_iter()
        .fold(call, |call, name| call.env(name, scratch))
}

/// The first of these files, relative to the root, that is there.
pub(super) fn config_file<'a>(cx: &Cx, names: &[&'a str]) -> Option<&'a str> {
    names.iter().copied().find(|name| cx.root().join(name).is_file())
}

/// A place in the scratch folder for a report, with nothing there: what is found there later is of this call and of no earlier try.
pub(super) fn fresh_report(cx: &Cx, name: &str) -> Result<PathBuf, StageError> {
    let path = cx.scratch()?.join(name);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(StageError::Io { doing: "cannot remove", path, source: error })
        }
        Ok(()) | Err(_) => Ok(path),
    }
}

/// The report that a tool was told to write.
pub(super) fn read_report(tool: &str, path: &Path) -> Result<Vec<u8>, StageError> {
    match std::fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(unreadable(tool, "it ended well and wrote no report"))
        }
        other => other.map_err(StageError::io("cannot read", path)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::testdata::recorded;

    #[test]
    fn the_reason_is_the_last_line_that_speaks_of_an_error_or_the_last_line() {
        let said = |path: &str| reason(&recorded(path));
        assert!(
            said("trivy/0.74.0/database-corrupt.stderr.txt")
                .ends_with("failed to open db: file size too small 5000")
        );
        assert_eq!(
            said("gitleaks/8.30.1/missing-directory.stderr.txt"),
            "8:52AM FTL stat absent: no such file or directory",
            "colours are gone"
        );
        assert_eq!(said("zizmor/1.32.0/no-inputs-json.stderr.txt"), "error: no inputs collected");
        assert_eq!(reason(b" \n"), "it said nothing");
        assert_eq!(reason(b"\x1b[31m"), "it said nothing");
    }

    #[test]
    fn long_reasons_are_cut_between_characters() {
        assert_eq!(shortened("abc", 3), "abc");
        assert_eq!(shortened("aäb", 2), "a…");
        assert_eq!(reason("ä".repeat(1000).as_bytes()).len(), LONGEST_REASON + "…".len());
    }
}
