//! Which observations block: by severity, unless a waiver of today covers the rule.

use crate::config::{Limits, Vulnerabilities, Waiver};
use crate::facts::Observation;
use crate::outcome::{Finding, Severity, Standing, Verdict};
use jiff::civil::Date;

/// How much a check lets pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strictness {
    /// Severities that `limits.vulnerabilities` rejects block; so does an unknown one, because nobody can say that it is low.
    Scanner,
    /// Medium and worse blocks: a linter's errors and warnings, not its hints.
    Linter,
    /// Everything blocks.
    Everything,
}

/// Judges observations.
pub fn judge(observations: &[Observation], strictness: Strictness, limits: &Limits, today: Date) -> Verdict {
    let findings = observations.iter().map(|seen| Finding {
        standing: standing(seen, strictness, limits, today),
        rule: seen.rule.clone(),
        severity: seen.severity,
        message: seen.message.clone(),
        file: seen.file.clone(),
        line: seen.line,
    });
    Verdict::on(findings.collect())
}

fn standing(seen: &Observation, strictness: Strictness, limits: &Limits, today: Date) -> Standing {
    let blocks = match strictness {
        Strictness::Scanner => blocks_scan(seen, &limits.vulnerabilities),
        Strictness::Linter => seen.severity >= Severity::Medium || seen.severity == Severity::Unknown,
        Strictness::Everything => true,
    };
    match (blocks, limits.waivers.iter().any(|waiver| covers(waiver, seen, today))) {
        (false, _) => Standing::Noted,
        (true, true) => Standing::Waived,
        (true, false) => Standing::Blocks,
    }
}

fn blocks_scan(seen: &Observation, limits: &Vulnerabilities) -> bool {
    if limits.ignore_unfixed && seen.fixed == Some(false) {
        return false;
    }
    seen.severity == Severity::Unknown || limits.reject.contains(&seen.severity)
}

/// A waiver holds through its last day.
fn covers(waiver: &Waiver, seen: &Observation, today: Date) -> bool {
    waiver.id == seen.rule && today <= waiver.expires
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{TerraformLimits, Timeouts};
    use jiff::civil::date;
    use std::collections::BTreeMap;
    use std::time::Duration;

    fn limits(reject: &[Severity], ignore_unfixed: bool) -> Limits {
        Limits {
            vulnerabilities: Vulnerabilities { reject: reject.to_vec(), ignore_unfixed },
            waivers: vec![Waiver {
                id: "CVE-1".into(),
                owner: "team-a".into(),
                expires: date(2026, 12, 31),
                reason: "not reachable".into(),
            }],
            timeouts: Timeouts { default: Duration::from_secs(1), stages: BTreeMap::new() },
            terraform: TerraformLimits { max_destroy: 0 },
        }
    }

    fn seen(rule: &str, severity: Severity, fixed: Option<bool>) -> Observation {
        Observation { fixed, ..Observation::new(rule, severity, "message") }
    }

    fn standing_of(seen: &Observation, strictness: Strictness, limits: &Limits, today: Date) -> Standing {
        judge(std::slice::from_ref(seen), strictness, limits, today).into_findings()[0].standing
    }

    #[test]
    fn severities_meet_the_limit_of_each_strictness() {
        use Severity::*;
        use Standing::*;
        let limits = limits(&[High, Critical], false);
        let table = [
            (
                Strictness::Scanner,
                [(Unknown, Blocks), (Low, Noted), (Medium, Noted), (High, Blocks), (Critical, Blocks)],
            ),
            (
                Strictness::Linter,
                [(Unknown, Blocks), (Low, Noted), (Medium, Blocks), (High, Blocks), (Critical, Blocks)],
            ),
            (
                Strictness::Everything,
                [(Unknown, Blocks), (Low, Blocks), (Medium, Blocks), (High, Blocks), (Critical, Blocks)],
            ),
        ];
        for (strictness, row) in table {
            for (severity, expected) in row {
                let standing =
                    standing_of(&seen("R", severity, None), strictness, &limits, date(2026, 11, 21));
                assert_eq!(standing, expected, "{strictness:?} {severity}");
            }
        }
    }

    #[test]
    fn what_cannot_be_fixed_is_only_noted_if_the_limits_say_so() {
        let (strict, mild) = (limits(&[Severity::High], false), limits(&[Severity::High], true));
        let unfixed = seen("R", Severity::High, Some(false));
        let fixed = seen("R", Severity::High, Some(true));
        let other = seen("R", Severity::High, None);
        let today = date(2026, 11, 21);
        assert_eq!(standing_of(&unfixed, Strictness::Scanner, &strict, today), Standing::Blocks);
        assert_eq!(standing_of(&unfixed, Strictness::Scanner, &mild, today), Standing::Noted);
        assert_eq!(standing_of(&fixed, Strictness::Scanner, &mild, today), Standing::Blocks);
        assert_eq!(standing_of(&other, Strictness::Scanner, &mild, today), Standing::Blocks);
    }

    #[test]
    fn a_waiver_covers_its_rule_through_its_last_day_and_no_other_rule() {
        let limits = limits(&[Severity::High], false);
        let covered = seen("CVE-1", Severity::High, None);
        let standing = |today| standing_of(&covered, Strictness::Scanner, &limits, today);
        assert_eq!(standing(date(2026, 12, 31)), Standing::Waived);
        assert_eq!(standing(date(2027, 1, 1)), Standing::Blocks);
        let other = seen("CVE-10", Severity::High, None);
        assert_eq!(standing_of(&other, Strictness::Scanner, &limits, date(2026, 12, 31)), Standing::Blocks);
        let low = seen("CVE-1", Severity::Low, None);
        assert_eq!(standing_of(&low, Strictness::Scanner, &limits, date(2026, 12, 31)), Standing::Noted);
    }
}
