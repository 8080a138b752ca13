//! What Data frames carry, encoded and decoded independently of the library:
//! layer 2 frames, which open sessions and streams, and the chunks of layer 3.

use std::sync::atomic::{AtomicU64, Ordering};

/// Types of layer 2 frames.
pub const ERROR: u32 = 0x04;
pub const ACCEPT: u32 = 0x08;
pub const OPEN: u32 = 0x16;
pub const OPEN_SESSION: u32 = 0x32;
pub const CONFIRM_SESSION: u32 = 0x64;

/// The features that wirenet announces in a session handshake: field 17, bit 4.
pub const FEATURES: [u8; 3] = [0x88, 0x01, 0x10];

/// Marks the end of a message.
pub const END: [u8; 4] = [0; 4];

/// A layer 2 frame.
pub fn layer_2(kind: u32, command: &str, payload: &[u8]) -> Vec<u8> {
    let words = [kind, command.len() as u32, payload.len() as u32];
    [
        words.map(u32::to_le_bytes).as_flattened(),
        command.as_bytes(),
        payload,
    ]
    .concat()
}

/// A protobuf field that holds bytes.
pub fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    [&field_head(number, bytes.len() as u32), bytes].concat()
}

/// The tag and the length of a protobuf field that holds bytes.
pub fn field_head(number: u8, mut len: u32) -> Vec<u8> {
    let mut head = vec![number << 3 | 2];
    while len >= 0x80 {
        head.push(len as u8 | 0x80);
        len >>= 7;
    }
    head.push(len as u8);
    head
}

/// The fields of a request for a session with a fresh id. They announce no
/// features, as go-wirenet does not.
pub fn request(identification: &str, names: &[&str]) -> Vec<u8> {
    let names = names.iter().map(|name| field(4, name.as_bytes()));
    let id = field(1, &fresh_id());
    let identification = field(3, identification.as_bytes());
    [id, identification]
        .into_iter()
        .chain(names)
        .flatten()
        .collect()
}

/// A session id that no other test uses.
pub fn fresh_id() -> [u8; 16] {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    u128::from(number).to_be_bytes()
}

/// The bytes in chunks of at most `size` bytes, without an end mark.
pub fn chunks(bytes: &[u8], size: usize) -> Vec<u8> {
    bytes
        .chunks(size)
        .flat_map(|chunk| [&(chunk.len() as u32).to_le_bytes(), chunk].concat())
        .collect()
}

/// The bytes of the chunks in a Data frame.
///
/// # Panics
///
/// If the frame ends inside a chunk.
pub fn whole_chunks(mut body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    while !body.is_empty() {
        let (head, rest) = body.split_at_checked(4).expect("a length is cut");
        let len = u32::from_le_bytes(head.try_into().expect("4 bytes")) as usize;
        let (chunk, rest) = rest.split_at_checked(len).expect("a chunk is cut");
        bytes.extend(chunk);
        body = rest;
    }
    bytes
}
