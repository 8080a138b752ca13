//! What waits to be sent on a connection, and who may write it.
//!
//! There is no writer thread. The [`Writer`] is an object: whoever holds it has
//! the *writing role* and writes all that waits, in as few calls as it can; it
//! lies in the outbox while nobody writes. A thread that cannot have it leaves
//! its frames here, and the holder takes them along.
//!
//! - The lock is never held over a system call.
//! - A holder that served others for a while, or that somebody waits for,
//!   hands the role on: with many writers the queue never runs empty.
//! - A thread that must not wait for the peer (the reader above all) writes
//!   without blocking, and gives the writer to a helper thread with what did
//!   not fit.
//!
//! Invariant: while frames wait, either the role is held, or a thread that is
//! about to take it has been woken.

use super::{
    frame::{HEADER_LEN, Header},
    inbox::Inbox,
    relay::{End, Relay},
    segment::{SEGMENT, Segment},
};
use crate::transport::{Wait, WriteHalf};
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    sync::Arc,
    time::Instant,
};

/// Bytes that may wait; from here on writers do. Enough to keep the socket
/// busy while they are woken, and little enough not to add to the latency of
/// other streams.
const LIMIT: usize = 256 * 1024;

/// Bytes from where on relays wait. They refill the outbox as it is emptied, so
/// there would never be room for others if they might fill it.
const RELAY_LIMIT: usize = LIMIT / 2;

/// Bytes that what a peer sends may make us owe it, in answers. A peer that
/// goes beyond does not read.
const ANSWERS_LIMIT: usize = 64 * 1024;

/// Bytes after which the holder of the role wants to be relieved of it.
const SHIFT: usize = 1024 * 1024;

/// Bytes of a relayed frame that are moved in a buffer of their own, and not
/// copied behind what waits.
const WORTH_MOVING: usize = 16 * 1024;

/// How many buffers one system call takes.
const SLICES: usize = 8;

#[derive(Debug)]
pub(super) struct Outbox {
    state: Mutex<State>,
    /// There is room, or the role is free, or the outbox has ended.
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    /// Goes first: pings, window updates, go-aways.
    control: Vec<u8>,
    /// Whole frames, in the order of their streams' sending.
    data: VecDeque<Segment>,
    /// Bytes in `data`.
    queued: usize,
    /// Bytes of answers in `data`.
    answers: usize,
    /// Bytes of the bodies of all Data frames so far.
    sent: u64,
    /// Here while nobody writes.
    writer: Option<Box<Writer>>,
    /// Relays whose frames for the streams at these ends wait for room, in the
    /// order in which they get it.
    parked: VecDeque<(Arc<dyn Relay>, End)>,
    /// Threads that wait on `changed`.
    waiting: usize,
    /// The holder has served long enough.
    relief: bool,
    /// Tell the writer to end our direction when all is written.
    finish: bool,
    ended: bool,
}

/// The writing role, with what it has taken out of the outbox.
#[derive(Debug)]
pub(super) struct Writer {
    half: Box<dyn WriteHalf>,
    control: Vec<u8>,
    /// Bytes of `control` that are written.
    control_sent: usize,
    data: VecDeque<Segment>,
    /// Our direction of the connection is ended.
    finished: bool,
}

/// The outbox has ended, or what it was asked for took too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoRoom {
    Ended,
    TimedOut,
}

/// What a wait for room ended with.
#[derive(Debug)]
pub(super) enum Room {
    /// It is worth trying again; somebody else may be faster.
    Free,
    /// The role was free and is the caller's: it must be put to use.
    Role(Box<Writer>),
}

/// Whether it is a relay's turn, of all that wait for room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// It has been told so.
    Its,
    /// Only if none waits.
    Any,
}

/// How long the holder of the writing role is to have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shift {
    /// It has something else to do: relays that refill the outbox do not keep
    /// it.
    Short,
    /// It is there for that.
    Long,
}

