//! Frames that no peer should send, with bad lengths, windows and ids. Those
//! that violate the protocol end their own session; the others are skipped.

use crate::{
    attack::Attack,
    server::{PLAIN, Setup, TCP},
    silence::QUICK,
    starving::{POURING, pass},
    support::{
        encoding::{ACCEPT, OPEN},
        frames::{ACK, DATA, FIN, Frame, GO_AWAY, PING, RST, SYN},
        peer::{Peer, opening},
    },
};
use std::time::Duration;
use wirenet::yamux::INITIAL_WINDOW;

const LARGEST_FRAME: u32 = 16 << 20;

/// A handler runs, and takes memory, until it has noticed that its stream is gone. On a busy
/// machine that may be after the peer has opened hundreds of others.
pub const FEW_HANDLERS: Setup = Setup {
    name: "few-handlers",
    set: |builder| builder.handler_limit(64),
};

/// What a peer must not do while this stream is open.
fn violations(open: u32) -> Vec<Vec<Frame>> {
    let window = Frame::data(open, vec![0; INITIAL_WINDOW as usize]);
    let fresh = open + 2;
    // A stream on which nothing was sent yet.
    let syn = || Frame::flags(fresh, SYN);
    let update = |delta| Frame::grant(fresh, delta);
    let mut all = vec![
        vec![Frame::flags(open, SYN)],
        vec![Frame::header(DATA, SYN, open, 0)],
        vec![syn(), syn()],
        // Wrong parity, and stream 0.
        vec![Frame::flags(2, SYN)],
        vec![Frame::header(DATA, SYN, 1_000_000, 1)],
        vec![Frame::flags(0, SYN)],
        vec![Frame::data(0, vec![1])],
        vec![Frame::header(PING, SYN, open, 0)],
        vec![Frame::header(GO_AWAY, 0, open, 0)],
        // Beyond the window.
        vec![window, Frame::data(open, vec![0])],
        vec![syn(), update(u32::MAX - INITIAL_WINDOW), update(1)],
        vec![syn(), update(1 << 31), update((1 << 31) - INITIAL_WINDOW)],
        vec![syn(), update(u32::MAX)],
        vec![Frame::flags(open, FIN), Frame::data(open, vec![0])],
        // Unknown types.
        vec![Frame::header(4, 0, open, 0)],
        vec![Frame::header(255, 0, 0, 0)],
    ];
    let beyond = [INITIAL_WINDOW + 1, LARGEST_FRAME, LARGEST_FRAME + 1];
    for length in beyond.into_iter().chain([1 << 31, u32::MAX]) {
        all.push(vec![Frame::header(DATA, 0, open, length)]);
        all.push(vec![Frame::header(DATA, SYN, fresh, length)]);
    }
    // On an unknown stream, a frame of the largest size is skipped.
    for length in [LARGEST_FRAME + 1, 1 << 31, u32::MAX] {
        all.push(vec![Frame::header(DATA, 0, 1_000_001, length)]);
    }
    all
}

#[test]
fn a_protocol_violation_ends_only_its_own_session() {
    let attack = Attack {
        name: "lengths, windows and ids that break the protocol (CVE-2026-31814, -32314)",
        limit: "max_frame 16 MiB, windows of 262,144",
        setup: &POURING,
        memory: 1 << 20,
    };
    attack.run(TCP, |stage| {
        let (count, mut told) = (violations(0).len(), 0);
        for number in 0..count {
            let mut member = stage.server.member();
            // The handler does not read. It has written as much as it may, so
            // nothing delays the go-away.
            let open = member.call("pour");
            let mut left = INITIAL_WINDOW;
            // Less than one piece of the handler may remain.
            while left > 2 * 4096 {
                let came = member.wait(|frame| frame.kind == DATA && frame.stream == open);
                left -= came.length;
            }
            let frames = violations(open).swap_remove(number);
            member.send(&frames);
            let code = member.go_away_code();
            // Bytes that the server has not read may reset the connection, and
            // the go-away is lost if a thread is still writing.
            assert!(matches!(code, Some(1) | None), "{number}: {code:?}");
            told += usize::from(code.is_some());
        }
        assert!(told > count / 2, "{told} of {count} with a go-away");
        format!("each of {count} ends its session, {told} with a go-away 1")
    });
}

