//! External tools: where they come from, how they are called, and what they said. Names no stage, no policy, no reporter.

pub mod provision;
