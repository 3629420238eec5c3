//! A team's own commands: run as they are written, in order, up to the first that fails. Nothing is known of them but their exit
//! code and the places that their output names.

use crate::config::Argv;
use crate::engine::{Call, Cx, Ran};
use crate::error::StageError;
use crate::facts::Observation;
use crate::outcome::Severity;
use serde::{Deserialize, Serialize};
use std::path::{Component, Path};
use std::time::Instant;

/// One command that ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// Its exit code.
    pub code: i32,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
}

/// What a list of commands did.
#[derive(Debug, Default)]
pub struct Checked {
    /// The commands, up to the first that failed.
    pub commands: Vec<Command>,
    /// What the failed one complains about: first that it failed, then each place that it names.
    pub observations: Vec<Observation>,
}

/// How many places of one command's output are kept.
const PLACES: usize = 50;

/// Runs the commands in the root. Paths in their output may count from the root or from `folder`, the service's own.
pub async fn run(cx: &Cx, folder: &str, commands: &[Argv]) -> Result<Checked, StageError> {
    let mut checked = Checked::default();
    for argv in commands {
        let began = Instant::now();
        let ran = cx.exec(Call::new(cx.program(&argv.program)?).args(&argv.args)).await?;
        let words: Vec<String> = std::iter::once(&argv.program).chain(&argv.args).cloned().collect();
        let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        checked.commands.push(Command { argv: words.clone(), code: ran.code, duration_ms });
        if ran.code != 0 {
            let message = format!("`{}` exited with {}", words.join(" "), ran.code);
            checked.observations.push(Observation::new(&argv.program, Severity::High, message));
            let exists = |path: &str| in_repository(cx.root(), folder, path);
            checked.observations.extend(places(&argv.program, &ran, exists));
            break;
        }
    }
    Ok(checked)
}

/// A path of the output as a path of the repository, if there is such a file.
fn in_repository(root: &Path, folder: &str, path: &str) -> Option<String> {
    let inside = Path::new(path).strip_prefix(root).unwrap_or(Path::new(path));
    let plain: std::path::PathBuf = inside.components().filter(|part| *part != Component::CurDir).collect();
    let candidates = [plain.clone(), Path::new(folder).join(&plain)];
    candidates
        .into_iter()
        .filter(|path| path.components().all(|part| matches!(part, Component::Normal(_))))
        .find(|path| root.join(path).is_file())
        .map(|path| path.to_string_lossy().into_owned())
}

/// The places that the output names: `path:line: message`, and rustc's `error: message` followed by ` --> path:line:column`.
fn places(rule: &str, ran: &Ran, exists: impl Fn(&str) -> Option<String>) -> Vec<Observation> {
    let mut found: Vec<Observation> = Vec::new();
    for stream in [&ran.stdout, &ran.stderr] {
        let text = String::from_utf8_lossy(stream);
        let mut header: Option<(&str, Severity)> = None;
        for line in text.lines().map(str::trim) {
            if let Some(start) = headline(line) {
                header = Some(start);
                continue;
            }
            let (place, arrow) = match line.strip_prefix("--> ") {
                Some(place) => (place, true),
                None => (line, false),
            };
            let Some((path, number, rest)) = location(place) else { continue };
            let Some(file) = exists(path) else { continue };
            let (message, severity) = match header.take() {
                Some((message, severity)) if arrow => (message, severity),
                _ if arrow => continue,
                _ => (if rest.is_empty() { line } else { rest }, Severity::High),
            };
            let observation = Observation::new(rule, severity, message).at(file, Some(number));
            if !found.contains(&observation) {
                found.push(observation);
            }
            if found.len() == PLACES {
                return found;
            }
        }
    }
    found
}

/// `error[E0308]: mismatched types` and its like.
fn headline(line: &str) -> Option<(&str, Severity)> {
    let (word, severity) = [("error", Severity::High), ("warning", Severity::Medium)]
        .into_iter()
        .find(|(word, _)| line.starts_with(word))?;
    let after = &line[word.len()..];
    let code_end = if after.starts_with('[') { after.find(']')? + 1 } else { 0 };
    Some((after[code_end..].strip_prefix(": ")?, severity))
}

