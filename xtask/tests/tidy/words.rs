//! Habits of files: an opening line that says what a module is for, a length that can be read, and words that do not belong in
//! a repository that other people use.

use crate::source::{Fault, Source};

/// Longer files have more than one job.
const MOST_LINES: usize = 600;

/// What must not be in any file, and why. The parts are joined so that this file does not break its own rule.
const BANNED: [(&str, &str, &str); 8] = [
    ("TO", "DO", "finish it, or say in the documents what is missing"),
    ("FIX", "ME", "mend it"),
    ("XX", "X", "say it in words"),
    ("to", "do!", "write it, or leave it out"),
    ("unimple", "mented!", "write it, or leave it out"),
    ("#[ig", "nore", "a test that never runs proves nothing: delete it, or make it run"),
    ("/wo", "rk/", "a path of one machine: make it relative, or take it from the configuration"),
    ("/ro", "ot/", "a path of one machine: make it relative, or take it from the configuration"),
];

/// A module that does not say what it is for.
pub(crate) fn opening(source: &Source) -> Vec<Fault> {
    let first = source.text.lines().next().unwrap_or_default();
    let says = first.strip_prefix("//! ").is_some_and(|words| words.split(' ').count() > 2);
    if says {
        return Vec::new();
    }
    let message = "a module opens with `//!` and a sentence: what it is for, and what it must not do";
    vec![Fault::new(&source.path, 1, message)]
}

/// A file with too many lines, tests not counted.
pub(crate) fn length(source: &Source) -> Vec<Fault> {
    let lines = source.lines_without_tests();
    if lines <= MOST_LINES {
        return Vec::new();
    }
    let message = format!("{lines} lines without tests, more than {MOST_LINES}: split it by its jobs");
    vec![Fault::new(&source.path, 0, message)]
}

/// Words that are banned in every file.
pub(crate) fn banned(path: &str, text: &str) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (line, content) in (1..).zip(text.lines()) {
        for (start, end, rule) in BANNED {
            let word = format!("{start}{end}");
            if stands_alone(content, &word) {
                faults.push(Fault::new(path, line, format!("`{word}`: {rule}")));
            }
        }
    }
    faults
}

/// Whether `word` stands in `text` with no letter or digit beside it.
fn stands_alone(text: &str, word: &str) -> bool {
    let letter = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    text.match_indices(word).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        let ends_open = word.ends_with(|c: char| !c.is_alphanumeric());
        !letter(before) && (ends_open || !letter(after))
    })
}

#[test]
fn a_module_without_an_opening_sentence_is_found() {
    for bad in ["", "use a;\n", "//!\n//! Late.\n", "//! Tools.\n"] {
        assert_eq!(opening(&Source::new("a.rs", bad)).len(), 1, "{bad:?}");
    }
    assert!(opening(&Source::new("a.rs", "//! What it is for.\n")).is_empty());
}

#[test]
fn a_long_file_is_found_and_its_tests_do_not_count() {
    let code = "//! x\n".repeat(MOST_LINES);
    assert!(length(&Source::new("a.rs", &code)).is_empty());
    let tests = format!("{code}#[cfg(test)]\nmod tests {{\n{}}}", "fn t() {}\n".repeat(50));
    assert!(length(&Source::new("a.rs", &tests)).is_empty());
    assert_eq!(length(&Source::new("a.rs", &format!("{code}fn f() {{}}\n"))).len(), 1);
}

#[test]
fn every_banned_word_is_found_where_it_stands_alone() {
    for (start, end, _) in BANNED {
        let text = format!("fine\nx {start}{end} y\n");
        let faults = banned("a.md", &text);
        assert!(faults.iter().any(|fault| fault.line == 2), "{start}{end}");
    }
    let fine = ["mastodon", "TODOS_SERVICE", "target/work/x", "chroot/x", "ignore"];
    for text in fine {
        assert!(banned("a.md", text).is_empty(), "{text}");
    }
}
