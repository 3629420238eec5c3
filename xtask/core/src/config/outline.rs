//! Which field stands where in the text of `pipeline.yaml`. Made only when something is wrong: a good file is read once, by the
//! YAML library, and pays nothing for places.

use super::error::Extent;
use super::load::MAX_EVENTS;
use serde_yaml::granit_parser::{Event, Marker, Parser, ScalarStyle, Span};
use std::fmt;

/// Deeper than any field of the format: the outline of a hostile file stays small.
const DEPTH: usize = 16;

/// One step from a value to a value inside of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// The field of a mapping.
    Key(String),
    /// The item of a list, from 0.
    Index(usize),
}

/// The way from the top of the file to a value.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Path(pub(super) Vec<Step>);

impl Path {
    /// The value that this one is inside of; the top is inside of itself.
    pub(super) fn parent(&self) -> Path {
        Path(self.0[..self.0.len().saturating_sub(1)].to_vec())
    }
}

impl fmt::Display for Path {
    /// `services.hello.inputs[2]`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if index > 0 => write!(f, ".{key}")?,
                Step::Key(key) => f.write_str(key)?,
                Step::Index(item) => write!(f, "[{item}]")?,
            }
        }
        Ok(())
    }
}

/// What a value is, to a reader of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Nothing,
    Text,
    Number,
    Truth,
    List,
    Mapping,
    Alias,
}

impl Kind {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Kind::Nothing => "nothing",
            Kind::Text => "text",
            Kind::Number => "a number",
            Kind::Truth => "`true` or `false`",
            Kind::List => "a list",
            Kind::Mapping => "a mapping",
            Kind::Alias => "an alias",
        }
    }
}

/// One value of the file.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) path: Path,
    pub(super) kind: Kind,
    key: Option<Located>,
    value: Located,
}

#[derive(Debug, Clone, Copy)]
struct Located {
    offset: usize,
    extent: Extent,
}

impl Entry {
    /// Where its key stands, or the value itself if it has none.
    pub(super) fn key(&self) -> Extent {
        self.key.unwrap_or(self.value).extent
    }

    /// Where the reader looks for it: a value of one word at itself, everything larger at its key.
    pub(super) fn place(&self) -> Extent {
        match self.kind {
            Kind::Text | Kind::Number | Kind::Truth | Kind::Alias => self.value.extent,
            Kind::Nothing | Kind::List | Kind::Mapping => self.key(),
        }
    }
}

/// Every value of the file, in its order.
#[derive(Debug, Default)]
pub(super) struct Outline(Vec<Entry>);

impl Outline {
    /// The outline of as much of the text as can be read.
    pub(super) fn of(text: &str) -> Outline {
        let mut builder = Builder::default();
        for event in Parser::new_from_str(text).take(MAX_EVENTS) {
            let Ok((event, span)) = event else { break };
            if builder.take(event, span).is_none() {
                break;
            }
        }
        Outline(builder.entries)
    }

    /// The value whose key begins at this byte.
    pub(super) fn key_at(&self, offset: usize) -> Option<&Entry> {
        self.0.iter().find(|entry| entry.key.is_some_and(|key| key.offset == offset))
    }

    /// The value that begins at this byte; of several the outermost.
    pub(super) fn value_at(&self, offset: usize) -> Option<&Entry> {
        self.0.iter().find(|entry| entry.value.offset == offset)
    }

    /// The value at this path, or the nearest one around it: a value that came through an alias has no place of its own.
    pub(super) fn nearest(&self, path: &Path) -> Option<&Entry> {
        let mut path = path.clone();
        loop {
            if let Some(entry) = self.0.iter().find(|entry| entry.path == path) {
                return Some(entry);
            }
            path.0.pop()?;
        }
    }
}

#[derive(Default)]
struct Builder {
    entries: Vec<Entry>,
    path: Vec<Step>,
    open: Vec<Open>,
}

enum Open {
    /// A mapping, and the key whose value comes next.
    Mapping(Option<(String, Located)>),
    /// A list, and the number of the item that comes next.
    List(usize),
}

