//! What the documentation promises of wires, sessions and streams.

mod support;

#[path = "api/closing.rs"]
mod closing;
#[path = "api/limits.rs"]
mod limits;
#[path = "api/lookups.rs"]
mod lookups;
#[path = "api/opening.rs"]
mod opening;
#[path = "api/own_turn.rs"]
mod own_turn;
#[path = "api/peer_end.rs"]
mod peer_end;
#[path = "api/printing.rs"]
mod printing;
#[path = "api/read_message.rs"]
mod read_message;
#[path = "api/sessions.rs"]
mod sessions;
#[path = "api/streams.rs"]
mod streams;
#[path = "api/truncation.rs"]
mod truncation;
#[path = "api/unwinding.rs"]
mod unwinding;
#[path = "api/waiting.rs"]
mod waiting;
#[path = "api/writer.rs"]
mod writer;

use support::{
    PATIENCE,
    peer::Peer,
    wires::{mounting, started},
};
use wirenet::{Stream, Wire};

/// A server, a scripted peer, and a stream between them, with its id at the peer.
fn scripted() -> (Wire, Peer, Stream, u32) {
    let server = started(mounting());
    let mut peer = Peer::join(&server, [1; 16]);
    let session = server.wait_session(PATIENCE).unwrap();
    let (stream, id) = peer.accept_from(&session, "any");
    (server, peer, stream, id)
}
