//! Puts the YAML library's errors into words: what is wrong, at which field, and what would be right. The library knows the place
//! and the kind of error; which field that is comes from the outline.

use super::error::{Complaint, ConfigError, Extent};
use super::examples::{example, example_in};
use super::outline::{Entry, Kind, Outline, Path};
use super::value::{MUST_BE, NOTHING};
use serde_yaml::{Error, Location};

/// Turns the library's error into ours.
pub(super) fn explain(file: &str, text: &str, error: &Error) -> ConfigError {
    let outline = Outline::of(text);
    let location = error.location().filter(|location| location.line() > 0);
    // What has no place is about the whole file.
    let (offset, extent) =
        location.map_or((Some(0), TOP), |location| (offset(text, location), extent(location)));
    let (place, complaint) = found(innermost(error), &Context { outline: &outline, offset });
    ConfigError::placed(file, text, place.unwrap_or(extent), &complaint)
}

/// The word of a list that was probably meant, if one is near enough.
pub(super) fn similar<'a>(word: &str, words: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let near = (word.chars().count() / 3).max(1);
    words
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= near)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `did you mean …`, or all that there is.
pub(super) fn did_you_mean(word: &str, words: &[&str]) -> String {
    match similar(word, words.iter().copied()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("known here: {}", list(words)),
    }
}

fn list(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

/// The help for text that is not YAML.
const LOOK_AROUND: &str = "check quotes, brackets, colons and indentation up to here";

const TOP: Extent = Extent { line: 1, column: 1, width: 1 };

struct Context<'a> {
    outline: &'a Outline,
    offset: Option<usize>,
}

impl Context<'_> {
    fn key(&self) -> Option<&Entry> {
        self.offset.and_then(|offset| self.outline.key_at(offset))
    }

    fn value(&self) -> Option<&Entry> {
        self.offset.and_then(|offset| self.outline.value_at(offset))
    }

    /// The mapping that a complaint about one of its keys, or about a key that it has not, is about.
    fn mapping(&self) -> Path {
        match (self.key(), self.value()) {
            (Some(entry), _) => entry.path.parent(),
            (None, Some(entry)) => entry.path.clone(),
            (None, None) => Path::default(),
        }
    }
}

fn inside(path: &Path) -> String {
    if path.0.is_empty() { "at the top level".to_owned() } else { format!("in `{path}`") }
}

/// What is wrong, and where if that is not simply where the library says.
type Found = (Option<Extent>, Complaint);

fn here(what: impl Into<String>, help: impl Into<String>) -> Found {
    (None, Complaint::new(what, help))
}

fn found(error: &Error, context: &Context<'_>) -> Found {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the library's errors are open: the rest keeps its words"
    )]
    match error {
        Error::SerdeUnknownField { field, expected, .. } => {
            let what = format!("unknown field `{field}` {}", inside(&context.mapping()));
            here(what, did_you_mean(field, expected))
        }
        Error::SerdeMissingField { field, .. } => missing(field, context),
        Error::DuplicateMappingKey { key, .. } => duplicate(key.as_deref().unwrap_or("?"), context),
        Error::Message { msg, .. } if msg == NOTHING => wrong(context, "a value"),
        Error::Message { msg, .. } => match (msg.strip_prefix(MUST_BE), Complaint::from_text(msg)) {
            (Some(expected), _) => wrong(context, expected),
            (None, Some(complaint)) => (None, complaint),
            (None, None) => here(msg, "check the field's type"),
        },
        Error::QuotingRequired { .. } | Error::NullIntoString { .. } => wrong(context, "text"),
        Error::Unexpected { expected, .. } => match *expected {
            "mapping start" => wrong(context, "a mapping"),
            "sequence start" => wrong(context, "a list"),
            "string scalar" => wrong(context, "text"),
            other => here(format!("not YAML: {other} expected"), LOOK_AROUND),
        },
        Error::Eof { .. } => here("the file is empty", "it begins with `version: 1`"),
        Error::MultipleDocuments { .. } => {
            here("a second document begins here", "one file holds one: remove `---` and what follows")
        }
        Error::UnknownAnchor { .. } => {
            here("no anchor has this name", "an anchor `&name` must stand before its alias `*name`")
        }
        Error::RecursiveReferencesRequireWeakTypes { .. } => {
            here("this alias is inside of its own anchor", "write the repeated part out")
        }
        Error::AliasReplayLimitExceeded { .. } | Error::AliasReplayStackDepthExceeded { .. } => {
            here("the aliases make this file too large", "write the repeated parts out")
        }
        Error::Budget { .. } => here("too much for one file", "no pipeline has this many values"),
        Error::UnsupportedTag { tag, .. } => {
            here(format!("the tag `{tag}` has no meaning here"), "remove it")
        }
        Error::MergeValueNotMapOrSeqOfMaps { .. } => {
            here("`<<` takes a mapping", "name one by its anchor: `<<: *name`")
        }
        Error::ExternalMessage { msg, .. } if msg.starts_with("recursion limit") => {
            here("too deep", "no field of a pipeline is this deep")
        }
        Error::ExternalMessage { msg, .. } if msg.starts_with("tabs disallowed") => {
            here("a tab in the indentation", "YAML is indented with spaces")
        }
        Error::ExternalMessage { msg, .. } => here(format!("not YAML: {msg}"), LOOK_AROUND),
        other => here(plain(other), LOOK_AROUND),
    }
}

