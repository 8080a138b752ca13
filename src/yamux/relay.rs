//! Two streams of two connections, joined: what comes on one goes out on the
//! other, without a thread of its own.
//!
//! The reader of either connection passes on what has come, in whole units of the
//! protocol above (see [`Framing`]), and a thread that writes to a connection takes
//! along what had no room before. Credit
//! goes from end to end: what the receiver at the far end has granted is what
//! the sender at the near end gets; more only where the near end is so far away
//! that this would limit the speed. So what lies here is bounded by the windows
//! that the near connection could have had anyway.
//!
//! A relay's lock comes before all locks of its streams and connections. It is
//! only ever held for work in memory.

use super::{
    core::{Core, RecvHalf},
    frame::{Flags, Header},
    outbox::Turn,
    relayed::{End, Relay},
    segment::Segment,
    shared::{Shared, streams::CutShort},
    state::{RecvState, ResetBy, SendState},
    stream::Stream,
    table::Gone,
    window::INITIAL_WINDOW,
};
use crate::sync::{
    Mutex,
    atomic::{AtomicBool, Ordering},
};
use std::sync::Arc;

/// What a relay has to know of the protocol whose bytes it passes on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Framing {
    /// How many bytes to pass on next, in one frame and with so much room: whole
    /// units, unless one is too large to be held. The first argument is what follows
    /// of such a unit, before the call and after it.
    pub(crate) next: fn(&mut u32, Buffered<'_, '_>, usize) -> usize,
    /// Data that promises more: between two units, a stream that ends behind it is
    /// truncated to every peer.
    pub(crate) cut_short: &'static [u8],
}

/// What has come and was not passed on.
pub(crate) struct Buffered<'a, 'b> {
    pub(crate) pieces: &'a mut dyn Iterator<Item = &'b [u8]>,
    /// Bytes of all pieces.
    pub(crate) len: usize,
    /// Nothing follows.
    pub(crate) ended: bool,
}

impl Framing {
    /// How many of the bytes that have come to pass on next, with so much credit.
    fn next_of(&self, recv: &RecvHalf, credit: u32, left: &mut u32) -> u32 {
        let buffered = Buffered {
            pieces: &mut recv.inbox.pieces(),
            len: recv.inbox.len(),
            ended: recv.state == RecvState::Finished,
        };
        // Some credit is kept for breaking the stream off.
        let room = (credit as usize).saturating_sub(self.cut_short.len());
        // No more than the room, which is a u32.
        (self.next)(left, buffered, room) as u32
    }
}

#[derive(Debug)]
struct Pair {
    /// `None` when all is passed on that will be.
    legs: Mutex<Option<[Leg; 2]>>,
    framing: Framing,
    /// A reader is going to look after it at the end of its turn.
    touched: AtomicBool,
}

#[derive(Debug)]
struct Leg {
    shared: Arc<Shared>,
    core: Arc<Core>,
    /// What comes from the other leg waits for room in this one's outbox.
    parked: bool,
    /// What follows of the unit that was passed on to this leg in part.
    left: u32,
    /// The other leg's stream is gone, and what waits here of it is accounted for
    /// by this one's connection.
    kept: Option<usize>,
}

/// What is left to do once a relay's lock is released.
#[derive(Default)]
#[must_use]
struct Due {
    /// Connections with something to send.
    flush: Vec<Arc<Shared>>,
    /// Streams that are over.
    gone: Vec<(Arc<Shared>, Arc<Core>)>,
    /// Streams that were reset.
    reset: Vec<(Arc<Shared>, Arc<Core>)>,
    /// Streams that the relay uses no more.
    unused: Vec<(Arc<Shared>, Arc<Core>)>,
}

/// Joins two streams, with what had been read of them already. Both are the
/// relay's from now on; handles that are left do nothing to them.
pub(crate) fn relay(a: (Stream, Segment), b: (Stream, Segment), framing: Framing) {
    let pair = Arc::new(Pair {
        legs: Mutex::new(None),
        framing,
        touched: AtomicBool::new(false),
    });
    let ends = [(End::A, a), (End::B, b)];
    // Readers that come meanwhile wait here, for work in memory.
    let mut legs = pair.legs.lock();
    let mut streams = Vec::new();
    *legs = Some(ends.map(|(end, (stream, rest))| {
        stream.core().join(Arc::clone(&pair) as _, end, rest);
        let leg = Leg {
            shared: Arc::clone(stream.shared()),
            core: Arc::clone(stream.core()),
            parked: false,
            left: 0,
            kept: None,
        };
        streams.push(stream);
        leg
    }));
    drop(legs);
    // Not under the lock: with its last handle a connection closes.
    drop(streams);
    pair.look_after();
}

impl Relay for Pair {
    fn look_after(self: Arc<Self>) {
        let due = self.settle();
        due.forget_streams();
        for shared in &due.flush {
            shared.flush_within();
        }
    }

