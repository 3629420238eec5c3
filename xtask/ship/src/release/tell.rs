//! What a release command shows: one line for each thing that happened, with the time since the command began; an answer at the end.

use crate::say;
use serde::Serialize;
use std::time::Duration;
use tokio::time::Instant;
use xtask_core::redact::Redactor;

/// Shows what happens. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Tell {
    began: Instant,
    redactor: Redactor,
    /// Of several releases, which one it is.
    of: Option<String>,
}

impl Tell {
    /// From now on.
    pub(crate) fn new(redactor: Redactor) -> Tell {
        Tell { began: Instant::now(), redactor, of: None }
    }

    /// The same for one release of several: its lines begin with its name.
    pub(crate) fn of(&self, release: &str) -> Tell {
        Tell { of: Some(release.to_owned()), ..self.clone() }
    }

    /// Since when.
    pub(crate) fn began(&self) -> Instant {
        self.began
    }

    /// A line that a person can act on.
    pub(crate) fn line(&self, text: &str) {
        let of = self.of.as_ref().map_or_else(String::new, |of| format!("{of}: "));
        let line = format!("{:>7}  {of}{text}", seconds(self.began.elapsed()));
        say::progress(&self.redactor.redact(&line));
    }

    /// Text of several lines, or a question.
    pub(crate) fn show(&self, text: &str) {
        say::ask(&self.redactor.redact(text));
    }

    /// The answer of a command, for people.
    pub(crate) fn answer(&self, text: &str) {
        say::answer(&self.redactor.redact(text));
    }

    /// The answer of a command, for programs.
    pub(crate) fn json(&self, value: &impl Serialize) {
        if let Ok(text) = serde_json::to_string_pretty(value) {
            say::answer(&self.redactor.redact(&format!("{text}\n")));
        }
    }
}

/// `6.2 s`.
pub(crate) fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}
