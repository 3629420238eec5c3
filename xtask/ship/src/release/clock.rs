//! The time of day of a release: for journals, reports and windows in which nothing is released. Deadlines never use it.

use jiff::Timestamp;

/// Now, to the microsecond: the cluster keeps no more.
pub(crate) fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
}
