//! What an [`Error`] prints, and its source.

use super::Error;
use std::{fmt, io};

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(cause) => write!(f, "connection lost: {}", shown(cause)),
            Self::EndedByPeer => f.write_str(
                "connection cut by the peer: its process died, it aborted the connection, its \
                 close ran out of time, or the network between cut it; what was not received \
                 yet is lost",
            ),
            Self::ClosedByPeer => f.write_str("connection closed by the peer"),
            Self::Closed => f.write_str(
                "connection closed on this side: it, or the `Wire` that owns it, was closed or \
                 dropped",
            ),
            Self::Protocol(violation) => write!(f, "protocol error by the peer: {violation}"),
            Self::PeerFailed(code) => write!(
                f,
                "connection ended by the peer with the error code {code}{}; see the peer's log",
                meaning(*code)
            ),
            Self::KeepAlive => f.write_str(
                "connection lost: no answer to a ping in time; the peer hangs, or the network \
                 between is down",
            ),
            Self::WriteTimeout => f.write_str(
                "connection lost: the peer accepted no data within the write timeout; it hangs, \
                 or the network between is down",
            ),
            Self::GoingAway { by_peer: true } => f.write_str(
                "no new streams: the peer is closing this connection; wait for the next one",
            ),
            Self::GoingAway { by_peer: false } => f.write_str(
                "no new streams: this side is closing the connection, or has used all its \
                 stream ids; open the stream on the next one",
            ),
            Self::ResetByPeer(stream) => {
                let why = ": it or its handler failed, it aborted the stream, or it left before \
                           it had read everything; see the peer's log";
                write!(f, "{stream} was reset by the peer{}", stream.if_named(why))
            }
            Self::Reset(stream) => {
                let advice = stream.if_named("; open another one to continue");
                write!(f, "{stream} was reset on this side{advice}")
            }
            Self::StreamClosed(stream) => {
                let advice = stream.if_named("; open another one to continue");
                write!(f, "{stream} was closed on this side{advice}")
            }
            Self::TimedOut(waited) => waited.fmt(f),
        }
    }
}

/// Says what the error code of a go-away means.
fn meaning(code: u32) -> &'static str {
    match code {
        1 => ": it considers something that this side sent a protocol error",
        2 => ": it had an internal error",
        _ => "",
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

/// Returns the cause itself, not the `Arc` around it, so that `downcast_ref` finds it.
impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(cause) => Some(&**cause),
            Self::Protocol(violation) => Some(violation),
            Self::EndedByPeer
            | Self::ClosedByPeer
            | Self::Closed
            | Self::PeerFailed(_)
            | Self::KeepAlive
            | Self::WriteTimeout
            | Self::GoingAway { .. }
            | Self::ResetByPeer(_)
            | Self::Reset(_)
            | Self::StreamClosed(_)
            | Self::TimedOut(_) => None,
        }
    }
}
