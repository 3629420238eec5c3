//! What a source has in hand while it installs: the pin, the place, and the one way to run a program.

use super::Setup;
use super::failure::{Failure, Reason};
use super::files;
use super::lock::ToolPin;
use super::progress::{Phase, Progress};
use super::pypi::Environment;
use crate::cancel::Cancel;
use crate::event::Stream;
use crate::process::{Command, Exit};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::Instant;

/// Variables of our own environment that pass to installers, as far as they pass to any child. They say where caches are and how the
/// network is reached. What would weaken a check (`GOFLAGS`, `GOPRIVATE`) is not among them.
pub(super) const INSTALLER_ENV: &[&str] = &[
    "HOME",
    "LANG",
    "LC_ALL",
    "TMPDIR",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "GOPROXY",
    "GOSUMDB",
    "GOTOOLCHAIN",
    "GOPATH",
    "GOCACHE",
    "GOMODCACHE",
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "PIP_FIND_LINKS",
    "PIP_CERT",
    "PIP_CACHE_DIR",
    "PIP_CONFIG_FILE",
];

/// One tool at work.
#[derive(Debug)]
pub(super) struct Work<'a> {
    pub setup: &'a Setup,
    pub pin: &'a ToolPin,
    pub cancel: &'a Cancel,
    pub progress: &'a Progress,
}

/// What a source has brought.
#[derive(Debug)]
pub(super) struct Built {
    /// The file to run.
    pub program: PathBuf,
    /// The Python environment that the program is in, and not in the place made for it.
    pub environment: Option<Environment>,
}

impl Work<'_> {
    /// A program that an installer needs.
    pub(super) fn need(&self, program: &str) -> Result<PathBuf, Failure> {
        let found = files::candidates(program, &self.setup.search_path).into_iter().next();
        found.ok_or_else(|| Failure::unsuitable(format!("`{program}` is not on PATH")))
    }

    /// The environment of installers, with these variables on top.
    fn env(&self, more: &[(&str, OsString)]) -> Result<BTreeMap<OsString, OsString>, Failure> {
        let mut env = self.setup.env.clone();
        let path = std::env::join_paths(&self.setup.search_path)
            .map_err(|error| Failure::failed(format!("PATH cannot be passed on: {error}")))?;
        env.insert("PATH".into(), path);
        env.extend(more.iter().map(|(name, value)| (OsString::from(name), value.clone())));
        Ok(env)
    }

    /// Runs a program in a folder to its end.
    pub(super) async fn spawn(
        &self,
        program: &Path,
        args: &[OsString],
        cwd: &Path,
        env: &[(&str, OsString)],
        deadline: Duration,
        mut on_line: impl FnMut(&str) + Send,
    ) -> Result<Ran, Failure> {
        let mut command = Command::new(program, cwd);
        command.args = args.to_vec();
        command.env = self.env(env)?;
        let deadline_at = Some(Instant::now() + deadline);
        // Of each stream, because nobody knows in which order lines of different streams were printed.
        let (mut said, mut complained) = (None, None);
        let finished = self
            .setup
            .supervisor
            .run(command, deadline_at, self.cancel, |stream, line| {
                on_line(line);
                let last = match stream {
                    Stream::Stdout => &mut said,
                    Stream::Stderr => &mut complained,
                };
                if !line.trim().is_empty() {
                    *last = Some(line.trim().chars().take(300).collect::<String>());
                }
            })
            .await
            .map_err(|error| Failure::failed(error.to_string()))?;
        let name = program.file_name().unwrap_or_default().to_string_lossy();
        match finished.exit {
            Exit::Code(code) => Ok(Ran {
                code,
                stdout: String::from_utf8_lossy(finished.stdout.bytes()).into_owned(),
                last_words: complained.or(said).unwrap_or_else(|| "no message".to_owned()),
            }),
            Exit::Signal(signal) => Err(Failure::failed(format!("`{name}` died of signal {signal}"))),
            Exit::TimedOut => {
                Err(Failure::failed(format!("`{name}` was not done after {} s", deadline.as_secs())))
            }
            Exit::Cancelled => Err(Failure::cancelled()),
        }
    }

    /// Runs a program that must succeed, its lines shown as progress, and gives its standard output.
    pub(super) async fn run(
        &self,
        phase: Phase,
        program: &Path,
        args: &[OsString],
        cwd: &Path,
        env: &[(&str, OsString)],
    ) -> Result<String, Failure> {
        self.progress.phase(phase);
        let show = |line: &str| {
            // What is printed for our own eyes says nothing to people.
            if phase != Phase::Checking {
                self.progress.line(phase, line);
            }
        };
        let ran = self.spawn(program, args, cwd, env, self.setup.patience.build, show).await?;
        if ran.code == 0 {
            return Ok(ran.stdout);
        }
        let name = program.file_name().unwrap_or_default().to_string_lossy();
        let what = args
            .iter()
            .map(|arg| arg.to_string_lossy())
            .find(|arg| !arg.starts_with('-'))
            .unwrap_or_default();
        Err(Failure::failed(format!("`{name} {what}` exited with {}: {}", ran.code, ran.last_words)))
    }

    /// Asks a program for its version: what it printed on standard output. If it ended with an error of its own, that is
    /// [`Reason::Unsuitable`].
    pub(super) async fn probe(&self, program: &Path) -> Result<String, Failure> {
        let args: Vec<OsString> =
            self.pin.probe.iter().flat_map(|probe| &probe.args).map(OsString::from).collect();
        let ran = self.spawn(program, &args, Path::new("/"), &[], self.setup.patience.probe, |_| {}).await?;
        if ran.code == 0 {
            Ok(ran.stdout)
        } else {
            let why = format!("`{}` exited with {}: {}", self.pin.bin, ran.code, ran.last_words);
            Err(Failure::unsuitable(why))
        }
    }

    /// Runs something that blocks the thread, off the thread that everything else runs on.
    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        tokio::task::spawn_blocking(job)
            .await
            .unwrap_or_else(|error| Err(Failure { reason: Reason::Failed, why: error.to_string() }))
    }

    /// A file that belongs to `tools.lock`, copied to where an installer expects it.
    pub(super) fn lay(&self, file: &str, to: &Path) -> Result<(), Failure> {
        let bytes = self.setup.lock.origin().read(file).map_err(Failure::unsuitable)?;
        std::fs::write(to, bytes).map_err(Failure::io("cannot write", to))
    }
}

/// A program that ended by itself.
#[derive(Debug)]
pub(super) struct Ran {
    pub code: i32,
    pub stdout: String,
    /// The last line of its standard error that says something, or else of its standard output; cut to a readable length.
    pub last_words: String,
}
