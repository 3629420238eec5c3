//! A secret's content: held so that it can be compared with what a caller presents, and nothing else.
//!
//! [`Secret`] must never gain `Debug`, `Display` or `Serialize`: what cannot be formatted cannot reach a log,
//! a metric or a reply by mistake. Where secrets come from is the job of [`folder`].

use std::io;

use subtle::ConstantTimeEq;

pub mod folder;

/// The largest content that is taken for a secret; a certificate chain fits, a wrong mount does not.
pub const MAX_BYTES: usize = 64 * 1024;

/// Text that nobody may see: neither printable nor readable, only comparable.
#[derive(PartialEq, Eq)]
pub struct Secret(String);

/// Why a file gives no secret. Says nothing of what is in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// It was there and is not any more.
    #[error("it is gone")]
    Gone,
    /// The system does not let it be read.
    #[error("it cannot be read: {0}")]
    Unreadable(io::ErrorKind),
    /// More than [`MAX_BYTES`].
    #[error("it is larger than {MAX_BYTES} bytes")]
    TooLarge,
    /// Not UTF-8.
    #[error("it is not UTF-8 text")]
    NotText,
    /// Nothing but white space.
    #[error("it is empty")]
    Empty,
}

impl Secret {
    /// Takes a file's content; white space around it is an editor's, not the secret's.
    ///
    /// # Errors
    /// When it is too large, not text, or empty.
    pub fn from_file(content: Vec<u8>) -> Result<Self, Unusable> {
        if content.len() > MAX_BYTES {
            return Err(Unusable::TooLarge);
        }
        // The error holds the content, so it must not be passed on.
        let text = String::from_utf8(content).map_err(|_| Unusable::NotText)?;
        match text.trim() {
            "" => Err(Unusable::Empty),
            trimmed => Ok(Self(trimmed.to_owned())),
        }
    }

    /// Whether `candidate` is one of the lines. Several lines are several accepted values, so that callers
    /// can be moved from the old one to the new one without a moment at which either is refused.
    #[must_use]
    pub fn has_line(&self, candidate: &str) -> bool {
        let lines = self.0.lines().map(str::trim).filter(|line| !line.is_empty());
        // Every line is compared, whichever matches: time tells a caller nothing but how long they are.
        lines.fold(false, |found, line| found | bool::from(line.as_bytes().ct_eq(candidate.as_bytes())))
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::{Debug, Display};

    use super::*;
    use proptest::prelude::*;

    fn secret(text: &str) -> Secret {
        Secret::from_file(text.into()).ok().unwrap()
    }

    #[test]
    fn a_secret_cannot_be_formatted_or_serialized() {
        /// Every type implements it for `()`; a type with the forbidden trait implements it once more, and
        /// then the compiler cannot choose.
        trait Ambiguous<Because> {
            fn is_chosen() -> bool {
                true
            }
        }
        struct Printable;
        struct Shown;
        struct Serializable;
        impl<T> Ambiguous<()> for T {}
        impl<T: Debug> Ambiguous<Printable> for T {}
        impl<T: Display> Ambiguous<Shown> for T {}
        impl<T: serde::Serialize> Ambiguous<Serializable> for T {}
        assert!(<Secret as Ambiguous<_>>::is_chosen());
    }

    #[test]
    fn white_space_around_a_secret_does_not_belong_to_it() {
        for text in ["abc", "abc\n", " abc\r\n\n"] {
            assert!(secret(text).has_line("abc"), "{text:?}");
        }
    }

    #[test]
    fn any_line_is_accepted_and_nothing_else() {
        let both = secret("old\n\nnew\r\n");
        assert!(both.has_line("old") && both.has_line("new"));
        for wrong in ["", " ", "ol", "olds", "OLD", "old\n\nnew", "old\nnew"] {
            assert!(!both.has_line(wrong), "{wrong:?}");
        }
    }

    #[test]
    fn what_is_no_secret_is_refused_and_the_reason_does_not_show_it() {
        for (content, why) in [
            (b"".to_vec(), Unusable::Empty),
            (b" \r\n\t".to_vec(), Unusable::Empty),
            (b"marker\xff".to_vec(), Unusable::NotText),
            (vec![b'm'; MAX_BYTES + 1], Unusable::TooLarge),
        ] {
            let error = Secret::from_file(content).err().unwrap();
            assert_eq!(error, why);
            assert!(!format!("{error} {error:?}").contains("mm"), "{error:?}");
        }
        assert!(Secret::from_file(vec![b'm'; MAX_BYTES]).is_ok());
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_secret_exactly_when_they_are_text(
            content in prop_oneof![any::<Vec<u8>>(), any::<String>().prop_map(String::into_bytes)]
        ) {
            let text = str::from_utf8(&content).map(str::trim);
            let expected = match text {
                Ok("") => Err(Unusable::Empty),
                Ok(_) => Ok(()),
                Err(_) => Err(Unusable::NotText),
            };
            prop_assert_eq!(Secret::from_file(content.clone()).map(|_| ()), expected);
        }

        #[test]
        fn a_secret_of_one_line_accepts_itself_and_no_other(one in "[!-~]{1,80}", other in "[!-~]{0,80}") {
            prop_assert!(secret(&one).has_line(&one));
            prop_assert_eq!(secret(&one).has_line(&other), one == other);
        }
    }
}
