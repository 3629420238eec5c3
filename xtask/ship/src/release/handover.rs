//! What a plan leaves for those who approve it and for the job that carries it out: its bytes in a file, and in GitHub Actions a section of
//! the step summary and the output `plan`.

use super::approved::Approvable;
use super::error::ReleaseError;
use super::open::Cx;
use std::borrow::Cow;
use std::fmt::Display;
use std::fs;
use std::path::PathBuf;
use xtask_core::engine::snapshot::OWN_FOLDER;
use xtask_core::engine::store;
use xtask_core::ids::sha256;
use xtask_core::reporters::job;

/// Where in the own folder the newest plan of each release is kept, byte for byte as its digest is taken.
const FOLDER: &str = "plans";

/// Leaves a plan that was made to be looked at.
pub(crate) fn leave(cx: &Cx, plan: &impl Approvable) -> Result<(), ReleaseError> {
    let unwritten = |error: &dyn Display| ReleaseError::Usage(error.to_string());
    let (bytes, path) = (plan.bytes(), file(cx, plan.subject()));
    // Its bytes cannot be masked without becoming another plan.
    if matches!(cx.redactor.redact(&String::from_utf8_lossy(&bytes)), Cow::Borrowed(_)) {
        store::own_folder(&cx.pipeline.root)
            .and_then(|_| store::replace(&path, &bytes))
            .map_err(|error| unwritten(&format!("cannot write {}: {error}", path.display())))?;
    }
    let Some(github) = cx.ambient.github() else { return Ok(()) };
    if let Some(summary) = &github.step_summary {
        let title = format!("Plan for {}", plan.environment());
        job::summarize(summary, &title, &cx.redactor.redact(&plan.text()))
            .map_err(|error| unwritten(&error))?;
    }
    if let Some(output) = &github.output {
        job::output(output, "plan", &plan.digest()).map_err(|error| unwritten(&error))?;
    }
    Ok(())
}

/// The bytes of the plan with this digest, if it is the one that was left here last.
pub(crate) fn kept(cx: &Cx, subject: &str, digest: &str) -> Option<Vec<u8>> {
    let bytes = fs::read(file(cx, subject)).ok()?;
    (sha256(&bytes) == digest).then_some(bytes)
}

fn file(cx: &Cx, subject: &str) -> PathBuf {
    cx.pipeline.root.join(OWN_FOLDER).join(FOLDER).join(format!("{}-{subject}.json", cx.env_name))
}
