//! What streams, outboxes and connections know of a relay. The implementation is in
//! [`pair`], which a program without a hub does not link; [`framing`] is what a relay
//! knows of the protocol whose bytes it passes on.
//!
//! A relay that is served queues frames on two connections. It does not write the
//! frames, because writing makes room for other relays, and serving those would
//! recurse from one connection to the next. Instead, it adds the connections to a
//! [`Flushes`], and the caller flushes them one after the other.

pub(super) mod framing;
pub(super) mod pair;

use std::{collections::VecDeque, fmt, sync::Arc};

/// One of the two ends of a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RelayEnd {
    A,
    B,
}

impl RelayEnd {
    pub(super) const BOTH: [Self; 2] = [Self::A, Self::B];

    pub(super) fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

/// Two streams of two connections, joined.
pub(super) trait Relay: fmt::Debug + Send + Sync {
    /// Passes on whatever it can. Called when something may have been received,
    /// granted or ended at either end.
    fn pump(self: Arc<Self>, due: &mut Flushes);

    /// Uses the room in the outbox of the leg at `to` for one frame, and then
    /// queues up again behind other relays. The caller holds that outbox's
    /// writing role, and writes what is queued.
    fn on_room(self: Arc<Self>, to: RelayEnd, due: &mut Flushes);

    /// Notes that a reader is going to pump the relay at the end of its read.
    /// Returns `false` if a reader already was.
    fn touch(&self) -> bool;
}

/// A connection, as a relay sees it.
pub(super) trait Flush {
    /// Writes what is queued, without waiting and unless another thread is
    /// writing. Connections on which relays queue something meanwhile are added
    /// to `due`.
    fn flush_into(self: Arc<Self>, due: &mut Flushes);
}

/// Connections to flush, in order.
#[derive(Default)]
pub(super) struct Flushes(VecDeque<Arc<dyn Flush>>);

impl Flushes {
    pub(super) fn push(&mut self, connection: Arc<dyn Flush>) {
        self.0.push_back(connection);
    }

    /// Flushes all connections, including those that are added meanwhile.
    pub(super) fn run(&mut self) {
        while let Some(connection) = self.0.pop_front() {
            connection.flush_into(self);
        }
    }
}
