//! The schemas that objects are validated against: checked in under `schemas/`, part of the binary, and laid out as files on first
//! use, because kubeconform reads files. `examples/schemas.rs` makes them.
//!
//! A line is one definition, with the minors of Kubernetes that it holds for; what did not change between minors is there once.

use crate::error::StageError;
use crate::ids::Hasher;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The minors of Kubernetes that there are schemas for.
pub(super) const MINORS: [&str; 3] = ["1.34", "1.35", "1.36"];

/// Where kubeconform finds a kind inside the folder of a minor, in its own template language.
pub(super) const LAYOUT: &str = "{{.Group}}/{{.ResourceKind}}_{{.ResourceAPIVersion}}.json";

const DATA: [&str; 2] =
    [include_str!("../../../schemas/kubernetes.jsonl"), include_str!("../../../schemas/extensions.jsonl")];

/// kubeconform takes schemas without this line for draft 4, which knows no `if`.
const DIALECT: &str = r#""$schema":"http://json-schema.org/draft-07/schema#""#;

/// Where a reference leads: into its own file.
const LOCAL: &str = "#/definitions/";

#[derive(Deserialize)]
struct Definition<'a> {
    name: &'a str,
    #[serde(default, borrow)]
    kinds: Vec<&'a str>,
    #[serde(borrow)]
    minors: Vec<&'a str>,
    #[serde(borrow)]
    schema: &'a RawValue,
}

/// Lays the schemas out below `folder`, if they are not there yet, and gives the folder that holds one folder a minor.
///
/// The folder is named after the schemas' digest and appears in one step, so runs at the same time do not meet half of it.
pub(super) fn unpack(folder: &Path) -> Result<PathBuf, StageError> {
    let mut hasher = Hasher::default();
    for data in DATA {
        hasher.update(data.as_bytes());
    }
    let digest = hasher.hex();
    let done = folder.join(&digest[..16]);
    if done.is_dir() {
        return Ok(done);
    }
    let making = folder.join(format!("{}.{}", &digest[..16], std::process::id()));
    let definitions = definitions()?;
    for minor in MINORS {
        for (file, text) in files(&definitions, minor) {
            let path = making.join(minor).join(file);
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent).map_err(StageError::io("cannot make folder", parent))?;
            }
            std::fs::write(&path, text).map_err(StageError::io("cannot write", &path))?;
        }
    }
    match std::fs::rename(&making, &done) {
        // Another run was faster: the same digest is the same files.
        Err(_) if done.is_dir() => {
            std::fs::remove_dir_all(&making).map_err(StageError::io("cannot remove", &making))?;
        }
        renamed => renamed.map_err(StageError::io("cannot move schemas to", &done))?,
    }
    Ok(done)
}

fn definitions() -> Result<Vec<Definition<'static>>, StageError> {
    let lines = DATA.iter().flat_map(|data| data.lines());
    lines
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()
        .map_err(|error| StageError::Bug(format!("the schemas of Kubernetes cannot be read: {error}")))
}

