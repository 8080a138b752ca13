//! Deadlines.

use crate::sync::now;
use std::time::{Duration, Instant, SystemTime};

/// Practically forever, and small enough not to overflow an `Instant`.
const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Returns the moment when `timeout` has passed. Timeouts are capped at a
/// hundred years.
pub(crate) fn deadline(timeout: Duration) -> Instant {
    now() + timeout.min(FOREVER)
}

/// Returns the time of day, for display only: deadlines use the monotonic clock.
#[allow(clippy::disallowed_methods, reason = "the only caller")]
pub(crate) fn wall_clock() -> SystemTime {
    SystemTime::now()
}