    fn on_room(self: Arc<Self>, to: End) {
        let mut due = Due::default();
        let mut guard = self.legs.lock();
        if let Some(legs) = &mut *guard {
            legs[to as usize].parked = false;
            if self.forward_next(legs, to.other(), Turn::Its, &mut due) {
                legs[to as usize].parked = true;
                let outbox = &legs[to as usize].shared.outbox;
                outbox.park(Arc::clone(&self) as _, to);
            }
            // What has gone out makes room in the windows of who sent it, and
            // may have kept a grant of its own waiting.
            for from in End::BOTH {
                if self.grant(legs, from) && from != to {
                    due.flush.push(Arc::clone(&legs[from as usize].shared));
                }
            }
            for from in End::BOTH {
                self.keep(legs, from, &mut due);
            }
            due.end_if_over(&mut guard);
        }
        drop(guard);
        due.forget_streams();
        for shared in &due.flush {
            shared.flush_within();
        }
    }

    fn touch(&self) -> bool {
        !self.touched.swap(true, Ordering::AcqRel)
    }
}

impl Pair {
    fn settle(self: &Arc<Self>) -> Due {
        // Sees all that was there when somebody left it to this call.
        self.touched.swap(false, Ordering::AcqRel);
        let mut due = Due::default();
        let mut guard = self.legs.lock();
        let Some(legs) = &mut *guard else {
            return due;
        };
        for from in End::BOTH {
            self.forward(legs, from, &mut due);
        }
        for from in End::BOTH {
            self.pass_on_end(legs, from, &mut due);
        }
        for from in End::BOTH {
            self.grant(legs, from);
            self.keep(legs, from, &mut due);
        }
        due.flush = legs.iter().map(|leg| Arc::clone(&leg.shared)).collect();
        due.end_if_over(&mut guard);
        due
    }

    /// Passes on whole units, and then the end, as far as there are credit and
    /// room.
    fn forward(self: &Arc<Self>, legs: &mut [Leg; 2], from: End, due: &mut Due) {
        let to = from.other();
        while !legs[to as usize].parked && self.forward_next(legs, from, Turn::Any, due) {}
    }

    /// Passes on the next frame, or the end. Returns whether it was a frame.
    fn forward_next(
        self: &Arc<Self>,
        legs: &mut [Leg; 2],
        from: End,
        turn: Turn,
        due: &mut Due,
    ) -> bool {
        let to = from.other();
        let (source, sink) = (&legs[from as usize], &legs[to as usize]);
        let send = sink.core.send.lock();
        let credit = send.window.credit();
        let open = send.state == SendState::Open;
        drop(send);
        if !open {
            return false;
        }
        let mut recv = source.core.recv.lock();
        let mut left = sink.left;
        let count = self.framing.next_of(&recv, credit, &mut left);
        if count == 0 {
            let ended = recv.state == RecvState::Finished && recv.inbox.is_empty();
            drop(recv);
            if ended {
                sink.finish(due);
            }
            return false;
        }
        let outbox = &sink.shared.outbox;
        let header = Header::data(sink.core.id, count);
        if !outbox.try_relay(header, &mut recv.inbox, turn, || {
            (Arc::clone(self) as _, to)
        }) {
            drop(recv);
            legs[to as usize].parked = true;
            return false;
        }
        recv.window.relayed(count);
        drop(recv);
        sink.core.send.lock().window.take(count);
        legs[to as usize].left = left;
        true
    }

    /// What has ended at one end in another way than with its data's end.
    fn pass_on_end(&self, legs: &[Leg; 2], from: End, due: &mut Due) {
        let (near, far) = (&legs[from as usize], &legs[from.other() as usize]);
        let lost = matches!(near.core.send.lock().state, SendState::Reset(_));
        let state = near.core.recv.lock().state;
        match state {
            RecvState::Reset(_) => far.break_off(self.framing, due),
            // It has said all and left: what the other says is for nobody.
            RecvState::Finished if lost => far.stop_receiving(),
            RecvState::Open | RecvState::Stopped | RecvState::Finished => {}
        }
    }

    /// What a stream has left behind that is gone, and so in nobody's table, is
    /// the far connection's from now on; if there is too much of that already, the
    /// receiver does not get it, and is told.
    fn keep(&self, legs: &mut [Leg; 2], from: End, due: &mut Due) {
        let (near, far) = (&legs[from as usize], &legs[from.other() as usize]);
        if far.kept.is_some() || !near.core.is_gone() || !far.is_sending() {
            return;
        }
        let len = near.core.recv.lock().inbox.len();
        if len == 0 {
            return;
        }
        match far.shared.keep(len) {
            None => {
                far.break_off(self.framing, due);
                due.flush.push(Arc::clone(&far.shared));
            }
            kept => legs[from.other() as usize].kept = kept,
        }
    }

