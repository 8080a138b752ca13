//! What the reader, the streams and the handles of one connection share: the
//! table, the outbox, and the connection's end.

use super::{
    admission::{Acceptor, HandingOver},
    config::Config,
    error::{Error, Violation},
    frame::{Flags, Header, StreamId},
    half::Core,
    outbox::{Drained, NoRoom, Outbox, Room, Shift},
    ping::{Life, Pings},
    state::{ResetBy, SendState},
    table::{Gone, Role, Table},
    window::{Budget, INITIAL_WINDOW, Tuning},
    writer::Writer,
};
use crate::{
    spawn::spawn,
    sync::{
        self, Condvar, Mutex, OnceLock,
        atomic::{AtomicBool, Ordering},
        thread::{self, ThreadId},
        thread_local,
    },
    transport::{Closer, Wait},
};
use std::{
    cell::RefCell,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

/// The least time between two pings that measure the round trip while data
/// comes in.
const PING_INTERVAL: Duration = Duration::from_secs(1);

/// How long answers may take to be written to a peer that has closed the connection,
/// and may not wait for them.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// Bytes a second that the slowest link carries on which a peer that is asked for a
/// sign of life is given the time to get the question.
const SLOWEST_LINK: u64 = 8 * 1024;

thread_local! {
    /// Connections whose turn it is next, while this thread is about to write on
    /// one that another led to.
    static NEXT: RefCell<Option<Vec<Arc<Shared>>>> = const { RefCell::new(None) };
}

#[derive(Debug)]
pub(super) struct Shared {
    /// That of all of a wire's connections.
    pub(super) config: Arc<Config>,
    pub(super) table: Mutex<Table>,
    /// One more stream may be opened, or none can be any more.
    pub(super) freed: Condvar,
    pub(super) outbox: Outbox,
    pub(super) pings: Pings,
    pub(super) local_addr: Option<SocketAddr>,
    pub(super) peer_addr: Option<SocketAddr>,
    pub(super) budget: Budget,
    pub(super) kept: Mutex<Kept>,
    /// Gone when the connection has ended, and its descriptor with it.
    closer: Mutex<Option<Arc<dyn Closer>>>,
    /// When this side closed the connection, or could send no more; the reader
    /// waits for the peer to do so too, but not for ever.
    closed: OnceLock<Instant>,
    /// The peer does not take a reset for an error.
    pub(super) avoids_resets: AtomicBool,
    /// The peer says that it goes away, and once more when it closes.
    pub(super) says_go_away: AtomicBool,
    /// The peer has closed the connection in order, and taken what was written to it.
    peer_closed: AtomicBool,
    since: Instant,
    reader: Mutex<ReaderState>,
    reader_changed: Condvar,
    /// Who gets the streams that the peer opens. It may keep the connection up,
    /// and is dropped at its end.
    pub(super) acceptor: Mutex<Option<Acceptor>>,
    pub(super) handing_over: HandingOver,
}

/// What waits on a hub for this peer to take it, of streams that are gone at the
/// other end of their relay: nobody else's connection accounts for it.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// How many.
    streams: usize,
    /// Bytes of them that the budget accounts for.
    pub(super) bytes: usize,
}

/// What became of an end without a reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CutShort {
    /// It is queued, and the stream is gone by it.
    Gone,
    /// It is queued.
    Sent,
    /// Our half had ended before.
    Ended,
    /// A reset has to do: the peer takes one, or its window is used up.
    Impossible,
}

#[derive(Debug, Default)]
struct ReaderState {
    thread: Option<ThreadId>,
    done: bool,
}

impl Shared {
    pub(super) fn new(
        role: Role,
        config: Arc<Config>,
        outbox: Outbox,
        closer: Arc<dyn Closer>,
        addrs: [Option<SocketAddr>; 2],
    ) -> Self {
        let [local_addr, peer_addr] = addrs;
        Self {
            table: Mutex::new(Table::new(role)),
            freed: Condvar::new(),
            outbox,
            pings: Pings::default(),
            local_addr,
            peer_addr,
            budget: Budget::new(config.window_budget),
            kept: Mutex::default(),
            closer: Mutex::new(Some(closer)),
            closed: OnceLock::new(),
            avoids_resets: AtomicBool::new(false),
            says_go_away: AtomicBool::new(false),
            peer_closed: AtomicBool::new(false),
            since: sync::now(),
            reader: Mutex::default(),
            reader_changed: Condvar::new(),
            acceptor: Mutex::default(),
            handing_over: HandingOver::default(),
            config,
        }
    }