/// `path:line`, `path:line:column` or `path:line: message`, split; the path must look like one.
fn location(text: &str) -> Option<(&str, u32, &str)> {
    let (path, after) = text.split_once(':')?;
    if path.is_empty() || path.len() > 400 || path.contains(char::is_whitespace) {
        return None;
    }
    let digits = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
    let number: u32 = after[..digits].parse().ok()?;
    let rest = after[digits..].strip_prefix(':').unwrap_or(&after[digits..]);
    let column = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let rest = if column > 0 { rest[column..].trim_start_matches(':') } else { rest };
    Some((path, number, rest.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::testdata::recorded;

    fn ran(stdout: &[u8], stderr: &[u8]) -> Ran {
        Ran { code: 1, stdout: stdout.to_vec(), stderr: stderr.to_vec() }
    }

    fn any(path: &str) -> Option<String> {
        Some(path.trim_start_matches("./").to_owned())
    }

    #[test]
    fn compiler_errors_are_found_at_their_place_with_their_message() {
        let seen = places("cargo", &ran(b"", &recorded("cargo/1.95.0/test-compile-error.stderr.txt")), any);
        let first = &seen[0];
        assert_eq!((first.file.as_deref(), first.line), (Some("src/lib.rs"), Some(4)));
        assert_eq!(first.message, "mismatched types");
        assert!(seen.iter().all(|one| one.line.is_some()));
    }

    #[test]
    fn findings_of_go_vet_are_found() {
        let seen = places("go", &ran(b"", &recorded("go/1.26.8/vet-findings.stderr.txt")), any);
        assert!(!seen.is_empty());
        assert!(
            seen.iter().all(|one| one.file.as_deref().is_some_and(|file| file.ends_with(".go"))),
            "{seen:?}"
        );
        assert!(seen.iter().all(|one| !one.message.starts_with(':') && !one.message.is_empty()));
    }

    #[test]
    fn places_of_failed_python_tests_are_found() {
        let seen = places("python3", &ran(&recorded("pytest/9.2.0/fail.txt"), b""), any);
        assert!(
            seen.iter().any(|one| one.file.as_deref() == Some("test_fail.py") && one.line == Some(5)),
            "{seen:?}"
        );
    }

    #[test]
    fn words_that_only_look_like_places_are_none() {
        let none = |_: &str| None;
        let text = b"12:30:01 started\nhttp://host:80/x\nsrc/gone.rs:1: x\nnote: see a:1\n";
        assert!(places("x", &ran(text, b""), none).is_empty());
        for text in ["no colon", "a b:1: x", ":1: x", "a:x", "a:"] {
            assert_eq!(location(text), None, "{text}");
        }
        assert_eq!(location("a/b.rs:12:3: m: n"), Some(("a/b.rs", 12, "m: n")));
        assert_eq!(location("a/b.rs:12"), Some(("a/b.rs", 12, "")));
    }

    #[test]
    fn only_files_of_the_repository_count_and_the_service_folder_is_looked_into() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("svc")).unwrap();
        std::fs::write(root.path().join("svc/main.go"), "").unwrap();
        let find = |path: &str| in_repository(root.path(), "svc", path);
        assert_eq!(find("./main.go").as_deref(), Some("svc/main.go"));
        assert_eq!(find("svc/main.go").as_deref(), Some("svc/main.go"));
        assert_eq!(find(root.path().join("svc/main.go").to_str().unwrap()).as_deref(), Some("svc/main.go"));
        assert_eq!(find("../svc/main.go"), None);
        assert_eq!(find("/etc/passwd"), None);
    }

    #[test]
    fn thousands_of_places_are_cut() {
        let text: String = (1..5000).map(|line| format!("a.rs:{line}: wrong\n")).collect();
        assert_eq!(places("x", &ran(text.as_bytes(), b""), any).len(), PLACES);
    }
}
