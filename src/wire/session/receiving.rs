//! The receiving side of a named stream: the answer to its opening, where one
//! is still to come, and then messages.

use crate::{
    error::{Error, Malformed},
    wire::session::{
        chunk::{self, Step},
        frame::{self, Frame},
    },
    yamux::{self, segment::Segment},
};
use std::io;

/// Where the bytes come from.
pub(crate) trait Source {
    /// The next bytes, waiting for them; `None` at the stream's end.
    fn wait(&self) -> Result<Option<Segment>, yamux::Error>;
    /// The next bytes if they are there.
    fn ready(&self) -> Option<Segment>;
    /// The error that an error frame stands for.
    fn refused(&self, frame: &Frame) -> Error;
    /// The name that the stream was opened under, which an *accept* repeats.
    fn name(&self) -> &str;
    /// The answer to the opening has come: the stream is accepted, or refused
    /// for this reason.
    fn answered(&self, refusal: Option<&Error>);
    /// Whether a message may end with the stream instead of an end mark.
    fn takes_unmarked_end(&self) -> bool;
    /// A message, or the stream inside a message, has ended: with an end mark or
    /// without.
    fn message_ended(&self, marked: bool);
}

#[derive(Debug)]
pub(crate) struct Messages {
    /// Bytes that were taken over and not used yet.
    segment: Segment,
    answer: Answer,
    chunks: chunk::Decoder,
    message: Message,
    /// The rest of the current message is not wanted.
    skipping: bool,
}

/// The answer to the stream's opening.
#[derive(Debug)]
enum Answer {
    Awaited(frame::Decoder),
    Accepted,
    Refused(Error),
}

/// Where the reader stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Message {
    /// Before a message of which nothing has come.
    Between,
    /// Inside of one.
    Inside,
    /// Behind an end mark of which the reader has not been told yet.
    AtEnd,
}

impl Messages {
    /// For a stream that is accepted already; `segment` are bytes that have
    /// come along with what was read before.
    pub(crate) fn accepted(segment: Segment) -> Self {
        Self::new(Answer::Accepted, segment)
    }

    /// For a stream whose opening has not been answered yet.
    pub(crate) fn unanswered() -> Self {
        Self::new(
            Answer::Awaited(frame::Decoder::default()),
            Segment::default(),
        )
    }

    fn new(answer: Answer, segment: Segment) -> Self {
        Self {
            segment,
            answer,
            chunks: chunk::Decoder::default(),
            message: Message::Between,
            skipping: false,
        }
    }

    // -- the answer --

    /// Waits for the answer.
    pub(crate) fn await_answer(&mut self, source: &impl Source) -> Result<(), Error> {
        loop {
            if let Some(answer) = self.read_answer(source) {
                return answer;
            }
            match source.wait()? {
                Some(segment) => self.segment = segment,
                None => return Err(Error::malformed("answer", Malformed::EndedEarly)),
            }
        }
    }

    /// Looks whether the answer has come, and is a refusal.
    pub(crate) fn check_answer(&mut self, source: &impl Source) -> io::Result<()> {
        while matches!(self.answer, Answer::Awaited(_)) {
            if let Some(answer) = self.read_answer(source) {
                return answer.map_err(Into::into);
            }
            match source.ready() {
                Some(segment) => self.segment = segment,
                None => return Ok(()),
            }
        }
        self.read_answer(source)
            .unwrap_or(Ok(()))
            .map_err(Into::into)
    }

    /// The answer, as far as the bytes at hand tell; `None` if they do not.
    fn read_answer(&mut self, source: &impl Source) -> Option<Result<(), Error>> {
        let decoder = match &mut self.answer {
            Answer::Accepted => return Some(Ok(())),
            Answer::Refused(error) => return Some(Err(error.clone())),
            Answer::Awaited(decoder) => decoder,
        };
        let mut input = self.segment.data();
        let found = decoder.next(&mut input);
        let used = self.segment.len() - input.len();
        self.segment.consume(used);
        let error = match found {
            Ok(None) => return None,
            // With another name it is no answer: the two sides have lost step.
            Ok(Some(frame))
                if frame.kind == frame::Kind::Accept && frame.command == source.name() =>
            {
                self.answer = Answer::Accepted;
                source.answered(None);
                return Some(Ok(()));
            }
            Ok(Some(frame)) if frame.kind == frame::Kind::Error => source.refused(&frame),
            Ok(Some(_)) => Error::malformed("answer", Malformed::UnexpectedFrame),
            Err(error) => Error::malformed("answer", error),
        };
        self.answer = Answer::Refused(error.clone());
        source.answered(Some(&error));
        Some(Err(error))
    }

    /// What has come with the answer.
    pub(crate) fn into_rest(self) -> Segment {
        self.segment
    }

    // -- messages --

