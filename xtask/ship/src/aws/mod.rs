//! Amazon's cloud: the only room that names its SDKs. It asks whose credentials these are, where a cluster of EKS is, and for passwords
//! of ECR; it changes nothing there and judges nothing.
//!
//! The SDK finds credentials itself, as every tool of Amazon's does: variables, profiles, a web identity, the machine's role. They stay
//! in it. What it says in errors is cut down to codes and sentences: its own rendering has whole answers in it.

mod names;
#[cfg(test)]
mod tests;

pub(crate) use names::EcrHost;

use crate::net::innermost;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, ConfigLoader, Region, SdkConfig};
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_sts::config::ProvideCredentials;
use aws_sdk_sts::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::error::Error;
use std::time::Duration;

/// The name that goes with a password of ECR.
pub(crate) const ECR_USER: &str = "AWS";

/// Time for finding credentials; the role of a machine is asked for over the network.
const CREDENTIALS: Duration = Duration::from_secs(10);
/// Time for one answer, and for a question with all its tries.
const ANSWER: Duration = Duration::from_secs(10);
const QUESTION: Duration = Duration::from_secs(30);
/// So many characters of what the cloud says are shown.
const SAID: usize = 200;

/// Why the cloud did not say what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AwsError {
    /// Nobody to ask as.
    #[error("no AWS credentials were found")]
    NoCredentials,
    /// There are credentials, and they cannot be used.
    #[error("the AWS credentials cannot be used: {0}")]
    Credentials(String),
    /// These credentials may not ask.
    #[error("{doing}: AWS answered {code} ({said}); it takes {needs}")]
    Denied {
        /// What was being done.
        doing: &'static str,
        /// Amazon's word for it.
        code: String,
        /// What it said.
        said: String,
        /// The permission.
        needs: &'static str,
    },
    /// No answer, or none that makes sense.
    #[error("{doing}: {why}")]
    Broke {
        /// What was being done.
        doing: &'static str,
        /// What happened.
        why: String,
    },
}

/// A cluster of EKS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EksCluster {
    /// Whose it is.
    pub(crate) account: String,
    /// Where it is.
    pub(crate) region: String,
    /// The address of its API server.
    pub(crate) endpoint: String,
}

/// The cloud, asked with credentials that were found.
pub(crate) struct Aws {
    config: SdkConfig,
}

impl Aws {
    /// Finds credentials. Without a region, that of the environment counts.
    pub(crate) async fn open(region: Option<&str>) -> Result<Aws, AwsError> {
        Aws::of(aws_config::defaults(BehaviorVersion::v2026_01_12()), region, (ANSWER, QUESTION)).await
    }

    async fn of(
        loader: ConfigLoader,
        region: Option<&str>,
        (answer, question): (Duration, Duration),
    ) -> Result<Aws, AwsError> {
        let http = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
        let timeouts =
            TimeoutConfig::builder().operation_attempt_timeout(answer).operation_timeout(question).build();
        let mut loader =
            loader.http_client(http).retry_config(RetryConfig::standard()).timeout_config(timeouts);
        if let Some(region) = region {
            loader = loader.region(Region::new(region.to_owned()));
        }
        let config = loader.load().await;
        let Some(provider) = config.credentials_provider() else { return Err(AwsError::NoCredentials) };
        match tokio::time::timeout(CREDENTIALS, provider.provide_credentials()).await {
            Ok(Ok(_)) => Ok(Aws { config }),
            Ok(Err(CredentialsError::CredentialsNotLoaded(_))) => Err(AwsError::NoCredentials),
            Ok(Err(error)) => Err(AwsError::Credentials(cut(&innermost(&error)))),
            Err(_) => Err(AwsError::Credentials(format!("nothing came within {} s", CREDENTIALS.as_secs()))),
        }
    }

    /// The account that the credentials belong to. Anybody may ask that.
    pub(crate) async fn account(&self) -> Result<String, AwsError> {
        const DOING: &str = "asking whose credentials these are";
        let answer = aws_sdk_sts::Client::new(&self.config).get_caller_identity().send().await;
        let answer = answer.map_err(|error| broke(DOING, "sts:GetCallerIdentity", &error))?;
        answer.account.filter(|account| !account.is_empty()).ok_or_else(|| unreadable(DOING))
    }

