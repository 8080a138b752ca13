//! A session: one client's connection, once both sides have agreed on it.

#[cfg(doc)]
use super::Builder;
use super::{
    Wire,
    chunk::CUT_SHORT,
    closing::{close_session, close_wire},
    frame::{Frame, Kind, MAX_COMMAND},
    handshake::Agreed,
    messages::{Messages, Source},
    shared::Shared,
    stats::Stats,
    stream::{Stream, refused},
};
use crate::{
    error::{Error, ShutdownError},
    sync::atomic::{AtomicUsize, Ordering},
    time::{deadline, wall_clock},
    yamux::{self, Connection, segment::Segment},
};
use std::{
    fmt,
    net::SocketAddr,
    sync::{Arc, Weak},
    time::{Duration, Instant, SystemTime},
};
use uuid::Uuid;

/// A session's id: random, and the same on both sides.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(Uuid);

impl SessionId {
    pub(super) fn random() -> Self {
        Self(Uuid::new_v4())
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        // The only error is another length.
        Uuid::from_slice(bytes).ok().map(Self)
    }

    /// Its 16 bytes, as they go over the wire.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({})", self.0)
    }
}

/// One client's session, on either side; a cheap clone, usable from any
/// thread. Keeping one does not keep the wire up, and a session whose client
/// comes back is a new one.
#[derive(Clone)]
pub struct Session {
    inner: Arc<Inner>,
}

