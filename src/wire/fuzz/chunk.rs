//! Chunks and messages, compared with a model that has all bytes at once.

use crate::{
    error::Error,
    fuzz::Script,
    wire::session::{
        chunk::{self, CHUNK, ChunkDecoder, END, HEAD, Step},
        forwarding,
        frame::Frame,
        receiving::{IncomingMessages, Source},
    },
    yamux::{self, Buffered, Passed, segment::Segment},
};
use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    io::{self, IoSlice},
};

/// The expected meaning of the bytes of a stream.
#[derive(Debug, Default, PartialEq, Eq)]
struct Model {
    /// The messages that have an end mark.
    messages: Vec<Vec<u8>>,
    /// The payload after the last end mark.
    tail: Vec<u8>,
    /// Whether there are chunks after the last end mark.
    has_tail: bool,
    /// Whether the bytes end inside a chunk or its head.
    truncated: bool,
    /// The positions at which chunks and end marks end.
    boundaries: Vec<usize>,
}

impl Model {
    fn of(bytes: &[u8]) -> Self {
        let mut model = Self::default();
        let mut rest = bytes;
        while let Some((head, body)) = rest.split_first_chunk() {
            let len = u32::from_le_bytes(*head) as usize;
            let chunk = &body[..len.min(body.len())];
            model.tail.extend(chunk);
            model.has_tail |= !chunk.is_empty();
            rest = &body[chunk.len()..];
            if chunk.len() < len {
                model.truncated = true;
                return model;
            }
            if len == 0 {
                model.has_tail = false;
                model.messages.push(std::mem::take(&mut model.tail));
            }
            model.boundaries.push(bytes.len() - rest.len());
        }
        model.truncated = !rest.is_empty();
        model
    }
}

/// The bytes of a stream, received in pieces of any size, are read as the model expects.
pub fn chunk(data: &[u8]) {
    let mut script = Script::new(data);
    let (size, taken) = (
        1 + usize::from(script.byte()),
        1 + usize::from(script.byte()),
    );
    let room = script.word() as usize % 4096;
    let ops = script.word();
    let bytes = script.rest();
    let model = Model::of(bytes);

    decode(bytes, size, taken, &model);
    forward(bytes, size, room, &model);
    for takes_unmarked_end in [false, true] {
        let pieces = || Pieces::new(bytes, size, takes_unmarked_end);
        read_all(&pieces(), taken, &model);
        read_whole(&pieces(), &model);
        read_any_way(&pieces(), bytes.len(), ops, &model);
    }
    round_trip(bytes, room);
}

/// A relay forwards all bytes once the stream has ended, and cuts no chunk that it can
/// hold.
fn forward(bytes: &[u8], size: usize, room: usize, model: &Model) {
    let room = HEAD + room;
    let (mut at, mut passed) = (0, Passed::default());
    while at < bytes.len() {
        let next = |passed: &mut Passed, ended| {
            let buffered = Buffered {
                pieces: &mut bytes[at..].chunks(size),
                len: bytes.len() - at,
                ended,
            };
            (forwarding::FRAMING.next)(passed, buffered, room)
        };
        let begun = passed.left > 0;
        let mut count = next(&mut passed, false);
        if count == 0 {
            // It is held, or there is no room, until the stream has ended.
            count = next(&mut passed, true);
            if count == 0 {
                assert!(bytes.len() - at > room);
                return;
            }
        } else if passed.left == 0 && !begun {
            assert!(model.boundaries.contains(&(at + count)), "{at} + {count}");
        }
        assert!(count <= room);
        at += count;
        if passed.left == 0 && !model.boundaries.contains(&at) {
            // After the end of the stream an incomplete chunk is forwarded, so nothing is
            // known about the rest.
            return;
        }
    }
}

/// The decoder finds what the model does.
fn decode(bytes: &[u8], size: usize, taken: usize, model: &Model) {
    let mut decoder = ChunkDecoder::default();
    let (mut messages, mut tail) = (Vec::new(), Vec::new());
    for mut input in bytes.chunks(size) {
        loop {
            let (used, step) = decoder.step(input);
            input = &input[used..];
            match step {
                Step::Empty => break,
                Step::End => messages.push(std::mem::take(&mut tail)),
                Step::Bytes(count) => {
                    assert!(count > 0);
                    let count = count.min(taken);
                    tail.extend_from_slice(&input[..count]);
                    decoder.take(count);
                    input = &input[count..];
                }
            }
        }
        assert!(input.is_empty());
    }
    assert_eq!((&messages, &tail), (&model.messages, &model.tail));
    assert_eq!(decoder.inside_chunk(), model.truncated);
}

/// A stream that has been accepted, and ends gracefully after its bytes.
struct Pieces {
    pieces: RefCell<VecDeque<Vec<u8>>>,
    takes_unmarked_end: bool,
    was_finished: Cell<bool>,
}

impl Pieces {
    fn new(bytes: &[u8], size: usize, takes_unmarked_end: bool) -> Self {
        Self {
            pieces: RefCell::new(bytes.chunks(size).map(Vec::from).collect()),
            takes_unmarked_end,
            was_finished: Cell::new(false),
        }
    }

    /// Returns whether reading all of it fails.
    fn is_truncated(&self, model: &Model) -> bool {
        model.truncated || model.has_tail && !self.takes_unmarked_end
    }
}

impl Source for Pieces {
    fn read_segment(&self) -> Result<Option<Segment>, yamux::Error> {
        Ok(self.try_read_segment())
    }

