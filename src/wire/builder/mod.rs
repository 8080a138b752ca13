//! The options of a wire. [`Builder`] and the table of options are here; the methods are
//! in one file for each group, in the order of the documentation.

// The documentation shows the methods in this order. The empty lines keep rustfmt from
// sorting the modules.
mod access;

mod handlers;

#[cfg(feature = "tls")]
mod tls;

mod retry;

mod timeouts;

mod limits;

mod buffers;

mod address;

pub use address::Address;

use crate::{
    error::Error,
    wire::{
        handle::{ConnectHook, Wire},
        run::{
            Runner,
            addr::Addr,
            client::Client,
            inbound::{find_handler, find_owner},
            server::Server,
        },
        session::session::Session,
        state::{
            admitted::Find,
            handlers::{Handler, Handlers},
            options::{NewSessionEvents, Options},
            registry::Registry,
            wire_state::WireState,
        },
    },
    yamux::Role,
};
use std::{fmt, sync::Arc};

/// Sets the options of a [`Wire`], and creates it.
///
/// A builder comes from [`Wire::mount`] (a server), [`Wire::hub`] (a hub) or
/// [`Wire::join`] (a client). Every option has a default that suits most programs. All
/// options can be set on each kind of wire; those that a kind does not need have no
/// effect. [`build`](Self::build) checks the values.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use wirenet::Wire;
///
/// let client = Wire::join("hub.example:8989")
///     .identification("box-1", "secret")
///     .stream("greeting", |stream| stream.write_message(b"hello"))
///     .retry_wait(Duration::from_secs(1), Duration::from_secs(30))
///     .build()?;
/// # let _ = client;
/// # Ok::<(), wirenet::Error>(())
/// ```
///
/// # Options
///
/// | option | default | what it sets |
/// |---|---|---|
/// | [`identification(id, token)`](Self::identification) | none | the name and the token that this wire sends to its peers; any bytes, up to 4,096 each |
/// | [`token_validator(f)`](Self::token_validator) | accepts all | called for each session (with the stream name `confirmSession`) and for each stream; its error is the refusal, which is permanent unless it is [`Denied::for_now`](crate::Denied::for_now); a panic refuses for now |
/// | [`access(f)`](Self::access) | grants all | called for each stream name that a client offers to a server or hub, after its token was accepted; without it, a name without an owner goes to any client that offers it |
/// | [`stream(name, handler)`](Self::stream) | none | serves the streams of this name; [`Wire::stream`] adds handlers later |
/// | [`on_connect(f)`](Self::on_connect) | none | called each time the wire is up |
/// | [`on_session_open(f)`](Self::on_session_open), [`on_session_close(f)`](Self::on_session_close) | none | called once for each established session, in this order |
/// | [`on_error(f)`](Self::on_error) | logs a warning | called for each error that no call can return, with an [`OpError`](crate::OpError) |
#[cfg_attr(
    feature = "tls",
    doc = "| [`tls(config)`](Self::tls) | none | a [`TlsServer`](crate::TlsServer) or a [`TlsClient`](crate::TlsClient); with the feature `tls`, which is on by default |"
)]
#[cfg_attr(
    not(feature = "tls"),
    doc = "| `tls(config)` | none | a `TlsServer` or a `TlsClient`; with the feature `tls`, which is on by default |"
)]
/// | [`retry_wait(min, max)`](Self::retry_wait) | 5 s, 60 s | bounds of the wait before a retry, which doubles with each failure in a row and is then randomized |
/// | [`retry_max(n)`](Self::retry_max) | no limit | retries in a row; 0 is none |
/// | [`retry_policy(f)`](Self::retry_policy) | gives up on permanent errors | decides whether and when a client retries |
/// | [`dial_timeout(t)`](Self::dial_timeout) | 10 s | for resolving the name, and for connecting to each of its addresses |
/// | [`handshake_timeout(t)`](Self::handshake_timeout) | 10 s | for TLS and the opening of the session together; for the opening of each stream |
/// | [`read_write_timeouts(read, write)`](Self::read_write_timeouts) | none, 10 s | `read` is for each stream's reads; `write` is how long a connection may accept no data |
/// | [`session_close_timeout(t)`](Self::session_close_timeout) | 5 s | how long a close waits for running streams to end |
/// | [`keep_alive(on)`](Self::keep_alive), [`keep_alive_interval(t)`](Self::keep_alive_interval) | on, 15 s | pings a peer that has been silent for this long; without an answer within the write timeout, the session ends |
/// | [`takes_unmarked_end(on)`](Self::takes_unmarked_end) | off | whether a message may end with its stream, without an end mark, as some go-wirenet handlers send messages |
/// | [`max_sessions(n)`](Self::max_sessions) | 12,288 | sessions of a server or hub; each takes a thread |
/// | [`max_handshakes(n)`](Self::max_handshakes) | 64 | connections that are not authenticated yet; one address cannot block the others |
/// | [`max_names(n)`](Self::max_names) | 1,024 | stream names that a client may offer |
/// | [`max_streams(n)`](Self::max_streams) | 512 | streams of a session that the peer may have open and served; up to 256 more wait |
/// | [`handler_limit(n)`](Self::handler_limit) | 1,024 | handlers that run at the same time, each on a thread; while there are other sessions, one session gets at most half |
/// | [`max_window(n)`](Self::max_window) | 16 MiB | the size up to which a stream's receive window grows |
/// | [`window_budget(n)`](Self::window_budget) | 64 MiB | the bytes by which all windows of a session may grow |
/// | [`send_buffer(n)`](Self::send_buffer), [`recv_buffer(n)`](Self::recv_buffer) | the kernel's | the kernel's buffers of each socket |
/// | [`stack_size(n)`](Self::stack_size) | 2 MiB | the stack of each thread that runs the program's code; only the part in use takes memory |
/// | [`thread_name(s)`](Self::thread_name) | `wirenet` | the prefix of the threads' names |
///
/// ## Identity and access
///
/// [`identification`](Self::identification), [`token_validator`](Self::token_validator)
/// and [`access`](Self::access): the identity of a wire, which peers it accepts, and
/// what they may do.
///
/// ## Handlers and hooks
///
/// [`stream`](Self::stream), [`on_connect`](Self::on_connect),
/// [`on_session_open`](Self::on_session_open),
/// [`on_session_close`](Self::on_session_close) and [`on_error`](Self::on_error): the
/// program's code that a wire calls.
///
/// ## TLS
///
#[cfg_attr(feature = "tls", doc = "[`tls`](Self::tls):")]
#[cfg_attr(not(feature = "tls"), doc = "`tls`:")]
/// encryption, and how peers prove their identity. Needs the feature `tls`, which is on
/// by default.
///
/// ## Reconnecting
///
/// [`retry_wait`](Self::retry_wait), [`retry_max`](Self::retry_max) and
/// [`retry_policy`](Self::retry_policy): when a client connects again after a failure.
///
/// ## Timeouts and liveness
///
/// [`dial_timeout`](Self::dial_timeout), [`handshake_timeout`](Self::handshake_timeout),
/// [`read_write_timeouts`](Self::read_write_timeouts),
/// [`session_close_timeout`](Self::session_close_timeout),
/// [`keep_alive`](Self::keep_alive),
/// [`keep_alive_interval`](Self::keep_alive_interval) and
/// [`takes_unmarked_end`](Self::takes_unmarked_end): how long to wait for a peer, and
/// how to detect that it is gone.
///
/// ## Limits
///
/// [`max_sessions`](Self::max_sessions), [`max_handshakes`](Self::max_handshakes),
/// [`max_names`](Self::max_names), [`max_streams`](Self::max_streams) and
/// [`handler_limit`](Self::handler_limit): what peers may use at the same time.
///
/// The protocol's own limits are not options: a stream's name has up to 255 bytes, like
/// a component of a path; an identification and a token have up to 4,096 bytes each,
/// which is enough for any usual certificate or signed token; a request for a session
/// has up to 256 KiB in all. No memory is reserved for a length that a header merely
/// announces.
///
/// ## Buffers and threads
///
/// [`max_window`](Self::max_window), [`window_budget`](Self::window_budget),
/// [`send_buffer`](Self::send_buffer), [`recv_buffer`](Self::recv_buffer),
/// [`stack_size`](Self::stack_size) and [`thread_name`](Self::thread_name): memory and
/// threads.
///
/// # On machines with little memory
///
/// `window_budget(0)` keeps each receive window at 262,144 bytes;
/// [`max_streams`](Self::max_streams) bounds how many windows there are;
/// [`handler_limit`](Self::handler_limit) bounds the threads, and
/// [`stack_size`](Self::stack_size) their stacks; [`send_buffer`](Self::send_buffer) and
/// [`recv_buffer`](Self::recv_buffer) bound the kernel's part.
#[must_use]
pub struct Builder {
    kind: WireKind,
    addr: Address,
    handlers: Vec<(String, Handler)>,
    on_connect: Option<ConnectHook>,
    /// What runs the hooks of sessions, if there are any.
    hooks: Option<NewSessionEvents<WireState>>,
    options: Options,
}

