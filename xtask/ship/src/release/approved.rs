//! Approval in the type: what changes a protected environment takes an [`Approved`] plan, and only this module makes one.
//!
//! An approval is for one plan: its digest covers the environment, the cluster, the commit and all that would be applied.

use super::error::ReleaseError;
use super::plan::Plan;
use super::set::SetPlan;
use std::collections::BTreeMap;
use std::io::{BufRead, IsTerminal};
use xtask_core::cancel::Cancel;
use xtask_core::ids::ServiceName;

/// A plan that may be carried out: of one release, or of a set.
#[derive(Debug)]
pub(crate) struct Approved<P = Plan>(P);

impl<P> Approved<P> {
    /// What was approved.
    pub(crate) fn plan(&self) -> &P {
        &self.0
    }
}

impl Approved<SetPlan> {
    /// Who approves a set approves each plan in it.
    pub(crate) fn each(self) -> BTreeMap<ServiceName, Approved> {
        self.0.plans.into_iter().map(|(name, plan)| (name, Approved(plan))).collect()
    }
}

/// What can be approved.
pub(crate) trait Approvable {
    /// The environment that it changes.
    fn environment(&self) -> &str;
    /// The digest that an approval is bound to.
    fn digest(&self) -> String;
}

impl Approvable for Plan {
    fn environment(&self) -> &str {
        &self.environment
    }

    fn digest(&self) -> String {
        Plan::digest(self)
    }
}

/// Who could approve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Approver {
    /// Nobody has to.
    Unneeded,
    /// The environment's reviewers, through GitHub.
    GitHub,
    /// Whoever sits at the terminal.
    Terminal,
    /// There is nobody.
    Nobody,
}

fn approver(protected: bool, github: bool, terminal: bool) -> Approver {
    match (protected, github, terminal) {
        (false, ..) => Approver::Unneeded,
        // Also with a terminal: a job must not approve itself.
        (true, true, _) => Approver::GitHub,
        (true, false, true) => Approver::Terminal,
        (true, false, false) => Approver::Nobody,
    }
}

/// Asks for what this environment demands. `show` puts the question on the screen.
pub(crate) async fn approve<P: Approvable>(
    plan: P,
    protected: bool,
    github: bool,
    cancel: &Cancel,
    show: impl FnOnce(&str),
) -> Result<Approved<P>, ReleaseError> {
    match approver(protected, github, std::io::stdin().is_terminal()) {
        Approver::Unneeded => Ok(Approved(plan)),
        Approver::GitHub => Err(ReleaseError::NotApproved(format!(
            "{} is protected, and this program cannot yet read the approval of a GitHub environment; approve at a terminal",
            plan.environment()
        ))),
        Approver::Nobody => Err(ReleaseError::NotApproved(format!(
            "{} is protected: run this at a terminal and type the environment's name",
            plan.environment()
        ))),
        Approver::Terminal => {
            show(&format!(
                "{} is protected. To carry out plan {} type `{}`: ",
                plan.environment(),
                &plan.digest()[..12],
                plan.environment()
            ));
            let line = tokio::task::spawn_blocking(|| {
                let mut line = String::new();
                std::io::stdin().lock().read_line(&mut line).map(|_| line)
            });
            let line = tokio::select! {
                line = line => line.ok().and_then(Result::ok).unwrap_or_default(),
                () = cancel.raised() => return Err(ReleaseError::Cancelled(String::new())),
            };
            typed(plan, &line)
        }
    }
}

fn typed<P: Approvable>(plan: P, line: &str) -> Result<Approved<P>, ReleaseError> {
    if line.trim() == plan.environment() {
        return Ok(Approved(plan));
    }
    Err(ReleaseError::NotApproved(format!("that is not `{}`; nothing was touched", plan.environment())))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::release::journal::tests::record;
    use crate::release::plan::WayBack;

    pub(crate) fn plan() -> Plan {
        Plan {
            environment: "prod".into(),
            cluster_uid: "u".into(),
            namespace: "hello".into(),
            release: "hello".into(),
            commit: Some("abc".into()),
            wanted: record().wanted,
            revision: 8,
            last_good: Some(7),
            way_back: WayBack::Proven,
            changes: Vec::new(),
            not_checked: Vec::new(),
        }
    }

    #[test]
    fn a_job_of_github_never_approves_itself_and_a_protected_environment_needs_somebody() {
        for (protected, github, terminal, expected) in [
            (false, false, false, Approver::Unneeded),
            (false, true, false, Approver::Unneeded),
            (true, true, false, Approver::GitHub),
            (true, true, true, Approver::GitHub),
            (true, false, true, Approver::Terminal),
            (true, false, false, Approver::Nobody),
        ] {
            assert_eq!(approver(protected, github, terminal), expected, "{protected} {github} {terminal}");
        }
    }

    #[test]
    fn only_the_name_of_the_environment_approves() {
        assert_eq!(typed(plan(), "prod\n").unwrap().plan(), &plan());
        for line in ["", "\n", "y\n", "yes\n", "dev\n", "Prod\n", "prod prod\n"] {
            assert!(typed(plan(), line).is_err(), "{line:?}");
        }
    }

    #[test]
    fn another_cluster_commit_or_manifest_is_another_plan() {
        let plan = plan();
        let mut others = vec![plan.clone(), plan.clone(), plan.clone(), plan.clone()];
        others[0].cluster_uid = "v".into();
        others[1].commit = Some("abd".into());
        others[2].wanted.manifest_sha256 = "bb".into();
        others[3].environment = "dev".into();
        for other in others {
            assert_ne!(other.digest(), plan.digest());
        }
    }
}
