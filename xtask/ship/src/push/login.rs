//! Who pushes: a name and a password from the environment or from where `docker login` leaves them. They are read before anything
//! runs and leave this process in one header only; they are never shown.

use crate::aws::{self, EcrHost};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::{fmt, fs, io};
use xtask_core::config::{Ambient, EnvName};
use xtask_core::redact::Redactor;

/// A name and a password.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Credentials {
    name: String,
    password: String,
}

impl Credentials {
    /// The value of the header `Authorization`.
    pub(super) fn basic(&self) -> String {
        format!("Basic {}", STANDARD.encode(format!("{}:{}", self.name, self.password)))
    }

    /// What masks the password in what a registry says.
    pub(super) fn redactor(&self) -> Redactor {
        let token = STANDARD.encode(format!("{}:{}", self.name, self.password));
        Redactor::new([self.password.clone(), token])
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials")
    }
}

/// What is known about who pushes to one registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Login {
    /// Nothing: the registry is asked without a name.
    Nobody,
    /// A name and a password.
    Known(Credentials),
    /// There is something that this program cannot use, as a sentence.
    Unusable(String),
}

/// Where what is known about who pushes comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// It is known.
    Ready(Login),
    /// ECR gives a password to whoever has AWS credentials, for some hours. It is asked only when it is needed.
    Ecr(EcrHost),
}

impl Source {
    /// Who pushes. That ECR gives no password is told when the registry wants one.
    pub(super) async fn open(&self) -> Login {
        match self {
            Source::Ready(login) => login.clone(),
            Source::Ecr(host) => match aws::ecr_password(host).await {
                Ok(password) => Login::Known(Credentials { name: aws::ECR_USER.to_owned(), password }),
                Err(error) => Login::Unusable(format!("ECR gave no password ({error})")),
            },
        }
    }
}

/// Credentials that cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoginError {
    /// Half of a pair.
    #[error("${set} is set and ${unset} is not; a registry wants both")]
    Half {
        /// The one that is there.
        set: String,
        /// The other one.
        unset: String,
    },
    /// A variable that is not text.
    #[error(transparent)]
    NotText(#[from] xtask_core::config::NotText),
    /// The file cannot be read, or is not what Docker writes.
    #[error("{path}: {why}")]
    File {
        /// The file.
        path: String,
        /// What is wrong; never what is in it.
        why: String,
    },
}

/// Looks for the credentials of a registry: the two variables, then Docker's configuration; then it is for ECR to give some, if it is one.
pub(super) fn find(ambient: &Ambient, registry: &str) -> Result<Source, LoginError> {
    let login = given(ambient, registry)?;
    Ok(match (&login, EcrHost::of(registry)) {
        (Login::Nobody | Login::Unusable(_), Some(host)) => Source::Ecr(host),
        (Login::Known(_), _) | (_, None) => Source::Ready(login),
    })
}

fn given(ambient: &Ambient, registry: &str) -> Result<Login, LoginError> {
    let (name, password) = (EnvName::registry_username(), EnvName::registry_password());
    let value = |name| Ok::<_, LoginError>(ambient.value(name)?.filter(|value| !value.is_empty()));
    let half = |set: &EnvName, unset: &EnvName| {
        Err(LoginError::Half { set: set.as_str().to_owned(), unset: unset.as_str().to_owned() })
    };
    match (value(&name)?, value(&password)?) {
        (Some(name), Some(password)) => {
            return Ok(Login::Known(Credentials { name: name.to_owned(), password: password.to_owned() }));
        }
        (Some(_), None) => return half(&name, &password),
        (None, Some(_)) => return half(&password, &name),
        (None, None) => {}
    }
    let Some(path) = ambient.docker_config() else { return Ok(Login::Nobody) };
    let file = |why: String| LoginError::File { path: path.display().to_string(), why };
    match fs::read(&path) {
        Ok(bytes) => of_docker(&bytes, registry).map_err(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Login::Nobody),
        Err(error) => Err(file(error.to_string())),
    }
}

