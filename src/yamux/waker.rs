//! Wakes a thread that waits for the input of a stream and for something else at once, and so
//! cannot wait for the stream's condition variable.

use crate::sync::atomic::{AtomicBool, Ordering};
use std::fmt;

/// What wakes the thread.
pub(crate) trait Wake: fmt::Debug + Send + Sync {
    /// Called whenever the readers of the stream are woken. No lock is held. The connection's
    /// reader is one of the callers, so this must not block.
    fn wake(&self);
}

/// Whether the thread waits, or is about to. Only then does it need a signal.
///
/// The thread arms this, checks whether what it waits for has happened, and only then waits
/// for the signal.
#[derive(Debug, Default)]
pub(crate) struct Armed(AtomicBool);

#[cfg_attr(not(unix), allow(dead_code))]
impl Armed {
    /// Makes the next [`take`](Self::take) return `true`.
    pub(crate) fn arm(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Returns whether to send the signal; `true` once after each [`arm`](Self::arm).
    pub(crate) fn take(&self) -> bool {
        self.0.swap(false, Ordering::SeqCst)
    }
}
