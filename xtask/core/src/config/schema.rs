//! `pipeline.schema.json`: made from the types of [`raw`](super::raw), checked in, and proven to agree with the parser. The
//! product has none of this.

use super::env::Ambient;
use super::examples::EXAMPLES;
use super::load::parse;
use super::raw::Pipeline;
use super::resolved::EnvName;
use super::text::{Checked, Program, Rule, Vocabulary, Word};
use super::value::{Command, Count, Entries, Flag, List, Opt, Version};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::path::PathBuf;

macro_rules! inline {
    ($generator:ident, [$($parameters:tt)*] $type:ty => $schema:expr) => {
        impl<$($parameters)*> JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }
            fn inline_schema() -> bool {
                true
            }
            fn json_schema($generator: &mut SchemaGenerator) -> Schema {
                $schema
            }
        }
    };
}

inline!(generator, [T: JsonSchema] Opt<T> => generator.subschema_for::<T>());
inline!(generator, [T: JsonSchema, const MIN: usize] List<T, MIN> => at_least(MIN, "minItems", json_schema!({
    "type": "array",
    "items": generator.subschema_for::<T>(),
})));
inline!(generator, [K: JsonSchema, V: JsonSchema, const MIN: usize] Entries<K, V, MIN> => {
    at_least(MIN, "minProperties", json_schema!({
        "type": "object",
        "propertyNames": generator.subschema_for::<K>(),
        "additionalProperties": generator.subschema_for::<V>(),
    }))
});
inline!(_generator, [] Flag => json_schema!({ "type": "boolean" }));
inline!(_generator, [] Count => json_schema!({ "type": "integer", "minimum": 0, "maximum": u32::MAX }));
inline!(_generator, [] Version => json_schema!({ "const": 1 }));
inline!(_generator, [R: Rule] Checked<R> => json_schema!({ "type": "string", "pattern": R::PATTERN }));
inline!(_generator, [T: Vocabulary] Word<T> => json_schema!({ "enum": T::WORDS }));
inline!(generator, [] Command => json_schema!({
    "type": "array",
    "prefixItems": [generator.subschema_for::<Checked<Program>>()],
    "items": { "type": "string" },
    "minItems": 1,
}));

fn at_least(min: usize, keyword: &str, mut schema: Schema) -> Schema {
    if min > 0 {
        schema.insert(keyword.to_owned(), min.into());
    }
    schema
}

fn generated() -> Value {
    let mut schema = SchemaGenerator::default().into_root_schema_for::<Pipeline>();
    schema.insert("title".into(), "pipeline.yaml".into());
    schema.to_value()
}

fn checked_in() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../pipeline.schema.json")
}

/// Judges documents by the schema, as an editor does.
struct Judge {
    schemas: boon::Schemas,
    index: boon::SchemaIndex,
}

impl Judge {
    fn new() -> Judge {
        let (mut schemas, mut compiler) = (boon::Schemas::new(), boon::Compiler::new());
        compiler.add_resource("pipeline.json", generated()).unwrap();
        let index = compiler.compile("pipeline.json", &mut schemas).unwrap();
        Judge { schemas, index }
    }

    fn accepts(&self, document: &Value) -> bool {
        self.schemas.validate(document, self.index).is_ok()
    }
}

/// Every field, and every kind of value, at least once.
fn everything() -> Value {
    json!({
        "version": 1,
        "project": "hello",
        "registry": "localhost:5000/team",
        "services": {
            "hello": {
                "path": "app",
                "language": "rust",
                "checks": { "lint": [["cargo", "clippy", ""]], "test": [] },
                "inputs": ["app/**", "!app/x"],
                "outputs": ["target/app.bin"],
                "env": ["RUSTFLAGS"],
                "junit": ["junit.xml"],
                "image": {
                    "dockerfile": "app/Dockerfile",
                    "context": ".",
                    "platforms": ["linux/amd64", "linux/arm/v7"],
                    "embedded": { "build": ["make"], "files": { "/app": "target/app" } },
                },
                "chart": "charts/app",
                "after": ["other"],
            },
        },
        "environments": {
            "prod": {
                "cluster": "c",
                "region": "r",
                "account": "111122223333",
                "namespace": "n",
                "values": "values.yaml",
                "approval": true,
                "github_environment": "g",
                "promoted_from": "dev",
                "kubeconfig": "k",
                "context": "c",
                "cluster_uid": "u",
                "label": "l",
                "registry": "localhost:5000",
                "guards": {
                    "refs": ["main"],
                    "freeze": [{ "from": "2026-12-20", "to": "2027-01-02", "reason": "r" }],
                },
                "budgets": { "lock": "1m", "apply": "2m", "watch": "3m", "soak": "4s" },
            },
        },
        "charts": ["charts/other"],
        "terraform": { "path": "t", "stand_in": "s", "var_files": ["v"] },
        "ansible": { "path": "a", "playbooks": ["p"], "inventory": "i" },
        "workflows": { "path": "w", "generated": false },
        "secrets": ["TOKEN"],
        "limits": {
            "vulnerabilities": { "reject": ["low", "critical"], "ignore_unfixed": true },
            "waivers": [{ "id": "CVE-1", "owner": "o", "expires": "2027-01-31", "reason": "r" }],
            "timeouts": { "default": "20m", "scan": "90s" },
            "terraform": { "max_destroy": 3 },
        },
    })
}