    fn try_read_segment(&self) -> Option<Segment> {
        let piece = self.pieces.borrow_mut().pop_front()?;
        let mut segment = Segment::with_room(piece.len());
        segment.put(&piece);
        Some(segment)
    }

    fn refusal(&self, _: &Frame) -> Error {
        unreachable!("it is accepted")
    }

    fn name(&self) -> &str {
        "fuzzed"
    }

    fn on_answer(&self, _: Option<&Error>) {
        unreachable!("it is accepted")
    }

    fn takes_unmarked_end(&self) -> bool {
        self.takes_unmarked_end
    }

    fn on_message_end(&self, marked: bool) {
        self.was_finished.set(marked);
    }
}

/// A caller that reads message after message gets all of them, each with its end, and an
/// error if the stream is truncated.
fn read_all(source: &Pieces, taken: usize, model: &Model) {
    let mut stream = IncomingMessages::accepted(Segment::default());
    let mut buf = vec![0; taken];
    let mut messages = Vec::new();
    loop {
        match stream.next_message(source) {
            Ok(true) => {}
            Ok(false) => {
                let truncated = source.is_truncated(model);
                assert!(!truncated, "a truncated message is taken for complete");
                break;
            }
            Err(error) => return assert_truncated(&error, source, model, &messages),
        }
        let mut message = Vec::new();
        loop {
            match stream.read(source, &mut buf) {
                Ok(0) => break,
                Ok(count) => message.extend_from_slice(&buf[..count]),
                Err(error) => {
                    assert_eq!(message, model.tail);
                    return assert_truncated(&error, source, model, &messages);
                }
            }
        }
        messages.push((message, source.was_finished.get()));
    }
    let ended = model.messages.iter().map(|message| (message.clone(), true));
    // Without an end mark, which `was_finished` shows.
    let tail = model.has_tail.then(|| (model.tail.clone(), false));
    assert_eq!(messages, ended.chain(tail).collect::<Vec<_>>());
}

/// The same for a caller that reads whole messages.
fn read_whole(source: &Pieces, model: &Model) {
    let mut stream = IncomingMessages::accepted(Segment::default());
    let mut messages = Vec::new();
    loop {
        match stream.read_message(source, usize::MAX) {
            Ok(Some(message)) => messages.push((message, source.was_finished.get())),
            Ok(None) => break,
            Err(error) => return assert_truncated(&error, source, model, &messages),
        }
    }
    assert!(!source.is_truncated(model));
    let ended = model.messages.iter().map(|message| (message.clone(), true));
    let tail = model.has_tail.then(|| (model.tail.clone(), false));
    assert_eq!(messages, ended.chain(tail).collect::<Vec<_>>());
}

fn assert_truncated(
    error: &io::Error,
    source: &Pieces,
    model: &Model,
    messages: &[(Vec<u8>, bool)],
) {
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    assert!(source.is_truncated(model));
    assert!(!source.was_finished.get());
    assert_eq!(messages.len(), model.messages.len());
}

/// Any sequence of calls reaches the end of the stream, or an error if it is truncated.
fn read_any_way(source: &Pieces, len: usize, mut ops: u32, model: &Model) {
    let mut stream = IncomingMessages::accepted(Segment::default());
    let mut buf = [0; 7];
    // Each message takes at most one call for its beginning, one for each byte, and two for
    // its end.
    for _ in 0..8 + 4 * len {
        let op = ops & 7;
        ops = ops.rotate_right(3);
        let outcome = match op {
            0 | 1 => stream.read(source, &mut buf).map(|_| ()),
            2 => stream.fill_buf(source).map(<[u8]>::len).map(|count| {
                stream.consume(count);
            }),
            3 => stream
                .fill_buf(source)
                .map(|found| found.len() / 2)
                .map(|count| {
                    stream.consume(count);
                }),
            4 => {
                stream.skip_message();
                Ok(())
            }
            _ => {
                let more = match op {
                    5 => stream
                        .read_message(source, 5)
                        .map(|message| message.is_some()),
                    _ => stream.next_message(source),
                };
                match more {
                    Ok(false) => {
                        let truncated = source.is_truncated(model);
                        assert!(!truncated, "a truncated message is taken for complete");
                        assert!(source.pieces.borrow().is_empty());
                        return;
                    }
                    other => other.map(|_| ()),
                }
            }
        };
        if let Err(error) = outcome {
            let is_too_long = error.kind() == io::ErrorKind::InvalidData;
            let is_read_in_part = error.kind() == io::ErrorKind::InvalidInput;
            if op == 5 && (is_too_long || is_read_in_part) {
                continue;
            }
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
            assert!(source.is_truncated(model));
            return;
        }
    }
    // Some sequences never ask for the next message.
    while stream.next_message(source).is_ok_and(|more| more) {}
}

/// An encoded message is decoded to the same bytes, and its chunks fit the room.
fn round_trip(payload: &[u8], room: usize) {
    let mut bytes = Vec::new();
    let slices = [IoSlice::new(payload)];
    chunk::encode(&slices, payload.len(), |piece| {
        bytes.extend_from_slice(piece);
    });
    assert_eq!(bytes.len(), chunk::encoded_len(payload.len()));
    bytes.extend(END);
    let model = Model::of(&bytes);
    assert_eq!(model.messages, [payload]);
    assert!(!model.truncated && !model.has_tail);

    let sent = chunk::payload_for(room, payload.len());
    assert!(chunk::encoded_len(sent) <= room);
    assert!(sent == payload.len() || sent < payload.len() && sent.is_multiple_of(CHUNK));
    assert!(room < HEAD + CHUNK || sent > 0 || payload.is_empty());
}
