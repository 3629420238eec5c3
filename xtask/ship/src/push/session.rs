//! Requests to one repository, with what lets them in: the challenge is answered, answers that lead elsewhere are followed, refusals
//! are told from answers. Tries nothing again; what the requests are for is not known here.

use crate::net::is_private;
use crate::push::challenge::{self, Access, Challenge};
use crate::push::fault::Fault;
use crate::push::layout::Blob;
use crate::push::login::{Credentials, Login};
use crate::push::reference::Repository;
use crate::push::retry::retry_after;
use crate::push::wire::{Answer, Payload, Wire};
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use hyper::{Method, StatusCode, Uri};
use jiff::Timestamp;
use serde::Deserialize;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use xtask_core::redact::Redactor;

/// How often an answer may lead elsewhere.
const REDIRECTS: usize = 5;
/// How much of what a registry says is shown.
const SAID: usize = 200;

/// What a person who watches may want to know.
#[derive(Debug)]
pub(super) enum Moment<'a> {
    /// So many bytes of a blob are out.
    Sending {
        /// The blob.
        blob: &'a Blob,
        /// Bytes that are out.
        done: u64,
    },
    /// Something is tried again after a while.
    Waiting {
        /// What went wrong.
        fault: &'a Fault,
        /// After how long.
        wait: Duration,
    },
}

/// Who is told.
pub(super) type Watch<'a> = &'a (dyn Fn(Moment<'_>) + Send + Sync);

/// One repository, and how it is got into.
pub(super) struct Session<'a> {
    repository: &'a Repository,
    access: Access,
    login: &'a Login,
    wire: Wire,
    clock: fn() -> Timestamp,
    watch: Watch<'a>,
    redactor: Redactor,
    authorization: Mutex<Option<HeaderValue>>,
}

/// A request, which may be sent more than once.
pub(super) struct Ask<'a> {
    /// The method.
    pub(super) method: Method,
    /// Where.
    pub(super) address: Uri,
    /// Its headers, but for the one that lets it in.
    pub(super) headers: HeaderMap,
    /// What it carries.
    pub(super) payload: Payload,
    /// For errors: `asking for blob sha256:…`.
    pub(super) doing: &'a str,
    /// For progress.
    pub(super) blob: Option<&'a Blob>,
}

