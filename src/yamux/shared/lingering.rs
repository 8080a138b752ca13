//! What a connection that is closed waits for.

use super::Shared;
use crate::{
    sync::{self, atomic::Ordering, thread},
    transport::Wait,
    yamux::{
        error::Error,
        outbox::{Drained, Shift},
    },
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// How long answers may take to be written to a peer that has closed the connection,
/// and may not wait for them.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

impl Shared {
    /// Whether the peer has had its time to close the connection too.
    pub(in crate::yamux) fn lingered_enough(&self) -> bool {
        let deadline = self.linger_deadline();
        deadline.is_some_and(|deadline| sync::now() >= deadline)
    }

    /// Writes what was queued, after which nothing more comes from the peer: the
    /// answer that its close waits for, and what this side had finished sending if it
    /// has closed too.
    pub(in crate::yamux) fn write_last(self: &Arc<Self>) {
        #[cfg(any(test, fuzzing))]
        if self.config.in_lockstep {
            return;
        }
        let is_awaited = self.says_go_away.load(Ordering::Acquire);
        let patience = match is_awaited {
            true => self.config.write_timeout,
            false => self.config.write_timeout.min(LAST_ANSWERS),
        };
        let deadline = self.linger_deadline();
        let deadline = deadline.unwrap_or_else(|| sync::now() + patience);
        // It has closed, and uses no stream any more: data is for nobody.
        let mark = is_awaited.then(|| self.outbox.control_mark());
        while let Some(writer) = self.outbox.wait_written(mark, deadline) {
            match self.outbox.drain(writer, Wait::Never, Shift::Short) {
                Ok(Drained::Done) => {}
                // What this side had finished is worth waiting for, and so is an
                // answer without which the peer's close fails.
                Ok(Drained::Left(writer)) if is_awaited || self.closed.get().is_some() => {
                    self.spawn_helper(writer);
                }
                // A peer that has closed and takes nothing wants no answer.
                Ok(Drained::Left(_)) => self.outbox.end(),
                Err(error) => self.write_failed(Error::from_write(error)),
            }
        }
    }

    /// The peer has ended its direction of the connection, between two frames.
    pub(in crate::yamux) fn peer_ends(&self) {
        // One that does not announce it may have left without reading all, unless that
        // is its answer to the end of our direction.
        let in_order = match self.says_go_away.load(Ordering::Acquire) {
            true => self.table.lock().peer_has_closed,
            false => self.outbox.is_finishing(),
        };
        self.peer_closed.store(in_order, Ordering::Release);
    }

    pub(in crate::yamux) fn reader_runs_here(&self) {
        self.reader.lock().thread = Some(thread::current().id());
    }

    pub(in crate::yamux) fn reader_is_done(&self) {
        self.reader.lock().done = true;
        self.reader_changed.notify_all();
    }

    /// When the peer has had its time since this side closed the connection.
    pub(in crate::yamux) fn linger_deadline(&self) -> Option<Instant> {
        let closed = self.closed.get();
        closed.map(|closed| *closed + self.config.write_timeout)
    }

    /// Waits until the reader is done; not in the reader's own thread.
    pub(in crate::yamux) fn wait_reader(&self, deadline: Instant) {
        let mut reader = self.reader.lock();
        while !reader.done && reader.thread != Some(thread::current().id()) {
            let waited = self.reader_changed.wait_until(&mut reader, deadline);
            if waited.timed_out() {
                return;
            }
        }
    }
}
