//! A connection on the in-memory transport with a scripted [`Peer`]. One thread
//! drives the connection's reader and the peer, so that a script always runs the
//! same way, and no call waits.

use super::peer::Peer;
use crate::{
    transport::{Closer, Halves, ReadHalf, Transport, Wait, WriteHalf, memory},
    yamux::{
        Acceptor, Config, Connection, ConnectionReader, Error, Incoming, Role, Stream,
        reader::ReadOutcome, shared::Shared,
    },
};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use parking_lot::Mutex;
use std::{
    collections::VecDeque,
    io::{self, IoSlice, Read, Write},
    sync::Arc,
    time::Duration,
};

/// The time limit for something that should happen immediately.
pub(crate) const AT_ONCE: Duration = Duration::from_secs(10);

/// The shortest timeout: a call with it does not wait.
pub(super) const NO_TIME: Duration = Duration::from_nanos(1);

#[derive(Debug)]
pub(super) struct Rig {
    pub(super) connection: Option<Connection>,
    pub(super) reader: Option<Box<ConnectionReader>>,
    pub(super) peer: Peer,
    /// The streams that the peer has opened and that are not yet accepted.
    pub(super) incoming: Arc<Mutex<VecDeque<Incoming>>>,
    /// Why the reader ended.
    pub(super) end: Option<Error>,
    shared: Arc<Shared>,
    transport_gone: Receiver<()>,
}

impl Rig {
    pub(super) fn new(role: Role, mut config: Config, capacity: usize) -> Self {
        config.in_lockstep = true;
        let (here, there) = memory::pair(capacity);
        let (halves, transport_gone) = watch(here, None);
        let incoming = Arc::new(Mutex::new(VecDeque::new()));
        let accepting = Arc::clone(&incoming);
        // The same number may wait as with `Connection::accept`.
        let backlog = config.backlog;
        let acceptor = Acceptor::new(move |stream| {
            let mut waiting = accepting.lock();
            let room = waiting.len() < backlog;
            if room {
                waiting.push_back(stream);
            }
            room
        });
        let driven = Connection::driven(halves, role, Arc::new(config), acceptor);
        let (connection, reader) = driven.expect("always");
        let other = match role {
            Role::Client => Role::Server,
            Role::Server => Role::Client,
        };
        Self {
            shared: Arc::clone(connection.shared()),
            connection: Some(connection),
            reader: Some(reader),
            peer: Peer::new(there, other),
            incoming,
            end: None,
            transport_gone,
        }
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Makes the reader read once. Returns whether there was anything to read.
    pub(super) fn turn(&mut self) -> bool {
        let Some(reader) = &mut self.reader else {
            return false;
        };
        match reader.turn(Duration::ZERO) {
            Ok(turn) => turn == ReadOutcome::More,
            Err(error) => {
                self.end = Some(error);
                self.reader = None;
                false
            }
        }
    }

    /// Makes the reader read everything that is there.
    pub(super) fn turn_all(&mut self) {
        while self.turn() {}
    }

    /// Writes bytes as the peer. The reader handles them in its next turn, or
    /// immediately if they do not fit into the transport.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && self.reader.is_some() {
            match self.peer.write(bytes) {
                Ok(0) => {
                    self.turn();
                }
                Ok(count) => bytes = &bytes[count..],
                Err(_) => break,
            }
        }
    }

    /// Accepts the next stream that the peer has opened.
    pub(super) fn accept(&mut self) -> Option<Stream> {
        let connection = self.connection.as_ref()?;
        let incoming = self.incoming.lock().pop_front()?;
        let stream = connection.downgrade().stream(incoming)?;
        stream.acknowledge();
        stream.flush_queued();
        Some(never_waiting(stream))
    }

    /// The peer ends the connection, which ends the reader.
    pub(super) fn come_to_an_end(&mut self) {
        self.turn_all();
        self.peer.read(usize::MAX);
        if self.reader.is_none() {
            // A helper thread may still be writing the last frames.
            self.peer.read_to_the_end();
        }
        self.peer.shutdown();
        self.turn_all();
        assert!(
            self.reader.is_none(),
            "the reader continues without a transport"
        );
        assert!(self.end.is_some());
        self.shared.check(true);
        assert!(self.shared.has_ended());
        self.incoming.lock().clear();
    }

    /// Ends the transport, and checks that everything ends with it. `streams` are all
    /// remaining streams.
    pub(super) fn finish(mut self, streams: Vec<Stream>) {
        self.come_to_an_end();
        for stream in streams {
            assert_over(&stream);
        }
        if let Some(connection) = self.connection.take() {
            assert!(connection.is_closed());
            assert_eq!(connection.stream_count(), 0);
            assert!(connection.open_queued(None).is_err());
            assert!(connection.ping().is_err());
            // The reader has ended, so this does not wait.
            connection.close();
        }
        let gone = self.transport_gone.recv_timeout(AT_ONCE);
        assert_eq!(
            gone,
            Err(RecvTimeoutError::Disconnected),
            "the transport is leaked"
        );
        self.peer.read(usize::MAX);
    }

    /// As [`finish`](Self::finish), for runs without other threads: also checks that
    /// the connection's state is freed.
    pub(super) fn finish_alone(self, streams: Vec<Stream>) {
        let shared = Arc::downgrade(&self.shared);
        self.finish(streams);
        assert_eq!(shared.strong_count(), 0, "the connection is leaked");
    }
}

