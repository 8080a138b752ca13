//! A reader and a writer of one message of a named stream.

use super::{
    receiving::IncomingMessages,
    sending::{HandleId, OutgoingMessage},
    stream_inner::StreamInner,
};
use crate::sync::SendMutexGuard;
use std::{
    fmt,
    io::{self, BufRead, Read, Write},
};

/// Reads one message of a stream; made by [`Stream::reader`](crate::Stream::reader).
///
/// Returns `Ok(0)` at the end of the message, and from then on. Also implements
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
/// # let client = wirenet::Wire::join(server.local_addr().unwrap().to_string()).build()?;
/// # client.start()?;
/// # let session = client.wait_session(Duration::from_secs(5))?;
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
    recv: SendMutexGuard<'a, IncomingMessages>,
    at_end: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn new(inner: &'a StreamInner, recv: SendMutexGuard<'a, IncomingMessages>) -> Self {
        Self {
            inner,
            recv,
            at_end: false,
        }
    }
}

impl Reader<'_> {
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
        let count = self.recv.read(self.inner, buf)?;
        self.at_end = count == 0;
        Ok(count)
    }
}

impl BufRead for Reader<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at_end {
            return Ok(&[]);
        }
        let buf = self.recv.fill_buf(self.inner)?;
        self.at_end = buf.is_empty();
        Ok(buf)
    }

    fn consume(&mut self, count: usize) {
        if !self.at_end {
            self.recv.consume(count);
        }
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        if !self.at_end {
            self.recv.skip_message();
        }
    }
}

/// Writes one message of a stream; made by [`Stream::writer`](crate::Stream::writer).
///
/// Each write is sent at once, and blocks as writes to the stream do. [`finish`] ends the
/// message; a writer that is dropped before [aborts the stream], so that the peer does not
/// take a part of the message for all of it.
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
/// # let client = wirenet::Wire::join(server.local_addr().unwrap().to_string()).build()?;
/// # client.start()?;
/// # let session = client.wait_session(Duration::from_secs(5))?;
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
pub struct Writer<'a> {
    inner: &'a StreamInner,
    send: SendMutexGuard<'a, OutgoingMessage>,
    handle: HandleId,
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
            finished: false,
        }
    }

    /// Lets the message continue after a write to it has failed; see
    /// [`Stream::resume`](crate::Stream::resume).
    pub fn resume(&mut self) {
        self.send.resume();
    }

    /// Ends the message; an empty one if nothing was written.
    ///
    /// Blocks as a write does.
    ///
    /// # Errors
    ///
    /// Those of a write. The stream is aborted then.
    #[doc(alias = "shutdown")]
    #[doc(alias = "eof")]
    #[doc(alias = "end")]
    pub fn finish(mut self) -> io::Result<()> {
        self.inner.finish(&mut self.send, self.handle)?;
        self.finished = true;
        Ok(())
    }
}

impl Write for Writer<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.inner.write(&mut self.send, self.handle, buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
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
