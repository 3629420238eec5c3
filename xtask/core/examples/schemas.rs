//! Makes `schemas/kubernetes.jsonl` and `schemas/extensions.jsonl` again, from published Go modules:
//!
//! ```console
//! $ go mod download k8s.io/kubernetes@v1.34.4 …          # every module that is named below
//! $ cargo run -p xtask-core --example schemas -- "$(go env GOMODCACHE)"
//! ```
//!
//! Of an API only what decides whether an object is valid is kept: descriptions and defaults go, and what the API server does to
//! an object before it looks at it is put into words of JSON Schema. It refuses fields that it does not know (when told to be
//! strict), it takes `null` for an optional field that was left out, and it reads `250m` and `1Gi` as numbers.

use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The minors, each with the module that its OpenAPI document comes from.
const KUBERNETES: [(&str, &str); 3] = [
    ("1.34", "k8s.io/kubernetes@v1.34.4"),
    ("1.35", "k8s.io/kubernetes@v1.35.4"),
    ("1.36", "k8s.io/kubernetes@v1.36.3"),
];

/// The modules with custom resource definitions that charts meet most, and the files in them.
const EXTENSIONS: [(&str, &str, &[&str]); 3] = [
    (
        "sigs.k8s.io/gateway-api@v1.5.1",
        "config/crd/standard/gateway.networking.k8s.io_",
        &["gateways", "grpcroutes", "httproutes", "referencegrants", "tlsroutes"],
    ),
    (
        "github.com/prometheus-operator/prometheus-operator@v0.85.0",
        "example/prometheus-operator-crd/monitoring.coreos.com_",
        &["podmonitors", "probes", "prometheusrules", "servicemonitors"],
    ),
    (
        "github.com/external-secrets/external-secrets@v1.3.2",
        "config/crds/bases/external-secrets.io_",
        &["clustersecretstores", "externalsecrets", "pushsecrets", "secretstores"],
    ),
];

const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// Definitions that the OpenAPI document describes by words only.
const QUANTITY: &str = "io.k8s.apimachinery.pkg.api.resource.Quantity";
const INT_OR_STRING: &str = "io.k8s.apimachinery.pkg.util.intstr.IntOrString";
/// What the API server's own parser of quantities takes.
const QUANTITY_PATTERN: &str = "^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$";

/// One definition: where it holds, and for which kinds it is the whole object.
#[derive(serde::Serialize)]
struct Record {
    name: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    kinds: Vec<String>,
    minors: Vec<&'static str>,
    schema: Value,
}

fn main() -> Result<(), String> {
    let cache = std::env::args_os().nth(1).ok_or("the Go module cache is missing: `go env GOMODCACHE`")?;
    let cache = PathBuf::from(cache);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas");
    let minors: Vec<&str> = KUBERNETES.iter().map(|(minor, _)| *minor).collect();

    let mut records: Vec<Record> = Vec::new();
    for (minor, module) in KUBERNETES {
        let text = read(&cache.join(module).join("api/openapi-spec/swagger.json"))?;
        let document: Value = serde_json::from_str(&text).map_err(|error| format!("{module}: {error}"))?;
        for (name, kinds, schema) in built_in(&document) {
            match records.iter_mut().find(|known| known.name == name && known.schema == schema) {
                Some(known) => known.minors.push(minor),
                None => records.push(Record { name, kinds, minors: vec![minor], schema }),
            }
        }
    }
    write(&folder.join("kubernetes.jsonl"), records)?;

    let mut records = Vec::new();
    for (module, prefix, files) in EXTENSIONS {
        for file in files {
            let path = cache.join(module).join(format!("{prefix}{file}.yaml"));
            let document: Value = serde_yaml::from_str(&read(&path)?)
                .map_err(|error| format!("{}: {error}", path.display()))?;
            let found = extension(&document);
            if found.is_empty() {
                return Err(format!("{} defines nothing that is served", path.display()));
            }
            records.extend(found.into_iter().map(|(name, kind, schema)| Record {
                name,
                kinds: vec![kind],
                minors: minors.clone(),
                schema,
            }));
        }
    }
    write(&folder.join("extensions.jsonl"), records)
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path)
        .map_err(|error| format!("{}: {error}; `go mod download` puts the module there", path.display()))
}

