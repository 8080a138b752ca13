//! Who may write to a connection, and who waits for room to.
//!
//! There is no writer thread. The [`Writer`] is an object: whoever holds it has
//! the *writing role* and writes all that waits in the [`Queue`]; it lies in the
//! outbox while nobody writes. A thread that cannot have it leaves its frames in
//! the queue, and the holder takes them along.
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
    frame::Header,
    inbox::Inbox,
    queue::Queue,
    relayed::{End, Relay},
    segment::Segment,
    writer::Writer,
};
use crate::{
    sync::{
        Condvar, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    transport::{Wait, WriteHalf},
};
use std::{collections::VecDeque, io, sync::Arc, time::Instant};

/// Bytes after which the holder of the role wants to be relieved of it.
const SHIFT: usize = 1024 * 1024;

#[derive(Debug)]
pub(super) struct Outbox {
    state: Mutex<State>,
    /// There is room, or the role is free, or the outbox has ended.
    changed: Condvar,
    /// The role was given back, or the outbox has ended.
    settled: Condvar,
    /// All is written but the end of our direction.
    finishing: AtomicBool,
}

#[derive(Debug)]
struct State {
    queue: Queue,
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
    /// Bytes of the bodies of all Data frames that are written.
    written: u64,
    /// How often all that waited was taken out, and how often that was written.
    loads: u64,
    loads_written: u64,
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
        Self {
            state: Mutex::new(State {
                queue: Queue::new(),
                writer: Some(Box::new(Writer::new(half))),
                parked: VecDeque::new(),
                waiting: 0,
                relief: false,
                finish: false,
                ended: false,
                written: 0,
                loads: 0,
                loads_written: 0,
            }),
            changed: Condvar::new(),
            settled: Condvar::new(),
            finishing: AtomicBool::new(false),
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
        if !state.has_room() {
            return Pushed::Not;
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

    /// The same, to leave with what is sent next; `false` without room.
    pub(super) fn try_queue(
        &self,
        header: Header,
        len: usize,
        fill: impl FnOnce(&mut Segment),
    ) -> bool {
        let mut state = self.state.lock();
        let has_room = state.has_room();
        if has_room {
            state.queue.push_data(header, len, fill);
        }
        has_room
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
        if (others_wait || state.queue.is_full_for_relays()) && !state.is_over() {
            state.parked.push_back(relay());
            return false;
        }
        if state.is_over() {
            inbox.skip(header.length as usize);
        } else {
            state.queue.relay(header, inbox);
        }
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
            state.queue.push(header);
        }
    }

    /// The same with a short body.
    pub(super) fn push_with_body(&self, header: Header, body: &[u8]) {
        let mut state = self.state.lock();
        if !state.is_over() {
            let fill = |segment: &mut Segment| segment.put(body);
            state.queue.push_data(header, body.len(), fill);
        }
    }

    /// How much has left the queue so far, and whether more waits.
    pub(super) fn progress(&self) -> (u64, bool) {
        let state = self.state.lock();
        let waits = !state.queue.is_empty() || state.writer.is_none();
        (state.queue.taken(), waits)
    }

    /// Whether the peer may have read the end of our direction, and so all before it.
    pub(super) fn is_finishing(&self) -> bool {
        self.finishing.load(Ordering::SeqCst)
    }

    /// Bytes of memory that the queue holds.
    #[cfg(any(test, fuzzing))]
    pub(super) fn held(&self) -> usize {
        self.state.lock().queue.held()
    }

    /// Bytes of the bodies of all Data frames so far.
    pub(super) fn sent(&self) -> u64 {
        self.state.lock().queue.sent()
    }

    /// Those of them that a frame goes behind which is queued ahead of data.
    pub(super) fn taken(&self) -> u64 {
        self.state.lock().queue.taken()
    }

    /// Those of them that the transport has taken.
    pub(super) fn written(&self) -> u64 {
        self.state.lock().written
    }

    /// Whether so many answers wait that the peer must be making us send without
    /// reading it.
    pub(super) fn is_overfull(&self) -> bool {
        self.state.lock().queue.is_full_of_answers()
    }

    /// Whether so much waits that no stream is to be opened: who opens streams and
    /// resets them would have this grow without end.
    pub(super) fn is_flooded(&self) -> bool {
        self.state.lock().queue.is_flooded()
    }

    /// Queues an answer that is owed, whatever waits: the peer's next demand
    /// meets [`is_overfull`](Self::is_overfull).
    pub(super) fn push_owed(&self, header: Header) {
        let mut state = self.state.lock();
        if !state.is_over() {
            state.queue.push_answer(header);
        }
    }

    /// Queues an answer to a peer's frame, in order with the data: `false`
    /// when the peer already leaves too many unread.
    #[must_use]
    pub(super) fn push_answer(&self, header: Header) -> bool {
        let mut state = self.state.lock();
        if state.queue.is_full_of_answers() {
            return false;
        }
        if !state.is_over() {
            state.queue.push_answer(header);
        }
        true
    }

    /// Queues a frame ahead of all data: `false` when the peer already leaves
    /// too many unread.
    #[must_use]
    pub(super) fn push_control(&self, header: Header) -> bool {
        let mut state = self.state.lock();
        if state.queue.is_full_of_control() {
            return false;
        }
        if !state.is_over() {
            state.queue.push_control(header);
        }
        true
    }

    /// Whether a relay may queue a window update. Another peer makes us send
    /// those, who is not to be able to have this one cut off: they stay far
    /// below the limit of what this one makes us send.
    pub(super) fn has_room_for_grants(&self) -> bool {
        self.state.lock().queue.has_room_for_grants()
    }

    /// Queues a relay's window update ahead of all data.
    pub(super) fn push_grant(&self, header: Header) {
        let mut state = self.state.lock();
        if !state.is_over() {
            state.queue.push_control(header);
        }
    }

    /// Queues the last frames, and has our direction of the connection ended once
    /// all is written. What is queued later is thrown away: it would only make
    /// the transport fail.
    pub(super) fn finish(&self, last: impl IntoIterator<Item = Header>) {
        let mut state = self.state.lock();
        if !state.is_over() {
            for header in last {
                state.queue.push(header);
            }
            state.finish = true;
            self.changed.notify_all();
        }
    }

    /// Ends it: what waits is thrown away, and who waits is woken.
    pub(super) fn end(&self) {
        let mut state = self.state.lock();
        state.ended = true;
        state.queue.clear();
        let parked = std::mem::take(&mut state.parked);
        // Gives the descriptor back, though handles of streams may live on.
        let writer = state.writer.take();
        drop(state);
        drop(writer);
        // They look after themselves when their streams end.
        drop(parked);
        self.changed.notify_all();
        self.settled.notify_all();
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
            if (waited || state.queue.is_full())
                && !state.queue.is_empty()
                && let Some(writer) = self.take_locked(&mut state)
            {
                return Ok(Room::Role(writer));
            }
            if state.finish {
                self.pass_on_locked(&state);
                return Err(NoRoom::Ended);
            }
            if !state.queue.is_full() || (waited && !timed_out) {
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

    /// What has to be written for all frames to have gone that wait ahead of data.
    pub(super) fn control_mark(&self) -> u64 {
        let state = self.state.lock();
        state.loads + u64::from(state.queue.has_control())
    }

    /// Waits until all that was queued is written, or, unless this side has finished,
    /// what goes up to a [mark](Self::control_mark). Gives the role to the caller if
    /// that has to do it; `None` when it is done, or the outbox has ended, or the
    /// deadline has passed.
    pub(super) fn wait_written(&self, mark: Option<u64>, deadline: Instant) -> Option<Box<Writer>> {
        let mut state = self.state.lock();
        loop {
            if state.ended {
                return None;
            }
            let is_enough = match mark {
                _ if state.finish => state.writer.as_ref().is_some_and(|w| w.is_finished()),
                Some(mark) => state.loads_written >= mark,
                None => state.queue.is_empty() && state.writer.is_some(),
            };
            if is_enough {
                self.pass_on_locked(&state);
                return None;
            }
            if let Some(writer) = self.take_locked(&mut state) {
                return Some(writer);
            }
            if self.wait(&mut state, Some(deadline)) {
                return None;
            }
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
        if state.waiting > 0 && (!state.queue.is_full() || state.writer.is_some()) {
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

    /// Whether a thread has the writing role.
    pub(super) fn is_being_written(&self) -> bool {
        let state = self.state.lock();
        state.writer.is_none() && !state.ended
    }

    /// Waits until nobody writes. A writer whose write fails ends the outbox when
    /// it has noted why.
    pub(super) fn wait_writer(&self, deadline: Instant) {
        let mut state = self.state.lock();
        while state.writer.is_none() && !state.ended {
            if self.settled.wait_until(&mut state, deadline).timed_out() {
                return;
            }
        }
    }

    fn give_back(&self, state: &mut State, writer: Box<Writer>) {
        state.writer = Some(writer);
        self.settled.notify_all();
    }

    /// Takes the role if something waits to be written and nobody writes. A
    /// thread that may block takes it too from a holder that wants relief.
    pub(super) fn take_role(&self, wait: Wait) -> Option<Box<Writer>> {
        let mut state = self.state.lock();
        while wait == Wait::Block && state.relief && state.writer.is_none() && !state.ended {
            self.wait(&mut state, None);
        }
        if state.queue.is_empty() && !state.finish {
            self.pass_on_locked(&state);
            return None;
        }
        self.take_locked(&mut state)
    }

    /// Takes the role if it is free, and all that waits with it.
    fn take_locked(&self, state: &mut State) -> Option<Box<Writer>> {
        let mut writer = state.writer.take()?;
        writer.load(&mut state.queue);
        state.loads += 1;
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
            // All that was taken out: only who has the role takes more.
            state.written = state.queue.taken();
            state.loads_written = state.loads;
            if state.ended {
                return Ok(Drained::Done);
            }
            let relays_wait = !state.parked.is_empty();
            if relays_wait && shift == Shift::Short && served >= enough && state.waiting == 0 {
                return Ok(Drained::Left(writer));
            }
            if relays_wait && state.queue.is_empty() {
                drop(state);
                self.make_room();
                continue;
            }
            if state.queue.is_empty() {
                if state.finish && !writer.is_finished() {
                    drop(state);
                    // Before, as the peer may answer it at once.
                    self.finishing.store(true, Ordering::SeqCst);
                    if !writer.finish(wait)? {
                        return Ok(Drained::Left(writer));
                    }
                    continue;
                }
                state.relief = false;
                writer.give_back();
                state.queue.give_back();
                self.give_back(&mut state, writer);
                self.pass_on_locked(&state);
                return Ok(Drained::Done);
            }
            if state.waiting > 0 {
                state.relief = false;
                self.give_back(&mut state, writer);
                self.changed.notify_one();
                return Ok(Drained::Done);
            }
            state.relief = served >= SHIFT || wait == Wait::Never;
            writer.load(&mut state.queue);
            state.loads += 1;
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
            if state.queue.is_full_for_relays() || !state.queue.has_room_for_grants() {
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

    /// Whether a Data frame may be queued.
    fn has_room(&self) -> bool {
        !self.queue.is_full() && !self.is_over()
    }
}
