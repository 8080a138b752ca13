//! Peers that do more than ask for a session before they have one: they are
//! ended, and nothing is held for what they merely announce.

use crate::{
    attack::{Attack, Stage},
    raw::Raw,
    server::{PLAIN, Setup, TCP, TCP_AND_TLS},
    silence::FEW,
    starving::pass,
    support::{
        frames::{ACK, FIN, Frame, PING, SYN, WINDOW_UPDATE},
        hand::{field, layer_2},
    },
};
use std::{
    io::Write,
    net::Shutdown,
    time::{Duration, Instant},
};

/// Frames for which there is no need before a session stands.
fn needless() -> [(&'static str, Vec<Frame>); 5] {
    let of = |kind, flags, stream| Frame {
        kind,
        ..Frame::flags(stream, flags)
    };
    let many = |frame| [vec![Frame::flags(1, SYN)], vec![frame; 2000]].concat();
    [
        (
            "a second stream",
            vec![Frame::flags(1, SYN), Frame::flags(3, SYN)],
        ),
        ("2,000 pings", many(of(PING, SYN, 0))),
        ("2,000 unasked pongs", many(of(PING, ACK, 0))),
        ("2,000 window updates of 0", many(of(WINDOW_UPDATE, 0, 1))),
        (
            "2,000 Data frames of 0 bytes",
            many(Frame::data(1, Vec::new())),
        ),
    ]
}

/// Without a deadline: it is not that which ends them.
#[test]
fn a_peer_without_a_session_that_does_more_than_ask_is_ended() {
    let attack = Attack {
        name: "before authentication: a second stream; 2,000 pings, pongs, window updates, \
               empty Data frames",
        limit: "1,024 frames on one stream",
        setup: &FEW,
        memory: 256 << 10,
    };
    attack.run(TCP_AND_TLS, |stage| {
        for (what, frames) in needless() {
            let mut raw = stage.server.dial_raw();
            // It may be cut off before it has said all.
            let _ = raw.send(&frames);
            raw.until_end();
            let report = stage.server.report_about(&raw);
            let cause = "more frames than an unauthenticated peer may send";
            assert!(report.contains(cause), "{what}: {report}");
        }
        "each ended at once".into()
    });
}

/// Long enough that a busy machine is not what ends a connection.
pub const SLOWER: Setup = Setup {
    name: "slower",
    set: |builder| builder.handshake_timeout(Duration::from_secs(2)),
};

/// What a stranger sends, and what the error handler is told of it.
type Case = (Vec<u8>, &'static str);

const TIMED_OUT: &str = "no session handshake within";
const BEYOND: &str = "data beyond the window of stream 1";
const TOO_LARGE: &str = "protocol error by the peer: frame of ";
const NAME: &str = "malformed session handshake: a name of ";
const PAYLOAD: &str = "malformed session handshake: a payload of ";
const FIELD: &str = "malformed session handshake: payload: ";

/// Lengths that are announced, and nothing follows.
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
        let head = [0x32, command, payload];
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
            let request = [field(number, &[]), varint_field(number, len)].concat();
            cases.push((on_stream(layer_2(0x32, "openSession", &request)), FIELD));
        }
    }
    cases
}

/// The head of a protobuf field of so many bytes.
fn varint_field(number: u8, mut len: u32) -> Vec<u8> {
    let mut head = vec![number << 3 | 2];
    while len >= 0x80 {
        head.push(len as u8 | 0x80);
        len >>= 7;
    }
    head.push(len as u8);
    head
}

/// Sends each on a connection of its own, a few at a time, and waits until all
/// are gone.
fn try_all(stage: &Stage<'_>, cases: &[Case]) {
    for cases in cases.chunks(16) {
        let strangers = cases.iter().map(|(bytes, cause)| {
            let mut raw = stage.server.dial_raw();
            raw.write_all(bytes).and_then(|()| raw.flush()).unwrap();
            if *cause != TIMED_OUT {
                // Who is refused has its place for as long as it stays.
                raw.socket().shutdown(Shutdown::Write).unwrap();
            }
            raw
        });
        let mut strangers: Vec<_> = strangers.collect();
        for (raw, (bytes, cause)) in strangers.iter_mut().zip(cases) {
            raw.until_end();
            let report = stage.server.report_about(raw);
            let head = &bytes[..bytes.len().min(64)];
            assert!(report.contains(cause), "{head:?}: {report}, not {cause}");
        }
    }
}

#[test]
fn nothing_is_held_for_what_is_merely_announced() {
    let attack = Attack {
        name: "44 lengths of 0, 1, the limit, one more, 2³¹ and 2³²−1: of yamux frames, command, \
               payload and protobuf fields, of which nothing follows",
        limit: "262,144 bytes of window, names of 255, payload of 256 KiB; protocol",
        setup: &SLOWER,
        // 16 connections at a time.
        memory: 16 * (48 << 10),
    };
    attack.run(TCP_AND_TLS, |stage| {
        let mut cases = announced();
        // All that wait, at once.
        cases.sort_by_key(|(_, cause)| *cause != TIMED_OUT);
        try_all(stage, &cases);
        "ended at once, or refused, or out of time".to_string()
    });
}

