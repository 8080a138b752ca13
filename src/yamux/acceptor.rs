//! The callback that receives the streams opened by the peer.

use super::core::Incoming;
use crate::sync::atomic::{AtomicBool, Ordering};
use std::{fmt, sync::Arc};

/// A callback for each stream that the peer opens. Runs on the reader's thread, or
/// on a thread started for that purpose, with no lock held. Must not block.
/// Returning `false` refuses the stream.
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

/// Whether a thread is handing over promoted streams, or is about to. Other threads
/// leave the streams to that thread.
#[derive(Debug, Default)]
pub(super) struct HandingOver(AtomicBool);

impl HandingOver {
    /// Claims the job. Returns whether the caller must do it, because no other
    /// thread is doing it.
    pub(super) fn begin(&self) -> bool {
        !self.0.swap(true, Ordering::SeqCst)
    }

    pub(super) fn end(&self) {
        self.0.store(false, Ordering::SeqCst);
    }
}
