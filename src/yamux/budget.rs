//! How far the receive windows of one connection may grow.

use crate::sync::atomic::{AtomicUsize, Ordering};

/// How many bytes all windows of a connection may grow together, beyond their
/// initial size.
#[derive(Debug)]
pub(crate) struct Budget {
    left: AtomicUsize,
}

impl Budget {
    pub(crate) fn new(bytes: usize) -> Self {
        Self {
            left: AtomicUsize::new(bytes),
        }
    }

    pub(crate) fn reserve(&self, bytes: usize) -> bool {
        // Relaxed, because the counter synchronizes no other memory.
        self.left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(bytes)
            })
            .is_ok()
    }

    /// Reserves as much of `bytes` as is left, and returns how much.
    pub(super) fn reserve_up_to(&self, bytes: usize) -> usize {
        let mut taken = 0;
        // Fails if nothing is left; `taken` is 0 then.
        let _ = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                taken = left.min(bytes);
                (taken > 0).then(|| left - taken)
            });
        taken
    }

    #[cfg(any(test, fuzzing))]
    pub(crate) fn left(&self) -> usize {
        self.left.load(Ordering::Relaxed)
    }

    pub(crate) fn release(&self, bytes: usize) {
        self.left.fetch_add(bytes, Ordering::Relaxed);
    }
}
