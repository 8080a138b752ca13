//! Errors of connections and streams.

use super::{
    error_context::{AboutStream, Waited, WaitedFor},
    frame::{HeaderError, StreamId},
};
use std::{io, sync::Arc, time::Duration};

/// Why a connection ended, or a call on it or on a stream failed.
///
/// Cheap to clone: every stream of a connection gets the same error. Converts into
/// [`io::Error`], from which [`io::Error::get_ref`] and `downcast_ref` return this
/// error again.
///
/// Only [`TimedOut`](Self::TimedOut) converts into an error of the kind
/// [`io::ErrorKind::TimedOut`], after which the call may be tried again. The errors that end
/// a connection have other kinds, even if the peer was silent for too long
/// ([`io::ErrorKind::ConnectionAborted`]).
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The transport failed.
    #[error("connection lost: {}", shown(.0))]
    Io(#[source] Arc<io::Error>),
    /// The peer ended the connection inside a frame, or while streams were open, or, if it
    /// uses this library's sessions, without announcing that it closes.
    #[error(
        "connection cut by the peer: its process died, it aborted the connection, its close ran \
         out of time, or the network between cut it; what was not received yet is lost"
    )]
    EndedByPeer,
    /// The peer closed the connection gracefully, after it had sent everything.
    #[error("connection closed by the peer")]
    ClosedByPeer,
    /// The connection was closed on this side.
    #[error(
        "connection closed on this side: it, or the `Wire` that owns it, was closed or dropped"
    )]
    Closed,
    /// The peer violated the protocol. It was sent a go-away with code 1.
    #[error("protocol error by the peer: {0}")]
    Protocol(#[from] Violation),
    /// The peer sent a go-away with an error code: 1 for a protocol error of this
    /// side, 2 for an internal error of the peer.
    #[error("the peer went away with code {0}")]
    PeerFailed(u32),
    /// The peer did not answer a ping in time.
    #[error("no answer to a ping in time")]
    KeepAlive,
    /// The peer accepted no data during the whole write timeout.
    #[error("connection lost: the peer accepted no data within the write timeout")]
    WriteTimeout,
    /// One side is going away, so no stream can be opened. A side also goes away
    /// when it has used all stream ids of the connection, about 2,147,483,647; the
    /// connection then closes once the open streams have ended.
    #[error("no new streams: {}", closing_side(*.by_peer))]
    GoingAway {
        /// Whether only the peer is going away.
        by_peer: bool,
    },
    /// The stream was reset by the peer.
    #[error(
        "{} was reset by the peer{}", .0,
        .0.if_named(
            ": it or its handler failed, it aborted the stream, or it left before it had read \
             everything; see the peer's log"
        )
    )]
    ResetByPeer(AboutStream),
    /// The stream was reset on this side.
    #[error("{0} was reset on this side")]
    Reset(AboutStream),
    /// This side has closed the direction of the stream that the call needs.
    #[error("{} was closed on this side{}", .0, .0.if_named("; open another one to continue"))]
    StreamClosed(AboutStream),
    /// The stream's read or write timeout passed, or another deadline of the call.
    #[error("{0}")]
    TimedOut(Waited),
}

fn closing_side(by_peer: bool) -> &'static str {
    match by_peer {
        true => "the peer is closing this connection; wait for the next one",
        false => "this side is closing the connection, or has used all its stream ids",
    }
}

/// Shows an error of the transport. What rustls reports is explained.
fn shown(error: &io::Error) -> String {
    #[cfg(feature = "tls")]
    if let Some(explained) = crate::tls::explained(error) {
        return explained;
    }
    error.to_string()
}

/// How a peer violated the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// The first bytes that the peer sent are not a header. Contains these bytes.
    #[error(
        "the peer does not speak yamux, or its program printed something first: it began with \
         \"{}\"", .0.escape_ascii()
    )]
    NotYamux([u8; 12]),
    /// A later header is invalid.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// A frame for a stream has the id 0, or a frame for the session has another
    /// id.
    #[error("frame with the invalid stream id {0}")]
    WrongStream(StreamId),
    /// The peer opened a stream with an id of this side's parity.
    #[error(
        "stream {0} opened with an id of the wrong parity; both sides have the same role, or the \
         peer echoes"
    )]
    WrongParity(StreamId),
    /// The peer opened a stream that is already open.
    #[error("stream {0} opened twice")]
    OpenedTwice(StreamId),
    /// The peer sent more data than the window allows.
    #[error("data beyond the window of stream {0}")]
    BeyondWindow(StreamId),
    /// A window update makes the window overflow.
    #[error("window of stream {0} overflows")]
    WindowOverflow(StreamId),
    /// The peer sent data after its own FIN.
    #[error("data after the end of stream {0}")]
    AfterFin(StreamId),
    /// A frame is larger than [`Config::max_frame`](super::Config::max_frame) and
    /// than any window.
    #[error("frame of {0} bytes is too large")]
    FrameTooLarge(u32),
    /// An unauthenticated peer opened a second stream, sent data after its first
    /// stream had ended, or sent more frames than a session request needs.
    #[error("more frames than an unauthenticated peer may send")]
    NotLetIn,
    /// The peer sends requests without reading the answers.
    #[error("too many unread answers")]
    AnswersUnread,
}

