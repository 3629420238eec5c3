//! Signals to this process become the run's stop signal. The first one stops the run; it ends by itself within 2.5 seconds, so a
//! second one has nothing to add.
//!
//! Must not decide what a stop means: that is for whoever waits for it.

use crate::cancel::{Cancel, CancelSource};
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use std::io;
use tokio::signal::unix::{SignalKind, signal};

/// What stops a run.
const STOPS: [Signal; 3] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];

/// Listens from now on, inside the running runtime. `told` hears the name of the signal before anything stops. Call it before there
/// are other threads: they could be given a signal that must wait for this one.
///
/// # Errors
/// The system has no room for a handler.
pub fn listen(told: impl FnOnce(&'static str) + Send + 'static) -> io::Result<Cancel> {
    let (source, cancel) = CancelSource::new();
    let [mut interrupt, mut terminate, mut hangup] = held_back(|| {
        Ok([
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
        ])
    })?;
    tokio::spawn(async move {
        let by = tokio::select! {
            _ = interrupt.recv() => Signal::SIGINT,
            _ = terminate.recv() => Signal::SIGTERM,
            _ = hangup.recv() => Signal::SIGHUP,
        };
        told(by.as_str());
        source.raise();
    });
    Ok(cancel)
}

/// Does something while signals wait. A handler is set a moment before it knows what to do: a signal in between would be lost, and the
/// run would go on as if nobody had stopped it.
fn held_back<T>(work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let before = STOPS.into_iter().collect::<SigSet>().thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    let done = work();
    before.thread_set_mask()?;
    done
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::signal::raise;

    #[test]
    fn a_signal_that_comes_while_handlers_are_set_waits_until_they_are() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut heard = held_back(|| {
                // Without the mask this ends the process: nobody listens yet.
                raise(Signal::SIGHUP)?;
                signal(SignalKind::hangup())
            })
            .unwrap();
            heard.recv().await.unwrap();
        });
    }
}
