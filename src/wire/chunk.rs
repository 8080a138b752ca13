//! Chunks: how messages with an end lie in a named stream. Pure.
//!
//! A chunk is its length (u32, little-endian) and that many bytes; a length of
//! 0 ends the message. Sent are chunks of at most 1,024 bytes, each whole in
//! one Data frame, because other implementations rely on both. Received is any
//! length: it is a count, and nothing is held for it.

/// The bytes that a chunk carries at most when it is sent.
pub(crate) const CHUNK: usize = 1024;

/// The length of a chunk's head, and of an end mark.
pub(crate) const HEAD: usize = 4;

/// The end of a message.
pub(crate) const END: [u8; HEAD] = [0; HEAD];

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

/// How many of the first `room` bytes are whole chunks and end marks. The
/// pieces begin between two of them, as the frames do in which they are sent.
pub(crate) fn whole_within(pieces: &mut dyn Iterator<Item = &[u8]>, room: usize) -> usize {
    let mut decoder = Decoder::default();
    let (mut seen, mut whole) = (0, 0);
    for piece in pieces {
        let mut input = &piece[..piece.len().min(room - seen)];
        seen += input.len();
        while !input.is_empty() {
            input = &input[decoder.pass(input)..];
            if !decoder.inside_chunk() {
                whole = seen - input.len();
            }
        }
        if seen == room {
            break;
        }
    }
    whole
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

    /// Goes on to the end of the first step of `input`, whatever it is; says how
    /// many bytes that is.
    fn pass(&mut self, input: &[u8]) -> usize {
        let (used, step) = self.step(input);
        match step {
            Step::Bytes(count) => {
                self.take(count);
                used + count
            }
            Step::End | Step::Empty => used,
        }
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

    #[test]
    fn whole_chunks_are_counted_however_they_lie() {
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
                assert_eq!(whole_within(&mut bytes.chunks(size), room), whole);
            }
        }
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
            input = &input[decoder.pass(input)..];
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
