//! What the run and its guard say to each other: frames of a length (four bytes, little-endian) and that many bytes.
//!
//! Both ends are always the same binary, so there is no version. Descriptors travel beside the frames.

use super::command::{StopPolicy, StopSignal};
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::time::Duration;

/// Several times what Linux passes to a program, so that it is the system that says what is too long.
const LONGEST_FRAME: usize = 16 << 20;

/// The run's number of a task.
pub(super) type TaskId = u64;

/// What the run asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// Start a task. Its descriptors come along: standard output, standard error and, if `stdin`, standard input.
    Spawn(Spawn),
    /// Ask a task to stop, and kill it after its grace.
    Stop(TaskId),
}

/// A task to start.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Spawn {
    pub(super) id: TaskId,
    pub(super) program: PathBuf,
    pub(super) args: Vec<OsString>,
    pub(super) cwd: PathBuf,
    pub(super) env: Vec<(OsString, OsString)>,
    pub(super) stdin: bool,
    pub(super) stop: StopPolicy,
}

/// What the guard answers, once for each task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reply {
    /// The system refused.
    Refused { id: TaskId, errno: i32 },
    /// The task's first process ended, and nothing that it left behind runs any more.
    Exited { id: TaskId, status: Status },
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Code(i32),
    Signal(i32),
}

/// Bytes that are not what the other end sends.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// Puts the frames together again.
#[derive(Debug, Default)]
pub(super) struct Frames(Vec<u8>);

impl Frames {
    /// Takes what was received.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// The next frame that is complete, without its length.
    pub(super) fn next(&mut self) -> Result<Option<Vec<u8>>, Malformed> {
        let Some((length, rest)) = self.0.split_first_chunk::<4>() else {
            return Ok(None);
        };
        let length = u32::from_le_bytes(*length) as usize;
        if length > LONGEST_FRAME {
            return Err(Malformed);
        }
        let Some(frame) = rest.get(..length).map(<[u8]>::to_vec) else {
            return Ok(None);
        };
        self.0.drain(..4 + length);
        if self.0.is_empty() {
            // A megabyte of arguments once should not be a megabyte for ever.
            self.0.shrink_to(4096);
        }
        Ok(Some(frame))
    }
}

impl Request {
    /// The frame with its length, or none if it is longer than any system could use.
    pub(super) fn frame(&self) -> Option<Vec<u8>> {
        let mut out = Writer::default();
        match self {
            Request::Spawn(spawn) => {
                out.u8(0);
                out.u64(spawn.id);
                out.string(spawn.program.as_os_str().as_bytes());
                out.string(spawn.cwd.as_os_str().as_bytes());
                out.u8(u8::from(spawn.stdin));
                out.u8(match spawn.stop.signal {
                    StopSignal::Interrupt => 0,
                    StopSignal::Terminate => 1,
                });
                out.u64(u64::try_from(spawn.stop.grace.as_millis()).unwrap_or(u64::MAX));
                out.u64(spawn.args.len() as u64);
                spawn.args.iter().for_each(|arg| out.string(arg.as_bytes()));
                for (name, value) in &spawn.env {
                    out.string(name.as_bytes());
                    out.string(value.as_bytes());
                }
            }
            Request::Stop(id) => {
                out.u8(1);
                out.u64(*id);
            }
        }
        out.frame()
    }

    /// Reads a frame.
    pub(super) fn parse(frame: &[u8]) -> Result<Request, Malformed> {
        let mut input = Reader(frame);
        match input.u8()? {
            0 => Ok(Request::Spawn(input.spawn()?)),
            1 => {
                let id = input.u64()?;
                input.end()?;
                Ok(Request::Stop(id))
            }
            _ => Err(Malformed),
        }
    }
}

impl Reply {
    /// The frame with its length.
    pub(super) fn frame(self) -> Vec<u8> {
        let (kind, id, value) = match self {
            Reply::Refused { id, errno } => (0, id, errno),
            Reply::Exited { id, status: Status::Code(code) } => (1, id, code),
            Reply::Exited { id, status: Status::Signal(signal) } => (2, id, signal),
        };
        let mut out = Writer::default();
        out.u8(kind);
        out.u64(id);
        out.i32(value);
        out.frame().unwrap_or_default()
    }

    /// Reads a frame.
    pub(super) fn parse(frame: &[u8]) -> Result<Reply, Malformed> {
        let mut input = Reader(frame);
        let (kind, id, value) = (input.u8()?, input.u64()?, input.i32()?);
        input.end()?;
        match kind {
            0 => Ok(Reply::Refused { id, errno: value }),
            1 => Ok(Reply::Exited { id, status: Status::Code(value) }),
            2 => Ok(Reply::Exited { id, status: Status::Signal(value) }),
            _ => Err(Malformed),
        }
    }
}

/// Writes one frame; the first four bytes are for its length.
struct Writer(Vec<u8>);

