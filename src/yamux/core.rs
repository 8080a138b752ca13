//! The state of one stream, shared by its handles, the reader and a relay: two
//! halves, each with its own lock.

use super::{
    error::Violation,
    frame::StreamId,
    inbox::Inbox,
    relay::{Relay, RelayEnd},
    segment::Segment,
    state::{OnData, RecvState, ResetBy, SendState},
    waker::Wake,
    window::{RecvWindow, SendWindow, Tuning},
};
use crate::sync::{
    self, Condvar, Mutex, OnceLock,
    atomic::{AtomicBool, AtomicU8, Ordering},
};
use std::{
    sync::{Arc, Weak},
    time::Instant,
};

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
    /// Notified by [`wake_readers`](Self::wake_readers) only.
    pub(super) readable: Condvar,
    /// Signalled when the receiving half ends in any way. Not `readable`, so that data does
    /// not wake threads that wait for the end.
    ended: Condvar,
    /// Called when readers are woken, for a thread that does not wait for `readable`.
    waker: OnceLock<Weak<dyn Wake>>,
    pub(super) send: Mutex<SendHalf>,
    pub(super) writable: Condvar,
    /// Which halves are done. Each half sets its bit and reads the other's in one
    /// step, so that exactly one of them finds the stream gone.
    done: AtomicU8,
    /// Whether data from the peer, which may be a refusal, wakes a writer that waits
    /// for credit.
    input: AtomicU8,
    /// Whether this side opened the stream and the peer has not acknowledged it.
    unacknowledged: AtomicBool,
    /// Whether this side still uses the stream.
    live: AtomicBool,
    /// The relay that the stream belongs to, and which of its ends the stream is.
    relayed: OnceLock<(Arc<dyn Relay>, RelayEnd)>,
    /// The name that the layer above has given to the stream.
    name: OnceLock<Arc<str>>,
}

#[derive(Debug)]
pub(super) struct RecvHalf {
    pub(super) state: RecvState,
    /// Whether the peer has finished or reset the stream, or the connection has ended. Kept
    /// beside `state`, which no longer shows it after this side has reset the stream.
    peer_has_ended: bool,
    /// Whether reading was ended on this side. Received bytes were discarded then,
    /// so no read may report the end of the stream.
    pub(super) reads_ended: bool,
    pub(super) inbox: Inbox,
    pub(super) window: RecvWindow,
    /// How many more bytes are discarded before the stream is reset because its peer
    /// keeps sending.
    discard_left: u32,
}

#[derive(Debug)]
pub(super) struct SendHalf {
    pub(super) state: SendState,
    pub(super) window: SendWindow,
    /// Whether nothing is being sent: the stream may end here. Stays `false` unless the
    /// layer above says so; see [`Stream::rest`](super::Stream::rest).
    pub(super) at_rest: bool,
}

/// What to do after data was delivered.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    Done,
    /// Send this window update.
    Update(u32),
    /// Reset the stream: the peer keeps sending data that is discarded.
    Unwanted,
}

/// A stream that the peer has opened and that is not accepted yet.
#[derive(Debug)]
pub(crate) struct Incoming(pub(super) Arc<Core>);

impl Core {
    pub(super) fn shared(id: StreamId, inbound: bool) -> Arc<Self> {
        Arc::new(Self {
            id,
            recv: Mutex::new(RecvHalf {
                state: RecvState::Open,
                peer_has_ended: false,
                reads_ended: false,
                inbox: Inbox::default(),
                window: RecvWindow::new(),
                discard_left: 0,
            }),
            readable: Condvar::new(),
            ended: Condvar::new(),
            waker: OnceLock::new(),
            send: Mutex::new(SendHalf {
                state: SendState::Open,
                window: SendWindow::new(),
                at_rest: false,
            }),
            writable: Condvar::new(),
            done: AtomicU8::new(0),
            input: AtomicU8::new(NOT_AWAITED),
            unacknowledged: AtomicBool::new(!inbound),
            live: AtomicBool::new(true),
            relayed: OnceLock::new(),
            name: OnceLock::new(),
        })
    }

    /// Sets the name, once.
    pub(super) fn set_name(&self, name: Arc<str>) {
        // Fails only for a second name, which does not count.
        let _ = self.name.set(name);
    }

    pub(super) fn name(&self) -> Option<&Arc<str>> {
        self.name.get()
    }

    /// Notes the peer's ACK, or an event that makes an ACK unnecessary. Returns
    /// whether an ACK was awaited.
    pub(super) fn mark_acknowledged(&self) -> bool {
        self.unacknowledged.swap(false, Ordering::AcqRel)
    }

