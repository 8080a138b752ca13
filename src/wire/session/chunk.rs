//! Chunks: how a named stream is divided into messages. Pure.
//!
//! A chunk is its length (u32, little-endian) and that many bytes; the length 0 is the end
//! mark of a message. Chunks that are sent have at most 1,024 bytes, and each is contained
//! in a single Data frame, because other implementations rely on both. Chunks that are
//! received may have any length, because the length is only counted down, and no memory is
//! reserved for it.

use std::io::IoSlice;

/// The maximum payload of a chunk that is sent, in bytes.
pub(crate) const CHUNK: usize = 1024;

/// The length of the head of a chunk, and of an end mark, in bytes.
pub(crate) const HEAD: usize = 4;

/// The end mark of a message.
pub(crate) const END: [u8; HEAD] = [0; HEAD];

/// Aborts a stream between two chunks, followed by a FIN: the length of a chunk that does
/// not follow. Every peer sees that as truncation.
pub(crate) const CUT_SHORT: [u8; HEAD] = 1u32.to_le_bytes();

/// Returns the length of the chunks for `payload` bytes.
pub(crate) fn encoded_len(payload: usize) -> usize {
    payload + payload.div_ceil(CHUNK) * HEAD
}

/// Returns how many of `payload` bytes to send if their chunks may have `room` bytes: all,
/// or a number of full chunks, so that the end of a window is not filled with tiny ones.
pub(crate) fn payload_for(room: usize, payload: usize) -> usize {
    if encoded_len(payload) <= room {
        payload
    } else {
        room / (HEAD + CHUNK) * CHUNK
    }
}

/// Cuts the first `len` bytes of `payload` into chunks, and calls `put` with their heads and
/// bytes in order. The slices of the payload may begin and end inside chunks.
pub(crate) fn encode(payload: &[IoSlice<'_>], len: usize, mut put: impl FnMut(&[u8])) {
    let mut slices = payload.iter();
    let mut slice: &[u8] = &[];
    let mut left = len;
    while left > 0 {
        let mut chunk = left.min(CHUNK);
        left -= chunk;
        put(&(chunk as u32).to_le_bytes());
        while chunk > 0 {
            if slice.is_empty() {
                let Some(next) = slices.next() else {
                    debug_assert!(false, "the payload has {len} bytes");
                    return;
                };
                slice = next;
                continue;
            }
            let (piece, rest) = slice.split_at(chunk.min(slice.len()));
            put(piece);
            chunk -= piece.len();
            slice = rest;
        }
    }
}

/// Decodes chunks from bytes that are received in pieces of any size.
#[derive(Debug, Default)]
pub(crate) struct ChunkDecoder {
    head: [u8; HEAD],
    /// The number of bytes of the head received so far. Invariant: less than `HEAD` between
    /// calls.
    filled: usize,
    /// Bytes of the current chunk that have not been taken yet.
    left: u32,
}

/// What is at the front of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// This many bytes of the message, more than 0. They stay there until
    /// [`ChunkDecoder::take`] is called.
    Bytes(usize),
    /// An end mark, which has been consumed.
    End,
    /// Nothing complete.
    Empty,
}

impl ChunkDecoder {
    /// Looks at the front of `input`. Returns how many bytes of heads to drop from it, and
    /// what follows them.
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

    /// Marks `count` bytes of the last [`Step::Bytes`] as used.
    pub(crate) fn take(&mut self, count: usize) {
        debug_assert!(count <= self.left as usize);
        self.left -= count as u32;
    }

    /// Returns whether the bytes so far end inside a chunk or its head. An end of the stream
    /// here is a truncation.
    pub(crate) fn inside_chunk(&self) -> bool {
        self.filled > 0 || self.left > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoded(payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let slices = [IoSlice::new(payload)];
        encode(&slices, payload.len(), |piece| {
            bytes.extend_from_slice(piece)
        });
        bytes
    }

    /// Returns the messages in `bytes`, and the payload after the last end mark.
    fn decode(bytes: &[u8], size: usize, taken: usize) -> (Vec<Vec<u8>>, Vec<u8>) {
        let mut decoder = ChunkDecoder::default();
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

    /// Returns a decoder that was given all of `input`.
    fn fed(mut input: &[u8]) -> ChunkDecoder {
        let mut decoder = ChunkDecoder::default();
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
    fn a_message_has_the_bytes_of_the_protocol() {
        let mut expected = vec![0x00, 0x04, 0, 0];
        expected.extend_from_slice(&[7; 1024]);
        expected.extend_from_slice(&[0xdc, 0x01, 0, 0]);
        expected.extend_from_slice(&[7; 476]);
        assert_eq!(encoded(&[7; 1500]), expected);
    }

    #[test]
    fn an_end_inside_a_chunk_or_a_head_is_recognized() {
        let bytes = [encoded(b"abc"), END.to_vec()].concat();
        for end in 0..=bytes.len() {
            let between = [0, 7, 11].contains(&end);
            assert_eq!(fed(&bytes[..end]).inside_chunk(), !between, "{end}");
        }
    }

    #[test]
    fn a_chunk_of_any_announced_length_takes_no_memory() {
        let mut decoder = ChunkDecoder::default();
        assert_eq!(decoder.step(&u32::MAX.to_le_bytes()), (4, Step::Empty));
        assert_eq!(decoder.step(&[1; 100]), (0, Step::Bytes(100)));
        decoder.take(100);
        assert!(decoder.inside_chunk());
    }

    proptest! {
        #[test]
        fn several_slices_give_the_chunks_of_one(
            payload in prop::collection::vec(any::<u8>(), 0..5000),
            ends in prop::collection::vec(0usize..5000, 0..6),
            len in 0usize..5000,
        ) {
            let mut ends: Vec<_> = ends.iter().map(|end| *end.min(&payload.len())).collect();
            ends.extend([0, payload.len()]);
            ends.sort_unstable();
            let slices = ends.windows(2).map(|at| IoSlice::new(&payload[at[0]..at[1]]));
            let slices: Vec<_> = slices.collect();
            let len = len.min(payload.len());
            let mut bytes = Vec::new();
            encode(&slices, len, |piece| bytes.extend_from_slice(piece));
            prop_assert_eq!(bytes, encoded(&payload[..len]));
        }

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
        fn a_payload_fits_the_room_and_is_everything_or_full_chunks(
            room in 0usize..200_000, payload in 0usize..100_000
        ) {
            let sent = payload_for(room, payload);
            prop_assert!(encoded_len(sent) <= room);
            prop_assert!(sent == payload || sent.is_multiple_of(CHUNK) && sent < payload);
            prop_assert_eq!(encoded(&vec![0; sent]).len(), encoded_len(sent));
        }

        #[test]
        fn no_input_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            fed(&bytes);
        }
    }
}
