//! What Terraform complains about: its diagnostics, as the JSON of `validate`, as lines of JSON elsewhere, and as the text of `fmt`,
//! which knows no other form. All three become the same observation, so that one fault that several commands see is one finding.

use super::{TOOL, unreadable};
use crate::error::{StageError, Transient};
use crate::facts::Observation;
use crate::outcome::Severity;
use crate::tools::read_json;
use serde::Deserialize;

/// The rule of everything that makes a configuration invalid.
pub(super) const INVALID: &str = "terraform-invalid";

/// One complaint.
#[derive(Debug, Deserialize)]
pub(super) struct Diagnostic {
    pub(super) severity: Level,
    pub(super) summary: String,
    #[serde(default)]
    pub(super) detail: String,
    range: Option<Range>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    Error,
    Warning,
}

#[derive(Debug, Deserialize)]
struct Range {
    filename: String,
    start: Start,
}

#[derive(Debug, Deserialize)]
struct Start {
    line: u32,
}

impl Diagnostic {
    pub(super) fn is_error(&self) -> bool {
        self.severity == Level::Error
    }

    /// Whether it is about a type that the provider does not have.
    pub(super) fn knows_no_such_type(&self) -> bool {
        self.is_error() && matches!(self.summary.as_str(), "Invalid resource type" | "Invalid data source")
    }

    /// As an observation. `place` says where in the repository a file is that Terraform names, if it is there: what is only in the
    /// copy, such as a downloaded module, has no place.
    pub(super) fn observed(&self, rule: &str, place: impl Fn(&str) -> Option<String>) -> Observation {
        let severity = match self.severity {
            Level::Error => Severity::High,
            Level::Warning => Severity::Medium,
        };
        let seen = Observation::new(rule, severity, self.sentence());
        match self.range.as_ref().and_then(|range| Some((place(&range.filename)?, range.start.line))) {
            Some((file, line)) => seen.at(file, Some(line)),
            None => seen,
        }
    }

    /// The summary and the first paragraph of the detail: what follows is general advice.
    pub(super) fn sentence(&self) -> String {
        let (summary, detail) = (unwrapped(&self.summary), unwrapped(first_paragraph(&self.detail)));
        if detail.is_empty() { summary } else { format!("{summary}: {detail}") }
    }

    /// The kind of failure, if another try may mend it.
    pub(super) fn transient(&self) -> Option<Transient> {
        transient(&format!("{} {}", self.summary, self.detail))
    }
}

/// The kind of failure that a text speaks of, if another try may mend it. Terraform and Go pass on what Go's network libraries say.
pub(super) fn transient(text: &str) -> Option<Transient> {
    let text = unwrapped(text);
    let speaks_of = |words: &[&str]| words.iter().any(|word| text.contains(word));
    let network = ["connection reset by peer", "connection refused", "TLS handshake timeout", "i/o timeout"];
    if speaks_of(&["Error acquiring the state lock"]) {
        Some(Transient::LockHeld)
    } else if speaks_of(&["429 Too Many Requests", "503 Service Unavailable"]) {
        Some(Transient::Throttled)
    } else if speaks_of(&["dial tcp: lookup "]) {
        Some(Transient::Dns)
    } else if speaks_of(&network) || speaks_of(&["Client.Timeout exceeded", "unexpected EOF"]) {
        Some(Transient::ConnectionReset)
    } else {
        None
    }
}

