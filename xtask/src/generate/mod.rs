//! Files that are made from the stage table: the GitHub workflows. They are checked in, and the `workflows` stage rejects a file
//! that is not what this module would write.
//!
//! Only `run` steps and GitHub's own actions by commit; no third-party action, and no `${{ }}` inside a script.

mod pull_request;
mod workflow;

use std::fs;
use std::io;
use std::path::Path;
use xtask_core::error::StageError;
use xtask_core::facts::Observation;
use xtask_core::outcome::Severity;

/// A file that this module writes.
#[derive(Debug, PartialEq, Eq)]
pub struct Generated {
    /// Its name inside the folder of workflows.
    pub name: &'static str,
    /// Its whole content.
    pub text: String,
}

/// Every file that is generated.
pub fn all() -> Vec<Generated> {
    vec![Generated { name: "pull-request.yml", text: pull_request::workflow().to_yaml() }]
}

/// Writes what differs into `folder` and gives the names of the files that were written.
pub fn write(folder: &Path) -> Result<Vec<&'static str>, StageError> {
    let mut written = Vec::new();
    for Generated { name, text } in all() {
        let path = folder.join(name);
        if fs::read_to_string(&path).ok().as_deref() != Some(text.as_str()) {
            xtask_core::engine::store::replace(&path, text.as_bytes())
                .map_err(StageError::io("cannot write", &path))?;
            written.push(name);
        }
    }
    Ok(written)
}

/// Where checked-in files differ from what would be written, one observation a file, at the first line that differs.
pub fn drift(root: &Path, folder: &str) -> Result<Vec<Observation>, StageError> {
    let mut observations = Vec::new();
    for Generated { name, text } in all() {
        let file = format!("{folder}/{name}");
        let path = root.join(&file);
        let observation = match fs::read_to_string(&path) {
            Ok(found) if found == text => continue,
            Ok(found) => {
                let same =
                    found.lines().zip(text.lines()).take_while(|(found, wanted)| found == wanted).count();
                let line = u32::try_from(same + 1).ok();
                let message = "differs from what the stage table says; `cargo xtask generate` writes it";
                Observation::new("generated-drift", Severity::High, message).at(file, line)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let message = "is missing; `cargo xtask generate` writes it";
                Observation::new("generated-drift", Severity::High, message).at(file, None)
            }
            Err(error) => return Err(StageError::io("cannot read", path)(error)),
        };
        observations.push(observation);
    }
    Ok(observations)
}

/// The workflow files of a folder, relative to the root, sorted.
pub fn workflow_files(root: &Path, folder: &str) -> Result<Vec<String>, StageError> {
    let full = root.join(folder);
    let mut files = Vec::new();
    for item in fs::read_dir(&full).map_err(StageError::io("cannot read", &full))? {
        let name = item.map_err(StageError::io("cannot read", &full))?.file_name();
        let name = name.to_string_lossy();
        if name.ends_with(".yml") || name.ends_with(".yaml") {
            files.push(format!("{folder}/{name}"));
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_does_not_drift_and_an_edit_is_found_at_its_line() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("wf");
        assert_eq!(drift(root.path(), "wf").unwrap().len(), all().len(), "missing files are drift");
        assert_eq!(write(&folder).unwrap().len(), all().len());
        assert!(write(&folder).unwrap().is_empty(), "nothing is written twice");
        assert!(drift(root.path(), "wf").unwrap().is_empty());
        let path = folder.join(all()[0].name);
        let edited =
            fs::read_to_string(&path).unwrap().replacen("permissions: {}", "permissions: write-all", 1);
        let line = edited.lines().position(|line| line.contains("write-all")).unwrap() + 1;
        fs::write(&path, edited).unwrap();
        let found = drift(root.path(), "wf").unwrap();
        assert_eq!(found[0].line, u32::try_from(line).ok());
    }

    #[test]
    fn the_checked_in_workflows_are_those_of_the_table() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let drifted = drift(&root, ".github/workflows").unwrap();
        assert!(drifted.is_empty(), "run `cargo xtask generate`: {drifted:?}");
    }

    #[test]
    fn every_script_line_is_git_or_cargo_xtask_and_holds_no_expression() {
        for Generated { name, text } in all() {
            let mut script_indent = None;
            for line in text.lines() {
                let indent = line.len() - line.trim_start().len();
                if script_indent.is_some_and(|script| indent <= script) {
                    script_indent = None;
                }
                let command = if script_indent.is_some() {
                    Some(line.trim())
                } else {
                    line.trim_start().strip_prefix("run: ").filter(|rest| *rest != "|")
                };
                if let Some(command) = command {
                    let allowed = ["git ", "exec cargo xtask ", "cargo build "];
                    assert!(allowed.iter().any(|start| command.starts_with(start)), "{name}: {command}");
                    assert!(!command.contains("${{"), "{name}: {command}");
                }
                if line.trim() == "run: |" {
                    script_indent = Some(indent);
                }
            }
        }
    }

    #[test]
    fn every_action_is_githubs_own_and_named_by_its_commit() {
        for Generated { name, text } in all() {
            for line in text.lines().filter_map(|line| line.trim_start().strip_prefix("uses: ")) {
                let (action, rest) = line.split_once('@').unwrap();
                let commit = rest.split(' ').next().unwrap();
                assert!(action.starts_with("actions/"), "{name}: {line}");
                assert!(
                    commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit()),
                    "{name}: {line}"
                );
            }
        }
    }
}