    /// Reads from the current message, or the next one; 0 at its end, and at
    /// the stream's.
    pub(crate) fn read(&mut self, source: &impl Source, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        let mut count = 0;
        let mut wait = true;
        while count < buf.len() {
            match self.step(source, wait)? {
                Next::Bytes(available) => {
                    let piece = available.min(buf.len() - count);
                    buf[count..count + piece].copy_from_slice(&self.segment.data()[..piece]);
                    self.consume(piece);
                    count += piece;
                    // What is here already is taken along.
                    wait = false;
                }
                Next::End if count > 0 => {
                    self.message = Message::AtEnd;
                    break;
                }
                Next::Nothing if count == 0 => {
                    // To whom does not ask for messages, the end of the stream looks
                    // like an empty one, which nobody has finished.
                    source.message_ended(false);
                    break;
                }
                Next::End | Next::Nothing => break,
            }
        }
        Ok(count)
    }

    /// The bytes of the current message that are at hand, at least one unless
    /// it is at its end.
    pub(crate) fn fill_buf(&mut self, source: &impl Source) -> io::Result<&[u8]> {
        match self.step(source, true)? {
            Next::Bytes(available) => Ok(&self.segment.data()[..available]),
            Next::End => Ok(&[]),
            Next::Nothing => {
                source.message_ended(false);
                Ok(&[])
            }
        }
    }

    /// `count` bytes of what [`fill_buf`](Self::fill_buf) gave were used.
    pub(crate) fn consume(&mut self, count: usize) {
        self.segment.consume(count);
        self.chunks.take(count);
    }

    /// The rest of the current message is not wanted.
    pub(crate) fn skip_message(&mut self) {
        match self.message {
            Message::AtEnd => self.message = Message::Between,
            Message::Inside => self.skipping = true,
            // Nothing of it has come: it is not the current one yet.
            Message::Between => {}
        }
    }

    /// Moves to the beginning of the next message; `false` at the stream's
    /// end.
    pub(crate) fn next_message(&mut self, source: &impl Source) -> io::Result<bool> {
        if self.message == Message::Inside {
            self.skip_message();
        }
        self.skip(source)?;
        self.message = Message::Between;
        match self.step(source, true)? {
            Next::Bytes(_) => Ok(true),
            Next::Nothing => Ok(false),
            Next::End => {
                // An empty message: its end is still to be told.
                self.message = Message::AtEnd;
                Ok(true)
            }
        }
    }

    /// Skips what is not wanted.
    fn skip(&mut self, source: &impl Source) -> io::Result<()> {
        while self.skipping {
            match self.advance(source, true)? {
                Next::Bytes(count) => self.consume(count),
                Next::End | Next::Nothing => self.skipping = false,
            }
        }
        Ok(())
    }

    /// What comes next for the reader of a message.
    fn step(&mut self, source: &impl Source, wait: bool) -> io::Result<Next> {
        self.skip(source)?;
        if self.message == Message::AtEnd {
            self.message = Message::Between;
            return Ok(Next::End);
        }
        self.advance(source, wait)
    }

    /// Goes over heads and end marks to the next bytes.
    fn advance(&mut self, source: &impl Source, wait: bool) -> io::Result<Next> {
        if !matches!(self.answer, Answer::Accepted) {
            self.await_answer(source)?;
        }
        loop {
            let (used, step) = self.chunks.step(self.segment.data());
            self.segment.consume(used);
            match step {
                Step::Bytes(count) => {
                    self.message = Message::Inside;
                    return Ok(Next::Bytes(count));
                }
                Step::End => {
                    self.message = Message::Between;
                    source.message_ended(true);
                    return Ok(Next::End);
                }
                Step::Empty => {}
            }
            let more = if wait { source.wait()? } else { source.ready() };
            match more {
                Some(segment) => self.segment = segment,
                None if wait => {
                    self.end_of_stream(source)?;
                    return Ok(Next::Nothing);
                }
                None => return Ok(Next::Nothing),
            }
        }
    }

    /// The stream has ended: an error inside a message, which stays to be read
    /// again, unless the stream's end may be the message's.
    fn end_of_stream(&mut self, source: &impl Source) -> io::Result<()> {
        let inside_chunk = self.chunks.inside_chunk();
        if self.message != Message::Inside && !inside_chunk {
            return Ok(());
        }
        source.message_ended(false);
        if inside_chunk {
            return Err(truncated("the stream ended inside a chunk"));
        }
        if !source.takes_unmarked_end() {
            return Err(truncated(
                "the stream ended inside a message, without its end mark",
            ));
        }
        self.message = Message::Between;
        Ok(())
    }
}

fn truncated(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, text)
}

/// What comes next in a stream of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// So many bytes of the message.
    Bytes(usize),
    /// The end of the message.
    End,
    /// The end of the stream, or of what is there already.
    Nothing,
}
