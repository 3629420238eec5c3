//! `values.schema.json` knows every key: a misspelt one is refused wherever it stands.

use crate::files::{chart, text, yaml};
use serde_json::Value;

fn schema() -> Value {
    serde_json::from_str(&text(&chart().join("values.schema.json"))).unwrap()
}

/// Where the schema describes an object and lets through keys that it does not know. A condition (`if`, `then`) describes nothing: it
/// only says more of what is described elsewhere.
fn open_objects(schema: &Value, place: &str) -> Vec<String> {
    let mut open = Vec::new();
    match schema {
        Value::Object(fields) => {
            let is_object = fields.get("type") == Some(&"object".into());
            // A map of strings has keys of its own, but what they lead to is known.
            let is_closed = match fields.get("additionalProperties") {
                Some(Value::Bool(more)) => !more,
                Some(Value::Object(typed)) => typed.contains_key("type") || typed.contains_key("$ref"),
                _ => false,
            };
            if is_object && !is_closed {
                open.push(place.to_owned());
            }
            for (key, inner) in fields.iter().filter(|(key, _)| !matches!(key.as_str(), "if" | "then")) {
                open.extend(open_objects(inner, &format!("{place}/{key}")));
            }
        }
        Value::Array(items) => {
            for (at, inner) in items.iter().enumerate() {
                open.extend(open_objects(inner, &format!("{place}/{at}")));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    open
}

/// Every place where the schema says what else an object may have.
fn closings(schema: &Value, place: &str) -> Vec<String> {
    let Value::Object(fields) = schema else { return Vec::new() };
    let mut found: Vec<String> = fields
        .iter()
        .filter(|(key, _)| !matches!(key.as_str(), "if" | "then"))
        .flat_map(|(key, inner)| closings(inner, &format!("{place}/{key}")))
        .collect();
    if fields.contains_key("additionalProperties") {
        found.push(place.to_owned());
    }
    found
}

#[test]
fn no_object_lets_through_a_key_that_it_does_not_know() {
    assert_eq!(open_objects(&schema(), ""), Vec::<String>::new());
}

#[test]
fn an_object_that_is_opened_anywhere_is_found() {
    let closings = closings(&schema(), "");
    assert!(closings.len() > 25, "{closings:?}");
    for place in closings {
        for weakened in [None, Some(Value::Bool(true))] {
            let mut schema = schema();
            let object = schema.pointer_mut(&place).unwrap().as_object_mut().unwrap();
            match weakened {
                None => object.remove("additionalProperties"),
                Some(weak) => object.insert("additionalProperties".to_owned(), weak),
            };
            assert_eq!(open_objects(&schema, ""), std::slice::from_ref(&place));
        }
    }
}

#[test]
fn every_default_is_described_and_required() {
    fn compare(values: &Value, schema: &Value, root: &Value, place: &str) {
        let schema = match schema["$ref"].as_str() {
            Some(reference) => root.pointer(reference.trim_start_matches('#')).unwrap(),
            None => schema,
        };
        let (Some(values), Some(known)) = (values.as_object(), schema["properties"].as_object()) else {
            return;
        };
        let required: Vec<&str> =
            schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        for (key, value) in values {
            let described = known.get(key).unwrap_or_else(|| panic!("{place}.{key} is not in the schema"));
            assert!(
                required.contains(&key.as_str()),
                "{place}.{key} may be left out, and templates rely on it"
            );
            compare(value, described, root, &format!("{place}.{key}"));
        }
        for key in required {
            assert!(values.contains_key(key), "{place}.{key} is required and has no default");
        }
    }
    let schema = schema();
    let mut values = yaml(&chart().join("values.yaml"));
    // Nothing is in it but what the one who deploys puts there.
    values["secret"]["sysEnv"].take();
    compare(&values, &schema, &schema, "");
}
