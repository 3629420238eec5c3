//! Guards: what must be so before anything is touched. Pure: what was found comes in, refusals go out, each with what was expected
//! and what was found. What could not be looked at is said, never passed over.

use super::cloud::{self, Cloud};
use crate::push::Found as Image;
use serde::Serialize;
use std::fmt;
use xtask_core::config::{Environment, Freeze};

/// What a guard looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Guard {
    /// The cluster is the one that the environment names.
    Cluster,
    /// The credentials and the cluster belong to the environment's account.
    Account,
    /// The cluster is in the environment's region.
    Region,
    /// The namespace says which environment it belongs to.
    Namespace,
    /// The values are those of the environment.
    Values,
    /// The branch or tag may be released.
    Ref,
    /// Nothing is released in these days.
    Freeze,
    /// The image is in the registry, for the nodes' architecture.
    Image,
    /// The cluster accepts the release in a dry run.
    DryRun,
    /// What Helm keeps fits into a Secret.
    Size,
    /// No hook of an interrupted run is left.
    Hooks,
    /// Only the autoscaler sets the number of pods.
    Replicas,
    /// A budget lets at least one pod go.
    Budget,
    /// The quota has room for the pods of a rollout.
    Quota,
    /// The environment before has proven the image.
    Promotion,
    /// Somebody who may has approved this very plan.
    Approval,
}

impl fmt::Display for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Guard::Cluster => "cluster",
            Guard::Account => "account",
            Guard::Region => "region",
            Guard::Approval => "approval",
            Guard::Namespace => "namespace",
            Guard::Values => "values",
            Guard::Ref => "ref",
            Guard::Freeze => "freeze",
            Guard::Image => "image",
            Guard::DryRun => "dry-run",
            Guard::Size => "size",
            Guard::Hooks => "hooks",
            Guard::Replicas => "replicas",
            Guard::Budget => "budget",
            Guard::Quota => "quota",
            Guard::Promotion => "promotion",
        })
    }
}

/// Why a guard refuses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Refusal {
    /// Which guard.
    pub(crate) guard: Guard,
    /// What was expected.
    pub(crate) expected: String,
    /// What was found.
    pub(crate) found: String,
    /// What to do.
    pub(crate) remedy: Option<String>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: expected {}, found {}", self.guard, self.expected, self.found)?;
        match &self.remedy {
            Some(remedy) => write!(f, "; {remedy}"),
            None => Ok(()),
        }
    }
}

pub(super) fn refusal(guard: Guard, expected: impl Into<String>, found: impl Into<String>) -> Refusal {
    Refusal { guard, expected: expected.into(), found: found.into(), remedy: None }
}

impl Refusal {
    pub(super) fn but(mut self, remedy: impl Into<String>) -> Refusal {
        self.remedy = Some(remedy.into());
        self
    }
}

/// Something that could be looked at, or why it could not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Look<T> {
    /// It was seen.
    Seen(T),
    /// It could not be seen, for this reason.
    Not(String),
}

/// An autoscaler of the release and whether its target also says how many pods there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scaled {
    /// The autoscaler's name.
    pub(crate) autoscaler: String,
    /// What it scales: `Deployment hello`.
    pub(crate) target: String,
    /// The number that the target renders.
    pub(crate) replicas: Option<u64>,
}

/// A quota that a rollout would break.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tight {
    /// The quota's name.
    pub(crate) quota: String,
    /// What it limits: `pods`.
    pub(crate) resource: String,
    /// How much a rollout needs beyond what is used.
    pub(crate) needed: u64,
    /// How much is left.
    pub(crate) left: u64,
}

/// Everything that guards look at.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Facts {
    /// The cluster's UID.
    pub(crate) cluster_uid: String,
    /// What the cloud says; none if the environment names nothing of it.
    pub(crate) cloud: Option<Cloud>,
    /// Whether nobody sits in front of this machine.
    pub(crate) ci: bool,
    /// The label `environment` of the namespace; outer none if there is no namespace.
    pub(crate) namespace: Option<Option<String>>,
    /// What rendered objects say in their label `environment`, each once.
    pub(crate) labels: Vec<String>,
    /// The branch or tag that is checked out: `refs/heads/main`.
    pub(crate) git_ref: Option<String>,
    /// Today, UTC.
    pub(crate) today: jiff::civil::Date,
    /// The image in its registry; none if the release has no image of its own.
    pub(crate) image: Option<(String, Look<Image>)>,
    /// The architectures of the nodes.
    pub(crate) architectures: Vec<String>,
    /// What the cluster said to each object that it refused: object and reason.
    pub(crate) refused: Vec<(String, String)>,
    /// How many bytes Helm's Secret would have, by estimate.
    pub(crate) secret_bytes: usize,
    /// Hook objects that an earlier run left: `Job hello-migrate`.
    pub(crate) leftover_hooks: Vec<String>,
    /// The autoscalers.
    pub(crate) scaled: Vec<Scaled>,
    /// Budgets that let no pod go: name and what they ask for.
    pub(crate) stuck_budgets: Vec<(String, String)>,
    /// Quotas without room.
    pub(crate) tight: Vec<Tight>,
    /// What no watch can see of workloads: `CronJob tidy works: its pods come later`.
    pub(crate) unwatched: Vec<String>,
}

