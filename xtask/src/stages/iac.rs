//! `iac`: everything that describes infrastructure, against Checkov's policies: Terraform source and plan, chart renders,
//! Dockerfiles, workflows.

use crate::stages::{chart, terraform};
use serde::{Deserialize, Serialize};
use xtask_core::config::{Limits, Pipeline};
use xtask_core::engine::Cx;
use xtask_core::error::StageError;
use xtask_core::facts::Observation;
use xtask_core::ids::{NodeId, StageId};
use xtask_core::outcome::Verdict;
use xtask_core::policy::{self, Strictness};
use xtask_core::stage::{Needs, Pure, Stage, Weight};
use xtask_core::tools::checkov::{self, Skip, Target};

/// What Checkov saw.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct IacFacts {
    /// What was looked at, and how many checks passed there.
    pub passed: Vec<(String, u64)>,
    /// Checks that the files themselves skip, with the reason that they give.
    pub skipped: Vec<Skip>,
    /// What could not be looked at, and why.
    pub not_seen: Vec<String>,
    /// Failed checks.
    pub observations: Vec<Observation>,
}

/// What there is to look at.
#[derive(Debug)]
pub struct Iac {
    terraform: Option<String>,
    plan: bool,
    charts: bool,
    dockerfiles: Vec<String>,
    workflows: Option<String>,
}

impl Iac {
    /// The stage, if there is anything to look at.
    pub(super) fn of(pipeline: &Pipeline) -> Option<Self> {
        let images = pipeline.services.values().filter_map(|service| service.image.as_ref());
        let iac = Iac {
            terraform: pipeline.terraform.as_ref().map(|config| config.path.clone()),
            plan: pipeline.terraform.as_ref().is_some_and(|config| config.stand_in.is_some()),
            charts: !chart::charts(pipeline).is_empty(),
            dockerfiles: images.map(|image| image.dockerfile.clone()).collect(),
            workflows: pipeline.workflows.as_ref().map(|config| config.path.clone()),
        };
        let anything =
            iac.terraform.is_some() || iac.charts || !iac.dockerfiles.is_empty() || iac.workflows.is_some();
        anything.then_some(iac)
    }

    /// What Checkov is run on, and the stage that must have left it behind.
    fn targets(&self) -> Vec<(Target, Option<StageId>)> {
        let mut targets = Vec::new();
        if let Some(path) = &self.terraform {
            targets.push((Target::Terraform(path.clone()), None));
            if self.plan {
                let plan = Target::Plan { json: terraform::PLAN_JSON.to_owned(), source: path.clone() };
                targets.push((plan, Some(StageId::Terraform)));
            }
        }
        if self.charts {
            targets.push((Target::Kubernetes(chart::RENDERS.to_owned()), Some(StageId::Chart)));
        }
        if !self.dockerfiles.is_empty() {
            targets.push((Target::Dockerfiles(self.dockerfiles.clone()), None));
        }
        targets.extend(self.workflows.iter().map(|path| (Target::Workflows(path.clone()), None)));
        targets
    }
}

impl Stage for Iac {
    const ID: StageId = StageId::Iac;
    type Kind = Pure;
    type Facts = IacFacts;

    fn needs(&self) -> Needs {
        let folders = self.terraform.iter().chain(&self.workflows).map(|path| format!("{path}/**"));
        let mut prefers = Vec::new();
        prefers.extend(self.plan.then(|| NodeId::repository(StageId::Terraform)));
        prefers.extend(self.charts.then(|| NodeId::repository(StageId::Chart)));
        Needs {
            tools: vec![checkov::TOOL],
            prefers,
            inputs: folders
                .chain(self.dockerfiles.iter().cloned())
                .chain([".checkov.yaml".to_owned()])
                .collect(),
            settings: vec![format!("{self:?}")],
            weight: Weight { cores: 1, memory_mib: 1024 },
            ..Needs::default()
        }
    }

    async fn run(&self, cx: &Cx) -> Result<IacFacts, StageError> {
        let mut facts = IacFacts::default();
        for (target, left_by) in self.targets() {
            if let Some(stage) = left_by
                && cx.facts::<serde_json::Value>(stage)?.is_none()
            {
                cx.note(format!("{} was not looked at: {stage} did not pass", target.name()));
                facts.not_seen.push(format!("{}: {stage} did not pass", target.name()));
                continue;
            }
            let seen = checkov::scan(cx, &target).await?;
            facts.passed.push((target.name().to_owned(), seen.passed));
            facts.skipped.extend(seen.skipped);
            facts.observations.extend(seen.observations);
        }
        Ok(facts)
    }

    fn judge(&self, facts: &IacFacts, limits: &Limits, today: jiff::civil::Date) -> Verdict {
        policy::judge(&facts.observations, Strictness::Scanner, limits, today)
    }
}