/// The differences between servers, hubs and clients, as function pointers, so that a
/// program that only dials does not link the code that accepts.
#[derive(Clone, Copy, Debug)]
struct WireKind {
    /// The name of the function that creates the builder.
    name: &'static str,
    role: Role,
    registry: fn(usize) -> Registry<Session>,
    find: Find,
    run: fn(Addr) -> Arc<dyn Runner>,
}

const SERVER: WireKind = WireKind {
    name: "mount",
    role: Role::Server,
    registry: Registry::of_server,
    find: find_handler,
    run: |addr| Arc::new(Server::new(addr)),
};

const HUB: WireKind = WireKind {
    name: "hub",
    role: Role::Server,
    registry: Registry::of_hub,
    find: find_owner,
    run: |addr| Arc::new(Server::new(addr)),
};

const CLIENT: WireKind = WireKind {
    name: "join",
    role: Role::Client,
    registry: Registry::of_client,
    find: find_handler,
    run: |addr| Arc::new(Client::new(addr)),
};

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("kind", &self.kind.name)
            .field("addr", &self.addr.to_string())
            .finish_non_exhaustive()
    }
}

impl Builder {
    pub(super) fn mount(addr: Address) -> Self {
        Self::new(SERVER, addr)
    }

    pub(super) fn hub(addr: Address) -> Self {
        Self::new(HUB, addr)
    }

