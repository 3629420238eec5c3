//! Writers that may fail without taking the run with them, and a terminal on top of one.

use indicatif::TermLike;
use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

/// A writer that stops at its first failure and keeps it. A reader that went away must neither panic the run nor cost it its
/// report. Clones write to the same place.
#[derive(Clone)]
pub(super) struct Sink(Arc<Mutex<Inner>>);

struct Inner {
    to: Box<dyn Write + Send>,
    fault: Option<io::Error>,
}

impl Sink {
    pub(super) fn new(to: Box<dyn Write + Send>) -> Self {
        Sink(Arc::new(Mutex::new(Inner { to, fault: None })))
    }

    /// Writes and flushes: a log that is followed, or cut off by a kill, shows all that was said so far.
    pub(super) fn put(&self, text: &str) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.fault.is_none() && !text.is_empty() {
            inner.fault = inner.to.write_all(text.as_bytes()).and_then(|()| inner.to.flush()).err();
        }
    }

    /// What stopped it.
    pub(super) fn fault(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).fault.as_ref().map(io::Error::to_string)
    }
}

/// The two outputs of the process.
pub(super) struct Out {
    /// What lasts: the same for a run and for its replay.
    pub(super) stdout: Sink,
    /// What only lives while the run lives.
    pub(super) stderr: Sink,
}

/// The terminal that standard error is. Not the one that indicatif would open by itself: that one panics when the terminal goes
/// away in the middle of a run (a closed window, a lost connection), and writes around the given writer.
pub(super) struct Terminal {
    sink: Sink,
    /// What is drawn reaches the terminal as one write, so that it does not flicker.
    drawn: Mutex<String>,
}

impl Terminal {
    pub(super) fn new(sink: Sink) -> Self {
        Terminal { sink, drawn: Mutex::default() }
    }

    fn draw(&self, text: &str) -> io::Result<()> {
        self.drawn.lock().unwrap_or_else(PoisonError::into_inner).push_str(text);
        Ok(())
    }

    fn step(&self, n: usize, direction: char) -> io::Result<()> {
        if n == 0 { Ok(()) } else { self.draw(&format!("\u{1b}[{n}{direction}")) }
    }
}

impl fmt::Debug for Terminal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Terminal").finish_non_exhaustive()
    }
}

impl TermLike for Terminal {
    fn width(&self) -> u16 {
        size().0
    }

    fn height(&self) -> u16 {
        size().1
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        self.step(n, 'A')
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.step(n, 'B')
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        self.step(n, 'C')
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        self.step(n, 'D')
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.draw(text)?;
        self.draw("\n")
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.draw(text)
    }

    fn clear_line(&self) -> io::Result<()> {
        self.draw("\r\u{1b}[2K")
    }

    fn flush(&self) -> io::Result<()> {
        let text = std::mem::take(&mut *self.drawn.lock().unwrap_or_else(PoisonError::into_inner));
        self.sink.put(&text);
        Ok(())
    }
}

/// Columns and rows of the terminal that standard error is, asked each time: windows change their size.
fn size() -> (u16, u16) {
    match rustix::termios::tcgetwinsize(io::stderr()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col, size.ws_row),
        Ok(_) | Err(_) => (80, 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A terminal that is gone. Not a real pipe: while another test of this process forks, its child holds both ends of every pipe.
    struct Gone;

    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(rustix::io::Errno::PIPE.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_terminal_that_went_away_is_written_to_once_and_never_fails() {
        let sink = Sink::new(Box::new(Gone));
        let terminal = Terminal::new(sink.clone());
        assert_eq!(sink.fault(), None);
        for _ in 0..2 {
            terminal.write_line("text").unwrap();
            terminal.flush().unwrap();
        }
        assert!(sink.fault().unwrap().starts_with("Broken pipe"));
    }

    #[test]
    fn a_drawing_reaches_the_terminal_as_one_write() {
        let (mut reader, writer) = io::pipe().unwrap();
        let terminal = Terminal::new(Sink::new(Box::new(writer)));
        terminal.move_cursor_up(0).unwrap();
        terminal.move_cursor_up(2).unwrap();
        terminal.clear_line().unwrap();
        terminal.write_str("a").unwrap();
        terminal.flush().unwrap();
        let mut bytes = [0; 64];
        let read = io::Read::read(&mut reader, &mut bytes).unwrap();
        assert_eq!(&bytes[..read], b"\x1b[2A\r\x1b[2Ka");
    }
}
