//! The handle of a wire.

use super::{
    builder::Builder,
    run::{Run, close::close_wire},
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

/// One side of the system: a server that clients connect to, a hub through
/// which they call each other, or a client. A
/// cheap clone, usable from any thread; the wire closes, as with
/// [`close`](Self::close), when the last clone is dropped.
///
/// A handler, hook or validator that captures a clone keeps the wire running forever,
/// unless it is closed: the wire has them. [`Session::wire`] gives a handler its
/// wire.
///
/// # Examples
///
/// ```
/// use std::{io, time::Duration};
/// use wirenet::Wire;
///
/// let server = Wire::mount("127.0.0.1:0").build()?;
/// server.start()?;
/// let addr = server.local_addr().expect("it listens");
///
/// let client = Wire::join(addr.to_string())
///     .stream("greeting", |stream| stream.write_message(b"hello"))
///     .build()?;
/// client.start()?;
///
/// // The server calls into the client.
/// let session = server.wait_session(Duration::from_secs(5))?;
/// let mut stream = session.open_stream("greeting")?;
/// let mut message = Vec::new();
/// io::copy(&mut stream, &mut message)?;
/// assert_eq!(message, b"hello");
/// # Ok::<(), io::Error>(())
/// ```
#[derive(Clone)]
pub struct Wire {
    owner: Arc<Owner>,
}

/// Called with the wire each time that it is up.
pub(super) type ConnectHook = Arc<dyn Fn(&Wire) + Send + Sync>;

/// What all handles of a wire share. Dropping it closes the wire; the wire's own
/// threads keep only the [`WireState`].
struct Owner {
    state: Arc<WireState>,
    run: Arc<dyn Run>,
    on_connect: Option<ConnectHook>,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire")
            .field("local_addr", &self.local_addr())
            .finish_non_exhaustive()
    }
}

