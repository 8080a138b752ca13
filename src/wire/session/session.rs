//! A session: the connection between a client and a server or hub, once both have
//! agreed on it. How it opens streams is in [`open_stream`](super::open_stream), how it
//! closes in [`closing`](super::closing).

#[cfg(doc)]
use super::stream::Stream;
use super::{
    frame::Frame, handshake_messages::Features, id::SessionId, stats::Stats, wire_threads::Threads,
};
#[cfg(doc)]
use crate::wire::Wire;
use crate::{
    error::{Error, PrintableBytes, Refusal, ShutdownError},
    sync::atomic::{AtomicUsize, Ordering},
    time::wall_clock,
    yamux::{self, Connection},
};
use std::{
    any::Any,
    fmt,
    net::SocketAddr,
    sync::{Arc, Weak},
    time::{Duration, SystemTime},
};

/// An open connection between a client and a server or hub, on which both can open
/// [`Stream`]s by name.
///
/// Either side may [open](Self::open_stream) streams for which its peer has handlers.
/// On a hub, a client may also open the streams of other clients.
///
/// A `Session` is a handle: clones refer to the same session, and may be used from any
/// thread. Keeping one keeps neither the session nor its wire open. A client that loses its
/// connection and reconnects gets a new session with a new id.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use wirenet::Wire;
///
/// let server = Wire::mount("127.0.0.1:0").build()?;
/// server.start()?;
/// let client = Wire::join(server.local_addr().unwrap())
///     .identification("box-1", "secret")
///     .build()?;
/// let on_client = client.start_within(Duration::from_secs(5))?;
/// let on_server = server.wait_session(Duration::from_secs(5))?;
/// assert_eq!(on_server.id(), on_client.id());
/// assert_eq!(on_server.identification(), b"box-1");
/// assert!(on_server.to_string().starts_with("\"box-1\" (127.0.0.1:"));
/// # Ok::<(), wirenet::Error>(())
/// ```
#[doc(alias = "connection")]
#[doc(alias = "peer")]
#[derive(Clone)]
pub struct Session {
    inner: Arc<SessionInner>,
}

struct SessionInner {
    id: SessionId,
    connection: Connection,
    host: Weak<dyn HostWire>,
    threads: Threads,
    settings: SessionSettings,
    identification: Vec<u8>,
    stream_names: Vec<String>,
    since: SystemTime,
    /// Calls that a hub relays to this session and that it has not answered yet.
    unanswered_calls: AtomicUsize,
}

/// The wire that a session belongs to.
pub(crate) trait HostWire: Send + Sync {
    /// Closes the wire; see [`Wire::close`].
    fn close(&self) -> Result<(), ShutdownError>;
    /// Returns what the program's handles of the wire share, if the program still has any.
    fn handle(&self) -> Option<Arc<dyn Any + Send + Sync>>;
}

/// The options of a wire that its sessions use. No `Debug`, because of the token.
#[derive(Clone)]
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
            .field("identification", &PrintableBytes(self.identification()))
            .field("peer_addr", &self.peer_addr())
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Session {
    /// Prints the identification of the client and the address of the peer, as error
    /// messages do: `"box-1" (127.0.0.1:4711)`. What is not known is left out; if nothing
    /// is known, prints the id.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let identification = PrintableBytes(self.identification());
        match (self.identification().is_empty(), self.peer_addr()) {
            (false, Some(addr)) => write!(f, "{identification} ({addr})"),
            (false, None) => write!(f, "{identification}"),
            (true, Some(addr)) => write!(f, "{addr}"),
            (true, None) => write!(f, "{}", self.id()),
        }
    }
}

impl Session {
    pub(crate) fn new(
        host: Weak<dyn HostWire>,
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

    /// Returns the id of the session, which is random and the same on both sides.
    pub fn id(&self) -> SessionId {
        self.inner.id
    }

    /// Returns the identification of the client, on both sides.
    ///
    /// The client sets it with [`Builder::identification`]. It is only as reliable as the
    /// check by the server's [validator].
    ///
    /// [`Builder::identification`]: crate::Builder::identification
    /// [validator]: crate::Builder::token_validator
    pub fn identification(&self) -> &[u8] {
        &self.inner.identification
    }

    /// Returns the names of the streams that the peer had handlers for when the session
    /// was opened.
    pub fn stream_names(&self) -> &[String] {
        &self.inner.stream_names
    }

    /// Returns the local address of the connection.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.inner.connection.local_addr()
    }

