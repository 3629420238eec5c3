//! Names that cannot be mixed up: stages, services, nodes of the graph, digests.
//!
//! Nothing here reads, writes or decides; a value of these types has been checked when it exists.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Whether a stage runs once for each service or once for the repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// One node for each service that configures it.
    Service,
    /// One node for the whole repository.
    Repository,
}

/// The closed set of stages. Adding one makes every `match` on it fail to compile until it is handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StageId {
    /// The service's linter.
    Lint,
    /// The service's tests.
    Test,
    /// The service's image: digest out, nothing pushed.
    Build,
    /// Software bill of materials of the image.
    Sbom,
    /// Vulnerabilities, secrets and misconfiguration of the image.
    Scan,
    /// Secrets in the repository.
    Secrets,
    /// Every Dockerfile.
    Dockerfile,
    /// Every Helm chart.
    Chart,
    /// The Terraform root module.
    Terraform,
    /// Policy scan of everything that describes infrastructure.
    Iac,
    /// The Ansible playbooks.
    Ansible,
    /// The GitHub Actions workflows.
    Workflows,
    /// The service's image, in a registry.
    Push,
}

impl StageId {
    /// Every stage, in the order in which help and tables list them.
    pub const ALL: [StageId; 13] = [
        StageId::Lint,
        StageId::Test,
        StageId::Build,
        StageId::Sbom,
        StageId::Scan,
        StageId::Secrets,
        StageId::Dockerfile,
        StageId::Chart,
        StageId::Terraform,
        StageId::Iac,
        StageId::Ansible,
        StageId::Workflows,
        StageId::Push,
    ];

    /// The name on the command line, in reports and in cache paths.
    pub const fn as_str(self) -> &'static str {
        match self {
            StageId::Lint => "lint",
            StageId::Test => "test",
            StageId::Build => "build",
            StageId::Sbom => "sbom",
            StageId::Scan => "scan",
            StageId::Secrets => "secrets",
            StageId::Dockerfile => "dockerfile",
            StageId::Chart => "chart",
            StageId::Terraform => "terraform",
            StageId::Iac => "iac",
            StageId::Ansible => "ansible",
            StageId::Workflows => "workflows",
            StageId::Push => "push",
        }
    }

    /// Whether the stage belongs to a service or to the repository.
    pub const fn scope(self) -> Scope {
        match self {
            StageId::Lint
            | StageId::Test
            | StageId::Build
            | StageId::Sbom
            | StageId::Scan
            | StageId::Push => Scope::Service,
            StageId::Secrets
            | StageId::Dockerfile
            | StageId::Chart
            | StageId::Terraform
            | StageId::Iac
            | StageId::Ansible
            | StageId::Workflows => Scope::Repository,
        }
    }
}

impl fmt::Display for StageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for StageId {
    type Err = UnknownStage;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        StageId::ALL.into_iter().find(|id| id.as_str() == text).ok_or_else(|| UnknownStage(text.to_owned()))
    }
}

/// A word that names no stage.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a stage")]
pub struct UnknownStage(pub String);

/// The name of a service: lower-case letters, digits and dashes, as Kubernetes wants it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServiceName(String);

impl ServiceName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A name that Kubernetes would refuse.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{0}` is not a service name: use 1 to 63 lower-case letters, digits and dashes, starting with a letter and not ending with a dash"
)]
pub struct BadServiceName(pub String);

impl TryFrom<String> for ServiceName {
    type Error = BadServiceName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let starts = text.starts_with(|c: char| c.is_ascii_lowercase());
        let rest = text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        if starts && rest && !text.ends_with('-') && text.len() <= 63 {
            Ok(ServiceName(text))
        } else {
            Err(BadServiceName(text))
        }
    }
}

impl From<ServiceName> for String {
    fn from(name: ServiceName) -> String {
        name.0
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// One node of the graph: a stage, and the service it is for if it is of [`Scope::Service`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NodeId {
    /// The stage.
    #[serde(rename = "id")]
    pub stage: StageId,
    /// The service, for stages of a service.
    pub service: Option<ServiceName>,
}

impl NodeId {
    /// A stage of the repository.
    pub const fn repository(stage: StageId) -> Self {
        NodeId { stage, service: None }
    }

    /// A stage of one service.
    pub const fn of(stage: StageId, service: ServiceName) -> Self {
        NodeId { stage, service: Some(service) }
    }

    /// The name as part of a file name: `build-hello`.
    pub fn file_stem(&self) -> String {
        match &self.service {
            Some(service) => format!("{}-{service}", self.stage),
            None => self.stage.to_string(),
        }
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.service {
            Some(service) => f.pad(&format!("{}:{service}", self.stage)),
            None => f.pad(self.stage.as_str()),
        }
    }
}

/// A SHA-256 digest in the form that registries speak: `sha256:` and 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

/// Text that is not a digest.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a digest: expected `sha256:` and 64 lower-case hexadecimal digits")]
pub struct BadDigest(pub String);

impl Digest {
    /// The digest of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Digest(format!("sha256:{}", sha256(bytes)))
    }

    /// The 64 hexadecimal digits, without the algorithm.
    pub fn hex(&self) -> &str {
        &self.0["sha256:".len()..]
    }

    /// The whole digest, algorithm included.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Digest {
    type Error = BadDigest;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let digits = text.strip_prefix("sha256:").unwrap_or_default();
        let hexadecimal = digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if digits.len() == 64 && hexadecimal { Ok(Digest(text)) } else { Err(BadDigest(text)) }
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> String {
        digest.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The SHA-256 digest of `bytes`, as hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    let mut hasher = Hasher::default();
    hasher.update(bytes);
    hasher.hex()
}

/// SHA-256 of what comes in pieces. The one digest of this program: lock files, registries and cache keys alike.
#[derive(Debug, Clone, Default)]
pub struct Hasher(sha2::Sha256);

impl Hasher {
    /// Takes the next piece.
    pub fn update(&mut self, bytes: &[u8]) {
        sha2::Digest::update(&mut self.0, bytes);
    }

    /// The digest of all pieces, as hexadecimal digits.
    pub fn hex(self) -> String {
        hex(&sha2::Digest::finalize(self.0))
    }
}

impl std::io::Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Lower-case hexadecimal digits of `bytes`.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stage_is_found_again_by_its_name() {
        for id in StageId::ALL {
            assert_eq!(id.as_str().parse::<StageId>().unwrap(), id);
        }
        assert!("lnt".parse::<StageId>().is_err());
    }

    #[test]
    fn service_names_are_those_of_kubernetes() {
        for good in ["a", "hello", "hello-2", &"a".repeat(63)] {
            assert!(ServiceName::try_from(good.to_owned()).is_ok(), "{good}");
        }
        for bad in ["", "2a", "-a", "a-", "A", "a_b", "a/b", "ä", &"a".repeat(64)] {
            assert!(ServiceName::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_digest_is_sha256_and_nothing_else() {
        let empty = Digest::of(b"");
        assert_eq!(empty.as_str(), "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_eq!(Digest::try_from(empty.to_string()).unwrap(), empty);
        for bad in ["", "sha256:", "sha512:aa", &format!("sha256:{}", "A".repeat(64))] {
            assert!(Digest::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }
}
