//! The sending half of the public handle of a stream, and [`Writer`].

use crate::{
    sync::SendMutexGuard,
    wire::session::{
        sending::{HandleId, Incomplete, OutgoingMessage},
        stream::Stream,
        stream_inner::StreamInner,
    },
};
use std::{
    fmt,
    io::{self, Write},
    time::Duration,
};

/// Sending messages.
impl Stream {
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
        let mut send = self.inner.send.lock();
        self.inner.finish(&mut send, self.handle)
    }

    /// Returns a buffered writer of one message, which [`Writer::finish`] ends.
    ///
    /// Other writes to the stream wait until the writer is dropped. If it is dropped
    /// before `finish`, the stream is [aborted](Self#how-a-stream-is-aborted).
    ///
    /// See [`Writer`] for an example.
    pub fn writer(&self) -> Writer<'_> {
        Writer::new(&self.inner, self.inner.send.lock(), self.handle)
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
    /// #         stream.write_message(size.to_string().as_bytes())
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
        self.inner.send.lock().resume();
    }

    /// Sets how long a write waits for the peer to read. `None`, the default, means
    /// until the session ends.
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
}

/// Not buffered: each call sends a frame at once. For many small writes, for example those
/// of `serde_json::to_writer` or `write!`, use [`Stream::writer`], which buffers, or
/// [`Stream::write_message`].
impl Write for &Stream {
    /// Sends up to 64 KiB at once, in a frame of its own. An empty `buf` sends nothing.
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let inner = &*self.inner;
        inner.write(&mut inner.send.lock(), self.handle, buf)
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
/// #         stream.write_message(size.to_string().as_bytes())
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
    send: SendMutexGuard<'a, OutgoingMessage>,
    handle: HandleId,
    /// Bytes that were accepted and not sent yet. Allocated when there are some.
    gathered: Vec<u8>,
    /// The kind of the last write's error, if it failed: its bytes are missing.
    missing: Option<io::ErrorKind>,
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
    pub(super) fn new(
        inner: &'a StreamInner,
        send: SendMutexGuard<'a, OutgoingMessage>,
        handle: HandleId,
    ) -> Self {
        Self {
            inner,
            send,
            handle,
            gathered: Vec::new(),
            missing: None,
            finished: false,
        }
    }

    /// Lets the message continue after a write to it, or a flush, has failed; see
    /// [`Stream::resume`](crate::Stream::resume).
    ///
    /// A write that failed has accepted none of its bytes, so write them again. What earlier
    /// writes accepted is kept, and sent once: a flush that failed may just be repeated.
    pub fn resume(&mut self) {
        self.send.resume();
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
        // Without these bytes the message is not complete, although the rest could be sent.
        if let Some(kind) = self.missing.or(self.send.unresumed_failure()) {
            return Err(self.inner.refusal_or_incomplete(Incomplete::Missing, kind));
        }
        self.inner
            .write_message(&mut self.send, self.handle, &self.gathered)?;
        self.finished = true;
        Ok(())
    }

    /// Sends what was gathered.
    fn send_gathered(&mut self) -> io::Result<()> {
        while !self.gathered.is_empty() {
            let gathered = &self.gathered;
            let sent = self.inner.write(&mut self.send, self.handle, gathered)?;
            self.gathered.drain(..sent);
        }
        Ok(())
    }

    fn gather_or_send(&mut self, buf: &[u8]) -> io::Result<usize> {
        // Nothing is accepted for a message that cannot continue.
        let sends = self.send.has_failed() || self.inner.raw.is_closed();
        if sends || self.gathered.len() + buf.len() > BUFFER {
            self.send_gathered()?;
        }
        if sends || buf.len() >= BUFFER {
            return self.inner.write(&mut self.send, self.handle, buf);
        }
        if self.gathered.capacity() == 0 {
            self.gathered.reserve_exact(BUFFER);
        }
        self.gathered.extend_from_slice(buf);
        Ok(buf.len())
    }
}

impl Write for Writer<'_> {
    /// Gathers `buf` if it is shorter than 8 KiB; otherwise sends up to 64 KiB of it.
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        let accepted = self.gather_or_send(buf);
        self.missing = accepted.as_ref().err().map(io::Error::kind);
        if accepted.is_err() && !self.gathered.is_empty() {
            self.send.fail_begun();
        }
        accepted
    }

    /// Sends what was gathered. If it fails, what was not sent is kept.
    fn flush(&mut self) -> io::Result<()> {
        self.send_gathered()
    }
}

impl Drop for Writer<'_> {
    fn drop(&mut self) {
        if !self.finished {
            *self.send = OutgoingMessage::Broken;
            self.inner.abort();
        }
    }
}