/// Sets timeouts with which calls on the stream do not wait.
pub(super) fn never_waiting(stream: Stream) -> Stream {
    stream.set_read_timeout(Some(NO_TIME)).expect("not zero");
    stream.set_write_timeout(Some(NO_TIME)).expect("not zero");
    stream
}

/// Checks that reads of the stream end, and that writes fail.
fn assert_over(stream: &Stream) {
    // Another thread may still be ending the stream.
    stream.set_read_timeout(Some(AT_ONCE)).expect("not zero");
    stream.set_write_timeout(Some(AT_ONCE)).expect("not zero");
    let mut buf = [0; 4096];
    let mut most = 64_usize << 20;
    loop {
        match (&*stream).read(&mut buf) {
            Ok(0) => break,
            Ok(count) => most = most.checked_sub(count).expect("an end"),
            Err(error) => {
                assert_ne!(error.kind(), io::ErrorKind::TimedOut);
                break;
            }
        }
    }
    let error = (&*stream)
        .write(b"x")
        .expect_err("the connection has ended");
    assert_ne!(error.kind(), io::ErrorKind::TimedOut);
}

/// Returns the halves of a transport, and a receiver that is disconnected when all of
/// them are dropped. `written` gets a message after each write and at the end.
pub(crate) fn watch(end: memory::End, written: Option<Sender<()>>) -> (Halves, Receiver<()>) {
    let halves = end.split().expect("always");
    let (alive, gone) = bounded(0);
    let halves = Halves {
        reader: watched(halves.reader, &written, &alive),
        writer: watched(halves.writer, &written, &alive),
        closer: Arc::new(*watched(halves.closer, &written, &alive)),
        ..halves
    };
    (halves, gone)
}

fn watched<T>(half: T, written: &Option<Sender<()>>, alive: &Sender<()>) -> Box<Watched<T>> {
    Box::new(Watched {
        half,
        written: written.clone(),
        _alive: alive.clone(),
    })
}

#[derive(Debug)]
struct Watched<T> {
    half: T,
    written: Option<Sender<()>>,
    _alive: Sender<()>,
}

impl<T> Watched<T> {
    fn tell(&self) {
        if let Some(written) = &self.written {
            // Fails if the last message is not received yet.
            let _ = written.try_send(());
        }
    }
}

impl ReadHalf for Watched<Box<dyn ReadHalf>> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.half.read(buf)
    }

    fn set_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.half.set_timeout(timeout)
    }
}

impl WriteHalf for Watched<Box<dyn WriteHalf>> {
    fn write(&mut self, slices: &[IoSlice<'_>], wait: Wait) -> io::Result<usize> {
        let outcome = self.half.write(slices, wait);
        self.tell();
        outcome
    }

    fn flush(&mut self, wait: Wait) -> io::Result<()> {
        self.half.flush(wait)
    }

    fn finish(&mut self, wait: Wait) -> io::Result<()> {
        let outcome = self.half.finish(wait);
        self.tell();
        outcome
    }

    fn set_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.half.set_timeout(timeout)
    }
}

impl Closer for Watched<Arc<dyn Closer>> {
    fn shutdown(&self) {
        self.half.shutdown();
        self.tell();
    }
}
