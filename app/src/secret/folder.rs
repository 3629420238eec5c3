//! A mounted folder of secret files, one secret each, named by its file: read at start, read again when it
//! changes.
//!
//! It knows what a Kubernetes Secret volume looks like: files are links through `..data`, and `..data` is a
//! link that is moved to a new folder when the Secret changes. Only names and reasons leave this module in
//! words; content leaves it as a [`Secret`].

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, SystemTime};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge};
use prometheus_client::registry::Unit;

use super::{MAX_BYTES, Secret, Unusable};

/// How often the folder is looked at. A few small files in memory: cheaper than an inotify watch that has to
/// survive the moves of `..data`.
const POLL: Duration = Duration::from_secs(1);

/// The link that the kubelet moves, so that all files of a volume change at once.
const DATA_LINK: &str = "..data";

/// Why the service does not start with this folder.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The folder itself.
    #[error("APP_SECRETS_DIR={path:?} cannot be read: {source}")]
    Folder {
        /// What was configured.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file in it. There is no last good content at start, and a rollout that stops is better than one that
    /// goes on without its secret.
    #[error("the secret {name:?} in APP_SECRETS_DIR={path:?} is of no use: {why}")]
    File {
        /// What was configured.
        path: PathBuf,
        /// The file.
        name: String,
        /// What is wrong with it.
        why: Unusable,
    },
}

/// Shared handle on the secrets in use.
#[derive(Clone, Default)]
pub struct Folder(Arc<Shared>);

#[derive(Default)]
struct Shared {
    path: Option<PathBuf>,
    held: RwLock<BTreeMap<String, Held>>,
}

/// What is known of one file.
#[derive(Default)]
struct Held {
    current: Option<Content>,
    reloads: u64,
    errors: u64,
    /// Why the newest attempt failed, when it did.
    failing: Option<Unusable>,
}

struct Content {
    secret: Secret,
    written: SystemTime,
}

type Snapshot = BTreeMap<String, Result<Content, Unusable>>;

impl Folder {
    /// Reads every secret of `path`; without one there are no secrets.
    ///
    /// # Errors
    /// When the folder or any file of it cannot be used.
    pub fn open(path: Option<&Path>) -> Result<Self, FolderError> {
        let Some(path) = path else { return Ok(Self::default()) };
        let snapshot = snapshot(path).map_err(|source| FolderError::Folder { path: path.into(), source })?;
        let mut held = BTreeMap::new();
        for (name, read) in snapshot {
            match read {
                Ok(content) => {
                    held.insert(name, Held { current: Some(content), ..Held::default() });
                }
                Err(why) => return Err(FolderError::File { path: path.into(), name, why }),
            }
        }
        Ok(Self(Arc::new(Shared { path: Some(path.into()), held: RwLock::new(held) })))
    }

    /// What `judge` says of the secret `name`; `None` when there is no such secret.
    #[must_use]
    pub fn with<T>(&self, name: &str, judge: impl FnOnce(&Secret) -> T) -> Option<T> {
        self.held().get(name)?.current.as_ref().map(|content| judge(&content.secret))
    }

    /// The secrets that have content.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let held = self.held();
        held.iter().filter(|(_, held)| held.current.is_some()).map(|(name, _)| name.clone()).collect()
    }

    /// Looks at the folder again, for ever, once a second.
    pub async fn watch(self) {
        if self.0.path.is_none() {
            return;
        }
        loop {
            tokio::time::sleep(POLL).await;
            let folder = self.clone();
            // Off the threads that serve requests: the folder may be on a disk that hangs.
            let _panicked = tokio::task::spawn_blocking(move || folder.refresh()).await;
        }
    }

    /// Takes over what changed. What cannot be used is counted each time, logged once, and leaves the last
    /// good content in use.
    pub fn refresh(&self) {
        let Some(path) = &self.0.path else { return };
        let mut found = snapshot(path).unwrap_or_default();
        let mut held = self.0.held.write().unwrap_or_else(PoisonError::into_inner);
        for name in held.keys() {
            found.entry(name.clone()).or_insert(Err(Unusable::Gone));
        }
        for (name, read) in found {
            let known = held.entry(name.clone()).or_default();
            match read {
                Ok(content) => known.take(&name, content),
                Err(why) => known.fail(&name, why),
            }
        }
    }

    fn held(&self) -> RwLockReadGuard<'_, BTreeMap<String, Held>> {
        self.0.held.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn take(&mut self, name: &str, content: Content) {
        if self.failing.take().is_some() {
            tracing::info!(secret = name, "secret can be read again");
        }
        // A volume is written as a whole: a file whose content stays the same is as old as it was before.
        if self.current.as_ref().is_some_and(|current| current.secret == content.secret) {
            return;
        }
        self.current = Some(content);
        self.reloads += 1;
        tracing::info!(secret = name, "secret reloaded");
    }

    fn fail(&mut self, name: &str, why: Unusable) {
        self.errors += 1;
        if self.failing.replace(why) != Some(why) {
            tracing::warn!(secret = name, error = %why, "secret not reloaded, the last good one stays in use");
        }
    }
}

