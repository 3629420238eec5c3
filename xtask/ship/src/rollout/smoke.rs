//! Asks a pod of the newest revision whether it is what was deployed: `/healthz` and `/version`, through a forwarded port. It asks
//! only, and tries again until its deadline, because a connection that breaks says nothing about a release.

use crate::cluster::{Cluster, ClusterError};
use crate::rollout::seen::{Pod, WorkloadKind};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep, timeout_at};

/// For one try: the pod that is asked may be on a node that has just died, and then another one is.
const TRY: Duration = Duration::from_secs(6);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(300);
/// Longer answers are not what was asked for.
const LONGEST: usize = 64 * 1024;

/// What is asked, and what must be the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmokeTarget {
    /// Where.
    pub namespace: String,
    /// The Deployment, of whose newest revision a ready pod is asked.
    pub deployment: String,
    /// The port of the container.
    pub port: u16,
    /// The `SYS_ENV` that `/healthz` must show.
    pub sys_env: String,
    /// Fields that `/version` must show: `version`, `commit` …; it is asked only if there are any.
    pub build: BTreeMap<String, String>,
    /// For all tries together.
    pub deadline: Duration,
}

/// What was answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Smoked {
    /// By which pod.
    pub pod: String,
    /// The `SYS_ENV`.
    pub sys_env: String,
    /// What it shows of its build, as far as it was asked for.
    pub build: BTreeMap<String, String>,
    /// How many tries it took.
    pub tries: u32,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
}

/// Why a release does not pass. The last try's reason.
#[derive(Debug, thiserror::Error)]
pub enum SmokeError {
    /// The cluster does not answer.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// Nobody to ask.
    #[error("no pod of the newest revision of {0} is ready")]
    NoPod(String),
    /// It is somewhere else than it was meant to be.
    #[error("{pod}: /healthz shows SYS_ENV `{found}`, expected `{expected}`")]
    WrongEnvironment {
        /// Who answered.
        pod: String,
        /// What was to be.
        expected: String,
        /// What is.
        found: String,
    },
    /// It is another build than was deployed.
    #[error("{pod}: /version shows {field} `{found}`, expected `{expected}`")]
    WrongBuild {
        /// Who answered.
        pod: String,
        /// What differs: `version`, `commit` …
        field: String,
        /// What was to be.
        expected: String,
        /// What is.
        found: String,
    },
    /// It does not work.
    #[error("{pod}: {path} answers {status}: {body}")]
    Status {
        /// Who answered.
        pod: String,
        /// What was asked.
        path: &'static str,
        /// The status.
        status: u16,
        /// How its body begins.
        body: String,
    },
    /// There is no answer, or none that can be read.
    #[error("{pod}: {path}: {why}")]
    NoAnswer {
        /// Who was asked.
        pod: String,
        /// What was asked.
        path: &'static str,
        /// What happened.
        why: String,
    },
}

impl SmokeError {
    /// Whether the same question may yet get another answer. A wrong environment stays one.
    fn may_pass(&self) -> bool {
        match self {
            SmokeError::WrongEnvironment { .. }
            | SmokeError::WrongBuild { .. }
            | SmokeError::Cluster(ClusterError::Refused { .. } | ClusterError::Config { .. }) => false,
            SmokeError::Cluster(ClusterError::Missing { .. } | ClusterError::Broke { .. })
            | SmokeError::NoPod(_)
            | SmokeError::Status { .. }
            | SmokeError::NoAnswer { .. } => true,
        }
    }
}

#[derive(Deserialize)]
struct Healthz {
    #[serde(rename = "SYS_ENV")]
    sys_env: String,
}

/// Asks until the answers are right, are wrong for good, or the deadline is over.
pub async fn smoke(cluster: &Cluster, target: &SmokeTarget) -> Result<Smoked, SmokeError> {
    let begin = Instant::now();
    let end = begin + target.deadline;
    let mut last = SmokeError::NoPod(target.deployment.clone());
    for tries in 1.. {
        let until = end.min(Instant::now() + TRY);
        match timeout_at(until, attempt(cluster, target, tries)).await {
            Ok(Ok((pod, sys_env))) => {
                let took_ms = u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX);
                return Ok(Smoked { pod, sys_env, build: target.build.clone(), tries, took_ms });
            }
            Ok(Err(error)) if error.may_pass() => last = error,
            Ok(Err(error)) => return Err(error),
            Err(_) if tries == 1 => {
                let why = format!("no answer within {} s", begin.elapsed().as_secs());
                last = SmokeError::NoAnswer { pod: target.deployment.clone(), path: "/healthz", why };
            }
            // What an earlier try saw says more.
            Err(_) => {}
        }
        if Instant::now() + PAUSE >= end {
            break;
        }
        sleep(PAUSE).await;
    }
    Err(last)
}

