//! The only place that spawns: guarded, masked, logged.

pub mod query;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;
#[derive(Debug, Default)]
pub enum Stdin {
    #[default]
    Null,
    Bytes(Vec<u8>),
}
#[derive(Debug, Default, Clone, Copy)]
pub struct StopPolicy {
    pub grace: Duration,
}
#[derive(Debug, Default)]
pub struct Command {
    pub program: OsString,
    pub args: Vec<OsString>,
    pub cwd: PathBuf,
    pub env: BTreeMap<OsString, OsString>,
    pub stdin: Stdin,
    pub stop: StopPolicy,
    pub log: Option<PathBuf>,
    pub capture: usize,
}
#[derive(Debug)]
pub enum Exit {
    Code(i32),
    Signal(i32),
    TimedOut,
    Cancelled,
}
#[derive(Debug)]
pub struct Finished {
    pub exit: Exit,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    pub tail: Vec<String>,
}
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    #[error("nf")]
    NotFound { program: String },
    #[error("x")]
    Guard(String),
}
#[derive(Debug, Clone)]
pub struct Supervisor;
impl Supervisor {
    pub async fn run(
        &self,
        _c: Command,
        _d: Option<tokio::time::Instant>,
        _k: &crate::cancel::Cancel,
        _l: impl FnMut(crate::event::Stream, &str) + Send,
    ) -> Result<Finished, SpawnError> {
        Err(SpawnError::Guard(String::new()))
    }
}