    pub(super) fn is_unacknowledged(&self) -> bool {
        self.unacknowledged.load(Ordering::Acquire)
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn is_live(&self) -> bool {
        self.live.load(Ordering::Acquire)
    }

    /// Gives the stream to a relay, along with bytes that were already read from
    /// it.
    pub(super) fn join(&self, relay: Arc<dyn Relay>, end: RelayEnd, rest: Segment) {
        let mut recv = self.recv.lock();
        // No more than a segment's length.
        let count = rest.len() as u32;
        recv.inbox.put_back(rest);
        recv.window.begin_relay(count);
        // A stream is joined once: the relay takes the handle.
        let _ = self.relayed.set((relay, end));
    }

    /// Returns the relay that the stream belongs to.
    pub(super) fn relay(&self) -> Option<&Arc<dyn Relay>> {
        self.relayed.get().map(|(relay, _)| relay)
    }

    /// Notes that this side no longer uses the stream. Returns `true` only once.
    pub(super) fn mark_unused(&self) -> bool {
        self.live.swap(false, Ordering::AcqRel)
    }

    /// Sets whether waiting writers are woken by the peer's next bytes or FIN.
    pub(super) fn await_input(&self, awaited: bool) {
        let state = if awaited { AWAITED } else { NOT_AWAITED };
        self.input.store(state, Ordering::Release);
    }

    /// Returns whether the awaited input has arrived. If so, awaits the next input.
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
            // Once this lock is taken, a writer that has just checked is waiting.
            drop(self.send.lock());
            self.writable.notify_all();
        }
    }

    /// Returns whether both halves are done, and so the stream is no longer in the
    /// table.
    pub(super) fn is_gone(&self) -> bool {
        self.done.load(Ordering::Acquire) == RECV_DONE | SEND_DONE
    }

    /// Returns whether the peer has nothing more to send.
    pub(super) fn has_received_all(&self) -> bool {
        self.done.load(Ordering::Acquire) & RECV_DONE != 0
    }

    fn mark_done(&self, bits: u8) -> bool {
        let before = self.done.fetch_or(bits, Ordering::AcqRel);
        let both = RECV_DONE | SEND_DONE;
        before != both && before | bits == both
    }

    /// Notes that our sending half is done. Returns whether the stream is now gone.
    #[must_use]
    pub(super) fn send_done(&self) -> bool {
        self.mark_done(SEND_DONE)
    }

    /// Calls `waker` whenever readers are woken. Returns `false` if the stream has a
    /// waker already.
    #[cfg_attr(not(unix), allow(dead_code))]
    pub(super) fn set_waker(&self, waker: Weak<dyn Wake>) -> bool {
        self.waker.set(waker).is_ok()
    }

    /// Wakes the threads that wait for input. The receiving half must not be locked.
    pub(super) fn wake_readers(&self) {
        self.readable.notify_all();
        if let Some(waker) = self.waker.get().and_then(Weak::upgrade) {
            waker.wake();
        }
    }

    /// Wakes the threads that wait for data or for the end, after the receiving half has
    /// ended. The receiving half must not be locked.
    pub(super) fn wake_at_end(&self) {
        self.wake_readers();
        self.ended.notify_all();
    }

    /// Handles the header of a Data frame of `len` bytes.
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

    /// Receives `len` bytes of a Data frame that [`on_data`](Self::on_data)
    /// accepted. `push` puts them into the inbox, unless they are discarded.
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
                self.wake_readers();
                self.input_arrives();
                Delivery::Done
            }
            // A frame's length is a u32.
            OnData::Discard => recv.discard(len as u32, tuning),
            OnData::Skip | OnData::Violation => Delivery::Done,
        }
    }

    /// Handles the peer's window update.
    pub(super) fn on_window_update(&self, delta: u32) -> Result<(), Violation> {
        if delta == 0 {
            return Ok(());
        }
        let granted = self.send.lock().window.grant(delta);
        self.writable.notify_all();
        granted.map_err(|_| Violation::WindowOverflow(self.id))
    }

    /// Handles the peer's FIN. Returns whether the stream is now gone.
    #[must_use]
    pub(super) fn on_fin(&self) -> bool {
        let mut recv = self.recv.lock();
        recv.state.on_fin();
        recv.peer_has_ended = true;
        drop(recv);
        self.wake_at_end();
        self.input_arrives();
        self.mark_done(RECV_DONE)
    }

    /// Returns whether the peer has finished or reset the stream, or the connection has
    /// ended.
    pub(super) fn peer_has_ended(&self) -> bool {
        self.recv.lock().peer_has_ended
    }

    /// Waits until the peer has ended the stream, reading was ended on this side, or the
    /// deadline has passed. Returns whether the peer has ended it.
    pub(super) fn wait_peer_end(&self, deadline: Option<Instant>) -> bool {
        let mut recv = self.recv.lock();
        while !recv.peer_has_ended && !recv.reads_ended && !recv.state.is_done() {
            match deadline {
                None => self.ended.wait(&mut recv),
                Some(deadline) => {
                    if self.ended.wait_until(&mut recv, deadline).timed_out() {
                        break;
                    }
                }
            }
        }
        recv.peer_has_ended
    }

    /// Resets the sending half, because nothing more can be sent on the connection.
    pub(super) fn fail_sending(&self) {
        self.send.lock().state.reset(ResetBy::Connection);
        self.writable.notify_all();
    }

    /// Resets both halves, and wakes the threads that wait for them. Returns whether
    /// the stream is now gone. Data that the peer sent before stays readable, unless
    /// this side reset the stream.
    #[must_use]
    pub(super) fn mark_reset(&self, by: ResetBy) -> bool {
        let mut recv = self.recv.lock();
        recv.state.reset(by);
        match by {
            ResetBy::Us => drop(recv.inbox.clear()),
            ResetBy::Peer | ResetBy::Connection => recv.peer_has_ended = true,
        }
        drop(recv);
        self.send.lock().state.reset(by);
        self.wake_at_end();
        self.writable.notify_all();
        self.mark_done(RECV_DONE | SEND_DONE)
    }
}

impl RecvHalf {
    /// Returns whether a read has to wait.
    pub(super) fn waits(&self) -> bool {
        self.inbox.is_empty() && !self.reads_ended && self.state == RecvState::Open
    }

    /// Notes that bytes were read. Returns the window update that is due, if the peer
    /// may still send.
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

    /// Ends reading: discards the buffered bytes and those still to arrive. Returns
    /// the window update that is due, if any.
    pub(super) fn stop<'a>(&mut self, tuning: impl FnOnce() -> Tuning<'a>) -> Option<u32> {
        self.reads_ended = true;
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
