//! Rooms and doors: which module may name which other, and which names belong to one place alone.
//!
//! The tables here are the rule; `ARCHITECTURE.md` says why. Test modules are free to look anywhere.

use crate::source::{Fault, Source};

/// What everything else is spoken in. These modules name each other and no room.
const VOCABULARY: [&str; 8] = ["cancel", "error", "event", "facts", "ids", "outcome", "redact", "report"];

/// A room of a package and what it may name there besides itself.
struct Room {
    name: &'static str,
    may_name: &'static [&'static str],
}

const fn room(name: &'static str, may_name: &'static [&'static str]) -> Room {
    Room { name, may_name }
}

/// The rooms of `xtask-core`. Each may also name the vocabulary.
const CORE: [Room; 7] = [
    room("config", &[]),
    room("engine", &["config", "process", "stage"]),
    room("policy", &["config"]),
    room("process", &[]),
    room("reporters", &[]),
    // A stage is handed the engine's context and asks it for everything; that trait is all they share.
    room("stage", &["config", "engine"]),
    room("tools", &["config", "engine", "process"]),
];

/// The rooms of `xtask`.
const XTASK: [Room; 9] = [
    room("cli", &[]),
    room("commands", &["cli", "equip", "generate", "image", "select", "session", "signals", "stages"]),
    room("equip", &["stages"]),
    room("generate", &[]),
    room("image", &[]),
    room("select", &["stages"]),
    room("session", &["cli", "commands", "equip"]),
    room("signals", &[]),
    room("stages", &["generate", "image"]),
];

/// The rooms of `xtask-ship`: one a family of commands. They are composition and may name all of the other packages.
const SHIP: [Room; 10] = [
    room("aws", &["net"]),
    // Of `rollout` it names what is seen, and nothing that judges it.
    room("cluster", &["rollout"]),
    room("github", &["net"]),
    room("helm", &[]),
    room("lab", &["say"]),
    room("net", &[]),
    // ECR gives its passwords to whoever has AWS credentials.
    room("push", &["aws", "net", "say"]),
    // Of `push` it names the look at an image.
    room("release", &["aws", "cluster", "github", "helm", "push", "rollout", "say"]),
    room("rollout", &["cluster", "say"]),
    room("say", &[]),
];

/// The rooms of `xtask-core` that a room of `xtask` must not name. What is missing here is composition: it may name everything.
const XTASK_NAMES_NOT: [Room; 5] = [
    room(
        "cli",
        &["config", "engine", "policy", "process", "redact", "report", "reporters", "stage", "tools"],
    ),
    room("generate", &["policy", "process", "redact", "report", "reporters", "stage", "tools"]),
    room("image", &["policy", "redact", "report", "reporters", "tools"]),
    room("select", &["policy", "process", "redact", "report", "reporters", "tools"]),
    room("stages", &["cancel", "event", "process", "redact", "reporters"]),
];

/// A name that belongs to one place.
struct Owned {
    /// What is looked for in code.
    names: &'static [&'static str],
    /// What may follow the name and makes it harmless.
    harmless: &'static [&'static str],
    /// Files, or folders with a slash at the end.
    places: &'static [&'static str],
    rule: &'static str,
}

