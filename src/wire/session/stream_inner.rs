//! The state that all handles of one named stream share. It connects the yamux
//! stream with the sending side ([`OutgoingMessage`]) and the receiving side
//! ([`IncomingMessages`]).

use super::{
    chunk::{CUT_SHORT, END},
    frame::Frame,
    receiving::{IncomingMessages, Source},
    sending::{Author, EndMark, HandleId, Incomplete, OutgoingMessage, Planned},
    session::Session,
};
use crate::{
    error::Error,
    sync::{
        HeldHere, OnceLock, SendMutex, SendMutexGuard,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    yamux::{
        self, Rest,
        segment::{MAX_PAYLOAD, Segment, total_len},
    },
};
use std::{
    cell::Cell,
    io::{self, IoSlice},
    sync::Arc,
};

pub(crate) struct StreamInner {
    pub(super) raw: yamux::Stream,
    pub(super) session: Session,
    pub(super) name: Arc<str>,
    pub(super) recv: SendMutex<IncomingMessages>,
    pub(super) send: SendMutex<OutgoingMessage>,
    /// Why the peer refused the stream, once the refusal was read.
    refusal: OnceLock<Error>,
    pub(super) closed: AtomicBool,
    /// Whether the program has reset the stream.
    pub(super) was_reset: AtomicBool,
    pub(super) takes_unmarked_end: AtomicBool,
    /// Whether a [`ByteStream`](super::byte_stream::ByteStream) closes the stream.
    pub(super) is_byte_stream: AtomicBool,
    /// How many things keep the stream open once it is a stream of bytes: its byte streams,
    /// and its handler while that runs.
    pub(super) holds: AtomicU32,
    /// Whether the last message that was read to its end had an end mark. Not inside
    /// `recv`, because a [`Reader`](super::stream_read::Reader) holds that lock.
    was_finished: AtomicBool,
    /// The number of handles made so far.
    handles: AtomicU32,
}

impl StreamInner {
    /// Returns the stream and its first handle.
    pub(super) fn new(
        raw: yamux::Stream,
        session: Session,
        name: Arc<str>,
        recv: IncomingMessages,
    ) -> (Self, HandleId) {
        raw.set_name(Arc::clone(&name));
        let takes_unmarked_end = session.takes_unmarked_end();
        let inner = Self {
            raw,
            session,
            name,
            recv: SendMutex::new(recv),
            send: SendMutex::new(OutgoingMessage::Between),
            refusal: OnceLock::new(),
            closed: AtomicBool::new(false),
            was_reset: AtomicBool::new(false),
            takes_unmarked_end: AtomicBool::new(takes_unmarked_end),
            is_byte_stream: AtomicBool::new(false),
            holds: AtomicU32::new(0),
            was_finished: AtomicBool::new(false),
            handles: AtomicU32::new(0),
        };
        let handle = inner.new_handle();
        (inner, handle)
    }

    pub(super) fn new_handle(&self) -> HandleId {
        HandleId(self.handles.fetch_add(1, Ordering::Relaxed))
    }

    pub(super) fn was_finished(&self) -> bool {
        self.was_finished.load(Ordering::Acquire)
    }

    // -- sending --

    pub(super) fn write(
        &self,
        send: &mut OutgoingMessage,
        handle: HandleId,
        bufs: &[IoSlice<'_>],
    ) -> io::Result<usize> {
        if bufs.iter().all(|buf| buf.is_empty()) {
            return Ok(0);
        }
        let sent = self.send_frame(send, handle, bufs, EndMark::Without);
        Ok(sent.inspect_err(|error| send.fail(error))?.bytes)
    }

    pub(super) fn finish(&self, send: &mut OutgoingMessage, handle: HandleId) -> io::Result<()> {
        self.write_message(send, handle, &[])
    }

    pub(super) fn write_message(
        &self,
        send: &mut OutgoingMessage,
        handle: HandleId,
        mut message: &[u8],
    ) -> io::Result<()> {
        let len = message.len();
        if let OutgoingMessage::Failed { kind, .. } = *send
            && message.is_empty()
        {
            *send = OutgoingMessage::Broken;
            self.abort();
            return Err(self.refusal_or_incomplete(Incomplete::Missing(kind), kind));
        }
        loop {
            let is_last = message.len() <= MAX_PAYLOAD;
            let end = match is_last {
                true => EndMark::With,
                false => EndMark::Without,
            };
            let sent = self.send_frame(send, handle, &[IoSlice::new(message)], end);
            let sent = sent.inspect_err(|error| {
                if message.len() < len {
                    *send = OutgoingMessage::Broken;
                } else if len > 0 {
                    send.fail(error);
                }
            })?;
            if sent.end == EndMark::With {
                return Ok(());
            }
            message = &message[sent.bytes..];
        }
    }

    /// Sends one frame with as much of `payload` as fits, and with the end mark if it
    /// is requested and fits. Returns what was sent.
    fn send_frame(
        &self,
        send: &mut OutgoingMessage,
        handle: HandleId,
        payload: &[IoSlice<'_>],
        end: EndMark,
    ) -> io::Result<Planned> {
        match *send {
            OutgoingMessage::Broken => {
                let stream = yamux::AboutStream::new(self.raw.id());
                let closed = yamux::Error::StreamClosed(stream);
                return Err(self
                    .reset_error()
                    .unwrap_or(closed)
                    .on_stream(&self.name)
                    .into());
            }
            // Not the kind of the first failure, because callers try again after a
            // timeout.
            OutgoingMessage::Failed {
                kind,
                begun: true,
                resumed: false,
            } => {
                let cause = Incomplete::WriteFailed(kind);
                return Err(self.refusal_or_incomplete(cause, io::ErrorKind::BrokenPipe));
            }
            OutgoingMessage::Failed { .. }
            | OutgoingMessage::Between
            | OutgoingMessage::Inside(_) => {}
        }
        let len = total_len(payload).min(MAX_PAYLOAD);
        // Invariant: the frame that is filled is the one that was planned last.
        let planned = Cell::new(Planned::NOTHING);
        // A byte stream ends without waiting, whatever was written.
        let kept = match (end, self.is_byte_stream.load(Ordering::Acquire)) {
            (EndMark::Without, true) => END.len(),
            _ => 0,
        };
        let plan = |credit: usize| {
            let credit = credit.saturating_sub(kept);
            planned.set(Planned::within(credit, len, end));
            planned.get().encoded_len()
        };
        let fill = |segment: &mut Segment, count: usize| {
            debug_assert_eq!(planned.get().encoded_len(), count);
            planned.get().fill(payload, segment);
            match planned.get().end {
                EndMark::With => Rest::Resting,
                EndMark::Without => Rest::Busy,
            }
        };
        loop {
            self.check_answer()?;
            let sent = self.raw.send_frame(plan, fill);
            if sent.map_err(|error| self.refusal_or(error))? > 0 {
                break;
            }
        }
        let sent = planned.get();
        *send = match sent.end {
            EndMark::With => OutgoingMessage::Between,
            EndMark::Without => OutgoingMessage::Inside(Author::current(handle)),
        };
        Ok(sent)
    }

    // -- refusals --

    /// Returns an error if the peer has refused the stream, which was opened without
    /// waiting for the answer.
    fn check_answer(&self) -> io::Result<()> {
        // From here on, input wakes a write that waits.
        self.raw.take_input();
        if let Some(mut recv) = self.recv.try_lock() {
            recv.check_answer(self)?;
        }
        Ok(())
    }

    /// Returns the refusal as the cause of `error`, if there is one: the peer resets a
    /// stream that it has refused. Does not wait for a thread that reads, which may be
    /// waiting for this one.
    fn refusal_or(&self, error: yamux::Error) -> io::Error {
        match (self.check_answer(), self.refusal.get()) {
            (Err(refusal), _) => refusal,
            (Ok(()), Some(refusal)) => refusal.clone().into(),
            (Ok(()), None) => error.on_stream(&self.name).into(),
        }
    }

    /// Returns the refusal, or an error which states that this side has reset the stream, or
    /// else one which states that an earlier write to the message failed.
    pub(super) fn refusal_or_incomplete(
        &self,
        cause: Incomplete,
        kind: io::ErrorKind,
    ) -> io::Error {
        match (self.refusal.get(), self.reset_error()) {
            (Some(refusal), _) => refusal.clone().into(),
            (None, Some(reset)) => reset.on_stream(&self.name).into(),
            (None, None) => cause.error(kind),
        }
    }

    /// Returns the error of a stream that the program has reset.
    fn reset_error(&self) -> Option<yamux::Error> {
        let was_reset = self.was_reset.load(Ordering::Acquire);
        let about = || yamux::AboutStream::new(self.raw.id());
        was_reset.then(|| yamux::Error::Reset(about()))
    }

    // -- turns --

    /// Waits for the turn to send.
    ///
    /// # Errors
    ///
    /// If this thread holds a [`Writer`](super::stream_write::Writer).
    pub(super) fn lock_send(&self) -> io::Result<SendMutexGuard<'_, OutgoingMessage>> {
        self.send.lock().map_err(|HeldHere| self.writer_held())
    }

    /// Waits for the turn to receive.
    ///
    /// # Errors
    ///
    /// If this thread holds a [`Reader`](super::stream_read::Reader).
    pub(super) fn lock_recv(&self) -> io::Result<SendMutexGuard<'_, IncomingMessages>> {
        self.recv.lock().map_err(|HeldHere| self.reader_held())
    }

    /// Returns the error of a thread that would wait for its own `Writer`.
    pub(super) fn writer_held(&self) -> io::Error {
        self.deadlock("Writer", "finish or drop it first")
    }

    /// Returns the error of a thread that would wait for its own `Reader`.
    pub(super) fn reader_held(&self) -> io::Error {
        self.deadlock("Reader", "drop it first")
    }

    fn deadlock(&self, held: &str, advice: &str) -> io::Error {
        let name = &self.name;
        let text = format!("this thread holds a {held} of stream {name:?}; {advice}");
        io::Error::new(io::ErrorKind::Deadlock, text)
    }

    // -- the end --

    /// Closes the stream, and ends the message if `is_done` returns that its author
    /// will not write to it again.
    pub(super) fn close(
        &self,
        handle: HandleId,
        is_done: impl FnOnce(Author) -> bool,
    ) -> io::Result<()> {
        if self.closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        let Some(mut send) = self.send.try_lock() else {
            return Err(self.abort_incomplete(match self.send.is_held_here() {
                true => Incomplete::HeldHere,
                false => Incomplete::OtherThread,
            }));
        };
        match *send {
            OutgoingMessage::Between => {}
            OutgoingMessage::Inside(author) if !is_done(author) => {
                return Err(self.abort_incomplete(Incomplete::OtherThread));
            }
            OutgoingMessage::Broken => return Err(self.abort_incomplete(Incomplete::Aborted)),
            OutgoingMessage::Inside(_) | OutgoingMessage::Failed { .. } => {
                let finished = self.finish(&mut send, handle);
                finished.inspect_err(|_| self.abort())?;
            }
        }
        self.raw.end();
        Ok(())
    }

    fn abort_incomplete(&self, cause: Incomplete) -> io::Error {
        self.abort();
        let kind = match cause {
            Incomplete::OtherThread | Incomplete::HeldHere => io::ErrorKind::ResourceBusy,
            Incomplete::WriteFailed(_) | Incomplete::Missing(_) | Incomplete::Aborted => {
                io::ErrorKind::BrokenPipe
            }
        };
        cause.error(kind)
    }

    /// Ends the stream so that the peer sees an error.
    pub(super) fn abort(&self) {
        self.raw.abort(&CUT_SHORT);
    }
}

impl Source for StreamInner {
    fn read_segment(&self) -> Result<Option<Segment>, yamux::Error> {
        let segment = self.raw.read_segment();
        segment.map_err(|error| error.on_stream(&self.name))
    }

    fn try_read_segment(&self) -> Option<Segment> {
        self.raw.try_read_segment()
    }

    fn refusal(&self, frame: &Frame) -> Error {
        self.session.refusal(&self.name, frame)
    }

    fn on_answer(&self, refusal: Option<&Error>) {
        self.raw.await_input(false);
        if let Some(refusal) = refusal {
            // Before the end, which wakes a writer in another thread. The answer is read
            // once, so no refusal is set yet.
            let _ = self.refusal.set(refusal.clone());
            match refusal {
                Error::Refused { .. } => self.raw.end(),
                // The peer may have accepted the stream.
                _ => self.abort(),
            }
        }
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn takes_unmarked_end(&self) -> bool {
        self.takes_unmarked_end.load(Ordering::Acquire)
    }

    fn on_message_end(&self, marked: bool) {
        self.was_finished.store(marked, Ordering::Release);
    }
}

impl Drop for StreamInner {
    fn drop(&mut self) {
        let is_between = || {
            // If it is locked, a `Writer` was leaked, whose message may have begun.
            let send = self.send.try_lock();
            send.is_some_and(|send| *send == OutgoingMessage::Between)
        };
        // After a close, the message has been ended or aborted already.
        if !self.closed.load(Ordering::Acquire) && !is_between() {
            self.abort();
        }
    }
}
