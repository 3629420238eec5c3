//! Trivy: vulnerabilities, secrets and misconfiguration of an image. Its report is of schema 2.
//!
//! Exit 0 means a report, with or without findings; everything else is a fault. What it does not find it does not mention, so the
//! counts of what was looked at are part of the facts: an image from scratch with one static program has no package at all, and that
//! is not the same as packages without faults.
//!
//! Severities are Trivy's own. An operating system that nobody publishes advisories for any more is an observation of ours: Trivy
//! only warns, and finds nothing.

use crate::engine::{Call, Cx};
use crate::error::{StageError, Transient};
use crate::facts::Observation;
use crate::outcome::Severity;
use crate::tools::common::{at_home, exited, fresh_report, read_report, unreadable};
use crate::tools::provision::Recipe;
use crate::tools::read_json;
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::time::Duration;

/// Its name in `tools.lock`.
pub const TOOL: &str = "trivy";
/// The name of its database in `tools.lock`. The program of that name is the folder that holds it.
pub const DATABASE: &str = "trivy-db";

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const DATABASE_STATE: &str = "db/metadata.json";

/// What was seen of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageScan {
    /// The digest of the image's configuration.
    pub image: String,
    /// The operating system, if there is one: `debian 12.1`.
    pub os: Option<String>,
    /// What was looked at: `os-pkgs debian: image (debian 12.1)`.
    pub targets: Vec<String>,
    /// How many packages were found and looked up.
    pub packages: usize,
    /// How many checks of configuration were made.
    pub checks: u64,
    /// When the database was made that the packages were looked up in.
    pub database_updated: String,
    /// What was found.
    pub observations: Vec<Observation>,
}

/// How the database is fetched.
pub fn recipe() -> Recipe {
    Recipe {
        args: |folder, repository| {
            let mut args: Vec<OsString> =
                ["image", "--download-db-only", "--no-progress", "--skip-version-check"]
                    .map(OsString::from)
                    .to_vec();
            args.extend(
                ["--disable-telemetry", "--db-repository", repository, "--cache-dir"].map(OsString::from),
            );
            args.push(folder.into());
            args
        },
        produces: &["db/trivy.db", DATABASE_STATE],
        refresh: DAY,
        expire: 7 * DAY,
    }
}

/// Scans the image in an OCI layout, a folder relative to the root.
pub async fn image(cx: &Cx, layout: &str) -> Result<ImageScan, StageError> {
    let database = &cx.program(DATABASE)?.path;
    let state = database.join(DATABASE_STATE);
    let state = std::fs::read(&state).map_err(StageError::io("cannot read", state))?;
    let report = fresh_report(cx, "trivy.json")?;
    let scratch = cx.scratch()?;
    let call = Call::new(cx.program(TOOL)?)
        .arg("image")
        .args(["--skip-db-update", "--skip-check-update", "--offline-scan"])
        .args(["--skip-version-check", "--disable-telemetry", "--no-progress"])
        .args(["--scanners", "vuln,secret,misconfig", "--image-config-scanners", "misconfig,secret"])
        // The stage's deadline holds; Trivy's own would end a long scan as if the image were at fault.
        .args(["--timeout", "24h"])
        // Its cache of layers takes a lock, and scans of several images run at once.
        .args(["--cache-backend", "memory", "--cache-dir"])
        .arg(database)
        .args(["--format", "json", "--output"])
        .arg(&report)
        .arg("--input")
        .arg(cx.root().join(layout))
        // In the root it would obey a trivy.yaml and a .trivyignore, which are no inputs of the stage.
        .directory(scratch);
    let ran = cx.exec(at_home(call, scratch)).await?;
    if ran.code != 0 {
        return Err(match transient(&String::from_utf8_lossy(&ran.stderr)) {
            Some(kind) => {
                StageError::Transient { tool: TOOL.to_owned(), kind, log: Some(cx.log().to_owned()) }
            }
            None => exited(cx, TOOL, &ran),
        });
    }
    parse(&read_report(TOOL, &report)?, &state)
}

