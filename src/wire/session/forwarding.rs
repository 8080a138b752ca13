//! How a hub forwards the chunks of a stream that it relays. Pure.

use super::chunk::{CUT_SHORT, HEAD};
use crate::yamux::{Buffered, Framing, INITIAL_WINDOW, LEAST_GRANT, Passed, segment::SEGMENT};

/// How a relay forwards chunks.
pub(crate) const FRAMING: Framing = Framing {
    next: forward,
    cut_short: &CUT_SHORT,
};

/// With no more room than this, further room may never come unless something is sent: a
/// receiver grants only after half of its window was read.
const HALF: usize = INITIAL_WINDOW as usize / 2 - CUT_SHORT.len();

/// While an incomplete chunk is held, its sender may have this much less credit than the
/// receiver grants.
const SLACK: u64 = LEAST_GRANT as u64;

/// The maximum size of a frame, regardless of the room, because other frames wait
/// behind it.
const LARGEST: usize = INITIAL_WINDOW as usize;

/// If at least this many bytes end where a piece does, the frame ends there, because whole
/// pieces are moved instead of copied.
const WORTH_MOVING: usize = 16 * 1024;

/// Returns how many of the buffered bytes a hub forwards in one frame of at most `room`
/// bytes.
///
/// These are complete chunks and end marks, because Go peers rely on that. An incomplete
/// chunk is held until it is complete and there is room for it. A chunk for which there can
/// never be room is forwarded in parts. `passed.left` is the number of its bytes that have
/// not been forwarded yet, before and after this call.
fn forward(passed: &mut Passed, buffered: Buffered<'_, '_>, room: usize) -> usize {
    let Buffered { pieces, len, ended } = buffered;
    let room = room.min(LARGEST);
    if passed.left > 0 {
        let count = room.min(len).min(passed.left as usize);
        passed.left -= count as u32;
        return count;
    }
    let part = |passed: &mut Passed, count: usize, end: u64| {
        *passed = Passed {
            left: (end - count as u64) as u32,
            in_message: true,
        };
        count
    };
    let mut front = Front { pieces, piece: &[] };
    // The length of the complete chunks so far, and of those that end where a piece does,
    // and whether they end inside a message.
    let (mut whole, mut at_piece) = ((0, passed.in_message), (0, false));
    while let Some(chunk) = front.head() {
        // A u64, because the length of a chunk may be any u32.
        let end = (whole.0 + HEAD) as u64 + u64::from(chunk);
        let limit = if whole.0 == 0 {
            room
        } else {
            room.min(SEGMENT)
        };
        if end <= len.min(limit) as u64 {
            whole = (end as usize, chunk > 0);
            if front.skip(chunk as usize) && whole.0 >= WORTH_MOVING {
                at_piece = whole;
            }
        } else if whole.0 > 0 {
            break;
        } else if room >= HALF && end + SLACK > room as u64 {
            return part(passed, room.min(len), end);
        } else if ended && end > len as u64 && len <= room {
            // The chunk will never be complete. Its part is forwarded now, because the
            // end that follows may still turn out to be a reset.
            return part(passed, len, end);
        } else {
            return 0;
        }
    }
    let (count, in_message) = match (at_piece, whole) {
        ((0, _), (0, _)) if ended && len < HEAD && len <= room => (len, len > 0),
        ((0, _), whole) => whole,
        (at_piece, _) => at_piece,
    };
    passed.in_message = in_message;
    count
}

/// Reads chunk heads from the pieces of an inbox.
struct Front<'a, 'b> {
    pieces: &'a mut dyn Iterator<Item = &'b [u8]>,
    /// The rest of the current piece.
    piece: &'b [u8],
}

impl Front<'_, '_> {
    /// Reads the length of the next chunk. Returns `None` if its head is incomplete.
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

    /// Skips buffered bytes. Returns whether a piece ends with them.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::session::chunk::{CHUNK, END, encode};
    use proptest::prelude::*;
    use std::io::IoSlice;

    fn encoded(payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(&[IoSlice::new(payload)], payload.len(), |piece| {
            bytes.extend_from_slice(piece)
        });
        bytes
    }

    /// Returns how many of `bytes`, in pieces of `size`, are forwarded, and how much is left
    /// of the chunk then.
    fn forwarded(left: u32, bytes: &[u8], size: usize, room: usize, ended: bool) -> (usize, u32) {
        let in_message = left > 0;
        let mut passed = Passed { left, in_message };
        let buffered = Buffered {
            pieces: &mut bytes.chunks(size),
            len: bytes.len(),
            ended,
        };
        let count = forward(&mut passed, buffered, room);
        (count, passed.left)
    }

