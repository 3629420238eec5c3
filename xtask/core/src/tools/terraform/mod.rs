//! terraform: format, validity, tests and plans of a configuration. No account is asked: plans and tests are made with a stand-in
//! provider only.
//!
//! Errors are High and warnings Medium, as Terraform has no other severities; a file that is not formatted is Medium.

mod diagnostics;
mod exposure;
mod format;
mod plan;
mod plugins;
mod results;
mod stream;
mod workspace;

pub use plugins::{GO, Plugins};
pub use results::Tests;
pub use workspace::{Root, Workspace};

use crate::engine::{Call, Cx, Ran};
use crate::error::{StageError, Transient};
use crate::facts::{Changes, Observation};
use crate::outcome::Severity;
use crate::process::{StopPolicy, StopSignal};
use crate::tools::common;
use diagnostics::{Diagnostic, INVALID};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use stream::Said;

/// Its name in `tools.lock`.
pub const TOOL: &str = "terraform";

/// The rule of a file that is not formatted.
const UNFORMATTED: &str = "terraform-fmt";

/// Puts a state of its own in the place of whatever backend the configuration has.
const OVERRIDE: (&str, &str) = ("stand_in_override.tf", "terraform {\n  backend \"local\" {}\n}\n");

/// A root module that is ready for everything else.
#[derive(Debug)]
pub struct Module {
    root: Root,
    home: PathBuf,
    config: PathBuf,
    stand_in: Option<String>,
}

/// A root module with a stand-in for the provider that would reach an account. Only such a one is tested and planned: a test applies
/// what it tests.
#[derive(Debug, Clone, Copy)]
pub struct Rehearsal<'a>(&'a Module);

/// What came of preparing a root module.
#[derive(Debug)]
pub enum Initialized {
    /// Its modules and providers are there.
    Ready(Module),
    /// The configuration is wrong, as the observations say.
    Refused(Vec<Observation>),
    /// The registry that has its providers cannot be reached from here, for this reason.
    Unreachable(String),
}

/// A plan.
#[derive(Debug, Serialize, Deserialize)]
pub struct Plan {
    /// What it would do.
    pub changes: Changes,
}

/// What came of planning.
#[derive(Debug)]
pub enum Planned {
    /// A plan.
    Plan(Plan),
    /// The configuration cannot be planned with these variables, as the observations say.
    Refused(Vec<Observation>),
}

/// Looks for files that are not formatted or do not parse, in all folders of the workspace.
pub async fn format(cx: &Cx, workspace: &Workspace) -> Result<Vec<Observation>, StageError> {
    let base = workspace.path.as_str();
    let call = Call::new(cx.program(TOOL)?)
        .args(["fmt", "-check", "-diff", "-recursive", "-no-color"])
        .directory(&workspace.folder)
        .env("HOME", &workspace.home);
    let ran = cx.exec(call).await?;
    let place = |file: &str| workspace::place(cx.root(), base, file);
    formatted(&ran, base, place)?.ok_or_else(|| broke(cx, "fmt", &ran))
}

/// None if it ended in a way that says nothing about the files.
fn formatted(
    ran: &Ran,
    base: &str,
    place: impl Fn(&str) -> Option<String>,
) -> Result<Option<Vec<Observation>>, StageError> {
    let unformatted = format::unformatted(&ran.stdout)?;
    let invalid = diagnostics::from_text(&String::from_utf8_lossy(&ran.stderr));
    // 3: something is not formatted. 2: something does not parse, and then nothing is said about the format of the rest.
    match ran.code {
        0 if unformatted.is_empty() => Ok(Some(Vec::new())),
        3 if !unformatted.is_empty() => Ok(Some(
            unformatted
                .into_iter()
                .map(|one| {
                    let mends = format!("not formatted; `terraform fmt -recursive {base}` mends it");
                    let seen = Observation::new(UNFORMATTED, Severity::Medium, mends);
                    seen.at(place(&one.file).unwrap_or(one.file), Some(one.line))
                })
                .collect(),
        )),
        2 if !invalid.is_empty() => {
            Ok(Some(invalid.iter().map(|one| one.observed(INVALID, &place)).collect()))
        }
        0 | 3 => {
            Err(unreadable(format!("fmt exited with {} and named {} files", ran.code, unformatted.len())))
        }
        _ => Ok(None),
    }
}

