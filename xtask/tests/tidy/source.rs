//! Rust sources as text, taken apart far enough for the rules: comments gone, string contents gone or kept, test modules gone.
//!
//! It is a scanner, no parser: it must never need to understand an expression, only where code, text and tests begin and end.

use std::fs;
use std::path::{Path, PathBuf};

/// A breach of a rule, at its place, with what mends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) file: String,
    /// From 1; 0 where the whole file is meant.
    pub(crate) line: usize,
    pub(crate) message: String,
}

impl Fault {
    pub(crate) fn new(file: &str, line: usize, message: impl Into<String>) -> Fault {
        Fault { file: file.to_owned(), line, message: message.into() }
    }
}

/// Fails a test with every fault on a line of its own.
pub(crate) fn assert_none(faults: &[Fault]) {
    let lines: Vec<String> =
        faults.iter().map(|fault| format!("{}:{}: {}", fault.file, fault.line, fault.message)).collect();
    assert!(faults.is_empty(), "\n{}\n", lines.join("\n"));
}

/// A Rust source file. All texts have the same lines.
#[derive(Debug)]
pub(crate) struct Source {
    /// Relative to the root of the repository, with forward slashes.
    pub(crate) path: String,
    /// As it is on disk.
    pub(crate) text: String,
    /// Production code without comments and without the contents of strings.
    pub(crate) code: String,
    /// Production code without comments.
    pub(crate) code_and_strings: String,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Source {
        let code = blank(text, false);
        let tests = test_items(&code);
        Source {
            path: path.to_owned(),
            text: text.to_owned(),
            code: without(&code, &tests),
            code_and_strings: without(&blank(text, true), &tests),
        }
    }

    /// The lines of production code, from 1.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.code.lines())
    }

    /// How many lines are not inside test items.
    pub(crate) fn lines_without_tests(&self) -> usize {
        let tests = test_items(&blank(&self.text, false));
        let in_tests: usize = tests.iter().map(|(start, end)| self.text[*start..*end].lines().count()).sum();
        self.text.lines().count() - in_tests
    }
}

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every file of the repository that people write: no data, nothing recorded from a tool, nothing that git ignores by habit.
pub(crate) fn files() -> Vec<String> {
    let mut found = Vec::new();
    walk(&root(), "", &mut found);
    found.sort();
    assert!(found.len() > 100, "the repository is not where it is looked for");
    found
}

fn walk(folder: &Path, prefix: &str, found: &mut Vec<String>) {
    const LEFT_OUT: [&str; 8] =
        [".git", ".terraform", "__pycache__", "locks", "node_modules", "schema", "target", "testdata"];
    for item in fs::read_dir(folder).unwrap() {
        let item = item.unwrap();
        let name = item.file_name().into_string().unwrap();
        let path = format!("{prefix}{name}");
        let kind = item.file_type().unwrap();
        if LEFT_OUT.contains(&name.as_str()) {
            continue;
        }
        if kind.is_dir() {
            walk(&item.path(), &format!("{path}/"), found);
        } else if kind.is_file() && ![".json", ".lock", ".sum"].iter().any(|end| name.ends_with(end)) {
            found.push(path);
        }
    }
}

/// The text of a file of the repository, or nothing if it is not text.
pub(crate) fn read(path: &str) -> Option<String> {
    String::from_utf8(fs::read(root().join(path)).unwrap()).ok()
}

/// Every Rust source of the packages `xtask`, `xtask-core` and `xtask-ship`, tests included.
pub(crate) fn sources() -> Vec<Source> {
    let ours = |path: &String| path.starts_with("xtask/") && path.ends_with(".rs");
    files().iter().filter(|path| ours(path)).map(|path| Source::new(path, &read(path).unwrap())).collect()
}

/// Those that end up in the product.
pub(crate) fn production() -> Vec<Source> {
    let mut sources = sources();
    sources.retain(|source| source.path.contains("/src/"));
    sources
}