    /// Returns the address of the peer.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.inner.connection.peer_addr()
    }

    /// Returns the round-trip time of the last ping, or `None` before the first.
    #[doc(alias = "latency")]
    #[doc(alias = "rtt")]
    pub fn round_trip_time(&self) -> Option<Duration> {
        self.inner.connection.round_trip_time()
    }

    /// Returns whether the session has ended, for any reason.
    pub fn is_closed(&self) -> bool {
        self.inner.connection.is_closed()
    }

    /// Returns whether the session has ended, or is about to: one side has announced that
    /// it accepts no new streams.
    ///
    /// A handler that may run for a long time should check this from time to time. Whether
    /// its caller has left is another question, which [`Stream::peer_has_ended`] answers.
    ///
    /// Drop pooled and idle streams when this returns `true`; otherwise the close waits for
    /// them until its timeout has passed.
    pub fn is_closing(&self) -> bool {
        self.inner.connection.is_going_away()
    }

    /// Returns why the session has ended, or `None` as long as it has not.
    ///
    /// - [`ClosedByPeer`](yamux::Error::ClosedByPeer): the peer closed it gracefully.
    /// - [`Closed`](yamux::Error::Closed): this side closed or [aborted](Self::abort) it.
    /// - Any other error is a failure, or an abort by the peer.
    ///
    /// # Examples
    ///
    /// A server that tells clients that leave from those it loses:
    ///
    /// ```
    /// # use std::{sync::mpsc, time::Duration};
    /// # let (sender, ended) = mpsc::channel();
    /// use wirenet::{Wire, yamux};
    ///
    /// let server = Wire::mount("127.0.0.1:0")
    ///     .on_session_close(move |session| {
    ///         match session.end_reason() {
    ///             Some(yamux::Error::ClosedByPeer) => println!("{session} has left"),
    ///             Some(error) => println!("{session} is lost: {error}"),
    ///             None => unreachable!("it has ended"),
    ///         }
    /// #       let left = matches!(session.end_reason(), Some(yamux::Error::ClosedByPeer));
    /// #       // Fails once the example no longer waits.
    /// #       let _ = sender.send(left);
    ///     })
    ///     .build()?;
    /// # server.start()?;
    /// # let join = || Wire::join(server.local_addr().unwrap()).retry_max(0).build();
    /// # let (leaves, breaks) = (join()?, join()?);
    /// # let session = leaves.start_within(Duration::from_secs(5))?;
    /// # assert!(session.end_reason().is_none());
    /// # leaves.close()?;
    /// # assert!(matches!(session.end_reason(), Some(yamux::Error::Closed)));
    /// # assert_eq!(ended.recv(), Ok(true));
    /// # breaks.start_within(Duration::from_secs(5))?.abort();
    /// # assert_eq!(ended.recv(), Ok(false));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias("close_reason", "reason"))]
    pub fn end_reason(&self) -> Option<yamux::Error> {
        self.inner.connection.end_reason()
    }

    /// Ends the session immediately. Blocked calls on its streams fail, on both sides.
    ///
    /// Does not block. To end a session gracefully, use [`close`](Self::close).
    #[doc(alias = "kill")]
    pub fn abort(&self) {
        self.inner.connection.cut();
    }

    /// Closes the wire that the session belongs to, with all its sessions; see
    /// [`Wire::close`].
    ///
    /// In a handler, answer before closing: the close does not wait for the handler's own
    /// stream, which is cut.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::time::Duration;
    /// use wirenet::Wire;
    ///
    /// let server = Wire::mount("127.0.0.1:0")
    ///     .stream("quit", |stream| {
    ///         stream.write_message(b"bye")?;
    ///         stream.session().close_wire()?;
    ///         Ok(())
    ///     })
    ///     .build()?;
    /// server.start()?;
    /// # let client = Wire::join(server.local_addr().unwrap()).build()?;
    /// # let session = client.start_within(Duration::from_secs(5))?;
    /// let stream = session.open_stream("quit")?;
    /// assert_eq!(stream.read_message(100)?.unwrap(), b"bye");
    /// server.wait()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The errors of [`Wire::close`].
    pub fn close_wire(&self) -> Result<(), ShutdownError> {
        let host = self.inner.host.upgrade();
        host.map_or(Ok(()), |host| host.close())
    }

    /// Returns counts of what the session has done so far.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::time::Duration;
    /// # let server = wirenet::Wire::mount("127.0.0.1:0")
    /// #     .stream("echo", |stream| std::io::copy(&mut &*stream, &mut &*stream).and_then(|_| stream.finish()))
    /// #     .build()?;
    /// # server.start()?;
    /// # let client = wirenet::Wire::join(server.local_addr().unwrap()).build()?;
    /// # let session = client.start_within(Duration::from_secs(5))?;
    /// let before = session.stats();
    /// session.open_stream("echo")?.write_message(&[7; 1000])?;
    /// let after = session.stats();
    /// assert_eq!(after.streams_opened - before.streams_opened, 1);
    /// assert!(after.bytes_sent - before.bytes_sent >= 1000);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "metrics")]
    pub fn stats(&self) -> Stats {
        let traffic = self.inner.connection.stats();
        let mut stats = Stats::new(self.inner.since, 1, traffic);
        stats.round_trip_time = self.round_trip_time();
        stats
    }

    /// Converts an error frame of the peer into an [`Error`], and counts the refusal.
    pub(super) fn refusal(&self, name: &str, frame: &Frame) -> Error {
        self.inner.connection.count_refused();
        Error::Refused {
            name: name.into(),
            refusal: Refusal::from_text(&String::from_utf8_lossy(&frame.payload)),
        }
    }

    /// Counts a call until the returned guard is dropped. Returns `None` if more than
    /// `others` calls wait already, which suggests that the peer does not answer.
    pub(crate) fn begin_call(&self, others: usize) -> Option<UnansweredCall<'_>> {
        let count = &self.inner.unanswered_calls;
        // Relaxed: no other memory depends on this count.
        let begun = count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
            (count <= others).then_some(count + 1)
        });
        begun.is_ok().then(|| UnansweredCall { count })
    }

    /// Returns the read timeout of new streams.
    pub(crate) fn read_timeout(&self) -> Option<Duration> {
        self.inner.settings.read_timeout
    }

    /// Returns the initial value of [`Stream::set_takes_unmarked_end`].
    pub(crate) fn takes_unmarked_end(&self) -> bool {
        self.inner.settings.takes_unmarked_end
    }

    /// Returns what the program's handles of the wire share, if the program still has any.
    pub(crate) fn wire_handle(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        self.inner.host.upgrade()?.handle()
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.inner.connection
    }

    pub(super) fn settings(&self) -> &SessionSettings {
        &self.inner.settings
    }

    pub(super) fn threads(&self) -> &Threads {
        &self.inner.threads
    }
}

/// A call that a hub relays and that is not answered yet.
pub(crate) struct UnansweredCall<'a> {
    count: &'a AtomicUsize,
}

impl Drop for UnansweredCall<'_> {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}