/// The files of a minor: one a kind, with the definitions that it leads to and no others. kubeconform reads and checks a whole file
/// for each kind that it meets, so one file with everything would cost it a tenth of a second a kind.
fn files(all: &[Definition<'_>], minor: &str) -> BTreeMap<String, String> {
    let holds = all.iter().filter(|definition| definition.minors.contains(&minor));
    let by_name: BTreeMap<&str, &Definition<'_>> =
        holds.map(|definition| (definition.name, definition)).collect();
    let mut files = BTreeMap::new();
    for definition in by_name.values() {
        for kind in &definition.kinds {
            files.insert(place(kind), file(definition.name, &by_name));
        }
    }
    files
}

fn file(name: &str, definitions: &BTreeMap<&str, &Definition<'_>>) -> String {
    let mut needed = BTreeMap::new();
    let mut open = vec![name];
    while let Some(name) = open.pop() {
        if let Some(definition) = definitions.get(name)
            && needed.insert(definition.name, definition.schema.get()).is_none()
        {
            open.extend(references(definition.schema.get()));
        }
    }
    let definitions: Vec<String> =
        needed.iter().map(|(name, schema)| format!("\"{name}\":{schema}")).collect();
    format!("{{{DIALECT},\"$ref\":\"{LOCAL}{name}\",\"definitions\":{{{}}}}}", definitions.join(","))
}

/// The definitions that a schema names. It was written by our own generator, without white space.
fn references(schema: &str) -> impl Iterator<Item = &str> {
    schema.split("\"$ref\":\"").skip(1).filter_map(|rest| rest.split('"').next()?.strip_prefix(LOCAL))
}

/// What [`LAYOUT`] gives for `apps/v1/Deployment`; the core API's group is its version there.
fn place(kind: &str) -> String {
    let mut parts = kind.rsplitn(3, '/');
    let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
    let version = parts.next().unwrap_or_default();
    let group = parts.next().unwrap_or(version);
    format!("{group}/{kind}_{version}.json")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn of(minor: &str) -> BTreeMap<String, Value> {
        let files = files(&definitions().unwrap(), minor);
        files.into_iter().map(|(name, text)| (name, serde_json::from_str(&text).unwrap())).collect()
    }

    fn references_in<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(map) => {
                found.extend(map.get("$ref").and_then(Value::as_str));
                map.values().for_each(|value| references_in(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references_in(value, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    #[test]
    fn every_reference_leads_somewhere_in_its_own_file() {
        for minor in MINORS {
            for (name, file) in of(minor) {
                let mut found = Vec::new();
                references_in(&file, &mut found);
                for reference in found {
                    let target = reference.strip_prefix(LOCAL).unwrap();
                    assert!(file["definitions"].get(target).is_some(), "{minor}: {name} lacks {target}");
                }
            }
        }
    }

    #[test]
    fn every_minor_has_the_kinds_that_charts_use_and_drops_those_that_it_no_longer_serves() {
        for minor in MINORS {
            let files = of(minor);
            for kind in [
                "v1/Service",
                "apps/v1/Deployment",
                "autoscaling/v2/HorizontalPodAutoscaler",
                "networking.k8s.io/v1/NetworkPolicy",
                "policy/v1/PodDisruptionBudget",
                "apiextensions.k8s.io/v1/CustomResourceDefinition",
                "gateway.networking.k8s.io/v1/HTTPRoute",
                "monitoring.coreos.com/v1/ServiceMonitor",
                "monitoring.coreos.com/v1/PrometheusRule",
                "external-secrets.io/v1/ExternalSecret",
                "external-secrets.io/v1/SecretStore",
            ] {
                assert!(files.contains_key(&place(kind)), "{minor} has no {kind}");
            }
            assert!(!files.contains_key(&place("policy/v1beta1/PodDisruptionBudget")));
        }
    }

    #[test]
    fn fields_that_are_unknown_are_refused_and_optional_ones_may_be_null() {
        let files = of("1.36");
        let container = &files[&place("v1/Pod")]["definitions"]["io.k8s.api.core.v1.Container"];
        assert_eq!(container["additionalProperties"], false);
        assert_eq!(container["properties"]["name"]["type"], "string");
        assert_eq!(container["properties"]["image"]["type"], serde_json::json!(["string", "null"]));
        assert_eq!(container["properties"]["livenessProbe"]["if"]["type"], "null");
        let route = &files[&place("gateway.networking.k8s.io/v1/HTTPRoute")]["definitions"]["gateway.networking.k8s.io.v1.HTTPRoute"];
        assert_eq!(route["additionalProperties"], false);
        assert_eq!(
            route["properties"]["metadata"]["$ref"],
            "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
        );
    }

    #[test]
    fn schemas_are_laid_out_once_and_a_second_run_uses_them() {
        let folder = tempfile::tempdir().unwrap();
        let first = unpack(folder.path()).unwrap();
        assert!(first.join("1.35/apps/deployment_v1.json").is_file());
        std::fs::write(first.join("seen"), "").unwrap();
        let second = unpack(folder.path()).unwrap();
        assert_eq!(first, second);
        assert!(second.join("seen").is_file());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing half-made is left");
    }

    #[test]
    fn a_kind_lies_where_kubeconform_looks() {
        assert_eq!(place("v1/Service"), "v1/service_v1.json");
        assert_eq!(place("networking.k8s.io/v1/NetworkPolicy"), "networking.k8s.io/networkpolicy_v1.json");
    }
}
