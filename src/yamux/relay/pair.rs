//! Two streams of two connections, joined: what is received on one is sent on the
//! other, without a thread of its own.
//!
//! The reader of either connection passes on what has been received, in whole units
//! of the protocol above (see [`Framing`]). Data without room is passed on later,
//! by a thread that writes to the connection. Flow control is end to end: a sender
//! gets the credit that the receiver at the far end has granted, and more only if
//! the sender is so distant that this credit would limit the speed. The bytes
//! buffered here are therefore bounded by the windows that the sender's connection
//! could have had anyway.
//!
//! A relay's lock is taken before all locks of its streams and connections. It is
//! held only for work in memory.

use crate::sync::{
    Mutex,
    atomic::{AtomicBool, Ordering},
};
use crate::yamux::{
    core::Core,
    frame::{Flags, Header},
    outbox::{Lane, Priority},
    relay::{
        Flushes, Relay, RelayEnd,
        framing::{Framing, Passed},
    },
    segment::Segment,
    shared::{Shared, streams::CutShort},
    state::{RecvState, ResetBy, SendState},
    stream::Stream,
    table::Gone,
    window::INITIAL_WINDOW,
};
use std::sync::Arc;

#[derive(Debug)]
struct RelayPair {
    /// `None` when everything has been passed on.
    legs: Mutex<Option<[Leg; 2]>>,
    framing: Framing,
    /// Whether a reader is going to pump the relay at the end of its read.
    touched: AtomicBool,
}

#[derive(Debug)]
struct Leg {
    shared: Arc<Shared>,
    core: Arc<Core>,
    /// Whether data from the other leg waits for room in this leg's outbox.
    parked: bool,
    /// How far the bytes were passed on to this leg.
    passed: Passed,
    /// What this leg's connection accounts for, if the other leg's stream is gone
    /// and bytes of it are buffered.
    orphaned: Option<usize>,
}

/// The work to do after a relay's lock is released, because it may close
/// connections.
#[must_use]
struct Due<'a> {
    /// Connections with something to send.
    flushes: &'a mut Flushes,
    /// Streams that have finished.
    finished: Vec<(Arc<Shared>, Arc<Core>)>,
    /// Streams that were reset.
    reset: Vec<(Arc<Shared>, Arc<Core>)>,
    /// Streams that the relay no longer uses.
    unused: Vec<(Arc<Shared>, Arc<Core>)>,
}

/// Joins the stream of a caller and that of an owner, each with the bytes that were
/// already read from it. Both then belong to the relay, and remaining handles no longer
/// affect them.
pub(crate) fn join_relay(caller: (Stream, Segment), owner: (Stream, Segment), framing: Framing) {
    let pair = Arc::new(RelayPair {
        legs: Mutex::new(None),
        framing,
        touched: AtomicBool::new(false),
    });
    let ends = [(RelayEnd::A, caller), (RelayEnd::B, owner)];
    // Readers that pump the relay meanwhile wait for this lock, but only during
    // work in memory.
    let mut legs = pair.legs.lock();
    let mut streams = Vec::new();
    *legs = Some(ends.map(|(end, (stream, rest))| {
        stream.core().join(Arc::clone(&pair) as _, end, rest);
        let leg = Leg {
            shared: Arc::clone(stream.shared()),
            core: Arc::clone(stream.core()),
            parked: false,
            passed: Passed::default(),
            orphaned: None,
        };
        streams.push(stream);
        leg
    }));
    drop(legs);
    // Not under the lock: a connection closes with its last handle.
    drop(streams);
    let mut due = Flushes::default();
    pair.pump(&mut due);
    due.run();
}

impl Relay for RelayPair {
    fn pump(self: Arc<Self>, flushes: &mut Flushes) {
        // Cleared before anything else, so that this call sees everything that another
        // thread has left to it.
        self.touched.swap(false, Ordering::AcqRel);
        let mut due = Due::new(flushes);
        let mut guard = self.legs.lock();
        let Some(legs) = &mut *guard else {
            return;
        };
        for from in RelayEnd::BOTH {
            self.forward(legs, from, &mut due);
        }
        for from in RelayEnd::BOTH {
            self.pass_on_end(legs, from, &mut due);
        }
        self.end_at_rest(legs, &mut due);
        for from in RelayEnd::BOTH {
            self.grant(legs, from);
            self.charge_orphaned(legs, from, &mut due);
        }
        for leg in legs.iter() {
            due.flush(&leg.shared);
        }
        self.end_if_over(&mut guard, &mut due);
        drop(guard);
        due.settle();
    }

    fn on_room(self: Arc<Self>, to: RelayEnd, flushes: &mut Flushes) {
        let mut due = Due::new(flushes);
        let mut guard = self.legs.lock();
        let Some(legs) = &mut *guard else {
            return;
        };
        legs[to as usize].parked = false;
        if self.forward_next(legs, to.other(), Priority::First, &mut due) {
            legs[to as usize].parked = true;
            let outbox = &legs[to as usize].shared.outbox;
            outbox.park(Arc::clone(&self) as _, to);
        }
        self.end_at_rest(legs, &mut due);
        // Passing data on makes room in its sender's window. A grant on this leg may
        // also have been waiting for room.
        for from in RelayEnd::BOTH {
            if self.grant(legs, from) && from != to {
                due.flush(&legs[from as usize].shared);
            }
        }
        for from in RelayEnd::BOTH {
            self.charge_orphaned(legs, from, &mut due);
        }
        self.end_if_over(&mut guard, &mut due);
        drop(guard);
        due.settle();
    }