/// On one line, however Terraform wrapped it.
fn unwrapped(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn first_paragraph(text: &str) -> &str {
    let text = text.trim();
    text.split_once("\n\n").map_or(text, |(first, _)| first)
}

#[derive(Deserialize)]
struct Report {
    format_version: String,
    valid: bool,
    error_count: usize,
    diagnostics: Vec<Diagnostic>,
}

/// Reads the report of `validate -json`.
pub(super) fn validation(code: i32, json: &[u8]) -> Result<Vec<Diagnostic>, StageError> {
    let report: Report = read_json(TOOL, json)?;
    known_version("the format of validate", &report.format_version)?;
    let errors = report.diagnostics.iter().filter(|one| one.is_error()).count();
    if report.valid != (errors == 0) || report.error_count != errors || (code == 0) != report.valid {
        let said = format!("valid: {}, {} errors, {errors} listed", report.valid, report.error_count);
        return Err(unreadable(format!("validate contradicts itself: exit {code}, {said}")));
    }
    Ok(report.diagnostics)
}

/// Refuses a format of another major version; minor ones only add to it.
pub(super) fn known_version(what: &str, version: &str) -> Result<(), StageError> {
    if version.split('.').next() == Some("1") {
        return Ok(());
    }
    Err(unreadable(format!("{what} is version `{version}`, and 1.x is what can be read")))
}

/// Reads the text that `fmt` writes about files that do not parse. The names of files are relative to where it ran.
pub(super) fn from_text(stderr: &str) -> Vec<Diagnostic> {
    let mut blocks: Vec<Vec<&str>> = Vec::new();
    for line in stderr.lines() {
        if line.starts_with("Error: ") {
            blocks.push(vec![line]);
        } else if let Some(block) = blocks.last_mut() {
            block.push(line);
        }
    }
    blocks.iter().map(|block| block_of_text(block)).collect()
}

/// One complaint: its headline; a paragraph with the place and lines of source, if it has a place; the detail.
fn block_of_text(block: &[&str]) -> Diagnostic {
    let paragraphs: Vec<&[&str]> =
        block.split(|line| line.trim().is_empty()).filter(|lines| !lines.is_empty()).collect();
    let range = paragraphs.get(1).and_then(|lines| {
        let (filename, rest) = lines.first()?.strip_prefix("  on ")?.split_once(" line ")?;
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let line = rest[..digits].parse().ok()?;
        Some(Range { filename: filename.to_owned(), start: Start { line } })
    });
    let detail = paragraphs.get(1 + usize::from(range.is_some()));
    Diagnostic {
        severity: Level::Error,
        summary: paragraphs[0].join(" ").trim_start_matches("Error: ").to_owned(),
        detail: detail.map(|lines| lines.join(" ")).unwrap_or_default(),
        range,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::testdata::{recorded, refuses_any_cut};

    fn recorded_validation(code: i32, case: &str) -> Result<Vec<Diagnostic>, StageError> {
        validation(code, &recorded(&format!("terraform/1.11.4/{case}.json")))
    }

    fn seen(diagnostics: &[Diagnostic]) -> Vec<Observation> {
        diagnostics.iter().map(|one| one.observed(INVALID, |file| Some(format!("infra/{file}")))).collect()
    }

    #[test]
    fn an_invalid_configuration_is_observed_at_its_place_also_in_a_module() {
        let observations = seen(&recorded_validation(1, "validate-invalid").unwrap());
        assert_eq!(observations.len(), 2);
        assert_eq!(observations[0].severity, Severity::High);
        assert_eq!((observations[0].file.as_deref(), observations[0].line), (Some("infra/main.tf"), Some(2)));
        assert!(observations[1].message.starts_with("Reference to undeclared resource: A managed resource"));
        let observations = seen(&recorded_validation(1, "validate-module").unwrap());
        assert_eq!(observations[0].file.as_deref(), Some("infra/modules/part/main.tf"));
    }

    #[test]
    fn a_file_that_is_not_in_the_repository_is_no_place() {
        let diagnostics = recorded_validation(1, "validate-invalid").unwrap();
        let observation = diagnostics[0].observed(INVALID, |_| None);
        assert_eq!((observation.file, observation.line), (None, None));
    }

    #[test]
    fn a_valid_configuration_has_no_complaints_and_a_missing_provider_is_one_without_a_place() {
        assert!(recorded_validation(0, "validate-good").unwrap().is_empty());
        let observations = seen(&recorded_validation(1, "validate-not-initialised").unwrap());
        assert_eq!(observations[0].file, None);
        assert!(observations[0].message.starts_with("Missing required provider: "));
    }

    #[test]
    fn a_report_that_contradicts_its_exit_code_or_itself_or_is_of_another_format_is_refused() {
        let refused = |code: i32, json: &str| {
            assert!(
                matches!(validation(code, json.as_bytes()), Err(StageError::Unreadable { .. })),
                "{json}"
            );
        };
        assert!(recorded_validation(1, "validate-good").is_err());
        assert!(recorded_validation(0, "validate-invalid").is_err());
        let good = String::from_utf8(recorded("terraform/1.11.4/validate-good.json")).unwrap();
        refused(0, &good.replace("\"1.0\"", "\"2.0\""));
        refused(0, &good.replace("\"error_count\": 0", "\"error_count\": 1"));
        refuses_any_cut(&recorded("terraform/1.11.4/validate-invalid.json"), |json| validation(1, json));
    }

    #[test]
    fn the_text_of_fmt_and_the_json_of_validate_say_the_same_of_the_same_fault() {
        for (case, count) in [("unparsable", 3), ("far", 3)] {
            let text =
                String::from_utf8(recorded(&format!("terraform/1.11.4/fmt-{case}.stderr.txt"))).unwrap();
            let mut text = seen(&from_text(&text));
            let mut json = seen(&recorded_validation(1, &format!("validate-{case}")).unwrap());
            text.sort();
            json.sort();
            assert_eq!(text.len(), count, "{case}");
            assert_eq!(text, json, "{case}");
        }
    }

    #[test]
    fn failures_that_another_try_may_mend_are_told_from_faults() {
        let text = |case: &str| String::from_utf8(recorded(&format!("terraform/1.11.4/{case}.txt"))).unwrap();
        assert_eq!(transient(&text("init-no-network.stderr")), Some(Transient::Dns));
        assert_eq!(transient(&text("plan-lock-held.stderr")), Some(Transient::LockHeld));
        assert_eq!(transient(&text("plan-invalid.stderr")), None);
        assert_eq!(transient(&text("aws-plan-no-credentials.stderr")), None);
        let passed_on = |said: &str| transient(&format!("could not query the registry: {said}"));
        assert_eq!(passed_on("the request failed: 429\nToo Many Requests"), Some(Transient::Throttled));
        assert_eq!(
            passed_on("read tcp 192.0.2.1:4: connection reset by peer"),
            Some(Transient::ConnectionReset)
        );
    }
}
