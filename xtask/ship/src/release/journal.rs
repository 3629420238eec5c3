//! The journal of a release: one ConfigMap, written before each side effect, so that whoever comes after a killed run knows what was
//! about to happen. Here alone is `last_good`: what Helm calls deployed may never have worked.

use super::error::ReleaseError;
use super::phase::Phase;
use crate::cluster::Cluster;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The version of the record that this program writes and reads.
pub(super) const SCHEMA: u32 = 1;
/// The key in the ConfigMap.
const KEY: &str = "journal.json";
/// A record that is longer has something in it that does not belong there.
const MOST_BYTES: usize = 64 << 10;
/// Sentences for people are cut to this.
const MOST_REASON: usize = 2 << 10;

/// Which run of this program did something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RunRef {
    /// Unique: the time and the process, or the run of the CI.
    pub(crate) id: String,
    /// The commit that was released, if there is one.
    pub(crate) commit: Option<String>,
    /// When it began to change something.
    pub(crate) started: Timestamp,
}

/// What a release would make of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Wanted {
    /// The image: `registry/name@sha256:…`; none for a chart that is released as it is.
    pub(crate) image: Option<String>,
    /// Whether it was seen in its registry: then a node that does not find it must say so twice.
    #[serde(default)]
    pub(crate) image_seen: bool,
    /// The chart's name and version.
    pub(crate) chart: String,
    /// SHA-256 of what Helm renders.
    pub(crate) manifest_sha256: String,
    /// Why rolling back from it would do harm, if the chart says so.
    pub(crate) irreversible: Option<String>,
    /// Whether it has hooks that Helm would run before going back to it.
    pub(crate) hooks_before_rollback: bool,
    /// When the environment before proved its image, if it was promoted.
    #[serde(default)]
    pub(crate) proven_before: Option<Timestamp>,
    /// SHA-256 of the definitions of kinds that come with it; none if they were not looked at.
    #[serde(default)]
    pub(crate) crds: Option<String>,
}

/// A release that was watched, soaked and asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LastGood {
    /// Helm's revision.
    pub(crate) revision: u32,
    /// What it is.
    #[serde(flatten)]
    pub(crate) wanted: Wanted,
    /// Which run proved it.
    pub(crate) run: RunRef,
    /// When.
    pub(crate) at: Timestamp,
    /// What the smoke test saw, in a sentence.
    pub(crate) smoke: String,
}

/// Where a rollback goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Back {
    /// To this revision.
    pub(crate) to: u32,
    /// Whose manifest must have this SHA-256.
    pub(crate) manifest_sha256: String,
    /// Whether a person asked for it: then arriving there is success.
    pub(crate) asked: bool,
    /// Whether the cluster has gone there; whether all is well there is another question.
    pub(crate) arrived: bool,
    /// What is being tried, or was tried last.
    #[serde(default)]
    pub(crate) rung: Rung,
    /// Whether its objects were put back without Helm, whose own record is behind.
    #[serde(default)]
    pub(crate) restored: bool,
    /// What Helm said when it last failed to go there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) helm_said: Option<String>,
}

impl Back {
    /// To this revision, from the lowest rung.
    pub(crate) fn to(revision: u32, manifest_sha256: String, asked: bool) -> Back {
        let (arrived, rung, restored) = (false, Rung::Helm, false);
        Back { to: revision, manifest_sha256, asked, arrived, rung, restored, helm_said: None }
    }
}

/// The ways back, in the order in which they are tried.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Rung {
    /// Helm goes back.
    #[default]
    Helm,
    /// Helm goes back, and leaves hooks out.
    HelmWithoutHooks,
    /// The objects are put back without Helm.
    Objects,
    /// Nothing goes back, and nothing more goes forward: what still serves keeps serving.
    Freeze,
}

/// By what a workload is known again: whoever changes it leaves other marks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    /// Its generation when it had been applied.
    pub(crate) generation: i64,
    /// SHA-256 of what it asked for then.
    pub(crate) spec: String,
}

/// The marks of all workloads that were applied, by kind and name: `Deployment hello`.
pub(crate) type Applied = BTreeMap<String, Mark>;

