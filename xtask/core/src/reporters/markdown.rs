//! The step summary of GitHub Actions: the same facts as the text summary, as tables.
//!
//! A pure function of the report and of the space that is left. What tools said is escaped so that it stays text.

use super::text::{clean, cut, duration};
use super::{FINDINGS, block, failed, summary};
use crate::outcome::Standing;
use crate::report::{OutcomeKind, RunReport, StageRecord};

/// GitHub takes no more than this for one step, and drops all of it when there is more.
pub(super) const LIMIT: usize = 1024 * 1024;
/// So many stages are in the table of all stages.
const STAGES: usize = 500;
/// So many reasons why something was not checked are listed.
const GAPS: usize = 50;
/// So many findings of one stage are listed.
const FINDINGS_LISTED: usize = 50;
/// So many characters of one cell.
const CELL: usize = 300;
const CUT_SHORT: &str =
    "\nThis summary was cut to fit the limit of GitHub. The log and `report.json` have all of it.\n";

/// The summary as Markdown of at most `space` bytes; empty if there is no room for anything.
///
/// It is cut between sections, never inside a table or a folded part.
pub(super) fn text(report: &RunReport, space: usize) -> String {
    let failures = report.stages.iter().filter(|record| failed(record)).map(failure);
    let sections = [opening(report), table(report)].into_iter().chain(failures);
    let mut text = String::new();
    let mut sections = sections.peekable();
    while let Some(section) = sections.next() {
        let reserve = if sections.peek().is_some() { CUT_SHORT.len() } else { 0 };
        if text.len() + section.len() + reserve > space {
            if text.len() + CUT_SHORT.len() <= space {
                text.push_str(CUT_SHORT);
            }
            return text;
        }
        text.push_str(&section);
    }
    text
}

fn opening(report: &RunReport) -> String {
    let gaps = summary::gaps(report);
    let mut text = format!("## {}\n\n", escape(&summary::exit(report, !gaps.is_empty())));
    text.push_str(&format!("{}: {}\n\n", code(&report.run.command), escape(&summary::totals(report))));
    if let Some(found) = summary::findings(report) {
        text.push_str(&format!("Findings: {}. All of them are in `{FINDINGS}`.\n\n", escape(&found)));
    }
    if !gaps.is_empty() {
        text.push_str("**Not checked:**\n\n");
        for gap in gaps.iter().take(GAPS) {
            text.push_str(&format!("- {}\n", escape(&cut(gap, 3 * CELL))));
        }
        if gaps.len() > GAPS {
            text.push_str(&format!("- and {} more\n", gaps.len() - GAPS));
        }
        text.push('\n');
    }
    text
}

fn table(report: &RunReport) -> String {
    if report.stages.is_empty() {
        return String::new();
    }
    let mut text = "| stage | result | time | |\n| --- | --- | ---: | --- |\n".to_owned();
    for record in report.stages.iter().take(STAGES) {
        let word = block::word(record.outcome);
        let word = if failed(record) { format!("**{word}**") } else { word.to_owned() };
        let cached = if record.cached { ", cached" } else { "" };
        let (time, remark) = match record.outcome {
            OutcomeKind::Skipped => (String::new(), block::reason(record)),
            OutcomeKind::Passed
            | OutcomeKind::Rejected
            | OutcomeKind::Broke
            | OutcomeKind::TimedOut
            | OutcomeKind::Cancelled => (duration(record.duration_ms), summary::because(record)),
        };
        text.push_str(&format!(
            "| {} | {word}{cached} | {time} | {} |\n",
            escape(&record.name()),
            cell(&remark)
        ));
    }
    if report.stages.len() > STAGES {
        text.push_str(&format!("\nand {} more\n", report.stages.len() - STAGES));
    }
    text.push('\n');
    text
}

fn failure(record: &StageRecord) -> String {
    let mut text = format!("### {} {}\n\n", escape(&record.name()), block::word(record.outcome));
    let blocking = block::of(record, Standing::Blocks);
    if !blocking.is_empty() {
        text.push_str("| place | severity | rule | message |\n| --- | --- | --- | --- |\n");
        for finding in blocking.iter().take(FINDINGS_LISTED) {
            let place = block::place(finding).unwrap_or_default();
            let columns =
                [place, finding.severity.to_string(), clean(&finding.rule), clean(&finding.message)];
            text.push_str(&format!("| {} |\n", columns.map(|column| cell(&column)).join(" | ")));
        }
        text.push('\n');
        if blocking.len() > FINDINGS_LISTED {
            text.push_str(&format!("and {} more\n\n", blocking.len() - FINDINGS_LISTED));
        }
    }
    if let Some(error) = &record.error {
        text.push_str(&format!("{}\n\n", preformatted(&error.message)));
        if let Some(hint) = &error.hint {
            text.push_str(&format!("Next: {}\n\n", escape(&cut(&clean(hint), CELL))));
        }
    }
    let tail = block::tail(record);
    if !tail.is_empty() {
        text.push_str(&format!(
            "<details><summary>last lines of its output</summary>\n\n{}\n\n</details>\n\n",
            preformatted(&tail.join("\n"))
        ));
    }
    text.push_str(&format!("Again: `{}`\n\n", summary::command(record)));
    text
}

fn cell(text: &str) -> String {
    escape(&cut(text, CELL))
}

/// Text that Markdown, GitHub's additions to it (tables, mathematics, mentions, links) and HTML leave as it is.
///
/// Character references and not backslashes: they cannot be undone by a backslash that stands before them.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            // Common in names and numbers, and without a meaning inside a line.
            ' ' | '-' | '.' | ',' | ';' | '/' | '(' | ')' | '=' | '?' => out.push(c),
            c if c.is_ascii_punctuation() => out.push_str(&format!("&#{};", u32::from(c))),
            c => out.push(c),
        }
    }
    // A bare `www.` becomes a link without any other sign.
    out.replace("www.", "www&#46;")
}

fn code(text: &str) -> String {
    format!("<code>{}</code>", escape(&cut(&clean(text), CELL)))
}

/// Lines as they are. Inside `<pre>` Markdown is off until `</pre>`, which cannot occur in escaped text.
fn preformatted(text: &str) -> String {
    let lines = super::text::clean_lines(text);
    let lines: Vec<String> = lines.iter().take(STAGES).map(|line| html(&cut(line, CELL))).collect();
    format!("<pre>{}</pre>", lines.join("\n"))
}

fn html(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_markdown_or_html_reads_survives() {
        let hostile = "<script>|`x`*_[a](b)!@team #1 $x$ ~~~ \\| {{x}} https://x www.x.y \"'&";
        let escaped = escape(hostile);
        let mut rest = escaped.as_str();
        while let Some(at) = rest.find('&') {
            let end = rest[at..].find(';').expect("a reference ends");
            assert!(rest[at + 2..at + end].parse::<u32>().is_ok(), "{escaped}");
            rest = &rest[at + end + 1..];
        }
        assert!(!escaped.contains([
            '<', '>', '|', '`', '*', '_', '[', ']', '@', '$', '~', '\\', '{', '}', '"', '\'', ':'
        ]));
        assert!(!escaped.contains("www."));
        assert_eq!(escape("lint-hello 1.2 s (cached)"), "lint-hello 1.2 s (cached)");
    }

    #[test]
    fn preformatted_text_cannot_end_itself() {
        assert_eq!(preformatted("a</pre><b>\n  &\u{1b}[0m"), "<pre>a&lt;/pre&gt;&lt;b&gt;\n  &amp;</pre>");
    }
}
