//! [`Wire`], the handle of a wire that a program holds: what it owns, and how it is
//! created. The other methods are in one file for each group, in the order of the
//! documentation.

// The documentation shows the methods in this order. The empty lines keep rustfmt from
// sorting the modules.
mod running;

mod streams;

mod sessions;

use super::{
    builder::{Address, Builder},
    run::{Runner, close::close_wire},
    session::session::Session,
    state::{error_context::ErrorContext, wire_state::WireState},
};
use crate::error::Operation;
use std::{
    any::Any,
    fmt,
    sync::{Arc, Weak},
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
/// let client = Wire::join(addr)
///     .stream("greeting", |stream| stream.write_message(b"hello"))
///     .build()?;
/// client.start_within(Duration::from_secs(5))?;
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

/// Runs a hook on a pool thread. The last argument is the session of a client.
type Starter = dyn Fn(Weak<WireInner>, &Arc<WireState>, Option<&Session>) + Send + Sync;

/// A hook that is called with the wire each time the wire is up.
#[derive(Clone)]
pub(super) struct ConnectHook(Arc<Starter>);

impl ConnectHook {
    /// The handles are not kept alive: if the last one is dropped before the hook runs, the
    /// wire closes and the hook is not called.
    pub(super) fn new(hook: impl Fn(&Wire) + Send + Sync + 'static) -> Self {
        let hook = Arc::new(hook);
        Self(Arc::new(move |inner, state, session| {
            let (hook, wire, about) = (Arc::clone(&hook), Arc::clone(state), session.cloned());
            state.submit_hook("on_connect", session, move || {
                if let Some(inner) = inner.upgrade() {
                    wire.run_hook("on_connect", about.as_ref(), || hook(&Wire { inner }));
                }
            });
        }))
    }
}

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
    /// Returns the closure that a wire calls each time it is up.
    fn connected(self: &Arc<Self>) -> impl FnMut(Option<&Session>) + use<> {
        let (inner, state) = (Arc::downgrade(self), Arc::clone(&self.state));
        let hook = self.on_connect.clone();
        move |session| {
            if let Some(ConnectHook(start)) = &hook {
                start(inner.clone(), &state, session);
            }
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
            let submitted = self.state.pool.submit(move || close_unasked(&state));
            if submitted.is_ok() {
                return;
            }
        }
        close_unasked(&self.state);
    }
}

/// Closes a wire for a caller that cannot return the error.
fn close_unasked(state: &Arc<WireState>) {
    // An earlier close has returned the error to its caller.
    let was_closed = state.is_closing();
    if let Err(error) = close_wire(state)
        && !was_closed
    {
        let error = ErrorContext::default().error(Operation::Close, error.into());
        state.report_last(error);
    }
}

impl Wire {
    /// Returns a builder for a server, which listens at `addr`.
    ///
    /// `addr` is text (`host:port`, with IPv6 addresses in brackets), a
    /// [`SocketAddr`](std::net::SocketAddr), or a host and a port; see [`Address`]. `:port`
    /// listens on all interfaces, with both versions of IP. With port 0 the system chooses
    /// a port; see [`local_addr`](Self::local_addr).
    ///
    /// A name is looked up when the wire starts, and the first of its addresses that works
    /// is used. So `localhost:8989` listens at `127.0.0.1` or at `::1`, not at both. Clients
    /// that dial `localhost:8989` reach either, because they try all addresses.
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
    pub fn mount(addr: impl Into<Address>) -> Builder {
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
    /// let addr = hub.local_addr().expect("the hub listens");
    ///
    /// let owner = Wire::join(addr)
    ///     .identification("box-1", "secret")
    ///     .stream("box-1:greeting", |stream| stream.write_message(b"hello"))
    ///     .build()?;
    /// owner.start_within(Duration::from_secs(5))?;
    ///
    /// let caller = Wire::join(addr).build()?;
    /// let session = caller.start_within(Duration::from_secs(5))?;
    /// let mut greeting = String::new();
    /// session.open_stream("box-1:greeting")?.read_to_string(&mut greeting)?;
    /// assert_eq!(greeting, "hello");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias("broker", "proxy", "relay", "router"))]
    pub fn hub(addr: impl Into<Address>) -> Builder {
        Builder::hub(addr.into())
    }

    /// Returns a builder for a client, which connects to the server or hub at `addr`.
    ///
    /// `addr` is text (`host:port`, with IPv6 addresses in brackets), a
    /// [`SocketAddr`](std::net::SocketAddr), or a host and a port; see [`Address`]. `:port`
    /// is a port of this machine. A name is resolved anew for each attempt, and all its
    /// addresses are tried.
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
    /// # let addr = server.local_addr().expect("the server listens");
    /// let client = Wire::join(addr).build()?;
    /// let session = client.start_within(Duration::from_secs(5))?;
    /// let mut greeting = String::new();
    /// session.open_stream("greeting")?.read_to_string(&mut greeting)?;
    /// assert_eq!(greeting, "hello");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias("client", "connect", "dial"))]
    pub fn join(addr: impl Into<Address>) -> Builder {
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
}
