//! What is wrong with `pipeline.yaml`: one error, shown with the line it is about and with what would be right.
//!
//! An error is a value; whoever shows it prints its [`Display`](fmt::Display) and exits with [`ConfigError::exit_code`].

use crate::error::ExitCode;
use std::fmt;

/// The widest part of a source line that is shown; a line of flow style can be very long.
const WINDOW: usize = 100;

/// The longest sentence that is shown: it may quote what stands in the file.
const LONGEST: usize = 300;

/// One thing that is wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError(Box<Parts>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Parts {
    file: String,
    place: Option<Place>,
    message: String,
    help: String,
}

/// Where in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    /// The line, from 1.
    pub(super) line: usize,
    /// The column in characters, from 1.
    pub(super) column: usize,
    /// How many characters, at least 1.
    pub(super) width: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    extent: Extent,
    source: String,
}

/// What is wrong and what would be right, before it is known where that stands in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Complaint {
    /// What is wrong, in one sentence without a full stop.
    pub(super) what: String,
    /// What would be right.
    pub(super) help: String,
}

impl Complaint {
    pub(super) fn new(what: impl Into<String>, help: impl Into<String>) -> Self {
        Complaint { what: what.into(), help: help.into() }
    }
}

impl fmt::Display for Complaint {
    /// The way through a library that keeps only one text of an error; [`Complaint::from_text`] is the way back.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}", self.what, self.help)
    }
}

impl Complaint {
    /// A complaint that was an error's text for a while.
    pub(super) fn from_text(text: &str) -> Option<Complaint> {
        text.rsplit_once('\n').map(|(what, help)| Complaint::new(what, help))
    }
}

impl ConfigError {
    /// An error about the file as a whole.
    pub(super) fn whole(file: impl Into<String>, complaint: &Complaint) -> Self {
        ConfigError(Box::new(Parts {
            file: file.into(),
            place: None,
            message: printable(&complaint.what),
            help: help(&complaint.help),
        }))
    }

    /// An error about one place in the file's text.
    pub(super) fn placed(file: impl Into<String>, text: &str, extent: Extent, complaint: &Complaint) -> Self {
        // The three ends of a line that YAML knows.
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        let source = text.split('\n').nth(extent.line - 1).unwrap_or_default();
        let mut error = ConfigError::whole(file, complaint);
        error.0.place = Some(Place { extent, source: source.to_owned() });
        error
    }

    /// The file, as it is to be shown: relative if it is in the folder that the search began in.
    pub fn file(&self) -> &str {
        &self.0.file
    }

    /// Line and column, both from 1, if the error is about one place.
    pub fn position(&self) -> Option<(usize, usize)> {
        self.0.place.as_ref().map(|place| (place.extent.line, place.extent.column))
    }

    /// What is wrong, in one sentence.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What would be right.
    pub fn help(&self) -> &str {
        &self.0.help
    }

    /// The exit code that it asks for.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::Usage
    }
}

impl std::error::Error for ConfigError {}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Parts { file, place, message, help } = &*self.0;
        let Some(Place { extent, source }) = place else {
            return write!(f, "{file}: {message}\n{help}");
        };
        let (source, indent, width) = window(source, *extent);
        let gutter = extent.line.to_string().len().max(4);
        writeln!(f, "{file}:{}:{}: {message}", extent.line, extent.column)?;
        writeln!(f, "{:gutter$} |{}{source}", extent.line, if source.is_empty() { "" } else { " " })?;
        write!(f, "{:gutter$} | {:indent$}{} {help}", "", "", "^".repeat(width))
    }
}

/// The part of the line that is shown, the caret's indentation in it, and the caret's width.
fn window(source: &str, extent: Extent) -> (String, usize, usize) {
    let length = source.chars().count();
    let at = (extent.column - 1).min(length);
    let from = if length <= WINDOW { 0 } else { at.saturating_sub(WINDOW / 3) };
    let to = length.min(from + WINDOW);
    let mut shown: String = source.chars().skip(from).take(to - from).map(visible).collect();
    let mut indent = at - from;
    if from > 0 {
        shown.insert(0, '…');
        indent += 1;
    }
    if to < length {
        shown.push('…');
    }
    (shown.trim_end().to_owned(), indent, extent.width.min(to.saturating_sub(at)).max(1))
}

fn printable(text: &str) -> String {
    let mut shown: String = text.chars().take(LONGEST).map(visible).collect();
    if text.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    shown
}

/// Help may have several lines; a message may not.
fn help(text: &str) -> String {
    text.lines().map(printable).collect::<Vec<_>>().join("\n")
}

/// One column for each character, and nothing that moves a terminal's cursor or turns the direction of writing: the file may
/// come from a stranger's pull request.
fn visible(character: char) -> char {
    match character {
        '\t' => ' ',
        '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' => {
            '\u{fffd}'
        }
        control if control.is_control() => '\u{fffd}',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, line: usize, column: usize, width: usize) -> String {
        let complaint = Complaint::new("wrong", "right");
        ConfigError::placed("f", text, Extent { line, column, width }, &complaint).to_string()
    }

    #[test]
    fn the_caret_stands_under_what_is_wrong() {
        assert_eq!(shown("a: b\nccc: d\n", 2, 6, 1), "f:2:6: wrong\n   2 | ccc: d\n     |      ^ right");
        assert_eq!(shown("ä: ß\r\n", 1, 4, 1), "f:1:4: wrong\n   1 | ä: ß\n     |    ^ right");
    }

    #[test]
    fn a_caret_is_never_wider_than_its_line_nor_gone_at_its_end() {
        assert_eq!(shown("abc", 1, 2, 99), "f:1:2: wrong\n   1 | abc\n     |  ^^ right");
        assert_eq!(shown("abc", 1, 4, 0), "f:1:4: wrong\n   1 | abc\n     |    ^ right");
        assert_eq!(shown("abc", 7, 9, 1), "f:7:9: wrong\n   7 |\n     | ^ right");
    }

    #[test]
    fn a_long_line_is_cut_around_the_caret() {
        let line = format!("{}x{}", "-".repeat(300), "+".repeat(300));
        let shown = shown(&line, 1, 301, 1);
        let [_, source, caret] = shown.lines().collect::<Vec<_>>()[..] else { panic!("{shown}") };
        assert_eq!(source, format!("   1 | …{}x{}…", "-".repeat(33), "+".repeat(66)));
        assert_eq!(caret.find('^'), Some("     | ".len() + 34));
    }

    #[test]
    fn what_would_move_the_cursor_is_replaced() {
        assert_eq!(
            shown("\ta\u{1b}[31m\u{202e}\0", 1, 2, 1),
            "f:1:2: wrong\n   1 |  a\u{fffd}[31m\u{fffd}\u{fffd}\n     |  ^ right"
        );
        let error = ConfigError::whole("f", &Complaint::new("a\nb\u{7}", "c\n\u{7}d"));
        assert_eq!(error.to_string(), "f: a\u{fffd}b\u{fffd}\nc\n\u{fffd}d");
    }
}
