//! A connection's handle: open, accept, ping, go away, close.

use super::{
    acceptor::Acceptor,
    config::Config,
    core::{Core, Incoming},
    error::Error,
    frame::{Flags, Header},
    outbox::Outbox,
    reader::Reader,
    role::Role,
    shared::{Handle, Shared},
    stats::Stats,
    stream::Stream,
    table::{Room, Table},
};
use crate::{
    spawn::spawn,
    sync::{self, Mutex, Receiver, atomic::Ordering, never, thread, unbounded},
    transport::{Halves, Transport, Wait},
};
use std::{
    fmt, io,
    net::SocketAddr,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

/// Many streams over one transport; a cheap clone, usable from any thread.
///
/// One thread reads the connection; an idle one costs no other. The connection
/// closes when its last handle and its last stream are dropped, or with
/// [`close`](Self::close).
#[derive(Clone)]
pub struct Connection {
    handle: Arc<Handle>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("local_addr", &self.local_addr())
            .field("peer_addr", &self.peer_addr())
            .finish_non_exhaustive()
    }
}

impl Connection {
    /// Starts the side that dialled, with a thread that reads.
    ///
    /// # Errors
    ///
    /// When the transport cannot be split or the thread not be started.
    pub fn client(transport: impl Transport, config: Config) -> io::Result<Self> {
        Self::spawn(transport, Role::Client, config)
    }

    /// Starts the side that accepted, with a thread that reads.
    ///
    /// # Errors
    ///
    /// When the transport cannot be split or the thread not be started.
    pub fn server(transport: impl Transport, config: Config) -> io::Result<Self> {
        Self::spawn(transport, Role::Server, config)
    }

    fn spawn(transport: impl Transport, role: Role, config: Config) -> io::Result<Self> {
        let (sender, incoming) = unbounded();
        let backlog = config.backlog;
        let sender = Mutex::new(sender);
        let acceptor = Acceptor::new(move |stream| {
            // Counted here: a bounded channel would allocate for all of them.
            let sender = sender.lock();
            sender.len() < backlog && sender.try_send(stream).is_ok()
        });
        let (shared, mut reader) = assemble(transport.split()?, role, Arc::new(config), acceptor)?;
        let thread = thread::Builder::new()
            .name(format!("{}-reader", shared.config.thread_name))
            .stack_size(shared.config.stack_size);
        spawn(thread, move || {
            // Why it ended, the connection knows.
            let _ = reader.run();
        })?;
        Ok(Self::new(shared, incoming))
    }

    /// A connection that the caller reads, and whose streams go to `acceptor`
    /// as the peer opens them.
    pub(crate) fn driven(
        halves: Halves,
        role: Role,
        config: Arc<Config>,
        acceptor: Acceptor,
    ) -> io::Result<(Self, Box<Reader>)> {
        let (shared, reader) = assemble(halves, role, config, acceptor)?;
        Ok((Self::new(shared, never()), reader))
    }

    fn new(shared: Arc<Shared>, incoming: Receiver<Incoming>) -> Self {
        let handle = Arc::new(Handle { shared, incoming });
        Self { handle }
    }

    /// Opens a stream. Does not wait for the peer to accept it, unless 256
    /// (see [`Config::backlog`]) wait for that already; nor for it to end those
    /// that were closed here, unless they are too many (see
    /// [`Config::max_streams`]). It does wait while half a megabyte is yet to be
    /// sent, as when streams are opened and reset without end.
    ///
    /// # Errors
    ///
    /// When the connection has ended or is going away. A connection goes away by
    /// itself with the last of the 2,147,483,648 streams that each side may
    /// open, and closes when the streams that are open have ended.
    pub fn open(&self) -> Result<Stream, Error> {
        let stream = self.open_queued(None)?;
        self.handle.shared.flush(Wait::Never);
        Ok(stream)
    }

