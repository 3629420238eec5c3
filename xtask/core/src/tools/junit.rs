//! JUnit files, as test runners of every language write them: how many tests ran, and which failed.
//!
//! The format has no standard; only what all dialects share is read: `testcase` elements, and `failure`, `error` and `skipped`
//! inside of them. Totals in attributes are not believed.

use crate::error::StageError;
use crate::facts::Observation;
use crate::outcome::Severity;
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::Path;

const FORMAT: &str = "JUnit";
/// How many failed tests are kept by name.
const NAMED: usize = 100;

/// The tests of one or more files.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tests {
    /// All of them.
    pub total: u64,
    /// Those whose assertions did not hold.
    pub failed: u64,
    /// Those that broke before or around their assertions.
    pub errors: u64,
    /// Those that did not run.
    pub skipped: u64,
    /// The first hundred that failed or broke.
    pub failures: Vec<FailedTest>,
}

/// A test that failed or broke.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedTest {
    /// Its name, with its class or file in front.
    pub name: String,
    /// What it says, first line.
    pub message: String,
    /// Its file, if the runner names it.
    pub file: Option<String>,
    /// Its line, if the runner names it.
    pub line: Option<u32>,
}

impl Tests {
    /// Each failed test as an observation.
    pub fn observations(&self) -> Vec<Observation> {
        let observe = |test: &FailedTest| Observation {
            file: test.file.clone(),
            line: test.line,
            ..Observation::new("test", Severity::High, format!("{}: {}", test.name, test.message))
        };
        self.failures.iter().map(observe).collect()
    }

    fn add(&mut self, other: Tests) {
        self.total += other.total;
        self.failed += other.failed;
        self.errors += other.errors;
        self.skipped += other.skipped;
        self.failures.extend(other.failures);
        self.failures.truncate(NAMED);
    }
}

