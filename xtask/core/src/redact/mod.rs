//! Masking of secrets: each value becomes `***`, in every form in which tools print it.
//!
//! It knows values only, never their names, and it must not print them: not in `Debug`, not in errors. What it cannot mask without
//! destroying ordinary text (values that are too short or too common) it reports instead of pretending.

mod forms;
mod stream;

pub use stream::RedactStream;

use memchr::memmem::Finder;
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// What stands in the place of a secret.
pub const MASK: &str = "***";

/// Values below this many characters are not masked: they occur everywhere.
const SHORTEST_VALUE: usize = 4;
/// Lines of a secret of several lines are masked one by one from this many bytes on.
const SHORTEST_LINE: usize = 6;
/// Words that are configuration, not secrets, even where a variable is declared secret.
const COMMON_WORDS: [&str; 7] = ["true", "false", "null", "none", "undefined", "disabled", "enabled"];

/// Masks a fixed set of secrets. Cheap to clone.
#[derive(Clone, Default)]
pub struct Redactor {
    patterns: Option<Arc<Patterns>>,
    unmaskable: Arc<[usize]>,
}

/// All forms of all secrets.
struct Patterns {
    /// One a pattern: a search apiece is fast enough for a handful of secrets, and takes no automaton to compile.
    finders: Vec<Finder<'static>>,
    /// Sorted, for the question whether a text may be the beginning of one.
    sorted: Vec<Vec<u8>>,
    longest: usize,
}

impl Redactor {
    /// A redactor for these values. Empty values are ignored; see [`Redactor::unmaskable`] for the others that it leaves alone.
    pub fn new(secrets: impl IntoIterator<Item = String>) -> Self {
        let mut patterns = BTreeSet::new();
        let mut unmaskable = Vec::new();
        for (index, secret) in secrets.into_iter().enumerate() {
            let value = secret.trim();
            if value.is_empty() {
                continue;
            }
            if value.chars().count() < SHORTEST_VALUE
                || COMMON_WORDS.iter().any(|word| value.eq_ignore_ascii_case(word))
            {
                unmaskable.push(index);
                continue;
            }
            forms::add(&mut patterns, &secret);
            forms::add(&mut patterns, value);
            if value.contains('\n') {
                for line in value.lines().map(str::trim).filter(|line| line.len() >= SHORTEST_LINE) {
                    forms::add(&mut patterns, line);
                }
            }
        }
        let sorted: Vec<Vec<u8>> = patterns.into_iter().collect();
        let unmaskable = unmaskable.into();
        let Some(longest) = sorted.iter().map(Vec::len).max() else {
            return Redactor { patterns: None, unmaskable };
        };
        let finders = sorted.iter().map(|pattern| Finder::new(pattern).into_owned()).collect();
        Redactor { patterns: Some(Arc::new(Patterns { finders, sorted, longest })), unmaskable }
    }

    /// Positions, in the order given to [`Redactor::new`], of values that are not masked because they are shorter than four characters
    /// or an everyday word such as `true`. Whoever knows the names tells the user.
    pub fn unmaskable(&self) -> &[usize] {
        &self.unmaskable
    }

    /// The text with every secret masked.
    pub fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let Some(patterns) = &self.patterns else {
            return Cow::Borrowed(text);
        };
        let spans = patterns.spans(text.as_bytes(), 0);
        if spans.is_empty() {
            return Cow::Borrowed(text);
        }
        let mut masked = String::with_capacity(text.len());
        let mut rest = 0;
        for span in spans {
            // Every form is valid UTF-8 as a whole, so a span begins and ends between characters.
            masked.push_str(text.get(rest..span.start).unwrap_or_default());
            masked.push_str(MASK);
            rest = span.end;
        }
        masked.push_str(text.get(rest..).unwrap_or_default());
        Cow::Owned(masked)
    }

    /// A masking of bytes that arrive in pieces.
    pub fn stream(&self) -> RedactStream {
        RedactStream::new(self.patterns.clone())
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let patterns = self.patterns.as_ref().map_or(0, |patterns| patterns.sorted.len());
        write!(f, "Redactor({patterns} patterns)")
    }
}

