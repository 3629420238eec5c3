//! hadolint: the linter of Dockerfiles. Exits 1 for findings and for its own faults alike, so the output decides.

use crate::engine::{Call, Cx, Ran};
use crate::error::StageError;
use crate::facts::Observation;
use crate::outcome::Severity;
use crate::tools::read_json;
use serde::Deserialize;

/// Its name in `tools.lock`.
pub const TOOL: &str = "hadolint";

#[derive(Deserialize)]
struct Comment {
    code: String,
    file: String,
    level: Level,
    line: u32,
    message: String,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum Level {
    Error,
    Warning,
    Info,
    Style,
    Ignore,
}

/// Lints Dockerfiles, named relative to the root.
pub async fn lint(cx: &Cx, dockerfiles: &[String]) -> Result<Vec<Observation>, StageError> {
    let call = Call::new(cx.program(TOOL)?).args(["--no-color", "--format", "json"]).args(dockerfiles);
    let ran = cx.exec(call).await?;
    observations(&ran)
}

fn observations(ran: &Ran) -> Result<Vec<Observation>, StageError> {
    if ran.stdout.is_empty() && ran.code != 0 {
        let said = String::from_utf8_lossy(&ran.stderr);
        let why = format!("it exited with {} and said: {}", ran.code, said.trim());
        return Err(StageError::Unreadable { tool: TOOL.to_owned(), why });
    }
    parse(&ran.stdout)
}

fn parse(json: &[u8]) -> Result<Vec<Observation>, StageError> {
    let comments: Vec<Comment> = read_json(TOOL, json)?;
    Ok(comments
        .into_iter()
        .map(|comment| {
            let severity = match comment.level {
                Level::Error => Severity::High,
                Level::Warning => Severity::Medium,
                Level::Info | Level::Style | Level::Ignore => Severity::Low,
            };
            Observation::new(comment.code, severity, comment.message).at(comment.file, Some(comment.line))
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::testdata::{recorded, refuses_any_cut};

    #[test]
    fn findings_keep_rule_level_and_place() {
        let seen = parse(&recorded("hadolint/2.15.1/findings-json.json")).unwrap();
        assert_eq!(seen[0].rule, "DL3007");
        assert_eq!(seen[0].severity, Severity::Medium);
        assert_eq!((seen[0].file.as_deref(), seen[0].line), (Some("findings.Dockerfile"), Some(1)));
        assert!(seen.iter().any(|one| one.rule == "DL4000" && one.severity == Severity::High));
        assert!(seen.iter().any(|one| one.rule == "DL3009" && one.severity == Severity::Low));
    }

    #[test]
    fn a_file_that_does_not_parse_is_a_finding_and_an_older_release_reads_the_same() {
        let broken = parse(&recorded("hadolint/2.15.1/syntax-error-json.json")).unwrap();
        assert_eq!((broken[0].rule.as_str(), broken[0].severity), ("DL1000", Severity::High));
        let older = parse(&recorded("hadolint/2.12.0/findings-json.json")).unwrap();
        assert_eq!(older[0].rule, "DL3007");
    }

    #[test]
    fn a_clean_file_has_no_observation_and_silence_is_not_clean() {
        assert!(parse(&recorded("hadolint/2.15.1/clean-json.json")).unwrap().is_empty());
        let silent = Ran {
            code: 1,
            stdout: Vec::new(),
            stderr: recorded("hadolint/2.15.1/missing-file-json.stderr.txt"),
        };
        assert!(
            matches!(observations(&silent), Err(StageError::Unreadable { why, .. }) if why.contains("absent"))
        );
        refuses_any_cut(&recorded("hadolint/2.15.1/findings-json.json"), parse);
    }
}
