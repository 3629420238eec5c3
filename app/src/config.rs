//! Configuration: read once, at start, from environment variables; refused when it cannot be right.
//!
//! This is the only module that knows the variables' names. It must not hold secrets: everything here may be
//! printed. Secrets come as files ([`crate::secret`]); here is only the name of their folder.

use std::env::VarError;
use std::fmt::Display;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use tracing::level_filters::LevelFilter;

/// Everything the service is told from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// `SYS_ENV`: a label of the place it runs in, shown to everybody. Never a secret.
    pub sys_env: String,
    /// `LISTEN_ADDR`: where the public routes are served.
    pub listen: SocketAddr,
    /// `METRICS_ADDR`: where `/metrics` is served; a port of its own, so that no ingress can reach it.
    pub metrics: SocketAddr,
    /// `LOG_LEVEL`: `error`, `warn`, `info`, `debug` or `trace`.
    pub log_level: LevelFilter,
    /// How long stopping may take.
    pub drain: Drain,
    /// Where it is, and where it was meant to be.
    pub environment: Environment,
    /// `APP_SECRETS_DIR`: the folder of secret files, when there is one.
    pub secrets_dir: Option<PathBuf>,
    /// What is running.
    pub identity: Identity,
    /// `FAULT`: what to do badly.
    #[cfg(feature = "faults")]
    pub faults: crate::faults::Faults,
}

/// What two sources say of the environment: they differ when the configuration of one has been applied to
/// another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    /// `CONFIG_ENVIRONMENT`: the one that the configuration was written for, when it says so.
    pub configured: Option<String>,
    /// `POD_ENVIRONMENT`: the one that the pod's own metadata names, when it does.
    pub expected: Option<String>,
}

impl Environment {
    /// Whether both speak and disagree.
    #[must_use]
    pub fn is_wrong(&self) -> bool {
        matches!((&self.configured, &self.expected), (Some(configured), Some(expected)) if configured != expected)
    }
}

/// The two waits between SIGTERM and exit; their sum must stay below the pod's termination grace period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drain {
    /// `DRAIN_SETTLE_SECONDS`: not ready any more, but still accepting, because load balancers learn of it
    /// late.
    pub settle: Duration,
    /// `DRAIN_DEADLINE_SECONDS`: not accepting any more; after this long, requests still in flight are cut.
    pub deadline: Duration,
}

/// Which build this is. The version is compiled in; the rest is told at run time, so that the same source
/// gives the same bytes whatever the commit or the build number.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Identity {
    /// Semantic version of the package.
    pub version: &'static str,
    /// `APP_COMMIT`: the commit it was built from.
    pub commit: String,
    /// `APP_BUILD_NUMBER`: the number of the CI run that built it.
    pub build: String,
    /// `APP_IMAGE_DIGEST`: the image's digest, as the deployment knows it.
    pub image: String,
}

/// Why the configuration is refused: a variable does not parse.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{name}={value:?} is not {want}")]
pub struct ConfigError {
    /// The variable.
    pub name: &'static str,
    /// What it holds.
    pub value: String,
    /// What it should hold.
    pub want: &'static str,
}

impl Config {
    /// Reads the configuration through `var`, which is [`std::env::var`] everywhere but in tests.
    ///
    /// # Errors
    /// The first variable that does not parse.
    pub fn read(var: impl Fn(&'static str) -> Result<String, VarError>) -> Result<Self, ConfigError> {
        let vars = Vars(var);
        let unknown = || "unknown".to_owned();
        Ok(Self {
            sys_env: vars.text("SYS_ENV")?.unwrap_or_else(|| "helloworld".to_owned()),
            listen: vars.parse("LISTEN_ADDR", "an address like 0.0.0.0:8080", any_v4(8080))?,
            metrics: vars.parse("METRICS_ADDR", "an address like 0.0.0.0:9090", any_v4(9090))?,
            log_level: vars.parse(
                "LOG_LEVEL",
                "one of error, warn, info, debug, trace",
                LevelFilter::INFO,
            )?,
            drain: Drain {
                settle: vars.seconds("DRAIN_SETTLE_SECONDS", 5)?,
                deadline: vars.seconds("DRAIN_DEADLINE_SECONDS", 20)?,
            },
            environment: Environment {
                configured: vars.text("CONFIG_ENVIRONMENT")?,
                expected: vars.text("POD_ENVIRONMENT")?,
            },
            secrets_dir: vars.text("APP_SECRETS_DIR")?.map(PathBuf::from),
            identity: Identity {
                version: env!("CARGO_PKG_VERSION"),
                commit: vars.text("APP_COMMIT")?.unwrap_or_else(unknown),
                build: vars.text("APP_BUILD_NUMBER")?.unwrap_or_else(unknown),
                image: vars.text("APP_IMAGE_DIGEST")?.unwrap_or_else(unknown),
            },
            #[cfg(feature = "faults")]
            faults: vars.parse("FAULT", crate::faults::WANT, crate::faults::Faults::default())?,
        })
    }
}

fn any_v4(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))
}

