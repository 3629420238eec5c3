//! Manifests: every dependency has a sentence that says why it is there, and the image's build knows every program by its path.

use crate::source::Fault;

/// Dependencies without a reason.
pub(crate) fn unexplained(path: &str, manifest: &str) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut in_dependencies = false;
    let mut before = "";
    for (line, text) in (1..).zip(manifest.lines()) {
        if let Some(section) = text.strip_prefix('[') {
            let name = section.trim_end_matches(']').rsplit('.').next().unwrap_or_default();
            in_dependencies = name.ends_with("dependencies");
        } else if in_dependencies && text.contains('=') && !text.starts_with('#') {
            let says = before.strip_prefix("# ").is_some_and(|why| why.ends_with('.') && why.contains(' '));
            if !says {
                let name = text.split(['=', '.', ' ']).next().unwrap_or_default();
                let message = format!(
                    "`{name}` needs a comment above it: one sentence that says why it is worth its price"
                );
                faults.push(Fault::new(path, line, message));
            }
        }
        before = text;
    }
    faults
}

/// Programs at a path of their own that a Dockerfile does not make a stand-in for: its first layer has the manifests and no
/// sources, and cargo refuses a manifest whose program is not there.
pub(crate) fn unknown_programs(dockerfile: &str, path: &str, manifest: &str) -> Vec<Fault> {
    let folder = path.strip_suffix("Cargo.toml").unwrap_or_default();
    let mut faults = Vec::new();
    for (line, text) in (1..).zip(manifest.lines()) {
        let program = text.strip_prefix("path = \"").and_then(|rest| rest.strip_suffix('"'));
        let wanted = program.map(|program| format!("{folder}{program}"));
        if let Some(wanted) = wanted.filter(|wanted| !dockerfile.contains(wanted.as_str())) {
            let message = format!(
                "app/Dockerfile makes no stand-in for {wanted}: its layer of dependencies cannot be built"
            );
            faults.push(Fault::new(path, line, message));
        }
    }
    faults
}

#[test]
fn a_program_that_the_dockerfile_does_not_know_is_found() {
    let manifest = "[package]\nname = \"a\"\n\n[[bin]]\nname = \"probe\"\npath = \"tests/probe.rs\"\n";
    let found = unknown_programs("RUN touch x/tests/other.rs\n", "x/Cargo.toml", manifest);
    assert_eq!(found.iter().map(|fault| fault.line).collect::<Vec<_>>(), [6]);
    assert!(unknown_programs("RUN touch x/tests/probe.rs\n", "x/Cargo.toml", manifest).is_empty());
}

#[test]
fn a_dependency_without_a_sentence_is_found_in_every_kind_of_section() {
    for section in
        ["dependencies", "dev-dependencies", "workspace.dependencies", "target.'cfg(unix)'.dependencies"]
    {
        let manifest = format!(
            "[package]\nname = \"a\"\n\n[{section}]\n# Reads YAML.\nyaml = \"1\"\njson = \"1\"\n# x\ntoml = \"1\"\n"
        );
        let lines: Vec<usize> = unexplained("Cargo.toml", &manifest).iter().map(|fault| fault.line).collect();
        assert_eq!(lines, [7, 9], "{section}");
    }
}
