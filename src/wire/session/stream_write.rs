//! The sending half of the public handle of a stream, and [`Writer`].

use crate::{
    sync::SendMutexGuard,
    wire::session::{
        sending::{HandleId, Incomplete, OutgoingMessage},
        stream::Stream,
        stream_inner::StreamInner,
    },
    yamux::segment::total_len,
};
use std::{
    fmt,
    io::{self, IoSlice, Write},
    mem,
    time::Duration,
};

/// Sending messages.
impl Stream {
    /// Sends a whole message with its end, in a single frame if it is short. The message is
    /// anything that converts into bytes: text, a vector, a slice.
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
    pub fn write_message(&self, message: impl AsRef<[u8]>) -> io::Result<()> {
        let message = message.as_ref();
        let mut send = self.inner.lock_send()?;
        self.inner.write_message(&mut send, self.handle, message)
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
    /// write's error, or says that the stream was [reset](Self::reset) on this side.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::{io::{Read, Write}, time::Duration};
    /// # let server = wirenet::Wire::mount("127.0.0.1:0")
    /// #     .stream("echo", |stream| std::io::copy(&mut &*stream, &mut &*stream).and_then(|_| stream.finish()))
    /// #     .build()?;
    /// # server.start()?;
    /// # let client = wirenet::Wire::join(server.local_addr().unwrap()).build()?;
    /// # let session = client.start_within(Duration::from_secs(5))?;
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
        let mut send = self.inner.lock_send()?;
        self.inner.finish(&mut send, self.handle)
    }

    /// Returns a buffered writer of one message, which [`Writer::finish`] ends.
    ///
    /// While the writer exists, writes of other threads wait. Other calls of this thread that
    /// write ([`write_message`](Self::write_message), [`finish`](Self::finish), the methods of
    /// `Write` on any handle) fail with [`io::ErrorKind::Deadlock`], and so do all calls on a
    /// second writer that it requests. If the writer moves to another thread, these errors
    /// move with it when that thread first uses it.
    ///
    /// If the writer is dropped before `finish`, the stream is
    /// [aborted](Self#how-a-stream-is-aborted).
    ///
    /// The writer borrows the stream. For one that owns it, for example in a struct or for a
    /// spawned thread, use [`BufWriter<Stream>`](io::BufWriter). At the end, call
    /// `into_inner`, which sends the rest, and then [`finish`](Self::finish).
    ///
    /// See [`Writer`] for an example.
    ///
    /// # Examples
    ///
    /// A writer that owns its stream:
    ///
    /// ```
    /// # use std::{io::{self, Write}, time::Duration};
    /// # let server = wirenet::Wire::mount("127.0.0.1:0")
    /// #     .stream("log", |stream| io::copy(stream, &mut io::sink()).map(drop))
    /// #     .build()?;
    /// # server.start()?;
    /// # let client = wirenet::Wire::join(server.local_addr().unwrap()).build()?;
    /// # let session = client.start_within(Duration::from_secs(5))?;
    /// let mut log = io::BufWriter::new(session.open_stream("log")?);
    /// writeln!(log, "started")?;
    /// log.into_inner()?.finish()?;
    /// # Ok::<(), io::Error>(())
    /// ```
    #[doc(alias = "BufWriter")]
    pub fn writer(&self) -> Writer<'_> {
        Writer::new(&self.inner, self.handle)
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
    ///
    /// For a write through a [`Writer`], call [`Writer::resume`]; while this thread holds one,
    /// this does nothing.
    ///
    /// # Examples
    ///
    /// Waits at most 10 milliseconds at a time, to show the progress:
    ///
    /// ```
    /// # use std::{io::{self, Read, Write}, thread, time::Duration};
    /// # let server = wirenet::Wire::mount("127.0.0.1:0")
    /// #     .stream("slow", |stream| {
    /// #         thread::sleep(Duration::from_millis(50));
    /// #         let size = io::copy(&mut &*stream, &mut io::sink())?;
    /// #         stream.write_message(size.to_string())
    /// #     })
    /// #     .build()?;
    /// # server.start()?;
    /// # let client = wirenet::Wire::join(server.local_addr().unwrap()).build()?;
    /// # let session = client.start_within(Duration::from_secs(5))?;
    /// # let data = vec![7; 2_000_000];
    /// let mut stream = session.open_stream("slow")?;
    /// stream.set_write_timeout(Some(Duration::from_millis(10)))?;
    /// let mut rest = &data[..];
    /// while !rest.is_empty() {
    ///     match stream.write(rest) {
    ///         Ok(count) => rest = &rest[count..],
    ///         Err(error) if error.kind() == io::ErrorKind::TimedOut => {
    ///             println!("{} bytes left", rest.len());
    ///             stream.resume();
    ///         }
    ///         Err(error) => return Err(error),
    ///     }
    /// }
    /// stream.set_write_timeout(None)?;
    /// stream.finish()?;
    /// # let mut size = String::new();
    /// # stream.read_to_string(&mut size)?;
    /// # assert_eq!(size, "2000000");
    /// # Ok::<(), io::Error>(())
    /// ```
    pub fn resume(&self) {
        // A `Writer` of this thread has a method of its own.
        if let Ok(mut send) = self.inner.send.lock() {
            send.resume();
        }
    }