    /// Opens a stream; the peer hears of it with what is sent next.
    pub(crate) fn open_queued(&self, deadline: Option<Instant>) -> Result<Stream, Error> {
        self.open_unless(Table::closed_to_us, deadline)
    }

    /// The same for a stream that carries on one which was let in before this side
    /// went away.
    pub(crate) fn open_relay(&self, deadline: Option<Instant>) -> Result<Stream, Error> {
        self.open_unless(Table::closed_to_relays, deadline)
    }

    fn open_unless(
        &self,
        closed: fn(&Table) -> Option<Error>,
        deadline: Option<Instant>,
    ) -> Result<Stream, Error> {
        let opened = self.open_core(closed, deadline);
        if opened.is_err() {
            // The place that this thread may have been woken for is for others.
            self.handle.shared.freed.notify_one();
        }
        Ok(self.stream(opened?))
    }

    fn open_core(
        &self,
        closed: fn(&Table) -> Option<Error>,
        deadline: Option<Instant>,
    ) -> Result<Arc<Core>, Error> {
        let shared = &self.handle.shared;
        let mut table = shared.table.lock();
        let core = loop {
            if let Some(error) = closed(&table) {
                return Err(error);
            }
            if shared.outbox.is_flooded() {
                drop(table);
                shared.wait_room(deadline)?;
                // It is for data.
                shared.outbox.pass_on();
                table = shared.table.lock();
                continue;
            }
            let until = match table.room(&shared.config, sync::now) {
                Room::Free if table.unacknowledged < shared.config.backlog => {
                    break table.open()?;
                }
                Room::Free => deadline,
                Room::At(due) => Some(deadline.map_or(due, |deadline| deadline.min(due))),
                Room::Instead(left) => {
                    drop(table);
                    shared.reset(&left);
                    table = shared.table.lock();
                    continue;
                }
            };
            match until {
                None => shared.freed.wait(&mut table),
                Some(until) => {
                    let waited = shared.freed.wait_until(&mut table, until);
                    if waited.timed_out() && deadline == Some(until) {
                        return Err(Error::TimedOut);
                    }
                }
            }
        };
        // Under the lock of the table, so that ids come in order.
        let syn = Header::window_update(core.id, Flags::SYN, 0);
        shared.outbox.push(syn);
        let was_last = table.has_used_up_ids();
        drop(table);
        if was_last {
            // Who needs more streams needs another connection.
            shared.close_when_idle();
        }
        Ok(core)
    }

    /// Waits for the peer to open a stream, and accepts it.
    ///
    /// # Errors
    ///
    /// Why the connection ended, when it has.
    pub fn accept(&self) -> Result<Stream, Error> {
        // What had come before the end is there to be had.
        let incoming = self.handle.incoming.recv();
        let incoming = incoming.map_err(|_| self.handle.shared.end_error())?;
        let stream = self.stream(incoming.0);
        stream.acknowledge();
        stream.flush_queued();
        Ok(stream)
    }

    fn stream(&self, core: Arc<Core>) -> Stream {
        Stream::new(core, Arc::clone(&self.handle))
    }

    /// Measures a round trip.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`] when no answer came within the write timeout, or
    /// when 64 pings are under way; the connection's end.
    pub fn ping(&self) -> Result<Duration, Error> {
        let shared = &self.handle.shared;
        let now = sync::now();
        let behind = shared.outbox.taken();
        let value = shared
            .pings
            .begin(now, behind, true)
            .ok_or(Error::TimedOut)?;
        shared.push_control(Header::ping(Flags::SYN, value));
        shared.flush(Wait::Never);
        let answer = shared.pings.wait(value, now + shared.config.write_timeout);
        answer.ok_or_else(|| {
            let table = shared.table.lock();
            table.end().cloned().unwrap_or(Error::TimedOut)
        })
    }

