//! The objects of a manifest: read from YAML, and tried on the cluster without changing it.

use super::error::ReleaseError;
use crate::helm::HelmError;
use crate::rollout::seen::WorkloadKind;
use serde_json::Value;

/// A Job that has ended stays for so many seconds at least, if it is to be watched.
const TTL: u64 = 60;

/// One object of a manifest.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Object {
    /// `apps/v1`.
    pub(crate) api_version: String,
    /// `Deployment`.
    pub(crate) kind: String,
    /// The namespace, if the manifest names one.
    pub(crate) namespace: Option<String>,
    /// The name.
    pub(crate) name: String,
    /// All of it.
    pub(crate) value: Value,
}

impl Object {
    /// `Deployment hello`.
    pub(crate) fn title(&self) -> String {
        format!("{} {}", self.kind, self.name)
    }

    /// The value at a path of fields.
    pub(crate) fn at(&self, path: &str) -> Option<&Value> {
        self.value.pointer(path)
    }

    /// What makes pods and can be watched, if it is that. A Job that removes itself as soon as it has ended takes along how.
    pub(crate) fn workload(&self) -> Option<WorkloadKind> {
        let kind = WorkloadKind::named(&self.kind)?;
        let lasts =
            self.at("/spec/ttlSecondsAfterFinished").and_then(Value::as_u64).is_none_or(|ttl| ttl >= TTL);
        (kind != WorkloadKind::Job || lasts).then_some(kind)
    }

    /// Whether its pods are replaced only when somebody deletes them.
    pub(crate) fn waits_for_deletion(&self) -> bool {
        self.at("/spec/updateStrategy/type").and_then(Value::as_str) == Some("OnDelete")
    }

    /// The templates of pods that it makes.
    pub(crate) fn pod_template(&self) -> Option<&Value> {
        match self.kind.as_str() {
            "Deployment" | "StatefulSet" | "DaemonSet" | "Job" => self.at("/spec/template"),
            "CronJob" => self.at("/spec/jobTemplate/spec/template"),
            _ => None,
        }
    }
}

/// Reads the manifest that Helm printed for a command: `get manifest`.
pub(crate) fn read(command: &'static str, manifest: &str) -> Result<Vec<Object>, ReleaseError> {
    parse(manifest).map_err(|why| ReleaseError::Helm(HelmError::Unreadable { command, why }))
}

/// Reads a manifest. Empty documents, which conditions in templates leave behind, are nothing.
pub(crate) fn parse(manifest: &str) -> Result<Vec<Object>, String> {
    let documents: Vec<Value> = serde_yaml::from_multiple(manifest).map_err(|error| error.to_string())?;
    documents.into_iter().filter(|document| !document.is_null()).map(object).collect()
}

fn object(value: Value) -> Result<Object, String> {
    let text = |path: &str| value.pointer(path).and_then(Value::as_str).map(str::to_owned);
    let missing = |what| format!("an object without {what}");
    Ok(Object {
        api_version: text("/apiVersion").ok_or_else(|| missing("apiVersion"))?,
        kind: text("/kind").ok_or_else(|| missing("kind"))?,
        namespace: text("/metadata/namespace"),
        name: text("/metadata/name").ok_or_else(|| missing("a name"))?,
        value,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_is_its_objects_and_empty_documents_are_none() {
        let text = "---\n# Source: a\napiVersion: apps/v1\nkind: Deployment\nmetadata: { name: a, namespace: apps }\n---\n\n---\n\
                    apiVersion: v1\nkind: Service\nmetadata: { name: b }\n";
        let objects = parse(text).unwrap();
        let titles: Vec<String> = objects.iter().map(Object::title).collect();
        assert_eq!(titles, ["Deployment a", "Service b"]);
        assert_eq!(objects[0].namespace.as_deref(), Some("apps"));
    }

    #[test]
    fn what_makes_pods_is_watched_if_it_stays_to_be_seen() {
        let object = |kind: &str, spec: &str| {
            let text = format!("apiVersion: apps/v1\nkind: {kind}\nmetadata: {{ name: a }}\nspec: {spec}\n");
            parse(&text).unwrap().remove(0)
        };
        for kind in WorkloadKind::ALL {
            assert_eq!(object(kind.name(), "{}").workload(), Some(kind));
        }
        assert_eq!(object("CronJob", "{}").workload(), None);
        assert_eq!(object("Job", "{ ttlSecondsAfterFinished: 600 }").workload(), Some(WorkloadKind::Job));
        assert_eq!(object("Job", "{ ttlSecondsAfterFinished: 0 }").workload(), None);
        assert!(object("DaemonSet", "{ updateStrategy: { type: OnDelete } }").waits_for_deletion());
        assert!(!object("DaemonSet", "{}").waits_for_deletion());
    }

    #[test]
    fn what_is_no_object_is_an_error() {
        assert!(parse("kind: Deployment\n").is_err());
        assert!(parse("a: [").is_err());
        assert_eq!(parse("").unwrap(), []);
    }
}
