//! The life of a connection: what has ended, and which side is leaving. Pure.
//!
//! ```text
//!   phase                 streams              outbox       transport
//!
//!   Open                  can be opened        Open         open
//!    │ │ a write fails, not by its timeout
//!    │ ▼
//!    │ WriteFailed         cannot send; what    Ended        open: the reader reads
//!    │ │                   came can be read                  what came before
//!    │ │ close()
//!    ├─┴──▶ Ended          have ended           Finishing    open: the reader waits
//!    │        │                                 (or Ended)   for the peer's end, up to
//!    │ end()  │ end()                                        the write timeout
//!    └────────┴──▶ Ended   have ended           Ended        cut
//! ```
//!
//! Over a transport that cannot end a direction alone, this side's close is complete when the
//! peer has answered a ping after all data, or has closed too, which its second go-away
//! shows. If this side has not closed, that go-away ends the streams, and the reader waits
//! briefly for the peer to cut the transport.
//!
//! `end()` is called for the peer's end, a violation, a failure, and when the write
//! timeout after a `close()` or a failed write has passed. Until the transport is cut,
//! each side may announce that it is leaving:
//!
//! ```text
//!   this side   Staying ─go_away()─▶ GoingAway ─close_when_idle()─▶ WhenIdle ─idle─▶ close()
//!   the peer    Staying ─go-away───▶ GoingAway ─second go-away────▶ Closed
//! ```
//!
//! `shared/ending.rs` decides what this side sends when it closes (a go-away, and
//! in some cases a ping and a second go-away); `shared/lingering.rs` decides how
//! long it then waits.
//!
//! Some state of a connection's end is kept elsewhere:
//!
//! - `Outbox` has a phase of its own, under its own lock, which every frame takes.
//! - `Shared::linger_until` is read before each read of the transport, without a lock.
//! - `Shared::closer` is `None` once the transport is cut. Cutting takes a system
//!   call, and follows the end of the streams.
//! - `Shared::peer_took_all` does not change what may be done; it only goes into
//!   `unacknowledged`.
//! - Threads wait for `ReaderState::done` and for the end of `Pings`, on condition
//!   variables that have their own locks.

use super::error::Error;

/// A connection's life. It is part of the table, under the table's lock.
#[derive(Debug, Default)]
pub(super) struct ConnectionLife {
    phase: Phase,
    ours: OurNotice,
    peers: PeerNotice,
}

/// How far the connection has ended.
#[derive(Debug, Default)]
enum Phase {
    #[default]
    Open,
    /// Nothing more can be sent, for this reason.
    WriteFailed(Error),
    /// The streams have ended, for this reason.
    Ended(Error),
}

/// What this side has announced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd)]
enum OurNotice {
    #[default]
    Staying,
    /// It has sent a go-away: there are no new streams.
    GoingAway,
    /// It also closes the connection when no stream is in use.
    WhenIdle,
}

/// What the peer has announced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum PeerNotice {
    #[default]
    Staying,
    /// It has sent a go-away: there are no new streams.
    GoingAway,
    /// It has sent a second go-away: it has closed, and no longer uses its streams.
    Closed,
}

impl ConnectionLife {
    /// Returns why nothing can be sent; `None` if sending is possible.
    pub(super) fn failure(&self) -> Option<&Error> {
        match &self.phase {
            Phase::Open => None,
            Phase::WriteFailed(error) | Phase::Ended(error) => Some(error),
        }
    }

    /// Returns why the connection has ended; `None` if it has not.
    pub(super) fn end(&self) -> Option<&Error> {
        match &self.phase {
            Phase::Open | Phase::WriteFailed(_) => None,
            Phase::Ended(error) => Some(error),
        }
    }

    /// Notes that nothing more can be sent. The first reason stays.
    pub(super) fn fail_writing(&mut self, error: Error) {
        if matches!(self.phase, Phase::Open) {
            self.phase = Phase::WriteFailed(error);
        }
    }

