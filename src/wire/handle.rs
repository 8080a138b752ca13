//! [`Wire`], the handle of a wire that a program holds.

use super::{
    builder::Builder,
    run::{Runner, close::close_wire},
    session::{id::SessionId, session::Session, stats::Stats, stream::Stream},
    state::{error_context::ErrorContext, wire_state::WireState},
};
use crate::{
    error::{Error, Operation, ShutdownError},
    spawn::spawn,
    sync::bounded,
};
use std::{
    any::Any,
    fmt, io,
    net::SocketAddr,
    sync::{Arc, Weak},
    time::Duration,
};

/// A server, a hub or a client.
///
/// A server ([`mount`](Self::mount)) listens for clients. A hub ([`hub`](Self::hub)) is a
/// server through which clients also call each other. A client ([`join`](Self::join))
/// connects to either, and connects again when its session has ended. Each is set up
/// with a [`Builder`], and runs after [`connect`](Self::connect) or
/// [`start`](Self::start).
///
/// A `Wire` is a handle: cheap to clone, and usable from any thread. When the last clone
/// is dropped, the wire closes, as with [`close`](Self::close).
///
/// A handler, hook or validator that captures a clone keeps the wire running until the
/// wire is closed, because the wire owns the closure. A handler should use
/// [`Session::wire`] instead.
///
/// # Examples
///
/// ```
/// use std::{io, time::Duration};
/// use wirenet::Wire;
///
/// let server = Wire::mount("127.0.0.1:0").build()?;
/// server.start()?;
/// let addr = server.local_addr().expect("the server listens");
///
/// let client = Wire::join(addr.to_string())
///     .stream("greeting", |stream| stream.write_message(b"hello"))
///     .build()?;
/// client.start()?;
///
/// // The server calls the client.
/// let session = server.wait_session(Duration::from_secs(5))?;
/// let mut stream = session.open_stream("greeting")?;
/// let mut message = Vec::new();
/// io::copy(&mut stream, &mut message)?;
/// assert_eq!(message, b"hello");
/// # Ok::<(), io::Error>(())
/// ```
#[derive(Clone)]
pub struct Wire {
    inner: Arc<WireInner>,
}

/// A hook that is called with the wire each time the wire is up.
pub(super) type ConnectHook = Arc<dyn Fn(&Wire) + Send + Sync>;

/// What all handles of a wire share. Dropping it closes the wire. The wire's own threads
/// keep only the [`WireState`] alive.
struct WireInner {
    state: Arc<WireState>,
    run: Arc<dyn Runner>,
    on_connect: Option<ConnectHook>,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire")
            .field("local_addr", &self.local_addr())
            .finish_non_exhaustive()
    }
}

impl WireInner {
    /// Returns the closure that a wire calls each time it is up, which runs the hook on a
    /// pool thread. The closure does not keep the handles alive: if the last handle is
    /// dropped before the hook runs, the wire closes and the hook is not called.
    fn connected(self: &Arc<Self>) -> impl FnMut(Option<&Session>) + use<> {
        let (inner, state) = (Arc::downgrade(self), Arc::clone(&self.state));
        let hook = self.on_connect.clone();
        move |session| {
            let Some(hook) = hook.clone() else {
                return;
            };
            let (inner, wire, about) = (inner.clone(), Arc::clone(&state), session.cloned());
            state.submit_hook("on_connect", session, move || {
                if let Some(inner) = inner.upgrade() {
                    wire.run_hook("on_connect", about.as_ref(), || hook(&Wire { inner }));
                }
            });
        }
    }
}

impl Drop for WireInner {
    fn drop(&mut self) {
        if self.state.threads.include_current() {
            // The last handle was dropped on one of the wire's own threads, for example
            // by a handler whose stream is still open. A close on that thread would not
            // wait for the stream.
            let state = Arc::clone(&self.state);
            let submitted = self.state.pool.submit(move || close_dropped(&state));
            if submitted.is_ok() {
                return;
            }
        }
        close_dropped(&self.state);
    }
}

