//! ansible-core and ansible-lint: whether playbooks parse, and what the linter has to say at its production profile.
//!
//! A syntax check exits 0 when the playbook parses and names it on its standard output; 1 and 4 with an `[ERROR]` are an observation;
//! everything else is a fault. The linter exits 0 without and 2 with violations, and with 2 also when it was called wrongly: then it
//! reports nothing. It never says on its standard output how much it looked at, only in the summary on standard error.
//!
//! Severities: what keeps a file from being judged at all is [`Severity::High`], whatever the linter calls it; its `blocker` and
//! `critical` are high, `major` is medium, the rest low.

use crate::engine::{Call, Cx, Program, Ran};
use crate::error::StageError;
use crate::facts::{Observation, Observed};
use crate::outcome::Severity;
use crate::tools::common::{at_home, exited, plain, unreadable};
use crate::tools::read_json;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// The name of ansible-core in `tools.lock`; its program is `ansible-playbook`.
pub const TOOL: &str = "ansible-core";
/// The linter's name in `tools.lock`.
pub const LINTER: &str = "ansible-lint";

/// Rules of the linter that say that it could not judge a file.
const NOT_JUDGED: [&str; 4] = ["syntax-check", "load-failure", "parser-error", "internal-error"];

/// Whether a playbook parses. `folder` is relative to the root, `playbook` and `inventory` to the folder.
///
/// With an inventory, a host pattern that matches nothing in it is an error too.
pub async fn check_syntax(
    cx: &Cx,
    folder: &str,
    playbook: &str,
    inventory: Option<&str>,
) -> Result<Vec<Observation>, StageError> {
    let mut call = call(cx, cx.program(TOOL)?, folder)?.arg("--syntax-check");
    if let Some(inventory) = inventory {
        // By default an inventory that cannot be read, and a play for hosts that do not exist, are warnings and exit 0.
        call = call
            .args(["--inventory", inventory])
            .env("ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED", "true")
            .env("ANSIBLE_HOST_PATTERN_MISMATCH", "error");
    }
    let ran = cx.exec(call.arg(playbook)).await?;
    match syntax(&ran, cx.root(), folder, playbook)? {
        Syntax::Parses => Ok(Vec::new()),
        Syntax::Broken(seen) => Ok(vec![seen]),
        Syntax::Fault => Err(exited(cx, TOOL, &ran)),
    }
}

/// Lints everything in a folder that the linter knows, relative to the root.
pub async fn lint(cx: &Cx, folder: &str) -> Result<Observed, StageError> {
    let call = call(cx, cx.program(LINTER)?, folder)?
        .args(["--offline", "--strict", "--nocolor", "--profile", "production", "--format", "json"])
        // Otherwise it takes the whole checkout for the project.
        .args(["--project-dir", "."]);
    let ran = cx.exec(call).await?;
    match ran.code {
        0 | 2 => linted(&ran, folder),
        _ => Err(exited(cx, LINTER, &ran)),
    }
}

fn call<'a>(cx: &Cx, program: &'a Program, folder: &str) -> Result<Call<'a>, StageError> {
    let scratch = cx.scratch()?;
    // It refuses to start in any other encoding, and macOS has no C.UTF-8.
    let locale = if cfg!(target_os = "macos") { "en_US.UTF-8" } else { "C.UTF-8" };
    Ok(at_home(Call::new(program), scratch)
        .env("ANSIBLE_HOME", scratch.join("ansible"))
        .env("ANSIBLE_NOCOLOR", "true")
        .env("LC_ALL", locale)
        // Modules of the repository would get a __pycache__ beside them.
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .directory(cx.root().join(folder)))
}

/// What a syntax check says.
#[derive(Debug, PartialEq, Eq)]
enum Syntax {
    Parses,
    Broken(Observation),
    /// Ansible itself failed.
    Fault,
}

fn syntax(ran: &Ran, root: &Path, folder: &str, playbook: &str) -> Result<Syntax, StageError> {
    let (stdout, stderr) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    if ran.code == 0 {
        let named = stdout.lines().any(|line| line.strip_prefix("playbook: ") == Some(playbook));
        let why = || unreadable(TOOL, format!("it exited with 0 and did not say that it read {playbook}"));
        return named.then_some(Syntax::Parses).ok_or_else(why);
    }
    let stderr = plain(&stderr);
    let Some((_, error)) = stderr.split_once("[ERROR]: ").filter(|_| matches!(ran.code, 1 | 4)) else {
        return Ok(Syntax::Fault);
    };
    let message = error.lines().next().unwrap_or_default();
    let own = joined(folder, playbook);
    let (file, line) = error.lines().find_map(|line| origin(line, root)).unwrap_or((own, None));
    Ok(Syntax::Broken(Observation::new("syntax-check", Severity::High, message).at(file, line)))
}

