//! Helm: the linter and the renderer of charts. Never speaks to a cluster.
//!
//! A chart is rendered once for each values file, with the newest Kubernetes that is supported as the version that templates see;
//! a branch that only an older one takes is not rendered.
//!
//! What only a deployment knows, such as an image's digest, a chart may demand and no values file holds. For checks the chart holds
//! it in `ci/`: `ci/values.prod.yaml` lies on top of `values.prod.yaml`, `ci/values.yaml` on top of the defaults.
//!
//! Severities: `[ERROR]` and a template that fails are High, `[WARNING]` is Medium, `[INFO]` is Low. Exits 1 for findings and for
//! its own faults alike, so the output decides.

use crate::engine::{Call, Cx, Ran};
use crate::error::StageError;
use crate::facts::Observation;
use crate::outcome::Severity;
use crate::tools::{common, kubeconform};
use std::ffi::OsString;
use std::path::Path;

/// Its name in `tools.lock`.
pub const TOOL: &str = "helm";

/// The rule of everything that the linter says.
const LINT: &str = "helm-lint";
/// The rule of a chart that cannot be rendered.
const TEMPLATE: &str = "helm-template";

/// The names of a chart's values files besides the defaults, sorted.
pub fn values_files(root: &Path, chart: &str) -> Result<Vec<String>, StageError> {
    let folder = root.join(chart);
    let mut files = Vec::new();
    for entry in std::fs::read_dir(&folder).map_err(StageError::io("cannot read the chart", &folder))? {
        let entry = entry.map_err(StageError::io("cannot read the chart", &folder))?;
        if let Ok(name) = entry.file_name().into_string()
            && name.starts_with("values.")
            && name.ends_with(".yaml")
            && name != "values.yaml"
        {
            files.push(name);
        }
    }
    files.sort();
    Ok(files)
}

/// Removes what earlier runs rendered below `renders`.
pub fn clear_renders(cx: &Cx, renders: &str) -> Result<(), StageError> {
    let folder = cx.root().join(renders);
    match std::fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(StageError::io("cannot remove", folder)(error))
        }
        _ => Ok(()),
    }
}

/// Lints a chart with one of its values files, or with the defaults alone.
pub async fn lint(cx: &Cx, chart: &str, values: Option<&str>) -> Result<Vec<Observation>, StageError> {
    let ran = cx.exec(call(cx, "lint", chart, values)?.arg(chart)).await?;
    read_lint(&ran, chart, values)
}

/// Renders a chart with one of its values files, or with the defaults alone, into
/// `<renders>/<chart's folder>/<values file>`, and gives that path; or says why it does not render.
pub async fn render(
    cx: &Cx,
    chart: &str,
    values: Option<&str>,
    renders: &str,
) -> Result<Result<String, Observation>, StageError> {
    let name = Path::new(chart).file_name().and_then(|name| name.to_str()).unwrap_or(chart);
    let file = format!("{renders}/{name}/{}", values.unwrap_or("values.yaml"));
    let path = cx.root().join(&file);
    if path.exists() {
        return Err(StageError::Config(format!(
            "two charts have a folder called `{name}`, so their renders would mix; rename one of them"
        )));
    }
    // The release is called like the chart, which is what people call it, and lives outside of `default`, as it should.
    let ran = cx.exec(call(cx, "template", chart, values)?.args(["--include-crds", name, chart])).await?;
    let yaml = match read_template(&ran, chart, values)? {
        Ok(yaml) => yaml,
        Err(observation) => return Ok(Err(observation)),
    };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(StageError::io("cannot make folder", folder))?;
    }
    std::fs::write(&path, yaml).map_err(StageError::io("cannot write", &path))?;
    Ok(Ok(file))
}

/// What both commands need: a home of their own, a namespace, a version of Kubernetes, the values and what lies on top of them.
fn call<'a>(cx: &'a Cx, command: &str, chart: &str, values: Option<&str>) -> Result<Call<'a>, StageError> {
    if !cx.root().join(chart).join("Chart.yaml").is_file() {
        return Err(StageError::Config(format!("{chart} is no chart: it has no Chart.yaml")));
    }
    let overlay = format!("ci/{}", values.unwrap_or("values.yaml"));
    let overlay = cx.root().join(chart).join(&overlay).is_file().then_some(overlay);
    let files = values.into_iter().map(str::to_owned).chain(overlay);
    let layers = files.flat_map(|file| [OsString::from("--values"), format!("{chart}/{file}").into()]);
    Ok(common::at_home(Call::new(cx.program(TOOL)?), cx.scratch()?)
        .args([command, "--namespace", "rendered", "--kube-version", kubeconform::NEWEST])
        .args(layers))
}

