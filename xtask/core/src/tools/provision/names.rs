//! The words of `tools.lock`, checked when they exist: each of them ends up in a path, an address or an argument list.

use serde::{Deserialize, Serialize};
use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt;

macro_rules! checked_text {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// It as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl From<$name> for String {
            fn from(checked: $name) -> String {
                checked.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

checked_text! {
    /// The name of a tool, a program or a scanner's data.
    ToolName
}

impl TryFrom<String> for ToolName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let starts = text.starts_with(|c: char| c.is_ascii_lowercase());
        let rest = text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        if starts && rest {
            Ok(ToolName(text))
        } else {
            Err(format!(
                "`{text}` is not a tool's name: use lower-case letters, digits and dashes, starting with a letter"
            ))
        }
    }
}

checked_text! {
    /// A version without a `v` in front.
    Version
}

impl TryFrom<String> for Version {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let starts = text.starts_with(|c: char| c.is_ascii_digit());
        let rest = text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+'));
        if starts && rest {
            Ok(Version(text))
        } else {
            Err(format!("`{text}` is not a version: write it without `v`, from its first digit"))
        }
    }
}

checked_text! {
    /// 64 lower-case hexadecimal digits.
    Hex
}

impl Hex {
    /// Of all that a hasher took.
    pub(super) fn of(hasher: crate::ids::Hasher) -> Hex {
        Hex(hasher.hex())
    }
}

impl TryFrom<String> for Hex {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let digits = text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if text.len() == 64 && digits {
            Ok(Hex(text))
        } else {
            Err(format!("`{text}` is not a SHA-256: expected 64 lower-case hexadecimal digits"))
        }
    }
}

checked_text! {
    /// The name of a file, without a folder.
    FileName
}

impl TryFrom<String> for FileName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let rest = text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '+'));
        if rest && text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            Ok(FileName(text))
        } else {
            Err(format!(
                "`{text}` is not a file name: use letters, digits, `.`, `-`, `_` and `+`, starting with a letter or digit"
            ))
        }
    }
}

checked_text! {
    /// A build tag of Go.
    ToolTag
}

impl TryFrom<String> for ToolTag {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let fine =
            !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_'));
        if fine {
            Ok(ToolTag(text))
        } else {
            Err(format!("`{text}` is not a build tag: use letters, digits, `.` and `_`"))
        }
    }
}

checked_text! {
    /// The digest of a module's zip file in the form of the Go checksum database.
    ModuleSum
}

impl TryFrom<String> for ModuleSum {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let base64 = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'+' | b'/' | b'=');
        match text.strip_prefix("h1:") {
            Some(rest) if rest.len() == 44 && rest.bytes().all(base64) => Ok(ModuleSum(text)),
            Some(_) | None => {
                Err(format!("`{text}` is not a module sum: expected `h1:` and 44 characters of base64"))
            }
        }
    }
}

/// Variables of a Go program that the linker sets. Their names and values go into one argument, so that blanks would break it apart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<String, String>")]
pub struct Variables(BTreeMap<String, String>);

impl TryFrom<BTreeMap<String, String>> for Variables {
    type Error = String;

    fn try_from(map: BTreeMap<String, String>) -> Result<Self, String> {
        let bad = |text: &&String| text.contains(|c: char| c.is_whitespace() || matches!(c, '\'' | '"'));
        if let Some(text) = map.iter().flat_map(|(name, value)| [name, value]).find(bad) {
            return Err(format!("`{text}` cannot be passed to the linker: no blanks, no quotes"));
        }
        Ok(Variables(map))
    }
}

impl Variables {
    /// The linker's flags, empty if there is nothing to set.
    pub fn ldflags(&self) -> String {
        let flags: Vec<String> = self.0.iter().map(|(name, value)| format!("-X {name}={value}")).collect();
        flags.join(" ")
    }

    /// The same variables with other values.
    pub(super) fn map(&self, change: impl Fn(&str) -> String) -> Variables {
        Variables(self.0.iter().map(|(name, value)| (name.clone(), change(value))).collect())
    }
}

checked_text! {
    /// An address to download from: https, or http to this machine itself.
    Url
}

impl TryFrom<String> for Url {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let printable = text.chars().all(|c| c.is_ascii_graphic());
        let secure = text.strip_prefix("https://").is_some_and(|rest| !rest.is_empty());
        let checked = Url(text);
        if printable && (secure || checked.is_loopback()) {
            Ok(checked)
        } else {
            Err(format!("`{checked}` is not an https:// address (http:// is for this machine itself)"))
        }
    }
}

impl Url {
    /// The host, without a port; `[…]` stays around an IPv6 address.
    pub fn host(&self) -> &str {
        let rest = self.0.split_once("://").map_or("", |(_, rest)| rest);
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        match authority.find(']') {
            Some(end) => &authority[..=end],
            None => authority.split(':').next().unwrap_or_default(),
        }
    }

    /// Whether it is plain http to this machine itself.
    pub fn is_loopback(&self) -> bool {
        self.0.starts_with("http://") && matches!(self.host(), "127.0.0.1" | "[::1]" | "localhost")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_goes_to_this_machine_only() {
        for good in
            ["https://a.example/x", "http://127.0.0.1:80/x", "http://[::1]:80/x", "http://localhost/x"]
        {
            assert!(Url::try_from(good.to_owned()).is_ok(), "{good}");
        }
        for bad in [
            "",
            "https://",
            "http://a.example/x",
            "http://127.0.0.1.a.example/x",
            "http://127.0.0.1@a.example/x",
            "http://localhost:80@a.example/x",
            "ftp://127.0.0.1/x",
            "file:///etc/passwd",
            "https://a.example/x y",
            "-o/etc/x",
        ] {
            assert!(Url::try_from(bad.to_owned()).is_err(), "{bad}");
        }
        assert_eq!(Url("https://u:p@a.example:8443/x:y@z".to_owned()).host(), "a.example");
    }

    #[test]
    fn a_file_name_cannot_leave_its_folder_or_pass_for_an_option() {
        for good in ["a", "helm-v4.tar.gz", "x_1.2+3"] {
            assert!(FileName::try_from(good.to_owned()).is_ok(), "{good}");
        }
        for bad in ["", "/a", "a/b", "..", "-rf", "a b", "a?b", "%2e"] {
            assert!(FileName::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }

    #[test]
    fn linker_variables_are_one_argument_in_a_fixed_order() {
        let map = |pairs: [(&str, &str); 2]| {
            BTreeMap::from(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())))
        };
        let variables = Variables::try_from(map([("b.v", "2"), ("a.v", "1")])).unwrap();
        assert_eq!(variables.ldflags(), "-X a.v=1 -X b.v=2");
        assert!(Variables::try_from(map([("b.v", "2 -extld=x"), ("a.v", "1")])).is_err());
    }
}
