//! A session: one client's connection, once both sides have agreed on it.

use super::{
    chunk::CUT_SHORT,
    closing::{close_sessions, shutdown_result},
    frame::{Frame, Kind, MAX_COMMAND},
    hello::Features,
    id::SessionId,
    receiving::{Messages, Source},
    stats::Stats,
    stream::{Stream, refused},
    threads::Threads,
};
#[cfg(doc)]
use crate::wire::{Builder, Wire};
use crate::{
    error::{Error, ShutdownError},
    sync::atomic::{AtomicUsize, Ordering},
    time::{deadline, wall_clock},
    yamux::{self, Connection, segment::Segment},
};
use std::{
    any::Any,
    fmt,
    net::SocketAddr,
    sync::{Arc, Weak},
    time::{Duration, Instant, SystemTime},
};

/// One client's session, on either side; a cheap clone, usable from any
/// thread. Keeping one does not keep the wire up, and a session whose client
/// comes back is a new one.
#[derive(Clone)]
pub struct Session {
    inner: Arc<SessionInner>,
}

struct SessionInner {
    id: SessionId,
    connection: Connection,
    host: Weak<dyn Host>,
    threads: Threads,
    settings: SessionSettings,
    identification: Vec<u8>,
    stream_names: Vec<String>,
    since: SystemTime,
    /// Calls that a hub relays to this session and that are not answered yet.
    unanswered_calls: AtomicUsize,
}

/// The wire that a session belongs to.
pub(crate) trait Host: Send + Sync {
    /// Closes the wire; see [`Wire::close`].
    fn close(&self) -> Result<(), ShutdownError>;
    /// Returns what the program's handles of the wire share, while there are any.
    fn handle(&self) -> Option<Arc<dyn Any + Send + Sync>>;
}

/// The options of a wire that its sessions need.
#[derive(Clone, Debug)]
pub(crate) struct SessionSettings {
    /// Sent with each stream that this side opens.
    pub(crate) token: Vec<u8>,
    pub(crate) open_timeout: Duration,
    pub(crate) close_timeout: Duration,
    pub(crate) read_timeout: Option<Duration>,
    pub(crate) takes_unmarked_end: bool,
}

/// What both sides agreed on when the session was opened.
#[derive(Debug)]
pub(crate) struct Agreed {
    pub(crate) id: SessionId,
    pub(crate) identification: Vec<u8>,
    /// The streams that the peer handles.
    pub(crate) stream_names: Vec<String>,
    /// The extensions that the peer understands.
    pub(crate) features: Features,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("id", &self.id())
            .field("peer_addr", &self.peer_addr())
            .finish_non_exhaustive()
    }
}

impl Session {
    pub(crate) fn new(
        host: Weak<dyn Host>,
        threads: Threads,
        settings: SessionSettings,
        connection: Connection,
        agreed: Agreed,
    ) -> Self {
        if agreed.features.takes_resets() {
            connection.expect_go_away();
        } else {
            connection.avoid_resets();
        }
        // The handshake does not count as unacknowledged: its answer has been received,
        // or the peer has left and does not need it.
        connection.assume_delivered();
        Self {
            inner: Arc::new(SessionInner {
                id: agreed.id,
                connection,
                host,
                threads,
                settings,
                identification: agreed.identification,
                stream_names: agreed.stream_names,
                since: wall_clock(),
                unanswered_calls: AtomicUsize::new(0),
            }),
        }
    }

    /// The session's id, the same on both sides.
    pub fn id(&self) -> SessionId {
        self.inner.id
    }

    /// What the client calls itself; on the client, what it calls itself.
    pub fn identification(&self) -> &[u8] {
        &self.inner.identification
    }

    /// The names of the streams that the other side handles, as it said when
    /// the session opened.
    pub fn stream_names(&self) -> &[String] {
        &self.inner.stream_names
    }