/// What each value is replaced by: every type, and texts at the edge of each rule.
fn replacements() -> Vec<Value> {
    let long = "a".repeat(64);
    let texts = [
        "",
        " ",
        "x",
        "X",
        "x ",
        "x-",
        "-x",
        "x_y",
        "x y",
        "x\ny",
        "x\u{7f}",
        "ä",
        "0",
        "7x",
        &long,
        &long[1..],
        "true",
        "~",
        "1s",
        "0s",
        "01m",
        "99h",
        "1234567s",
        "1d",
        "s",
        "20 m",
        "2027-01-31",
        "2027-1-31",
        "20270131",
        "111122223333",
        "11112222333",
        "11112222333x",
        "linux/amd64",
        "linux",
        "linux/",
        "linux/a/b/c",
        "https://x",
        "x/",
        "x:1",
        "x:",
        "x:123456",
        "x//y",
        "x/y_z",
        "x.y",
        "high",
        "unknown",
        "rust",
        "Rust",
        "default",
    ];
    let mut all: Vec<Value> = texts.into_iter().map(Value::from).collect();
    all.extend([
        json!(null),
        json!(true),
        json!(0),
        json!(1),
        json!(-1),
        json!(1.5),
        json!(4_294_967_296_u64),
        json!(2),
    ]);
    all.extend([
        json!([]),
        json!({}),
        json!([[]]),
        json!(["x"]),
        json!([["x"]]),
        json!({ "x": "x" }),
        json!([null]),
        json!({ "x": null }),
    ]);
    all
}

