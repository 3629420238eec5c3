//! Text that is safe to show and easy to read: cleaning, cutting, wrapping, durations, counts, colour.
//!
//! Everything that a tool, a file name or a report from elsewhere says passes through [`clean`] before it is shown, and every
//! line passes through [`inert`]. Nothing here knows what a stage is.

use std::fmt::Display;

/// The width that text is wrapped to. Fixed, not asked from the terminal: the same report gives the same bytes everywhere.
pub(super) const WIDTH: usize = 110;

/// What stands before every detail of a stage.
pub(super) const INDENT: &str = "    ";

/// One line that a terminal can be trusted with: no escape sequences, no control characters, nothing that hides or reorders text.
pub(super) fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => skip_escape(&mut chars),
            '\u{9b}' => skip_until(&mut chars, is_csi_end),
            '\u{90}' | '\u{98}' | '\u{9d}' | '\u{9e}' | '\u{9f}' => skip_string(&mut chars),
            '\t' | '\n' | '\r' | '\u{2028}' | '\u{2029}' => out.push(' '),
            c if is_invisible(c) => {}
            c if c.is_control() => out.push(char::REPLACEMENT_CHARACTER),
            c => out.push(c),
        }
    }
    out.truncate(out.trim_end().len());
    out
}

/// The rest of a sequence that began with ESC.
fn skip_escape(chars: &mut std::str::Chars<'_>) {
    match chars.next() {
        Some('[') => skip_until(chars, is_csi_end),
        Some(']' | 'P' | 'X' | '^' | '_') => skip_string(chars),
        // Character sets and the like: intermediates, then one final character.
        Some(' '..='/') => skip_until(chars, |c| !(' '..='/').contains(&c)),
        Some(_) | None => {}
    }
}

fn is_csi_end(c: char) -> bool {
    ('@'..='~').contains(&c)
}

fn skip_until(chars: &mut std::str::Chars<'_>, end: impl Fn(char) -> bool) {
    for c in chars.by_ref() {
        if end(c) {
            return;
        }
    }
}

/// Titles, links and device strings: up to BEL or the string terminator, in either of its two forms.
fn skip_string(chars: &mut std::str::Chars<'_>) {
    while let Some(c) = chars.next() {
        match c {
            '\u{7}' | '\u{9c}' => return,
            '\u{1b}' => {
                chars.next();
                return;
            }
            _ => {}
        }
    }
}

/// Characters without a glyph that hide text or show it in another order than it is in.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// The lines of a text of several lines, each cleaned, with their indentation: carets under source lines stay where they are.
pub(super) fn clean_lines(text: &str) -> Vec<String> {
    text.lines().map(|line| clean(&line.replace('\t', INDENT))).collect()
}

/// A line that GitHub's runner takes for text and not for a command. The runner reads `::name::` at the start of a line, after
/// any white space, and the older `##[name]` anywhere in it; both outputs of a step are read so, whichever reporter wrote them.
pub(super) fn inert(line: &str) -> String {
    let line = line.replace("##[", "## [");
    let text = line.trim_start();
    match text.strip_prefix("::") {
        Some(rest) => format!("{}: :{rest}", &line[..line.len() - text.len()]),
        None => line,
    }
}

/// Lines, made inert and joined; empty if there are none.
pub(super) fn paragraph<S: AsRef<str>>(lines: impl IntoIterator<Item = S>) -> String {
    let mut out = String::new();
    for line in lines {
        out.push_str(&inert(line.as_ref()));
        out.push('\n');
    }
    out
}

/// At most `limit` characters, the last one an ellipsis if something was cut off.
pub(super) fn cut(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        None => text.to_owned(),
        Some(_) => text.chars().take(limit.saturating_sub(1)).chain(['…']).collect(),
    }
}

/// How many columns a text takes, by its characters.
pub(super) fn width(text: &str) -> usize {
    text.chars().count()
}

