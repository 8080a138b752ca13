//! The program's code that a wire calls.

use super::Builder;
use crate::{
    error::OpError,
    wire::{
        handle::{ConnectHook, Wire},
        run::hooks::Hooks,
        session::{session::Session, stream::Stream},
    },
};
use std::{io, sync::Arc};

/// # Handlers and hooks
impl Builder {
    /// Adds a handler for the streams that the peer opens under `name`.
    ///
    /// A handler returns an [`io::Result`], in which `?` also works on an
    /// [`Error`](crate::Error) of this library. For handlers that fail with any other error,
    /// such as `anyhow::Error`, use [`any_error`](crate::any_error).
    ///
    /// The handler gets each stream on a thread of a pool. If it returns `Ok`, the
    /// stream is closed gracefully; an error or a panic resets the stream, and is
    /// reported to the [error handler](Self::on_error). The peer is not told which error: to
    /// tell it, send a message and return `Ok`, even [before the request has
    /// ended](Stream#an-answer-before-the-end-of-a-request).
    ///
    /// If a name is given twice, the later handler replaces the earlier one.
    /// [`Wire::stream`] adds handlers later, and documents the limits.
    ///
    /// A handler reaches its wire with [`Session::wire`]. A handler that captures a
    /// [`Wire`] keeps it running forever.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{io, time::Duration};
    /// use wirenet::Wire;
    ///
    /// let server = Wire::mount("127.0.0.1:0")
    ///     .stream("echo", |stream| {
    ///         let mut message = Vec::new();
    ///         io::copy(stream, &mut message)?;
    ///         stream.write_message(&message)
    ///     })
    ///     .build()?;
    /// server.start()?;
    ///
    /// let addr = server.local_addr().expect("the server listens");
    /// let client = Wire::join(addr).build()?;
    /// let session = client.start_within(Duration::from_secs(5))?;
    /// let mut stream = session.open_stream("echo")?;
    /// stream.write_message(b"hello")?;
    /// let mut answer = Vec::new();
    /// io::copy(&mut stream, &mut answer)?;
    /// assert_eq!(answer, b"hello");
    /// # Ok::<(), io::Error>(())
    /// ```
    #[doc(alias("accept", "callback", "handle", "handler", "route", "serve", "service"))]
    pub fn stream(
        mut self,
        name: impl Into<String>,
        handler: impl Fn(&mut Stream) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        self.handlers.push((name.into(), Arc::new(handler)));
        self
    }

    /// Sets a hook that is called each time the wire is up.
    ///
    /// A server or a hub is up when it listens; a client is up each time its session is
    /// established. The hook gets the wire, which it may close or clone; a clone that is
    /// kept prevents the wire from closing when its last other handle is dropped. The
    /// hook runs on a pool thread, in parallel with the wire. A panic is caught and
    /// reported to the [error handler](Self::on_error). Default: none.
    #[doc(alias("callback", "connected"))]
    pub fn on_connect(mut self, hook: impl Fn(&Wire) + Send + Sync + 'static) -> Self {
        self.on_connect = Some(ConnectHook::new(hook));
        self
    }

    /// Sets a hook that is called once for each session, when it is established.
    ///
    /// The hook runs on a pool thread, in parallel with the session: it may open streams
    /// on the session, block, or close the session. A session that ends meanwhile counts
    /// towards [`max_sessions`](Self::max_sessions) until the hook returns. A panic is
    /// caught and reported to the [error handler](Self::on_error). Default: none.
    ///
    /// # Examples
    ///
    /// A server that calls each of its clients as soon as it has connected:
    ///
    /// ```
    /// use std::{io::Read, sync::mpsc, time::Duration};
    /// use wirenet::Wire;
    ///
    /// let (sender, received) = mpsc::channel();
    /// let server = Wire::mount("127.0.0.1:0")
    ///     .on_session_open(move |session| {
    ///         let mut greeting = String::new();
    ///         if let Ok(mut stream) = session.open_stream("greeting")
    ///             && stream.read_to_string(&mut greeting).is_ok()
    ///         {
    ///             let _ = sender.send(greeting);
    ///         }
    ///     })
    ///     .build()?;
    /// server.start()?;
    /// let addr = server.local_addr().expect("the server listens");
    ///
    /// let client = Wire::join(addr)
    ///     .stream("greeting", |stream| stream.write_message(b"hello"))
    ///     .build()?;
    /// client.start_within(Duration::from_secs(5))?;
    /// assert_eq!(received.recv_timeout(Duration::from_secs(5))?, "hello");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias("accept", "callback", "connected"))]
    pub fn on_session_open(mut self, hook: impl Fn(&Session) + Send + Sync + 'static) -> Self {
        self.options.on_session_open = Some(Arc::new(hook));
        self.hooks = Some(Hooks::of);
        self
    }

