//! gitleaks: what looks like a credential in the files of the repository.
//!
//! It scans a copy of exactly the files that the run's snapshot sees: what git tracks, and what it does not ignore. Its own two ways
//! do not: `git` reads the history, which is as deep as the clone and never holds an edit, and says "no leaks found" where there is
//! no repository; `dir` in the root reads `target/` and all else that git ignores. A copy, because hard links would change each
//! file's status and so make every later `git status` slow, and links to follow would be reported by another name than the
//! repository's `.gitleaks.toml` and `.gitleaksignore` know.
//!
//! Exit 0 means nothing found, [`LEAKS`] something; a report or a log that says otherwise is a fault. It has no severities: a
//! credential is [`Severity::High`]. Values are masked by gitleaks itself and never read.

use crate::engine::files::FileSet;
use crate::engine::{Call, Cx, Ran};
use crate::error::StageError;
use crate::facts::{Observation, Observed};
use crate::outcome::Severity;
use crate::tools::common::{at_home, exited, fresh_report, plain, read_report, shortened, unreadable};
use crate::tools::read_json;
use serde::Deserialize;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Its name in `tools.lock`.
pub const TOOL: &str = "gitleaks";

/// Left to itself it exits with 1 for a leak and for a fault alike.
const LEAKS: i32 = 10;

/// Scans the files of the repository as they are now.
pub async fn scan(cx: &Cx) -> Result<Observed, StageError> {
    let (root, copy) = (cx.root().to_owned(), cx.scratch()?.join("files"));
    let copied = tokio::task::spawn_blocking(move || copied(&root, &copy));
    let copy =
        copied.await.map_err(|error| StageError::Bug(format!("the files were not copied: {error}")))??;
    let report = fresh_report(cx, "gitleaks.json")?;
    let call = Call::new(cx.program(TOOL)?)
        .args(["dir", "--no-banner", "--no-color", "--redact=100", "--report-format", "json"])
        .args(["--exit-code".to_owned(), LEAKS.to_string()])
        .arg("--report-path")
        .arg(&report)
        .arg(".")
        .directory(&copy.folder);
    let ran = cx.exec(at_home(call, cx.scratch()?)).await?;
    if ran.code != 0 && ran.code != LEAKS {
        return Err(exited(cx, TOOL, &ran));
    }
    parse(&ran, &read_report(TOOL, &report)?, copy.files, copy.bytes)
}

/// The files of the repository, copied; removed with this value, because what holds a credential should not stay twice.
struct Copied {
    folder: PathBuf,
    files: usize,
    bytes: u64,
}

impl Drop for Copied {
    fn drop(&mut self) {
        // What is left goes with the files of the run.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn copied(root: &Path, folder: &Path) -> Result<Copied, StageError> {
    // From here on, so that a copy that fails half-way is removed too; as is that of an earlier try.
    let mut copy = Copied { folder: folder.to_owned(), files: 0, bytes: 0 };
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(StageError::io("cannot remove", folder)(error));
        }
        Ok(()) | Err(_) => {}
    }
    let make = |folder: &Path| {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(StageError::io("cannot make folder", folder))
    };
    make(folder)?;
    let snapshot = FileSet::snapshot(root).map_err(|error| unreadable("git", error.to_string()))?;
    let manifest = snapshot.manifest(&snapshot.select(&["**".to_owned()]));
    // `mode id<TAB>path`, sorted; a path in conflict stands there several times.
    let mut paths: Vec<&[u8]> = manifest
        .split(|byte| *byte == 0)
        .filter_map(|entry| Some(&entry[entry.iter().position(|byte| *byte == b'\t')? + 1..]))
        .collect();
    paths.dedup();
    let mut made = PathBuf::new();
    for path in paths {
        let path = Path::new(OsStr::from_bytes(path));
        let (from, to) = (root.join(path), folder.join(path));
        match fs::symlink_metadata(&from) {
            Ok(meta) if meta.is_file() => {}
            // A link's target is a file of its own, or none of the repository's; a folder is a submodule.
            Ok(_) => continue,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(StageError::io("cannot read", from)(error)),
        }
        if let Some(parent) = to.parent().filter(|parent| *parent != made) {
            make(parent)?;
            made = parent.to_owned();
        }
        copy.bytes += fs::copy(&from, &to).map_err(StageError::io("cannot copy", from))?;
        copy.files += 1;
    }
    Ok(copy)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Leak {
    #[serde(rename = "RuleID")]
    rule: String,
    description: String,
    file: String,
    start_line: u32,
}

fn parse(ran: &Ran, report: &[u8], files: usize, bytes: u64) -> Result<Observed, StageError> {
    let leaks: Vec<Leak> = read_json(TOOL, report)?;
    let scanned = scanned(&ran.stderr)?;
    if scanned == 0 && bytes > 0 {
        return Err(unreadable(TOOL, format!("it read nothing of {files} files with {bytes} bytes")));
    }
    if leaks.is_empty() != (ran.code == 0) {
        let why = format!("it exited with {} and reported {} leaks", ran.code, leaks.len());
        return Err(unreadable(TOOL, why));
    }
    let mut observations: Vec<Observation> = leaks
        .into_iter()
        .map(|leak| {
            Observation::new(leak.rule, Severity::High, leak.description).at(leak.file, Some(leak.start_line))
        })
        .collect();
    // It reports files in the order in which its threads were done with them.
    observations.sort_by(|a, b| (&a.file, a.line, &a.rule).cmp(&(&b.file, b.line, &b.rule)));
    Ok(Observed {
        looked_at: vec![format!("{files} files, of which {scanned} bytes are text")],
        observations,
    })
}

