//! The text on the metrics port, read as strictly as a scraper of `OpenMetrics` 1.0 may.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use crate::process::Running;
use crate::volume::Volume;
use crate::wire::get;

/// What each declared family is, by name.
type Families = BTreeMap<String, String>;

/// Name, labels, value.
type Sample = (String, String, f64);

/// Suffixes that a sample of a family of this type may have.
fn suffixes(kind: &str) -> &'static [&'static str] {
    match kind {
        "counter" => &["_total"],
        "gauge" => &[""],
        "histogram" => &["_bucket", "_count", "_sum"],
        "info" => &["_info"],
        _ => &[],
    }
}

/// Splits `name{labels} value…`; quoted label values may hold spaces and braces.
fn sample(line: &str) -> Option<(&str, &str, f64)> {
    let name_end = line.find(['{', ' '])?;
    let (name, rest) = line.split_at(name_end);
    let mut quoted = false;
    let mut escaped = false;
    let end = rest.find(|c: char| {
        let ends = c == ' ' && !quoted;
        match c {
            '\\' if quoted => escaped = !escaped,
            '"' if !escaped => quoted = !quoted,
            _ => escaped = false,
        }
        ends
    })?;
    let (labels, value) = rest.split_at(end);
    let value = value.trim_start().split(' ').next()?;
    Some((name, labels, value.parse().ok()?))
}

/// Reads the exposition; the error is the first line that breaks the format.
fn read(text: &str) -> Result<(Families, Vec<Sample>), String> {
    let body = text.strip_suffix("# EOF\n").ok_or("does not end with # EOF")?;
    let (mut families, mut samples, mut seen) = (Families::new(), Vec::new(), BTreeSet::new());
    for line in body.lines() {
        if let Some(declared) = line.strip_prefix("# TYPE ") {
            let (name, kind) = declared.split_once(' ').ok_or(line)?;
            if families.insert(name.to_owned(), kind.to_owned()).is_some() {
                return Err(format!("{name} is declared twice"));
            }
        } else if let Some(unit) = line.strip_prefix("# UNIT ") {
            let (name, unit) = unit.split_once(' ').ok_or(line)?;
            if !name.ends_with(&format!("_{unit}")) {
                return Err(format!("{name} does not end with its unit {unit}"));
            }
        } else if !line.starts_with("# HELP ") {
            let (name, labels, value) = sample(line).ok_or(line)?;
            let declared = families.iter().any(|(family, kind)| {
                suffixes(kind).iter().any(|suffix| *name == format!("{family}{suffix}"))
            });
            if !declared {
                return Err(format!("{name} belongs to no declared family"));
            }
            if !seen.insert((name, labels)) {
                return Err(format!("{name}{labels} appears twice"));
            }
            samples.push((name.to_owned(), labels.to_owned(), value));
        }
    }
    Ok((families, samples))
}