/// Java archives are looked up in a second database, which Trivy fetches when it meets one: the one thing that may need the network.
fn transient(stderr: &str) -> Option<Transient> {
    let fatal = stderr.split("FATAL").nth(1).filter(|fatal| fatal.contains("Java DB"))?;
    let has = |words: &[&str]| words.iter().any(|word| fatal.contains(word));
    if has(&["TOOMANYREQUESTS", "429", "503"]) {
        Some(Transient::Throttled)
    } else if has(&["dial tcp: lookup "]) {
        Some(Transient::Dns)
    } else if has(&["connection reset", "TLS handshake", "unexpected EOF", "i/o timeout"]) {
        Some(Transient::ConnectionReset)
    } else {
        None
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DatabaseState {
    updated_at: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Schema {
    schema_version: Option<u32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Report {
    artifact_name: String,
    metadata: Metadata,
    #[serde(default)]
    results: Vec<Target>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Metadata {
    #[serde(rename = "OS")]
    os: Option<Os>,
    #[serde(rename = "ImageID")]
    image_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Os {
    family: String,
    #[serde(default)]
    name: String,
    /// End of service life.
    #[serde(rename = "EOSL", default)]
    end_of_life: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Target {
    target: String,
    class: String,
    r#type: Option<String>,
    #[serde(default)]
    packages: Vec<serde::de::IgnoredAny>,
    #[serde(default)]
    vulnerabilities: Vec<Vulnerability>,
    misconf_summary: Option<Checks>,
    #[serde(default)]
    misconfigurations: Vec<Misconfiguration>,
    #[serde(default)]
    secrets: Vec<Secret>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Checks {
    successes: u64,
    failures: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Vulnerability {
    #[serde(rename = "VulnerabilityID")]
    id: String,
    pkg_name: String,
    #[serde(default)]
    pkg_path: String,
    installed_version: String,
    #[serde(default)]
    fixed_version: String,
    #[serde(default)]
    title: String,
    severity: Level,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Misconfiguration {
    #[serde(rename = "ID")]
    id: String,
    title: String,
    message: String,
    severity: Level,
    status: String,
}

/// `Match` and `Code` are not read: they show what stands around the secret.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Secret {
    #[serde(rename = "RuleID")]
    rule: String,
    title: String,
    start_line: u32,
    severity: Level,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "UPPERCASE")]
enum Level {
    Low,
    Medium,
    High,
    Critical,
    #[serde(other)]
    Unknown,
}

impl From<Level> for Severity {
    fn from(level: Level) -> Severity {
        match level {
            Level::Low => Severity::Low,
            Level::Medium => Severity::Medium,
            Level::High => Severity::High,
            Level::Critical => Severity::Critical,
            Level::Unknown => Severity::Unknown,
        }
    }
}

fn parse(report: &[u8], database: &[u8]) -> Result<ImageScan, StageError> {
    let DatabaseState { updated_at } = read_json(DATABASE, database)?;
    let Schema { schema_version } = read_json(TOOL, report)?;
    if schema_version != Some(2) {
        let found = schema_version.map_or("none".to_owned(), |found| found.to_string());
        return Err(unreadable(TOOL, format!("its report should be of schema 2, and says {found}")));
    }
    let Report { artifact_name, metadata, results } = read_json(TOOL, report)?;
    let os = metadata.os.as_ref().map(|os| format!("{} {}", os.family, os.name).trim().to_owned());
    let mut scan = ImageScan {
        image: metadata.image_id,
        targets: results.iter().map(|target| named(target, &artifact_name)).collect(),
        packages: results.iter().map(|target| target.packages.len()).sum(),
        checks: results
            .iter()
            .filter_map(|target| target.misconf_summary.as_ref())
            .map(|checks| checks.successes + checks.failures)
            .sum(),
        database_updated: updated_at,
        observations: Vec::new(),
        os,
    };
    if let Some(os) = scan.os.as_deref().filter(|_| metadata.os.is_some_and(|os| os.end_of_life)) {
        let message = format!(
            "{os} is out of support: nobody publishes advisories for it, so its faults are not found"
        );
        scan.observations.push(Observation::new("end-of-life", Severity::High, message));
    }
    scan.observations.extend(results.into_iter().flat_map(observations));
    Ok(scan)
}

/// The name of a target without the path of the layout on this machine.
fn named(target: &Target, layout: &str) -> String {
    let kind = target.r#type.iter().fold(target.class.clone(), |class, kind| format!("{class} {kind}"));
    format!("{kind}: {}", target.target.replacen(layout, "image", 1))
}

/// Paths in an image are no paths of the repository: they stand in the message.
fn observations(target: Target) -> Vec<Observation> {
    let Target { target, vulnerabilities, misconfigurations, secrets, .. } = target;
    let vulnerable = vulnerabilities.into_iter().map(|one| {
        let at = if one.pkg_path.is_empty() { String::new() } else { format!(" ({})", one.pkg_path) };
        let what = if one.title.is_empty() { "vulnerable" } else { &one.title };
        let fixed = !one.fixed_version.is_empty();
        let mend = if fixed { format!("fixed in {}", one.fixed_version) } else { "no fix".to_owned() };
        let message = format!("{} {}{at}: {what} ({mend})", one.pkg_name, one.installed_version);
        Observation { fixed: Some(fixed), ..Observation::new(one.id, one.severity.into(), message) }
    });
    let wrong = misconfigurations
        .into_iter()
        .filter(|one| one.status == "FAIL")
        .map(|one| Observation::new(one.id, one.severity.into(), format!("{}: {}", one.title, one.message)));
    let secret = secrets.into_iter().map(|one| {
        let message = format!("{} in {target} of the image, line {}", one.title, one.start_line);
        Observation::new(one.rule, one.severity.into(), message)
    });
    vulnerable.chain(wrong).chain(secret).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::testdata::{recorded, refuses_any_cut};

    const STATE: &[u8] =
        br#"{"Version":2,"NextUpdate":"2036-11-21T00:00:00Z","UpdatedAt":"2026-11-21T00:00:00Z"}"#;

    fn read(report: &[u8]) -> Result<ImageScan, StageError> {
        parse(report, STATE)
    }

    fn scan(case: &str) -> ImageScan {
        read(&recorded(&format!("trivy/0.74.0/{case}.json"))).unwrap()
    }

    fn find<'a>(scan: &'a ImageScan, rule: &str) -> &'a Observation {
        scan.observations.iter().find(|one| one.rule == rule).unwrap()
    }

    #[test]
    fn vulnerabilities_keep_severity_versions_and_whether_there_is_a_fix() {
        let scan = scan("image-findings");
        let glibc = find(&scan, "CVE-2023-4911");
        assert_eq!((glibc.severity, glibc.fixed), (Severity::High, Some(true)));
        assert_eq!(
            glibc.message,
            "libc6 2.36-9+deb12u1: glibc: buffer overflow in ld.so leading to privilege escalation \
             (fixed in 2.36-9+deb12u3)"
        );
        let minimist = find(&scan, "CVE-2021-44906");
        assert_eq!(minimist.severity, Severity::Critical);
        assert!(
            minimist.message.contains("(app/node_modules/minimist/package.json)"),
            "{}",
            minimist.message
        );
        let unfixed = scan.observations.iter().filter(|one| one.fixed == Some(false));
        assert!(unfixed.clone().count() > 0 && unfixed.clone().all(|one| one.message.ends_with("(no fix)")));
    }

    #[test]
    fn secrets_and_misconfiguration_are_seen_and_no_value_is_shown() {
        let scan = scan("image-findings");
        let key = find(&scan, "aws-access-key-id");
        assert_eq!(key.severity, Severity::Critical);
        assert_eq!(key.message, "AWS Access Key ID in /app/config/deploy.ini of the image, line 2");
        assert_eq!((key.fixed, key.file.as_deref()), (None, None));
        assert_eq!(find(&scan, "DS-0002").severity, Severity::High);
        let text = serde_json::to_string(&scan).unwrap();
        assert!(!text.contains("****") && !text.contains("aws_access_key_id ="), "{text}");
    }

    #[test]
    fn what_was_looked_at_is_counted() {
        let found = scan("image-findings");
        assert_eq!((found.packages, found.checks, found.os.as_deref()), (7, 27, Some("debian 12.1")));
        assert_eq!(found.targets[0], "os-pkgs debian: image (debian 12.1)");
        assert_eq!(found.targets[3], "secret: /app/config/deploy.ini");
        assert_eq!(found.database_updated, "2026-11-21T00:00:00Z");
        assert!(found.image.starts_with("sha256:44597d77"));

        let scratch = scan("image-scratch");
        assert_eq!((scratch.packages, scratch.os, scratch.observations.len()), (0, None, 0));
        let clean = scan("image-clean");
        assert_eq!(clean.packages, 4);
        assert_eq!(clean.observations.iter().map(|one| one.rule.as_str()).collect::<Vec<_>>(), ["DS-0026"]);
    }

    #[test]
    fn a_system_without_advisories_is_not_clean() {
        let scan = scan("image-end-of-life");
        let [only] = scan.observations.as_slice() else { panic!("{scan:?}") };
        assert_eq!((only.rule.as_str(), only.severity), ("end-of-life", Severity::High));
        assert!(only.message.starts_with("debian 9.13 is out of support"));
    }

    #[test]
    fn a_report_that_is_cut_of_another_schema_or_of_no_image_is_refused() {
        refuses_any_cut(&recorded("trivy/0.74.0/image-findings.json"), read);
        refuses_any_cut(&recorded("trivy/0.74.0/image-scratch.json"), read);
        let current = recorded("trivy/0.74.0/image-scratch.json");
        let newer = String::from_utf8(current.clone())
            .unwrap()
            .replace("\"SchemaVersion\": 2", "\"SchemaVersion\": 3");
        let refused = [
            recorded("trivy/0.19.2/fs-vulnerabilities.json"),
            recorded("trivy/0.19.2/fs-clean.json"),
            recorded("trivy/0.74.0/fs-secrets-clean.json"),
            newer.into_bytes(),
            b"{}".to_vec(),
        ];
        for report in refused {
            let text = String::from_utf8_lossy(&report);
            assert!(matches!(read(&report), Err(StageError::Unreadable { .. })), "{text}");
        }
        assert!(
            matches!(parse(&current, b"{"), Err(StageError::Unreadable { tool, .. }) if tool == DATABASE)
        );
    }

    #[test]
    fn only_the_database_of_java_archives_fails_for_a_while() {
        for case in [
            "database-corrupt",
            "no-database-update-skipped",
            "timeout",
            "image-missing",
            "no-database-no-network",
        ] {
            let stderr = recorded(&format!("trivy/0.74.0/{case}.stderr.txt"));
            assert_eq!(transient(&String::from_utf8_lossy(&stderr)), None, "{case}");
        }
        let unreached = recorded("trivy/0.74.0/image-java-no-network.stderr.txt");
        let unreached = String::from_utf8_lossy(&unreached);
        assert_eq!(transient(&unreached), Some(Transient::Dns));
        let instead = |why: &str| transient(&unreached.replace("dial tcp: lookup", why));
        assert_eq!(instead("TOOMANYREQUESTS: retry-after"), Some(Transient::Throttled));
        assert_eq!(instead("read tcp: connection reset by peer"), Some(Transient::ConnectionReset));
        assert_eq!(instead("no space left on device"), None);
    }
}
