//! kubeconform: whether objects are what the API of a minor of Kubernetes takes. Looks at local schemas only, never at a network.
//!
//! Severities: an object that the API would refuse, or that cannot be read, is High; a kind without a schema is Medium, because
//! nobody has looked at the object then. Exits 1 for findings and for its own faults alike, so the output decides; that a file holds
//! no object at all is exit 0.

mod schemas;

use crate::engine::{Call, Cx, Ran};
use crate::error::StageError;
use crate::facts::Observation;
use crate::outcome::Severity;
use crate::tools::{common, read_json};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Its name in `tools.lock`.
pub const TOOL: &str = "kubeconform";

/// The newest minor of Kubernetes that there are schemas for.
pub const NEWEST: &str = schemas::MINORS[schemas::MINORS.len() - 1];

/// The rule of an object that the API would refuse.
const INVALID: &str = "invalid-object";
/// The rule of an object of a kind that is not known here.
const MISSING_SCHEMA: &str = "missing-schema";
/// The rule of something that is no object.
const UNREADABLE: &str = "unreadable-object";
/// The rule of a file without objects.
const EMPTY: &str = "no-objects";

/// Where the schemas are laid out, relative to the root.
const SCHEMAS: &str = "target/xtask/schemas";

/// What was seen of one file.
#[derive(Debug, PartialEq, Eq)]
pub struct Valid {
    /// What is wrong; what is wrong in several minors is there once.
    pub observations: Vec<Observation>,
    /// How many objects the file holds.
    pub resources: u64,
    /// The minors of Kubernetes that it was validated for.
    pub kubernetes: Vec<String>,
}