/// A place in the repository: `Origin: /repo/site.yml:5:7`.
fn origin(line: &str, root: &Path) -> Option<(String, Option<u32>)> {
    let mut parts = line.strip_prefix("Origin: ")?.rsplitn(3, ':');
    let (_column, line, path) = (parts.next()?, parts.next()?, parts.next()?);
    // Ansible resolves links in its working directory.
    let resolved = root.canonicalize().ok();
    let file = resolved
        .iter()
        .map(PathBuf::as_path)
        .chain([root])
        .find_map(|root| Path::new(path).strip_prefix(root).ok())?;
    Some((file.to_str()?.to_owned(), line.parse().ok()))
}

#[derive(Deserialize)]
struct Violation {
    check_name: String,
    severity: Level,
    description: String,
    location: Location,
    content: Option<Content>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum Level {
    Blocker,
    Critical,
    Major,
    Minor,
    Info,
}

#[derive(Deserialize)]
struct Content {
    body: String,
}

#[derive(Deserialize)]
struct Location {
    path: String,
    lines: Option<Lines>,
    positions: Option<Positions>,
}

#[derive(Deserialize)]
struct Lines {
    begin: u32,
}

#[derive(Deserialize)]
struct Positions {
    begin: Position,
}

#[derive(Deserialize)]
struct Position {
    line: u32,
}

fn linted(ran: &Ran, folder: &str) -> Result<Observed, StageError> {
    let violations: Vec<Violation> = read_json(LINTER, &ran.stdout)?;
    let files = files_processed(&ran.stderr)?;
    // In a strict run no violation is forgiven, so that the code and the report must agree.
    if files == 0 || violations.is_empty() != (ran.code == 0) {
        let why =
            format!("it exited with {}, looked at {files} files and reported {}", ran.code, violations.len());
        return Err(unreadable(LINTER, why));
    }
    let observations = violations.into_iter().map(|one| observation(one, folder)).collect();
    Ok(Observed { looked_at: vec![format!("{files} files in {folder}")], observations })
}

fn observation(violation: Violation, folder: &str) -> Observation {
    let Violation { check_name, severity, description, location, content } = violation;
    let rule = check_name.split_once('[').map_or(check_name.as_str(), |(rule, _)| rule);
    let severity = match severity {
        _ if NOT_JUDGED.contains(&rule) => Severity::High,
        Level::Blocker | Level::Critical => Severity::High,
        Level::Major => Severity::Medium,
        Level::Minor | Level::Info => Severity::Low,
    };
    let message = match content.filter(|content| content.body != "None") {
        Some(content) => format!("{description} ({})", content.body.lines().next().unwrap_or_default()),
        None => description,
    };
    let begin = location.positions.map(|positions| positions.begin.line);
    let line = begin.or(location.lines.map(|lines| lines.begin));
    Observation::new(check_name, severity, message).at(joined(folder, &location.path), line)
}

/// How many files were linted: `Passed: 0 failure(s), 0 warning(s) in 40 files processed of 43 encountered.`
fn files_processed(stderr: &[u8]) -> Result<u32, StageError> {
    let said = plain(&String::from_utf8_lossy(stderr));
    // A narrow terminal may have broken the sentence.
    let words: Vec<&str> = said.split_whitespace().collect();
    let count = words.windows(4).rev().find(|at| (at[0], at[2], at[3]) == ("in", "files", "processed"));
    let unsaid =
        || unreadable(LINTER, format!("it did not say how many files it looked at: {}", said.trim()));
    count.and_then(|at| at[1].parse().ok()).ok_or_else(unsaid)
}

/// A path below a folder, both relative to the root.
fn joined(folder: &str, path: &str) -> String {
    let whole: PathBuf = Path::new(folder).join(path).components().collect();
    let whole = whole.to_string_lossy();
    whole.strip_prefix("./").unwrap_or(&whole).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::testdata::{recorded, refuses_any_cut};

    fn checked(case: &str, code: i32, playbook: &str) -> Syntax {
        let file = |end: &str| format!("ansible-core/2.19.14/syntax-check-{case}.{end}");
        let (stdout, stderr) = match code {
            0 => (recorded(&file("txt")), Vec::new()),
            _ => (Vec::new(), recorded(&file("stderr.txt"))),
        };
        syntax(&Ran { code, stdout, stderr }, Path::new("/repo"), ".", playbook).unwrap()
    }

    fn broken(case: &str, code: i32) -> Observation {
        let checked = checked(case, code, &format!("{case}.yml"));
        let Syntax::Broken(seen) = checked else { panic!("{case}: {checked:?}") };
        seen
    }

    #[test]
    fn a_playbook_that_does_not_parse_is_a_finding_at_its_line() {
        let seen = broken("error", 4);
        assert_eq!((seen.file.as_deref(), seen.line), (Some("syntax-error.yml"), Some(5)));
        assert!(seen.message.starts_with("couldn't resolve module/action 'ansible.builtin.debuggg'."));
        assert_eq!(seen.severity, Severity::High);
        assert_eq!(broken("undefined-role", 1).line, Some(5));
        assert_eq!(broken("unparsable", 4).line, Some(4));
        let missing = broken("missing-file", 1);
        assert_eq!((missing.file.as_deref(), missing.line), (Some("missing-file.yml"), None));
    }

    #[test]
    fn a_playbook_parses_only_if_ansible_names_it() {
        assert_eq!(checked("clean", 0, "clean.yml"), Syntax::Parses);
        let stdout = recorded("ansible-core/2.19.14/syntax-check-clean.txt");
        let other =
            syntax(&Ran { code: 0, stdout, stderr: Vec::new() }, Path::new("/repo"), ".", "other.yml");
        assert!(matches!(other, Err(StageError::Unreadable { .. })));
        let silent = syntax(
            &Ran { code: 0, stdout: Vec::new(), stderr: Vec::new() },
            Path::new("/"),
            ".",
            "clean.yml",
        );
        assert!(matches!(silent, Err(StageError::Unreadable { .. })));
    }

    #[test]
    fn a_fault_of_ansible_is_no_finding() {
        let stderr = recorded("ansible-core/2.19.14/syntax-check-error.stderr.txt");
        let fault = |code, stderr: &[u8]| {
            syntax(&Ran { code, stdout: Vec::new(), stderr: stderr.to_vec() }, Path::new("/"), ".", "a.yml")
                .unwrap()
        };
        assert_eq!(fault(250, &stderr), Syntax::Fault);
        assert_eq!(
            fault(1, b"ERROR: Ansible requires the locale encoding to be UTF-8; Detected None.\n"),
            Syntax::Fault
        );
    }

    fn report(case: &str, code: i32) -> Result<Observed, StageError> {
        let stdout = recorded(&format!("ansible-lint/{case}-json.json"));
        linted(
            &Ran { code, stdout, stderr: recorded(&format!("ansible-lint/{case}-json.stderr.txt")) },
            "infra/ansible",
        )
    }

    #[test]
    fn violations_keep_rule_severity_and_either_form_of_place() {
        let seen = report("26.10.1/findings", 2).unwrap();
        assert_eq!(seen.observations.len(), 14);
        assert_eq!(seen.looked_at, ["1 files in infra/ansible"]);
        let [play, shell, fqcn, ..] = seen.observations.as_slice() else { panic!() };
        assert_eq!((play.rule.as_str(), play.severity, play.line), ("name[play]", Severity::Medium, Some(1)));
        assert_eq!(play.file.as_deref(), Some("infra/ansible/findings.yml"));
        assert_eq!((shell.rule.as_str(), shell.line), ("command-instead-of-shell", Some(3)));
        assert_eq!(
            fqcn.message,
            "Use FQCN for builtin module actions (shell). \
             (Use `ansible.builtin.shell` or `ansible.legacy.shell` instead.)"
        );
    }

    #[test]
    fn what_could_not_be_judged_is_worse_than_the_linter_calls_it() {
        for case in ["missing-file", "syntax-error", "undefined-role", "unparsable"] {
            let seen = report(&format!("26.10.1/{case}"), 2).unwrap();
            assert!(seen.observations.iter().all(|one| one.severity == Severity::High), "{case}: {seen:?}");
        }
    }

    #[test]
    fn a_clean_run_says_how_much_it_looked_at_and_none_is_not_clean() {
        let seen = report("26.10.1/clean", 0).unwrap();
        assert_eq!((seen.observations.len(), seen.looked_at[0].as_str()), (0, "1 files in infra/ansible"));
        let none = b"Passed: 0 failure(s), 0 warning(s) in 0 files processed of 0 encountered.".to_vec();
        let ran = Ran { code: 0, stdout: b"[]".to_vec(), stderr: none };
        assert!(
            matches!(linted(&ran, "."), Err(StageError::Unreadable { why, .. }) if why.contains("0 files"))
        );
    }

    #[test]
    fn a_report_that_is_cut_of_an_older_release_or_against_its_code_is_refused() {
        let stderr = recorded("ansible-lint/26.10.1/findings-json.stderr.txt");
        let read = |json: &[u8]| linted(&Ran { code: 2, stdout: json.to_vec(), stderr: stderr.clone() }, ".");
        refuses_any_cut(&recorded("ansible-lint/26.10.1/findings-json.json"), read);
        assert!(matches!(read(b"[]"), Err(StageError::Unreadable { .. })));
        assert!(matches!(report("26.10.1/findings", 0), Err(StageError::Unreadable { .. })));
        for (case, code) in [("6.22.2/findings", 2), ("6.22.2/clean", 0)] {
            assert!(matches!(report(case, code), Err(StageError::Unreadable { .. })), "{case}");
        }
        let wrong = recorded("ansible-lint/26.10.1/bad-usage.stderr.txt");
        let wrong = linted(&Ran { code: 2, stdout: Vec::new(), stderr: wrong }, ".");
        assert!(matches!(wrong, Err(StageError::Unreadable { .. })));
    }

    #[test]
    fn paths_are_of_the_repository() {
        assert_eq!(joined(".", "a.yml"), "a.yml");
        assert_eq!(joined("infra/ansible", "./roles/x.yml"), "infra/ansible/roles/x.yml");
        let root = Path::new("/repo");
        assert_eq!(origin("Origin: /repo/a/b.yml:5:7", root), Some(("a/b.yml".to_owned(), Some(5))));
        assert_eq!(origin("Origin: /else/b.yml:5:7", root), None);
    }
}
