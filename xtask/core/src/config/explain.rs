//! Puts the YAML library's errors into words: what is wrong, at which field, and what would be right. The library knows the place
//! and the kind of error; which field that is comes from the outline.

use super::error::{Complaint, ConfigError, Extent};
use super::examples::{example, example_in};
use super::outline::{Entry, Outline, Path};
use super::value::NOTHING;
use serde_yaml::{Error, Location};

/// Turns the library's error into ours.
pub(super) fn explain(file: &str, text: &str, error: &Error) -> ConfigError {
    let outline = Outline::of(text);
    let location = error.location().filter(|location| location.line() > 0);
    let error = innermost(error);
    let Some(location) = location else {
        return ConfigError::whole(
            file,
            complaint(
                error,
                &Context {
                    outline: &outline,
                    offset: None,
                },
            )
            .1,
        );
    };
    let context = Context {
        outline: &outline,
        offset: offset(text, location),
    };
    let (place, complaint) = complaint(error, &context);
    ConfigError::placed(file, text, place.unwrap_or_else(|| extent(location)), complaint)
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
pub(super) fn did_you_mean<'a>(word: &str, words: &[&'a str]) -> String {
    match similar(word, words.iter().copied()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("known here: {}", list(words)),
    }
}

fn list(words: &[&str]) -> String {
    words
        .iter()
        .map(|word| format!("`{word}`"))
        .collect::<Vec<_>>()
        .join(", ")
}

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
    if path.0.is_empty() {
        "at the top level".to_owned()
    } else {
        format!("in `{path}`")
    }
}

/// What is wrong, and where if that is not simply where the library says.
fn complaint(error: &Error, context: &Context<'_>) -> (Option<Extent>, Complaint) {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the library's errors are open: the rest keeps its own words"
    )]
    match error {
        Error::SerdeUnknownField { field, expected, .. } => {
            let mapping = inside(&context.mapping());
            (
                None,
                Complaint::new(
                    format!("unknown field `{field}` {mapping}"),
                    did_you_mean(field, expected),
                ),
            )
        }
        Error::SerdeMissingField { field, .. } => missing(field, context),
        Error::SerdeUnknownVariant {
            variant, expected, ..
        } => {
            let what = match (context.value(), context.key()) {
                (Some(entry), _) => format!("`{variant}` is not known to `{}`", entry.path),
                (None, _) => format!("`{variant}` is not known {}", inside(&context.mapping())),
            };
            (None, Complaint::new(what, did_you_mean(variant, expected)))
        }
        Error::DuplicateMappingKey { key, .. } => {
            let mapping = context.mapping();
            let key = key.as_deref().unwrap_or("?");
            let first = context
                .key()
                .and_then(|entry| context.outline.nearest(&entry.path));
            let help = first.map_or_else(String::new, |entry| {
                format!(" the one in line {} or", entry.key().line)
            });
            (
                None,
                Complaint::new(
                    format!("`{key}` is there twice {}", inside(&mapping)),
                    format!("remove{help} this one"),
                ),
            )
        }
        Error::Message { msg, .. } if msg == NOTHING => wrong(context, None, "a value"),
        Error::Message { msg, .. } => (
            None,
            Complaint::from_text(msg).unwrap_or_else(|| Complaint::new(msg, "")),
        ),
        Error::QuotingRequired { .. } => wrong(context, None, "text"),
        Error::NullIntoString { .. } => wrong(context, None, "text"),
        Error::Unexpected {
            expected: "mapping start",
            ..
        } => wrong(context, None, "a mapping"),
        Error::Unexpected {
            expected: "sequence start",
            ..
        } => wrong(context, None, "a list"),
        Error::Unexpected {
            expected: "string scalar",
            ..
        } => wrong(context, None, "text"),
        Error::SerdeInvalidType {
            expected, unexpected, ..
        } => wrong(context, Some(unexpected), expected),
        Error::Eof { .. } => (
            None,
            Complaint::new("the file is empty", "it begins with `version: 1`"),
        ),
        Error::MultipleDocuments { .. } => (
            None,
            Complaint::new(
                "a second document begins here",
                "one file holds one: remove `---` and what follows",
            ),
        ),
        Error::UnknownAnchor { .. } => (
            None,
            Complaint::new(
                "no anchor has this name",
                "an anchor `&name` must stand before its alias `*name`",
            ),
        ),
        Error::RecursiveReferencesRequireWeakTypes { .. } => (
            None,
            Complaint::new(
                "this alias is inside of its own anchor",
                "write the repeated part out",
            ),
        ),
        Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => (
            None,
            Complaint::new(
                "the aliases make this file too large",
                "write the repeated parts out",
            ),
        ),
        Error::Budget { .. } => (
            None,
            Complaint::new(
                "the file is too large or too deep",
                "no field of this format is that deep or that long",
            ),
        ),
        Error::UnsupportedTag { tag, .. } => (
            None,
            Complaint::new(format!("the tag `{tag}` has no meaning here"), "remove it"),
        ),
        Error::ExternalMessage { msg, .. } if msg.starts_with("tabs disallowed") => (
            None,
            Complaint::new("a tab in the indentation", "YAML is indented with spaces"),
        ),
        Error::ExternalMessage { msg, .. } => (
            None,
            Complaint::new(
                format!("not YAML: {msg}"),
                "check quotes, brackets, colons and indentation up to here",
            ),
        ),
        other => (
            None,
            Complaint::new(plain(other), "check the field's type and its indentation"),
        ),
    }
}

/// A field that a mapping must have. Shown at the mapping's own key, because what is missing has no place.
fn missing(field: &str, context: &Context<'_>) -> (Option<Extent>, Complaint) {
    let path = context.mapping();
    let help = example_in(&path, field)
        .map_or_else(|| format!("add `{field}`"), |example| format!("add `{example}`"));
    let place = context
        .outline
        .nearest(&path)
        .filter(|_| !path.0.is_empty())
        .map(Entry::key);
    (
        place,
        Complaint::new(format!("missing field `{field}` {}", inside(&path)), help),
    )
}

/// A value of the wrong type.
fn wrong(context: &Context<'_>, found: Option<&str>, expected: &str) -> (Option<Extent>, Complaint) {
    // A list or a mapping in the place of something else begins where its first key does, so the value is asked first.
    let Some(entry) = context.value().or_else(|| context.key()) else {
        let found = found.unwrap_or("something else");
        return (
            None,
            Complaint::new(
                format!("{found} in place of {expected}"),
                "check the field's type",
            ),
        );
    };
    let subject = if entry.path.0.is_empty() {
        "the file".to_owned()
    } else {
        format!("`{}`", entry.path)
    };
    let help = match example(&entry.path) {
        Some(example) => format!("write it as `{example}`"),
        None => "it begins with `version: 1`, and each `:` has a space behind it".to_owned(),
    };
    let what = match entry.kind.as_str() {
        _ if expected == "a value" => format!("{subject} is empty"),
        "nothing" => format!("{subject} is empty"),
        kind => format!("{subject} is {kind} and must be {expected}"),
    };
    (Some(entry.place()), Complaint::new(what, help))
}

/// The error itself, out of what the library wraps around it.
fn innermost(error: &Error) -> &Error {
    match error.without_snippet() {
        Error::AliasError { error, .. } => innermost(error),
        error => error,
    }
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
    let inside = text[start..]
        .char_indices()
        .nth(column - 1)
        .map_or(0, |(at, _)| at);
    Some(start + inside)
}