/// Validates every object in a file of YAML documents, named relative to the root, for each minor that is supported.
pub async fn validate(cx: &Cx, file: &str) -> Result<Valid, StageError> {
    let path = cx.root().join(file);
    let text = std::fs::read_to_string(&path).map_err(StageError::io("cannot read", &path))?;
    let folder = schemas::unpack(&cx.root().join(SCHEMAS))?;
    let mut seen = Vec::new();
    for minor in schemas::MINORS {
        let location = folder.join(minor).join(schemas::LAYOUT);
        let call = Call::new(cx.program(TOOL)?)
            .args(["-strict", "-verbose", "-summary", "-output", "json", "-schema-location"])
            .arg(location)
            .arg(file);
        seen.push((minor, read(&cx.exec(call).await?)?));
    }
    Ok(summarize(&seen, file, &text))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Report {
    resources: Vec<Resource>,
    summary: Summary,
}

#[derive(Deserialize)]
struct Resource {
    kind: String,
    name: String,
    version: String,
    status: Status,
    msg: String,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
enum Status {
    #[serde(rename = "statusValid")]
    Valid,
    #[serde(rename = "statusInvalid")]
    Invalid,
    #[serde(rename = "statusError")]
    Error,
    #[serde(rename = "statusSkipped")]
    Skipped,
    /// A document without content.
    #[serde(rename = "")]
    Empty,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Summary {
    valid: usize,
    invalid: usize,
    errors: usize,
    skipped: usize,
}

/// The objects of a report that is complete and that skipped none.
fn read(ran: &Ran) -> Result<Vec<Resource>, StageError> {
    let unreadable = |why: String| common::unreadable(TOOL, why);
    if !matches!(ran.code, 0 | 1) || (ran.stdout.is_empty() && !ran.stderr.is_empty()) {
        let said = String::from_utf8_lossy(&ran.stderr);
        let first = said.lines().next().unwrap_or_default();
        return Err(unreadable(format!("it exited with {} and said: {first}", ran.code)));
    }
    let Report { resources, summary } = read_json(TOOL, &ran.stdout)?;
    let count = |status| resources.iter().filter(|one| one.status == status).count();
    let counted = [Status::Valid, Status::Invalid, Status::Error, Status::Skipped].map(count);
    if counted != [summary.valid, summary.invalid, summary.errors, summary.skipped] {
        return Err(unreadable("it lists other objects than it counts".to_owned()));
    }
    if let Some(one) = resources.iter().find(|one| one.status == Status::Skipped) {
        return Err(unreadable(format!("it skipped {} {}, which nothing told it to", one.kind, one.name)));
    }
    Ok(resources.into_iter().filter(|one| one.status != Status::Empty).collect())
}

fn summarize(seen: &[(&str, Vec<Resource>)], file: &str, text: &str) -> Valid {
    let kubernetes: Vec<String> = seen.iter().map(|(minor, _)| (*minor).to_owned()).collect();
    let resources = seen.iter().map(|(_, resources)| resources.len()).max().unwrap_or_default();
    if resources == 0 {
        let message = "it holds no object, so there was nothing to validate";
        let observations = vec![Observation::new(EMPTY, Severity::Medium, message).at(file, None)];
        return Valid { observations, resources: 0, kubernetes };
    }
    // The same complaint about the same object is one observation that names the minors.
    let mut complaints: BTreeMap<(Observation, String), Vec<&str>> = BTreeMap::new();
    for (minor, resources) in seen {
        for resource in resources {
            for complaint in complaints_about(resource, file, text) {
                complaints.entry((complaint, resource.version.clone())).or_default().push(minor);
            }
        }
    }
    let observations = complaints.into_iter().map(|((mut complaint, _), minors)| {
        complaint.message = format!("{} (Kubernetes {})", complaint.message, minors.join(", "));
        complaint
    });
    Valid { observations: observations.collect(), resources: resources as u64, kubernetes }
}

fn complaints_about(resource: &Resource, file: &str, text: &str) -> Vec<Observation> {
    let Resource { kind, name, version, msg, .. } = resource;
    let line = line_of(text, kind, name);
    let observation =
        |rule, severity, message: String| Observation::new(rule, severity, message).at(file, line);
    match resource.status {
        Status::Valid | Status::Skipped | Status::Empty => Vec::new(),
        Status::Invalid => leaves(msg)
            .into_iter()
            .map(|what| observation(INVALID, Severity::High, format!("{kind} {name}: {what}")))
            .collect(),
        Status::Error if msg.starts_with("could not find schema for ") => {
            let message =
                format!("{kind} {name}: there is no schema for {kind} in {version}, it was not looked at");
            vec![observation(MISSING_SCHEMA, Severity::Medium, message)]
        }
        Status::Error => {
            let what = if name.is_empty() { msg.clone() } else { format!("{name}: {msg}") };
            vec![observation(UNREADABLE, Severity::High, what)]
        }
    }
}

/// The complaints in a validator's message that no other complaint explains: the leaves of a tree, of which kubeconform gives the
/// indentation but no line breaks: ` - at '/spec': validation failed   - at '/spec/replicas': got string, want integer`.
fn leaves(message: &str) -> Vec<String> {
    const MARK: &str = "- at '";
    let mut entries: Vec<(usize, &str)> = Vec::new();
    let mut before = message.split(MARK).next().unwrap_or_default();
    for entry in message.split(MARK).skip(1) {
        let depth = before.len() - before.trim_end_matches(' ').len();
        entries.push((depth, entry));
        before = entry;
    }
    let depths: Vec<usize> = entries.iter().map(|(depth, _)| *depth).collect();
    let deepest = entries
        .iter()
        .enumerate()
        .filter(|(at, (depth, _))| depths.get(at + 1).is_none_or(|next| next <= depth));
    let leaves: Vec<String> = deepest
        .map(|(_, (_, entry))| match entry.split_once("': ") {
            Some(("", what)) => what.trim().to_owned(),
            Some((place, what)) => format!("{place}: {}", what.trim()),
            None => (*entry).trim().to_owned(),
        })
        .collect();
    if leaves.is_empty() { vec![message.to_owned()] } else { leaves }
}

/// The line on which the document with this object begins. kubeconform does not say, and a render holds many.
fn line_of(text: &str, kind: &str, name: &str) -> Option<u32> {
    let mut found = None;
    let (mut start, mut has_kind, mut has_name) = (1, false, false);
    for (number, line) in (1..).zip(text.lines().chain(["---"])) {
        if line.trim_end() == "---" {
            if has_kind && has_name && !kind.is_empty() {
                // Two objects of one kind and name may differ in their namespaces; then no line is better than a wrong one.
                if found.is_some() {
                    return None;
                }
                found = Some(start);
            }
            (start, has_kind, has_name) = (number + 1, false, false);
        }
        let value = |key: &str| line.strip_prefix(key).map(|rest| rest.trim().trim_matches(['"', '\'']));
        has_kind |= value("kind:") == Some(kind);
        has_name |= value("  name:") == Some(name);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::testdata::{recorded, refuses_any_cut};

    fn ran(path: &str, code: i32) -> Ran {
        Ran { code, stdout: recorded(path), stderr: Vec::new() }
    }

    fn report(path: &str, code: i32) -> Valid {
        let resources = read(&ran(path, code)).unwrap();
        summarize(&[("1.36", resources)], "render.yaml", "")
    }

    #[test]
    fn a_valid_file_has_no_observation_and_says_how_much_it_holds() {
        let valid = report("kubeconform/0.8.0/valid.json", 0);
        assert_eq!((valid.observations.len(), valid.resources), (0, 2));
        assert_eq!(valid.kubernetes, ["1.36"]);
        let older = report("kubeconform/0.5.0/valid.json", 0);
        assert_eq!(older, valid);
    }

    #[test]
    fn each_fault_of_an_object_is_an_observation_of_its_own() {
        let seen = report("kubeconform/0.8.0/invalid.json", 1).observations;
        let messages: Vec<&str> = seen.iter().map(|one| one.message.as_str()).collect();
        assert_eq!(
            messages,
            [
                "Deployment hello: /spec/replicas: got string, want null or integer (Kubernetes 1.36)",
                "Deployment hello: /spec: additional properties 'replica' not allowed (Kubernetes 1.36)",
                "Deployment hello: /spec: missing property 'template' (Kubernetes 1.36)",
                "Service hello: /spec/ports/0/port: got string, want integer (Kubernetes 1.36)",
            ]
        );
        assert!(seen.iter().all(|one| one.rule == INVALID && one.severity == Severity::High));
        assert!(seen.iter().all(|one| one.file.as_deref() == Some("render.yaml")));
    }

    #[test]
    fn of_nested_complaints_only_those_that_explain_the_others_stay() {
        let ours = recorded("kubeconform/0.8.0/own-schemas.json");
        let seen = read(&Ran { code: 1, stdout: ours, stderr: Vec::new() }).unwrap();
        let seen = summarize(&[("1.36", seen)], "pod.yaml", "").observations;
        let messages: Vec<&str> = seen.iter().map(|one| one.message.as_str()).collect();
        assert_eq!(
            messages,
            [
                "Pod hello: /spec/containers/0/livenessProbe/httpGet: additional properties 'prt' not allowed (Kubernetes 1.36)",
                "Pod hello: /spec/containers/0/livenessProbe/httpGet: missing property 'port' (Kubernetes 1.36)",
                "Pod hello: /spec/containers/0/ports/0/containerPort: got string, want integer (Kubernetes 1.36)",
                "Pod hello: /spec/containers/0/resources/limits/memory: '64MB' does not match pattern \
                 '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$' (Kubernetes 1.36)",
            ]
        );
    }

    #[test]
    fn the_same_fault_in_several_minors_is_one_observation() {
        let one = || read(&ran("kubeconform/0.8.0/invalid.json", 1)).unwrap();
        let none = read(&ran("kubeconform/0.8.0/valid.json", 0)).unwrap();
        let valid = summarize(&[("1.34", one()), ("1.35", one()), ("1.36", none)], "render.yaml", "");
        assert_eq!(valid.observations.len(), 4);
        assert!(valid.observations.iter().all(|one| one.message.ends_with("(Kubernetes 1.34, 1.35)")));
        assert_eq!(valid.kubernetes, ["1.34", "1.35", "1.36"]);
    }

    #[test]
    fn a_kind_without_a_schema_is_said_and_not_skipped() {
        let seen = report("kubeconform/0.8.0/missing-schema.json", 1).observations;
        assert_eq!((seen[0].rule.as_str(), seen[0].severity), (MISSING_SCHEMA, Severity::Medium));
        assert!(seen[0].message.contains("Widget in example.org/v1"), "{}", seen[0].message);
        assert!(matches!(
            read(&ran("kubeconform/0.8.0/missing-schema-ignored.json", 0)),
            Err(StageError::Unreadable { .. })
        ));
    }

    #[test]
    fn what_is_no_object_is_a_finding_and_so_is_a_file_without_any() {
        for case in ["unparsable", "kindless"] {
            let seen = report(&format!("kubeconform/0.8.0/{case}.json"), 1).observations;
            assert_eq!((seen[0].rule.as_str(), seen[0].severity), (UNREADABLE, Severity::High), "{case}");
        }
        let empty = report("kubeconform/0.8.0/empty-input.json", 0);
        assert_eq!((empty.observations[0].rule.as_str(), empty.resources), (EMPTY, 0));
    }

    #[test]
    fn a_report_that_is_cut_or_counts_otherwise_is_refused() {
        let read_bytes = |bytes: &[u8]| read(&Ran { code: 1, stdout: bytes.to_vec(), stderr: Vec::new() });
        refuses_any_cut(&recorded("kubeconform/0.8.0/mixed.json"), read_bytes);
        // Without -verbose valid objects are counted but not listed: then nobody knows which were looked at.
        assert!(read_bytes(&recorded("kubeconform/0.8.0/valid-quiet.json")).is_err());
        let usage =
            Ran { code: 1, stdout: Vec::new(), stderr: recorded("kubeconform/0.8.0/bad-usage.stderr.txt") };
        assert!(
            matches!(read(&usage), Err(StageError::Unreadable { why, .. }) if why.contains("flag provided but not defined"))
        );
    }

    #[test]
    fn an_object_is_placed_where_its_document_begins_unless_two_have_its_name() {
        let text = "---\n# Source: app/a.yaml\nkind: Service\nmetadata:\n  name: a\n---\nkind: Role\nmetadata:\n  name: \"a\"\n";
        assert_eq!(line_of(text, "Service", "a"), Some(2));
        assert_eq!(line_of(text, "Role", "a"), Some(7));
        assert_eq!(line_of(text, "Role", "b"), None);
        assert_eq!(line_of(&text.repeat(2), "Role", "a"), None);
    }
}
