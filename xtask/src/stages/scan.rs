//! `scan`: vulnerabilities, secrets and misconfiguration of a service's image.

use crate::stages::build::layout;
use xtask_core::config::{Limits, Service};
use xtask_core::engine::Cx;
use xtask_core::error::StageError;
use xtask_core::ids::{NodeId, StageId};
use xtask_core::outcome::Verdict;
use xtask_core::policy::{self, Strictness};
use xtask_core::stage::{Needs, Pure, Stage, Weight};
use xtask_core::tools::trivy::{self, ImageScan};

/// The scan of one service's image.
#[derive(Debug)]
pub struct Scan(pub(super) Service);

impl Scan {
    pub(super) fn of(service: &Service) -> Self {
        Scan(service.clone())
    }
}

impl Stage for Scan {
    const ID: StageId = StageId::Scan;
    type Kind = Pure;
    type Facts = ImageScan;

    fn needs(&self) -> Needs {
        Needs {
            tools: vec![trivy::TOOL, trivy::DATABASE],
            after: vec![NodeId::of(StageId::Build, self.0.name.clone())],
            weight: Weight { cores: 1, memory_mib: 1024 },
            ..Needs::default()
        }
    }

    async fn run(&self, cx: &Cx) -> Result<ImageScan, StageError> {
        trivy::image(cx, &layout(&self.0.name)).await
    }

    fn judge(&self, facts: &ImageScan, limits: &Limits, today: jiff::civil::Date) -> Verdict {
        policy::judge(&facts.observations, Strictness::Scanner, limits, today)
    }
}