const OWNED: [Owned; 9] = [
    Owned {
        names: &["std::process", "tokio::process", "CommandExt"],
        harmless: &["::ExitCode", "::id()"],
        places: &[
            "xtask/core/src/process/",
            // The machines of a lab outlive the command that starts them; the guard's whole point is that nothing does.
            "xtask/ship/src/lab/daemon.rs",
        ],
        rule: "only process/ spawns: use `Cx::exec`, or `process::query` for a question before a run",
    },
    Owned {
        names: &["env::var", "env::vars", "env::set_var", "option_env!"],
        harmless: &[],
        places: &["xtask/core/src/config/env.rs"],
        rule: "only config/env.rs reads the environment: take it from `Ambient`",
    },
    Owned {
        names: &["print!", "println!", "eprint!", "eprintln!", "dbg!", "stdout()", "stderr()"],
        harmless: &[".is_terminal()"],
        places: &[
            "xtask/core/src/reporters/",
            // The last words of a command that could not do its work.
            "xtask/src/lib.rs",
            // `say`, for commands that answer a question, and `tools`, which shows what it installs.
            "xtask/src/commands/mod.rs",
            "xtask/src/commands/tools.rs",
            // These two hand the streams to the reporters.
            "xtask/src/commands/replay.rs",
            "xtask/src/commands/run.rs",
            "xtask/ship/src/say.rs",
        ],
        rule: "only reporters write to the terminal: send an event, or leave a note with `Cx::note`",
    },
    Owned {
        names: &["bollard"],
        harmless: &[],
        places: &["xtask/src/image/docker.rs"],
        rule: "one file names each SDK; bollard belongs to image/docker.rs",
    },
    Owned {
        names: &["hyper_util::client", "hyper_rustls"],
        harmless: &[],
        places: &["xtask/ship/src/push/wire.rs"],
        rule: "one file opens connections to registries: push/wire.rs",
    },
    Owned {
        names: &["kube::", "k8s_openapi"],
        harmless: &[],
        places: &["xtask/ship/src/cluster/"],
        rule: "one place names each SDK; the client of Kubernetes belongs to cluster/",
    },
    Owned {
        names: &["octocrab"],
        harmless: &[],
        places: &["xtask/ship/src/github/"],
        rule: "one place names each SDK; GitHub's client belongs to github/",
    },
    Owned {
        names: &[
            "aws_config",
            "aws_credential_types",
            "aws_sdk_ecr",
            "aws_sdk_eks",
            "aws_sdk_sts",
            "aws_smithy_http_client",
        ],
        harmless: &[],
        places: &["xtask/ship/src/aws/"],
        rule: "one place names each SDK; Amazon's belong to aws/",
    },
    Owned {
        names: &["Timestamp::now", "SystemTime::now", "Zoned::now"],
        harmless: &[],
        places: &[
            "xtask/core/src/engine/",
            "xtask/core/src/tools/provision/",
            "xtask/src/session.rs",
            "xtask/src/commands/run.rs",
            // A registry may say until when it wants to be left alone.
            "xtask/ship/src/push/stage.rs",
            "xtask/ship/src/release/clock.rs",
        ],
        rule: "the time of day comes in as an argument, so that policy and adapters stay pure",
    },
];

/// Folders and files that must not know which stages there are.
const KNOWS_NO_STAGE: [&str; 6] = [
    "xtask/core/src/engine/",
    "xtask/core/src/policy/",
    "xtask/core/src/process/",
    "xtask/core/src/report.rs",
    "xtask/core/src/reporters/",
    "xtask/core/src/tools/",
];

/// Folders and files that must not know which tools there are.
const KNOWS_NO_TOOL: [&str; 6] = [
    "xtask/core/src/engine/",
    "xtask/core/src/outcome.rs",
    "xtask/core/src/policy/",
    "xtask/core/src/process/",
    "xtask/core/src/report.rs",
    "xtask/core/src/reporters/",
];

/// Doors that are not in the tables.
pub(crate) fn doors(source: &Source) -> Vec<Fault> {
    let packages: [(&str, &[Room], &[&str]); 3] = [
        ("xtask/core/src/", &CORE, &VOCABULARY),
        ("xtask/ship/src/", &SHIP, &[]),
        ("xtask/src/", &XTASK, &[]),
    ];
    let Some((package, rooms, vocabulary)) =
        packages.into_iter().find(|(package, ..)| source.path.starts_with(package))
    else {
        return vec![Fault::new(&source.path, 0, "it belongs to no package that this table knows")];
    };
    let module = module_path(source.path.strip_prefix(package).unwrap_or(&source.path));
    let Some(name) = module.first().copied() else { return Vec::new() };
    let own = rooms.iter().find(|room| room.name == name);
    if own.is_none() && !vocabulary.contains(&name) {
        let message =
            format!("`{name}` is no room yet: add it to xtask/tests/tidy/rooms.rs with what it may name");
        return vec![Fault::new(&source.path, 0, message)];
    }
    let may_name = own.map_or(&[][..], |room| room.may_name);
    let mut faults = Vec::new();
    for (line, target) in named_from_root(source, &module) {
        let is_room = rooms.iter().any(|room| room.name == target);
        if is_room && target != name && !may_name.contains(&target.as_str()) {
            let message =
                format!("`{name}` must not name `{target}` (rooms and doors: xtask/tests/tidy/rooms.rs)");
            faults.push(Fault::new(&source.path, line, message));
        }
    }
    let forbidden = XTASK_NAMES_NOT.iter().find(|room| package == "xtask/src/" && room.name == name);
    for (line, target) in named_after(source, "xtask_core::") {
        if forbidden.is_some_and(|room| room.may_name.contains(&target.as_str())) {
            let message =
                format!("`{name}` must not name `xtask_core::{target}` (xtask/tests/tidy/rooms.rs)");
            faults.push(Fault::new(&source.path, line, message));
        }
    }
    faults
}

