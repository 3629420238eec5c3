//! The environment: read once, here, and nowhere else in the product. Children get [`Ambient::base`] and the variables that
//! `pipeline.yaml` names for them; nothing else passes.

use super::resolved::{EnvName, Pipeline};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;

/// The variables that every child gets if they are set, and why. They say where things are on this machine and how the network
/// is reached. They do not belong to a cache key: what decides a result is named under `env` of a service.
pub const BASE: &[(&str, &str)] = &[
    ("PATH", "where programs are"),
    ("HOME", "where tools keep their settings and caches"),
    ("USER", "some tools refuse to run without it"),
    ("LOGNAME", "the same"),
    ("LANG", "the encoding of file names and output"),
    ("LC_ALL", "the same"),
    ("TZ", "the time zone"),
    ("TMPDIR", "where temporary files go"),
    ("XDG_CACHE_HOME", "where tools keep caches"),
    ("XDG_CONFIG_HOME", "where tools keep settings"),
    ("XDG_RUNTIME_DIR", "where the sockets of rootless container engines are"),
    ("DOCKER_HOST", "where the container engine is"),
    ("CARGO_HOME", "where cargo keeps its registry"),
    ("RUSTUP_HOME", "where tool chains are"),
    ("RUSTUP_TOOLCHAIN", "the tool chain that `cargo xtask` itself was started with"),
    ("GOPATH", "where Go keeps modules"),
    ("GOCACHE", "where Go keeps builds"),
    ("GOMODCACHE", "where Go keeps modules"),
    ("GOPROXY", "where Go gets modules from"),
    ("GOPRIVATE", "which modules Go gets elsewhere"),
    ("GOSUMDB", "who vouches for them"),
    ("GOFLAGS", "how Go reaches them"),
    ("GOTOOLCHAIN", "which Go runs"),
    ("PIP_INDEX_URL", "where Python packages come from"),
    ("PIP_EXTRA_INDEX_URL", "where else"),
    ("PIP_FIND_LINKS", "where else"),
    ("PIP_CERT", "whom pip trusts"),
    ("PIP_CACHE_DIR", "where pip keeps them"),
    ("PIP_CONFIG_FILE", "where its settings are"),
    ("SSL_CERT_FILE", "whom TLS trusts"),
    ("SSL_CERT_DIR", "the same"),
    ("REQUESTS_CA_BUNDLE", "the same, in Python"),
    ("NODE_EXTRA_CA_CERTS", "the same, in Node"),
    ("HTTP_PROXY", "the way to the network"),
    ("HTTPS_PROXY", "the same"),
    ("NO_PROXY", "what needs no proxy"),
    ("http_proxy", "the same, as curl reads it"),
    ("https_proxy", "the same"),
    ("no_proxy", "the same"),
];

/// The environment as it was when the program started.
#[derive(Clone, Default)]
pub struct Ambient {
    variables: BTreeMap<OsString, OsString>,
}

/// What a GitHub Actions job says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GitHub {
    /// The file that the step summary is written to.
    pub step_summary: Option<PathBuf>,
    /// The file that the step's outputs are written to.
    pub output: Option<PathBuf>,
    /// Where GitHub's API is: `https://api.github.com`, or that of a server of one's own.
    pub api_url: Option<String>,
    /// The repository: `owner/name`.
    pub repository: Option<String>,
    /// The ref that started the run: `refs/heads/main`.
    pub git_ref: Option<String>,
    /// The commit.
    pub sha: Option<String>,
    /// The run's number.
    pub run_id: Option<String>,
    /// Which attempt of the run this is, from 1.
    pub run_attempt: Option<String>,
    /// The branch that a pull request goes to; none outside of pull requests.
    pub base_ref: Option<String>,
}

/// A variable whose value is not UTF-8. It could not be masked in what children print.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the value of the variable `{0}` is not UTF-8 text; set it to text or unset it")]
pub struct NotText(pub String);

