//! The report that a release leaves, as every command does: `target/xtask/report.json`.

use super::clock;
use super::drive::Ending;
use super::open::Cx;
use super::smoke::Smoke;
use std::io;
use std::time::Duration;
use xtask_core::engine::store;
use xtask_core::error::ExitCode;
use xtask_core::report::{ReleaseRecord, RunInfo, RunReport, SCHEMA, outcome_word};

/// Writes it. A report that cannot be written changes nothing about how the release ended.
pub(crate) fn write(cx: &Cx, code: u8, duration_ms: u64, releases: Vec<ReleaseRecord>) {
    if let Err(error) = written(cx, code, duration_ms, releases) {
        let root = cx.pipeline.root.display();
        cx.tell.line(&format!("the report could not be written to {root}/target/xtask: {error}"));
    }
}

fn written(cx: &Cx, code: u8, duration_ms: u64, releases: Vec<ReleaseRecord>) -> io::Result<()> {
    let path = store::own_folder(&cx.pipeline.root)?.join("report.json");
    let words = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned());
    let command = words.collect::<Vec<_>>().join(" ");
    let started = clock::now().checked_sub(Duration::from_millis(duration_ms)).unwrap_or(cx.run.started);
    let masked = |record: ReleaseRecord| ReleaseRecord {
        summary: cx.redactor.redact(&record.summary).into_owned(),
        ..record
    };
    let report = RunReport {
        schema: SCHEMA,
        run: RunInfo {
            id: cx.run.id.clone(),
            command: cx.redactor.redact(&command).into_owned(),
            started: started.to_string(),
            duration_ms,
            outcome: outcome_word(ExitCode::of(code)),
            exit_code: code,
        },
        stages: Vec::new(),
        releases: releases.into_iter().map(masked).collect(),
    };
    store::replace(&path, &serde_json::to_vec_pretty(&report)?)
}

impl Ending {
    /// As the report has it.
    pub(crate) fn record(&self) -> ReleaseRecord {
        ReleaseRecord {
            environment: self.environment.clone(),
            release: self.release.clone(),
            phase: self.phase.to_string(),
            summary: self.summary.clone(),
            revision: self.revision,
            evidence: self.evidence.clone(),
            recordings: self.recordings.clone(),
        }
    }
}

impl Smoke {
    /// As the report has it.
    pub(crate) fn record(&self) -> ReleaseRecord {
        ReleaseRecord {
            environment: self.environment.clone(),
            release: self.release.clone(),
            phase: "smoke".to_owned(),
            summary: self.summary.clone(),
            revision: Some(self.revision),
            evidence: None,
            recordings: Vec::new(),
        }
    }
}
