//! What becomes of a child's output: kept raw for its adapter, masked for everyone else.
//!
//! Memory stays bounded whatever the child prints: lines without an end, bytes that are not text, gigabytes.

use crate::event::Stream;
use crate::redact::{RedactStream, Redactor};
use std::collections::VecDeque;
use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A line that is shown is cut to this many bytes; the log has all of it.
const LONGEST_LINE: usize = 4096;
/// So many of the last lines are kept for the error message.
const TAIL_LINES: usize = 60;
/// Standard error is kept from its end, where the reason stands.
const STDERR_LIMIT: usize = 256 << 10;
/// Lines go to the log as a whole unless they are longer than this.
const LONGEST_LOG_PIECE: usize = 64 << 10;

/// Raw output, for the adapter that parses it. **Not masked**: never show it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Captured {
    bytes: Vec<u8>,
    truncated: bool,
}

impl Captured {
    /// The bytes, as they were written.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether there was more than the limit: then the end is missing (standard output) or the beginning (standard error).
    pub fn truncated(&self) -> bool {
        self.truncated
    }

    fn keep_start(&mut self, bytes: &[u8], limit: usize) {
        let room = limit.saturating_sub(self.bytes.len());
        self.truncated |= bytes.len() > room;
        self.bytes.extend_from_slice(&bytes[..room.min(bytes.len())]);
    }

    fn keep_end(&mut self, bytes: &[u8], limit: usize) {
        self.bytes.extend_from_slice(bytes);
        let excess = self.bytes.len().saturating_sub(limit);
        self.truncated |= excess > 0;
        // Dropping the front moves everything: do it rarely.
        if excess > limit {
            self.bytes.drain(..excess);
        }
    }

    fn finish(mut self, limit: usize) -> Captured {
        self.bytes.drain(..self.bytes.len().saturating_sub(limit));
        self
    }
}

impl fmt::Debug for Captured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Captured({} bytes{})", self.bytes.len(), if self.truncated { ", truncated" } else { "" })
    }
}

/// A log that could not be written.
#[derive(Debug)]
pub(super) struct LogError {
    pub(super) path: PathBuf,
    pub(super) source: io::Error,
}

/// Both streams of one child.
pub(super) struct Output {
    stdout: Lane,
    stderr: Lane,
    stdout_limit: usize,
    tail: VecDeque<String>,
    log: Option<Log>,
}

/// One stream: masked, then cut into lines.
struct Lane {
    captured: Captured,
    redact: RedactStream,
    /// The beginning of the current line, as much as is shown of it.
    head: Vec<u8>,
    /// How long the current line is by now.
    length: usize,
    /// The part of the current line that is not in the log yet.
    pending: Vec<u8>,
    /// The line before ended with a carriage return: a line feed right now belongs to it.
    returned: bool,
}

/// What is left when the child is gone.
pub(super) struct Remains {
    pub(super) stdout: Captured,
    pub(super) stderr: Captured,
    pub(super) tail: Vec<String>,
}

impl Output {
    /// Opens the log, if there is to be one.
    pub(super) fn new(
        redactor: &Redactor,
        stdout_limit: usize,
        log: Option<&Path>,
    ) -> Result<Self, LogError> {
        let lane = || Lane {
            captured: Captured::default(),
            redact: redactor.stream(),
            head: Vec::new(),
            length: 0,
            pending: Vec::new(),
            returned: false,
        };
        let log = log.map(Log::open).transpose()?;
        Ok(Output { stdout: lane(), stderr: lane(), stdout_limit, tail: VecDeque::new(), log })
    }

    /// Takes what one of the streams brought. After an error the log is given up and everything else goes on.
    pub(super) fn take(
        &mut self,
        stream: Stream,
        bytes: &[u8],
        on_line: &mut impl FnMut(Stream, &str),
    ) -> Result<(), LogError> {
        let mut masked = Vec::with_capacity(bytes.len());
        let lane = match stream {
            Stream::Stdout => {
                self.stdout.captured.keep_start(bytes, self.stdout_limit);
                &mut self.stdout
            }
            Stream::Stderr => {
                self.stderr.captured.keep_end(bytes, STDERR_LIMIT);
                &mut self.stderr
            }
        };
        lane.redact.push(bytes, &mut masked);
        self.lines(stream, &masked, on_line);
        self.flush()
    }