    /// Grants the sender at one end what the receiver at the other has granted;
    /// says whether there was something to grant.
    fn grant(self: &Arc<Self>, legs: &mut [Leg; 2], from: End) -> bool {
        let (near, far) = (&legs[from as usize], &legs[from.other() as usize]);
        let send = far.core.send.lock();
        let credit = (send.state == SendState::Open).then(|| send.window.credit());
        drop(send);
        let Some(credit) = credit else {
            return false;
        };
        let mut recv = near.core.recv.lock();
        if recv.state != RecvState::Open {
            return false;
        }
        if !near.shared.outbox.has_room_for_grants() {
            // The sender reads slowly: it gets the next one when it has read.
            drop(recv);
            if !near.parked {
                near.shared.outbox.park(Arc::clone(self) as _, from);
                legs[from as usize].parked = true;
            }
            return false;
        }
        let delta = recv.window.align(credit, near.shared.tuning());
        drop(recv);
        if let Some(delta) = delta {
            near.shared.queue_grant(near.core.id, delta);
        }
        delta.is_some()
    }
}

impl Leg {
    fn is_sending(&self) -> bool {
        self.core.send.lock().state == SendState::Open
    }

    /// Sends the end of what came from the other leg.
    fn finish(&self, due: &mut Due) {
        if !self.core.send.lock().state.finish() {
            return;
        }
        let fin = Header::window_update(self.core.id, Flags::FIN, 0);
        self.shared.outbox.push(fin);
        if self.core.send_done() {
            due.gone.push(self.stream());
        }
    }

    fn stream(&self) -> (Arc<Shared>, Arc<Core>) {
        (Arc::clone(&self.shared), Arc::clone(&self.core))
    }

    /// Ends it so that its peer takes what it got for truncated; see
    /// [`Shared::break_off`].
    fn break_off(&self, framing: Framing, due: &mut Due) {
        // Inside a unit the end alone is truncation.
        let cut_short = if self.left > 0 {
            &[]
        } else {
            framing.cut_short
        };
        match self.shared.queue_cut_short(&self.core, cut_short) {
            CutShort::Gone => due.reset.push(self.stream()),
            CutShort::Sent | CutShort::Ended => {}
            CutShort::Impossible => return self.reset(due),
        }
        self.stop_receiving();
    }

    fn reset(&self, due: &mut Due) {
        if self.core.reset(ResetBy::Us) {
            let reset = Header::window_update(self.core.id, Flags::RST, 0);
            self.shared.outbox.push(reset);
            due.reset.push(self.stream());
        }
    }

    /// What comes from now on is for nobody. A sender that waits for credit gets
    /// some: so it hears of that, as any that goes on sending.
    fn stop_receiving(&self) {
        let tuning = || self.shared.tuning();
        let mut recv = self.core.recv.lock();
        let granted = match recv.state {
            RecvState::Open => recv.window.align(INITIAL_WINDOW, tuning()),
            _ => None,
        };
        let read = recv.stop(tuning);
        drop(recv);
        for delta in [granted, read].into_iter().flatten() {
            self.shared.queue_grant(self.core.id, delta);
        }
    }
}

impl Due {
    /// Lets go of the legs, when nothing more is passed on.
    fn end_if_over(&mut self, legs: &mut Option<[Leg; 2]>) {
        let over = |legs: &mut [Leg; 2]| legs.iter().all(|leg| !leg.is_sending());
        for leg in legs.take_if(over).into_iter().flatten() {
            if let Some(kept) = leg.kept {
                leg.shared.unkeep(kept);
            }
            self.unused.push((leg.shared, leg.core));
        }
    }

    /// Not under the relay's lock: a connection may close by it.
    fn forget_streams(&self) {
        for (shared, core) in &self.gone {
            shared.forget(core, Gone::InOrder);
        }
        for (shared, core) in &self.reset {
            shared.forget(core, Gone::Reset);
        }
        for (shared, core) in &self.unused {
            shared.retire(core);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        transport::{Closer, Transport, Wait, memory},
        yamux::{Acceptor, Connection, Role},
    };
    use std::thread;

    /// More than a stack has room for, if each had the next one's failure noted
    /// on top of its own.
    const CONNECTIONS: usize = 1_000;
    const STACK: usize = 128 * 1024;

    /// Passes nothing on.
    const NONE: Framing = Framing {
        next: |_, _, _| 0,
        cut_short: &[],
    };

    #[test]
    fn connections_that_fail_one_after_the_other_take_no_more_stack_than_one() {
        let (mut connections, mut readers, mut peers) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..CONNECTIONS {
            let (ours, theirs) = memory::pair(1024);
            let halves = ours.split().unwrap();
            let acceptor = Acceptor::new(|_| true);
            let driven = Connection::driven(halves, Role::Server, Arc::default(), acceptor);
            let (connection, reader) = driven.unwrap();
            connections.push(connection);
            readers.push(reader);
            peers.push(theirs);
        }
        for pair in connections.windows(2) {
            let [a, b] = [0, 1].map(|at| (pair[at].open().unwrap(), Segment::default()));
            relay(a, b, NONE);
        }
        for peer in &peers {
            peer.shutdown();
        }
        // Something waits on each, and cannot be sent.
        for connection in &connections {
            connection.shared().push_control(Header::go_away(0));
        }
        let first = Arc::clone(connections[0].shared());
        let small = thread::Builder::new().stack_size(STACK);
        let flush = small.spawn(move || first.flush(Wait::Never)).unwrap();
        flush.join().unwrap();
        let mut all = connections.iter();
        assert!(all.all(|connection| connection.shared().linger_deadline().is_some()));
    }
}
