//! The report that a release leaves, as every command does: `target/xtask/report.json`.

use super::clock;
use super::drive::Ending;
use super::open::Cx;
use std::io;
use std::time::Duration;
use xtask_core::engine::store;
use xtask_core::error::ExitCode;
use xtask_core::report::{ReleaseRecord, RunInfo, RunReport, SCHEMA, outcome_word};

/// Writes it. A report that cannot be written changes nothing about how the release ended.
pub(crate) fn write(cx: &Cx, ending: &Ending) {
    if let Err(error) = written(cx, ending) {
        let root = cx.pipeline.root.display();
        cx.tell.line(&format!("the report could not be written to {root}/target/xtask: {error}"));
    }
}

fn written(cx: &Cx, ending: &Ending) -> io::Result<()> {
    let path = store::own_folder(&cx.pipeline.root)?.join("report.json");
    let words = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned());
    let command = words.collect::<Vec<_>>().join(" ");
    let duration = Duration::from_millis(ending.duration_ms);
    let started = clock::now().checked_sub(duration).unwrap_or(cx.run.started);
    let report = RunReport {
        schema: SCHEMA,
        run: RunInfo {
            id: cx.run.id.clone(),
            command: cx.redactor.redact(&command).into_owned(),
            started: started.to_string(),
            duration_ms: ending.duration_ms,
            outcome: outcome_word(ExitCode::of(ending.exit_code)),
            exit_code: ending.exit_code,
        },
        stages: Vec::new(),
        release: Some(ReleaseRecord {
            environment: ending.environment.clone(),
            release: ending.release.clone(),
            phase: ending.phase.to_string(),
            summary: cx.redactor.redact(&ending.summary).into_owned(),
            revision: ending.revision,
            evidence: ending.evidence.clone(),
            recordings: ending.recordings.clone(),
        }),
    };
    store::replace(&path, &serde_json::to_vec_pretty(&report)?)
}
