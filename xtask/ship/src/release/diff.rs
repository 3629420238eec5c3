//! `diff`: what a deployment would change, field by field, as the cluster's own dry run says. So drift shows too: what somebody
//! changed by hand and the release would change back. No content of a Secret is shown.

use super::error::ReleaseError;
use super::objects;
use super::open::Cx;
use super::trial::{Trial, Tried, meaning};
use serde_json::Value;
use std::fmt::Write;

/// Longer values are cut.
const LONGEST: usize = 200;

/// Compares.
pub(crate) async fn diff(cx: &Cx, digest: Option<&str>) -> Result<String, ReleaseError> {
    let rendered = cx.helm.render(&cx.chart(digest)?).await?;
    let target = objects::read("upgrade", &rendered.manifest)?;
    let tried = Trial::new(cx).all(&target).await?;
    let mut text: String = tried.iter().map(one).collect();
    if let Some(newest) = cx.helm.history(&cx.release).await?.last() {
        let now = objects::read("get manifest", &cx.helm.manifest(&cx.release, newest.number).await?)?;
        for gone in now.iter().filter(|old| !target.iter().any(|new| new.title() == old.title())) {
            let _ = writeln!(text, "- {}", gone.title());
        }
    }
    if text.is_empty() {
        text.push_str("nothing would change\n");
    }
    Ok(text)
}

fn one(tried: &Tried) -> String {
    let after = match &tried.after {
        Ok(after) => after,
        Err(why) => return format!("! {}: the cluster refuses it: {why}\n", tried.title),
    };
    let Some(change) = tried.change() else { return String::new() };
    let mut text = format!("{change}\n");
    if let Some(live) = &tried.live {
        fields(&meaning(live), &meaning(after), "", tried.kind == "Secret", &mut text);
    }
    text
}

/// Writes every field that differs, by its path.
fn fields(before: &Value, after: &Value, path: &str, secret: bool, text: &mut String) {
    match (before, after) {
        (Value::Object(old), Value::Object(new)) => {
            let mut names: Vec<&String> = old.keys().chain(new.keys()).collect();
            names.sort();
            names.dedup();
            for name in names {
                let (old, new) =
                    (old.get(name).unwrap_or(&Value::Null), new.get(name).unwrap_or(&Value::Null));
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                fields(old, new, &path, secret, text);
            }
        }
        (Value::Array(old), Value::Array(new)) if old.len() == new.len() => {
            for (index, (old, new)) in old.iter().zip(new).enumerate() {
                fields(old, new, &format!("{path}[{index}]"), secret, text);
            }
        }
        (old, new) if old == new => {}
        (old, new) => {
            let hidden = secret && (path.starts_with("data") || path.starts_with("stringData"));
            let shown = |value: &Value| if hidden { "(not shown)".to_owned() } else { short(value) };
            let _ = writeln!(text, "    {path}: {} -> {}", shown(old), shown(new));
        }
    }
}

fn short(value: &Value) -> String {
    let text = if value.is_null() { "nothing".to_owned() } else { value.to_string() };
    let end = text.floor_char_boundary(text.len().min(LONGEST));
    if end < text.len() { format!("{}…", &text[..end]) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn tried(kind: &str, live: Option<Value>, after: Result<Value, String>) -> String {
        one(&Tried { title: format!("{kind} a"), kind: kind.into(), live, after })
    }

    #[test]
    fn a_change_is_shown_by_its_path_and_what_only_the_server_writes_is_not() {
        let live = json!({ "metadata": { "name": "a", "resourceVersion": "1" }, "spec": { "replicas": 1, "old": [1] }, "status": {} });
        let after = json!({ "metadata": { "name": "a", "resourceVersion": "2" }, "spec": { "replicas": 2, "old": [2] } });
        assert_eq!(
            tried("Deployment", Some(live.clone()), Ok(after)),
            "~ Deployment a\n    spec.old[0]: 1 -> 2\n    spec.replicas: 1 -> 2\n"
        );
        assert_eq!(tried("Deployment", Some(live.clone()), Ok(live)), "");
        assert_eq!(tried("Deployment", None, Ok(json!({}))), "+ Deployment a\n");
        assert_eq!(
            tried("Deployment", None, Err("no".into())),
            "! Deployment a: the cluster refuses it: no\n"
        );
    }

    #[test]
    fn no_content_of_a_secret_is_shown() {
        let text =
            tried("Secret", Some(json!({ "data": { "a": "b2xk" } })), Ok(json!({ "data": { "a": "bmV3" } })));
        assert_eq!(text, "~ Secret a\n    data.a: (not shown) -> (not shown)\n");
    }
}
