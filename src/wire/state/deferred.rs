//! Errors that wait for a pool thread to pass them to the error handler.

use crate::error::OpError;
use std::collections::VecDeque;

/// The limit on waiting errors. Further ones are logged instead.
pub(crate) const MAX_DEFERRED: usize = 256;

/// A queue of errors, which a pool thread empties.
#[derive(Default)]
pub(crate) struct Deferred {
    errors: VecDeque<OpError>,
    /// Whether a pool thread is passing the errors on, or is about to.
    has_thread: bool,
}

impl Deferred {
    /// Queues an error, or gives it back if the queue is full.
    pub(crate) fn push(&mut self, error: OpError) -> Option<OpError> {
        if self.errors.len() >= MAX_DEFERRED {
            return Some(error);
        }
        self.errors.push_back(error);
        None
    }

    /// Claims the thread's job. Returns whether the caller must start the thread
    /// that passes the errors on.
    pub(crate) fn claim_thread(&mut self) -> bool {
        !std::mem::replace(&mut self.has_thread, true)
    }

    /// Notes that no thread could be started. The errors wait for the next claim.
    pub(crate) fn release_thread(&mut self) {
        self.has_thread = false;
    }

    /// Takes the next error. `None` ends the thread's job.
    pub(crate) fn pop(&mut self) -> Option<OpError> {
        let error = self.errors.pop_front();
        if error.is_none() {
            self.release_thread();
        }
        error
    }

    #[cfg(all(test, not(shuttle)))]
    pub(crate) fn has_thread(&self) -> bool {
        self.has_thread
    }
}