impl fmt::Debug for Folder {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("Folder").field(&self.0.path).field(&self.names()).finish()
    }
}

/// All files as they are at one moment: when the volume is replaced while it is read, it is read again, so
/// that a key is never paired with the certificate of yesterday.
fn snapshot(path: &Path) -> io::Result<Snapshot> {
    let mut folder = real_folder(path);
    loop {
        let found = read_all(&folder);
        let now = real_folder(path);
        if now == folder {
            return found;
        }
        folder = now;
    }
}

fn real_folder(path: &Path) -> PathBuf {
    path.join(DATA_LINK).canonicalize().unwrap_or_else(|_| path.to_owned())
}

fn read_all(folder: &Path) -> io::Result<Snapshot> {
    let mut found = Snapshot::new();
    for entry in fs::read_dir(folder)? {
        // A name that is not text cannot be a key of a Secret, nor a label; `..` marks the kubelet's own.
        let Ok(name) = entry?.file_name().into_string() else { continue };
        let path = folder.join(&name);
        if name.starts_with("..") || path.is_dir() {
            continue;
        }
        found.insert(name, read_one(&path));
    }
    Ok(found)
}

fn read_one(path: &Path) -> Result<Content, Unusable> {
    let unreadable = |error: io::Error| Unusable::Unreadable(error.kind());
    let about = fs::metadata(path).map_err(unreadable)?;
    if !about.is_file() {
        // Opening a pipe would wait for its writer.
        return Err(Unusable::Unreadable(io::ErrorKind::InvalidInput));
    }
    let mut content = Vec::new();
    let one_too_many = u64::try_from(MAX_BYTES + 1).unwrap_or(u64::MAX);
    File::open(path)
        .and_then(|file| file.take(one_too_many).read_to_end(&mut content))
        .map_err(unreadable)?;
    let written = about.modified().map_err(unreadable)?;
    Ok(Content { secret: Secret::from_file(content)?, written })
}

impl Collector for Folder {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        if self.0.path.is_none() {
            return Ok(());
        }
        let held = self.held();
        let now = SystemTime::now();
        let seconds = Some(&Unit::Seconds);
        let help = "Time since the content that is in use was written";
        let mut ages = encoder.encode_descriptor("app_secret_age", help, seconds, MetricType::Gauge)?;
        for (name, held) in held.iter() {
            let Some(content) = &held.current else { continue };
            let age = now.duration_since(content.written).unwrap_or_default();
            ConstGauge::new(age.as_secs_f64()).encode(ages.encode_family(&[("secret", name.as_str())])?)?;
        }
        let mut count = |family: &str, help: &str, of: fn(&Held) -> u64| {
            let mut counts = encoder.encode_descriptor(family, help, None, MetricType::Counter)?;
            held.iter().try_for_each(|(name, held)| {
                ConstCounter::new(of(held)).encode(counts.encode_family(&[("secret", name.as_str())])?)
            })
        };
        count("app_secret_reloads", "Times that new content was taken into use", |held| held.reloads)?;
        let help = "Times that the file was looked at and could not be used";
        count("app_secret_reload_errors", help, |held| held.errors)
    }
}