#[derive(Deserialize)]
struct DockerConfig {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
    #[serde(default, rename = "credHelpers")]
    helpers: BTreeMap<String, String>,
    #[serde(default, rename = "credsStore")]
    store: Option<String>,
}

#[derive(Deserialize, Default)]
struct Entry {
    #[serde(default)]
    auth: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
    #[serde(default, rename = "identitytoken")]
    identity_token: String,
}

/// What Docker's configuration knows of a registry. Errors say where, never what: the file is full of secrets.
fn of_docker(bytes: &[u8], registry: &str) -> Result<Login, String> {
    let config: DockerConfig = serde_json::from_slice(bytes).map_err(|error| {
        format!("not the configuration of Docker (line {}, column {})", error.line(), error.column())
    })?;
    let entry = config.auths.into_iter().find(|(name, _)| is_of(name, registry));
    if let Some(helper) = config.helpers.iter().find(|(name, _)| is_of(name, registry)).map(|(_, it)| it) {
        return Ok(Login::Unusable(format!(
            "docker-credential-{helper} has the credentials, and is not asked"
        )));
    }
    let Some((_, entry)) = entry else { return Ok(Login::Nobody) };
    if !entry.identity_token.is_empty() {
        return Ok(Login::Unusable("`docker login` left an identity token, and no password".to_owned()));
    }
    if !entry.username.is_empty() && !entry.password.is_empty() {
        return Ok(Login::Known(Credentials { name: entry.username, password: entry.password }));
    }
    if entry.auth.is_empty() {
        let keeper =
            config.store.map_or("somebody else".to_owned(), |name| format!("docker-credential-{name}"));
        return Ok(Login::Unusable(format!("{keeper} has the credentials, and is not asked")));
    }
    let plain = STANDARD.decode(entry.auth.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let pair = plain.as_deref().and_then(|plain| plain.split_once(':'));
    let (name, password) =
        pair.ok_or_else(|| format!("`auth` of {registry} is not NAME:PASSWORD in base64"))?;
    // Docker pads passwords with zero bytes.
    let password = password.trim_end_matches('\0');
    Ok(Login::Known(Credentials { name: name.to_owned(), password: password.to_owned() }))
}

/// Whether a name in Docker's configuration means this registry: older versions wrote whole addresses.
fn is_of(name: &str, registry: &str) -> bool {
    let host = name.trim_start_matches("https://").trim_start_matches("http://");
    let host = host.split('/').next().unwrap_or_default();
    host == registry || (registry == "docker.io" && host == "index.docker.io")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "registry.example.com";

    fn known(name: &str, password: &str) -> Login {
        Login::Known(Credentials { name: name.into(), password: password.into() })
    }

    #[test]
    fn credentials_are_found_in_every_form_in_which_docker_writes_them() {
        let auth = STANDARD.encode("robot:s3:cret");
        let table = [
            ("{}".to_owned(), Login::Nobody),
            (format!(r#"{{"auths": {{"other.example.com": {{"auth": "{auth}"}}}}}}"#), Login::Nobody),
            (format!(r#"{{"auths": {{"{HOST}": {{"auth": "{auth}"}}}}}}"#), known("robot", "s3:cret")),
            (
                format!(r#"{{"auths": {{"https://{HOST}/v1/": {{"auth": "{auth}"}}}}}}"#),
                known("robot", "s3:cret"),
            ),
            (
                format!(
                    r#"{{"auths": {{"{HOST}": {{"username": "a", "password": "b"}}}}, "credsStore": "x"}}"#
                ),
                known("a", "b"),
            ),
            (
                format!(r#"{{"auths": {{"{HOST}": {{}}}}, "credsStore": "desktop"}}"#),
                Login::Unusable("docker-credential-desktop has the credentials, and is not asked".into()),
            ),
            (
                format!(r#"{{"credHelpers": {{"{HOST}": "ecr-login"}}}}"#),
                Login::Unusable("docker-credential-ecr-login has the credentials, and is not asked".into()),
            ),
            (
                format!(r#"{{"auths": {{"{HOST}": {{"auth": "{auth}", "identitytoken": "t"}}}}}}"#),
                Login::Unusable("`docker login` left an identity token, and no password".into()),
            ),
        ];
        for (text, expected) in table {
            assert_eq!(of_docker(text.as_bytes(), HOST), Ok(expected), "{text}");
        }
        let hub = format!(r#"{{"auths": {{"https://index.docker.io/v1/": {{"auth": "{auth}"}}}}}}"#);
        assert_eq!(of_docker(hub.as_bytes(), "docker.io"), Ok(known("robot", "s3:cret")));
    }

    #[test]
    fn a_broken_configuration_is_an_error_that_shows_nothing_of_it() {
        let whole = format!(r#"{{"auths": {{"{HOST}": {{"auth": "c2VjcmV0"}}}}}}"#);
        for length in 0..whole.len() {
            let error = of_docker(&whole.as_bytes()[..length], HOST).unwrap_err();
            assert!(!error.contains("c2V"), "{error}");
        }
        for auth in ["c2VjcmV0", "!!", "/w=="] {
            let text = format!(r#"{{"auths": {{"{HOST}": {{"auth": "{auth}"}}}}}}"#);
            assert!(of_docker(text.as_bytes(), HOST).unwrap_err().contains("not NAME:PASSWORD"), "{auth}");
        }
    }

    #[test]
    fn the_environment_comes_before_the_file_and_half_a_pair_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let auth = STANDARD.encode("file:word");
        let text = format!(r#"{{"auths": {{"{HOST}": {{"auth": "{auth}"}}}}}}"#);
        fs::write(folder.path().join("config.json"), text).unwrap();
        let home = folder.path().to_str().unwrap();
        let of = |variables: &[(&str, &str)]| {
            let all = variables.iter().copied().chain([("DOCKER_CONFIG", home)]);
            given(&Ambient::of(all), HOST)
        };
        assert_eq!(of(&[]).unwrap(), known("file", "word"));
        assert_eq!(of(&[("REGISTRY_USERNAME", "a"), ("REGISTRY_PASSWORD", "b")]).unwrap(), known("a", "b"));
        let error = of(&[("REGISTRY_PASSWORD", "hidden")]).unwrap_err().to_string();
        assert_eq!(error, "$REGISTRY_PASSWORD is set and $REGISTRY_USERNAME is not; a registry wants both");
        assert!(of(&[("REGISTRY_USERNAME", "a"), ("REGISTRY_PASSWORD", "")]).is_err());
        assert_eq!(given(&Ambient::default(), HOST).unwrap(), Login::Nobody);
        assert_eq!(given(&Ambient::of([("HOME", "/nowhere")]), HOST).unwrap(), Login::Nobody);
    }

    #[test]
    fn ecr_is_asked_for_a_password_only_where_no_other_one_was_given() {
        let ecr = "111122223333.dkr.ecr.eu-central-1.amazonaws.com";
        let given = [("REGISTRY_USERNAME", "a"), ("REGISTRY_PASSWORD", "b")];
        let source =
            |variables: &[(&str, &str)], host| find(&Ambient::of(variables.iter().copied()), host).unwrap();
        assert_eq!(source(&given, ecr), Source::Ready(known("a", "b")));
        assert!(matches!(source(&[], ecr), Source::Ecr(host) if host.region() == "eu-central-1"));
        assert_eq!(source(&[], HOST), Source::Ready(Login::Nobody));
        let folder = tempfile::tempdir().unwrap();
        let text = format!(r#"{{"credHelpers": {{"{ecr}": "ecr-login"}}}}"#);
        fs::write(folder.path().join("config.json"), text).unwrap();
        let helper = [("DOCKER_CONFIG", folder.path().to_str().unwrap())];
        assert!(matches!(source(&helper, ecr), Source::Ecr(_)), "what the helper would do is done here");
    }

    #[test]
    fn a_password_is_in_no_debug_output() {
        assert!(!format!("{:?}", known("robot", "s3cret")).contains("s3cret"));
    }
}
