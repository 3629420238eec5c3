//! `generate`: writes the files that are made from the stage table, or says where they differ.

use crate::cli::GenerateArgs;
use crate::commands::{Failure, say};
use crate::generate;
use crate::session::Session;
use xtask_core::error::ExitCode;

/// Writes or checks the workflows.
pub(super) fn generate(session: &Session<'_>, args: &GenerateArgs) -> Result<ExitCode, Failure> {
    let Some(config) = session.pipeline.workflows.as_ref().filter(|config| config.generated) else {
        return Err(Failure::usage("pipeline.yaml has no `workflows` with `generated: true`".to_owned()));
    };
    let root = &session.pipeline.root;
    if args.check {
        let drifted = generate::drift(root, &config.path)?;
        for found in &drifted {
            let file = found.file.as_deref().unwrap_or_default();
            let line = found.line.map(|line| format!(":{line}")).unwrap_or_default();
            say(&format!("{file}{line}: {}\n", found.message));
        }
        return Ok(if drifted.is_empty() { ExitCode::Passed } else { ExitCode::Rejected });
    }
    for name in generate::write(&root.join(&config.path))? {
        say(&format!("wrote {}/{name}\n", config.path));
    }
    Ok(ExitCode::Passed)
}
