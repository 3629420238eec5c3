//! `tools.lock`: which tools, at which version, from where, with which digests. Strict: what is not understood is refused with its
//! line.
//!
//! Only says what is written; whether a tool is on this machine is for the rest of `provision`.

use super::memo;
use super::names::{FileName, Hex, ModuleSum, ToolName, ToolTag, Url, Variables, Version};
use super::origin::Origin;
use super::platform::Platform;
use serde::{Deserialize, Serialize};
use serde_yaml::Spanned;
use std::collections::BTreeMap;
use std::path::Path;

/// The whole of a `tools.lock`.
#[derive(Debug, Clone)]
pub struct Lock {
    pub(super) origin: Origin,
    pub(super) tools: BTreeMap<ToolName, ToolPin>,
    pub(super) databases: BTreeMap<ToolName, Database>,
}

/// One tool: what it is called, and every place it may come from, in order of preference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolPin {
    /// Its name in `tools.lock`.
    pub name: ToolName,
    /// The version, without a `v`.
    pub version: Version,
    /// The file name of the program.
    pub bin: ToolName,
    /// How it says its version; none if it cannot.
    pub probe: Option<Probe>,
    /// Where it may come from, in order of preference; at least one.
    pub sources: Vec<Source>,
}

/// How a tool says its version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    /// Arguments that make it print its version on standard output.
    pub args: Vec<String>,
    /// The text in front of the version; empty if the version comes first.
    #[serde(default)]
    pub after: String,
}

/// A place that a tool may come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// Already on PATH, at exactly the pinned version.
    Path,
    /// A release archive, or the plain program.
    Archive(Archive),
    /// A Go module that can be built by itself.
    Go(GoModule),
    /// A Go package inside a committed module of ours, for modules that carry replace lines.
    Gomod(GoBuild),
    /// Wheels with digests in an environment of their own.
    Pypi(Wheels),
}

/// Release files, one for each platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, try_from = "RawArchive")]
pub struct Archive {
    /// Where they are; `{file}` stands for the file's name.
    pub url: String,
    /// The files.
    pub files: BTreeMap<Platform, ReleaseFile>,
}

/// One release file. A .tar.gz, .tgz or .zip holds exactly one file that is named like the program; anything else is the program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseFile {
    /// Its name in the address.
    pub file: FileName,
    /// SHA-256 of it.
    pub sha256: Hex,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawArchive {
    url: String,
    files: BTreeMap<Platform, ReleaseFile>,
}

impl TryFrom<RawArchive> for Archive {
    type Error = String;

    fn try_from(raw: RawArchive) -> Result<Self, String> {
        let RawArchive { url, files } = raw;
        if !url.contains("{file}") {
            return Err("`url` must say where `{file}` goes".to_owned());
        }
        if files.is_empty() {
            return Err("`files` names no platform".to_owned());
        }
        Url::try_from(url.replace("{file}", "file"))?;
        Ok(Archive { url, files })
    }
}

impl Archive {
    /// The file for a platform and its address.
    pub fn for_platform(&self, platform: Platform) -> Option<(Url, &ReleaseFile)> {
        let file = self.files.get(&platform)?;
        // Checked with another name when the lock file was read; no name changes what an address is.
        Some((Url::try_from(self.url.replace("{file}", file.file.as_str())).ok()?, file))
    }
}

/// A module on the Go module proxy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GoModule {
    /// The module's path.
    pub module: String,
    /// The module's version, with its `v`.
    pub version: String,
    /// The module's digest in the checksum database: `h1:…=`.
    pub sum: ModuleSum,
    /// The package's whole path.
    pub package: String,
    /// Variables of the program that the linker sets.
    #[serde(default)]
    pub set: Variables,
}

/// A package that is built inside a module of ours, `locks/go/<dir>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GoBuild {
    /// The module's folder.
    pub dir: ToolName,
    /// The package's whole path.
    pub package: String,
    /// Build tags.
    #[serde(default)]
    pub tags: Vec<ToolTag>,
    /// Variables of the program that the linker sets.
    #[serde(default)]
    pub set: Variables,
}

/// Python packages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wheels {
    /// The name of the requirements, `locks/python/<name>.txt`: complete, with all digests. Tools that name the same share one
    /// environment.
    pub requirements: ToolName,
    /// The program in the environment's `bin`.
    pub script: ToolName,
}

/// What a scanner reads besides its own program, and nobody can pin: it is new every few hours.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDatabase {
    tool: Spanned<ToolName>,
    repositories: AtLeastOne<String>,
}