/// What became of a Data frame.
#[derive(Debug)]
pub(super) enum Pushed {
    /// There is no room: nothing was done.
    Not,
    /// It waits with the others; somebody is writing.
    Queued,
    /// It waits with the others; who is writing wants to be relieved.
    Relieve,
    /// Nobody was writing: the caller must, and has the frame with the role.
    Role(Box<Writer>),
}

/// How a turn at writing ended.
#[derive(Debug)]
pub(super) enum Drained {
    /// All is written, or another thread goes on.
    Done,
    /// Somebody else has to go on: the transport takes no more without waiting,
    /// or the shift is over.
    Left(Box<Writer>),
}

impl Outbox {
    pub(super) fn new(half: Box<dyn WriteHalf>) -> Self {
        // Mostly one segment waits; by itself a queue would begin with four.
        let queue = || VecDeque::with_capacity(1);
        let writer = Writer {
            half,
            control: Vec::new(),
            control_sent: 0,
            data: queue(),
            finished: false,
        };
        Self {
            state: Mutex::new(State {
                control: Vec::new(),
                data: queue(),
                queued: 0,
                answers: 0,
                sent: 0,
                writer: Some(Box::new(writer)),
                parked: VecDeque::new(),
                waiting: 0,
                relief: false,
                finish: false,
                ended: false,
            }),
            changed: Condvar::new(),
        }
    }