    /// Both streams are over. The last lines may be what the log has no room for.
    pub(super) fn finish(mut self, on_line: &mut impl FnMut(Stream, &str)) -> (Remains, Option<LogError>) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            let mut masked = Vec::new();
            self.lane(stream).redact.finish(&mut masked);
            self.lines(stream, &masked, on_line);
            if self.lane(stream).length > 0 {
                self.end_line(stream, on_line);
            }
        }
        let error = self.flush().err();
        let remains = Remains {
            stdout: self.stdout.captured,
            stderr: self.stderr.captured.finish(STDERR_LIMIT),
            tail: self.tail.into(),
        };
        (remains, error)
    }

    fn lane(&mut self, stream: Stream) -> &mut Lane {
        match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        }
    }

    /// Cuts into lines. A carriage return ends a line too: progress bars use nothing else.
    fn lines(&mut self, stream: Stream, masked: &[u8], on_line: &mut impl FnMut(Stream, &str)) {
        for piece in masked.split_inclusive(|byte| matches!(byte, b'\n' | b'\r')) {
            let (text, end) = match piece {
                [text @ .., end @ (b'\n' | b'\r')] => (text, Some(*end)),
                text => (text, None),
            };
            let returned = std::mem::take(&mut self.lane(stream).returned);
            self.extend_line(stream, text);
            let empty = self.lane(stream).length == 0;
            match end {
                None => {}
                Some(b'\n') if returned && empty => {}
                Some(b'\r') if empty => {}
                Some(end) => {
                    self.lane(stream).returned = end == b'\r';
                    self.end_line(stream, on_line);
                }
            }
        }
    }

    fn extend_line(&mut self, stream: Stream, text: &[u8]) {
        let logged = self.log.is_some();
        let lane = self.lane(stream);
        lane.length += text.len();
        lane.head.extend_from_slice(&text[..text.len().min(LONGEST_LINE - lane.head.len())]);
        if logged {
            lane.pending.extend_from_slice(text);
            if lane.pending.len() > LONGEST_LOG_PIECE {
                let pending = std::mem::take(&mut lane.pending);
                self.log.iter_mut().for_each(|log| log.add(stream, &pending, false));
            }
        }
    }

    fn end_line(&mut self, stream: Stream, on_line: &mut impl FnMut(Stream, &str)) {
        let lane = self.lane(stream);
        let line = shown(&lane.head, lane.length);
        let pending = std::mem::take(&mut lane.pending);
        lane.head.clear();
        lane.length = 0;
        on_line(stream, &line);
        if self.tail.len() == TAIL_LINES {
            self.tail.pop_front();
        }
        self.tail.push_back(line);
        self.log.iter_mut().for_each(|log| log.add(stream, &pending, true));
    }

    fn flush(&mut self) -> Result<(), LogError> {
        let flushed = self.log.as_mut().map_or(Ok(()), Log::flush);
        flushed.map_err(|source| LogError {
            path: self.log.take().map(|log| log.path).unwrap_or_default(),
            source,
        })
    }
}

/// A line as it is shown: text, at most [`LONGEST_LINE`] bytes.
fn shown(head: &[u8], length: usize) -> String {
    let mut line = String::from_utf8_lossy(head).into_owned();
    if length > head.len() || line.len() > LONGEST_LINE {
        line.truncate(line.floor_char_boundary(LONGEST_LINE - '…'.len_utf8()));
        line.push('…');
    }
    line
}

/// The log file. Written in blocks, each a number of whole lines where lines are not monstrous.
struct Log {
    path: PathBuf,
    file: File,
    buffer: Vec<u8>,
    /// The stream whose line is unfinished: the other one must not continue it.
    unfinished: Option<Stream>,
    failed: Option<io::Error>,
}