/// Removes what an earlier run left, so that a runner that dies early is not taken for its predecessor.
pub fn remove_stale(root: &Path, file: &str) -> Result<(), StageError> {
    let path = root.join(file);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(StageError::io("cannot remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// Reads the files, named relative to the root. None if none is declared; an error if one was not written.
pub fn read_all(root: &Path, files: &[String]) -> Result<Option<Tests>, StageError> {
    let mut all = Tests::default();
    for file in files {
        let bytes = fs::read(root.join(file)).map_err(|error| StageError::Unreadable {
            tool: FORMAT.to_owned(),
            why: format!("{file}, which the tests should write: {error}"),
        })?;
        all.add(parse(&bytes).map_err(|why| StageError::Unreadable {
            tool: FORMAT.to_owned(),
            why: format!("{file}: {why}"),
        })?);
    }
    Ok((!files.is_empty()).then_some(all))
}

#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Passed,
    Failed,
    Broke,
    Skipped,
}

struct Case {
    test: FailedTest,
    fate: Fate,
}

fn parse(bytes: &[u8]) -> Result<Tests, String> {
    let mut reader = Reader::from_reader(bytes);
    let mut tests = Tests::default();
    let mut case: Option<Case> = None;
    let mut buffer = Vec::new();
    let mut depth = 0_u32;
    let mut any = false;
    loop {
        let at = reader.buffer_position();
        match reader.read_event_into(&mut buffer).map_err(|error| format!("at byte {at}: {error}"))? {
            Event::Start(element) => {
                depth += 1;
                any |= is_root(&element)?;
                open(&element, &mut case)?;
            }
            Event::Empty(element) => {
                any |= is_root(&element)?;
                open(&element, &mut case)?;
                if element.local_name().as_ref() == b"testcase" {
                    close(&mut tests, case.take());
                }
            }
            Event::End(element) => {
                depth = depth.saturating_sub(1);
                if element.local_name().as_ref() == b"testcase" {
                    close(&mut tests, case.take());
                }
            }
            Event::Eof if !any => return Err("there is no `testsuite` in it".to_owned()),
            Event::Eof if depth > 0 => return Err("it ends too early".to_owned()),
            Event::Eof => return Ok(tests),
            // Text, comments and entities of any kind: nothing that is counted, and nothing that is expanded.
            Event::Text(_) | Event::CData(_) | Event::GeneralRef(_) | Event::Comment(_) => {}
            Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
        }
        buffer.clear();
    }
}

/// Whether the element may be the outermost one; another one means another kind of file.
fn is_root(element: &BytesStart<'_>) -> Result<bool, String> {
    let name = element.local_name();
    Ok(matches!(name.as_ref(), b"testsuites" | b"testsuite"))
}

fn open(element: &BytesStart<'_>, case: &mut Option<Case>) -> Result<(), String> {
    let fate = match element.local_name().as_ref() {
        b"testcase" => {
            let class = attribute(element, "classname")?.filter(|class| !class.is_empty());
            let name = attribute(element, "name")?.unwrap_or_default();
            let name = class.map_or_else(|| name.clone(), |class| format!("{class}::{name}"));
            let file = attribute(element, "file")?;
            let line = attribute(element, "line")?.and_then(|line| line.parse().ok());
            *case = Some(Case {
                test: FailedTest { name, message: String::new(), file, line },
                fate: Fate::Passed,
            });
            return Ok(());
        }
        b"failure" => Fate::Failed,
        b"error" => Fate::Broke,
        b"skipped" => Fate::Skipped,
        _ => return Ok(()),
    };
    if let Some(case) = case
        && case.fate == Fate::Passed
    {
        case.fate = fate;
        let message = attribute(element, "message")?.unwrap_or_default();
        case.test.message = message.lines().next().unwrap_or("it says nothing").to_owned();
    }
    Ok(())
}

fn close(tests: &mut Tests, case: Option<Case>) {
    let Some(Case { test, fate }) = case else { return };
    tests.total += 1;
    match fate {
        Fate::Passed => return,
        Fate::Skipped => {
            tests.skipped += 1;
            return;
        }
        Fate::Failed => tests.failed += 1,
        Fate::Broke => tests.errors += 1,
    }
    if tests.failures.len() < NAMED {
        tests.failures.push(test);
    }
}

fn attribute(element: &BytesStart<'_>, name: &str) -> Result<Option<String>, String> {
    let found = element.try_get_attribute(name).map_err(|error| error.to_string())?;
    let Some(found) = found else { return Ok(None) };
    let raw = String::from_utf8_lossy(&found.value);
    // An entity that is not XML's own stays as it is written: it is text for people, and nothing is looked up.
    Ok(Some(quick_xml::escape::unescape(&raw).map_or_else(|_| raw.to_string(), |text| text.into_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::testdata::recorded;

    #[test]
    fn tests_are_counted_and_failures_named_as_pytest_writes_them() {
        let tests = parse(&recorded("pytest/9.2.0/fail.xml")).unwrap();
        assert_eq!((tests.total, tests.failed, tests.errors, tests.skipped), (8, 2, 1, 2));
        assert_eq!(tests.failures[0].name, "test_fail::test_wrong_sum");
        assert_eq!(tests.failures[0].message, "AssertionError: sum & <difference>");
        assert_eq!(tests.observations().len(), 3);
    }

    #[test]
    fn other_runners_are_read_too() {
        let node = parse(&recorded("node/20.20.2/test-mixed.xml")).unwrap();
        assert!(node.total > 0 && node.failed + node.errors > 0, "{node:?}");
        assert_eq!(parse(&recorded("node/20.20.2/test-passes.xml")).unwrap().failures, []);
        assert_eq!(parse(&recorded("pytest/9.2.0/no-tests.xml")).unwrap().total, 0);
        assert_eq!(parse(&recorded("pytest/9.2.0/import-error.xml")).unwrap().errors, 1);
    }

    #[test]
    fn a_file_that_is_cut_empty_or_of_another_kind_is_refused() {
        let whole = recorded("pytest/9.2.0/fail.xml");
        let end = whole.trim_ascii_end().len();
        for length in 0..end {
            assert!(parse(&whole[..length]).is_err(), "cut after {length} of {end}");
        }
        assert!(parse(b"<html><body/></html>").is_err());
        assert!(parse(b"{\"json\": true}").is_err());
    }

    #[test]
    fn entities_are_not_expanded() {
        let bomb = br#"<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><testsuite><testcase name="&b;"><failure message="&b;"/></testcase></testsuite>"#;
        let tests = parse(bomb).unwrap();
        assert_eq!(tests.failures[0].name, "&b;");
    }

    #[test]
    fn a_declared_file_that_was_not_written_is_unreadable_and_an_old_one_is_removed() {
        let root = tempfile::tempdir().unwrap();
        let files = ["junit.xml".to_owned()];
        assert!(
            matches!(read_all(root.path(), &files), Err(StageError::Unreadable { why, .. }) if why.contains("junit.xml"))
        );
        fs::write(root.path().join("junit.xml"), "<testsuite/>").unwrap();
        assert_eq!(read_all(root.path(), &files).unwrap(), Some(Tests::default()));
        remove_stale(root.path(), "junit.xml").unwrap();
        remove_stale(root.path(), "junit.xml").unwrap();
        assert!(read_all(root.path(), &files).is_err());
        assert_eq!(read_all(root.path(), &[]).unwrap(), None);
    }
}
