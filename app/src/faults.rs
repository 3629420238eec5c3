//! Fault injection, so that a drill can watch a rollout, an alert or a rollback meet a bad build.
//!
//! Only in builds with the feature `faults`, which no release has. `/readyz` and `/livez` misbehave only when
//! told to, so that a slow or failing pod stays in service, where it does the harm that a drill is about.

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use tokio::time::Instant;

/// What the variable `FAULT` should hold.
pub const WANT: &str = "a list, separated by commas, of slow:500ms, error:0.5, crash:start, crash:5s, \
                        never-ready, not-live:5s, leak:1MiB/s, slow-start:10s";

const MILLION: u64 = 1_000_000;

/// What to do badly; by default nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faults {
    /// `slow:500ms`: every request waits as long.
    pub slow: Duration,
    /// `error:0.5`: this share of the requests, in millionths and evenly spread, is answered with 500.
    pub error_millionths: u64,
    /// `crash:start`: the process aborts before it listens; `crash:5s`: so long after.
    pub crash: Option<Crash>,
    /// `never-ready`: `/readyz` is always 503.
    pub never_ready: bool,
    /// `not-live:5s`: `/livez` is 503 once so much time has passed.
    pub not_live: Option<Duration>,
    /// `leak:1MiB/s`: bytes a second that are allocated and never freed.
    pub leak: u64,
    /// `slow-start:10s`: how long it takes until the process listens.
    pub slow_start: Duration,
}

/// When the process aborts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// Before it listens.
    AtStart,
    /// So long after it has begun to.
    After(Duration),
}

/// `FAULT` is not as [`WANT`] says.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not {WANT}")]
pub struct Unknown;

impl FromStr for Faults {
    type Err = Unknown;

    fn from_str(text: &str) -> Result<Self, Unknown> {
        let mut faults = Self::default();
        for fault in text.split(',') {
            match fault.trim().split_once(':').unwrap_or((fault.trim(), "")) {
                ("slow", time) => faults.slow = duration(time)?,
                ("error", share) => faults.error_millionths = millionths(share)?,
                ("crash", "start") => faults.crash = Some(Crash::AtStart),
                ("crash", time) => faults.crash = Some(Crash::After(duration(time)?)),
                ("never-ready", "") => faults.never_ready = true,
                ("not-live", time) => faults.not_live = Some(duration(time)?),
                ("leak", rate) => faults.leak = bytes(rate.strip_suffix("/s").ok_or(Unknown)?)?,
                ("slow-start", time) => faults.slow_start = duration(time)?,
                _ => return Err(Unknown),
            }
        }
        Ok(faults)
    }
}

/// A whole number and what comes behind it.
fn number(text: &str) -> Result<(u64, &str), Unknown> {
    let unit = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit);
    Ok((number.parse().map_err(|_| Unknown)?, unit))
}

fn duration(text: &str) -> Result<Duration, Unknown> {
    let (number, unit) = number(text)?;
    match unit {
        "ms" => Ok(Duration::from_millis(number)),
        "s" => Ok(Duration::from_secs(number)),
        "m" => number.checked_mul(60).map(Duration::from_secs).ok_or(Unknown),
        _ => Err(Unknown),
    }
}

fn bytes(text: &str) -> Result<u64, Unknown> {
    let (number, unit) = number(text)?;
    let unit = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(Unknown),
    };
    number.checked_mul(unit).ok_or(Unknown)
}

/// A share from 0 to 1 with at most six decimals.
fn millionths(text: &str) -> Result<u64, Unknown> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(decimals) || decimals.len() > 6 {
        return Err(Unknown);
    }
    let whole: u64 = whole.parse().map_err(|_| Unknown)?;
    let decimals: u64 = format!("{decimals:0<6}").parse().map_err(|_| Unknown)?;
    let millionths = whole.checked_mul(MILLION).and_then(|whole| whole.checked_add(decimals));
    millionths.filter(|&millionths| millionths <= MILLION).ok_or(Unknown)
}

impl Faults {
    /// What goes wrong before the process listens.
    pub async fn before_listening(&self) {
        if *self != Self::default() {
            tracing::warn!(faults = ?self, "fault injection is on");
        }
        if self.crash == Some(Crash::AtStart) {
            crash();
        }
        tokio::time::sleep(self.slow_start).await;
    }

