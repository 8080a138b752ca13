//! How a connection ends.

use super::Shared;
use crate::{
    sync::{self, atomic::Ordering},
    transport::Wait,
    yamux::{
        core::Core,
        error::{Error, Violation},
        frame::{Flags, Header},
        outbox::Shift,
        state::ResetBy,
    },
};
use std::{sync::Arc, time::Instant};

impl Shared {
    /// Why the connection has ended.
    pub(in crate::yamux) fn end_error(&self) -> Error {
        self.table.lock().failure().unwrap_or(Error::Closed)
    }

    pub(in crate::yamux) fn has_ended(&self) -> bool {
        self.table.lock().end().is_some()
    }

    /// Ends the connection at once, for the reason given if it is the first.
    pub(in crate::yamux) fn end(&self, error: Error) {
        self.cut_streams(error);
        self.cut_transport();
    }

    /// Whether the transport is cut, or was closed by both sides.
    pub(in crate::yamux) fn is_over(&self) -> bool {
        self.closer.lock().is_none()
    }

    /// Nothing more can be received: cuts the transport, and waits for a write
    /// that is under way, so that what it fails with is known.
    pub(in crate::yamux) fn settle_writer(&self) {
        if !self.outbox.is_being_written() {
            // The peer is to find the connection closed only when it is closed here.
            return;
        }
        let closer = self.closer.lock().clone();
        if let Some(closer) = closer {
            closer.shutdown();
        }
        // It is cut: nothing waits in it for long.
        self.outbox
            .wait_writer(sync::now() + self.config.write_timeout);
    }

    fn cut_transport(&self) {
        self.outbox.end();
        let closer = self.closer.lock().take();
        if let Some(closer) = closer {
            closer.shutdown();
        }
    }

    /// Ends the streams; what was queued before is still sent, then a go-away,
    /// then our end of the connection. The reader waits for the peer's.
    pub(in crate::yamux) fn close(self: &Arc<Self>) {
        if self.cut_streams(Error::Closed) {
            let now = sync::now();
            // Set before, if nothing more could be sent.
            let _ = self.closed.set(now);
            let first = !std::mem::replace(&mut self.table.lock().going_away, true);
            let go_away = first.then(|| Header::go_away(0));
            let last = self.last_words(now);
            self.outbox
                .finish(go_away.into_iter().chain(last.into_iter().flatten()));
            self.flush(Wait::Never);
        }
    }

    /// Behind all data, for peers that know what it means: a ping, and a second
    /// go-away. One alone does not tell a close from an end that came while streams
    /// were let end. Others may have closed the connection before they answer the
    /// ping, so that their end has to say that they have got all.
    fn last_words(&self, now: Instant) -> [Option<Header>; 2] {
        if !self.says_go_away.load(Ordering::Acquire) {
            return [None, None];
        }
        [self.last_ping(now), Some(Header::go_away(0))]
    }

    /// A ping behind all data: the answer says that the peer has got that.
    fn last_ping(&self, now: Instant) -> Option<Header> {
        let value = self.pings.begin(now, self.outbox.sent(), false)?;
        Some(Header::ping(Flags::SYN, value))
    }

    /// Lets no new streams in, and closes when those that are open have ended.
    pub(in crate::yamux) fn close_when_idle(self: &Arc<Self>) {
        self.go_away();
        let mut table = self.table.lock();
        table.closing = true;
        let idle = table.is_idle();
        drop(table);
        if idle {
            self.close();
        }
    }

    /// Tells the peer, once, that no new streams are wanted.
    pub(in crate::yamux) fn go_away(self: &Arc<Self>) {
        let first = !std::mem::replace(&mut self.table.lock().going_away, true);
        if first {
            self.freed.notify_all();
            self.refuse_held();
            self.push_control(Header::go_away(0));
            self.flush(Wait::Never);
        }
    }

    /// Tells the peer that it broke the protocol, and ends.
    pub(in crate::yamux) fn abort(self: &Arc<Self>, violation: Violation) {
        if self.cut_streams(violation.into()) {
            // As far as it goes without waiting: the peer may not read.
            let _ = self.outbox.push_control(Header::go_away(1));
            if let Some(writer) = self.outbox.take_role(Wait::Never) {
                // What it ends with is known: the violation.
                let _ = self.outbox.drain(writer, Wait::Never, Shift::Short);
            }
        }
        self.cut_transport();
    }

    /// Notes why the connection ended and wakes every waiter but the outbox's;
    /// says whether it had not ended before.
    fn cut_streams(&self, error: Error) -> bool {
        let Some(streams) = self.table.lock().set_end(error) else {
            return false;
        };
        for core in &streams {
            // The table has let go of them all.
            let _ = core.reset(ResetBy::Connection);
        }
        self.freed.notify_all();
        self.drop_acceptor();
        self.pings.end();
        look_after_relays(&streams);
        true
    }

    /// Nothing more can be sent. A peer that took nothing for so long is dead.
    /// One that has gone may have said all before: the reader goes on to the
    /// end of that, and ends the connection there.
    pub(in crate::yamux) fn write_failed(&self, error: Error) {
        if matches!(error, Error::WriteTimeout) {
            return self.end(error);
        }
        let streams = self.table.lock().set_write_error(error);
        for core in &streams {
            core.fail_sending();
        }
        self.freed.notify_all();
        self.outbox.end();
        // Set before, if this side had closed the connection.
        let _ = self.closed.set(sync::now());
        look_after_relays(&streams);
    }
}

/// The other ends of relays hear of the end of these.
fn look_after_relays(streams: &[Arc<Core>]) {
    for relay in streams.iter().filter_map(|core| core.relay()) {
        Arc::clone(relay).look_after();
    }
}
