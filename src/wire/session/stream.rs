//! A named stream: messages with an end, in both directions, over one yamux
//! stream.

use crate::{
    error::{Error, Refusal},
    sync::{
        OnceLock, SendMutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
        thread::{self, ThreadId},
    },
    wire::session::{
        chunk::{self, CUT_SHORT, END, HEAD},
        frame,
        message::{Reader, Writer},
        receiving::{Messages, Source},
        session::Session,
    },
    yamux::{
        self, StreamId,
        segment::{MAX_PAYLOAD, Segment},
    },
};
use std::{
    fmt,
    io::{self, Read, Write},
    sync::Arc,
    time::Duration,
};

/// A two-way stream of messages, open under a name.
///
/// Each direction carries messages, one after another, of any length. A write
/// adds to the message that is being sent, and leaves at once;
/// [`finish`](Self::finish) ends it. A read takes from the message that is
/// being received, and says `Ok(0)` once at its end; the next read belongs to
/// the next message. So `io::copy(&mut file, &mut stream)` followed by
/// `finish` sends a file, and `io::copy(&mut stream, &mut file)` receives it.
///
/// `Read` and `Write` are there for `&Stream` too: one thread may read while
/// another writes, as with a `TcpStream`. Two threads that read, or two that
/// write, take turns; one waits while the other does.
///
/// **Truncated is never taken for complete.** Only `finish`, [`close`](Self::close)
/// and a handler's `Ok` end a message, and none of them one whose last write
/// failed, or that another thread may still be writing: that breaks the stream
/// off. So does dropping the last handle inside a message. The reader of a message
/// that was not ended gets an error: [`io::ErrorKind::ConnectionReset`] or
/// [`io::ErrorKind::UnexpectedEof`] if the stream was broken off, the connection's
/// error if that was lost, and `UnexpectedEof` if the peer closed the stream
/// without an end mark (see [`set_takes_unmarked_end`](Self::set_takes_unmarked_end)).
///
/// # How a stream is broken off
///
/// A peer that uses this library gets a reset. A go-wirenet peer does not: its
/// `WriteTo` retries after a reset without end. It gets the length of one more
/// chunk and then the end of the stream instead of that chunk, which its `WriteTo`
/// returns as an error. Its `Reader` shows no errors at all, so a program that uses
/// it cannot tell a message that was broken off from a complete one.
pub struct Stream {
    inner: Arc<Inner>,
    handle: HandleId,
}

pub(crate) struct Inner {
    pub(crate) raw: yamux::Stream,
    session: Session,
    pub(crate) name: String,
    recv: SendMutex<Messages>,
    send: SendMutex<Outgoing>,
    /// Why the other side refused it, once that was read.
    refusal: OnceLock<Error>,
    closed: AtomicBool,
    takes_unmarked_end: AtomicBool,
    /// The last message that was read to its end had an end mark. Outside of
    /// `recv`, whose lock a [`Reader`] holds.
    was_finished: AtomicBool,
    /// Handles that were made so far.
    handles: AtomicU32,
}

/// Tells the handles of one stream apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HandleId(u32);

/// Who last wrote to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Author {
    thread: ThreadId,
    handle: HandleId,
}

impl Author {
    fn here(handle: HandleId) -> Self {
        let thread = thread::current().id();
        Self { thread, handle }
    }

    fn is_here(self) -> bool {
        self.thread == thread::current().id()
    }
}

/// The sending side: how the message stands that is being sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Outgoing {
    /// Nothing of it was sent.
    #[default]
    Between,
    /// Some of it was, and not its end.
    Inside(Author),
    /// The last write of it failed in this way: what was not written is missing if it
    /// ends here. If it had `begun`, nothing more is written either, unless the caller
    /// has said that it goes on where that was.
    Failed {
        kind: io::ErrorKind,
        begun: bool,
        resumed: bool,
    },
    /// Some of it was, and the rest could not be: it can never be complete.
    Broken,
}