/// One try. Gives the pod and its `SYS_ENV`.
async fn attempt(
    cluster: &Cluster,
    target: &SmokeTarget,
    tries: u32,
) -> Result<(String, String), SmokeError> {
    let pod = ready_pod(cluster, target, tries).await?;
    let stream = cluster.forward(&target.namespace, &pod, target.port).await?;
    let sys_env = healthz(stream, &pod, target).await?;
    if !target.build.is_empty() {
        let stream = cluster.forward(&target.namespace, &pod, target.port).await?;
        build(stream, &pod, &target.build).await?;
    }
    Ok((pod, sys_env))
}

/// A pod of the newest revision that is ready; with each try the next one.
async fn ready_pod(cluster: &Cluster, target: &SmokeTarget, tries: u32) -> Result<String, SmokeError> {
    let kind = WorkloadKind::Deployment;
    let deployment = cluster.workload(&target.namespace, kind, &target.deployment).await?;
    let sets = cluster.replica_sets(&target.namespace).await?;
    let newest =
        sets.iter().find(|set| set.owner == deployment.id.uid && set.revision == deployment.revision);
    let newest = newest.filter(|_| deployment.observed >= deployment.generation);
    let pods = cluster.pods(&target.namespace).await?;
    let is = |pod: &&Pod| newest.is_some_and(|set| set.id.uid == pod.owner) && pod.is_ready();
    let ready: Vec<&Pod> = pods.iter().filter(is).collect();
    let next = usize::try_from(tries).unwrap_or_default().checked_rem(ready.len());
    let pod = next.map(|next| ready[next].id.name.clone());
    pod.ok_or_else(|| SmokeError::NoPod(target.deployment.clone()))
}

async fn healthz(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    pod: &str,
    target: &SmokeTarget,
) -> Result<String, SmokeError> {
    let path = "/healthz";
    let body = get(stream, pod, path).await?;
    let Healthz { sys_env: found } = read(&body, pod, path)?;
    if found == target.sys_env {
        return Ok(found);
    }
    Err(SmokeError::WrongEnvironment { pod: pod.to_owned(), expected: target.sys_env.clone(), found })
}

async fn build(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    pod: &str,
    wanted: &BTreeMap<String, String>,
) -> Result<(), SmokeError> {
    let path = "/version";
    let body = get(stream, pod, path).await?;
    let shown: BTreeMap<String, serde_json::Value> = read(&body, pod, path)?;
    for (field, expected) in wanted {
        let found = shown.get(field).and_then(serde_json::Value::as_str).unwrap_or_default();
        if found != expected {
            let (pod, field) = (pod.to_owned(), field.clone());
            let (expected, found) = (expected.clone(), found.to_owned());
            return Err(SmokeError::WrongBuild { pod, field, expected, found });
        }
    }
    Ok(())
}

fn read<T: serde::de::DeserializeOwned>(body: &[u8], pod: &str, path: &'static str) -> Result<T, SmokeError> {
    serde_json::from_slice(body).map_err(|error| {
        let why = format!("not the expected JSON: {error}: {}", beginning(body));
        SmokeError::NoAnswer { pod: pod.to_owned(), path, why }
    })
}

/// The body of a 200.
async fn get(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    pod: &str,
    path: &'static str,
) -> Result<Bytes, SmokeError> {
    let silent = |why: String| SmokeError::NoAnswer { pod: pod.to_owned(), path, why };
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| silent(error.to_string()))?;
    let request = Request::get(path)
        .header("host", "localhost")
        .header("connection", "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| silent(error.to_string()))?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(|error| silent(error.to_string()))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), LONGEST).collect().await;
        let body = body.map_err(|error| silent(error.to_string()))?.to_bytes();
        if status == hyper::StatusCode::OK {
            return Ok(body);
        }
        Err(SmokeError::Status { pod: pod.to_owned(), path, status: status.as_u16(), body: beginning(&body) })
    };
    tokio::pin!(answer, connection);
    // The connection moves while the answer is waited for, and both end together.
    tokio::select! {
        answer = &mut answer => answer,
        ended = &mut connection => match ended {
            Ok(()) => answer.await,
            Err(error) => Err(silent(error.to_string())),
        },
    }
}

