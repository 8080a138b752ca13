//! All scripts that send every combination of flags on every type of frame in every
//! state of a stream.

use crate::frames::{ACK, DATA, FIN, GO_AWAY, PING, RST, SYN, WINDOW_UPDATE};

use super::script::{Act, Behaviour, Length, Role, Script, Target, WINDOW};

const ROLES: [Role; 2] = [Role::Client, Role::Server];
const BEHAVIOURS: [Behaviour; 3] = [Behaviour::Echo, Behaviour::Read, Behaviour::Ignore];
const KINDS: [u8; 4] = [DATA, WINDOW_UPDATE, PING, GO_AWAY];

/// Returns the states of a stream: the stream, and the acts that lead to the state.
fn states() -> Vec<(Target, Vec<Act>)> {
    let (peers, own) = (Target::Peers(0), Target::Own(0));
    let ack = |target| Act::frame(WINDOW_UPDATE, ACK, target, 0);
    let fin = |target| Act::frame(WINDOW_UPDATE, FIN, target, 0);
    let rst = |target| Act::frame(WINDOW_UPDATE, RST, target, 0);
    let syn = Act::syn(peers);
    let open = Act::Open;
    vec![
        // Not opened.
        (Target::Session, vec![]),
        (peers, vec![]),
        (own, vec![]),
        // Opened by the peer; by us; by us and acknowledged.
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
        // Closed, in either order.
        (peers, vec![syn, fin(peers), Act::Finish(peers)]),
        (peers, vec![syn, Act::Finish(peers), fin(peers)]),
        (own, vec![open, fin(own), Act::Finish(own)]),
        (own, vec![open, ack(own), Act::Finish(own), fin(own)]),
        // Reset by the peer; by us.
        (peers, vec![syn, rst(peers)]),
        (own, vec![open, rst(own)]),
        (peers, vec![syn, Act::Reset(peers)]),
        (own, vec![open, Act::Reset(own)]),
        (own, vec![open, ack(own), Act::Reset(own)]),
    ]
}

/// Returns sequences of invalid frames, and of frames whose lengths are at a limit.
fn edges(target: Target) -> Vec<Vec<Act>> {
    let data = |length| Act::Frame {
        kind: DATA,
        flags: 0,
        target,
        length,
    };
    let grant = |length| Act::frame(WINDOW_UPDATE, 0, target, length);
    let header = |version, kind| Act::Header { version, kind };
    vec![
        vec![header(1, DATA)],
        vec![header(0, GO_AWAY + 1)],
        vec![header(255, 255)],
        vec![data(Length::Is(WINDOW))],
        vec![data(Length::Is(WINDOW + 1))],
        vec![data(Length::Credit), data(Length::Credit)],
        vec![data(Length::Credit), data(Length::BeyondCredit)],
        vec![data(Length::Announced(1 << 31))],
        vec![data(Length::Announced(u32::MAX))],
        vec![grant(u32::MAX - WINDOW)],
        vec![grant(u32::MAX - WINDOW + 1)],
        vec![grant(u32::MAX)],
        vec![grant(u32::MAX - WINDOW), grant(1)],
        vec![data(Length::Is(WINDOW)), grant(u32::MAX)],
        vec![grant(1), data(Length::Is(WINDOW)), grant(1)],
    ]
}

/// Returns acts that open more streams than the limit allows, from either end.
fn crowds() -> Vec<Vec<Act>> {
    let peers = [0, 1, 2].map(|index| Act::syn(Target::Peers(index)));
    let data = Act::frame(DATA, SYN, Target::Peers(2), 3);
    vec![
        peers.to_vec(),
        vec![peers[0], peers[1], data],
        vec![Act::Open; 3],
        vec![Act::Open, peers[0], peers[1]],
        vec![peers[0], Act::Open, Act::Open],
    ]
}

/// Returns acts after the frame that reveal its effect.
fn probe(target: Target) -> [Act; 4] {
    [
        Act::frame(PING, SYN, Target::Session, 7),
        Act::frame(DATA, 0, target, 5),
        Act::frame(DATA, FIN, target, 5),
        Act::frame(PING, SYN, Target::Session, 8),
    ]
}

/// Returns all scripts, in both roles and with each kind of application. The frames
/// arrive one by one, or in one piece from the tested frame on, or all in one piece.
pub fn scripts() -> Vec<Script> {
    let mut scripts = Vec::new();
    for (target, before) in states() {
        for frames in flagged(target).chain(edges(target)) {
            let acts = [&before[..], &frames, &probe(target)].concat();
            scripts.extend(everywhere(&acts));
            for first in [0, before.len()] {
                let at_once = |script: Script| script.held_from(first);
                scripts.extend(everywhere(&acts).map(at_once));
            }
        }
    }
    for acts in crowds() {
        scripts.extend(everywhere(&acts).map(|script| Script {
            max_streams: 2,
            ..script
        }));
    }
    scripts
}

fn everywhere(acts: &[Act]) -> impl Iterator<Item = Script> {
    let in_role = move |role| BEHAVIOURS.map(|behaviour| Script::new(role, behaviour, acts));
    ROLES.into_iter().flat_map(in_role)
}

fn flagged(target: Target) -> impl Iterator<Item = Vec<Act>> {
    KINDS.into_iter().flat_map(move |kind| {
        (0..16).flat_map(move |flags| {
            let frame = move |length: &u32| vec![Act::frame(kind, flags, target, *length)];
            lengths(kind).iter().map(frame)
        })
    })
}

fn lengths(kind: u8) -> &'static [u32] {
    match kind {
        DATA | WINDOW_UPDATE => &[0, 3],
        PING => &[0, 9],
        _ => &[0, 1, 2, 3],
    }
}
