//! The public handle of a named stream.

#[cfg(doc)]
use crate::wire::Builder;
use crate::{
    sync::atomic::Ordering,
    wire::session::{
        message::{Reader, Writer},
        receiving::IncomingMessages,
        sending::{Author, HandleId},
        session::Session,
        stream_inner::StreamInner,
    },
    yamux::{self, StreamId},
};
use std::{
    fmt,
    io::{self, Read, Write},
    sync::Arc,
    time::Duration,
};

/// A two-way stream of messages between two programs, opened under a name.
///
/// Each direction carries any number of messages of any length, one after another:
///
/// - A **write** adds bytes to the current message and sends them at once.
///   [`finish`](Self::finish) ends the message.
/// - A **read** returns bytes of the current message, and `Ok(0)` once at its end. The
///   next read belongs to the next message.
///
/// So `io::copy(&mut file, &mut stream)` followed by `finish` sends a file, and
/// `io::copy(&mut stream, &mut file)` receives it.
///
/// Reads block until bytes are received, and writes while the peer's receive window is
/// full; see [`set_read_timeout`](Self::set_read_timeout) and
/// [`set_write_timeout`](Self::set_write_timeout).
///
/// `Read` and `Write` are also implemented for `&Stream`: one thread may read while
/// another writes, as with a `TcpStream`. If two threads read, or two write, one waits
/// while the other is in a call.
///
/// Dropping the last handle ends the stream. If a message has begun and was not ended,
/// it [aborts](#how-a-stream-is-aborted) the stream.
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
///         stream.write_message(text.to_uppercase().as_bytes())
///     })
///     .build()?;
/// server.start()?;
/// # let client = Wire::join(server.local_addr().unwrap().to_string()).build()?;
/// # client.start()?;
/// # let session = client.wait_session(Duration::from_secs(5))?;
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
/// # A truncated message is never taken for a complete one
///
/// A message is ended only by [`finish`](Self::finish),
/// [`write_message`](Self::write_message), [`Writer::finish`], [`close`](Self::close),
/// or a handler that returns `Ok`. None of them ends a message whose last write failed,
/// or that another thread may still be writing; the stream is aborted instead. The
/// reader of a message that was not ended gets an error:
///
/// - [`io::ErrorKind::ConnectionReset`] or [`io::ErrorKind::UnexpectedEof`] if the stream
///   was aborted,
/// - the connection's error if the connection was lost,
/// - [`io::ErrorKind::UnexpectedEof`] if the peer closed the stream without an end mark;
///   but see [`set_takes_unmarked_end`](Self::set_takes_unmarked_end).
///
/// # How a stream is aborted
///
/// A peer that uses this library gets a reset. A go-wirenet peer does not, because its
/// `WriteTo` retries forever after a reset. It gets the length of one more chunk and then
/// the end of the stream instead of that chunk, which its `WriteTo` returns as an error.
/// go-wirenet's `Reader` reports no errors at all, so a program that uses it cannot tell
/// an aborted message from a complete one.
#[doc(alias = "channel")]
#[doc(alias = "socket")]
#[doc(alias = "multiplex")]
pub struct Stream {
    inner: Arc<StreamInner>,
    handle: HandleId,
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
        name: String,
        recv: IncomingMessages,
    ) -> Self {
        if let Some(timeout) = session.read_timeout() {
            // Fails only for zero, which the builder refuses.
            let _ = raw.set_read_timeout(Some(timeout));
        }
        let (inner, handle) = StreamInner::new(raw, session, name, recv);
        let inner = Arc::new(inner);
        Self { inner, handle }
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
    /// # let client = wirenet::Wire::join(server.local_addr().unwrap().to_string()).build()?;
    /// # let session = client.start().and_then(|()| client.wait_session(Duration::from_secs(5)))?;
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

    /// Returns whether the stream was closed on this side, or has ended in both
    /// directions.
    pub fn is_closed(&self) -> bool {
        self.inner.closed.load(Ordering::Acquire) || self.inner.raw.is_closed()
    }

    /// Sets how long a read waits for bytes. `None` means forever.
    ///
    /// The default is the wire's
    /// [`read_write_timeouts`](Builder::read_write_timeouts), which is `None` for reads.
    /// A read that takes longer fails with [`io::ErrorKind::TimedOut`], and can be tried
    /// again. The timeout applies to all handles of the stream.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::InvalidInput`] if the timeout is zero.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::{io::{self, Read}, time::Duration};
    /// # let server = wirenet::Wire::mount("127.0.0.1:0")
    /// #     .stream("silent", |stream| stream.next_message().map(drop))
    /// #     .build()?;
    /// # server.start()?;
    /// # let client = wirenet::Wire::join(server.local_addr().unwrap().to_string()).build()?;
    /// # let session = client.start().and_then(|()| client.wait_session(Duration::from_secs(5)))?;
    /// // The handler of this stream never answers.
    /// let mut stream = session.open_stream("silent")?;
    /// stream.set_read_timeout(Some(Duration::from_millis(10)))?;
    /// let error = stream.read(&mut [0; 100]).unwrap_err();
    /// assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    /// # Ok::<(), io::Error>(())
    /// ```
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.inner.raw.set_read_timeout(timeout)
    }

    /// Sets how long a write waits for the peer to read. `None`, the default, means for
    /// as long as the session lives.
    ///
    /// A write that takes longer fails with [`io::ErrorKind::TimedOut`]. See
    /// [`resume`](Self::resume) for how to continue then. The timeout applies to all
    /// handles of the stream.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::InvalidInput`] if the timeout is zero.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.inner.raw.set_write_timeout(timeout)
    }

    /// Ends the message that is being sent; the next write begins the next message.
    ///
    /// If nothing was written since the last end, this sends an empty message. Blocks as
    /// a write does.
    ///
    /// # Errors
    ///
    /// Those of a write. An end that could not be sent may be tried again.
    ///
    /// If the last write to the message failed, for example by a write timeout, bytes of
    /// the message are missing: the stream is
    /// [aborted](Self#how-a-stream-is-aborted), and the error has the kind of that
    /// write's error.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::{io::{Read, Write}, time::Duration};
    /// # let server = wirenet::Wire::mount("127.0.0.1:0")
    /// #     .stream("echo", |stream| std::io::copy(&mut &*stream, &mut &*stream).and_then(|_| stream.finish()))
    /// #     .build()?;
    /// # server.start()?;
    /// # let client = wirenet::Wire::join(server.local_addr().unwrap().to_string()).build()?;
    /// # let session = client.start().and_then(|()| client.wait_session(Duration::from_secs(5)))?;
    /// let mut stream = session.open_stream("echo")?;
    /// write!(stream, "{} + {}", 1, 2)?;
    /// write!(stream, " = {}", 3)?;
    /// stream.finish()?;
    ///
    /// let mut message = String::new();
    /// stream.read_to_string(&mut message)?;
    /// assert_eq!(message, "1 + 2 = 3");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "shutdown")]
    #[doc(alias = "eof")]
    #[doc(alias = "end")]
    pub fn finish(&self) -> io::Result<()> {
        let mut send = self.inner.send.lock();
        self.inner.finish(&mut send, self.handle)
    }

    /// Sends a whole message with its end, in a single frame if it is short.
    ///
    /// If a message has begun already, adds these bytes to it and ends it. Blocks as a
    /// write does.
    ///
    /// # Errors
    ///
    /// Those of a write. If a part of the message was sent before the error, the rest
    /// cannot be sent, and the stream is aborted when it is closed or dropped. If nothing
    /// was sent, the message may be sent again; until then the stream is in the same
    /// state as after any [write that failed](Self::finish).
    #[doc(alias = "send")]
    pub fn write_message(&self, message: &[u8]) -> io::Result<()> {
        let mut send = self.inner.send.lock();
        self.inner.write_message(&mut send, self.handle, message)
    }

    /// Lets a message continue after a write to it has failed.
    ///
    /// When a write fails after a part of the message was sent, for example by a write
    /// timeout, all following writes to the message fail with
    /// [`io::ErrorKind::BrokenPipe`]. After [`Write::write_all`] or [`io::copy`] has
    /// failed, the caller cannot know how many bytes were sent, and further bytes would
    /// end up where the missing ones belong.
    ///
    /// A caller of [`Write::write`] does know, because a call that fails has sent none of
    /// its bytes. Such a caller may call `resume`, and then write those bytes again.
    pub fn resume(&self) {
        self.inner.send.lock().resume();
    }

    /// Waits for the next message. Returns `false` when the stream has ended.
    ///
    /// Skips what was not read of the current message.
    ///
    /// # Errors
    ///
    /// Those of a read.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::{io::Read, time::Duration};
    /// # let server = wirenet::Wire::mount("127.0.0.1:0")
    /// #     .stream("list", |stream| {
    /// #         stream.write_message(b"first")?;
    /// #         stream.write_message(b"second")
    /// #     })
    /// #     .build()?;
    /// # server.start()?;
    /// # let client = wirenet::Wire::join(server.local_addr().unwrap().to_string()).build()?;
    /// # let session = client.start().and_then(|()| client.wait_session(Duration::from_secs(5)))?;
    /// let mut stream = session.open_stream("list")?;
    /// let mut names = Vec::new();
    /// while stream.next_message()? {
    ///     let mut name = String::new();
    ///     stream.read_to_string(&mut name)?;
    ///     names.push(name);
    /// }
    /// assert_eq!(names, ["first", "second"]);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "receive")]
    pub fn next_message(&self) -> io::Result<bool> {
        let inner = &*self.inner;
        inner.recv.lock().next_message(inner)
    }

    /// Returns whether the last message that was read to its end had an end mark.
    ///
    /// `false` means that the stream ended instead: before the message had begun, or
    /// inside it. The latter is an error unless
    /// [`set_takes_unmarked_end`](Self::set_takes_unmarked_end) allows it. Never blocks.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::{io::{self, Read}, time::Duration};
    /// # let server = wirenet::Wire::mount("127.0.0.1:0")
    /// #     .stream("one", |stream| stream.write_message(b""))
    /// #     .build()?;
    /// # server.start()?;
    /// # let client = wirenet::Wire::join(server.local_addr().unwrap().to_string()).build()?;
    /// # let session = client.start().and_then(|()| client.wait_session(Duration::from_secs(5)))?;
    /// // The handler sends one message, which is empty.
    /// let mut stream = session.open_stream("one")?;
    /// assert_eq!(stream.read(&mut [0; 100])?, 0);
    /// assert!(stream.was_finished());
    ///
    /// // No further message follows.
    /// assert_eq!(stream.read(&mut [0; 100])?, 0);
    /// assert!(!stream.was_finished());
    /// # Ok::<(), io::Error>(())
    /// ```
    pub fn was_finished(&self) -> bool {
        self.inner.was_finished()
    }

    /// Sets whether a message may end with the stream, without an end mark.
    ///
    /// The default is the wire's [`Builder::takes_unmarked_end`], which is `false`: a
    /// read then fails with [`io::ErrorKind::UnexpectedEof`].
    ///
    /// `true` is for peers that send one message and end it by closing the stream, such
    /// as a go-wirenet handler that writes with `Writer` and returns. Such an end cannot
    /// be distinguished from that of a peer that gave up, so the content has to show
    /// whether it is complete. A stream that ends inside a chunk is an error in either
    /// case.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::{io::{self, Read, Write}, time::Duration};
    /// # let server = wirenet::Wire::mount("127.0.0.1:0")
    /// #     .stream("plain", |stream| stream.write_message(b"42"))
    /// #     .build()?;
    /// # server.start()?;
    /// # let client = wirenet::Wire::join(server.local_addr().unwrap().to_string()).build()?;
    /// # let session = client.start().and_then(|()| client.wait_session(Duration::from_secs(5)))?;
    /// let mut stream = session.open_stream("plain")?;
    /// stream.set_takes_unmarked_end(true);
    /// let mut answer = String::new();
    /// stream.read_to_string(&mut answer)?;
    /// if !stream.was_finished() {
    ///     // The peer closed the stream: check that the answer is complete.
    ///     answer.parse::<u32>().map_err(io::Error::other)?;
    /// }
    /// # assert_eq!(answer, "42");
    /// # Ok::<(), io::Error>(())
    /// ```
    pub fn set_takes_unmarked_end(&self, takes: bool) {
        let option = &self.inner.takes_unmarked_end;
        option.store(takes, Ordering::Release);
    }

    /// Returns a reader of the current message, or of the next one if none is being
    /// read. It stays at the end of the message.
    ///
    /// A message ends only when a read returns `Ok(0)`. After reading a fixed number of
    /// bytes, call [`next_message`](Self::next_message) first.
    ///
    /// Other reads of the stream wait until the reader is dropped. If it is dropped before
    /// the end of the message, and any of the message was received, the rest is skipped
    /// when the stream is read again.
    ///
    /// See [`Reader`] for an example.
    pub fn reader(&self) -> Reader<'_> {
        Reader::new(&self.inner, self.inner.recv.lock())
    }

    /// Returns a writer of one message, which [`Writer::finish`] ends.
    ///
    /// Other writes to the stream wait until the writer is dropped. If it is dropped
    /// before `finish`, the stream is [aborted](Self#how-a-stream-is-aborted).
    ///
    /// See [`Writer`] for an example.
    pub fn writer(&self) -> Writer<'_> {
        Writer::new(&self.inner, self.inner.send.lock(), self.handle)
    }

    /// Closes the stream for all its handles: ends the message that is being sent, if
    /// there is one, and then the stream.
    ///
    /// Reads and writes fail from now on. What the peer still sends is discarded; if it
    /// sends more than a window, the stream is reset. Closing again does nothing.
    ///
    /// If a message has to be ended, blocks as a write does.
    ///
    /// # Errors
    ///
    /// Returns an error and [aborts the stream](Self#how-a-stream-is-aborted) if
    ///
    /// - the message could not be ended: the error is that of a write,
    /// - a write to the message had [failed](Self::finish),
    /// - another thread may still be writing the message: it wrote last, unless it did so
    ///   through another handle and this is the only handle left.
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
    /// #     .stream("log", |stream| {
    /// #         let mut line = String::new();
    /// #         stream.read_to_string(&mut line)?;
    /// #         assert_eq!(line, "started");
    /// #         Ok(())
    /// #     })
    /// #     .build()?;
    /// # server.start()?;
    /// # let client = wirenet::Wire::join(server.local_addr().unwrap().to_string()).build()?;
    /// # let session = client.start().and_then(|()| client.wait_session(Duration::from_secs(5)))?;
    /// let mut stream = session.open_stream("log")?;
    /// stream.write_all(b"started")?;
    /// // Ends the message, too.
    /// stream.close()?;
    /// assert!(stream.is_closed());
    /// # Ok::<(), io::Error>(())
    /// ```
    pub fn close(&self) -> io::Result<()> {
        self.inner.close(self.handle, |author| {
            author.is_current_thread() || self.is_last() && author.used_other_handle(self.handle)
        })
    }

    /// Closes a stream that nothing else borrows.
    pub(crate) fn close_exclusive(&mut self) -> io::Result<()> {
        let is_done = |author: Author| author.is_current_thread() || self.is_last();
        self.inner.close(self.handle, is_done)
    }

    /// Returns whether this is the only handle.
    fn is_last(&self) -> bool {
        Arc::strong_count(&self.inner) == 1
    }

    /// [Aborts the stream](Self#how-a-stream-is-aborted) in both directions.
    ///
    /// The peer gets an error, and may lose what it has not read yet. Reads and writes on
    /// this side fail. Does not block.
    #[doc(alias = "abort")]
    #[doc(alias = "cancel")]
    pub fn reset(&self) {
        self.inner.closed.store(true, Ordering::Release);
        self.inner.abort();
    }
}

impl Read for &Stream {
    /// Reads from the current message. Returns `Ok(0)` once at its end, and at the end of
    /// the stream.
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let inner = &*self.inner;
        inner.recv.lock().read(inner, buf)
    }
}

impl Read for Stream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buf)
    }
}

impl Write for &Stream {
    /// Sends up to 64 KiB at once. An empty `buf` sends nothing.
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let inner = &*self.inner;
        inner.write(&mut inner.send.lock(), self.handle, buf)
    }

    /// Does nothing: writes are not buffered.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Write for Stream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (&*self).write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
