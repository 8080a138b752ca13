//! A connection's handle: open, accept, ping, go away. `closing` ends it.

mod closing;

use super::{
    acceptor::Acceptor,
    config::Config,
    core::{Core, Incoming},
    error::Error,
    frame::{Flags, Header},
    outbox::{Lane, Outbox},
    reader::ConnectionReader,
    role::Role,
    shared::{Handle, Shared},
    stats::Stats,
    stream::Stream,
    table::{OpenSlot, Table},
};
use crate::{
    spawn::spawn,
    sync::{self, Mutex, thread, unbounded},
    transport::{Halves, Transport, Wait},
};
use std::{
    fmt, io,
    net::SocketAddr,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

/// A handle to a connection: many streams over one transport. Cheap to clone;
/// usable from any thread.
///
/// One thread reads the connection, and an idle connection needs no other. The
/// connection closes when its last handle and its last stream are dropped, or with
/// [`close`](Self::close).
///
/// # Examples
///
/// A server that answers each stream on a thread, over TCP:
///
/// ```
/// use std::{io::{self, Read, Write}, net::{Shutdown, TcpListener, TcpStream}, thread};
/// use wirenet::yamux::{Config, Connection};
///
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let addr = listener.local_addr()?;
/// let server = thread::spawn(move || -> io::Result<()> {
///     let (socket, _) = listener.accept()?;
///     let connection = Connection::server(socket, Config::default())?;
///     // Ends with an error when the client closes the connection.
///     while let Ok(mut stream) = connection.accept() {
///         thread::spawn(move || io::copy(&mut stream.clone(), &mut stream));
///     }
///     Ok(())
/// });
///
/// let socket = TcpStream::connect(addr)?;
/// let connection = Connection::client(socket, Config::default())?;
/// let mut stream = connection.open()?;
/// stream.write_all(b"hello")?;
/// stream.shutdown(Shutdown::Write)?;
/// let mut echo = String::new();
/// stream.read_to_string(&mut echo)?;
/// assert_eq!(echo, "hello");
///
/// drop(stream);
/// connection.close();
/// # server.join().unwrap()?;
/// # Ok::<(), io::Error>(())
/// ```
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
    /// Starts the dialling side of a connection, with a thread that reads.
    ///
    /// # Errors
    ///
    /// Fails when the transport cannot be split or the thread cannot be started.
    pub fn client(transport: impl Transport, config: Config) -> io::Result<Self> {
        Self::spawn(transport, Role::Client, config)
    }

    /// Starts the accepting side of a connection, with a thread that reads.
    ///
    /// # Errors
    ///
    /// Fails when the transport cannot be split or the thread cannot be started.
    pub fn server(transport: impl Transport, config: Config) -> io::Result<Self> {
        Self::spawn(transport, Role::Server, config)
    }

    fn spawn(transport: impl Transport, role: Role, config: Config) -> io::Result<Self> {
        let (sender, incoming) = unbounded();
        let backlog = config.backlog;
        let sender = Mutex::new(sender);
        let acceptor = Acceptor::new(move |stream| {
            // Limited here: a bounded channel would allocate for all of them.
            let sender = sender.lock();
            sender.len() < backlog && sender.try_send(stream).is_ok()
        });
        let (shared, mut reader) = assemble(transport.split()?, role, Arc::new(config), acceptor)?;
        let thread = thread::Builder::new()
            .name(format!("{}-reader", shared.config.thread_name))
            .stack_size(shared.config.stack_size);
        spawn(thread, move || {
            // The connection knows why it ended.
            let _ = reader.run();
        })?;
        Ok(Self::new(
            shared,
            // Fails when the connection has ended, and knows why itself.
            Some(Box::new(move || incoming.recv().ok())),
        ))
    }

    /// Creates a connection that the caller reads. The streams that the peer opens go
    /// to `acceptor`.
    pub(crate) fn driven(
        halves: Halves,
        role: Role,
        config: Arc<Config>,
        acceptor: Acceptor,
    ) -> io::Result<(Self, Box<ConnectionReader>)> {
        let (shared, reader) = assemble(halves, role, config, acceptor)?;
        Ok((Self::new(shared, None), reader))
    }

    fn new(
        shared: Arc<Shared>,
        incoming: Option<Box<dyn Fn() -> Option<Incoming> + Send + Sync>>,
    ) -> Self {
        let handle = Arc::new(Handle { shared, incoming });
        Self { handle }
    }

    /// Opens a stream. Does not wait for the peer's acknowledgement, unless 256 streams
    /// (see [`Config::backlog`]) lack theirs. Waits while too many streams are closed on
    /// this side but not on the peer's (see [`Config::max_streams`]), and while half a
    /// megabyte is queued to be sent, for example when streams are opened and reset in a
    /// loop.
    ///
    /// # Errors
    ///
    /// Fails when the connection has ended or is going away. A connection goes away
    /// by itself with the last of the about 2,147,483,647 streams that each side may
    /// open, and closes when the open streams have ended.
    pub fn open(&self) -> Result<Stream, Error> {
        let stream = self.open_queued(None)?;
        self.handle.shared.flush(Wait::Never);
        Ok(stream)
    }

    /// Opens a stream. Queues its SYN without flushing.
    pub(crate) fn open_queued(&self, deadline: Option<Instant>) -> Result<Stream, Error> {
        self.open_unless(Table::closed_to_us, deadline)
    }

    /// Like [`open_queued`](Self::open_queued), for a stream that continues one
    /// which was accepted before this side announced that it is going away.
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
            // This thread may have been woken for a slot that it does not use.
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
                // Room is meant for data, so another thread may need it.
                shared.outbox.pass_on();
                table = shared.table.lock();
                continue;
            }
            let until = match table.open_slot(&shared.config, sync::now) {
                OpenSlot::Free if table.unacknowledged < shared.config.backlog => {
                    break table.open()?;
                }
                OpenSlot::Free => deadline,
                OpenSlot::At(due) => Some(deadline.map_or(due, |deadline| deadline.min(due))),
                OpenSlot::Evict(overdue) => {
                    drop(table);
                    shared.reset(&overdue);
                    table = shared.table.lock();
                    continue;
                }
            };
            match until {
                None => shared.freed.wait(&mut table),
                Some(until) => {
                    let waited = shared.freed.wait_until(&mut table, until);
                    if waited.timed_out() && deadline == Some(until) {
                        return Err(Error::timed_out());
                    }
                }
            }
        };
        // Under the table's lock, so that SYNs are sent in the order of their ids.
        let syn = Header::window_update(core.id, Flags::SYN, 0);
        shared.outbox.push(Lane::Data, syn);
        let was_last = table.has_used_up_ids();
        drop(table);
        if was_last {
            // Further streams need another connection.
            shared.close_when_idle();
        }
        Ok(core)
    }

    /// Waits for the peer to open a stream, and accepts it.
    ///
    /// # Errors
    ///
    /// Fails with the reason for the connection's end once it has ended.
    pub fn accept(&self) -> Result<Stream, Error> {
        // Streams that were opened before the end are still returned.
        let incoming = self.handle.incoming.as_ref().and_then(|next| next());
        let incoming = incoming.ok_or_else(|| self.handle.shared.end_error())?;
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
    /// [`Error::TimedOut`] if no answer is received within the write timeout, or if
    /// 64 pings already wait for their answers; otherwise the reason for the
    /// connection's end.
    pub fn ping(&self) -> Result<Duration, Error> {
        let shared = &self.handle.shared;
        let now = sync::now();
        let behind = shared.outbox.taken();
        let value = shared
            .pings
            .begin(now, behind, true)
            .ok_or_else(Error::timed_out)?;
        shared.push_control(Header::ping(Flags::SYN, value));
        shared.flush(Wait::Never);
        let answer = shared.pings.wait(value, now + shared.config.write_timeout);
        answer.ok_or_else(|| {
            let table = shared.table.lock();
            table.life.end().cloned().unwrap_or_else(Error::timed_out)
        })
    }

    /// Returns the round trip that the last ping measured, or `None` before the
    /// first. Counts both the program's pings and the connection's own.
    pub fn round_trip_time(&self) -> Option<Duration> {
        self.handle.shared.pings.latest()
    }

    /// Tells the peer that neither side will open new streams. Open streams
    /// continue. Does not block.
    pub fn go_away(&self) {
        self.handle.shared.go_away();
    }

    /// Returns whether either side has announced that there will be no new streams, or
    /// the connection has ended.
    pub fn is_going_away(&self) -> bool {
        let table = self.handle.shared.table.lock();
        table.life.is_going_away() || table.life.end().is_some()
    }

    /// Returns counts of what has happened on the connection so far.
    pub fn stats(&self) -> Stats {
        let shared = &self.handle.shared;
        let stats = shared.table.lock().stats;
        Stats {
            bytes_sent: shared.outbox.queued_total(),
            ..stats
        }
    }

    /// Counts a stream that was refused above this layer.
    pub(crate) fn count_refused(&self) {
        self.handle.shared.table.lock().stats.streams_refused += 1;
    }

    /// Returns whether the connection has ended, for whatever reason.
    pub fn is_closed(&self) -> bool {
        self.handle.shared.has_ended()
    }

    /// Returns why the connection ended; `None` while it is open.
    pub fn end_reason(&self) -> Option<Error> {
        self.handle.shared.table.lock().life.end().cloned()
    }

    /// Returns the number of streams that are open, or closed on one side only.
    pub fn stream_count(&self) -> usize {
        self.handle.shared.table.lock().len()
    }

    /// Returns this end's address, if the transport has one.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.handle.shared.local_addr
    }

    /// Returns the peer's address, if the transport has one.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.handle.shared.peer_addr
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.handle.shared
    }

    /// Makes the stream that is opened next the last one.
    #[cfg(test)]
    pub(crate) fn use_up_ids(&self) {
        self.handle.shared.table.lock().use_up_ids();
    }

    pub(crate) fn downgrade(&self) -> WeakConnection {
        WeakConnection(Arc::downgrade(&self.handle))
    }
}

/// Creates the parts of a connection. The reader is boxed because it would
/// otherwise occupy its thread's stack, which should stay small, for its whole
/// life.
fn assemble(
    mut halves: Halves,
    role: Role,
    config: Arc<Config>,
    acceptor: Acceptor,
) -> io::Result<(Arc<Shared>, Box<ConnectionReader>)> {
    halves.writer.set_timeout(Some(config.write_timeout))?;
    let can_finish = halves.writer.can_finish();
    let shared = Arc::new(Shared::new(
        role,
        config,
        Outbox::new(halves.writer),
        can_finish,
        halves.closer,
        [halves.local_addr, halves.peer_addr],
    ));
    shared.set_acceptor(acceptor);
    let reader = ConnectionReader::new(halves.reader, Arc::clone(&shared));
    Ok((shared, Box::new(reader)))
}

/// Reaches a connection without keeping it open.
#[derive(Clone)]
pub(crate) struct WeakConnection(Weak<Handle>);

impl WeakConnection {
    /// Returns the handle of a stream that the peer has opened, or `None` if the
    /// connection was already dropped.
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
            assert!(matches!(error, Error::GoingAway { .. }), "{error:?}");
            assert!(near.is_going_away() && !near.is_closed());
            // The last stream is like any other.
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
