//! A stream without messages, for libraries that expect a socket.

use super::{
    chunk::END,
    polling::{Input, try_peek},
    sending::OutgoingMessage,
    session::Session,
    stream::Stream,
    stream_inner::StreamInner,
};
use crate::{
    sync::atomic::{AtomicBool, Ordering},
    yamux::StreamId,
};
use std::{
    fmt,
    io::{self, IoSlice, Read, Write},
    net::Shutdown,
    sync::Arc,
    thread,
    time::Duration,
};

/// A two-way stream of bytes, like a `TcpStream`; created by [`Stream::into_byte_stream`].
///
/// For libraries that own their connection and know nothing of messages: clients and servers
/// of HTTP or WebSocket, TLS inside the stream. `Read` and `Write` are also implemented for
/// `&ByteStream`.
///
/// # Ends
///
/// Each direction is one message, so the peer may use a `ByteStream`, a
/// [pipe](Stream::pipe_with), or `io::copy` and [`finish`](Stream::finish).
///
/// - **Reading** returns `Ok(0)` at the end of the peer's message and from then on, or when
///   the peer closes the stream between two chunks. A reset, a lost connection, or an end
///   inside a chunk is an error, and never an end.
/// - **[`shutdown(Write)`](Self::shutdown)** ends this side's message; reading continues.
/// - **Dropping** the last handle ends what was written, and closes the stream. It does not
///   wait, even if the peer reads nothing. What the peer still sends is discarded; if that is
///   more than a window, the stream is reset. In a [handler](#in-a-handler), this happens when
///   it returns.
/// - If the last write has failed, or the thread panics before the end was sent, dropping
///   [aborts](Stream#how-a-stream-is-aborted) the stream instead: the peer gets an error.
/// - An early return, for example with `?`, drops as well. As with a `TcpStream`, the peer then
///   takes what was written so far for all of the data. To prevent that, call
///   [`reset`](Self::reset) first.
///
/// # In a handler
///
/// The result of a handler decides, as always. While the handler runs, dropping the last handle
/// does not end the stream yet: a handler that then returns `Ok` ends it, and one that returns
/// an error or panics resets it. To end the data earlier, call `shutdown(Write)`. If a handle
/// in another thread outlives a handler that has returned `Ok`, dropping it ends the stream.
///
/// # Timeouts
///
/// A read or write that has failed with [`io::ErrorKind::TimedOut`] may be tried again. A
/// write that fails has sent nothing of its buffer; after [`Write::write_all`] or
/// [`io::copy`] has failed, it is unknown how much was sent.
///
/// No other error has that kind, not even that of a lost connection.
///
/// # Pools
///
/// A close of the session waits for open streams until its timeout has passed, even for idle
/// ones: only the program knows whether it still needs them. Drop pooled and idle streams
/// when [`Session::is_closing`] returns `true`.
///
/// # Examples
///
/// A server that speaks WebSocket on a stream, with the library tungstenite:
///
/// ```
/// # use std::{io, time::Duration};
/// # use wirenet::Wire;
/// let server = Wire::mount("127.0.0.1:0")
///     .stream("chat", |stream| {
///         let bytes = stream.clone().into_byte_stream();
///         let mut socket = tungstenite::accept(bytes).map_err(io::Error::other)?;
///         let message = socket.read().map_err(io::Error::other)?;
///         socket.send(message).map_err(io::Error::other)
///     })
///     .build()?;
/// # server.start()?;
/// # let client = Wire::join(server.local_addr().unwrap().to_string()).build()?;
/// # client.start()?;
/// # let session = client.wait_session(Duration::from_secs(5))?;
///
/// // On the client:
/// let bytes = session.open_stream("chat")?.into_byte_stream();
/// let (mut socket, _) = tungstenite::client("ws://chat/", bytes).map_err(io::Error::other)?;
/// socket.send("hello".into()).map_err(io::Error::other)?;
/// assert_eq!(socket.read().map_err(io::Error::other)?.to_text().unwrap(), "hello");
/// # Ok::<(), io::Error>(())
/// ```
#[derive(Clone)]
#[doc(alias = "socket")]
#[doc(alias = "TcpStream")]
pub struct ByteStream(Arc<Shared>);

/// What the handles of a byte stream share.
struct Shared {
    stream: Stream,
    /// Whether reads return `Ok(0)`. Set while the receiving side is locked, or by
    /// `shutdown`.
    read_ended: AtomicBool,
    /// Whether this direction was shut down. Changed while the sending side is locked.
    write_ended: AtomicBool,
}

