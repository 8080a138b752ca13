//! Reads a connection: finds the frames, delivers their bodies, and answers those
//! that need an answer. Waits only for bytes from the transport, so that two peers
//! that both wait to write cannot block each other.
//!
//! The reader is an object with a method that does one read. The caller decides
//! which thread drives it: one of its own, or one that has something else to do
//! first.

pub(super) mod dispatch;
pub(super) mod frames;
pub(super) mod idle;

use super::{
    acceptor::Acceptor,
    core::Core,
    error::Error,
    frame::{Decoder, HEADER_LEN},
    relay::Relay,
    segment::{PoolUser, SEGMENT, Segment},
    shared::Shared,
};
use crate::{sync, transport::ReadHalf};
use std::{
    fmt, io,
    sync::Arc,
    time::{Duration, Instant},
};

/// The size of an idle connection's buffer. The buffer grows to [`SEGMENT`] when a
/// read fills it, and shrinks back when nothing was received for a while.
const IDLE_BUFFER: usize = 512;

/// How many frames a peer may send before it is authenticated. It needs three (more
/// if its request is split into small frames), and a ping or two while it waits.
const PREAUTH_FRAMES: u32 = 1024;

/// How many of a connection's first bytes are kept: enough to recognize a protocol, and to
/// show how it began.
const FIRST_BYTES: usize = 24;

/// The outcome of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadOutcome {
    /// It yielded bytes; there may be more.
    More,
    /// It yielded nothing before the timeout, which a signal may have cut short.
    Idle,
}

/// Reads a connection; dropping it ends the connection.
pub(crate) struct ConnectionReader {
    half: Box<dyn ReadHalf>,
    shared: Arc<Shared>,
    /// How many more frames the peer may send, while it is not authenticated.
    preauth_frames: Option<u32>,
    /// The first bytes that were received, until another acceptor is set: they show what
    /// the peer speaks.
    first: Option<Vec<u8>>,
    decoder: Decoder,
    /// Empty between reads.
    buf: Segment,
    /// Whether much was received, so that the process's pool may keep large
    /// buffers.
    unsettled: bool,
    _pool: PoolUser,
    /// The stream whose body is being received; `None` skips the body.
    body: Option<Body>,
    /// Streams opened by what was read last. They are handed over when everything
    /// that was read is dispatched, so that data which followed their SYN can be
    /// read.
    fresh: Vec<Arc<Core>>,
    /// Whether streams are held, or were when last checked.
    streams_wait: bool,
    /// Relays of streams for which something was read last.
    relays: Vec<Arc<dyn Relay>>,
    /// Whether something that was read last needs an answer.
    answer_due: bool,
    /// The transport's current timeout.
    timeout: Option<Duration>,
    /// When something was last received.
    heard: Instant,
    /// Whether nothing was received since the reader was last idle.
    quiet: bool,
    /// When the keepalive ping that waits for its answer was sent.
    pinged: Option<Instant>,
}

/// The body of a Data frame that is being received.
struct Body {
    core: Arc<Core>,
    fin: bool,
}

impl fmt::Debug for ConnectionReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionReader")
            .field("half", &self.half)
            .finish_non_exhaustive()
    }
}

impl ConnectionReader {
    pub(super) fn new(half: Box<dyn ReadHalf>, shared: Arc<Shared>) -> Self {
        Self {
            half,
            shared,
            preauth_frames: None,
            first: None,
            decoder: Decoder::default(),
            buf: Segment::with_room(IDLE_BUFFER),
            unsettled: false,
            _pool: PoolUser::new(),
            body: None,
            fresh: Vec::new(),
            streams_wait: false,
            relays: Vec::new(),
            answer_due: false,
            timeout: None,
            heard: sync::now(),
            quiet: false,
            pinged: None,
        }
    }

    /// Gives the streams that the peer opens from now on to `acceptor`.
    pub(crate) fn set_acceptor(&mut self, acceptor: Acceptor) {
        self.shared.set_acceptor(acceptor);
        self.preauth_frames = None;
        self.first = None;
    }

