//! Chunks: how messages with an end lie in a named stream. Pure.
//!
//! A chunk is its length (u32, little-endian) and that many bytes; a length of
//! 0 ends the message. Sent are chunks of at most 1,024 bytes, each whole in
//! one Data frame, because other implementations rely on both. Received is any
//! length: it is a count, and nothing is held for it.

use crate::yamux::{Buffered, Framing, INITIAL_WINDOW, LEAST_GRANT, segment::SEGMENT};

/// The bytes that a chunk carries at most when it is sent.
pub(crate) const CHUNK: usize = 1024;

/// The length of a chunk's head, and of an end mark.
pub(crate) const HEAD: usize = 4;

/// The end of a message.
pub(crate) const END: [u8; HEAD] = [0; HEAD];

/// What breaks a stream off between two chunks, where its end follows: the length
/// of a chunk that does not come. Every peer takes that for truncation.
pub(crate) const CUT_SHORT: [u8; HEAD] = 1u32.to_le_bytes();

/// The bytes that `payload` bytes take on the wire.
pub(crate) fn encoded_len(payload: usize) -> usize {
    payload + payload.div_ceil(CHUNK) * HEAD
}

/// How many of `payload` bytes to send with `room` on the wire: all, or whole
/// chunks, so that the end of a window is not filled with crumbs.
pub(crate) fn payload_for(room: usize, payload: usize) -> usize {
    if encoded_len(payload) <= room {
        payload
    } else {
        room / (HEAD + CHUNK) * CHUNK
    }
}

/// Cuts `payload` into chunks and gives their heads and bytes in order.
pub(crate) fn encode(payload: &[u8], mut put: impl FnMut(&[u8])) {
    for chunk in payload.chunks(CHUNK) {
        put(&(chunk.len() as u32).to_le_bytes());
        put(chunk);
    }
}

/// How a relay passes chunks on.
pub(crate) const FRAMING: Framing = Framing {
    next: pass_on,
    cut_short: &CUT_SHORT,
};

/// From so much room on a receiver may grant no more until it gets something: it has
/// read less than the half of its window after which implementations do.
const HALF: usize = INITIAL_WINDOW as usize / 2 - CUT_SHORT.len();

/// The sender of a chunk that is held until it is whole may be granted less than the
/// receiver's credit, by so much at most.
const SLACK: u64 = LEAST_GRANT as u64;

/// No frame is larger, whatever the room: others wait behind it.
const LARGEST: usize = INITIAL_WINDOW as usize;

/// Where so much of what goes together ends at the end of a piece, it is cut there:
/// whole pieces are moved, others are copied.
const WORTH_MOVING: usize = 16 * 1024;

/// How many bytes a hub passes on in one frame, with so much room: whole chunks and
/// end marks, as a Go peer relies on. A chunk that has begun is held until it is
/// whole or has room. One that can never have room is passed on as it comes; `left`
/// are the bytes of it that follow what was passed on before, and then after this.
fn pass_on(left: &mut u32, buffered: Buffered<'_, '_>, room: usize) -> usize {
    let Buffered { pieces, len, ended } = buffered;
    let room = room.min(LARGEST);
    if *left > 0 {
        let count = room.min(len).min(*left as usize);
        *left -= count as u32;
        return count;
    }
    let mut front = Front { pieces, piece: &[] };
    // Whole chunks so far, and as many of them as end where a piece does.
    let (mut passed, mut at_piece) = (0, 0);
    while let Some(chunk) = front.head() {
        // A u64, because a chunk's length may be any u32.
        let end = (passed + HEAD) as u64 + u64::from(chunk);
        let limit = if passed == 0 { room } else { room.min(SEGMENT) };
        if end <= len.min(limit) as u64 {
            passed = end as usize;
            if front.skip(chunk as usize) && passed >= WORTH_MOVING {
                at_piece = passed;
            }
        } else if passed > 0 {
            break;
        } else if room >= HALF && end + SLACK > room as u64 {
            let count = room.min(len);
            *left = (end - count as u64) as u32;
            return count;
        } else if ended && end > len as u64 && len <= room {
            // It will never be whole; the end that follows may yet be another.
            *left = (end - len as u64) as u32;
            return len;
        } else {
            return 0;
        }
    }
    match (at_piece, passed) {
        (0, 0) if ended && len < HEAD && len <= room => len,
        (0, passed) => passed,
        (at_piece, _) => at_piece,
    }
}

