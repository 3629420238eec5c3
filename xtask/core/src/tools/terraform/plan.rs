//! What a plan would do, from the JSON of `show`.

use super::diagnostics::known_version;
use super::exposure;
use super::{TOOL, unreadable};
use crate::error::StageError;
use crate::facts::{Action, Change, Changes};
use crate::tools::read_json;
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Shown {
    format_version: String,
    /// The planning broke off, and the plan holds what was planned until then.
    errored: bool,
    // Only absent from a plan that was cut or is none: a plan without resources has it too.
    #[serde(rename = "planned_values")]
    _planned_values: Value,
    #[serde(default)]
    resource_changes: Vec<Resource>,
}

/// One resource of a plan, also one that stays as it is.
#[derive(Deserialize)]
pub(super) struct Resource {
    pub(super) address: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    mode: Mode,
    action_reason: Option<String>,
    pub(super) change: Values,
}

#[derive(Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Mode {
    Managed,
    Data,
}

/// A resource before and after. What only the provider knows once it is made is absent.
#[derive(Deserialize)]
pub(super) struct Values {
    actions: Vec<Step>,
    #[serde(default)]
    pub(super) before: Value,
    #[serde(default)]
    pub(super) after: Value,
    #[serde(default)]
    replace_paths: Vec<Vec<Value>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Step {
    NoOp,
    Read,
    Create,
    Update,
    Delete,
    Forget,
}

/// Reads the JSON of a plan.
pub(super) fn changes(json: &[u8]) -> Result<Changes, StageError> {
    let shown: Shown = read_json(TOOL, json)?;
    known_version("the format of the plan", &shown.format_version)?;
    if shown.errored {
        return Err(unreadable("the plan broke off half-way"));
    }
    let managed: Vec<Resource> =
        shown.resource_changes.into_iter().filter(|resource| resource.mode == Mode::Managed).collect();
    let mut resources = Vec::new();
    for resource in &managed {
        if let Some(action) = action(resource)? {
            let because = because(resource);
            resources.push(Change { address: resource.address.clone(), action, because });
        }
    }
    Ok(Changes { resources, exposures: exposure::of(&managed) })
}

/// What the steps come to; none if the resource stays as it is, moves to another address, or is taken over as it is.
fn action(resource: &Resource) -> Result<Option<Action>, StageError> {
    match resource.change.actions[..] {
        [Step::NoOp] => Ok(None),
        [Step::Create] => Ok(Some(Action::Create)),
        [Step::Update] => Ok(Some(Action::Update)),
        [Step::Delete, Step::Create] | [Step::Create, Step::Delete] => Ok(Some(Action::Replace)),
        [Step::Delete] => Ok(Some(Action::Delete)),
        [Step::Forget] | [Step::Create, Step::Forget] | [Step::Forget, Step::Create] => {
            Ok(Some(Action::Forget))
        }
        _ => {
            let (address, steps) = (&resource.address, &resource.change.actions);
            Err(unreadable(format!("the plan would do to {address} what is not known here: {steps:?}")))
        }
    }
}

/// The reason in words. Reasons that a later Terraform adds are passed on as they are.
fn because(resource: &Resource) -> Option<String> {
    let reason = resource.action_reason.as_deref()?;
    let paths: Vec<String> = resource.change.replace_paths.iter().map(|path| attribute(path)).collect();
    Some(match reason {
        "replace_because_cannot_update" if !paths.is_empty() => {
            format!("{} cannot change in place", paths.join(", "))
        }
        "replace_because_cannot_update" => "it cannot change in place".to_owned(),
        "replace_because_tainted" => "it is marked as broken".to_owned(),
        "replace_by_request" => "the plan was told to replace it".to_owned(),
        "replace_by_triggers" => "something that it is told to follow is replaced".to_owned(),
        "delete_because_no_resource_config" => "it is no longer configured".to_owned(),
        "delete_because_no_module" => "its module is no longer configured".to_owned(),
        "delete_because_no_move_target" => "it was moved to a place that is not configured".to_owned(),
        "delete_because_wrong_repetition" => {
            "it is now configured with, or without, `count` or `for_each`".to_owned()
        }
        "delete_because_count_index" => "`count` is now lower".to_owned(),
        "delete_because_each_key" => "`for_each` no longer has its key".to_owned(),
        other => other.replace('_', " "),
    })
}

/// `` `ingress[0].cidr_blocks` ``
fn attribute(path: &[Value]) -> String {
    let step = |step: &Value| step.as_str().map_or_else(|| format!("[{step}]"), |name| format!(".{name}"));
    let text: String = path.iter().map(step).collect();
    format!("`{}`", text.trim_start_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::testdata::{recorded, refuses_any_cut};

    fn shown(case: &str) -> Changes {
        changes(&recorded(&format!("terraform/1.11.4/{case}.json"))).unwrap()
    }

    fn seen(case: &str) -> Vec<(String, Action, Option<String>)> {
        let resources = shown(case).resources.into_iter();
        resources.map(|change| (change.address, change.action, change.because)).collect()
    }

    fn count(case: &str, action: Action) -> usize {
        shown(case).resources.iter().filter(|change| change.action == action).count()
    }

    #[test]
    fn each_change_is_named_with_what_would_happen_and_why() {
        let told = |address: &str, action, because: Option<&str>| {
            (address.to_owned(), action, because.map(str::to_owned))
        };
        let in_place = Some("`triggers_replace` cannot change in place");
        assert_eq!(
            seen("show-mixed"),
            [
                told("terraform_data.created", Action::Create, None),
                told("terraform_data.deleted", Action::Delete, Some("it is no longer configured")),
                told("terraform_data.replaced", Action::Replace, in_place),
                told("terraform_data.replaced_create_first", Action::Replace, in_place),
                told("terraform_data.shrinks[1]", Action::Delete, Some("`count` is now lower")),
                told("terraform_data.updated", Action::Update, None),
            ]
        );
    }

    #[test]
    fn plans_that_only_create_only_destroy_or_do_nothing_are_told_apart() {
        assert_eq!((count("show-create", Action::Create), shown("show-create").resources.len()), (7, 7));
        assert_eq!((count("show-destroy", Action::Delete), shown("show-destroy").resources.len()), (7, 7));
        assert_eq!(shown("show-noop"), Changes::default());
    }

    #[test]
    fn what_is_forgotten_is_no_destruction_and_what_is_read_moved_or_imported_no_change() {
        assert_eq!(count("show-refactored", Action::Forget), 1);
        assert_eq!(count("show-refactored", Action::Delete), 4);
        assert_eq!(count("show-refactored", Action::Create), 1);
        assert_eq!(shown("show-refactored").resources.len(), 6);
    }

    #[test]
    fn a_plan_of_the_real_provider_reads_the_same() {
        let seen = seen("aws-show-mixed");
        let replaced = &seen[0];
        assert_eq!((replaced.0.as_str(), replaced.1), ("aws_ecr_repository.hello", Action::Replace));
        assert_eq!(replaced.2.as_deref(), Some("`name` cannot change in place"));
        assert_eq!(seen.len(), 6);
    }

    #[test]
    fn a_plan_that_is_cut_broke_off_or_is_of_another_format_is_refused() {
        let whole = recorded("terraform/1.11.4/show-mixed.json");
        refuses_any_cut(&whole, changes);
        let text = String::from_utf8(whole).unwrap();
        let refused = |from: &str, to: &str| {
            assert!(text.contains(from), "{from}");
            let other = text.replace(from, to);
            assert!(matches!(changes(other.as_bytes()), Err(StageError::Unreadable { .. })), "{to}");
        };
        refused("\"format_version\":\"1.2\"", "\"format_version\":\"2.0\"");
        refused("\"errored\":false", "\"errored\":true");
        refused("[\"update\"]", "[\"update\",\"create\"]");
        refused("[\"update\"]", "[\"melt\"]");
        refused("[\"update\"]", "[]");
        assert!(
            changes(&recorded("terraform/1.11.4/validate-good.json")).is_err(),
            "a report of another kind"
        );
    }

    #[test]
    fn a_path_is_written_as_in_a_configuration() {
        let path: Vec<Value> = serde_json::from_str(r#"["ingress", 0, "cidr_blocks"]"#).unwrap();
        assert_eq!(attribute(&path), "`ingress[0].cidr_blocks`");
    }
}
