//! Every dependency has a sentence that says why it is there, on the line above it.

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
                let message = format!("`{name}` needs a comment above it: one sentence that says why it is worth its price");
                faults.push(Fault::new(path, line, message));
            }
        }
        before = text;
    }
    faults
}

#[test]
fn a_dependency_without_a_sentence_is_found_in_every_kind_of_section() {
    for section in ["dependencies", "dev-dependencies", "workspace.dependencies", "target.'cfg(unix)'.dependencies"] {
        let manifest = format!("[package]\nname = \"a\"\n\n[{section}]\n# Reads YAML.\nyaml = \"1\"\njson = \"1\"\n# x\ntoml = \"1\"\n");
        let lines: Vec<usize> = unexplained("Cargo.toml", &manifest).iter().map(|fault| fault.line).collect();
        assert_eq!(lines, [7, 9], "{section}");
    }
}