/// Every document that is one step away from this one: a value replaced, a field removed, added or renamed. Each with the step.
fn neighbours(document: &Value) -> Vec<(String, Value)> {
    let mut all: Vec<(String, Value)> =
        replacements().into_iter().map(|value| (format!(" = {value}"), value)).collect();
    match document {
        Value::Object(fields) => {
            for (name, value) in fields {
                let with = |name: &str, value: Value| {
                    let mut fields = fields.clone();
                    fields.insert(name.to_owned(), value);
                    Value::Object(fields)
                };
                let mut without = fields.clone();
                without.remove(name);
                all.push((format!(".{name} removed"), Value::Object(without)));
                for other in ["x", "X", "scan", "langauge", "2x", ""] {
                    all.push((format!(".{other} = {value}"), with(other, value.clone())));
                }
                for (step, neighbour) in neighbours(value) {
                    all.push((format!(".{name}{step}"), with(name, neighbour)));
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                for (step, neighbour) in neighbours(item) {
                    let mut items = items.clone();
                    items[index] = neighbour;
                    all.push((format!("[{index}]{step}"), Value::Array(items)));
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    all
}

#[test]
fn the_schema_that_is_checked_in_is_the_one_that_the_types_give() {
    let text = format!("{}\n", serde_json::to_string_pretty(&generated()).unwrap());
    let update = Ambient::read().value(&EnvName("UPDATE_SCHEMA".into())).unwrap() == Some("1");
    if update {
        std::fs::write(checked_in(), &text).unwrap();
    }
    let there = std::fs::read_to_string(checked_in()).unwrap_or_default();
    assert!(there == text, "pipeline.schema.json is stale: UPDATE_SCHEMA=1 cargo test -p xtask-core schema");
}

#[test]
fn schema_and_parser_agree_on_a_document_with_everything_and_on_each_of_its_neighbours() {
    let judge = Judge::new();
    let document = everything();
    assert!(judge.accepts(&document));
    assert_eq!(parse(&document.to_string()).err().map(|error| error.to_string()), None);
    let (mut accepted, mut refused, mut disagreements) = (0, 0, Vec::new());
    for (step, neighbour) in neighbours(&document) {
        // YAML wants this character escaped, JSON does not.
        let text = neighbour.to_string().replace('\u{7f}', "\\u007f");
        let (parsed, schema) = (parse(&text), judge.accepts(&neighbour));
        match (parsed, schema) {
            (Ok(_), true) => accepted += 1,
            (Err(_), false) => refused += 1,
            (Ok(_), false) => disagreements.push(format!("{step}: only the parser accepts it")),
            (Err(error), true) => disagreements.push(format!("{step}: only the schema accepts it ({error})")),
        }
    }
    assert!(disagreements.is_empty(), "{}", disagreements.join("\n"));
    // Both happen often enough for the comparison to mean something.
    assert!(accepted > 300 && refused > 2000, "{accepted} accepted, {refused} refused");
}

#[test]
fn what_only_the_disk_the_calendar_or_another_field_can_tell_is_left_to_the_parser() {
    let judge = Judge::new();
    let service = json!({ "path": "not/there", "language": "rust", "inputs": ["[", "../x"] });
    let document = json!({
        "version": 1, "project": "p", "services": { "s": service },
        "environments": { "a": { "promoted_from": "a" } },
        "limits": { "waivers": [{ "id": "i", "owner": "o", "reason": "r", "expires": "1999-12-31" }] },
    });
    assert!(judge.accepts(&document));
    assert!(parse(&document.to_string()).is_ok());
}

#[test]
fn every_field_has_an_example_and_every_example_is_right() {
    let (schema, document, judge) = (generated(), everything(), Judge::new());
    let mut fields = BTreeSet::new();
    fields_of_schema(&schema, &schema, "", &mut fields);
    let mut used = BTreeSet::new();
    fields_of_document(&document, "", &fields, &mut used);
    assert_eq!(used, fields, "the document with everything");
    assert_eq!(EXAMPLES.iter().map(|(pattern, _)| (*pattern).to_owned()).collect::<BTreeSet<_>>(), fields);
    for (pattern, example) in EXAMPLES {
        let line: Value = serde_yaml::from_str(example).unwrap();
        let (key, value) = line.as_object().unwrap().iter().next().unwrap();
        let (way, last) = pattern.rsplit_once('.').unwrap_or(("", pattern));
        assert!(last == "*" || last == key, "{pattern}: {example}");
        let mut changed = document.clone();
        put(&mut changed, way, key, value.clone());
        assert!(judge.accepts(&changed), "{pattern}: {example}");
    }
}

fn below(prefix: &str, name: &str) -> String {
    if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") }
}

/// The patterns of all fields that a schema knows; names that a team chooses are `*`.
fn fields_of_schema(root: &Value, schema: &Value, prefix: &str, fields: &mut BTreeSet<String>) {
    if let Some(name) = schema["$ref"].as_str().and_then(|reference| reference.strip_prefix("#/$defs/")) {
        fields_of_schema(root, &root["$defs"][name], prefix, fields);
    }
    if let Some(items) = schema.get("items") {
        fields_of_schema(root, items, prefix, fields);
    }
    let chosen =
        schema["additionalProperties"].as_object().map(|_| ("*".to_owned(), &schema["additionalProperties"]));
    let named =
        schema["properties"].as_object().into_iter().flatten().map(|(name, field)| (name.clone(), field));
    for (name, field) in named.chain(chosen) {
        let path = below(prefix, &name);
        fields_of_schema(root, field, &path, fields);
        fields.insert(path);
    }
}

/// The patterns of all fields that a document has.
fn fields_of_document(value: &Value, prefix: &str, known: &BTreeSet<String>, fields: &mut BTreeSet<String>) {
    let any = below(prefix, "*");
    for (name, value) in value.as_object().into_iter().flatten() {
        let path = if known.contains(&any) { any.clone() } else { below(prefix, name) };
        fields_of_document(value, &path, known, fields);
        fields.insert(path);
    }
    for item in value.as_array().into_iter().flatten() {
        fields_of_document(item, prefix, known, fields);
    }
}

/// Puts a field into the mapping that a pattern leads to; `*` leads into the first entry, and into a list's first item.
fn put(document: &mut Value, way: &str, key: &str, value: Value) {
    let mut at = document;
    for name in way.split('.').filter(|name| !name.is_empty()) {
        at = if name == "*" {
            at.as_object_mut().unwrap().values_mut().next().unwrap()
        } else {
            &mut at[name]
        };
        if at.is_array() {
            at = &mut at[0];
        }
    }
    at[key] = value;
}
