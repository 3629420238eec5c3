//! `lint` and `test`: a service's own commands, run one after the other. A command that exits with another code than 0 is a
//! rejection with what it said; tests that write JUnit are counted.

use serde::{Deserialize, Serialize};
use xtask_core::config::{Argv, Language, Limits, Service};
use xtask_core::engine::Cx;
use xtask_core::error::StageError;
use xtask_core::facts::Observation;
use xtask_core::ids::StageId;
use xtask_core::outcome::Verdict;
use xtask_core::policy::{self, Strictness};
use xtask_core::stage::{Needs, Pure, Stage, Weight};
use xtask_core::tools::checks::{self, Command};
use xtask_core::tools::junit::{self, Tests};

/// What a service's own commands did.
#[derive(Debug, Serialize, Deserialize)]
pub struct ChecksFacts {
    /// The commands, up to the first that failed.
    pub commands: Vec<Command>,
    /// The tests, if the runner wrote JUnit.
    pub tests: Option<Tests>,
    /// What the commands and the tests complain about.
    pub observations: Vec<Observation>,
}

/// The linter of a service.
#[derive(Debug)]
pub struct Lint(pub(super) Service);

/// The tests of a service.
#[derive(Debug)]
pub struct Test(pub(super) Service);

impl Lint {
    pub(super) fn of(service: &Service) -> Self {
        Lint(service.clone())
    }
}

impl Test {
    pub(super) fn of(service: &Service) -> Self {
        Test(service.clone())
    }
}

fn needs(service: &Service, commands: &[Argv]) -> Needs {
    Needs {
        programs: commands.iter().map(|argv| argv.program.clone()).collect(),
        env: service.env.clone(),
        inputs: service.inputs.clone(),
        settings: commands.iter().map(|argv| format!("{argv:?}")).collect(),
        weight: weight(service.language),
        ..Needs::default()
    }
}

/// Compilers use every core that they find; the checks of other languages mostly run on one.
fn weight(language: Language) -> Weight {
    match language {
        Language::Rust | Language::Go => Weight { cores: 2, memory_mib: 2048 },
        Language::Node | Language::Python | Language::Php => Weight { cores: 1, memory_mib: 512 },
        Language::Other => Weight::default(),
    }
}

async fn run(
    cx: &Cx,
    service: &Service,
    commands: &[Argv],
    junit_files: &[String],
) -> Result<ChecksFacts, StageError> {
    for file in junit_files {
        junit::remove_stale(cx.root(), file)?;
    }
    let ran = checks::run(cx, &service.path, commands).await?;
    let failed = ran.commands.iter().any(|command| command.code != 0);
    let tests = match junit::read_all(cx.root(), junit_files) {
        // A command that failed may not have come to its report; that it failed is what counts then.
        Err(_) if failed => None,
        tests => tests?,
    };
    let mut observations = ran.observations;
    observations.extend(tests.iter().flat_map(Tests::observations));
    Ok(ChecksFacts { commands: ran.commands, tests, observations })
}

impl Stage for Lint {
    const ID: StageId = StageId::Lint;
    type Kind = Pure;
    type Facts = ChecksFacts;

    fn needs(&self) -> Needs {
        needs(&self.0, &self.0.lint)
    }

    async fn run(&self, cx: &Cx) -> Result<ChecksFacts, StageError> {
        run(cx, &self.0, &self.0.lint, &[]).await
    }

    fn judge(&self, facts: &ChecksFacts, limits: &Limits, today: jiff::civil::Date) -> Verdict {
        policy::judge(&facts.observations, Strictness::Linter, limits, today)
    }
}

impl Stage for Test {
    const ID: StageId = StageId::Test;
    type Kind = Pure;
    type Facts = ChecksFacts;

    fn needs(&self) -> Needs {
        let mut needs = needs(&self.0, &self.0.test);
        needs.outputs.extend(self.0.outputs.iter().chain(&self.0.junit).cloned());
        needs
    }

    async fn run(&self, cx: &Cx) -> Result<ChecksFacts, StageError> {
        run(cx, &self.0, &self.0.test, &self.0.junit).await
    }

    fn judge(&self, facts: &ChecksFacts, limits: &Limits, today: jiff::civil::Date) -> Verdict {
        policy::judge(&facts.observations, Strictness::Linter, limits, today)
    }
}
