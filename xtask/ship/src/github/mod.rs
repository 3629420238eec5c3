//! GitHub: the only room that names its client. It asks what GitHub knows about one run of Actions and says it in plain types; whether
//! that is an approval is judged where releases are. It changes nothing there.

#[cfg(test)]
mod tests;

use crate::net::{encoded, innermost, is_private};
use octocrab::Octocrab;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::time::Duration;
use xtask_core::redact::Redactor;

/// Which run of which repository, where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// Where the API is.
    pub(crate) api_url: String,
    /// `owner/name`.
    pub(crate) repository: String,
    /// The run's number.
    pub(crate) run_id: u64,
}

/// What GitHub says of a run and of an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    /// The run.
    pub(crate) run: Run,
    /// What reviewers have said in it, in all of its attempts.
    pub(crate) reviews: Vec<Review>,
    /// What the environment demands.
    pub(crate) gate: Gate,
}

/// A run as GitHub knows it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Run {
    /// Its number.
    pub(crate) id: u64,
    /// The commit that it runs for.
    pub(crate) head_sha: String,
    /// The newest attempt, from 1.
    pub(crate) run_attempt: u64,
    /// `in_progress`, `completed` and others.
    pub(crate) status: String,
}

/// A word of a reviewer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Review {
    /// `approved`, `rejected` or `pending`.
    pub(crate) state: String,
    /// Who said it.
    pub(crate) by: String,
    /// For which environments.
    pub(crate) environments: Vec<String>,
}

/// What an environment demands before a job of it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Gate {
    /// Reviewers.
    Reviewers,
    /// No reviewers.
    Open,
    /// This token may not see it.
    Unknown(String),
}

/// Why GitHub did not say what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GitHubError {
    /// What the job says of itself leads nowhere.
    #[error("{0}")]
    Unusable(String),
    /// It does not let this token look. It says 404 for what a token may not know of.
    #[error("{doing}: GitHub answered {status} ({said})")]
    Denied {
        /// What was being done.
        doing: String,
        /// 401, 403 or 404.
        status: u16,
        /// What it said.
        said: String,
    },
    /// It has too much to do, or is broken: another try may mend it.
    #[error("{doing}: {why}")]
    Transient {
        /// What was being done.
        doing: String,
        /// What happened.
        why: String,
    },
    /// Any other answer.
    #[error("{doing}: {why}")]
    Broke {
        /// What was being done.
        doing: String,
        /// What is wrong with it.
        why: String,
    },
}

/// How patient a question is.
#[derive(Debug, Clone, Copy)]
struct Patience {
    /// For one answer.
    answer: Duration,
    /// Before each further try.
    waits: &'static [Duration],
}

const PATIENCE: Patience =
    Patience { answer: Duration::from_secs(10), waits: &[Duration::from_secs(1), Duration::from_secs(3)] };

/// So many characters of what GitHub says are shown.
const SAID: usize = 200;

/// Asks about a run, and about an environment of its repository.
pub(crate) async fn ask(place: &Place, token: &str, environment: &str) -> Result<Told, GitHubError> {
    Client::new(place, token, PATIENCE)?.told(environment).await
}

/// A client for one run.
struct Client<'a> {
    place: &'a Place,
    octocrab: Octocrab,
    redactor: Redactor,
    patience: Patience,
}

