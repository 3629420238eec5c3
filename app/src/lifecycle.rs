//! Where the process stands between start and exit: one bit, shared by the signal handler and the readiness
//! route.
//!
//! Liveness does not look at it. A process that drains is healthy; restarting it would cut the very requests
//! that it finishes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether new work is welcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Send requests here.
    Ready,
    /// Finishing what is in flight; send new requests elsewhere.
    Draining,
}

/// Shared handle on the [`Phase`]; it only moves forward.
#[derive(Debug, Clone, Default)]
pub struct Lifecycle {
    draining: Arc<AtomicBool>,
}

impl Lifecycle {
    /// The phase right now.
    #[must_use]
    pub fn phase(&self) -> Phase {
        if self.draining.load(Ordering::Acquire) { Phase::Draining } else { Phase::Ready }
    }

    /// Turns readiness red, for good.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draining_reaches_every_handle_and_does_not_go_back() {
        let one = Lifecycle::default();
        let other = one.clone();
        assert_eq!(other.phase(), Phase::Ready);
        one.drain();
        one.drain();
        assert_eq!(other.phase(), Phase::Draining);
    }
}
