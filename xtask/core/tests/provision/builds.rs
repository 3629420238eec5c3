//! Tools that are built: Go's and Python's. The real pip installs a wheel made here; go is a fake, because the real one would need its
//! proxy.

use crate::support::{Bench, ensure, real_path, run, sha256, write_program};
use std::fs;
use std::path::PathBuf;
use xtask_core::tools::provision::{Provisioner, Reason};

const SUM: &str = "h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

fn go_source() -> String {
    format!(
        "      - go: {{ module: a.example/m, version: v1.2.3, package: a.example/m/cmd/other, sum: \"{SUM}\", set: {{ main.version: 1.2.3 }} }}\n"
    )
}

/// A fake go: says what it was asked, builds a script, and names the module that it was built from.
fn fake_go(bench: &Bench, sum: &str) {
    bench.fake(
        "go",
        &format!(
            r#"#!/bin/sh
echo "$*" >> "$0.calls"
echo "GOSUMDB=$GOSUMDB GOFLAGS=$GOFLAGS GONOSUMDB=$GONOSUMDB CGO_ENABLED=$CGO_ENABLED HOME=$HOME" >> "$0.env"
case "$1" in
  install) out="$GOBIN/other"; /bin/mkdir -p "$GOBIN" ;;
  build) [ -s go.mod ] && [ -s go.sum ] || exit 65; while [ "$1" != -o ]; do shift; done; out="$2" ;;
  version) printf '%s: go1.26\n\tpath\ta.example/m/cmd/other\n\tmod\ta.example/m\tv1.2.3\t{sum}\n' "$3"; exit 0 ;;
esac
printf '#!/bin/sh\necho tool 1.2.3\n' > "$out"; /bin/chmod 755 "$out"
"#
        ),
    );
}

fn said(bench: &Bench, file: &str) -> String {
    fs::read_to_string(bench.bin.join(file)).unwrap_or_default()
}