/// Helm's Secret may have 1 MiB with everything around it; above this the next release would not fit.
const MOST_SECRET: usize = 900 << 10;

/// What the guards say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Judged {
    /// Why nothing may be touched.
    pub(crate) refusals: Vec<Refusal>,
    /// What could not be looked at.
    pub(crate) not_checked: Vec<String>,
}

/// Judges what was found.
pub(crate) fn judge(env: &Environment, facts: &Facts) -> Judged {
    let mut judged = place(env, &facts.cluster_uid, facts.namespace.as_ref());
    if let Some(cloud) = &facts.cloud {
        cloud::judge(env, cloud, facts.ci, &mut judged);
    }
    values(env, facts, &mut judged);
    when_and_what(env, facts, &mut judged);
    whether_it_fits(facts, &mut judged.refusals);
    unwatched(facts, &mut judged);
    judged
}

/// The part of it that also a rollback asks: whether this is the right place at all.
pub(crate) fn place(env: &Environment, cluster_uid: &str, namespace: Option<&Option<String>>) -> Judged {
    let mut judged = Judged::default();
    match &env.cluster_uid {
        Some(uid) if uid != cluster_uid => judged.refusals.push(
            refusal(Guard::Cluster, format!("the cluster {uid}"), format!("the cluster {cluster_uid}"))
                .but("is the kubeconfig's context the right one?"),
        ),
        Some(_) => {}
        None => judged.not_checked.push(format!(
            "whether this is the right cluster: the environment has no cluster_uid (this one is {cluster_uid})"
        )),
    }
    let name = env.namespace.as_deref().unwrap_or_default();
    let label = &env.label;
    let expected = format!("the namespace {name} with the label environment={label}");
    match namespace {
        Some(Some(found)) if found == label => {}
        Some(Some(found)) => {
            judged.refusals.push(refusal(Guard::Namespace, expected, format!("environment={found}")));
        }
        Some(None) => judged.refusals.push(
            refusal(Guard::Namespace, expected, "no such label")
                .but(format!("`kubectl label namespace {name} environment={label}`")),
        ),
        None => judged.refusals.push(
            refusal(Guard::Namespace, expected, "no such namespace")
                .but("who owns the cluster makes it, with that label"),
        ),
    }
    judged
}

fn values(env: &Environment, facts: &Facts, judged: &mut Judged) {
    let label = &env.label;
    match facts.labels.iter().find(|found| *found != label) {
        Some(found) => judged.refusals.push(
            refusal(
                Guard::Values,
                format!("objects with environment={label}"),
                format!("environment={found}"),
            )
            .but("the values are those of another environment"),
        ),
        None if facts.labels.is_empty() => judged.not_checked.push(
            "whether the values are this environment's: no object has the label environment".to_owned(),
        ),
        None => {}
    }
}

fn when_and_what(env: &Environment, facts: &Facts, judged: &mut Judged) {
    let refs = &env.guards.refs;
    if !refs.is_empty() {
        let short = facts.git_ref.as_deref().map(short_ref);
        if !short.is_some_and(|short| refs.iter().any(|glob| fast_glob::glob_match(glob, short))) {
            let found = facts.git_ref.clone().unwrap_or_else(|| "no branch and no tag".to_owned());
            judged.refusals.push(refusal(Guard::Ref, refs.join(" or "), found));
        }
    }
    let frozen =
        env.guards.freeze.iter().find(|freeze| freeze.from <= facts.today && facts.today <= freeze.to);
    if let Some(Freeze { from, to, reason }) = frozen {
        judged.refusals.push(refusal(
            Guard::Freeze,
            format!("a day outside of {from} to {to} ({reason})"),
            facts.today.to_string(),
        ));
    }
    match &facts.image {
        None => judged.not_checked.push("the image: this release was given no digest".to_owned()),
        Some((image, Look::Not(why))) => judged.not_checked.push(format!("whether {image} is there: {why}")),
        Some((image, Look::Seen(Image::Absent))) => {
            judged.refusals.push(refusal(Guard::Image, image.clone(), "nothing in the registry"));
        }
        Some((image, Look::Seen(Image::For(has)))) => {
            let missing: Vec<&str> = facts
                .architectures
                .iter()
                .filter(|wanted| !has.contains(wanted))
                .map(String::as_str)
                .collect();
            if !missing.is_empty() {
                let expected = format!("{image} for {}", missing.join(" and "));
                judged.refusals.push(refusal(
                    Guard::Image,
                    expected,
                    format!("it is for {}", has.join(" and ")),
                ));
            }
        }
    }
}

