//! What is said about one stage when it has ended: one line, and below it what a person needs when it did not pass.
//!
//! A pure function of the stage's record; neither the other stages nor the terminal change a byte of it.

use super::text::{
    Hue, INDENT, Ink, WIDTH, clean, clean_lines, count, cut, duration, paragraph, tally, width, wrap,
};
use super::{FINDINGS, failed};
use crate::outcome::{Finding, Severity, Standing, Why};
use crate::report::{OutcomeKind, StageRecord};

/// So many findings are listed; the rest is counted. All of them are in the files beside the report.
const LISTED: usize = 50;
/// So many characters of one message are shown.
const MESSAGE: usize = 400;
/// So many lines of an error, which may quote a source file.
const ERROR_LINES: usize = 30;
/// So many of the last lines that the children printed.
const TAIL_LINES: usize = 20;
/// So many characters of one such line.
const TAIL_WIDTH: usize = 240;

/// A stage's lasting text.
pub(super) fn text(record: &StageRecord, ink: Ink) -> String {
    paragraph([head(record, ink)].into_iter().chain(body(record, ink)))
}

/// How it ended, in one word.
pub(super) const fn word(outcome: OutcomeKind) -> &'static str {
    match outcome {
        OutcomeKind::Passed => "passed",
        OutcomeKind::Rejected => "rejected",
        OutcomeKind::Broke => "broke",
        OutcomeKind::TimedOut => "timed out",
        OutcomeKind::Cancelled => "cancelled",
        OutcomeKind::Skipped => "skipped",
    }
}

/// What that word means, as a colour.
pub(super) fn hue(record: &StageRecord) -> Hue {
    match record.outcome {
        OutcomeKind::Passed => Hue::Good,
        OutcomeKind::Rejected | OutcomeKind::Broke | OutcomeKind::TimedOut => Hue::Bad,
        OutcomeKind::Cancelled => Hue::Warn,
        OutcomeKind::Skipped if record.skipped.as_ref().is_none_or(Why::leaves_a_gap) => Hue::Warn,
        OutcomeKind::Skipped => Hue::Quiet,
    }
}

/// The one line that every stage gets.
pub(super) fn head(record: &StageRecord, ink: Ink) -> String {
    let word = ink.paint(hue(record), &format!("{:<9}", word(record.outcome)));
    let name = format!("{word} {:<24}", record.name());
    if record.outcome == OutcomeKind::Skipped {
        let reason = reason(record);
        return if fits_beside_the_name(&reason) {
            format!("{name}  {reason}")
        } else {
            name.trim_end().to_owned()
        };
    }
    let mut remarks = Vec::new();
    if record.cached {
        remarks.push("cached".to_owned());
    }
    if record.attempts > 1 {
        remarks.push(format!("{} tries", record.attempts));
    }
    let remarks = if remarks.is_empty() { String::new() } else { format!("  ({})", remarks.join(", ")) };
    format!("{name} {:>11}{remarks}", duration(record.duration_ms))
}

/// Why a stage did not run, on one line.
pub(super) fn reason(record: &StageRecord) -> String {
    match &record.skipped {
        Some(why) => cut(&clean(&why.to_string()), 2 * MESSAGE),
        None => "no reason was recorded".to_owned(),
    }
}

fn fits_beside_the_name(reason: &str) -> bool {
    width(reason) <= WIDTH - 36
}

/// The lines below the head, each indented.
pub(super) fn body(record: &StageRecord, ink: Ink) -> Vec<String> {
    let mut lines = Vec::new();
    match record.outcome {
        OutcomeKind::Passed => {}
        OutcomeKind::Rejected => lines.extend(findings(&of(record, Standing::Blocks), LISTED, ink)),
        OutcomeKind::Broke => {
            let error = record.error.as_ref();
            let message = error.map_or("no error was recorded", |error| error.message.as_str());
            lines.extend(bounded(message));
            if let Some(hint) = error.and_then(|error| error.hint.as_deref()) {
                lines.push(format!("next: {}", cut(&clean(hint), MESSAGE)));
            }
        }
        OutcomeKind::TimedOut => {
            lines.push(
                "stopped when its deadline passed; `limits.timeouts` in pipeline.yaml sets it".to_owned(),
            );
        }
        OutcomeKind::Cancelled => lines.push("stopped before it ended".to_owned()),
        OutcomeKind::Skipped => {
            let reason = reason(record);
            if !fits_beside_the_name(&reason) {
                lines.extend(wrap(&reason, WIDTH - 8));
            }
            if let Some(Why::Unreachable { tool, .. }) = &record.skipped {
                lines.push(format!("next: cargo xtask tools sync {}", cut(&clean(tool), 80)));
            }
        }
    }
    lines.extend(aside(record));
    lines
        .extend(record.notes.iter().take(LISTED).map(|note| format!("note: {}", cut(&clean(note), MESSAGE))));
    if failed(record) && !explained(record) {
        lines.extend(last_words(record, ink));
    }
    if failed(record) || record.outcome == OutcomeKind::Cancelled {
        lines.extend(log(record));
    }
    lines.into_iter().map(|line| format!("{INDENT}{line}")).collect()
}

/// The findings of one standing.
pub(super) fn of(record: &StageRecord, standing: Standing) -> Vec<&Finding> {
    record.findings.iter().filter(|finding| finding.standing == standing).collect()
}