    /// Sets how long a write waits for the peer to read. `None`, the default, means
    /// until the session ends.
    ///
    /// A write that takes longer fails with [`io::ErrorKind::TimedOut`]. See
    /// [`resume`](Self::resume) for how to continue then. No other error of a write has that
    /// kind, so a loop that tries again ends if the connection is lost. The timeout
    /// applies to all handles of the stream.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::InvalidInput`] if the timeout is zero.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.inner.raw.set_write_timeout(timeout)
    }
}

/// Not buffered: each call sends a frame at once. For many small writes, for example those
/// of `serde_json::to_writer` or `write!`, use [`Stream::writer`], which buffers, or
/// [`Stream::write_message`].
impl Write for &Stream {
    /// Sends up to 64 KiB at once, in a frame of its own. An empty `buf` sends nothing.
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(buf)])
    }

    /// Sends the slices in order, up to 64 KiB, in one frame.
    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let inner = &*self.inner;
        inner.write(&mut *inner.lock_send()?, self.handle, bufs)
    }

    /// Does nothing: writes are not buffered.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Not buffered: each call sends a frame at once. For many small writes, for example those
/// of `serde_json::to_writer` or `write!`, use [`Stream::writer`], which buffers, or
/// [`Stream::write_message`].
impl Write for Stream {
    /// Sends up to 64 KiB at once, in a frame of its own. An empty `buf` sends nothing.
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (&*self).write(buf)
    }

    /// Sends the slices in order, up to 64 KiB, in one frame.
    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self).write_vectored(bufs)
    }

    /// Does nothing: writes are not buffered.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The capacity of a [`Writer`]'s buffer: what `io::copy` moves at a time, so that its
/// writes are sent without being copied.
const BUFFER: usize = 8 * 1024;

/// Writes one message of a stream; created by
/// [`Stream::writer`](crate::Stream::writer).
///
/// Buffered: small writes are gathered, up to 8 KiB, and sent in one frame. A write of 8 KiB
/// or more is sent at once, after what was gathered. Sending blocks as writes to the stream
/// do.
///
/// - [`finish`] sends the rest of the message with its end.
/// - [`flush`](Write::flush) sends what was gathered so far. In a dialogue, flush before
///   waiting for an answer to a part of the message.
/// - A writer that is dropped before `finish` [aborts the stream], so that the peer does not
///   mistake a part of the message for all of it.
///
/// A write that only gathers does not wait for the peer: if its bytes cannot be sent, a later
/// call returns the error.
///
/// [`finish`]: Self::finish
/// [aborts the stream]: crate::Stream#how-a-stream-is-aborted
///
/// # Examples
///
/// ```
/// # use std::{io::{self, Read, Write}, time::Duration};
/// # let server = wirenet::Wire::mount("127.0.0.1:0")
/// #     .stream("upload", |stream| {
/// #         let size = io::copy(&mut &*stream, &mut io::sink())?;
/// #         stream.write_message(size.to_string())
/// #     })
/// #     .build()?;
/// # server.start()?;
/// # let client = wirenet::Wire::join(server.local_addr().unwrap()).build()?;
/// # let session = client.start_within(Duration::from_secs(5))?;
/// # let mut source = io::repeat(7).take(100_000);
/// let stream = session.open_stream("upload")?;
/// let mut writer = stream.writer();
/// // If this fails, the peer gets an error instead of the end of the message.
/// io::copy(&mut source, &mut writer)?;
/// writer.finish()?;
/// # let mut size = String::new();
/// # stream.reader().read_to_string(&mut size)?;
/// # assert_eq!(size, "100000");
/// # Ok::<(), io::Error>(())
/// ```
///
/// Sends a value as JSON, in one frame:
///
/// ```
/// # use std::{io, time::Duration};
/// # let server = wirenet::Wire::mount("127.0.0.1:0")
/// #     .stream("log", |stream| {
/// #         let entry: serde_json::Value = serde_json::from_reader(stream.reader())?;
/// #         assert_eq!(entry["level"], 3);
/// #         Ok(())
/// #     })
/// #     .build()?;
/// # server.start()?;
/// # let client = wirenet::Wire::join(server.local_addr().unwrap().to_string()).build()?;
/// # client.start()?;
/// # let session = client.wait_session(Duration::from_secs(5))?;
/// let stream = session.open_stream("log")?;
/// let mut writer = stream.writer();
/// serde_json::to_writer(&mut writer, &serde_json::json!({ "level": 3, "text": "started" }))?;
/// writer.finish()?;
/// # Ok::<(), io::Error>(())
/// ```
pub struct Writer<'a> {
    inner: &'a StreamInner,
    /// `None` if the thread already held a writer of the stream.
    send: Option<SendMutexGuard<'a, OutgoingMessage>>,
    handle: HandleId,
    /// Bytes that were accepted and not sent yet. Allocated when there are some.
    gathered: Vec<u8>,
    /// The kind of the last write's error, if it failed: its bytes are missing.
    missing: Option<io::ErrorKind>,
    /// Whether `resume` was called since.
    resumed: bool,
    finished: bool,
}