    // -- sending --

    /// Writes what waits, unless somebody else does.
    pub(super) fn flush(self: &Arc<Self>, wait: Wait) {
        if let Some(writer) = self.outbox.take_role(wait) {
            self.drain(writer, wait);
        }
    }

    /// Writes what waits, perhaps in the middle of another connection's writing.
    /// Relays may lead from there to the next, and so on: one after the other,
    /// not all on one stack.
    pub(super) fn flush_within(self: &Arc<Self>) {
        /// Also when it unwinds, as a handler's thread goes on then.
        struct Done;
        impl Drop for Done {
            fn drop(&mut self) {
                // There is none when the thread is about to end.
                let _ = NEXT.try_with(|next| next.take());
            }
        }
        let nested = NEXT.try_with(|next| match &mut *next.borrow_mut() {
            Some(next) => {
                next.push(Arc::clone(self));
                true
            }
            next => {
                *next = Some(Vec::new());
                false
            }
        });
        // There is none when the thread is about to end.
        if nested.unwrap_or(false) {
            return;
        }
        let _done = Done;
        self.flush(Wait::Never);
        let next = || NEXT.try_with(|next| next.borrow_mut().as_mut()?.pop());
        // As above: where there is none, nothing was put into it.
        while let Ok(Some(shared)) = next() {
            shared.flush(Wait::Never);
        }
    }

    /// Waits until there is room in the outbox.
    pub(super) fn wait_room(self: &Arc<Self>, deadline: Option<Instant>) -> Result<(), Error> {
        let wait = wait_for(deadline);
        loop {
            match self.outbox.wait_room(deadline) {
                Ok(Room::Free) => return Ok(()),
                Ok(Room::Role(writer)) => self.drain(writer, wait),
                Err(NoRoom::TimedOut) => return Err(Error::TimedOut),
                Err(NoRoom::Ended) => return Err(self.end_error()),
            }
        }
    }

    /// Writes with the role, which the caller has taken.
    pub(super) fn drain(self: &Arc<Self>, writer: Box<Writer>, wait: Wait) {
        self.ask_for_acknowledgement();
        self.drain_for(writer, wait, Shift::Short);
    }

    fn drain_for(self: &Arc<Self>, writer: Box<Writer>, wait: Wait, shift: Shift) {
        match self.outbox.drain(writer, wait, shift) {
            Ok(Drained::Done) => {}
            Ok(Drained::Left(writer)) => self.spawn_helper(writer),
            Err(error) => self.write_failed(Error::from_write(error)),
        }
    }

