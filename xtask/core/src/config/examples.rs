//! One right line for each field, shown when a field is missing, empty, or of the wrong type. A test compares the list with the
//! schema and parses every line.

use super::outline::{Path, Step};

/// Path and example; `*` stands for a name that the team chooses.
pub(super) const EXAMPLES: &[(&str, &str)] = &[
    ("version", "version: 1"),
    ("project", "project: hello"),
    ("registry", "registry: 111122223333.dkr.ecr.eu-central-1.amazonaws.com"),
    ("services", "services: { hello: { path: app, language: rust } }"),
    ("services.*", "hello: { path: app, language: rust }"),
    ("services.*.path", "path: app"),
    ("services.*.language", "language: rust"),
    ("services.*.checks", "checks: { test: [[\"cargo\", \"test\"]] }"),
    ("services.*.checks.lint", "lint: [[\"cargo\", \"clippy\"]]"),
    ("services.*.checks.test", "test: [[\"cargo\", \"test\"]]"),
    ("services.*.inputs", "inputs: [\"app/**\", \"Cargo.lock\"]"),
    ("services.*.outputs", "outputs: [\"target/app.bin\"]"),
    ("services.*.env", "env: [\"RUSTFLAGS\"]"),
    ("services.*.junit", "junit: [\"target/junit.xml\"]"),
    ("services.*.image", "image: { dockerfile: app/Dockerfile, context: \".\" }"),
    ("services.*.image.dockerfile", "dockerfile: app/Dockerfile"),
    ("services.*.image.context", "context: \".\""),
    ("services.*.image.platforms", "platforms: [linux/amd64]"),
    (
        "services.*.image.embedded",
        "embedded: { build: [\"cargo\", \"build\"], files: { /app: target/debug/app } }",
    ),
    ("services.*.image.embedded.build", "build: [\"cargo\", \"build\", \"--release\"]"),
    ("services.*.image.embedded.files", "files: { /app: target/release/app }"),
    ("services.*.image.embedded.files.*", "/app: target/release/app"),
    ("services.*.chart", "chart: charts/app"),
    ("services.*.after", "after: [database]"),
    ("environments", "environments: { dev: { namespace: hello-dev } }"),
    ("environments.*", "dev: { namespace: hello-dev }"),
    ("environments.*.cluster", "cluster: hello"),
    ("environments.*.region", "region: eu-central-1"),
    ("environments.*.account", "account: \"111122223333\""),
    ("environments.*.namespace", "namespace: hello-dev"),
    ("environments.*.values", "values: values.dev.yaml"),
    ("environments.*.approval", "approval: true"),
    ("environments.*.github_environment", "github_environment: production"),
    ("environments.*.promoted_from", "promoted_from: dev"),
    ("environments.*.kubeconfig", "kubeconfig: target/kubeconfig"),
    ("environments.*.context", "context: dev"),
    ("environments.*.cluster_uid", "cluster_uid: 0f1d7c52-6a3e-4a53-9a57-5d0c2f6f8d11"),
    ("environments.*.label", "label: dev"),
    ("environments.*.registry", "registry: 127.0.0.1:5000"),
    ("environments.*.guards", "guards: { refs: [main, \"v*\"] }"),
    ("environments.*.guards.refs", "refs: [main, \"v*\"]"),
    (
        "environments.*.guards.freeze",
        "freeze: [{ from: 2026-12-20, to: 2027-01-02, reason: nobody is here to look }]",
    ),
    ("environments.*.guards.freeze.from", "from: 2026-12-20"),
    ("environments.*.guards.freeze.to", "to: 2027-01-02"),
    ("environments.*.guards.freeze.reason", "reason: nobody is here to look"),
    ("environments.*.budgets", "budgets: { watch: 10m, soak: 30s }"),
    ("environments.*.budgets.lock", "lock: 2m"),
    ("environments.*.budgets.apply", "apply: 5m"),
    ("environments.*.budgets.watch", "watch: 10m"),
    ("environments.*.budgets.soak", "soak: 30s"),
    ("charts", "charts: [\"charts/library\"]"),
    ("terraform", "terraform: { path: infra/terraform }"),
    ("terraform.path", "path: infra/terraform"),
    ("terraform.stand_in", "stand_in: lab/terraform-provider-aws"),
    ("terraform.var_files", "var_files: [\"dev.tfvars\"]"),
    ("ansible", "ansible: { path: infra/ansible, playbooks: [runner.yml] }"),
    ("ansible.path", "path: infra/ansible"),
    ("ansible.playbooks", "playbooks: [runner.yml]"),
    ("ansible.inventory", "inventory: inventory.yml"),
    ("workflows", "workflows: { path: .github/workflows }"),
    ("workflows.path", "path: .github/workflows"),
    ("workflows.generated", "generated: true"),
    ("secrets", "secrets: [\"API_TOKEN\"]"),
    ("limits", "limits: { timeouts: { default: 20m } }"),
    ("limits.vulnerabilities", "vulnerabilities: { reject: [high, critical] }"),
    ("limits.vulnerabilities.reject", "reject: [high, critical]"),
    ("limits.vulnerabilities.ignore_unfixed", "ignore_unfixed: true"),
    (
        "limits.waivers",
        "waivers: [{ id: CVE-2026-0001, owner: team-a, expires: 2027-01-31, reason: not reachable }]",
    ),
    ("limits.waivers.id", "id: CVE-2026-0001"),
    ("limits.waivers.owner", "owner: team-a"),
    ("limits.waivers.expires", "expires: 2027-01-31"),
    ("limits.waivers.reason", "reason: the broken function is never called"),
    ("limits.timeouts", "timeouts: { default: 20m, scan: 10m }"),
    ("limits.timeouts.*", "default: 20m"),
    ("limits.terraform", "terraform: { max_destroy: 0 }"),
    ("limits.terraform.max_destroy", "max_destroy: 0"),
];

/// A right line for the field at this path, or for the list or command that the path leads into.
pub(super) fn example(path: &Path) -> Option<&'static str> {
    let keys: Vec<&str> = path
        .0
        .iter()
        .filter_map(|step| match step {
            Step::Key(key) => Some(key.as_str()),
            Step::Index(_) => None,
        })
        .collect();
    let fits = |pattern: &str| {
        let mut names = pattern.split('.');
        keys.iter().all(|key| names.next().is_some_and(|name| name == "*" || name == *key))
            && names.next().is_none()
    };
    EXAMPLES.iter().find(|(pattern, _)| fits(pattern)).map(|(_, example)| *example)
}

/// The right line for a field that is not there yet.
pub(super) fn example_in(parent: &Path, field: &str) -> Option<&'static str> {
    let mut path = parent.clone();
    path.0.push(Step::Key(field.to_owned()));
    example(&path)
}
