//! Random bytes, quick to make and of no use for secrets.

use std::{
    hash::{BuildHasher, RandomState},
    io::{self, Read},
};

/// Bytes without end, others each time: the generator splitmix64.
pub struct RandomBytes {
    state: u64,
}

impl RandomBytes {
    pub fn new() -> Self {
        // The standard library's hash maps are seeded by the system.
        let state = RandomState::new().hash_one("random bytes");
        Self { state }
    }

    pub fn number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }
}

impl Read for RandomBytes {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        for piece in buf.chunks_mut(8) {
            let bytes = self.number().to_le_bytes();
            piece.copy_from_slice(&bytes[..piece.len()]);
        }
        Ok(buf.len())
    }
}
