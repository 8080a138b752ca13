//! What happens to a connection's streams.

use super::Shared;
use crate::{
    sync::{self, atomic::Ordering},
    transport::Wait,
    yamux::{
        core::Core,
        frame::{Flags, Header},
        outbox::Lane,
        state::{ResetBy, SendState},
        table::Gone,
        window::{INITIAL_WINDOW, Tuning},
    },
};
use std::sync::Arc;

/// The outcome of an attempt to abort a stream without a reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::yamux) enum CutShort {
    /// The end is queued, and the stream is gone.
    Gone,
    /// The end is queued.
    Sent,
    /// Our half had ended before.
    Ended,
    /// A reset is needed: either the peer treats a reset as an error, or its window
    /// is used up.
    Impossible,
}

impl Shared {
    /// Resets a stream of the table and tells the peer.
    pub(in crate::yamux) fn reset(self: &Arc<Self>, core: &Core) {
        if core.mark_reset(ResetBy::Us) {
            self.forget(core, Gone::Reset);
            // A writer of this stream may be waiting for room.
            self.outbox.wake_all();
            // Resets of the peer's streams count as answers: `on_syn` checks how many
            // answers are queued. Resets of our own streams do not; opening waits instead.
            let lane = match self.table.lock().is_ours(core.id) {
                true => Lane::Data,
                false => Lane::Answer,
            };
            let reset = Header::window_update(core.id, Flags::RST, 0);
            self.outbox.push(lane, reset);
            self.flush(Wait::Never);
        }
    }

    /// Ends a stream so that the peer treats the received data as truncated: with a
    /// reset, or else with `cut_short` (data that announces more data) and a FIN.
    pub(in crate::yamux) fn abort(self: &Arc<Self>, core: &Core, cut_short: &[u8]) {
        let cut = self.queue_cut_short(core, cut_short);
        if cut == CutShort::Impossible {
            return self.reset(core);
        }
        if cut == CutShort::Gone {
            self.forget(core, Gone::Reset);
        }
        // A writer of this stream may be waiting for room.
        self.outbox.wake_all();
        let update = core.recv.lock().stop(|| self.tuning());
        core.wake_at_end();
        if let Some(delta) = update {
            self.update_window(core.id, delta);
        }
        self.flush(Wait::Never);
        self.retire(core);
    }

    /// Queues the end of a stream that is aborted without a reset.
    pub(in crate::yamux) fn queue_cut_short(&self, core: &Core, cut_short: &[u8]) -> CutShort {
        if !self.avoids_resets.load(Ordering::Acquire) {
            return CutShort::Impossible;
        }
        let mut send = core.send.lock();
        if send.state != SendState::Open {
            return CutShort::Ended;
        }
        // A few bytes.
        let len = cut_short.len() as u32;
        if send.window.credit() < len {
            return CutShort::Impossible;
        }
        send.window.take(len);
        send.state.reset(ResetBy::Us);
        if len > 0 {
            // In a frame before the FIN: a peer may look at a frame's flags first.
            let data = Header::data(core.id, len);
            self.outbox.push_data(data, cut_short);
        }
        let fin = Header::window_update(core.id, Flags::FIN, 0);
        self.outbox.push(Lane::Data, fin);
        drop(send);
        core.writable.notify_all();
        if core.send_done() {
            return CutShort::Gone;
        }
        self.table.lock().count_reset();
        CutShort::Sent
    }

    /// Ends the stream if nothing keeps it running on a connection that closes when idle:
    /// this side opened it, is [at rest](crate::yamux::Stream::rest), and the peer has
    /// ended it. What was received stays readable.
    ///
    /// Called after each event that fulfils one of these conditions. Each event is noted before
    /// the other conditions are checked, so the last event finds all of them fulfilled.
    pub(in crate::yamux) fn end_at_rest(self: &Arc<Self>, core: &Core) {
        if !core.has_received_all() {
            return;
        }
        let table = self.table.lock();
        let is_over = table.life.closes_when_idle() && table.is_ours(core.id);
        drop(table);
        if !is_over {
            return;
        }
        let mut send = core.send.lock();
        if !send.at_rest || !send.state.finish() {
            return;
        }
        let fin = Header::window_update(core.id, Flags::FIN, 0);
        self.outbox.push(Lane::Data, fin);
        drop(send);
        core.writable.notify_all();
        if core.send_done() {
            self.forget(core, Gone::Finished);
        }
        self.flush(Wait::Never);
    }