    #[test]
    fn a_relay_knows_whether_it_has_passed_on_whole_messages() {
        let message = [encoded(&[7; 20 * CHUNK]), END.to_vec()].concat();
        let bytes = [&message[..], &encoded(b"next"), &END, &[9, 0]].concat();
        let whole = [0, message.len(), bytes.len() - 2];
        for size in [1, 3, 1000, message.len(), bytes.len()] {
            for room in [HEAD + CHUNK, 5000, HALF, 300_000] {
                let (mut at, mut passed) = (0, Passed::default());
                while at < bytes.len() {
                    let buffered = Buffered {
                        pieces: &mut bytes[at..].chunks(size),
                        len: bytes.len() - at,
                        ended: at == bytes.len() - 2,
                    };
                    at += forward(&mut passed, buffered, room);
                    assert_eq!(passed.in_message, !whole.contains(&at), "{at}");
                }
            }
        }
        // A chunk that is too large to be held.
        let bytes = [&(LARGEST as u32).to_le_bytes()[..], &[7; 1000]].concat();
        let mut passed = Passed::default();
        for (pieces, ended) in [(&bytes, false), (&vec![7; LARGEST - 1000], false)] {
            let len = pieces.len();
            let pieces = &mut pieces.chunks(99);
            let buffered = Buffered { pieces, len, ended };
            assert_eq!(forward(&mut passed, buffered, usize::MAX), len);
            assert!(passed.in_message);
        }
        assert_eq!(passed.left, 0);
    }

    #[test]
    fn complete_chunks_are_forwarded_wherever_pieces_end() {
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
                    assert_eq!(forwarded(0, &bytes, size, room, ended), (whole, 0));
                }
            }
        }
    }

    #[test]
    fn an_incomplete_chunk_is_held_until_the_stream_ends() {
        for len in [CHUNK, 100_000, 200_000] {
            let mut bytes = (len as u32).to_le_bytes().to_vec();
            bytes.resize(HEAD + len, 7);
            for end in [1, 3, 4, 5, len, len + 3] {
                let begun = &bytes[..end];
                assert_eq!(forwarded(0, begun, 100, 250_000, false), (0, 0));
                // The number of missing bytes is known.
                let left = if end < HEAD { 0 } else { HEAD + len - end };
                let part = forwarded(0, begun, 100, 250_000, true);
                assert_eq!(part, (end, left as u32));
            }
            let whole = forwarded(0, &bytes, 9999, 250_000, false);
            assert_eq!(whole, (bytes.len(), 0));
        }
    }

    #[test]
    fn a_chunk_waits_for_room_while_more_may_be_granted() {
        let bytes = [&150_000u32.to_le_bytes()[..], &[7; 140_000]].concat();
        for ended in [false, true] {
            assert_eq!(forwarded(0, &bytes, 9999, HALF - 1, ended), (0, 0));
            assert_eq!(
                forwarded(0, &bytes, 9999, HALF, ended),
                (HALF, 150_004 - HALF as u32)
            );
        }
        // There is room, and the sender may have been granted enough for it.
        let enough = 150_004 + SLACK as usize;
        assert_eq!(forwarded(0, &bytes, 9999, enough, false), (0, 0));
        assert_eq!(
            forwarded(0, &bytes, 9999, enough - 1, false),
            (140_004, 10_000)
        );
    }

    #[test]
    fn a_chunk_too_large_for_any_room_is_forwarded_in_parts() {
        let len = LARGEST as u32;
        let bytes = [&len.to_le_bytes()[..], &[7; 1000]].concat();
        assert_eq!(forwarded(0, &bytes[..3], 10, usize::MAX, false), (0, 0));
        assert_eq!(
            forwarded(0, &bytes, 10, usize::MAX, false),
            (1004, len - 1000)
        );
        // Its rest, and then what follows it.
        let bytes = [vec![7; 50], encoded(&[8; 20])].concat();
        assert_eq!(forwarded(50, &bytes, 7, 40, false), (40, 10));
        assert_eq!(forwarded(10, &bytes[40..], 7, 9999, false), (10, 0));
        assert_eq!(forwarded(60, &bytes[..50], 7, 9999, false), (50, 10));
        assert_eq!(forwarded(u32::MAX, &bytes, 7, 0, true), (0, u32::MAX));
    }

    #[test]
    fn a_frame_ends_where_a_large_piece_does() {
        let piece = encoded(&[7; 20 * CHUNK]);
        let bytes = [&piece[..], &piece[..HEAD + CHUNK]].concat();
        let room = 2 * piece.len();
        assert_eq!(
            forwarded(0, &bytes, piece.len(), room, false),
            (bytes.len(), 0)
        );
        let bytes = [&piece[..], &piece[..HEAD + CHUNK], &[1, 0]].concat();
        assert_eq!(
            forwarded(0, &bytes, piece.len(), room, false),
            (piece.len(), 0)
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn a_relay_forwards_all_bytes_and_cuts_no_chunk_that_may_have_room(
            lens in prop::collection::vec(0usize..LARGEST + 9000, 0..4),
            arrives in 5000usize..200_000,
            size in 500usize..70_000,
            room in HALF..300_000,
        ) {
            let mut bytes = Vec::new();
            // Positions at which no frame may end.
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
                let (count, then) = forwarded(left, held, size, room, false);
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
}
