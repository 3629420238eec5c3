//! What becomes of a right `pipeline.yaml`: what it says, and what is filled in where it says nothing.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail the test by panicking")]

mod config_fixture;

use config_fixture::{Repository, TODAY};
use jiff::civil::date;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use xtask_core::config::{
    Ansible, Argv, Budgets, Embedded, Environment, Freeze, Guards, Image, Language, Limits, MINIMAL,
    Pipeline, Service, Start, Terraform, TerraformLimits, Timeouts, Vulnerabilities, Waiver, Workflows, load,
};
use xtask_core::ids::{ServiceName, StageId};
use xtask_core::outcome::Severity;

fn loaded(repository: &Repository) -> Pipeline {
    load(Start::Nearest(repository.root()), TODAY).unwrap_or_else(|error| panic!("{error}"))
}

fn service<'a>(pipeline: &'a Pipeline, name: &str) -> &'a Service {
    &pipeline.services[&ServiceName::try_from(name.to_owned()).unwrap()]
}

/// One service with these fields in flow style.
fn one(fields: &str) -> Repository {
    Repository::with(format!("version: 1\nproject: p\nservices: {{ s: {{ {fields} }} }}\n"))
}

fn argv(line: &str) -> Argv {
    let mut words = line.split(' ').map(str::to_owned);
    Argv { program: words.next().unwrap(), args: words.collect() }
}

fn lines(commands: &[Argv]) -> Vec<String> {
    let line = |argv: &Argv| [std::slice::from_ref(&argv.program), &argv.args].concat().join(" ");
    commands.iter().map(line).collect()
}

#[test]
fn the_smallest_file_checks_the_service_and_nothing_else() {
    let repository = Repository::with(MINIMAL);
    repository.write("Cargo.toml", "");
    let Pipeline {
        root,
        project,
        registry,
        services,
        environments,
        charts,
        terraform,
        ansible,
        workflows,
        secrets,
        limits,
    } = loaded(&repository);
    assert_eq!(root, repository.root());
    assert_eq!(project, "hello");
    assert_eq!(registry, None);
    assert_eq!(services.len(), 1);
    assert!(environments.is_empty() && charts.is_empty() && secrets.is_empty());
    assert!(terraform.is_none() && ansible.is_none() && workflows.is_none());
    let expected = Limits {
        vulnerabilities: Vulnerabilities {
            reject: vec![Severity::High, Severity::Critical],
            ignore_unfixed: false,
        },
        waivers: vec![],
        timeouts: Timeouts { default: Duration::from_secs(1200), stages: BTreeMap::new() },
        terraform: TerraformLimits { max_destroy: 0 },
    };
    assert_eq!(limits, expected);
    let Service { name, path, language, lint, test, inputs, outputs, env, junit, image, chart, after } =
        services.into_values().next().unwrap();
    assert_eq!((name.as_str(), path.as_str(), language), ("hello", ".", Language::Rust));
    assert_eq!(lines(&lint), ["cargo clippy --all-targets --manifest-path Cargo.toml -- -D warnings"]);
    assert_eq!(lines(&test), ["cargo test --manifest-path Cargo.toml"]);
    assert_eq!(inputs, ["**"]);
    assert!(outputs.is_empty() && env.is_empty() && junit.is_empty());
    assert!(image.is_none() && chart.is_none() && after.is_empty());
}

