//! What happens after a connection's end: what is still written, and what a close
//! and the reader wait for.

use super::Shared;
use crate::{
    sync::{self, atomic::Ordering, thread},
    time::deadline,
    yamux::{error::Error, relay::Flushes},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// How long to try to write answers to a peer that has closed the connection, and
/// may not wait for them.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

impl Shared {
    /// Returns the time by which the peer must have closed the connection too, once
    /// this side has.
    pub(in crate::yamux) fn linger_deadline(&self) -> Option<Instant> {
        self.linger_until.get().copied()
    }

    /// Gives the peer this time to close the connection too, unless it has a deadline
    /// already.
    pub(super) fn linger(&self, patience: Duration) {
        // The first deadline stays.
        let _ = self.linger_until.set(deadline(patience));
    }

    /// Returns whether the peer has had its time to close the connection too.
    pub(in crate::yamux) fn lingered_enough(&self) -> bool {
        let deadline = self.linger_deadline();
        deadline.is_some_and(|deadline| sync::now() >= deadline)
    }

    /// Returns whether both sides have closed the connection, for a transport whose
    /// directions do not end one by one: the peer has answered the last ping of this side's
    /// close, or has closed too.
    pub(in crate::yamux) fn is_done_without_end(&self) -> bool {
        let last = self.last_ping.get();
        last.is_some_and(|ping| self.pings.is_answered(*ping))
            || (self.linger_deadline().is_some() && self.table.lock().life.peer_has_closed())
    }

    /// Ends the connection, if the peer has closed it without an end of its direction. The
    /// transport is not cut yet, because the peer could then lose the answer that its close
    /// waits for.
    pub(in crate::yamux) fn end_if_peer_has_closed(&self) {
        let table = self.table.lock();
        if !table.life.peer_has_closed() {
            return;
        }
        let reason = match table.peer_has_finished() {
            true => Error::ClosedByPeer,
            false => Error::EndedByPeer,
        };
        drop(table);
        let mut due = Flushes::default();
        if self.end_streams(reason, &mut due) {
            self.linger(self.config.write_timeout.min(LAST_ANSWERS));
        }
        due.run();
    }

    /// Returns whether a peer that has ended its direction had sent everything. A peer that
    /// sends go-aways has then announced that it closes; without that its process may have
    /// died, whether streams were open or not.
    pub(in crate::yamux) fn peer_left_gracefully(&self) -> bool {
        let sends = self.sends_go_away.load(Ordering::Acquire);
        let table = self.table.lock();
        (!sends || table.life.peer_has_closed()) && table.peer_has_finished()
    }

    /// Notes that the peer has ended its direction of the connection, between two
    /// frames.
    pub(in crate::yamux) fn peer_ends(&self) {
        // A peer that sends no go-away may have left without reading everything,
        // unless this is its answer to the end of our direction.
        let gracefully = match self.sends_go_away.load(Ordering::Acquire) {
            true => self.table.lock().life.peer_has_closed(),
            // If our direction has not ended, the peer's end cannot be the answer to that.
            false => self.can_finish && self.outbox.has_begun_to_finish(),
        };
        self.peer_took_all.store(gracefully, Ordering::Release);
    }

    /// Writes what is still queued when nothing more will be received from the peer:
    /// the answer that its close waits for, and, if this side has closed too, the
    /// data of streams that it had finished.
    pub(in crate::yamux) fn write_last(self: &Arc<Self>) {
        #[cfg(any(test, fuzzing))]
        if self.config.in_lockstep {
            return;
        }
        let is_awaited = self.sends_go_away.load(Ordering::Acquire);
        let patience = match is_awaited {
            true => self.config.write_timeout,
            false => self.config.write_timeout.min(LAST_ANSWERS),
        };
        let deadline = self.linger_deadline();
        let deadline = deadline.unwrap_or_else(|| sync::now() + patience);
        // A peer that has closed no longer uses any stream, and wants no data.
        let mark = is_awaited.then(|| self.outbox.control_mark());
        let mut due = Flushes::default();
        while let Some(writer) = self.outbox.wait_written(mark, deadline) {
            match self.write_now(writer) {
                Ok(None) => {}
                // Data that this side had finished is worth waiting for, and so is an
                // answer without which the peer's close fails.
                Ok(Some(writer)) if is_awaited || self.linger_deadline().is_some() => {
                    self.spawn_helper(writer, &mut due);
                }
                // A peer that has closed and accepts nothing needs no answer.
                Ok(Some(_)) => self.outbox.end(),
                Err(error) => self.write_failed(self.config.write_error(error), &mut due),
            }
            due.run();
        }
    }

    /// Waits for a write that is in progress, and cuts the transport so that the
    /// write returns: nothing more can be received, and the write's error may be the
    /// reason for the end.
    pub(in crate::yamux) fn settle_writer(&self) {
        if !self.outbox.is_being_written() {
            // The transport stays open, so that the peer does not see its end before this
            // side closes it.
            return;
        }
        let closer = self.closer.lock().clone();
        if let Some(closer) = closer {
            closer.shutdown();
        }
        // The transport is cut, so no write waits for long.
        self.outbox
            .wait_writer(sync::now() + self.config.write_timeout);
    }

    pub(in crate::yamux) fn reader_runs_here(&self) {
        self.reader.lock().thread = Some(thread::current().id());
    }

    pub(in crate::yamux) fn reader_is_done(&self) {
        self.reader.lock().done = true;
        self.reader_changed.notify_all();
    }

    /// Waits until the reader is done; returns at once on the reader's own thread.
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