impl Clone for Stream {
    fn clone(&self) -> Self {
        let number = self.inner.handles.fetch_add(1, Ordering::Relaxed);
        Self {
            inner: Arc::clone(&self.inner),
            handle: HandleId(number),
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
    pub(crate) fn new(raw: yamux::Stream, session: Session, name: String, recv: Messages) -> Self {
        if let Some(timeout) = session.read_timeout() {
            // Not zero: the builder has checked.
            let _ = raw.set_read_timeout(Some(timeout));
        }
        let takes_unmarked_end = session.takes_unmarked_end();
        Self {
            inner: Arc::new(Inner {
                raw,
                session,
                name,
                recv: SendMutex::new(recv),
                send: SendMutex::new(Outgoing::Between),
                refusal: OnceLock::new(),
                closed: AtomicBool::new(false),
                takes_unmarked_end: AtomicBool::new(takes_unmarked_end),
                was_finished: AtomicBool::new(false),
                handles: AtomicU32::new(1),
            }),
            handle: HandleId(0),
        }
    }

    /// The stream's number in its session.
    pub fn id(&self) -> StreamId {
        self.inner.raw.id()
    }

    /// The session that the stream belongs to.
    pub fn session(&self) -> &Session {
        &self.inner.session
    }

    /// The name under which it was opened.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// A second handle to the same stream, for another thread.
    ///
    /// # Errors
    ///
    /// None today; a `Result` as [`std::net::TcpStream::try_clone`] has it.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(self.clone())
    }

    /// Whether the stream was closed on this side, or has ended in both
    /// directions.
    pub fn is_closed(&self) -> bool {
        self.inner.closed.load(Ordering::Acquire) || self.inner.raw.is_closed()
    }

    /// How long a read waits for bytes; `None` is for ever. Default: the read
    /// timeout of the wire, which is `None`.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::InvalidInput`] for a timeout of zero.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.inner.raw.set_read_timeout(timeout)
    }

