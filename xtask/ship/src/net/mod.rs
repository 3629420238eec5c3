//! Addresses: which ones secrets may be sent to (over TLS, or to this machine itself), and how text is written into one. And
//! what clients mean by their errors. Opens no connection.

#[cfg(test)]
pub(crate) mod fake;

use hyper::Uri;
use hyper::http::uri::Authority;
use std::error::Error;

/// Whether nobody on the way can read what is sent there.
pub(crate) fn is_private(address: &Uri) -> bool {
    match address.scheme_str() {
        Some("https") => true,
        Some("http") => address.authority().is_some_and(|authority| is_loopback(authority.as_str())),
        Some(_) | None => false,
    }
}

/// Whether this host, with a port or without, is this machine: the only one that is talked to without TLS.
pub(crate) fn is_loopback(authority: &str) -> bool {
    let Ok(authority) = authority.parse::<Authority>() else { return false };
    let host = authority.host();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    address.map_or(host == "localhost", |address| address.is_loopback())
}

/// What lies at the bottom of an error of a client; the outer ones are the names of its layers.
pub(crate) fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut last = error;
    while let Some(next) = last.source() {
        last = next;
    }
    last.to_string()
}

/// Text as a part of an address; `plain` is what need not be written as a number there, beside letters and digits.
pub(crate) fn encoded(text: &str, plain: &[u8]) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            other if plain.contains(&other) => out.push(char::from(other)),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_in_an_address_ends_no_part_of_it() {
        assert_eq!(encoded("a b/c?d#ü", b""), "a%20b%2Fc%3Fd%23%C3%BC");
        assert_eq!(encoded("repository:a/b:pull&x", b":/,"), "repository:a/b:pull%26x");
    }

    #[test]
    fn a_secret_goes_over_tls_or_stays_on_this_machine() {
        for (address, private) in [
            ("https://api.github.com", true),
            ("http://127.0.0.1:5000/x", true),
            ("http://[::1]:5000/x", true),
            ("http://localhost", true),
            ("http://10.0.0.1:5000", false),
            ("http://localhost.example.com", false),
            ("http://127.0.0.1.example.com", false),
            ("ftp://127.0.0.1", false),
            ("/v2/", false),
        ] {
            assert_eq!(is_private(&address.parse().unwrap()), private, "{address}");
        }
    }
}
