//! The frames of a connection that are queued to be written, and the role of
//! writing them.
//!
//! There is no writer thread. The [`OutboxWriter`] is an object, and the thread that
//! holds it has the *writing role*: it writes everything in the [`Queue`]. While no
//! thread writes, the outbox holds the writer. A thread that cannot get the writer
//! leaves its frames in the queue, and the holder writes them along with its own.
//!
//! - The lock is never held during a system call.
//! - A holder that has served others for a while, or that another thread waits for,
//!   hands the role on, because with many writers the queue never becomes empty.
//! - A thread that must not wait for the peer (the reader above all) writes without
//!   blocking, and hands the writer, with whatever did not fit, to a helper thread.
//!
//! Invariant: while frames are queued, either the role is held, or a thread that
//! is about to take it has been woken.

pub(super) mod waiting;
pub(super) mod writing;

use super::{
    frame::Header,
    inbox::Inbox,
    queue::Queue,
    relay::{Relay, RelayEnd},
    segment::Segment,
    writer::OutboxWriter,
};
use crate::{
    sync::{Condvar, Mutex},
    transport::WriteHalf,
};
use std::{collections::VecDeque, mem, sync::Arc};

#[derive(Debug)]
pub(super) struct Outbox {
    state: Mutex<OutboxState>,
    /// Signalled when there is room, the role is free, or the outbox has ended.
    changed: Condvar,
    /// Signalled when the role was given back, or the outbox has ended.
    settled: Condvar,
}

#[derive(Debug)]
struct OutboxState {
    queue: Queue,
    /// `None` while a thread holds it.
    writer: Option<Box<OutboxWriter>>,
    /// Relays that wait for room, in the order in which they will be served, each
    /// with the end that its frames are for.
    parked: VecDeque<(Arc<dyn Relay>, RelayEnd)>,
    /// Threads that wait on `changed`.
    waiting: usize,
    /// Whether the holder has had the role long enough and wants to be relieved.
    relief: bool,
    phase: OutboxPhase,
    /// Whether the end of our direction may have been sent.
    finish_begun: bool,
    /// The bytes of the bodies of all Data frames that are written.
    written: u64,
    /// How often the queue was emptied into the writer, and how often such a load
    /// was written completely.
    loads: u64,
    loads_written: u64,
}

/// What the outbox still does. For the whole connection see [`phase`](super::phase).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OutboxPhase {
    /// It accepts frames.
    Open,
    /// It accepts no more frames. When all are written, the writer ends our
    /// direction.
    Finishing,
    /// Nothing more is written.
    Ended,
}

/// Where in the queue a frame without a body goes, and which limit applies to such
/// frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    /// In order with the data; a stream queues few of these.
    Data,
    /// In order with the data; the peer's own frames cause these.
    Answer,
    /// Ahead of all data.
    Control,
}

/// A relay's priority among all that wait for room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Priority {
    /// It is being served as the first in the queue.
    First,
    /// It gets room only if no other relay waits.
    Last,
}

/// The outcome of queuing a Data frame.
#[derive(Debug)]
pub(super) enum Pushed {
    /// There is no room: nothing was done.
    NoRoom,
    /// It is queued, and another thread is writing.
    Queued,
    /// It is queued, and the thread that is writing wants to be relieved.
    Relieve,
    /// No thread was writing: the caller has the role, with the frame taken out of
    /// the queue, and must write it.
    Role(Box<OutboxWriter>),
}

impl Outbox {
    pub(super) fn new(half: Box<dyn WriteHalf>) -> Self {
        Self {
            state: Mutex::new(OutboxState {
                queue: Queue::new(),
                writer: Some(Box::new(OutboxWriter::new(half))),
                parked: VecDeque::new(),
                waiting: 0,
                relief: false,
                phase: OutboxPhase::Open,
                finish_begun: false,
                written: 0,
                loads: 0,
                loads_written: 0,
            }),
            changed: Condvar::new(),
            settled: Condvar::new(),
        }
    }

    /// Queues a Data frame, and takes the writing role if it is free. `fill`
    /// appends the body of `len` bytes, after the header, to the segment that it is
    /// given.
    pub(super) fn try_send(
        &self,
        header: Header,
        len: usize,
        fill: impl FnOnce(&mut Segment),
    ) -> Pushed {
        let mut state = self.state.lock();
        if !state.has_room() {
            return Pushed::NoRoom;
        }
        state.queue.push_data(header, len, fill);
        if let Some(writer) = self.take_locked(&mut state) {
            return Pushed::Role(writer);
        }
        self.pass_on_locked(&state);
        if state.relief {
            Pushed::Relieve
        } else {
            Pushed::Queued
        }
    }

    /// Queues a Data frame without flushing. Returns `false` if there is no room.
    pub(super) fn try_push_data(&self, header: Header, body: &[u8]) -> bool {
        let mut state = self.state.lock();
        let has_room = state.has_room();
        if has_room {
            state.push_data(header, body);
        }
        has_room
    }

    /// Queues a Data frame with a short body without flushing, even if there is no
    /// room.
    pub(super) fn push_data(&self, header: Header, body: &[u8]) {
        let mut state = self.state.lock();
        if state.is_open() {
            state.push_data(header, body);
        }
    }