    /// Nothing more can be sent. A peer that took nothing for so long is dead.
    /// One that has gone may have said all before: the reader goes on to the
    /// end of that, and ends the connection there.
    fn write_failed(&self, error: Error) {
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

    /// Leaves the writing to a thread that lives while the transport is full, or
    /// relays go on filling the outbox.
    fn spawn_helper(self: &Arc<Self>, writer: Box<Writer>) {
        let shared = Arc::clone(self);
        let helper = thread::Builder::new()
            .name(format!("{}-writer", self.config.thread_name))
            .stack_size(self.config.stack_size);
        let work = move || shared.drain_for(writer, Wait::Block, Shift::Long);
        if let Err(error) = spawn(helper, work) {
            // The writer, and what it was writing, is lost with the thread.
            self.end(Error::Io(Arc::new(error)));
        }
    }

    /// Grants the peer more of a window. Measures the round trip on the way,
    /// now and then: data comes in, so it will be asked for.
    pub(super) fn update_window(self: &Arc<Self>, id: StreamId, delta: u32) {
        if let Some(ping) = self.due_ping() {
            self.push_control(ping);
        }
        self.push_control(Header::window_update(id, Flags::NONE, delta));
        self.flush(Wait::Never);
    }

    /// The same for a relay, to leave with what is sent next.
    pub(super) fn queue_grant(&self, id: StreamId, delta: u32) {
        if let Some(ping) = self.due_ping() {
            self.outbox.push_grant(ping);
        }
        let update = Header::window_update(id, Flags::NONE, delta);
        self.outbox.push_grant(update);
    }

    fn due_ping(&self) -> Option<Header> {
        let now = sync::now();
        if self.pings.sent_within(PING_INTERVAL, now) {
            return None;
        }
        self.ping(now, false)
    }

    /// Begins a ping that is to be queued ahead of data.
    pub(super) fn ping(&self, now: Instant, awaited: bool) -> Option<Header> {
        let behind = self.outbox.taken();
        let value = self.pings.begin(now, behind, awaited)?;
        Some(Header::ping(Flags::SYN, value))
    }

    /// Queues a ping now and then while data is sent: a close tells by the answers
    /// how much the peer has got.
    fn ask_for_acknowledgement(&self) {
        let now = sync::now();
        let last = self.pings.last_sent().unwrap_or(self.since);
        if now.saturating_duration_since(last) < PING_INTERVAL {
            return;
        }
        if let Some(ping) = self.ping(now, false) {
            self.outbox.push_grant(ping);
        }
    }

    /// Bytes of data, at most, that the peer may not have got.
    pub(super) fn unacknowledged(&self) -> u64 {
        let taken = match self.peer_closed.load(Ordering::Acquire) {
            true => self.outbox.written(),
            false => 0,
        };
        let acknowledged = self.pings.acknowledged();
        self.outbox.sent().saturating_sub(acknowledged.max(taken))
    }

    /// Asks the peer for a sign of life, unless it was asked already and has not
    /// been heard since; does not wait. One that has not given any within
    /// `patience` is taken for dead, which ends the connection; otherwise this
    /// gives when to look again.
    ///
    /// The peer gets the question behind what is under way to it, which may fill
    /// a slow link for long. So it has more time for that, up to the write timeout,
    /// as for a keepalive.
    pub(super) fn look_for_life(self: &Arc<Self>, patience: Duration) -> Option<Instant> {
        let under_way = self.unacknowledged();
        let passes = Duration::from_millis(under_way.saturating_mul(1000) / SLOWEST_LINK);
        let longest = self.config.write_timeout.max(patience);
        let trips = 2 * self.pings.latest().unwrap_or_default();
        let patience = patience.saturating_add(passes + trips).min(longest);
        let (taken, waits) = self.outbox.progress();
        match self.pings.look(sync::now(), patience, taken, waits) {
            Life::Asked(ping, due) => {
                if let Some(value) = ping {
                    self.push_control(Header::ping(Flags::SYN, value));
                    self.flush(Wait::Never);
                }
                Some(due)
            }
            Life::Awaited(due) => Some(due),
            Life::Silent => {
                self.end(Error::KeepAlive);
                None
            }
        }
    }

    /// Queues a frame ahead of data. A peer that lets them pile up is cut off.
    pub(super) fn push_control(&self, header: Header) {
        if !self.outbox.push_control(header) {
            self.end(Violation::AnswersUnread.into());
        }
    }

    /// Resets a stream of the table and tells the peer.
    pub(super) fn reset(self: &Arc<Self>, core: &Core) {
        if core.reset(ResetBy::Us) {
            self.forget(core, Gone::Reset);
            // A writer of this stream may be waiting for room.
            self.outbox.wake_all();
            let header = Header::window_update(core.id, Flags::RST, 0);
            // That of a peer's stream is owed for its SYN: letting in the next
            // one asks how many wait. Of ours the peer is not to blame for any
            // number; opening the next one waits while too much does.
            if self.table.lock().is_ours(core.id) {
                self.outbox.push(header);
            } else {
                self.outbox.push_owed(header);
            }
            self.flush(Wait::Never);
        }
    }

    /// Breaks a stream off, so that the peer takes what it got for truncated: by a
    /// reset, or else by `cut_short`, data that promises more, and a FIN.
    pub(super) fn break_off(self: &Arc<Self>, core: &Core, cut_short: &[u8]) {
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
        core.readable.notify_all();
        if let Some(delta) = update {
            self.update_window(core.id, delta);
        }
        self.flush(Wait::Never);
        self.retire(core);
    }

    /// Queues the end of a stream that is broken off without a reset.
    pub(super) fn queue_cut_short(&self, core: &Core, cut_short: &[u8]) -> CutShort {
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
            self.outbox.push_with_body(data, cut_short);
        }
        let fin = Header::window_update(core.id, Flags::FIN, 0);
        self.outbox.push(fin);
        drop(send);
        core.writable.notify_all();
        if core.send_done() {
            return CutShort::Gone;
        }
        self.table.lock().count_reset();
        CutShort::Sent
    }

