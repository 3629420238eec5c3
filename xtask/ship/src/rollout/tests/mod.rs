//! The pure function by tables: each rule fires when it must and not a millisecond earlier, and what looks like a fault passes.

mod passes;
mod rules;
mod scene;
mod watching;
mod workloads;
