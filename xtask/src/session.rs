//! One repository, opened: its configuration, the environment of this process, and how results are shown.

use crate::cli::{Cli, Output};
use crate::commands::Failure;
use crate::equip::Search;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;
use xtask_core::config::{self, Ambient, EnvName, Found, Pipeline, Start};
use xtask_core::engine::files::FileSet;
use xtask_core::engine::snapshot::Listing;
use xtask_core::process::Supervisor;
use xtask_core::redact::Redactor;
use xtask_core::reporters::Mode;
use xtask_core::tools::provision::{OpenError, Provisioner};

/// One repository, opened.
pub(crate) struct Session<'a> {
    /// Its configuration.
    pub(crate) pipeline: Arc<Pipeline>,
    /// The environment of this process.
    pub(crate) ambient: &'a Ambient,
    /// Whether a tool that cannot be had is an error.
    pub(crate) strict: bool,
    /// How results are shown.
    pub(crate) mode: Mode,
    /// Whether text for people is coloured.
    pub(crate) color: bool,
    /// Today, in this machine's time zone.
    pub(crate) today: jiff::civil::Date,
    /// The command as typed.
    pub(crate) command: String,
    /// What masks the values of the variables that `secrets` names.
    pub(crate) redactor: Redactor,
    /// Secrets whose values are too short or too common to be masked.
    pub(crate) unmasked: Vec<String>,
    /// Where every child comes from.
    pub(crate) supervisor: Supervisor,
}

/// A repository whose files are listed while the rest is made ready: what a command needs that looks at them.
pub(crate) struct Checkout<'a> {
    /// The repository.
    pub(crate) session: Session<'a>,
    /// Its files.
    pub(crate) files: Listing,
}

impl<'a> Checkout<'a> {
    /// Opens the repository that the command line means.
    pub(crate) fn open(cli: &Cli, ambient: &'a Ambient) -> Result<Self, Failure> {
        let found = find(cli)?;
        let files = FileSet::begin(found.root().to_owned());
        Ok(Checkout { session: Session::load(cli, found, ambient)?, files })
    }
}

fn find(cli: &Cli) -> Result<Found, Failure> {
    let here =
        std::env::current_dir().map_err(|error| Failure::usage(format!("no working directory: {error}")))?;
    let start = cli.root.as_deref().map_or(Start::Nearest(&here), Start::Root);
    config::find(start).map_err(|error| Failure::usage(error.to_string()))
}

impl<'a> Session<'a> {
    /// Opens the repository that the command line means.
    pub(crate) fn open(cli: &Cli, ambient: &'a Ambient) -> Result<Self, Failure> {
        Session::load(cli, find(cli)?, ambient)
    }

    fn load(cli: &Cli, found: Found, ambient: &'a Ambient) -> Result<Self, Failure> {
        let today = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
        let pipeline = found.load(today).map_err(|error| Failure::usage(error.to_string()))?;
        let (mode, color) = appearance(cli.output, ambient);
        let args = std::env::args_os().skip(1).map(|arg| arg.to_string_lossy().into_owned());
        let (redactor, unmasked) = redactor(&pipeline, ambient)?;
        Ok(Session {
            pipeline: Arc::new(pipeline),
            ambient,
            strict: cli.strict || ambient.ci(),
            mode,
            color,
            today,
            command: redactor.redact(&args.collect::<Vec<_>>().join(" ")).into_owned(),
            supervisor: Supervisor::new(redactor.clone()),
            redactor,
            unmasked,
        })
    }

    /// Where runs keep their files; made ready, and out of git's sight.
    pub(crate) fn own_folder(&self) -> Result<PathBuf, Failure> {
        let root = &self.pipeline.root;
        xtask_core::engine::store::own_folder(root).map_err(|error| {
            Failure::usage(format!("cannot write to {}/target/xtask: {error}", root.display()))
        })
    }

    /// The values of every variable that a service names, and of the one that names an engine.
    pub(crate) fn variables(&self) -> Result<BTreeMap<String, Option<String>>, Failure> {
        let named = self.pipeline.services.values().flat_map(|service| service.env.iter().cloned());
        named
            .chain([EnvName::docker_host()])
            .map(|name| {
                let value = self.ambient.value(&name).map_err(|error| Failure::usage(error.to_string()))?;
                Ok((name.as_str().to_owned(), value.map(str::to_owned)))
            })
            .collect()
    }

    /// Where programs are looked for.
    pub(crate) fn search(&self) -> Search {
        Search { root: self.pipeline.root.clone(), path: self.ambient.path() }
    }

    /// What provisions tools for this repository.
    pub(crate) fn provisioner(&self) -> Result<Provisioner, Failure> {
        let opened = Provisioner::open(&self.pipeline.root, self.ambient, self.supervisor.clone());
        opened.map_err(|error| match error {
            OpenError::NoPlace => Failure::usage(format!("no place for tools: {error}")),
            OpenError::Lock(error) => Failure::usage(error.to_string()),
        })
    }

    /// The environment that every child gets: the same colours and terminal everywhere, so that output is the same too.
    pub(crate) fn child_env(&self) -> BTreeMap<OsString, OsString> {
        let mut env = self.ambient.base();
        env.insert("NO_COLOR".into(), "1".into());
        env.insert("CARGO_TERM_COLOR".into(), "never".into());
        env.insert("TERM".into(), "dumb".into());
        env
    }
}

/// The redactor, and the names of secrets whose values it leaves alone.
fn redactor(pipeline: &Pipeline, ambient: &Ambient) -> Result<(Redactor, Vec<String>), Failure> {
    let secrets = ambient.secrets(pipeline).map_err(|error| Failure::usage(error.to_string()))?;
    let (names, values): (Vec<EnvName>, Vec<String>) = secrets.into_iter().unzip();
    let redactor = Redactor::new(values);
    let unmasked = redactor.unmaskable().iter().filter_map(|at| names.get(*at));
    let unmasked = unmasked.map(|name| name.as_str().to_owned()).collect();
    Ok((redactor, unmasked))
}

pub(crate) fn appearance(output: Output, ambient: &Ambient) -> (Mode, bool) {
    let moves = std::io::stderr().is_terminal() && !ambient.dumb_terminal();
    let asked = match output {
        Output::Auto => None,
        Output::Terminal => Some(Mode::Terminal),
        Output::Plain => Some(Mode::Plain),
        Output::Github => Some(Mode::Github),
        Output::Jsonl => Some(Mode::Jsonl),
    };
    let mode = Mode::fitting(asked, ambient.github().is_some(), moves);
    (mode, std::io::stdout().is_terminal() && !ambient.no_color() && !ambient.dumb_terminal())
}
