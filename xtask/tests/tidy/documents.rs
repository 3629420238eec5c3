//! Documents say what the program says: tables that are made from it, and commands that it understands.

use crate::source::Fault;
use clap::{CommandFactory, Parser};
use xtask::cli::Cli;
use xtask_core::error::ExitCode;
use xtask_core::ids::{Scope, StageId};

/// The table of exit codes, as `OPERATIONS.md` has it.
pub(crate) fn exit_codes() -> String {
    let rows = ExitCode::ALL.map(|code| format!("| {} | {} |\n", code.number(), code.meaning()));
    format!("| code | meaning |\n| ---: | --- |\n{}", rows.concat())
}

/// The table of stages, as `README.md` has it: the words are those of `--help`.
pub(crate) fn stages() -> String {
    let command = Cli::command();
    let rows = StageId::ALL.map(|id| {
        let scope = match id.scope() {
            Scope::Service => "service",
            Scope::Repository => "repository",
        };
        let about = command.find_subcommand(id.as_str()).and_then(|found| found.get_about()).unwrap();
        format!("| `{id}` | {scope} | {about} |\n")
    });
    format!("| stage | once per | what it does |\n| --- | --- | --- |\n{}", rows.concat())
}

/// A table between `<!-- NAME: begin -->` and `<!-- NAME: end -->` that is not the generated one.
pub(crate) fn table(path: &str, text: &str, name: &str, wanted: &str) -> Vec<Fault> {
    let (begin, end) = (format!("<!-- {name}: begin -->\n"), format!("<!-- {name}: end -->"));
    let found = text.split_once(&begin).and_then(|(before, rest)| {
        let line = before.lines().count() + 2;
        Some((line, rest.split_once(&end)?.0))
    });
    match found {
        Some((_, found)) if found == wanted => Vec::new(),
        Some((line, _)) => {
            let message =
                format!("the table `{name}` is not that of the program; put this in its place:\n{wanted}");
            vec![Fault::new(path, line, message)]
        }
        None => {
            vec![Fault::new(path, 0, format!("the lines `{}` and `{end}` are missing", begin.trim_end()))]
        }
    }
}

/// A change log whose newest section is neither the version nor what comes after it.
pub(crate) fn newest_section(path: &str, text: &str, version: &str) -> Vec<Fault> {
    let newest = text.lines().find_map(|line| line.strip_prefix("## "));
    let known =
        newest.is_some_and(|name| name == "[Unreleased]" || name.starts_with(&format!("[{version}] - ")));
    if known {
        return Vec::new();
    }
    let message = format!("the newest section must be `## [Unreleased]` or `## [{version}] - DATE`");
    vec![Fault::new(path, 0, message)]
}

/// Commands in code blocks and in code spans that the command line does not understand.
pub(crate) fn commands(path: &str, text: &str) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut in_block = false;
    for (line, content) in (1..).zip(text.lines()) {
        if content.trim_start().starts_with("```") {
            in_block = !in_block;
            continue;
        }
        let written: Vec<&str> = match in_block {
            true => content.trim().strip_prefix("cargo xtask").into_iter().collect(),
            false => content
                .split('`')
                .skip(1)
                .step_by(2)
                .filter_map(|span| span.strip_prefix("cargo xtask"))
                .collect(),
        };
        for args in written {
            if let Err(error) = understood(args) {
                faults.push(Fault::new(
                    path,
                    line,
                    format!("`cargo xtask{args}` is not understood: {error}"),
                ));
            }
        }
    }
    faults
}

/// Whether the command line takes these words. Words in capitals stand for what a person fills in.
fn understood(args: &str) -> Result<(), String> {
    let args = args.split('#').next().unwrap_or_default();
    let words = args.split_whitespace().map(|word| match word {
        "STAGE" => "lint",
        "NAME" => "helm",
        word => word,
    });
    let words: Vec<&str> = words.collect();
    if words.is_empty() {
        return Ok(());
    }
    match Cli::try_parse_from(std::iter::once("xtask").chain(words)) {
        Err(error) if error.use_stderr() => {
            Err(error.to_string().lines().next().unwrap_or_default().to_owned())
        }
        Ok(_) | Err(_) => Ok(()),
    }
}

#[test]
fn a_table_that_is_not_generated_or_missing_is_found() {
    let wanted = exit_codes();
    let good = format!("# Title\n<!-- codes: begin -->\n{wanted}<!-- codes: end -->\n");
    assert!(table("a.md", &good, "codes", &wanted).is_empty());
    let faults = table("a.md", &good.replace("| 21 |", "| 22 |"), "codes", &wanted);
    assert_eq!(faults[0].line, 3);
    assert!(faults[0].message.contains(&wanted), "it says what to write");
    assert_eq!(table("a.md", "# Title\n", "codes", &wanted).len(), 1);
    assert_eq!(table("a.md", "<!-- codes: begin -->\n", "codes", &wanted).len(), 1);
}

#[test]
fn the_generated_tables_have_every_row() {
    assert_eq!(exit_codes().lines().count(), 2 + ExitCode::ALL.len());
    assert_eq!(stages().lines().count(), 2 + StageId::ALL.len());
}

#[test]
fn a_change_log_of_another_version_is_found() {
    assert!(
        newest_section("c", "# Changelog\n\n## [Unreleased]\n\n## [0.1.0] - 2026-01-01\n", "0.2.0")
            .is_empty()
    );
    assert!(newest_section("c", "## [0.2.0] - 2026-01-01\n", "0.2.0").is_empty());
    for bad in ["", "## [0.1.0] - 2026-01-01\n", "## 0.2.0\n", "## [0.2.0]\n"] {
        assert_eq!(newest_section("c", bad, "0.2.0").len(), 1, "{bad:?}");
    }
}

#[test]
fn a_command_that_does_not_exist_is_found_in_blocks_and_in_spans() {
    let text = "Run `cargo xtask pr-checks` or `cargo xtask fly`.\n```console\ncargo xtask lint --nowhere\ncargo xtask why STAGE  # why\n```\n";
    let lines: Vec<usize> = commands("a.md", text).iter().map(|fault| fault.line).collect();
    assert_eq!(lines, [1, 3]);
}