    fn touch(&self) -> bool {
        !self.touched.swap(true, Ordering::AcqRel)
    }
}

impl RelayPair {
    /// Passes on whole units, and then the end, as far as credit and room allow.
    fn forward(self: &Arc<Self>, legs: &mut [Leg; 2], from: RelayEnd, due: &mut Due<'_>) {
        let to = from.other();
        while !legs[to as usize].parked && self.forward_next(legs, from, Priority::Last, due) {}
    }

    /// Passes on the next frame, or the end. Returns whether it was a frame.
    fn forward_next(
        self: &Arc<Self>,
        legs: &mut [Leg; 2],
        from: RelayEnd,
        priority: Priority,
        due: &mut Due<'_>,
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
        let mut passed = sink.passed;
        let count = self.framing.next_of(&recv, credit, &mut passed);
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
        if !outbox.try_relay(header, &mut recv.inbox, priority, || {
            (Arc::clone(self) as _, to)
        }) {
            drop(recv);
            legs[to as usize].parked = true;
            return false;
        }
        recv.window.relayed(count);
        drop(recv);
        sink.core.send.lock().window.take(count);
        legs[to as usize].passed = passed;
        true
    }

    /// Passes on an end other than a FIN.
    fn pass_on_end(&self, legs: &[Leg; 2], from: RelayEnd, due: &mut Due<'_>) {
        let (near, far) = (&legs[from as usize], &legs[from.other() as usize]);
        let lost = matches!(near.core.send.lock().state, SendState::Reset(_));
        let state = near.core.recv.lock().state;
        match state {
            RecvState::Reset(_) => far.abort(self.framing, due),
            // The near peer has sent everything and left, so it will not receive what
            // the far peer sends.
            RecvState::Finished if lost => far.stop_receiving(),
            RecvState::Open | RecvState::Stopped | RecvState::Finished => {}
        }
    }

    /// Ends a relayed stream if its owner has ended it, its caller is between two messages,
    /// and one of the connections closes when idle: then nothing keeps the stream running.
    /// See [`Shared::end_at_rest`] for streams without a relay.
    fn end_at_rest(&self, legs: &[Leg; 2], due: &mut Due<'_>) {
        let [caller, owner] = legs;
        // Without a lock, because this is called for each frame.
        if owner.passed.in_message || !owner.core.has_received_all() {
            return;
        }
        let is_ended = caller.core.send.lock().state == SendState::Finished;
        if !is_ended || !owner.is_sending() {
            return;
        }
        let recv = caller.core.recv.lock();
        let is_at_rest = recv.state == RecvState::Open && recv.inbox.is_empty();
        drop(recv);
        if is_at_rest && (caller.shared.closes_when_idle() || owner.shared.closes_when_idle()) {
            owner.finish(due);
            caller.stop_receiving();
            due.flush(&owner.shared);
            due.flush(&caller.shared);
        }
    }

    /// Charges the bytes of a stream that is gone, and so no longer in its own
    /// connection's table, to the far connection. If the far connection's budget is
    /// exceeded, the far stream is aborted.
    fn charge_orphaned(&self, legs: &mut [Leg; 2], from: RelayEnd, due: &mut Due<'_>) {
        let (near, far) = (&legs[from as usize], &legs[from.other() as usize]);
        if far.orphaned.is_some() || !near.core.is_gone() || !far.is_sending() {
            return;
        }
        let len = near.core.recv.lock().inbox.len();
        if len == 0 {
            return;
        }
        match far.shared.charge_orphaned(len) {
            None => {
                far.abort(self.framing, due);
                due.flush(&far.shared);
            }
            orphaned => legs[from.other() as usize].orphaned = orphaned,
        }
    }

    /// Drops the legs if nothing more will be passed on. Before that, passes on a reset that
    /// has arrived since the last pump: the next one finds no legs.
    fn end_if_over(&self, legs: &mut Option<[Leg; 2]>, due: &mut Due<'_>) {
        let over = |legs: &mut [Leg; 2]| legs.iter().all(|leg| !leg.is_sending());
        let Some(legs) = legs.take_if(over) else {
            return;
        };
        for from in RelayEnd::BOTH {
            self.pass_on_end(&legs, from, due);
        }
        for leg in legs {
            due.flush(&leg.shared);
            if let Some(orphaned) = leg.orphaned {
                leg.shared.release_orphaned(orphaned);
            }
            due.unused.push((leg.shared, leg.core));
        }
    }