impl Builder {
    /// Takes the next event; `None` when the rest cannot be outlined.
    fn take(&mut self, event: Event<'_>, span: Span) -> Option<()> {
        match event {
            Event::Scalar(text, style, ..) => {
                if let Some(Open::Mapping(key @ None)) = self.open.last_mut() {
                    *key = Some((text.into_owned(), located(span)?));
                    return Some(());
                }
                self.value(scalar(&text, style), span)?;
                self.leave();
            }
            Event::Alias(_) => {
                self.value(Kind::Alias, span)?;
                self.leave();
            }
            Event::SequenceStart(..) => {
                self.value(Kind::List, span)?;
                self.open.push(Open::List(0));
            }
            Event::MappingStart(..) => {
                self.value(Kind::Mapping, span)?;
                self.open.push(Open::Mapping(None));
            }
            Event::SequenceEnd | Event::MappingEnd => {
                self.open.pop();
                self.leave();
            }
            Event::DocumentEnd => return None,
            Event::StreamStart | Event::DocumentStart(..) => {}
            // Options that are not set would give these.
            Event::StreamEnd | Event::Anchor(..) | Event::UnresolvedAlias(_) | _ => return None,
        }
        Some(())
    }

    /// Notes a value, and steps into it.
    fn value(&mut self, kind: Kind, span: Span) -> Option<()> {
        let mut found = None;
        match self.open.last_mut() {
            // A mapping or a list as a key: no field has such a name.
            Some(Open::Mapping(None)) => return None,
            Some(Open::Mapping(pending)) => {
                let (name, key) = pending.take()?;
                self.path.push(Step::Key(name));
                found = Some(key);
            }
            Some(Open::List(next)) => {
                self.path.push(Step::Index(*next));
                *next += 1;
            }
            None => {}
        }
        let value = located(span)?;
        self.entries.push(Entry { path: Path(self.path.clone()), kind, key: found, value });
        (self.path.len() < DEPTH).then_some(())
    }

    fn leave(&mut self) {
        self.path.pop();
    }
}

fn located(span: Span) -> Option<Located> {
    let start = span.start;
    let same_line = span.end.line() == start.line();
    let width = if same_line { span.end.index().saturating_sub(start.index()) } else { 1 };
    Some(Located { offset: start.byte_offset()?, extent: extent(start, width) })
}

fn extent(start: Marker, width: usize) -> Extent {
    Extent { line: start.line().max(1), column: start.col() + 1, width: width.max(1) }
}

fn scalar(text: &str, style: ScalarStyle) -> Kind {
    if style != ScalarStyle::Plain {
        return Kind::Text;
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Kind::Nothing,
        "true" | "false" => Kind::Truth,
        number if number.parse::<f64>().is_ok() => Kind::Number,
        _ => Kind::Text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "a: 1\nb:\n  - x: [yes, true]\n  - \"2\"\nc: &n {d: }\ne: *n\n";

    #[test]
    fn every_value_has_its_path_its_kind_and_its_place() {
        let outline = Outline::of(TEXT);
        let shown: Vec<String> = outline
            .0
            .iter()
            .map(|e| format!("{} {:?} {}:{}", e.path, e.kind, e.place().line, e.place().column))
            .collect();
        assert_eq!(
            shown,
            [
                " Mapping 1:1",
                "a Number 1:4",
                "b List 2:1",
                "b[0] Mapping 3:5",
                "b[0].x List 3:5",
                "b[0].x[0] Text 3:9",
                "b[0].x[1] Truth 3:14",
                "b[1] Text 4:5",
                "c Mapping 5:1",
                "c.d Nothing 5:8",
                "e Alias 6:4",
            ]
        );
    }

    #[test]
    fn values_are_found_by_where_they_or_their_keys_begin() {
        let outline = Outline::of(TEXT);
        let path = |entry: Option<&Entry>| entry.map(|entry| entry.path.to_string());
        assert_eq!(path(outline.key_at(5)), Some("b".into()));
        assert_eq!(path(outline.value_at(TEXT.find("yes").unwrap())), Some("b[0].x[0]".into()));
        assert_eq!(path(outline.key_at(3)), None);
    }

    #[test]
    fn what_came_through_an_alias_is_found_at_the_alias() {
        let outline = Outline::of(TEXT);
        let path = Path(vec![Step::Key("e".into()), Step::Key("d".into())]);
        assert_eq!(outline.nearest(&path).map(|entry| entry.path.to_string()), Some("e".into()));
    }

    #[test]
    fn broken_text_has_an_outline_up_to_where_it_breaks() {
        assert_eq!(Outline::of("a: 1\nb: [\n").0.len(), 3);
        assert_eq!(Outline::of("").0.len(), 0);
        assert_eq!(Outline::of(&format!("{}{}", "[".repeat(50), "]".repeat(50))).0.len(), DEPTH + 1);
        assert_eq!(Outline::of("? [a]\n: b\n").0.len(), 1);
    }
}
