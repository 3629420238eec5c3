//! Weakens the chart line by line, as the table says, and demands that the named test turns red.

use crate::files::{chart, files, name, text};
use crate::table::{GUARDS, Mutation, RULES, RuleMutation, TABLE};
use crate::tools::{NEWEST, PROD, Ran, copy, objects, render, run};
use std::fs;
use std::path::Path;

/// Replaces what stands once in a file.
fn weaken(file: &Path, from: &str, to: &str) {
    let before = text(file);
    assert_eq!(before.matches(from).count(), 1, "this must stand once in {}:\n{from}", file.display());
    fs::write(file, before.replace(from, to)).unwrap();
}

fn unit_tests(app: &Path, suite: &str) -> Ran {
    let suite = format!("tests/{suite}_test.yaml");
    run("helm-unittest", app, ["--color=false", "--file", &suite, "."])
}

/// Whether a test is among those that failed.
fn is_red(ran: &Ran, test: &str) -> bool {
    !ran.passed && ran.stdout.lines().any(|line| line.strip_prefix("\t- ") == Some(test))
}

#[test]
fn each_line_that_guards_something_turns_the_named_test_red_when_it_is_weakened() {
    let mut unnoticed = Vec::new();
    for Mutation { template, from, to, suite, red } in TABLE {
        let folder = copy();
        let app = folder.path().join("app");
        weaken(&app.join("templates").join(template), from, to);
        let ran = unit_tests(&app, suite);
        if !is_red(&ran, red) {
            unnoticed
                .push(format!("{template}: {from:?} → {to:?}: `{red}` of {suite} stays green\n{}", ran.all));
        }
    }
    assert!(unnoticed.is_empty(), "{} of {}:\n{}", unnoticed.len(), TABLE.len(), unnoticed.join("\n"));
}

#[test]
fn each_test_of_the_table_is_green_as_long_as_nothing_is_weakened() {
    let folder = copy();
    let mut suites: Vec<&str> = TABLE.iter().map(|mutation| mutation.suite).collect();
    suites.sort_unstable();
    suites.dedup();
    for suite in suites {
        let ran = unit_tests(&folder.path().join("app"), suite);
        assert!(ran.passed, "{}", ran.all);
    }
}

#[test]
fn each_line_that_guards_something_is_in_the_table() {
    let templates = chart().join("templates");
    let mut missing = Vec::new();
    for file in files(&templates, "").into_iter().chain(files(&templates.join("tests"), "")) {
        let path = file.strip_prefix(&templates).unwrap().to_str().unwrap();
        if path == "NOTES.txt" {
            continue;
        }
        for line in text(&file).lines().map(str::trim) {
            let starts = ["#", "{{- /*", "{{- define", "checkov.io/"];
            let says_nothing = starts.iter().any(|start| line.starts_with(start));
            if says_nothing || !GUARDS.iter().any(|guard| line.contains(guard)) {
                continue;
            }
            // Part of a line is enough to weaken it.
            let weakened = TABLE.iter().filter(|mutation| mutation.template == path).any(|mutation| {
                let mut parts = mutation.from.lines().map(str::trim).filter(|part| !part.is_empty());
                parts.any(|part| line.contains(part))
            });
            if !weakened {
                missing.push(format!("{path}: {line}"));
            }
        }
    }
    assert!(missing.is_empty(), "no mutation weakens these lines:\n{}", missing.join("\n"));
}

#[test]
fn each_rule_that_is_weakened_turns_its_tests_red() {
    let mut unnoticed = Vec::new();
    for RuleMutation { rules, from, to, red } in RULES {
        let folder = copy();
        let app = folder.path().join("app");
        // Windows differ and selectors do not, so here one change may be one of several lines.
        let file = app.join("rules").join(rules);
        assert!(text(&file).contains(from), "this must stand in {}:\n{from}", file.display());
        fs::write(&file, text(&file).replace(from, to)).unwrap();
        let ran = rule_tests(&app, red);
        if ran.passed || !ran.all.contains("FAILED:") || !ran.all.contains("got:") {
            unnoticed.push(format!("{rules}: {from:?} → {to:?}: {red} stays green\n{}", ran.all));
        }
    }
    assert!(unnoticed.is_empty(), "{} of {}:\n{}", unnoticed.len(), RULES.len(), unnoticed.join("\n"));
}

#[test]
fn each_rule_has_a_mutation() {
    for file in files(&chart().join("rules"), ".yaml") {
        assert!(RULES.iter().any(|mutation| mutation.rules == name(&file)), "{}", file.display());
    }
}

/// Runs one file of the chart's tests of rules against what the chart renders for prod.
fn rule_tests(app: &Path, test: &str) -> Ran {
    let ran = render("helm", app, NEWEST, PROD);
    assert!(ran.passed, "{}", ran.all);
    let objects = objects(&ran.stdout);
    let rules = objects.iter().find(|object| object["kind"] == "PrometheusRule").unwrap();
    let folder = app.join("tests/rules");
    fs::write(folder.join("values.prod.yaml"), rules["spec"].to_string()).unwrap();
    run("promtool", &folder, ["test", "rules", test])
}
