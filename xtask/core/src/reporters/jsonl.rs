//! Every event as one line of JSON, for programs. The first line is `run_started` with the schema.

use crate::event::Event;

/// The event's line with its end.
///
/// `##[` would speak to GitHub's runner in the middle of a line, so its second sign is written as JSON's escape: the same text for
/// every reader of JSON. A line that begins with a brace cannot be the runner's other form of command.
pub(super) fn line(event: &Event) -> String {
    let json = serde_json::to_string(event)
        // Events hold nothing that JSON cannot say. If one ever does, the stream still has a line for it that programs can read.
        .unwrap_or_else(|error| {
            serde_json::json!({ "event": "unreadable", "error": error.to_string() }).to_string()
        });
    format!("{}\n", json.replace("##[", "#\\u0023["))
}
