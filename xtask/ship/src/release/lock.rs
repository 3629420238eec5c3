//! The lock of a release: a Lease that its holder renews. How often it changed hands is the fencing token: whoever was away for too
//! long finds another number there, and must not touch anything more.
//!
//! A holder is gone when its Lease did not change for as long as it promised, by the clock of the one who looks; times that others
//! wrote are never compared with it.

use super::clock;
use super::error::ReleaseError;
use crate::cluster::{Cluster, Lease};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, interval, sleep};

/// A holder that did not renew for so long is gone.
const EXPIRES: Duration = Duration::from_secs(30);
/// How often it renews.
const RENEW: Duration = Duration::from_secs(10);
/// How often it is tried to give a lock back. One renewal can be under way; a second one cannot.
const RELEASES: usize = 3;
/// How often one who waits looks.
const LOOK: Duration = Duration::from_secs(1);

/// What one who wants the lock does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Make,
    Take,
    Wait,
}

/// Pure: `same_for` is for how long the Lease has been seen without a change.
fn judge(seen: Option<&Lease>, same_for: Duration) -> Next {
    match seen {
        None => Next::Make,
        Some(Lease { holder: None, .. }) => Next::Take,
        Some(_) if same_for >= EXPIRES => Next::Take,
        Some(_) => Next::Wait,
    }
}

/// The Lease of one release, or of sets.
#[derive(Clone)]
pub(crate) struct Place {
    cluster: Cluster,
    namespace: String,
    name: String,
}

/// A lock that is held, and renewed as long as this value lives. Dropping it without [`Held::release`] leaves it to expire.
pub(crate) struct Held {
    place: Place,
    holder: String,
    token: i32,
    renewal: JoinHandle<()>,
}

impl Place {
    /// The lock of this release.
    pub(crate) fn of(cluster: &Cluster, namespace: &str, release: &str) -> Place {
        Place::named(cluster, namespace, &format!("slipway-lock-{release}"))
    }

    /// The lock of this name.
    pub(crate) fn named(cluster: &Cluster, namespace: &str, name: &str) -> Place {
        Place { cluster: cluster.clone(), namespace: namespace.to_owned(), name: name.to_owned() }
    }

    /// Who holds it now.
    pub(crate) async fn look(&self) -> Result<Option<Lease>, ReleaseError> {
        Ok(self.cluster.lease(&self.namespace, &self.name).await?)
    }

    /// Takes the lock, waiting at most so long for another holder. `waiting` is told once for each holder.
    pub(crate) async fn acquire(
        &self,
        holder: &str,
        patience: Duration,
        mut waiting: impl FnMut(&str),
    ) -> Result<Held, ReleaseError> {
        let deadline = Instant::now() + patience;
        let mut last: Option<(Option<Lease>, Instant)> = None;
        let mut told = None;
        loop {
            let now = Instant::now();
            let found = self.look().await?;
            let since = match &last {
                Some((before, since)) if *before == found => *since,
                _ => now,
            };
            last = Some((found.clone(), since));
            match judge(found.as_ref(), now.duration_since(since)) {
                Next::Wait => {
                    let other = found.and_then(|seen| seen.holder).unwrap_or_default();
                    if now >= deadline {
                        return Err(ReleaseError::Held { holder: other });
                    }
                    if told.as_ref() != Some(&other) {
                        waiting(&other);
                        told = Some(other);
                    }
                    sleep(LOOK).await;
                }
                Next::Make | Next::Take => {
                    let token = found.as_ref().map_or(1, |seen| seen.transitions.saturating_add(1));
                    let version = found.map(|seen| seen.version);
                    if self.put(Some(holder), token, version).await? {
                        return Ok(Held::new(self.clone(), holder.to_owned(), token));
                    }
                    // Somebody else was faster; look again.
                }
            }
        }
    }

    /// Writes the Lease on top of that version, and says whether it was still that version.
    async fn put(
        &self,
        holder: Option<&str>,
        token: i32,
        version: Option<String>,
    ) -> Result<bool, ReleaseError> {
        let lease = Lease {
            holder: holder.map(str::to_owned),
            transitions: token,
            version: version.unwrap_or_default(),
        };
        let now = clock::now();
        Ok(self.cluster.keep_lease(&self.namespace, &self.name, &lease, EXPIRES, now).await?)
    }
}

impl Held {
    fn new(place: Place, holder: String, token: i32) -> Held {
        let (of, who) = (place.clone(), holder.clone());
        let renewal = tokio::spawn(async move {
            let mut tick = interval(RENEW);
            tick.tick().await;
            loop {
                tick.tick().await;
                // A renewal that fails is tried again; one that finds another holder ends. `check` tells the rest of the program.
                if let Ok(Some(seen)) = of.look().await {
                    if seen.holder.as_deref() != Some(&who) || seen.transitions != token {
                        return;
                    }
                    let _ = of.put(Some(&who), token, Some(seen.version)).await;
                }
            }
        });
        Held { place, holder, token, renewal }
    }

