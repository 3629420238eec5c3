//! The log of a GitHub Actions step: a folded group for each stage that passed, what failed last and open, annotations.
//!
//! Pure functions of records and reports. Workflow commands are written here and nowhere else; everything that a tool said goes
//! through `text::inert` and `data`/`property`, so that it cannot speak to the runner.

use super::text::{INDENT, Ink, clean, count, cut, paragraph, tally};
use super::{block, failed, summary};
use crate::outcome::{Finding, Severity, Standing};
use crate::report::{OutcomeKind, RunReport, StageRecord};

/// The runner keeps so many annotations of each level for one step and drops what comes after.
const KEPT: usize = 10;
/// So many characters of an annotation.
const MESSAGE: usize = 1000;
/// So many findings that do not block are listed in a stage's group.
const ASIDE: usize = 20;
/// The runner reads colours, but a log is searched and copied more than it is looked at.
const INK: Ink = Ink(false);

/// What is written when a stage has ended: nothing yet if it failed.
pub(super) fn stage(record: &StageRecord) -> String {
    match record.outcome {
        OutcomeKind::Rejected | OutcomeKind::Broke | OutcomeKind::TimedOut => String::new(),
        OutcomeKind::Cancelled | OutcomeKind::Skipped => block::text(record, INK),
        OutcomeKind::Passed => passed(record),
    }
}

fn passed(record: &StageRecord) -> String {
    let mut lines = block::body(record, INK);
    let aside: Vec<&Finding> =
        record.findings.iter().filter(|finding| finding.standing != Standing::Blocks).collect();
    lines.extend(indented(block::findings(&aside, ASIDE, INK)));
    let tools = record.tools.iter().map(|tool| {
        let hash = tool.sha256.get(..12).unwrap_or(&tool.sha256);
        format!("tool: {} {} (sha256 {})", clean(&tool.name), clean(&tool.version), clean(hash))
    });
    lines.extend(indented(tools));
    lines.extend(indented(record.key.iter().map(|key| format!("input key: {}", clean(key)))));
    lines.extend(indented(record.log.iter().map(|log| format!("all of its output: {}", clean(log)))));
    group(&block::head(record, INK), &paragraph(lines))
}

/// What is written when the run has ended: annotations, then what failed, then the summary.
pub(super) fn end(report: &RunReport) -> String {
    let mut text = String::new();
    let (shown, over) = annotations(report);
    if !shown.is_empty() {
        let mut lines: String =
            shown.iter().map(|annotation| format!("{}\n", annotation.command())).collect();
        if !over.is_empty() {
            lines
                .push_str(&format!("without an annotation, because GitHub keeps {KEPT} of a kind: {over}\n"));
        }
        text.push_str(&group(&count(shown.len(), "annotation"), &lines));
    }
    for record in report.stages.iter().filter(|record| failed(record)) {
        text.push('\n');
        text.push_str(&block::text(record, INK));
    }
    text.push_str(&summary::text(report, INK));
    text
}

fn indented(lines: impl IntoIterator<Item = String>) -> impl Iterator<Item = String> {
    lines.into_iter().map(|line| format!("{INDENT}{line}"))
}

/// Text in a folded group. Groups do not nest; `text` must hold none.
fn group(title: &str, text: &str) -> String {
    format!("::group::{}\n{text}::endgroup::\n", data(title))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Error,
    Warning,
    Notice,
}

/// One line of the check's page, beside the source if it has a place.
struct Annotation {
    level: Level,
    file: Option<String>,
    line: Option<u32>,
    title: String,
    message: String,
}

impl Annotation {
    /// A finding of a stage.
    fn of(finding: &Finding, record: &StageRecord) -> Self {
        let level = match (finding.standing, finding.severity) {
            (Standing::Blocks, _) => Level::Error,
            (Standing::Noted, Severity::Critical | Severity::High) => Level::Warning,
            (Standing::Noted, Severity::Medium | Severity::Low | Severity::Unknown)
            | (Standing::Waived, _) => Level::Notice,
        };
        let waived = if finding.standing == Standing::Waived { ", waived" } else { "" };
        Annotation {
            level,
            file: finding.file.as_deref().map(clean),
            line: finding.line,
            title: format!("{} ({}{waived}, {})", clean(&finding.rule), finding.severity, record.name()),
            message: clean(&finding.message),
        }
    }

