//! The lock of a release: a Lease that its holder renews. How often it changed hands is the fencing token: whoever was away for too
//! long finds another number there, and must not touch anything more.
//!
//! A holder is gone when its Lease did not change for as long as it promised, by the clock of the one who looks; times that others
//! wrote are never compared with it.

use super::error::ReleaseError;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Api, ObjectMeta, PostParams};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, interval, sleep};

/// A holder that did not renew for so long is gone.
const EXPIRES: Duration = Duration::from_secs(30);
/// How often it renews.
const RENEW: Duration = Duration::from_secs(10);
/// How often one who waits looks.
const LOOK: Duration = Duration::from_secs(1);

/// A Lease as far as the lock goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Who holds it; none if it was given back.
    pub(crate) holder: Option<String>,
    /// How often it changed hands.
    pub(crate) transitions: i32,
    /// Changes with every renewal.
    pub(crate) version: Option<String>,
}

/// What one who wants the lock does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Make,
    Take,
    Wait,
}

/// Pure: `same_since` is for how long the Lease has been seen without a change.
fn judge(seen: Option<&Seen>, same_for: Duration) -> Next {
    match seen {
        None => Next::Make,
        Some(Seen { holder: None, .. }) => Next::Take,
        Some(_) if same_for >= EXPIRES => Next::Take,
        Some(_) => Next::Wait,
    }
}

fn seen(lease: &Lease) -> Seen {
    let spec = lease.spec.as_ref();
    Seen {
        holder: spec.and_then(|spec| spec.holder_identity.clone()).filter(|holder| !holder.is_empty()),
        transitions: spec.and_then(|spec| spec.lease_transitions).unwrap_or_default(),
        version: lease.metadata.resource_version.clone(),
    }
}

/// The Lease of one release.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    api: Api<Lease>,
    name: String,
}

/// A lock that is held, and renewed as long as this value lives. Dropping it without [`Held::release`] leaves it to expire.
#[derive(Debug)]
pub(crate) struct Held {
    place: Place,
    holder: String,
    token: i32,
    renewal: JoinHandle<()>,
}

impl Place {
    /// The lock of this release.
    pub(crate) fn of(api: Api<Lease>, release: &str) -> Place {
        Place { api, name: format!("slipway-lock-{release}") }
    }

    /// Who holds it now.
    pub(crate) async fn look(&self) -> Result<Option<Seen>, ReleaseError> {
        let lease =
            self.api.get_opt(&self.name).await.map_err(ReleaseError::cluster("cannot read the lock"))?;
        Ok(lease.as_ref().map(seen))
    }

    /// Takes the lock, waiting at most so long for another holder. `waiting` is told once for each holder.
    pub(crate) async fn acquire(
        &self,
        holder: &str,
        patience: Duration,
        mut waiting: impl FnMut(&str),
    ) -> Result<Held, ReleaseError> {
        let deadline = Instant::now() + patience;
        let mut last: Option<(Option<Seen>, Instant)> = None;
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
                    let version = found.and_then(|seen| seen.version);
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
        let now = MicroTime(now());
        let lease = Lease {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                resource_version: version.clone(),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                holder_identity: Some(holder.unwrap_or_default().to_owned()),
                lease_duration_seconds: i32::try_from(EXPIRES.as_secs()).ok(),
                lease_transitions: Some(token),
                acquire_time: Some(now.clone()),
                renew_time: Some(now),
                ..LeaseSpec::default()
            }),
        };
        let params = PostParams::default();
        let result = match version {
            None => self.api.create(&params, &lease).await,
            Some(_) => self.api.replace(&self.name, &params, &lease).await,
        };
        match result {
            Ok(_) => Ok(true),
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
            Err(error) => Err(ReleaseError::cluster("cannot write the lock")(error)),
        }
    }
}

/// The time of day, for people who read the Lease; nothing compares it.
fn now() -> Timestamp {
    super::clock::now()
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
                    let _ = of.put(Some(&who), token, seen.version).await;
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
        if let Ok(Some(seen)) = self.place.look().await
            && seen.holder.as_deref() == Some(&self.holder)
            && seen.transitions == self.token
        {
            let _ = self.place.put(None, self.token, seen.version).await;
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

    fn held_by(holder: Option<&str>) -> Seen {
        Seen { holder: holder.map(str::to_owned), transitions: 4, version: Some("9".into()) }
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

    #[test]
    fn an_empty_holder_is_nobody() {
        let spec = LeaseSpec { holder_identity: Some(String::new()), ..LeaseSpec::default() };
        let lease = Lease { metadata: ObjectMeta::default(), spec: Some(spec) };
        assert_eq!(seen(&lease).holder, None);
        assert_eq!(seen(&Lease::default()).transitions, 0);
    }
}