impl Error {
    pub(crate) fn from_read(error: io::Error) -> Self {
        Self::Io(Arc::new(error))
    }

    /// A deadline passed that is not a stream's timeout.
    pub(crate) fn timed_out() -> Self {
        Self::TimedOut(Waited::default())
    }

    /// Notes which timeout of a stream passed, if one did.
    pub(super) fn after(
        self,
        waited_for: WaitedFor,
        stream: StreamId,
        timeout: Option<Duration>,
    ) -> Self {
        match (self, timeout) {
            (Self::TimedOut(_), Some(timeout)) => {
                let stream = AboutStream::new(stream);
                Self::TimedOut(Waited(Some((waited_for, stream, timeout))))
            }
            (error, _) => error,
        }
    }

    /// Notes the name of the stream that the error is about, if it is about one.
    pub(crate) fn on_stream(mut self, name: &str) -> Self {
        match &mut self {
            Self::ResetByPeer(stream)
            | Self::Reset(stream)
            | Self::StreamClosed(stream)
            | Self::TimedOut(Waited(Some((_, stream, _)))) => stream.set_name(name),
            _ => {}
        }
        self
    }

    pub(super) fn from_write(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::WouldBlock => Self::WriteTimeout,
            _ => Self::Io(Arc::new(error)),
        }
    }

    /// Returns whether a write failed because the connection had already ended. The
    /// read's error then gives the reason.
    pub(super) fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Io(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// Returns whether one side closed the connection gracefully.
    pub(super) fn is_orderly(&self) -> bool {
        matches!(self, Self::Closed | Self::ClosedByPeer)
    }

    /// Returns the kind of the [`io::Error`] that this error converts into. Callers try again
    /// after `TimedOut`, `WouldBlock` and `Interrupted`, so an error that ends the connection
    /// never has one of these kinds.
    ///
    /// | error | kind |
    /// |---|---|
    /// | [`Io`](Self::Io) | that of the transport's error; [`ConnectionAborted`](io::ErrorKind::ConnectionAborted) instead of `TimedOut`, `WouldBlock` and `Interrupted` |
    /// | [`EndedByPeer`](Self::EndedByPeer), [`ClosedByPeer`](Self::ClosedByPeer), [`ResetByPeer`](Self::ResetByPeer) | [`ConnectionReset`](io::ErrorKind::ConnectionReset) |
    /// | [`Closed`](Self::Closed), [`Reset`](Self::Reset), [`PeerFailed`](Self::PeerFailed), [`GoingAway`](Self::GoingAway), [`KeepAlive`](Self::KeepAlive), [`WriteTimeout`](Self::WriteTimeout) | [`ConnectionAborted`](io::ErrorKind::ConnectionAborted) |
    /// | [`Protocol`](Self::Protocol) | [`InvalidData`](io::ErrorKind::InvalidData) |
    /// | [`TimedOut`](Self::TimedOut) | [`TimedOut`](io::ErrorKind::TimedOut) |
    /// | [`StreamClosed`](Self::StreamClosed) | [`BrokenPipe`](io::ErrorKind::BrokenPipe) |
    pub fn kind(&self) -> io::ErrorKind {
        use io::ErrorKind::{ConnectionAborted, Interrupted, TimedOut, WouldBlock};
        match self {
            Self::Io(error) => match error.kind() {
                TimedOut | WouldBlock | Interrupted => ConnectionAborted,
                kind => kind,
            },
            Self::EndedByPeer | Self::ClosedByPeer | Self::ResetByPeer(_) => {
                io::ErrorKind::ConnectionReset
            }
            Self::Closed
            | Self::Reset(_)
            | Self::PeerFailed(_)
            | Self::GoingAway { .. }
            | Self::KeepAlive
            | Self::WriteTimeout => ConnectionAborted,
            Self::Protocol(_) => io::ErrorKind::InvalidData,
            Self::TimedOut(_) => TimedOut,
            Self::StreamClosed(_) => io::ErrorKind::BrokenPipe,
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        Self::new(error.kind(), error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_error_that_ends_the_connection_asks_to_try_again() {
        use io::ErrorKind::{
            ConnectionAborted, ConnectionReset, Interrupted, TimedOut, WouldBlock,
        };
        for kind in [TimedOut, WouldBlock, Interrupted] {
            let error = Error::from_read(kind.into());
            let Error::Io(source) = &error else {
                panic!("{error:?}");
            };
            assert_eq!(source.kind(), kind);
            assert_eq!(error.kind(), ConnectionAborted);
        }
        for error in [Error::KeepAlive, Error::WriteTimeout] {
            assert_eq!(error.kind(), ConnectionAborted);
        }
        let reset = Error::from_read(ConnectionReset.into());
        assert_eq!(reset.kind(), ConnectionReset);
        assert_eq!(Error::timed_out().kind(), TimedOut);
    }
}
