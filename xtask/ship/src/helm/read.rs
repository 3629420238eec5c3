//! What Helm says, as types. An answer that is empty, cut short or of another shape is an error, never an empty history.

use super::HelmError;
use serde::Deserialize;
use std::collections::BTreeMap;
use xtask_core::ids::sha256;

/// How Helm itself thinks that a revision stands. It says whether Helm was at work, not whether anything runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Status {
    /// The newest one that Helm applied to its end.
    Deployed,
    /// One that a newer one took the place of, whatever became of it.
    Superseded,
    /// Helm saw it fail.
    Failed,
    /// Being installed, or Helm died while it was.
    PendingInstall,
    /// Being upgraded to, or Helm died while it was.
    PendingUpgrade,
    /// Being gone back to, or Helm died while it was.
    PendingRollback,
    /// Removed, its history kept.
    Uninstalled,
    /// Being removed.
    Uninstalling,
    /// Helm does not know.
    Unknown,
}

impl Status {
    /// Whether Helm is at work on it, or died while it was; Helm refuses upgrades meanwhile.
    pub(crate) fn is_pending(self) -> bool {
        match self {
            Status::PendingInstall | Status::PendingUpgrade | Status::PendingRollback => true,
            Status::Deployed
            | Status::Superseded
            | Status::Failed
            | Status::Uninstalled
            | Status::Uninstalling
            | Status::Unknown => false,
        }
    }
}

/// One revision of a release.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Revision {
    /// Its number.
    #[serde(rename = "revision")]
    pub(crate) number: u32,
    /// When Helm last wrote it.
    pub(crate) updated: jiff::Timestamp,
    /// How it stands.
    pub(crate) status: Status,
    /// Name and version of the chart.
    pub(crate) chart: String,
    /// What it is, in a sentence; ours begin with the run.
    pub(crate) description: String,
    /// The revision that it went back to.
    #[serde(default)]
    pub(crate) rollback_revision: Option<u32>,
}

/// A hook of a rendered chart.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Hook {
    /// When it runs: `pre-rollback`.
    pub(crate) events: Vec<String>,
    /// Its object, as YAML.
    pub(crate) manifest: String,
    /// When Helm removes it: `before-hook-creation`.
    #[serde(default)]
    pub(crate) delete_policies: Vec<String>,
}

impl Hook {
    /// Whether it runs at this event.
    pub(crate) fn runs_at(&self, event: &str) -> bool {
        self.events.iter().any(|own| own == event)
    }

    /// Whether Helm removes an old one before it makes a new one, as it does unless it is told otherwise.
    pub(crate) fn is_replaced(&self) -> bool {
        self.delete_policies.is_empty()
            || self.delete_policies.iter().any(|policy| policy == "before-hook-creation")
    }
}

/// A rendered chart. May hold Secrets: never show it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Rendered {
    /// The revision that it has or would have.
    pub(crate) revision: u32,
    /// Name and version of the chart.
    pub(crate) chart: String,
    /// The chart's own annotations.
    pub(crate) annotations: BTreeMap<String, String>,
    /// All objects, as YAML.
    pub(crate) manifest: String,
    /// All hooks.
    pub(crate) hooks: Vec<Hook>,
    /// How many bytes Helm's answer has: all of what it will keep in its Secret, not yet compressed.
    pub(crate) bytes: usize,
}

impl std::fmt::Debug for Rendered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rendered")
            .field("revision", &self.revision)
            .field("chart", &self.chart)
            .finish_non_exhaustive()
    }
}

/// The digest by which a manifest is known again. Helm prints a line's end more or less at the end, depending on the command.
pub(crate) fn digest(manifest: &str) -> String {
    sha256(manifest.trim().as_bytes()).to_string()
}

/// The last line that tells people what happened.
fn said(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let kept: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let from =
        kept.iter().position(|line| line.starts_with("Error:")).unwrap_or(kept.len().saturating_sub(1));
    let said = kept[from..].join(" ");
    let said = said.strip_prefix("Error: ").unwrap_or(&said);
    let end = said.floor_char_boundary(said.len().min(1000));
    if end == 0 { "it failed without a word".to_owned() } else { said[..end].to_owned() }
}

/// A command whose exit code is its whole answer.
pub(super) fn done(command: &'static str, code: i32, stderr: &[u8]) -> Result<(), HelmError> {
    if code == 0 { Ok(()) } else { Err(HelmError::Failed { command, said: said(stderr) }) }
}

/// `helm history --output json`.
pub(super) fn history(code: i32, stdout: &[u8], stderr: &[u8]) -> Result<Vec<Revision>, HelmError> {
    if code != 0 {
        let said = said(stderr);
        return match said.as_str() {
            "release: not found" => Ok(Vec::new()),
            _ => Err(HelmError::Failed { command: "history", said }),
        };
    }
    let unreadable = |why: String| HelmError::Unreadable { command: "history", why };
    let mut revisions: Vec<Revision> =
        serde_json::from_slice(stdout).map_err(|error| unreadable(error.to_string()))?;
    if revisions.is_empty() {
        return Err(unreadable("a release without a revision".to_owned()));
    }
    revisions.sort_by_key(|revision| revision.number);
    Ok(revisions)
}

/// `helm get manifest`.
pub(super) fn manifest(code: i32, stdout: &[u8], stderr: &[u8]) -> Result<String, HelmError> {
    done("get manifest", code, stderr)?;
    let unreadable = |why: &str| HelmError::Unreadable { command: "get manifest", why: why.to_owned() };
    let text = std::str::from_utf8(stdout).map_err(|_| unreadable("it is no text"))?;
    if text.trim().is_empty() {
        return Err(unreadable("it is empty"));
    }
    Ok(text.to_owned())
}