/// Closes a wire whose last handle was dropped.
fn close_dropped(state: &Arc<WireState>) {
    // An earlier close has returned the error to its caller.
    let was_closed = state.is_closing();
    if let Err(error) = close_wire(state)
        && !was_closed
    {
        state.report_last(Operation::Close, ErrorContext::default(), error);
    }
}

impl Wire {
    /// Returns a builder for a server, which listens at `addr`.
    ///
    /// `addr` is `host:port`, with IPv6 addresses in brackets. `:port` listens on all
    /// interfaces, with both versions of IP. With port 0 the system chooses a port; see
    /// [`local_addr`](Self::local_addr).
    ///
    /// # Examples
    ///
    /// ```
    /// use wirenet::Wire;
    ///
    /// let server = Wire::mount("127.0.0.1:0")
    ///     .stream("greeting", |stream| stream.write_message(b"hello"))
    ///     .build()?;
    /// server.start()?;
    /// let addr = server.local_addr().expect("the server listens");
    /// assert_ne!(addr.port(), 0);
    /// # Ok::<(), wirenet::Error>(())
    /// ```
    #[doc(alias("bind", "listen", "server"))]
    pub fn mount(addr: impl Into<String>) -> Builder {
        Builder::mount(addr.into())
    }

    /// Returns a builder for a hub: a server whose clients call each other through it.
    ///
    /// A client opens a stream by name, as on any server. The hub first looks for the
    /// name among its own handlers. Otherwise it opens a stream to the client that offers
    /// the name (the owner), and passes the owner's answer, which may be a refusal, on to
    /// the caller. Then it relays data, the end of a direction, and resets. The caller
    /// may send only as much as the owner's window has room for, so a slow owner slows
    /// down only its own callers.
    ///
    /// `addr` has the same form as for [`mount`](Self::mount).
    ///
    /// # Names
    ///
    /// **A name has one owner.** A session that offers a name of another session is
    /// refused, with [`RefusalCode::NameTaken`](crate::RefusalCode::NameTaken), unless
    /// it has the same, non-empty [identification](Builder::identification), and the
    /// [validator](Builder::token_validator) accepts its token. Then it is the same
    /// client, which reconnects after its connection broke: the hub ends the old
    /// session, and the new one takes over its names. If the old session is closing
    /// gracefully, it only loses its names, and its streams may end. **Without a
    /// validator, the identification alone decides**: anyone who knows it can take over
    /// the names. A validator should check that the token belongs to the identification.
    ///
    /// When a client wants a name that has an owner, the hub checks that the owner is
    /// alive. An owner that stays silent for a third of the [handshake
    /// timeout](Builder::handshake_timeout), or for the [write
    /// timeout](Builder::read_write_timeouts) if that is shorter, loses its session. If
    /// data is on its way to the owner, for which a slow link needs time, the owner has
    /// up to the write timeout.
    ///
    /// A client that does not understand refusal codes, such as one written with
    /// go-wirenet, is not refused but waits for the name, for as long as its handshake
    /// may take.
    ///
    /// A name for which the hub has a handler is the hub's own: a session that offers it
    /// is refused. If a handler is added while a client owns its name, the handler gets
    /// the calls from then on.
    ///
    /// A name without an owner **goes to the first client that offers it**, even if its
    /// usual owner is only disconnected for a moment. [`Builder::access`] decides which
    /// client may offer which name.
    ///
    /// # Tokens
    ///
    /// The hub checks the tokens of callers and does not pass them on: the owner's
    /// validator gets the hub's own token.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{io::Read, time::Duration};
    /// use wirenet::Wire;
    ///
    /// let hub = Wire::hub("127.0.0.1:0").build()?;
    /// hub.start()?;
    /// let addr = hub.local_addr().expect("the hub listens").to_string();
    ///
    /// let owner = Wire::join(&addr)
    ///     .identification("box-1", "secret")
    ///     .stream("box-1:greeting", |stream| stream.write_message(b"hello"))
    ///     .build()?;
    /// owner.start()?;
    ///
    /// let caller = Wire::join(&addr).build()?;
    /// caller.start()?;
    /// let session = caller.wait_session(Duration::from_secs(5))?;
    /// let mut greeting = String::new();
    /// session.open_stream("box-1:greeting")?.read_to_string(&mut greeting)?;
    /// assert_eq!(greeting, "hello");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias("broker", "proxy", "relay", "router"))]
    pub fn hub(addr: impl Into<String>) -> Builder {
        Builder::hub(addr.into())
    }

