//! A connection's handle: open, accept, ping, go away, close.

use super::{
    config::Config,
    error::Error,
    frame::{Flags, Header},
    half::Core,
    outbox::Outbox,
    reader::{Acceptor, Incoming, Reader},
    shared::Shared,
    stats::Stats,
    stream::Stream,
    table::{Role, Room},
};
use crate::{
    spawn::spawn,
    sync::{self, Receiver, bounded, never, thread},
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

/// Keeps the connection up. The reader has no part in it.
pub(super) struct Handle {
    pub(super) shared: Arc<Shared>,
    /// Disconnected when the connection has ended.
    incoming: Receiver<Incoming>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("local_addr", &self.local_addr())
            .field("peer_addr", &self.peer_addr())
            .finish_non_exhaustive()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.close();
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
        let (sender, incoming) = bounded(config.backlog);
        let (shared, mut reader) = assemble(transport.split()?, role, Arc::new(config), refuse())?;
        *shared.accepted.lock() = Some(sender);
        let accepting = Arc::clone(&shared);
        reader.set_acceptor(Box::new(move |stream| {
            let accepted = accepting.accepted.lock();
            accepted
                .as_ref()
                .is_some_and(|sender| sender.try_send(stream).is_ok())
        }));
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
    /// When the connection has ended or is going away.
    pub fn open(&self) -> Result<Stream, Error> {
        let stream = self.open_queued(None)?;
        self.handle.shared.flush(Wait::Never);
        Ok(stream)
    }

    /// Opens a stream; the peer hears of it with what is sent next.
    pub(crate) fn open_queued(&self, deadline: Option<Instant>) -> Result<Stream, Error> {
        let shared = &self.handle.shared;
        let mut table = shared.table.lock();
        let core = loop {
            if let Some(error) = table.closed_to_us() {
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
        drop(table);
        Ok(self.stream(core))
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
        let value = shared.pings.begin(now, true).ok_or(Error::TimedOut)?;
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
    /// then cuts the transport. Calling it again does no harm.
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
    /// passed; says how many streams are still open then.
    pub(crate) fn wait_closed(&self, deadline: Instant) -> usize {
        self.handle.shared.wait_reader(deadline);
        let table = self.handle.shared.table.lock();
        match table.end() {
            Some(_) => 0,
            None => table.live(),
        }
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

    pub(crate) fn downgrade(&self) -> WeakConnection {
        WeakConnection(Arc::downgrade(&self.handle))
    }
}

/// Takes no streams: there is nobody to accept them yet.
fn refuse() -> Acceptor {
    Box::new(|_| false)
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
    let reader = Reader::new(halves.reader, Arc::clone(&shared), acceptor);
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
