//! `dockerfile`: hadolint over every Dockerfile that a service's image is built from.

use xtask_core::config::{Limits, Pipeline};
use xtask_core::engine::Cx;
use xtask_core::error::StageError;
use xtask_core::facts::Observed;
use xtask_core::ids::StageId;
use xtask_core::outcome::Verdict;
use xtask_core::policy::{self, Strictness};
use xtask_core::stage::{Needs, Pure, Stage};
use xtask_core::tools::hadolint;

/// The Dockerfiles, relative to the root.
#[derive(Debug)]
pub struct Dockerfile(Vec<String>);

impl Dockerfile {
    /// The stage, if any service has an image.
    pub(super) fn of(pipeline: &Pipeline) -> Option<Self> {
        let images = pipeline.services.values().filter_map(|service| service.image.as_ref());
        let mut files: Vec<String> = images.map(|image| image.dockerfile.clone()).collect();
        files.sort();
        files.dedup();
        (!files.is_empty()).then_some(Dockerfile(files))
    }
}

impl Stage for Dockerfile {
    const ID: StageId = StageId::Dockerfile;
    type Kind = Pure;
    type Facts = Observed;

    fn needs(&self) -> Needs {
        let mut inputs = self.0.clone();
        inputs.extend([".hadolint.yaml".to_owned(), ".hadolint.yml".to_owned()]);
        Needs { tools: vec![hadolint::TOOL], inputs, settings: self.0.clone(), ..Needs::default() }
    }

    async fn run(&self, cx: &Cx) -> Result<Observed, StageError> {
        let observations = hadolint::lint(cx, &self.0).await?;
        Ok(Observed { looked_at: self.0.clone(), observations })
    }

    fn judge(&self, facts: &Observed, limits: &Limits, today: jiff::civil::Date) -> Verdict {
        policy::judge(&facts.observations, Strictness::Linter, limits, today)
    }
}
