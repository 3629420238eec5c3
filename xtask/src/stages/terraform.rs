//! `terraform`: format, validity, tests, and a plan whose consequences policy judges. Nothing is applied here.

use serde::{Deserialize, Serialize};
use xtask_core::config::{self, Limits};
use xtask_core::engine::Cx;
use xtask_core::error::StageError;
use xtask_core::facts::Observation;
use xtask_core::ids::StageId;
use xtask_core::outcome::{Severity, Verdict};
use xtask_core::policy::{self, Strictness};
use xtask_core::stage::{Needs, Pure, Stage, Weight};
use xtask_core::tools::terraform::{self, GO, Initialized, Module, Plan, Planned, Plugins, Tests, Workspace};

/// Where the plan's JSON is left for other stages, relative to the root.
pub(super) const PLAN_JSON: &str = "target/xtask/terraform/plan.json";

/// Where it is left that every module was validated. A result without this file is not cached, so that the next run looks again at
/// what could not be validated for want of a network.
const VALIDATED: &str = "target/xtask/terraform/validated.json";

/// What Terraform said.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct TerraformFacts {
    /// Files that are not formatted, what `validate` complains about, and tests that failed.
    pub observations: Vec<Observation>,
    /// The root modules that were validated, with what their tests came to if they were run. The configured one is the first.
    pub modules: Vec<(String, Option<Tests>)>,
    /// Root modules that could not be validated, and why.
    pub not_validated: Vec<(String, String)>,
    /// What would change. None if there is no stand-in provider, or the configuration cannot be planned.
    pub plan: Option<Plan>,
    /// What the plan was made with: `stand-in provider`.
    pub planned_with: Option<String>,
}

/// The configured root module, and those in folders below it.
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
        let plan = config.stand_in.iter().map(|_| PLAN_JSON.to_owned());
        Needs {
            tools: vec![terraform::TOOL],
            // The stand-in provider is a Go program.
            programs: config.stand_in.iter().map(|_| GO.to_owned()).collect(),
            inputs,
            outputs: plan.chain([VALIDATED.to_owned()]).collect(),
            settings: vec![format!("{config:?}")],
            weight: Weight { cores: 2, memory_mib: 1024 },
            ..Needs::default()
        }
    }

    async fn run(&self, cx: &Cx) -> Result<TerraformFacts, StageError> {
        let config = &self.0;
        let workspace = Workspace::new(cx, &config.path)?;
        let observations = terraform::format(cx, &workspace).await?;
        let mut facts = TerraformFacts { observations, ..TerraformFacts::default() };
        let plugins = match &config.stand_in {
            Some(folder) => Plugins::with_stand_in(cx, folder).await?,
            None => Plugins::from_registries(cx)?,
        };
        for root in &workspace.roots {
            match terraform::initialize(cx, &workspace, root, &plugins).await? {
                Initialized::Ready(module) => {
                    let tests = self.look(cx, &module, &mut facts).await?;
                    facts.modules.push((root.path.clone(), tests));
                }
                Initialized::Refused(observations) => facts.observations.extend(observations),
                Initialized::Unreachable(why) => {
                    cx.note(format!("{} was not validated: {why}", root.path));
                    facts.not_validated.push((root.path.clone(), why));
                }
            }
        }
        terraform::leave(cx, VALIDATED, facts.not_validated.is_empty().then_some(&facts.modules))?;
        Ok(facts)
    }

    fn judge(&self, facts: &TerraformFacts, limits: &Limits, today: jiff::civil::Date) -> Verdict {
        let gap = |(root, why): &(String, String)| {
            Observation::new("not-validated", Severity::Low, format!("{root} was not validated: {why}"))
        };
        let mut seen = facts.observations.clone();
        seen.extend(facts.not_validated.iter().map(gap));
        let mut findings = policy::judge(&seen, Strictness::Linter, limits, today).into_findings();
        if let Some(plan) = &facts.plan {
            findings.extend(policy::judge_plan(&plan.changes, limits, today).into_findings());
        }
        Verdict::on(findings)
    }
}

impl Terraform {
    /// Looks at one root module, and gives what its tests came to if they were run. Only the configured one is planned: there are no
    /// variables for the others.
    async fn look(
        &self,
        cx: &Cx,
        module: &Module,
        facts: &mut TerraformFacts,
    ) -> Result<Option<Tests>, StageError> {
        let root = module.path();
        let complaints = terraform::validate(cx, module).await?;
        let valid = complaints.iter().all(|one| one.severity < Severity::High);
        facts.observations.extend(complaints);
        let Some(rehearsal) = module.rehearsal() else {
            cx.note(format!("{root} was neither tested nor planned: pipeline.yaml has no stand-in provider"));
            return Ok(None);
        };
        if !valid {
            return Ok(None);
        }
        let (tests, failures) = terraform::test(cx, rehearsal).await?;
        facts.observations.extend(failures);
        if root != self.0.path {
            cx.note(format!("{root} was not planned: pipeline.yaml names no variables for it"));
            return Ok(Some(tests));
        }
        match terraform::plan(cx, rehearsal, &self.0.var_files, PLAN_JSON).await? {
            Planned::Plan(plan) => {
                facts.plan = Some(plan);
                facts.planned_with = Some("stand-in provider".to_owned());
            }
            Planned::Refused(observations) => facts.observations.extend(observations),
        }
        Ok(Some(tests))
    }
}
