//! `smoke`: asks the service that runs who it is, as every release does before it is called good. What the answers must be is read from
//! the release's own manifest. Changes nothing.

use super::clock;
use super::error::ReleaseError;
use super::objects::{self, Object};
use super::open::Cx;
use super::prove::deployments;
use super::tell::seconds;
use crate::rollout::{self, SmokeError, SmokeTarget, Smoked};
use futures_util::future::try_join_all;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;
use xtask_core::error::ExitCode;

/// How long a service may take to answer as it should.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a container is told of its build, and the field of `/version` in which it says so.
const BUILD: [(&str, &str); 3] =
    [("APP_COMMIT", "commit"), ("APP_BUILD_NUMBER", "build"), ("APP_IMAGE_DIGEST", "image")];

/// A Deployment that was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Asked {
    deployment: String,
    #[serde(flatten)]
    said: Said,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Said {
    /// It is what was released.
    Right(Smoked),
    /// It is not, or does not answer.
    Wrong(String),
    /// There is nothing to ask it.
    NotAsked(&'static str),
}

impl Asked {
    /// Why it is not right, if it is not.
    pub(crate) fn wrong(&self) -> Option<&str> {
        match &self.said {
            Said::Wrong(why) => Some(why),
            Said::Right(_) | Said::NotAsked(_) => None,
        }
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.said {
            Said::Right(Smoked { pod, sys_env, build, took_ms, .. }) => {
                write!(f, "{pod} answered with SYS_ENV {sys_env}")?;
                for (field, value) in build {
                    write!(f, ", {field} {value}")?;
                }
                write!(f, " in {}", seconds(Duration::from_millis(*took_ms)))
            }
            Said::Wrong(why) => f.write_str(why),
            Said::NotAsked(why) => write!(f, "NOT ASKED: Deployment {} {why}", self.deployment),
        }
    }
}

/// Asks each Deployment of a manifest that serves HTTP.
pub(crate) async fn ask(cx: &Cx, objects: &[Object]) -> Result<Vec<Asked>, ReleaseError> {
    let asked = try_join_all(deployments(objects).map(|object| one(cx, objects, object)));
    tokio::select! {
        asked = asked => asked,
        () = cx.cancel.raised() => Err(ReleaseError::Cancelled(String::new())),
    }
}

async fn one(cx: &Cx, objects: &[Object], object: &Object) -> Result<Asked, ReleaseError> {
    let said = match (port(object), sys_env(objects)) {
        (None, _) => Said::NotAsked("shows no port `http`"),
        (_, None) => Said::NotAsked("has no ConfigMap that says which SYS_ENV it should answer with"),
        (Some(port), Some(sys_env)) => {
            let target = SmokeTarget {
                namespace: cx.namespace.clone(),
                deployment: object.name.clone(),
                port,
                sys_env,
                build: build(object),
                deadline: PATIENCE,
            };
            match rollout::smoke(&cx.cluster, &target).await {
                Ok(smoked) => Said::Right(smoked),
                Err(SmokeError::Cluster(error)) => return Err(error.into()),
                Err(error) => Said::Wrong(error.to_string()),
            }
        }
    };
    Ok(Asked { deployment: object.name.clone(), said })
}

fn containers(object: &Object) -> impl Iterator<Item = &Value> {
    object.at("/spec/template/spec/containers").and_then(Value::as_array).into_iter().flatten()
}

/// The port that is called `http`.
fn port(object: &Object) -> Option<u16> {
    let mut ports = containers(object).filter_map(|container| container.get("ports")?.as_array()).flatten();
    let http = ports.find(|port| port.get("name").and_then(Value::as_str) == Some("http"))?;
    u16::try_from(http.get("containerPort")?.as_u64()?).ok()
}

/// What `/healthz` must show, where a ConfigMap of the release says it.
fn sys_env(objects: &[Object]) -> Option<String> {
    let maps = objects.iter().filter(|object| object.kind == "ConfigMap");
    maps.into_iter().find_map(|map| map.at("/data/SYS_ENV")?.as_str().map(str::to_owned))
}

/// What `/version` must show: all that a container is told of its build, and then the version in the label of its pods too. A service
/// that is told nothing has promised nothing.
fn build(object: &Object) -> BTreeMap<String, String> {
    let variables = containers(object).filter_map(|container| container.get("env")?.as_array()).flatten();
    let told = variables.filter_map(|variable| {
        let name = variable.get("name")?.as_str()?;
        let (_, field) = BUILD.into_iter().find(|(known, _)| *known == name)?;
        let value = variable.get("value")?.as_str().filter(|value| !value.is_empty())?;
        Some((field.to_owned(), value.to_owned()))
    });
    let mut build: BTreeMap<String, String> = told.collect();
    let label = "/spec/template/metadata/labels/app.kubernetes.io~1version";
    if let Some(version) = object.at(label).and_then(Value::as_str).filter(|_| !build.is_empty()) {
        build.insert("version".to_owned(), version.to_owned());
    }
    build
}

/// What `smoke` found.
#[derive(Debug, Serialize)]
pub(crate) struct Smoke {
    pub(crate) environment: String,
    pub(crate) release: String,
    /// The revision that runs.
    pub(crate) revision: u32,
    pub(crate) exit_code: u8,
    /// What was found, in a sentence.
    pub(crate) summary: String,
    /// Each Deployment.
    asked: Vec<Asked>,
    pub(crate) duration_ms: u64,
}

/// Asks what runs now.
pub(crate) async fn smoke(cx: &Cx) -> Result<Smoke, ReleaseError> {
    let history = cx.helm.history(&cx.release).await?;
    let Some(newest) = history.last() else {
        return Err(ReleaseError::Usage(format!("there is no release {} in {}", cx.release, cx.env_name)));
    };
    let manifest = cx.helm.manifest(&cx.release, newest.number).await?;
    let objects = objects::read("get manifest", &manifest)?;
    let asked = ask(cx, &objects).await.map_err(ReleaseError::before_it_began)?;
    let (code, summary) = judge(&asked);
    for asked in &asked {
        cx.tell.line(&asked.to_string());
    }
    let duration = clock::now().duration_since(cx.run.started);
    Ok(Smoke {
        environment: cx.env_name.clone(),
        release: cx.release.clone(),
        revision: newest.number,
        exit_code: code.number(),
        summary: format!("{summary}: revision {} of {}", newest.number, cx.release),
        asked,
        duration_ms: u64::try_from(duration.as_millis()).unwrap_or_default(),
    })
}

/// Pure: what the answers say together. What could not be asked is no pass.
fn judge(asked: &[Asked]) -> (ExitCode, &'static str) {
    let right = asked.iter().filter(|asked| matches!(asked.said, Said::Right(_))).count();
    if asked.iter().any(|asked| asked.wrong().is_some()) {
        (ExitCode::Rejected, "REJECTED, it does not answer as it should")
    } else if right == 0 {
        (ExitCode::Usage, "NOT ASKED, nothing in it can be asked")
    } else {
        (ExitCode::Passed, "GOOD, it answers as it should")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::objects::parse;

    const MANIFEST: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata: { name: hello }\nspec: { template: {\n  \
        metadata: { labels: { app.kubernetes.io/version: 0.1.0 } }, spec: { containers: [\n  \
        { name: a, ports: [{ name: http, containerPort: 8080 }], env: [{ name: APP_COMMIT, value: abc }, { name: APP_IMAGE_DIGEST, value: '' },\n  \
          { name: OTHER, value: x }, { name: APP_BUILD_NUMBER, valueFrom: {} }] }] } } }\n\
        ---\napiVersion: v1\nkind: ConfigMap\nmetadata: { name: c }\ndata: { SYS_ENV: dev }\n";

    #[test]
    fn what_must_be_answered_is_read_from_the_manifest() {
        let objects = parse(MANIFEST).unwrap();
        assert_eq!(port(&objects[0]), Some(8080));
        assert_eq!(sys_env(&objects).as_deref(), Some("dev"));
        let expected = [("commit", "abc"), ("version", "0.1.0")];
        assert_eq!(build(&objects[0]), expected.map(|(k, v)| (k.to_owned(), v.to_owned())).into());
        assert_eq!(port(&objects[1]), None);
        assert_eq!(sys_env(&objects[..1]), None);
    }

    #[test]
    fn a_service_that_is_told_nothing_of_its_build_is_not_asked_for_it() {
        let objects = parse(&MANIFEST.replace("APP_COMMIT", "COMMIT")).unwrap();
        assert_eq!(build(&objects[0]), BTreeMap::new());
    }

    #[test]
    fn one_wrong_answer_rejects_and_no_answer_is_no_pass() {
        let asked = |said| Asked { deployment: "a".into(), said };
        let (pod, sys_env) = ("a-1".to_owned(), "dev".to_owned());
        let right = Said::Right(Smoked { pod, sys_env, build: BTreeMap::new(), tries: 1, took_ms: 1200 });
        let (right, not) = (asked(right), asked(Said::NotAsked("shows no port `http`")));
        assert_eq!(right.to_string(), "a-1 answered with SYS_ENV dev in 1.2 s");
        let wrong = asked(Said::Wrong("no".into()));
        for (all, code) in [
            (vec![right.clone()], ExitCode::Passed),
            (vec![right.clone(), not.clone()], ExitCode::Passed),
            (vec![not.clone()], ExitCode::Usage),
            (vec![], ExitCode::Usage),
            (vec![right, wrong, not], ExitCode::Rejected),
        ] {
            assert_eq!(judge(&all).0, code, "{all:?}");
        }
    }
}
