//! Messages that say what is in them.

use crate::support::random::Random;

/// Eight bytes that lead astray, a number, the length, a checksum.
const HEAD: usize = 8 + 8 + 8 + 8;

/// A message of this number. Half of them are zeros where they can be: as the
/// length of a chunk or of a frame's parts that is harmless, so that nothing
/// else gives away that bytes are taken for what they are not.
pub fn message(number: u64, random: &mut Random) -> Vec<u8> {
    let limit = random.pick(&[1, 100, 3_000, 3_000, 20_000, 150_000]);
    let zeros = random.chance(50);
    let mut byte = || if zeros { 0 } else { random.next() as u8 };
    let astray = [0; 8].map(|_: u8| byte());
    let mut body = vec![byte(); limit];
    // The rest of it would only take time.
    body.iter_mut().take(64).for_each(|at| *at = byte());
    body.truncate(random.below(limit));
    let words = [number, body.len() as u64, checksum(&astray, &body)];
    let words = words.map(u64::to_le_bytes);
    [&astray, words.as_flattened(), &body].concat()
}

/// The number of a message that is whole, or what is wrong with it.
pub fn check(message: &[u8]) -> Result<u64, String> {
    let wrong = |what: &str| {
        let start = &message[..message.len().min(HEAD)];
        Err(format!("{} bytes, {what}: {start:?}", message.len()))
    };
    let Some((head, body)) = message.split_at_checked(HEAD) else {
        return wrong("less than a head");
    };
    let (astray, words) = head.split_at(8);
    let word = |at: usize| {
        let bytes = words[8 * at..][..8].try_into();
        u64::from_le_bytes(bytes.expect("8 bytes"))
    };
    let (number, len, sum) = (word(0), word(1), word(2));
    if len != body.len() as u64 {
        return wrong(&format!("but {len} behind the head"));
    }
    if sum != checksum(astray, body) {
        return wrong("of another content");
    }
    Ok(number)
}

/// FNV-1a.
fn checksum(astray: &[u8], body: &[u8]) -> u64 {
    let bytes = astray.iter().chain(body);
    bytes.fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    })
}