#[test]
fn the_metrics_port_speaks_openmetrics() -> io::Result<()> {
    let vars = [("APP_COMMIT", "a \"quoted\" \\ {commit}\nin two lines"), ("CONFIG_ENVIRONMENT", "dev")];
    let app = Running::start(&vars)?;
    for path in ["/", "/healthz", "/nowhere"] {
        get(app.address, path)?;
    }
    let reply = get(app.metrics, "/metrics")?;
    let kind = reply.header("content-type");
    assert_eq!(kind, Some("application/openmetrics-text; version=1.0.0; charset=utf-8"));
    let (families, samples) = read(&reply.body).unwrap();

    let kinds: Vec<_> = families.iter().map(|(name, kind)| format!("{name}: {kind}")).collect();
    assert_eq!(
        kinds,
        [
            "app_build: info",
            "app_environment: info",
            "app_environment_mismatch: gauge",
            "http_request_duration_seconds: histogram",
            "http_requests_in_flight: gauge",
            "process_cpu_seconds: counter",
            "process_max_fds: gauge",
            "process_open_fds: gauge",
            "process_resident_memory_bytes: gauge",
            "process_start_time_seconds: gauge",
        ]
    );
    let value = |name: &str| samples.iter().find(|(found, ..)| found == name).map(|(.., value)| *value);
    assert!(value("process_resident_memory_bytes").is_some_and(|bytes| bytes > 100_000.0));
    assert!(value("process_open_fds").is_some_and(|open| open >= 5.0));
    let build = samples.iter().find(|(name, ..)| name == "app_build_info").unwrap();
    assert!(build.1.contains(r#"commit="a \"quoted\" \\ {commit}\nin two lines""#), "{}", build.1);
    let environment = samples.iter().find(|(name, ..)| name == "app_environment_info").unwrap();
    assert_eq!(environment.1, r#"{configured="dev",expected=""}"#);
    assert_eq!(value("app_environment_mismatch"), Some(0.0));
    Ok(())
}

#[test]
fn secrets_are_exposed_under_the_names_that_alerts_use() -> io::Result<()> {
    let volume = Volume::new(&[("api-token", b"one"), ("b.pem", b"two")])?;
    let app = Running::start(&[("APP_SECRETS_DIR", volume.text())])?;
    let (families, samples) = read(&get(app.metrics, "/metrics")?.body).unwrap();
    let kinds: Vec<_> = families
        .iter()
        .filter(|(name, _)| name.starts_with("app_secret_"))
        .map(|(name, kind)| (&**name, &**kind))
        .collect();
    let expected = [
        ("app_secret_age_seconds", "gauge"),
        ("app_secret_reload_errors", "counter"),
        ("app_secret_reloads", "counter"),
    ];
    assert_eq!(kinds, expected);
    let found: Vec<_> = samples.iter().filter(|(name, ..)| name.starts_with("app_secret_")).collect();
    assert_eq!(found.len(), 6);
    for (name, labels, value) in found {
        assert!([r#"{secret="api-token"}"#, r#"{secret="b.pem"}"#].contains(&labels.as_str()), "{labels}");
        match name.as_str() {
            "app_secret_age_seconds" => assert!((0.0..3600.0).contains(value), "{value}"),
            _ => assert!(name.ends_with("_total") && *value == 0.0, "{name} {value}"),
        }
    }
    Ok(())
}

#[test]
fn the_buckets_of_a_histogram_grow_up_to_its_count() -> io::Result<()> {
    let app = Running::start(&[])?;
    for _ in 0..3 {
        get(app.address, "/version")?;
    }
    let (_, samples) = read(&get(app.metrics, "/metrics")?.body).unwrap();
    let of = |suffix: &str| {
        let name = format!("http_request_duration_seconds{suffix}");
        samples
            .iter()
            .filter(move |sample| sample.0 == name && sample.1.contains("/version"))
            .map(|sample| sample.2)
    };
    let buckets: Vec<_> = of("_bucket").collect();
    assert!(buckets.len() > 2 && buckets.is_sorted(), "{buckets:?}");
    assert_eq!(buckets.last().copied(), of("_count").next());
    assert_eq!(of("_count").next(), Some(3.0));
    Ok(())
}

#[test]
fn a_broken_exposition_is_noticed() {
    let good = "# TYPE a gauge\na{l=\"x y}\\\" z\"} 1.0\n# EOF\n";
    assert!(read(good).is_ok());
    for (broken, why) in [
        ("", "does not end"),
        ("# TYPE a gauge\na 1\n", "does not end"),
        ("a 1\n# EOF\n", "no declared family"),
        ("# TYPE a counter\na 1\n# EOF\n", "no declared family"),
        ("# TYPE a gauge\na one\n# EOF\n", "a one"),
        ("# TYPE a gauge\na 1\na 2\n# EOF\n", "appears twice"),
        ("# TYPE a gauge\n# TYPE a gauge\n# EOF\n", "declared twice"),
        ("# TYPE a gauge\n# UNIT a seconds\n# EOF\n", "does not end with its unit"),
    ] {
        let error = read(broken).unwrap_err();
        assert!(error.contains(why), "{broken:?}: {error}");
    }
}