    /// The address of this end of the connection.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.inner.connection.local_addr()
    }

    /// The address of the other end of the connection.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.inner.connection.peer_addr()
    }

    /// The round trip that the last ping took; `None` before there was one.
    pub fn round_trip_time(&self) -> Option<Duration> {
        self.inner.connection.round_trip_time()
    }

    /// Whether the session has ended, for whatever reason.
    pub fn is_closed(&self) -> bool {
        self.inner.connection.is_closed()
    }

    /// Whether the session has ended, or one side has said that it wants no new
    /// streams because it is about to. A handler that could run for long looks
    /// here now and then.
    pub fn is_closing(&self) -> bool {
        self.inner.connection.is_going_away()
    }

    /// Ends the session as [`Wire::close`] ends a wire: tells the other side,
    /// lets the streams that are open end, for up to
    /// [`Builder::session_close_timeout`], cuts what is left, and waits for the
    /// other side to acknowledge what was sent within that time. A client whose session
    /// ends tries again; to end it for good, close its wire.
    ///
    /// Ending it again, or from a handler, hook or validator, does no harm: a
    /// handler's own stream is not waited for.
    ///
    /// # Errors
    ///
    /// [`ShutdownError`], when streams were cut, or what was sent was not acknowledged
    /// in time.
    pub fn close(&self) -> Result<(), ShutdownError> {
        let deadline = deadline(self.inner.settings.close_timeout);
        let sessions = std::slice::from_ref(self);
        let cut = close_sessions(&self.inner.threads, sessions, deadline);
        shutdown_result(cut, 0)
    }

    /// Ends the session at once: its streams are cut, and blocked calls on them
    /// fail, on both sides. Does not block.
    pub fn abort(&self) {
        self.inner.connection.cut();
    }

    /// Closes the wire that the session belongs to, with all its sessions; see
    /// [`Wire::close`].
    ///
    /// # Errors
    ///
    /// Those of [`Wire::close`].
    pub fn close_wire(&self) -> Result<(), ShutdownError> {
        let host = self.inner.host.upgrade();
        host.map_or(Ok(()), |host| host.close())
    }

    /// What the session has done so far, in numbers.
    pub fn stats(&self) -> Stats {
        let traffic = self.inner.connection.stats();
        let mut stats = Stats::new(self.inner.since, 1, traffic);
        stats.round_trip_time = self.round_trip_time();
        stats
    }

    /// Opens the stream of this name and waits for the other side to accept
    /// it.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] with the other side's reason;
    /// [`Error::TimedOut`] when no answer came within the handshake timeout;
    /// [`Error::Connection`] when the session has ended, or ends meanwhile.
    pub fn open_stream(&self, name: &str) -> Result<Stream, Error> {
        let (raw, answer) = self.open_answered(name, Connection::open_queued)?;
        Ok(Stream::new(raw, self.clone(), name.into(), answer))
    }

    /// The stream, and what of the other side's messages has come with its
    /// answer.
    fn open_answered(&self, name: &str, open: Open) -> Result<(yamux::Stream, Messages), Error> {
        let deadline = deadline(self.inner.settings.open_timeout);
        let raw = self.send_open(name, open, deadline)?;
        let mut answer = Messages::unanswered();
        let source = Opening {
            session: self,
            raw: &raw,
            name,
            deadline,
        };
        match answer.await_answer(&source) {
            Ok(()) => Ok((raw, answer)),
            Err(error) => {
                let error = self.opening_error(error);
                if !matches!(error, Error::Refused { .. }) {
                    // Nobody here uses a stream that the peer may hold for one
                    // that it accepted: an end in order would pass for all there
                    // was to say, and leave the peer's half open.
                    raw.abort(&CUT_SHORT);
                }
                Err(error)
            }
        }
    }

    /// Opens the stream of this name and does not wait for the other side:
    /// what is written follows at once, which saves a round trip. If the other
    /// side refuses, the first read or write that meets the refusal fails with
    /// it, as an [`io::Error`](std::io::Error) around [`Error::Refused`]. A stream that is
    /// closed or dropped before that tells nobody: to be sure that a message was
    /// wanted, wait for an answer to it, or use [`open_stream`](Self::open_stream).
    ///
    /// # Errors
    ///
    /// When the session has ended or the name is too long;
    /// [`Error::TimedOut`] when there was no room for one more in time: too many
    /// streams wait to be acknowledged, or too many that were closed for the other
    /// side to end its half, or too much to be sent.
    pub fn open_stream_nowait(&self, name: &str) -> Result<Stream, Error> {
        let deadline = deadline(self.inner.settings.open_timeout);
        let raw = self.send_open(name, Connection::open_queued, deadline)?;
        raw.await_input(true);
        let recv = Messages::unanswered();
        Ok(Stream::new(raw, self.clone(), name.into(), recv))
    }

    /// Opens the far leg of a relay, also while this wire is closing: the call was
    /// let in before.
    pub(crate) fn open_leg(&self, name: &str) -> Result<(yamux::Stream, Messages), Error> {
        self.open_answered(name, Connection::open_relay)
    }

    fn opening_error(&self, error: Error) -> Error {
        match error {
            Error::Connection(yamux::Error::TimedOut) => Error::TimedOut {
                what: "answer to the opening of a stream",
                timeout: self.inner.settings.open_timeout,
            },
            // A peer that is going away resets what it has not seen before.
            Error::Connection(yamux::Error::ResetByPeer) if self.is_closing() => {
                yamux::Error::GoingAway.into()
            }
            error => error,
        }
    }

    fn send_open(&self, name: &str, open: Open, deadline: Instant) -> Result<yamux::Stream, Error> {
        check_name(name).map_err(|reason| Error::Option {
            option: "name",
            reason,
        })?;
        let opened = open(&self.inner.connection, Some(deadline));
        let raw = opened.map_err(|error| self.opening_error(error.into()))?;
        let frame = Frame {
            kind: Kind::Open,
            command: name.into(),
            payload: self.inner.settings.token.clone(),
        };
        let sent = raw.send_all_by(&frame.encode(), deadline);
        sent.map_err(|error| {
            raw.reset();
            self.opening_error(error.into())
        })?;
        Ok(raw)
    }

    /// Notes that a call waits here for an answer, until what is given is
    /// dropped; `None` when more than `others` do already, so that the session
    /// seems not to answer.
    pub(crate) fn begin_call(&self, others: usize) -> Option<Call<'_>> {
        let count = &self.inner.unanswered_calls;
        // A count of its own: nothing else is read on the strength of it.
        let begun = count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
            (count <= others).then_some(count + 1)
        });
        begun.is_ok().then(|| Call { count })
    }

    /// Why the session ended, if it has.
    pub(crate) fn end_reason(&self) -> Option<yamux::Error> {
        self.inner.connection.end_reason()
    }

    /// How long a read of a new stream waits.
    pub(crate) fn read_timeout(&self) -> Option<Duration> {
        self.inner.settings.read_timeout
    }

    /// What a new stream's [`Stream::set_takes_unmarked_end`] is.
    pub(crate) fn takes_unmarked_end(&self) -> bool {
        self.inner.settings.takes_unmarked_end
    }

    /// What the program's handles of the session's wire share, while there are any.
    pub(crate) fn wire_handle(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        self.inner.host.upgrade()?.handle()
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.inner.connection
    }
}

