//! Signals to this process become the run's stop signal. The first one stops the run; it ends by itself within 2.5 seconds, so a
//! second one has nothing to add.

use tokio::signal::unix::{SignalKind, signal};
use xtask_core::cancel::{Cancel, CancelSource};

/// Listens from now on, inside the running runtime. `told` hears the name of the signal before anything stops.
pub fn listen(told: impl FnOnce(&'static str) + Send + 'static) -> std::io::Result<Cancel> {
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
        told(by);
        source.raise();
    });
    Ok(cancel)
}
