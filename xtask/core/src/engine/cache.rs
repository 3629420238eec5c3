//! What earlier runs saw, by input key: facts, the log's tail, output files. Verdicts are not kept: policy judges again, with the
//! limits and the date of today.
//!
//! An entry that is missing is a miss; one that is corrupt, truncated, of another version, or whose outputs cannot be restored
//! is a miss with a note. Nothing here can make a run fail.

use crate::engine::key::Key;
use crate::engine::stamps::Stamps;
use crate::engine::store::{self, Unsealed};
use crate::ids::{NodeId, sha256};
use crate::report::ToolRecord;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

const KIND: &str = "slipway-entry";
const VERSION: u32 = 1;
/// How many entries of one node are kept; the oldest goes first.
const KEEP: usize = 16;

/// What one run of a stage left behind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The facts, as the stage serialized them.
    pub facts: serde_json::Value,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// The last lines that its children printed.
    pub tail: Vec<String>,
    /// What the stage itself noted.
    pub notes: Vec<String>,
    /// The tools that it used.
    pub tools: Vec<ToolRecord>,
    /// Where its log was; it may have been pruned since.
    pub log: Option<String>,
    /// Its output files.
    pub outputs: Vec<Output>,
}

/// One output file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    path: String,
    digest: String,
    executable: bool,
}

/// The answer to a look-up.
#[derive(Debug)]
pub enum Lookup {
    /// Verified: the outputs are in place.
    Hit(Entry),
    /// Not there, or not to be trusted; then the note says why.
    Miss(Option<String>),
}

/// The cache of one checkout.
#[derive(Debug, Clone)]
pub struct Cache {
    root: PathBuf,
    folder: PathBuf,
}

impl Cache {
    /// The cache of the checkout at `root`, kept in `folder`.
    pub fn new(root: &Path, folder: &Path) -> Cache {
        Cache { root: root.to_owned(), folder: folder.to_owned() }
    }

    fn entry(&self, node: &NodeId, key: &Key) -> PathBuf {
        self.folder.join(node.file_stem()).join(key.as_str())
    }

    fn object(&self, node: &NodeId, digest: &str) -> PathBuf {
        self.folder.join(node.file_stem()).join("objects").join(digest)
    }

    /// Looks without touching the checkout: what a run would hit, as far as one can say without restoring outputs.
    pub fn peek(&self, node: &NodeId, key: &Key) -> Option<Entry> {
        self.read(node, key).ok()
    }

    fn read(&self, node: &NodeId, key: &Key) -> Result<Entry, Unsealed> {
        let bytes = store::unseal(&self.entry(node, key), KIND, VERSION)?;
        serde_json::from_slice(&bytes).map_err(|_| Unsealed::OtherVersion)
    }

    /// Looks, and puts the outputs in place.
    pub fn look_up(&self, node: &NodeId, key: &Key, stamps: &mut Stamps) -> Lookup {
        let entry = match self.read(node, key) {
            Ok(entry) => entry,
            Err(Unsealed::Absent) => return Lookup::Miss(None),
            Err(error) => {
                return Lookup::Miss(Some(format!("cache entry {key} of {node} is {error}: ran again")));
            }
        };
        for output in &entry.outputs {
            if let Err(why) = self.restore(node, output, stamps) {
                return Lookup::Miss(Some(format!(
                    "cached output {} of {node}: {why}: ran again",
                    output.path
                )));
            }
        }
        Lookup::Hit(entry)
    }

    fn restore(&self, node: &NodeId, output: &Output, stamps: &mut Stamps) -> Result<(), String> {
        let place = self.root.join(&output.path);
        let in_place = stamps.digest(&place).is_ok_and(|digest| digest == output.digest)
            && is_executable(&place).is_ok_and(|executable| executable == output.executable);
        if in_place {
            return Ok(());
        }
        let bytes = fs::read(self.object(node, &output.digest)).map_err(|error| error.to_string())?;
        if sha256(&bytes) != output.digest {
            return Err("the kept copy is corrupt".to_owned());
        }
        let put = || -> io::Result<()> {
            store::replace(&place, &bytes)?;
            let mode = if output.executable { 0o755 } else { 0o644 };
            fs::set_permissions(&place, fs::Permissions::from_mode(mode))
        };
        put().map_err(|error| error.to_string())
    }

    /// Keeps copies of output files; a folder means every file in it. A path that is not there is an error: the stage promised it.
    pub fn keep_outputs(&self, node: &NodeId, paths: &[String]) -> io::Result<Vec<Output>> {
        let mut files = BTreeSet::new();
        for path in paths {
            list(&self.root, Path::new(path), &mut files)?;
        }
        let mut outputs = Vec::with_capacity(files.len());
        for path in files {
            let place = self.root.join(&path);
            // The copy is hashed, not the file: a second run may replace the file between the two.
            let bytes = fs::read(&place)?;
            let digest = sha256(&bytes);
            let object = self.object(node, &digest);
            if !object.exists() {
                store::replace(&object, &bytes)?;
            }
            outputs.push(Output { path, digest, executable: is_executable(&place)? });
        }
        Ok(outputs)
    }

    /// Keeps an entry, and drops the oldest ones of the node.
    pub fn keep(&self, node: &NodeId, key: &Key, entry: &Entry) -> io::Result<()> {
        let bytes = serde_json::to_vec(entry)?;
        store::seal(&self.entry(node, key), KIND, VERSION, &bytes)?;
        self.prune(node);
        Ok(())
    }