#[test]
fn every_field_arrives() {
    let repository = Repository::with(
        r#"
version: 1
project: hello
registry: 111122223333.dkr.ecr.eu-central-1.amazonaws.com
services:
  hello:
    path: app
    language: rust
    checks:
      lint: [["cargo", "clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]]
      test: [["cargo", "test"], [./more tests.sh]]
    inputs: ["app/**", "Cargo.toml", "!app/notes/**"]
    outputs: ["target/app.bin"]
    env: ["RUSTFLAGS"]
    junit: ["target/junit.xml"]
    image:
      dockerfile: app/Dockerfile
      context: "."
      platforms: [linux/amd64, linux/arm64]
      embedded:
        build: [cargo, build]
        files: { /app: target/debug/app }
    chart: charts/app
environments:
  dev: { namespace: hello-dev, values: values.dev.yaml }
  prod:
    cluster: main
    region: eu-central-1
    account: "000122223333"
    namespace: hello
    values: values.prod.yaml
    approval: true
    github_environment: production
    promoted_from: dev
    kubeconfig: target/kubeconfig
    context: main
    cluster_uid: 0f1d7c52
    label: live
    registry: localhost:5000
    guards:
      refs: [main, "v*"]
      freeze: [{ from: 2026-12-20, to: 2027-01-02, reason: nobody is here to look }]
    budgets: { soak: 5s }
charts: [charts/library, charts/app]
terraform: { path: infra/terraform, stand_in: lab/provider, var_files: [env/dev.tfvars] }
ansible: { path: infra/ansible, playbooks: [runner.yml], inventory: hosts }
workflows: { path: .github/workflows, generated: true }
secrets: ["TOKEN"]
limits:
  vulnerabilities: { reject: [critical], ignore_unfixed: true }
  waivers:
    - id: CVE-2026-0001
      owner: team-a
      expires: 2026-11-21
      reason: >
        The broken function
        is never called.
  timeouts: { default: 90s, scan: 10m, build: 2h }
  terraform: { max_destroy: 3 }
"#
        .replace("./more tests.sh", "./more, tests.sh"),
    );
    for file in [
        "charts/library/Chart.yaml",
        "charts/app/values.prod.yaml",
        "lab/provider/go.mod",
        "infra/terraform/env/dev.tfvars",
        "infra/ansible/hosts/local.yml",
        ".github/workflows/ci.yml",
    ] {
        repository.write(file, "");
    }
    let pipeline = loaded(&repository);
    assert_eq!(pipeline.registry.as_deref(), Some("111122223333.dkr.ecr.eu-central-1.amazonaws.com"));
    let hello = service(&pipeline, "hello");
    assert_eq!(lines(&hello.lint), ["cargo clippy --workspace --all-targets -- -D warnings"]);
    assert_eq!(lines(&hello.test), ["cargo test", "./more tests.sh"]);
    assert_eq!(hello.inputs, ["app/**", "Cargo.toml", "!app/notes/**"]);
    assert_eq!(hello.outputs, ["target/app.bin"]);
    assert_eq!(hello.junit, ["target/junit.xml"]);
    assert_eq!(hello.env.iter().map(|name| name.as_str()).collect::<Vec<_>>(), ["RUSTFLAGS"]);
    assert_eq!(hello.chart.as_deref(), Some("charts/app"));
    let image = Image {
        dockerfile: "app/Dockerfile".into(),
        context: ".".into(),
        platforms: vec!["linux/amd64".into(), "linux/arm64".into()],
        embedded: Some(Embedded {
            build: argv("cargo build"),
            files: BTreeMap::from([("/app".into(), "target/debug/app".into())]),
        }),
    };
    assert_eq!(hello.image, Some(image));
    let nothing = Environment {
        cluster: None,
        region: None,
        account: None,
        namespace: None,
        values: None,
        approval: false,
        github_environment: "dev".into(),
        promoted_from: None,
        kubeconfig: None,
        context: None,
        cluster_uid: None,
        label: "dev".into(),
        registry: None,
        guards: Guards::default(),
        budgets: Budgets {
            lock: Duration::from_secs(120),
            apply: Duration::from_secs(300),
            watch: Duration::from_secs(600),
            soak: Duration::from_secs(30),
        },
    };
    let dev = Environment {
        namespace: Some("hello-dev".into()),
        values: Some("values.dev.yaml".into()),
        ..nothing.clone()
    };
    let prod = Environment {
        cluster: Some("main".into()),
        region: Some("eu-central-1".into()),
        account: Some("000122223333".into()),
        namespace: Some("hello".into()),
        values: Some("values.prod.yaml".into()),
        approval: true,
        github_environment: "production".into(),
        promoted_from: Some("dev".into()),
        kubeconfig: Some("target/kubeconfig".into()),
        context: Some("main".into()),
        cluster_uid: Some("0f1d7c52".into()),
        label: "live".into(),
        registry: Some("localhost:5000".into()),
        guards: Guards {
            refs: vec!["main".into(), "v*".into()],
            freeze: vec![Freeze {
                from: date(2026, 12, 20),
                to: date(2027, 1, 2),
                reason: "nobody is here to look".into(),
            }],
        },
        budgets: Budgets { soak: Duration::from_secs(5), ..nothing.budgets },
    };
    assert_eq!(pipeline.environments, BTreeMap::from([("dev".into(), dev), ("prod".into(), prod)]));
    // The other one is the service's own.
    assert_eq!(pipeline.charts, ["charts/library"]);
    let terraform = Terraform {
        path: "infra/terraform".into(),
        stand_in: Some("lab/provider".into()),
        var_files: vec!["env/dev.tfvars".into()],
    };
    assert_eq!(pipeline.terraform, Some(terraform));
    let ansible = Ansible {
        path: "infra/ansible".into(),
        playbooks: vec!["runner.yml".into()],
        inventory: Some("hosts".into()),
    };
    assert_eq!(pipeline.ansible, Some(ansible));
    assert_eq!(pipeline.workflows, Some(Workflows { path: ".github/workflows".into(), generated: true }));
    assert_eq!(pipeline.secrets.iter().map(|name| name.as_str()).collect::<Vec<_>>(), ["TOKEN"]);
    let limits = Limits {
        vulnerabilities: Vulnerabilities { reject: vec![Severity::Critical], ignore_unfixed: true },
        waivers: vec![Waiver {
            id: "CVE-2026-0001".into(),
            owner: "team-a".into(),
            // Its last day is today: it holds.
            expires: date(2026, 11, 21),
            reason: "The broken function is never called.".into(),
        }],
        timeouts: Timeouts {
            default: Duration::from_secs(90),
            stages: BTreeMap::from([
                (StageId::Scan, Duration::from_secs(600)),
                (StageId::Build, Duration::from_secs(7200)),
            ]),
        },
        terraform: TerraformLimits { max_destroy: 3 },
    };
    assert_eq!(pipeline.limits, limits);
}

/// Language, path, files that are there, lint, test, and the JUnit file.
type Default = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static [&'static str],
    &'static [&'static str],
    &'static [&'static str],
);