    /// How long a write waits for the peer to read; `None`, the default, is for
    /// as long as the session lives.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::InvalidInput`] for a timeout of zero.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.inner.raw.set_write_timeout(timeout)
    }

    /// Ends the message that is being sent; an empty one if nothing of it was
    /// written. The next write begins the next message.
    ///
    /// Blocks as a write does.
    ///
    /// # Errors
    ///
    /// Those of a write. If the last write to the message failed, by a write
    /// timeout for one, bytes of it are missing: the stream is broken off, and the
    /// error is of the kind of that write's. An end that could not be sent may be tried
    /// again.
    pub fn finish(&self) -> io::Result<()> {
        self.inner.finish(&mut self.inner.send.lock(), self.handle)
    }

    /// Sends `message` whole, with its end: in one frame if it is short. Ends
    /// a message that was begun before, with these bytes added to it.
    ///
    /// # Errors
    ///
    /// Those of a write. If the message was sent in part then, it can be sent no
    /// further, and the stream is broken off when it is closed or dropped. If nothing
    /// of it was, it may be sent again; until then it is as after any
    /// [write that failed](Self::finish).
    pub fn write_message(&self, message: &[u8]) -> io::Result<()> {
        self.inner
            .write_message(&mut self.inner.send.lock(), self.handle, message)
    }

    /// Lets a message go on of which a write has failed.
    ///
    /// A write that fails when some of the message was sent, by a write timeout for
    /// one, fails all that follow, with [`io::ErrorKind::BrokenPipe`]: after
    /// [`Write::write_all`] or [`io::copy`] nobody knows where the message stands, and
    /// what was written next would take the place of what is missing. A caller of [`Write::write`] does know, as a call that fails
    /// has taken none of its bytes; it calls this, and then writes those bytes again.
    pub fn resume(&self) {
        self.inner.send.lock().resume();
    }

    /// Moves to the beginning of the next message: waits for one, and says
    /// `true`, or `false` when the stream has ended. What was not read of the
    /// current message is skipped.
    ///
    /// # Errors
    ///
    /// Those of a read.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn receive(stream: &mut wirenet::Stream) -> std::io::Result<()> {
    /// while stream.next_message()? {
    ///     std::io::copy(stream, &mut std::io::stdout())?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn next_message(&self) -> io::Result<bool> {
        let inner = &*self.inner;
        inner.recv.lock().next_message(inner)
    }

    /// Whether the last message that was read to its end had an end mark.
    /// `false`: the stream ended instead, before the message had begun, or inside it,
    /// which only [`set_takes_unmarked_end`](Self::set_takes_unmarked_end) lets pass.
    /// Never blocks.
    pub fn was_finished(&self) -> bool {
        self.inner.was_finished()
    }

    /// Whether a message may end with the stream, without an end mark. Default: the
    /// wire's [`Builder::takes_unmarked_end`](super::Builder::takes_unmarked_end),
    /// which is `false`: a read then fails with [`io::ErrorKind::UnexpectedEof`].
    ///
    /// `true` is for peers that send one message and end it by closing the stream,
    /// as a go-wirenet handler does that writes with `Writer` and returns. Such an
    /// end cannot be told from that of a peer that gave up, so the content has to
    /// tell whether all of it is there. A stream that ends inside a chunk is an error
    /// all the same.
    pub fn set_takes_unmarked_end(&self, takes: bool) {
        let option = &self.inner.takes_unmarked_end;
        option.store(takes, Ordering::Release);
    }

    /// Reads the message that is being received, or else the next one, and
    /// stays at its end. Dropped before, it has the rest of the message
    /// skipped when the stream is read again, if any of it was received.
    ///
    /// A message is being received until a read has said `Ok(0)`: who has read
    /// its bytes by count first calls [`next_message`](Self::next_message).
    ///
    /// Until it is dropped, other reads of the stream wait.
    pub fn reader(&self) -> Reader<'_> {
        Reader::new(&self.inner, self.inner.recv.lock())
    }

    /// Writes one message, which [`Writer::finish`] ends. Dropped before, it
    /// resets the stream.
    ///
    /// Until it is dropped, other writes to the stream wait.
    pub fn writer(&self) -> Writer<'_> {
        Writer::new(&self.inner, self.inner.send.lock(), self.handle)
    }

    /// Closes the stream for all its handles: ends the message that is being
    /// sent, if there is one, and then the stream. Reads and writes fail from
    /// now on. What the peer still sends is thrown away; if it goes on for
    /// more than a window, the stream is reset. Closing again does nothing.
    ///
    /// Blocks as a write does while a message has to be ended.
    ///
    /// # Errors
    ///
    /// The stream is [broken off](Self#how-a-stream-is-broken-off) and an error
    /// returned when the message could not be ended (those of a write), when
    /// writing it had [failed](Self::finish), and when another thread may still be
    /// writing it: when that thread wrote last, unless it did so through another
    /// handle and this one is the only one left. After joining a thread that wrote
    /// through a reference, call [`finish`](Self::finish) first. When a handler
    /// returns, the message is ended whichever thread wrote last, if no other handle
    /// is left.
    pub fn close(&self) -> io::Result<()> {
        let handle_is_gone = |author: Author| author.handle != self.handle;
        self.close_if(|author| author.is_here() || self.is_last() && handle_is_gone(author))
    }

    /// Closes a stream that nobody else borrows.
    pub(crate) fn close_exclusive(&mut self) -> io::Result<()> {
        self.close_if(|author| author.is_here() || self.is_last())
    }

    /// Whether no other handle is left through which somebody could write.
    fn is_last(&self) -> bool {
        Arc::strong_count(&self.inner) == 1
    }

    /// Closes the stream, and ends the message if its author is done with it.
    fn close_if(&self, is_done: impl FnOnce(Author) -> bool) -> io::Result<()> {
        let inner = &*self.inner;
        if inner.closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        let Some(mut send) = inner.send.try_lock() else {
            inner.break_off();
            return Err(incomplete(
                io::ErrorKind::ResourceBusy,
                Incomplete::OtherThread,
            ));
        };
        match *send {
            Outgoing::Between => {}
            Outgoing::Inside(author) if !is_done(author) => {
                inner.break_off();
                return Err(incomplete(
                    io::ErrorKind::ResourceBusy,
                    Incomplete::OtherThread,
                ));
            }
            Outgoing::Broken => {
                inner.break_off();
                return Err(incomplete(io::ErrorKind::BrokenPipe, Incomplete::BrokenOff));
            }
            Outgoing::Inside(_) | Outgoing::Failed { .. } => {
                let finished = inner.finish(&mut send, self.handle);
                finished.inspect_err(|_| inner.break_off())?;
            }
        }
        inner.raw.end();
        Ok(())
    }

    /// [Breaks the stream off](Self#how-a-stream-is-broken-off) at once, both
    /// ways: the peer gets an error, and what it has not read yet may be lost.
    /// Reads and writes on this side fail. Does not block.
    pub fn reset(&self) {
        self.inner.closed.store(true, Ordering::Release);
        self.inner.break_off();
    }
}