/// Prepares a root module of the workspace: backend, modules, providers.
pub async fn initialize(
    cx: &Cx,
    workspace: &Workspace,
    root: &Root,
    plugins: &Plugins,
) -> Result<Initialized, StageError> {
    let module = Module {
        root: root.clone(),
        home: workspace.home.clone(),
        config: plugins.config.clone(),
        stand_in: plugins.stand_in.clone(),
    };
    let mut args = vec!["init", "-input=false", "-no-color", "-json"];
    let lock = module.root.folder.join(workspace::LOCK_FILE);
    if plugins.stand_in.is_some() {
        let (name, text) = OVERRIDE;
        write(&module.root.folder.join(name), text.as_bytes())?;
        // It has the checksums of the provider that the stand-in stands in for.
        remove(&lock)?;
    } else {
        args.push("-backend=false");
        if lock.exists() {
            args.push("-lockfile=readonly");
        }
    }
    let ran = cx.exec(module.call(cx, &args)?).await?;
    let said = module.said(cx, "init", &ran)?;
    if ran.code == 0 {
        return match said.initialized {
            true => Ok(Initialized::Ready(module)),
            false => Err(unreadable("init exited with 0 and initialised nothing")),
        };
    }
    if let Some((kind, error)) = said.errors().find_map(|one| Some((one.transient()?, one))) {
        // Without a stand-in there is the registry or nothing: a machine without a network leaves a gap, which is told, and no error.
        if kind == Transient::Dns && plugins.stand_in.is_none() {
            return Ok(Initialized::Unreachable(error.sentence()));
        }
        return Err(again(cx, kind));
    }
    Ok(Initialized::Refused(module.observed(cx, said.errors())))
}

/// Looks for what is wrong with a configuration, warnings included.
pub async fn validate(cx: &Cx, module: &Module) -> Result<Vec<Observation>, StageError> {
    let ran = cx.exec(module.call(cx, &["validate", "-json"])?).await?;
    if ran.stdout.is_empty() {
        return Err(broke(cx, "validate", &ran));
    }
    let complaints = diagnostics::validation(ran.code, &ran.stdout)?;
    if let Some(folder) = &module.stand_in
        && complaints.iter().any(Diagnostic::knows_no_such_type)
    {
        cx.note(format!(
            "{folder} only knows the types that it was made for; its README says how to add one"
        ));
    }
    Ok(module.observed(cx, complaints.iter()))
}

/// Runs the tests of a root module; without tests, nothing runs.
pub async fn test(
    cx: &Cx,
    Rehearsal(module): Rehearsal<'_>,
) -> Result<(Tests, Vec<Observation>), StageError> {
    let folder = module.root.folder.join("tests");
    let in_folder = folder.is_dir() && workspace::holds(&folder, workspace::is_test)?;
    if !in_folder && !workspace::holds(&module.root.folder, workspace::is_test)? {
        return Ok((Tests::default(), Vec::new()));
    }
    let ran = cx.exec(module.call(cx, &["test", "-json"])?).await?;
    if ran.stdout.is_empty() {
        return Err(broke(cx, "test", &ran));
    }
    results::results(ran.code, &ran.stdout, |file| workspace::place(cx.root(), &module.root.path, file))
}

/// Plans a root module from an empty state, and leaves the plan's JSON at `json`, relative to the repository's root. `var_files` are
/// relative to the module.
pub async fn plan(
    cx: &Cx,
    Rehearsal(module): Rehearsal<'_>,
    var_files: &[String],
    json: &str,
) -> Result<Planned, StageError> {
    const PLAN: &str = "plan.tfplan";
    let mut args =
        vec!["plan".to_owned(), "-input=false".to_owned(), "-json".to_owned(), format!("-out={PLAN}")];
    args.extend(var_files.iter().map(|file| format!("-var-file={file}")));
    let ran = cx.exec(module.call(cx, &args)?).await?;
    let said = module.said(cx, "plan", &ran)?;
    if ran.code != 0 {
        return match said.errors().find_map(Diagnostic::transient) {
            Some(kind) => Err(again(cx, kind)),
            None => Ok(Planned::Refused(module.observed(cx, said.errors()))),
        };
    }
    if !said.planned {
        return Err(unreadable("plan exited with 0 and has no summary"));
    }
    let ran = cx.exec(module.call(cx, &["show", "-no-color", "-json", PLAN])?).await?;
    if ran.code != 0 {
        return Err(broke(cx, "show", &ran));
    }
    let changes = plan::changes(&ran.stdout)?;
    write(&cx.root().join(json), &ran.stdout)?;
    Ok(Planned::Plan(Plan { changes }))
}

impl Module {
    /// The folder in the repository, relative to its root.
    pub fn path(&self) -> &str {
        &self.root.path
    }