/// What is being done, or was done last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Always [`SCHEMA`].
    pub(super) schema: u32,
    /// Where it is.
    pub(crate) phase: Phase,
    /// Who does it.
    pub(crate) run: RunRef,
    /// The fencing token of the lock under which this was written.
    pub(crate) token: i32,
    /// What is being released.
    pub(crate) wanted: Wanted,
    /// The revision that Helm will make, or has made, by the step at hand.
    pub(crate) revision: u32,
    /// Where it goes back to, once it does.
    pub(crate) back: Option<Back>,
    /// The workloads as they were right after the revision was applied; empty if nobody came to look.
    #[serde(default)]
    pub(crate) applied: Applied,
    /// Deployments that were paused because nothing led back, until something does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) frozen: Vec<String>,
    /// When the phase began.
    pub(crate) since: Timestamp,
    /// Why it went wrong, or what the question is.
    pub(crate) reason: Option<String>,
    /// The run was stopped in the middle, and knew it.
    pub(crate) interrupted: bool,
    /// What was proven good last.
    pub(crate) last_good: Option<LastGood>,
    /// What was proven good before this attempt: where it goes back to after it was proven itself, when it is part of a set.
    #[serde(default)]
    pub(crate) before: Option<LastGood>,
}

impl Record {
    /// The intent to release something. `before`: what was done last.
    pub(crate) fn intent(
        run: RunRef,
        token: i32,
        wanted: Wanted,
        revision: u32,
        before: Option<&Record>,
    ) -> Record {
        let since = run.started;
        Record {
            schema: SCHEMA,
            phase: Phase::Apply,
            run,
            token,
            wanted,
            revision,
            back: None,
            applied: Applied::new(),
            frozen: before.map(|before| before.frozen.clone()).unwrap_or_default(),
            since,
            reason: None,
            interrupted: false,
            before: before.and_then(|before| before.last_good.clone()),
            last_good: before.and_then(|before| before.last_good.clone()),
        }
    }

    /// Takes a sentence for people, cut to what a journal holds.
    pub(crate) fn because(&mut self, reason: &str) {
        let end = reason.floor_char_boundary(MOST_REASON.min(reason.len()));
        self.reason = Some(reason[..end].to_owned());
    }
}

/// Reads a record.
pub(crate) fn read<R: DeserializeOwned>(text: &str) -> Result<R, String> {
    #[derive(Deserialize)]
    struct Version {
        schema: u32,
    }
    let Version { schema } =
        serde_json::from_str(text).map_err(|error| format!("it is no record: {error}"))?;
    if schema != SCHEMA {
        return Err(format!("it has schema {schema}, and this program knows {SCHEMA}"));
    }
    serde_json::from_str(text).map_err(|error| format!("it is no record: {error}"))
}

fn written<R: Serialize>(record: &R) -> Result<String, String> {
    let text = serde_json::to_string_pretty(record).map_err(|error| error.to_string())?;
    if text.len() > MOST_BYTES {
        return Err(format!("it would have {} bytes, more than {MOST_BYTES}", text.len()));
    }
    Ok(text)
}

/// A journal on its cluster: that of one release, or with another record that of a set.
pub(crate) struct Journal<R = Record> {
    cluster: Cluster,
    namespace: String,
    name: String,
    /// The version that was read or written last: a write on top of another one is refused by the cluster.
    version: Option<String>,
    record: Option<R>,
}

impl Journal {
    /// Reads the journal of a release. A release that was never made by this program has none.
    pub(crate) async fn open(
        cluster: &Cluster,
        namespace: &str,
        release: &str,
    ) -> Result<Journal, ReleaseError> {
        Journal::named(cluster, namespace, format!("slipway-journal-{release}")).await
    }

    /// What was proven good last.
    pub(crate) fn last_good(&self) -> Option<&LastGood> {
        self.record.as_ref().and_then(|record| record.last_good.as_ref())
    }
}