/// As much as a request may have, and each part as much as fits.
#[test]
fn a_request_of_the_largest_size_takes_a_small_multiple_of_it() {
    let attack = Attack {
        name: "requests with 87,000 names, 131,000 empty names, fields of 256 KiB",
        limit: "max_names (1,024), 256 KiB in all",
        setup: &PLAIN,
        memory: 3 << 19,
    };
    attack.run(TCP, |stage| {
        let id = field(1, &[3; 16]);
        // The first window of the stream is what all has to fit.
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
            let mut raw = stage.server.dial_raw();
            let answer = raw.join([3; 16], &fields);
            if cause.is_empty() {
                assert!(answer.starts_with(&id), "unknown fields are skipped");
                continue;
            }
            assert!(String::from_utf8_lossy(&answer).contains(cause));
            assert!(answer.len() < 256, "{} bytes", answer.len());
            let report = stage.server.report_about(&raw);
            assert!(report.contains(cause), "{report}");
        }
        "refused, and told why".into()
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

fn refused(stage: &Stage<'_>) -> Raw {
    let mut raw = stage.server.dial_raw();
    let answer = raw.join([4; 16], &field(3, b"bad"));
    assert!(String::from_utf8_lossy(&answer).contains("not you"));
    raw
}

/// The refusal is ignored.
#[test]
fn who_was_refused_and_goes_on_is_served_nothing() {
    let attack = Attack {
        name: "who was refused goes on: opens streams, sends data",
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
        let open = layer_2(0x16, "echo", b"");
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
            // On the stream on which it was refused.
            vec![Frame::data(1, vec![0; 16_384]); 50],
            vec![Frame::flags(1, FIN); 2000],
        ] {
            let mut raw = refused(stage);
            let began = Instant::now();
            // It may be cut off before it has said all.
            let _ = raw.send(&frames);
            let came = raw.until_end();
            let took = began.elapsed();
            assert!(took < REFUSING_DEADLINE, "{took:?}: the deadline ended it");
            assert!(!came.windows(4).any(|bytes| bytes == b"echo"));
        }
        assert_eq!(of_sessions(), before);
        "ended, nothing served".into()
    });
}

/// Nobody's deadline comes.
pub const REFUSING_FOR_EVER: Setup = Setup {
    name: "refusing-for-ever",
    set: |builder| {
        let forever = Duration::from_secs(3600);
        (REFUSING.set)(builder).handshake_timeout(forever)
    },
};

const PLACES_LIMIT: &str = "max_handshakes (64; here 8)";

/// As many as there are places, each with answers that it does not read.
fn refused_and_staying(stage: &Stage<'_>) -> Vec<Raw> {
    let ping = Frame {
        kind: PING,
        ..Frame::flags(0, SYN)
    };
    let mut strangers: Vec<_> = (0..8).map(|_| refused(stage)).collect();
    for raw in &mut strangers {
        // It may have been out of time already.
        let _ = raw.send(&vec![ping.clone(); 500]);
    }
    strangers
}

/// Whether a connection that asks for nothing gets a place; it gives it back.
fn gets_a_place(stage: &Stage<'_>) -> bool {
    let mut raw = Raw::Tcp(stage.server.dial());
    // The other side may have closed it already.
    let _ = raw.socket().shutdown(Shutdown::Write);
    raw.until_end();
    !stage
        .server
        .report_about(&raw)
        .contains("8 handshakes are under way")
}

#[test]
fn who_was_refused_and_stays_has_one_place() {
    let attack = Attack {
        name: "8 that were refused stay, and read nothing",
        limit: PLACES_LIMIT,
        setup: &REFUSING_FOR_EVER,
        // Where TLS is, two buffers of 64 KiB, and the answers that it reads not.
        memory: 8 * (192 << 10),
    };
    attack.run(TCP_AND_TLS, |stage| {
        let mut strangers = refused_and_staying(stage);
        assert!(!gets_a_place(stage), "one of 8 has none");
        drop(strangers.pop());
        // It is noticed at some time that it has left.
        while !gets_a_place(stage) {
            pass(Duration::from_millis(10));
        }
        "the 9th is closed at once; one that leaves gives its place back".into()
    });
}

#[test]
fn who_was_refused_and_stays_has_its_place_until_the_deadline() {
    let attack = Attack {
        name: "the same, until their deadline",
        limit: "max_handshakes (64; here 8), handshake_timeout (10 s; here 3 s)",
        setup: &REFUSING,
        memory: 8 * (192 << 10),
    };
    attack.run(TCP_AND_TLS, |stage| {
        let began = Instant::now();
        let mut strangers = refused_and_staying(stage);
        while !gets_a_place(stage) {
            pass(REFUSING_DEADLINE / 30);
        }
        let free = began.elapsed();
        assert!(free >= REFUSING_DEADLINE, "{free:?}");
        strangers.iter_mut().for_each(|raw| {
            raw.until_end();
        });
        let took = began.elapsed();
        assert!(took < Duration::from_secs(8), "{took:?}");
        format!("a place is free after {free:.1?}, and the 8 are gone after {took:.1?}")
    });
}
