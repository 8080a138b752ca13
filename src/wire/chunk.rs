//! Chunks: how messages with an end lie in a named stream. Pure.
//!
//! A chunk is its length (u32, little-endian) and that many bytes; a length of
//! 0 ends the message. Sent are chunks of at most 1,024 bytes, each whole in
//! one Data frame, because other implementations rely on both. Received is any
//! length: it is a count, and nothing is held for it.

use crate::yamux::Framing;

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

/// A chunk up to this size, with its head, is passed on by a hub whole, in one Data
/// frame, as its receiver may rely on. A larger one is passed on as it comes. It has
/// to fit the credit that every receiver grants in time, which is half a window.
const WHOLE: usize = 64 * 1024;

/// Where so much of what goes together ends at the end of a piece, it is cut there:
/// whole pieces are moved, others are copied.
const WORTH_MOVING: usize = 16 * 1024;

/// How many of the first `room` bytes a hub passes on in one frame: whole chunks and
/// end marks; of a chunk too large for that, what is there. `left` are the bytes of
/// such a chunk that follow what was passed on before, and then those that follow
/// this. Once the stream has `ended`, what is left is passed on as it is.
fn pass_on(
    left: &mut u32,
    pieces: &mut dyn Iterator<Item = &[u8]>,
    room: usize,
    ended: bool,
) -> usize {
    let mut front = Front {
        left: *left as usize,
        ..Front::default()
    };
    // Bytes, and what is left of a chunk, up to a place where it may be cut.
    let (mut passed, mut at_piece) = ((0, *left), None);
    let mut seen = 0;
    for piece in pieces {
        let visible = &piece[..piece.len().min(room - seen)];
        if let Some(cut) = front.advance(visible, seen) {
            passed = cut;
        }
        seen += visible.len();
        if visible.len() < piece.len() || seen == room {
            break;
        }
        if passed.0 == seen && seen >= WORTH_MOVING {
            at_piece = Some(passed);
        }
    }
    let (mut count, mut then) = at_piece.unwrap_or(passed);
    if count == 0 && ended {
        (count, then) = (seen, 0);
    }
    *left = then;
    count
}

/// Follows the chunks at the front of an inbox.
#[derive(Default)]
struct Front {
    head: [u8; HEAD],
    filled: usize,
    /// Bytes of the current chunk that are still to come.
    left: usize,
    /// The current chunk is passed on whole or not at all.
    is_whole: bool,
}

impl Front {
    /// Goes through `piece`, in front of which are `before` bytes. Gives the last
    /// place at which a frame may end, and what is left of the chunk there.
    fn advance(&mut self, piece: &[u8], before: usize) -> Option<(usize, u32)> {
        let mut cut = None;
        let mut at = 0;
        while at < piece.len() {
            if self.left == 0 {
                let used = (piece.len() - at).min(HEAD - self.filled);
                self.head[self.filled..self.filled + used].copy_from_slice(&piece[at..at + used]);
                self.filled += used;
                at += used;
                if self.filled < HEAD {
                    break;
                }
                self.filled = 0;
                self.left = u32::from_le_bytes(self.head) as usize;
                self.is_whole = self.left + HEAD <= WHOLE;
            }
            let used = self.left.min(piece.len() - at);
            self.left -= used;
            at += used;
            if self.left == 0 || !self.is_whole {
                // It came out of a u32.
                cut = Some((before + at, self.left as u32));
            }
        }
        cut
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
        let count = pass_on(&mut left, &mut bytes.chunks(size), room, ended);
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
                assert_eq!(passed(0, &bytes, size, room, false), (whole, 0));
            }
        }
    }

    #[test]
    fn a_chunk_that_has_begun_is_held_until_it_is_whole_or_the_stream_ends() {
        let bytes = encoded(&[7; CHUNK]);
        for end in 1..bytes.len() {
            assert_eq!(passed(0, &bytes[..end], 100, 9999, false), (0, 0));
            assert_eq!(passed(0, &bytes[..end], 100, 9999, true), (end, 0));
        }
    }

    #[test]
    fn a_chunk_too_large_to_be_held_is_passed_on_as_it_comes() {
        let large = WHOLE as u32;
        let head = large.to_le_bytes();
        let bytes = [&head[..], &[7; 1000], &[0; 0]].concat();
        assert_eq!(passed(0, &bytes[..3], 10, 9999, false), (0, 0));
        assert_eq!(passed(0, &bytes, 10, 9999, false), (1004, large - 1000));
        assert_eq!(passed(0, &bytes, 10, 100, false), (100, large - 96));
        // The rest of it, and whole chunks behind it.
        let bytes = [vec![7; 50], encoded(&[8; 20]), vec![9, 0]].concat();
        assert_eq!(passed(50, &bytes, 7, 9999, false), (74, 0));
        assert_eq!(passed(60, &bytes[..50], 7, 9999, false), (50, 10));
    }

    #[test]
    fn what_goes_together_is_cut_at_the_end_of_a_large_piece() {
        let piece = encoded(&[7; 20 * CHUNK]);
        let bytes = [&piece[..], &piece[..CHUNK]].concat();
        let room = 2 * piece.len();
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
        fn a_relay_passes_all_bytes_on_and_small_chunks_whole(
            lens in prop::collection::vec(0usize..WHOLE + 9000, 0..4),
            arrives in 2000usize..100_000,
            size in 500usize..70_000,
            room in WHOLE..140_000,
        ) {
            let mut bytes = Vec::new();
            // Where a frame must not end.
            let mut inside = std::collections::BTreeSet::new();
            for len in lens {
                let begin = bytes.len();
                bytes.extend((len as u32).to_le_bytes());
                bytes.resize(begin + HEAD + len, 7);
                let whole = if len + HEAD <= WHOLE { len + HEAD } else { HEAD };
                inside.extend(begin + 1..begin + whole);
            }
            let (mut at, mut come, mut left) = (0, 0, 0);
            while at < bytes.len() {
                let held = &bytes[at..come];
                let count = pass_on(&mut left, &mut held.chunks(size), room, false);
                prop_assert!(count <= room);
                at += count;
                prop_assert!(!inside.contains(&at), "{at}");
                prop_assert!(count > 0 || come < bytes.len());
                if count == 0 {
                    prop_assert!(held.len() <= WHOLE);
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