/// What follows at the front of an inbox.
struct Front<'a, 'b> {
    pieces: &'a mut dyn Iterator<Item = &'b [u8]>,
    /// What follows of the current piece.
    piece: &'b [u8],
}

impl Front<'_, '_> {
    /// The length of the next chunk, if its head is there.
    fn head(&mut self) -> Option<u32> {
        let mut head = [0; HEAD];
        for byte in &mut head {
            while self.piece.is_empty() {
                self.piece = self.pieces.next()?;
            }
            (*byte, self.piece) = (self.piece[0], &self.piece[1..]);
        }
        Some(u32::from_le_bytes(head))
    }

    /// Passes over bytes that are there. Returns whether a piece ends with them.
    fn skip(&mut self, mut count: usize) -> bool {
        while count > self.piece.len() {
            count -= self.piece.len();
            match self.pieces.next() {
                Some(piece) => self.piece = piece,
                None => break,
            }
        }
        self.piece = &self.piece[count.min(self.piece.len())..];
        self.piece.is_empty()
    }
}

/// Follows chunks through bytes that arrive in pieces of any size.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    head: [u8; HEAD],
    /// Invariant: less than `HEAD` between calls.
    filled: usize,
    /// Bytes of the current chunk that are still to come.
    left: u32,
}

/// What lies at the front of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// So many bytes of the message, more than 0. Stays until
    /// [`Decoder::take`] says that they were used.
    Bytes(usize),
    /// An end mark, which is used up with this.
    End,
    /// Nothing whole.
    Empty,
}

impl Decoder {
    /// Looks at the front of `input`; says how many bytes of heads to drop from
    /// it, and what comes then.
    pub(crate) fn step(&mut self, input: &[u8]) -> (usize, Step) {
        if self.left > 0 {
            return (0, self.bytes(input.len()));
        }
        let used = input.len().min(HEAD - self.filled);
        self.head[self.filled..self.filled + used].copy_from_slice(&input[..used]);
        self.filled += used;
        if self.filled < HEAD {
            return (used, Step::Empty);
        }
        self.filled = 0;
        self.left = u32::from_le_bytes(self.head);
        if self.left == 0 {
            return (used, Step::End);
        }
        (used, self.bytes(input.len() - used))
    }

    fn bytes(&self, available: usize) -> Step {
        match available.min(self.left as usize) {
            0 => Step::Empty,
            count => Step::Bytes(count),
        }
    }

    /// `count` bytes of the last [`Step::Bytes`] were used.
    pub(crate) fn take(&mut self, count: usize) {
        debug_assert!(count <= self.left as usize);
        self.left -= count as u32;
    }

