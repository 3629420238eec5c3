//! What the cluster remembers of a set: who is in it, in which order, and which way it goes. Where each member stands is in the member's
//! own journal and nowhere else. And how a set ended, for programs and people.

use super::order::Order;
use super::state::{Stand, Stands, Turn, outcome};
use crate::cluster::Cluster;
use crate::release::drive::Ending;
use crate::release::error::ReleaseError;
use crate::release::journal::{Journal, RunRef, SCHEMA};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use xtask_core::error::ExitCode;
use xtask_core::ids::ServiceName;
use xtask_core::report::ReleaseRecord;

/// The name of the ConfigMap, and of the Lease that guards it: one set at a time in a namespace.
pub(crate) const NAME: &str = "slipway-set";

/// A set that is under way, or was last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SetRecord {
    /// Always that of journals.
    schema: u32,
    /// Which way it goes.
    pub(crate) turn: Turn,
    /// Who began it. Every attempt of a member for this set has the same run.
    pub(crate) run: RunRef,
    /// The fencing token of the lock under which this was written.
    pub(crate) token: i32,
    /// Who is in it.
    pub(crate) order: Order,
    /// The run of each member's last attempt before the set.
    pub(crate) earlier: BTreeMap<ServiceName, String>,
    /// Since when it goes this way.
    pub(crate) since: Timestamp,
    /// Why it goes back.
    pub(crate) reason: Option<String>,
}

impl SetRecord {
    /// The intent to release a set.
    pub(crate) fn intent(
        run: RunRef,
        token: i32,
        order: Order,
        earlier: BTreeMap<ServiceName, String>,
    ) -> Self {
        let since = run.started;
        SetRecord { schema: SCHEMA, turn: Turn::Forward, run, token, order, earlier, since, reason: None }
    }
}

/// Reads what is remembered.
pub(crate) async fn open(cluster: &Cluster, namespace: &str) -> Result<Journal<SetRecord>, ReleaseError> {
    Journal::named(cluster, namespace, NAME.to_owned()).await
}

/// How a set ended.
#[derive(Debug, Serialize)]
pub(crate) struct SetEnding {
    environment: String,
    /// The exit code.
    pub(crate) exit_code: u8,
    /// What happened, in a sentence.
    pub(crate) summary: String,
    services: Vec<MemberEnding>,
    /// From the start of the command.
    pub(crate) duration_ms: u64,
}

/// What became of a member.
#[derive(Debug, Serialize)]
struct MemberEnding {
    release: String,
    wave: usize,
    #[serde(flatten)]
    stand: Stand,
    /// How its last attempt by this command ended, if it had one.
    ending: Option<Ending>,
}

impl SetEnding {
    /// Of where all members stand.
    pub(crate) fn of(
        environment: &str,
        record: &SetRecord,
        stands: &Stands,
        mut endings: BTreeMap<ServiceName, Ending>,
        duration_ms: u64,
    ) -> SetEnding {
        let code = outcome(stands);
        let services = stands.iter().map(|(name, stand)| MemberEnding {
            release: name.to_string(),
            wave: record.order.wave(name),
            stand: stand.clone(),
            ending: endings.remove(name),
        });
        SetEnding {
            environment: environment.to_owned(),
            exit_code: code.number(),
            summary: summary(code, record, stands),
            services: services.collect(),
            duration_ms,
        }
    }

    /// As the report has it: one record for each member.
    pub(crate) fn records(&self) -> Vec<ReleaseRecord> {
        let record = |member: &MemberEnding| match &member.ending {
            Some(ending) => ending.record(),
            None => ReleaseRecord {
                environment: self.environment.clone(),
                release: member.release.clone(),
                phase: "none".to_owned(),
                summary: words(&member.stand).to_owned(),
                revision: None,
                evidence: None,
                recordings: Vec::new(),
            },
        };
        self.services.iter().map(record).collect()
    }

    /// One line for each member, for people.
    pub(crate) fn text(&self) -> String {
        let line = |member: &MemberEnding| {
            let because = match &member.stand {
                Stand::Fixed(why) => format!(": {why}"),
                Stand::Untouched
                | Stand::Midway
                | Stand::Good
                | Stand::Back
                | Stand::Unwell
                | Stand::Stuck
                | Stand::Foreign => String::new(),
            };
            format!("  {:<24} wave {:<3} {}{because}\n", member.release, member.wave, words(&member.stand))
        };
        self.services.iter().map(line).collect()
    }
}

fn words(stand: &Stand) -> &'static str {
    match stand {
        Stand::Untouched => "not touched",
        Stand::Midway => "under way",
        Stand::Good => "new, proven",
        Stand::Fixed(_) => "new, proven, cannot go back",
        Stand::Back => "rolled back, verified",
        Stand::Unwell => "ROLLED BACK, NOT VERIFIED",
        Stand::Stuck => "NOT ROLLED BACK, a person is needed",
        Stand::Foreign => "CHANGED BY SOMEBODY ELSE",
    }
}

fn summary(code: ExitCode, record: &SetRecord, stands: &Stands) -> String {
    let count = |is: fn(&Stand) -> bool| stands.values().filter(|stand| is(stand)).count();
    let moved = count(|stand| *stand != Stand::Untouched);
    let why = record.reason.as_deref().unwrap_or("nothing had begun");
    if code == ExitCode::Passed && moved > 0 {
        let waves = record.order.waves();
        return format!(
            "GOOD: {moved} services are proven, in {waves} {}",
            if waves == 1 { "wave" } else { "waves" }
        );
    }
    if code == ExitCode::Passed {
        return format!("NOTHING MOVED: {why}");
    }
    let back = count(|stand| *stand == Stand::Back);
    let left = stands.iter().filter(|(_, stand)| !matches!(stand, Stand::Untouched | Stand::Back));
    let left: Vec<String> = left.map(|(name, stand)| format!("{name}: {}", words(stand))).collect();
    let left = if left.is_empty() { String::new() } else { format!("; {}", left.join(", ")) };
    format!("REJECTED {why}; {back} of {moved} services that had moved are rolled back, verified{left}")
}
