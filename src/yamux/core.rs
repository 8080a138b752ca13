//! A stream as both sides of the connection's table see it: two halves, each
//! under a lock of its own, that the connection's reader fills and the
//! stream's user empties.

use super::{
    error::Violation,
    frame::StreamId,
    inbox::Inbox,
    relayed::{End, Relay},
    segment::Segment,
    state::{OnData, RecvState, ResetBy, SendState},
    window::{RecvWindow, SendWindow, Tuning},
};
use crate::sync::{
    self, Condvar, Mutex, OnceLock,
    atomic::{AtomicBool, AtomicU8, Ordering},
};
use std::sync::Arc;

/// States of [`Core::input`].
const NOT_AWAITED: u8 = 0;
const AWAITED: u8 = 1;
const ARRIVED: u8 = 2;

/// Bits of [`Core::done`].
const RECV_DONE: u8 = 1;
const SEND_DONE: u8 = 2;

#[derive(Debug)]
pub(super) struct Core {
    pub(super) id: StreamId,
    pub(super) recv: Mutex<RecvHalf>,
    pub(super) readable: Condvar,
    pub(super) send: Mutex<SendHalf>,
    pub(super) writable: Condvar,
    /// Which halves are done. Each side sets its bit and sees the other's in
    /// one step, so that exactly one of them finds the stream gone.
    done: AtomicU8,
    /// Whether a writer that waits for credit is to be woken by what the peer
    /// sends, which may be that it wants nothing.
    input: AtomicU8,
    /// We opened it, and the peer has not acknowledged it.
    unacknowledged: AtomicBool,
    /// Somebody here still uses it.
    live: AtomicBool,
    /// It is one end of a relay.
    relayed: OnceLock<(Arc<dyn Relay>, End)>,
}

#[derive(Debug)]
pub(super) struct RecvHalf {
    pub(super) state: RecvState,
    /// Reads were ended on this side: what had come is gone, so that no end of
    /// the stream may be told any more.
    pub(super) stopped: bool,
    pub(super) inbox: Inbox,
    pub(super) window: RecvWindow,
    /// Bytes that may still be thrown away before a peer that goes on sending
    /// to nobody is told so with a reset.
    discard_left: u32,
}

#[derive(Debug)]
pub(super) struct SendHalf {
    pub(super) state: SendState,
    pub(super) window: SendWindow,
}

/// What is to be done after data was delivered.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    Done,
    /// Send this window update.
    Update(u32),
    /// The peer sends to nobody: reset the stream.
    Unwanted,
}

/// A stream that the peer has opened and nobody has accepted yet.
#[derive(Debug)]
pub(crate) struct Incoming(pub(super) Arc<Core>);

impl Core {
    pub(super) fn new(id: StreamId, inbound: bool) -> Self {
        Self {
            id,
            recv: Mutex::new(RecvHalf {
                state: RecvState::Open,
                stopped: false,
                inbox: Inbox::default(),
                window: RecvWindow::new(),
                discard_left: 0,
            }),
            readable: Condvar::new(),
            send: Mutex::new(SendHalf {
                state: SendState::Open,
                window: SendWindow::new(),
            }),
            writable: Condvar::new(),
            done: AtomicU8::new(0),
            input: AtomicU8::new(NOT_AWAITED),
            unacknowledged: AtomicBool::new(!inbound),
            live: AtomicBool::new(true),
            relayed: OnceLock::new(),
        }
    }

    /// The peer's ACK, or what does instead of it: whether it was awaited.
    pub(super) fn acknowledge(&self) -> bool {
        self.unacknowledged.swap(false, Ordering::AcqRel)
    }