    /// Whether the bytes so far end inside of a chunk or its head: an end of
    /// the stream here is a truncation.
    pub(crate) fn inside_chunk(&self) -> bool {
        self.filled > 0 || self.left > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What is passed on of `bytes`, which lie in pieces of `size`, and what is left
    /// of the chunk then.
    fn passed(left: u32, bytes: &[u8], size: usize, room: usize, ended: bool) -> (usize, u32) {
        let mut left = left;
        let buffered = Buffered {
            pieces: &mut bytes.chunks(size),
            len: bytes.len(),
            ended,
        };
        let count = pass_on(&mut left, buffered, room);
        (count, left)
    }

    #[test]
    fn whole_chunks_are_passed_on_however_they_lie() {
        let bytes = [encoded(&[7; 3 * CHUNK]), END.to_vec(), encoded(&[8; 10])].concat();
        let chunk = HEAD + CHUNK;
        for (room, whole) in [
            (0, 0),
            (3, 0),
            (chunk - 1, 0),
            (chunk, chunk),
            (3 * chunk - 1, 2 * chunk),
            (3 * chunk + 3, 3 * chunk),
            (3 * chunk + 4, 3 * chunk + 4),
            (3 * chunk + 17, 3 * chunk + 4),
            (9 * chunk, 3 * chunk + 18),
        ] {
            for size in [1, 3, 1000, bytes.len()] {
                for ended in [false, true] {
                    assert_eq!(passed(0, &bytes, size, room, ended), (whole, 0));
                }
            }
        }
    }

    #[test]
    fn a_chunk_that_has_begun_is_held_until_it_is_whole_or_the_stream_ends() {
        for len in [CHUNK, 100_000, 200_000] {
            let mut bytes = (len as u32).to_le_bytes().to_vec();
            bytes.resize(HEAD + len, 7);
            for end in [1, 3, 4, 5, len, len + 3] {
                let begun = &bytes[..end];
                assert_eq!(passed(0, begun, 100, 250_000, false), (0, 0));
                // Of what is passed on of it, the rest is known to be missing.
                let left = if end < HEAD { 0 } else { HEAD + len - end };
                let passed = passed(0, begun, 100, 250_000, true);
                assert_eq!(passed, (end, left as u32));
            }
            let whole = passed(0, &bytes, 9999, 250_000, false);
            assert_eq!(whole, (bytes.len(), 0));
        }
    }

    #[test]
    fn a_chunk_waits_for_room_as_long_as_more_may_come() {
        let bytes = [&150_000u32.to_le_bytes()[..], &[7; 140_000]].concat();
        for ended in [false, true] {
            assert_eq!(passed(0, &bytes, 9999, HALF - 1, ended), (0, 0));
            assert_eq!(
                passed(0, &bytes, 9999, HALF, ended),
                (HALF, 150_004 - HALF as u32)
            );
        }
        // There is room, and the sender may have been granted enough for it.
        let enough = 150_004 + SLACK as usize;
        assert_eq!(passed(0, &bytes, 9999, enough, false), (0, 0));
        assert_eq!(
            passed(0, &bytes, 9999, enough - 1, false),
            (140_004, 10_000)
        );
    }

    #[test]
    fn a_chunk_too_large_for_any_room_is_passed_on_as_it_comes() {
        let len = LARGEST as u32;
        let bytes = [&len.to_le_bytes()[..], &[7; 1000]].concat();
        assert_eq!(passed(0, &bytes[..3], 10, usize::MAX, false), (0, 0));
        assert_eq!(passed(0, &bytes, 10, usize::MAX, false), (1004, len - 1000));
        // The rest of it, and then what follows.
        let bytes = [vec![7; 50], encoded(&[8; 20])].concat();
        assert_eq!(passed(50, &bytes, 7, 40, false), (40, 10));
        assert_eq!(passed(10, &bytes[40..], 7, 9999, false), (10, 0));
        assert_eq!(passed(60, &bytes[..50], 7, 9999, false), (50, 10));
        assert_eq!(passed(u32::MAX, &bytes, 7, 0, true), (0, u32::MAX));
    }

    #[test]
    fn what_goes_together_is_cut_at_the_end_of_a_large_piece() {
        let piece = encoded(&[7; 20 * CHUNK]);
        let bytes = [&piece[..], &piece[..HEAD + CHUNK]].concat();
        let room = 2 * piece.len();
        assert_eq!(
            passed(0, &bytes, piece.len(), room, false),
            (bytes.len(), 0)
        );
        let bytes = [&piece[..], &piece[..HEAD + CHUNK], &[1, 0]].concat();
        assert_eq!(
            passed(0, &bytes, piece.len(), room, false),
            (piece.len(), 0)
        );
    }

    fn encoded(payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(payload, |piece| bytes.extend_from_slice(piece));
        bytes
    }

    /// The messages in `bytes`, and what follows the last end mark.
    fn decode(bytes: &[u8], size: usize, taken: usize) -> (Vec<Vec<u8>>, Vec<u8>) {
        let mut decoder = Decoder::default();
        let (mut messages, mut message) = (Vec::new(), Vec::new());
        for piece in bytes.chunks(size) {
            let mut input = piece;
            loop {
                let (used, step) = decoder.step(input);
                input = &input[used..];
                match step {
                    Step::Empty => break,
                    Step::End => messages.push(std::mem::take(&mut message)),
                    Step::Bytes(count) => {
                        let count = count.min(taken);
                        message.extend_from_slice(&input[..count]);
                        decoder.take(count);
                        input = &input[count..];
                    }
                }
            }
            assert!(input.is_empty());
        }
        assert!(!decoder.inside_chunk());
        (messages, message)
    }

    /// A decoder that was given all of `input`.
    fn fed(mut input: &[u8]) -> Decoder {
        let mut decoder = Decoder::default();
        while !input.is_empty() {
            let (used, step) = decoder.step(input);
            input = &input[used..];
            if let Step::Bytes(count) = step {
                decoder.take(count);
                input = &input[count..];
            }
        }
        decoder
    }

    #[test]
    fn a_message_is_the_bytes_of_the_protocol() {
        let mut expected = vec![0x00, 0x04, 0, 0];
        expected.extend_from_slice(&[7; 1024]);
        expected.extend_from_slice(&[0xdc, 0x01, 0, 0]);
        expected.extend_from_slice(&[7; 476]);
        assert_eq!(encoded(&[7; 1500]), expected);
    }

    #[test]
    fn an_end_inside_a_chunk_or_a_head_is_told_from_one_between_chunks() {
        let bytes = [encoded(b"abc"), END.to_vec()].concat();
        for end in 0..=bytes.len() {
            let between = [0, 7, 11].contains(&end);
            assert_eq!(fed(&bytes[..end]).inside_chunk(), !between, "{end}");
        }
    }

    #[test]
    fn a_chunk_of_any_announced_length_is_followed_without_holding_it() {
        let mut decoder = Decoder::default();
        assert_eq!(decoder.step(&u32::MAX.to_le_bytes()), (4, Step::Empty));
        assert_eq!(decoder.step(&[1; 100]), (0, Step::Bytes(100)));
        decoder.take(100);
        assert!(decoder.inside_chunk());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn a_relay_passes_all_bytes_on_and_chunks_whole_that_may_have_room(
            lens in prop::collection::vec(0usize..LARGEST + 9000, 0..4),
            arrives in 5000usize..200_000,
            size in 500usize..70_000,
            room in HALF..300_000,
        ) {
            let mut bytes = Vec::new();
            // Where no frame may end.
            let mut inside = Vec::new();
            for len in lens {
                let begin = bytes.len();
                bytes.extend((len as u32).to_le_bytes());
                bytes.resize(begin + HEAD + len, 7);
                let is_held = HEAD + len + SLACK as usize <= room.min(LARGEST);
                inside.push(begin + 1..begin + if is_held { HEAD + len } else { HEAD });
            }
            let (mut at, mut come, mut left) = (0, 0, 0);
            while at < bytes.len() {
                let held = &bytes[at..come];
                let (count, then) = passed(left, held, size, room, false);
                prop_assert!(count <= room);
                at += count;
                left = then;
                prop_assert!(!inside.iter().any(|range| range.contains(&at)), "{at}");
                prop_assert!(count > 0 || come < bytes.len());
                if count == 0 {
                    prop_assert!(held.len() <= LARGEST);
                    come = bytes.len().min(come + arrives);
                }
            }
            prop_assert_eq!(left, 0);
        }
    }

    proptest! {
        #[test]
        fn any_split_of_the_input_gives_the_same_messages(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..3000), 0..4),
            tail in prop::collection::vec(any::<u8>(), 0..1500),
            size in 1usize..2000,
            taken in 1usize..2000,
        ) {
            let mut bytes = Vec::new();
            for message in &messages {
                bytes.extend(encoded(message));
                bytes.extend(END);
            }
            bytes.extend(encoded(&tail));
            prop_assert_eq!(decode(&bytes, size, taken), (messages, tail));
        }

        #[test]
        fn what_is_sent_fits_the_room_and_is_whole_chunks_or_everything(
            room in 0usize..200_000, payload in 0usize..100_000
        ) {
            let sent = payload_for(room, payload);
            prop_assert!(encoded_len(sent) <= room);
            prop_assert!(sent == payload || sent.is_multiple_of(CHUNK) && sent < payload);
            prop_assert_eq!(encoded(&vec![0; sent]).len(), encoded_len(sent));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            fed(&bytes);
        }
    }
}
