//! The methods of std's `OnceLock` that do not block.

use shuttle::sync::atomic::{AtomicUsize, Ordering};

#[derive(Debug, Default)]
pub(crate) struct OnceLock<T> {
    value: std::sync::OnceLock<T>,
    /// Counts calls. Each access lets shuttle switch to another thread.
    uses: AtomicUsize,
}

impl<T> OnceLock<T> {
    pub(crate) fn new() -> Self {
        Self {
            value: std::sync::OnceLock::new(),
            uses: AtomicUsize::new(0),
        }
    }

    pub(crate) fn get(&self) -> Option<&T> {
        self.uses.fetch_add(1, Ordering::SeqCst);
        self.value.get()
    }

    pub(crate) fn set(&self, value: T) -> Result<(), T> {
        self.uses.fetch_add(1, Ordering::SeqCst);
        self.value.set(value)
    }
}
