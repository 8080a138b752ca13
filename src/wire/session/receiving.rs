//! The receiving side of a named stream: first the answer to its opening, if that has
//! not been received yet, and then messages. Pure, over a [`Source`] of bytes.

use crate::{
    error::{Error, Malformed},
    wire::session::{
        chunk::{ChunkDecoder, Step},
        frame::{Frame, FrameDecoder, FrameKind},
    },
    yamux::{self, segment::Segment},
};
use std::{collections::VecDeque, io, mem};

/// The stream that provides the bytes.
pub(crate) trait Source {
    /// Waits for the next bytes. Returns `None` at the end of the stream.
    fn read_segment(&self) -> Result<Option<Segment>, yamux::Error>;
    /// Returns the next bytes if they have been received already.
    fn try_read_segment(&self) -> Option<Segment>;
    /// Converts an error frame of the peer into an [`Error`].
    fn refusal(&self, frame: &Frame) -> Error;
    /// Returns the name under which the stream was opened. An *accept* frame
    /// repeats it.
    fn name(&self) -> &str;
    /// Called when the answer to the opening was read: the stream is accepted, or refused
    /// for this reason.
    fn on_answer(&self, refusal: Option<&Error>);
    /// Returns whether a message may end with the stream, without an end mark.
    fn takes_unmarked_end(&self) -> bool;
    /// Called when a message has ended, with an end mark, or without one at the end of
    /// the stream.
    fn on_message_end(&self, marked: bool);
}

/// The state of the receiving side.
#[derive(Debug)]
pub(crate) struct IncomingMessages {
    /// Bytes that were received and not used yet.
    segment: Segment,
    answer: OpenAnswer,
    chunks: ChunkDecoder,
    position: Position,
    /// Whether the caller has read a part of the current message.
    begun: bool,
    /// Whether the rest of the current message is to be skipped.
    skipping: bool,
    /// What [`read_message`](Self::read_message) had read of the current message when it
    /// failed. The next read continues with it.
    kept: VecDeque<u8>,
}

/// The answer to the opening of the stream.
#[derive(Debug)]
enum OpenAnswer {
    Awaited(FrameDecoder),
    Accepted,
    Refused(Error),
}

/// Where the caller is in the sequence of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Position {
    /// Before a message of which nothing has been received.
    Between,
    Inside,
    /// After an end mark that was read, but not yet returned to the caller as `Ok(0)`.
    AtEnd,
}

/// What is next in the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// This many bytes of the message.
    Bytes(usize),
    /// The end of the message.
    End,
    /// The end of the stream. With [`Blocking::No`] also: no more has been received yet.
    Nothing,
}

/// Whether to wait for bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blocking {
    Yes,
    No,
}

impl IncomingMessages {
    /// Creates the state for a stream that is already accepted. `segment` contains
    /// bytes that were received together with its opening.
    pub(crate) fn accepted(segment: Segment) -> Self {
        Self::new(OpenAnswer::Accepted, segment)
    }

    /// Creates the state for a stream whose opening has not been answered yet.
    pub(crate) fn unanswered() -> Self {
        let answer = OpenAnswer::Awaited(FrameDecoder::default());
        Self::new(answer, Segment::default())
    }

    fn new(answer: OpenAnswer, segment: Segment) -> Self {
        Self {
            segment,
            answer,
            chunks: ChunkDecoder::default(),
            position: Position::Between,
            begun: false,
            skipping: false,
            kept: VecDeque::new(),
        }
    }

    // -- the answer --

    /// Waits for the answer.
    ///
    /// # Errors
    ///
    /// When the stream is refused, or the answer cannot be read.
    pub(crate) fn await_answer(&mut self, source: &impl Source) -> Result<(), Error> {
        loop {
            if let Some(answer) = self.read_answer(source) {
                return answer;
            }
            match source.read_segment()? {
                Some(segment) => self.segment = segment,
                None => return Err(Error::malformed("answer", Malformed::EndedEarly)),
            }
        }
    }

    /// Reads the answer if it has been received. Does not wait.
    ///
    /// # Errors
    ///
    /// When the stream is refused.
    pub(crate) fn check_answer(&mut self, source: &impl Source) -> io::Result<()> {
        while matches!(self.answer, OpenAnswer::Awaited(_)) {
            if let Some(answer) = self.read_answer(source) {
                return answer.map_err(Into::into);
            }
            match source.try_read_segment() {
                Some(segment) => self.segment = segment,
                None => return Ok(()),
            }
        }
        self.read_answer(source)
            .unwrap_or(Ok(()))
            .map_err(Into::into)
    }

