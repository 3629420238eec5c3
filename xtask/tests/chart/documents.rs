//! What is written about the chart is what the chart has: values and their defaults, environments, templates and their tests, alerts
//! and their runbooks.

use crate::files::{alerts, chart, files, list, name, root, rules, text, yaml};
use serde_json::Value;
use std::collections::BTreeSet;

/// Every value with its default; a map or a list is one value when it is empty.
fn leaves(value: &Value, place: &str) -> Vec<(String, String)> {
    match value.as_object() {
        Some(fields) if !fields.is_empty() => fields
            .iter()
            .flat_map(|(key, inner)| {
                let place = if place.is_empty() { key.clone() } else { format!("{place}.{key}") };
                leaves(inner, &place)
            })
            .collect(),
        _ => {
            let text =
                value.as_str().filter(|text| !text.is_empty()).map_or(value.to_string(), str::to_owned);
            vec![(place.to_owned(), text)]
        }
    }
}

#[test]
fn the_readme_names_every_value_with_its_default_and_no_other() {
    let readme = text(&chart().join("README.md"));
    let named: Vec<(&str, &str)> = readme
        .lines()
        .filter_map(|line| {
            let (place, rest) = line.strip_prefix("| `")?.split_once("` | ")?;
            Some((place, rest.split_once(" | ")?.0.trim_matches('`')))
        })
        .collect();
    let values = leaves(&yaml(&chart().join("values.yaml")), "");
    assert!(values.len() > 60, "{values:?}");
    let values: Vec<(&str, &str)> = values.iter().map(|(place, value)| (&**place, &**value)).collect();
    let missing: Vec<_> = values.iter().filter(|value| !named.contains(value)).collect();
    assert!(missing.is_empty(), "charts/app/README.md needs rows for {missing:?}");
    let unknown: Vec<_> = named.iter().filter(|row| !values.contains(row)).collect();
    assert!(unknown.is_empty(), "charts/app/README.md has rows for what is no value: {unknown:?}");
}

#[test]
fn each_values_file_is_of_the_environment_that_it_is_called_after() {
    let mut seen = Vec::new();
    for file in files(&chart(), ".yaml") {
        let Some(environment) =
            name(&file).strip_prefix("values.").and_then(|rest| rest.strip_suffix(".yaml"))
        else {
            continue;
        };
        let environment = if environment.is_empty() { "local" } else { environment };
        assert_eq!(yaml(&file)["environment"], environment, "{}", file.display());
        seen.push(environment.to_owned());
    }
    assert_eq!(seen, ["dev", "prod"]);
    assert_eq!(yaml(&chart().join("values.yaml"))["environment"], "local");
}

#[test]
fn each_template_has_unit_tests() {
    let suites: String = files(&chart().join("tests"), "_test.yaml").iter().map(|file| text(file)).collect();
    let mut templates = files(&chart().join("templates"), "");
    templates.retain(|template| name(template) != "_helpers.tpl");
    assert!(templates.len() > 12, "{templates:?}");
    for template in templates {
        assert!(suites.contains(name(&template)), "no suite is about {}", template.display());
    }
}

#[test]
fn each_alert_has_a_runbook_and_each_runbook_an_alert() {
    let operations = text(&root().join("OPERATIONS.md"));
    let mut sections: Vec<&str> = operations
        .lines()
        .filter_map(|line| line.strip_prefix("### "))
        .filter(|title| title.starts_with("App"))
        .collect();
    sections.sort_unstable();
    assert_eq!(sections, alerts());
    let runbooks = operations.split("\n### ").skip(1).filter(|section| section.starts_with("App"));
    for runbook in runbooks {
        let runbook = runbook.split("\n## ").next().unwrap();
        let (title, body) = runbook.split_once('\n').unwrap();
        for part in ["**Means**", "**Look**", "**Do**"] {
            assert!(body.contains(part), "the runbook of {title} has no part {part}");
        }
    }
}

#[test]
fn each_alert_of_the_guardrails_has_a_runbook_and_each_of_their_runbooks_an_alert() {
    let template = text(&root().join("charts/guardrails/templates/rules.yaml"));
    let mut alerts: Vec<&str> =
        template.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    alerts.sort_unstable();
    for alert in &alerts {
        assert!(template.contains(&format!("#{}\"", alert.to_lowercase())), "{alert} links to no section");
    }
    let operations = text(&root().join("OPERATIONS.md"));
    let titles = operations.lines().filter_map(|line| line.strip_prefix("### "));
    let sections: Vec<&str> = titles.filter(|title| title.starts_with("Guardrail")).collect();
    assert_eq!(sections, alerts);
}

#[test]
fn each_alert_says_how_bad_it_is_whose_it_is_and_where_its_runbook_is() {
    for rule in rules().iter().filter(|rule| rule.get("alert").is_some()) {
        let alert = rule["alert"].as_str().unwrap();
        let (labels, annotations) = (&rule["labels"], &rule["annotations"]);
        assert!(["critical", "warning"].iter().any(|known| labels["severity"] == *known), "{alert}");
        assert_eq!(annotations["runbook_url"], format!("@runbook@#{}", alert.to_lowercase()), "{alert}");
        for annotation in ["summary", "description"] {
            assert!(
                annotations[annotation].as_str().is_some_and(|text| text.len() > 20),
                "{alert}: {annotation}"
            );
        }
        assert!(rule["for"].is_string(), "{alert} fires at the first glance");
    }
}

#[test]
fn each_alert_is_tested_to_fire_and_to_be_silent() {
    let (mut fire, mut silent) = (BTreeSet::new(), BTreeSet::new());
    for file in files(&chart().join("tests/rules"), ".yaml") {
        for test in list(&yaml(&file)["tests"]) {
            for case in list(&test["alert_rule_test"]) {
                let alert = case["alertname"].as_str().unwrap().to_owned();
                if list(&case["exp_alerts"]).is_empty() {
                    silent.insert(alert)
                } else {
                    fire.insert(alert)
                };
            }
        }
    }
    let alerts: BTreeSet<String> = alerts().into_iter().collect();
    assert!(alerts.len() > 10, "{alerts:?}");
    assert_eq!(fire, alerts);
    assert_eq!(silent, alerts);
}
