//! Every set of flags on every type of frame in every state of a stream.

use crate::frames::{ACK, DATA, FIN, GO_AWAY, PING, RST, SYN, WINDOW_UPDATE};

use super::script::{Act, Manner, Role, Script, Target};

const ROLES: [Role; 2] = [Role::Client, Role::Server];
const MANNERS: [Manner; 3] = [Manner::Echo, Manner::Read, Manner::Ignore];
const KINDS: [u8; 4] = [DATA, WINDOW_UPDATE, PING, GO_AWAY];

/// The state that a frame meets: the stream that it is for, and what happens
/// before.
fn states() -> Vec<(Target, Vec<Act>)> {
    let (peers, own) = (Target::Peers(0), Target::Own(0));
    let ack = |target| Act::frame(WINDOW_UPDATE, ACK, target, 0);
    let fin = |target| Act::frame(WINDOW_UPDATE, FIN, target, 0);
    let rst = |target| Act::frame(WINDOW_UPDATE, RST, target, 0);
    let syn = Act::syn(peers);
    let open = Act::Open;
    vec![
        // None.
        (Target::Session, vec![]),
        (peers, vec![]),
        (own, vec![]),
        // Opened by the peer, by us, by us and acknowledged.
        (peers, vec![syn]),
        (own, vec![open]),
        (own, vec![open, ack(own)]),
        // Half closed by us.
        (peers, vec![syn, Act::Finish(peers)]),
        (own, vec![open, Act::Finish(own)]),
        (own, vec![open, ack(own), Act::Finish(own)]),
        // Half closed by the peer.
        (peers, vec![syn, fin(peers)]),
        (own, vec![open, ack(own), fin(own)]),
        // Closed, whoever was first.
        (peers, vec![syn, fin(peers), Act::Finish(peers)]),
        (peers, vec![syn, Act::Finish(peers), fin(peers)]),
        (own, vec![open, fin(own), Act::Finish(own)]),
        (own, vec![open, ack(own), Act::Finish(own), fin(own)]),
        // Reset by the peer, by us.
        (peers, vec![syn, rst(peers)]),
        (own, vec![open, rst(own)]),
        (peers, vec![syn, Act::Reset(peers)]),
        (own, vec![open, Act::Reset(own)]),
        (own, vec![open, ack(own), Act::Reset(own)]),
    ]
}

/// What shows afterwards what the frame has done.
fn probe(target: Target) -> [Act; 4] {
    [
        Act::frame(PING, SYN, Target::Session, 7),
        Act::frame(DATA, 0, target, 5),
        Act::frame(DATA, FIN, target, 5),
        Act::frame(PING, SYN, Target::Session, 8),
    ]
}

/// All of them, in both roles, before each kind of application.
pub fn scripts() -> Vec<Script> {
    let mut scripts = Vec::new();
    for (target, before) in states() {
        for kind in KINDS {
            for flags in 0..16 {
                for length in lengths(kind) {
                    let frame = Act::frame(kind, flags, target, *length);
                    let acts = [&before[..], &[frame], &probe(target)].concat();
                    for role in ROLES {
                        let script = |manner| Script::new(role, manner, &acts);
                        scripts.extend(MANNERS.map(script));
                    }
                }
            }
        }
    }
    scripts
}

fn lengths(kind: u8) -> &'static [u32] {
    match kind {
        DATA | WINDOW_UPDATE => &[0, 3],
        PING => &[0, 9],
        _ => &[0, 1, 2, 3],
    }
}