impl Default for Writer {
    fn default() -> Self {
        Writer(vec![0; 4])
    }
}

impl Writer {
    fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    fn u64(&mut self, value: u64) {
        self.0.extend(value.to_le_bytes());
    }

    fn i32(&mut self, value: i32) {
        self.0.extend(value.to_le_bytes());
    }

    fn string(&mut self, value: &[u8]) {
        self.u64(value.len() as u64);
        self.0.extend(value);
    }

    fn frame(mut self) -> Option<Vec<u8>> {
        let length =
            u32::try_from(self.0.len() - 4).ok().filter(|&length| length as usize <= LONGEST_FRAME)?;
        self.0[..4].copy_from_slice(&length.to_le_bytes());
        Some(self.0)
    }
}

/// Reads one frame from its front.
struct Reader<'f>(&'f [u8]);

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (array, rest) = self.0.split_first_chunk().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*array)
    }

    fn u8(&mut self) -> Result<u8, Malformed> {
        self.array().map(u8::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_le_bytes)
    }

    fn i32(&mut self) -> Result<i32, Malformed> {
        self.array().map(i32::from_le_bytes)
    }

    fn string(&mut self) -> Result<OsString, Malformed> {
        let length = usize::try_from(self.u64()?).map_err(|_| Malformed)?;
        let (string, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(OsString::from_vec(string.to_vec()))
    }

    fn spawn(&mut self) -> Result<Spawn, Malformed> {
        let id = self.u64()?;
        let program = self.string()?.into();
        let cwd = self.string()?.into();
        let stdin = self.u8()? == 1;
        let signal = match self.u8()? {
            0 => StopSignal::Interrupt,
            1 => StopSignal::Terminate,
            _ => return Err(Malformed),
        };
        let stop = StopPolicy { signal, grace: Duration::from_millis(self.u64()?) };
        let args = (0..self.u64()?).map(|_| self.string()).collect::<Result<_, _>>()?;
        let mut env = Vec::new();
        while !self.0.is_empty() {
            env.push((self.string()?, self.string()?));
        }
        Ok(Spawn { id, program, args, cwd, env, stdin, stop })
    }

    fn end(&self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spawn() -> Request {
        Request::Spawn(Spawn {
            id: 7,
            program: "/bin/sh".into(),
            args: vec!["-c".into(), "".into(), OsString::from_vec(b"\xff\xfe".to_vec())],
            cwd: "/tmp".into(),
            env: vec![("A".into(), "".into()), ("B".into(), "x\ny".into())],
            stdin: true,
            stop: StopPolicy { signal: StopSignal::Interrupt, grace: Duration::from_millis(250) },
        })
    }

    fn replies() -> [Reply; 3] {
        [
            Reply::Refused { id: u64::MAX, errno: 2 },
            Reply::Exited { id: 3, status: Status::Code(255) },
            Reply::Exited { id: 4, status: Status::Signal(9) },
        ]
    }

    #[test]
    fn what_is_sent_is_what_arrives_however_the_bytes_are_cut() {
        let requests = [spawn(), Request::Stop(9)];
        let bytes: Vec<u8> = requests.iter().flat_map(|request| request.frame().unwrap()).collect();
        for size in [1, 2, 3, 5, 64, bytes.len()] {
            let mut frames = Frames::default();
            let mut arrived = Vec::new();
            for piece in bytes.chunks(size) {
                frames.push(piece);
                while let Some(frame) = frames.next().unwrap() {
                    arrived.push(Request::parse(&frame).unwrap());
                }
            }
            assert_eq!(arrived, requests);
        }
        for reply in replies() {
            assert_eq!(Reply::parse(&reply.frame()[4..]), Ok(reply));
        }
    }

    #[test]
    fn a_frame_with_a_piece_missing_or_too_much_is_refused() {
        let frame = Request::Stop(9).frame().unwrap();
        for end in 4..frame.len() {
            assert_eq!(Request::parse(&frame[4..end]), Err(Malformed));
        }
        let frame = spawn().frame().unwrap();
        let whole: Vec<usize> =
            (4..frame.len()).filter(|&end| Request::parse(&frame[4..end]).is_ok()).collect();
        // The environment has no count of its own: a frame that ends after a whole variable is a shorter environment.
        assert_eq!(whole.len(), 2, "{whole:?}");
        for reply in replies() {
            let mut frame = reply.frame();
            assert_eq!(Reply::parse(&frame[4..frame.len() - 1]), Err(Malformed));
            frame.push(0);
            assert_eq!(Reply::parse(&frame[4..]), Err(Malformed));
        }
    }

    #[test]
    fn lengths_that_cannot_be_are_refused_before_anything_is_allocated() {
        let mut frames = Frames::default();
        frames.push(&[0xff; 8]);
        assert_eq!(frames.next(), Err(Malformed));
        let mut request = vec![0];
        request.extend([0xff; 40]);
        assert_eq!(Request::parse(&request), Err(Malformed));
    }
}