impl<'a> Session<'a> {
    /// Nothing is asked yet.
    pub(super) fn new(
        (repository, access): (&'a Repository, Access),
        login: &'a Login,
        silence: Duration,
        clock: fn() -> Timestamp,
        watch: Watch<'a>,
    ) -> Result<Self, Fault> {
        let redactor = match login {
            Login::Known(credentials) => credentials.redactor(),
            Login::Nobody | Login::Unusable(_) => Redactor::default(),
        };
        let wire = Wire::new(silence)?;
        Ok(Session {
            repository,
            access,
            login,
            wire,
            clock,
            watch,
            redactor,
            authorization: Mutex::default(),
        })
    }

    /// Sends a request, with a token once the registry has asked for one.
    pub(super) async fn call(&self, ask: &Ask<'_>) -> Result<Answer, Fault> {
        let answer = self.follow(ask).await?;
        if answer.status != StatusCode::UNAUTHORIZED {
            return self.admitted(answer, ask.doing);
        }
        self.authorize(&answer, ask.doing).await?;
        self.admitted(self.follow(ask).await?, ask.doing)
    }

    /// Sends a request, and after it whatever a question is led on to. Only the registry itself gets the token.
    async fn follow(&self, ask: &Ask<'_>) -> Result<Answer, Fault> {
        let own = self.address("")?;
        let mut address = ask.address.clone();
        for _ in 0..=REDIRECTS {
            let mut headers = ask.headers.clone();
            let authorization = lock(&self.authorization).clone();
            if let Some(value) = authorization.filter(|_| is_same_place(&address, &own)) {
                headers.insert(AUTHORIZATION, value);
            }
            let progress = |done| {
                if let Some(blob) = ask.blob {
                    (self.watch)(Moment::Sending { blob, done });
                }
            };
            let request = (ask.method.clone(), &address, headers);
            let answer = self.wire.exchange(request, &ask.payload, ask.doing, &progress).await?;
            let asks = ask.method == Method::GET || ask.method == Method::HEAD;
            if !(asks && answer.status.is_redirection()) {
                return Ok(answer);
            }
            address = resolved(&address, answer.header("location").unwrap_or_default())
                .ok_or_else(|| broken(ask.doing, "the registry leads to a place without TLS".to_owned()))?;
        }
        Err(broken(ask.doing, "the registry leads in circles".to_owned()))
    }

    /// Gets what the registry asks for in its challenge.
    async fn authorize(&self, refusal: &Answer, doing: &str) -> Result<(), Fault> {
        let headers =
            refusal.headers.get_all("www-authenticate").iter().filter_map(|value| value.to_str().ok());
        let credentials = match self.login {
            Login::Known(credentials) => Some(credentials),
            Login::Nobody | Login::Unusable(_) => None,
        };
        let value = match (challenge::read(headers), credentials) {
            (Some(Challenge::Bearer { realm, service }), credentials) => {
                let token = self.token(&realm, service.as_deref(), credentials).await?;
                format!("Bearer {token}")
            }
            (Some(Challenge::Basic), Some(credentials)) => credentials.basic(),
            (Some(Challenge::Basic), None) | (None, _) => return Err(self.denied(refusal, doing)),
        };
        let mut value = HeaderValue::from_str(&value)
            .map_err(|_| broken(doing, "the token cannot be sent in a header".to_owned()))?;
        value.set_sensitive(true);
        *lock(&self.authorization) = Some(value);
        Ok(())
    }

    async fn token(
        &self,
        realm: &str,
        service: Option<&str>,
        credentials: Option<&Credentials>,
    ) -> Result<String, Fault> {
        #[derive(Deserialize)]
        struct Token {
            token: Option<String>,
            access_token: Option<String>,
        }
        let doing = format!("asking {realm} for a token");
        let address = challenge::token_address(realm, service, self.repository.path(), self.access)
            .ok_or_else(|| broken(&doing, "that is no place to send a password to".to_owned()))?;
        let mut headers = HeaderMap::new();
        if let Some(credentials) = credentials {
            let mut value = HeaderValue::from_str(&credentials.basic())
                .map_err(|_| broken(&doing, "the credentials cannot be sent".to_owned()))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let request = (Method::GET, &address, headers);
        let answer = self.wire.exchange(request, &Payload::Nothing, &doing, &|_| {}).await?;
        let answer = self.expected(self.admitted(answer, &doing)?, &[StatusCode::OK], &doing)?;
        let token: Option<Token> = serde_json::from_slice(&answer.body).ok();
        token
            .and_then(|token| token.token.or(token.access_token))
            .filter(|token| !token.is_empty())
            .ok_or_else(|| broken(&doing, "there is no token in the answer".to_owned()))
    }

    /// An answer that is neither a refusal of the one who asks nor of the moment.
    fn admitted(&self, answer: Answer, doing: &str) -> Result<Answer, Fault> {
        match answer.status {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => Err(Fault::Throttled {
                doing: doing.to_owned(),
                status: answer.status,
                said: self.said(&answer),
                asked: answer.header("retry-after").and_then(|value| retry_after(value, (self.clock)())),
            }),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(self.denied(&answer, doing)),
            _ => Ok(answer),
        }
    }

    /// An answer with one of these statuses.
    pub(super) fn expected(
        &self,
        answer: Answer,
        wanted: &[StatusCode],
        doing: &str,
    ) -> Result<Answer, Fault> {
        if wanted.contains(&answer.status) {
            return Ok(answer);
        }
        Err(Fault::Answered { doing: doing.to_owned(), status: answer.status, said: self.said(&answer) })
    }

    /// Whether what was asked for is there; any answer but yes and no is an error.
    pub(super) fn present(&self, answer: &Answer, doing: &str) -> Result<bool, Fault> {
        match answer.status {
            StatusCode::OK => Ok(true),
            StatusCode::NOT_FOUND => Ok(false),
            status => Err(Fault::Answered { doing: doing.to_owned(), status, said: self.said(answer) }),
        }
    }

    /// An address in the repository.
    pub(super) fn address(&self, path: &str) -> Result<Uri, Fault> {
        let text = format!("{}/v2/{}/{path}", self.repository.origin(), self.repository.path());
        text.parse().map_err(|_| broken(&text, "that is no address".to_owned()))
    }

    fn denied(&self, answer: &Answer, doing: &str) -> Fault {
        let registry = self.repository.registry();
        let remedy = match self.login {
            Login::Known(_) => "the credentials that were found are not accepted for it".to_owned(),
            Login::Nobody => format!(
                "no credentials were found: set $REGISTRY_USERNAME and $REGISTRY_PASSWORD, or `docker login {registry}`"
            ),
            Login::Unusable(why) => format!("{why}: set $REGISTRY_USERNAME and $REGISTRY_PASSWORD"),
        };
        Fault::Denied { doing: doing.to_owned(), status: answer.status, said: self.said(answer), remedy }
    }

    /// What a registry says in words: the errors of the specification, or the beginning of whatever else it sent.
    fn said(&self, answer: &Answer) -> String {
        #[derive(Deserialize)]
        struct Errors {
            errors: Vec<Told>,
        }
        #[derive(Deserialize)]
        struct Told {
            code: String,
            #[serde(default)]
            message: String,
        }
        let text = match serde_json::from_slice::<Errors>(&answer.body) {
            Ok(Errors { errors }) => {
                let told = errors.iter().map(|it| format!("{}: {}", it.code, it.message));
                told.collect::<Vec<_>>().join("; ")
            }
            Err(_) => String::from_utf8_lossy(&answer.body).split_whitespace().collect::<Vec<_>>().join(" "),
        };
        self.redactor.redact(&text).chars().take(SAID).collect()
    }
}

pub(super) fn broken(doing: &str, why: String) -> Fault {
    Fault::Broken { doing: doing.to_owned(), why }
}

/// A place that an answer leads to, counted from where it came from; none if somebody on the way could read along.
pub(super) fn resolved(from: &Uri, location: &str) -> Option<Uri> {
    let address = match location.strip_prefix('/') {
        Some(_) => format!("{}://{}{location}", from.scheme_str()?, from.authority()?),
        None => location.to_owned(),
    };
    address.parse().ok().filter(is_private)
}

fn is_same_place(one: &Uri, other: &Uri) -> bool {
    one.scheme() == other.scheme() && one.authority() == other.authority()
}

/// What a lock guards is changed by one assignment each: whole, whatever happened to another thread.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_leads_only_where_nobody_reads_along() {
        let from: Uri = "https://a.example.com/v2/x/".parse().unwrap();
        let table = [
            ("/v2/up?x=1", Some("https://a.example.com/v2/up?x=1")),
            ("https://b.example.com/up", Some("https://b.example.com/up")),
            ("http://127.0.0.1:5000/up", Some("http://127.0.0.1:5000/up")),
            ("http://b.example.com/up", None),
            ("up", None),
            ("", None),
        ];
        for (location, expected) in table {
            let found = resolved(&from, location).map(|uri| uri.to_string());
            assert_eq!(found.as_deref(), expected, "{location}");
        }
    }
}