impl Ambient {
    /// Reads the environment of this process; `main` does so, once.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    pub fn read() -> Ambient {
        Ambient::of(std::env::vars_os())
    }

    /// An environment with these variables, for tests.
    pub fn of<K: Into<OsString>, V: Into<OsString>>(variables: impl IntoIterator<Item = (K, V)>) -> Ambient {
        Ambient {
            variables: variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
        }
    }

    /// Whether this is a machine without a person in front of it: `CI` is set, and not to `false` or `0`.
    pub fn ci(&self) -> bool {
        self.text("CI").is_some_and(|value| !matches!(value, "false" | "0"))
    }

    /// The GitHub Actions job that this runs in, if it does.
    pub fn github(&self) -> Option<GitHub> {
        let text = |name| self.text(name).map(str::to_owned);
        (self.text("GITHUB_ACTIONS") == Some("true")).then(|| GitHub {
            step_summary: self.get("GITHUB_STEP_SUMMARY").map(PathBuf::from),
            output: self.get("GITHUB_OUTPUT").map(PathBuf::from),
            api_url: text("GITHUB_API_URL"),
            repository: text("GITHUB_REPOSITORY"),
            git_ref: text("GITHUB_REF"),
            sha: text("GITHUB_SHA"),
            run_id: text("GITHUB_RUN_ID"),
            run_attempt: text("GITHUB_RUN_ATTEMPT"),
            base_ref: text("GITHUB_BASE_REF"),
        })
    }

    /// Whether colours are refused, by `NO_COLOR`.
    pub fn no_color(&self) -> bool {
        self.get("NO_COLOR").is_some()
    }

    /// Whether the terminal cannot move its cursor: `TERM` is `dumb` or not set.
    pub fn dumb_terminal(&self) -> bool {
        self.text("TERM").is_none_or(|term| term == "dumb")
    }

    /// The user's own folder.
    pub fn home(&self) -> Option<PathBuf> {
        self.get("HOME").map(PathBuf::from)
    }

    /// The user's folder for caches: `XDG_CACHE_HOME` if it is absolute, as its specification wants, or `.cache` at home.
    pub fn cache_home(&self) -> Option<PathBuf> {
        let own = self.get("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        own.or_else(|| self.home().map(|home| home.join(".cache")))
    }

    /// The folders that programs are looked up in.
    pub fn path(&self) -> Vec<PathBuf> {
        self.get("PATH").map(|path| std::env::split_paths(path).collect()).unwrap_or_default()
    }

    /// Where the container engine listens, if that is not its usual place.
    pub fn docker_host(&self) -> Option<&str> {
        self.text("DOCKER_HOST")
    }

    /// Where the clusters are that this user may reach: `KUBECONFIG`, or the usual file at home.
    pub fn kubeconfig(&self) -> Option<PathBuf> {
        let own = self.get("KUBECONFIG").map(PathBuf::from);
        own.or_else(|| self.home().map(|home| home.join(".kube/config")))
    }

    /// The file in which Docker and its kin keep who is logged in where.
    pub fn docker_config(&self) -> Option<PathBuf> {
        let folder = self.get("DOCKER_CONFIG").map(PathBuf::from);
        Some(folder.or_else(|| self.home().map(|home| home.join(".docker")))?.join("config.json"))
    }

    /// The folder for temporary files.
    pub fn temp_dir(&self) -> PathBuf {
        self.get("TMPDIR").map_or_else(|| PathBuf::from("/tmp"), PathBuf::from)
    }

    /// The variables of [`BASE`] that are set: what every child gets.
    pub fn base(&self) -> BTreeMap<OsString, OsString> {
        let set = |(name, _): &(&str, &str)| {
            self.variables.get(OsStr::new(name)).map(|value| (OsString::from(name), value.clone()))
        };
        BASE.iter().filter_map(set).collect()
    }

    /// Every secret of this environment that is set: the variables that the configuration names as such, and those that are secret
    /// by themselves.
    ///
    /// # Errors
    ///
    /// A value is not text.
    pub fn secrets(&self, pipeline: &Pipeline) -> Result<Vec<(EnvName, String)>, NotText> {
        let names = pipeline.secrets.iter().cloned().chain(EnvName::secret_by_themselves());
        let set = names.filter_map(|name| match self.value(&name) {
            Ok(value) => value.map(str::to_owned).map(|value| Ok((name, value))),
            Err(error) => Some(Err(error)),
        });
        set.collect()
    }

    /// The value of a variable that `pipeline.yaml` names; none if it is not set.
    ///
    /// # Errors
    ///
    /// The value is not text.
    pub fn value(&self, name: &EnvName) -> Result<Option<&str>, NotText> {
        let value = self.variables.get(OsStr::new(name.as_str()));
        value.map(|value| value.to_str().ok_or_else(|| NotText(name.as_str().to_owned()))).transpose()
    }

    /// A variable that is set to something.
    fn get(&self, name: &str) -> Option<&OsStr> {
        self.variables.get(OsStr::new(name)).map(OsString::as_os_str).filter(|value| !value.is_empty())
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(OsStr::to_str)
    }
}