/// What makes pods, and what no watch can see of it; and nodes, if they cannot be seen.
fn unwatched(facts: &Facts, judged: &mut Judged) {
    if facts.architectures.is_empty() {
        let what = "of what architecture nodes are, and which are lost meanwhile: they may not be listed";
        judged.not_checked.push(what.to_owned());
    }
    for what in &facts.unwatched {
        judged.not_checked.push(format!("whether {what}"));
    }
}

fn whether_it_fits(facts: &Facts, refusals: &mut Vec<Refusal>) {
    for (object, why) in &facts.refused {
        refusals.push(refusal(Guard::DryRun, format!("the cluster to accept {object}"), why.clone()));
    }
    if facts.secret_bytes > MOST_SECRET {
        refusals.push(
            refusal(
                Guard::Size,
                format!("at most {MOST_SECRET} bytes for Helm to keep"),
                format!("about {}", facts.secret_bytes),
            )
            .but("take large files out of the chart (.helmignore)"),
        );
    }
    for hook in &facts.leftover_hooks {
        refusals.push(
            refusal(Guard::Hooks, "no hook of an earlier run", hook.clone())
                .but("look at it, then delete it: Helm would stumble over it"),
        );
    }
    for Scaled { autoscaler, target, replicas } in &facts.scaled {
        if let Some(replicas) = replicas {
            refusals.push(
                refusal(
                    Guard::Replicas,
                    format!("{target} without `replicas`, since the autoscaler {autoscaler} sets it"),
                    format!("replicas: {replicas}"),
                )
                .but("leave it out of the template when autoscaling is on"),
            );
        }
    }
    for (name, asks) in &facts.stuck_budgets {
        refusals.push(refusal(Guard::Budget, format!("the budget {name} to let a pod go"), asks.clone()));
    }
    for Tight { quota, resource, needed, left } in &facts.tight {
        refusals.push(refusal(
            Guard::Quota,
            format!("room for {needed} {resource} in the quota {quota}"),
            format!("room for {left}"),
        ));
    }
}

