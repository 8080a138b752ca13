//! A checksum that is fast even without optimization, and faster on zeros, of which a
//! sparse file mostly consists. It detects bytes that are lost, added, changed or out of
//! place. It is not cryptographic.

use std::io::{self, Read, Write};

/// The bytes that are summed up at once.
const BLOCK: usize = 64 * 1024;

static ZEROS: [u8; BLOCK] = [0; BLOCK];

/// Sums up the bytes that are written to it, in pieces of any size.
pub struct Checksum {
    sum: u64,
    len: u64,
    block: Vec<u8>,
}

impl Checksum {
    pub fn new() -> Self {
        Self {
            sum: 0,
            len: 0,
            block: Vec::with_capacity(BLOCK),
        }
    }

    /// The checksum of all bytes of `source`.
    pub fn of(mut source: impl Read) -> io::Result<u64> {
        let mut checksum = Self::new();
        io::copy(&mut source, &mut checksum)?;
        Ok(checksum.value())
    }

    pub fn value(mut self) -> u64 {
        self.absorb();
        mix(self.sum, self.len)
    }

    fn absorb(&mut self) {
        let block = std::mem::take(&mut self.block);
        if block == ZEROS[..block.len()] {
            self.sum = mix(self.sum, 0);
        } else {
            for word in block.chunks(8) {
                let mut bytes = [0; 8];
                bytes[..word.len()].copy_from_slice(word);
                self.sum = mix(self.sum, u64::from_le_bytes(bytes));
            }
        }
        self.block = block;
        self.block.clear();
    }
}

fn mix(sum: u64, word: u64) -> u64 {
    let mixed = (sum ^ word)
        .wrapping_add(1)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 29)
}

impl Write for Checksum {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let count = buf.len().min(BLOCK - self.block.len());
        self.block.extend_from_slice(&buf[..count]);
        self.len += count as u64;
        if self.block.len() == BLOCK {
            self.absorb();
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
