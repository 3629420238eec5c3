//! What a registry asks for when it answers 401: the header `WWW-Authenticate`, and where a token is had. Pure.

use crate::net::{encoded, is_private};
use hyper::Uri;

/// How a registry wants to be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    /// With a name and a password.
    Basic,
    /// With a token that this service gives out.
    Bearer {
        /// Where.
        realm: String,
        /// For whom the token is.
        service: Option<String>,
    },
}

/// Reads the headers; of several challenges the strongest one that is known here.
pub(super) fn read<'a>(headers: impl Iterator<Item = &'a str>) -> Option<Challenge> {
    let mut found = None;
    for (scheme, parameters) in headers.flat_map(challenges) {
        let value = |name: &str| {
            let is = |(key, _): &&(String, String)| key.eq_ignore_ascii_case(name);
            parameters.iter().find(is).map(|(_, value)| value.clone())
        };
        if scheme.eq_ignore_ascii_case("bearer")
            && let Some(realm) = value("realm")
        {
            return Some(Challenge::Bearer { realm, service: value("service") });
        }
        if scheme.eq_ignore_ascii_case("basic") {
            found = Some(Challenge::Basic);
        }
    }
    found
}

/// The challenges of one header: scheme, and parameters by name.
fn challenges(header: &str) -> Vec<(String, Vec<(String, String)>)> {
    let mut found: Vec<(String, Vec<(String, String)>)> = Vec::new();
    for piece in pieces(header) {
        let (before, value) = match piece.split_once('=') {
            Some((before, value)) => (before.trim(), Some(value)),
            None => (piece, None),
        };
        // `Bearer realm="…"` opens a challenge; `service="…"` belongs to the one before.
        let (scheme, key) = match (before.split_once(' '), value) {
            (Some((scheme, key)), Some(_)) => (Some(scheme), key.trim()),
            (None, Some(_)) => (None, before),
            (_, None) => (Some(before), ""),
        };
        if let Some(scheme) = scheme {
            found.push((scheme.to_owned(), Vec::new()));
        }
        if let (Some(value), Some((_, parameters))) = (value, found.last_mut()) {
            parameters.push((key.to_owned(), unquoted(value.trim())));
        }
    }
    found
}

/// The parts between commas that are outside of quotes.
fn pieces(header: &str) -> Vec<&str> {
    let (mut quoted, mut escaped) = (false, false);
    let outside = |c: char| {
        let separates = c == ',' && !quoted;
        quoted ^= c == '"' && !escaped;
        escaped = c == '\\' && quoted && !escaped;
        separates
    };
    header.split(outside).map(str::trim).filter(|piece| !piece.is_empty()).collect()
}

fn unquoted(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"') else { return value.to_owned() };
    let mut out = String::new();
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => break,
            '\\' => out.extend(chars.next()),
            c => out.push(c),
        }
    }
    out
}

/// What is done in a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Looking.
    Pull,
    /// Looking and sending.
    PullAndPush,
}

/// The address that gives out a token for a repository. None if it is not a place to send a password to: without TLS, and not this
/// machine.
pub(super) fn token_address(
    realm: &str,
    service: Option<&str>,
    repository: &str,
    access: Access,
) -> Option<Uri> {
    let actions = match access {
        Access::Pull => "pull",
        Access::PullAndPush => "pull,push",
    };
    let scope = format!("repository:{repository}:{actions}");
    let mut address = realm.to_owned();
    for (name, value) in
        service.map(|service| ("service", service)).into_iter().chain([("scope", scope.as_str())])
    {
        address.push(if address.contains('?') { '&' } else { '?' });
        address.push_str(&format!("{name}={}", encoded(value, b":/,")));
    }
    address.parse().ok().filter(is_private)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(realm: &str, service: Option<&str>) -> Option<Challenge> {
        Some(Challenge::Bearer { realm: realm.into(), service: service.map(str::to_owned) })
    }

    #[test]
    fn challenges_are_read_as_registries_write_them() {
        let table: [(&[&str], Option<Challenge>); 12] = [
            (&[], None),
            (&[""], None),
            (&["Negotiate"], None),
            (&["Basic"], Some(Challenge::Basic)),
            (&[r#"Basic realm="Registry Realm""#], Some(Challenge::Basic)),
            (&[r#"Bearer service="x""#], None),
            (
                &[
                    r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#,
                ],
                bearer("https://auth.docker.io/token", Some("registry.docker.io")),
            ),
            (&[r#"bearer Realm="https://a/t" , Service=plain"#], bearer("https://a/t", Some("plain"))),
            (&[r#"Basic realm="a, b", Bearer realm="https://a/t""#], bearer("https://a/t", None)),
            (&["Basic realm=\"a\"", "Bearer realm=\"https://a/t\""], bearer("https://a/t", None)),
            (&[r#"Bearer realm="https://a/t?q=\"1\",2""#], bearer(r#"https://a/t?q="1",2"#, None)),
            (&[r#"Bearer realm="https://a/t"#], bearer("https://a/t", None)),
        ];
        for (headers, expected) in table {
            assert_eq!(read(headers.iter().copied()), expected, "{headers:?}");
        }
    }

    #[test]
    fn a_token_is_asked_for_one_repository_and_only_where_nobody_listens_on_the_way() {
        let asked = |realm, service, access| {
            token_address(realm, service, "team/hello", access).map(|uri| uri.to_string())
        };
        let address = |realm, service| asked(realm, service, Access::PullAndPush);
        assert_eq!(
            asked("https://auth.example.com/token", None, Access::Pull).unwrap(),
            "https://auth.example.com/token?scope=repository:team/hello:pull"
        );
        assert_eq!(
            address("https://auth.example.com/token", Some("a registry&x")).unwrap(),
            "https://auth.example.com/token?service=a%20registry%26x&scope=repository:team/hello:pull,push"
        );
        assert_eq!(
            address("http://127.0.0.1:5001/token?a=b", None).unwrap(),
            "http://127.0.0.1:5001/token?a=b&scope=repository:team/hello:pull,push"
        );
        for realm in ["http://auth.example.com/token", "ftp://auth.example.com", "/token", "", "https://a b/"]
        {
            assert_eq!(address(realm, None), None, "{realm}");
        }
    }
}
