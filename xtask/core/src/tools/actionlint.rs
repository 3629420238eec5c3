//! actionlint: whether GitHub Actions workflows are valid. Exit 0 means no finding, 1 findings, anything else a fault.
//!
//! It has no severities: whatever it reports does not work on GitHub, or not as written, so all of it is [`Severity::High`].
//! shellcheck and pyflakes are off: whether they run would depend on the machine.

use crate::engine::{Call, Cx, Ran};
use crate::error::StageError;
use crate::facts::Observation;
use crate::outcome::Severity;
use crate::tools::common::{at_home, config_file, exited, unreadable};
use crate::tools::read_json;
use serde::Deserialize;

/// Its name in `tools.lock`.
pub const TOOL: &str = "actionlint";

/// Lints workflows, named relative to the root. Obeys `.github/actionlint.yaml`.
pub async fn lint(cx: &Cx, workflows: &[String]) -> Result<Vec<Observation>, StageError> {
    if workflows.is_empty() {
        return Err(unreadable(TOOL, "it was given no workflow"));
    }
    let mut call = Call::new(cx.program(TOOL)?).args([
        "-no-color",
        "-shellcheck=",
        "-pyflakes=",
        "-format",
        "{{json .}}",
    ]);
    if let Some(config) = config_file(cx, &[".github/actionlint.yaml", ".github/actionlint.yml"]) {
        call = call.args(["-config-file", config]);
    }
    let ran = cx.exec(at_home(call.args(workflows), cx.scratch()?)).await?;
    match ran.code {
        0 | 1 => parse(&ran),
        _ => Err(exited(cx, TOOL, &ran)),
    }
}

#[derive(Deserialize)]
struct Fault {
    message: String,
    filepath: String,
    line: u32,
    kind: String,
}

fn parse(ran: &Ran) -> Result<Vec<Observation>, StageError> {
    let faults: Vec<Fault> = read_json(TOOL, &ran.stdout)?;
    if faults.is_empty() != (ran.code == 0) {
        return Err(unreadable(
            TOOL,
            format!("it exited with {} and reported {} faults", ran.code, faults.len()),
        ));
    }
    let seen = |fault: Fault| {
        Observation::new(fault.kind, Severity::High, fault.message).at(fault.filepath, Some(fault.line))
    };
    Ok(faults.into_iter().map(seen).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::testdata::{recorded, refuses_any_cut};

    fn read(json: &[u8], code: i32) -> Result<Vec<Observation>, StageError> {
        parse(&Ran { code, stdout: json.to_vec(), stderr: Vec::new() })
    }

    fn findings(case: &str) -> Vec<Observation> {
        read(&recorded(&format!("actionlint/1.7.12/{case}.json")), 1).unwrap()
    }

    #[test]
    fn faults_keep_kind_and_place() {
        let seen = findings("findings");
        assert_eq!(seen.len(), 4);
        assert_eq!((seen[2].rule.as_str(), seen[2].severity), ("job-needs", Severity::High));
        assert_eq!((seen[2].file.as_deref(), seen[2].line), (Some(".github/workflows/invalid.yml"), Some(8)));
        assert!(seen[2].message.contains("\"absent\" which does not exist"));
        assert_eq!(findings("untrusted-input")[0].rule, "expression");
    }

    #[test]
    fn a_workflow_that_is_not_yaml_is_a_finding() {
        let seen = findings("unparsable");
        assert_eq!((seen[0].rule.as_str(), seen[0].line), ("syntax-check", Some(2)));
    }

    #[test]
    fn only_an_empty_list_with_exit_0_is_clean() {
        let clean = recorded("actionlint/1.7.12/clean.json");
        assert_eq!(read(&clean, 0).unwrap(), []);
        assert!(matches!(read(&clean, 1), Err(StageError::Unreadable { .. })));
        let found = recorded("actionlint/1.7.12/findings.json");
        assert!(matches!(read(&found, 0), Err(StageError::Unreadable { .. })));
        refuses_any_cut(&found, |cut| read(cut, 1));
        refuses_any_cut(&clean, |cut| read(cut, 0));
    }
}
