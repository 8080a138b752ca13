//! How a connection ends, and what the peer has received by then.

use super::Connection;
use crate::{
    sync::atomic::Ordering,
    yamux::{error::Error, stream::Stream},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Closing.
impl Connection {
    /// Closes the connection. Its streams end with an error, and every blocked call
    /// returns; what was written before is still sent. Waits up to the write timeout
    /// for the peer to close its side, or, over a transport that [cannot end] a direction
    /// alone, to confirm that it has received everything. Then cuts the transport. May be
    /// called again. Afterwards [`unacknowledged`](Self::unacknowledged) returns how much may
    /// not have arrived.
    ///
    /// [cannot end]: crate::transport::WriteHalf::can_finish
    pub fn close(&self) {
        let shared = &self.handle.shared;
        shared.close();
        if let Some(deadline) = shared.linger_deadline() {
            shared.wait_reader(deadline);
        }
        shared.end(Error::Closed);
    }

    /// Starts to close the connection, without waiting for the peer.
    pub(crate) fn start_close(&self) {
        self.handle.shared.close();
    }

    /// Makes streams [abort](Stream::abort) without a reset, because the peer does
    /// not treat a reset as an error.
    pub(crate) fn avoid_resets(&self) {
        let avoided = &self.handle.shared.avoids_resets;
        avoided.store(true, Ordering::Release);
    }

    /// Refuses new streams, and closes the connection when the open ones have
    /// ended. Does not block.
    pub(crate) fn close_when_idle(&self) {
        self.handle.shared.close_when_idle();
    }

    /// Excludes the stream from those that a close waits for, if the stream belongs
    /// to this connection.
    pub(crate) fn retire(&self, stream: &Stream) {
        if Arc::ptr_eq(stream.shared(), &self.handle.shared) {
            self.handle.shared.retire(stream.core());
        }
    }

    /// Waits until both sides have closed the connection, or the deadline has passed.
    /// Returns the streams that are then still in use, or not yet acknowledged by the
    /// peer: one element for each, with its name if it has one.
    pub(crate) fn wait_closed(&self, deadline: Instant) -> Vec<Option<Arc<str>>> {
        self.handle.shared.wait_reader(deadline);
        let table = self.handle.shared.table.lock();
        match table.life.end() {
            Some(_) => Vec::new(),
            None => table.busy().map(|core| core.name().cloned()).collect(),
        }
    }

    /// Asks the peer to acknowledge what was sent so far, unless it has, or this side has
    /// closed the connection. Does not wait.
    pub(crate) fn ask_for_acknowledgement(&self) {
        self.handle.shared.ask_for_acknowledgement_now();
    }

    /// Returns whether the transport is cut, or was closed by both sides.
    pub(crate) fn is_over(&self) -> bool {
        self.handle.shared.is_over()
    }

    /// Returns how many bytes that were written to streams the peer may not have
    /// received. This is an upper bound: the peer acknowledges at most once a second
    /// while data is sent, and then when the connection is closed. When the peer has
    /// closed gracefully, everything that was written to the transport counts as
    /// acknowledged.
    pub fn unacknowledged(&self) -> u64 {
        self.handle.shared.unacknowledged()
    }

    /// Counts what was sent so far as acknowledged.
    pub(crate) fn assume_delivered(&self) {
        let shared = &self.handle.shared;
        shared.pings.acknowledge(shared.outbox.queued_total());
    }

    /// Notes that the peer sends a go-away when it goes away, and another when it
    /// closes. An end without these is then not graceful.
    pub(crate) fn expect_go_away(&self) {
        let sends = &self.handle.shared.sends_go_away;
        sends.store(true, Ordering::Release);
    }

    /// Checks whether the peer is alive, without waiting: asks it for a sign of life,
    /// and ends the connection if it has been silent since it was asked `patience`
    /// ago. Returns when to check again; `None` if this has ended the connection.
    pub(crate) fn look_for_life(&self, patience: Duration) -> Option<Instant> {
        self.handle.shared.look_for_life(patience)
    }

    /// Ends the connection at once.
    pub(crate) fn cut(&self) {
        self.handle.shared.end(Error::Closed);
    }
}