/// Lines of at most `limit` characters, broken between words; a longer word (a path, an address) stays whole.
pub(super) fn wrap(text: &str, limit: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && width(&line) + 1 + width(word) > limit {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

/// Milliseconds as a person says them: `12 ms`, `1.2 s`, `3 min 05 s`, `1 h 02 min`.
pub(super) fn duration(ms: u64) -> String {
    let s = ms / 1000;
    match s {
        0 => format!("{ms} ms"),
        1..60 => format!("{s}.{} s", ms % 1000 / 100),
        60..3600 => format!("{} min {:02} s", s / 60, s % 60),
        3600.. => format!("{} h {:02} min", s / 3600, s % 3600 / 60),
    }
}

/// `1 finding`, `2 findings`.
pub(super) fn count(number: usize, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

/// `a, b` of the parts that count something.
pub(super) fn tally<N: Display>(parts: impl IntoIterator<Item = (usize, N)>) -> String {
    let parts: Vec<String> = parts
        .into_iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, name)| format!("{number} {name}"))
        .collect();
    parts.join(", ")
}

/// What a piece of text means, for those who see colours. The words alone must say the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hue {
    /// As it should be.
    Good,
    /// It fails the run.
    Bad,
    /// It needs a look.
    Warn,
    /// Of less weight than what stands around it.
    Quiet,
}

/// Whether colours are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ink(pub(super) bool);

impl Ink {
    /// The text in a colour, or as it is.
    pub(super) fn paint(self, hue: Hue, text: &str) -> String {
        let code = match hue {
            Hue::Good => "32",
            Hue::Bad => "1;31",
            Hue::Warn => "33",
            Hue::Quiet => "2",
        };
        if self.0 { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_leave_nothing_behind() {
        for (raw, shown) in [
            ("\u{1b}[31mred\u{1b}[0m", "red"),
            ("a\u{1b}]0;title\u{7}b", "ab"),
            ("a\u{1b}]8;;https://x\u{1b}\\link\u{1b}]8;;\u{1b}\\b", "alinkb"),
            ("a\u{1b}(Bb\u{1b}cd", "abd"),
            ("a\u{1b}Pq#0\u{1b}\\b", "ab"),
            ("a\u{9b}2Jb\u{9d}0;t\u{9c}c", "abc"),
            ("cut off\u{1b}[3", "cut off"),
            ("cut off\u{1b}", "cut off"),
        ] {
            assert_eq!(clean(raw), shown, "{raw:?}");
        }
    }

    #[test]
    fn control_characters_and_hidden_ones_do_not_reach_the_screen() {
        assert_eq!(
            clean("a\r\n::error::b\tc\u{8}\u{0}d\u{7f}\u{85}"),
            "a  ::error::b c\u{fffd}\u{fffd}d\u{fffd}\u{fffd}"
        );
        assert_eq!(clean("user\u{202e}txt.exe\u{200b}\u{feff}\u{e0041}"), "usertxt.exe");
        assert_eq!(clean("grün 日本 – ok"), "grün 日本 – ok");
        let every: String = ('\0'..='\u{ffff}').collect();
        assert!(!clean(&every).chars().any(char::is_control));
    }

    #[test]
    fn source_lines_keep_their_indentation() {
        assert_eq!(clean_lines("a:\r\n\tb: 1\n   ^^\u{1b}[0m"), ["a:", "    b: 1", "   ^^"]);
    }

    #[test]
    fn no_line_is_a_command_for_the_runner() {
        assert_eq!(inert("::error::x"), ": :error::x");
        assert_eq!(inert("  \u{a0}::add-mask::x"), "  \u{a0}: :add-mask::x");
        assert_eq!(inert("text ##[group]x ###[error]"), "text ## [group]x ### [error]");
        assert_eq!(inert("std::io::Error ::x"), "std::io::Error ::x");
    }

    #[test]
    fn cutting_counts_characters_and_never_splits_one() {
        assert_eq!(cut("äöü", 3), "äöü");
        assert_eq!(cut("äöüß", 3), "äö…");
        assert_eq!(cut("", 0), "");
    }

    #[test]
    fn wrapping_keeps_every_word() {
        assert_eq!(wrap("aa bb  cc dd", 5), ["aa bb", "cc dd"]);
        assert_eq!(wrap("a/very/long/path b", 5), ["a/very/long/path", "b"]);
        assert!(wrap("  ", 5).is_empty());
    }

    #[test]
    fn durations_read_like_speech() {
        let said: Vec<String> = [0, 999, 1000, 1299, 59_999, 60_000, 185_000, 3_599_999, 3_720_000]
            .into_iter()
            .map(duration)
            .collect();
        assert_eq!(
            said,
            [
                "0 ms",
                "999 ms",
                "1.0 s",
                "1.2 s",
                "59.9 s",
                "1 min 00 s",
                "3 min 05 s",
                "59 min 59 s",
                "1 h 02 min"
            ]
        );
    }
}
