//! Whether what GitHub says is an approval of this plan. Pure.
//!
//! GitHub's history of reviews says who said what about which environments in which run. It says neither when nor in which attempt: so an
//! approval counts only in the first one.

use super::approved::Approvable;
use super::guards::{Guard, Refusal, refusal};
use crate::github::{Gate, Told};
use serde_json::Value;

/// An approval that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Approval {
    /// Who gave it.
    pub(crate) by: String,
    /// What could not be looked at.
    pub(crate) not_checked: Option<String>,
}

/// Whether this is the plan that was shown. `kept` is that plan as it was written down then, if it was and is still there.
pub(crate) fn shown(plan: &impl Approvable, digest: &str, kept: Option<&[u8]>) -> Result<(), Refusal> {
    let now = plan.digest();
    if now == digest {
        return Ok(());
    }
    let changed = kept.map(|kept| changes(kept, &plan.bytes())).filter(|changes| !changes.is_empty());
    let why = changed.map_or_else(String::new, |changes| format!(" ({})", changes.join("; ")));
    Err(refusal(
        Guard::Approval,
        format!("the plan {digest}, which was shown"),
        format!("the plan {now}{why}"),
    )
    .but("the plan changed since it was approved: make a new one, and have that approved"))
}

/// The fields in which two plans differ.
fn changes(before: &[u8], now: &[u8]) -> Vec<String> {
    let (Ok(Value::Object(before)), Ok(Value::Object(now))) =
        (serde_json::from_slice(before), serde_json::from_slice(now))
    else {
        return Vec::new();
    };
    let differ = now.iter().filter(|(name, value)| before.get(*name) != Some(value));
    let told = |(name, value): (&String, &Value)| {
        let old = before.get(name).unwrap_or(&Value::Null);
        match (old, value) {
            (Value::Array(_) | Value::Object(_), _) | (_, Value::Array(_) | Value::Object(_)) => {
                format!("{name} differ")
            }
            (old, value) => format!("{name}: {old} then, {value} now"),
        }
    };
    differ.map(told).collect()
}

/// Why nothing is approved without the digest of a plan that somebody has seen.
pub(crate) fn not_shown() -> Refusal {
    refusal(Guard::Approval, "--plan DIGEST, of the plan that the reviewers were shown", "no --plan")
        .but("make the plan with --dry-run in an earlier job of the same run, and hand its output `plan` on")
}

/// Why nothing is approved without a token.
pub(crate) fn no_token() -> Refusal {
    refusal(Guard::Approval, "a token in GITHUB_TOKEN, to ask who approved this run", "none").but(
        "give the step `env: { GITHUB_TOKEN: \"${{ github.token }}\" }` and the job `permissions: { actions: read }`",
    )
}

