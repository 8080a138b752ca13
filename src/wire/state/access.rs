//! What the user's code is asked before something is let happen, and what comes
//! of its answer. It runs with no lock held.

#[cfg(doc)]
use crate::wire::Builder;
use crate::{
    error::{Denied, Panicked},
    guard::caught,
};
use std::net::SocketAddr;

/// A request that [`Builder::access`] decides about.
///
/// Later versions add variants. A closure should refuse those that it does not know.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Request<'a> {
    /// To have the streams of this name. On a hub, the calls of all its clients.
    Offer {
        /// The client whose session is being opened.
        who: &'a Caller,
        /// The stream's name.
        name: &'a str,
    },
}

/// Who wants something.
#[derive(Clone, Debug)]
pub struct Caller {
    pub(crate) identification: Vec<u8>,
    pub(crate) addr: Option<SocketAddr>,
}

impl Caller {
    /// What it calls itself; empty if it does not say. That is proven as far as
    /// the [validator](Builder::token_validator) proves it, which has accepted
    /// its token.
    pub fn identification(&self) -> &[u8] {
        &self.identification
    }

    /// The address of its end of the connection.
    pub fn addr(&self) -> Option<SocketAddr> {
        self.addr
    }
}

/// What the other side is told where the user's code panicked: the rest is
/// nothing to strangers.
const FAILED: &str = "wirenet: the validator failed";

/// The user's code did not say yes.
#[derive(Debug)]
pub(crate) enum Rejected {
    Denied(Denied),
    /// It said nothing, which is no answer for good.
    Panicked(Panicked),
}

impl Rejected {
    /// What is said to the other side; and for the error handler, that the code
    /// has panicked.
    pub(crate) fn split(self) -> (Denied, Option<Panicked>) {
        match self {
            Self::Denied(denied) => (denied, None),
            Self::Panicked(cause) => (Denied::for_now(FAILED), Some(cause)),
        }
    }
}

/// Asks the user's code.
pub(crate) fn ask(verdict: impl FnOnce() -> Result<(), Denied>) -> Result<(), Rejected> {
    match caught(verdict) {
        Ok(verdict) => verdict.map_err(Rejected::Denied),
        Err(panicked) => Err(Rejected::Panicked(panicked)),
    }
}
