//! The setting of options; what each defaults to, and why, stands with its
//! setter.

#[cfg(doc)]
use crate::{RefusalCode, yamux};
use crate::{
    error::{Denied, Error, OpError},
    wire::{
        handle::{ConnectHook, Wire},
        run::{
            Run,
            addr::Addr,
            client::Client,
            connect,
            inbound::{find_handler, find_owner},
            server::Server,
        },
        session::{session::Session, stream::Stream},
        state::{
            access::Request,
            handlers::{Handler, Handlers},
            lookup::Find,
            options::Options,
            retry::Retry,
            wire_state::WireState,
        },
    },
};
use std::{fmt, io, sync::Arc, time::Duration};

/// Sets up a [`Wire`]; made by [`Wire::mount`], [`Wire::hub`] or
/// [`Wire::join`]. Each option has a default that suits most.
#[must_use]
pub struct Builder {
    side: Side,
    addr: String,
    handlers: Vec<(String, Handler)>,
    on_connect: Option<ConnectHook>,
    options: Options,
}

/// What is different between a server, a hub and a client. With functions, so
/// that a program which only dials has nothing in it of what accepts.
#[derive(Clone, Copy, Debug)]
struct Side {
    /// The function that made the builder.
    name: &'static str,
    is_hub: bool,
    find: Find,
    #[cfg_attr(not(feature = "tls"), expect(dead_code))]
    is_client: bool,
    run: fn(Addr) -> Arc<dyn Run>,
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("side", &self.side.name)
            .field("addr", &self.addr)
            .finish_non_exhaustive()
    }
}

impl Builder {
    pub(super) fn mount(addr: String) -> Self {
        let side = Side {
            name: "mount",
            is_hub: false,
            find: find_handler,
            is_client: false,
            run: |addr| Arc::new(Server::new(addr)),
        };
        Self::new(side, addr)
    }

    pub(super) fn hub(addr: String) -> Self {
        let side = Side {
            name: "hub",
            is_hub: true,
            find: find_owner,
            is_client: false,
            run: |addr| Arc::new(Server::new(addr)),
        };
        Self::new(side, addr)
    }

    pub(super) fn join(addr: String) -> Self {
        let side = Side {
            name: "join",
            is_hub: false,
            find: find_handler,
            is_client: true,
            run: |addr| Arc::new(Client::new(addr)),
        };
        Self::new(side, addr)
    }

    fn new(side: Side, addr: String) -> Self {
        Self {
            side,
            addr,
            handlers: Vec::new(),
            on_connect: None,
            options: Options::default(),
        }
    }

    /// Serves the streams that the other side opens under `name`. Of two
    /// handlers of one name the later counts. See [`Wire::stream`].
    ///
    /// A handler reaches its wire by [`Session::wire`]; one that captures a
    /// [`Wire`] keeps it running forever.
    pub fn stream(
        mut self,
        name: impl Into<String>,
        handler: impl Fn(&mut Stream) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        self.handlers.push((name.into(), Arc::new(handler)));
        self
    }

    /// What this side calls itself, and the token that it shows when it opens
    /// a session or a stream: any bytes, up to 4,096 each. Default: none.
    pub fn identification(mut self, id: impl Into<Vec<u8>>, token: impl Into<Vec<u8>>) -> Self {
        self.options.identification = id.into();
        self.options.token = token.into();
        self
    }

