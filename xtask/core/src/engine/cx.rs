//! What a running stage may touch: processes, tools, upstream facts, progress. Made by the engine only; a stage that holds one is
//! running, under a deadline, and can be stopped.

use crate::cancel::Cancel;
use crate::config::EnvName;
use crate::error::StageError;
use crate::event::{Event, Stream};
use crate::ids::{NodeId, StageId};
use crate::process::{self, Exit, Finished, Stdin, StopPolicy, Supervisor};
use crate::redact::Redactor;
use crate::report::ToolRecord;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;

/// A program that is ready to run: a provisioned tool, or one of the team's own found on PATH.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Its name.
    pub name: String,
    /// Its version, if it is pinned; empty otherwise.
    pub version: String,
    /// Where it is.
    pub path: PathBuf,
    /// SHA-256 of the file.
    pub digest: String,
    /// A folder in front of its PATH, in which it looks for its companions.
    pub extra_path: Option<PathBuf>,
    /// What a person should know about how it was had.
    pub notes: Vec<String>,
}

/// What one child of a stage gets.
pub struct Call<'a> {
    program: &'a Program,
    args: Vec<OsString>,
    directory: Option<PathBuf>,
    env: BTreeMap<OsString, OsString>,
    stdin: Stdin,
    stop: StopPolicy,
}

impl<'a> Call<'a> {
    /// A call of `program` in the root, with nothing on its standard input.
    pub fn new(program: &'a Program) -> Self {
        Call {
            program,
            args: Vec::new(),
            directory: None,
            env: BTreeMap::new(),
            stdin: Stdin::Null,
            stop: StopPolicy::default(),
        }
    }

    /// Adds an argument.
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Runs it elsewhere than in the root.
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    /// Adds a variable for this child alone.
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    /// Gives it bytes on its standard input.
    pub fn stdin(mut self, bytes: Vec<u8>) -> Self {
        self.stdin = Stdin::Bytes(bytes);
        self
    }

    /// How it is asked to stop.
    pub fn stop(mut self, stop: StopPolicy) -> Self {
        self.stop = stop;
        self
    }
}

/// How a child ended that ended by itself.
#[derive(Debug)]
pub struct Ran {
    /// Its exit code.
    pub code: i32,
    /// What it wrote to standard output.
    pub stdout: Vec<u8>,
    /// What it wrote to standard error, as far as it was kept.
    pub stderr: Vec<u8>,
}

/// What the stage used, for its record.
#[derive(Debug, Default, Clone)]
pub(super) struct Used {
    pub(super) tools: BTreeMap<String, ToolRecord>,
    pub(super) tail: Vec<String>,
    /// What the stage noted; it belongs to its result.
    pub(super) said: Vec<String>,
    /// What the engine noted; it belongs to this run.
    pub(super) notes: Vec<String>,
}

impl Used {
    fn keep(&mut self, lines: impl IntoIterator<Item = String>) {
        self.tail.extend(lines);
        let surplus = self.tail.len().saturating_sub(TAIL_LINES);
        self.tail.drain(..surplus);
    }
}

/// What a running stage may touch.
#[derive(Debug)]
pub struct Cx {
    pub(super) node: NodeId,
    pub(super) root: PathBuf,
    pub(super) scratch: PathBuf,
    pub(super) log: PathBuf,
    pub(super) deadline: Instant,
    pub(super) env: BTreeMap<OsString, OsString>,
    pub(super) programs: BTreeMap<String, Program>,
    pub(super) upstream: BTreeMap<NodeId, Arc<serde_json::Value>>,
    pub(super) supervisor: Supervisor,
    pub(super) redactor: Redactor,
    pub(super) cancel: Cancel,
    pub(super) events: UnboundedSender<Event>,
    pub(super) used: Mutex<Used>,
}

impl Cx {
    /// The root of the repository.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A folder of this node in this run, for files that are only of use while it runs. Made on the first call.
    pub fn scratch(&self) -> Result<&Path, StageError> {
        std::fs::create_dir_all(&self.scratch)
            .map_err(StageError::io("cannot make folder", &self.scratch))?;
        Ok(&self.scratch)
    }

    /// The stop signal of the run.
    pub fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    /// When the stage must have ended.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// The processes of the run, for helpers that spawn on the stage's behalf.
    pub fn supervisor(&self) -> &Supervisor {
        &self.supervisor
    }

    /// A program that the stage's needs named.
    pub fn program(&self, name: &str) -> Result<&Program, StageError> {
        self.programs.get(name).ok_or_else(|| {
            StageError::Bug(format!("{} uses `{name}` without naming it in its needs", self.node))
        })
    }

    /// The facts of a node of the same service (or of the repository) that this one waits for, if it passed.
    pub fn facts<F: DeserializeOwned>(&self, stage: StageId) -> Result<Option<F>, StageError> {
        let node = match stage.scope() {
            crate::ids::Scope::Service => NodeId { stage, service: self.node.service.clone() },
            crate::ids::Scope::Repository => NodeId::repository(stage),
        };
        self.facts_of(&node)
    }

