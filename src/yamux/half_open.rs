//! Streams that this side no longer uses, and whose other half the peer has not
//! ended.

use super::{capacity::GiveBack, frame::StreamId};
use std::{collections::VecDeque, time::Instant};

/// The half-open streams of a connection, by the side that opened them.
#[derive(Debug, Default)]
pub(super) struct HalfOpen {
    pub(super) ours: HalfOpenQueue,
    pub(super) peers: HalfOpenQueue,
}

/// Half-open streams, oldest first, so that finding the oldest takes no scan for
/// each stream that a peer opens.
#[derive(Debug, Default)]
pub(super) struct HalfOpenQueue(pub(super) VecDeque<(Instant, StreamId)>);

impl HalfOpenQueue {
    /// The capacity that an empty queue keeps.
    const IDLE_CAPACITY: usize = 64;

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn oldest(&self) -> Option<(Instant, StreamId)> {
        self.0.front().copied()
    }

    /// Adds a stream. `since` must be no earlier than that of any other stream.
    pub(super) fn push(&mut self, since: Instant, id: StreamId) {
        self.0.push_back((since, id));
    }

    pub(super) fn remove(&mut self, since: Instant, id: StreamId) {
        let first = self.0.partition_point(|(other, _)| *other < since);
        let index = self.0.range(first..).position(|(_, other)| *other == id);
        if let Some(index) = index {
            self.0.remove(first + index);
        }
        self.0.give_back(Self::IDLE_CAPACITY);
    }
}