fn unreadable(ran: &Ran, why: &str) -> StageError {
    let said =
        squeeze(&String::from_utf8_lossy(if ran.stderr.is_empty() { &ran.stdout } else { &ran.stderr }));
    let said = common::shortened(&said, 400);
    common::unreadable(TOOL, format!("{why}; it exited with {} and said: {said}", ran.code))
}

/// Reads what the linter said of one chart. Its verdict, on which stream it may be, must fit what it listed.
fn read_lint(ran: &Ran, chart: &str, values: Option<&str>) -> Result<Vec<Observation>, StageError> {
    let said = String::from_utf8_lossy(&ran.stdout);
    let errors = String::from_utf8_lossy(&ran.stderr);
    let failed = said.contains("1 chart(s) linted, 1 chart(s) failed")
        || errors.contains("1 chart(s) linted, 1 chart(s) failed");
    let passed = said.contains("1 chart(s) linted, 0 chart(s) failed");
    if !matches!((ran.code, failed, passed), (0, false, true) | (1, true, false)) {
        return Err(unreadable(ran, "it does not say that it linted the chart"));
    }
    let mut observations = Vec::new();
    for entry in entries(&said) {
        if let Some((_, names)) = entry.text.split_once("missing these dependencies:") {
            return Err(missing_dependencies(chart, names));
        }
        observations.push(entry.observation(chart, values));
    }
    if failed && !observations.iter().any(|one| one.severity == Severity::High) {
        return Err(unreadable(ran, "it failed the chart without naming an error"));
    }
    Ok(observations)
}

/// A line of the linter with those that continue it: `[ERROR] templates/: parse error at (…)`.
struct Entry {
    severity: Severity,
    place: String,
    text: String,
}

fn entries(said: &str) -> Vec<Entry> {
    const LEVELS: [(&str, Severity); 3] =
        [("[ERROR] ", Severity::High), ("[WARNING] ", Severity::Medium), ("[INFO] ", Severity::Low)];
    let mut entries: Vec<Entry> = Vec::new();
    let mut open = false;
    for line in said.lines() {
        let level = LEVELS.iter().find_map(|(mark, severity)| Some((line.strip_prefix(mark)?, *severity)));
        if let Some((rest, severity)) = level {
            let (place, text) = rest.split_once(": ").unwrap_or(("", rest));
            entries.push(Entry { severity, place: place.to_owned(), text: text.to_owned() });
            open = true;
        } else if line.starts_with("==> ") || line.ends_with(" chart(s) failed") {
            open = false;
        } else if open && let Some(entry) = entries.last_mut() {
            entry.text.push('\n');
            entry.text.push_str(line);
        }
    }
    entries
}

impl Entry {
    fn observation(&self, chart: &str, values: Option<&str>) -> Observation {
        // What rendering fails of is said in the words in which `render` says it, so that it is one finding and not two.
        let fails = self.text.trim_start_matches("unable to load chart").trim();
        match (self.severity, self.place.as_str()) {
            (Severity::High, "templates/" | "") => failure(fails, chart, values),
            (severity, place) => {
                let file = match (place, values) {
                    ("values.yaml", Some(values)) => values,
                    ("" | "templates/", _) => "Chart.yaml",
                    (place, _) => place,
                };
                Observation::new(LINT, severity, squeeze(&self.text)).at(format!("{chart}/{file}"), None)
            }
        }
    }
}

/// The rendered objects, or what keeps the chart from rendering.
fn read_template(
    ran: &Ran,
    chart: &str,
    values: Option<&str>,
) -> Result<Result<Vec<u8>, Observation>, StageError> {
    if ran.code == 0 {
        return Ok(Ok(ran.stdout.clone()));
    }
    let said = String::from_utf8_lossy(&ran.stderr);
    let error = said.lines().skip_while(|line| !line.starts_with("Error: ")).collect::<Vec<_>>().join("\n");
    if let Some((_, names)) = error.split_once("missing in charts/ directory:") {
        return Err(missing_dependencies(chart, names));
    }
    match error.strip_prefix("Error: ") {
        Some(why) if ran.code == 1 && !why.starts_with("unknown ") => Ok(Err(failure(why, chart, values))),
        _ => Err(unreadable(ran, "it neither renders the chart nor says why not")),
    }
}