impl<'a> Client<'a> {
    fn new(place: &'a Place, token: &str, patience: Patience) -> Result<Client<'a>, GitHubError> {
        let unusable = |why: &str| GitHubError::Unusable(why.to_owned());
        if !place.api_url.parse().is_ok_and(|address| is_private(&address)) {
            return Err(unusable("GITHUB_API_URL is no place to send a token to: it is without TLS"));
        }
        let plain = |part: &str| {
            let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            !part.is_empty() && part.chars().all(known) && part != "." && part != ".."
        };
        if !place.repository.split_once('/').is_some_and(|(owner, name)| plain(owner) && plain(name)) {
            return Err(unusable("GITHUB_REPOSITORY is not OWNER/NAME"));
        }
        let octocrab = Octocrab::builder()
            .base_uri(place.api_url.as_str())
            .map(|builder| builder.personal_token(token))
            .and_then(|builder| builder.build())
            .map_err(|error| {
                GitHubError::Unusable(format!("no client for GitHub: {}", first_line(&error)))
            })?;
        let redactor = Redactor::new([token.to_owned()]);
        Ok(Client { place, octocrab, redactor, patience })
    }

    async fn told(&self, environment: &str) -> Result<Told, GitHubError> {
        let run = format!("actions/runs/{}", self.place.run_id);
        Ok(Told {
            run: self.get(&run, "asking for this run").await?,
            reviews: self.reviews(&run).await?,
            gate: self.gate(environment).await?,
        })
    }

    async fn reviews(&self, run: &str) -> Result<Vec<Review>, GitHubError> {
        #[derive(Deserialize)]
        struct Raw {
            state: String,
            // An account that was deleted since.
            user: Option<Named>,
            environments: Vec<Of>,
        }
        #[derive(Deserialize)]
        struct Named {
            login: String,
        }
        #[derive(Deserialize)]
        struct Of {
            name: String,
        }
        let raw: Vec<Raw> = self.get(&format!("{run}/approvals"), "asking who reviewed this run").await?;
        let review = |raw: Raw| Review {
            state: raw.state,
            by: raw.user.map_or_else(|| "somebody".to_owned(), |user| user.login),
            environments: raw.environments.into_iter().map(|of| of.name).collect(),
        };
        Ok(raw.into_iter().map(review).collect())
    }

    async fn gate(&self, environment: &str) -> Result<Gate, GitHubError> {
        #[derive(Deserialize)]
        struct Raw {
            name: String,
            #[serde(default)]
            protection_rules: Vec<Rule>,
        }
        #[derive(Deserialize)]
        struct Rule {
            #[serde(rename = "type")]
            kind: String,
            #[serde(default)]
            reviewers: Vec<serde::de::IgnoredAny>,
        }
        let doing = format!("asking what the environment {environment} demands");
        let path = format!("environments/{}", encoded(environment, b""));
        match self.get::<Raw>(&path, &doing).await {
            Ok(raw) if !raw.name.eq_ignore_ascii_case(environment) => {
                Err(GitHubError::Broke { doing, why: "GitHub's answer is about another one".to_owned() })
            }
            Ok(raw) => {
                let demands = |rule: &Rule| rule.kind == "required_reviewers" && !rule.reviewers.is_empty();
                Ok(if raw.protection_rules.iter().any(demands) { Gate::Reviewers } else { Gate::Open })
            }
            Err(error @ GitHubError::Denied { .. }) => Ok(Gate::Unknown(error.to_string())),
            Err(error) => Err(error),
        }
    }

    /// One answer, again while that may help.
    async fn get<T: DeserializeOwned>(&self, path: &str, doing: &str) -> Result<T, GitHubError> {
        let mut waits = self.patience.waits.iter();
        loop {
            let error = match self.once(path, doing).await {
                Err(error @ GitHubError::Transient { .. }) => error,
                ended => return ended,
            };
            let Some(wait) = waits.next() else { return Err(error) };
            tokio::time::sleep(*wait).await;
        }
    }

    async fn once<T: DeserializeOwned>(&self, path: &str, doing: &str) -> Result<T, GitHubError> {
        let route = format!("/repos/{}/{path}", self.place.repository);
        let question = self.octocrab.get::<T, _, ()>(route, None);
        match tokio::time::timeout(self.patience.answer, question).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(self.error(error, doing)),
            Err(_) => {
                let why = format!("GitHub did not answer within {} s", self.patience.answer.as_secs());
                Err(GitHubError::Transient { doing: doing.to_owned(), why })
            }
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the client's enum is open")]
    fn error(&self, error: octocrab::Error, doing: &str) -> GitHubError {
        let doing = doing.to_owned();
        let cut = |text: &str| -> String {
            let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
            self.redactor.redact(&words).chars().take(SAID).collect()
        };
        match error {
            octocrab::Error::GitHub { source, .. } => {
                let (status, said) = (source.status_code.as_u16(), cut(&source.message));
                // A 403 with this message is about pace, not about rights.
                let throttled = status == 429 || (status == 403 && said.contains("rate limit"));
                match status {
                    401 | 403 | 404 if !throttled => GitHubError::Denied { doing, status, said },
                    500.. | 403 | 429 => {
                        GitHubError::Transient { doing, why: format!("GitHub answered {status} ({said})") }
                    }
                    _ => GitHubError::Broke { doing, why: format!("GitHub answered {status} ({said})") },
                }
            }
            error @ (octocrab::Error::Json { .. } | octocrab::Error::Serde { .. }) => {
                let why = format!("GitHub's answer cannot be read: {}", cut(first_line(&error).as_str()));
                GitHubError::Broke { doing, why }
            }
            error @ (octocrab::Error::Service { .. } | octocrab::Error::Hyper { .. }) => {
                let why = format!("GitHub cannot be reached: {}", cut(&innermost(&error)));
                GitHubError::Transient { doing, why }
            }
            other => GitHubError::Broke { doing, why: cut(&first_line(&other)) },
        }
    }
}

/// What an error of the client says, without the place in its source.
fn first_line(error: &octocrab::Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}
