//! Configuration: read once, at start, from environment variables; refused when it cannot be right.
//!
//! This is the only module that knows the variables' names. It must not hold secrets: everything here may be
//! printed.

use std::env::VarError;
use std::fmt::Display;
use std::net::{Ipv4Addr, SocketAddr};
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
    /// `CONFIG_ENVIRONMENT`: the environment that the mounted configuration was written for, when it says so.
    pub environment: Option<String>,
    /// What is running.
    pub identity: Identity,
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

/// Why the configuration is refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ConfigError {
    /// A variable that does not parse.
    #[error("{name}={value:?} is not {want}")]
    Invalid {
        /// The variable.
        name: &'static str,
        /// What it holds.
        value: String,
        /// What it should hold.
        want: &'static str,
    },
    /// The configuration of one environment has been applied to another.
    #[error(
        "CONFIG_ENVIRONMENT is {config:?}, but POD_ENVIRONMENT is {pod:?}: this configuration is for elsewhere"
    )]
    WrongEnvironment {
        /// What the configuration says.
        config: String,
        /// What the pod's own metadata says.
        pod: String,
    },
}

impl Config {
    /// Reads the configuration through `var`, which is [`std::env::var`] everywhere but in tests.
    ///
    /// # Errors
    /// The first variable that does not parse, or a configuration written for another environment.
    pub fn read(var: impl Fn(&'static str) -> Result<String, VarError>) -> Result<Self, ConfigError> {
        let vars = Vars(var);
        let environment = vars.text("CONFIG_ENVIRONMENT")?;
        if let (Some(config), Some(pod)) = (&environment, vars.text("POD_ENVIRONMENT")?)
            && *config != pod
        {
            return Err(ConfigError::WrongEnvironment { config: config.clone(), pod });
        }
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
            environment,
            identity: Identity {
                version: env!("CARGO_PKG_VERSION"),
                commit: vars.text("APP_COMMIT")?.unwrap_or_else(unknown),
                build: vars.text("APP_BUILD_NUMBER")?.unwrap_or_else(unknown),
                image: vars.text("APP_IMAGE_DIGEST")?.unwrap_or_else(unknown),
            },
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
            Err(VarError::NotUnicode(raw)) => Err(ConfigError::Invalid {
                name,
                value: raw.to_string_lossy().into_owned(),
                want: "valid UTF-8",
            }),
        }
    }

    fn parse<T: FromStr<Err: Display>>(
        &self,
        name: &'static str,
        want: &'static str,
        default: T,
    ) -> Result<T, ConfigError> {
        self.text(name)?.map_or(Ok(default), |value| {
            value.parse().map_err(|_| ConfigError::Invalid { name, value, want })
        })
    }

    fn seconds(&self, name: &'static str, default: u16) -> Result<Duration, ConfigError> {
        let seconds = self.parse(name, "a whole number of seconds, at most 65535", default)?;
        Ok(Duration::from_secs(seconds.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            ("POD_ENVIRONMENT", "dev"),
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
            environment: Some("dev".into()),
            identity: Identity {
                version: env!("CARGO_PKG_VERSION"),
                commit: "c".into(),
                build: "7".into(),
                image: "sha256:d".into(),
            },
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
    fn the_configuration_of_another_environment_is_refused() {
        let error = read(&[("CONFIG_ENVIRONMENT", "prod"), ("POD_ENVIRONMENT", "beta")]).unwrap_err();
        assert_eq!(error, ConfigError::WrongEnvironment { config: "prod".into(), pod: "beta".into() });
    }

    #[test]
    fn one_side_alone_cannot_disagree() {
        assert!(read(&[("CONFIG_ENVIRONMENT", "prod")]).is_ok());
        assert!(read(&[("POD_ENVIRONMENT", "prod")]).is_ok());
    }
}