    /// Reads the answer from the current segment. Returns `None` if it is incomplete.
    fn read_answer(&mut self, source: &impl Source) -> Option<Result<(), Error>> {
        let decoder = match &mut self.answer {
            OpenAnswer::Accepted => return Some(Ok(())),
            OpenAnswer::Refused(error) => return Some(Err(error.clone())),
            OpenAnswer::Awaited(decoder) => decoder,
        };
        let mut input = self.segment.data();
        let found = decoder.next(&mut input);
        let used = self.segment.len() - input.len();
        self.segment.consume(used);
        let error = match found {
            Ok(None) => return None,
            // An answer with another name belongs to another opening: the peers are out
            // of step.
            Ok(Some(frame))
                if frame.kind == FrameKind::Accept && frame.command == source.name() =>
            {
                self.answer = OpenAnswer::Accepted;
                source.on_answer(None);
                return Some(Ok(()));
            }
            Ok(Some(frame)) if frame.kind == FrameKind::Error => source.refusal(&frame),
            Ok(Some(_)) => Error::malformed("answer", Malformed::UnexpectedFrame),
            Err(error) => Error::malformed("answer", error),
        };
        self.answer = OpenAnswer::Refused(error.clone());
        source.on_answer(Some(&error));
        Some(Err(error))
    }

    /// Returns the bytes that were received together with the answer.
    pub(crate) fn into_rest(self) -> Segment {
        self.segment
    }

    // -- messages --

    /// Reads from the current message, or the next one. Returns 0 at its end, and at the
    /// end of the stream.
    pub(crate) fn read(&mut self, source: &impl Source, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        if !self.kept.is_empty() {
            let kept = self.kept.as_slices().0;
            let count = buf.len().min(kept.len());
            buf[..count].copy_from_slice(&kept[..count]);
            self.consume(count);
            return Ok(count);
        }
        let mut count = 0;
        let mut blocking = Blocking::Yes;
        while count < buf.len() {
            match self.step(source, blocking)? {
                Next::Bytes(available) => {
                    let piece = available.min(buf.len() - count);
                    buf[count..count + piece].copy_from_slice(&self.segment.data()[..piece]);
                    self.consume(piece);
                    count += piece;
                    // From here on, reads only what has already been received.
                    blocking = Blocking::No;
                }
                Next::End if count > 0 => {
                    self.position = Position::AtEnd;
                    self.begun = true;
                    break;
                }
                Next::Nothing if count == 0 => {
                    // A caller that does not use `next_message` sees the end of the stream
                    // as an empty message without an end mark.
                    source.on_message_end(false);
                    break;
                }
                Next::End | Next::Nothing => break,
            }
        }
        Ok(count)
    }

    /// Returns the received bytes of the current message, or the next one. Waits for at
    /// least one byte; returns none only at the end of the message or the stream.
    pub(crate) fn fill_buf(&mut self, source: &impl Source) -> io::Result<&[u8]> {
        if !self.kept.is_empty() {
            return Ok(self.kept.as_slices().0);
        }
        match self.step(source, Blocking::Yes)? {
            Next::Bytes(available) => Ok(&self.segment.data()[..available]),
            Next::End => Ok(&[]),
            Next::Nothing => {
                source.on_message_end(false);
                Ok(&[])
            }
        }
    }

    /// Marks `count` bytes of those that [`fill_buf`](Self::fill_buf) returned as used.
    pub(crate) fn consume(&mut self, count: usize) {
        self.begun |= count > 0;
        if self.kept.is_empty() {
            self.take(count);
        } else {
            self.kept.drain(..count);
        }
    }

    /// Removes `count` bytes of the current message from those that were received.
    fn take(&mut self, count: usize) {
        self.segment.consume(count);
        self.chunks.take(count);
    }

    /// Reads the whole current message if the caller has read nothing of it, or else the
    /// next one. Returns `None` at the end of the stream.
    ///
    /// If the message is longer than `max`, its rest is skipped when the stream is read
    /// again. If a read fails, nothing is lost: the next one continues.
    ///
    /// # Errors
    ///
    /// The errors of a read, and an error if the caller has read a part of the current
    /// message and more of it follows.
    pub(crate) fn read_message(
        &mut self,
        source: &impl Source,
        max: usize,
    ) -> io::Result<Option<Vec<u8>>> {
        self.skip(source)?;
        if self.begun {
            self.expect_end(source)?;
        }
        loop {
            let next = self.step(source, Blocking::Yes)?;
            let more = match next {
                Next::Bytes(count) => count,
                Next::End | Next::Nothing => 0,
            };
            if self.kept.len().saturating_add(more) > max {
                self.skip_message();
                return Err(too_long(source.name(), max));
            }
            match next {
                Next::Bytes(count) => {
                    self.kept.extend(&self.segment.data()[..count]);
                    self.take(count);
                }
                Next::Nothing if self.kept.is_empty() => {
                    source.on_message_end(false);
                    return Ok(None);
                }
                Next::End | Next::Nothing => return Ok(Some(mem::take(&mut self.kept).into())),
            }
        }
    }

