//! `secrets`: what looks like a credential in the files of the repository.

use xtask_core::config::Limits;
use xtask_core::engine::Cx;
use xtask_core::error::StageError;
use xtask_core::facts::Observed;
use xtask_core::ids::StageId;
use xtask_core::outcome::Verdict;
use xtask_core::policy::{self, Strictness};
use xtask_core::stage::{Needs, Pure, Stage};
use xtask_core::tools::gitleaks;

/// The whole repository.
#[derive(Debug)]
pub struct Secrets;

impl Stage for Secrets {
    const ID: StageId = StageId::Secrets;
    type Kind = Pure;
    type Facts = Observed;

    fn needs(&self) -> Needs {
        Needs { tools: vec![gitleaks::TOOL], inputs: vec!["**".to_owned()], ..Needs::default() }
    }

    async fn run(&self, cx: &Cx) -> Result<Observed, StageError> {
        gitleaks::scan(cx).await
    }

    fn judge(&self, facts: &Observed, limits: &Limits, today: jiff::civil::Date) -> Verdict {
        policy::judge(&facts.observations, Strictness::Everything, limits, today)
    }
}
