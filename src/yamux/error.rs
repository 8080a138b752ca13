//! What can go wrong with a connection or a stream.

use super::frame::{HeaderError, StreamId};
use std::{io, sync::Arc};

/// Why a connection ended, or a call on it or on a stream failed.
///
/// Cheap to clone: one cause reaches every stream of a connection. Converts
/// into [`io::Error`], inside of which it stays reachable with
/// [`io::Error::get_ref`] and `downcast_ref`.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The transport failed.
    #[error("connection lost: {0}")]
    Io(#[source] Arc<io::Error>),
    /// The peer ended the connection inside of a frame, or of a stream.
    #[error("connection cut by the peer")]
    EndedByPeer,
    /// The peer closed the connection when all that it had to send was sent.
    #[error("connection closed by the peer")]
    ClosedByPeer,
    /// The connection was closed on this side.
    #[error("connection closed")]
    Closed,
    /// The peer broke the protocol; it was told so.
    #[error("protocol error by the peer: {0}")]
    Protocol(#[from] Violation),
    /// The peer sent a go-away with an error code: 1 says that we broke the
    /// protocol, 2 that it failed inside.
    #[error("the peer went away with code {0}")]
    PeerFailed(u32),
    /// The peer did not answer a ping in time.
    #[error("no answer to a ping in time")]
    KeepAlive,
    /// The peer took nothing of what was sent for the whole write timeout.
    #[error("nothing could be written within the write timeout")]
    WriteTimeout,
    /// One side said that it is going away: no stream can be opened. So does a
    /// side that has opened all the streams that a connection can number, which
    /// are 2,147,483,647 or so; the connection closes when those that are open
    /// have ended.
    #[error("no new streams: the connection is going away")]
    GoingAway,
    /// The stream was reset by the peer.
    #[error("stream reset by the peer")]
    ResetByPeer,
    /// The stream was reset on this side.
    #[error("stream reset")]
    Reset,
    /// The stream was closed on this side for what was asked of it.
    #[error("stream closed")]
    StreamClosed,
    /// The stream's read or write timeout passed.
    #[error("timed out")]
    TimedOut,
}

/// How a peer broke the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// A header that is none.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// A frame that belongs to a stream came for stream 0, or the reverse.
    #[error("frame for stream {0}, which it cannot be for")]
    WrongStream(StreamId),
    /// The peer opened a stream with an id of our parity.
    #[error("stream {0} opened with an id that is not the peer's")]
    WrongParity(StreamId),
    /// The peer opened a stream that is open.
    #[error("stream {0} opened twice")]
    OpenedTwice(StreamId),
    /// More data than the window that was granted.
    #[error("data beyond the window of stream {0}")]
    BeyondWindow(StreamId),
    /// A window update that makes the window overflow.
    #[error("window of stream {0} overflows")]
    WindowOverflow(StreamId),
    /// Data after the peer's own FIN.
    #[error("data after the end of stream {0}")]
    AfterFin(StreamId),
    /// A frame larger than [`Config::max_frame`](super::Config::max_frame), and
    /// than any window.
    #[error("frame of {0} bytes")]
    FrameTooLarge(u32),
    /// A second stream, data when the first is gone, or more frames than it
    /// takes to ask to be let in, from a peer that has not been.
    #[error("more than a peer may send that was not let in")]
    NotLetIn,
    /// The peer asks without end and reads no answers.
    #[error("answers left unread")]
    AnswersUnread,
}

impl Error {
    pub(crate) fn from_read(error: io::Error) -> Self {
        Self::Io(Arc::new(error))
    }

    pub(super) fn from_write(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::WouldBlock => Self::WriteTimeout,
            _ => Self::Io(Arc::new(error)),
        }
    }

    /// Whether a write failed because the connection had ended before: what is
    /// read tells how.
    pub(super) fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Io(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// Whether the connection ended because one side closed it.
    pub(super) fn is_orderly(&self) -> bool {
        matches!(self, Self::Closed | Self::ClosedByPeer)
    }

    fn kind(&self) -> io::ErrorKind {
        match self {
            Self::Io(error) => error.kind(),
            Self::EndedByPeer | Self::ClosedByPeer | Self::ResetByPeer => {
                io::ErrorKind::ConnectionReset
            }
            Self::Closed | Self::Reset | Self::PeerFailed(_) | Self::GoingAway => {
                io::ErrorKind::ConnectionAborted
            }
            Self::Protocol(_) => io::ErrorKind::InvalidData,
            Self::KeepAlive | Self::WriteTimeout | Self::TimedOut => io::ErrorKind::TimedOut,
            Self::StreamClosed => io::ErrorKind::BrokenPipe,
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        Self::new(error.kind(), error)
    }
}