struct Inner {
    id: SessionId,
    connection: Connection,
    wire: Weak<Shared>,
    identification: Vec<u8>,
    stream_names: Vec<String>,
    /// What this side shows when it opens a stream.
    token: Vec<u8>,
    open_timeout: Duration,
    close_timeout: Duration,
    read_timeout: Option<Duration>,
    takes_unmarked_end: bool,
    since: SystemTime,
    /// Calls that a hub relays here and that wait for the answer.
    unanswered_calls: AtomicUsize,
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
    pub(super) fn new(wire: &Arc<Shared>, connection: Connection, agreed: Agreed) -> Self {
        if agreed.features.takes_resets() {
            connection.expect_go_away();
        } else {
            connection.avoid_resets();
        }
        // The handshake was answered, or its answer is of no use to who has left.
        connection.assume_delivered();
        Self {
            inner: Arc::new(Inner {
                id: agreed.id,
                connection,
                wire: Arc::downgrade(wire),
                identification: agreed.identification,
                stream_names: agreed.stream_names,
                token: wire.options.token.clone(),
                open_timeout: wire.options.handshake_timeout,
                close_timeout: wire.options.session_close_timeout,
                read_timeout: wire.options.read_timeout,
                takes_unmarked_end: wire.options.takes_unmarked_end,
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
        let wire = self.inner.wire.upgrade();
        close_session(wire.as_deref(), self, self.inner.close_timeout)
    }

    /// Ends the session at once: its streams are cut, and blocked calls on them
    /// fail, on both sides. Does not block.
    pub fn abort(&self) {
        self.inner.connection.cut();
    }

    /// A handle of the wire that the session belongs to, while somebody else has
    /// one; `None` when nobody has, so that the wire closes.
    ///
    /// This is how a handler, or a hook, reaches its wire. One that captures a
    /// [`Wire`] keeps it running forever: the wire has the handler, and the handler
    /// the wire.
    ///
    /// # Examples
    ///
    /// ```
    /// use wirenet::Wire;
    ///
    /// let server = Wire::mount("127.0.0.1:0").stream("count", |stream| {
    ///     let wire = stream.session().wire().ok_or(wirenet::Error::Closed)?;
    ///     let count = wire.sessions().len();
    ///     stream.write_message(count.to_string().as_bytes())
    /// });
    /// # server.build()?;
    /// # Ok::<(), wirenet::Error>(())
    /// ```
    pub fn wire(&self) -> Option<Wire> {
        let shared = self.inner.wire.upgrade()?;
        let owner = shared.owner.get()?.upgrade()?;
        Some(Wire { owner })
    }

    /// Closes the wire that the session belongs to, with all its sessions; see
    /// [`Wire::close`].
    ///
    /// # Errors
    ///
    /// Those of [`Wire::close`].
    pub fn close_wire(&self) -> Result<(), ShutdownError> {
        self.inner
            .wire
            .upgrade()
            .map_or(Ok(()), |wire| close_wire(&wire))
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
        let deadline = deadline(self.inner.open_timeout);
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
                    raw.break_off(&CUT_SHORT);
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
        let deadline = deadline(self.inner.open_timeout);
        let raw = self.send_open(name, Connection::open_queued, deadline)?;
        raw.await_input(true);
        let recv = Messages::unanswered();
        Ok(Stream::new(raw, self.clone(), name.into(), recv))
    }

    /// Opens the far leg of a relay, also while this wire is closing: the call was
    /// let in before.
    pub(super) fn open_leg(&self, name: &str) -> Result<(yamux::Stream, Messages), Error> {
        self.open_answered(name, Connection::open_relay)
    }

    fn opening_error(&self, error: Error) -> Error {
        match error {
            Error::Connection(yamux::Error::TimedOut) => Error::TimedOut {
                what: "answer to the opening of a stream",
                timeout: self.inner.open_timeout,
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
            payload: self.inner.token.clone(),
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
    pub(super) fn begin_call(&self, others: usize) -> Option<Call<'_>> {
        let count = &self.inner.unanswered_calls;
        // A count of its own: nothing else is read on the strength of it.
        let begun = count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
            (count <= others).then_some(count + 1)
        });
        begun.is_ok().then(|| Call { count })
    }

    /// Why the session ended, if it has.
    pub(super) fn end_reason(&self) -> Option<yamux::Error> {
        self.inner.connection.end_reason()
    }

    /// How long a read of a new stream waits.
    pub(super) fn read_timeout(&self) -> Option<Duration> {
        self.inner.read_timeout
    }

    /// What a new stream's [`Stream::set_takes_unmarked_end`] is.
    pub(super) fn takes_unmarked_end(&self) -> bool {
        self.inner.takes_unmarked_end
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.inner.connection
    }
}

/// How a stream is opened on the connection.
type Open = fn(&Connection, Option<Instant>) -> Result<yamux::Stream, yamux::Error>;

/// A call that a hub relays and that is not answered yet.
pub(super) struct Call<'a> {
    count: &'a AtomicUsize,
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether a stream can bear the name.
pub(super) fn check_name(name: &str) -> Result<(), String> {
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

#[cfg(test)]
mod tests {
    use crate::{Error, Session, Stream, Wire, yamux};
    use crossbeam_channel::unbounded;
    use std::{
        io::{self, Read},
        time::Duration,
    };

    const PATIENCE: Duration = Duration::from_secs(60);
    const SAID: &[u8] = b"said";

    fn echo(stream: &mut Stream) -> io::Result<()> {
        let mut message = Vec::new();
        stream.read_to_end(&mut message)?;
        stream.write_message(&message)
    }

    fn expect_echo(mut stream: Stream) {
        stream.write_message(SAID).unwrap();
        let mut said = Vec::new();
        stream.read_to_end(&mut said).unwrap();
        assert_eq!(said, SAID);
    }

    #[test]
    fn a_client_gets_a_new_session_when_either_side_has_used_up_its_ids() {
        let (sender, sessions) = unbounded();
        let server = Wire::mount("127.0.0.1:0")
            .on_session_open(move |session| sender.send(session.clone()).unwrap())
            .build()
            .unwrap();
        server.stream("echo", echo).unwrap();
        server.start().unwrap();
        let client = Wire::join(server.local_addr().unwrap().to_string());
        let client = client.retry_wait(Duration::from_millis(1), Duration::from_millis(1));
        let client = client.build().unwrap();
        client.stream("echo", echo).unwrap();
        client.start().unwrap();
        let next = || -> [Session; 2] {
            let far = sessions.recv_timeout(PATIENCE).unwrap();
            [client.wait_session(PATIENCE).unwrap(), far]
        };
        for side in [0, 1] {
            let side = &next()[side];
            side.connection().use_up_ids();
            let last = side.open_stream("echo").unwrap();
            assert!(side.is_closing() && !side.is_closed());
            let refused = side.open_stream("echo").unwrap_err();
            assert!(
                matches!(refused, Error::Connection(yamux::Error::GoingAway)),
                "{refused:?}"
            );
            expect_echo(last);
        }
        let [near, _] = next();
        expect_echo(near.open_stream("echo").unwrap());
        client.close().unwrap();
        server.close().unwrap();
    }
}
