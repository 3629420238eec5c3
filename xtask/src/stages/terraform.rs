//! `terraform`: format, validity, and a plan whose consequences policy judges. Nothing is applied here.

use serde::{Deserialize, Serialize};
use xtask_core::config::{self, Limits};
use xtask_core::engine::Cx;
use xtask_core::error::StageError;
use xtask_core::facts::Observation;
use xtask_core::ids::StageId;
use xtask_core::outcome::Verdict;
use xtask_core::policy::{self, Strictness};
use xtask_core::stage::{Needs, Pure, Stage, Weight};
use xtask_core::tools::terraform::{self, Plan};

/// Where the plan's JSON is left for other stages, relative to the root.
pub(super) const PLAN_JSON: &str = "target/xtask/terraform/plan.json";

/// What Terraform said.
#[derive(Debug, Serialize, Deserialize)]
pub struct TerraformFacts {
    /// Files that are not formatted, and what `validate` complains about.
    pub observations: Vec<Observation>,
    /// What would change. None if there are neither credentials nor a stand-in provider; then it was not planned.
    pub plan: Option<Plan>,
    /// What the plan was made with: `stand-in provider` or `account`.
    pub planned_with: Option<String>,
}

/// The root module.
#[derive(Debug)]
pub struct Terraform(pub(super) config::Terraform);

impl Stage for Terraform {
    const ID: StageId = StageId::Terraform;
    type Kind = Pure;
    type Facts = TerraformFacts;

    fn needs(&self) -> Needs {
        let config = &self.0;
        let mut inputs = vec![format!("{}/**", config.path)];
        inputs.extend(config.stand_in.iter().map(|path| format!("{path}/**")));
        Needs {
            tools: vec![terraform::TOOL],
            // The stand-in provider is a Go program.
            programs: config.stand_in.iter().map(|_| "go".to_owned()).collect(),
            inputs,
            outputs: config.stand_in.iter().map(|_| PLAN_JSON.to_owned()).collect(),
            settings: vec![format!("{config:?}")],
            weight: Weight { cores: 2, memory_mib: 1024 },
            ..Needs::default()
        }
    }

    async fn run(&self, cx: &Cx) -> Result<TerraformFacts, StageError> {
        let config = &self.0;
        let mut observations = terraform::format(cx, &config.path).await?;
        let Some(stand_in) = &config.stand_in else {
            cx.note("not planned: there is no stand-in provider in pipeline.yaml");
            return Ok(TerraformFacts { observations, plan: None, planned_with: None });
        };
        let module = terraform::initialize(cx, &config.path, stand_in).await?;
        let invalid = terraform::validate(cx, &module).await?;
        let valid = invalid.is_empty();
        observations.extend(invalid);
        let plan = match valid {
            true => Some(terraform::plan(cx, &module, &config.var_files, PLAN_JSON).await?),
            false => None,
        };
        Ok(TerraformFacts { observations, plan, planned_with: Some("stand-in provider".to_owned()) })
    }

    fn judge(&self, facts: &TerraformFacts, limits: &Limits, today: jiff::civil::Date) -> Verdict {
        let mut findings = policy::judge(&facts.observations, Strictness::Linter, limits, today).into_findings();
        if let Some(plan) = &facts.plan {
            findings.extend(policy::judge_plan(&plan.changes, limits, today).into_findings());
        }
        Verdict::on(findings)
    }
}
