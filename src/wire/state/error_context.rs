//! The context in which an error is reported: its session and addresses.

use crate::{
    error::{OpError, Operation},
    transport::canonical,
    wire::session::{id::SessionId, session::Session},
};
use std::net::{SocketAddr, TcpStream};

/// The session and the connection that an error is about, as far as they are known.
#[derive(Clone, Debug, Default)]
pub(crate) struct ErrorContext {
    session: Option<SessionId>,
    pub(crate) identification: Vec<u8>,
    pub(crate) local_addr: Option<SocketAddr>,
    pub(crate) peer_addr: Option<SocketAddr>,
}

impl ErrorContext {
    /// Returns the context of a connection that has no session yet.
    pub(crate) fn connection(stream: &TcpStream) -> Self {
        Self {
            // The system no longer knows the addresses once the peer has closed.
            local_addr: stream.local_addr().ok().map(canonical),
            peer_addr: stream.peer_addr().ok().map(canonical),
            ..Self::default()
        }
    }

    /// Returns the error in the form that the error handler gets.
    pub(crate) fn error(
        self,
        operation: Operation,
        cause: Box<dyn std::error::Error + Send + Sync>,
    ) -> OpError {
        OpError {
            operation,
            session: self.session,
            identification: self.identification,
            local_addr: self.local_addr,
            peer_addr: self.peer_addr,
            cause,
            gives_up: false,
            retry_in: None,
            repeats: false,
        }
    }
}

impl From<&Session> for ErrorContext {
    fn from(session: &Session) -> Self {
        Self {
            session: Some(session.id()),
            identification: session.identification().into(),
            local_addr: session.local_addr(),
            peer_addr: session.peer_addr(),
        }
    }
}

impl From<Option<&Session>> for ErrorContext {
    fn from(session: Option<&Session>) -> Self {
        session.map_or_else(Self::default, Self::from)
    }
}