/// `helm upgrade --output json`, with or without `--dry-run`.
pub(super) fn rendered(code: i32, stdout: &[u8], stderr: &[u8]) -> Result<Rendered, HelmError> {
    #[derive(Deserialize)]
    struct Answer {
        version: u32,
        chart: ChartAnswer,
        manifest: String,
        #[serde(default)]
        hooks: Vec<Hook>,
    }
    #[derive(Deserialize)]
    struct ChartAnswer {
        metadata: Metadata,
    }
    #[derive(Deserialize)]
    struct Metadata {
        name: String,
        version: String,
        #[serde(default)]
        annotations: BTreeMap<String, String>,
    }
    done("upgrade", code, stderr)?;
    let answer: Answer = serde_json::from_slice(stdout)
        .map_err(|error| HelmError::Unreadable { command: "upgrade", why: error.to_string() })?;
    if answer.manifest.trim().is_empty() {
        return Err(HelmError::Unreadable {
            command: "upgrade",
            why: "the chart renders nothing".to_owned(),
        });
    }
    let Metadata { name, version, annotations } = answer.chart.metadata;
    Ok(Rendered {
        revision: answer.version,
        chart: format!("{name}-{version}"),
        annotations,
        manifest: answer.manifest,
        hooks: answer.hooks,
        bytes: stdout.len(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    // Recorded from helm 4.3.1 on a chart with one ConfigMap and one hook.
    const HISTORY: &[u8] = include_bytes!("../../testdata/helm/history.out");
    const NONE: &[u8] = include_bytes!("../../testdata/helm/history-none.err");
    const UPGRADE: &[u8] = include_bytes!("../../testdata/helm/upgrade.out");
    const DRY_RUN: &[u8] = include_bytes!("../../testdata/helm/dry-run.out");
    const REFUSED: &[u8] = include_bytes!("../../testdata/helm/upgrade-refused.err");
    const MANIFEST: &[u8] = include_bytes!("../../testdata/helm/manifest.out");
    const NO_MANIFEST: &[u8] = include_bytes!("../../testdata/helm/manifest-none.err");

    #[test]
    fn a_history_is_its_revisions_with_where_they_went_back_to() {
        let history = history(0, HISTORY, b"").unwrap();
        let told: Vec<_> = history
            .iter()
            .map(|one| (one.number, one.status, one.rollback_revision, one.description.as_str()))
            .collect();
        assert_eq!(
            told,
            [
                (1, Status::Superseded, None, "slipway r1"),
                (2, Status::Superseded, None, "Upgrade complete"),
                (3, Status::Deployed, Some(1), "Rollback to 1"),
            ]
        );
    }

    #[test]
    fn only_helm_saying_so_means_that_there_is_no_release() {
        assert_eq!(history(1, b"", NONE).unwrap(), []);
        for (code, stdout, stderr) in [
            (1, &b""[..], &b"Error: Kubernetes cluster unreachable"[..]),
            (1, b"", b""),
            (0, b"", b""),
            (0, b"[]", b""),
            (0, &HISTORY[..HISTORY.len() / 2], b""),
            (0, b"[{\"revision\":1}]", b""),
            (0, b"[{\"revision\":1,\"updated\":\"2026-11-21T13:23:22Z\",\"status\":\"new\",\"chart\":\"\",\"description\":\"\"}]", b""),
        ] {
            assert!(history(code, stdout, stderr).is_err(), "{code} {}", String::from_utf8_lossy(stdout));
        }
    }

    #[test]
    fn a_rendered_chart_has_its_revision_its_annotations_and_its_hooks() {
        let applied = rendered(0, UPGRADE, b"").unwrap();
        assert_eq!((applied.revision, applied.chart.as_str()), (1, "mini-0.1.0"));
        assert_eq!(applied.annotations["slipway/irreversible"], "drops a column");
        assert!(applied.hooks[0].runs_at("pre-rollback") && !applied.hooks[0].runs_at("test"));
        assert!(!applied.hooks[0].is_replaced(), "it says hook-succeeded alone");
        let dry = rendered(0, DRY_RUN, b"").unwrap();
        assert_eq!(dry.revision, 2);
        assert_ne!(digest(&dry.manifest), digest(&applied.manifest));
        assert!(!format!("{applied:?}").contains("ConfigMap"), "a manifest may hold Secrets");
    }

    #[test]
    fn what_was_applied_and_what_helm_remembers_have_one_digest() {
        let remembered = manifest(0, MANIFEST, b"").unwrap();
        assert_eq!(digest(&remembered), digest(&rendered(0, UPGRADE, b"").unwrap().manifest));
    }

    #[test]
    fn a_refusal_is_told_in_helms_words_and_half_an_answer_is_none() {
        let Err(HelmError::Failed { said, .. }) = rendered(1, b"", REFUSED) else { panic!("read") };
        assert!(said.starts_with("UPGRADE FAILED: YAML parse error on mini/templates/a.yaml"), "{said}");
        assert!(matches!(rendered(0, &UPGRADE[..700], b""), Err(HelmError::Unreadable { .. })));
        assert!(matches!(rendered(0, b"", b""), Err(HelmError::Unreadable { .. })));
        assert!(manifest(1, b"", NO_MANIFEST).is_err());
        assert!(manifest(0, b" \n", b"").is_err());
    }
}
