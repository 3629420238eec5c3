//! `chart`: every chart lints and renders with every values file, what it renders is valid for each Kubernetes minor that is
//! supported, Prometheus can read its rules, and its own tests of templates and rules pass.

use serde::{Deserialize, Serialize};
use xtask_core::config::{Limits, Pipeline};
use xtask_core::engine::Cx;
use xtask_core::error::StageError;
use xtask_core::facts::Observation;
use xtask_core::ids::StageId;
use xtask_core::outcome::Verdict;
use xtask_core::policy::{self, Strictness};
use xtask_core::stage::{Needs, Pure, Stage};
use xtask_core::tools::{helm, helm_unittest, kubeconform, promtool};

/// Where renders are left for other stages, relative to the root: one folder a chart, one file a values file.
pub(super) const RENDERS: &str = "target/xtask/charts";

/// What was seen of the charts.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct ChartFacts {
    /// Each render that was validated: chart, values file, resources.
    pub renders: Vec<Render>,
    /// Unit tests that ran, over all charts.
    pub unit_tests: u64,
    /// Recording rules and alerts that Prometheus can read, over all renders.
    pub rules: u64,
    /// Tests of rules that ran, over all charts.
    pub rule_tests: u64,
    /// What was found.
    pub observations: Vec<Observation>,
}

/// One render.
#[derive(Debug, Serialize, Deserialize)]
pub struct Render {
    /// The chart's folder.
    pub chart: String,
    /// The values file inside it; none for the defaults alone.
    pub values: Option<String>,
    /// How many resources it holds.
    pub resources: u64,
    /// The Kubernetes minors that it is valid for.
    pub kubernetes: Vec<String>,
}

/// The charts.
#[derive(Debug)]
pub struct Chart {
    /// Relative to the root.
    charts: Vec<String>,
    /// Whether one of them makes rules, so that somebody without any does not have to install what reads them.
    rules: bool,
}

/// Every chart that is configured, once.
pub(super) fn charts(pipeline: &Pipeline) -> Vec<String> {
    let of_services = pipeline.services.values().filter_map(|service| service.chart.clone());
    let mut charts: Vec<String> = of_services.chain(pipeline.charts.iter().cloned()).collect();
    charts.sort();
    charts.dedup();
    charts
}

impl Chart {
    /// The stage, if there is any chart.
    pub(super) fn of(pipeline: &Pipeline) -> Option<Self> {
        let charts = charts(pipeline);
        let rules = charts.iter().any(|chart| promtool::has_rules(&pipeline.root, chart));
        (!charts.is_empty()).then_some(Chart { charts, rules })
    }
}

impl Stage for Chart {
    const ID: StageId = StageId::Chart;
    type Kind = Pure;
    type Facts = ChartFacts;

    fn needs(&self) -> Needs {
        let mut tools = vec![helm::TOOL, helm_unittest::TOOL, kubeconform::TOOL];
        tools.extend(self.rules.then_some(promtool::TOOL));
        Needs {
            tools,
            inputs: self.charts.iter().map(|chart| format!("{chart}/**")).collect(),
            outputs: vec![RENDERS.to_owned()],
            settings: self.charts.clone(),
            ..Needs::default()
        }
    }

    async fn run(&self, cx: &Cx) -> Result<ChartFacts, StageError> {
        let mut facts = ChartFacts::default();
        // What an earlier run rendered from values files that are gone must not be validated or scanned.
        helm::clear_renders(cx, RENDERS)?;
        for chart in &self.charts {
            let mut rules = promtool::Rules::new(cx)?;
            let values = helm::values_files(cx.root(), chart)?;
            let variants = std::iter::once(None).chain(values.into_iter().map(Some));
            for values in variants {
                facts.observations.extend(helm::lint(cx, chart, values.as_deref()).await?);
                let rendered = helm::render(cx, chart, values.as_deref(), RENDERS).await?;
                let render = match rendered {
                    Ok(file) => file,
                    Err(observation) => {
                        facts.observations.push(observation);
                        continue;
                    }
                };
                let valid = kubeconform::validate(cx, &render).await?;
                facts.observations.extend(valid.observations);
                if self.rules {
                    let read = rules.check(cx, &render).await?;
                    facts.rules += read.count;
                    facts.observations.extend(read.observations);
                }
                facts.renders.push(Render {
                    chart: chart.clone(),
                    values,
                    resources: valid.resources,
                    kubernetes: valid.kubernetes,
                });
            }
            let tested = helm_unittest::test(cx, chart).await?;
            facts.unit_tests += tested.tests;
            facts.observations.extend(tested.observations);
            let tested = rules.test(cx, chart).await?;
            facts.rule_tests += tested.count;
            facts.observations.extend(tested.observations);
        }
        Ok(facts)
    }

    fn judge(&self, facts: &ChartFacts, limits: &Limits, today: jiff::civil::Date) -> Verdict {
        policy::judge(&facts.observations, Strictness::Linter, limits, today)
    }
}
