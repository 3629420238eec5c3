//! The rules by which a rollout is bad: a closed list, each with how long or how often its sign must be seen. What the signs are is
//! in `signs`; when a sign decides is in `state`.

use crate::rollout::seen::Millis;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// A rule. The numbers are what operators see; they are never given to another rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Rule {
    /// The image's name cannot be one, or it may not be pulled.
    F1,
    /// The registry says that the image is not there, or not for this platform, or not for us.
    F2,
    /// The image cannot be pulled for another reason.
    F3,
    /// The container's configuration is missing.
    F4,
    /// The container cannot be created or started.
    F5,
    /// The container ends by itself.
    F6,
    /// The container is killed because its liveness or startup probe fails.
    F7,
    /// No node takes the pod.
    F8,
    /// The pods of the new revision may not be created.
    F9,
    /// A volume cannot be mounted.
    F10,
    /// It runs, and is not ready after all the time that its probes allow.
    F11,
    /// The controller of a Deployment or a Job has given up.
    F12,
    /// Nothing has changed for a long time.
    F13,
    /// Somebody else has changed it.
    F14,
    /// The time for all of it is spent.
    F15,
}

/// How long or how often a sign is seen before it decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grace {
    /// For so many milliseconds without a break.
    For(Millis),
    /// So many times.
    Times(u32),
}

impl Rule {
    /// All of them.
    pub const ALL: [Rule; 15] = [
        Rule::F1,
        Rule::F2,
        Rule::F3,
        Rule::F4,
        Rule::F5,
        Rule::F6,
        Rule::F7,
        Rule::F8,
        Rule::F9,
        Rule::F10,
        Rule::F11,
        Rule::F12,
        Rule::F13,
        Rule::F14,
        Rule::F15,
    ];

