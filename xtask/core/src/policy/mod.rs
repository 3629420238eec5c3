//! Facts in, verdict out. Pure: no clock (the date comes in), no input or output, no name of a tool or a stage.

mod plan;
mod thresholds;

pub use plan::judge_plan;
pub use thresholds::{Strictness, judge};