    // -- streams --

    /// What the growth of a receive window depends on, now.
    pub(super) fn tuning(&self) -> Tuning<'_> {
        Tuning {
            now: sync::now(),
            round_trip: self.pings.smallest(),
            max: self.config.max_window,
            budget: &self.budget,
        }
    }

    /// Takes a stream that is gone out of the table.
    pub(super) fn forget(self: &Arc<Self>, core: &Core, gone: Gone) {
        let mut table = self.table.lock();
        let removed = table.remove(core.id, &self.config);
        if gone == Gone::Reset && removed.is_some_and(|removed| !removed.was_held) {
            table.count_reset();
        }
        let removed = removed.unwrap_or_default();
        if removed.was_held || removed.promoted {
            // Before another thread can acknowledge the stream: its peer may have
            // the next one ready.
            self.release_window();
        }
        let idle = core.retire() && table.retire(core.id, sync::now);
        drop(table);
        if removed.makes_room {
            self.freed.notify_all();
        }
        if removed.promoted {
            self.hand_over_elsewhere();
        }
        self.acknowledge(core);
        self.budget.release(core.recv.lock().window.take_grown());
        if idle {
            self.close();
        }
    }

    /// Whether `len` bytes of a stream that is gone at the other end may wait for
    /// this peer: as if it had sent them itself, a window's worth for each of so
    /// many streams, and what the budget has beyond. [`unkeep`](Self::unkeep) is
    /// to be told what this gives.
    pub(super) fn keep(&self, len: usize) -> Option<usize> {
        let beyond = len.saturating_sub(INITIAL_WINDOW as usize);
        let mut kept = self.kept.lock();
        if kept.streams >= self.config.max_streams || !self.budget.reserve(beyond) {
            return None;
        }
        kept.streams += 1;
        kept.bytes += beyond;
        Some(beyond)
    }

    pub(super) fn unkeep(&self, beyond: usize) {
        let mut kept = self.kept.lock();
        kept.streams -= 1;
        kept.bytes -= beyond;
        self.budget.release(beyond);
    }

    /// Nobody here uses the stream any more: the last one lets a connection
    /// close that was asked to.
    pub(super) fn retire(self: &Arc<Self>, core: &Core) {
        // Under the lock, so that the end counts it or not.
        let mut table = self.table.lock();
        let idle = core.retire() && table.retire(core.id, sync::now);
        drop(table);
        if idle {
            self.close();
        }
    }

    /// The peer has acknowledged a stream, or it is gone anyway.
    pub(super) fn acknowledge(self: &Arc<Self>, core: &Core) {
        if core.acknowledge() {
            let mut table = self.table.lock();
            table.unacknowledged -= 1;
            let idle = table.is_idle();
            drop(table);
            self.freed.notify_one();
            if idle {
                self.close();
            }
        }
    }

    // -- the end --

    /// Why the connection has ended.
    pub(super) fn end_error(&self) -> Error {
        self.table.lock().failure().unwrap_or(Error::Closed)
    }

    pub(super) fn has_ended(&self) -> bool {
        self.table.lock().end().is_some()
    }

    /// Ends the connection at once, for the reason given if it is the first.
    pub(super) fn end(&self, error: Error) {
        self.cut_streams(error);
        self.cut_transport();
    }

    /// Whether the transport is cut, or was closed by both sides.
    pub(super) fn is_over(&self) -> bool {
        self.closer.lock().is_none()
    }

    /// Nothing more can be received: cuts the transport, and waits for a write
    /// that is under way, so that what it fails with is known.
    pub(super) fn settle_writer(&self) {
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
    pub(super) fn close(self: &Arc<Self>) {
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
    pub(super) fn close_when_idle(self: &Arc<Self>) {
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
    pub(super) fn go_away(self: &Arc<Self>) {
        let first = !std::mem::replace(&mut self.table.lock().going_away, true);
        if first {
            self.freed.notify_all();
            self.refuse_held();
            self.push_control(Header::go_away(0));
            self.flush(Wait::Never);
        }
    }

    /// Tells the peer that it broke the protocol, and ends.
    pub(super) fn abort(self: &Arc<Self>, violation: Violation) {
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

    // -- the reader --

    /// Whether the peer has had its time to close the connection too.
    pub(super) fn lingered_enough(&self) -> bool {
        let deadline = self.linger_deadline();
        deadline.is_some_and(|deadline| sync::now() >= deadline)
    }

    /// Writes what was queued, after which nothing more comes from the peer: the
    /// answer that its close waits for, and what this side had finished sending if it
    /// has closed too.
    pub(super) fn write_last(self: &Arc<Self>) {
        #[cfg(any(test, fuzzing))]
        if self.config.in_lockstep {
            return;
        }
        let is_awaited = self.says_go_away.load(Ordering::Acquire);
        let patience = match is_awaited {
            true => self.config.write_timeout,
            false => self.config.write_timeout.min(LAST_ANSWERS),
        };
        let deadline = self.linger_deadline();
        let deadline = deadline.unwrap_or_else(|| sync::now() + patience);
        // It has closed, and uses no stream any more: data is for nobody.
        let mark = is_awaited.then(|| self.outbox.control_mark());
        while let Some(writer) = self.outbox.wait_written(mark, deadline) {
            match self.outbox.drain(writer, Wait::Never, Shift::Short) {
                Ok(Drained::Done) => {}
                // What this side had finished is worth waiting for, and so is an
                // answer without which the peer's close fails.
                Ok(Drained::Left(writer)) if is_awaited || self.closed.get().is_some() => {
                    self.spawn_helper(writer);
                }
                // A peer that has closed and takes nothing wants no answer.
                Ok(Drained::Left(_)) => self.outbox.end(),
                Err(error) => self.write_failed(Error::from_write(error)),
            }
        }
    }

    /// The peer has ended its direction of the connection, between two frames.
    pub(super) fn peer_ends(&self) {
        // One that does not announce it may have left without reading all, unless that
        // is its answer to the end of our direction.
        let in_order = match self.says_go_away.load(Ordering::Acquire) {
            true => self.table.lock().peer_has_closed,
            false => self.outbox.is_finishing(),
        };
        self.peer_closed.store(in_order, Ordering::Release);
    }

    pub(super) fn reader_runs_here(&self) {
        self.reader.lock().thread = Some(thread::current().id());
    }

    pub(super) fn reader_is_done(&self) {
        self.reader.lock().done = true;
        self.reader_changed.notify_all();
    }

    /// When the peer has had its time since this side closed the connection.
    pub(super) fn linger_deadline(&self) -> Option<Instant> {
        let closed = self.closed.get();
        closed.map(|closed| *closed + self.config.write_timeout)
    }

    /// Waits until the reader is done; not in the reader's own thread.
    pub(super) fn wait_reader(&self, deadline: Instant) {
        let mut reader = self.reader.lock();
        while !reader.done && reader.thread != Some(thread::current().id()) {
            let waited = self.reader_changed.wait_until(&mut reader, deadline);
            if waited.timed_out() {
                return;
            }
        }
    }
}

/// The other ends of relays hear of the end of these.
fn look_after_relays(streams: &[Arc<Core>]) {
    for relay in streams.iter().filter_map(|core| core.relay()) {
        Arc::clone(relay).look_after();
    }
}

/// Who has a deadline of its own does not wait in the transport.
pub(super) fn wait_for(deadline: Option<Instant>) -> Wait {
    match deadline {
        None => Wait::Block,
        Some(_) => Wait::Never,
    }
}
