//! How often and how soon a transient failure is tried again.

use crate::cancel::Cancel;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Tries of one stage, the first one included.
const TRIES: u32 = 3;
/// Further tries of a whole run: when everything is throttled, trying everything again makes it worse.
const BUDGET: u32 = 8;

/// What is left of a run's further tries.
#[derive(Debug)]
pub(super) struct Budget(AtomicU32);

impl Default for Budget {
    fn default() -> Self {
        Budget(AtomicU32::new(BUDGET))
    }
}

impl Budget {
    /// How long to wait before the try after `attempt`, or none if there is no further one. `seed` spreads the waits of parallel
    /// stages; any number will do.
    pub(super) fn wait(&self, attempt: u32, seed: u64) -> Option<Duration> {
        if attempt >= TRIES {
            return None;
        }
        let left = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        left.ok().map(|_| {
            let base = 1000_u64 << (2 * (attempt - 1));
            Duration::from_millis(base + seed % base)
        })
    }
}

/// Waits, or returns early when the run is stopped.
pub(super) async fn pause(wait: Duration, cancel: &Cancel) {
    tokio::select! {
        () = tokio::time::sleep(wait) => {}
        () = cancel.raised() => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_is_tried_three_times_with_growing_waits() {
        let budget = Budget::default();
        for seed in [0, 1, 999, u64::MAX] {
            let first = budget.wait(1, seed).unwrap().as_millis();
            assert!((1000..2000).contains(&first), "{first}");
        }
        let second = budget.wait(2, 5).unwrap().as_millis();
        assert!((4000..8000).contains(&second), "{second}");
        assert_eq!(budget.wait(3, 0), None);
    }

    #[test]
    fn a_run_has_a_budget_for_all_of_its_stages() {
        let budget = Budget::default();
        let granted = (0..100).filter(|seed| budget.wait(1, *seed).is_some()).count();
        assert_eq!(granted, BUDGET as usize);
    }
}