    /// The cluster of EKS of this name, if there is one.
    pub(crate) async fn cluster(&self, name: &str) -> Result<Option<EksCluster>, AwsError> {
        const DOING: &str = "asking EKS for the cluster";
        let answer = aws_sdk_eks::Client::new(&self.config).describe_cluster().name(name).send().await;
        let cluster = match answer {
            Ok(answer) => answer.cluster.ok_or_else(|| unreadable(DOING))?,
            Err(SdkError::ServiceError(error)) if error.err().is_resource_not_found_exception() => {
                return Ok(None);
            }
            Err(error) => return Err(broke(DOING, "eks:DescribeCluster", &error)),
        };
        let (region, account) = cluster.arn().and_then(names::place_of).ok_or_else(|| unreadable(DOING))?;
        let endpoint = cluster.endpoint().ok_or_else(|| unreadable(DOING))?.to_owned();
        Ok(Some(EksCluster { account: account.to_owned(), region: region.to_owned(), endpoint }))
    }

    /// A password for the registries of ECR in this region, good for some hours.
    async fn password(&self) -> Result<String, AwsError> {
        const DOING: &str = "asking ECR for a password";
        let answer = aws_sdk_ecr::Client::new(&self.config).get_authorization_token().send().await;
        let answer = answer.map_err(|error| broke(DOING, "ecr:GetAuthorizationToken", &error))?;
        let token = answer.authorization_data().first().and_then(|data| data.authorization_token());
        let plain =
            token.and_then(|token| STANDARD.decode(token).ok()).and_then(|it| String::from_utf8(it).ok());
        let password = plain.as_deref().and_then(|plain| plain.strip_prefix("AWS:"));
        password.filter(|it| !it.is_empty()).map(str::to_owned).ok_or_else(|| unreadable(DOING))
    }
}

/// A password for a registry of ECR.
pub(crate) async fn ecr_password(host: &EcrHost) -> Result<String, AwsError> {
    Aws::open(Some(host.region())).await?.password().await
}

fn unreadable(doing: &'static str) -> AwsError {
    AwsError::Broke { doing, why: "something is missing in the answer".to_owned() }
}

/// Codes of those who may not, whatever the service.
const DENIED: [&str; 8] = [
    "AccessDenied",
    "AccessDeniedException",
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
];

fn cut(text: &str) -> String {
    text.chars().take(SAID).collect()
}

/// The SDK's error, without the answer that it carries. It has been tried again where that may help.
#[expect(clippy::wildcard_enum_match_arm, reason = "the SDK's enum is open")]
fn broke<E, R>(doing: &'static str, needs: &'static str, error: &SdkError<E, R>) -> AwsError
where
    E: ProvideErrorMetadata + Error + 'static,
    R: std::fmt::Debug + 'static,
{
    let why = match error {
        SdkError::ServiceError(service) => {
            let error = service.err();
            let code = error.code().unwrap_or("an error").to_owned();
            let said = match error.message() {
                // What it says then has the request in it, token and all.
                _ if code.contains("Signature") => "the secret key is wrong, or the clock".to_owned(),
                Some(said) => cut(said),
                None => "no reason was given".to_owned(),
            };
            if DENIED.contains(&code.as_str()) {
                return AwsError::Denied { doing, code, said, needs };
            }
            format!("AWS answered {code} ({said})")
        }
        SdkError::TimeoutError(_) => "AWS did not answer in time".to_owned(),
        SdkError::DispatchFailure(failure) => {
            let why = failure.as_connector_error().map(|error| innermost(error)).unwrap_or_default();
            format!("AWS cannot be reached: {}", cut(&why))
        }
        SdkError::ResponseError(_) => "AWS's answer cannot be read".to_owned(),
        other => format!("the question could not be put: {}", cut(&innermost(other))),
    };
    AwsError::Broke { doing, why }
}
