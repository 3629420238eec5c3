//! Everything that can be wrong with `pipeline.yaml`, and the whole text that a person gets to read about it.

#![expect(clippy::expect_used, reason = "helpers of tests fail the test by panicking")]

mod config_fixture;

use config_fixture::{Repository, TODAY};
use std::fs;
use xtask_core::config::{Start, load};
use xtask_core::error::ExitCode;

/// What stands in front of each of [`TAILS`].
const HEAD: &str = "version: 1
project: hello
services:
  hello:
    path: app
    language: rust
";

/// The fact, what follows [`HEAD`], and what is shown.
const TAILS: &[(&str, &str, &str)] = &[
    (
        "an unknown field that is like none",
        "    colour: blue
",
        "pipeline.yaml:7:5: unknown field `colour` in `services.hello`
   7 |     colour: blue
     |     ^^^^^^ known here: `path`, `language`, `checks`, `inputs`, `outputs`, `env`, `junit`, `image`, `chart`, `after`",
    ),
    (
        "an unknown field at the top",
        "servces: {}
",
        "pipeline.yaml:7:1: unknown field `servces` at the top level
   7 | servces: {}
     | ^^^^^^^ did you mean `services`?",
    ),
    (
        "a waiver without an owner",
        "limits:
  waivers:
    - id: CVE-2026-0001
      reason: not reachable
      expires: 2027-01-31
",
        "pipeline.yaml:9:7: missing field `owner` in `limits.waivers[0]`
   9 |     - id: CVE-2026-0001
     |       ^ add `owner: team-a`",
    ),
    (
        "a waiver without a reason",
        "limits:
  waivers:
    - { id: CVE-2026-0001, owner: team-a, expires: 2027-01-31 }
",
        "pipeline.yaml:9:7: missing field `reason` in `limits.waivers[0]`
   9 |     - { id: CVE-2026-0001, owner: team-a, expires: 2027-01-31 }
     |       ^ add `reason: the broken function is never called`",
    ),
    (
        "a waiver without an end",
        "limits:
  waivers:
    - { id: CVE-2026-0001, owner: team-a, reason: not reachable }
",
        "pipeline.yaml:9:7: missing field `expires` in `limits.waivers[0]`
   9 |     - { id: CVE-2026-0001, owner: team-a, reason: not reachable }
     |       ^ add `expires: 2027-01-31`",
    ),
    (
        "a waiver with an empty reason",
        r#"limits:
  waivers:
    - { id: CVE-2026-0001, owner: team-a, expires: 2027-01-31, reason: " " }
"#,
        r#"pipeline.yaml:9:72: ` ` is not a reason
   9 |     - { id: CVE-2026-0001, owner: team-a, expires: 2027-01-31, reason: " " }
     |                                                                        ^^^ write a sentence that tells the next reader why"#,
    ),
    (
        "a waiver that has ended",
        "limits:
  waivers:
    - { id: CVE-2026-0001, owner: team-a, expires: 2026-11-20, reason: not reachable }
",
        "pipeline.yaml:9:52: the waiver of CVE-2026-0001 ended on 2026-11-20, today is 2026-11-21
   9 |     - { id: CVE-2026-0001, owner: team-a, expires: 2026-11-20, reason: not reachable }
     |                                                    ^^^^^^^^^^ mend the finding, or ask team-a for a later day",
    ),
    (
        "a waiver whose end is no day",
        "limits:
  waivers:
    - { id: CVE-2026-0001, owner: team-a, expires: 2027-02-30, reason: not reachable }
",
        "pipeline.yaml:9:52: `2027-02-30` is not a day
   9 |     - { id: CVE-2026-0001, owner: team-a, expires: 2027-02-30, reason: not reachable }
     |                                                    ^^^^^^^^^^ write it as `2027-01-31`",
    ),
    (
        "text in place of a list",
        "    inputs: app/**
",
        r#"pipeline.yaml:7:13: `services.hello.inputs` is text and must be a list
   7 |     inputs: app/**
     |             ^^^^^^ write it as `inputs: ["app/**", "Cargo.lock"]`"#,
    ),
    (
        "a shell line in place of commands",
        "    checks:
      lint: cargo clippy --workspace
",
        r#"pipeline.yaml:8:13: `services.hello.checks.lint` is text and must be a list
   8 |       lint: cargo clippy --workspace
     |             ^^^^^^^^^^^^^^^^^^^^^^^^ write it as `lint: [["cargo", "clippy"]]`"#,
    ),
    (
        "one command in place of commands",
        r#"    checks:
      lint: ["cargo", "clippy"]
"#,
        r#"pipeline.yaml:8:14: `services.hello.checks.lint[0]` is text and must be a list
   8 |       lint: ["cargo", "clippy"]
     |              ^^^^^^^ write it as `lint: [["cargo", "clippy"]]`"#,
    ),
    (
        "a shell line as a program",
        r#"    checks:
      lint: [["cargo clippy"]]
"#,
        r#"pipeline.yaml:8:15: `cargo clippy` is not a program
   8 |       lint: [["cargo clippy"]]
     |               ^^^^^^^^^^^^^^ write each word as an item of its own: ["cargo", "test"]"#,
    ),
    (
        "a command without words",
        "    checks:
      lint: [[]]
",
        r#"pipeline.yaml:8:14: `services.hello.checks.lint[0]` is empty
   8 |       lint: [[]]
     |              ^ write it as `lint: [["cargo", "clippy"]]`"#,
    ),
    (
        "a number in place of text",
        "environments:
  dev:
    account: 111122223333
",
        r#"pipeline.yaml:9:14: `environments.dev.account` is a number and must be text
   9 |     account: 111122223333
     |              ^^^^^^^^^^^^ write it as `account: "111122223333"`"#,
    ),
    (
        "a number in place of a duration",
        "limits:
  timeouts:
    default: 20
",
        "pipeline.yaml:9:14: `limits.timeouts.default` is a number and must be text
   9 |     default: 20
     |              ^^ write it as `default: 20m`",
    ),
    (
        "a duration without a unit that is known",
        "limits:
  timeouts:
    scan: 10min
",
        "pipeline.yaml:9:11: `10min` is not a duration
   9 |     scan: 10min
     |           ^^^^^ write a whole number and its unit, as `90s`, `20m` or `2h`",
    ),
    (
        "a deadline of a stage that is not known",
        "limits:
  timeouts:
    scna: 10m
",
        "pipeline.yaml:9:5: `scna` is not a stage
   9 |     scna: 10m
     |     ^^^^ did you mean `scan`?",
    ),
    (
        "a truth value that is a word",
        "environments:
  prod:
    approval: yes
",
        "pipeline.yaml:9:15: `environments.prod.approval` is text and must be `true` or `false`
   9 |     approval: yes
     |               ^^^ write it as `approval: true`",
    ),
    (
        "a number in quotes",
        r#"limits:
  terraform: { max_destroy: "3" }
"#,
        r#"pipeline.yaml:8:29: `limits.terraform.max_destroy` is text and must be a whole number
   8 |   terraform: { max_destroy: "3" }
     |                             ^^^ write it as `max_destroy: 0`"#,
    ),
    (
        "a negative number",
        "limits:
  terraform: { max_destroy: -1 }
",
        "pipeline.yaml:8:29: -1 is out of range
   8 |   terraform: { max_destroy: -1 }
     |                             ^^ write a number from 0 to 4294967295",
    ),
    (
        "a number that is too large",
        "limits:
  terraform: { max_destroy: 4294967296 }
",
        "pipeline.yaml:8:29: 4294967296 is out of range
   8 |   terraform: { max_destroy: 4294967296 }
     |                             ^^^^^^^^^^ write a number from 0 to 4294967295",
    ),
    (
        "an unknown severity",
        "limits:
  vulnerabilities:
    reject: [hihg]
",
        "pipeline.yaml:9:14: `hihg` is not a severity that can reject
   9 |     reject: [hihg]
     |              ^^^^ did you mean `high`?",
    ),
    (
        "a field without a value",
        "    image:
",
        r#"pipeline.yaml:7:5: `services.hello.image` is empty
   7 |     image:
     |     ^^^^^ write it as `image: { dockerfile: app/Dockerfile, context: "." }`"#,
    ),
    (
        "a list item without a value",
        "    inputs:
      - app/**
      -
",
        r#"pipeline.yaml:9:8: `services.hello.inputs[1]` is empty
   9 |       -
     |        ^ write it as `inputs: ["app/**", "Cargo.lock"]`"#,
    ),
    (
        "an empty list of platforms",
        "    image: { platforms: [] }
",
        "pipeline.yaml:7:14: `services.hello.image.platforms` is empty
   7 |     image: { platforms: [] }
     |              ^^^^^^^^^ write it as `platforms: [linux/amd64]`",
    ),
    (
        "a bad platform",
        "    image: { platforms: [amd64] }
",
        "pipeline.yaml:7:26: `amd64` is not a platform
   7 |     image: { platforms: [amd64] }
     |                          ^^^^^ write it as `linux/amd64` or `linux/arm64`",
    ),
    (
        "a variable with a value",
        r#"    env: ["RUSTFLAGS=-g"]
"#,
        r#"pipeline.yaml:7:11: `RUSTFLAGS=-g` is not the name of a variable
   7 |     env: ["RUSTFLAGS=-g"]
     |           ^^^^^^^^^^^^^^ write the name alone, as `RUSTFLAGS`; its value comes from the environment"#,
    ),
    (
        "a bad account",
        r#"environments:
  dev: { account: "1234" }
"#,
        r#"pipeline.yaml:8:19: `1234` is not an account
   8 |   dev: { account: "1234" }
     |                   ^^^^^^ write its 12 digits, in quotes"#,
    ),
    (
        "a service twice",
        "  hello:
    path: app
    language: go
",
        "pipeline.yaml:7:3: `hello` is there twice in `services`
   7 |   hello:
     |   ^^^^^ remove the one in line 4 or this one",
    ),
    (
        "a field twice",
        "project: again
",
        "pipeline.yaml:7:1: `project` is there twice at the top level
   7 | project: again
     | ^^^^^^^ remove the one in line 2 or this one",
    ),
    (
        "promotions in a circle",
        "environments:
  dev:
    promoted_from: prod
  stage:
    promoted_from: dev
  prod:
    promoted_from: stage
",
        "pipeline.yaml:11:20: promotions go in a circle: dev from prod from stage from dev
  11 |     promoted_from: dev
     |                    ^^^ one environment must come first",
    ),
    (
        "a promotion from itself",
        "environments:
  dev: { promoted_from: dev }
",
        "pipeline.yaml:8:25: promotions go in a circle: dev from dev
   8 |   dev: { promoted_from: dev }
     |                         ^^^ one environment must come first",
    ),
    (
        "a promotion from nowhere",
        "environments:
  dev: {}
  prod: { promoted_from: dve }
",
        "pipeline.yaml:9:26: there is no environment `dve`
   9 |   prod: { promoted_from: dve }
     |                          ^^^ did you mean `dev`?",
    ),
    (
        "an order in a circle",
        "    chart: charts/app
    after: [worker]
  api: { path: app, language: other, chart: charts/app, after: [hello] }
  worker: { path: app, language: other, chart: charts/app, after: [api] }
",
        "pipeline.yaml:9:65: services go in a circle: api after hello after worker after api
   9 |   api: { path: app, language: other, chart: charts/app, after: [hello] }
     |                                                                 ^^^^^ one of them must come first",
    ),
    (
        "a service after itself",
        "    chart: charts/app
    after: [hello]
",
        "pipeline.yaml:8:13: services go in a circle: hello after hello
   8 |     after: [hello]
     |             ^^^^^ one of them must come first",
    ),
    (
        "a service after nothing",
        "    chart: charts/app
    after: [hallo]
",
        "pipeline.yaml:8:13: there is no service `hallo`
   8 |     after: [hallo]
     |             ^^^^^ did you mean `hello`?",
    ),
    (
        "a service after one that is never released",
        "    chart: charts/app
    after: [api]
  api: { path: app, language: other }
",
        "pipeline.yaml:8:13: `api` has no chart, so it is never released
   8 |     after: [api]
     |             ^^^ only services with charts have an order",
    ),
    (
        "a freeze that ends before it begins",
        "environments:
  prod: { guards: { freeze: [{ from: 2027-01-02, to: 2026-12-20, reason: holidays }] } }
",
        "pipeline.yaml:8:54: the freeze ends on 2026-12-20, before it begins on 2027-01-02
   8 |   prod: { guards: { freeze: [{ from: 2027-01-02, to: 2026-12-20, reason: holidays }] } }
     |                                                      ^^^^^^^^^^ swap the two days",
    ),
    (
        "a Dockerfile that is not there",
        "    image:
      dockerfile: app/Dockerfil
",
        "pipeline.yaml:8:19: there is no file `app/Dockerfil`
   8 |       dockerfile: app/Dockerfil
     |                   ^^^^^^^^^^^^^ did you mean `app/Dockerfile`?",
    ),
    (
        "a Dockerfile that is a folder",
        "    image:
      dockerfile: app
",
        "pipeline.yaml:8:19: `app` is a folder
   8 |       dockerfile: app
     |                   ^^^ name a file",
    ),
    (
        "a context that is not there",
        "    image:
      context: docker
",
        "pipeline.yaml:8:16: there is no folder `docker`
   8 |       context: docker
     |                ^^^^^^ paths are relative to the folder of pipeline.yaml",
    ),
    (
        "a chart without Chart.yaml",
        "    chart: charts
",
        "pipeline.yaml:7:12: there is no `Chart.yaml` in `charts`
   7 |     chart: charts
     |            ^^^^^^ name the folder that holds `Chart.yaml`",
    ),
    (
        "a chart of the repository that is not there",
        r#"charts: ["charts/ap"]
"#,
        r#"pipeline.yaml:7:10: there is no folder `charts/ap`
   7 | charts: ["charts/ap"]
     |          ^^^^^^^^^^^ did you mean `charts/app`?"#,
    ),
    (
        "a values file that a chart has not",
        "    chart: charts/app
environments:
  dev: { values: values.prod.yaml }
",
        "pipeline.yaml:9:18: there is no file `charts/app/values.prod.yaml`
   9 |   dev: { values: values.prod.yaml }
     |                  ^^^^^^^^^^^^^^^^ did you mean `charts/app/values.dev.yaml`?",
    ),
    (
        "an output that leaves the root",
        r#"    outputs: ["target/app.bin", "../x"]
"#,
        r#"pipeline.yaml:7:33: a path with `..` in it
   7 |     outputs: ["target/app.bin", "../x"]
     |                                 ^^^^^^ write the way from the folder of pipeline.yaml down, without `..`"#,
    ),
    (
        "an output through a link out of the root",
        r#"    outputs: ["outside/new/file"]
"#,
        r#"pipeline.yaml:7:15: `outside/new/file` leads out of the repository through a symbolic link
   7 |     outputs: ["outside/new/file"]
     |               ^^^^^^^^^^^^^^^^^^ name a path inside of it"#,
    ),
    (
        "an embedded file that leaves the root",
        "    image:
      embedded:
        build: [make]
        files:
          /app: /usr/bin/app
",
        "pipeline.yaml:11:17: `/usr/bin/app` is an absolute path
  11 |           /app: /usr/bin/app
     |                 ^^^^^^^^^^^^ write it relative to the folder of pipeline.yaml",
    ),
    (
        "Terraform that is not there",
        "terraform: { path: infra/teraform }
",
        "pipeline.yaml:7:20: there is no folder `infra/teraform`
   7 | terraform: { path: infra/teraform }
     |                    ^^^^^^^^^^^^^^ did you mean `infra/terraform`?",
    ),
    (
        "a stand-in that is no Go module",
        "terraform: { path: infra/terraform, stand_in: app }
",
        "pipeline.yaml:7:47: there is no `go.mod` in `app`
   7 | terraform: { path: infra/terraform, stand_in: app }
     |                                               ^^^ name the folder that holds `go.mod`",
    ),
    (
        "a file of variables that is not there",
        "terraform:
  path: infra/terraform
  var_files: [dev.tfvars]
",
        "pipeline.yaml:9:15: there is no file `infra/terraform/dev.tfvars`
   9 |   var_files: [dev.tfvars]
     |               ^^^^^^^^^^ paths are relative to the folder of pipeline.yaml",
    ),
    (
        "a playbook that is not there",
        "ansible:
  path: infra/ansible
  playbooks:
    - runer.yml
",
        "pipeline.yaml:10:7: there is no file `infra/ansible/runer.yml`
  10 |     - runer.yml
     |       ^^^^^^^^^ did you mean `infra/ansible/runner.yml`?",
    ),
    (
        "an inventory that is not there",
        "ansible:
  path: infra/ansible
  playbooks: [runner.yml]
  inventory: hosts
",
        "pipeline.yaml:10:14: there is no file or folder `infra/ansible/hosts`
  10 |   inventory: hosts
     |              ^^^^^ paths are relative to the folder of pipeline.yaml",
    ),
    (
        "workflows that are not there",
        "workflows: { path: .gitlab }
",
        "pipeline.yaml:7:20: there is no folder `.gitlab`
   7 | workflows: { path: .gitlab }
     |                    ^^^^^^^ paths are relative to the folder of pipeline.yaml",
    ),
    (
        "a glob with an open bracket",
        r#"    inputs: ["app/[ab"]
"#,
        r#"pipeline.yaml:7:14: not a glob: unclosed character class at byte 4; missing ']' (to match a literal '[', escape it as '\[' or '[[]')
   7 |     inputs: ["app/[ab"]
     |              ^^^^^^^^^ `*` is any name, `**` any folders, `{a,b}` one of both"#,
    ),
    (
        "a glob with an open brace",
        r#"    inputs: ["app/*.{rs,toml"]
"#,
        r#"pipeline.yaml:7:14: not a glob: unclosed brace expansion at byte 6; missing '}' (to match a literal '{', escape it as '\{' or '[{]')
   7 |     inputs: ["app/*.{rs,toml"]
     |              ^^^^^^^^^^^^^^^^ `*` is any name, `**` any folders, `{a,b}` one of both"#,
    ),
    (
        "a glob that leaves the root",
        r#"    inputs: ["../**"]
"#,
        r#"pipeline.yaml:7:14: a path with `..` in it
   7 |     inputs: ["../**"]
     |              ^^^^^^^ write the way from the folder of pipeline.yaml down, without `..`"#,
    ),
    (
        "a glob that leaves the root later",
        r#"    inputs: ["*/{a,..}/x"]
"#,
        r#"pipeline.yaml:7:14: a path with `..` in it
   7 |     inputs: ["*/{a,..}/x"]
     |              ^^^^^^^^^^^^ write the way from the folder of pipeline.yaml down, without `..`"#,
    ),
    (
        "an absolute glob",
        r#"    inputs: ["/etc/*"]
"#,
        r#"pipeline.yaml:7:14: `/etc/` is an absolute path
   7 |     inputs: ["/etc/*"]
     |              ^^^^^^^^ write it relative to the folder of pipeline.yaml"#,
    ),
    (
        "a glob through a link out of the root",
        r#"    inputs: ["outside/**"]
"#,
        r#"pipeline.yaml:7:14: `outside` leads out of the repository through a symbolic link
   7 |     inputs: ["outside/**"]
     |              ^^^^^^^^^^^^ name a path inside of it"#,
    ),
    (
        "a glob that is a folder",
        r#"    inputs: ["app/"]
"#,
        r#"pipeline.yaml:7:14: `app/` is a folder, and a glob selects files
   7 |     inputs: ["app/"]
     |              ^^^^^^ write `app/**`"#,
    ),
    (
        "a glob that leaves nothing out",
        r#"    inputs: ["!"]
"#,
        r#"pipeline.yaml:7:14: `!` names no files
   7 |     inputs: ["!"]
     |              ^^^ write one `!` and the glob of what is left out"#,
    ),
    (
        "globs that only leave out",
        r#"    inputs: ["!app/**"]
"#,
        r#"pipeline.yaml:7:5: every glob leaves files out and none takes any in
   7 |     inputs: ["!app/**"]
     |     ^^^^^^ put the globs of what is read first"#,
    ),
    (
        "a second document",
        "---
version: 1
",
        "pipeline.yaml:8:1: a second document begins here
   8 | version: 1
     | ^ one file holds one: remove `---` and what follows",
    ),
    (
        "an escape sequence of a terminal in a field's name",
        r#""\e[2Jx": 1
"#,
        r#"pipeline.yaml:7:1: unknown field `�[2Jx` at the top level
   7 | "\e[2Jx": 1
     | ^^^^^^^^ known here: `version`, `project`, `registry`, `services`, `environments`, `charts`, `terraform`, `ansible`, `workflows`, `secrets`, `limits`"#,
    ),
    (
        "a list as a key",
        "? [a]
: b
",
        "pipeline.yaml:7:3: this must be text
   7 | ? [a]
     |   ^ check quotes, brackets, colons and indentation up to here",
    ),
];