fn missing_dependencies(chart: &str, names: &str) -> StageError {
    StageError::Config(format!(
        "{chart}: Chart.yaml names dependencies that are not in {chart}/charts: {}; `helm dependency build {chart}` fetches them",
        names.trim()
    ))
}

/// What keeps a chart from rendering, with its place if helm gives one.
fn failure(why: &str, chart: &str, values: Option<&str>) -> Observation {
    let why = why.split("\nUse --debug flag").next().unwrap_or(why);
    let observation = Observation::new(TEMPLATE, Severity::High, squeeze(why));
    match template_in(why) {
        Some((file, line)) => observation.at(format!("{chart}/{file}"), line),
        None if why.contains("specifications of the schema(s)") || why.contains("values.yaml") => {
            observation.at(format!("{chart}/{}", values.unwrap_or("values.yaml")), None)
        }
        None => observation.at(format!("{chart}/Chart.yaml"), None),
    }
}

/// The first template that a message names, without the chart's own name, and its line: `app/templates/a.yaml:4:11`.
fn template_in(message: &str) -> Option<(&str, Option<u32>)> {
    let words = message.split(|c: char| c.is_whitespace() || matches!(c, '(' | ')' | '"' | '<' | '>'));
    words.map(|word| word.trim_end_matches([':', ','])).find_map(|word| {
        let mut parts = word.split(':');
        let path = parts.next().filter(|path| path.contains("/templates/"))?;
        let line = parts.next().and_then(|line| line.parse().ok());
        Some((path.split_once('/')?.1, line))
    })
}

