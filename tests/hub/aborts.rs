//! Relayed streams of peers that do not announce any features, as go-wirenet does not, and
//! checks of what such a peer gets when its stream is aborted.

use crate::{
    stage::{Hub, eventually, relay},
    support::{
        encoding::{chunks, whole_chunks},
        frames::{DATA, FIN, Frame, WINDOW_UPDATE},
        peer::Peer,
    },
};
use wirenet::Session;

pub const CUT_SHORT: [u8; 4] = [1, 0, 0, 0];

/// The hub's end of the session with this identification. The hub may register it
/// a little after the client.
pub fn session_of(hub: &Hub, identification: &str) -> Session {
    let mut found = None;
    let is_open = eventually(|| {
        let sessions = hub.wire.sessions();
        let mut sessions = sessions.into_iter();
        found = sessions.find(|session| session.identification() == identification.as_bytes());
        found.is_some()
    });
    assert!(is_open);
    found.expect("it was found")
}

/// The next frame of a stream that carries data or an end.
pub fn next(peer: &mut Peer, stream: u32) -> Frame {
    peer.wait(|frame| frame.stream == stream && frame.is_data_or_end())
}

/// Asserts that `count` bytes come, in frames of whole chunks.
pub fn expect_bytes(peer: &mut Peer, stream: u32, count: usize) {
    let mut came = 0;
    while came < count {
        let frame = next(peer, stream);
        assert_eq!((frame.kind, frame.flags), (DATA, 0));
        whole_chunks(&frame.body);
        came += frame.body.len();
    }
    assert_eq!(came, count);
}

pub fn expect_abort(peer: &mut Peer, stream: u32) {
    let cut = next(peer, stream);
    assert_eq!((cut.kind, cut.flags), (DATA, 0), "{cut:?}");
    assert_eq!(cut.body, CUT_SHORT);
    expect_end(peer, stream);
}

/// Asserts that the end comes in a frame of its own, and no reset after it, whatever
/// the peer sends.
pub fn expect_end(peer: &mut Peer, stream: u32) {
    let end = next(peer, stream);
    assert_eq!((end.kind, end.flags), (WINDOW_UPDATE, FIN), "{end:?}");
    peer.send(Frame::data(stream, chunks(&[7; 1_000], 1_000)));
    peer.send(Frame::flags(stream, FIN));
    // The answer comes after everything else.
    let other = peer.call("nothing");
    let next = peer.wait(|frame| [stream, other].contains(&frame.stream) && frame.is_data_or_end());
    assert_eq!(next.stream, other, "{next:?}");
}

/// A stream that a hub relays between two peers.
pub struct Relayed {
    pub hub: Hub,
    pub caller: Peer,
    pub near: u32,
    pub owner: Peer,
    pub far: u32,
}

impl Relayed {
    pub fn new(name: &str) -> Self {
        let hub = Hub::new();
        let mut owner = hub.old_peer("owner", &[name]);
        let mut caller = hub.old_peer("caller", &[]);
        let (near, far) = relay(&mut caller, &mut owner, name);
        Self {
            hub,
            caller,
            near,
            owner,
            far,
        }
    }

    /// Each peer, with the id of the stream there: the caller, then the owner.
    pub fn ends(&mut self) -> ((&mut Peer, u32), (&mut Peer, u32)) {
        ((&mut self.caller, self.near), (&mut self.owner, self.far))
    }
}
