//! The error of a close that could not end everything gracefully.

use super::{
    printable::PrintableBytes,
    report::{OfPeer, Operation},
};
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
    /// they make to this library fails. A logger that blocks is counted as one.
    pub running: usize,
    /// The first of these, as far as they are known: at most 8, each a
    /// [`Handler`](Operation::Handler), a [`Hook`](Operation::Hook), or
    /// [`Report`](Operation::Report), which is a logger that has not returned.
    pub operations: Vec<Operation>,
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
    /// The names of these streams, each once and in alphabetical order; at most 8.
    pub stream_names: Vec<String>,
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
            .field("stream_names", &self.stream_names)
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
        if other.running > self.running {
            self.running = other.running;
            self.operations.clone_from(&other.operations);
        }
    }
}

impl std::error::Error for ShutdownError {}

impl fmt::Display for ShutdownError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for session in &self.sessions {
            write!(f, "{separator}{}", Cut(session))?;
            separator = "; ";
        }
        if self.running > 0 {
            write!(f, "{separator}still running: {}", Running(self))?;
        }
        Ok(())
    }
}

/// Prints the effect of a close on a session.
struct Cut<'a>(&'a CutSession);

impl fmt::Display for Cut<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let session = self.0;
        if session.identification.is_empty() && session.peer_addr.is_none() {
            write!(f, "session {}: ", session.id)?;
        } else {
            let peer = OfPeer(&session.identification, session.peer_addr);
            write!(f, "session{peer}: ")?;
        }
        if session.streams > 0 {
            let streams = Counted(session.streams, "stream");
            write!(f, "cut {streams}{}", Names(&session.stream_names))?;
        }
        if session.unacknowledged > 0 {
            let separator = if session.streams > 0 { ", " } else { "" };
            let bytes = Counted(session.unacknowledged, "byte");
            write!(f, "{separator}up to {bytes} not acknowledged")?;
        }
        Ok(())
    }
}

/// Prints what keeps running, and how much of it is not known.
struct Running<'a>(&'a ShutdownError);

impl fmt::Display for Running<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ShutdownError {
            running,
            operations,
            ..
        } = self.0;
        let mut separator = "";
        for operation in operations {
            match operation {
                // The error handler is a hook.
                Operation::Report => write!(f, "{separator}the logger")?,
                operation => write!(f, "{separator}{operation}")?,
            }
            separator = ", ";
        }
        match running.saturating_sub(operations.len()) {
            0 => Ok(()),
            others if operations.is_empty() => {
                write!(f, "{others} of the handlers and hooks")
            }
            others => write!(f, " and {}", Counted(others, "other")),
        }
    }
}

/// Prints a number of things, whose noun ends with "s" unless there is one.
struct Counted<N>(N, &'static str);

impl<N: fmt::Display + PartialEq + From<u8>> fmt::Display for Counted<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(count, noun) = self;
        let plural = if *count == N::from(1) { "" } else { "s" };
        write!(f, "{count} {noun}{plural}")
    }
}

/// Prints names in parentheses, if there are any.
struct Names<'a>(&'a [String]);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = " (";
        for name in self.0 {
            write!(f, "{separator}{name:?}")?;
            separator = ", ";
        }
        if self.0.is_empty() {
            Ok(())
        } else {
            f.write_str(")")
        }
    }
}

impl From<ShutdownError> for io::Error {
    fn from(error: ShutdownError) -> Self {
        Self::new(io::ErrorKind::TimedOut, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(streams: usize, names: &[&str], unacknowledged: u64) -> CutSession {
        CutSession {
            id: SessionId::from_bytes(&[0; 16]).unwrap(),
            identification: b"box-1".to_vec(),
            peer_addr: Some(([127, 0, 0, 1], 4711).into()),
            streams,
            stream_names: names.iter().map(ToString::to_string).collect(),
            unacknowledged,
        }
    }

    #[test]
    fn the_text_names_the_peer_then_what_was_cut_and_what_keeps_running() {
        let run = Operation::Handler("run".into());
        for (sessions, running, operations, text) in [
            (
                vec![cut(1, &["echo"], 26)],
                1,
                vec![run.clone()],
                "session of \"box-1\" (127.0.0.1:4711): cut 1 stream (\"echo\"), up to 26 bytes \
                 not acknowledged; still running: handler of stream \"run\"",
            ),
            (
                vec![cut(3, &["a\n", "b"], 0), cut(0, &[], 1)],
                0,
                vec![],
                "session of \"box-1\" (127.0.0.1:4711): cut 3 streams (\"a\\n\", \"b\"); session \
                 of \"box-1\" (127.0.0.1:4711): up to 1 byte not acknowledged",
            ),
            (
                vec![],
                2,
                vec![],
                "still running: 2 of the handlers and hooks",
            ),
            (
                vec![],
                1,
                vec![Operation::Report],
                "still running: the logger",
            ),
            (
                vec![],
                4,
                vec![run, Operation::Hook("on_connect")],
                "still running: handler of stream \"run\", hook on_connect and 2 others",
            ),
        ] {
            let error = ShutdownError {
                sessions,
                running,
                operations,
            };
            assert_eq!(error.to_string(), text);
        }
    }
}