/// One line a definition, in a fixed order: a new minor then shows as the definitions that it changes.
fn write(path: &Path, mut records: Vec<Record>) -> Result<(), String> {
    records.sort_by(|a, b| (&a.name, &a.minors).cmp(&(&b.name, &b.minors)));
    let mut text = String::new();
    for record in &records {
        text += &serde_json::to_string(record).map_err(|error| error.to_string())?;
        text.push('\n');
    }
    std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

/// The definitions of an OpenAPI document that an object can hold, with the kinds that they are the whole of.
fn built_in(document: &Value) -> Vec<(String, Vec<String>, Value)> {
    let none = Map::new();
    let definitions = document["definitions"].as_object().unwrap_or(&none);
    let mut wanted = BTreeSet::new();
    let mut open: Vec<&str> = definitions
        .iter()
        .filter(|(_, definition)| !kinds(definition).is_empty())
        .map(|(name, _)| name.as_str())
        .collect();
    while let Some(name) = open.pop() {
        if let Some((name, definition)) = definitions.get_key_value(name)
            && wanted.insert(name)
        {
            references(definition, &mut open);
        }
    }
    let schemas = wanted.into_iter().map(|name| {
        let definition = &definitions[name];
        let schema = match name.as_str() {
            QUANTITY => json!({"type": ["number", "string"], "pattern": QUANTITY_PATTERN}),
            INT_OR_STRING => json!({"type": ["integer", "string"]}),
            _ => structure(definition),
        };
        (name.clone(), kinds(definition), schema)
    });
    schemas.collect()
}

/// The kinds that a definition is the whole of: of an object that has metadata, not of a list, an option or an answer.
fn kinds(definition: &Value) -> Vec<String> {
    if !definition["properties"]["metadata"]["$ref"].as_str().is_some_and(|path| path.ends_with(OBJECT_META))
    {
        return Vec::new();
    }
    let declared = definition["x-kubernetes-group-version-kind"].as_array().into_iter().flatten();
    let names = declared.map(|gvk| {
        let text = |key: &str| gvk[key].as_str().unwrap_or_default();
        kind_name(text("group"), text("version"), text("kind"))
    });
    names.collect()
}

fn kind_name(group: &str, version: &str, kind: &str) -> String {
    if group.is_empty() { format!("{version}/{kind}") } else { format!("{group}/{version}/{kind}") }
}

fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(map) => {
            let target = map.get("$ref").and_then(Value::as_str).and_then(|path| path.rsplit('/').next());
            found.extend(target);
            map.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| references(value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The served versions of a custom resource.
fn extension(document: &Value) -> Vec<(String, String, Value)> {
    let spec = &document["spec"];
    let group = spec["group"].as_str().unwrap_or_default();
    let kind = spec["names"]["kind"].as_str().unwrap_or_default();
    let versions = spec["versions"].as_array().into_iter().flatten();
    let served = versions.filter(|version| version["served"] == json!(true));
    let schemas = served.map(|version| {
        let name = version["name"].as_str().unwrap_or_default();
        let mut schema = structure(&version["schema"]["openAPIV3Schema"]);
        schema["properties"]["metadata"] = json!({"$ref": format!("#/definitions/{OBJECT_META}")});
        (format!("{group}.{name}.{kind}"), kind_name(group, name, kind), schema)
    });
    schemas.collect()
}

/// What stays of a schema as it is. Formats are left to the API server but for the two that people get wrong.
const KEPT: [&str; 16] = [
    "$ref",
    "allOf",
    "anyOf",
    "enum",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "not",
    "oneOf",
    "pattern",
];

/// The schema of a field, made strict.
fn structure(schema: &Value) -> Value {
    let mut kept: BTreeMap<&str, Value> = BTreeMap::new();
    let has = |key: &str| schema[key] == json!(true);
    for key in KEPT {
        if let Some(value) = schema.get(key) {
            kept.insert(key, without_words(value));
        }
    }
    if let Some(kind) = schema.get("type") {
        kept.insert("type", kind.clone());
    }
    if let Some(format @ ("date-time" | "duration")) = schema["format"].as_str() {
        kept.insert("format", json!(format));
    }
    if has("x-kubernetes-int-or-string") {
        kept.remove("anyOf");
        kept.insert("type", json!(["integer", "string"]));
    }
    if let Some(items) = schema.get("items") {
        kept.insert("items", structure(items));
    }
    if let Some(values) = schema.get("additionalProperties") {
        kept.insert(
            "additionalProperties",
            if values.is_object() { structure(values) } else { values.clone() },
        );
    }
    if let Some(properties) = schema["properties"].as_object() {
        let required: BTreeSet<&str> =
            schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let fields = properties.iter().map(|(name, field)| {
            let strict = structure(field);
            let field = if required.contains(name.as_str()) { strict } else { or_null(strict) };
            (name.clone(), field)
        });
        kept.insert("properties", Value::Object(fields.collect()));
        if !has("x-kubernetes-preserve-unknown-fields") {
            kept.entry("additionalProperties").or_insert(json!(false));
        }
    }
    if let Some(required) = schema.get("required") {
        kept.insert("required", required.clone());
    }
    let strict = json!(kept);
    if has("nullable") { or_null(strict) } else { strict }
}

/// What stands below `allOf`, `not` and the like adds conditions and no fields: only words go.
fn without_words(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map.iter().filter(|(key, value)| !(*key == "description" && value.is_string()));
            Value::Object(kept.map(|(key, value)| (key.clone(), without_words(value))).collect())
        }
        Value::Array(items) => items.iter().map(without_words).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

/// The same or `null`, in a form that leaves the complaints about anything else as they were.
fn or_null(schema: Value) -> Value {
    let simple = schema["type"].is_string()
        && ["$ref", "allOf", "anyOf", "enum", "not", "oneOf"].iter().all(|key| schema.get(key).is_none());
    match (simple, schema) {
        (true, mut schema) => {
            schema["type"] = json!([schema["type"], "null"]);
            schema
        }
        (false, Value::Object(empty)) if empty.is_empty() => Value::Object(empty),
        (false, schema) => json!({"if": {"type": "null"}, "else": schema}),
    }
}