    fn prune(&self, node: &NodeId) {
        let folder = self.folder.join(node.file_stem());
        let mut entries = files_by_age(&folder);
        if entries.len() <= KEEP {
            return;
        }
        let kept = entries.split_off(entries.len() - KEEP);
        for (_, old) in entries {
            // Another run may have pruned it already.
            let _ = fs::remove_file(old);
        }
        let used: BTreeSet<String> = kept
            .iter()
            .filter_map(|(_, path)| store::unseal(path, KIND, VERSION).ok())
            .filter_map(|bytes| serde_json::from_slice::<Entry>(&bytes).ok())
            .flat_map(|entry| entry.outputs.into_iter().map(|output| output.digest))
            .collect();
        for (_, object) in files_by_age(&folder.join("objects")) {
            let name = object.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if !used.contains(name) {
                let _ = fs::remove_file(object);
            }
        }
    }
}

/// The files of a folder, oldest first.
fn files_by_age(folder: &Path) -> Vec<(SystemTime, PathBuf)> {
    let Ok(items) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut files: Vec<_> = items
        .flatten()
        .filter_map(|item| {
            let meta = item.metadata().ok()?;
            meta.is_file().then_some((meta.modified().ok()?, item.path()))
        })
        .collect();
    files.sort();
    files
}

fn is_executable(path: &Path) -> io::Result<bool> {
    Ok(fs::metadata(path)?.permissions().mode() & 0o111 != 0)
}

fn list(root: &Path, path: &Path, files: &mut BTreeSet<String>) -> io::Result<()> {
    let full = root.join(path);
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    let meta = fs::metadata(&full).map_err(named)?;
    if meta.is_dir() {
        for item in fs::read_dir(&full).map_err(named)? {
            list(root, &path.join(item?.file_name()), files)?;
        }
    } else {
        files.insert(path.to_string_lossy().into_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::key::{Part, Parts};
    use crate::ids::StageId;

    struct Fixture {
        folder: tempfile::TempDir,
        cache: Cache,
        node: NodeId,
        key: Key,
    }

    impl Fixture {
        fn new() -> Fixture {
            let folder = tempfile::tempdir().unwrap();
            let cache = Cache::new(folder.path(), &folder.path().join("target/xtask/cache"));
            let mut parts = Parts::default();
            parts.content(Part::Files, Some(b"x"));
            Fixture { folder, cache, node: NodeId::repository(StageId::Chart), key: parts.key() }
        }

        fn kept(&self) -> Entry {
            fs::create_dir_all(self.folder.path().join("out/deep")).unwrap();
            fs::write(self.folder.path().join("out/deep/a"), "output").unwrap();
            let outputs = self.cache.keep_outputs(&self.node, &["out".to_owned()]).unwrap();
            let entry = Entry {
                facts: serde_json::json!({"seen": 1}),
                duration_ms: 5,
                tail: vec!["line".into()],
                notes: Vec::new(),
                tools: Vec::new(),
                log: None,
                outputs,
            };
            self.cache.keep(&self.node, &self.key, &entry).unwrap();
            entry
        }

        fn look_up(&self) -> Lookup {
            let mut stamps = Stamps::load(self.folder.path().join("stamps"));
            self.cache.look_up(&self.node, &self.key, &mut stamps)
        }
    }

    #[test]
    fn a_hit_gives_back_the_facts_and_restores_an_output_that_is_gone_or_was_changed() {
        let fixture = Fixture::new();
        assert!(matches!(fixture.look_up(), Lookup::Miss(None)));
        let entry = fixture.kept();
        let output = fixture.folder.path().join("out/deep/a");
        fs::remove_file(&output).unwrap();
        assert!(matches!(fixture.look_up(), Lookup::Hit(hit) if hit == entry));
        assert_eq!(fs::read(&output).unwrap(), b"output");
        fs::write(&output, "tampr!").unwrap();
        assert!(matches!(fixture.look_up(), Lookup::Hit(_)));
        assert_eq!(fs::read(&output).unwrap(), b"output");
    }

    #[test]
    fn a_damaged_entry_and_a_damaged_or_missing_copy_are_misses_with_a_note() {
        let fixture = Fixture::new();
        let entry = fixture.kept();
        let object = fixture.cache.object(&fixture.node, &entry.outputs[0].digest);
        fs::remove_file(fixture.folder.path().join("out/deep/a")).unwrap();
        fs::write(&object, "other").unwrap();
        assert!(matches!(fixture.look_up(), Lookup::Miss(Some(note)) if note.contains("out/deep/a")));
        fs::remove_file(&object).unwrap();
        assert!(matches!(fixture.look_up(), Lookup::Miss(Some(_))));
        fs::write(fixture.cache.entry(&fixture.node, &fixture.key), "slipway-entry 1 00\n{").unwrap();
        assert!(
            matches!(fixture.look_up(), Lookup::Miss(Some(note)) if note.contains("truncated or corrupt"))
        );
    }

    #[test]
    fn an_output_that_the_stage_promised_but_did_not_leave_is_an_error_that_names_it() {
        let fixture = Fixture::new();
        let error = fixture.cache.keep_outputs(&fixture.node, &["missing.bin".to_owned()]).unwrap_err();
        assert!(error.to_string().contains("missing.bin"), "{error}");
    }

    #[test]
    fn only_the_newest_entries_of_a_node_are_kept() {
        let fixture = Fixture::new();
        let entry = fixture.kept();
        for number in 0..KEEP + 4 {
            let mut parts = Parts::default();
            parts.content(Part::Files, Some(number.to_string().as_bytes()));
            fixture.cache.keep(&fixture.node, &parts.key(), &entry).unwrap();
        }
        let folder = fixture.cache.folder.join(fixture.node.file_stem());
        assert_eq!(files_by_age(&folder).len(), KEEP);
        assert_eq!(files_by_age(&folder.join("objects")).len(), 1);
    }
}