    /// Keeps the first bytes that are received, until another acceptor is set.
    pub(crate) fn keep_first_bytes(&mut self) {
        self.first = Some(Vec::new());
    }

    /// Returns the first bytes that were received, if they are kept.
    pub(crate) fn first_bytes(&self) -> &[u8] {
        self.first.as_deref().unwrap_or_default()
    }

    /// Limits the peer to one stream and few frames, until another acceptor is set.
    pub(crate) fn limit_preauth(&mut self) {
        self.preauth_frames = Some(PREAUTH_FRAMES);
    }

    /// Reads until the connection ends.
    ///
    /// # Errors
    ///
    /// The reason for the end, unless one of the sides closed the connection.
    pub(crate) fn run(&mut self) -> Result<(), Error> {
        self.shared.reader_runs_here();
        self.heard = sync::now();
        loop {
            if self.shared.lingered_enough() {
                return unless_closed(self.fail(Error::Closed));
            }
            let tick = self.tick();
            match self.turn(tick) {
                Ok(ReadOutcome::More) => {
                    self.heard = sync::now();
                    self.quiet = false;
                    self.pinged = None;
                }
                Ok(ReadOutcome::Idle) => {
                    if let Err(error) = self.on_idle() {
                        return unless_closed(error);
                    }
                }
                Err(error) => return unless_closed(error),
            }
        }
    }

    /// Does one read, for at most `timeout`, and dispatches what it yields.
    ///
    /// # Errors
    ///
    /// The reason for the connection's end: [`Error::Closed`] or
    /// [`Error::ClosedByPeer`] if it ended gracefully.
    pub(crate) fn turn(&mut self, timeout: Duration) -> Result<ReadOutcome, Error> {
        if self.timeout != Some(timeout) {
            self.half
                .set_timeout(Some(timeout))
                .map_err(|error| self.fail(Error::from_read(error)))?;
            self.timeout = Some(timeout);
        }
        let half = &mut self.half;
        // In the middle of a large body, reads only its end and the next header, so
        // that each body that follows is received in one piece.
        let left = self.decoder.body_left() as usize;
        let limit = if left >= SEGMENT / 2 {
            left + HEADER_LEN
        } else {
            SEGMENT
        };
        match self.buf.fill(limit, |buf| half.read(buf)) {
            Ok(0) => Err(self.at_end()),
            Ok(_) => {
                self.shared.pings.hear();
                if let Some(first) = &mut self.first {
                    let left = FIRST_BYTES - first.len();
                    first.extend(self.buf.data().iter().take(left));
                }
                self.dispatch()?;
                if !self.shared.can_finish {
                    if self.shared.is_done_without_end() {
                        return Err(self.at_end());
                    }
                    self.shared.end_if_peer_has_closed();
                }
                Ok(ReadOutcome::More)
            }
            Err(error) => match error.kind() {
                io::ErrorKind::Interrupted => Ok(ReadOutcome::More),
                io::ErrorKind::WouldBlock => {
                    if self.streams_wait {
                        let hands_over = self.shared.begin_handing_over();
                        self.streams_wait = self.shared.end_handing_over(hands_over);
                    }
                    Ok(ReadOutcome::Idle)
                }
                // The TLS connection ended without a close_notify.
                io::ErrorKind::UnexpectedEof => Err(self.end_found(Error::EndedByPeer)),
                _ => Err(self.fail(self.shared.config.transport_error(error))),
            },
        }
    }

    /// Handles the end of the peer's direction, or what replaces it.
    fn at_end(&self) -> Error {
        if self.decoder.at_boundary() {
            self.shared.peer_ends();
            self.shared.write_last();
        }
        let gracefully = self.shared.peer_left_gracefully();
        self.end_found(if gracefully && self.decoder.at_boundary() {
            Error::ClosedByPeer
        } else {
            Error::EndedByPeer
        })
    }

