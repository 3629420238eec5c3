//! The forms in which tools print a value: plain, base64, URL-encoded, escaped for JSON. Pure.

use std::collections::BTreeSet;

/// Encoded forms shorter than this would mask ordinary text.
const SHORTEST_FORM: usize = 4;

/// Adds every form of `value` to `forms`.
pub(super) fn add(forms: &mut BTreeSet<Vec<u8>>, value: &str) {
    let plain = value.as_bytes();
    forms.insert(plain.to_vec());
    for alphabet in [STANDARD, URL_SAFE] {
        for before in 0..3 {
            forms.extend(base64_within(plain, alphabet, before).into_iter().filter(|form| long_enough(form)));
        }
    }
    for literal in LITERAL_IN_URLS {
        for hex in [b"0123456789ABCDEF", b"0123456789abcdef"] {
            forms.insert(url_encoded(plain, literal, hex));
        }
    }
    for escape in [json_escape, go_escape, ascii_escape] {
        forms.insert(json_escaped(value, escape).into_bytes());
    }
}

fn long_enough(form: &[u8]) -> bool {
    form.len() >= SHORTEST_FORM
}

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// How `value` looks inside the base64 of a longer text, when `before` bytes (modulo 3) come first.
///
/// The characters at the seams also carry bits of the neighbours. Those at the front cannot be known and are left out. At the
/// back the value may be followed by more (the last, partial character is left out) or by nothing (it is there, with and without
/// padding).
fn base64_within(value: &[u8], alphabet: &[u8; 64], before: usize) -> [Vec<u8>; 3] {
    let mut padded = vec![0; before];
    padded.extend_from_slice(value);
    let bits = padded.len() * 8;
    let mut encoded: Vec<u8> = padded
        .chunks(3)
        .flat_map(|chunk| {
            let word = chunk
                .iter()
                .zip([16, 8, 0])
                .fold(0_u32, |word, (&byte, shift)| word | u32::from(byte) << shift);
            (0..=chunk.len()).map(move |index| alphabet[(word >> (18 - 6 * index) & 63) as usize])
        })
        .collect();
    let front = (before * 8).div_ceil(6);
    encoded.drain(..front);
    let followed = encoded[..bits / 6 - front].to_vec();
    let unpadded = encoded.clone();
    encoded.resize(encoded.len() + (3 - padded.len() % 3) % 3, b'=');
    [followed, unpadded, encoded]
}

/// What the common encoders leave as it is beside letters and digits: RFC 3986, JavaScript's `encodeURIComponent`, Python's
/// `quote`, and HTML forms (which also turn a space into `+`).
const LITERAL_IN_URLS: [&[u8]; 4] = [b"-._~", b"-._~!*'()", b"-._~/", b"-._* "];

fn url_encoded(value: &[u8], literal: &[u8], hex: &[u8; 16]) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(value.len());
    for &byte in value {
        if byte == b' ' && literal.contains(&b' ') {
            encoded.push(b'+');
        } else if byte.is_ascii_alphanumeric() || literal.contains(&byte) {
            encoded.push(byte);
        } else {
            encoded.extend([b'%', hex[usize::from(byte >> 4)], hex[usize::from(byte & 15)]]);
        }
    }
    encoded
}

/// Whether a character that JSON itself does not oblige to escape is escaped.
type Escapes = fn(char) -> bool;

/// As little as allowed: serde, JavaScript.
fn json_escape(_: char) -> bool {
    false
}

/// Go's `encoding/json`, which most of the tools use.
fn go_escape(c: char) -> bool {
    matches!(c, '<' | '>' | '&' | '\u{2028}' | '\u{2029}')
}

/// Python's `json.dumps`.
fn ascii_escape(c: char) -> bool {
    !c.is_ascii()
}

fn json_escaped(value: &str, escapes: Escapes) -> String {
    let mut escaped = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '"' => escaped.push_str("\\\""),
            '\\' => escaped.push_str("\\\\"),
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\t' => escaped.push_str("\\t"),
            '\u{8}' => escaped.push_str("\\b"),
            '\u{c}' => escaped.push_str("\\f"),
            c if c < ' ' || escapes(c) => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    escaped.push_str(&format!("\\u{unit:04x}"));
                }
            }
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forms(value: &str) -> BTreeSet<String> {
        let mut forms = BTreeSet::new();
        add(&mut forms, value);
        forms.into_iter().map(|form| String::from_utf8(form).unwrap()).collect()
    }

    /// Whole base64, from the vectors of RFC 4648 and, for the second alphabet, `base64.urlsafe_b64encode`.
    #[test]
    fn base64_is_that_of_the_standard() {
        for (value, encoded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            let [_, unpadded, padded] = base64_within(value.as_bytes(), STANDARD, 0);
            assert_eq!(String::from_utf8(padded).unwrap(), encoded);
            assert_eq!(String::from_utf8(unpadded).unwrap(), encoded.trim_end_matches('='));
        }
        assert!(forms("??>>~~").contains("Pz8+Pn5+") && forms("??>>~~").contains("Pz8-Pn5-"));
    }

    #[test]
    fn base64_of_a_text_around_the_value_holds_one_of_the_forms_whatever_comes_before_and_after() {
        let value = "s3cr3t/V4lu3?";
        for before in ["", "u", "us", "user:", "ab"] {
            for after in ["", "\n", "\nx", "and more"] {
                let text = format!("{before}{value}{after}");
                let [_, _, encoded] = base64_within(text.as_bytes(), STANDARD, 0);
                let encoded = String::from_utf8(encoded).unwrap();
                let longest = forms(value)
                    .into_iter()
                    .filter(|form| encoded.contains(form.as_str()))
                    .map(|f| f.len())
                    .max();
                // 13 bytes are 17.3 characters; at most one partial character on each side may stay.
                assert!(longest.is_some_and(|length| length >= 16), "{text:?}: {longest:?}");
            }
        }
    }

    #[test]
    fn url_encodings_are_those_of_the_common_encoders() {
        let forms = forms("a b/c+ü!~*");
        for expected in [
            "a%20b%2Fc%2B%C3%BC%21~%2A",
            "a%20b%2fc%2b%c3%bc%21~%2a",
            "a%20b%2Fc%2B%C3%BC!~*",
            "a%20b/c%2B%C3%BC%21~%2A",
            "a+b%2Fc%2B%C3%BC%21%7E*",
        ] {
            assert!(forms.contains(expected), "{expected} is not in {forms:?}");
        }
    }

    #[test]
    fn json_escapes_are_those_of_serde_go_and_python() {
        let value = "a\"\\\n\t\u{1}<ü𝄞>";
        let forms = forms(value);
        let serde = serde_json::to_string(value).unwrap();
        for expected in [
            serde.trim_matches('"'),
            "a\\\"\\\\\\n\\t\\u0001\\u003cü𝄞\\u003e",
            "a\\\"\\\\\\n\\t\\u0001<\\u00fc\\ud834\\udd1e>",
        ] {
            assert!(forms.contains(expected), "{expected} is not in {forms:?}");
        }
    }

    #[test]
    fn encoded_forms_are_never_short_enough_to_hit_ordinary_text() {
        assert!(forms("abcd").iter().all(|form| form.len() >= SHORTEST_FORM), "{:?}", forms("abcd"));
    }
}