/// `main` of `refs/heads/main`, `v1.0.0` of `refs/tags/v1.0.0`.
fn short_ref(full: &str) -> &str {
    full.strip_prefix("refs/heads/").or_else(|| full.strip_prefix("refs/tags/")).unwrap_or(full)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use jiff::civil::date;
    use std::time::Duration;
    use xtask_core::config::{Budgets, Guards};

    pub(in crate::release) fn env() -> Environment {
        let second = Duration::from_secs(1);
        Environment {
            cluster: None,
            region: None,
            account: None,
            namespace: Some("hello".into()),
            values: None,
            approval: true,
            github_environment: "prod".into(),
            promoted_from: None,
            kubeconfig: None,
            context: None,
            cluster_uid: Some("u".into()),
            label: "prod".into(),
            registry: None,
            guards: Guards {
                refs: vec!["main".into(), "v*".into()],
                freeze: vec![Freeze {
                    from: date(2026, 12, 20),
                    to: date(2027, 1, 2),
                    reason: "holidays".into(),
                }],
            },
            budgets: Budgets { lock: second, apply: second, watch: second, soak: second },
        }
    }

    fn facts() -> Facts {
        Facts {
            cluster_uid: "u".into(),
            cloud: None,
            ci: false,
            namespace: Some(Some("prod".into())),
            labels: vec!["prod".into()],
            git_ref: Some("refs/heads/main".into()),
            today: date(2026, 11, 21),
            image: Some((
                "r/hello@sha256:00".into(),
                Look::Seen(Image::For(vec!["amd64".into(), "arm64".into()])),
            )),
            architectures: vec!["amd64".into()],
            refused: Vec::new(),
            secret_bytes: 10_000,
            leftover_hooks: Vec::new(),
            scaled: vec![Scaled {
                autoscaler: "hello".into(),
                target: "Deployment hello".into(),
                replicas: None,
            }],
            stuck_budgets: Vec::new(),
            tight: Vec::new(),
            unwatched: Vec::new(),
        }
    }

    #[test]
    fn nothing_is_refused_and_nothing_unchecked_when_all_is_as_it_should_be() {
        assert_eq!(judge(&env(), &facts()), Judged::default());
    }

    #[test]
    fn each_guard_refuses_with_what_it_expected_and_what_it_found() {
        type Change = fn(&mut Facts);
        let table: [(Change, &str); 17] = [
            (|f| f.cluster_uid = "v".into(), "cluster: expected the cluster u, found the cluster v"),
            (
                |f| f.namespace = None,
                "namespace: expected the namespace hello with the label environment=prod, found no such namespace",
            ),
            (|f| f.namespace = Some(None), "found no such label"),
            (|f| f.namespace = Some(Some("dev".into())), "found environment=dev"),
            (
                |f| f.labels.push("dev".into()),
                "values: expected objects with environment=prod, found environment=dev",
            ),
            (|f| f.git_ref = None, "ref: expected main or v*, found no branch and no tag"),
            (
                |f| f.git_ref = Some("refs/heads/topic".into()),
                "ref: expected main or v*, found refs/heads/topic",
            ),
            (
                |f| f.today = date(2026, 12, 20),
                "freeze: expected a day outside of 2026-12-20 to 2027-01-02 (holidays), found 2026-12-20",
            ),
            (|f| f.today = date(2027, 1, 2), "found 2027-01-02"),
            (
                |f| f.image = Some(("r/a@sha256:00".into(), Look::Seen(Image::Absent))),
                "image: expected r/a@sha256:00, found nothing in the registry",
            ),
            (
                |f| f.architectures.push("riscv64".into()),
                "image: expected r/hello@sha256:00 for riscv64, found it is for amd64 and arm64",
            ),
            (
                |f| f.refused.push(("Deployment hello".into(), "field is immutable".into())),
                "dry-run: expected the cluster to accept Deployment hello, found field is immutable",
            ),
            (|f| f.secret_bytes = 1 << 20, "size: expected at most 921600 bytes"),
            (
                |f| f.leftover_hooks.push("Job migrate".into()),
                "hooks: expected no hook of an earlier run, found Job migrate",
            ),
            (|f| f.scaled[0].replicas = Some(2), "replicas: expected Deployment hello without `replicas`"),
            (
                |f| f.stuck_budgets.push(("hello".into(), "maxUnavailable: 0".into())),
                "budget: expected the budget hello to let a pod go, found maxUnavailable: 0",
            ),
            (
                |f| f.tight.push(Tight { quota: "q".into(), resource: "pods".into(), needed: 1, left: 0 }),
                "quota: expected room for 1 pods in the quota q, found room for 0",
            ),
        ];
        for (change, expected) in table {
            let mut facts = facts();
            change(&mut facts);
            let judged = judge(&env(), &facts);
            let told: Vec<String> = judged.refusals.iter().map(ToString::to_string).collect();
            assert_eq!(told.len(), 1, "{expected}: {told:?}");
            assert!(told[0].contains(expected), "{expected}: {told:?}");
        }
    }

    #[test]
    fn what_could_not_be_looked_at_is_said() {
        let mut blind = facts();
        blind.image = Some(("r/a@sha256:00".into(), Look::Not("the registry asks who we are".into())));
        blind.labels.clear();
        blind.architectures.clear();
        blind.unwatched.push("CronJob tidy works: its pods come later".into());
        let env = Environment { cluster_uid: None, account: Some("111122223333".into()), ..env() };
        let not = || Look::Not("no AWS credentials were found".to_owned());
        blind.cloud = Some(Cloud { account: not(), cluster: None, server: "https://c".into() });
        let judged = judge(&env, &blind);
        assert!(judged.refusals.is_empty());
        assert_eq!(judged.not_checked.len(), 7, "{:?}", judged.not_checked);
        blind.image = None;
        assert!(judge(&env, &blind).not_checked.iter().any(|what| what.contains("no digest")));
    }

    #[test]
    fn a_tag_is_matched_by_its_own_name_and_a_branch_of_that_name_in_a_folder_is_not() {
        for (full, right) in [
            ("refs/tags/v1.2.3", true),
            ("refs/heads/main", true),
            ("refs/heads/x/main", false),
            ("refs/pull/1/merge", false),
        ] {
            let facts = Facts { git_ref: Some(full.into()), ..facts() };
            assert_eq!(judge(&env(), &facts).refusals.is_empty(), right, "{full}");
        }
    }
}
