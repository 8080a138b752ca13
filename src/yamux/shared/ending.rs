//! How a connection ends. For a diagram of its whole life see
//! [`phase`](crate::yamux::phase).

use super::Shared;
use crate::{
    sync::{self, atomic::Ordering},
    transport::Wait,
    yamux::{
        core::Core,
        error::{Error, Violation},
        frame::{Flags, Header},
        outbox::Lane,
        relay::Flushes,
        state::ResetBy,
    },
};
use std::{sync::Arc, time::Instant};

impl Shared {
    /// Returns why the connection has ended.
    pub(in crate::yamux) fn end_error(&self) -> Error {
        let table = self.table.lock();
        table.life.failure().cloned().unwrap_or(Error::Closed)
    }

    pub(in crate::yamux) fn has_ended(&self) -> bool {
        self.table.lock().life.end().is_some()
    }

    /// Ends the connection immediately, for the given reason if it is the first.
    pub(in crate::yamux) fn end(&self, error: Error) {
        let mut due = Flushes::default();
        self.end_streams(error, &mut due);
        due.run();
        self.cut_transport();
    }

    /// Like [`end`](Self::end), during a shift: the caller flushes the connections
    /// at the other ends of relays.
    pub(super) fn end_into(&self, error: Error, due: &mut Flushes) {
        self.end_streams(error, due);
        self.cut_transport();
    }

    /// Tells the peer that it broke the protocol, and ends the connection.
    pub(in crate::yamux) fn end_for(self: &Arc<Self>, violation: Violation) {
        let mut due = Flushes::default();
        if self.end_streams(violation.into(), &mut due) {
            due.run();
            // Sent only as far as possible without waiting, because the peer may not
            // read.
            let _ = self.outbox.try_push(Lane::Control, Header::go_away(1));
            if let Some(writer) = self.outbox.take_role(Wait::Never) {
                // The connection ends because of the violation, whatever this returns.
                let _ = self.write_now(writer);
            }
        }
        self.cut_transport();
    }

    /// Notes why the connection ended, and wakes all waiting threads but the
    /// outbox's. Returns whether it had not ended before.
    pub(super) fn end_streams(&self, error: Error, due: &mut Flushes) -> bool {
        let Some(streams) = self.table.lock().end_with(error) else {
            return false;
        };
        for core in &streams {
            // The table no longer contains any of them.
            let _ = core.mark_reset(ResetBy::Connection);
        }
        self.freed.notify_all();
        self.drop_acceptor();
        self.pings.end();
        pump_relays(&streams, due);
        true
    }

    fn cut_transport(&self) {
        self.outbox.end();
        let closer = self.closer.lock().take();
        if let Some(closer) = closer {
            closer.shutdown();
        }
    }

    /// Returns whether the transport is cut, or was closed by both sides.
    pub(in crate::yamux) fn is_over(&self) -> bool {
        self.closer.lock().is_none()
    }

    /// Notes that nothing more can be sent. A peer that accepted nothing for the
    /// whole write timeout is dead. A peer that has closed the connection may have
    /// sent everything first, so the reader continues to the end of that data, and
    /// ends the connection there.
    pub(super) fn write_failed(&self, error: Error, due: &mut Flushes) {
        if matches!(error, Error::WriteTimeout) {
            return self.end_into(error, due);
        }
        let streams = self.table.lock().fail_writing(error);
        for core in &streams {
            core.fail_sending();
        }
        self.freed.notify_all();
        self.outbox.end();
        self.linger(self.config.write_timeout);
        pump_relays(&streams, due);
    }

    /// Closes the connection: ends the streams, and sends what was queued before, a
    /// go-away, and the end of our direction. The reader then waits for the peer's
    /// end.
    pub(in crate::yamux) fn close(self: &Arc<Self>) {
        let mut due = Flushes::default();
        self.close_into(&mut due);
        due.run();
    }

    /// Like [`close`](Self::close), but the caller flushes the connections, this
    /// one included.
    pub(in crate::yamux) fn close_into(self: &Arc<Self>, due: &mut Flushes) {
        if self.end_streams(Error::Closed, due) {
            let now = sync::now();
            self.linger(self.config.write_timeout);
            let first = self.table.lock().life.go_away();
            let go_away = first.then(|| Header::go_away(0));
            let last = self.last_frames(now);
            self.outbox
                .finish(go_away.into_iter().chain(last.into_iter().flatten()));
            due.push(Arc::clone(self) as _);
        }
    }

    /// Returns the frames to send after all data, for peers that understand them or
    /// cannot see the end of our direction: a ping, and a second go-away. A single go-away
    /// may also come from a side whose connection then broke; a second one means that it
    /// has closed. The peer may have closed too before it answers the ping, so its own
    /// second go-away also confirms that it has received everything.
    fn last_frames(&self, now: Instant) -> [Option<Header>; 2] {
        if self.can_finish && !self.sends_go_away.load(Ordering::Acquire) {
            return [None, None];
        }
        [self.last_ping(now), Some(Header::go_away(0))]
    }

    /// Begins a ping to send after all data; the answer confirms that the peer has
    /// received the data.
    fn last_ping(&self, now: Instant) -> Option<Header> {
        let value = self.pings.begin(now, self.outbox.queued_total(), false)?;
        // It is the first: a connection closes once.
        let _ = self.last_ping.set(value);
        Some(Header::ping(Flags::SYN, value))
    }

    /// Refuses new streams, and closes the connection when the open ones have
    /// ended. Ends those that nothing keeps running; see
    /// [`end_at_rest`](Self::end_at_rest).
    pub(in crate::yamux) fn close_when_idle(self: &Arc<Self>) {
        self.go_away();
        let mut table = self.table.lock();
        table.life.close_when_idle();
        let idle = table.is_idle();
        let streams = table.cores();
        drop(table);
        if idle {
            return self.close();
        }
        for core in &streams {
            self.end_at_rest(core);
        }
        let mut due = Flushes::default();
        pump_relays(&streams, &mut due);
        due.run();
    }

    pub(in crate::yamux) fn closes_when_idle(&self) -> bool {
        self.table.lock().life.closes_when_idle()
    }

    /// Tells the peer, once, that no new streams are wanted.
    pub(in crate::yamux) fn go_away(self: &Arc<Self>) {
        let mut table = self.table.lock();
        if !table.life.go_away() {
            return;
        }
        // Under the table's lock, so that it comes before the refusals that it explains.
        let queued = self.outbox.try_push(Lane::Control, Header::go_away(0));
        drop(table);
        self.freed.notify_all();
        self.refuse_held();
        if !queued {
            return self.end(Violation::AnswersUnread.into());
        }
        self.flush(Wait::Never);
    }
}

/// Lets the relays of these streams pass on what has ended.
fn pump_relays(streams: &[Arc<Core>], due: &mut Flushes) {
    for relay in streams.iter().filter_map(|core| core.relay()) {
        Arc::clone(relay).pump(due);
    }
}
