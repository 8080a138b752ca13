//! Named streams between two programs: layers 2 and 3 of the protocol, and
//! what people call.
//!
//! # Who may lock what
//!
//! A stream's receiving or sending side, then what [`yamux`](crate::yamux)
//! locks. The wire's state, the handlers and the pool are locked with nothing
//! else held. No handler, hook or validator runs under a lock.

use crate::error::Error;
use builder::Options;
use shared::{Shared, Up};
use socket2::SockRef;
use std::{fmt, io, net::SocketAddr, sync::Arc, time::Duration};

mod arrival;
mod builder;
mod chunk;
mod client;
mod frame;
mod handlers;
mod handshake;
mod hello;
mod message;
mod messages;
mod pool;
mod server;
mod session;
mod shared;
mod stream;

pub use builder::Builder;
pub use frame::FrameError;
pub use message::{Reader, Writer};
pub use session::{Session, SessionId};
pub use stream::Stream;

/// One side of the system: a server that clients connect to, or a client. A
/// cheap clone, usable from any thread; the wire closes, as with
/// [`close`](Self::close), when the last clone is dropped.
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

/// Closes the wire when it is dropped. The wire's own threads have no part in
/// it.
struct Owner {
    shared: Arc<Shared>,
    run: Box<dyn Run>,
}

/// What is different between a server and a client.
trait Run: Send + Sync {
    /// Runs the wire on this thread until it ends.
    fn connect(&self, up: Up) -> Result<(), Error>;
    /// Has it run on a thread of its own, once it stands.
    fn start(&self, up: Up) -> Result<(), Error>;
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire")
            .field("local_addr", &self.local_addr())
            .finish_non_exhaustive()
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl Wire {
    /// A server, which listens at `addr`: `host:port`; port 0 lets the system
    /// choose one, which [`local_addr`](Self::local_addr) tells.
    pub fn mount(addr: impl Into<String>) -> Builder {
        Builder::mount(addr.into())
    }

    /// A client, which connects to the server at `addr`: `host:port`.
    pub fn join(addr: impl Into<String>) -> Builder {
        Builder::join(addr.into())
    }

    fn new(shared: Arc<Shared>, run: Box<dyn Run>) -> Self {
        let owner = Arc::new(Owner { shared, run });
        Self { owner }
    }

    /// Takes the wire up and serves it on this thread: a server accepts
    /// clients, a client reads its connection. Blocks until the wire is
    /// closed, or, on a client, until its session ends.
    ///
    /// # Errors
    ///
    /// [`Error::Listen`], [`Error::Dial`]; [`Error::SessionRefused`] and the
    /// other errors of a handshake; [`Error::Connection`] when the session
    /// breaks; [`Error::AlreadyConnected`] while it is up. Once it has
    /// returned, it may be called again.
    pub fn connect(&self) -> Result<(), Error> {
        self.owner.run.connect(self.owner.shared.begin()?)
    }

    /// Takes the wire up and serves it on a thread of its own. Returns once a
    /// server listens, or once a client's session stands. How that session
    /// ends later, the error handler is told.
    ///
    /// # Errors
    ///
    /// Those of [`connect`](Self::connect), up to there, and
    /// [`Error::Thread`].
    pub fn start(&self) -> Result<(), Error> {
        self.owner.run.start(self.owner.shared.begin()?)
    }

    /// Waits until a wire that was [started](Self::start) is up no more: until
    /// it is closed, or, on a client, until its session has ended. Returns at
    /// once if it is not up.
    pub fn wait(&self) {
        self.owner.shared.wait();
    }

    /// Closes the wire: a server stops listening, every session ends as with
    /// [`Session::close`], blocked calls return. Waits for the peers to do
    /// their part, for at most the write timeout. Closing again does nothing.
    ///
    /// # Errors
    ///
    /// None today.
    pub fn close(&self) -> Result<(), Error> {
        self.owner.shared.close();
        Ok(())
    }

    /// Serves the streams that the other side opens under `name`, from now on;
    /// a handler that had the name is replaced, and its running streams go on.
    ///
    /// The handler gets the stream, on a thread of the pool. `Ok` closes it
    /// properly, and ends the message that was being sent. An error or a panic
    /// resets it, and the error handler is told.
    ///
    /// The other side learns the names when a session opens: one that is added
    /// later works, and is not in its [`Session::stream_names`] until then.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] when the name is empty, longer than 255 bytes, or
    /// `confirmSession`, or when there are 1,024 handlers.
    pub fn stream(
        &self,
        name: impl Into<String>,
        handler: impl Fn(&mut Stream) -> io::Result<()> + Send + Sync + 'static,
    ) -> Result<(), Error> {
        let handlers = &self.owner.shared.handlers;
        handlers.insert(name.into(), Arc::new(handler))
    }

    /// The sessions that stand now.
    pub fn sessions(&self) -> Vec<Session> {
        self.owner.shared.sessions()
    }

    /// The session with this id, if it stands.
    pub fn session(&self, id: SessionId) -> Option<Session> {
        self.owner.shared.session(id)
    }

    /// Waits until there is a session, and gives one; on a client, the one.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`]; [`Error::Closed`] when the wire is closed
    /// meanwhile.
    pub fn wait_session(&self, timeout: Duration) -> Result<Session, Error> {
        self.owner.shared.wait_session(timeout)
    }

    /// Where a server listens, or from where a client is connected; `None`
    /// before.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.owner.shared.local_addr()
    }
}

/// What can be said of an address without looking it up.
fn check_addr(option: &'static str, addr: &str) -> Result<(), Error> {
    if let Some((host, port)) = addr.rsplit_once(':')
        && !host.is_empty()
        && port.parse::<u16>().is_ok()
    {
        return Ok(());
    }
    let reason = format!("{addr:?} is not HOST:PORT");
    Err(Error::Option { option, reason })
}

/// Before the socket is connected, or on the listening one, which passes it on:
/// TCP agrees on the scale of its windows when it connects.
fn set_buffers(socket: &SockRef<'_>, options: &Options) -> io::Result<()> {
    if let Some(bytes) = options.send_buffer {
        socket.set_send_buffer_size(bytes)?;
    }
    if let Some(bytes) = options.recv_buffer {
        socket.set_recv_buffer_size(bytes)?;
    }
    Ok(())
}