    /// Has every connection use TLS: a [`TlsServer`](crate::TlsServer) for a
    /// server or a hub, a [`TlsClient`](crate::TlsClient) for a client, or one
    /// of rustls's own configurations. Its handshake is a part of the
    /// session's, under one [`handshake_timeout`](Self::handshake_timeout).
    /// Default: none, so that everyone on the way can read and change all,
    /// tokens too.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, config: impl Into<crate::TlsConfig>) -> Self {
        self.options.tls = Some(config.into());
        self
    }

    /// Checks the token of every session that a client opens, under the name
    /// `confirmSession`, and of every stream that the other side opens. It
    /// gets the stream's name, the client's identification and the token; the
    /// text of its error is the refusal that the other side gets. Default:
    /// everyone is let in.
    ///
    /// A client whose session is refused gives up, with
    /// [`RefusalCode::TokenRefused`]; unless the validator says
    /// [`Denied::for_now`], as where its database is away: then it tries again,
    /// with [`RefusalCode::TryLater`].
    ///
    /// [`same_token`](crate::same_token) compares a token with what it should be
    /// without telling by the time it takes where they differ.
    ///
    /// Runs on the session's thread or a handler's; a panic refuses for now, and
    /// is reported. While it runs
    /// for a session, it has one of the [places](Self::max_handshakes); if it takes
    /// longer than the [handshake timeout](Self::handshake_timeout), there is none.
    pub fn token_validator(
        mut self,
        validator: impl Fn(&str, &[u8], &[u8]) -> Result<(), Denied> + Send + Sync + 'static,
    ) -> Self {
        self.options.validator = Some(Box::new(validator));
        self
    }

    /// Decides whether a client's [`Request`] is granted, on a server or a hub; an
    /// error refuses it. Default: every request of a client that the
    /// [validator](Self::token_validator) accepts is granted.
    ///
    /// For now it is asked of each stream name that a client offers, when its
    /// session opens: after the validator has accepted its token, and before it
    /// has any of them. One name that is denied refuses the session, with
    /// [`RefusalCode::NameNotAllowed`], which is final for a client of which no
    /// session has been established before; any other tries again, after its
    /// longest wait, lest one mistake here loses clients for good.
    /// [`Denied::for_now`] refuses for now, with [`RefusalCode::TryLater`], as does
    /// a panic, which is reported.
    ///
    /// A hub that is more than a private one needs this: a name that nobody owns
    /// just now, because its client is away, is everybody's else.
    ///
    /// Runs where the validator does, and as that does.
    ///
    /// # Examples
    ///
    /// ```
    /// use wirenet::{Request, Wire, same_token};
    ///
    /// // The validator binds identifications to tokens. A client has the names
    /// // that begin with its own.
    /// let hub = Wire::hub("127.0.0.1:0")
    ///     .token_validator(|_stream, id, token| match id {
    ///         b"box-1" if same_token(token, "secret 1") => Ok(()),
    ///         b"box-2" if same_token(token, "secret 2") => Ok(()),
    ///         _ => Err("wrong token".into()),
    ///     })
    ///     .access(|request| match request {
    ///         Request::Offer { who, name } => {
    ///             let own = name.split_once(':').is_some_and(|(whose, _)| {
    ///                 whose.as_bytes() == who.identification()
    ///             });
    ///             own.then_some(()).ok_or("not yours".into())
    ///         }
    ///         _ => Err("not known here".into()),
    ///     });
    /// # hub.build()?;
    /// # Ok::<(), wirenet::Error>(())
    /// ```
    pub fn access(
        mut self,
        access: impl Fn(&Request<'_>) -> Result<(), Denied> + Send + Sync + 'static,
    ) -> Self {
        self.options.access = Some(Box::new(access));
        self
    }

    /// Called each time the wire is up: when a server or a hub listens, and when
    /// a client's session stands, which may be again and again. Gets the wire,
    /// which it may close, or clone; a clone that is kept keeps the wire from
    /// closing by itself. Runs on a thread of the pool, beside the wire; a
    /// panic is caught and reported.
    pub fn on_connect(mut self, hook: impl Fn(&Wire) + Send + Sync + 'static) -> Self {
        self.on_connect = Some(Arc::new(hook));
        self
    }

    /// Called once for each session, when it stands. Runs on a thread of the
    /// pool, beside the session: it may open streams on it, wait, or close it.
    /// A session that ends meanwhile counts towards
    /// [`max_sessions`](Self::max_sessions) until it returns. A panic is caught
    /// and reported.
    pub fn on_session_open(mut self, hook: impl Fn(&Session) + Send + Sync + 'static) -> Self {
        self.options.on_session_open = Some(Arc::new(hook));
        self
    }

    /// Called once for each session that had stood, when it has ended and the
    /// other hook has returned. Runs on a thread of the pool; until it returns
    /// the session counts towards [`max_sessions`](Self::max_sessions). A panic
    /// is caught and reported.
    pub fn on_session_close(mut self, hook: impl Fn(&Session) + Send + Sync + 'static) -> Self {
        self.options.on_session_close = Some(Arc::new(hook));
        self
    }

    /// Called with every error that no caller gets. Default: they are logged
    /// as warnings. Runs where the error came
    /// up, which may be the thread that reads a session: it must not wait for
    /// that session. A panic is caught.
    ///
    /// Of connections that do not become sessions of a server or a hub it is
    /// told on a thread of the pool, of one after the other. What it takes for
    /// that keeps nobody from being let in: if 256 of them wait for it, the next
    /// is logged instead. Where no thread can be had they wait for the next error.
    pub fn on_error(mut self, handler: impl Fn(&OpError) + Send + Sync + 'static) -> Self {
        self.options.on_error = Some(Box::new(handler));
        self
    }

    /// Handlers that run at once, over all sessions: 1,024. Each takes a
    /// thread for as long as it runs. Past the limit a stream is refused with
    /// an error that says so; it is never queued behind handlers that may wait
    /// for it.
    ///
    /// No session takes all: where there are others, one gets a further handler
    /// only while more are free than it has. So a session has up to half of them,
    /// and each that joins it in taking what it can get leaves half of what was
    /// left: eleven take all of 1,024.
    ///
    /// On a hub, a call counts until its owner has answered. One owner may leave
    /// a quarter of the limit unanswered, and all owners together seven eighths.
    pub fn handler_limit(mut self, count: usize) -> Self {
        self.options.handler_limit = count;
        self
    }

    /// The stack in bytes of each thread that runs code of the user's: handlers,
    /// hooks, validators, the error handler, the retry policy; but not of the
    /// thread that calls [`Wire::connect`]. Default: the standard library's, 2 MiB,
    /// of which only what is used takes memory. A session's own thread has 256 KiB
    /// at least.
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.options.stack_size = Some(bytes);
        self
    }

    /// What the names of the threads begin with, for debuggers and `top`:
    /// `wirenet`, as in `wirenet-handler`. Linux shows 15 bytes.
    pub fn thread_name(mut self, prefix: impl Into<String>) -> Self {
        self.options.thread_name = prefix.into();
        self
    }

    /// Sessions that a server or a hub has at once: 12,288. One more is refused,
    /// with [`RefusalCode::TooManySessions`]; or waits, if it is a client of
    /// go-wirenet's, which would not come again.
    ///
    /// One that has ended counts until its hooks have returned, and the error
    /// handler if it is told of the end: each of them takes a thread. So a client
    /// that comes and goes cannot have more of them run than there may be
    /// sessions; nor can a hook wait for a new session for which there is no
    /// place but that of its own.
    ///
    /// Each takes a thread, and a thread four memory maps, of which Linux lets a
    /// process have 65,530 unless `vm.max_map_count` says otherwise. The wires of
    /// a process stop at fifteen sixteenths of them, which is 15,358 threads:
    /// sessions, handlers, and one for each connection that is full. From there
    /// on a connection is closed, or a stream reset, and the error handler told.
    /// A connection takes a file descriptor, too.
    pub fn max_sessions(mut self, count: usize) -> Self {
        self.options.max_sessions = count;
        self
    }

    /// Connections at once on which a session is being opened, TLS included:
    /// 64. So many strangers who say nothing can a server or a hub have, each
    /// for the handshake timeout; the next one is closed at once. A client
    /// whose turn has not come tries again.
    ///
    /// One address cannot keep the others out: while all places are taken, a
    /// newcomer takes the oldest place of the address that has most, if that is
    /// then left with no fewer than the newcomer's. The connection that gives
    /// way is closed, and the error handler told. While there is room, one
    /// address may have all places, as that of a NAT box. Of IPv6 addresses,
    /// those of one /64 count as one.
    ///
    /// Clients that wait for a name or for room, as go-wirenet's do, have as many
    /// places again, which are shared out alike: they keep nobody out.
    ///
    /// Before its session stands, a client may open the one stream on which it
    /// asks, and send 1,024 frames; more ends the connection.
    pub fn max_handshakes(mut self, count: usize) -> Self {
        self.options.max_handshakes = count;
        self
    }

    /// Stream names that a client may offer in one session: 1,024. A hub keeps
    /// them for as long as the session stands. Past that the session is
    /// refused, with [`RefusalCode::Malformed`].
    ///
    /// The protocol's own limits are not options: a name has up to 255 bytes,
    /// as a path's component, an identification and a token up to 4,096, which
    /// holds any usual certificate or signed token, and what opens a session
    /// 256 KiB in all. Nothing is held for what a header merely announces.
    pub fn max_names(mut self, count: usize) -> Self {
        self.options.max_names = count;
        self
    }

    /// How long a client waits for its server's name to be resolved, and then
    /// for each of the addresses to answer: 10 s.
    pub fn dial_timeout(mut self, timeout: Duration) -> Self {
        self.options.dial_timeout = timeout;
        self
    }

    /// How long the opening of a session, or of a stream, may take in all:
    /// 10 s. Longer, and who says nothing holds a connection; shorter, and
    /// links with long round trips cannot be used.
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.options.handshake_timeout = timeout;
        self
    }

    /// How long a [close](Wire::close) lets running streams end: 5 s. Zero cuts
    /// them at once.
    pub fn session_close_timeout(mut self, timeout: Duration) -> Self {
        self.options.session_close_timeout = timeout;
        self
    }

    /// How long reads and writes may wait; default: `None` and 10 s.
    ///
    /// `read` is what [`Stream::set_read_timeout`] is for each new stream.
    /// `write` is for the connection: one on which nothing can be written for so
    /// long is dead, and ends, for those who read from it too. An answer to a
    /// ping is waited for as long. At most a day.
    pub fn read_write_timeouts(mut self, read: Option<Duration>, write: Duration) -> Self {
        self.options.read_timeout = read;
        self.options.write_timeout = write;
        self
    }

    /// Whether a message may end with its stream, without an end mark; see
    /// [`Stream::set_takes_unmarked_end`], which this is for each new stream.
    /// Default: `false`, so that a message without an end mark is an error.
    pub fn takes_unmarked_end(mut self, takes: bool) -> Self {
        self.options.takes_unmarked_end = takes;
        self
    }

    /// Whether to ping a peer from which nothing has come for a while: `true`.
    /// One that does not answer within the write timeout is gone, and its
    /// session ends. Without it, a dead NAT entry is noticed only by the next
    /// write.
    pub fn keep_alive(mut self, on: bool) -> Self {
        self.options.keep_alive = on;
        self
    }

    /// After how long without a byte from the peer to ping it: 15 s, which
    /// keeps the entries of common NAT boxes alive. From 1 ms to a day.
    pub fn keep_alive_interval(mut self, interval: Duration) -> Self {
        self.options.keep_alive_interval = interval;
        self
    }

    /// How long a client waits before it tries again: 5 s and 60 s. After the
    /// failure number *n* in a row it is a random time up to `min` · 2ⁿ⁻¹, and
    /// up to `max`. A session that has lived for `max` is no failure: counting
    /// starts over.
    pub fn retry_wait(mut self, min: Duration, max: Duration) -> Self {
        self.options.retrying.min = min;
        self.options.retrying.max = max;
        self
    }

    /// How often in a row a client tries again; `None`, the default, is
    /// without end, and 0 never: the wire ends with its first session.
    pub fn retry_max(mut self, count: impl Into<Option<u32>>) -> Self {
        self.options.retrying.limit = count.into();
        self
    }

    /// Decides whether and when a client tries again: gets what has failed, and
    /// gives the wait before the next try, or `None` to give up. Default: what
    /// [`Retry::wait`] says, which gives up at once where
    /// [`Error::is_permanent`]; but once a session has stood, neither for a failure
    /// of TLS, which anybody on the way can bring about, nor for
    /// [`RefusalCode::NameNotAllowed`].
    ///
    /// Runs on the thread that serves the session. A panic is caught and
    /// reported, and the default holds.
    pub fn retry_policy(
        mut self,
        policy: impl Fn(&Retry<'_>) -> Option<Duration> + Send + Sync + 'static,
    ) -> Self {
        self.options.retrying.policy = Some(Box::new(policy));
        self
    }

    /// Streams that the other side may have open at once in a session, and that
    /// are served: 512. Each may make this side buffer a window of 262,144 bytes.
    ///
    /// Up to 256 more wait until others have ended, the oldest first, and are not
    /// acknowledged before. That is as many as a Go peer, or one of ours, opens
    /// without an acknowledgement, so such a peer waits rather than fail, however
    /// many it wants to open. One that waits takes its window from
    /// [`window_budget`](Self::window_budget); one for which that has no room is
    /// reset.
    ///
    /// One counts until both sides have ended it. One that the other side
    /// leaves half open when its handler has ended holds nothing more than its
    /// place, and loses that to the next stream after the write timeout; see
    /// [`yamux::Config::max_streams`] for those that this side opens.
    pub fn max_streams(mut self, count: usize) -> Self {
        self.options.max_streams = count;
        self
    }

    /// Bytes up to which a stream's receive window grows; see
    /// [`yamux::Config::max_window`]: 16 MiB, and 2 GiB at most.
    pub fn max_window(mut self, bytes: u32) -> Self {
        self.options.max_window = Some(bytes);
        self
    }

    /// Bytes by which the receive windows of a session may grow together; see
    /// [`yamux::Config::window_budget`]: 64 MiB. Small for boxes with little
    /// memory.
    pub fn window_budget(mut self, bytes: usize) -> Self {
        self.options.window_budget = Some(bytes);
        self
    }

    /// The kernel's send buffer for each connection (`SO_SNDBUF`) in bytes.
    /// Default: the kernel sees to it itself, which is best on most links.
    pub fn send_buffer(mut self, bytes: usize) -> Self {
        self.options.send_buffer = Some(bytes);
        self
    }

    /// The kernel's receive buffer for each connection (`SO_RCVBUF`) in bytes.
    /// Default: the kernel sees to it itself, which is best on most links.
    pub fn recv_buffer(mut self, bytes: usize) -> Self {
        self.options.recv_buffer = Some(bytes);
        self
    }

    /// Makes the wire. Nothing is dialled or listened at yet.
    ///
    /// # Errors
    ///
    /// [`Error::Option`], naming the option whose value cannot be.
    pub fn build(self) -> Result<Wire, Error> {
        self.options.check()?;
        #[cfg(feature = "tls")]
        connect::check(&self.options, self.side.is_client)?;
        let handlers = Handlers::default();
        for (name, handler) in self.handlers {
            handlers.insert(name, handler)?;
        }
        let addr = Addr::parse(self.side.name, self.addr)?;
        let state = WireState::new(self.options, handlers, self.side.is_hub, self.side.find);
        Ok(Wire::new(state, (self.side.run)(addr), self.on_connect))
    }
}
