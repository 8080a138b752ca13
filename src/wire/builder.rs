//! Every option, its default, and why.

use super::{
    Wire,
    client::Client,
    frame,
    handlers::{Handler, Handlers},
    server::Server,
    session::Session,
    shared::Shared,
    stream::Stream,
};
use crate::{
    error::{Error, OpError},
    yamux,
};
use std::{
    fmt, io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

type Validator = Box<dyn Fn(&str, &[u8], &[u8]) -> Result<(), String> + Send + Sync>;
/// Shared with the thread that runs it.
pub(super) type SessionHook = Arc<dyn Fn(&Session) + Send + Sync>;
type ErrorHandler = Box<dyn Fn(&OpError) + Send + Sync>;

/// Sets up a [`Wire`]; made by [`Wire::mount`] or [`Wire::join`]. Each option
/// has a default that suits most.
#[must_use]
pub struct Builder {
    side: Side,
    handlers: Vec<(String, Handler)>,
    options: Options,
}

#[derive(Debug)]
enum Side {
    Mount(String),
    Join(String),
}

/// What the builder has gathered.
pub(super) struct Options {
    pub(super) identification: Vec<u8>,
    pub(super) token: Vec<u8>,
    validator: Option<Validator>,
    pub(super) on_session_open: Option<SessionHook>,
    pub(super) on_session_close: Option<SessionHook>,
    pub(super) on_error: Option<ErrorHandler>,
    pub(super) handler_limit: usize,
    pub(super) stack_size: Option<usize>,
    pub(super) thread_name: String,
    pub(super) handshake_timeout: Duration,
    pub(super) send_buffer: Option<usize>,
    pub(super) recv_buffer: Option<usize>,
    pub(super) yamux: yamux::Config,
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("side", &self.side)
            .finish_non_exhaustive()
    }
}

impl Builder {
    pub(super) fn mount(addr: String) -> Self {
        Self::new(Side::Mount(addr))
    }

    pub(super) fn join(addr: String) -> Self {
        Self::new(Side::Join(addr))
    }

    fn new(side: Side) -> Self {
        Self {
            side,
            handlers: Vec::new(),
            options: Options {
                identification: Vec::new(),
                token: Vec::new(),
                validator: None,
                on_session_open: None,
                on_session_close: None,
                on_error: None,
                handler_limit: 1024,
                stack_size: None,
                thread_name: "wirenet".into(),
                handshake_timeout: Duration::from_secs(10),
                send_buffer: None,
                recv_buffer: None,
                yamux: yamux::Config::default(),
            },
        }
    }

    /// Serves the streams that the other side opens under `name`. Of two
    /// handlers of one name the later counts. See [`Wire::stream`].
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

    /// Checks the token of every session that a client opens, under the name
    /// `confirmSession`, and of every stream that the other side opens. It
    /// gets the stream's name, the client's identification and the token; the
    /// text of its error is the refusal that the other side gets. Default:
    /// everyone is let in.
    ///
    /// Runs on the session's thread or a handler's; a panic refuses.
    pub fn token_validator(
        mut self,
        validator: impl Fn(&str, &[u8], &[u8]) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        self.options.validator = Some(Box::new(validator));
        self
    }

    /// Called once for each session, when it stands. Runs on a thread of the
    /// pool, beside the session: it may open streams on it, wait, or close it.
    /// A panic is caught and reported.
    pub fn on_session_open(mut self, hook: impl Fn(&Session) + Send + Sync + 'static) -> Self {
        self.options.on_session_open = Some(Arc::new(hook));
        self
    }

    /// Called once for each session that had stood, when it has ended and the
    /// other hook has returned. Runs on a thread of the pool; a panic is caught
    /// and reported.
    pub fn on_session_close(mut self, hook: impl Fn(&Session) + Send + Sync + 'static) -> Self {
        self.options.on_session_close = Some(Arc::new(hook));
        self
    }

    /// Called with every error that no caller gets. Default: they are logged
    /// as warnings. Runs where the error came
    /// up, which may be the thread that reads a session: it must not wait for
    /// that session. A panic is caught.
    pub fn on_error(mut self, handler: impl Fn(&OpError) + Send + Sync + 'static) -> Self {
        self.options.on_error = Some(Box::new(handler));
        self
    }

    /// Handlers that run at once, over all sessions: 1,024. Each takes a
    /// thread for as long as it runs. Past the limit a stream is refused with
    /// an error that says so; it is never queued behind handlers that may wait
    /// for it.
    pub fn handler_limit(mut self, count: usize) -> Self {
        self.options.handler_limit = count;
        self
    }

    /// The stack of a handler's thread in bytes. Default: the standard
    /// library's, 2 MiB, of which only what is used takes memory.
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

    /// How long the opening of a session, or of a stream, may take in all:
    /// 10 s. Longer, and who says nothing holds a connection; shorter, and
    /// links with long round trips cannot be used.
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.options.handshake_timeout = timeout;
        self
    }

    /// Streams that the other side may have open at once in a session: 512.
    pub fn max_streams(mut self, count: usize) -> Self {
        self.options.yamux = self.options.yamux.max_streams(count);
        self
    }

    /// Bytes up to which a stream's receive window grows; see
    /// [`yamux::Config::max_window`]: 16 MiB.
    pub fn max_window(mut self, bytes: u32) -> Self {
        self.options.yamux = self.options.yamux.max_window(bytes);
        self
    }

    /// Bytes by which the receive windows of a session may grow together; see
    /// [`yamux::Config::window_budget`]: 64 MiB. Small for boxes with little
    /// memory.
    pub fn window_budget(mut self, bytes: usize) -> Self {
        self.options.yamux = self.options.yamux.window_budget(bytes);
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
        let handlers = Handlers::default();
        for (name, handler) in self.handlers {
            handlers.insert(name, handler)?;
        }
        let shared = Shared::new(self.options, handlers);
        Ok(match self.side {
            Side::Mount(addr) => Wire::new(shared, Box::new(Server::new(addr)?)),
            Side::Join(addr) => Wire::new(shared, Box::new(Client::new(addr)?)),
        })
    }
}

impl Options {
    fn check(&self) -> Result<(), Error> {
        let wrong = |option, reason: &str| {
            let reason = reason.into();
            Err(Error::Option { option, reason })
        };
        for bytes in [&self.identification, &self.token] {
            if bytes.len() > frame::MAX_PAYLOAD {
                return wrong("identification", "longer than 4,096 bytes");
            }
        }
        if self.handler_limit == 0 {
            return wrong("handler_limit", "0 handlers can serve nothing");
        }
        if self.handshake_timeout.is_zero() {
            return wrong("handshake_timeout", "0 is no time for a handshake");
        }
        if self.thread_name.contains('\0') {
            return wrong("thread_name", "contains a zero byte");
        }
        Ok(())
    }

    /// Asks the validator, if there is one.
    pub(super) fn validate(&self, name: &str, id: &[u8], token: &[u8]) -> Result<(), String> {
        let Some(validator) = &self.validator else {
            return Ok(());
        };
        let verdict = catch_unwind(AssertUnwindSafe(|| validator(name, id, token)));
        verdict.unwrap_or_else(|_| Err("wirenet: the validator failed".into()))
    }
}
