//! The texts of [`raw`](super::raw), checked while they are read: names, durations, days, words of a closed set. Each rule is written
//! twice, as code and as a pattern for the JSON schema; `schema` proves that both say the same.

use super::error::Complaint;
use super::explain::did_you_mean;
use super::resolved::{EnvName, Language};
use crate::ids::{ServiceName, StageId};
use crate::outcome::Severity;
use jiff::civil::Date;
use serde::de::{Deserialize, Deserializer, Error};
use std::time::Duration;

/// How one kind of text is checked.
pub(super) trait Rule {
    /// What the text means.
    type Value;
    /// What the text is not when it is wrong: `a service name`.
    const NAME: &'static str;
    /// What would be right.
    const RIGHT: &'static str;
    /// The same rule as a regular expression, for the schema.
    #[cfg(test)]
    const PATTERN: &'static str;
    /// Reads it.
    fn parse(text: String) -> Option<Self::Value>;
}

/// Text that has been checked.
pub(super) struct Checked<R: Rule>(pub(super) R::Value);

impl<'de, R: Rule> Deserialize<'de> for Checked<R> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = || Complaint::new(format!("`{text}` is not {}", R::NAME), R::RIGHT);
        // Cloned because the text is needed for the sentence if it is wrong.
        R::parse(text.clone()).map(Checked).ok_or_else(|| D::Error::custom(wrong()))
    }
}

/// One line of text: paths, globs, names that others have given.
pub(super) struct Text;
impl Rule for Text {
    type Value = String;
    const NAME: &'static str = "a line of text";
    const RIGHT: &'static str = "write at least one character, on one line, without spaces around it";
    #[cfg(test)]
    const PATTERN: &'static str = r"^[^\s\x00-\x1f\x7f]([^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f])?$";
    fn parse(text: String) -> Option<String> {
        let clean = !text.is_empty()
            && text.trim().len() == text.len()
            && !text.contains(|c: char| c.is_ascii_control());
        clean.then_some(text)
    }
}

/// Text for people, of any length.
pub(super) struct Prose;
impl Rule for Prose {
    type Value = String;
    const NAME: &'static str = "a reason";
    const RIGHT: &'static str = "write a sentence that tells the next reader why";
    #[cfg(test)]
    const PATTERN: &'static str = r"\S";
    fn parse(text: String) -> Option<String> {
        let trimmed = text.trim();
        (!trimmed.is_empty()).then(|| trimmed.to_owned())
    }
}

/// A name that Kubernetes takes too.
pub(super) struct Name;
impl Rule for Name {
    type Value = ServiceName;
    const NAME: &'static str = "a name";
    const RIGHT: &'static str =
        "use 1 to 63 lower-case letters, digits and dashes, a letter first and no dash at the end";
    #[cfg(test)]
    const PATTERN: &'static str = "^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$";
    fn parse(text: String) -> Option<ServiceName> {
        ServiceName::try_from(text).ok()
    }
}

/// The name of an environment variable.
pub(super) struct Variable;
impl Rule for Variable {
    type Value = EnvName;
    const NAME: &'static str = "the name of a variable";
    const RIGHT: &'static str = "write the name alone, as `RUSTFLAGS`; its value comes from the environment";
    #[cfg(test)]
    const PATTERN: &'static str = "^[A-Za-z_][A-Za-z0-9_]*$";
    fn parse(text: String) -> Option<EnvName> {
        let starts = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        let goes_on = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        (starts && goes_on).then_some(EnvName(text))
    }
}

/// A registry, as in front of an image's name.
pub(super) struct Registry;
impl Rule for Registry {
    type Value = String;
    const NAME: &'static str = "a registry";
    const RIGHT: &'static str =
        "write a host and what follows it, in lower case, without `https://` and without `/` at the end";
    #[cfg(test)]
    const PATTERN: &'static str = "^[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?(/[a-z0-9][a-z0-9._-]*)*$";
    fn parse(text: String) -> Option<String> {
        let (authority, path) =
            text.split_once('/').map_or((text.as_str(), None), |(host, rest)| (host, Some(rest)));
        let (host, port) =
            authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port)));
        let small = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let host_ok = host.starts_with(small)
            && host.ends_with(small)
            && host.chars().all(|c| small(c) || ".-".contains(c));
        let port_ok =
            port.is_none_or(|port| (1..=5).contains(&port.len()) && port.bytes().all(|b| b.is_ascii_digit()));
        let path_ok = path.is_none_or(|path| {
            path.split('/')
                .all(|part| part.starts_with(small) && part.chars().all(|c| small(c) || "._-".contains(c)))
        });
        (host_ok && port_ok && path_ok).then_some(text)
    }
}

/// The twelve digits of a cloud account.
pub(super) struct Account;
impl Rule for Account {
    type Value = String;
    const NAME: &'static str = "an account";
    const RIGHT: &'static str = "write its 12 digits, in quotes";
    #[cfg(test)]
    const PATTERN: &'static str = "^[0-9]{12}$";
    fn parse(text: String) -> Option<String> {
        (text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())).then_some(text)
    }
}

