//! `ansible`: every playbook parses, and ansible-lint has nothing to say at its production profile.

use xtask_core::config::{self, Limits};
use xtask_core::engine::Cx;
use xtask_core::error::StageError;
use xtask_core::facts::Observed;
use xtask_core::ids::StageId;
use xtask_core::outcome::Verdict;
use xtask_core::policy::{self, Strictness};
use xtask_core::stage::{Needs, Pure, Stage, Weight};
use xtask_core::tools::ansible;

/// The playbooks.
#[derive(Debug)]
pub struct Ansible(pub(super) config::Ansible);

impl Stage for Ansible {
    const ID: StageId = StageId::Ansible;
    type Kind = Pure;
    type Facts = Observed;

    fn needs(&self) -> Needs {
        Needs {
            tools: vec![ansible::TOOL, ansible::LINTER],
            inputs: vec![format!("{}/**", self.0.path)],
            settings: vec![format!("{:?}", self.0)],
            weight: Weight { cores: 2, memory_mib: 1024 },
            ..Needs::default()
        }
    }

    async fn run(&self, cx: &Cx) -> Result<Observed, StageError> {
        let config = &self.0;
        let mut observations = Vec::new();
        for playbook in &config.playbooks {
            let syntax =
                ansible::check_syntax(cx, &config.path, playbook, config.inventory.as_deref()).await?;
            observations.extend(syntax);
        }
        let linted = ansible::lint(cx, &config.path).await?;
        observations.extend(linted.observations);
        Ok(Observed { looked_at: linted.looked_at, observations })
    }

    fn judge(&self, facts: &Observed, limits: &Limits, today: jiff::civil::Date) -> Verdict {
        policy::judge(&facts.observations, Strictness::Everything, limits, today)
    }
}
