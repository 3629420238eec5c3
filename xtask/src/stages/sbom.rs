//! `sbom`: what is in a service's image, as CycloneDX and SPDX documents beside the image.

use crate::stages::build::layout;
use xtask_core::config::{Limits, Service};
use xtask_core::engine::Cx;
use xtask_core::error::StageError;
use xtask_core::ids::{NodeId, StageId};
use xtask_core::outcome::Verdict;
use xtask_core::stage::{Needs, Pure, Stage};
use xtask_core::tools::syft::{self, Sbom as Facts};

/// The bill of materials of one service's image.
#[derive(Debug)]
pub struct Sbom(pub(super) Service);

impl Sbom {
    pub(super) fn of(service: &Service) -> Self {
        Sbom(service.clone())
    }

    fn documents(&self) -> (String, String) {
        let stem = format!("target/xtask/sbom/{}", self.0.name);
        (format!("{stem}.cdx.json"), format!("{stem}.spdx.json"))
    }
}

impl Stage for Sbom {
    const ID: StageId = StageId::Sbom;
    type Kind = Pure;
    type Facts = Facts;

    fn needs(&self) -> Needs {
        let (cyclonedx, spdx) = self.documents();
        Needs {
            tools: vec![syft::TOOL],
            after: vec![NodeId::of(StageId::Build, self.0.name.clone())],
            outputs: vec![cyclonedx, spdx],
            ..Needs::default()
        }
    }

    async fn run(&self, cx: &Cx) -> Result<Facts, StageError> {
        let (cyclonedx, spdx) = self.documents();
        syft::describe(cx, &layout(&self.0.name), &cyclonedx, &spdx).await
    }

    fn judge(&self, _: &Facts, _: &Limits, _: jiff::civil::Date) -> Verdict {
        Verdict::clean()
    }
}