    /// The facts of any node that this one waits for, if it passed.
    pub fn facts_of<F: DeserializeOwned>(&self, node: &NodeId) -> Result<Option<F>, StageError> {
        let Some(value) = self.upstream.get(node) else {
            return Ok(None);
        };
        let facts = serde_json::from_value((**value).clone());
        facts
            .map(Some)
            .map_err(|error| StageError::Bug(format!("the facts of {node} have another shape: {error}")))
    }

    /// Says what is being done, for people who watch.
    pub fn progress(&self, doing: impl Into<String>, done: u64, total: Option<u64>) {
        self.send(Event::Progress { node: Some(self.node.clone()), doing: doing.into(), done, total });
    }

    /// Leaves a note in the stage's record.
    pub fn note(&self, note: impl Into<String>) {
        self.used().said.push(note.into());
    }

    /// Takes a line that something said that is not a child of this process, such as an engine behind an API: masks it, logs it,
    /// and keeps it in the tail.
    pub fn line(&self, text: &str) {
        let text = self.redactor.redact(text).into_owned();
        self.send(Event::Line { node: self.node.clone(), stream: Stream::Stdout, text: text.clone() });
        let append = || -> std::io::Result<()> {
            if let Some(folder) = self.log.parent() {
                std::fs::create_dir_all(folder)?;
            }
            let mut log = std::fs::OpenOptions::new().create(true).append(true).open(&self.log)?;
            std::io::Write::write_all(&mut log, format!("{text}\n").as_bytes())
        };
        let logged = append();
        let mut used = self.used();
        if let Err(error) = logged {
            used.notes.push(format!("{} could not be written: {error}", self.log.display()));
        }
        used.keep(std::iter::once(text));
    }

    /// The value of a variable that this stage's needs name, if it is set.
    pub fn variable(&self, name: &EnvName) -> Option<&str> {
        self.env.get(std::ffi::OsStr::new(name.as_str()))?.to_str()
    }

    /// Where cargo keeps what it downloads.
    pub fn cargo_home(&self) -> Option<PathBuf> {
        let value = |name: &str| self.env.get(std::ffi::OsStr::new(name)).map(PathBuf::from);
        value("CARGO_HOME").or_else(|| Some(value("HOME")?.join(".cargo")))
    }

    /// Runs a program to its end and gives its exit code; what the code means is the adapter's to say. Death by a signal, a passed
    /// deadline and a stop are errors.
    pub async fn exec(&self, call: Call<'_>) -> Result<Ran, StageError> {
        let Call { program, args, directory, env: extra, stdin, stop } = call;
        let record = ToolRecord {
            name: program.name.clone(),
            version: program.version.clone(),
            sha256: program.digest.clone(),
        };
        if self.used().tools.insert(program.name.clone(), record).is_none() {
            self.used().notes.extend(program.notes.iter().cloned());
        }
        let mut env = self.env.clone();
        if let Some(folder) = &program.extra_path {
            prepend_path(&mut env, folder);
        }
        env.extend(extra);
        let mut command =
            process::Command::new(&program.path, directory.unwrap_or_else(|| self.root.clone()));
        command.args = args;
        command.env = env;
        command.stdin = stdin;
        command.stop = stop;
        command.log = Some(self.log.clone());
        let on_line = |stream, text: &str| {
            self.send(Event::Line { node: self.node.clone(), stream, text: text.to_owned() });
        };
        let finished = self.supervisor.run(command, Some(self.deadline), &self.cancel, on_line).await;
        let Finished { exit, stdout, stderr, tail, .. } = finished?;
        self.used().keep(tail);
        match exit {
            Exit::Code(code) => {
                Ok(Ran { code, stdout: stdout.bytes().to_vec(), stderr: stderr.bytes().to_vec() })
            }
            Exit::Signal(signal) => Err(StageError::ToolBroke {
                tool: program.name.clone(),
                how: format!("died of signal {signal}{}", signal_name(signal)),
                log: Some(self.log.clone()),
            }),
            Exit::TimedOut => Err(StageError::TimedOut),
            Exit::Cancelled => Err(StageError::Cancelled),
        }
    }

    /// An error that says that a tool ended with a code that it uses for its own faults.
    pub fn broke(&self, program: &str, how: impl Into<String>) -> StageError {
        StageError::ToolBroke { tool: program.to_owned(), how: how.into(), log: Some(self.log.clone()) }
    }

    /// Where all output of the stage's children is.
    pub fn log(&self) -> &Path {
        &self.log
    }

    fn send(&self, event: Event) {
        // Nobody listens any more only when the run is over.
        let _ = self.events.send(event);
    }

    pub(super) fn used(&self) -> std::sync::MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn prepend_path(env: &mut BTreeMap<OsString, OsString>, folder: &Path) {
    let path = env.entry("PATH".into()).or_default();
    let mut longer = folder.as_os_str().to_owned();
    longer.push(":");
    longer.push(&*path);
    *path = longer;
}

/// How many of the last lines of a stage's children are kept in its record.
const TAIL_LINES: usize = 60;

fn signal_name(signal: i32) -> &'static str {
    match signal {
        4 => " (SIGILL)",
        6 => " (SIGABRT)",
        9 => " (SIGKILL: out of memory, or somebody killed it)",
        11 => " (SIGSEGV)",
        13 => " (SIGPIPE)",
        15 => " (SIGTERM)",
        _ => "",
    }
}