/// How a stream is opened on the connection.
type Open = fn(&Connection, Option<Instant>) -> Result<yamux::Stream, yamux::Error>;

/// A call that a hub relays and that is not answered yet.
pub(crate) struct Call<'a> {
    count: &'a AtomicUsize,
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether a stream can bear the name.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("a stream's name is empty".into());
    }
    if name.len() > MAX_COMMAND {
        let len = name.len();
        return Err(format!(
            "a stream's name has {len} bytes, at most {MAX_COMMAND} are possible"
        ));
    }
    Ok(())
}

/// A stream while its opening is answered.
struct Opening<'a> {
    session: &'a Session,
    raw: &'a yamux::Stream,
    name: &'a str,
    deadline: Instant,
}

impl Source for Opening<'_> {
    fn wait(&self) -> Result<Option<Segment>, yamux::Error> {
        self.raw.read_segment_by(self.deadline)
    }

    fn ready(&self) -> Option<Segment> {
        self.raw.try_read_segment()
    }

    fn refused(&self, frame: &Frame) -> Error {
        refused(self.session, self.name, frame)
    }

    fn name(&self) -> &str {
        self.name
    }

    /// Whoever waits is told by what it waits for.
    fn answered(&self, _refusal: Option<&Error>) {}

    fn takes_unmarked_end(&self) -> bool {
        false
    }

    /// No message is read before the answer.
    fn message_ended(&self, _marked: bool) {}
}
