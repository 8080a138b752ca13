//! A sequence of bytes that shows if any are missing, doubled or out of place.

/// A prime, so that the pattern is not aligned with any power of two.
const PERIOD: usize = 65_521;

/// The longest piece that [`Pattern::at`] returns.
pub const PIECE: usize = 64 * 1024;

/// An endless sequence of bytes, different for each seed.
pub struct Pattern {
    bytes: Vec<u8>,
}

impl Pattern {
    pub fn new(seed: u64) -> Self {
        let mut state = seed.wrapping_mul(2).wrapping_add(1);
        let mut bytes = Vec::with_capacity(PERIOD + PIECE + 8);
        while bytes.len() < PERIOD {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(99);
            bytes.extend_from_slice(&(state ^ (state >> 31)).to_le_bytes());
        }
        bytes.truncate(PERIOD);
        for start in (0..PIECE).step_by(PERIOD) {
            bytes.extend_from_within(..PERIOD.min(PIECE - start));
        }
        Self { bytes }
    }

    /// The `len` bytes at `position`, at most [`PIECE`].
    pub fn at(&self, position: u64, len: usize) -> &[u8] {
        let start = (position % PERIOD as u64) as usize;
        &self.bytes[start..start + len]
    }

    /// The first `len` bytes.
    pub fn to_vec(&self, len: usize) -> Vec<u8> {
        let pieces = (0..len).step_by(PIECE);
        let piece = |start| self.at(start as u64, PIECE.min(len - start));
        pieces.flat_map(piece).copied().collect()
    }

    /// Fails the test if `bytes` are not those at `position`.
    pub fn check(&self, position: u64, bytes: &[u8]) {
        let mut position = position;
        for piece in bytes.chunks(PIECE) {
            let expected = self.at(position, piece.len());
            assert!(piece == expected, "wrong bytes at or after {position}");
            position += piece.len() as u64;
        }
    }
}
