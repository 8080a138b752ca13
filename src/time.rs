//! Deadlines.

use crate::sync::now;
use std::{
    fmt,
    time::{Duration, Instant, SystemTime},
};

/// Practically forever, and small enough not to overflow an `Instant`.
const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Returns the moment when `timeout` has passed. Timeouts are capped at a
/// hundred years.
pub(crate) fn deadline(timeout: Duration) -> Instant {
    now() + timeout.min(FOREVER)
}

/// Displays a duration with a space before its unit, as in `50 ms`.
pub(crate) struct Spaced(pub(crate) Duration);

impl fmt::Display for Spaced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{:?}", self.0);
        let number = text.trim_end_matches(|c: char| !c.is_ascii_digit());
        write!(f, "{number} {}", &text[number.len()..])
    }
}

/// Returns the time of day, for display only: deadlines use the monotonic clock.
#[allow(clippy::disallowed_methods, reason = "the only caller")]
pub(crate) fn wall_clock() -> SystemTime {
    SystemTime::now()
}