/// The fact, the whole document, and what is shown.
const DOCUMENTS: &[(&str, &str, &str)] = &[
    (
        "a number as a name",
        "version: 1
project: hello
services: { 3: {} }
",
        "pipeline.yaml:3:13: a key must be text
   3 | services: { 3: {} }
     |             ^ put it in quotes, or name it otherwise",
    ),
    (
        "a merge of what is no mapping",
        "version: 1
project: hello
services: { hello: { <<: 3 } }
",
        "pipeline.yaml:3:26: `<<` takes a mapping
   3 | services: { hello: { <<: 3 } }
     |                          ^ name one by its anchor: `<<: *name`",
    ),
    (
        "a line break in a name",
        "version: 1
project: \"a\\nb\"
",
        "pipeline.yaml:2:10: `a�b` is not a name
   2 | project: \"a\\nb\"
     |          ^^^^^^ use 1 to 63 lower-case letters, digits and dashes, a letter first and no dash at the end",
    ),
    (
        "text that runs the other way",
        "version: 1
project: hello
registry: \"\u{202e}abc\"
",
        "pipeline.yaml:3:11: `�abc` is not a registry
   3 | registry: \"�abc\"
     |           ^^^^^^ write a host and what follows it, in lower case, without `https://` and without `/` at the end",
    ),
    (
        "an unknown field of a service that is nearly a known one",
        "version: 1
project: hello
services:
  hello:
    path: app
    langauge: rust
",
        "pipeline.yaml:6:5: unknown field `langauge` in `services.hello`
   6 |     langauge: rust
     |     ^^^^^^^^ did you mean `language`?",
    ),
    (
        "an unknown field in flow style",
        "version: 1
project: hello
services: { hello: { path: app, language: rust, pth: x } }
",
        "pipeline.yaml:3:49: unknown field `pth` in `services.hello`
   3 | services: { hello: { path: app, language: rust, pth: x } }
     |                                                 ^^^ did you mean `path`?",
    ),
    (
        "a missing field",
        "version: 1
project: hello
services:
  hello:
    path: app
",
        "pipeline.yaml:4:3: missing field `language` in `services.hello`
   4 |   hello:
     |   ^^^^^ add `language: rust`",
    ),
    (
        "a missing field at the top",
        "project: hello
services: { hello: { path: app, language: rust } }
",
        "pipeline.yaml:1:1: missing field `version` at the top level
   1 | project: hello
     | ^ add `version: 1`",
    ),
    (
        "a missing field in flow style",
        "version: 1
project: hello
services: { hello: { path: app } }
",
        "pipeline.yaml:3:13: missing field `language` in `services.hello`
   3 | services: { hello: { path: app } }
     |             ^^^^^ add `language: rust`",
    ),
    (
        "a list in place of a mapping",
        "version: 1
project: hello
services:
  - hello
",
        "pipeline.yaml:3:1: `services` is a list and must be a mapping
   3 | services:
     | ^^^^^^^^ write it as `services: { hello: { path: app, language: rust } }`",
    ),
    (
        "text in place of a mapping",
        "version: 1
project: hello
services:
  hello: app
",
        "pipeline.yaml:4:10: `services.hello` is text and must be a mapping
   4 |   hello: app
     |          ^^^ write it as `hello: { path: app, language: rust }`",
    ),
    (
        "a mapping in place of text",
        "version: 1
project:
  name: hello
services: { hello: { path: app, language: rust } }
",
        "pipeline.yaml:2:1: `project` is a mapping and must be text
   2 | project:
     | ^^^^^^^ write it as `project: hello`",
    ),
    (
        "another version",
        "version: 2
project: hello
",
        "pipeline.yaml:1:10: version 2 is not known: this program reads version 1
   1 | version: 2
     |          ^ write `version: 1`, or use an xtask that knows the other one",
    ),
    (
        "a version that is no number",
        "version: one
project: hello
",
        "pipeline.yaml:1:10: `version` is text and must be a whole number
   1 | version: one
     |          ^^^ write it as `version: 1`",
    ),
    (
        "an unknown language",
        "version: 1
project: hello
services:
  hello:
    path: app
    language: pyhton
",
        "pipeline.yaml:6:15: `pyhton` is not a language
   6 |     language: pyhton
     |               ^^^^^^ did you mean `python`?",
    ),
    (
        "an unknown language that is like none",
        "version: 1
project: hello
services:
  hello:
    path: app
    language: fortran
",
        "pipeline.yaml:6:15: `fortran` is not a language
   6 |     language: fortran
     |               ^^^^^^^ known here: `rust`, `node`, `python`, `go`, `php`, `other`",
    ),
    (
        "a service without anything",
        "version: 1
project: hello
services:
  hello:
",
        "pipeline.yaml:4:3: `services.hello` is empty
   4 |   hello:
     |   ^^^^^ write it as `hello: { path: app, language: rust }`",
    ),
    (
        "no services",
        "version: 1
project: hello
services: {}
",
        "pipeline.yaml:3:1: `services` is empty
   3 | services: {}
     | ^^^^^^^^ write it as `services: { hello: { path: app, language: rust } }`",
    ),
    (
        "services without anything",
        "version: 1
project: hello
services:
",
        "pipeline.yaml:3:1: `services` is empty
   3 | services:
     | ^^^^^^^^ write it as `services: { hello: { path: app, language: rust } }`",
    ),
    (
        "a bad service name",
        "version: 1
project: hello
services:
  Hello_World:
    path: app
    language: rust
",
        "pipeline.yaml:4:3: `Hello_World` is not a name
   4 |   Hello_World:
     |   ^^^^^^^^^^^ use 1 to 63 lower-case letters, digits and dashes, a letter first and no dash at the end",
    ),
    (
        "a bad project name",
        "version: 1
project: My Project
services: { hello: { path: app, language: rust } }
",
        "pipeline.yaml:2:10: `My Project` is not a name
   2 | project: My Project
     |          ^^^^^^^^^^ use 1 to 63 lower-case letters, digits and dashes, a letter first and no dash at the end",
    ),
    (
        "a registry with a scheme",
        "version: 1
project: hello
registry: https://ghcr.io/team
services: { hello: { path: app, language: rust } }
",
        "pipeline.yaml:3:11: `https://ghcr.io/team` is not a registry
   3 | registry: https://ghcr.io/team
     |           ^^^^^^^^^^^^^^^^^^^^ write a host and what follows it, in lower case, without `https://` and without `/` at the end",
    ),
    (
        "a service path that is not there",
        "version: 1
project: hello
services:
  hello:
    path: ap
    language: rust
",
        "pipeline.yaml:5:11: there is no folder `ap`
   5 |     path: ap
     |           ^^ did you mean `app`?",
    ),
    (
        "a service path that is like nothing",
        "version: 1
project: hello
services:
  hello:
    path: services/hello
    language: rust
",
        "pipeline.yaml:5:11: there is no folder `services/hello`
   5 |     path: services/hello
     |           ^^^^^^^^^^^^^^ paths are relative to the folder of pipeline.yaml",
    ),
    (
        "a service path that is a file",
        "version: 1
project: hello
services:
  hello:
    path: app/Cargo.toml
    language: rust
",
        "pipeline.yaml:5:11: `app/Cargo.toml` is a file
   5 |     path: app/Cargo.toml
     |           ^^^^^^^^^^^^^^ name a folder",
    ),
    (
        "an absolute path",
        "version: 1
project: hello
services:
  hello:
    path: /etc
    language: rust
",
        "pipeline.yaml:5:11: `/etc` is an absolute path
   5 |     path: /etc
     |           ^^^^ write it relative to the folder of pipeline.yaml",
    ),
    (
        "a path that leaves the root",
        "version: 1
project: hello
services:
  hello:
    path: ../app
    language: rust
",
        "pipeline.yaml:5:11: a path with `..` in it
   5 |     path: ../app
     |           ^^^^^^ write the way from the folder of pipeline.yaml down, without `..`",
    ),
    (
        "a path through a link out of the root",
        "version: 1
project: hello
services:
  hello:
    path: outside/src
    language: other
",
        "pipeline.yaml:5:11: `outside/src` leads out of the repository through a symbolic link
   5 |     path: outside/src
     |           ^^^^^^^^^^^ name a path inside of it",
    ),
    (
        "a path that is a link to nothing",
        "version: 1
project: hello
services:
  hello:
    path: dangling
    language: other
",
        "pipeline.yaml:5:11: `dangling` is a symbolic link to nothing
   5 |     path: dangling
     |           ^^^^^^^^ mend the link or name another path",
    ),
    (
        "a Dockerfile that is not in its default place",
        r#"version: 1
project: hello
services:
  tool:
    path: tool
    language: other
    image: { context: "." }
"#,
        r#"pipeline.yaml:7:5: there is no `Dockerfile` in `tool`
   7 |     image: { context: "." }
     |     ^^^^^ name it: `dockerfile: docker/app.Dockerfile`"#,
    ),
    (
        "a language whose manifest is not there",
        "version: 1
project: hello
services:
  tool: { path: tool, language: rust }
",
        "pipeline.yaml:4:33: there is no `Cargo.toml` in `tool`, and the commands of rust need it
   4 |   tool: { path: tool, language: rust }
     |                                 ^^^^ correct `path` or `language`, or write the commands under `checks`",
    ),
    (
        "a Go service without a module",
        "version: 1
project: hello
services:
  tool: { path: tool, language: go }
",
        "pipeline.yaml:4:33: there is no `go.mod` in `tool`, and the commands of go need it
   4 |   tool: { path: tool, language: go }
     |                                 ^^ correct `path` or `language`, or write the commands under `checks`",
    ),
    (
        "a Node service whose manifest is broken",
        "version: 1
project: hello
services:
  web:
    path: broken
    language: node
",
        "pipeline.yaml:6:15: the scripts of `broken/package.json` cannot be read: EOF while parsing an object at line 1 column 1
   6 |     language: node
     |               ^^^^ correct that file, or write the commands under `checks`",
    ),
    (
        "an empty file",
        "",
        "pipeline.yaml:1:1: the file is empty
   1 |
     | ^ it begins with `version: 1`",
    ),
    (
        "a file of comments",
        "# nothing
",
        "pipeline.yaml:2:1: the file is empty
   2 |
     | ^ it begins with `version: 1`",
    ),
    (
        "a file that is nothing",
        "~
",
        "pipeline.yaml:1:1: the file is empty
   1 | ~
     | ^ it begins with `version: 1`, and each `:` has a space behind it",
    ),
    (
        "a file that is text",
        "hello
",
        "pipeline.yaml:1:1: the file is text and must be a mapping
   1 | hello
     | ^^^^^ it begins with `version: 1`, and each `:` has a space behind it",
    ),
    (
        "a file that is a list",
        "- hello
",
        "pipeline.yaml:1:1: the file is a list and must be a mapping
   1 | - hello
     | ^ it begins with `version: 1`, and each `:` has a space behind it",
    ),
    (
        "a colon without a space",
        "version:1
project: hello
",
        "pipeline.yaml:1:1: the file is text and must be a mapping
   1 | version:1
     | ^ it begins with `version: 1`, and each `:` has a space behind it",
    ),
    (
        "a tab in the indentation",
        "version: 1\nproject: hello\nservices:\n\thello: {}\n",
        "pipeline.yaml:4:2: a tab in the indentation
   4 |  hello: {}
     |  ^ YAML is indented with spaces",
    ),
    (
        "an open bracket",
        "version: 1
project: hello
services: { hello: { path: app, language: rust }
charts: []
",
        "pipeline.yaml:4:1: not YAML: while parsing a flow mapping, did not find expected ',' or '}'
   4 | charts: []
     | ^ check quotes, brackets, colons and indentation up to here",
    ),
    (
        "an open quote",
        r#"version: 1
project: hello
registry: "abc
services: {}
"#,
        "pipeline.yaml:4:1: not YAML: invalid indentation in multiline quoted scalar
   4 | services: {}
     | ^ check quotes, brackets, colons and indentation up to here",
    ),
    (
        "indentation that fits nothing",
        "version: 1
project: hello
services:
    hello:
      path: app
      language: rust
   other: {}
",
        "pipeline.yaml:7:4: not YAML: while parsing a block mapping, did not find expected key
   7 |    other: {}
     |    ^ check quotes, brackets, colons and indentation up to here",
    ),
    (
        "a NUL byte",
        "version: 1\nproject: hello\nregistry: \"a\0b\"\n",
        r#"pipeline.yaml:3:13: not YAML: unexpected character: `\u{0}'
   3 | registry: "a�b"
     |             ^ check quotes, brackets, colons and indentation up to here"#,
    ),
    (
        "an alias without its anchor",
        "version: 1
project: hello
services: *all
",
        "pipeline.yaml:3:11: no anchor has this name
   3 | services: *all
     |           ^ an anchor `&name` must stand before its alias `*name`",
    ),
    (
        "an alias inside of its own anchor",
        "version: 1
project: hello
services: &all { hello: *all }
",
        "pipeline.yaml:3:25: this alias is inside of its own anchor
   3 | services: &all { hello: *all }
     |                         ^^^^ write the repeated part out",
    ),
    (
        "a tag",
        "version: 1
project: hello
services: !custom { hello: { path: app, language: rust } }
",
        "pipeline.yaml:3:19: the tag `!custom` has no meaning here
   3 | services: !custom { hello: { path: app, language: rust } }
     |                   ^ remove it",
    ),
    (
        "an unknown field that came through a merge",
        "version: 1
project: hello
services:
  hello: &hello { path: app, language: rust, prt: 1 }
",
        "pipeline.yaml:4:46: unknown field `prt` in `services.hello`
   4 |   hello: &hello { path: app, language: rust, prt: 1 }
     |                                              ^^^ known here: `path`, `language`, `checks`, `inputs`, `outputs`, `env`, `junit`, `image`, `chart`, `after`",
    ),
    (
        "a bad glob behind an anchor",
        r#"version: 1
project: hello
services:
  hello: { path: app, language: rust, inputs: &globs ["../x"] }
"#,
        r#"pipeline.yaml:4:55: a path with `..` in it
   4 |   hello: { path: app, language: rust, inputs: &globs ["../x"] }
     |                                                       ^^^^^^ write the way from the folder of pipeline.yaml down, without `..`"#,
    ),
    (
        "a value that an alias repeats is shown where it was written",
        "version: 1
project: hello
services:
  hello:
    path: &path nowhere
    language: other
    chart: *path
",
        "pipeline.yaml:5:17: there is no folder `nowhere`
   5 |     path: &path nowhere
     |                 ^^^^^^^ paths are relative to the folder of pipeline.yaml",
    ),
];

fn shown(repository: &Repository) -> String {
    let error = load(Start::Nearest(repository.root()), TODAY).expect_err("the document is wrong");
    assert_eq!(error.exit_code(), ExitCode::Usage);
    error.to_string()
}

fn shown_for(document: impl AsRef<[u8]>) -> String {
    shown(&Repository::with(document))
}

#[test]
fn each_mistake_in_a_field_is_one_error_with_its_line_a_caret_and_what_would_be_right() {
    for (fact, tail, expected) in TAILS {
        assert_eq!(shown_for(format!("{HEAD}{tail}")), *expected, "{fact}");
    }
}

#[test]
fn each_mistake_in_a_document_is_one_error_with_its_line_a_caret_and_what_would_be_right() {
    for (fact, document, expected) in DOCUMENTS {
        assert_eq!(shown_for(document), *expected, "{fact}");
    }
}

#[test]
fn the_head_of_the_table_is_right_so_each_mistake_is_in_its_tail() {
    load(Start::Nearest(Repository::with(HEAD).root()), TODAY).unwrap();
}

#[test]
fn a_file_that_is_too_large_is_not_read() {
    assert_eq!(
        shown_for("#".repeat(1024 * 1024 + 1)),
        "pipeline.yaml: the file has 1048577 bytes\nat most 1 MiB is read: is this the right file?"
    );
}

#[test]
fn aliases_that_multiply_end_early() {
    let words = "x, ".repeat(1000);
    let aliases = "        - *a\n".repeat(1000);
    assert_eq!(
        shown_for(format!("{HEAD}    checks:\n      lint:\n        - &a [{words}]\n{aliases}")),
        "pipeline.yaml:39:11: the aliases make this file too large
  39 |         - *a
     |           ^^ write the repeated parts out"
    );
}

#[test]
fn depth_ends_early_whatever_is_deep() {
    let (open, close) = ("[".repeat(40), "]".repeat(40));
    for (depth, expected) in [
        (format!("version: {open}{close}\n"), "1:42: too deep"),
        (format!("{HEAD}    inputs: {open}{close}\n"), "7:45: too deep"),
        ("[".repeat(1024 * 1024), "1:33: too deep"),
        ("- ".repeat(512 * 1024), "1:1: the file is a list and must be a mapping"),
    ] {
        let shown = shown_for(depth);
        assert_eq!(shown.lines().next(), Some(format!("pipeline.yaml:{expected}").as_str()));
        assert_eq!(shown.lines().count(), 3);
        assert!(shown.len() < 600, "{} bytes", shown.len());
    }
}

#[test]
fn many_values_end_early() {
    let shown = shown_for(format!("{HEAD}    inputs: [{}]\n", "a, ".repeat(70_000)));
    assert_eq!(shown.lines().next(), Some("pipeline.yaml:7:179963: too much for one file"));
}

#[test]
fn a_long_text_is_not_shown_in_full() {
    let shown = shown_for(format!("{HEAD}registry: {}\n", "K".repeat(300_000)));
    assert!(shown.starts_with("pipeline.yaml:7:11: `KKK"), "{shown}");
    assert!(shown.len() < 900, "{} bytes", shown.len());
}

#[test]
fn bytes_that_are_not_text_are_shown_where_they_are() {
    assert_eq!(
        shown_for(b"version: 1\nproject: h\xe4llo\n"),
        "pipeline.yaml:2:11: this is not UTF-8
   2 | project: h�llo
     |           ^ save the file as UTF-8"
    );
    assert_eq!(
        shown_for(b"\xff\xfev\0e\0r\0"),
        "pipeline.yaml:1:1: this is not UTF-8
   1 | ��v�e�r�
     | ^ save the file as UTF-8"
    );
}

#[test]
fn lines_are_counted_the_same_whatever_ends_them() {
    let expected = "pipeline.yaml:3:1: unknown field `servcies` at the top level
   3 | servcies: {}
     | ^^^^^^^^ did you mean `services`?";
    for (begin, end) in [("", "\n"), ("", "\r\n"), ("", "\r"), ("\u{feff}", "\n")] {
        let document = ["version: 1", "project: hello", "servcies: {}", ""].join(end);
        assert_eq!(shown_for(format!("{begin}{document}")), expected, "{begin:?} {end:?}");
    }
}

#[test]
fn without_a_file_it_says_where_it_looked_and_gives_one_to_start_with() {
    let repository = Repository::with("");
    fs::remove_file(repository.root().join("pipeline.yaml")).unwrap();
    let from = repository.root().join("app/src");
    let looked: Vec<String> = from.ancestors().map(|folder| folder.display().to_string()).collect();
    let error = load(Start::Nearest(&from), TODAY).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "pipeline.yaml: not found in {}
put this into the root of the repository, and change it to what is there:

version: 1
project: hello
services:
  hello:
    path: .
    language: rust   # or node, python, go, php, other",
            looked.join(", ")
        )
    );
    let error = load(Start::Root(&from), TODAY).unwrap_err();
    assert_eq!(error.message(), format!("not found in {}", from.display()));
}