    /// Something without a place in the source.
    fn plain(level: Level, title: String, message: &str) -> Self {
        Annotation { level, file: None, line: None, title, message: clean(message) }
    }

    fn command(&self) -> String {
        let level = match self.level {
            Level::Error => "error",
            Level::Warning => "warning",
            Level::Notice => "notice",
        };
        let mut properties = String::new();
        if let Some(file) = &self.file {
            properties.push_str(&format!("file={},", property(file)));
            if let Some(line) = self.line {
                properties.push_str(&format!("line={line},"));
            }
        }
        properties.push_str(&format!("title={}", property(&cut(&self.title, MESSAGE))));
        // The runner drops a command without a message.
        let message = if self.message.is_empty() { &self.title } else { &self.message };
        format!("::{level} {properties}::{}", data(&cut(message, MESSAGE)))
    }
}

/// The annotations that GitHub will keep, and what is left over, as counts.
///
/// Each failed stage has its worst finding shown before any has its second, so that one noisy linter does not hide the others.
fn annotations(report: &RunReport) -> (Vec<Annotation>, String) {
    let errors = report.stages.iter().filter(|record| failed(record)).map(|record| {
        let blocking: Vec<Annotation> = block::of(record, Standing::Blocks)
            .into_iter()
            .map(|finding| Annotation::of(finding, record))
            .collect();
        if !blocking.is_empty() || record.outcome == OutcomeKind::Cancelled {
            return blocking;
        }
        let title = format!("{} {}", record.name(), block::word(record.outcome));
        vec![Annotation::plain(Level::Error, title, &summary::because(record))]
    });
    let errors = in_turn(errors.collect());
    let aside: Vec<Annotation> = report
        .stages
        .iter()
        .flat_map(|record| record.findings.iter().map(move |finding| Annotation::of(finding, record)))
        .collect();
    let (warnings, rest): (Vec<_>, Vec<_>) = aside
        .into_iter()
        .filter(|annotation| annotation.level != Level::Error)
        .partition(|annotation| annotation.level == Level::Warning);
    let gaps = summary::gaps(report);
    let gaps = gaps.iter().map(|gap| Annotation::plain(Level::Warning, "not checked".to_owned(), gap));
    let warnings: Vec<Annotation> = gaps.chain(warnings).collect();

    let over = tally([
        (errors.len().saturating_sub(KEPT), "errors"),
        (warnings.len().saturating_sub(KEPT), "warnings"),
        (rest.len().saturating_sub(KEPT), "notices"),
    ]);
    let shown = errors
        .into_iter()
        .take(KEPT)
        .chain(warnings.into_iter().take(KEPT))
        .chain(rest.into_iter().take(KEPT));
    (shown.collect(), over)
}

/// The first of each, then the second of each, and so on.
fn in_turn<T>(lists: Vec<Vec<T>>) -> Vec<T> {
    let mut lists: Vec<_> = lists.into_iter().map(Vec::into_iter).collect();
    let mut all = Vec::new();
    loop {
        let before = all.len();
        all.extend(lists.iter_mut().filter_map(Iterator::next));
        if all.len() == before {
            return all;
        }
    }
}

/// The text of a workflow command, as the runner unescapes it.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// A property of a workflow command.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_runner_would_read_as_syntax_is_escaped() {
        assert_eq!(data("100 % a\r\nb: c, d"), "100 %25 a%0D%0Ab: c, d");
        assert_eq!(property("a:b,c%2C\n"), "a%3Ab%2Cc%252C%0A");
    }

    #[test]
    fn turns_are_taken_until_all_are_empty() {
        assert_eq!(in_turn(vec![vec![1, 4, 6], vec![2, 5], vec![], vec![3]]), [1, 2, 3, 4, 5, 6]);
        assert!(in_turn(Vec::<Vec<u8>>::new()).is_empty());
    }
}