/// Whether GitHub's words are an approval of `plan` for its `environment`, for the job of this run and `attempt`.
pub(crate) fn judge(
    plan: &impl Approvable,
    environment: &str,
    (run_id, attempt): (u64, u64),
    told: &Told,
) -> Result<Approval, Refusal> {
    let no = |expected: String, found: String, remedy: &str| {
        Err(refusal(Guard::Approval, expected, found).but(remedy))
    };
    let run = &told.run;
    let again = "start a new run, and have that approved";
    if run.id != run_id {
        return no(format!("the run {run_id}"), format!("the run {}", run.id), again);
    }
    if run.status == "completed" {
        return no(format!("the run {run_id} to be under way"), "that it is over".to_owned(), again);
    }
    if (run.run_attempt, attempt) != (1, 1) {
        let found = format!("attempt {attempt}, and attempt {} is the newest", run.run_attempt);
        let remedy =
            "GitHub does not say which attempt an approval was for: start a new run, and have that approved";
        return no("the first attempt of its run".to_owned(), found, remedy);
    }
    if plan.commit() != Some(run.head_sha.as_str()) {
        let found = plan.commit().unwrap_or("an unknown commit").to_owned();
        let remedy = "check out the run's own commit, and change nothing in it";
        return no(format!("the commit {} of this run", run.head_sha), found, remedy);
    }
    if told.gate == Gate::Open {
        let expected = format!("GitHub's environment {environment} to demand reviewers");
        return no(
            expected,
            "that it demands none".to_owned(),
            "add required reviewers in the repository's settings",
        );
    }
    let ours = |names: &[String]| names.iter().any(|name| name.eq_ignore_ascii_case(environment));
    let expected = format!("an approval of GitHub's environment {environment} in the run {run_id}");
    let about: Vec<_> = told.reviews.iter().filter(|review| ours(&review.environments)).collect();
    if let Some(rejected) = about.iter().find(|review| review.state == "rejected") {
        return no(expected, format!("that {} rejected it", rejected.by), again);
    }
    let Some(approved) = about.iter().find(|review| review.state == "approved") else {
        let others: Vec<String> = told
            .reviews
            .iter()
            .map(|review| format!("{} of {}", review.state, review.environments.join(" and ")))
            .collect();
        let found = if others.is_empty() { "no review".to_owned() } else { others.join(", ") };
        let remedy =
            "the job that deploys names the environment under `environment`, and waits for its reviewers";
        return no(expected, found, remedy);
    };
    let not_checked = match &told.gate {
        Gate::Unknown(why) => {
            Some(format!("whether GitHub's environment {environment} demands reviewers: {why}"))
        }
        Gate::Reviewers | Gate::Open => None,
    };
    Ok(Approval { by: approved.by.clone(), not_checked })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::github::{Review, Run};
    use crate::release::approved::tests::plan;
    use crate::release::plan::Plan;

    fn review(state: &str, environment: &str) -> Review {
        Review { state: state.into(), by: "octocat".into(), environments: vec![environment.into()] }
    }

    fn told() -> Told {
        Told {
            run: Run { id: 7, head_sha: "abc".into(), run_attempt: 1, status: "in_progress".into() },
            reviews: vec![review("approved", "Prod")],
            gate: Gate::Reviewers,
        }
    }

    #[test]
    fn an_approval_of_this_environment_in_this_run_for_this_commit_holds() {
        let approval = Approval { by: "octocat".into(), not_checked: None };
        assert_eq!(judge(&plan(), "prod", (7, 1), &told()), Ok(approval));
        let mut blind = told();
        blind.gate = Gate::Unknown("GitHub answered 403".into());
        let found = judge(&plan(), "prod", (7, 1), &blind).unwrap();
        assert!(found.not_checked.unwrap().contains("demands reviewers: GitHub answered 403"));
    }

    #[test]
    fn every_other_word_is_refused_with_what_was_expected_and_what_was_found() {
        type Change = fn(&mut Told);
        let table: [(Change, u64, &str); 13] = [
            (
                |t| t.reviews.clear(),
                1,
                "an approval of GitHub's environment prod in the run 7, found no review",
            ),
            (|t| t.reviews = vec![review("rejected", "prod")], 1, "found that octocat rejected it"),
            (|t| t.reviews.push(review("rejected", "prod")), 1, "found that octocat rejected it"),
            (|t| t.reviews = vec![review("pending", "prod")], 1, "found pending of prod"),
            (|t| t.reviews = vec![review("approved", "dev")], 1, "found approved of dev"),
            (|t| t.reviews = vec![review("approved", "prod2")], 1, "found approved of prod2"),
            (|t| t.run.id = 8, 1, "expected the run 7, found the run 8"),
            (|t| t.run.head_sha = "abd".into(), 1, "expected the commit abd of this run, found abc"),
            (|t| t.run.status = "completed".into(), 1, "to be under way, found that it is over"),
            (|t| t.run.run_attempt = 2, 1, "found attempt 1, and attempt 2 is the newest"),
            (|t| t.run.run_attempt = 2, 2, "found attempt 2, and attempt 2 is the newest"),
            (|_| {}, 2, "found attempt 2, and attempt 1 is the newest"),
            (|t| t.gate = Gate::Open, 1, "to demand reviewers, found that it demands none"),
        ];
        for (change, attempt, expected) in table {
            let mut told = told();
            change(&mut told);
            let refusal = judge(&plan(), "prod", (7, attempt), &told).unwrap_err();
            assert!(refusal.to_string().contains(expected), "{expected}: {refusal}");
            assert!(refusal.remedy.is_some(), "{refusal}");
        }
        for commit in [None, Some("abc-dirty".to_owned())] {
            let plan = Plan { commit, ..plan() };
            assert!(judge(&plan, "prod", (7, 1), &told()).is_err(), "{:?}", plan.commit);
        }
    }

    #[test]
    fn a_plan_that_is_another_one_by_now_is_refused_and_what_changed_is_named_if_that_is_known() {
        let before = plan();
        assert_eq!(shown(&before, &before.digest(), None), Ok(()));
        let now = Plan { revision: 9, changes: vec!["~ Deployment hello".into()], ..plan() };
        let refusal = shown(&now, &before.digest(), Some(&before.bytes())).unwrap_err().to_string();
        assert!(
            refusal.contains(&format!("{} (changes differ; revision: 8 then, 9 now)", now.digest())),
            "{refusal}"
        );
        let refusal = shown(&now, &before.digest(), None).unwrap_err().to_string();
        assert!(refusal.contains("the plan changed since it was approved"), "{refusal}");
        for kept in [&b""[..], b"[]", b"{", b"null"] {
            assert!(shown(&now, &before.digest(), Some(kept)).is_err());
        }
        assert!(shown(&before, &before.digest()[..12], None).is_err(), "a part of a digest is none");
    }
}
