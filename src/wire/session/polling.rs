//! Reading a stream without waiting.

use super::{
    frame::Frame,
    receiving::{IncomingMessages, Source},
    stream_inner::StreamInner,
};
use crate::{
    error::Error,
    yamux::{self, segment::Segment},
};
use std::{cell::Cell, io};

/// What a read would return at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// This many bytes of the message, more than 0.
    Bytes(usize),
    /// The end of the message or the stream.
    End,
    /// Nothing: it would wait.
    Nothing,
}

/// Like [`IncomingMessages::read`], but does not wait. `buf` must not be empty.
#[cfg_attr(not(unix), allow(dead_code))]
pub(super) fn try_read(
    stream: &StreamInner,
    recv: &mut IncomingMessages,
    buf: &mut [u8],
) -> io::Result<Input> {
    let source = NoWait::new(stream);
    let read = recv.read(&source, buf);
    source.input(read)
}

/// Like [`try_read`], but leaves the bytes in the stream.
pub(super) fn try_peek(stream: &StreamInner, recv: &mut IncomingMessages) -> io::Result<Input> {
    let source = NoWait::new(stream);
    let filled = recv.fill_buf(&source).map(<[u8]>::len);
    source.input(filled)
}

/// A stream whose reads fail instead of waiting.
struct NoWait<'a> {
    stream: &'a StreamInner,
    /// Whether a read would have waited.
    waits: Cell<bool>,
}

impl<'a> NoWait<'a> {
    fn new(stream: &'a StreamInner) -> Self {
        let waits = Cell::new(false);
        Self { stream, waits }
    }

    fn input(&self, read: io::Result<usize>) -> io::Result<Input> {
        match read {
            // This is the error of `read_segment`.
            Err(_) if self.waits.get() => Ok(Input::Nothing),
            Err(error) => Err(error),
            Ok(0) => Ok(Input::End),
            Ok(count) => Ok(Input::Bytes(count)),
        }
    }
}

impl Source for NoWait<'_> {
    fn read_segment(&self) -> Result<Option<Segment>, yamux::Error> {
        let segment = self.stream.raw.poll_segment().unwrap_or_else(|| {
            self.waits.set(true);
            Err(yamux::Error::timed_out())
        });
        segment.map_err(|error| error.on_stream(&self.stream.name))
    }

    fn try_read_segment(&self) -> Option<Segment> {
        self.stream.try_read_segment()
    }

    fn refusal(&self, frame: &Frame) -> Error {
        Source::refusal(self.stream, frame)
    }

    fn name(&self) -> &str {
        Source::name(self.stream)
    }

    fn on_answer(&self, refusal: Option<&Error>) {
        self.stream.on_answer(refusal);
    }

    fn takes_unmarked_end(&self) -> bool {
        Source::takes_unmarked_end(self.stream)
    }

    fn on_message_end(&self, marked: bool) {
        self.stream.on_message_end(marked);
    }
}