    /// Queues a Data frame whose body of `len` bytes `fill` appends, after its
    /// header, to the segment it is given; with the writing role, if it is
    /// free.
    pub(super) fn try_push(
        &self,
        header: Header,
        len: usize,
        fill: impl FnOnce(&mut Segment),
    ) -> Pushed {
        let mut state = self.state.lock();
        if !state.append(header, len, fill) {
            return Pushed::Not;
        }
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

    /// The same, to leave with what is sent next; `false` without room.
    pub(super) fn try_queue(
        &self,
        header: Header,
        len: usize,
        fill: impl FnOnce(&mut Segment),
    ) -> bool {
        self.state.lock().append(header, len, fill)
    }

    /// Queues a Data frame with bytes out of an inbox, to leave with what is
    /// sent next. `false` without room, or if others wait for some and it is not
    /// this relay's turn; the relay is told when there is some.
    pub(super) fn try_relay(
        &self,
        header: Header,
        inbox: &mut Inbox,
        turn: Turn,
        relay: impl FnOnce() -> (Arc<dyn Relay>, End),
    ) -> bool {
        let mut state = self.state.lock();
        let others_wait = turn == Turn::Any && !state.parked.is_empty();
        if (others_wait || state.queued >= RELAY_LIMIT) && !state.is_over() {
            state.parked.push_back(relay());
            return false;
        }
        state.relay(header, inbox);
        true
    }

    /// Has a relay wait for its next turn; it is told at once if there is room
    /// and nobody is before it. Only for who is told of its turn.
    pub(super) fn park(&self, relay: Arc<dyn Relay>, end: End) {
        self.state.lock().parked.push_back((relay, end));
    }

    /// Queues a frame without a body, in order with the stream's data. There
    /// are few of these for each stream, so they do not wait for room.
    pub(super) fn push(&self, header: Header) {
        let mut state = self.state.lock();
        if !state.is_over() {
            state.put(header);
        }
    }

    /// Bytes of the bodies of all Data frames so far.
    pub(super) fn sent(&self) -> u64 {
        self.state.lock().sent
    }

    /// Whether so many answers wait that the peer must be making us send without
    /// reading it.
    pub(super) fn is_overfull(&self) -> bool {
        self.state.lock().answers >= ANSWERS_LIMIT
    }

    /// Queues an answer that is owed, whatever waits: the peer's next demand
    /// meets [`is_overfull`](Self::is_overfull).
    pub(super) fn push_owed(&self, header: Header) {
        let mut state = self.state.lock();
        if !state.is_over() {
            state.answers += HEADER_LEN;
            state.put(header);
        }
    }

    /// Queues an answer to a peer's frame, in order with the data: `false`
    /// when the peer already leaves too many unread.
    #[must_use]
    pub(super) fn push_answer(&self, header: Header) -> bool {
        let mut state = self.state.lock();
        if state.answers >= ANSWERS_LIMIT {
            return false;
        }
        if !state.is_over() {
            state.answers += HEADER_LEN;
            state.put(header);
        }
        true
    }

    /// Queues a frame ahead of all data: `false` when the peer already leaves
    /// too many unread.
    #[must_use]
    pub(super) fn push_control(&self, header: Header) -> bool {
        let mut state = self.state.lock();
        if state.control.len() >= ANSWERS_LIMIT {
            return false;
        }
        if !state.is_over() {
            state.control.extend_from_slice(&header.encode());
        }
        true
    }

    /// Whether a relay may queue a window update. Another peer makes us send
    /// those, who is not to be able to have this one cut off: they stay far
    /// below the limit of what this one makes us send.
    pub(super) fn has_room_for_grants(&self) -> bool {
        self.state.lock().has_room_for_grants()
    }

    /// Queues a relay's window update ahead of all data.
    pub(super) fn push_grant(&self, header: Header) {
        let mut state = self.state.lock();
        if !state.is_over() {
            state.control.extend_from_slice(&header.encode());
        }
    }

    /// Queues a last frame, if there is one, and has our direction of the connection ended once
    /// all is written. What is queued later is thrown away: it would only make
    /// the transport fail.
    pub(super) fn finish(&self, last: Option<Header>) {
        let mut state = self.state.lock();
        if !state.is_over() {
            if let Some(last) = last {
                state.put(last);
            }
            state.finish = true;
        }
    }

    /// Ends it: what waits is thrown away, and who waits is woken.
    pub(super) fn end(&self) {
        let mut state = self.state.lock();
        state.ended = true;
        state.control = Vec::new();
        state.data = VecDeque::new();
        state.queued = 0;
        let parked = std::mem::take(&mut state.parked);
        // Gives the descriptor back, though handles of streams may live on.
        let writer = state.writer.take();
        drop(state);
        drop(writer);
        // They look after themselves when their streams end.
        drop(parked);
        self.changed.notify_all();
    }

    /// Waits until data may be queued, or something else has changed. The
    /// caller tries again, and queues some or calls [`pass_on`](Self::pass_on).
    pub(super) fn wait_room(&self, deadline: Option<Instant>) -> Result<Room, NoRoom> {
        let mut state = self.state.lock();
        let (mut waited, mut timed_out) = (false, false);
        loop {
            if state.ended {
                return Err(NoRoom::Ended);
            }
            // Whoever was woken may be the only one who knows that the role is
            // free, so it comes before the room and before the deadline.
            if (waited || state.queued >= LIMIT)
                && !state.is_empty()
                && let Some(writer) = self.take_locked(&mut state)
            {
                return Ok(Room::Role(writer));
            }
            if state.queued < LIMIT || (waited && !timed_out) {
                return Ok(Room::Free);
            }
            if timed_out {
                self.pass_on_locked(&state);
                return Err(NoRoom::TimedOut);
            }
            timed_out = self.wait(&mut state, deadline);
            waited = true;
        }
    }

    /// The caller was let in, and does not use the room.
    pub(super) fn pass_on(&self) {
        self.pass_on_locked(&self.state.lock());
    }

    /// Has all who wait look again.
    pub(super) fn wake_all(&self) {
        self.changed.notify_all();
    }

    fn pass_on_locked(&self, state: &State) {
        if state.waiting > 0 && (state.queued < LIMIT || state.writer.is_some()) {
            self.changed.notify_one();
        }
    }

    /// Waits on `changed`; says whether the deadline passed.
    fn wait(&self, state: &mut MutexGuard<'_, State>, deadline: Option<Instant>) -> bool {
        state.waiting += 1;
        let timed_out = match deadline {
            None => {
                self.changed.wait(state);
                false
            }
            Some(deadline) => self.changed.wait_until(state, deadline).timed_out(),
        };
        state.waiting -= 1;
        timed_out
    }

    /// Takes the role if something waits to be written and nobody writes. A
    /// thread that may block takes it too from a holder that wants relief.
    pub(super) fn take_role(&self, wait: Wait) -> Option<Box<Writer>> {
        let mut state = self.state.lock();
        while wait == Wait::Block && state.relief && state.writer.is_none() && !state.ended {
            self.wait(&mut state, None);
        }
        if state.is_empty() && !state.finish {
            self.pass_on_locked(&state);
            return None;
        }
        self.take_locked(&mut state)
    }

    /// Takes the role if it is free, and all that waits with it.
    fn take_locked(&self, state: &mut State) -> Option<Box<Writer>> {
        let mut writer = state.writer.take()?;
        writer.load(state);
        self.pass_on_locked(state);
        Some(writer)
    }

    /// Writes what was taken out and all that waits, or until somebody else
    /// takes over.
    ///
    /// # Errors
    ///
    /// The transport's; with [`Wait::Block`], `WouldBlock` says that the write
    /// timeout has passed.
    pub(super) fn drain(
        &self,
        mut writer: Box<Writer>,
        wait: Wait,
        shift: Shift,
    ) -> io::Result<Drained> {
        let mut served = writer.pending();
        // A thread that waits could wait for long on behalf of others.
        let enough = match wait {
            Wait::Block => 0,
            Wait::Never => SHIFT,
        };
        loop {
            if !writer.write(wait)? {
                return Ok(Drained::Left(writer));
            }
            let mut state = self.state.lock();
            if state.ended {
                return Ok(Drained::Done);
            }
            let relays_wait = !state.parked.is_empty();
            if relays_wait && shift == Shift::Short && served >= enough && state.waiting == 0 {
                return Ok(Drained::Left(writer));
            }
            if relays_wait && state.is_empty() {
                drop(state);
                self.make_room();
                continue;
            }
            if state.is_empty() {
                if state.finish && !writer.finished {
                    drop(state);
                    if !writer.finish(wait)? {
                        return Ok(Drained::Left(writer));
                    }
                    continue;
                }
                state.relief = false;
                state.writer = Some(writer);
                self.pass_on_locked(&state);
                return Ok(Drained::Done);
            }
            if state.waiting > 0 {
                state.relief = false;
                state.writer = Some(writer);
                self.changed.notify_one();
                return Ok(Drained::Done);
            }
            state.relief = served >= SHIFT || wait == Wait::Never;
            writer.load(&mut state);
            served += writer.pending();
            self.pass_on_locked(&state);
            let relays_wait = !state.parked.is_empty();
            drop(state);
            if relays_wait {
                self.make_room();
            }
        }
    }

    /// Lets the relays that wait take turns, while there is room. Only the
    /// writing role's holder does.
    fn make_room(&self) {
        loop {
            let mut state = self.state.lock();
            // Without room for either, a relay would only stand in line again.
            if state.queued >= RELAY_LIMIT || !state.has_room_for_grants() {
                return;
            }
            let Some((relay, end)) = state.parked.pop_front() else {
                return;
            };
            drop(state);
            relay.on_room(end);
        }
    }
}

impl State {
    /// Whether nothing more is sent.
    fn is_over(&self) -> bool {
        self.ended || self.finish
    }