    /// The module as one that may be tested and planned, if it has a stand-in provider.
    pub fn rehearsal(&self) -> Option<Rehearsal<'_>> {
        self.stand_in.is_some().then_some(Rehearsal(self))
    }

    /// A call of Terraform that nothing of the user's decides. It is asked to stop as by Ctrl-C, which makes it give its locks back.
    fn call<'a, A: AsRef<str>>(&self, cx: &'a Cx, args: &[A]) -> Result<Call<'a>, StageError> {
        let stop = StopPolicy { signal: StopSignal::Interrupt, grace: Duration::from_secs(30) };
        Ok(Call::new(cx.program(TOOL)?)
            .args(args.iter().map(AsRef::as_ref))
            .directory(&self.root.folder)
            .env("HOME", &self.home)
            .env("TF_CLI_CONFIG_FILE", &self.config)
            .env("TF_IN_AUTOMATION", "1")
            .stop(stop))
    }

    /// What a command said in lines of JSON. A command that failed without naming an error says nothing about the configuration.
    fn said(&self, cx: &Cx, command: &str, ran: &Ran) -> Result<Said, StageError> {
        if ran.stdout.is_empty() {
            return Err(broke(cx, command, ran));
        }
        let said = stream::read(&ran.stdout)?;
        if ran.code != 0 && said.errors().next().is_none() {
            return Err(broke(cx, command, ran));
        }
        Ok(said)
    }

    fn observed<'a>(&self, cx: &Cx, complaints: impl Iterator<Item = &'a Diagnostic>) -> Vec<Observation> {
        let place = |file: &str| workspace::place(cx.root(), &self.root.path, file);
        complaints.map(|one| one.observed(INVALID, place)).collect()
    }
}

/// Leaves a value as JSON at a path relative to the repository's root; without one, makes sure that none is there.
pub fn leave<T: Serialize>(cx: &Cx, path: &str, value: Option<&T>) -> Result<(), StageError> {
    let path = cx.root().join(path);
    match value.map(serde_json::to_vec_pretty).transpose() {
        Ok(Some(json)) => write(&path, &json),
        Ok(None) => remove(&path),
        Err(error) => Err(StageError::Bug(error.to_string())),
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), StageError> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(StageError::io("cannot make folder", folder))?;
    }
    fs::write(path, bytes).map_err(StageError::io("cannot write", path))
}

fn remove(path: &Path) -> Result<(), StageError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(StageError::io("cannot remove", path)(error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn unreadable(why: impl Into<String>) -> StageError {
    common::unreadable(TOOL, why)
}

fn again(cx: &Cx, kind: Transient) -> StageError {
    StageError::Transient { tool: TOOL.to_owned(), kind, log: Some(cx.log().to_owned()) }
}

/// An error for a command that ended in a way that says nothing about the configuration.
fn broke(cx: &Cx, command: &str, ran: &Ran) -> StageError {
    cx.broke(TOOL, format!("{command} exited with {}: {}", ran.code, common::reason(&ran.stderr)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::testdata::recorded;

    fn fmt(code: i32, case: &str) -> Result<Option<Vec<Observation>>, StageError> {
        let read = |ending: &str| {
            let path = format!("terraform/1.11.4/{case}.{ending}");
            let there = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(&path).exists();
            if there { recorded(&path) } else { Vec::new() }
        };
        let ran = Ran { code, stdout: read("diff"), stderr: read("stderr.txt") };
        formatted(&ran, "infra", |file| Some(format!("infra/{file}")))
    }

    #[test]
    fn files_that_are_not_formatted_and_files_that_do_not_parse_are_observed_and_tell_what_mends_them() {
        let unformatted = fmt(3, "fmt-diff").unwrap().unwrap();
        assert_eq!(unformatted.len(), 1);
        assert_eq!((unformatted[0].rule.as_str(), unformatted[0].severity), (UNFORMATTED, Severity::Medium));
        assert_eq!((unformatted[0].file.as_deref(), unformatted[0].line), (Some("infra/main.tf"), Some(2)));
        assert!(unformatted[0].message.contains("`terraform fmt -recursive infra`"));
        let unparsable = fmt(2, "fmt-unparsable").unwrap().unwrap();
        assert_eq!(unparsable.len(), 3);
        assert!(unparsable.iter().all(|one| one.rule == INVALID && one.severity == Severity::High));
    }

    #[test]
    fn the_format_of_files_is_only_right_if_exit_code_and_output_agree() {
        assert_eq!(fmt(0, "fmt-clean").unwrap(), Some(Vec::new()));
        assert!(matches!(fmt(3, "fmt-clean"), Err(StageError::Unreadable { .. })), "a diff is missing");
        assert!(matches!(fmt(0, "fmt-diff"), Err(StageError::Unreadable { .. })), "a diff is too many");
        assert_eq!(fmt(2, "fmt-clean").unwrap(), None, "an error is missing");
        assert_eq!(fmt(1, "fmt-diff").unwrap(), None);
    }
}
