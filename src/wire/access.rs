//! What the user's code is asked before something is let happen, and what comes
//! of its answer. It runs with no lock held.

use crate::error::{Denied, Panicked};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What the other side is told where the user's code panicked: the rest is
/// nothing to strangers.
const FAILED: &str = "wirenet: the validator failed";

/// The user's code did not say yes.
#[derive(Debug)]
pub(super) enum Rejected {
    Denied(Denied),
    /// It said nothing, which is no answer for good.
    Panicked(Panicked),
}

impl Rejected {
    /// What is said to the other side; and for the error handler, that the code
    /// has panicked.
    pub(super) fn split(self) -> (Denied, Option<Panicked>) {
        match self {
            Self::Denied(denied) => (denied, None),
            Self::Panicked(cause) => (Denied::for_now(FAILED), Some(cause)),
        }
    }
}

/// Asks the user's code.
pub(super) fn ask(verdict: impl FnOnce() -> Result<(), Denied>) -> Result<(), Rejected> {
    match catch_unwind(AssertUnwindSafe(verdict)) {
        Ok(verdict) => verdict.map_err(Rejected::Denied),
        Err(payload) => Err(Rejected::Panicked(Panicked::from_payload(&*payload))),
    }
}
