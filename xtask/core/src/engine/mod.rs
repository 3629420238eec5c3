//! Graph, schedule, cache, run. Names no stage and no tool.

mod cx;

pub use cx::Cx;