    /// The round trip that the last ping took, the user's or the connection's
    /// own; `None` before there was one.
    pub fn round_trip_time(&self) -> Option<Duration> {
        self.handle.shared.pings.latest()
    }

    /// Tells the peer that no new streams are wanted, from either side. Those
    /// that are open go on. Does not block.
    pub fn go_away(&self) {
        self.handle.shared.go_away();
    }

    /// Whether either side has told the other that it wants no new streams, or
    /// the connection has ended.
    pub fn is_going_away(&self) -> bool {
        let table = self.handle.shared.table.lock();
        table.is_going_away() || table.end().is_some()
    }

    /// Closes the connection: its streams end with an error, except for what
    /// they had finished sending, which still goes out; every blocked call
    /// returns. Waits up to the write timeout for the peer to close its side,
    /// then cuts the transport. Calling it again does no harm. Whether all has
    /// arrived, [`unacknowledged`](Self::unacknowledged) tells afterwards.
    pub fn close(&self) {
        let shared = &self.handle.shared;
        shared.close();
        if let Some(deadline) = shared.linger_deadline() {
            shared.wait_reader(deadline);
        }
        shared.end(Error::Closed);
    }

    /// The same, without waiting for the peer.
    pub(crate) fn start_close(&self) {
        self.handle.shared.close();
    }

    /// The peer does not take a reset for an error: streams that are
    /// [broken off](Stream::break_off) end in another way.
    pub(crate) fn avoid_resets(&self) {
        let avoided = &self.handle.shared.avoids_resets;
        avoided.store(true, Ordering::Release);
    }

    /// Lets no new streams in, and closes when those that are open have ended.
    /// Does not block.
    pub(crate) fn close_when_idle(&self) {
        self.handle.shared.close_when_idle();
    }

    /// A close does not wait for this stream, should it be of this connection.
    pub(crate) fn retire(&self, stream: &Stream) {
        if Arc::ptr_eq(stream.shared(), &self.handle.shared) {
            self.handle.shared.retire(stream.core());
        }
    }

    /// Waits until both sides have closed the connection, or the deadline has
    /// passed. Returns how many streams are still in use then, or not let in by the
    /// peer.
    pub(crate) fn wait_closed(&self, deadline: Instant) -> usize {
        self.handle.shared.wait_reader(deadline);
        let table = self.handle.shared.table.lock();
        match table.end() {
            Some(_) => 0,
            None => table.busy(),
        }
    }

    /// Whether the connection is cut, or was closed by both sides.
    pub(crate) fn is_over(&self) -> bool {
        self.handle.shared.is_over()
    }

    /// Bytes that were written to streams and that the peer may not have got: at
    /// most so many, because it acknowledges no more than once a second while data
    /// is sent, and then when the connection is closed. Once the peer has closed in
    /// order, what was written to the transport counts as acknowledged.
    pub fn unacknowledged(&self) -> u64 {
        self.handle.shared.unacknowledged()
    }

    /// What was sent so far needs no acknowledgement.
    pub(crate) fn assume_delivered(&self) {
        let shared = &self.handle.shared;
        shared.pings.acknowledge(shared.outbox.sent());
    }

    /// The peer says that it goes away, and once more when it closes, so that an end
    /// without that is none in order.
    pub(crate) fn expect_go_away(&self) {
        let says = &self.handle.shared.says_go_away;
        says.store(true, Ordering::Release);
    }

    /// Looks whether the peer is there, without waiting: asks it for a sign of
    /// life, and ends the connection if that was done `patience` ago and it was
    /// silent since. Gives when to look again; `None` when it has ended by that.
    pub(crate) fn look_for_life(&self, patience: Duration) -> Option<Instant> {
        self.handle.shared.look_for_life(patience)
    }

    /// Ends the connection at once.
    pub(crate) fn cut(&self) {
        self.handle.shared.end(Error::Closed);
    }