    /// Ends the connection. Returns whether it had not ended before.
    pub(super) fn end_with(&mut self, error: Error) -> bool {
        let reason = match std::mem::take(&mut self.phase) {
            Phase::Open => error,
            // A broken pipe only says that the connection had ended. The reader knows
            // why, unless it gave up waiting.
            Phase::WriteFailed(first)
                if first.is_broken_pipe() && !matches!(error, Error::Closed) =>
            {
                error
            }
            // The first failure is the cause; an end that is read from the peer
            // afterwards is a consequence.
            Phase::WriteFailed(first) => first,
            Phase::Ended(first) => {
                self.phase = Phase::Ended(first);
                return false;
            }
        };
        self.phase = Phase::Ended(reason);
        true
    }

    /// Notes that this side announces that it is going away. Returns whether it had
    /// not done so before.
    pub(super) fn go_away(&mut self) -> bool {
        let first = self.ours == OurNotice::Staying;
        if first {
            self.ours = OurNotice::GoingAway;
        }
        first
    }

    /// Notes that this side closes the connection when no stream is in use.
    pub(super) fn close_when_idle(&mut self) {
        self.ours = OurNotice::WhenIdle;
    }

    pub(super) fn closes_when_idle(&self) -> bool {
        self.ours == OurNotice::WhenIdle
    }

    /// Handles the peer's go-away.
    pub(super) fn on_go_away(&mut self) {
        self.peers = match self.peers {
            PeerNotice::Staying => PeerNotice::GoingAway,
            PeerNotice::GoingAway | PeerNotice::Closed => PeerNotice::Closed,
        };
    }

    pub(super) fn peer_is_going_away(&self) -> bool {
        self.peers != PeerNotice::Staying
    }

    pub(super) fn peer_has_closed(&self) -> bool {
        self.peers == PeerNotice::Closed
    }

    /// Returns whether either side has announced that it wants no new streams.
    pub(super) fn is_going_away(&self) -> bool {
        self.leaves() || self.peer_is_going_away()
    }

    /// Returns whether this side is going away.
    pub(super) fn leaves(&self) -> bool {
        self.ours != OurNotice::Staying
    }

    /// Returns whether a stream that the peer opens now is refused.
    pub(super) fn refuses_streams(&self) -> bool {
        self.ours != OurNotice::Staying || self.end().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{io, sync::Arc};

    fn io_error(kind: io::ErrorKind) -> Error {
        Error::Io(Arc::new(kind.into()))
    }

    /// Returns the reason that is kept when a write fails and the connection then
    /// ends.
    fn reason(write: io::ErrorKind, end: Error) -> Error {
        let mut life = ConnectionLife::default();
        life.fail_writing(io_error(write));
        assert!(life.end().is_none() && life.failure().is_some());
        assert!(life.end_with(end));
        life.end().unwrap().clone()
    }

    #[test]
    fn the_first_failure_is_the_reason_for_the_end() {
        let reset = io::ErrorKind::ConnectionReset;
        let kept = reason(reset, Error::EndedByPeer);
        assert!(matches!(kept, Error::Io(error) if error.kind() == reset));
        let mut life = ConnectionLife::default();
        assert!(life.end_with(Error::KeepAlive));
        assert!(!life.end_with(Error::Closed));
        life.fail_writing(Error::WriteTimeout);
        assert!(matches!(life.failure(), Some(Error::KeepAlive)));
    }

    #[test]
    fn after_a_broken_pipe_the_reader_knows_the_reason() {
        let pipe = io::ErrorKind::BrokenPipe;
        assert!(matches!(
            reason(pipe, Error::ClosedByPeer),
            Error::ClosedByPeer
        ));
        let kept = reason(pipe, Error::Closed);
        assert!(matches!(kept, Error::Io(error) if error.kind() == pipe));
    }

    #[test]
    fn each_side_announces_once_that_it_goes_away_and_once_that_it_closes() {
        let mut life = ConnectionLife::default();
        assert!(!life.is_going_away() && !life.refuses_streams());
        life.on_go_away();
        assert!(life.peer_is_going_away() && !life.peer_has_closed());
        assert!(!life.refuses_streams());
        life.on_go_away();
        assert!(life.peer_has_closed());
        assert!(life.go_away());
        assert!(!life.go_away() && !life.closes_when_idle());
        life.close_when_idle();
        assert!(!life.go_away() && life.closes_when_idle());
        assert!(life.refuses_streams());
    }
}
