//! One message of a named stream, read or written as a thing of its own.

use crate::{
    sync::SendMutexGuard,
    wire::session::{
        receiving::Messages,
        stream::{HandleId, Inner, Outgoing},
    },
};
use std::{
    fmt,
    io::{self, BufRead, Read, Write},
};

/// Reads one message; see [`Stream::reader`](super::Stream::reader).
pub struct Reader<'a> {
    inner: &'a Inner,
    recv: SendMutexGuard<'a, Messages>,
    at_end: bool,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(inner: &'a Inner, recv: SendMutexGuard<'a, Messages>) -> Self {
        Self {
            inner,
            recv,
            at_end: false,
        }
    }
}

impl Reader<'_> {
    /// Whether the message was ended by an end mark; see
    /// [`Stream::was_finished`](super::Stream::was_finished). `false` until it
    /// has been read to its end.
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

/// Writes one message; see [`Stream::writer`](super::Stream::writer).
pub struct Writer<'a> {
    inner: &'a Inner,
    send: SendMutexGuard<'a, Outgoing>,
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
    pub(crate) fn new(
        inner: &'a Inner,
        send: SendMutexGuard<'a, Outgoing>,
        handle: HandleId,
    ) -> Self {
        Self {
            inner,
            send,
            handle,
            finished: false,
        }
    }

    /// Lets the message go on after a write that failed; see
    /// [`Stream::resume`](super::Stream::resume).
    pub fn resume(&mut self) {
        self.send.resume();
    }

    /// Ends the message; an empty one if nothing was written.
    ///
    /// # Errors
    ///
    /// Those of a write; the stream is reset then.
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
            *self.send = Outgoing::Broken;
            self.inner.break_off();
        }
    }
}