    /// Returns what the growth of a receive window currently depends on.
    pub(in crate::yamux) fn tuning(&self) -> Tuning<'_> {
        Tuning {
            now: sync::now(),
            round_trip: self.pings.smallest(),
            max: self.config.max_window,
            budget: &self.budget,
        }
    }

    /// Removes a stream that is gone from the table.
    pub(in crate::yamux) fn forget(self: &Arc<Self>, core: &Core, gone: Gone) {
        if self.mark_gone(core, gone) {
            self.close();
        }
    }

    /// Like [`forget`](Self::forget), without closing the connection. Returns
    /// whether it is to close now.
    #[must_use]
    pub(in crate::yamux) fn mark_gone(self: &Arc<Self>, core: &Core, gone: Gone) -> bool {
        let mut table = self.table.lock();
        let removed = table.remove(core.id, &self.config);
        if gone == Gone::Reset && removed.is_some_and(|removed| !removed.was_held) {
            table.count_reset();
        }
        let removed = removed.unwrap_or_default();
        if removed.was_held || removed.promoted {
            // Before another thread can acknowledge the stream, because its peer may
            // have the next one ready.
            self.release_window();
        }
        let idle = core.mark_unused() && table.mark_unused(core.id, sync::now);
        drop(table);
        if removed.frees_slot {
            self.freed.notify_all();
        }
        if removed.promoted {
            self.hand_over_elsewhere();
        }
        let idle = self.mark_acknowledged(core) || idle;
        self.budget.release(core.recv.lock().window.take_grown());
        idle
    }

    /// Accounts for `len` bytes that wait for this peer, from a stream that is gone
    /// at the other end of its relay. They count as if the peer had sent them
    /// itself: a window's worth for each of [`Config::max_streams`] streams, and the
    /// rest from the budget. Returns the argument for
    /// [`release_orphaned`](Self::release_orphaned), or `None` if a limit is exceeded.
    ///
    /// [`Config::max_streams`]: crate::yamux::Config::max_streams
    pub(in crate::yamux) fn charge_orphaned(&self, len: usize) -> Option<usize> {
        let beyond = len.saturating_sub(INITIAL_WINDOW as usize);
        let mut orphaned = self.orphaned.lock();
        if orphaned.streams >= self.config.max_streams || !self.budget.reserve(beyond) {
            return None;
        }
        orphaned.streams += 1;
        orphaned.bytes += beyond;
        Some(beyond)
    }

    pub(in crate::yamux) fn release_orphaned(&self, beyond: usize) {
        let mut orphaned = self.orphaned.lock();
        orphaned.streams -= 1;
        orphaned.bytes -= beyond;
        self.budget.release(beyond);
    }

    /// Notes that this side no longer uses the stream. A connection that is to
    /// close when idle closes with its last stream.
    pub(in crate::yamux) fn retire(self: &Arc<Self>, core: &Core) {
        if self.mark_unused(core) {
            self.close();
        }
    }

    /// Like [`retire`](Self::retire), without closing the connection. Returns
    /// whether it is to close now.
    #[must_use]
    pub(in crate::yamux) fn mark_unused(&self, core: &Core) -> bool {
        // Under the table's lock, so that the connection's end counts the stream either
        // as used or as unused.
        let mut table = self.table.lock();
        core.mark_unused() && table.mark_unused(core.id, sync::now)
    }

    /// Notes that the peer has acknowledged a stream.
    pub(in crate::yamux) fn acknowledge(self: &Arc<Self>, core: &Core) {
        if self.mark_acknowledged(core) {
            self.close();
        }
    }

    /// Like [`acknowledge`](Self::acknowledge), without closing the connection. Returns
    /// whether it is to close now.
    fn mark_acknowledged(&self, core: &Core) -> bool {
        if !core.mark_acknowledged() {
            return false;
        }
        let mut table = self.table.lock();
        table.unacknowledged -= 1;
        let idle = table.is_idle();
        drop(table);
        self.freed.notify_one();
        idle
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;
    use crate::{
        transport::{Halves, Transport, memory},
        yamux::{Acceptor, Connection, ConnectionReader, Role, Stream, StreamId, core::Incoming},
    };
    use std::{io::IoSlice, sync::mpsc, time::Duration};

    /// What must come together before a close ends a stream.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Event {
        Closes,
        PeerEnds,
        Rests,
    }

    /// A connection with a stream that this side or the peer has opened.
    struct Stage {
        connection: Connection,
        reader: Box<ConnectionReader>,
        stream: Stream,
        peer: Halves,
        incoming: mpsc::Receiver<Incoming>,
    }

    impl Stage {
        fn new(is_ours: bool) -> Self {
            let (ours, peer) = memory::pair(1 << 16);
            let (sender, incoming) = mpsc::channel();
            let acceptor = Acceptor::new(move |stream| sender.send(stream).is_ok());
            let halves = ours.split().unwrap();
            let driven = Connection::driven(halves, Role::Client, Arc::default(), acceptor);
            let (connection, reader) = driven.unwrap();
            let mut stage = Self {
                stream: connection.open().unwrap(),
                connection,
                reader,
                peer: peer.split().unwrap(),
                incoming,
            };
            if !is_ours {
                stage.receive(Header::window_update(StreamId(2), Flags::SYN, 0));
                let incoming = stage.incoming.recv().unwrap();
                let theirs = stage.connection.downgrade().stream(incoming).unwrap();
                drop(std::mem::replace(&mut stage.stream, theirs));
                // The one of ours is gone.
                let flags = Flags(Flags::ACK.0 | Flags::FIN.0);
                stage.receive(Header::window_update(StreamId(1), flags, 0));
            }
            stage
        }

        /// Receives a frame of the peer.
        fn receive(&mut self, header: Header) {
            let frame = header.encode();
            let frame = [IoSlice::new(&frame)];
            self.peer.writer.write(&frame, Wait::Block).unwrap();
            self.reader.turn(Duration::from_secs(60)).unwrap();
        }

        fn happen(&mut self, event: Event) {
            match event {
                Event::Closes => self.connection.close_when_idle(),
                Event::PeerEnds => {
                    let flags = Flags(Flags::ACK.0 | Flags::FIN.0);
                    self.receive(Header::window_update(self.stream.id(), flags, 0));
                }
                Event::Rests => self.stream.rest(),
            }
        }
    }

    const ORDERS: [[Event; 3]; 6] = {
        use Event::{Closes, PeerEnds, Rests};
        [
            [Closes, PeerEnds, Rests],
            [Closes, Rests, PeerEnds],
            [PeerEnds, Closes, Rests],
            [PeerEnds, Rests, Closes],
            [Rests, Closes, PeerEnds],
            [Rests, PeerEnds, Closes],
        ]
    };

    #[test]
    fn a_close_ends_a_stream_that_rests_and_that_the_peer_has_ended_in_whatever_order() {
        for order in ORDERS {
            let mut stage = Stage::new(true);
            for event in order {
                assert!(!stage.connection.is_closed(), "{order:?} before {event:?}");
                stage.happen(event);
            }
            assert!(stage.connection.is_closed(), "{order:?}");
            assert!(stage.stream.is_closed() && stage.stream.peer_has_ended());
        }
    }

    #[test]
    fn a_stream_that_the_peer_opened_runs_until_it_is_ended_here() {
        for order in ORDERS {
            let mut stage = Stage::new(false);
            for event in order {
                stage.happen(event);
                assert!(!stage.connection.is_closed(), "{order:?} at {event:?}");
            }
            stage.stream.end();
            assert!(stage.connection.is_closed(), "{order:?}");
        }
    }
}