    /// Queues a Data frame with bytes from an inbox, without flushing. Returns
    /// `false` if there is no room, or if other relays go first. The relay is then
    /// parked, and served when there is room.
    pub(super) fn try_relay(
        &self,
        header: Header,
        inbox: &mut Inbox,
        priority: Priority,
        relay: impl FnOnce() -> (Arc<dyn Relay>, RelayEnd),
    ) -> bool {
        let mut state = self.state.lock();
        if !state.is_open() {
            inbox.skip(header.length as usize);
            return true;
        }
        let others_first = priority == Priority::Last && !state.parked.is_empty();
        if others_first || state.queue.is_full_for_relays() {
            state.parked.push_back(relay());
            return false;
        }
        state.queue.relay(header, inbox);
        true
    }

    /// Makes a relay wait for room behind all others. Only for relays that are
    /// being served, or while there is no room.
    pub(super) fn park(&self, relay: Arc<dyn Relay>, end: RelayEnd) {
        self.state.lock().parked.push_back((relay, end));
    }

    /// Queues a frame without a body, without checking a limit. For frames that are
    /// few, or whose limit was checked before with
    /// [`is_overfull`](Self::is_overfull) or
    /// [`has_room_for_grants`](Self::has_room_for_grants).
    pub(super) fn push(&self, lane: Lane, header: Header) {
        self.state.lock().push(lane, header);
    }

    /// Queues a frame without a body that the peer has caused. Returns `false` if
    /// the peer leaves too many of them unread.
    #[must_use]
    pub(super) fn try_push(&self, lane: Lane, header: Header) -> bool {
        let mut state = self.state.lock();
        let is_full = match lane {
            Lane::Data => false,
            Lane::Answer => state.queue.is_full_of_answers(),
            Lane::Control => state.queue.is_full_of_control(),
        };
        if !is_full {
            state.push(lane, header);
        }
        !is_full
    }

    /// Returns how many bytes of data have left the queue so far, and whether more
    /// frames are queued or being written.
    pub(super) fn progress(&self) -> (u64, bool) {
        let state = self.state.lock();
        let waits = !state.queue.is_empty() || state.writer.is_none();
        (state.queue.taken(), waits)
    }

    /// Returns whether the peer may have read the end of our direction, and so
    /// everything before it.
    pub(super) fn has_begun_to_finish(&self) -> bool {
        self.state.lock().finish_begun
    }

    /// Returns how many bytes of memory the queue holds.
    #[cfg(any(test, fuzzing))]
    pub(super) fn memory(&self) -> usize {
        self.state.lock().queue.memory()
    }

    /// Returns the bytes of the bodies of all Data frames that were queued so far.
    pub(super) fn queued_total(&self) -> u64 {
        self.state.lock().queue.queued_total()
    }

    /// Returns the part of [`queued_total`](Self::queued_total) that goes before a frame queued
    /// ahead of data now.
    pub(super) fn taken(&self) -> u64 {
        self.state.lock().queue.taken()
    }

    /// Returns the part of [`queued_total`](Self::queued_total) that the transport has accepted.
    pub(super) fn written(&self) -> u64 {
        self.state.lock().written
    }

    /// Returns whether too many answers are queued: the peer causes them without
    /// reading them.
    pub(super) fn is_overfull(&self) -> bool {
        self.state.lock().queue.is_full_of_answers()
    }

    /// Returns whether too much is queued to open a stream. Without this limit, a
    /// program that opens and resets streams would make the queue grow without
    /// bound.
    pub(super) fn is_flooded(&self) -> bool {
        self.state.lock().queue.is_flooded()
    }

    /// Returns whether a relay may queue a window update. The other leg's peer
    /// causes these, and must not be able to make this connection end, so their
    /// limit is far below that of frames that this peer causes.
    pub(super) fn has_room_for_grants(&self) -> bool {
        self.state.lock().queue.has_room_for_grants()
    }

    /// Queues the last frames; when everything is written, our direction of the
    /// connection ends. Frames that are queued later are dropped, as they would only
    /// make the transport fail.
    pub(super) fn finish(&self, last: impl IntoIterator<Item = Header>) {
        let mut state = self.state.lock();
        if state.is_open() {
            for header in last {
                state.queue.push(header);
            }
            state.phase = OutboxPhase::Finishing;
            self.changed.notify_all();
        }
    }

    /// Ends the outbox: drops what is queued, and wakes all waiting threads.
    pub(super) fn end(&self) {
        let mut state = self.state.lock();
        state.phase = OutboxPhase::Ended;
        state.queue.clear();
        let parked = mem::take(&mut state.parked);
        // Closes the descriptor, even if stream handles still exist.
        let writer = state.writer.take();
        drop(state);
        drop(writer);
        // These relays are pumped when their streams end.
        drop(parked);
        self.changed.notify_all();
        self.settled.notify_all();
    }
}

impl OutboxState {
    /// Returns whether frames are still accepted.
    fn is_open(&self) -> bool {
        self.phase == OutboxPhase::Open
    }

    /// Returns whether a Data frame may be queued.
    fn has_room(&self) -> bool {
        !self.queue.is_full() && self.is_open()
    }

    fn push_data(&mut self, header: Header, body: &[u8]) {
        let fill = |segment: &mut Segment| segment.put(body);
        self.queue.push_data(header, body.len(), fill);
    }

    fn push(&mut self, lane: Lane, header: Header) {
        if self.is_open() {
            match lane {
                Lane::Data => self.queue.push(header),
                Lane::Answer => self.queue.push_answer(header),
                Lane::Control => self.queue.push_control(header),
            }
        }
    }
}
