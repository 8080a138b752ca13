//! The public handle of a named stream.

#[cfg(doc)]
use super::stream_write::Writer;
use crate::{
    sync::atomic::Ordering,
    time::deadline,
    wire::session::{
        receiving::IncomingMessages,
        sending::{Author, HandleId},
        session::Session,
        stream_inner::StreamInner,
    },
    yamux::{self, StreamId},
};
use std::{fmt, io, sync::Arc, time::Duration};

/// A two-way stream of messages between two programs, opened under a name.
///
/// Each direction carries any number of messages of any length, one after another:
///
/// - A **write** adds bytes to the current message and sends them at once, in a frame of
///   their own. [`finish`](Self::finish) ends the message. For many small writes, use
///   [`writer`](Self::writer), which buffers, or [`write_message`](Self::write_message).
/// - A **read** returns bytes of the current message, and `Ok(0)` once at its end. The
///   next read belongs to the next message.
///
/// Thus `io::copy(&mut file, &mut stream)` followed by `finish` sends a file, and
/// `io::copy(&mut stream, &mut file)` receives it.
///
/// Reads block until bytes are received, and writes block while the peer's receive
/// window is full; see [`set_read_timeout`](Self::set_read_timeout) and
/// [`set_write_timeout`](Self::set_write_timeout).
///
/// `Read` and `Write` are also implemented for `&Stream`: one thread may read while
/// another writes, as with a `TcpStream`. If two threads read, or two write, one waits
/// while the other is in a call, or holds a [`reader`](Self::reader) or
/// [`writer`](Self::writer). The thread that holds it does not wait for itself: its other
/// calls of that direction fail with [`io::ErrorKind::Deadlock`].
///
/// Dropping the last handle ends the stream. If a message has begun and was not ended, or
/// its last write failed, it [aborts](#how-a-stream-is-aborted) the stream instead.
///
/// # Examples
///
/// Sends a message and receives the answer:
///
/// ```
/// # use std::{io::Read, time::Duration};
/// # use wirenet::Wire;
/// let server = Wire::mount("127.0.0.1:0")
///     .stream("upper", |stream| {
///         let mut text = String::new();
///         stream.read_to_string(&mut text)?;
///         stream.write_message(text.to_uppercase())
///     })
///     .build()?;
/// server.start()?;
/// # let client = Wire::join(server.local_addr().unwrap()).build()?;
/// # let session = client.start_within(Duration::from_secs(5))?;
///
/// // On the client:
/// let mut stream = session.open_stream("upper")?;
/// stream.write_message(b"hello")?;
/// let mut answer = String::new();
/// stream.read_to_string(&mut answer)?;
/// assert_eq!(answer, "HELLO");
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # The end of a message
///
/// Every message ends with exactly one `Ok(0)` of a read. `read_to_end`, `read_to_string` and
/// `io::copy` read it, and so read one message each. `read_exact` does not: after it has read
/// all bytes of a message, the end is still unread, and `read_to_string` would return `""`.
///
/// - [`next_message`](Self::next_message) and [`read_message`](Self::read_message) go on to
///   the next message then. If bytes of the current message are unread, `next_message` skips
///   them, and `read_message` returns an error.
/// - [`reader`](Self::reader) and the methods of `Read` stay in the current message until its
///   end was read.
///
/// ```
/// # use std::{io::Read, time::Duration};
/// # let server = wirenet::Wire::mount("127.0.0.1:0")
/// #     .stream("two", |stream| {
/// #         stream.write_message(b"head")?;
/// #         stream.write_message(b"body")
/// #     })
/// #     .build()?;
/// # server.start()?;
/// # let client = wirenet::Wire::join(server.local_addr().unwrap().to_string()).build()?;
/// # let session = client.start().and_then(|()| client.wait_session(Duration::from_secs(5)))?;
/// let mut stream = session.open_stream("two")?;
/// let mut head = [0; 4];
/// stream.read_exact(&mut head)?;
/// assert_eq!(&head, b"head");
/// // The end of this message is still unread; this goes on to the next one.
/// assert_eq!(stream.read_message(100)?.unwrap(), b"body");
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # A truncated message is never taken for a complete one
///
/// Only [`finish`](Self::finish), [`close`](Self::close), and a handler that returns `Ok`
/// end a message; [`write_message`](Self::write_message) and [`Writer::finish`] do what
/// `finish` does. None of them ends a message whose last write failed, or that another
/// thread may still be writing: the stream is aborted. The reader of a message that was not
/// ended gets an error:
///
/// - [`io::ErrorKind::ConnectionReset`] or [`io::ErrorKind::UnexpectedEof`] if the stream
///   was aborted,
/// - the connection's error if the connection was lost,
/// - [`io::ErrorKind::UnexpectedEof`] if the peer closed the stream without an end mark;
///   but see [`set_takes_unmarked_end`](Self::set_takes_unmarked_end).
///
/// # An answer before the end of a request
///
/// A handler may answer and return `Ok` before it has read the whole request, for example
/// because its disk is full. What the caller still sends is discarded. If that is more than
/// a window, the stream is reset: a write of the caller fails with
/// [`io::ErrorKind::ConnectionReset`]. The answer has been received by then, and can be read
/// after the failed write.
///
/// ```
/// # use std::{io, time::Duration};
/// # let server = wirenet::Wire::mount("127.0.0.1:0")
/// #     .stream("upload", |stream| stream.write_message("error: disk full"))
/// #     .build()?;
/// # server.start()?;
/// # let client = wirenet::Wire::join(server.local_addr().unwrap()).build()?;
/// # let session = client.start_within(Duration::from_secs(5))?;
/// # let mut file = io::Read::take(io::repeat(7), 10_000_000);
/// let mut stream = session.open_stream("upload")?;
/// let sent = io::copy(&mut file, &mut stream).and_then(|_| stream.finish());
/// // Not `sent?` first: if the handler gave up, its answer says why.
/// let answer = match (stream.read_message(1000), sent) {
///     (Ok(Some(answer)), _) => answer,
///     (_, Err(error)) | (Err(error), _) => return Err(error),
///     (Ok(None), Ok(())) => return Err(io::ErrorKind::UnexpectedEof.into()),
/// };
/// assert_eq!(answer, b"error: disk full");
/// # Ok::<(), io::Error>(())
/// ```
///
/// # How a stream is aborted
///
/// A peer that uses this library gets a reset. A go-wirenet peer does not, because its
/// `WriteTo` retries forever after a reset. Instead, it gets the length of one more chunk
/// and then the end of the stream, which its `WriteTo` returns as an error. go-wirenet's
/// `Reader` reports no errors at all, so a program that uses it cannot tell an aborted
/// message from a complete one.
#[doc(alias = "channel")]
#[doc(alias = "socket")]
#[doc(alias = "multiplex")]
pub struct Stream {
    pub(super) inner: Arc<StreamInner>,
    pub(super) handle: HandleId,
}

