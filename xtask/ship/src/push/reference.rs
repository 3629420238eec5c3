//! Names of images: registry, repository, tag, by the grammar of the OCI distribution specification. Pure: asks nobody.

use crate::net::is_loopback;
use hyper::http::uri::Authority;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use xtask_core::ids::Digest;

/// A repository in a registry: `127.0.0.1:5000/team/hello`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct Repository {
    registry: String,
    path: String,
}

/// Text that names no repository.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not REGISTRY/REPOSITORY: {why}")]
pub(super) struct BadRepository {
    text: String,
    why: &'static str,
}

/// The longest path that the specification lets a client rely on.
const LONGEST_PATH: usize = 255;

impl FromStr for Repository {
    type Err = BadRepository;

    fn from_str(text: &str) -> Result<Self, BadRepository> {
        let bad = |why| Err(BadRepository { text: text.to_owned(), why });
        if text.contains("://") {
            return bad("it has no scheme; TLS is used everywhere but on this machine itself");
        }
        let Some((registry, path)) = text.split_once('/') else {
            return bad("there is no `/` between the two");
        };
        let is_host = registry == "localhost" || registry.contains(['.', ':']);
        if !is_host || registry.contains('@') || registry.parse::<Authority>().is_err() {
            return bad(
                "the registry is a host with a dot or a port, such as registry.example.com or 127.0.0.1:5000",
            );
        }
        if path.contains('@') || path.contains(':') {
            return bad("the digest is the image's, and other names for it are given by --tag");
        }
        if !path.split('/').all(is_component) || path.len() > LONGEST_PATH {
            return bad(
                "the repository is lower-case letters and digits, with `.`, `_`, `__` or dashes between them and `/` between parts",
            );
        }
        Ok(Repository { registry: registry.to_owned(), path: path.to_owned() })
    }
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_component(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let known = text.chars().all(|c| plain(c) || matches!(c, '.' | '_' | '-'));
    let edges = text.starts_with(plain) && text.ends_with(plain);
    let between = text.split(plain).filter(|separator| !separator.is_empty());
    let mut separators = between.map(|it| matches!(it, "." | "_" | "__") || it.chars().all(|c| c == '-'));
    known && edges && separators.all(|good| good)
}

impl Repository {
    /// The registry as it is written, with its port.
    pub(super) fn registry(&self) -> &str {
        &self.registry
    }

    /// The repository's name in the registry.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Where the registry's API is, without a slash at the end.
    pub(super) fn origin(&self) -> String {
        // The one registry whose API is under another name than the images it holds.
        let host = if self.registry == "docker.io" { "registry-1.docker.io" } else { &self.registry };
        let scheme = if is_loopback(host) { "http" } else { "https" };
        format!("{scheme}://{host}")
    }

    /// The image with this digest: what a deployment names.
    pub(super) fn at(&self, digest: &Digest) -> String {
        format!("{self}@{digest}")
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.path)
    }
}

impl TryFrom<String> for Repository {
    type Error = BadRepository;

    fn try_from(text: String) -> Result<Self, BadRepository> {
        text.parse()
    }
}

impl From<Repository> for String {
    fn from(repository: Repository) -> String {
        repository.to_string()
    }
}

/// A name for a digest in a repository.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct Tag(String);

/// Text that is no tag.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a tag: use 1 to 128 letters, digits, `_`, `.` and dashes, not starting with `.` or a dash"
)]
pub(super) struct BadTag(String);

impl TryFrom<String> for Tag {
    type Error = BadTag;

    fn try_from(text: String) -> Result<Self, BadTag> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let known = text.chars().all(|c| plain(c) || matches!(c, '.' | '-'));
        if known && text.starts_with(plain) && text.len() <= 128 { Ok(Tag(text)) } else { Err(BadTag(text)) }
    }
}

impl From<Tag> for String {
    fn from(tag: Tag) -> String {
        tag.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_a_registry_and_a_path_and_is_written_as_it_was_read() {
        let table = [
            ("127.0.0.1:5000/hello", "http://127.0.0.1:5000"),
            ("localhost/a/b-c/d__e", "http://localhost"),
            ("[::1]:5000/hello", "http://[::1]:5000"),
            ("127.8.8.8/hello", "http://127.8.8.8"),
            (
                "111122223333.dkr.ecr.eu-central-1.amazonaws.com/hello",
                "https://111122223333.dkr.ecr.eu-central-1.amazonaws.com",
            ),
            ("registry.example.com:443/a.b/c", "https://registry.example.com:443"),
            ("10.0.0.1:5000/hello", "https://10.0.0.1:5000"),
            ("localhost.example.com/hello", "https://localhost.example.com"),
            ("docker.io/library/hello", "https://registry-1.docker.io"),
        ];
        for (text, origin) in table {
            let repository: Repository = text.parse().unwrap();
            assert_eq!((repository.to_string().as_str(), repository.origin().as_str()), (text, origin));
        }
    }

    #[test]
    fn what_is_no_repository_is_refused_with_its_reason() {
        let table = [
            ("hello", "no `/`"),
            ("", "no `/`"),
            ("team/hello", "a dot or a port"),
            ("https://registry.example.com/hello", "no scheme"),
            ("user:word@registry.example.com/hello", "a dot or a port"),
            ("registry example.com/hello", "a dot or a port"),
            ("registry.example.com/hello:main", "--tag"),
            ("registry.example.com/hello@sha256:00", "--tag"),
            ("registry.example.com/", "lower-case"),
            ("registry.example.com/Hello", "lower-case"),
            ("registry.example.com/a//b", "lower-case"),
            ("registry.example.com/a/../b", "lower-case"),
            ("registry.example.com/a___b", "lower-case"),
            ("registry.example.com/a._b", "lower-case"),
            ("registry.example.com/-a", "lower-case"),
            ("registry.example.com/a-", "lower-case"),
            ("registry.example.com/a?b", "lower-case"),
        ];
        for (text, why) in table {
            let error = text.parse::<Repository>().unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
        assert!(format!("a.b/{}", "a".repeat(255)).parse::<Repository>().is_ok());
        assert!(format!("a.b/{}", "a".repeat(256)).parse::<Repository>().is_err());
    }

    #[test]
    fn a_tag_is_what_registries_take() {
        for good in ["main", "1.2.3", "_x", "A-b.c", &"0123456789abcdef".repeat(8)] {
            assert_eq!(Tag::try_from(good.to_owned()).unwrap().to_string(), good);
        }
        for bad in ["", ".a", "-a", "a/b", "a:b", "a b", "ä", &"a".repeat(129)] {
            assert!(Tag::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }
}
