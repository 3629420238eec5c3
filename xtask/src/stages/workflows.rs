//! `workflows`: the GitHub Actions workflows are valid, hold nothing that an auditor objects to, and are what the stage table says.

use crate::generate;
use xtask_core::config::{self, Limits};
use xtask_core::engine::Cx;
use xtask_core::error::StageError;
use xtask_core::facts::Observed;
use xtask_core::ids::StageId;
use xtask_core::outcome::Verdict;
use xtask_core::policy::{self, Strictness};
use xtask_core::stage::{Needs, Pure, Stage};
use xtask_core::tools::{actionlint, zizmor};

/// The folder of workflows.
#[derive(Debug)]
pub struct Workflows(pub(super) config::Workflows);

impl Stage for Workflows {
    const ID: StageId = StageId::Workflows;
    type Kind = Pure;
    type Facts = Observed;

    fn needs(&self) -> Needs {
        Needs {
            tools: vec![actionlint::TOOL, zizmor::TOOL],
            inputs: vec![format!("{}/**", self.0.path), ".github/**".to_owned()],
            settings: vec![format!("{:?}", self.0)],
            ..Needs::default()
        }
    }

    async fn run(&self, cx: &Cx) -> Result<Observed, StageError> {
        let config = &self.0;
        let looked_at = generate::workflow_files(cx.root(), &config.path)?;
        let mut observations = actionlint::lint(cx, &looked_at).await?;
        observations.extend(zizmor::audit(cx, &looked_at).await?);
        if config.generated {
            observations.extend(generate::drift(cx.root(), &config.path)?);
        }
        Ok(Observed { looked_at, observations })
    }

    fn judge(&self, facts: &Observed, limits: &Limits, today: jiff::civil::Date) -> Verdict {
        policy::judge(&facts.observations, Strictness::Everything, limits, today)
    }
}
