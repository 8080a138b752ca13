//! Permissions that the program's code grants: the requests, and the handling of its
//! answers. The code is called with no lock held.

#[cfg(doc)]
use crate::wire::Builder;
use crate::{
    error::{Denied, Operation, PrintableBytes},
    user_code::{Panicked, caught},
    wire::session::wire_threads::set_current_operation,
};
use std::{fmt, net::SocketAddr};

/// A request that [`Builder::access`] decides about.
///
/// Later versions may add variants. A closure should refuse requests that it does
/// not know.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Request<'a> {
    /// A client wants to offer streams of this name. On a hub, it then gets all calls
    /// of other clients to that name.
    Offer {
        /// The client, whose session is being opened.
        who: &'a Caller,
        /// The stream's name.
        name: &'a str,
    },
}

/// The client that makes a [`Request`].
#[derive(Clone)]
pub struct Caller {
    pub(crate) identification: Vec<u8>,
    pub(crate) addr: Option<SocketAddr>,
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller")
            .field("identification", &PrintableBytes(&self.identification))
            .field("addr", &self.addr)
            .finish()
    }
}

impl Caller {
    /// Returns the client's [identification](Builder::identification); empty if it has
    /// none. The client chooses its identification, which is proven only if the
    /// [validator](Builder::token_validator), which has accepted the client's token,
    /// checks that the token belongs to the identification.
    pub fn identification(&self) -> &[u8] {
        &self.identification
    }

    /// Returns the client's address, if the system knows it.
    pub fn addr(&self) -> Option<SocketAddr> {
        self.addr
    }
}

/// The text that the peer gets when the program's code panics. The panic's message must
/// not reach unauthenticated peers.
const FAILED: &str = "wirenet: the validator failed";

/// The program's code did not permit something.
#[derive(Debug)]
pub(crate) enum Rejected {
    Denied(Denied),
    /// The code panicked, which counts as a temporary refusal.
    Panicked(Panicked),
}

impl Rejected {
    /// Returns the refusal for the peer, and the panic, if any, for the error
    /// handler.
    pub(crate) fn split(self) -> (Denied, Option<Panicked>) {
        match self {
            Self::Denied(denied) => (denied, None),
            Self::Panicked(cause) => (Denied::for_now(FAILED), Some(cause)),
        }
    }
}

/// Decides about a token, from the name of a stream, the identification, and the token.
pub(crate) type Validator = Box<dyn Fn(&str, &[u8], &[u8]) -> Result<(), Rejected> + Send + Sync>;

/// Returns a validator that calls the program's code.
pub(crate) fn validator(
    validator: impl Fn(&str, &[u8], &[u8]) -> Result<(), Denied> + Send + Sync + 'static,
) -> Validator {
    Box::new(move |name, id, token| ask("token_validator", || validator(name, id, token)))
}

/// Decides about a request.
pub(crate) type Access = Box<dyn Fn(&Request<'_>) -> Result<(), Rejected> + Send + Sync>;

/// Returns an access rule that calls the program's code.
pub(crate) fn access(
    access: impl Fn(&Request<'_>) -> Result<(), Denied> + Send + Sync + 'static,
) -> Access {
    Box::new(move |request| ask("access", || access(request)))
}

/// Calls the program's code, and catches its panics.
fn ask(hook: &'static str, verdict: impl FnOnce() -> Result<(), Denied>) -> Result<(), Rejected> {
    let _current = set_current_operation(Operation::Hook(hook));
    match caught(verdict) {
        Ok(verdict) => verdict.map_err(Rejected::Denied),
        Err(panicked) => Err(Rejected::Panicked(panicked)),
    }
}
