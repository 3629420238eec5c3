//! The stop signal: one owner raises it, everyone may wait for it. It carries no reason and cannot be lowered.

use tokio::sync::watch;

/// The raising half. Dropping it does not raise it.
#[derive(Debug)]
pub struct CancelSource(watch::Sender<bool>);

/// The waiting half; cheap to clone.
#[derive(Debug, Clone)]
pub struct Cancel(watch::Receiver<bool>);

impl CancelSource {
    /// A source and its first waiting half.
    pub fn new() -> (Self, Cancel) {
        let (sender, receiver) = watch::channel(false);
        (CancelSource(sender), Cancel(receiver))
    }

    /// Stops everything that waits. A second call does nothing.
    pub fn raise(&self) {
        self.0.send_replace(true);
    }
}

impl Cancel {
    /// Whether the stop was raised.
    pub fn is_raised(&self) -> bool {
        *self.0.borrow()
    }

    /// Returns when the stop is raised; never, if its source is gone without raising it.
    pub async fn raised(&self) {
        let mut receiver = self.0.clone();
        if receiver.wait_for(|raised| *raised).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