    /// Ends the connection after its end was read. The end may follow from a
    /// failure, which the kernel reports only once: to a write or to a read.
    fn end_found(&self, error: Error) -> Error {
        self.shared.settle_writer();
        self.fail(error)
    }

    /// Ends the connection. Returns the reason, which may be an earlier one.
    fn fail(&self, error: Error) -> Error {
        self.shared.end(error);
        self.shared.end_error()
    }
}

/// Turns the error of a connection that one side closed into success.
fn unless_closed(error: Error) -> Result<(), Error> {
    match error.is_orderly() {
        true => Ok(()),
        false => Err(error),
    }
}

impl Drop for ConnectionReader {
    fn drop(&mut self) {
        self.shared.end(Error::Closed);
        self.shared.drop_acceptor();
        // Relays may be left from a read that was not fully dispatched.
        self.pump_relays();
        self.shared.reader_is_done();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        transport::{Halves, Transport, Wait, WriteHalf, memory},
        yamux::{Config, Connection, Role, StreamId, frame::Header},
    };
    use std::io::IoSlice;

    fn client(halves: Halves, config: Config) -> (Connection, Box<ConnectionReader>) {
        let acceptor = Acceptor::new(|_| true);
        Connection::driven(halves, Role::Client, Arc::new(config), acceptor).unwrap()
    }

    /// Fails each write.
    #[derive(Debug)]
    struct Unreachable;

    impl WriteHalf for Unreachable {
        fn write(&mut self, _: &[IoSlice<'_>], _: Wait) -> io::Result<usize> {
            Err(io::ErrorKind::HostUnreachable.into())
        }

        fn finish(&mut self, _: Wait) -> io::Result<()> {
            Ok(())
        }

        fn set_timeout(&mut self, _: Option<Duration>) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_failed_write_is_reported_even_if_the_peer_is_silent_from_then_on() {
        let (ours, _theirs) = memory::pair(1024);
        let mut halves = ours.split().unwrap();
        halves.writer = Box::new(Unreachable);
        let config = Config::default().write_timeout(Duration::from_millis(1));
        let (connection, mut reader) = client(halves, config);
        let stream = connection.open().unwrap();
        let ended = reader.run();
        let unreachable = |error: &io::Error| error.kind() == io::ErrorKind::HostUnreachable;
        assert!(
            matches!(&ended, Err(Error::Io(error)) if unreachable(error)),
            "{ended:?}"
        );
        drop(stream);
    }

    #[test]
    fn a_closed_connection_ends_gracefully_whatever_the_peer_sends_then() {
        for last in [Header::go_away(1), Header::data(StreamId::CONNECTION, 1)] {
            let (ours, theirs) = memory::pair(1024);
            let halves = ours.split().unwrap();
            let (connection, mut reader) = client(halves, Config::default());
            let mut peer = theirs.split().unwrap();
            connection.start_close();
            let last = last.encode();
            peer.writer
                .write(&[IoSlice::new(&last)], Wait::Block)
                .unwrap();
            let ended = reader.run();
            assert!(ended.is_ok(), "{ended:?}");
        }
    }

    /// A thread that ends a stream marks it first, and its peer may learn of the end before
    /// the thread goes on.
    #[test]
    fn frames_of_a_stream_that_is_about_to_be_removed_are_skipped() {
        let (ours, theirs) = memory::pair(1024);
        let (connection, mut reader) = client(ours.split().unwrap(), Config::default());
        let mut peer = theirs.split().unwrap();
        let stream = connection.open().unwrap();
        let core = stream.core();
        assert!(!core.on_fin());
        assert!(core.send.lock().state.finish() && core.send_done());
        let data = Header::data(core.id, 1).encode();
        let parts = [IoSlice::new(&data), IoSlice::new(b"x")];
        peer.writer.write(&parts, Wait::Block).unwrap();
        drop(peer);
        let ended = reader.run();
        assert!(!matches!(ended, Err(Error::Protocol(_))), "{ended:?}");
    }
}