/// Names at places that they do not belong to.
pub(crate) fn owned_names(source: &Source) -> Vec<Fault> {
    let mut faults = Vec::new();
    for owned in OWNED.iter().filter(|owned| !is_in(&source.path, owned.places)) {
        for (line, text) in source.lines() {
            let misplaced = owned.names.iter().any(|name| {
                words(text, name)
                    .any(|at| !owned.harmless.iter().any(|end| text[at + name.len()..].starts_with(end)))
            });
            if misplaced {
                faults.push(Fault::new(&source.path, line, owned.rule));
            }
        }
    }
    faults
}

/// Stages that are named where none may be known.
pub(crate) fn stages_named(source: &Source) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (line, text) in source.lines().filter(|_| is_in(&source.path, &KNOWS_NO_STAGE)) {
        let names_one = words(text, "StageId::").any(|at| {
            let variant = &text[at + "StageId::".len()..];
            variant.starts_with(|c: char| c.is_uppercase()) && !variant.starts_with("ALL")
        });
        if names_one {
            faults.push(Fault::new(
                &source.path,
                line,
                "this room knows no single stage; only xtask/src/stages does",
            ));
        }
    }
    faults
}

/// Tools of `tools.lock` that are named where none may be known, in code or in a string.
pub(crate) fn tools_named(source: &Source, tools: &[String]) -> Vec<Fault> {
    let mut faults = Vec::new();
    if !is_in(&source.path, &KNOWS_NO_TOOL) {
        return faults;
    }
    for (line, text) in (1..).zip(source.code_and_strings.lines()) {
        let text = text.to_lowercase();
        // `limits.terraform` is a section of the configuration, `.terraform` a folder.
        let named = |tool: &&String| words(&text, tool).any(|at| !text[..at].ends_with('.'));
        for tool in tools.iter().filter(named) {
            let message =
                format!("this room knows no tool, and names {tool}: an adapter in tools/ says what it means");
            faults.push(Fault::new(&source.path, line, message));
        }
    }
    faults
}

/// The names of the tools in `tools.lock`.
pub(crate) fn tools_of(lock: &str) -> Vec<String> {
    let names = lock.lines().skip_while(|line| *line != "tools:").skip(1).filter_map(|line| {
        let name = line.strip_prefix("  ")?.strip_suffix(':')?;
        (!name.starts_with([' ', '#'])).then(|| name.to_owned())
    });
    names.collect()
}

fn is_in(path: &str, places: &[&str]) -> bool {
    places.iter().any(|place| path == *place || (place.ends_with('/') && path.starts_with(place)))
}

/// Where `name` stands in `text` as words of their own.
fn words<'a>(text: &'a str, name: &'a str) -> impl Iterator<Item = usize> + 'a {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(name).map(|(at, _)| at).filter(move |at| {
        let open = |c: Option<char>, edge: Option<char>| !(edge.is_some_and(part) && c.is_some_and(part));
        let before = text[..*at].chars().next_back();
        let after = text[at + name.len()..].chars().next();
        open(before, name.chars().next()) && open(after, name.chars().next_back())
    })
}

/// The modules that a file is in, from the package's root: `tools/provision/mod.rs` is tools, provision.
fn module_path(path: &str) -> Vec<&str> {
    let stem = path.strip_suffix(".rs").unwrap_or(path);
    let stem = stem.strip_suffix("/mod").unwrap_or(stem);
    if matches!(stem, "lib" | "main") { Vec::new() } else { stem.split('/').collect() }
}

/// Every first name after `crate::`, or after as many `super::` as lead to the package's root.
fn named_from_root(source: &Source, module: &[&str]) -> Vec<(usize, String)> {
    let mut found = named_after(source, "crate::");
    found.extend(named_after(source, &"super::".repeat(module.len())));
    found
}

/// The names right after a prefix, those of a `{…}` group one by one.
fn named_after(source: &Source, prefix: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for at in words(&source.code, prefix) {
        let line = source.code[..at].matches('\n').count() + 1;
        let rest = &source.code[at + prefix.len()..];
        match rest.strip_prefix('{') {
            Some(group) => found.extend(group_names(group).into_iter().map(|name| (line, name))),
            None => found.push((line, first_word(rest))),
        }
    }
    found
}

