//! Errors that no call can return, which go to the error handler.

use super::printable::PrintableBytes;
use crate::wire::session::id::SessionId;
use std::{fmt, net::SocketAddr};

/// An error that no call can return, as it is reported to the
/// [error handler](crate::Builder::on_error).
#[derive(thiserror::Error)]
#[error("{operation}{}: {cause}", OfPeer(.identification, *.peer_addr))]
#[non_exhaustive]
pub struct OpError {
    /// The operation that failed.
    pub operation: Operation,
    /// The session that the operation belongs to, once there is one.
    pub session: Option<SessionId>,
    /// The identification of that session's client.
    pub identification: Vec<u8>,
    /// The local address of the connection.
    pub local_addr: Option<SocketAddr>,
    /// The address of the peer.
    pub peer_addr: Option<SocketAddr>,
    /// Why the operation failed.
    #[source]
    pub cause: Box<dyn std::error::Error + Send + Sync>,
}

impl fmt::Debug for OpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpError")
            .field("operation", &self.operation)
            .field("session", &self.session)
            .field("identification", &PrintableBytes(&self.identification))
            .field("local_addr", &self.local_addr)
            .field("peer_addr", &self.peer_addr)
            .field("cause", &self.cause)
            .finish()
    }
}

/// The operation that an [`OpError`] is about.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operation {
    /// Accepting a connection.
    Accept,
    /// Connecting to the server. The client retries.
    Dial,
    /// Opening a session.
    Handshake,
    /// Serving a session.
    Session,
    /// Opening the stream of this name on behalf of the peer.
    OpenStream(String),
    /// Running the handler of the stream of this name.
    Handler(String),
    /// Running the hook of this name.
    Hook(&'static str),
    /// Closing a wire whose last handle was dropped.
    Close,
    /// Reporting errors: some were dropped, because the error handler or the logger is
    /// too slow, or had to wait, because no thread could be started.
    Report,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accept => write!(f, "accept"),
            Self::Dial => write!(f, "dial"),
            Self::Handshake => write!(f, "handshake"),
            Self::Session => write!(f, "session"),
            Self::OpenStream(name) => write!(f, "open of stream {name:?}"),
            Self::Handler(name) => write!(f, "handler of stream {name:?}"),
            Self::Hook(name) => write!(f, "hook {name}"),
            Self::Close => write!(f, "close"),
            Self::Report => write!(f, "report"),
        }
    }
}

/// Prints the peer that an error is about, as far as it is known.
pub(super) struct OfPeer<'a>(pub(super) &'a [u8], pub(super) Option<SocketAddr>);

impl fmt::Display for OfPeer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.0.is_empty() {
            write!(f, " of {}", PrintableBytes(self.0))?;
        }
        match self.1 {
            Some(addr) => write!(f, " ({addr})"),
            None => Ok(()),
        }
    }
}