#[tokio::test]
async fn a_module_is_built_with_the_checksum_database_on_whatever_the_user_has_set() {
    let mut bench = Bench::new();
    bench.pin(&go_source());
    fake_go(&bench, SUM);
    bench.env = [("GOSUMDB", "off"), ("GOFLAGS", "-insecure"), ("GONOSUMDB", "*"), ("HOME", "/home/x")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    let tool = bench.ensure().await.unwrap();
    assert_eq!(tool.path.file_name().unwrap(), "tool", "under the tool's name, not the package's");
    assert_eq!(tool.source, "go a.example/m/cmd/other@v1.2.3");
    let calls = said(&bench, "go.calls");
    assert!(
        calls.starts_with(
            "install -trimpath -gcflags=all=-dwarf=false -ldflags=-s -w -X main.version=1.2.3 a.example/m/cmd/other@v1.2.3\nversion -m "
        ),
        "{calls}"
    );
    let env = said(&bench, "go.env");
    assert!(env.lines().all(|line| line == "GOSUMDB=sum.golang.org GOFLAGS=-buildvcs=false GONOSUMDB=none.invalid CGO_ENABLED=0 HOME=/home/x"), "{env}");
}

#[tokio::test]
async fn a_module_with_another_sum_is_refused() {
    let bench = Bench::new();
    bench.pin(&go_source());
    fake_go(&bench, "h1:BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB=");
    let error = bench.ensure().await.unwrap_err();
    assert_eq!(error.tried[0].reason, Reason::Refused);
    assert!(error.tried[0].why.contains("h1:BBB") && error.tried[0].why.contains(SUM), "{error}");
    assert_eq!(bench.cached(), Vec::<String>::new());
}

#[tokio::test]
async fn a_build_that_fails_says_its_last_words() {
    let bench = Bench::new();
    bench.pin(&go_source());
    bench.fake(
        "go",
        "#!/bin/sh\necho 'go: downloading'\necho 'main.go:3:1: syntax error' >&2\necho\nexit 1\n",
    );
    let error = bench.ensure().await.unwrap_err();
    assert_eq!(error.tried[0].why, "`go install` exited with 1: main.go:3:1: syntax error");
}

#[tokio::test]
async fn a_package_in_a_module_of_ours_is_built_from_the_committed_files() {
    let bench = Bench::new();
    bench.pin("      - gomod: { dir: m, package: a.example/m/cmd/other, tags: [a, b_c] }\n");
    fake_go(&bench, SUM);
    let error = bench.ensure().await.unwrap_err();
    assert!(error.tried[0].why.contains("locks/go/m/go.mod does not exist"), "{error}");
    let module = bench.repository.join("xtask/core/locks/go/m");
    fs::create_dir_all(&module).unwrap();
    fs::write(module.join("go.mod"), "module slipway.invalid/m\n").unwrap();
    fs::write(module.join("go.sum"), "x\n").unwrap();
    let tool = bench.ensure().await.unwrap();
    let calls = said(&bench, "go.calls");
    assert!(
        calls.starts_with(
            "build -trimpath -mod=readonly -gcflags=all=-dwarf=false -ldflags=-s -w -tags=a,b_c -o "
        ),
        "{calls}"
    );
    // The committed files decide: other ones are another installation.
    fs::write(module.join("go.sum"), "y\n").unwrap();
    assert_eq!(bench.provisioner().quick("tool"), None);
    assert_ne!(bench.ensure().await.unwrap().path, tool.path);
}

/// A wheel with two programs, and requirements with its digest.
fn wheel(bench: &Bench, digest: Option<String>) -> String {
    let made = bench.folder.path().join("wheel");
    let info = made.join("toolpkg-1.2.3.dist-info");
    fs::create_dir_all(&info).unwrap();
    fs::create_dir_all(made.join("toolpkg")).unwrap();
    fs::write(made.join("toolpkg/__init__.py"), "def main():\n    print('tool 1.2.3')\n").unwrap();
    fs::write(info.join("METADATA"), "Metadata-Version: 2.1\nName: toolpkg\nVersion: 1.2.3\n").unwrap();
    fs::write(
        info.join("WHEEL"),
        "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    )
    .unwrap();
    fs::write(
        info.join("entry_points.txt"),
        "[console_scripts]\ntool = toolpkg:main\nsecond = toolpkg:main\n",
    )
    .unwrap();
    fs::write(info.join("RECORD"), "toolpkg/__init__.py,,\ntoolpkg-1.2.3.dist-info/METADATA,,\ntoolpkg-1.2.3.dist-info/WHEEL,,\ntoolpkg-1.2.3.dist-info/entry_points.txt,,\ntoolpkg-1.2.3.dist-info/RECORD,,\n").unwrap();
    let file = "toolpkg-1.2.3-py3-none-any.whl";
    run("zip", &["-q", "-r", file, "toolpkg", "toolpkg-1.2.3.dist-info"], &made);
    let digest = digest.unwrap_or_else(|| sha256(&fs::read(made.join(file)).unwrap()));
    format!("toolpkg==1.2.3 --hash=sha256:{digest}\n")
}

fn requirements(bench: &Bench, text: &str) {
    let folder = bench.repository.join("xtask/core/locks/python");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("shared.txt"), text).unwrap();
}

const PYPI: &str = "      - pypi: { requirements: shared, script: tool }\n";
const SECOND: &str = "  second:\n    version: 1.2.3\n    probe: { args: [], after: \"tool \" }\n    sources:\n      - pypi: { requirements: shared, script: second }\n";

/// Where the real Python is; without one that can make environments, says so loudly and gives nothing.
fn with_real_python(bench: &mut Bench) -> Option<Provisioner> {
    let usable =
        real_path().into_iter().map(|folder| folder.join("python3")).find(|path| path.is_file()).is_some_and(
            |path| {
                #[expect(clippy::disallowed_methods, reason = "a test looks whether it can run")]
                let output = std::process::Command::new(path).args(["-c", "import ensurepip, venv"]).output();
                output.is_ok_and(|output| output.status.success())
            },
        );
    if !usable {
        #[expect(clippy::print_stderr, reason = "a skipped check says so")]
        {
            eprintln!(
                "NOT CHECKED: the real pip, because there is no python3 with venv and ensurepip on PATH"
            );
        }
        return None;
    }
    let wheels = bench.folder.path().join("wheel").display().to_string();
    bench.env = [("PIP_NO_INDEX", "1".to_owned()), ("PIP_FIND_LINKS", wheels)]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
    Some(bench.provisioner_on(real_path()))
}

#[tokio::test]
async fn the_real_pip_installs_what_has_the_pinned_digest_and_refuses_what_has_not() {
    let mut bench = Bench::new();
    bench.pin_as("tool", PYPI, SECOND);
    requirements(&bench, &wheel(&bench, None));
    let Some(provisioner) = with_real_python(&mut bench) else { return };
    let tool = ensure(&provisioner, "tool").await.unwrap();
    let second = ensure(&provisioner, "second").await.unwrap();
    assert_eq!(
        tool.path.parent(),
        second.path.parent(),
        "tools of one list of requirements share an environment"
    );
    assert_eq!(tool.extra_path.as_deref(), tool.path.parent());
    let (_source, cancel) = crate::support::never();
    let verified = format!("{:?}", provisioner.verify(&["tool", "second"], &cancel, |_| {}).await);
    assert_eq!(verified.matches("Good").count(), 2, "{verified}");

    requirements(&bench, &wheel(&bench, Some(sha256(b"other"))));
    assert_eq!(provisioner.quick("tool"), None, "other requirements are another environment");
    let error = ensure(&provisioner, "tool").await.unwrap_err();
    assert!(
        error.tried[0].why.contains("`python -m pip` exited") || error.tried[0].why.contains("exited with 1"),
        "{error}"
    );
    assert_eq!(provisioner.quick("tool"), None);
}

/// A fake python3 whose environments hold a fake python with a fake pip, which fails while there is a file `broken` beside it.
fn fake_python(bench: &Bench) -> PathBuf {
    let outside = bench.fake(
        "python3",
        r#"#!/bin/sh
echo "$*" >> "$0.calls"
[ "$1 $2" = "-m venv" ] || exit 64
/bin/mkdir -p "$3/bin"
/bin/ln -s "$0" "$3/bin/python-real"
/bin/cp "$0.inner" "$3/bin/python"
/bin/chmod 755 "$3/bin/python"
"#,
    );
    write_program(
        &bench.bin.join("python3.inner"),
        &format!(
            r#"#!/bin/sh
echo "$*" >> "{0}.calls"
[ -e "{0}.broken" ] && {{ echo 'ERROR: half-way' >&2; exit 1; }}
for name in tool second; do printf '#!/bin/sh\necho tool 1.2.3\n' > "${{0%/*}}/$name"; /bin/chmod 755 "${{0%/*}}/$name"; done
"#,
            outside.display()
        ),
    );
    outside
}

#[tokio::test]
async fn pip_is_told_to_take_wheels_with_digests_only() {
    let bench = Bench::new();
    bench.pin(PYPI);
    requirements(&bench, "toolpkg==1.2.3\n");
    fake_python(&bench);
    bench.ensure().await.unwrap();
    let calls = said(&bench, "python3.calls");
    let pip = calls.lines().nth(1).unwrap_or_default();
    assert!(
        pip.starts_with("-m pip install ")
            && pip.contains(" --require-hashes --only-binary=:all: --requirement "),
        "{calls}"
    );
}

#[tokio::test]
async fn tools_that_share_an_environment_and_want_it_at_once_make_it_once() {
    let bench = Bench::new();
    bench.pin_as("tool", PYPI, SECOND);
    requirements(&bench, "toolpkg==1.2.3\n");
    fake_python(&bench);
    let (_source, cancel) = crate::support::never();
    let results = bench.provisioner().ensure(&["tool", "second"], &cancel, |_| {}).await;
    assert!(results.iter().all(|(_, result)| result.is_ok()), "{results:?}");
    assert_eq!(said(&bench, "python3.calls").lines().count(), 2, "one venv, one pip");
}

#[tokio::test]
async fn an_environment_that_was_not_finished_is_not_used() {
    let bench = Bench::new();
    bench.pin(PYPI);
    requirements(&bench, "toolpkg==1.2.3\n");
    fake_python(&bench);
    fs::write(bench.bin.join("python3.broken"), "").unwrap();
    let error = bench.ensure().await.unwrap_err();
    assert_eq!(error.tried[0].why, "`python pip` exited with 1: ERROR: half-way");
    assert_eq!(bench.cached(), Vec::<String>::new());
    fs::remove_file(bench.bin.join("python3.broken")).unwrap();
    let tool = bench.ensure().await.unwrap();

    // As after a kill: the files are there, nothing says that they are all.
    fs::remove_file(bench.only("env.json")).unwrap();
    fs::remove_file(bench.only("tool.json")).unwrap();
    fs::write(tool.path.with_file_name("half"), "x").unwrap();
    let again = bench.ensure().await.unwrap();
    assert_eq!(again.path, tool.path);
    assert!(!tool.path.with_file_name("half").exists());
}

#[tokio::test]
async fn a_damaged_environment_is_made_again() {
    let bench = Bench::new();
    bench.pin(PYPI);
    requirements(&bench, "toolpkg==1.2.3\n");
    fake_python(&bench);
    let tool = bench.ensure().await.unwrap();
    fs::write(&tool.path, "#!/bin/sh\necho damaged\n").unwrap();
    assert_eq!(bench.provisioner().quick("tool"), None);
    let again = bench.ensure().await.unwrap();
    assert_eq!(fs::read_to_string(&again.path).unwrap(), "#!/bin/sh\necho tool 1.2.3\n");
    assert!(again.notes.iter().any(|note| note.contains("installed again")), "{again:?}");
}

#[tokio::test]
async fn another_python_means_another_environment() {
    let bench = Bench::new();
    bench.pin(PYPI);
    requirements(&bench, "toolpkg==1.2.3\n");
    fake_python(&bench);
    bench.ensure().await.unwrap();
    let environment = fs::read_to_string(bench.only("env.json")).unwrap();
    let interpreter = bench.only("python");
    assert!(environment.contains(&interpreter.display().to_string()), "{environment}");
    // The interpreter that the environment was made from is replaced, as by an upgrade of the system.
    write_program(&interpreter, "#!/bin/sh\nexit 1\n");
    assert_eq!(bench.provisioner().quick("tool"), None);
    let again = bench.ensure().await.unwrap();
    assert!(again.notes.iter().any(|note| note.contains("has changed since")), "{again:?}");
}