    /// Sets a hook that is called once for each established session, after it has ended.
    ///
    /// [`Session::end_reason`] tells why it has ended.
    ///
    /// The hook is called after [`on_session_open`](Self::on_session_open) has returned,
    /// on a pool thread. Until it returns, the session counts towards
    /// [`max_sessions`](Self::max_sessions). A panic is caught and reported to the [error
    /// handler](Self::on_error). Default: none.
    #[doc(alias("callback", "disconnected"))]
    pub fn on_session_close(mut self, hook: impl Fn(&Session) + Send + Sync + 'static) -> Self {
        self.options.on_session_close = Some(Arc::new(hook));
        self.hooks = Some(Hooks::of);
        self
    }

    /// Sets the error handler, which is called for errors that no call can return.
    ///
    /// Examples are errors of handlers, refused streams, and failures after which a
    /// client retries. Default: these errors are logged as warnings.
    ///
    /// The error handler runs on the thread where the error occurred. This may be
    /// the thread that reads a session, so the error handler must not wait for that
    /// session. A panic is caught.
    ///
    /// A server or a hub reports connections that do not become sessions on a pool
    /// thread, one error after the other, so that a slow error handler does not delay
    /// other clients. If 256 of these errors are waiting, further ones are dropped, and
    /// their number is reported later, as [`Operation::Report`](crate::Operation::Report).
    /// If no thread can be started, these errors wait until the next one occurs. Without an
    /// error handler, all errors are logged in this way, so a logger that blocks stops neither
    /// sessions nor a close.
    ///
    /// A peer that connects and leaves before it has sent a byte is no error: health
    /// checks and port scans do that. It is logged at `debug`.
    ///
    /// Each failed attempt of a client to connect is reported, with the time until the next
    /// one. An attempt that fails like the one before has [`OpError::repeats`] set. Without an
    /// error handler, it is logged at `debug`.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{io, sync::mpsc, time::Duration};
    /// use wirenet::{Operation, Wire};
    ///
    /// let (sender, errors) = mpsc::channel();
    /// let server = Wire::mount("127.0.0.1:0")
    ///     .stream("backup", |_stream| Err(io::Error::other("disk full")))
    ///     .on_error(move |error| {
    ///         eprintln!("{error}");
    ///         let _ = sender.send((error.operation.clone(), error.cause.to_string()));
    ///     })
    ///     .build()?;
    /// server.start()?;
    /// # let addr = server.local_addr().expect("the server listens");
    /// # let client = Wire::join(addr).build()?;
    /// # let session = client.start_within(Duration::from_secs(5))?;
    /// # let _stream = session.open_stream("backup")?;
    ///
    /// // A client opens the stream.
    /// let (operation, cause) = errors.recv_timeout(Duration::from_secs(5))?;
    /// assert_eq!(operation, Operation::Handler("backup".into()));
    /// assert_eq!(cause, "disk full");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias("callback", "error_handler", "log"))]
    pub fn on_error(mut self, handler: impl Fn(&OpError) + Send + Sync + 'static) -> Self {
        self.options.on_error = Some(Box::new(handler));
        self
    }
}
