//! What reading `tools.lock` gave the last time. Reading YAML is the longest part of a run with nothing to do, and the file hardly ever
//! changes.
//!
//! Only saves time: whatever is not exactly what was read before is read again, and a memo that cannot be written is no error.

use super::lock::{Database, Lock, LockError, ToolPin};
use super::names::ToolName;
use super::origin::Origin;
use crate::engine::store;
use crate::ids::Hasher;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

const KIND: &str = "tools-lock";
const VERSION: u32 = 1;

/// A lock file's content, and of which text.
#[derive(Serialize, Deserialize)]
struct Memo {
    key: String,
    tools: BTreeMap<ToolName, ToolPin>,
    databases: BTreeMap<ToolName, Database>,
}

/// Reads a lock file's text, or takes what `file` remembers of the same text.
pub(super) fn parse(text: &str, origin: Origin, file: &Path) -> Result<Lock, LockError> {
    let key = key(text);
    let known = store::unseal(file, KIND, VERSION).ok();
    let known = known.and_then(|bytes| serde_json::from_slice::<Memo>(&bytes).ok());
    if let Some(Memo { key: of, tools, databases }) = known
        && of == key
    {
        return Ok(Lock { origin, tools, databases });
    }
    let Lock { origin, tools, databases } = Lock::parse(text, origin)?;
    let memo = Memo { key, tools, databases };
    if let Ok(bytes) = serde_json::to_vec(&memo) {
        // The next run reads the text again.
        let _ = store::seal(file, KIND, VERSION, &bytes);
    }
    Ok(Lock { origin, tools: memo.tools, databases: memo.databases })
}

/// Of the text and of this program: another one may ask more of a lock file.
fn key(text: &str) -> String {
    let mut hasher = Hasher::default();
    hasher.update(text.as_bytes());
    if let Ok(meta) = std::env::current_exe().and_then(std::fs::metadata) {
        hasher.update(format!("{} {} {}", meta.len(), meta.mtime(), meta.mtime_nsec()).as_bytes());
    }
    hasher.hex()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const TEXT: &str = "version: 1\ntools:\n  helm:\n    version: 4.3.1\n    probe: { args: [version] }\n    sources: [path]\ndatabases:\n  db: { tool: helm, repositories: [\"registry.example/db:2\"] }\n";

    fn read(text: &str, file: &Path) -> Result<Lock, LockError> {
        parse(text, Origin::Folder("/repo".into()), file)
    }

    #[test]
    fn what_is_remembered_is_what_was_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("new/@lock");
        let first = read(TEXT, &file).unwrap();
        assert!(file.is_file());
        let second = read(TEXT, &file).unwrap();
        assert_eq!(first.tools, second.tools);
        assert_eq!(first.databases, second.databases);
        assert_eq!(second.tool("helm").unwrap().version.as_str(), "4.3.1");
    }

    #[test]
    fn the_same_text_is_not_read_twice() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("@lock");
        read(TEXT, &file).unwrap();
        let bytes = store::unseal(&file, KIND, VERSION).unwrap();
        let other = String::from_utf8(bytes).unwrap().replace("4.3.1", "4.3.2");
        store::seal(&file, KIND, VERSION, other.as_bytes()).unwrap();
        assert_eq!(read(TEXT, &file).unwrap().tool("helm").unwrap().version.as_str(), "4.3.2");
    }

    #[test]
    fn another_text_is_read_whatever_is_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("@lock");
        read(TEXT, &file).unwrap();
        let newer = TEXT.replace("4.3.1", "4.3.2");
        assert_eq!(read(&newer, &file).unwrap().tool("helm").unwrap().version.as_str(), "4.3.2");
        let error = read(&TEXT.replace("sources", "source"), &file).unwrap_err();
        assert!(error.line.is_some(), "{error}");
    }

    #[test]
    fn a_damaged_memo_is_as_good_as_none() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("@lock");
        read(TEXT, &file).unwrap();
        let mut bytes = fs::read(&file).unwrap();
        bytes.truncate(bytes.len() - 7);
        fs::write(&file, bytes).unwrap();
        assert_eq!(read(TEXT, &file).unwrap().tools().count(), 1);
    }

    #[test]
    fn a_memo_that_cannot_be_written_is_no_error() {
        assert_eq!(read(TEXT, Path::new("/dev/null/@lock")).unwrap().tools().count(), 1);
    }
}