    /// Moves to the end of the current message, of which the caller has read a part.
    ///
    /// # Errors
    ///
    /// If the caller has not read all of it.
    fn expect_end(&mut self, source: &impl Source) -> io::Result<()> {
        let is_at_end =
            self.kept.is_empty() && !matches!(self.step(source, Blocking::Yes)?, Next::Bytes(_));
        is_at_end.then_some(()).ok_or_else(|| unread(source.name()))
    }

    /// Skips the rest of the current message, when the stream is read again.
    pub(crate) fn skip_message(&mut self) {
        self.kept = VecDeque::new();
        match self.position {
            Position::AtEnd => self.leave_message(),
            Position::Inside => self.skipping = true,
            // Nothing of the next message has been received: it is not the current one yet.
            Position::Between => {}
        }
    }

    /// Waits for the next message. Returns `false` at the end of the stream.
    pub(crate) fn next_message(&mut self, source: &impl Source) -> io::Result<bool> {
        if self.position == Position::Inside {
            self.skip_message();
        }
        self.skip(source)?;
        self.leave_message();
        match self.step(source, Blocking::Yes)? {
            Next::Bytes(_) => Ok(true),
            Next::Nothing => Ok(false),
            Next::End => {
                // An empty message, whose end the caller has not seen yet.
                self.position = Position::AtEnd;
                Ok(true)
            }
        }
    }

    /// Skips the rest of a message that [`skip_message`](Self::skip_message) was called for.
    fn skip(&mut self, source: &impl Source) -> io::Result<()> {
        while self.skipping {
            match self.advance(source, Blocking::Yes)? {
                Next::Bytes(count) => self.take(count),
                Next::End | Next::Nothing => self.skipping = false,
            }
        }
        Ok(())
    }

    /// Returns what is next for the reader of a message.
    fn step(&mut self, source: &impl Source, blocking: Blocking) -> io::Result<Next> {
        self.skip(source)?;
        if self.position == Position::AtEnd {
            self.leave_message();
            return Ok(Next::End);
        }
        self.advance(source, blocking)
    }

    /// Reads chunk heads and end marks up to the next bytes of a message.
    fn advance(&mut self, source: &impl Source, blocking: Blocking) -> io::Result<Next> {
        if !matches!(self.answer, OpenAnswer::Accepted) {
            self.await_answer(source)?;
        }
        loop {
            let (used, step) = self.chunks.step(self.segment.data());
            self.segment.consume(used);
            match step {
                Step::Bytes(count) => {
                    self.position = Position::Inside;
                    return Ok(Next::Bytes(count));
                }
                Step::End => {
                    self.leave_message();
                    source.on_message_end(true);
                    return Ok(Next::End);
                }
                Step::Empty => {}
            }
            let segment = match blocking {
                Blocking::Yes => source.read_segment()?,
                Blocking::No => source.try_read_segment(),
            };
            match segment {
                Some(segment) => self.segment = segment,
                None => {
                    if blocking == Blocking::Yes {
                        self.end_of_stream(source)?;
                    }
                    return Ok(Next::Nothing);
                }
            }
        }
    }

    /// Handles the end of the stream. Inside a message it is an error, which every further
    /// read returns again, unless the message may end with the stream.
    fn end_of_stream(&mut self, source: &impl Source) -> io::Result<()> {
        let inside_chunk = self.chunks.inside_chunk();
        if self.position != Position::Inside && !inside_chunk {
            return Ok(());
        }
        source.on_message_end(false);
        if inside_chunk {
            return Err(truncated(
                source.name(),
                "inside a chunk: its handler failed, it aborted the stream, or its connection \
                 broke; see the peer's log",
            ));
        }
        if !source.takes_unmarked_end() {
            return Err(truncated(
                source.name(),
                "inside a message, without its end mark: the message may be incomplete; if \
                 the peer never sends end marks, call set_takes_unmarked_end",
            ));
        }
        self.leave_message();
        Ok(())
    }

    fn leave_message(&mut self) {
        self.position = Position::Between;
        self.begun = false;
    }
}

fn truncated(name: &str, text: &str) -> io::Error {
    let text = format!("stream {name:?} was ended by the peer {text}");
    io::Error::new(io::ErrorKind::UnexpectedEof, text)
}

fn too_long(name: &str, max: usize) -> io::Error {
    let text = format!(
        "a message on stream {name:?} is longer than the limit of {max} bytes; the rest of it \
         is skipped"
    );
    io::Error::new(io::ErrorKind::InvalidData, text)
}

fn unread(name: &str) -> io::Error {
    let text = format!(
        "the current message on stream {name:?} was read in part, and read_message reads whole \
         messages; read the rest with read_to_end, or skip it with next_message"
    );
    io::Error::new(io::ErrorKind::InvalidInput, text)
}
