//! What is called with the streams that the peer opens.

use super::core::Incoming;
use crate::sync::atomic::{AtomicBool, Ordering};
use std::{fmt, sync::Arc};

/// Is called with each stream that the peer opens, on the reader's thread or one
/// started for it, with no lock held. Must not block. Refuses the stream by
/// returning `false`.
#[derive(Clone)]
pub(crate) struct Acceptor(Arc<dyn Fn(Incoming) -> bool + Send + Sync>);

impl Acceptor {
    pub(crate) fn new(accept: impl Fn(Incoming) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(accept))
    }

    pub(crate) fn offer(&self, stream: Incoming) -> bool {
        (self.0)(stream)
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor").finish_non_exhaustive()
    }
}

/// Whether a thread is handing promoted streams over, or is about to. Others leave
/// them to it.
#[derive(Debug, Default)]
pub(super) struct HandingOver(AtomicBool);

impl HandingOver {
    /// Returns whether this falls to the caller, as no other thread does it.
    pub(super) fn begin(&self) -> bool {
        !self.0.swap(true, Ordering::SeqCst)
    }

    pub(super) fn end(&self) {
        self.0.store(false, Ordering::SeqCst);
    }
}
