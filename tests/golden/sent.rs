//! What a side has sent, without what the protocol leaves open, and the rules that hold
//! in any case.

use crate::support::{
    encoding::FEATURES,
    frames::{ACK, DATA, FIN, Frame, SYN, WINDOW_UPDATE},
};
use std::{collections::BTreeMap, fmt};

/// The stream of the session handshake.
pub const SESSION: u32 = 1;

/// The id in an open session frame: after the header, the command, the tag and the
/// length.
const SID: std::ops::Range<usize> = 12 + 11 + 2..12 + 11 + 2 + 16;

/// Everything that one side has sent, by stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    streams: BTreeMap<u32, Stream>,
}

#[derive(Clone, Default, PartialEq, Eq)]
struct Stream {
    opened: bool,
    acknowledged: bool,
    finished: bool,
    data: Vec<u8>,
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("opened", &self.opened)
            .field("acknowledged", &self.acknowledged)
            .field("finished", &self.finished)
            .field("data", &self.data.escape_ascii().to_string())
            .finish()
    }
}

impl Sent {
    /// Adds a frame. Fails the test if this frame must not come here.
    pub fn add(&mut self, frame: &Frame) {
        assert!(matches!(frame.kind, DATA | WINDOW_UPDATE), "{frame:?}");
        assert_eq!(frame.flags & !(SYN | ACK | FIN), 0, "{frame:?}");
        let first = !self.streams.contains_key(&frame.stream);
        let stream = self.streams.entry(frame.stream).or_default();
        assert!(!stream.finished, "nothing comes after a FIN: {frame:?}");
        if frame.has(SYN) {
            assert!(first, "a SYN comes first, and once: {frame:?}");
            stream.opened = true;
        }
        if frame.has(ACK) {
            assert!(!stream.acknowledged, "an ACK comes once: {frame:?}");
            stream.acknowledged = true;
        }
        let known = stream.opened != stream.acknowledged;
        assert!(
            known,
            "opened by one side, acknowledged by the other: {frame:?}"
        );
        stream.data.extend(&frame.body);
        stream.finished = frame.has(FIN);
    }

    /// Whether this includes everything in `other`, or more.
    pub fn includes(&self, other: &Self) -> bool {
        other.streams.iter().all(|(id, there)| {
            self.streams.get(id).is_some_and(|here| {
                here.opened >= there.opened
                    && here.acknowledged >= there.acknowledged
                    && here.finished >= there.finished
                    && here.data.len() >= there.data.len()
            })
        })
    }

    /// The bytes sent on this stream so far.
    pub fn data_on(&self, stream: u32) -> &[u8] {
        self.streams.get(&stream).map_or(&[], |stream| &stream.data)
    }

    /// The id in the request for a session.
    pub fn session_id(&self) -> Vec<u8> {
        self.data_on(SESSION)[SID].to_vec()
    }

    /// Adds the features that wirenet announces to the session handshake. The recordings do
    /// not have this protobuf field, which other peers skip.
    pub fn add_features(&mut self) {
        let stream = self.streams.get_mut(&SESSION).expect("a handshake");
        stream.data.extend(FEATURES);
        let word = &mut stream.data[8..12];
        let len = u32::from_le_bytes(word.try_into().unwrap()) + FEATURES.len() as u32;
        word.copy_from_slice(&len.to_le_bytes());
    }

    /// Replaces the id in the request for a session.
    pub fn set_session_id(&mut self, id: &[u8]) {
        let stream = self.streams.get_mut(&SESSION).expect("a request");
        stream.data[SID].copy_from_slice(id);
    }
}

/// Asserts that a frame does not end inside of what a peer reads with one call: a layer 2
/// frame at the beginning of a stream, and chunks of at most 1,024 bytes after it. `before`
/// is what came on the stream before this frame.
pub fn check_cuts(before: &[u8], frame: &Frame) {
    let mut rest = &*frame.body;
    if before.is_empty() && !rest.is_empty() {
        let number = |at: usize| u32::from_le_bytes(rest[at..at + 4].try_into().unwrap());
        let len = 12 + number(4) + number(8);
        rest = rest.get(len as usize..).expect("a whole layer 2 frame");
    }
    while !rest.is_empty() {
        assert_ne!(frame.stream, SESSION, "no chunks there");
        let (head, chunk) = rest.split_first_chunk().expect("a whole length");
        let len = u32::from_le_bytes(*head);
        assert!(len <= 1024, "a chunk of {len} bytes");
        rest = chunk.get(len as usize..).expect("a whole chunk");
    }
}