const SCRIPTS: &str = r#"{ "name": "x", "scripts": { "lint": "a", "test": "b", "deploy": "c" } }"#;
const PHP_SCRIPTS: &str = r#"{ "scripts": { "lint": ["a", "b"], "test": "c" } }"#;

const DEFAULTS: &[Default] = &[
    (
        "rust",
        "app",
        &[],
        &["cargo clippy --all-targets --manifest-path app/Cargo.toml -- -D warnings"],
        &["cargo test --manifest-path app/Cargo.toml"],
        &[],
    ),
    (
        "rust",
        "app",
        &[("Cargo.lock", "")],
        &["cargo clippy --locked --all-targets --manifest-path app/Cargo.toml -- -D warnings"],
        &["cargo test --locked --manifest-path app/Cargo.toml"],
        &[],
    ),
    (
        "node",
        "web",
        &[("web/package.json", SCRIPTS)],
        &["npm --prefix web run lint"],
        &["npm --prefix web run test"],
        &[],
    ),
    ("node", ".", &[("package.json", SCRIPTS)], &["npm run lint"], &["npm run test"], &[]),
    (
        "node",
        "web",
        &[("web/package.json", r#"{ "scripts": { "test": "b" } }"#)],
        &[],
        &["npm --prefix web run test"],
        &[],
    ),
    ("node", "web", &[("web/package.json", "{}")], &[], &[], &[]),
    (
        "python",
        "tool",
        &[],
        &["python3 -m ruff check tool"],
        &["python3 -m pytest tool --junitxml=target/xtask/junit/s.xml"],
        &["target/xtask/junit/s.xml"],
    ),
    ("go", "tool", &[("tool/go.mod", "")], &["go -C tool vet ./..."], &["go -C tool test ./..."], &[]),
    ("go", "tool", &[("go.mod", "")], &["go -C tool vet ./..."], &["go -C tool test ./..."], &[]),
    ("go", ".", &[("go.mod", "")], &["go vet ./..."], &["go test ./..."], &[]),
    (
        "php",
        "web",
        &[("web/composer.json", PHP_SCRIPTS)],
        &["composer --working-dir web run-script lint"],
        &["composer --working-dir web run-script test"],
        &[],
    ),
    ("php", "web", &[("web/composer.json", "{}")], &[], &[], &[]),
    ("other", "tool", &[], &[], &[], &[]),
];

#[test]
fn each_language_has_its_own_commands() {
    for (language, path, files, lint, test, junit) in DEFAULTS {
        let repository = one(&format!("path: {path}, language: {language}"));
        for (file, content) in *files {
            repository.write(file, content);
        }
        let pipeline = loaded(&repository);
        let service = service(&pipeline, "s");
        assert_eq!(lines(&service.lint), *lint, "{language} {path}");
        assert_eq!(lines(&service.test), *test, "{language} {path}");
        assert_eq!(service.junit, *junit, "{language} {path}");
    }
}

#[test]
fn each_language_reads_its_folder_and_its_manifests_in_the_root() {
    for (language, some) in [
        (
            "rust",
            &["Cargo.toml", "Cargo.lock", ".cargo/config.toml", "rust-toolchain.toml", "clippy.toml"][..],
        ),
        ("node", &["package.json", "package-lock.json", "tsconfig*.json"]),
        ("python", &["pyproject.toml", "requirements*.txt", "conftest.py"]),
        ("go", &["go.mod", "go.sum", "go.work"]),
        ("php", &["composer.json", "composer.lock"]),
        ("other", &[]),
    ] {
        let repository = one(&format!("path: tool, language: {language}, checks: {{ lint: [], test: [] }}"));
        let pipeline = loaded(&repository);
        let inputs = &service(&pipeline, "s").inputs;
        assert_eq!(inputs[0], "tool/**", "{language}");
        for glob in some {
            assert!(inputs.iter().any(|input| input == glob), "{language}: {glob}");
        }
        assert!(inputs.iter().all(|glob| fast_glob::validate(glob).is_ok()), "{language}: {inputs:?}");
    }
}

#[test]
fn an_empty_list_of_commands_takes_a_check_away_and_leaves_the_other() {
    let pipeline = loaded(&one("path: app, language: rust, checks: { lint: [] }"));
    let service = service(&pipeline, "s");
    assert_eq!(lines(&service.lint), [""; 0]);
    assert_eq!(lines(&service.test), ["cargo test --manifest-path app/Cargo.toml"]);
}

#[test]
fn written_commands_need_no_manifest() {
    let pipeline = loaded(&one(
        "path: tool, language: go, checks: { lint: [[make, lint]], test: [[make, \"a b\", \"\"]] }",
    ));
    assert_eq!(service(&pipeline, "s").test[0].args, ["a b", ""]);
}

#[test]
fn an_image_has_its_usual_dockerfile_context_and_platform() {
    let pipeline = loaded(&one("path: app, language: rust, image: {}"));
    let expected = Image {
        dockerfile: "app/Dockerfile".into(),
        context: ".".into(),
        platforms: vec!["linux/amd64".into()],
        embedded: None,
    };
    assert_eq!(service(&pipeline, "s").image, Some(expected));
}

#[test]
fn paths_are_written_in_many_ways_and_kept_in_one() {
    for (written, kept) in [
        ("app", "app"),
        ("./app/", "app"),
        ("app//src/.", "app/src"),
        ("alias", "app"),
        ("alias/src", "app/src"),
    ] {
        let repository = one(&format!("path: {written}, language: other"));
        // Git lists no files behind a link, so the folder itself is kept.
        repository.link("alias", "app");
        let pipeline = loaded(&repository);
        assert_eq!(service(&pipeline, "s").path, kept, "{written}");
        assert_eq!(service(&pipeline, "s").inputs, [format!("{kept}/**")], "{written}");
    }
}

#[test]
fn globs_lose_what_would_keep_them_from_matching() {
    let repository = one(
        r#"path: app, language: other, inputs: ["./app/**", "!./app/x", "not-there-yet", "**/*.{rs,toml}", "a\\*b"]"#,
    );
    let pipeline = loaded(&repository);
    assert_eq!(
        service(&pipeline, "s").inputs,
        ["app/**", "!app/x", "not-there-yet", "**/*.{rs,toml}", "a\\*b"]
    );
}

fn project(start: Start<'_>) -> String {
    load(start, TODAY).unwrap().project
}

#[test]
fn the_nearest_file_above_counts_and_a_given_root_counts_alone() {
    let repository = one("path: app, language: other");
    let inner = "version: 1\nproject: inner\nservices: { s: { path: ., language: other } }\n";
    repository.write("nested/pipeline.yaml", inner);
    repository.write("nested/deep/er/x", "");
    let root = repository.root();
    assert_eq!(project(Start::Nearest(&root.join("app/src"))), "p");
    assert_eq!(project(Start::Nearest(&root.join("nested/deep/er"))), "inner");
    assert_eq!(project(Start::Root(root)), "p");
    assert_eq!(load(Start::Nearest(&root.join("nested/deep")), TODAY).unwrap().root, root.join("nested"));
}

#[test]
fn a_root_behind_a_link_is_the_folder_itself() {
    let repository = one("path: app, language: other");
    let link = repository.root().parent().unwrap().join("link");
    std::os::unix::fs::symlink(repository.root(), &link).unwrap();
    assert_eq!(load(Start::Root(&link), TODAY).unwrap().root, repository.root());
}

#[test]
fn what_twenty_services_share_is_written_once() {
    let repository = Repository::with(
        "
version: 1
project: p
services:
  one: &service
    path: app
    language: other
    checks: &checks { lint: [[make, lint]], test: [[make, test]] }
    env: [CFLAGS]
  two:
    <<: *service
    path: tool
  three: { path: tool, language: other, checks: *checks }
",
    );
    let pipeline = loaded(&repository);
    let two = service(&pipeline, "two");
    assert_eq!((two.path.as_str(), two.env.len()), ("tool", 1));
    assert_eq!(two.lint, service(&pipeline, "one").lint);
    assert_eq!(service(&pipeline, "three").test, two.test);
}

#[test]
fn two_services_may_share_a_folder() {
    let repository = Repository::with(
        "version: 1\nproject: p\nservices: { a: { path: app, language: other }, b: { path: app, language: rust } }\n",
    );
    assert_eq!(loaded(&repository).services.len(), 2);
}

#[test]
fn this_repository_is_configured_right() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let pipeline = load(Start::Root(&root), TODAY).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(pipeline.project, "slipway");
    let prod = &pipeline.environments["prod"];
    assert_eq!((prod.approval, prod.promoted_from.as_deref()), (true, Some("dev")));
}
