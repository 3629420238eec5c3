//! What a set would do: the plans of all its members, fixed before anything is asked or touched. One approval is for all of them.

use super::order::Order;
use crate::helm::Chart;
use crate::release::approved::Approvable;
use crate::release::deploy::{self, Image};
use crate::release::error::ReleaseError;
use crate::release::guards::Refusal;
use crate::release::open::Cx;
use crate::release::plan::Plan;
use futures_util::future::join_all;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write;
use xtask_core::ids::ServiceName;

/// The plans of a set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct SetPlan {
    /// The environment's name.
    pub(crate) environment: String,
    /// In which order.
    pub(crate) order: Order,
    /// What each does.
    pub(crate) plans: BTreeMap<ServiceName, Plan>,
}

impl Approvable for SetPlan {
    fn environment(&self) -> &str {
        &self.environment
    }

    fn commit(&self) -> Option<&str> {
        // One run plans all of them, and it has one commit.
        self.plans.values().next().and_then(Plan::commit)
    }

    fn subject(&self) -> &str {
        // No service is called so.
        "@set"
    }

    fn bytes(&self) -> Vec<u8> {
        // It has no maps with keys other than text, so it is always JSON.
        serde_json::to_vec(self).unwrap_or_default()
    }

    fn text(&self) -> String {
        let (digest, waves) = (self.digest(), self.order.waves());
        let mut text = format!("set {}: {} services in {waves} waves\n", &digest[..12], self.plans.len());
        for (name, plan) in &self.plans {
            let after: Vec<&str> = self.order.before(name).map(|before| before.as_str()).collect();
            let after =
                if after.is_empty() { String::new() } else { format!(", after {}", after.join(" and ")) };
            let _ = writeln!(text, "{name}: wave {}{after}", self.order.wave(name));
            text.push_str(&plan.text());
        }
        text
    }
}

/// Plans all members. Everything that any guard refuses is told at once.
pub(crate) async fn plan(
    order: Order,
    members: &BTreeMap<ServiceName, (&Cx, Option<Image>)>,
) -> Result<(SetPlan, BTreeMap<ServiceName, Chart>), ReleaseError> {
    let planned = members.iter().map(|(name, (cx, image))| async move {
        let chart = cx.chart(image.as_ref().map(|image| image.digest.as_str()))?;
        let plan = deploy::plan(cx, &cx.journal().await?, &chart, image.as_ref()).await?;
        Ok((name.clone(), plan, chart))
    });
    let (mut plans, mut charts, mut refused) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
    let named: Vec<_> = members.keys().zip(join_all(planned).await).collect();
    for (name, planned) in named {
        match planned {
            Ok((name, plan, chart)) => {
                plans.insert(name.clone(), plan);
                charts.insert(name, chart);
            }
            Err(ReleaseError::Refused(refusals)) => refused.push((name, refusals)),
            Err(error) => return Err(error.of(name)),
        }
    }
    if !refused.is_empty() {
        return Err(ReleaseError::RefusedSet(together(refused)));
    }
    let environment = members.values().next().map(|(cx, _)| cx.env_name.clone()).unwrap_or_default();
    Ok((SetPlan { environment, order, plans }, charts))
}

/// What is refused for several members in the same words is said once.
fn together(refused: Vec<(&ServiceName, Vec<Refusal>)>) -> Vec<(Refusal, Vec<String>)> {
    let mut all: Vec<(Refusal, Vec<String>)> = Vec::new();
    for (name, refusals) in refused {
        for refusal in refusals {
            match all.iter_mut().find(|(known, _)| *known == refusal) {
                Some((_, names)) => names.push(name.to_string()),
                None => all.push((refusal, vec![name.to_string()])),
            }
        }
    }
    all
}