    fn has_room_for_grants(&self) -> bool {
        self.control.len() < ANSWERS_LIMIT / 4
    }

    fn is_empty(&self) -> bool {
        self.control.is_empty() && self.data.is_empty()
    }

    /// Queues a Data frame, if there is room.
    fn append(&mut self, header: Header, len: usize, fill: impl FnOnce(&mut Segment)) -> bool {
        if self.queued >= LIMIT || self.is_over() {
            return false;
        }
        let size = HEADER_LEN + len;
        let tail = self.tail(size);
        let before = tail.len();
        tail.put(&header.encode());
        fill(tail);
        debug_assert_eq!(tail.len() - before, size);
        self.queued += size;
        self.sent += len as u64;
        true
    }

    /// The segment at the end, with room for `size` bytes more.
    fn tail(&mut self, size: usize) -> &mut Segment {
        if self.data.back().is_none_or(|tail| tail.room() < size) {
            let room = size.max(self.queued).min(SEGMENT);
            self.data.push_back(Segment::with_room(room));
        }
        // Pushed above if it was not there.
        self.data.back_mut().expect("a tail")
    }

    /// Queues a Data frame with the oldest bytes of an inbox. Large pieces move
    /// over as they are.
    fn relay(&mut self, header: Header, inbox: &mut Inbox) {
        let mut left = header.length as usize;
        if !self.is_over() {
            self.put(header);
            self.queued += left;
            self.sent += left as u64;
        }
        while left > 0 {
            let piece = inbox.front().len().min(left);
            if self.is_over() {
                inbox.consume_front(piece);
            } else if piece >= WORTH_MOVING && piece == inbox.front().len() {
                self.data.extend(inbox.pop());
            } else {
                self.tail(piece).put(&inbox.front()[..piece]);
                inbox.consume_front(piece);
            }
            left -= piece;
        }
    }