impl fmt::Debug for Writer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("stream", &self.inner.name)
            .finish_non_exhaustive()
    }
}

impl<'a> Writer<'a> {
    fn new(inner: &'a StreamInner, handle: HandleId) -> Self {
        // If this thread holds a writer already, the calls on this one fail.
        let send = inner.send.lock().ok();
        let send = send.inspect(SendMutexGuard::note_holder);
        Self {
            inner,
            send,
            handle,
            gathered: Vec::new(),
            missing: None,
            resumed: false,
            finished: false,
        }
    }

    /// Returns the state of the message, which this thread uses.
    fn message(&mut self) -> io::Result<&mut OutgoingMessage> {
        match &mut self.send {
            Some(send) => {
                send.note_holder();
                Ok(send)
            }
            None => Err(self.inner.writer_held()),
        }
    }

    /// Lets the message continue after a write to it, or a flush, has failed; see
    /// [`Stream::resume`](crate::Stream::resume).
    ///
    /// A write that failed has accepted none of its bytes, so write them again. What earlier
    /// writes accepted is kept, and sent once: a flush that failed may simply be repeated.
    pub fn resume(&mut self) {
        // A writer without its turn has no message that could have failed.
        if let Ok(message) = self.message() {
            message.resume();
            self.resumed = true;
        }
    }

    /// Sends the rest of the message with its end; an empty message if nothing was written.
    ///
    /// Blocks as a write does.
    ///
    /// # Errors
    ///
    /// The errors of a write. After an error, the stream is aborted.
    #[doc(alias = "shutdown")]
    #[doc(alias = "eof")]
    #[doc(alias = "end")]
    pub fn finish(mut self) -> io::Result<()> {
        let missing = self.missing;
        // Without these bytes the message is not complete, although the rest could be sent.
        if let Some(kind) = missing.or(self.message()?.unresumed_failure()) {
            let cause = Incomplete::Missing(kind);
            return Err(self.inner.refusal_or_incomplete(cause, kind));
        }
        let gathered = mem::take(&mut self.gathered);
        let (inner, handle) = (self.inner, self.handle);
        inner.write_message(self.message()?, handle, &gathered)?;
        self.finished = true;
        Ok(())
    }

    /// Sends one frame.
    fn send(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let (inner, handle) = (self.inner, self.handle);
        inner.write(self.message()?, handle, bufs)
    }

    /// Sends what was gathered.
    fn send_gathered(&mut self) -> io::Result<()> {
        let mut gathered = mem::take(&mut self.gathered);
        let mut outcome = Ok(());
        while !gathered.is_empty() && outcome.is_ok() {
            let sent = self.send(&[IoSlice::new(&gathered)]);
            outcome = sent.map(|sent| drop(gathered.drain(..sent)));
        }
        self.gathered = gathered;
        outcome
    }

    fn gather_or_send(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let len = total_len(bufs);
        // Nothing is accepted for a message that cannot continue.
        let sends = self.message()?.has_failed() || self.inner.raw.is_closed();
        if sends || len.saturating_add(self.gathered.len()) > BUFFER {
            self.send_gathered()?;
        }
        if sends || len >= BUFFER {
            return self.send(bufs);
        }
        if self.gathered.capacity() == 0 {
            self.gathered.reserve_exact(BUFFER);
        }
        for buf in bufs {
            self.gathered.extend_from_slice(buf);
        }
        Ok(len)
    }
}

impl Write for Writer<'_> {
    /// Gathers `buf` if it is shorter than 8 KiB; otherwise sends up to 64 KiB of it.
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(buf)])
    }

    /// Gathers the slices if they are shorter than 8 KiB together; otherwise sends up to
    /// 64 KiB of them in one frame.
    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        if bufs.iter().all(|buf| buf.is_empty()) {
            return Ok(0);
        }
        let accepted = self.gather_or_send(bufs);
        self.missing = accepted.as_ref().err().map(io::Error::kind);
        if accepted.is_err() && !self.gathered.is_empty() {
            self.message()?.fail_begun();
        }
        self.resumed = false;
        accepted
    }

    /// Sends what was gathered. If it fails, what was not sent is kept. Also fails if the last
    /// write has failed and [`resume`](Writer::resume) was not called since: its bytes are
    /// missing.
    fn flush(&mut self) -> io::Result<()> {
        self.message()?;
        self.send_gathered()?;
        match self.missing {
            Some(kind) if !self.resumed => {
                let cause = Incomplete::WriteFailed(kind);
                let kind = io::ErrorKind::BrokenPipe;
                Err(self.inner.refusal_or_incomplete(cause, kind))
            }
            _ => Ok(()),
        }
    }
}

impl Drop for Writer<'_> {
    fn drop(&mut self) {
        if let Some(send) = &mut self.send
            && !self.finished
        {
            **send = OutgoingMessage::Broken;
            self.inner.abort();
        }
    }
}
