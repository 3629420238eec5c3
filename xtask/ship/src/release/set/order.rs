//! Which releases of a set come after which. Pure.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use xtask_core::config::Service;
use xtask_core::ids::ServiceName;

/// The members of a set, each with all those that come before it. It has no circle, and names members only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    try_from = "BTreeMap<ServiceName, BTreeSet<ServiceName>>",
    into = "BTreeMap<ServiceName, BTreeSet<ServiceName>>"
)]
pub(crate) struct Order {
    before: BTreeMap<ServiceName, BTreeSet<ServiceName>>,
    wave: BTreeMap<ServiceName, usize>,
}

impl Order {
    /// The order of these services. One that comes after another by way of a third keeps its place without the third.
    pub(crate) fn of(
        services: &BTreeMap<ServiceName, Service>,
        members: &[ServiceName],
    ) -> Result<Order, String> {
        let chosen: BTreeSet<&ServiceName> = members.iter().collect();
        let before = chosen.iter().map(|name| {
            let mut found = BTreeSet::new();
            let mut open = vec![*name];
            while let Some(next) = open.pop() {
                let after = services.get(next).map(|service| service.after.as_slice()).unwrap_or_default();
                open.extend(after.iter().filter(|next| found.insert((*next).clone())));
            }
            found.retain(|other| chosen.contains(other));
            ((*name).clone(), found)
        });
        Order::try_from(before.collect::<BTreeMap<_, _>>())
    }

    /// The members, by name.
    pub(crate) fn members(&self) -> impl Iterator<Item = &ServiceName> {
        self.before.keys()
    }

    /// In which wave a member goes forward, from 1.
    pub(crate) fn wave(&self, name: &ServiceName) -> usize {
        self.wave.get(name).copied().unwrap_or_default()
    }

    /// How many waves there are.
    pub(crate) fn waves(&self) -> usize {
        self.wave.values().copied().max().unwrap_or_default()
    }

    /// Those that come before a member.
    pub(crate) fn before(&self, name: &ServiceName) -> impl Iterator<Item = &ServiceName> {
        self.before.get(name).into_iter().flatten()
    }

    /// Those that come after a member.
    pub(crate) fn after(&self, name: &ServiceName) -> impl Iterator<Item = &ServiceName> {
        self.before.iter().filter(|(_, before)| before.contains(name)).map(|(after, _)| after)
    }
}

impl TryFrom<BTreeMap<ServiceName, BTreeSet<ServiceName>>> for Order {
    type Error = String;

    fn try_from(before: BTreeMap<ServiceName, BTreeSet<ServiceName>>) -> Result<Order, String> {
        let mut wave: BTreeMap<ServiceName, usize> = BTreeMap::new();
        for number in 1.. {
            let ready = |(name, before): &(&ServiceName, &BTreeSet<ServiceName>)| {
                !wave.contains_key(*name) && before.iter().all(|before| wave.contains_key(before))
            };
            let ready: Vec<ServiceName> = before.iter().filter(ready).map(|(name, _)| name.clone()).collect();
            if ready.is_empty() {
                break;
            }
            wave.extend(ready.into_iter().map(|name| (name, number)));
        }
        match before.keys().find(|name| !wave.contains_key(*name)) {
            Some(name) => {
                Err(format!("{name} comes after itself, or after something that is not of the set"))
            }
            None => Ok(Order { before, wave }),
        }
    }
}

impl From<Order> for BTreeMap<ServiceName, BTreeSet<ServiceName>> {
    fn from(order: Order) -> Self {
        order.before
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn name(text: &str) -> ServiceName {
        ServiceName::try_from(text.to_owned()).unwrap()
    }

    /// `c: a b` is `c` after `a` and `b`.
    pub(crate) fn order(text: &str) -> Order {
        let line = |line: &str| {
            let (of, before) = line.split_once(':').unwrap();
            (name(of.trim()), before.split_whitespace().map(name).collect())
        };
        let before: BTreeMap<_, BTreeSet<_>> = text.split(',').map(line).collect();
        Order::try_from(before).unwrap()
    }

    #[test]
    fn a_member_is_one_wave_after_the_last_of_those_before_it() {
        let order = order("a:, b: a, c: a, d: b c a, e:");
        let waves: Vec<usize> = order.members().map(|name| order.wave(name)).collect();
        assert_eq!(waves, [1, 2, 2, 3, 1]);
        assert_eq!(order.waves(), 3);
        assert_eq!(order.after(&name("a")).map(ServiceName::as_str).collect::<Vec<_>>(), ["b", "c", "d"]);
    }

    #[test]
    fn what_a_cluster_keeps_is_read_again_and_a_circle_or_a_stranger_in_it_is_refused() {
        let order = order("a:, b: a");
        let text = serde_json::to_string(&order).unwrap();
        assert_eq!(serde_json::from_str::<Order>(&text).unwrap(), order);
        for wrong in [r#"{"a":["b"],"b":["a"]}"#, r#"{"a":["a"]}"#, r#"{"a":["x"]}"#] {
            assert!(serde_json::from_str::<Order>(wrong).is_err(), "{wrong}");
        }
    }
}