/// An operating system and an architecture.
pub(super) struct Platform;
impl Rule for Platform {
    type Value = String;
    const NAME: &'static str = "a platform";
    const RIGHT: &'static str = "write it as `linux/amd64` or `linux/arm64`";
    #[cfg(test)]
    const PATTERN: &'static str = "^[a-z0-9]+/[a-z0-9]+(/[a-z0-9]+)?$";
    fn parse(text: String) -> Option<String> {
        let parts: Vec<&str> = text.split('/').collect();
        let small = |part: &&str| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        };
        (matches!(parts.len(), 2 | 3) && parts.iter().all(small)).then_some(text)
    }
}

/// A deadline.
pub(super) struct Deadline;
impl Rule for Deadline {
    type Value = Duration;
    const NAME: &'static str = "a duration";
    const RIGHT: &'static str = "write a whole number and its unit, as `90s`, `20m` or `2h`";
    #[cfg(test)]
    const PATTERN: &'static str = "^[1-9][0-9]{0,5}[smh]$";
    fn parse(text: String) -> Option<Duration> {
        let unit = match text.chars().last()? {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            _ => return None,
        };
        let digits = &text[..text.len() - 1];
        let plain = (1..=6).contains(&digits.len())
            && digits.bytes().all(|b| b.is_ascii_digit())
            && !digits.starts_with('0');
        let number: u64 = digits.parse().ok().filter(|_| plain)?;
        Some(Duration::from_secs(number * unit))
    }
}

/// A day.
pub(super) struct Day;
impl Rule for Day {
    type Value = Date;
    const NAME: &'static str = "a day";
    const RIGHT: &'static str = "write it as `2027-01-31`";
    #[cfg(test)]
    const PATTERN: &'static str = "^[0-9]{4}-[0-9]{2}-[0-9]{2}$";
    fn parse(text: String) -> Option<Date> {
        // The parser also takes a time of day and compact forms; a waiver ends with a day, and is read by people.
        let plain = text.len() == 10 && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
        text.parse().ok().filter(|_| plain)
    }
}

/// The program of a command.
pub(super) struct Program;
impl Rule for Program {
    type Value = String;
    const NAME: &'static str = "a program";
    const RIGHT: &'static str = "write each word as an item of its own: [\"cargo\", \"test\"]";
    #[cfg(test)]
    const PATTERN: &'static str = r"^[^\s\x00-\x1f\x7f]+$";
    fn parse(text: String) -> Option<String> {
        let one_word =
            !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c.is_ascii_control());
        one_word.then_some(text)
    }
}

/// A closed set of words.
pub(super) trait Vocabulary: Sized + 'static {
    /// What each of them is: `a language`.
    const NAME: &'static str;
    /// Each word.
    const WORDS: &'static [&'static str];
    /// What it means.
    fn meaning(word: &str) -> Option<Self>;
}

/// One of a closed set of words.
pub(super) struct Word<T>(pub(super) T);

impl<'de, T: Vocabulary> Deserialize<'de> for Word<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        let wrong = || Complaint::new(format!("`{word}` is not {}", T::NAME), did_you_mean(&word, T::WORDS));
        T::meaning(&word).map(Word).ok_or_else(|| D::Error::custom(wrong()))
    }
}

impl Vocabulary for Language {
    const NAME: &'static str = "a language";
    const WORDS: &'static [&'static str] = &["rust", "node", "python", "go", "php", "other"];
    fn meaning(word: &str) -> Option<Self> {
        Some(match word {
            "rust" => Language::Rust,
            "node" => Language::Node,
            "python" => Language::Python,
            "go" => Language::Go,
            "php" => Language::Php,
            "other" => Language::Other,
            _ => return None,
        })
    }
}

/// A finding whose severity the scanner does not know always rejects, so it is not a word here.
impl Vocabulary for Severity {
    const NAME: &'static str = "a severity that can reject";
    const WORDS: &'static [&'static str] = &["low", "medium", "high", "critical"];
    fn meaning(word: &str) -> Option<Self> {
        Some(match word {
            "low" => Severity::Low,
            "medium" => Severity::Medium,
            "high" => Severity::High,
            "critical" => Severity::Critical,
            _ => return None,
        })
    }
}

/// What a deadline is for.
pub(super) enum Timed {
    /// Every stage without its own.
    Default,
    /// One stage.
    Stage(StageId),
}

impl Vocabulary for Timed {
    const NAME: &'static str = "a stage";
    const WORDS: &'static [&'static str] = &{
        let mut words = ["default"; StageId::ALL.len() + 1];
        let mut index = 0;
        while index < StageId::ALL.len() {
            words[index + 1] = StageId::ALL[index].as_str();
            index += 1;
        }
        words
    };
    fn meaning(word: &str) -> Option<Self> {
        if word == "default" { Some(Timed::Default) } else { word.parse().ok().map(Timed::Stage) }
    }
}