    pub(super) fn is_unacknowledged(&self) -> bool {
        self.unacknowledged.load(Ordering::Acquire)
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn is_live(&self) -> bool {
        self.live.load(Ordering::Acquire)
    }

    /// Gives the stream to a relay, with what had been read of it.
    pub(super) fn join(&self, relay: Arc<dyn Relay>, end: End, rest: Segment) {
        let mut recv = self.recv.lock();
        // No more than a segment's length.
        let count = rest.len() as u32;
        recv.inbox.put_back(rest);
        recv.window.begin_relay(count);
        // A stream is joined once: the relay takes the handle.
        let _ = self.relayed.set((relay, end));
    }

    /// The relay that the stream is an end of.
    pub(super) fn relay(&self) -> Option<&Arc<dyn Relay>> {
        self.relayed.get().map(|(relay, _)| relay)
    }

    /// Nobody here uses it any more; says whether that is new.
    pub(super) fn retire(&self) -> bool {
        self.live.swap(false, Ordering::AcqRel)
    }

    /// Has writers that wait woken by the peer's next bytes or FIN, or no more.
    pub(super) fn await_input(&self, awaited: bool) {
        let state = if awaited { AWAITED } else { NOT_AWAITED };
        self.input.store(state, Ordering::Release);
    }

    /// Whether such bytes have come; from then on the next ones are awaited.
    pub(super) fn take_input(&self) -> bool {
        self.input
            .compare_exchange(ARRIVED, AWAITED, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }

    pub(super) fn input_has_arrived(&self) -> bool {
        self.input.load(Ordering::Acquire) == ARRIVED
    }

    fn input_arrives(&self) {
        let told =
            self.input
                .compare_exchange(AWAITED, ARRIVED, Ordering::AcqRel, Ordering::Relaxed);
        if told.is_ok() {
            // A writer that has just looked is waiting when this is unlocked.
            drop(self.send.lock());
            self.writable.notify_all();
        }
    }

    /// Whether both halves are done, and the stream is in the table no more.
    pub(super) fn is_gone(&self) -> bool {
        self.done.load(Ordering::Acquire) == RECV_DONE | SEND_DONE
    }

    /// Whether the peer has nothing more to send.
    pub(super) fn has_received_all(&self) -> bool {
        self.done.load(Ordering::Acquire) & RECV_DONE != 0
    }

    fn mark_done(&self, bits: u8) -> bool {
        let before = self.done.fetch_or(bits, Ordering::AcqRel);
        let both = RECV_DONE | SEND_DONE;
        before != both && before | bits == both
    }

    /// Notes that our sending half is done; says whether the stream is gone by
    /// that.
    #[must_use]
    pub(super) fn send_done(&self) -> bool {
        self.mark_done(SEND_DONE)
    }

    /// A Data frame of `len` bytes has begun.
    pub(super) fn on_data(&self, len: u32) -> Result<(), Violation> {
        if len == 0 {
            return Ok(());
        }
        let mut recv = self.recv.lock();
        match recv.state.on_data() {
            OnData::Violation => Err(Violation::AfterFin(self.id)),
            OnData::Skip => Ok(()),
            OnData::Deliver | OnData::Discard => recv
                .window
                .receive(len, sync::now)
                .map_err(|_| Violation::BeyondWindow(self.id)),
        }
    }

    /// `len` bytes of a Data frame that [`on_data`](Self::on_data) let in, for
    /// `push` to put into the inbox if somebody is to read them.
    pub(super) fn deliver<'a>(
        &self,
        len: usize,
        push: impl FnOnce(&mut Inbox),
        tuning: impl FnOnce() -> Tuning<'a>,
    ) -> Delivery {
        let mut recv = self.recv.lock();
        match recv.state.on_data() {
            OnData::Deliver => {
                push(&mut recv.inbox);
                drop(recv);
                self.readable.notify_all();
                self.input_arrives();
                Delivery::Done
            }
            // A frame's length is a u32.
            OnData::Discard => recv.discard(len as u32, tuning),
            OnData::Skip | OnData::Violation => Delivery::Done,
        }
    }

    /// The peer's window update.
    pub(super) fn on_window_update(&self, delta: u32) -> Result<(), Violation> {
        if delta == 0 {
            return Ok(());
        }
        let granted = self.send.lock().window.grant(delta);
        self.writable.notify_all();
        granted.map_err(|_| Violation::WindowOverflow(self.id))
    }

    /// The peer's FIN; says whether the stream is gone by it.
    #[must_use]
    pub(super) fn on_fin(&self) -> bool {
        let mut recv = self.recv.lock();
        recv.state.on_fin();
        drop(recv);
        self.readable.notify_all();
        self.input_arrives();
        self.mark_done(RECV_DONE)
    }

    /// Nothing more can be sent on the connection.
    pub(super) fn fail_sending(&self) {
        self.send.lock().state.reset(ResetBy::Connection);
        self.writable.notify_all();
    }

    /// Ends both halves at once, and wakes who waits for them; says whether
    /// the stream is gone by it. What the peer sent before stays readable,
    /// unless it was this side that gave up.
    #[must_use]
    pub(super) fn reset(&self, by: ResetBy) -> bool {
        let mut recv = self.recv.lock();
        recv.state.reset(by);
        if by == ResetBy::Us {
            recv.inbox.clear();
        }
        drop(recv);
        self.send.lock().state.reset(by);
        self.readable.notify_all();
        self.writable.notify_all();
        self.mark_done(RECV_DONE | SEND_DONE)
    }
}

impl RecvHalf {
    /// Whether a reader has something to wait for.
    pub(super) fn waits(&self) -> bool {
        self.inbox.is_empty() && !self.stopped && self.state == RecvState::Open
    }

    /// Books bytes as read; the window update that is due, if the peer may
    /// still send.
    pub(super) fn consumed<'a>(
        &mut self,
        count: usize,
        tuning: impl FnOnce() -> Tuning<'a>,
    ) -> Option<u32> {
        if self.state.is_done() {
            return None;
        }
        // The inbox holds no more than the window, which is a u32.
        self.window.consume(count as u32, tuning)
    }

    /// Nobody will read any more: what lies here, and what was on its way, is
    /// thrown away. A window update may be due.
    pub(super) fn stop<'a>(&mut self, tuning: impl FnOnce() -> Tuning<'a>) -> Option<u32> {
        self.stopped = true;
        let count = self.inbox.clear();
        if self.state != RecvState::Open {
            return None;
        }
        self.state.stop();
        self.discard_left = self.window.size();
        self.consumed(count, tuning)
    }

    fn discard<'a>(&mut self, count: u32, tuning: impl FnOnce() -> Tuning<'a>) -> Delivery {
        match self.discard_left.checked_sub(count) {
            None => Delivery::Unwanted,
            Some(left) => {
                self.discard_left = left;
                self.window
                    .consume(count, tuning)
                    .map_or(Delivery::Done, Delivery::Update)
            }
        }
    }
}