fn group_names(group: &str) -> Vec<String> {
    let mut names = Vec::new();
    let (mut depth, mut expects) = (1_usize, true);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => expects = true,
            c if expects && depth == 1 && !c.is_whitespace() => {
                names.push(first_word(&group[at..]));
                expects = false;
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    names
}

fn first_word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

fn lines_of(faults: &[Fault]) -> Vec<usize> {
    faults.iter().map(|fault| fault.line).collect()
}

#[test]
fn a_door_that_is_not_in_the_tables_is_found_however_it_is_written() {
    let text = "use crate::facts::Observed;\nuse crate::engine::Cx;\nuse crate::{config, tools::hadolint};\n";
    assert_eq!(lines_of(&doors(&Source::new("xtask/core/src/policy/a.rs", text))), [2, 3]);
    let up = "use super::super::tools;\nuse super::thresholds;\n";
    assert_eq!(lines_of(&doors(&Source::new("xtask/core/src/policy/a.rs", up))), [1]);
    let stage = "use xtask_core::{\n    config,\n    reporters,\n};\nfn f() { xtask_core::process::x(); }\n";
    assert_eq!(lines_of(&doors(&Source::new("xtask/src/stages/a.rs", stage))), [1, 5]);
    let vocabulary = "use crate::config::Limits;\nuse crate::ids::StageId;\n";
    assert_eq!(lines_of(&doors(&Source::new("xtask/core/src/outcome.rs", vocabulary))), [1]);
}

#[test]
fn a_room_that_is_not_in_the_tables_is_found() {
    assert_eq!(doors(&Source::new("xtask/ship/src/attic.rs", "")).len(), 1);
    assert_eq!(doors(&Source::new("xtask/cellar/src/lab.rs", "")).len(), 1);
    assert_eq!(lines_of(&doors(&Source::new("xtask/ship/src/say.rs", "use crate::lab;"))), [1]);
    let faults = doors(&Source::new("xtask/core/src/attic.rs", ""));
    assert!(faults[0].message.contains("no room yet"), "{faults:?}");
    assert!(doors(&Source::new("xtask/core/src/lib.rs", "use crate::tools;")).is_empty());
}

#[test]
fn tests_may_look_anywhere() {
    let text = "#[cfg(test)]\nmod tests {\n    use crate::tools::hadolint;\n}\n";
    assert!(doors(&Source::new("xtask/core/src/policy/a.rs", text)).is_empty());
}

#[test]
fn each_owned_name_is_found_outside_its_place_and_nowhere_else() {
    let samples = [
        ("use std::process::{Command, Stdio};", "xtask/core/src/process/link.rs"),
        ("let home = std::env::var(name);", "xtask/core/src/config/env.rs"),
        ("let _ = writeln!(io::stderr(), \"x\");", "xtask/core/src/reporters/sink.rs"),
        ("use bollard::Docker;", "xtask/src/image/docker.rs"),
        ("use hyper_util::client::legacy::Client;", "xtask/ship/src/push/wire.rs"),
        ("use kube::Api;", "xtask/ship/src/cluster/feed.rs"),
        ("let crab = octocrab::Octocrab::builder();", "xtask/ship/src/github/mod.rs"),
        ("use aws_sdk_ecr::Client;", "xtask/ship/src/aws/mod.rs"),
        ("let now = Timestamp::now();", "xtask/src/session.rs"),
    ];
    assert_eq!(samples.len(), OWNED.len());
    for (sample, place) in samples {
        assert_eq!(owned_names(&Source::new("xtask/src/stages/a.rs", sample)).len(), 1, "{sample}");
        assert!(owned_names(&Source::new(place, sample)).is_empty(), "{sample}");
    }
    let harmless =
        "fn f() -> std::process::ExitCode { std::process::id(); println(\"std::process\") } // dbg!()\n";
    assert!(owned_names(&Source::new("xtask/src/stages/a.rs", harmless)).is_empty());
}

#[test]
fn a_stage_or_a_tool_that_is_named_by_the_engine_is_found() {
    let text = "let all = StageId::ALL;\nmatch id { StageId::Lint => 1, _ => 2 }\nrun(\"Helm\");\nhelmet(limits.helm);\n// helm\n";
    let source = Source::new("xtask/core/src/engine/a.rs", text);
    let tools =
        tools_of("version: 1\n\ntools:\n  helm:\n    version: 4\n  # why\n  trivy:\n    version: 1\n");
    assert_eq!(tools, ["helm", "trivy"]);
    assert_eq!(lines_of(&stages_named(&source)), [2]);
    assert_eq!(lines_of(&tools_named(&source, &tools)), [3]);
    let adapter = Source::new("xtask/core/src/tools/helm.rs", text);
    assert!(tools_named(&adapter, &tools).is_empty());
}