impl Log {
    fn open(path: &Path) -> Result<Log, LogError> {
        let made = path.parent().map_or(Ok(()), std::fs::create_dir_all);
        let file = made.and_then(|()| File::options().append(true).create(true).open(path));
        match file {
            Ok(file) => {
                Ok(Log { path: path.into(), file, buffer: Vec::new(), unfinished: None, failed: None })
            }
            Err(source) => Err(LogError { path: path.into(), source }),
        }
    }

    fn add(&mut self, stream: Stream, bytes: &[u8], ends: bool) {
        if self.unfinished.is_some_and(|unfinished| unfinished != stream) {
            self.buffer.push(b'\n');
        }
        self.buffer.extend_from_slice(bytes);
        if ends {
            self.buffer.push(b'\n');
        }
        self.unfinished = (!ends).then_some(stream);
        if self.buffer.len() > LONGEST_LOG_PIECE {
            self.write();
        }
    }

    fn write(&mut self) {
        if self.failed.is_none() {
            // Blocking on purpose: a write into the page cache is shorter than the way to a helper thread and back.
            self.failed = self.file.write_all(&self.buffer).err();
        }
        self.buffer.clear();
    }

    fn flush(&mut self) -> io::Result<()> {
        self.write();
        self.failed.take().map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Stream::{Stderr, Stdout};

    struct Seen {
        lines: Vec<(Stream, String)>,
        log: Vec<u8>,
        remains: Remains,
    }

    fn seen(secrets: &[&str], stdout_limit: usize, pieces: &[(Stream, &[u8])]) -> Seen {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/folder/log.txt");
        let redactor = Redactor::new(secrets.iter().map(|secret| (*secret).to_owned()));
        let mut output = Output::new(&redactor, stdout_limit, Some(&path)).unwrap();
        let mut lines = Vec::new();
        let mut on_line = |stream, line: &str| lines.push((stream, line.to_owned()));
        for (stream, bytes) in pieces {
            output.take(*stream, bytes, &mut on_line).unwrap();
        }
        let (remains, error) = output.finish(&mut on_line);
        assert!(error.is_none(), "{error:?}");
        Seen { lines, log: std::fs::read(&path).unwrap(), remains }
    }

    fn lines_of(pieces: &[&[u8]]) -> Vec<String> {
        let pieces: Vec<_> = pieces.iter().map(|piece| (Stdout, *piece)).collect();
        seen(&[], 1000, &pieces).lines.into_iter().map(|(_, line)| line).collect()
    }

    #[test]
    fn streams_are_interleaved_by_line_and_never_within_one() {
        let seen = seen(&[], 1000, &[(Stdout, b"one, "), (Stderr, b"oops\nagain"), (Stdout, b"two\nthree")]);
        assert_eq!(String::from_utf8(seen.log).unwrap(), "oops\none, two\nthree\nagain\n");
        assert_eq!(seen.remains.tail, ["oops", "one, two", "three", "again"]);
        assert_eq!(seen.lines[0], (Stderr, "oops".to_owned()));
        assert_eq!(seen.remains.stdout.bytes(), b"one, two\nthree");
        assert_eq!(seen.remains.stderr.bytes(), b"oops\nagain");
    }

    #[test]
    fn carriage_returns_end_lines_and_make_no_empty_ones() {
        assert_eq!(lines_of(&[b"10%\r20%\r30%"]), ["10%", "20%", "30%"]);
        assert_eq!(lines_of(&[b"\r10%\r20%\r\n"]), ["10%", "20%"]);
        assert_eq!(lines_of(&[b"a\r\n\r\nb\r\n"]), ["a", "", "b"]);
        assert_eq!(lines_of(&[b"a\r", b"\nb\r", b"c\n", b"\n"]), ["a", "b", "c", ""]);
        assert_eq!(lines_of(&[b""]), [""; 0]);
    }

    #[test]
    fn every_masked_form_leaves_and_the_raw_one_stays_for_the_adapter() {
        let pieces: [(Stream, &[u8]); 3] =
            [(Stdout, b"token=hunt"), (Stderr, b"hunter22\n"), (Stdout, b"er22\n")];
        let seen = seen(&["hunter22"], 1000, &pieces);
        assert_eq!(String::from_utf8(seen.log).unwrap(), "***\ntoken=***\n");
        assert_eq!(seen.remains.tail, ["***", "token=***"]);
        assert_eq!(seen.remains.stdout.bytes(), b"token=hunter22\n");
        assert!(!format!("{:?}", seen.remains.stdout).contains("hunter22"));
    }

    #[test]
    fn a_line_of_many_megabytes_is_cut_where_it_is_shown_and_whole_in_the_log() {
        let block = vec![b'x'; 1 << 20];
        let mut pieces: Vec<(Stream, &[u8])> = vec![(Stdout, &block); 8];
        pieces.insert(4, (Stderr, b"meanwhile\n"));
        pieces.push((Stdout, b"\nnext\n"));
        let seen = seen(&[], 10, &pieces);
        assert_eq!(seen.lines.len(), 3);
        assert_eq!(seen.lines[1].1.len(), LONGEST_LINE);
        assert!(seen.lines[1].1.ends_with("x…"));
        let lines: Vec<usize> = seen.log.split(|byte| *byte == b'\n').map(<[u8]>::len).collect();
        assert_eq!(lines, [4 << 20, 9, 4 << 20, 4, 0], "the other stream's line stands on a line of its own");
        assert_eq!(seen.remains.stdout.bytes().len(), 10);
        assert!(seen.remains.stdout.truncated());
    }

    #[test]
    fn what_is_held_of_a_line_without_an_end_is_bounded() {
        let mut output = Output::new(&Redactor::default(), 10, Some(Path::new("/dev/null"))).unwrap();
        for _ in 0..1000 {
            output.take(Stdout, &[b'x'; 10_000], &mut |_, _| {}).unwrap();
        }
        let lane = &output.stdout;
        assert!(lane.head.capacity() + lane.pending.capacity() + lane.captured.bytes.capacity() < 300_000);
    }

    #[test]
    fn bytes_that_are_not_text_are_shown_as_replacements_and_logged_as_they_are() {
        let seen = seen(&[], 10_000, &[(Stdout, b"a\xff\0b\n"), (Stdout, &[0xff; 5000])]);
        assert_eq!(seen.lines[0].1, "a\u{fffd}\0b");
        assert!(seen.lines[1].1.len() <= LONGEST_LINE && seen.lines[1].1.ends_with('…'));
        assert!(seen.log.starts_with(b"a\xff\0b\n\xff\xff"));
        assert_eq!(seen.remains.stdout.bytes().len(), 5005);
    }

    #[test]
    fn a_character_split_over_two_pieces_is_one_character() {
        assert_eq!(lines_of(&[b"\xc3", b"\xbc\n"]), ["ü"]);
    }

    #[test]
    fn only_the_last_lines_and_the_end_of_standard_error_are_kept() {
        let text: String = (0..100_000).map(|n| format!("{n}\n")).collect();
        let seen = seen(&[], 1000, &[(Stderr, text.as_bytes())]);
        assert_eq!(seen.remains.tail.len(), TAIL_LINES);
        assert_eq!(seen.remains.tail.last().map(String::as_str), Some("99999"));
        assert_eq!(seen.remains.stderr.bytes().len(), STDERR_LIMIT);
        assert!(seen.remains.stderr.truncated() && seen.remains.stderr.bytes().ends_with(b"99999\n"));
    }

    #[test]
    fn a_full_disk_is_an_error_that_names_the_log() {
        let mut output = Output::new(&Redactor::default(), 10, Some(Path::new("/dev/full"))).unwrap();
        let error = output.take(Stdout, b"line\n", &mut |_, _| {}).unwrap_err();
        assert_eq!(error.path, Path::new("/dev/full"));
        assert_eq!(error.source.kind(), io::ErrorKind::StorageFull);
        output.take(Stdout, b"more\n", &mut |_, _| {}).unwrap();
        let (remains, again) = output.finish(&mut |_, _| {});
        assert_eq!(remains.tail, ["line", "more"]);
        assert!(again.is_none(), "said twice");
    }
}