/// The text with comments blanked, and the contents of strings too unless they are to be kept. Line breaks and byte offsets stay.
fn blank(text: &str, keep_strings: bool) -> String {
    let mut out = text.as_bytes().to_vec();
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let (length, is_string) = token(rest, text[..at].chars().next_back());
        if let Some(is_string) = is_string
            && !(is_string && keep_strings)
        {
            for byte in &mut out[at..at + length] {
                if *byte != b'\n' {
                    *byte = b' ';
                }
            }
        }
        at += length;
    }
    String::from_utf8(out).unwrap()
}

/// The length of what begins here, and whether it is a string (true) or a comment (false) or neither (none).
fn token(rest: &str, before: Option<char>) -> (usize, Option<bool>) {
    let first = rest.chars().next().unwrap();
    let in_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    if rest.starts_with("//") {
        return (rest.find('\n').unwrap_or(rest.len()), Some(false));
    }
    if rest.starts_with("/*") {
        return (block_comment(rest), Some(false));
    }
    if !in_word && let Some(length) = raw_string(rest) {
        return (length, Some(true));
    }
    if first == '"' {
        return (1 + quoted(&rest[1..], '"'), Some(true));
    }
    // A lifetime has no second quote right after its one character.
    if first == '\'' && (rest[1..].starts_with('\\') || rest.chars().nth(2) == Some('\'')) {
        return (1 + quoted(&rest[1..], '\''), Some(true));
    }
    (first.len_utf8(), None)
}

fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        if rest.as_bytes()[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest.as_bytes()[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                break;
            }
        } else {
            at += 1;
        }
    }
    at
}

/// The length of a raw string that begins here.
fn raw_string(rest: &str) -> Option<usize> {
    let word = rest.strip_prefix('b').unwrap_or(rest);
    let inner = word.strip_prefix('r')?;
    let hashes = inner.len() - inner.trim_start_matches('#').len();
    let body = inner[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let length = body.find(&end)? + end.len();
    Some(rest.len() - body.len() + length)
}

/// The length up to and with the closing quote.
fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    rest.len()
}

/// The byte ranges of items under `#[cfg(test)]`, in blanked code.
fn test_items(code: &str) -> Vec<(usize, usize)> {
    let mut items = Vec::new();
    let mut at = 0;
    while let Some(start) = code[at..].find("#[cfg(test)]").map(|found| at + found) {
        at = item_end(code, start);
        items.push((start, at));
    }
    items
}

/// The end of an item: its closing brace, or the semicolon of one without a body.
fn item_end(code: &str, start: usize) -> usize {
    let mut depth = 0_usize;
    for (at, byte) in code.bytes().enumerate().skip(start) {
        match byte {
            b'{' => depth += 1,
            b'}' => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            b';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    code.len()
}

fn without(code: &str, ranges: &[(usize, usize)]) -> String {
    let mut out = code.as_bytes().to_vec();
    for (start, end) in ranges {
        for byte in &mut out[*start..*end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
    }
    String::from_utf8(out).unwrap()
}

#[test]
fn comments_strings_and_test_modules_are_told_from_code() {
    let text = "\
//! crate::doc
use a::b; // crate::comment /* */
/* crate::block /* nested */ still */ let x = \"crate::string \\\" //\"; let c = '\"'; let l: &'a str;
let raw = r#\"crate::raw \" \"#; letter('/'); done();
#[cfg(test)]
mod tests {
    fn f() { crate::test(); }
}
#[cfg(test)]
use crate::only_test;
last();
";
    let source = Source::new("a.rs", text);
    for gone in ["doc", "comment", "block", "nested", "still", "string", "raw \"", "test"] {
        assert!(!source.code.contains(&format!("crate::{gone}")), "{gone}");
    }
    for kept in ["use a::b;", "let x =", "let c =", "&'a str", "done()", "last()"] {
        assert!(source.code.contains(kept), "{kept}");
    }
    assert!(source.code_and_strings.contains("crate::string"));
    assert!(!source.code_and_strings.contains("crate::comment"));
    assert_eq!(source.code.lines().count(), text.lines().count());
    assert_eq!(text.lines().count() - source.lines_without_tests(), 6);
}
