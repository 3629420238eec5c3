//! README.md names everything that the service reads, answers and exposes. With `faults` only, because the
//! image's build, which runs the other tests, has no documents.

use std::fs;
use std::io;

use crate::process::Running;
use crate::volume::Volume;
use crate::wire::get;

/// A file of this package.
fn file(name: &str) -> io::Result<String> {
    fs::read_to_string(format!("{}/{name}", env!("CARGO_MANIFEST_DIR")))
}

/// What stands in quotes after `before`, anywhere in `code`.
fn quoted<'a>(code: &'a str, before: &'a str) -> impl Iterator<Item = &'a str> {
    code.split(before).skip(1).filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next())
}

/// A code span, whatever stands behind the name in it.
fn names(readme: &str, name: &str) -> bool {
    readme.split('`').skip(1).step_by(2).any(|span| span.split([' ', '=']).any(|word| word == name))
}

#[test]
fn every_variable_every_route_and_every_fault_is_documented() -> io::Result<()> {
    let (readme, config, routes) = (file("README.md")?, file("src/config.rs")?, file("src/routes.rs")?);
    let config = config.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let mut variables: Vec<&str> =
        ["text(", "parse(", "seconds("].into_iter().flat_map(|read| quoted(config, read)).collect();
    variables.sort_unstable();
    assert!(variables.len() >= 13 && variables.contains(&"FAULT"), "{variables:?}");
    let routes: Vec<&str> = quoted(&routes, ".route(").filter(|route| !route.contains('{')).collect();
    assert!(routes.contains(&"/") && routes.contains(&"/private"), "{routes:?}");
    let faults = app::faults::WANT.split([' ', ',']).filter(|word| word.contains([':', '-']));
    let faults: Vec<&str> = faults.collect();
    assert_eq!(faults.len(), 8, "{faults:?}");
    for name in variables.iter().chain(&routes).chain(&faults) {
        assert!(names(&readme, name), "README.md does not name {name}");
    }
    Ok(())
}

#[test]
fn every_metric_is_documented_with_its_labels() -> io::Result<()> {
    let readme = file("README.md")?;
    let volume = Volume::new(&[("api-token", b"one")])?;
    let app = Running::start(&[("APP_SECRETS_DIR", volume.text())])?;
    get(app.address, "/version")?;
    let metrics = get(app.metrics, "/metrics")?.body;
    let mut seen = 0;
    for line in metrics.lines().filter(|line| !line.starts_with('#')) {
        let series = line.split(' ').next().unwrap_or_default();
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let name =
            ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
        let row = readme.lines().find(|row| row.starts_with("| `") && names(row, name));
        let row = row.ok_or_else(|| io::Error::other(format!("README.md does not name {name}")))?;
        for label in labels.split("\",").filter_map(|label| label.split_once('=')).map(|(label, _)| label) {
            assert!(label == "le" || names(row, label), "README.md does not name {label} of {name}");
        }
        seen += 1;
    }
    assert!(seen > 15, "{metrics}");
    Ok(())
}
