//! Graph, schedule, cache, run. Names no stage and no tool.

mod cx;
pub mod cache;
pub mod files;
pub mod history;
pub mod key;
pub mod stamps;
pub mod store;

pub use cx::Cx;