    pub(super) fn join(addr: Address) -> Self {
        Self::new(CLIENT, addr)
    }

    fn new(kind: WireKind, addr: Address) -> Self {
        Self {
            kind,
            addr,
            handlers: Vec::new(),
            on_connect: None,
            hooks: None,
            options: Options::default(),
        }
    }

    /// Creates the wire. Neither listens nor connects: see [`Wire::start`] and
    /// [`Wire::connect`].
    ///
    /// # Errors
    ///
    /// [`Error::Option`] for an address or an option with an invalid value; the error
    /// names the option and explains what is wrong with the value.
    ///
    /// # Examples
    ///
    /// ```
    /// use wirenet::{Error, Wire};
    ///
    /// let wire = Wire::join("hub.example:8989").build()?;
    /// assert_eq!(wire.local_addr(), None);
    ///
    /// // The port is missing.
    /// let error = Wire::join("hub.example").build().unwrap_err();
    /// assert!(matches!(error, Error::Option { option: "join", .. }));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn build(self) -> Result<Wire, Error> {
        self.options.check()?;
        #[cfg(feature = "tls")]
        crate::wire::run::connect::check(&self.options, self.kind.role)?;
        let handlers = Handlers::default();
        for (name, handler) in self.handlers {
            handlers.insert(name, handler)?;
        }
        let addr = Addr::parse(self.kind.name, self.kind.role, self.addr.into_text())?;
        let state = WireState::new(
            self.options,
            handlers,
            self.kind.registry,
            self.kind.find,
            self.hooks,
        );
        Ok(Wire::new(state, (self.kind.run)(addr), self.on_connect))
    }
}
