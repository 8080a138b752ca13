//! Unauthenticated peers that do more than request a session are disconnected,
//! and nothing is allocated for what they merely announce.

use crate::{
    attack::{Attack, Stage},
    server::{PLAIN, Setup, TCP, TCP_AND_TLS},
    silence::FEW,
    starving::pass,
    support::{
        encoding::{OPEN, OPEN_SESSION, field, field_head, layer_2},
        frames::{FIN, Frame, SYN},
        peer::Peer,
    },
};
use std::{
    io::Write,
    net::Shutdown,
    time::{Duration, Instant},
};

/// Frames that a peer does not need before it has a session.
fn needless() -> [(&'static str, Vec<Frame>); 5] {
    let many = |frame| [vec![Frame::flags(1, SYN)], vec![frame; 2000]].concat();
    [
        (
            "a second stream",
            vec![Frame::flags(1, SYN), Frame::flags(3, SYN)],
        ),
        ("2,000 pings", many(Frame::ping(0))),
        ("2,000 unsolicited pongs", many(Frame::pong(0))),
        ("2,000 window updates of 0", many(Frame::flags(1, 0))),
        (
            "2,000 Data frames of 0 bytes",
            many(Frame::data(1, Vec::new())),
        ),
    ]
}

/// The setup has no deadline, so that cannot be what ends them.
#[test]
fn an_unauthenticated_peer_that_does_more_than_request_a_session_is_disconnected() {
    let attack = Attack {
        name: "before authentication: a second stream; 2,000 pings, pongs, window updates, \
               empty Data frames",
        limit: "1,024 frames on one stream",
        setup: &FEW,
        memory: 256 << 10,
    };
    attack.run(TCP_AND_TLS, |stage| {
        for (what, frames) in needless() {
            let mut peer = stage.server.peer();
            // It may be disconnected before it has sent all frames.
            let _ = peer.try_send(&frames);
            peer.read_to_close();
            let report = stage.server.report_about(&peer);
            let cause = "more frames than an unauthenticated peer may send";
            assert!(report.contains(cause), "{what}: {report}");
        }
        "each connection is ended at once".into()
    });
}

/// The deadline is long enough for a busy machine.
pub const SLOWER: Setup = Setup {
    name: "slower",
    set: |builder| builder.handshake_timeout(Duration::from_secs(2)),
};

/// What a peer sends, and what is reported about it.
type Case = (Vec<u8>, &'static str);

const TIMED_OUT: &str = "no session handshake within";
const BEYOND: &str = "data beyond the window of stream 1";
const TOO_LARGE: &str = "protocol error by the peer: frame of ";
const NAME: &str = "malformed session handshake: a name of ";
const PAYLOAD: &str = "malformed session handshake: a payload of ";
const FIELD: &str = "malformed session handshake: payload: ";

/// Announced lengths, without the bytes.
fn announced() -> Vec<Case> {
    let syn = Frame::flags(1, SYN).encode();
    let frame = |length: u32| {
        let frame = Frame {
            length,
            ..Frame::data(1, Vec::new())
        };
        [&syn[..], &frame.encode()].concat()
    };
    let on_stream = |body| [&syn[..], &Frame::data(1, body).encode()].concat();
    let open = |command: u32, payload: u32| {
        let head = [OPEN_SESSION, command, payload];
        on_stream(head.map(u32::to_le_bytes).as_flattened().to_vec())
    };
    let mut cases = vec![
        (frame(0), TIMED_OUT),
        (frame(1), TIMED_OUT),
        (frame(262_144), TIMED_OUT),
        (frame(262_145), BEYOND),
        (frame(1 << 24), BEYOND),
        (frame((1 << 24) + 1), TOO_LARGE),
        (frame(1 << 31), TOO_LARGE),
        (frame(u32::MAX), TOO_LARGE),
        (open(0, 0), "wrong session id"),
        (open(0, 1), TIMED_OUT),
        (open(1, 0), TIMED_OUT),
        (open(255, 0), TIMED_OUT),
        (open(256, 0), NAME),
        (open(1 << 31, 0), NAME),
        (open(u32::MAX, u32::MAX), NAME),
        (open(11, 1 << 18), TIMED_OUT),
        (open(11, (1 << 18) + 1), PAYLOAD),
        (open(11, 1 << 31), PAYLOAD),
        (open(11, u32::MAX), PAYLOAD),
    ];
    for number in 1..=5 {
        for len in [1, 16, 4096, 1 << 31, u32::MAX] {
            let request = [field(number, &[]), field_head(number, len)].concat();
            cases.push((
                on_stream(layer_2(OPEN_SESSION, "openSession", &request)),
                FIELD,
            ));
        }
    }
    cases
}

/// Sends each case on a connection of its own, a few at a time, and waits until
/// all are disconnected.
fn try_all(stage: &Stage<'_>, cases: &[Case]) {
    for cases in cases.chunks(16) {
        let peers = cases.iter().map(|(bytes, cause)| {
            let mut peer = stage.server.peer();
            peer.send_bytes(bytes);
            if *cause != TIMED_OUT {
                // A refused peer keeps its place as long as it stays.
                peer.socket().shutdown(Shutdown::Write).unwrap();
            }
            peer
        });
        let mut peers: Vec<_> = peers.collect();
        for (peer, (bytes, cause)) in peers.iter_mut().zip(cases) {
            peer.read_to_close();
            let report = stage.server.report_about(peer);
            let head = &bytes[..bytes.len().min(64)];
            assert!(report.contains(cause), "{head:?}: {report}, not {cause}");
        }
    }
}

#[test]
fn announced_lengths_allocate_nothing() {
    let attack = Attack {
        name: "44 lengths of 0, 1, the limit, one more, 2³¹ and 2³²−1: of yamux frames, command, \
               payload and protobuf fields, of which nothing follows",
        limit: "262,144 bytes of window, names of 255, payload of 256 KiB; protocol",
        setup: &SLOWER,
        // 16 connections at a time.
        memory: 16 * (48 << 10),
    };
    attack.run_at_once(TCP_AND_TLS, |stage| {
        let mut cases = announced();
        // Those that time out come first, so that they wait at the same time.
        cases.sort_by_key(|(_, cause)| *cause != TIMED_OUT);
        try_all(stage, &cases);
        "ended at once, refused, or timed out".to_string()
    });
}

/// Requests of the largest size, each filled with one kind of field.
#[test]
fn a_request_of_the_largest_size_takes_a_small_multiple_of_its_size() {
    let attack = Attack {
        name: "requests with 87,000 names, 131,000 empty names, fields of 256 KiB",
        limit: "max_names (1,024), 256 KiB in all",
        setup: &PLAIN,
        memory: 3 << 19,
    };
    attack.run(TCP, |stage| {
        let id = field(1, &[3; 16]);
        // Everything must fit in the first window of the stream.
        let rest = (1 << 18) - id.len() - 12 - "openSession".len();
        let long = |number: u8, len: usize| field(number, &vec![b'x'; len]);
        let cases = [
            (field(4, b"x").repeat(rest / 3), "a list of stream names: "),
            (field(4, b"").repeat(rest / 2), "a list of stream names: "),
            (long(1, rest - 8), "wrong session id"),
            (long(2, rest - 8), "invalid length of a token"),
            (long(3, rest - 8), "invalid length of an identification"),
            (long(4, rest - 8), "a stream's name: "),
            (long(7, rest - 8), ""),
        ];
        for (fields, cause) in cases {
            let mut peer = stage.server.peer();
            let answer = peer.ask(&[&id[..], &fields].concat());
            if cause.is_empty() {
                assert!(answer.starts_with(&id), "unknown fields are skipped");
                continue;
            }
            assert!(String::from_utf8_lossy(&answer).contains(cause));
            assert!(answer.len() < 256, "{} bytes", answer.len());
            let report = stage.server.report_about(&peer);
            assert!(report.contains(cause), "{report}");
        }
        "refused, with the reason".into()
    });
}

pub const REFUSING: Setup = Setup {
    name: "refusing",
    set: |builder| {
        let builder = builder.token_validator(|_, id, _| match id {
            b"bad" => Err("not you".into()),
            _ => Ok(()),
        });
        (FEW.set)(builder).handshake_timeout(REFUSING_DEADLINE)
    },
};

const REFUSING_DEADLINE: Duration = Duration::from_secs(3);

fn refused(stage: &Stage<'_>) -> Peer {
    let mut peer = stage.server.peer();
    let answer = peer.ask(&[field(1, &[4; 16]), field(3, b"bad")].concat());
    assert!(String::from_utf8_lossy(&answer).contains("not you"));
    peer
}

/// It ignores the refusal.
#[test]
fn a_refused_peer_that_goes_on_is_not_served() {
    let attack = Attack {
        name: "a refused client goes on: it opens streams and sends data",
        limit: "the one stream, 1,024 frames; handshake_timeout (10 s; here 3 s)",
        setup: &REFUSING,
        memory: 512 << 10,
    };
    attack.run(TCP_AND_TLS, |stage| {
        let of_sessions = || {
            let usage = stage.server.usage();
            (usage.sessions, usage.streams_accepted, usage.streams_reset)
        };
        let before = of_sessions();
        let open = layer_2(OPEN, "echo", b"");
        let chunk = [64u32.to_le_bytes().to_vec(), vec![b'e'; 64]].concat();
        let stream = |id| {
            [
                Frame::flags(id, SYN),
                Frame::data(id, open.clone()),
                Frame::data(id, chunk.clone()),
            ]
        };
        for frames in [
            stream(3).to_vec(),
            (0..100).flat_map(|number| stream(3 + 2 * number)).collect(),
            // On the stream of the refusal.
            vec![Frame::data(1, vec![0; 16_384]); 50],
            vec![Frame::flags(1, FIN); 2000],
        ] {
            let mut peer = refused(stage);
            let began = Instant::now();
            // It may be disconnected before it has sent all frames.
            let _ = peer.try_send(&frames);
            let came = peer.read_to_close();
            let took = began.elapsed();
            assert!(took < REFUSING_DEADLINE, "{took:?}: the deadline ended it");
            assert!(!came.windows(4).any(|bytes| bytes == b"echo"));
        }
        assert_eq!(of_sessions(), before);
        "ended, nothing served".into()
    });
}

/// No deadline passes.
pub const REFUSING_FOREVER: Setup = Setup {
    name: "refusing-forever",
    set: |builder| {
        let forever = Duration::from_secs(3600);
        (REFUSING.set)(builder).handshake_timeout(forever)
    },
};

const PLACES_LIMIT: &str = "max_handshakes (64; here 8)";

/// Refused peers in all places, each with answers that it does not read.
fn refused_and_staying(stage: &Stage<'_>) -> Vec<Peer> {
    let mut peers: Vec<_> = (0..8).map(|_| refused(stage)).collect();
    for peer in &mut peers {
        // Its time may be over already.
        let _ = peer.try_send(vec![Frame::ping(0); 500]);
    }
    peers
}

/// Returns whether a new connection gets a place, which it then gives back.
fn gets_a_place(stage: &Stage<'_>) -> bool {
    let mut peer = Peer::over_tcp(stage.server.dial());
    // The server may have closed it already. A peer that sends nothing is not reported.
    let _ = peer.socket().write_all(b"x");
    let _ = peer.socket().shutdown(Shutdown::Write);
    peer.read_to_close();
    !stage
        .server
        .report_about(&peer)
        .contains("8 handshakes are under way")
}

#[test]
fn a_refused_peer_that_stays_has_one_place() {
    let attack = Attack {
        name: "8 refused clients stay connected and read nothing",
        limit: PLACES_LIMIT,
        setup: &REFUSING_FOREVER,
        // With TLS, two buffers of 64 KiB, and the unread answers.
        memory: 8 * (192 << 10),
    };
    attack.run(TCP_AND_TLS, |stage| {
        let mut peers = refused_and_staying(stage);
        assert!(!gets_a_place(stage), "one of the 8 has no place");
        drop(peers.pop());
        // The server notices some time later that it has left.
        while !gets_a_place(stage) {
            pass(Duration::from_millis(10));
        }
        "the 9th is closed at once; a client that leaves frees its place".into()
    });
}

#[test]
fn a_refused_peer_that_stays_has_its_place_until_the_deadline() {
    let attack = Attack {
        name: "the same, until their handshake deadline",
        limit: "max_handshakes (64; here 8), handshake_timeout (10 s; here 3 s)",
        setup: &REFUSING,
        memory: 8 * (192 << 10),
    };
    attack.run_at_once(TCP_AND_TLS, |stage| {
        let began = Instant::now();
        let mut peers = refused_and_staying(stage);
        while !gets_a_place(stage) {
            pass(REFUSING_DEADLINE / 30);
        }
        let free = began.elapsed();
        assert!(free >= REFUSING_DEADLINE, "{free:?}");
        peers.iter_mut().for_each(|peer| {
            peer.read_to_close();
        });
        let took = began.elapsed();
        assert!(took < Duration::from_secs(8), "{took:?}");
        format!("a place is free after {free:.1?}, and the 8 are gone after {took:.1?}")
    });
}