/// A scanner's database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Database {
    /// Its name in `tools.lock`.
    pub name: ToolName,
    /// The tool that fetches it.
    pub tool: ToolName,
    /// Where it may come from, in order of preference; at least one.
    pub repositories: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLock {
    version: FormatVersion,
    tools: BTreeMap<ToolName, RawTool>,
    #[serde(default)]
    databases: BTreeMap<ToolName, RawDatabase>,
}

#[derive(Deserialize)]
#[serde(try_from = "u32")]
struct FormatVersion;

impl TryFrom<u32> for FormatVersion {
    type Error = String;

    fn try_from(number: u32) -> Result<Self, String> {
        if number == 1 {
            Ok(FormatVersion)
        } else {
            Err(format!("version {number} is not known here, only 1 is"))
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTool {
    version: Version,
    bin: Option<ToolName>,
    probe: Option<Probe>,
    sources: Spanned<AtLeastOne<Source>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Vec<T>", bound = "T: Deserialize<'de>")]
struct AtLeastOne<T>(Vec<T>);

impl<T> TryFrom<Vec<T>> for AtLeastOne<T> {
    type Error = &'static str;

    fn try_from(list: Vec<T>) -> Result<Self, &'static str> {
        if list.is_empty() { Err("at least one entry is needed") } else { Ok(AtLeastOne(list)) }
    }
}

impl Lock {
    /// The lock file of the repository at `root`, or the one that came with this program. What reading it gave is remembered in the
    /// tool cache.
    pub fn load(root: &Path, cache: &Path) -> Result<Lock, LockError> {
        let file = root.join("tools.lock");
        let memo = cache.join("@lock");
        match std::fs::read_to_string(&file) {
            Ok(text) => memo::parse(&text, Origin::Folder(root.to_owned()), &memo),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                memo::parse(super::origin::EMBEDDED_LOCK, Origin::Embedded, &memo)
            }
            Err(error) => {
                Err(LockError { at: file.display().to_string(), line: None, why: error.to_string() })
            }
        }
    }

    /// Reads a lock file. `origin` says where the files that it names are.
    pub fn parse(text: &str, origin: Origin) -> Result<Lock, LockError> {
        let raw: RawLock = serde_yaml::from_str(text).map_err(|error| LockError {
            at: origin.to_string(),
            line: error.location().map(|place| place.line()),
            why: error.to_string(),
        })?;
        let RawLock { version: FormatVersion, tools, databases } = raw;
        let wrong = |line: u64, why: String| LockError { at: origin.to_string(), line: Some(line), why };
        let mut pins = BTreeMap::new();
        for (name, raw) in tools {
            let at = raw.sources.referenced.line();
            let AtLeastOne(sources) = raw.sources.value;
            if raw.probe.is_none() && sources.contains(&Source::Path) {
                let why = format!(
                    "`{name}` has no `probe`, so that nobody can tell whether the one on PATH is version {}",
                    raw.version
                );
                return Err(wrong(at, why));
            }
            let bin = raw.bin.unwrap_or_else(|| name.clone());
            let pin = ToolPin { name: name.clone(), version: raw.version, bin, probe: raw.probe, sources };
            pins.insert(name, pin);
        }
        let mut found = BTreeMap::new();
        for (name, raw) in databases {
            let tool = raw.tool.value;
            if !pins.contains_key(&tool) {
                let why = format!("`{name}` is fetched by `{tool}`, which is not under `tools`");
                return Err(wrong(raw.tool.referenced.line(), why));
            }
            let AtLeastOne(repositories) = raw.repositories;
            found.insert(name.clone(), Database { name, tool, repositories });
        }
        Ok(Lock { origin, tools: pins, databases: found })
    }

    /// Where this lock file, and the files that it names, are.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// A tool by its name.
    pub fn tool(&self, name: &str) -> Option<&ToolPin> {
        self.tools.get(name)
    }

    /// Every tool, by name.
    pub fn tools(&self) -> impl Iterator<Item = &ToolPin> {
        self.tools.values()
    }

    /// A scanner's database by its name.
    pub fn database(&self, name: &str) -> Option<&Database> {
        self.databases.get(name)
    }

    /// Every scanner's database, by name.
    pub fn databases(&self) -> impl Iterator<Item = &Database> {
        self.databases.values()
    }
}

/// A lock file that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{at}{}: {why}", line.map(|line| format!(":{line}")).unwrap_or_default())]
pub struct LockError {
    /// The file.
    pub at: String,
    /// The line, from 1, where it is known.
    pub line: Option<u64>,
    /// What is wrong, with the offending line of the file where it is known.
    pub why: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn parse(text: &str) -> Result<Lock, LockError> {
        Lock::parse(text, Origin::Folder("/repo".into()))
    }

    fn tool(sources: &str) -> String {
        format!(
            "version: 1\ntools:\n  helm:\n    version: 4.3.1\n    probe: {{ args: [version] }}\n    sources:\n{sources}"
        )
    }

    #[test]
    fn every_kind_of_source_is_read() {
        let sum = "A".repeat(43) + "=";
        let lock = parse(&format!(
            r#"
version: 1
tools:
  helm:
    version: "4.10"
    bin: helm4
    probe: {{ args: [version, --template, "{{{{.Version}}}}"], after: "Version: " }}
    sources:
      - path
      - archive:
          url: https://get.example/helm-v4.10/{{file}}
          files:
            linux-x86_64: {{ file: helm.tar.gz, sha256: {SHA} }}
            macos-aarch64: {{ file: helm, sha256: {SHA} }}
      - go: {{ module: helm.sh/helm/v4, version: v4.10.0, package: helm.sh/helm/v4/cmd/helm, sum: "h1:{sum}" }}
      - gomod:
          dir: helm
          package: helm.sh/helm/v4/cmd/helm
          tags: [a_b]
          set: {{ main.version: "no" }}
      - pypi: {{ requirements: helm, script: helm4 }}
databases:
  db:
    tool: helm
    repositories: ["registry.example/db:2"]
"#
        ))
        .unwrap();
        let helm = lock.tool("helm").unwrap();
        assert_eq!((helm.version.as_str(), helm.bin.as_str(), helm.sources.len()), ("4.10", "helm4", 5));
        let Source::Archive(archive) = &helm.sources[1] else { panic!("{:?}", helm.sources[1]) };
        let (url, file) = archive.for_platform(Platform::LinuxX86_64).unwrap();
        assert_eq!(url.as_str(), "https://get.example/helm-v4.10/helm.tar.gz");
        assert_eq!(file.sha256.as_str(), SHA);
        assert!(archive.for_platform(Platform::MacosX86_64).is_none());
        assert_eq!(lock.database("db").unwrap().tool.as_str(), "helm");
    }

    /// Each wrong text, the line that the error must name, and words that it must say.
    #[test]
    fn what_is_wrong_is_refused_with_its_line() {
        let archive = |rest: &str| tool(&format!("      - archive:\n{rest}"));
        let file = |rest: &str| {
            format!("          url: https://a.example/{{file}}\n          files:\n            {rest}\n")
        };
        let path = tool("      - path\n");
        let cases = [
            (String::new(), None, ""),
            ("version: 2\ntools: {}\n".to_owned(), Some(1), "version 2 is not known"),
            ("version: 1\ntools: {}\nextra: 1\n".to_owned(), Some(3), "extra"),
            (tool("      []\n"), Some(7), "at least one"),
            (tool("      - brew\n"), Some(7), "brew"),
            (tool("      - path\n      - path: {x: 1}\n"), Some(8), ""),
            (
                archive("          url: http://a.example/{file}\n          files: {}\n"),
                None,
                "names no platform",
            ),
            (
                archive(
                    &file(&format!("linux-x86_64: {{ file: a, sha256: {SHA} }}")).replace("https", "http"),
                ),
                None,
                "https",
            ),
            (archive(&file("linux-x86_64: { file: a, sha256: abc }")), Some(10), "64"),
            (
                archive(&file(&format!("linux-x86_64: {{ file: ../a, sha256: {SHA} }}"))),
                Some(10),
                "file name",
            ),
            (archive(&file(&format!("windows: {{ file: a, sha256: {SHA} }}"))), Some(10), "windows"),
            (path.replace("4.3.1", "v4.3.1"), Some(4), "without"),
            (path.replace("helm:", "Helm:"), Some(3), "lower-case"),
            (path.replace("    probe: { args: [version] }\n", ""), Some(6), "probe"),
            (tool("      - go: { module: a, version: v1, package: a, sum: \"h1:x\" }\n"), Some(7), "base64"),
            (tool("      - gomod: { dir: a, package: a, set: { a.b: \"c d\" } }\n"), Some(7), "blank"),
            (path.clone() + "  helm:\n    version: 1\n", Some(8), "helm"),
            (path + "databases:\n  db:\n    tool: trivy\n    repositories: [a]\n", Some(10), "trivy"),
        ];
        for (text, line, words) in cases {
            let error = parse(&text).expect_err(&text);
            if line.is_some() {
                assert_eq!(error.line, line, "{text}\n{error}");
            }
            assert!(error.to_string().contains(words), "{words:?} in:\n{error}\nof:\n{text}");
            assert!(error.to_string().starts_with("/repo/tools.lock"), "{error}");
        }
    }
}