    /// The name that operators see.
    pub fn name(self) -> &'static str {
        match self {
            Rule::F1 => "F1",
            Rule::F2 => "F2",
            Rule::F3 => "F3",
            Rule::F4 => "F4",
            Rule::F5 => "F5",
            Rule::F6 => "F6",
            Rule::F7 => "F7",
            Rule::F8 => "F8",
            Rule::F9 => "F9",
            Rule::F10 => "F10",
            Rule::F11 => "F11",
            Rule::F12 => "F12",
            Rule::F13 => "F13",
            Rule::F14 => "F14",
            Rule::F15 => "F15",
        }
    }

    /// What it is about, in a few words.
    pub fn explanation(self) -> &'static str {
        match self {
            Rule::F1 => "the image's name is invalid, or it may not be pulled",
            Rule::F2 => "the registry does not have the image for us and this platform",
            Rule::F3 => "the image cannot be pulled",
            Rule::F4 => "a ConfigMap or Secret of the container is missing",
            Rule::F5 => "the container cannot be created or started",
            Rule::F6 => "the container ends by itself",
            Rule::F7 => "the liveness or startup probe has the container killed",
            Rule::F8 => "no node takes the pod",
            Rule::F9 => "pods may not be created: quota, admission or permission",
            Rule::F10 => "a volume cannot be mounted",
            Rule::F11 => "not ready after all the time that its probes allow",
            Rule::F12 => "the controller of the Deployment or Job gave up",
            Rule::F13 => "nothing has changed for a long time",
            Rule::F14 => "somebody else changed it",
            Rule::F15 => "the time for the rollout is spent",
        }
    }

    /// Its usual grace. Some signs of a rule have a grace of their own, which is said where they are read; what the budgets of F11
    /// and F15 are is said by the pod and by the target.
    pub fn grace(self) -> Grace {
        match self {
            Rule::F1 | Rule::F11 | Rule::F12 | Rule::F14 | Rule::F15 => Grace::For(0),
            Rule::F2 | Rule::F5 | Rule::F6 | Rule::F7 => Grace::Times(2),
            // About four tries: registries that throttle or time out come back.
            Rule::F3 => Grace::For(90_000),
            // A ConfigMap of the same release may come a moment later.
            Rule::F4 => Grace::For(15_000),
            // An autoscaler brings a node in two to three minutes.
            Rule::F8 => Grace::For(180_000),
            // A PriorityClass or a quota of the same release may come a moment later.
            Rule::F9 => Grace::For(20_000),
            Rule::F10 => Grace::For(120_000),
            Rule::F13 => Grace::For(240_000),
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Graces that differ from the usual ones, by rule.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Graces(BTreeMap<Rule, Grace>);

/// Why a grace cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not RULE=TIME or RULE=TIMESx, such as F9=40s or F6=3x")]
pub struct BadGrace(pub String);

impl Graces {
    /// These, and `other` where both speak.
    #[must_use]
    pub fn and(mut self, other: &Graces) -> Graces {
        self.0.extend(other.0.iter().map(|(rule, grace)| (*rule, *grace)));
        self
    }

    /// What holds for a sign that usually has this grace.
    pub(crate) fn of(&self, rule: Rule, usual: Grace) -> Grace {
        self.0.get(&rule).copied().unwrap_or(usual)
    }
}

impl FromStr for Graces {
    type Err = BadGrace;

    /// One grace: `F9=40s`, `F3=500ms`, `F8=5m`, `F6=3x`.
    fn from_str(text: &str) -> Result<Self, BadGrace> {
        let bad = || BadGrace(text.to_owned());
        let (name, grace) = text.split_once('=').ok_or_else(bad)?;
        let rule = Rule::ALL.into_iter().find(|rule| rule.name() == name).ok_or_else(bad)?;
        let unit = grace.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
        let number: u32 = grace[..unit].parse().map_err(|_| bad())?;
        let grace = match &grace[unit..] {
            "ms" => Grace::For(number.into()),
            "s" => Grace::For(Millis::from(number) * 1000),
            "m" => Grace::For(Millis::from(number) * 60_000),
            "x" if number > 0 => Grace::Times(number),
            _ => return Err(bad()),
        };
        // A time for what is counted, or a count for what lasts, would never be looked at.
        let same_kind = matches!(
            (grace, rule.grace()),
            (Grace::For(_), Grace::For(_)) | (Grace::Times(_), Grace::Times(_))
        );
        if !same_kind {
            return Err(bad());
        }
        Ok(Graces(BTreeMap::from([(rule, grace)])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_order_and_each_is_there_once() {
        let names: Vec<String> = (1..=15).map(|number| format!("F{number}")).collect();
        assert_eq!(Rule::ALL.map(Rule::name).as_slice(), names);
    }

    #[test]
    fn the_operations_guide_has_the_rules_as_they_are() {
        let rows = Rule::ALL.map(|rule| {
            let grace = match (rule, rule.grace()) {
                (Rule::F11, _) => "what its probes allow, and 5 s or a period more".to_owned(),
                (Rule::F15, _) => "the budget of the environment".to_owned(),
                (_, Grace::For(0)) => "none".to_owned(),
                (_, Grace::For(time)) => format!("{} s", time / 1000),
                (_, Grace::Times(times)) => format!("{times} times"),
            };
            format!("| {rule} | {} | {grace} |\n", rule.explanation())
        });
        let table = format!("| rule | what it says | grace |\n| --- | --- | --- |\n{}", rows.concat());
        let guide = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../OPERATIONS.md");
        let guide = std::fs::read_to_string(guide).unwrap();
        assert!(guide.contains(&table), "put this into OPERATIONS.md:\n{table}");
    }

    #[test]
    fn graces_are_read_and_the_later_one_holds() {
        let graces: Graces = "F9=40s".parse().unwrap();
        let graces = graces.and(&"F9=500ms".parse().unwrap()).and(&"F6=3x".parse().unwrap());
        assert_eq!(graces.of(Rule::F9, Grace::For(1)), Grace::For(500));
        assert_eq!(graces.of(Rule::F6, Grace::Times(2)), Grace::Times(3));
        assert_eq!(graces.of(Rule::F8, Grace::For(1)), Grace::For(1));
    }

    #[test]
    fn what_is_no_grace_is_refused_with_an_example() {
        for bad in
            ["", "F9", "F9=", "F9=40", "F9=40h", "F99=1s", "f9=1s", "F6=0x", "F6=10s", "F9=3x", "F9=-1s"]
        {
            let error = bad.parse::<Graces>().unwrap_err().to_string();
            assert!(error.contains("F9=40s"), "{bad}: {error}");
        }
    }
}