    /// Grants the sender at one end what the receiver at the other has granted.
    /// Returns whether there was something to grant.
    fn grant(self: &Arc<Self>, legs: &mut [Leg; 2], from: RelayEnd) -> bool {
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
            // The sender reads slowly: it gets the next grant when it has read.
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

    /// Sends the end of what was received from the other leg.
    fn finish(&self, due: &mut Due<'_>) {
        if !self.core.send.lock().state.finish() {
            return;
        }
        let fin = Header::window_update(self.core.id, Flags::FIN, 0);
        self.shared.outbox.push(Lane::Data, fin);
        if self.core.send_done() {
            due.finished.push(self.stream());
        }
    }

    fn stream(&self) -> (Arc<Shared>, Arc<Core>) {
        (Arc::clone(&self.shared), Arc::clone(&self.core))
    }

    /// Ends the leg so that its peer treats the received data as truncated; see
    /// [`Shared::abort`].
    fn abort(&self, framing: Framing, due: &mut Due<'_>) {
        // Inside a unit, the end alone shows the truncation.
        let cut_short = if self.passed.left > 0 {
            &[]
        } else {
            framing.cut_short
        };
        match self.shared.queue_cut_short(&self.core, cut_short) {
            CutShort::Gone => due.reset.push(self.stream()),
            CutShort::Sent | CutShort::Ended => {}
            CutShort::Impossible => return self.queue_reset(due),
        }
        self.stop_receiving();
    }

    fn queue_reset(&self, due: &mut Due<'_>) {
        if self.core.mark_reset(ResetBy::Us) {
            let reset = Header::window_update(self.core.id, Flags::RST, 0);
            self.shared.outbox.push(Lane::Data, reset);
            due.reset.push(self.stream());
        }
    }

    /// Discards everything that is received from now on. A sender that waits for
    /// credit gets some, so that it continues to send and learns of the end.
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

impl<'a> Due<'a> {
    fn new(flushes: &'a mut Flushes) -> Self {
        Self {
            flushes,
            finished: Vec::new(),
            reset: Vec::new(),
            unused: Vec::new(),
        }
    }

    fn flush(&mut self, shared: &Arc<Shared>) {
        self.flushes.push(Arc::clone(shared) as _);
    }

    /// Does the remaining work on the streams, and closes connections that have
    /// become idle.
    fn settle(self) {
        let finished = self.finished.iter().map(|leg| (leg, Gone::Finished));
        let reset = self.reset.iter().map(|leg| (leg, Gone::Reset));
        for ((shared, core), gone) in finished.chain(reset) {
            if shared.mark_gone(core, gone) {
                shared.close_into(self.flushes);
            }
        }
        for (shared, core) in &self.unused {
            if shared.mark_unused(core) {
                shared.close_into(self.flushes);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        transport::{Closer, Transport, Wait, memory},
        yamux::{Acceptor, Connection, ConnectionReader, Role},
    };
    use std::thread;

    /// Enough to overflow the stack if each failure were handled inside the
    /// previous one.
    const CONNECTIONS: usize = 1_000;
    const STACK: usize = 128 * 1024;

    /// Passes on nothing.
    const NONE: Framing = Framing {
        next: |_, _, _| 0,
        cut_short: &[],
    };

    /// Returns a connection, its reader, and the peer's end of its transport.
    fn connection() -> (Connection, Box<ConnectionReader>, memory::End) {
        let (ours, theirs) = memory::pair(1024);
        let (halves, acceptor) = (ours.split().unwrap(), Acceptor::new(|_| true));
        let driven = Connection::driven(halves, Role::Server, Arc::default(), acceptor);
        let (connection, reader) = driven.unwrap();
        (connection, reader, theirs)
    }

    /// A thread may find room after the reader has noted the reset, before it pumps.
    #[test]
    fn a_caller_whose_owner_has_ended_and_reset_the_stream_is_not_left_without_credit() {
        for to in RelayEnd::BOTH {
            let connections = [connection(), connection()];
            let [a, b] = [0, 1].map(|at| connections[at].0.open().unwrap());
            let [caller, owner] = [&a, &b].map(|stream| Arc::clone(stream.core()));
            join_relay((a, Segment::default()), (b, Segment::default()), NONE);
            let relay = || Arc::clone(owner.relay().unwrap());
            let mut due = Flushes::default();
            assert!(!owner.on_fin());
            relay().pump(&mut due);
            assert_eq!(caller.send.lock().state, SendState::Finished);
            assert!(owner.mark_reset(ResetBy::Peer));
            relay().on_room(to, &mut due);
            relay().pump(&mut due);
            assert_ne!(caller.recv.lock().state, RecvState::Open);
        }
    }

    #[test]
    fn a_chain_of_connections_that_fail_takes_no_more_stack_than_one() {
        let (mut connections, mut readers, mut peers) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..CONNECTIONS {
            let (connection, reader, theirs) = connection();
            connections.push(connection);
            readers.push(reader);
            peers.push(theirs);
        }
        for pair in connections.windows(2) {
            let [a, b] = [0, 1].map(|at| (pair[at].open().unwrap(), Segment::default()));
            join_relay(a, b, NONE);
        }
        for peer in &peers {
            peer.shutdown();
        }
        // Something is queued on each, and cannot be sent.
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