fn duplicate(key: &str, context: &Context<'_>) -> Found {
    let first = context.key().and_then(|entry| context.outline.nearest(&entry.path));
    let other = first.map_or_else(String::new, |entry| format!(" the one in line {} or", entry.key().line));
    here(format!("`{key}` is there twice {}", inside(&context.mapping())), format!("remove{other} this one"))
}

/// A field that a mapping must have. Shown at the mapping's own key, because what is missing has no place.
fn missing(field: &str, context: &Context<'_>) -> Found {
    let path = context.mapping();
    let add = example_in(&path, field).unwrap_or(field);
    let complaint =
        Complaint::new(format!("missing field `{field}` {}", inside(&path)), format!("add `{add}`"));
    (context.outline.nearest(&path).map(Entry::key), complaint)
}

/// A value of the wrong type.
fn wrong(context: &Context<'_>, expected: &str) -> Found {
    // A list or a mapping in the place of something else begins where its first key does, so the value is asked first.
    let entry = match (context.value(), context.key()) {
        (Some(value), _) => value,
        (None, Some(_)) if expected == "text" => {
            return here("a key must be text", "put it in quotes, or name it otherwise");
        }
        (None, Some(key)) => key,
        (None, None) => return here(format!("this must be {expected}"), LOOK_AROUND),
    };
    let top = entry.path.0.is_empty();
    let subject = if top { "the file".to_owned() } else { format!("`{}`", entry.path) };
    let what = if entry.kind == Kind::Nothing || expected == "a value" {
        format!("{subject} is empty")
    } else {
        format!("{subject} is {} and must be {expected}", entry.kind.as_str())
    };
    let help = match example(&entry.path) {
        Some(example) => format!("write it as `{example}`"),
        None => "it begins with `version: 1`, and each `:` has a space behind it".to_owned(),
    };
    (Some(entry.place()), Complaint::new(what, help))
}

/// The error itself, out of what the library wraps around it.
fn innermost(error: &Error) -> &Error {
    if let Error::AliasError { error, .. } = error { innermost(error) } else { error }
}

/// The library's own sentence, without the place that we show better.
fn plain(error: &Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or_default().to_owned()
}

fn extent(location: Location) -> Extent {
    let number = |value: u64| usize::try_from(value).unwrap_or(usize::MAX).max(1);
    let width = number(location.span().len());
    Extent {
        line: number(location.line()),
        column: number(location.column()),
        width: if width > 1000 { 1 } else { width },
    }
}

/// The byte that a location means. Errors of the scanner have no offset of their own.
fn offset(text: &str, location: Location) -> Option<usize> {
    if let Some(offset) = location.span().byte_offset() {
        return usize::try_from(offset).ok();
    }
    let Extent { line, column, .. } = extent(location);
    let start: usize = text.split_inclusive('\n').take(line - 1).map(str::len).sum();
    let inside = text[start..].char_indices().nth(column - 1).map_or(0, |(at, _)| at);
    Some(start + inside)
}
