//! Whether what is about to happen to infrastructure may happen: how much may be destroyed, and what may be open to the world.

use super::thresholds::{Strictness, judge};
use crate::config::Limits;
use crate::facts::{Action, Change, Changes};
use crate::outcome::{Finding, Severity, Standing, Verdict};
use jiff::civil::Date;

/// Judges changes before they are made.
///
/// Resources that would be destroyed, by themselves or to be replaced, all block as soon as there is one more than
/// `limits.terraform.max_destroy`: nobody can say which of them is the one too many. No waiver covers them, because a waiver
/// outlives the change that it was written for. What would be open to the world blocks unless it is waived.
pub fn judge_plan(changes: &Changes, limits: &Limits, today: Date) -> Verdict {
    let destroyed = changes.resources.iter().filter(|change| destroys(change.action)).count();
    let allowed = usize::try_from(limits.terraform.max_destroy).unwrap_or(usize::MAX);
    let standing = if destroyed > allowed { Standing::Blocks } else { Standing::Noted };
    let mut findings: Vec<Finding> =
        changes.resources.iter().filter_map(|change| finding(change, standing)).collect();
    findings.extend(judge(&changes.exposures, Strictness::Everything, limits, today).into_findings());
    Verdict::on(findings)
}

fn destroys(action: Action) -> bool {
    match action {
        Action::Delete | Action::Replace => true,
        Action::Create | Action::Update | Action::Forget => false,
    }
}

/// What there is to say about a change. Resources that are made or updated are what a plan is for, and no finding.
fn finding(change: &Change, destroyed: Standing) -> Option<Finding> {
    let (rule, severity, standing, would) = match change.action {
        Action::Create | Action::Update => return None,
        Action::Delete => ("plan-destroys", Severity::High, destroyed, "would be destroyed"),
        Action::Replace => ("plan-replaces", Severity::High, destroyed, "would be destroyed and made anew"),
        Action::Forget => ("plan-forgets", Severity::Low, Standing::Noted, "would stay, managed by nobody"),
    };
    let because = change.because.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
    Some(Finding {
        standing,
        rule: rule.to_owned(),
        severity,
        message: format!("{} {would}{because}", change.address),
        file: None,
        line: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{TerraformLimits, Timeouts, Vulnerabilities, Waiver};
    use crate::facts::Observation;
    use jiff::civil::date;
    use std::collections::BTreeMap;
    use std::time::Duration;

    const TODAY: Date = date(2026, 11, 21);

    fn limits(max_destroy: u32, waived: &[&str]) -> Limits {
        let waiver = |id: &&str| Waiver {
            id: (*id).to_owned(),
            owner: "team-a".into(),
            expires: date(2026, 12, 31),
            reason: "a demonstration".into(),
        };
        Limits {
            vulnerabilities: Vulnerabilities { reject: Vec::new(), ignore_unfixed: false },
            waivers: waived.iter().map(waiver).collect(),
            timeouts: Timeouts { default: Duration::from_secs(1), stages: BTreeMap::new() },
            terraform: TerraformLimits { max_destroy },
        }
    }

    fn changes(actions: &[Action]) -> Changes {
        let resources = actions
            .iter()
            .enumerate()
            .map(|(index, action)| Change { address: format!("r.{index}"), action: *action, because: None })
            .collect();
        Changes { resources, exposures: Vec::new() }
    }

    #[test]
    fn one_destroyed_resource_more_than_allowed_blocks_them_all() {
        use Action::*;
        use Standing::*;
        let table: [(&[Action], u32, &[Standing]); 8] = [
            (&[], 0, &[]),
            (&[Create, Update], 0, &[]),
            (&[Delete], 0, &[Blocks]),
            (&[Replace], 0, &[Blocks]),
            (&[Delete], 1, &[Noted]),
            (&[Delete, Replace], 1, &[Blocks, Blocks]),
            (&[Delete, Replace, Create], 2, &[Noted, Noted]),
            (&[Forget], 0, &[Noted]),
        ];
        for (actions, max_destroy, expected) in table {
            let findings = judge_plan(&changes(actions), &limits(max_destroy, &[]), TODAY).into_findings();
            let standings: Vec<Standing> = findings.iter().map(|finding| finding.standing).collect();
            assert_eq!(standings, expected, "{actions:?} with {max_destroy}");
        }
    }

    #[test]
    fn a_destroyed_resource_is_named_with_the_reason_and_no_waiver_covers_it() {
        let change = Change {
            address: "aws_ecr_repository.hello".into(),
            action: Action::Replace,
            because: Some("`name` cannot change in place".into()),
        };
        let changes = Changes { resources: vec![change], exposures: Vec::new() };
        let verdict = judge_plan(&changes, &limits(0, &["plan-replaces"]), TODAY);
        assert!(verdict.rejects());
        assert_eq!(
            verdict.into_findings()[0].message,
            "aws_ecr_repository.hello would be destroyed and made anew: `name` cannot change in place"
        );
    }

    #[test]
    fn what_is_open_to_the_world_blocks_however_mild_unless_it_is_waived_today() {
        let open = Observation::new("public-ingress:a", Severity::Low, "open");
        let changes = Changes { resources: Vec::new(), exposures: vec![open] };
        let standing = |waived: &[&str], today| {
            judge_plan(&changes, &limits(9, waived), today).into_findings()[0].standing
        };
        assert_eq!(standing(&[], TODAY), Standing::Blocks);
        assert_eq!(standing(&["public-ingress:b"], TODAY), Standing::Blocks);
        assert_eq!(standing(&["public-ingress:a"], TODAY), Standing::Waived);
        assert_eq!(standing(&["public-ingress:a"], date(2027, 1, 1)), Standing::Blocks);
    }
}
