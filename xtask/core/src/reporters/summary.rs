//! The end of a run, for a person who reads only that: how many, what failed and how to run it again, what was not checked.
//!
//! A pure function of the report. What was not checked comes last, because the last lines are the ones that are read.

use super::block::{by_severity, hue, of, place, reason, word};
use super::text::{Hue, INDENT, Ink, clean, count, cut, duration, paragraph, tally};
use super::{FINDINGS, REPORT, failed};
use crate::error::ExitCode;
use crate::outcome::{Finding, Standing, Why};
use crate::report::{OutcomeKind, RunReport, StageRecord};

/// So many failed stages are listed.
const FAILED: usize = 20;
/// So many characters of one reason are shown.
const REASON: usize = 120;

/// The end of a run as text.
pub(super) fn text(report: &RunReport, ink: Ink) -> String {
    let mut lines = vec![String::new(), totals(report)];
    if let Some(found) = findings(report) {
        lines.push(format!("findings: {found} (all in {FINDINGS})"));
    }
    let failures: Vec<&StageRecord> = report.stages.iter().filter(|record| failed(record)).collect();
    if !failures.is_empty() {
        lines.push(String::new());
        for record in failures.iter().take(FAILED) {
            let word = ink.paint(hue(record), &format!("{:<9}", word(record.outcome)));
            lines.push(format!("{word} {:<24}  {}", record.name(), because(record)));
            lines.push(format!("{INDENT}{INDENT}  again: {}", command(record)));
        }
        if failures.len() > FAILED {
            lines.push(format!("and {} more", failures.len() - FAILED));
        }
    }
    lines.push(String::new());
    lines.push(format!("to see this again: cargo xtask replay {REPORT}"));
    let gaps = gaps(report);
    lines.push(ink.paint(
        if report.run.exit_code == 0 { Hue::Good } else { Hue::Bad },
        &exit(report, !gaps.is_empty()),
    ));
    for gap in gaps {
        lines.push(ink.paint(Hue::Bad, &format!("NOT CHECKED: {gap}")));
    }
    paragraph(lines)
}

/// `12 stages in 43.2 s: 9 passed (7 from the cache), 1 rejected`.
pub(super) fn totals(report: &RunReport) -> String {
    const ORDER: [OutcomeKind; 6] = [
        OutcomeKind::Passed,
        OutcomeKind::Rejected,
        OutcomeKind::Broke,
        OutcomeKind::TimedOut,
        OutcomeKind::Cancelled,
        OutcomeKind::Skipped,
    ];
    if !report.releases.is_empty() {
        let lines = report.releases.iter().map(|record| {
            format!("release of {} to {}: {}", record.release, record.environment, record.summary)
        });
        return lines.collect::<Vec<_>>().join("\n");
    }
    if report.stages.is_empty() {
        return "no stages: there was nothing to do".to_owned();
    }
    let parts = ORDER.map(|outcome| {
        let of_it = || report.stages.iter().filter(|record| record.outcome == outcome);
        let cached = of_it().filter(|record| record.cached).count();
        let cached = if cached > 0 { format!(" ({cached} from the cache)") } else { String::new() };
        (of_it().count(), format!("{}{cached}", word(outcome)))
    });
    let time = duration(report.run.duration_ms);
    format!("{} in {time}: {}", count(report.stages.len(), "stage"), tally(parts))
}

/// `3 blocking, 5 noted (1 high, 4 low), 1 waived`, if anything was found.
pub(super) fn findings(report: &RunReport) -> Option<String> {
    let of = |standing| report.stages.iter().flat_map(|record| of(record, standing)).collect::<Vec<_>>();
    let noted = of(Standing::Noted);
    let noted_as = format!("noted ({})", by_severity(&noted));
    let text = tally([
        (of(Standing::Blocks).len(), "blocking"),
        (noted.len(), &noted_as),
        (of(Standing::Waived).len(), "waived"),
    ]);
    (!text.is_empty()).then_some(text)
}

/// Why a stage failed, in one line.
pub(super) fn because(record: &StageRecord) -> String {
    match record.outcome {
        OutcomeKind::Rejected => {
            let blocking: Vec<&Finding> = of(record, Standing::Blocks);
            let worst = blocking.first().map(|finding| {
                let place = place(finding).map(|place| format!(" {place}")).unwrap_or_default();
                cut(&format!(": {}{place}", clean(&finding.rule)), REASON)
            });
            format!("{}{}", count(blocking.len(), "blocking finding"), worst.unwrap_or_default())
        }
        OutcomeKind::Broke => match &record.error {
            Some(error) => cut(&clean(error.message.lines().next().unwrap_or_default()), REASON),
            None => "no error was recorded".to_owned(),
        },
        OutcomeKind::TimedOut => format!("after {}", duration(record.duration_ms)),
        OutcomeKind::Cancelled => "stopped before it ended".to_owned(),
        OutcomeKind::Passed | OutcomeKind::Skipped => String::new(),
    }
}

/// The command that runs this stage alone.
pub(super) fn command(record: &StageRecord) -> String {
    match &record.service {
        Some(service) => format!("cargo xtask {} --service {service}", record.id),
        None => format!("cargo xtask {}", record.id),
    }
}

/// What was not checked and why, one line a reason, in the order in which the stages ended.
pub(super) fn gaps(report: &RunReport) -> Vec<String> {
    let mut gaps: Vec<(String, Vec<String>)> = Vec::new();
    for record in &report.stages {
        let gap =
            record.outcome == OutcomeKind::Skipped && record.skipped.as_ref().is_none_or(Why::leaves_a_gap);
        if !gap {
            continue;
        }
        let reason = reason(record);
        match gaps.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, names)) => names.push(record.name()),
            None => gaps.push((reason, vec![record.name()])),
        }
    }
    gaps.into_iter().map(|(reason, names)| format!("{} — {reason}", names.join(", "))).collect()
}

/// `exit 10: rejected by policy`.
pub(super) fn exit(report: &RunReport, with_gaps: bool) -> String {
    let number = report.run.exit_code;
    let meaning = match ExitCode::ALL.into_iter().find(|code| code.number() == number) {
        Some(code) => code.meaning().to_owned(),
        None => cut(&clean(&report.run.outcome), REASON),
    };
    let gaps = if number == 0 && with_gaps { ", but not everything was checked" } else { "" };
    format!("exit {number}: {meaning}{gaps}")
}