impl Patterns {
    /// What must be masked in `text`: occurrences that overlap are one span, as is one that overlaps the first `covered` bytes.
    ///
    /// Taking the longest of two overlapping occurrences would leave the rest of the other one readable.
    fn spans(&self, text: &[u8], covered: usize) -> Vec<Range<usize>> {
        let mut found: Vec<Range<usize>> =
            self.finders.iter().flat_map(|finder| occurrences(finder, text)).collect();
        if covered > 0 {
            found.push(0..covered);
        }
        found.sort_unstable_by_key(|span| span.start);
        let mut spans: Vec<Range<usize>> = Vec::new();
        for span in found {
            match spans.last_mut() {
                Some(last) if span.start < last.end => last.end = last.end.max(span.end),
                Some(_) | None => spans.push(span),
            }
        }
        spans
    }

    /// Where the longest end of `text` begins that more text could turn into an occurrence; the length of `text` if none could.
    fn open_end(&self, text: &[u8]) -> usize {
        let first = text.len().saturating_sub(self.longest - 1);
        (first..text.len()).find(|&start| self.may_begin(&text[start..])).unwrap_or(text.len())
    }

    /// Whether some pattern is longer than `text` and begins with it.
    fn may_begin(&self, text: &[u8]) -> bool {
        let after = self.sorted.partition_point(|pattern| pattern.as_slice() <= text);
        self.sorted.get(after).is_some_and(|pattern| pattern.starts_with(text))
    }
}

/// Every occurrence of one pattern, those that overlap with each other too.
fn occurrences<'a>(finder: &'a Finder<'static>, text: &'a [u8]) -> impl Iterator<Item = Range<usize>> + 'a {
    let mut from = 0;
    std::iter::from_fn(move || {
        let start = from + finder.find(text.get(from..)?)?;
        from = start + 1;
        Some(start..start + finder.needle().len())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redactor(secrets: &[&str]) -> Redactor {
        Redactor::new(secrets.iter().map(|secret| (*secret).to_owned()))
    }

    #[test]
    fn text_without_a_secret_is_not_copied() {
        assert!(matches!(redactor(&["hunter22"]).redact("nothing here"), Cow::Borrowed("nothing here")));
        assert!(matches!(Redactor::default().redact("nothing here"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_secret_is_masked_wherever_it_stands() {
        let redactor = redactor(&["hunter22"]);
        assert_eq!(redactor.redact("hunter22"), "***");
        assert_eq!(redactor.redact("a hunter22, hunter22hunter22 ü"), "a ***, ****** ü");
    }

    #[test]
    fn of_two_secrets_that_begin_alike_the_longer_one_goes() {
        assert_eq!(redactor(&["hunter22", "hunter2234567"]).redact("<hunter2234567>"), "<***>");
    }

    #[test]
    fn two_secrets_that_overlap_leave_nothing_of_either() {
        assert_eq!(redactor(&["password", "word1234"]).redact("<password1234>"), "<***>");
        assert_eq!(redactor(&["abab"]).redact("<ababab>"), "<***>");
    }

    #[test]
    fn a_secret_of_several_lines_is_masked_as_a_whole_and_line_by_line() {
        let redactor = redactor(&["-----BEGIN KEY-----\nMIIEvQIBADANBg\nkqhkiG9w0BAQEF\nend\n"]);
        assert_eq!(redactor.redact("12 | kqhkiG9w0BAQEF\r\n"), "12 | ***\r\n");
        assert_eq!(redactor.redact("{-----BEGIN KEY-----\nMIIEvQIBADANBg\nkqhkiG9w0BAQEF\nend\n}"), "{***}");
        assert_eq!(redactor.redact("{-----BEGIN KEY-----\nMIIEvQIBADANBg\nkqhkiG9w0BAQEF\nend}"), "{***}");
        assert_eq!(redactor.redact("in the end"), "in the end", "a short line is an ordinary word");
    }

    #[test]
    fn space_around_a_secret_need_not_be_printed() {
        assert_eq!(redactor(&["  hunter22\n"]).redact("<hunter22>"), "<***>");
    }

    #[test]
    fn short_and_common_values_are_left_alone_and_reported() {
        let redactor = redactor(&["abc", "hunter22", "True", "", "none", "äb"]);
        assert_eq!(redactor.redact("abc hunter22 True none äb"), "abc *** True none äb");
        assert_eq!(redactor.unmaskable(), [0, 2, 4, 5]);
    }

    #[test]
    fn debug_output_shows_no_value() {
        let shown = format!("{:?} {:?}", redactor(&["hunter22"]), redactor(&["hunter22"]).stream());
        assert!(!shown.contains("hunter22"), "{shown}");
    }
}