fn beginning(body: &[u8]) -> String {
    String::from_utf8_lossy(body).chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn target() -> SmokeTarget {
        SmokeTarget {
            namespace: "here".to_owned(),
            deployment: "hello".to_owned(),
            port: 8080,
            sys_env: "dev".to_owned(),
            build: BTreeMap::new(),
            deadline: Duration::from_secs(5),
        }
    }

    /// A pod that reads one request and answers as it is told.
    async fn asked(answer: &'static str) -> Result<String, SmokeError> {
        let (ours, mut theirs) = tokio::io::duplex(4096);
        let pod = async move {
            let mut request = vec![0; 4096];
            let read = theirs.read(&mut request).await.unwrap();
            theirs.write_all(answer.as_bytes()).await.unwrap();
            theirs.shutdown().await.unwrap();
            String::from_utf8_lossy(&request[..read]).into_owned()
        };
        let target = target();
        let (result, request) = tokio::join!(healthz(ours, "hello-1", &target), pod);
        assert!(request.starts_with("GET /healthz HTTP/1.1\r\n"), "{request}");
        result
    }

    #[tokio::test]
    async fn the_right_environment_passes() {
        let answer = "HTTP/1.1 200 OK\r\ncontent-length: 17\r\n\r\n{\"SYS_ENV\":\"dev\"}";
        assert_eq!(asked(answer).await.unwrap(), "dev");
    }

    #[tokio::test]
    async fn another_environment_is_final() {
        let error =
            asked("HTTP/1.1 200 OK\r\ncontent-length: 18\r\n\r\n{\"SYS_ENV\":\"prod\"}").await.unwrap_err();
        assert!(matches!(&error, SmokeError::WrongEnvironment { found, .. } if found == "prod"), "{error}");
        assert!(!error.may_pass());
    }

    #[tokio::test]
    async fn another_build_or_none_is_final_and_fields_that_nobody_asked_for_are_ignored() {
        let wanted = BTreeMap::from([("commit".to_owned(), "abc".to_owned())]);
        for (body, wrong) in [
            (r#"{"commit":"abc","version":"1"}"#, None),
            (r#"{"commit":"abd"}"#, Some("abd")),
            (r#"{"version":"1"}"#, Some("")),
        ] {
            let (ours, mut theirs) = tokio::io::duplex(4096);
            let pod = async {
                let mut request = vec![0; 4096];
                let read = theirs.read(&mut request).await.unwrap();
                assert!(request[..read].starts_with(b"GET /version "));
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
                theirs.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
            };
            let (result, ()) = tokio::join!(build(ours, "hello-1", &wanted), pod);
            match (result, wrong) {
                (Ok(()), None) => {}
                (Err(error @ SmokeError::WrongBuild { .. }), Some(shown)) => {
                    assert!(!error.may_pass());
                    let text = format!("hello-1: /version shows commit `{shown}`, expected `abc`");
                    assert_eq!(error.to_string(), text);
                }
                (result, _) => panic!("{body}: {result:?}"),
            }
        }
    }

    #[tokio::test]
    async fn another_status_a_cut_body_nothing_and_no_json_are_no_pass() {
        let error = asked("HTTP/1.1 503 No\r\ncontent-length: 4\r\n\r\nbusy").await.unwrap_err();
        assert!(matches!(&error, SmokeError::Status { status: 503, body, .. } if body == "busy"), "{error}");
        for answer in [
            "",
            "HTTP/1.1 200 OK\r\ncontent-length: 17\r\n\r\n{\"SYS_ENV\"",
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}",
            "SSH-2.0-x\r\n",
        ] {
            let error = asked(answer).await.unwrap_err();
            assert!(matches!(&error, SmokeError::NoAnswer { .. }), "{answer:?}: {error}");
            assert!(error.may_pass());
        }
    }
}