    /// Returns a builder for a client, which connects to the server or hub at `addr`.
    ///
    /// `addr` is `host:port`, with IPv6 addresses in brackets. `:port` is a port of this
    /// machine. The name is resolved anew for each attempt, and all its addresses are
    /// tried.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{io::Read, time::Duration};
    /// use wirenet::Wire;
    ///
    /// # let server = Wire::mount("127.0.0.1:0")
    /// #     .stream("greeting", |stream| stream.write_message(b"hello"))
    /// #     .build()?;
    /// # server.start()?;
    /// # let addr = server.local_addr().expect("the server listens").to_string();
    /// let client = Wire::join(addr).build()?;
    /// client.start()?;
    ///
    /// let session = client.wait_session(Duration::from_secs(5))?;
    /// let mut greeting = String::new();
    /// session.open_stream("greeting")?.read_to_string(&mut greeting)?;
    /// assert_eq!(greeting, "hello");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias("client", "connect", "dial"))]
    pub fn join(addr: impl Into<String>) -> Builder {
        Builder::join(addr.into())
    }

    pub(super) fn new(
        state: Arc<WireState>,
        run: Arc<dyn Runner>,
        on_connect: Option<ConnectHook>,
    ) -> Self {
        let inner = Arc::new(WireInner {
            state,
            run,
            on_connect,
        });
        let handle: Weak<dyn Any + Send + Sync> = Arc::<WireInner>::downgrade(&inner);
        // It cannot be set already: only this line sets it.
        let _ = inner.state.handle.set(handle);
        Self { inner }
    }

    #[cfg(all(test, not(shuttle), any(target_os = "linux", target_os = "android")))]
    pub(super) fn state(&self) -> &Arc<WireState> {
        &self.inner.state
    }

    /// Runs the wire on the current thread, until it is closed.
    ///
    /// A server or hub listens and accepts clients. A client connects and reads its
    /// session; when that has ended, or no session could be opened, it waits and connects
    /// again. Failures that lead to a retry go to the [error
    /// handler](Builder::on_error). Returns when a close has completed, or when a client
    /// gives up.
    ///
    /// A wire that is not closed may be run again after this call has returned.
    ///
    /// # Errors
    ///
    /// - [`Error::Listen`].
    /// - The last error of a client that gives up, which [`Builder::retry_policy`]
    ///   decides: [`Error::Dial`], [`Error::SessionRefused`] and other errors of a
    ///   handshake, or [`Error::Connection`] if the session broke.
    /// - [`Error::Closed`] if the wire was closed before a session was established.
    /// - [`Error::AlreadyConnected`] if the wire is running.
    /// - [`Error::Shutdown`] with what a [`close`](Self::close) has cut, on whichever
    ///   thread it was called.
    ///
    /// # Examples
    ///
    /// A program that serves on its main thread until the first client connects:
    ///
    /// ```
    /// use wirenet::Wire;
    ///
    /// let server = Wire::mount("127.0.0.1:0")
    ///     .stream("greeting", |stream| stream.write_message(b"hello"))
    /// #   .on_connect(|wire| {
    /// #       // Once the server listens.
    /// #       let addr = wire.local_addr().expect("the server listens");
    /// #       let client = Wire::join(addr.to_string()).build().expect("a valid address");
    /// #       client.start().expect("the server accepts");
    /// #   })
    ///     .on_session_open(|session| {
    ///         // Blocks until the wire is closed. `connect` then returns the same error, if
    ///         // there is one.
    ///         let _ = session.close_wire();
    ///     })
    ///     .build()?;
    /// server.connect()?;
    /// # Ok::<(), wirenet::Error>(())
    /// ```
    #[doc(alias("block", "listen", "run", "serve"))]
    pub fn connect(&self) -> Result<(), Error> {
        let running = self.inner.state.begin()?;
        let mut connected = self.inner.connected();
        let run = || self.inner.run.run(&running.wire, &mut connected);
        let ended = running.wire.threads.track(run)();
        // From here on a close does not wait for this thread.
        drop(running);
        let closed = self.inner.state.wait_closed();
        ended.map_err(|failure| failure.error)?;
        closed.map_err(Error::from)
    }