/// What was found without failing the stage, as counts.
fn aside(record: &StageRecord) -> Option<String> {
    let noted = of(record, Standing::Noted);
    let waived = of(record, Standing::Waived).len();
    let mut parts = Vec::new();
    if !noted.is_empty() {
        parts.push(format!("{} noted ({})", noted.len(), by_severity(&noted)));
    }
    if waived > 0 {
        parts.push(format!("{waived} waived"));
    }
    (!parts.is_empty()).then(|| format!("not blocking: {}", parts.join(", ")))
}

/// `1 critical, 2 high`, the worst first.
pub(super) fn by_severity(findings: &[&Finding]) -> String {
    const WORST_FIRST: [Severity; 5] =
        [Severity::Critical, Severity::High, Severity::Medium, Severity::Low, Severity::Unknown];
    tally(
        WORST_FIRST.map(|severity| {
            (findings.iter().filter(|finding| finding.severity == severity).count(), severity)
        }),
    )
}

/// Where a finding is: `file:line` or `file`, if it is in a file at all.
pub(super) fn place(finding: &Finding) -> Option<String> {
    let file = cut(&clean(finding.file.as_deref()?), MESSAGE);
    Some(finding.line.map(|line| format!("{file}:{line}")).unwrap_or(file))
}

/// A table of findings, at most `limit` of them: `file:line  severity  rule  message`, without the first column if no finding is
/// in a file.
///
/// Places and rules are never cut to fit a column, because people copy them; a row that grows too wide puts its message below.
pub(super) fn findings(findings: &[&Finding], limit: usize, ink: Ink) -> Vec<String> {
    let shown = &findings[..findings.len().min(limit)];
    let placed = shown.iter().any(|finding| finding.file.is_some());
    let places: Vec<String> = match placed {
        true => {
            shown.iter().map(|finding| format!("{}  ", place(finding).as_deref().unwrap_or("-"))).collect()
        }
        false => vec![String::new(); shown.len()],
    };
    let rules: Vec<String> = shown.iter().map(|finding| cut(&clean(&finding.rule), 80)).collect();
    let (place_column, rule_column) = (column(&places, 42), column(&rules, 28));
    let mut lines = Vec::new();
    for ((finding, place), rule) in shown.iter().zip(&places).zip(&rules) {
        let severity = ink.paint(severity_hue(finding.severity), &format!("{:<8}", finding.severity));
        let start = format!("{place:<place_column$}{severity}  {rule:<rule_column$}");
        let taken = width(place).max(place_column) + 8 + 2 + width(rule).max(rule_column) + 2;
        let message = cut(&clean(&finding.message), MESSAGE);
        if INDENT.len() + taken + width(&message) <= WIDTH {
            lines.push(format!("{start}  {message}").trim_end().to_owned());
        } else {
            lines.push(start.trim_end().to_owned());
            lines.extend(wrap(&message, WIDTH - 8).into_iter().map(|part| format!("{INDENT}{part}")));
        }
    }
    if findings.len() > limit {
        lines.push(format!("and {} more; all of them are in {FINDINGS}", findings.len() - limit));
    }
    lines
}

/// The width of a column: that of its widest text, leaving out texts that would push everything else away.
fn column(texts: &[String], most: usize) -> usize {
    texts.iter().map(|text| width(text)).filter(|width| *width <= most).max().unwrap_or(0)
}

const fn severity_hue(severity: Severity) -> Hue {
    match severity {
        Severity::Critical | Severity::High => Hue::Bad,
        Severity::Medium | Severity::Unknown => Hue::Warn,
        Severity::Low => Hue::Quiet,
    }
}

/// A finding with a file explains itself. A check that only said "exited with 1" is explained by what it printed.
fn explained(record: &StageRecord) -> bool {
    of(record, Standing::Blocks).iter().any(|finding| finding.file.is_some())
}

/// The end of what the children printed.
fn last_words(record: &StageRecord, ink: Ink) -> Vec<String> {
    let tail = tail(record);
    let title = (!tail.is_empty()).then(|| "last lines of its output:".to_owned());
    let gutter = ink.paint(Hue::Quiet, "|");
    title
        .into_iter()
        .chain(tail.iter().map(|line| format!("{gutter} {line}").trim_end().to_owned()))
        .collect()
}

/// Where all that the children printed is, unless the hint has just said it.
pub(super) fn log(record: &StageRecord) -> Option<String> {
    let hint = record.error.as_ref().and_then(|error| error.hint.as_deref()).unwrap_or_default();
    let log = record.log.as_deref().filter(|log| !hint.contains(log))?;
    Some(format!("all of its output: {}", cut(&clean(log), MESSAGE)))
}

/// The last lines that the children printed, bounded.
pub(super) fn tail(record: &StageRecord) -> Vec<String> {
    let from = record.tail.len().saturating_sub(TAIL_LINES);
    record.tail[from..].iter().map(|line| cut(&clean(&line.replace('\t', INDENT)), TAIL_WIDTH)).collect()
}

/// An error's lines. Long ones are prose and wrap; short ones may quote a file with a caret below, and stay as they are.
fn bounded(message: &str) -> Vec<String> {
    let all = clean_lines(message);
    let over = all.len().saturating_sub(ERROR_LINES);
    let mut lines = Vec::new();
    for line in all.into_iter().take(ERROR_LINES) {
        if width(&line) > WIDTH {
            lines.extend(wrap(&cut(&line, 2 * MESSAGE), WIDTH - 8));
        } else {
            lines.push(line);
        }
    }
    if over > 0 {
        lines.push(format!("and {} more", count(over, "line")));
    }
    lines
}
