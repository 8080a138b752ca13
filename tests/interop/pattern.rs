//! Test data that both peers can compute.

/// Returns `size` bytes from splitmix64. No part of them repeats, so duplicated or
/// reordered bytes are detected.
pub fn pattern(seed: u64, size: usize) -> Vec<u8> {
    let mut state = seed;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bytes.extend_from_slice(&(z ^ (z >> 31)).to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

/// Compares received bytes with the pattern.
///
/// # Panics
///
/// If they differ. The message names the first wrong byte.
pub fn assert_pattern(got: &[u8], seed: u64, size: usize) {
    assert_eq!(got.len(), size, "wrong number of bytes received");
    let want = pattern(seed, size);
    if got != want {
        let at = got.iter().zip(&want).position(|(a, b)| a != b);
        panic!("byte {at:?} of {size} is wrong");
    }
}