    /// Runs the wire on a new thread.
    ///
    /// Returns when a server or hub listens, or when a client's first session is
    /// established, after any number of attempts. Later errors go to the [error
    /// handler](Builder::on_error); [`wait`](Self::wait) waits for the end.
    ///
    /// # Errors
    ///
    /// The errors of [`connect`](Self::connect) up to that point, and
    /// [`Error::Thread`].
    ///
    /// # Examples
    ///
    /// ```
    /// use wirenet::Wire;
    ///
    /// let server = Wire::mount("127.0.0.1:0").build()?;
    /// server.start()?;
    /// let addr = server.local_addr().expect("the server listens");
    ///
    /// let client = Wire::join(addr.to_string()).build()?;
    /// client.start()?;
    /// assert_eq!(client.sessions().len(), 1);
    /// # Ok::<(), wirenet::Error>(())
    /// ```
    #[doc(alias("background", "spawn"))]
    pub fn start(&self) -> Result<(), Error> {
        let running = self.inner.state.begin()?;
        let state = Arc::clone(&running.wire);
        let run = Arc::clone(&self.inner.run);
        let mut connected = self.inner.connected();
        let (sender, first_up) = bounded(1);
        let thread = state.options.thread(run.thread_name());
        let work = move || {
            let mut was_up = false;
            let ended = run.run(&running.wire, &mut |session| {
                was_up = true;
                connected(session);
                // The channel is full if the wire was up before.
                let _ = sender.try_send(Ok(()));
            });
            match ended {
                Ok(()) => {}
                Err(failure) if was_up => failure.report_last(&running.wire),
                Err(failure) => {
                    drop(running);
                    // The channel has room: nothing was sent before.
                    let _ = sender.try_send(Err(failure.error));
                }
            }
        };
        let spawned = spawn(thread, state.threads.track(work));
        spawned.map_err(|error| Error::Thread(Arc::new(error)))?;
        // The thread always sends before it ends, unless it panics.
        first_up.recv().unwrap_or(Err(Error::Closed))
    }

    /// Ends a client's wait before its next attempt to connect.
    ///
    /// For programs that are notified when the network is available again. If an
    /// attempt is in progress and fails, the wait after it is ended instead.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{sync::mpsc, time::Duration};
    /// use wirenet::Wire;
    ///
    /// let (sender, failures) = mpsc::channel();
    /// # // A port that refuses connections.
    /// # let addr = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
    /// let client = Wire::join(addr)
    ///     .retry_policy(|_| Some(Duration::from_secs(3600)))
    ///     .on_error(move |error| {
    ///         let _ = sender.send(error.to_string());
    ///     })
    ///     .build()?;
    ///
    /// # let other = client.clone();
    /// # let thread = std::thread::spawn(move || other.connect());
    /// // The client runs on another thread, and has no network at first.
    /// failures.recv()?;
    ///
    /// // The network is available again: do not wait for an hour.
    /// client.reconnect_now();
    /// failures.recv()?;
    /// # client.close()?;
    /// # let _ = thread.join();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias("nudge", "retry", "wake"))]
    pub fn reconnect_now(&self) {
        self.inner.state.nudge();
    }