#[test]
fn useless_frames_are_skipped() {
    let attack = Attack {
        name: "1,000 times: ids that are reused, out of order, or gone; an unsolicited ACK; a second FIN",
        limit: "none needed: nothing is kept per id; handler_limit, here 64",
        setup: &FEW_HANDLERS,
        memory: 1 << 20,
    };
    attack.run(TCP, |stage| {
        let mut member = stage.server.member();
        let late = |id| {
            [
                Frame::data(id, vec![7; 100]),
                Frame::grant(id, 1 << 30),
                Frame::flags(id, FIN),
                Frame::flags(id, FIN),
                Frame::flags(id, RST),
                Frame::flags(id, ACK),
            ]
        };
        for round in 0..1000 {
            // High ids, low ids, and reused ones.
            let id = [9001, 5, 7001 - 2 * (round % 10)][round as usize % 3];
            member.send(opening(id, "echo"));
            let twice = [ACK, FIN, FIN].map(|flag| Frame::flags(id, flag));
            member.send(&twice);
            member.send([Frame::header(DATA, FIN, id, 0), Frame::flags(id, RST)]);
            member.send(late(id));
            member.send(late(round + 1_000_000));
            if round % 100 == 0 {
                member.settle();
            }
        }
        member.settle();
        // Refused while handlers of gone streams still run.
        let is_accepted = |member: &mut Peer| {
            let open = member.call("echo");
            let answer = member.wait(|frame| frame.kind == DATA && frame.stream == open);
            member.send(Frame::flags(open, RST));
            u32::from(answer.body[0]) == ACCEPT
        };
        while !is_accepted(&mut member) {
            pass(Duration::from_millis(10));
        }
        "skipped; the session goes on".into()
    });
}

#[test]
fn openings_that_announce_any_length_allocate_nothing_for_it() {
    let attack = Attack {
        name: "open frames that announce names and tokens of 0 to 2³²−1 bytes",
        limit: "255 and 4,096 bytes; handshake_timeout, here 500 ms",
        setup: &QUICK,
        memory: 1 << 20,
    };
    attack.run(TCP, |stage| {
        let mut member = stage.server.member();
        let mut ids = Vec::new();
        for name in [0_u32, 1, 255, 256, 1 << 31, u32::MAX] {
            for token in [0_u32, 1, 4096, 4097, 1 << 31, u32::MAX] {
                let words = [OPEN, name, token].map(u32::to_le_bytes);
                let id = member.new_stream();
                let head = Frame::data(id, words.as_flattened().into());
                member.send([Frame::flags(id, SYN), head]);
                ids.push(id);
            }
        }
        let whole = ids[0];
        let ends: Vec<u32> = ids
            .into_iter()
            .filter(|id| member.ends_gracefully(*id))
            .collect();
        // The complete one is refused; the others are reset.
        assert_eq!(ends, [whole]);
        member.settle();
        "35 reset, the empty one refused; the session goes on".into()
    });
}

#[test]
fn chunks_that_announce_any_length_allocate_nothing_for_it() {
    let attack = Attack {
        name: "96 chunks that announce 0 to 2³²−1 bytes, also through the hub",
        limit: "none needed: a length is a count",
        setup: &PLAIN,
        memory: 2 << 20,
    };
    attack.run(TCP, |stage| {
        let mut member = stage.server.member();
        // On a hub, the second name is relayed to the honest owner.
        for name in ["echo", stage.honest.calls()] {
            let mut ids = Vec::new();
            for length in [0_u32, 1, 1024, 1025, 1 << 31, u32::MAX].repeat(16) {
                let id = member.open(name);
                let chunk = [&length.to_le_bytes()[..], &[7; 100]].concat();
                member.send(Frame::data(id, chunk));
                ids.push(id);
            }
            member.settle();
            for id in ids {
                member.send(Frame::flags(id, RST));
            }
        }
        member.settle();
        "read as far as they arrive; the session goes on".into()
    });
}
