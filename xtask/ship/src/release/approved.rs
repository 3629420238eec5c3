//! Approval in the type: what changes a protected environment takes an [`Approved`] plan, and only this module makes one.
//!
//! An approval is for one plan: its digest covers the environment, the cluster, the commit and all that would be applied.

use super::error::ReleaseError;
use super::guards::{Guard, Refusal, refusal};
use super::handover;
use super::open::Cx;
use super::plan::Plan;
use super::review;
use super::set::SetPlan;
use crate::github::{self, GitHubError, Place};
use std::collections::BTreeMap;
use std::io::{BufRead, IsTerminal};
use xtask_core::config::{EnvName, GitHub};
use xtask_core::ids::{ServiceName, sha256};

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
    /// The commit that it releases.
    fn commit(&self) -> Option<&str>;
    /// What is released: a service, or a set.
    fn subject(&self) -> &str;
    /// All of it, as JSON.
    fn bytes(&self) -> Vec<u8>;
    /// For people.
    fn text(&self) -> String;
    /// The digest that an approval is bound to.
    fn digest(&self) -> String {
        sha256(&self.bytes()).to_string()
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

/// Asks for what this environment demands. `shown` is the digest of the plan that somebody has seen, if one was named.
pub(crate) async fn approve<P: Approvable>(
    cx: &Cx,
    plan: P,
    shown: Option<&str>,
) -> Result<Approved<P>, ReleaseError> {
    if let Some(digest) = shown {
        review::shown(&plan, digest, handover::kept(cx, plan.subject(), digest).as_deref())
            .map_err(ReleaseError::NotApproved)?;
    }
    let job = cx.ambient.github();
    match approver(cx.env.approval, job.is_some(), std::io::stdin().is_terminal()) {
        Approver::Unneeded => Ok(Approved(plan)),
        Approver::GitHub => by_github(cx, plan, &job.unwrap_or_default(), shown.is_some()).await,
        Approver::Nobody => {
            let expected = format!("somebody to approve {}, which is protected", plan.environment());
            let remedy = "run this at a terminal and type the environment's name";
            Err(ReleaseError::NotApproved(refusal(Guard::Approval, expected, "no terminal").but(remedy)))
        }
        Approver::Terminal => at_terminal(cx, plan).await,
    }
}

async fn at_terminal<P: Approvable>(cx: &Cx, plan: P) -> Result<Approved<P>, ReleaseError> {
    cx.tell.show(&format!(
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
        () = cx.cancel.raised() => return Err(ReleaseError::NotBegun),
    };
    typed(plan, &line)
}

fn typed<P: Approvable>(plan: P, line: &str) -> Result<Approved<P>, ReleaseError> {
    if line.trim() == plan.environment() {
        return Ok(Approved(plan));
    }
    let expected = format!("`{}`", plan.environment());
    Err(ReleaseError::NotApproved(refusal(Guard::Approval, expected, "something else; nothing was touched")))
}

/// The reviewers of GitHub's environment, in this very run.
async fn by_github<P: Approvable>(
    cx: &Cx,
    plan: P,
    job: &GitHub,
    shown: bool,
) -> Result<Approved<P>, ReleaseError> {
    let not = ReleaseError::NotApproved;
    if !shown {
        return Err(not(review::not_shown()));
    }
    let token = cx.ambient.value(&EnvName::github_token());
    let token = token.map_err(|error| ReleaseError::Usage(error.to_string()))?.unwrap_or_default().trim();
    if token.is_empty() {
        return Err(not(review::no_token()));
    }
    let (place, attempt) = place(job).map_err(not)?;
    let environment = &cx.env.github_environment;
    let told = tokio::select! {
        told = github::ask(&place, token, environment) => told.map_err(unanswered)?,
        () = cx.cancel.raised() => return Err(ReleaseError::NotBegun),
    };
    let approval = review::judge(&plan, environment, (place.run_id, attempt), &told).map_err(not)?;
    cx.tell.line(&format!("plan {} approved by {} for {environment}", &plan.digest()[..12], approval.by));
    if let Some(what) = approval.not_checked {
        cx.tell.line(&format!("NOT CHECKED  {what}"));
    }
    Ok(Approved(plan))
}

/// Which run this is, and which attempt of it.
fn place(job: &GitHub) -> Result<(Place, u64), Refusal> {
    let number = |value: &Option<String>| value.as_deref().and_then(|text| text.parse::<u64>().ok());
    match (&job.api_url, &job.repository, number(&job.run_id), number(&job.run_attempt)) {
        (Some(api_url), Some(repository), Some(run_id), Some(attempt)) => {
            Ok((Place { api_url: api_url.clone(), repository: repository.clone(), run_id }, attempt))
        }
        _ => Err(refusal(
            Guard::Approval,
            "GITHUB_API_URL, GITHUB_REPOSITORY, GITHUB_RUN_ID and GITHUB_RUN_ATTEMPT, as Actions sets them",
            "that one is missing or no number",
        )),
    }
}

/// A refusal of the token is for a person to mend; anything else says nothing about approvals.
fn unanswered(error: GitHubError) -> ReleaseError {
    match error {
        GitHubError::Denied { .. } | GitHubError::Unusable(_) => ReleaseError::NotApproved(
            refusal(Guard::Approval, "to be told who approved this run", error.to_string())
                .but("give the job `permissions: { actions: read }` and the step its own GITHUB_TOKEN"),
        ),
        GitHubError::Transient { .. } | GitHubError::Broke { .. } => ReleaseError::GitHub(error),
    }
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
    fn what_a_token_may_not_see_is_a_refusal_and_a_broken_answer_is_a_broken_tool() {
        let doing = || "asking".to_owned();
        for (error, code) in [
            (GitHubError::Denied { doing: doing(), status: 404, said: "Not Found".into() }, 11),
            (GitHubError::Unusable("no TLS".into()), 11),
            (GitHubError::Transient { doing: doing(), why: "502".into() }, 20),
            (GitHubError::Broke { doing: doing(), why: "no JSON".into() }, 20),
        ] {
            assert_eq!(unanswered(error).code().number(), code);
        }
    }

    #[test]
    fn a_job_that_does_not_know_its_run_is_refused() {
        let job = GitHub {
            api_url: Some("https://api.github.com".into()),
            repository: Some("owner/name".into()),
            run_id: Some("7".into()),
            run_attempt: Some("1".into()),
            ..GitHub::default()
        };
        assert_eq!(place(&job).unwrap().0.run_id, 7);
        for wrong in [
            GitHub { run_id: None, ..job.clone() },
            GitHub { run_id: Some("7/../8".into()), ..job.clone() },
            GitHub { run_attempt: Some(String::new()), ..job.clone() },
            GitHub { repository: None, ..job.clone() },
            GitHub { api_url: None, ..job },
        ] {
            assert!(place(&wrong).is_err(), "{wrong:?}");
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