/// The same on one line.
fn squeeze(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::testdata::recorded;

    fn ran(case: &str, code: i32, streams: [&str; 2]) -> Ran {
        let read = |extension: &str| match extension {
            "" => Vec::new(),
            _ => recorded(&format!("helm/4.3.1/{case}.{extension}")),
        };
        Ran { code, stdout: read(streams[0]), stderr: read(streams[1]) }
    }

    fn lint_of(case: &str, code: i32, streams: [&str; 2]) -> Vec<Observation> {
        read_lint(&ran(case, code, streams), "charts/x", Some("values.bad.yaml")).unwrap()
    }

    fn failure_of(case: &str) -> Observation {
        read_template(&ran(case, 1, ["", "stderr.txt"]), "charts/x", None).unwrap().unwrap_err()
    }

    fn place(seen: &Observation) -> (Option<&str>, Option<u32>) {
        (seen.file.as_deref(), seen.line)
    }

    #[test]
    fn a_clean_chart_has_no_observation() {
        assert!(lint_of("lint-good", 0, ["txt", ""]).is_empty());
        let yaml =
            read_template(&ran("template-good", 0, ["yaml", ""]), "charts/good", None).unwrap().unwrap();
        assert_eq!(yaml, recorded("helm/4.3.1/template-good.yaml"));
    }

    #[test]
    fn the_linter_s_levels_become_severities_and_its_paths_lie_in_the_chart() {
        let seen = lint_of("lint-bad", 1, ["txt", "stderr.txt"]);
        let levels: Vec<_> = seen.iter().map(|one| (one.rule.as_str(), one.severity)).collect();
        assert_eq!(
            levels,
            [
                (LINT, Severity::High),
                (LINT, Severity::Low),
                (LINT, Severity::Medium),
                (TEMPLATE, Severity::High),
                (TEMPLATE, Severity::High),
            ]
        );
        assert!(seen.iter().all(|one| one.file.as_deref() == Some("charts/x/Chart.yaml")));
        assert_eq!(seen[1].message, "icon is recommended");
        // That the chart does not load is said twice by the linter and once more by the renderer: it is one and the same.
        assert_eq!(seen[3], seen[4]);
        assert_eq!(seen[3], failure_of("template-bad-chart"));
    }

    #[test]
    fn values_that_break_the_schema_are_placed_in_the_file_that_was_given() {
        let seen = lint_of("lint-bad-values", 1, ["txt", "stderr.txt"]);
        assert_eq!(place(&seen[0]), (Some("charts/x/values.bad.yaml"), None));
        assert_eq!(
            seen[0].message,
            "- at '/replicas': got string, want integer - at '': additional properties 'replica' not allowed"
        );
        assert_eq!(place(&failure_of("template-bad-values")), (Some("charts/x/values.yaml"), None));
    }

    #[test]
    fn a_template_that_fails_is_placed_where_it_fails() {
        for (case, file, line) in [
            ("template-broken", "charts/x/templates/configmap.yaml", Some(6)),
            ("template-required", "charts/x/templates/service.yaml", Some(4)),
            ("template-nil", "charts/x/templates/a.yaml", Some(4)),
            // The line is one of the render, not of the template.
            ("template-not-yaml", "charts/x/templates/configmap.yaml", None),
        ] {
            let seen = failure_of(case);
            assert_eq!(place(&seen), (Some(file), line), "{case}: {}", seen.message);
            assert_eq!((seen.rule.as_str(), seen.severity), (TEMPLATE, Severity::High));
            assert!(!seen.message.contains("--debug"), "{}", seen.message);
        }
        assert_eq!(lint_of("lint-broken", 1, ["txt", "stderr.txt"]), [failure_of("template-broken")]);
        assert_eq!(lint_of("lint-not-yaml", 1, ["txt", "stderr.txt"])[0].severity, Severity::High);
    }

    #[test]
    fn a_chart_that_refuses_the_version_of_kubernetes_is_a_finding() {
        let seen = failure_of("template-kube-version");
        assert_eq!(place(&seen), (Some("charts/x/Chart.yaml"), None));
        assert!(seen.message.starts_with("chart requires kubeVersion"), "{}", seen.message);
    }

    #[test]
    fn a_dependency_that_was_never_fetched_is_no_finding_but_a_thing_to_do() {
        let linted = read_lint(&ran("lint-dependent", 0, ["txt", ""]), "charts/x", None);
        let rendered = read_template(&ran("template-dependent", 1, ["", "stderr.txt"]), "charts/x", None);
        for error in [linted.unwrap_err(), rendered.unwrap_err()] {
            assert_eq!(
                error.to_string(),
                "charts/x: Chart.yaml names dependencies that are not in charts/x/charts: cache; \
                 `helm dependency build charts/x` fetches them"
            );
        }
    }

    #[test]
    fn silence_a_missing_verdict_and_a_wrong_option_are_no_clean_chart() {
        let refused =
            |ran: &Ran| matches!(read_lint(ran, "charts/x", None), Err(StageError::Unreadable { .. }));
        assert!(refused(&Ran { code: 0, stdout: Vec::new(), stderr: Vec::new() }));
        assert!(refused(&ran("lint-missing-chart", 1, ["txt", "stderr.txt"])));
        // Two verdicts in one run are not a verdict on this chart.
        assert!(refused(&ran("lint-two-charts", 1, ["txt", "stderr.txt"])));
        let mut cut = ran("lint-good", 0, ["txt", ""]);
        cut.stdout.truncate(cut.stdout.len() / 2);
        assert!(refused(&cut));
        let usage = read_template(&ran("template-bad-usage", 1, ["", "stderr.txt"]), "charts/x", None);
        assert!(matches!(usage, Err(StageError::Unreadable { why, .. }) if why.contains("unknown flag")));
        assert!(
            read_template(&Ran { code: 1, stdout: Vec::new(), stderr: Vec::new() }, "charts/x", None)
                .is_err()
        );
    }

    #[test]
    fn values_files_are_those_beside_the_defaults_in_order() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("chart/ci")).unwrap();
        for name in [
            "values.yaml",
            "values.prod.yaml",
            "values.dev.yaml",
            "values.schema.json",
            "ci/values.prod.yaml",
        ] {
            std::fs::write(folder.path().join("chart").join(name), "").unwrap();
        }
        assert_eq!(values_files(folder.path(), "chart").unwrap(), ["values.dev.yaml", "values.prod.yaml"]);
        assert!(values_files(folder.path(), "absent").is_err());
    }
}
