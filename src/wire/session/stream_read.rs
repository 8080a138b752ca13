//! The receiving half of the public handle of a stream, and [`Reader`].

#[cfg(doc)]
use crate::wire::Builder;
use crate::{
    sync::{SendMutexGuard, atomic::Ordering},
    wire::session::{receiving::IncomingMessages, stream::Stream, stream_inner::StreamInner},
};
use std::{
    fmt,
    io::{self, BufRead, Read},
    time::Duration,
};

/// Receiving messages.
impl Stream {
    /// Waits for the next message. Returns `false` when the stream has ended.
    ///
    /// Skips the unread rest of the current message.
    ///
    /// # Errors
    ///
    /// The errors of a read.
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
    /// # let client = wirenet::Wire::join(server.local_addr().unwrap()).build()?;
    /// # let session = client.start_within(Duration::from_secs(5))?;
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
        inner.lock_recv()?.next_message(inner)
    }

    /// Reads one whole message of at most `max` bytes. Returns `None` when the stream has
    /// ended.
    ///
    /// This is the message that [`next_message`](Self::next_message) has moved to, or else the
    /// next one. It is also the next one after all bytes of a message were read, but not its
    /// end: see [the end of a message](#the-end-of-a-message).
    ///
    /// Blocks until the message has ended. Memory grows only with what was received (to at
    /// most twice as much), whatever lengths the peer announces.
    ///
    /// # Errors
    ///
    /// - [`io::ErrorKind::InvalidData`] if the message is longer than `max`. Its rest is
    ///   skipped when the stream is read again, so the next call reads the next message.
    /// - [`io::ErrorKind::InvalidInput`] if the current message was read in part, and more
    ///   of it follows. Nothing is lost: read the rest, or call `next_message`.
    /// - The errors of a read. After a [timeout](Self::set_read_timeout) nothing is lost:
    ///   call again, or read what was received.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::time::Duration;
    /// # let server = wirenet::Wire::mount("127.0.0.1:0")
    /// #     .stream("list", |stream| {
    /// #         stream.write_message(b"first")?;
    /// #         stream.write_message(b"second")
    /// #     })
    /// #     .build()?;
    /// # server.start()?;
    /// # let client = wirenet::Wire::join(server.local_addr().unwrap().to_string()).build()?;
    /// # let session = client.start().and_then(|()| client.wait_session(Duration::from_secs(5)))?;
    /// let stream = session.open_stream("list")?;
    /// let mut messages = Vec::new();
    /// while let Some(message) = stream.read_message(1_000_000)? {
    ///     messages.push(message);
    /// }
    /// assert_eq!(messages, [&b"first"[..], b"second"]);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "receive")]
    #[doc(alias = "recv")]
    pub fn read_message(&self, max: usize) -> io::Result<Option<Vec<u8>>> {
        let inner = &*self.inner;
        inner.lock_recv()?.read_message(inner, max)
    }

    /// Returns a reader of the current message, or of the next one if none is being
    /// read. It stays at the end of the message.
    ///
    /// A message ends only when a read returns `Ok(0)`: see [the end of a
    /// message](#the-end-of-a-message).
    ///
    /// While the reader exists, reads of other threads wait. Other calls of this thread that
    /// read ([`read_message`](Self::read_message), [`next_message`](Self::next_message), the
    /// methods of `Read` on any handle) fail with [`io::ErrorKind::Deadlock`], and so do all
    /// calls on a second reader that it requests. If the reader moves to another thread, these
    /// errors move with it when that thread first uses it.
    ///
    /// If the reader is dropped before the end of the message, and any of the message was
    /// received, the rest is skipped when the stream is read again.
    ///
    /// The reader borrows the stream. To write while it exists, use a second `&Stream`, as
    /// below, or [another handle](Self::try_clone).
    ///
    /// # Examples
    ///
    /// A handler that answers each line:
    ///
    /// ```
    /// # use std::{io::Read, time::Duration};
    /// use std::io::{BufRead, Write};
    /// # use wirenet::Wire;
    ///
    /// let server = Wire::mount("127.0.0.1:0")
    ///     .stream("lengths", |stream| {
    ///         let mut out = &*stream;
    ///         for line in stream.reader().lines() {
    ///             writeln!(out, "{}", line?.len())?;
    ///         }
    ///         stream.finish()
    ///     })
    ///     .build()?;
    /// # server.start()?;
    /// # let client = Wire::join(server.local_addr().unwrap()).build()?;
    /// # let session = client.start_within(Duration::from_secs(5))?;
    /// # let mut stream = session.open_stream("lengths")?;
    /// # stream.write_message("one\nthree\n")?;
    /// # let mut lengths = String::new();
    /// # stream.read_to_string(&mut lengths)?;
    /// # assert_eq!(lengths, "3\n5\n");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "lines")]
    pub fn reader(&self) -> Reader<'_> {
        Reader::new(&self.inner)
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
    /// # let client = wirenet::Wire::join(server.local_addr().unwrap()).build()?;
    /// # let session = client.start_within(Duration::from_secs(5))?;
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
    /// be distinguished from that of a peer that gave up, so the content must show
    /// whether it is complete. A stream that ends inside a chunk is always an error.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::{io::{self, Read, Write}, time::Duration};
    /// # let server = wirenet::Wire::mount("127.0.0.1:0")
    /// #     .stream("plain", |stream| stream.write_message(b"42"))
    /// #     .build()?;
    /// # server.start()?;
    /// # let client = wirenet::Wire::join(server.local_addr().unwrap()).build()?;
    /// # let session = client.start_within(Duration::from_secs(5))?;
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

    /// Sets how long a read waits for bytes. `None` means forever.
    ///
    /// The default is the wire's
    /// [`read_write_timeouts`](Builder::read_write_timeouts), which is `None` for reads.
    /// A read that takes longer fails with [`io::ErrorKind::TimedOut`], and can be tried
    /// again. No other error of a read has that kind: if the connection is lost, a loop that
    /// tries again ends. The timeout applies to all handles of the stream.
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
    /// # let client = wirenet::Wire::join(server.local_addr().unwrap()).build()?;
    /// # let session = client.start_within(Duration::from_secs(5))?;
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
}