    /// What goes wrong by itself while the process serves.
    pub async fn while_serving(self) {
        if let Some(Crash::After(time)) = self.crash {
            tokio::spawn(async move {
                tokio::time::sleep(time).await;
                crash();
            });
        }
        // In tenths of a second, so that memory grows like that of a leak and not in steps.
        let tenth = usize::try_from(self.leak / 10).unwrap_or(usize::MAX);
        if tenth == 0 {
            return;
        }
        let mut leaked = Vec::new();
        let mut ticks = tokio::time::interval(Duration::from_millis(100));
        loop {
            ticks.tick().await;
            // Not zero: the kernel gives no memory for pages of zeros.
            leaked.push(vec![1_u8; tenth]);
        }
    }

    /// Puts the faults of requests before every route of `router`.
    pub fn inject(self, router: Router) -> Router {
        let active = Active { faults: self, since: Instant::now(), requests: AtomicU64::new(0) };
        router.layer(middleware::from_fn_with_state(Arc::new(active), misbehave))
    }
}

fn crash() -> ! {
    tracing::error!("crashing, as told");
    std::process::abort()
}

struct Active {
    faults: Faults,
    since: Instant,
    requests: AtomicU64,
}

async fn misbehave(State(active): State<Arc<Active>>, request: Request, next: Next) -> Response {
    let faults = &active.faults;
    match request.uri().path() {
        "/readyz" if faults.never_ready => (StatusCode::SERVICE_UNAVAILABLE, "never ready\n").into_response(),
        "/livez" if faults.not_live.is_some_and(|time| active.since.elapsed() >= time) => {
            (StatusCode::SERVICE_UNAVAILABLE, "not alive\n").into_response()
        }
        "/readyz" | "/livez" => next.run(request).await,
        _ => {
            tokio::time::sleep(faults.slow).await;
            if is_hit(active.requests.fetch_add(1, Ordering::Relaxed), faults.error_millionths) {
                return StatusCode::INTERNAL_SERVER_ERROR.into_response();
            }
            next.run(request).await
        }
    }
}

/// Whether the request with this number is one of the share: counted, not drawn, so that a drill gives the
/// same result each time.
fn is_hit(number: u64, millionths: u64) -> bool {
    // Only where it stands in its million matters, which also keeps the product small.
    let hits = |number: u64| number * millionths / MILLION;
    let number = number % MILLION;
    hits(number + 1) > hits(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_fault_of_the_documented_list_is_read() {
        let all = "slow:500ms, error:0.5,crash:5s,never-ready,not-live:5s,leak:1MiB/s,slow-start:2m";
        let expected = Faults {
            slow: Duration::from_millis(500),
            error_millionths: 500_000,
            crash: Some(Crash::After(Duration::from_secs(5))),
            never_ready: true,
            not_live: Some(Duration::from_secs(5)),
            leak: 1_048_576,
            slow_start: Duration::from_secs(120),
        };
        assert_eq!(all.parse(), Ok(expected));
        assert_eq!("crash:start".parse(), Ok(Faults { crash: Some(Crash::AtStart), ..Faults::default() }));
    }

    #[test]
    fn what_is_not_a_fault_is_refused() {
        for text in [
            "",
            ",",
            "slow",
            "slow:",
            "slow:5",
            "slow:5h",
            "slow:-5s",
            "slow:5 s",
            "SLOW:5s",
            "error:1.1",
            "error:.5",
            "error:1.",
            "error:0.0000001",
            "error:x",
            "crash",
            "crash:soon",
            "never-ready:5s",
            "leak:1MiB",
            "leak:1MB/s",
            "leak:99999999999999999999GiB/s",
            "leak:18446744073709551615GiB/s",
            "slow:18446744073709551615m",
            "error:18446744073709551615",
        ] {
            assert_eq!(text.parse::<Faults>(), Err(Unknown), "{text:?}");
        }
    }

    proptest! {
        // Each case counts a million.
        #![proptest_config(ProptestConfig::with_cases(8))]

        #[test]
        fn a_share_is_met_exactly_over_a_million_requests(millionths in 0..=MILLION, from: u32) {
            let from = u64::from(from);
            let hits = (from..from + MILLION).filter(|&number| is_hit(number, millionths)).count();
            prop_assert_eq!(hits as u64, millionths);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text: String) {
            let _either = text.parse::<Faults>();
        }

        #[test]
        fn a_share_is_spread_evenly(number: u64) {
            prop_assert_ne!(is_hit(number, 500_000), is_hit(number.wrapping_add(1), 500_000));
            prop_assert!(is_hit(number, MILLION) && !is_hit(number, 0));
        }
    }
}
