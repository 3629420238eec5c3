//! How often, how soon and how long in all a registry is asked again. Pure: the time comes in.

use jiff::Timestamp;
use std::time::Duration;

/// How patient a push is.
#[derive(Debug, Clone)]
pub(super) struct Patience {
    /// Tries of one step, the first one included.
    pub(super) tries: u32,
    /// The wait after the first try; it doubles, and up to as much again is added.
    pub(super) first: Duration,
    /// All waits of one push together.
    pub(super) budget: Duration,
    /// How long a connection may be silent before it counts as lost.
    pub(super) silence: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Patience {
            tries: 6,
            first: Duration::from_secs(1),
            budget: Duration::from_secs(120),
            silence: Duration::from_secs(60),
        }
    }
}

impl Patience {
    /// That of a look: somebody waits for what comes after it, and that nothing was seen is an answer too.
    pub(super) fn of_a_look() -> Patience {
        let (budget, silence) = (Duration::from_secs(10), Duration::from_secs(10));
        Patience { tries: 3, budget, silence, ..Patience::default() }
    }

    /// How long to wait after try `attempt`, or none if that was the last one. `asked` is what the registry wants, and is never
    /// undercut; `waited` is what this push has waited already. `seed` spreads the waits of many clients: any number will do.
    pub(super) fn wait(
        &self,
        attempt: u32,
        asked: Option<Duration>,
        waited: Duration,
        seed: u64,
    ) -> Option<Duration> {
        if attempt >= self.tries {
            return None;
        }
        let base = self.first * 2_u32.saturating_pow(attempt.saturating_sub(1).min(16));
        let spread = |most: Duration| {
            let nanos = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX).max(1);
            Duration::from_nanos(seed % nanos)
        };
        let wait = match asked {
            Some(asked) => asked.max(base).saturating_add(spread(self.first)),
            None => base + spread(base),
        };
        (waited.saturating_add(wait) <= self.budget).then_some(wait)
    }
}

/// What `Retry-After` asks for: seconds, or a date. None for anything else, as if it were not there.
pub(super) fn retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let until = jiff::fmt::rfc2822::parse(value).ok()?.timestamp();
    // A date that has passed asks for nothing.
    Some(Duration::try_from(until.duration_since(now)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(attempt: u32, asked: Option<u64>, waited: u64, seed: u64) -> Option<Duration> {
        let second = Duration::from_secs;
        Patience::default().wait(attempt, asked.map(second), second(waited), seed)
    }

    #[test]
    fn waits_double_are_spread_and_end() {
        for seed in [0, 1, 999_999_999, u64::MAX] {
            for (attempt, base) in [(1, 1000), (2, 2000), (3, 4000), (4, 8000), (5, 16000)] {
                let wait = wait(attempt, None, 0, seed).unwrap().as_millis();
                assert!((base..2 * base).contains(&wait), "{attempt}: {wait}");
            }
            assert_eq!(wait(6, None, 0, seed), None);
        }
        assert_ne!(wait(1, None, 0, 1), wait(1, None, 0, 500_000_000));
    }

    #[test]
    fn a_registry_is_never_asked_earlier_than_it_wants_to_be() {
        for seed in [0, 7, u64::MAX] {
            let wait = wait(1, Some(30), 0, seed).unwrap();
            assert!((30..31).contains(&wait.as_secs()), "{wait:?}");
        }
        assert!(wait(4, Some(0), 0, 0).unwrap() >= Duration::from_secs(8), "nor than we would");
    }

    #[test]
    fn all_waits_together_stay_within_the_budget() {
        assert!(wait(1, Some(60), 50, 0).is_some());
        assert_eq!(wait(1, Some(60), 61, 0), None);
        assert_eq!(wait(1, Some(3600), 0, 0), None);
        assert_eq!(wait(1, Some(u64::MAX), 0, u64::MAX), None);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_and_nonsense_asks_for_nothing() {
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        let table = [
            ("0", Some(0)),
            (" 120 ", Some(120)),
            ("Sat, 21 Nov 2026 12:00:30 GMT", Some(30)),
            ("Sat, 21 Nov 2026 11:00:00 GMT", Some(0)),
            ("", None),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
            ("Sat, 21 Nov 2026", None),
        ];
        for (value, expected) in table {
            assert_eq!(retry_after(value, now), expected.map(Duration::from_secs), "{value}");
        }
    }
}
