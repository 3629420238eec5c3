//! What a running stage may touch.

/// What a running stage may touch: processes, tools, upstream facts, progress. Made by the engine only.
#[derive(Debug)]
pub struct Cx {}