    /// What has gone over the connection so far.
    pub fn stats(&self) -> Stats {
        let shared = &self.handle.shared;
        let stats = shared.table.lock().stats;
        Stats {
            bytes_sent: shared.outbox.sent(),
            ..stats
        }
    }

    /// Counts a stream that was refused above this layer.
    pub(crate) fn count_refused(&self) {
        self.handle.shared.table.lock().stats.streams_refused += 1;
    }

    /// Whether the connection has ended, for whatever reason.
    pub fn is_closed(&self) -> bool {
        self.handle.shared.has_ended()
    }

    /// Why the connection ended; `None` while it stands.
    pub fn end_reason(&self) -> Option<Error> {
        self.handle.shared.table.lock().end().cloned()
    }

    /// Streams that are open, or closed on one side only.
    pub fn stream_count(&self) -> usize {
        self.handle.shared.table.lock().len()
    }

    /// This end's address, over a transport that has one.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.handle.shared.local_addr
    }

    /// The peer's address, over a transport that has one.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.handle.shared.peer_addr
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.handle.shared
    }

    /// Has the stream that is opened next be the last one.
    #[cfg(test)]
    pub(crate) fn use_up_ids(&self) {
        self.handle.shared.table.lock().use_up_ids();
    }

    pub(crate) fn downgrade(&self) -> WeakConnection {
        WeakConnection(Arc::downgrade(&self.handle))
    }
}

/// What both sides of a connection consist of. The reader is boxed because it
/// outlives many frames of its thread's stack, which is to stay small.
fn assemble(
    mut halves: Halves,
    role: Role,
    config: Arc<Config>,
    acceptor: Acceptor,
) -> io::Result<(Arc<Shared>, Box<Reader>)> {
    halves.writer.set_timeout(Some(config.write_timeout))?;
    let shared = Arc::new(Shared::new(
        role,
        config,
        Outbox::new(halves.writer),
        halves.closer,
        [halves.local_addr, halves.peer_addr],
    ));
    shared.set_acceptor(acceptor);
    let reader = Reader::new(halves.reader, Arc::clone(&shared));
    Ok((shared, Box::new(reader)))
}

/// Reaches a connection without keeping it up.
#[derive(Clone)]
pub(crate) struct WeakConnection(Weak<Handle>);

impl WeakConnection {
    /// The stream that the peer has opened, for whoever accepts it; `None`
    /// when the connection is given up already.
    pub(crate) fn stream(&self, incoming: Incoming) -> Option<Stream> {
        let handle = self.0.upgrade()?;
        Some(Stream::new(incoming.0, handle))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::memory;
    use std::io::{Read, Write};

    #[test]
    fn a_connection_whose_ids_are_used_up_goes_away_and_closes_when_its_streams_have_ended() {
        for role in [Role::Client, Role::Server] {
            let (ours, theirs) = memory::pair(1 << 16);
            let other = match role {
                Role::Client => Role::Server,
                Role::Server => Role::Client,
            };
            let near = Connection::spawn(ours, role, Config::default()).unwrap();
            let far = Connection::spawn(theirs, other, Config::default()).unwrap();
            near.use_up_ids();
            let mut last = near.open().unwrap();
            assert!(last.id().0 >= u32::MAX - 1);
            let error = near.open().unwrap_err();
            assert!(matches!(error, Error::GoingAway), "{error:?}");
            assert!(near.is_going_away() && !near.is_closed());
            // The last one is like any other.
            let mut accepted = far.accept().unwrap();
            last.write_all(b"there").unwrap();
            accepted.read_exact(&mut [0; 5]).unwrap();
            assert!(far.is_going_away() && !far.is_closed());
            drop(accepted);
            assert_eq!(last.read(&mut [0; 5]).unwrap(), 0);
            drop(last);
            assert!(near.is_closed());
            let error = far.accept().unwrap_err();
            assert!(matches!(error, Error::ClosedByPeer), "{error:?}");
        }
    }
}
