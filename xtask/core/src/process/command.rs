//! What to run. Complete in itself: no shell, no inherited variable, no inherited directory.

use super::error::ProcessError;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// One child process.
#[derive(Clone)]
pub struct Command {
    /// A path, or a name that is looked up on the `PATH` in [`env`](Self::env).
    pub program: OsString,
    /// The arguments after the program's name. Never a secret: they are visible to everyone on the machine.
    pub args: Vec<OsString>,
    /// Where it runs; a relative program path counts from here. Absolute.
    pub cwd: PathBuf,
    /// Its whole environment.
    pub env: BTreeMap<OsString, OsString>,
    /// What it reads.
    pub stdin: Stdin,
    /// How it is asked to stop at its deadline or when the run is stopped.
    pub stop: StopPolicy,
    /// How many bytes of its standard output are kept; the rest only goes to the log.
    pub stdout_limit: usize,
    /// The file to which all of its output is appended, masked, line by line. Missing folders are made.
    pub log: Option<PathBuf>,
}

/// What a child reads.
#[derive(Clone, Default)]
pub enum Stdin {
    /// Nothing.
    #[default]
    Null,
    /// These bytes, then the end.
    Bytes(Vec<u8>),
}

/// How a child is asked to stop, and how long it may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StopPolicy {
    /// The question.
    pub signal: StopSignal,
    /// After this it is killed.
    pub grace: Duration,
}

/// A signal that asks a child to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopSignal {
    /// SIGINT: for tools that tidy up on Ctrl-C only, such as Terraform.
    Interrupt,
    /// SIGTERM.
    Terminate,
}

impl Default for StopPolicy {
    /// SIGTERM and 1.5 s: a run that is stopped ends within 2.5 s.
    fn default() -> Self {
        StopPolicy { signal: StopSignal::Terminate, grace: Duration::from_millis(1500) }
    }
}

impl Command {
    /// A command without arguments and environment.
    pub fn new(program: impl Into<OsString>, cwd: impl Into<PathBuf>) -> Self {
        Command {
            program: program.into(),
            args: Vec::new(),
            cwd: cwd.into(),
            env: BTreeMap::new(),
            stdin: Stdin::Null,
            stop: StopPolicy::default(),
            stdout_limit: 64 << 20,
            log: None,
        }
    }

    /// The file to execute; also finds the mistakes that the system would report without saying which of the names is wrong.
    pub(super) fn resolve(&self) -> Result<PathBuf, ProcessError> {
        let directory = std::fs::metadata(&self.cwd)
            .and_then(|data| if data.is_dir() { Ok(()) } else { Err(io::ErrorKind::NotADirectory.into()) });
        if let Err(source) = directory {
            return Err(ProcessError::BadDirectory { path: self.cwd.clone(), source });
        }
        if let Some(bad) = self.strings().find(|string| string.as_bytes().contains(&0)) {
            let what = bad.to_string_lossy().into_owned();
            return Err(ProcessError::ZeroByte { program: self.program.clone(), what });
        }
        let mut seen = None;
        let mut searched = Vec::new();
        for candidate in self.candidates() {
            match executable(&candidate) {
                Ok(()) => return Ok(candidate),
                Err(Unfit::Missing) => searched.push(candidate),
                Err(Unfit::NotExecutable(why)) => {
                    seen.get_or_insert(ProcessError::NotExecutable { program: candidate, why });
                }
            }
        }
        Err(seen.unwrap_or(ProcessError::NotFound { program: self.program.clone(), searched }))
    }

    fn candidates(&self) -> Vec<PathBuf> {
        if self.program.as_bytes().contains(&b'/') {
            return vec![self.cwd.join(&self.program)];
        }
        let path = self.env.get(OsStr::new("PATH")).map(OsString::as_os_str).unwrap_or_default();
        // Relative entries would make the choice of program depend on the directory: a trap, not a feature.
        std::env::split_paths(path)
            .filter(|entry| entry.is_absolute())
            .map(|entry| entry.join(&self.program))
            .collect()
    }

    fn strings(&self) -> impl Iterator<Item = &OsStr> {
        let env = self.env.iter().flat_map(|(name, value)| [name, value]);
        [&self.program].into_iter().chain(&self.args).chain(env).map(OsString::as_os_str)
    }
}

enum Unfit {
    Missing,
    NotExecutable(&'static str),
}

fn executable(path: &Path) -> Result<(), Unfit> {
    let Ok(data) = std::fs::metadata(path) else {
        return Err(Unfit::Missing);
    };
    if data.is_dir() {
        Err(Unfit::NotExecutable("it is a directory"))
    } else if data.permissions().mode() & 0o111 == 0 {
        Err(Unfit::NotExecutable("its permissions do not allow it"))
    } else {
        Ok(())
    }
}

impl fmt::Debug for Command {
    /// Shows no value of a variable and nothing of the standard input: both may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Command { program, args, cwd, env, stdin: _, stop, stdout_limit: _, log } = self;
        f.debug_struct("Command")
            .field("program", program)
            .field("args", args)
            .field("cwd", cwd)
            .field("env", &env.keys())
            .field("stop", stop)
            .field("log", log)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_shows_neither_values_of_variables_nor_standard_input() {
        let mut command = Command::new("tool", "/");
        command.env.insert("TOKEN".into(), "hunter22".into());
        command.stdin = Stdin::Bytes(b"hunter22".to_vec());
        let shown = format!("{command:?}");
        assert!(shown.contains("TOKEN") && !shown.contains("hunter22"), "{shown}");
    }

    #[test]
    fn a_program_is_looked_up_on_the_path_of_the_command_itself() {
        let folder = tempfile::tempdir().unwrap();
        let tool = folder.path().join("tool");
        std::fs::write(&tool, "").unwrap();
        let mut command = Command::new("tool", folder.path());
        assert!(matches!(command.resolve(), Err(ProcessError::NotFound { .. })), "no PATH at all");

        command.env.insert("PATH".into(), format!(".:/nowhere:{}", folder.path().display()).into());
        assert!(matches!(command.resolve(), Err(ProcessError::NotExecutable { .. })));

        std::fs::set_permissions(&tool, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(command.resolve().unwrap(), tool);

        command.program = "./tool".into();
        assert_eq!(command.resolve().unwrap(), folder.path().join("./tool"));
    }

    #[test]
    fn a_name_that_is_nowhere_is_reported_with_the_places_that_were_searched() {
        let mut command = Command::new("no-such-tool", "/");
        command.env.insert("PATH".into(), "/nowhere:relative:/void".into());
        let Err(error) = command.resolve() else { panic!("found") };
        assert_eq!(
            error.to_string(),
            "`no-such-tool` was not found; tried /nowhere/no-such-tool, /void/no-such-tool"
        );
    }

    #[test]
    fn a_missing_directory_and_a_zero_byte_are_told_apart_from_a_missing_program() {
        assert!(matches!(
            Command::new("/bin/sh", "/nowhere").resolve(),
            Err(ProcessError::BadDirectory { .. })
        ));
        assert!(matches!(
            Command::new("/bin/sh", "/bin/sh").resolve(),
            Err(ProcessError::BadDirectory { .. })
        ));
        let mut command = Command::new("/bin/sh", "/");
        command.args.push("a\0b".into());
        assert!(matches!(command.resolve(), Err(ProcessError::ZeroByte { .. })));
    }
}