    fn put(&mut self, header: Header) {
        self.tail(HEADER_LEN).put(&header.encode());
        self.queued += HEADER_LEN;
    }
}

impl Writer {
    /// Takes over all that waits; called when all taken before is written.
    fn load(&mut self, state: &mut State) {
        debug_assert_eq!(self.pending(), 0);
        self.control.clear();
        self.control_sent = 0;
        std::mem::swap(&mut self.control, &mut state.control);
        std::mem::swap(&mut self.data, &mut state.data);
        state.queued = 0;
        state.answers = 0;
    }

    fn pending(&self) -> usize {
        let data: usize = self.data.iter().map(Segment::len).sum();
        self.control.len() - self.control_sent + data
    }

    /// Writes what was taken over; `false` when the transport is full.
    fn write(&mut self, wait: Wait) -> io::Result<bool> {
        fits(self.write_slices(wait), wait)
    }

    /// Ends our direction; `false` when the transport is full.
    fn finish(&mut self, wait: Wait) -> io::Result<bool> {
        self.finished = fits(self.half.finish(wait), wait)?;
        Ok(self.finished)
    }

    fn write_slices(&mut self, wait: Wait) -> io::Result<()> {
        loop {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let mut count = 0;
            let control = &self.control[self.control_sent..];
            let data = self.data.iter().map(Segment::data);
            for bytes in std::iter::once(control).chain(data) {
                if !bytes.is_empty() && count < SLICES {
                    slices[count] = IoSlice::new(bytes);
                    count += 1;
                }
            }
            if count == 0 {
                self.data.clear();
                return self.half.flush(wait);
            }
            match self.half.write(&slices[..count], wait) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => self.advance(written),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn advance(&mut self, mut written: usize) {
        let control = written.min(self.control.len() - self.control_sent);
        self.control_sent += control;
        written -= control;
        while let Some(front) = self.data.front_mut() {
            let piece = written.min(front.len());
            front.consume(piece);
            written -= piece;
            if !front.is_empty() {
                break;
            }
            self.data.pop_front();
        }
    }
}

/// `false` for a transport that takes no more without waiting.
fn fits(outcome: io::Result<()>, wait: Wait) -> io::Result<bool> {
    match outcome {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock && wait == Wait::Never => Ok(false),
        Err(error) => Err(error),
    }
}