impl Owner {
    /// Returns what a wire has to call each time that it is up: it runs the hook on a
    /// pool thread. It does not keep the owner: if the last handle is dropped before the
    /// hook runs, the wire closes and the hook is not called.
    fn connected(self: &Arc<Self>) -> impl FnMut(Option<&Session>) + use<> {
        let (owner, state) = (Arc::downgrade(self), Arc::clone(&self.state));
        let hook = self.on_connect.clone();
        move |session| {
            let Some(hook) = hook.clone() else {
                return;
            };
            let (owner, wire, about) = (owner.clone(), Arc::clone(&state), session.cloned());
            state.submit_hook("on_connect", session, move || {
                if let Some(owner) = owner.upgrade() {
                    wire.run_hook("on_connect", about.as_ref(), || hook(&Wire { owner }));
                }
            });
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        if self.state.threads.include_current() {
            // A handler dropped the last handle, and its stream is still open: a close on
            // the handler's thread would not wait for that stream.
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
fn close_dropped(state: &WireState) {
    // Whoever closed it before got the result.
    let was_closed = state.is_closed();
    if let Err(error) = close_wire(state)
        && !was_closed
    {
        state.report(Operation::Close, ErrorContext::default(), error);
    }
}

impl Wire {
    /// A server, which listens at `addr`: `host:port`, with IPv6 addresses in
    /// brackets; `:port` is on all interfaces, by both versions of IP. Port 0
    /// lets the system choose one, which [`local_addr`](Self::local_addr) tells.
    pub fn mount(addr: impl Into<String>) -> Builder {
        Builder::mount(addr.into())
    }

    /// A hub: a server whose clients call each other through it.
    ///
    /// A client opens a stream by its name, as always. The hub looks for the
    /// client that offers the name, opens the stream there, and then answers
    /// the caller, with the owner's refusal if that refuses. From there on it
    /// passes on what comes: data, the end of a direction as such, a reset as a
    /// reset. What the owner's window has room for is what the caller may send,
    /// so that a slow owner slows its caller, and nobody else. The hub's own
    /// handlers come first.
    ///
    /// **A name has one owner.** A session that offers a name which another one
    /// owns is refused, with [`RefusalCode::NameTaken`](crate::RefusalCode::NameTaken);
    /// unless it comes with the same [identification](Builder::identification),
    /// which is not empty, and a token that the
    /// [validator](Builder::token_validator) accepts: then it is the same client,
    /// which has come back after its connection broke, its old session is ended
    /// and the new one takes over. One that is closing in order loses its names
    /// only, and lets its streams end. **Without a validator the identification alone
    /// decides**: whoever knows it can take the names over. With one, it should
    /// check that the token belongs to the identification.
    ///
    /// While another wants its name, an owner is asked for a sign of life; one
    /// that is silent for a third of the [handshake
    /// timeout](Builder::handshake_timeout), or for the write timeout if that is
    /// less, loses its session; with data under way to it, which a slow link takes
    /// its time for, it has up to the write timeout. A client that does not understand refusal codes, as
    /// those written with go-wirenet, is not refused but waits, for as long as its
    /// handshake may take.
    ///
    /// A name for which the hub has a handler is the hub's: a session that offers
    /// it is refused as well, and a handler that is added while a client owns its
    /// name gets the calls from then on. A name that nobody owns **goes to
    /// whoever offers it**, also while its usual owner is away:
    /// [`Builder::access`] says who may offer what.
    ///
    /// Callers' tokens are checked by the hub and not passed on: an owner's
    /// validator sees the hub's own.
    ///
    /// `addr` is as for [`mount`](Self::mount).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io::Read;
    /// use wirenet::Wire;
    ///
    /// let hub = Wire::hub("127.0.0.1:0").build()?;
    /// hub.start()?;
    /// let addr = hub.local_addr().expect("it listens").to_string();
    ///
    /// let owner = Wire::join(&addr)
    ///     .identification("box-1", "secret")
    ///     .stream("box-1:greeting", |stream| stream.write_message(b"hello"))
    ///     .build()?;
    /// owner.start()?;
    ///
    /// let caller = Wire::join(&addr).build()?;
    /// caller.start()?;
    /// let session = caller.sessions().remove(0);
    /// let mut greeting = String::new();
    /// session.open_stream("box-1:greeting")?.read_to_string(&mut greeting)?;
    /// assert_eq!(greeting, "hello");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn hub(addr: impl Into<String>) -> Builder {
        Builder::hub(addr.into())
    }

    /// A client, which connects to the server or hub at `addr`: `host:port`,
    /// with IPv6 addresses in brackets; `:port` is on this machine. The name is
    /// looked up anew at each try, and all its addresses are tried.
    pub fn join(addr: impl Into<String>) -> Builder {
        Builder::join(addr.into())
    }

    pub(super) fn new(
        state: Arc<WireState>,
        run: Arc<dyn Run>,
        on_connect: Option<ConnectHook>,
    ) -> Self {
        let owner = Arc::new(Owner {
            state,
            run,
            on_connect,
        });
        let handle: Weak<dyn Any + Send + Sync> = Arc::<Owner>::downgrade(&owner);
        // Set here alone, and once.
        let _ = owner.state.handle.set(handle);
        Self { owner }
    }

    #[cfg(all(test, not(shuttle), any(target_os = "linux", target_os = "android")))]
    pub(super) fn state(&self) -> &Arc<WireState> {
        &self.owner.state
    }

    /// Takes the wire up and serves it on this thread. Blocks until the wire is
    /// closed, and that is over: a server accepts clients; a client reads its
    /// session, and dials again when that has ended or could not be had.
    ///
    /// What a client tries again after, the error handler is told.
    ///
    /// # Errors
    ///
    /// [`Error::Listen`]; on a client that gives up, which
    /// [`Builder::retry_policy`] decides, the last error: [`Error::Dial`],
    /// [`Error::SessionRefused`] and the other errors of a handshake,
    /// [`Error::Connection`] when the session broke. [`Error::Closed`] when the
    /// wire was closed before a session stood, and [`Error::AlreadyConnected`]
    /// while it is up. [`Error::Shutdown`] with what a [`close`](Self::close) has
    /// cut, whoever called it. Unless it is closed it may be called again.
    pub fn connect(&self) -> Result<(), Error> {
        let running = self.owner.state.begin()?;
        let mut connected = self.owner.connected();
        let run = || self.owner.run.run(&running.wire, &mut connected);
        let ended = running.wire.threads.track(run)();
        // A close no longer waits for this thread.
        drop(running);
        let closed = self.owner.state.wait_closed();
        ended.map_err(|failure| failure.error)?;
        closed.map_err(Error::from)
    }

    /// Takes the wire up and serves it on a thread of its own. Returns once a
    /// server listens, or once a client's first session stands, however many
    /// tries that takes. How it goes on, the error handler is told.
    ///
    /// # Errors
    ///
    /// Those of [`connect`](Self::connect), up to there, and
    /// [`Error::Thread`].
    pub fn start(&self) -> Result<(), Error> {
        let running = self.owner.state.begin()?;
        let state = Arc::clone(&running.wire);
        let run = Arc::clone(&self.owner.run);
        let mut connected = self.owner.connected();
        let (sender, first_up) = bounded(1);
        let thread = state.options.thread(run.thread_name());
        let work = move || {
            let mut was_up = false;
            let ended = run.run(&running.wire, &mut |session| {
                was_up = true;
                connected(session);
                // Full if it was up before.
                let _ = sender.try_send(Ok(()));
            });
            match ended {
                Ok(()) => {}
                Err(failure) if was_up => failure.report(&running.wire),
                Err(failure) => {
                    drop(running);
                    // Nothing was sent before, so there is room.
                    let _ = sender.try_send(Err(failure.error));
                }
            }
        };
        let spawned = spawn(thread, state.threads.track(work));
        spawned.map_err(|error| Error::Thread(Arc::new(error)))?;
        // The thread always sends before it ends, unless it panics.
        first_up.recv().unwrap_or(Err(Error::Closed))
    }

    /// Ends a client's wait before its next try: for a program that learns that
    /// the network is back. While a try is under way, it ends the wait that comes
    /// after it, should it fail.
    pub fn reconnect_now(&self) {
        self.owner.state.nudge();
    }

    /// Waits until a wire that was [started](Self::start) is up no more: until
    /// it is closed, and that is over, or a client has given up. Returns at once
    /// if it is not up. A close does not wait for the thread that waits here. In an
    /// error handler or a retry policy of a client, whose wire cannot end before that
    /// has returned, it waits for a close alone.
    ///
    /// # Errors
    ///
    /// What a [`close`](Self::close) has cut, whoever called it.
    pub fn wait(&self) -> Result<(), ShutdownError> {
        self.owner.state.wait()
    }

    /// Closes the wire, in order: it stops accepting and dialling; tells every
    /// peer that no new streams are wanted; lets the streams that are open end,
    /// in all sessions side by side, for up to
    /// [`Builder::session_close_timeout`] in all; cuts what is left then, which
    /// wakes every blocked read, write, open and wait; and waits for its threads
    /// to end, which takes no more than a second longer. A handler sees that it
    /// should end by [`Session::is_closing`]. [`connect`](Self::connect) and
    /// [`wait`](Self::wait) return when the close does.
    ///
    /// `Ok` says that the peer of each session that was open has read from its
    /// connection all that was sent on it, so that messages which were finished before
    /// have arrived: a peer that uses this library acknowledges that, and any other
    /// closes its side after it. It does not say that the peer's program has read its
    /// streams.
    ///
    /// When the last handle is dropped, what this would return goes to the error
    /// handler, as [`Operation::Close`]. Where a handler, a hook or a validator drops
    /// it, the wire closes beside it, and lets it end.
    ///
    /// Closing again does no harm, nor does it from a handler, a hook, or a
    /// validator: what runs there is not waited for. From an error handler that
    /// runs on a session's own thread, that session is cut at once. A dial that
    /// looks a name up leaves its thread behind until the system gives up; idle
    /// threads are told to end, and not waited for.
    ///
    /// # Errors
    ///
    /// [`ShutdownError`], listing what was cut, what was not acknowledged in time, and
    /// what runs on. The wire is closed all the same.
    pub fn close(&self) -> Result<(), ShutdownError> {
        close_wire(&self.owner.state)
    }

    /// What the wire has done so far, in numbers: all its sessions together,
    /// those that have ended too.
    pub fn stats(&self) -> Stats {
        self.owner.state.stats()
    }

    /// Serves the streams that the other side opens under `name`, from now on;
    /// a handler that had the name is replaced, and its running streams go on.
    ///
    /// The handler gets the stream, on a thread of the pool. `Ok` closes it
    /// properly, and ends the message that was being sent. An error or a panic
    /// resets it, and the error handler is told.
    ///
    /// The other side learns the names when a session opens: one that is added
    /// later works, and is not in its [`Session::stream_names`] until then. Not
    /// so through a hub, which relays what was offered when the session opened.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] when the name is empty, longer than 255 bytes, or
    /// `confirmSession`, when there are 1,024 handlers, or when their names have
    /// 131,072 bytes together.
    pub fn stream(
        &self,
        name: impl Into<String>,
        handler: impl Fn(&mut Stream) -> io::Result<()> + Send + Sync + 'static,
    ) -> Result<(), Error> {
        let handlers = &self.owner.state.handlers;
        handlers.insert(name.into(), Arc::new(handler))
    }

    /// The sessions that stand now.
    pub fn sessions(&self) -> Vec<Session> {
        self.owner.state.sessions()
    }

    /// The session with this id, if it stands.
    pub fn session(&self, id: SessionId) -> Option<Session> {
        self.owner.state.session(id)
    }

    /// Waits until there is a session, and gives one; on a client, the one.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`]; [`Error::Closed`] when the wire is closed
    /// meanwhile.
    pub fn wait_session(&self, timeout: Duration) -> Result<Session, Error> {
        self.owner.state.wait_session(timeout)
    }

    /// Where a server listens, or from where a client is connected; `None`
    /// before.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.owner.state.local_addr()
    }
}

impl Session {
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
        let owner = self.wire_handle()?.downcast().ok()?;
        Some(Wire { owner })
    }
}
