//! The error of a close that could not end everything gracefully.

use super::{printable::PrintableBytes, report::OfPeer};
use crate::wire::session::id::SessionId;
use std::{fmt, io, net::SocketAddr};

/// A close could not end everything gracefully by its deadline.
///
/// Everything has ended nevertheless, except for the handlers and hooks that are
/// counted here.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShutdownError {
    /// The sessions with streams that were cut, or with bytes that the peer may
    /// not have received.
    pub sessions: Vec<CutSession>,
    /// How many handlers and hooks are still running, although every call that
    /// they make to this library fails.
    pub running: usize,
}

/// A session that a close has cut.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CutSession {
    /// The session.
    pub id: SessionId,
    /// The identification of the session's client.
    pub identification: Vec<u8>,
    /// The address of the peer.
    pub peer_addr: Option<SocketAddr>,
    /// How many of its streams were still in use, or not yet accepted by the
    /// peer.
    pub streams: usize,
    /// An upper bound on the bytes of its streams that the peer may not have
    /// received, although their writes returned `Ok`: the peer had not
    /// acknowledged them by the deadline.
    pub unacknowledged: u64,
}

impl fmt::Debug for CutSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CutSession")
            .field("id", &self.id)
            .field("identification", &PrintableBytes(&self.identification))
            .field("peer_addr", &self.peer_addr)
            .field("streams", &self.streams)
            .field("unacknowledged", &self.unacknowledged)
            .finish()
    }
}

impl ShutdownError {
    /// Adds the outcome of another close that ran at the same time.
    pub(crate) fn add(&mut self, other: &Self) {
        for session in &other.sessions {
            if self.sessions.iter().all(|known| known.id != session.id) {
                self.sessions.push(session.clone());
            }
        }
        self.running = self.running.max(other.running);
    }
}

impl std::error::Error for ShutdownError {}

impl fmt::Display for ShutdownError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for session in &self.sessions {
            write!(f, "{separator}{}", Cut(session))?;
            write!(f, "{}", OfPeer(&session.identification, session.peer_addr))?;
            separator = ", ";
        }
        if self.running > 0 {
            let running = self.running;
            write!(
                f,
                "{separator}{running} handlers or hooks are still running"
            )?;
        }
        Ok(())
    }
}

/// Prints the effect of a close on a session.
struct Cut<'a>(&'a CutSession);

impl fmt::Display for Cut<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CutSession {
            id,
            streams,
            unacknowledged,
            ..
        } = self.0;
        if *streams > 0 {
            write!(f, "cut {streams} streams of session {id}")?;
            if *unacknowledged > 0 {
                write!(
                    f,
                    ", where up to {unacknowledged} bytes were not acknowledged"
                )?;
            }
            return Ok(());
        }
        write!(
            f,
            "up to {unacknowledged} bytes of session {id} were not acknowledged"
        )
    }
}

impl From<ShutdownError> for io::Error {
    fn from(error: ShutdownError) -> Self {
        Self::new(io::ErrorKind::TimedOut, error)
    }
}