    /// Waits until a wire that was [started](Self::start) no longer runs.
    ///
    /// Returns when a close has completed, or when a client has given up, and immediately
    /// if the wire does not run. A close does not wait for the thread that waits here.
    ///
    /// When called from a client's error handler or retry policy, waits only for a close,
    /// because the wire cannot end before that handler or policy has returned.
    ///
    /// # Errors
    ///
    /// What a [`close`](Self::close) has cut, on whichever thread it was called.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::thread;
    /// use wirenet::Wire;
    ///
    /// let server = Wire::mount("127.0.0.1:0").build()?;
    /// server.start()?;
    ///
    /// // Usually in a signal handler.
    /// let closing = server.clone();
    /// thread::spawn(move || closing.close());
    ///
    /// server.wait()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias("block", "join"))]
    pub fn wait(&self) -> Result<(), ShutdownError> {
        self.inner.state.wait()
    }

    /// Closes the wire gracefully.
    ///
    /// In this order, a close
    ///
    /// 1. stops accepting and connecting;
    /// 2. tells every peer that it accepts no new streams;
    /// 3. waits for the open streams of all sessions to end, for up to
    ///    [`Builder::session_close_timeout`] in all;
    /// 4. cuts the remaining streams, which wakes every blocked read, write, open and
    ///    wait;
    /// 5. waits for the wire's threads to end, for at most a second.
    ///
    /// A handler can check [`Session::is_closing`] to learn that it should end.
    /// [`connect`](Self::connect) and [`wait`](Self::wait) return when the close does.
    ///
    /// `Ok` means that the peer of each open session has received everything that was
    /// sent on its connection: messages that were finished before have arrived. A peer
    /// that uses this library acknowledges this; any other peer closes its side
    /// afterwards. `Ok` does not mean that the peer's program has read its streams.
    ///
    /// Closing again does no harm. A handler, a hook or a validator may close the wire:
    /// the close does not wait for its own caller. A close in an error handler that runs
    /// on a session's own thread cuts that session immediately. A client that is
    /// resolving a name leaves the resolving thread behind, until the system gives up.
    /// Idle threads are told to end, but the close does not wait for them.
    ///
    /// When the last handle is dropped, the wire is closed in the same way, and an error
    /// goes to the [error handler](Builder::on_error) as [`Operation::Close`]. If a
    /// handler, a hook or a validator drops it, the wire is closed on another thread,
    /// which waits for the handler, hook or validator to return.
    ///
    /// # Errors
    ///
    /// [`ShutdownError`], with what was cut, what was not acknowledged in time, and what
    /// still runs. The wire is closed in any case.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use wirenet::{Error, Wire};
    ///
    /// let server = Wire::mount("127.0.0.1:0").build()?;
    /// server.start()?;
    /// # let addr = server.local_addr().expect("the server listens");
    /// # let client = Wire::join(addr.to_string()).build()?;
    /// # client.start()?;
    ///
    /// server.close()?;
    /// assert!(matches!(server.wait_session(Duration::ZERO), Err(Error::Closed)));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias("shutdown", "stop"))]
    pub fn close(&self) -> Result<(), ShutdownError> {
        close_wire(&self.inner.state)
    }

    /// Returns counts of everything that the wire has done so far, for all its
    /// sessions together, including those that have ended.
    ///
    /// # Examples
    ///
    /// ```
    /// use wirenet::Wire;
    ///
    /// let server = Wire::mount("127.0.0.1:0").build()?;
    /// server.start()?;
    /// # let addr = server.local_addr().expect("the server listens");
    /// # let client = Wire::join(addr.to_string()).build()?;
    /// # client.start()?;
    /// # server.wait_session(std::time::Duration::from_secs(5))?;
    ///
    /// // A client has connected.
    /// let stats = server.stats();
    /// assert_eq!(stats.sessions, 1);
    /// println!("{} bytes received since {:?}", stats.bytes_received, stats.since);
    /// # Ok::<(), wirenet::Error>(())
    /// ```
    #[doc(alias("counters", "metrics", "statistics"))]
    pub fn stats(&self) -> Stats {
        self.inner.state.stats()
    }

