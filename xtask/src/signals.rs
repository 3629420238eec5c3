//! Signals to this process become the run's stop signal. The first one stops the run; it ends by itself within 2.5 seconds, so a
//! second one has nothing to add.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::UnboundedSender;
use xtask_core::cancel::{Cancel, CancelSource};
use xtask_core::event::Event;

/// Listens from now on, inside the running runtime.
pub(crate) fn listen(events: UnboundedSender<Event>) -> std::io::Result<Cancel> {
    let (source, cancel) = CancelSource::new();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        let by = tokio::select! {
            _ = interrupt.recv() => "SIGINT",
            _ = terminate.recv() => "SIGTERM",
            _ = hangup.recv() => "SIGHUP",
        };
        let _ = events.send(Event::CancelRequested { by });
        source.raise();
    });
    Ok(cancel)
}