impl<R: Serialize + DeserializeOwned> Journal<R> {
    /// Reads a journal by the name of its ConfigMap.
    pub(crate) async fn named(
        cluster: &Cluster,
        namespace: &str,
        name: String,
    ) -> Result<Journal<R>, ReleaseError> {
        let (version, record) = match cluster.note(namespace, &name, KEY).await? {
            None => (None, None),
            Some(note) => {
                let record =
                    read(&note.text).map_err(|why| ReleaseError::Journal { name: name.clone(), why })?;
                (Some(note.version), Some(record))
            }
        };
        Ok(Journal { cluster: cluster.clone(), namespace: namespace.to_owned(), name, version, record })
    }

    /// What was written last.
    pub(crate) fn record(&self) -> Option<&R> {
        self.record.as_ref()
    }

    /// Writes, if nobody else has written meanwhile.
    pub(crate) async fn write(&mut self, record: R) -> Result<(), ReleaseError> {
        let why = |why| ReleaseError::Journal { name: self.name.clone(), why };
        let text = written(&record).map_err(why)?;
        let version = self.version.as_deref();
        let kept = self.cluster.keep_note(&self.namespace, &self.name, KEY, text, version).await?;
        self.version = Some(kept.ok_or_else(|| why("somebody else wrote it meanwhile".to_owned()))?);
        self.record = Some(record);
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn record() -> Record {
        let started = "2026-11-21T12:00:00Z".parse().unwrap();
        let run = RunRef { id: "r1".into(), commit: Some("abc".into()), started };
        let wanted = Wanted {
            image: Some("registry/hello@sha256:00".into()),
            image_seen: true,
            chart: "app-0.1.0".into(),
            manifest_sha256: "aa".into(),
            irreversible: None,
            hooks_before_rollback: false,
            proven_before: None,
            crds: Some("cc".into()),
        };
        let last_good = LastGood {
            revision: 7,
            wanted: wanted.clone(),
            run: run.clone(),
            at: started,
            smoke: "fine".into(),
        };
        Record { last_good: Some(last_good), ..Record::intent(run, 3, wanted, 8, None) }
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let mut record = record();
        record.back = Some(Back { rung: Rung::Freeze, ..Back::to(7, "aa".into(), false) });
        record.frozen = vec!["hello".into()];
        assert_eq!(read::<Record>(&written(&record).unwrap()).unwrap(), record);
    }

    #[test]
    fn what_was_frozen_is_remembered_by_what_is_done_next() {
        let before = Record { frozen: vec!["hello".into()], ..record() };
        let next = Record::intent(before.run.clone(), 4, before.wanted.clone(), 9, Some(&before));
        assert_eq!((&next.frozen, &next.last_good), (&before.frozen, &before.last_good));
    }

    #[test]
    fn a_record_from_before_there_were_so_many_rungs_is_read() {
        let mut record = record();
        record.back = Some(Back::to(7, "aa".into(), false));
        record.wanted.crds = None;
        let mut value = serde_json::to_value(&record).unwrap();
        for (of, field) in [("/wanted", "crds"), ("/back", "rung"), ("/back", "restored")] {
            assert!(value.pointer_mut(of).unwrap().as_object_mut().unwrap().remove(field).is_some());
        }
        let old: Record = read(&value.to_string()).unwrap();
        assert_eq!(old.back, record.back);
    }

    #[test]
    fn a_record_that_is_cut_empty_or_of_another_version_is_refused() {
        let text = written(&record()).unwrap();
        assert!(read::<Record>("").is_err());
        assert!(read::<Record>(&text[..text.len() / 2]).is_err());
        assert!(read::<Record>("{\"schema\": 1}").is_err());
        let other = text.replacen("\"schema\": 1", "\"schema\": 2", 1);
        assert_eq!(read::<Record>(&other).unwrap_err(), "it has schema 2, and this program knows 1");
    }

    #[test]
    fn a_record_stays_small_whatever_a_tool_said() {
        let mut record = record();
        record.because(&"ä".repeat(1 << 20));
        assert!(written(&record).unwrap().len() < 8 << 10);
        record.run.id = "x".repeat(MOST_BYTES);
        assert!(written(&record).is_err());
    }
}
