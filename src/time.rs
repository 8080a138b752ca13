//! Deadlines.

use crate::sync::now;
use std::time::{Duration, Instant, SystemTime};

/// As good as for ever, and no overflow.
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// The moment that lies `timeout` ahead; timeouts beyond a hundred years are
/// cut to that.
pub(crate) fn deadline(timeout: Duration) -> Instant {
    now() + timeout.min(FOR_EVER)
}

/// What the clock on the wall says, to be shown to people. No wait depends on
/// it.
#[allow(clippy::disallowed_methods, reason = "the one place")]
pub(crate) fn wall_clock() -> SystemTime {
    SystemTime::now()
}
