//! What a deployment would do, fixed before anything is asked or touched. Its digest is what an approval is given for.

use super::approved::Approvable;
use super::journal::Wanted;
use serde::Serialize;
use std::fmt::Write;

/// The annotation in `Chart.yaml` that says why going back from this chart would do harm: `slipway/irreversible: drops a column`.
/// While a release with it is being proven, nothing rolls back by itself.
pub(crate) const IRREVERSIBLE: &str = "slipway/irreversible";

/// Whether going back would work, found out before anything is touched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "is", content = "because")]
pub(crate) enum WayBack {
    /// The cluster accepted the last good release in a dry run.
    Proven,
    /// It could not be tried.
    Unproven(String),
    /// It would not work, or would do harm.
    Impossible(String),
}

/// What a deployment would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Plan {
    /// The environment's name.
    pub(crate) environment: String,
    /// The UID of the cluster.
    pub(crate) cluster_uid: String,
    /// The namespace.
    pub(crate) namespace: String,
    /// The release's name.
    pub(crate) release: String,
    /// The commit that is checked out.
    pub(crate) commit: Option<String>,
    /// What is released.
    pub(crate) wanted: Wanted,
    /// The revision that Helm will make.
    pub(crate) revision: u32,
    /// The revision that it would go back to.
    pub(crate) last_good: Option<u32>,
    /// Whether that would work.
    pub(crate) way_back: WayBack,
    /// Objects that would be made, changed or removed: `~ Deployment hello`.
    pub(crate) changes: Vec<String>,
    /// What no guard could look at.
    pub(crate) not_checked: Vec<String>,
}

impl Approvable for Plan {
    fn environment(&self) -> &str {
        &self.environment
    }

    fn commit(&self) -> Option<&str> {
        self.commit.as_deref()
    }

    fn subject(&self) -> &str {
        &self.release
    }

    fn bytes(&self) -> Vec<u8> {
        // A plan has no maps with keys other than text, so it is always JSON.
        serde_json::to_vec(self).unwrap_or_default()
    }

    fn text(&self) -> String {
        let mut text = String::new();
        let image = self.wanted.image.as_deref().unwrap_or("no image of its own");
        let _ = writeln!(text, "plan {}", self.digest());
        let _ = writeln!(
            text,
            "  to        {} (namespace {}, cluster {})",
            self.environment, self.namespace, self.cluster_uid
        );
        let _ = writeln!(
            text,
            "  release   {} revision {}: {}, {image}",
            self.release, self.revision, self.wanted.chart
        );
        let _ = writeln!(text, "  commit    {}", self.commit.as_deref().unwrap_or("unknown"));
        let back = match (&self.way_back, self.last_good) {
            (WayBack::Proven, Some(revision)) => format!("proven, to revision {revision}"),
            (WayBack::Proven, None) => "proven".to_owned(),
            (WayBack::Unproven(why), _) => format!("unproven: {why}"),
            (WayBack::Impossible(why), _) => format!("impossible: {why}"),
        };
        let _ = writeln!(text, "  way back  {back}");
        for (index, change) in self.changes.iter().enumerate() {
            let _ = writeln!(text, "  {}  {change}", if index == 0 { "changes " } else { "        " });
        }
        for what in &self.not_checked {
            let _ = writeln!(text, "  NOT CHECKED  {what}");
        }
        text
    }
}