impl fmt::Debug for Ambient {
    /// Names only: values are nobody's business, and some are secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.variables.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ambient(variables: &[(&str, &str)]) -> Ambient {
        Ambient::of(variables.iter().copied())
    }

    #[test]
    fn ci_is_what_says_so_and_does_not_deny_it() {
        for (value, expected) in
            [("true", true), ("1", true), ("woodpecker", true), ("", false), ("false", false), ("0", false)]
        {
            assert_eq!(ambient(&[("CI", value)]).ci(), expected, "{value}");
        }
        assert!(!ambient(&[]).ci());
    }

    #[test]
    fn github_is_known_only_inside_of_actions() {
        assert_eq!(ambient(&[("GITHUB_SHA", "abc")]).github(), None);
        let job = ambient(&[
            ("GITHUB_ACTIONS", "true"),
            ("GITHUB_SHA", "abc"),
            ("GITHUB_REF", "refs/pull/1/merge"),
            ("GITHUB_RUN_ID", "7"),
            ("GITHUB_RUN_ATTEMPT", "2"),
            ("GITHUB_REPOSITORY", "owner/name"),
            ("GITHUB_API_URL", "https://api.github.com"),
            ("GITHUB_OUTPUT", "/o"),
            ("GITHUB_BASE_REF", "main"),
            ("GITHUB_STEP_SUMMARY", "/s"),
        ]);
        let expected = GitHub {
            step_summary: Some("/s".into()),
            output: Some("/o".into()),
            api_url: Some("https://api.github.com".into()),
            repository: Some("owner/name".into()),
            git_ref: Some("refs/pull/1/merge".into()),
            sha: Some("abc".into()),
            run_id: Some("7".into()),
            run_attempt: Some("2".into()),
            base_ref: Some("main".into()),
        };
        assert_eq!(job.github(), Some(expected));
        // A push sets the base to nothing.
        assert_eq!(
            ambient(&[("GITHUB_ACTIONS", "true"), ("GITHUB_BASE_REF", "")]).github().unwrap().base_ref,
            None
        );
    }

    #[test]
    fn only_an_absolute_cache_home_counts() {
        assert_eq!(ambient(&[("HOME", "/h")]).cache_home(), Some("/h/.cache".into()));
        assert_eq!(ambient(&[("HOME", "/h"), ("XDG_CACHE_HOME", "/c")]).cache_home(), Some("/c".into()));
        assert_eq!(
            ambient(&[("HOME", "/h"), ("XDG_CACHE_HOME", "c")]).cache_home(),
            Some("/h/.cache".into())
        );
        assert_eq!(ambient(&[]).cache_home(), None);
    }

    #[test]
    fn colour_and_cursor_follow_the_terminal() {
        assert!(ambient(&[("NO_COLOR", "1")]).no_color());
        assert!(!ambient(&[("NO_COLOR", "")]).no_color());
        assert!(ambient(&[("TERM", "dumb")]).dumb_terminal());
        assert!(ambient(&[]).dumb_terminal());
        assert!(!ambient(&[("TERM", "xterm")]).dumb_terminal());
    }

    #[test]
    fn places_have_their_usual_values_when_nothing_is_set() {
        let empty = ambient(&[]);
        assert_eq!(empty.temp_dir(), PathBuf::from("/tmp"));
        assert_eq!(empty.docker_host(), None);
        assert_eq!(empty.home(), None);
        assert_eq!(empty.docker_config(), None);
        assert_eq!(ambient(&[("HOME", "/h")]).docker_config(), Some("/h/.docker/config.json".into()));
        let moved = ambient(&[("HOME", "/h"), ("DOCKER_CONFIG", "/d")]);
        assert_eq!(moved.docker_config(), Some("/d/config.json".into()));
        assert!(empty.path().is_empty());
        let set = ambient(&[("TMPDIR", "/t"), ("DOCKER_HOST", "unix:///d"), ("PATH", "/a:/b")]);
        assert_eq!(set.temp_dir(), PathBuf::from("/t"));
        assert_eq!(set.docker_host(), Some("unix:///d"));
        assert_eq!(set.path(), [PathBuf::from("/a"), PathBuf::from("/b")]);
    }

    #[test]
    fn children_get_the_base_and_nothing_else() {
        let child =
            ambient(&[("PATH", "/bin"), ("AWS_SECRET_ACCESS_KEY", "x"), ("RUSTFLAGS", "-g"), ("LANG", "")])
                .base();
        let names: Vec<_> = child.keys().map(|name| name.to_str().unwrap()).collect();
        assert_eq!(names, ["LANG", "PATH"]);
    }

    #[test]
    fn the_base_names_no_variable_twice_and_none_that_is_a_credential() {
        let mut names: Vec<_> = BASE.iter().map(|(name, _)| *name).collect();
        assert!(
            !names.iter().any(|name| {
                ["TOKEN", "SECRET", "PASSWORD", "KEY"].iter().any(|word| name.contains(word))
            })
        );
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), BASE.len());
    }

    #[cfg(unix)]
    #[test]
    fn a_named_variable_is_text_or_an_error_and_may_be_empty() {
        use std::os::unix::ffi::OsStringExt;
        let bytes = OsString::from_vec(vec![0xff]);
        let ambient = Ambient::of([("A", OsString::from("1")), ("B", bytes), ("C", OsString::new())]);
        assert_eq!(ambient.value(&EnvName("A".into())), Ok(Some("1")));
        assert_eq!(ambient.value(&EnvName("B".into())), Err(NotText("B".into())));
        assert_eq!(ambient.value(&EnvName("C".into())), Ok(Some("")));
        assert_eq!(ambient.value(&EnvName("D".into())), Ok(None));
    }

    #[test]
    fn debug_output_shows_no_value() {
        assert_eq!(format!("{:?}", ambient(&[("TOKEN", "s3cret")])), "{\"TOKEN\"}");
    }
}