impl Stream {
    /// Uses the stream as a plain stream of bytes from now on, like a `TcpStream`: without
    /// messages, and closed when it is dropped.
    ///
    /// If messages were exchanged before, the bytes are the next message in each direction,
    /// or what is left of the current one. A message that was read has ended only when a
    /// read has returned `Ok(0)`. After reading a fixed number of bytes, first call
    /// [`next_message`](Self::next_message) or read the end; otherwise the first read of the
    /// byte stream returns `Ok(0)`. This call also sets
    /// [`takes_unmarked_end`](Self::set_takes_unmarked_end).
    ///
    /// # In a handler
    ///
    /// A handler has a `&mut Stream`; use `stream.clone().into_byte_stream()`. The stream is
    /// then closed once the byte stream has been dropped and the handler has returned `Ok`,
    /// so that another thread may continue to use it. A handler that returns
    /// an error, or panics, resets the stream as always.
    ///
    /// Do not use other handles of the stream afterwards.
    ///
    /// # Examples
    ///
    /// See [`ByteStream`].
    #[doc(alias = "into_bytes")]
    #[doc(alias = "into_inner")]
    pub fn into_byte_stream(self) -> ByteStream {
        self.set_takes_unmarked_end(true);
        self.inner.hold();
        self.inner.is_byte_stream.store(true, Ordering::Release);
        ByteStream(Arc::new(Shared {
            stream: self,
            read_ended: AtomicBool::new(false),
            write_ended: AtomicBool::new(false),
        }))
    }
}

impl From<Stream> for ByteStream {
    fn from(stream: Stream) -> Self {
        stream.into_byte_stream()
    }
}

impl ByteStream {
    /// Returns a second handle to the same stream. The stream is closed when the last handle
    /// is dropped. Cloning does the same.
    ///
    /// # Errors
    ///
    /// Currently never fails. Returns a `Result` as [`std::net::TcpStream::try_clone`] does.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(self.clone())
    }

    /// Ends one direction or both, for all handles.
    ///
    /// - `Write`: the peer reads what was written before, and then the end. Later writes fail
    ///   with [`io::ErrorKind::BrokenPipe`].
    /// - `Read`: reads return `Ok(0)` from now on, even one that waits in another thread. What
    ///   the peer still sends is discarded; if that is more than a window, the stream is
    ///   reset, in both directions.
    /// - When both are shut down, the stream is closed.
    ///
    /// Shutting down again does nothing.
    ///
    /// `Write` and `Both` wait for a write that is in progress on another thread. They do not
    /// wait for the peer to read, unless its window was full already when the stream became
    /// a `ByteStream`.
    ///
    /// # Errors
    ///
    /// For `Write` and `Both`: if the last write failed, so that bytes are missing, the stream
    /// is aborted, and the error has the kind of that write's error. If the stream was reset
    /// or its session has ended, the error is that of a write. [`io::ErrorKind::Deadlock`] if
    /// this thread holds a [`Writer`](crate::Writer) of the stream.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        let ended = match how {
            Shutdown::Read => Ok(()),
            Shutdown::Write | Shutdown::Both => self.0.end_writing(),
        };
        if how != Shutdown::Write {
            self.0.read_ended.store(true, Ordering::Release);
            // Never fails.
            let _ = self.inner().raw.shutdown(Shutdown::Read);
        }
        self.0.close_if_ended();
        ended
    }

    /// Sets how long a read waits; see [`Stream::set_read_timeout`].
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::InvalidInput`] if the timeout is zero.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.0.stream.set_read_timeout(timeout)
    }

    /// Sets how long a write waits for the peer to read; see [`Stream::set_write_timeout`].
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::InvalidInput`] if the timeout is zero.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.0.stream.set_write_timeout(timeout)
    }

    /// Returns whether a read would return at once: with bytes, the end, or an error. Never
    /// blocks; `false` while another thread reads.
    ///
    /// A stream that is idle in a pool between two requests is still usable if this returns
    /// `false`.
    pub fn is_readable(&self) -> bool {
        let Some(mut recv) = self.inner().recv.try_lock() else {
            return false;
        };
        if self.0.read_ended.load(Ordering::Acquire) {
            return true;
        }
        match try_peek(self.inner(), &mut recv) {
            Ok(Input::Nothing) => false,
            Ok(Input::End) => {
                self.0.read_ended.store(true, Ordering::Release);
                true
            }
            Ok(Input::Bytes(_)) => true,
            // A read returns the error again.
            Err(_) => true,
        }
    }

    /// Returns the number of the stream, which is unique in its session.
    pub fn id(&self) -> StreamId {
        self.0.stream.id()
    }

    /// Returns the name under which the stream was opened.
    pub fn name(&self) -> &str {
        self.0.stream.name()
    }

    /// Returns the session that the stream belongs to, which knows the addresses.
    pub fn session(&self) -> &Session {
        self.0.stream.session()
    }

    /// Aborts the stream: the peer gets an error. Reads and writes on this side fail. Does
    /// not block.
    #[doc(alias = "abort")]
    pub fn reset(&self) {
        self.0.stream.reset();
    }

    fn inner(&self) -> &StreamInner {
        &self.0.stream.inner
    }
}