impl Clone for Stream {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            handle: self.inner.new_handle(),
        }
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("name", &self.inner.name)
            .field("id", &self.id())
            .field("session", &self.inner.session.id())
            .finish_non_exhaustive()
    }
}

impl Stream {
    pub(crate) fn new(
        raw: yamux::Stream,
        session: Session,
        name: impl Into<Arc<str>>,
        recv: IncomingMessages,
    ) -> Self {
        if let Some(timeout) = session.read_timeout() {
            // Fails only for zero, which the builder refuses.
            let _ = raw.set_read_timeout(Some(timeout));
        }
        let (inner, handle) = StreamInner::new(raw, session, name.into(), recv);
        let inner = Arc::new(inner);
        Self { inner, handle }
    }

    /// Like [`new`](Self::new), for a stream that this side has opened. A close does not wait
    /// for it once the peer has ended it, unless a message is being sent.
    pub(super) fn opened(
        raw: yamux::Stream,
        session: Session,
        name: impl Into<Arc<str>>,
        recv: IncomingMessages,
    ) -> Self {
        raw.rest();
        Self::new(raw, session, name, recv)
    }

    /// Returns the number of the stream, which is unique in its session.
    pub fn id(&self) -> StreamId {
        self.inner.raw.id()
    }

    /// Returns the session that the stream belongs to.
    pub fn session(&self) -> &Session {
        &self.inner.session
    }

