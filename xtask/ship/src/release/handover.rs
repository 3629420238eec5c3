//! What a plan leaves for those who approve it and for the job that carries it out: its bytes in a file, and in GitHub Actions a section of
//! the step summary and the output `plan`.

use super::approved::Approvable;
use super::error::ReleaseError;
use super::open::Cx;
use std::fs;
use std::path::PathBuf;
use xtask_core::engine::store;
use xtask_core::reporters::job;

/// Where plans are kept, by digest: a plan is public, and `sha256sum` proves it.
const FOLDER: &str = "target/xtask/plans";

/// Leaves a plan that was made to be looked at.
pub(crate) fn leave(cx: &Cx, plan: &impl Approvable) -> Result<(), ReleaseError> {
    let digest = plan.digest();
    let path = file(cx, &digest);
    let unwritten = |error: &dyn std::fmt::Display| ReleaseError::Usage(error.to_string());
    store::replace(&path, &plan.bytes())
        .map_err(|error| unwritten(&format!("cannot write {}: {error}", path.display())))?;
    let Some(github) = cx.ambient.github() else { return Ok(()) };
    if let Some(summary) = &github.step_summary {
        let title = format!("Plan for {}", plan.environment());
        job::summarize(summary, &title, &cx.redactor.redact(&plan.text()))
            .map_err(|error| unwritten(&error))?;
    }
    if let Some(output) = &github.output {
        job::output(output, "plan", &digest).map_err(|error| unwritten(&error))?;
    }
    Ok(())
}

/// The bytes of a plan that was left here, if it was and nobody changed it.
pub(crate) fn kept(cx: &Cx, digest: &str) -> Option<Vec<u8>> {
    let bytes = fs::read(file(cx, digest)).ok()?;
    (xtask_core::ids::sha256(&bytes).to_string() == digest).then_some(bytes)
}

fn file(cx: &Cx, digest: &str) -> PathBuf {
    cx.pipeline.root.join(FOLDER).join(format!("{digest}.json"))
}