impl Shared {
    /// Sends the end of the data.
    fn end_writing(&self) -> io::Result<()> {
        let inner = &*self.stream.inner;
        let mut send = inner.lock_send()?;
        if self.write_ended.load(Ordering::Acquire) {
            return Ok(());
        }
        let is_whole = matches!(*send, OutgoingMessage::Between | OutgoingMessage::Inside(_));
        if is_whole && inner.end_now(&mut send) {
            inner.raw.flush_queued();
            inner.raw.rest();
        } else {
            // Returns the error, or waits for credit that the earlier message has used up.
            inner.finish(&mut send, self.stream.handle)?;
        }
        self.write_ended.store(true, Ordering::Release);
        Ok(())
    }

    fn close_if_ended(&self) {
        let ended = [&self.read_ended, &self.write_ended];
        if ended.iter().all(|ended| ended.load(Ordering::Acquire)) {
            // The message has ended.
            self.stream.inner.closed.store(true, Ordering::Release);
            self.stream.inner.raw.end();
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let inner = &*self.stream.inner;
        let is_cut = thread::panicking() && !self.write_ended.load(Ordering::Acquire);
        if is_cut {
            inner.abort_begun();
        }
        if !inner.let_go() {
            return;
        }
        match is_cut {
            true => inner.abort(),
            false => inner.end_without_waiting(),
        }
    }
}

impl Read for &ByteStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        let read_ended = &self.0.read_ended;
        let mut recv = self.inner().lock_recv()?;
        if read_ended.load(Ordering::Acquire) {
            return Ok(0);
        }
        match recv.read(self.inner(), buf) {
            Ok(0) => read_ended.store(true, Ordering::Release),
            // Another thread has shut the stream down.
            Err(_) if read_ended.load(Ordering::Acquire) => {}
            read => return read,
        }
        Ok(0)
    }
}

impl Read for ByteStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buf)
    }
}

impl Write for &ByteStream {
    /// Sends up to 64 KiB at once. An empty `buf` sends nothing.
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(buf)])
    }

    /// Sends the slices in order, up to 64 KiB, in one frame.
    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut send = self.inner().lock_send()?;
        if self.0.write_ended.load(Ordering::Acquire) {
            let name = self.name();
            let text = format!(
                "stream {name:?} was shut down for writing on this side; open another one to \
                 write more"
            );
            return Err(io::Error::new(io::ErrorKind::BrokenPipe, text));
        }
        // A write that failed has sent nothing of its buffer.
        send.resume();
        self.inner().write(&mut send, self.0.stream.handle, bufs)
    }

    /// Does nothing: writes are not buffered.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Write for ByteStream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (&*self).write(buf)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self).write_vectored(bufs)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for ByteStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByteStream")
            .field("name", &self.name())
            .field("id", &self.id())
            .field("session", &self.session().id())
            .finish_non_exhaustive()
    }
}

impl StreamInner {
    /// Keeps the stream open until [`let_go`](Self::let_go) has been called as often as this.
    pub(super) fn hold(&self) {
        self.holds.fetch_add(1, Ordering::AcqRel);
    }

    /// Returns `true` if nothing holds the stream any more, and it was not closed before. The
    /// caller then ends or aborts it.
    fn let_go(&self) -> bool {
        self.holds.fetch_sub(1, Ordering::AcqRel) == 1 && !self.closed.swap(true, Ordering::AcqRel)
    }

    /// Ends the data and closes the stream, if nothing holds it any more. Does not wait.
    pub(super) fn release(&self) {
        if self.let_go() {
            self.end_without_waiting();
        }
    }

    /// Ends the data and the stream.
    fn end_without_waiting(&self) {
        // If it is locked, another handle of the stream has a writer.
        let mut send = self.send.try_lock();
        let is_complete = match send.as_deref_mut() {
            Some(OutgoingMessage::Between) => true,
            Some(send @ OutgoingMessage::Inside(_)) => self.end_now(send),
            _ => false,
        };
        if is_complete {
            self.raw.end();
        } else {
            self.abort();
        }
    }

    /// Aborts the stream if a message has begun. A handler may go on after a panic.
    fn abort_begun(&self) {
        let send = self.send.try_lock();
        if !matches!(send.as_deref(), Some(OutgoingMessage::Between)) {
            self.closed.store(true, Ordering::Release);
            self.abort();
        }
    }

    /// Queues the end mark of the current message without waiting: writes leave credit for
    /// it. If the window was full before the stream became one of bytes, this takes the
    /// credit that is kept for an abort, which the whole message no longer needs. Returns
    /// `false` if there is no credit, or the stream has ended.
    fn end_now(&self, send: &mut OutgoingMessage) -> bool {
        let queued = self.raw.queue_last(&END);
        if queued {
            *send = OutgoingMessage::Between;
        }
        queued
    }
}