impl Inner {
    /// Sends as much of `payload` as fits one frame, and the end mark after
    /// all of it if `end` is asked for; how much, and whether the end was.
    fn send(
        &self,
        send: &mut Outgoing,
        handle: HandleId,
        payload: &[u8],
        end: End,
    ) -> io::Result<(usize, bool)> {
        match *send {
            Outgoing::Broken => return Err(yamux::Error::StreamClosed.into()),
            // Of a kind that nobody tries again for, as for a timeout.
            Outgoing::Failed {
                begun: true,
                resumed: false,
                ..
            } => return Err(self.refusal_or_incomplete(io::ErrorKind::BrokenPipe)),
            Outgoing::Failed { .. } | Outgoing::Between | Outgoing::Inside(_) => {}
        }
        let payload = &payload[..payload.len().min(MAX_PAYLOAD)];
        let whole = chunk::encoded_len(payload.len());
        let with_end = whole + HEAD;
        let plan = |credit: usize| {
            // What is left is for breaking the stream off, which never waits.
            let credit = credit.saturating_sub(CUT_SHORT.len());
            match end {
                End::With if credit >= with_end => with_end,
                _ => chunk::encoded_len(chunk::payload_for(credit, payload.len())),
            }
        };
        let mut sent = (0, false);
        let mut fill = |segment: &mut Segment, count| {
            let ended = count == with_end && end == End::With;
            let body = if ended { whole } else { count };
            let bytes = body - body.div_ceil(HEAD + chunk::CHUNK) * HEAD;
            chunk::encode(&payload[..bytes], |piece| segment.put(piece));
            if ended {
                segment.put(&END);
            }
            sent = (bytes, ended);
        };
        loop {
            self.check_answer()?;
            let body = self.raw.send_frame(plan, &mut fill);
            if body.map_err(|error| self.refusal_or(error))? > 0 {
                break;
            }
        }
        *send = match sent.1 {
            true => Outgoing::Between,
            false => Outgoing::Inside(Author::here(handle)),
        };
        Ok(sent)
    }

    pub(crate) fn write(
        &self,
        send: &mut Outgoing,
        handle: HandleId,
        buf: &[u8],
    ) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        let sent = self.send(send, handle, buf, End::Without);
        Ok(sent.inspect_err(|error| send.fail(error))?.0)
    }

    pub(crate) fn finish(&self, send: &mut Outgoing, handle: HandleId) -> io::Result<()> {
        self.write_message(send, handle, &[])
    }

    fn write_message(
        &self,
        send: &mut Outgoing,
        handle: HandleId,
        mut message: &[u8],
    ) -> io::Result<()> {
        let whole = message.len();
        if let Outgoing::Failed { kind, .. } = *send
            && message.is_empty()
        {
            *send = Outgoing::Broken;
            self.break_off();
            return Err(self.refusal_or_incomplete(kind));
        }
        loop {
            let last = message.len() <= MAX_PAYLOAD;
            let end = if last { End::With } else { End::Without };
            let sent = self.send(send, handle, message, end).inspect_err(|error| {
                if message.len() < whole {
                    *send = Outgoing::Broken;
                } else if whole > 0 {
                    send.fail(error);
                }
            });
            let (sent, ended) = sent?;
            if ended {
                return Ok(());
            }
            message = &message[sent..];
        }
    }

    /// A write of the message has failed in this way before.
    fn refusal_or_incomplete(&self, kind: io::ErrorKind) -> io::Error {
        match self.refusal.get() {
            Some(refusal) => refusal.clone().into(),
            None => incomplete(kind, Incomplete::WriteFailed),
        }
    }

    pub(crate) fn was_finished(&self) -> bool {
        self.was_finished.load(Ordering::Acquire)
    }

    /// Ends the stream so that its peer takes what it got for truncated.
    pub(crate) fn break_off(&self) {
        self.raw.abort(&CUT_SHORT);
    }

    /// Whether a stream that was opened without waiting has been refused in
    /// the meantime.
    fn check_answer(&self) -> io::Result<()> {
        // What comes from here on wakes a write that waits.
        self.raw.take_input();
        if let Some(mut recv) = self.recv.try_lock() {
            recv.check_answer(self)?;
        }
        Ok(())
    }

    /// A refused stream is reset if it is written to: the refusal is the cause.
    /// Does not wait for who reads, who may be waiting for this.
    fn refusal_or(&self, error: yamux::Error) -> io::Error {
        match (self.check_answer(), self.refusal.get()) {
            (Err(refusal), _) => refusal,
            (Ok(()), Some(refusal)) => refusal.clone().into(),
            (Ok(()), None) => error.into(),
        }
    }
}

