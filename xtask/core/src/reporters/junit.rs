//! `junit.xml`: every stage as a test case, in the form that CI servers read.
//!
//! A suite for each kind of stage, a case for each node. Refused by policy is a failure; broke, timed out and cancelled are
//! errors, because nothing was learned; not run is skipped.

use super::text::{clean, paragraph};
use super::{block, summary};
use crate::ids::StageId;
use crate::outcome::Standing;
use crate::report::{OutcomeKind, RunReport, StageRecord};
use std::collections::BTreeMap;

/// So many findings of one stage are listed.
const LISTED: usize = 200;

/// The file's content.
pub(super) fn xml(report: &RunReport) -> String {
    let mut suites: BTreeMap<StageId, Vec<&StageRecord>> = BTreeMap::new();
    for record in &report.stages {
        suites.entry(record.id).or_default().push(record);
    }
    let all: Vec<&StageRecord> = report.stages.iter().collect();
    let time = seconds(report.run.duration_ms);
    let mut xml = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned();
    xml.push_str(&format!("<testsuites name=\"slipway\" {} time=\"{time}\">\n", counts(&all)));
    for (id, records) in suites {
        let time = seconds(records.iter().map(|record| record.duration_ms).sum());
        xml.push_str(&format!("  <testsuite name=\"{id}\" {} time=\"{time}\">\n", counts(&records)));
        for record in records {
            xml.push_str(&case(record));
        }
        xml.push_str("  </testsuite>\n");
    }
    xml.push_str("</testsuites>\n");
    xml
}

fn counts(records: &[&StageRecord]) -> String {
    let of = |kinds: &[OutcomeKind]| records.iter().filter(|record| kinds.contains(&record.outcome)).count();
    format!(
        "tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\"",
        records.len(),
        of(&[OutcomeKind::Rejected]),
        of(&[OutcomeKind::Broke, OutcomeKind::TimedOut, OutcomeKind::Cancelled]),
        of(&[OutcomeKind::Skipped])
    )
}

fn case(record: &StageRecord) -> String {
    let word = block::word(record.outcome);
    let inner = match record.outcome {
        OutcomeKind::Passed => String::new(),
        OutcomeKind::Skipped => element("skipped", &block::reason(record), None, ""),
        OutcomeKind::Rejected => element("failure", &summary::because(record), Some(word), &details(record)),
        OutcomeKind::Broke | OutcomeKind::TimedOut | OutcomeKind::Cancelled => {
            element("error", &summary::because(record), Some(word), &details(record))
        }
    };
    let open = format!(
        "    <testcase classname=\"{}\" name=\"{}\" time=\"{}\"",
        record.id,
        escape(&record.name()),
        seconds(record.duration_ms)
    );
    if inner.is_empty() { format!("{open}/>\n") } else { format!("{open}>\n{inner}    </testcase>\n") }
}

fn element(name: &str, message: &str, kind: Option<&str>, text: &str) -> String {
    let kind = kind.map(|kind| format!(" type=\"{kind}\"")).unwrap_or_default();
    let message = escape(message);
    if text.is_empty() {
        format!("      <{name} message=\"{message}\"{kind}/>\n")
    } else {
        format!("      <{name} message=\"{message}\"{kind}>{}</{name}>\n", escape(text))
    }
}

/// What a person reads on the server's page of a failed case.
fn details(record: &StageRecord) -> String {
    let blocking = block::of(record, Standing::Blocks);
    let findings = blocking.iter().take(LISTED).map(|finding| {
        let place = block::place(finding).map(|place| format!("{place}: ")).unwrap_or_default();
        let (rule, message) = (clean(&finding.rule), clean(&finding.message));
        format!("{place}{} {rule}: {message}", finding.severity)
    });
    let more =
        blocking.len().checked_sub(LISTED).filter(|more| *more > 0).map(|more| format!("and {more} more"));
    let error = record.error.iter().flat_map(|error| super::text::clean_lines(&error.message));
    paragraph(findings.chain(more).chain(error).chain(block::tail(record)))
}

fn seconds(ms: u64) -> String {
    format!("{}.{:03}", ms / 1000, ms % 1000)
}

/// Text as character data or in an attribute. XML has no form at all for most control characters: they are replaced.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#10;"),
            '\t' => out.push_str("&#9;"),
            '\u{fffe}' | '\u{ffff}' => out.push(char::REPLACEMENT_CHARACTER),
            c if c.is_control() => out.push(char::REPLACEMENT_CHARACTER),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_breaks_out_of_its_place() {
        assert_eq!(
            escape("a<b>&\"c\"]]>\n\t\u{1b}\0\u{ffff}é"),
            "a&lt;b&gt;&amp;&quot;c&quot;]]&gt;&#10;&#9;\u{fffd}\u{fffd}\u{fffd}é"
        );
    }
}
