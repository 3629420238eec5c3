//! What a command leaves for the job of GitHub Actions that it runs in: a section of the step summary for people who decide, and
//! outputs for the jobs that come after.

use super::file::{WriteError, append};
use super::markdown;
use super::text::{clean, clean_lines};
use std::path::Path;

/// Appends a section to the step summary: a title, and text as a terminal shows it.
///
/// # Errors
///
/// The file cannot be written.
pub fn summarize(path: &Path, title: &str, text: &str) -> Result<(), WriteError> {
    append(path, |size| {
        section(title, text, markdown::LIMIT.saturating_sub(usize::try_from(size).unwrap_or(usize::MAX)))
    })
}

/// Sets an output of the step: one line.
///
/// # Errors
///
/// The file cannot be written.
pub fn output(path: &Path, name: &str, value: &str) -> Result<(), WriteError> {
    append(path, |_| format!("{}={}\n", clean(name), clean(value)))
}

const CUT_SHORT: &str = "\nThis was cut to fit the limit of GitHub. The log has all of it.\n";

/// The section in at most `space` bytes; empty if there is no room for anything.
fn section(title: &str, text: &str, space: usize) -> String {
    let lines = clean_lines(text);
    // Text with a fence in it must not end the block that it is in.
    let longest = lines.iter().flat_map(|line| line.split(|c| c != '`')).map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    let mut out = format!("## {}\n\n{fence}text\n", clean(title));
    let reserve = fence.len() + 1 + CUT_SHORT.len();
    for line in &lines {
        if out.len() + line.len() + 1 + reserve > space {
            out.push_str(&format!("{fence}\n{CUT_SHORT}"));
            return if out.len() <= space { out } else { String::new() };
        }
        out.push_str(line);
        out.push('\n');
    }
    out.push_str(&format!("{fence}\n"));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_text_whatever_is_in_it() {
        assert_eq!(section("A plan", "a\n  b\n", 1000), "## A plan\n\n```text\na\n  b\n```\n");
        let fenced = section("x", "````\n## not a title\n\u{1b}[31mred", 1000);
        assert_eq!(fenced, "## x\n\n`````text\n````\n## not a title\nred\n`````\n");
    }

    #[test]
    fn what_does_not_fit_is_cut_between_lines_and_says_so() {
        let whole = section("x", &"line\n".repeat(100), 10_000);
        for space in 0..=whole.len() + CUT_SHORT.len() {
            let cut = section("x", &"line\n".repeat(100), space);
            assert!(cut.len() <= space, "{space}");
            let ends = cut.is_empty() || cut == whole || cut.ends_with(CUT_SHORT);
            assert!(ends && cut.matches("```").count().is_multiple_of(2), "{space}: {cut}");
        }
        assert_eq!(section("x", "line\n", 10), "");
    }

    #[test]
    fn an_output_is_one_line_and_comes_after_what_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("output");
        output(&path, "plan", "abc").unwrap();
        output(&path, "other", "a\nplan=def").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "plan=abc\nother=a plan=def\n");
        assert!(output(folder.path(), "plan", "abc").is_err(), "a folder is no file");
        summarize(&path, "x", "y").unwrap();
        assert!(std::fs::read_to_string(&path).unwrap().ends_with("## x\n\n```text\ny\n```\n"));
    }
}
