//! What `fmt -check -diff` says: the files that are not formatted, each with a unified diff.

use super::unreadable;
use crate::error::StageError;

/// A file that is not formatted, and the first line that would change.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unformatted {
    pub(super) file: String,
    pub(super) line: u32,
}

/// Reads the diffs. Hunks are read by the lengths that they begin with, because a line of a hunk may look like anything.
pub(super) fn unformatted(stdout: &[u8]) -> Result<Vec<Unformatted>, StageError> {
    let text =
        std::str::from_utf8(stdout).map_err(|error| unreadable(format!("a diff is not UTF-8: {error}")))?;
    if !text.is_empty() && !text.ends_with('\n') {
        return Err(unreadable("the last diff ends in the middle of a line"));
    }
    let mut found: Vec<Unformatted> = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(name) = lines.next() {
        let old = lines.next().and_then(|line| line.strip_prefix("--- old/"));
        let new = lines.next().and_then(|line| line.strip_prefix("+++ new/"));
        if old != Some(name) || new != Some(name) {
            return Err(unreadable(format!("`{name}` is not the name of a file with its diff")));
        }
        let mut first = None;
        while let Some(hunk) = lines.next_if(|line| line.starts_with("@@ ")) {
            let line = changed(hunk, &mut lines)
                .ok_or_else(|| unreadable(format!("a diff of {name} is cut short")))?;
            first = first.or(Some(line));
        }
        let line = first.ok_or_else(|| unreadable(format!("{name} has no diff")))?;
        found.push(Unformatted { file: name.to_owned(), line });
    }
    Ok(found)
}

/// Reads one hunk to its end, and gives the first line of the old file that it changes. None if it is cut short.
fn changed<'a>(hunk: &str, lines: &mut impl Iterator<Item = &'a str>) -> Option<u32> {
    let mut ranges = hunk.split(' ').skip(1);
    let (start, mut old) = range(ranges.next()?.strip_prefix('-')?)?;
    let (_, mut new) = range(ranges.next()?.strip_prefix('+')?)?;
    let (mut at, mut first) = (start, None);
    while old > 0 || new > 0 {
        match lines.next()?.bytes().next() {
            Some(b'-') => old = old.checked_sub(1)?,
            Some(b'+') => new = new.checked_sub(1)?,
            // Some differs leave an empty line without the space of context.
            Some(b' ') | None => {
                (old, new) = (old.checked_sub(1)?, new.checked_sub(1)?);
                at += u32::from(first.is_none());
                continue;
            }
            // `\ No newline at end of file`
            Some(b'\\') => continue,
            Some(_) => return None,
        }
        first = first.or(Some(at));
    }
    first
}

/// `3,7`: from line 3, seven lines; `3`: line 3 alone.
fn range(text: &str) -> Option<(u32, u32)> {
    let (start, length) = text.split_once(',').unwrap_or((text, "1"));
    Some((start.parse().ok()?, length.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::testdata::{recorded, refuses_any_cut};

    #[test]
    fn each_file_that_is_not_formatted_is_named_with_the_first_line_that_would_change() {
        let one = recorded("terraform/1.11.4/fmt-diff.diff");
        assert_eq!(unformatted(&one).unwrap(), [Unformatted { file: "main.tf".into(), line: 2 }]);
        let other = recorded("terraform/1.11.4/fmt-folder-diff.diff");
        let file = "many/modules/part/main.tf".to_owned();
        assert_eq!(unformatted(&other).unwrap(), [Unformatted { file, line: 2 }]);
        assert_eq!(unformatted(&[one, other].concat()).unwrap().len(), 2);
    }

    #[test]
    fn silence_is_no_file_and_a_diff_that_is_cut_short_is_refused() {
        assert!(unformatted(b"").unwrap().is_empty());
        let whole = recorded("terraform/1.11.4/fmt-diff.diff");
        refuses_any_cut(
            &whole,
            |text| if text.is_empty() { Err(unreadable("empty")) } else { unformatted(text) },
        );
    }

    #[test]
    fn lines_of_a_file_that_look_like_a_diff_are_read_as_lines() {
        let tricky = "a.tf\n--- old/a.tf\n+++ new/a.tf\n@@ -4,3 +4,3 @@\n x\n\n--- old/b.tf\n+++ new/b.tf\n";
        assert_eq!(unformatted(tricky.as_bytes()).unwrap(), [Unformatted { file: "a.tf".into(), line: 6 }]);
    }
}