/// Reads the messages one after another. Every message ends with exactly one `Ok(0)`; see
/// [the end of a message](Stream#the-end-of-a-message).
impl Read for &Stream {
    /// Reads from the current message. Returns `Ok(0)` once at its end, and at the end of
    /// the stream.
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let inner = &*self.inner;
        inner.lock_recv()?.read(inner, buf)
    }
}

/// Reads the messages one after another. Every message ends with exactly one `Ok(0)`; see
/// [the end of a message](Stream#the-end-of-a-message).
impl Read for Stream {
    /// Reads from the current message. Returns `Ok(0)` once at its end, and at the end of
    /// the stream.
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buf)
    }
}

/// Reads one message of a stream; created by
/// [`Stream::reader`](crate::Stream::reader).
///
/// Reads return `Ok(0)` at the end of the message, and from then on. Also implements
/// [`BufRead`], over the received bytes without copying them. Blocks as reads of the
/// stream do.
///
/// # Examples
///
/// ```
/// # use std::{io::{BufRead, Read}, time::Duration};
/// # let server = wirenet::Wire::mount("127.0.0.1:0")
/// #     .stream("lines", |stream| {
/// #         stream.write_message(b"one\ntwo\n")?;
/// #         stream.write_message(b"other")
/// #     })
/// #     .build()?;
/// # server.start()?;
/// # let client = wirenet::Wire::join(server.local_addr().unwrap()).build()?;
/// # let session = client.start_within(Duration::from_secs(5))?;
/// let stream = session.open_stream("lines")?;
/// let lines: Vec<String> = stream.reader().lines().collect::<Result<_, _>>()?;
/// assert_eq!(lines, ["one", "two"]);
///
/// let mut reader = stream.reader();
/// let mut other = String::new();
/// reader.read_to_string(&mut other)?;
/// assert_eq!(other, "other");
/// assert!(reader.was_finished());
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Reader<'a> {
    inner: &'a StreamInner,
    /// `None` if the thread already held a reader of the stream.
    recv: Option<SendMutexGuard<'a, IncomingMessages>>,
    at_end: bool,
}

impl<'a> Reader<'a> {
    fn new(inner: &'a StreamInner) -> Self {
        // If this thread holds a reader already, the calls on this one fail.
        let recv = inner.recv.lock().ok();
        let recv = recv.inspect(SendMutexGuard::note_holder);
        Self {
            inner,
            recv,
            at_end: false,
        }
    }

    /// Returns the state of the messages, which this thread uses.
    fn messages(&mut self) -> io::Result<&mut IncomingMessages> {
        match &mut self.recv {
            Some(recv) => {
                recv.note_holder();
                Ok(recv)
            }
            None => Err(self.inner.reader_held()),
        }
    }

    /// Returns whether the message was ended by an end mark; see
    /// [`Stream::was_finished`](crate::Stream::was_finished). Returns `false` until
    /// the message has been read to its end.
    pub fn was_finished(&self) -> bool {
        self.at_end && self.inner.was_finished()
    }
}

impl fmt::Debug for Reader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("stream", &self.inner.name)
            .finish_non_exhaustive()
    }
}

impl Read for Reader<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.at_end || buf.is_empty() {
            return Ok(0);
        }
        let inner = self.inner;
        let count = self.messages()?.read(inner, buf)?;
        self.at_end = count == 0;
        Ok(count)
    }
}

impl BufRead for Reader<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at_end {
            return Ok(&[]);
        }
        let Some(recv) = &mut self.recv else {
            return Err(self.inner.reader_held());
        };
        recv.note_holder();
        let buf = recv.fill_buf(self.inner)?;
        self.at_end = buf.is_empty();
        Ok(buf)
    }

    fn consume(&mut self, count: usize) {
        if let Some(recv) = &mut self.recv
            && !self.at_end
        {
            recv.consume(count);
        }
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        if let Some(recv) = &mut self.recv
            && !self.at_end
        {
            recv.skip_message();
        }
    }
}