    /// Adds a handler for the streams that the peer opens under `name`, from now on.
    ///
    /// An earlier handler of the same name is replaced; its running streams continue.
    /// See also [`Builder::stream`].
    ///
    /// The handler gets each stream on a thread of a pool. If it returns `Ok`, the stream
    /// is closed gracefully, which ends the message that was being sent. An error or a
    /// panic resets the stream, and is reported to the [error
    /// handler](Builder::on_error).
    ///
    /// A peer learns the names when its session opens. A name that is added later can be
    /// opened, but is not in the [`Session::stream_names`] of earlier sessions. It cannot
    /// be opened through a hub, which relays only names that were offered when the
    /// session opened.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] if the name is empty, longer than 255 bytes, or
    /// `confirmSession`; if there are 1,024 handlers already; or if their names would have
    /// more than 131,072 bytes together.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{io::Read, time::Duration};
    /// use wirenet::Wire;
    ///
    /// let server = Wire::mount("127.0.0.1:0").build()?;
    /// server.start()?;
    /// # let addr = server.local_addr().expect("the server listens");
    /// # let client = Wire::join(addr.to_string()).build()?;
    /// # client.start()?;
    /// # let session = client.wait_session(Duration::from_secs(5))?;
    /// assert!(session.open_stream("greeting").is_err());
    ///
    /// server.stream("greeting", |stream| stream.write_message(b"hello"))?;
    /// let mut greeting = String::new();
    /// session.open_stream("greeting")?.read_to_string(&mut greeting)?;
    /// assert_eq!(greeting, "hello");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias("accept", "handle", "handler", "route", "serve", "service"))]
    pub fn stream(
        &self,
        name: impl Into<String>,
        handler: impl Fn(&mut Stream) -> io::Result<()> + Send + Sync + 'static,
    ) -> Result<(), Error> {
        let handlers = &self.inner.state.handlers;
        handlers.insert(name.into(), Arc::new(handler))
    }

    /// Returns the sessions that are established now; a client has at most one.
    ///
    /// The list is empty before the first session, and between two sessions of a client.
    /// [`wait_session`](Self::wait_session) waits for one.
    #[doc(alias("clients", "connections", "peers"))]
    pub fn sessions(&self) -> Vec<Session> {
        self.inner.state.sessions()
    }

    /// Returns the session with this id, if it is established.
    pub fn session(&self, id: SessionId) -> Option<Session> {
        self.inner.state.session(id)
    }

    /// Waits until a session is established, and returns it.
    ///
    /// A client has only one session. A server or hub with several sessions returns any
    /// of them.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`] if there is none within `timeout`; [`Error::Closed`] if the
    /// wire is closed.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use wirenet::{Error, Wire};
    ///
    /// let server = Wire::mount("127.0.0.1:0").build()?;
    /// server.start()?;
    /// let none = server.wait_session(Duration::from_millis(10));
    /// assert!(matches!(none, Err(Error::TimedOut { .. })));
    ///
    /// # let addr = server.local_addr().expect("the server listens");
    /// # let client = Wire::join(addr.to_string()).identification("box-1", "").build()?;
    /// # client.start()?;
    /// // A client connects.
    /// let session = server.wait_session(Duration::from_secs(5))?;
    /// assert_eq!(session.identification(), b"box-1");
    /// # Ok::<(), Error>(())
    /// ```
    #[doc(alias("accept"))]
    pub fn wait_session(&self, timeout: Duration) -> Result<Session, Error> {
        self.inner.state.wait_session(timeout)
    }

    /// Returns the address at which a server or hub listens, or from which a client is
    /// connected; `None` before that, or if the system does not know it.
    #[doc(alias("port"))]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.inner.state.local_addr()
    }
}

impl Session {
    /// Returns a handle of the wire that the session belongs to.
    ///
    /// Returns `None` if the program no longer has a handle, so that the wire
    /// closes.
    ///
    /// This is how a handler or a hook reaches its wire. A handler that captures a
    /// [`Wire`] keeps it running forever: the wire owns the handler, and the handler
    /// owns the wire.
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
        let inner = self.wire_handle()?.downcast().ok()?;
        Some(Wire { inner })
    }
}