impl Source for Inner {
    fn wait(&self) -> Result<Option<Segment>, yamux::Error> {
        self.raw.read_segment()
    }

    fn ready(&self) -> Option<Segment> {
        self.raw.try_read_segment()
    }

    fn refused(&self, frame: &frame::Frame) -> Error {
        refused(&self.session, &self.name, frame)
    }

    fn answered(&self, refusal: Option<&Error>) {
        self.raw.await_input(false);
        if let Some(refusal) = refusal {
            // First, for a writer in another thread, whom this wakes. The answer is
            // read once, so none is set yet.
            let _ = self.refusal.set(refusal.clone());
            match refusal {
                Error::Refused { .. } => self.raw.end(),
                // The peer may hold it for accepted.
                _ => self.break_off(),
            }
        }
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn takes_unmarked_end(&self) -> bool {
        self.takes_unmarked_end.load(Ordering::Acquire)
    }

    fn message_ended(&self, marked: bool) {
        self.was_finished.store(marked, Ordering::Release);
    }
}

/// What an error frame says.
pub(crate) fn refused(session: &Session, name: &str, frame: &frame::Frame) -> Error {
    session.connection().count_refused();
    Error::Refused {
        name: name.into(),
        refusal: Refusal::from_text(&String::from_utf8_lossy(&frame.payload)),
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // A close has seen to what was sent before it.
        let between = || {
            // Locked: a `Writer` was leaked, whose message may have begun.
            let send = self.send.try_lock();
            send.is_some_and(|send| *send == Outgoing::Between)
        };
        if !self.closed.load(Ordering::Acquire) && !between() {
            self.break_off();
        }
    }
}

impl Outgoing {
    /// A write of the message has failed.
    fn fail(&mut self, error: &io::Error) {
        let begun = match self {
            Self::Broken => return,
            // The first failure is the cause.
            Self::Failed {
                begun: true,
                resumed: false,
                ..
            } => return,
            Self::Failed { begun, .. } => *begun,
            Self::Between => false,
            Self::Inside(_) => true,
        };
        *self = Self::Failed {
            kind: error.kind(),
            begun,
            resumed: false,
        };
    }

    /// The caller goes on where a write has failed.
    pub(crate) fn resume(&mut self) {
        if let Self::Failed { resumed, .. } = self {
            *resumed = true;
        }
    }
}

/// Why a message was not ended, but its stream broken off.
#[derive(Debug, thiserror::Error)]
enum Incomplete {
    #[error("a write to the message failed, so it is incomplete")]
    WriteFailed,
    #[error("the message was sent in part only; the stream was broken off")]
    BrokenOff,
    #[error(
        "another thread wrote last to the message and may not be done; \
         the stream was broken off (call finish first)"
    )]
    OtherThread,
}

fn incomplete(kind: io::ErrorKind, cause: Incomplete) -> io::Error {
    io::Error::new(kind, cause)
}

/// Whether the end of the message is sent along.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    With,
    Without,
}

impl Read for &Stream {
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
    /// Sends at once, up to 64 KiB. An empty `buf` sends nothing.
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let inner = &*self.inner;
        inner.write(&mut inner.send.lock(), self.handle, buf)
    }

    /// Does nothing: what was written is on its way.
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