/// How many bytes it read, by its log: `8:52AM INF scanned ~187 bytes (187 bytes) in 6.57ms`. It goes on when it cannot read a file,
/// and only the log says so.
fn scanned(log: &[u8]) -> Result<u64, StageError> {
    let log = plain(&String::from_utf8_lossy(log));
    let mut bytes = None;
    for line in log.lines() {
        let Some((level, said)) = line.split_once(' ').and_then(|(_, rest)| rest.split_once(' ')) else {
            continue;
        };
        let skipped = ["skipping", "issue reading", "partial scan"].iter().any(|word| said.contains(word));
        if level == "ERR" || level == "WRN" && skipped {
            return Err(unreadable(TOOL, format!("it did not read everything: {}", shortened(said, 400))));
        }
        let count = said.strip_prefix("scanned ~").and_then(|rest| rest.split_once(" bytes"));
        bytes = count.and_then(|(count, _)| count.parse().ok()).or(bytes);
    }
    bytes.ok_or_else(|| unreadable(TOOL, "its log does not say how much it read"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::testdata::{recorded, refuses_any_cut};

    fn ran(case: &str, code: i32) -> Ran {
        let stderr = recorded(&format!("gitleaks/8.30.1/{case}.stderr.txt"));
        Ran { code, stdout: Vec::new(), stderr }
    }

    fn report(case: &str) -> Vec<u8> {
        recorded(&format!("gitleaks/8.30.1/{case}.json"))
    }

    #[test]
    fn a_leak_has_a_place_and_shows_no_value() {
        let seen =
            parse(&ran("dir-findings-exit-code", 10), &report("dir-findings-exit-code"), 3, 187).unwrap();
        assert_eq!(seen.looked_at, ["3 files, of which 187 bytes are text"]);
        let [aws, github] = seen.observations.as_slice() else { panic!("{seen:?}") };
        assert_eq!((aws.rule.as_str(), aws.severity), ("aws-access-token", Severity::High));
        assert_eq!((aws.file.as_deref(), aws.line), (Some("config/deploy.ini"), Some(2)));
        assert_eq!((github.rule.as_str(), github.line), ("github-pat", Some(4)));
        assert!(!format!("{seen:?}").contains("REDACTED"));
    }

    #[test]
    fn clean_files_are_clean() {
        let seen = parse(&ran("dir-clean-json", 0), &report("dir-clean-json"), 1, 15).unwrap();
        assert!(seen.observations.is_empty());
    }

    #[test]
    fn what_was_not_read_is_not_clean() {
        let refused = |ran: &Ran, report: &[u8]| match parse(ran, report, 1, 15) {
            Err(StageError::Unreadable { why, .. }) => why,
            other => panic!("{other:?}"),
        };
        let why = refused(&ran("no-repository", 0), &report("no-repository"));
        assert!(why.contains("not a git repository"), "{why}");
        let clean = report("dir-clean-json");
        let mut nothing = ran("dir-clean-json", 0);
        nothing.stderr = b"8:52AM INF scanned ~0 bytes (0) in 45.2ms\n8:52AM INF no leaks found\n".to_vec();
        assert!(refused(&nothing, &clean).contains("read nothing"));
        nothing.stderr = b"8:52AM INF no leaks found\n".to_vec();
        assert!(refused(&nothing, &clean).contains("how much"));
    }

    #[test]
    fn a_code_that_contradicts_the_report_and_a_report_that_is_cut_are_refused() {
        let (found, clean) = (report("dir-findings-json"), report("dir-clean-json"));
        for (case, code, report) in [("dir-findings-json", 0, &found), ("dir-clean-json", LEAKS, &clean)] {
            assert!(
                matches!(parse(&ran(case, code), report, 1, 15), Err(StageError::Unreadable { .. })),
                "{case}"
            );
        }
        refuses_any_cut(&found, |cut| parse(&ran("dir-findings-json", LEAKS), cut, 1, 15));
    }

    #[test]
    fn only_files_that_git_does_not_ignore_are_copied_and_without_git_no_products() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        for path in
            ["a.txt", "deep/b.txt", "deep/c.txt", "target/debug/x", "web/node_modules/y", "secret.local"]
        {
            write(path, "12345");
        }
        write(".gitignore", "/target\nnode_modules\n*.local\n");
        std::os::unix::fs::symlink("a.txt", root.path().join("link")).unwrap();
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("files");
        let names = || {
            let copy = copied(root.path(), &folder).unwrap();
            let set = FileSet::snapshot(&folder).unwrap();
            assert_eq!(set.len(), copy.files);
            (set.paths(&set.select(&["**".to_owned()])), copy.bytes)
        };
        let without_git = names();
        assert_eq!(without_git.0, [".gitignore", "a.txt", "deep/b.txt", "deep/c.txt", "secret.local"]);

        crate::process::query::ask(root.path(), "git", &["init", "-q"], None).unwrap();
        crate::process::query::ask(root.path(), "git", &["add", "a.txt"], None).unwrap();
        fs::remove_file(root.path().join("deep/c.txt")).unwrap();
        let with_git = names();
        assert!(!folder.exists(), "the copy is gone");
        assert_eq!(with_git, ([".gitignore", "a.txt", "deep/b.txt"].map(str::to_owned).to_vec(), 10 + 29));
    }
}