    /// The fencing token.
    pub(crate) fn token(&self) -> i32 {
        self.token
    }

    /// Whether the lock is still ours; asked before every change.
    pub(crate) async fn check(&self) -> Result<(), ReleaseError> {
        let seen = self.place.look().await?;
        let ours = seen.as_ref().is_some_and(|seen| {
            seen.holder.as_deref() == Some(&self.holder) && seen.transitions == self.token
        });
        if ours {
            return Ok(());
        }
        let holder = seen.and_then(|seen| seen.holder).unwrap_or_else(|| "nobody".to_owned());
        Err(ReleaseError::LockLost { holder })
    }

    /// Gives the lock back. What fails here heals by itself when the Lease expires.
    pub(crate) async fn release(self) {
        self.renewal.abort();
        // A renewal that was on its way arrives all the same, and then the Lease is another version than the one that was looked at.
        for _ in 0..RELEASES {
            let Ok(Some(seen)) = self.place.look().await else { return };
            let ours = seen.holder.as_deref() == Some(&self.holder) && seen.transitions == self.token;
            if !ours || self.place.put(None, self.token, Some(seen.version)).await.unwrap_or(true) {
                return;
            }
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.renewal.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::fake::{Fake, Reply};
    use serde_json::{Value, json};
    use std::sync::Mutex;

    /// What an API server answers, as far as it is asked here. `late` renewals arrive before the next write does.
    fn server(late: u32) -> Fake {
        let lease = Mutex::new((1_u32, "us".to_owned(), late));
        Fake::start(move |request| {
            let say = |status, body: Value| {
                Reply::Say(status, "Content-Type: application/json\r\n", body.to_string())
            };
            let mut lease = lease.lock().unwrap();
            let (version, holder, late) = &mut *lease;
            if request.target.contains("/leases/") && request.method == "PUT" {
                let put: Value = serde_json::from_str(&request.body).unwrap();
                if *late > 0 {
                    *late -= 1;
                    *version += 1;
                }
                if put["metadata"]["resourceVersion"].as_str() != Some(version.to_string().as_str()) {
                    let status = json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                        "message": "the object has been modified", "reason": "Conflict", "code": 409 });
                    return say(409, status);
                }
                *version += 1;
                put["spec"]["holderIdentity"].as_str().unwrap().clone_into(holder);
            }
            let body = match request.target.as_str() {
                target if target.contains("/leases/") => json!({
                    "metadata": { "name": "slipway-lock-hello", "resourceVersion": version.to_string() },
                    "spec": { "holderIdentity": holder, "leaseTransitions": 4 } }),
                target if target.ends_with("/version") => {
                    json!({ "major": "1", "minor": "36", "gitVersion": "v1.36.3",
                    "gitCommit": "", "gitTreeState": "", "buildDate": "", "goVersion": "", "compiler": "", "platform": "" })
                }
                _ => json!({ "metadata": { "name": "kube-system", "uid": "u" } }),
            };
            say(200, body)
        })
    }

    #[tokio::test]
    async fn a_lock_is_given_back_although_a_renewal_is_on_its_way() {
        for late in [0, 1] {
            let fake = server(late);
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("kubeconfig");
            let kubeconfig = json!({ "apiVersion": "v1", "kind": "Config", "current-context": "c",
                "clusters": [{ "name": "c", "cluster": { "server": fake.url() } }],
                "users": [{ "name": "c", "user": {} }],
                "contexts": [{ "name": "c", "context": { "cluster": "c", "user": "c" } }] });
            std::fs::write(&file, kubeconfig.to_string()).unwrap();
            let cluster = crate::cluster::connect(Some(&file), None).await.unwrap();
            let place = Place::of(&cluster, "dev", "hello");
            Held::new(place.clone(), "us".to_owned(), 4).release().await;
            assert_eq!(place.look().await.unwrap().unwrap().holder, None, "{late}");
        }
    }

    fn held_by(holder: Option<&str>) -> Lease {
        Lease { holder: holder.map(str::to_owned), transitions: 4, version: "9".into() }
    }

    #[test]
    fn a_lock_is_taken_when_it_is_free_or_its_holder_was_not_seen_to_renew() {
        let long = EXPIRES;
        let short = EXPIRES.saturating_sub(Duration::from_millis(1));
        assert_eq!(judge(None, Duration::ZERO), Next::Make);
        assert_eq!(judge(Some(&held_by(None)), Duration::ZERO), Next::Take);
        assert_eq!(judge(Some(&held_by(Some("other"))), short), Next::Wait);
        assert_eq!(judge(Some(&held_by(Some("other"))), long), Next::Take);
    }
}
