//! External tools: how they are called and what they said. Names no stage, no policy, no reporter.
//!
//! Each adapter has the same shape: it builds the argument list, tells the exit codes that mean data from those that mean a fault,
//! and reads the output with serde types of its own. Output that is empty, cut short, or of another version of the tool's format
//! is [`StageError::Unreadable`], never "nothing found".

pub mod actionlint;
pub mod ansible;
pub mod checkov;
pub mod checks;
mod common;
pub mod gitleaks;
pub mod hadolint;
pub mod helm;
pub mod helm_unittest;
pub mod junit;
pub mod kubeconform;
pub mod promtool;
pub mod provision;
pub mod syft;
pub mod terraform;
pub mod trivy;
pub mod zizmor;

use crate::error::StageError;
use serde::de::DeserializeOwned;

/// Reads a tool's JSON, or says where it stops being what the adapter expects.
fn read_json<T: DeserializeOwned>(tool: &str, bytes: &[u8]) -> Result<T, StageError> {
    let unreadable = |why: String| StageError::Unreadable { tool: tool.to_owned(), why };
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(unreadable("it wrote nothing where JSON was expected".to_owned()));
    }
    serde_json::from_slice(bytes).map_err(|error| {
        let what = match error.classify() {
            serde_json::error::Category::Eof => "it ends too early",
            serde_json::error::Category::Syntax => "it is not JSON",
            serde_json::error::Category::Data => "it has another shape",
            serde_json::error::Category::Io => "it could not be read",
        };
        unreadable(format!("{what}: {error}"))
    })
}

#[cfg(test)]
pub(crate) mod testdata {
    //! Recorded output of real tools; `testdata/README.md` says how it was made.

    use std::path::PathBuf;

    /// The bytes of a recording, by its path below `testdata/`.
    pub(crate) fn recorded(path: &str) -> Vec<u8> {
        let full = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata").join(path);
        std::fs::read(&full).unwrap_or_else(|error| panic!("{}: {error}", full.display()))
    }

    /// Asserts that a reader refuses a recording that is cut anywhere, and one that is empty.
    pub(crate) fn refuses_any_cut<T>(
        bytes: &[u8],
        read: impl Fn(&[u8]) -> Result<T, crate::error::StageError>,
    ) {
        let end = bytes.trim_ascii_end().len();
        let step = (end / 200).max(1);
        for length in (0..end).step_by(step) {
            assert!(
                matches!(read(&bytes[..length]), Err(crate::error::StageError::Unreadable { .. })),
                "a recording cut after {length} of {end} bytes was accepted"
            );
        }
    }
}
