//! Messages that describe their own content, so that a receiver can check them.

use crate::support::random::Random;

/// Eight misleading bytes, a number, the length, and a checksum.
const HEADER: usize = 8 + 8 + 8 + 8;

/// Returns the message of this number. Half of all messages are zeros wherever
/// possible: read as the length of a chunk or of a part of a frame, zeros cause
/// no error, so that only these checks notice bytes that were misinterpreted.
pub fn message(number: u64, random: &mut Random) -> Vec<u8> {
    let limit = random.pick(&[1, 100, 3_000, 3_000, 20_000, 150_000]);
    let zeros = random.chance(50);
    let mut byte = || if zeros { 0 } else { random.next() as u8 };
    let misleading = [0; 8].map(|_: u8| byte());
    let mut body = vec![byte(); limit];
    // Random bytes for the rest would only take time.
    body.iter_mut().take(64).for_each(|at| *at = byte());
    body.truncate(random.below(limit));
    let words = [number, body.len() as u64, checksum(&misleading, &body)];
    let words = words.map(u64::to_le_bytes);
    [&misleading, words.as_flattened(), &body].concat()
}

/// Returns the number of an intact message, or what is wrong with it.
pub fn check(message: &[u8]) -> Result<u64, String> {
    let wrong = |what: &str| {
        let start = &message[..message.len().min(HEADER)];
        Err(format!("{} bytes, {what}: {start:?}", message.len()))
    };
    let Some((header, body)) = message.split_at_checked(HEADER) else {
        return wrong("shorter than a header");
    };
    let (misleading, words) = header.split_at(8);
    let word = |at: usize| {
        let bytes = words[8 * at..][..8].try_into();
        u64::from_le_bytes(bytes.expect("8 bytes"))
    };
    let (number, len, sum) = (word(0), word(1), word(2));
    if len != body.len() as u64 {
        return wrong(&format!("but the header says {len}"));
    }
    if sum != checksum(misleading, body) {
        return wrong("wrong checksum");
    }
    Ok(number)
}

/// FNV-1a.
fn checksum(misleading: &[u8], body: &[u8]) -> u64 {
    let bytes = misleading.iter().chain(body);
    bytes.fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    })
}