    /// Returns the name under which the stream was opened.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// Returns a second handle to the same stream, for another thread.
    ///
    /// The handles share everything: the messages, the timeouts, and whether the stream
    /// is closed. Cloning the stream does the same.
    ///
    /// # Errors
    ///
    /// Never fails today. Returns a `Result` as [`std::net::TcpStream::try_clone`] does.
    ///
    /// # Examples
    ///
    /// Sends on one thread and receives on another:
    ///
    /// ```
    /// # use std::{io::Read, thread, time::Duration};
    /// # let server = wirenet::Wire::mount("127.0.0.1:0")
    /// #     .stream("echo", |stream| std::io::copy(&mut &*stream, &mut &*stream).and_then(|_| stream.finish()))
    /// #     .build()?;
    /// # server.start()?;
    /// # let client = wirenet::Wire::join(server.local_addr().unwrap()).build()?;
    /// # let session = client.start_within(Duration::from_secs(5))?;
    /// let mut receiving = session.open_stream("echo")?;
    /// let sending = receiving.try_clone()?;
    /// let sender = thread::spawn(move || sending.write_message(&[7; 1_000_000]));
    ///
    /// let mut message = Vec::new();
    /// receiving.read_to_end(&mut message)?;
    /// assert_eq!(message.len(), 1_000_000);
    /// sender.join().unwrap()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(self.clone())
    }

    /// Returns whether the peer has ended the stream: it has closed or aborted it, or the
    /// connection has ended.
    ///
    /// For a handler, this means that its caller has left and waits for no answer. Data that
    /// the peer sent before may still be unread. The end of a message is not the end of the
    /// stream. Never blocks.
    ///
    /// [`wait_for_peer_end`](Self::wait_for_peer_end) waits for it.
    #[doc(alias = "is_cancelled")]
    #[doc(alias = "hangup")]
    #[doc(alias = "eof")]
    pub fn peer_has_ended(&self) -> bool {
        self.inner.raw.peer_has_ended()
    }

    /// Waits until the peer has ended the stream, or it was closed on this side. Returns
    /// whether the [peer has ended](Self::peer_has_ended) it. With `None`, there is no time
    /// limit.
    ///
    /// Returns `false` when `timeout` has passed, and when the stream was closed or reset on
    /// this side, through any handle. A handler that returns closes or resets its stream.
    ///
    /// Any number of threads may wait on clones of the stream while others read and write.
    /// The wait takes no data away from a reader, and ends even if received data is unread.
    /// Behind a hub, if the hub still holds data that this side has not read, the peer's close
    /// becomes visible only once that data is read. The peer's abort, or the loss of its
    /// connection, becomes visible at once.
    ///
    /// # Examples
    ///
    /// A handler that runs a command, sends its output and its exit status, and kills it when
    /// its caller leaves. Killing only the shell would leave the programs that it has
    /// started: they keep the pipe open, and the handler would wait for them.
    ///
    /// ```
    /// # #[cfg(unix)] {
    /// # use std::{io, time::Duration};
    /// use std::{os::unix::process::CommandExt, process::{Command, Stdio}, thread};
    /// use wirenet::Wire;
    ///
    /// let server = Wire::mount("127.0.0.1:0")
    ///     .stream("run", |stream| {
    ///         let mut command = Command::new("sh");
    ///         // A process group of its own, which is killed as a whole.
    ///         command.args(["-c", "sleep 100; true"]).process_group(0);
    ///         let mut child = command.stdout(Stdio::piped()).spawn()?;
    ///         let (caller, kill) = (stream.clone(), format!("kill -s KILL -- -{}", child.id()));
    ///         thread::spawn(move || {
    ///             // `false` when this handler has returned.
    ///             if caller.wait_for_peer_end(None) {
    ///                 // Fails if everything has ended already.
    ///                 let _ = Command::new("sh").args(["-c", &kill]).output();
    ///             }
    ///         });
    ///         let copied = io::copy(&mut child.stdout.take().expect("it is piped"), stream);
    ///         let status = child.wait()?;
    ///         copied.and_then(|_| stream.finish())?;
    ///         stream.write_message(status.to_string())
    ///     })
    ///     .build()?;
    /// server.start()?;
    /// # let client = Wire::join(server.local_addr().unwrap().to_string()).build()?;
    /// # client.start()?;
    /// # let session = client.wait_session(Duration::from_secs(5))?;
    /// # drop(session.open_stream("run")?);
    /// # server.close()?;
    /// # }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "cancelled")]
    #[doc(alias = "cancellation")]
    #[doc(alias = "hangup")]
    pub fn wait_for_peer_end(&self, timeout: Option<Duration>) -> bool {
        self.inner.raw.wait_peer_end(timeout.map(deadline))
    }

    /// Returns whether the stream was closed on this side, or has ended in both
    /// directions.
    ///
    /// A peer that has left does not close this side; see
    /// [`peer_has_ended`](Self::peer_has_ended).
    pub fn is_closed(&self) -> bool {
        self.inner.closed.load(Ordering::Acquire) || self.inner.raw.is_closed()
    }

    /// Closes the stream for all its handles: ends the message that is being sent, if
    /// there is one, and then the stream.
    ///
    /// Reads and writes fail from now on. Data that the peer still sends is discarded;
    /// if the peer sends more than a window, the stream is reset. Closing again does
    /// nothing.
    ///
    /// If a message must be ended, blocks as a write does.
    ///
    /// # Errors
    ///
    /// Returns an error and [aborts the stream](Self#how-a-stream-is-aborted) if
    ///
    /// - the message could not be ended: the error is that of a write,
    /// - a write to the message had [failed](Self::finish),
    /// - another thread wrote last, and may still be writing the message. This does not
    ///   apply if it wrote through another handle and that handle is gone.
    /// - a [`Writer`] exists, even one of this thread: [finish](Writer::finish) it first.
    ///
    /// After joining a thread that wrote through a reference, call
    /// [`finish`](Self::finish) first. When a handler returns and no other handle is
    /// left, the message is ended whichever thread wrote last.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::{io::{self, Read, Write}, time::Duration};
    /// # let server = wirenet::Wire::mount("127.0.0.1:0")
    /// #     .stream("log", |stream| io::copy(stream, &mut io::sink()).map(drop))
    /// #     .build()?;
    /// # server.start()?;
    /// # let client = wirenet::Wire::join(server.local_addr().unwrap()).build()?;
    /// # let session = client.start_within(Duration::from_secs(5))?;
    /// let mut stream = session.open_stream("log")?;
    /// stream.write_all(b"started")?;
    /// // Ends the message as well.
    /// stream.close()?;
    /// assert!(stream.is_closed());
    /// # Ok::<(), io::Error>(())
    /// ```
    pub fn close(&self) -> io::Result<()> {
        self.inner.close(self.handle, |author| {
            author.is_current_thread() || self.is_last() && author.used_other_handle(self.handle)
        })
    }

    /// Notes that a handler serves the stream from now on.
    pub(crate) fn begin_handler(&self) {
        self.inner.hold();
    }

    /// Closes the stream after its handler has returned `Ok`. If it was turned into a byte
    /// stream that still exists, the byte stream closes it.
    pub(crate) fn end_handler(&mut self) -> io::Result<()> {
        if self.inner.is_byte_stream.load(Ordering::Acquire) {
            self.inner.release();
            return Ok(());
        }
        let is_done = |author: Author| author.is_current_thread() || self.is_last();
        self.inner.close(self.handle, is_done)
    }

    /// Returns whether this is the only handle.
    fn is_last(&self) -> bool {
        Arc::strong_count(&self.inner) == 1
    }

    /// [Aborts the stream](Self#how-a-stream-is-aborted) in both directions.
    ///
    /// The peer gets an error, and may lose data that it has not read yet. Reads and
    /// writes on this side fail. Does not block.
    #[doc(alias = "abort")]
    #[doc(alias = "cancel")]
    pub fn reset(&self) {
        self.inner.was_reset.store(true, Ordering::Release);
        self.inner.closed.store(true, Ordering::Release);
        self.inner.abort();
    }
}