#[test]
fn a_file_of_nearly_the_right_name_is_noticed() {
    let repository = Repository::with("");
    fs::rename(repository.root().join("pipeline.yaml"), repository.root().join("pipeline.yml")).unwrap();
    let error = load(Start::Nearest(repository.root()), TODAY).unwrap_err();
    let expected = format!("rename {} to pipeline.yaml", repository.root().join("pipeline.yml").display());
    assert_eq!(error.help(), expected);
}

#[test]
fn what_is_no_file_is_not_read() {
    let repository = Repository::with("");
    let file = repository.root().join("pipeline.yaml");
    fs::remove_file(&file).unwrap();
    repository.link("pipeline.yaml", "gone");
    assert_eq!(
        shown(&repository),
        "pipeline.yaml: cannot be read: No such file or directory (os error 2)
it is a symbolic link to nothing: mend or remove it"
    );
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    assert_eq!(
        shown(&repository),
        "pipeline.yaml: this is not a regular file
it holds text: services, environments, limits"
    );
    fs::remove_dir(&file).unwrap();
    repository.link("pipeline.yaml", "/dev/zero");
    assert!(shown(&repository).contains("this is not a regular file"));
}

#[test]
fn the_file_is_shown_as_it_can_be_opened_from_where_one_is() {
    let repository = Repository::with("version: 2\n");
    let error = load(Start::Nearest(&repository.root().join("app/src")), TODAY).unwrap_err();
    assert_eq!(error.file(), repository.root().join("pipeline.yaml").display().to_string());
    assert_eq!(error.position(), Some((1, 10)));
    let error = load(Start::Nearest(repository.root()), TODAY).unwrap_err();
    assert_eq!(error.file(), "pipeline.yaml");
    let error = load(Start::Root(repository.root()), TODAY).unwrap_err();
    assert_eq!(error.file(), repository.root().join("pipeline.yaml").display().to_string());
}

#[test]
fn a_link_that_would_be_written_through_is_refused_even_if_it_leads_nowhere_yet() {
    let repository = Repository::with(format!("{HEAD}    outputs: [\"dangling\"]\n"));
    assert_eq!(
        shown(&repository),
        "pipeline.yaml:7:15: `dangling` is a symbolic link to nothing
   7 |     outputs: [\"dangling\"]
     |               ^^^^^^^^^^ mend the link or name another path"
    );
}
