//! Masking of bytes that arrive in pieces. A piece that may turn out to be the beginning of a secret is held back, nothing else.

use super::{MASK, Patterns};
use std::fmt;
use std::sync::Arc;

/// Masks a stream of bytes; pieces may end anywhere. Holds back fewer bytes than the longest form of a secret has.
pub struct RedactStream {
    patterns: Option<Arc<Patterns>>,
    held: Vec<u8>,
    /// So many bytes at the front of `held` belong to a secret whose mask is already written; they only still matter because
    /// another secret may begin among them.
    covered: usize,
}

impl RedactStream {
    pub(super) fn new(patterns: Option<Arc<Patterns>>) -> Self {
        RedactStream { patterns, held: Vec::new(), covered: 0 }
    }

    /// Takes the next piece and appends to `out` what is certain by now.
    pub fn push(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        match self.patterns.clone() {
            None => out.extend_from_slice(piece),
            Some(patterns) => {
                self.held.extend_from_slice(piece);
                let open = patterns.open_end(&self.held);
                self.write(&patterns, open, out);
            }
        }
    }

    /// The stream is over: appends what was held back.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if let Some(patterns) = self.patterns.clone() {
            self.write(&patterns, self.held.len(), out);
        }
    }

    /// Writes the first `end` bytes of what is held, masked, and forgets them.
    fn write(&mut self, patterns: &Patterns, end: usize, out: &mut Vec<u8>) {
        let mut written = 0;
        let mut covered = 0;
        for span in patterns.spans(&self.held, self.covered) {
            let announced = self.covered > 0 && span.start == 0;
            if span.start >= end && !announced {
                break;
            }
            out.extend_from_slice(&self.held[written..span.start]);
            if !announced {
                out.extend_from_slice(MASK.as_bytes());
            }
            written = span.end;
        }
        if written < end {
            out.extend_from_slice(&self.held[written..end]);
        } else {
            covered = written - end;
        }
        self.held.drain(..end);
        self.covered = covered;
    }
}

impl fmt::Debug for RedactStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedactStream({} bytes held back)", self.held.len())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Redactor, forms};
    use std::collections::BTreeSet;

    fn redactor(secrets: &[&str]) -> Redactor {
        Redactor::new(secrets.iter().map(|secret| (*secret).to_owned()))
    }

    fn streamed<'p>(redactor: &Redactor, pieces: impl IntoIterator<Item = &'p [u8]>) -> String {
        let mut stream = redactor.stream();
        let mut out = Vec::new();
        for piece in pieces {
            stream.push(piece, &mut out);
            assert!(stream.held.len() < stream.patterns.as_ref().unwrap().longest, "held back too much");
        }
        stream.finish(&mut out);
        String::from_utf8(out).unwrap()
    }

    const SECRETS: [&str; 4] = [
        "s3cr3t/V4lu3?",
        "pässword \"1\" & <2>",
        "-----BEGIN KEY-----\nMIIEvQIBADANBg\nkqhkiG9w0BAQEF\n",
        "aXaXa",
    ];

    #[test]
    fn every_form_is_masked_wherever_the_stream_is_split() {
        let redactor = redactor(&SECRETS);
        for secret in SECRETS {
            let mut all = BTreeSet::new();
            forms::add(&mut all, secret);
            for form in all {
                let form = String::from_utf8(form).unwrap();
                let text = format!("<{form}>");
                let whole = redactor.redact(&text).into_owned();
                assert_eq!(whole, "<***>", "{form}");
                for at in 0..=text.len() {
                    let (before, after) = text.as_bytes().split_at(at);
                    assert_eq!(streamed(&redactor, [before, after]), whole, "{form} split at {at}");
                }
                assert_eq!(streamed(&redactor, text.as_bytes().chunks(1)), whole, "{form} byte by byte");
            }
        }
    }

    #[test]
    fn a_stream_and_the_whole_text_are_masked_alike() {
        let redactor = redactor(&["abab", "babc", "abcdabcd", "cd\nab", "xyxyx"]);
        // A linear congruential generator: the texts are arbitrary but the same on every run.
        let mut state = 1_u32;
        let mut next = |below: usize| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) as usize % below
        };
        let mut masked = 0;
        for _ in 0..3000 {
            let text: Vec<u8> = (0..next(30))
                .flat_map(|_| ["ab", "ba", "abcd", "cd", "xy", "x", "\n"][next(7)].bytes())
                .collect();
            let whole = redactor.redact(std::str::from_utf8(&text).unwrap()).into_owned();
            masked += usize::from(whole.contains("***"));
            let mut pieces = Vec::new();
            let mut rest = text.as_slice();
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(1 + next(rest.len()));
                pieces.push(piece);
                rest = after;
            }
            assert_eq!(streamed(&redactor, pieces), whole, "{:?}", String::from_utf8_lossy(&text));
        }
        assert!(masked > 500, "only {masked} of the texts held a secret");
    }

    #[test]
    fn text_that_cannot_become_a_secret_is_written_at_once() {
        let redactor = redactor(&["hunter22"]);
        let mut stream = redactor.stream();
        let mut out = Vec::new();
        stream.push(b"a line\n50% hun", &mut out);
        assert_eq!(out, b"a line\n50% ");
        stream.push(b"gry\n", &mut out);
        assert_eq!(out, b"a line\n50% hungry\n");
    }

    #[test]
    fn bytes_that_are_not_text_pass_unchanged_and_secrets_among_them_are_masked() {
        let redactor = redactor(&["hunter22"]);
        let mut stream = redactor.stream();
        let mut out = Vec::new();
        stream.push(b"\xff\0hunt", &mut out);
        stream.push(b"er22\xfe", &mut out);
        stream.finish(&mut out);
        assert_eq!(out, b"\xff\0***\xfe");
    }

    #[test]
    fn a_chain_of_overlapping_secrets_is_one_mask_and_does_not_grow_the_buffer() {
        let redactor = redactor(&["aaaa"]);
        assert_eq!(streamed(&redactor, [b"<".as_slice(), &[b'a'; 10_000], b">"]), "<***>");
        assert_eq!(streamed(&redactor, [b'a'; 1000].chunks(1).chain([b">".as_slice()])), "***>");
    }
}