struct Vars<F>(F);

impl<F: Fn(&'static str) -> Result<String, VarError>> Vars<F> {
    /// An empty variable counts as unset: Kubernetes and compose files cannot easily say "unset".
    fn text(&self, name: &'static str) -> Result<Option<String>, ConfigError> {
        match (self.0)(name) {
            Ok(value) if value.is_empty() => Ok(None),
            Ok(value) => Ok(Some(value)),
            Err(VarError::NotPresent) => Ok(None),
            Err(VarError::NotUnicode(raw)) => {
                Err(ConfigError { name, value: raw.to_string_lossy().into_owned(), want: "valid UTF-8" })
            }
        }
    }

    fn parse<T: FromStr<Err: Display>>(
        &self,
        name: &'static str,
        want: &'static str,
        default: T,
    ) -> Result<T, ConfigError> {
        self.text(name)?
            .map_or(Ok(default), |value| value.parse().map_err(|_| ConfigError { name, value, want }))
    }

    fn seconds(&self, name: &'static str, default: u16) -> Result<Duration, ConfigError> {
        let seconds = self.parse(name, "a whole number of seconds, at most 65535", default)?;
        Ok(Duration::from_secs(seconds.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::sample::select;

    fn read(vars: &[(&str, &str)]) -> Result<Config, ConfigError> {
        Config::read(|name| {
            let found = vars.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned()).ok_or(VarError::NotPresent)
        })
    }

    #[test]
    fn nothing_set_gives_the_documented_defaults() {
        let config = read(&[]).unwrap();
        assert_eq!(config.sys_env, "helloworld");
        assert_eq!(config.listen, "0.0.0.0:8080".parse().unwrap());
        assert_eq!(config.metrics, "0.0.0.0:9090".parse().unwrap());
        assert_eq!(config.log_level, LevelFilter::INFO);
        assert_eq!(config.drain, Drain { settle: Duration::from_secs(5), deadline: Duration::from_secs(20) });
        assert_eq!(config.identity.version, env!("CARGO_PKG_VERSION"));
        assert_eq!(config.identity.commit, "unknown");
    }

    #[test]
    fn an_empty_variable_counts_as_unset() {
        assert_eq!(read(&[("SYS_ENV", ""), ("LISTEN_ADDR", "")]), read(&[]));
    }

    #[test]
    fn every_variable_reaches_its_field() {
        let config = read(&[
            ("SYS_ENV", "dev"),
            ("LISTEN_ADDR", "127.0.0.1:1"),
            ("METRICS_ADDR", "[::1]:2"),
            ("LOG_LEVEL", "debug"),
            ("DRAIN_SETTLE_SECONDS", "3"),
            ("DRAIN_DEADLINE_SECONDS", "4"),
            ("CONFIG_ENVIRONMENT", "dev"),
            ("POD_ENVIRONMENT", "beta"),
            ("APP_SECRETS_DIR", "/secrets"),
            ("APP_COMMIT", "c"),
            ("APP_BUILD_NUMBER", "7"),
            ("APP_IMAGE_DIGEST", "sha256:d"),
        ])
        .unwrap();
        let expected = Config {
            sys_env: "dev".into(),
            listen: "127.0.0.1:1".parse().unwrap(),
            metrics: "[::1]:2".parse().unwrap(),
            log_level: LevelFilter::DEBUG,
            drain: Drain { settle: Duration::from_secs(3), deadline: Duration::from_secs(4) },
            environment: Environment { configured: Some("dev".into()), expected: Some("beta".into()) },
            secrets_dir: Some("/secrets".into()),
            identity: Identity {
                version: env!("CARGO_PKG_VERSION"),
                commit: "c".into(),
                build: "7".into(),
                image: "sha256:d".into(),
            },
            #[cfg(feature = "faults")]
            faults: crate::faults::Faults::default(),
        };
        assert_eq!(config, expected);
    }

    #[test]
    fn a_value_that_does_not_parse_names_the_variable_and_the_form() {
        for (name, value, want) in [
            ("LISTEN_ADDR", "8080", "an address"),
            ("METRICS_ADDR", "localhost:9090", "an address"),
            ("LOG_LEVEL", "loud", "one of error"),
            ("DRAIN_SETTLE_SECONDS", "5s", "a whole number"),
            ("DRAIN_DEADLINE_SECONDS", "-1", "a whole number"),
        ] {
            let error = read(&[(name, value)]).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{name}={value:?} is not {want}")), "{error}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_value_that_is_not_utf_8_is_refused() {
        use std::os::unix::ffi::OsStringExt;
        let raw = std::ffi::OsString::from_vec(vec![b'a', 0xff]);
        let error = Config::read(|_| Err(VarError::NotUnicode(raw.clone()))).unwrap_err().to_string();
        assert!(error.ends_with("is not valid UTF-8"), "{error}");
    }

    #[test]
    fn the_environment_is_wrong_only_when_both_sides_speak_and_differ() {
        for (configured, expected, wrong) in [
            (None, None, false),
            (Some("prod"), None, false),
            (None, Some("prod"), false),
            (Some("prod"), Some("prod"), false),
            (Some("prod"), Some("beta"), true),
            (Some("prod"), Some("PROD"), true),
        ] {
            let vars = [("CONFIG_ENVIRONMENT", configured), ("POD_ENVIRONMENT", expected)];
            let vars = vars.map(|(name, value)| (name, value.unwrap_or_default()));
            assert_eq!(read(&vars).unwrap().environment.is_wrong(), wrong, "{configured:?} {expected:?}");
        }
    }

    const NAMES: [&str; 12] = [
        "SYS_ENV",
        "LISTEN_ADDR",
        "METRICS_ADDR",
        "LOG_LEVEL",
        "DRAIN_SETTLE_SECONDS",
        "DRAIN_DEADLINE_SECONDS",
        "CONFIG_ENVIRONMENT",
        "POD_ENVIRONMENT",
        "APP_SECRETS_DIR",
        "APP_COMMIT",
        "APP_BUILD_NUMBER",
        "APP_IMAGE_DIGEST",
    ];

    proptest! {
        #[test]
        fn any_value_is_taken_or_refused_by_name(name in select(&NAMES[..]), value: String) {
            match read(&[(name, &value)]) {
                Ok(_) => {}
                Err(error) => prop_assert_eq!((error.name, error.value), (name, value)),
            }
        }

        #[test]
        fn seconds_are_taken_as_they_are(settle: u16, deadline: u16) {
            let (one, other) = (settle.to_string(), deadline.to_string());
            let vars = [("DRAIN_SETTLE_SECONDS", &*one), ("DRAIN_DEADLINE_SECONDS", &*other)];
            let expected =
                Drain { settle: Duration::from_secs(settle.into()), deadline: Duration::from_secs(deadline.into()) };
            prop_assert_eq!(read(&vars).unwrap().drain, expected);
        }

        #[test]
        fn an_address_survives_being_written_and_read(address: SocketAddr) {
            let read = read(&[("LISTEN_ADDR", &address.to_string()), ("METRICS_ADDR", &address.to_string())]);
            let Config { listen, metrics, .. } = read.unwrap();
            prop_assert_eq!((listen.to_string(), metrics.to_string()), (address.to_string(), address.to_string()));
        }

        #[test]
        fn text_reaches_its_field_unchanged(text in ".+") {
            prop_assert_eq!(read(&[("SYS_ENV", &text)]).unwrap().sys_env, text);
        }
    }
}
