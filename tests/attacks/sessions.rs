//! Attacks of an authenticated client on sessions.

use crate::{
    attack::Attack,
    server::{PLAIN, Server, Setup, TCP},
    support::{
        encoding::{ERROR, OPEN, OPEN_SESSION, field, layer_2},
        frames::{FIN, Frame, RST, SYN},
        peer::Peer,
    },
};

const ID: [u8; 16] = [7; 16];

/// Opens a stream with this Data frame. Returns the frames that come on it until
/// one of its directions ends.
fn opened(peer: &mut Peer, id: u32, frame: Vec<u8>) -> Vec<Frame> {
    peer.send([Frame::flags(id, SYN), Frame::data(id, frame)]);
    let mut frames = Vec::new();
    loop {
        let frame = peer.receive().expect("an answer");
        if frame.stream == id {
            let is_last = frame.has(FIN) || frame.has(RST);
            frames.push(frame);
            if is_last {
                return frames;
            }
        }
    }
}

/// Opens a stream of a name that does not exist.
fn assert_not_found(peer: &mut Peer, id: u32, name: &str) {
    let frames = opened(peer, id, layer_2(OPEN, name, b"stream's"));
    let bodies = frames.into_iter().map(|frame| frame.body);
    let refusal = b"wirenet: stream handler not found";
    let expected = layer_2(ERROR, name, refusal);
    assert_eq!(bodies.collect::<Vec<_>>().concat(), expected);
}

/// Asserts that the session is open and its streams are served.
fn assert_is_open(peer: &mut Peer, id: u32) {
    assert_not_found(peer, id, "nobody's");
}

fn joined(server: &Server, fields: &[u8]) -> Peer {
    let mut peer = server.peer();
    let answer = peer.ask(&[&field(1, &ID), fields].concat());
    assert!(answer.starts_with(&field(1, &ID)), "{answer:?}");
    peer
}

#[test]
fn the_id_of_another_session_is_refused_and_that_session_stays_open() {
    let attack = Attack {
        name: "100 requests with the id of another client's session",
        limit: "one session per id",
        setup: &PLAIN,
        memory: 512 << 10,
    };
    attack.run(TCP, |stage| {
        let mut first = joined(stage.server, &[]);
        for _ in 0..100 {
            let mut peer = stage.server.peer();
            let answer = peer.ask(&[field(1, &ID), field(3, b"thief")].concat());
            let text = String::from_utf8_lossy(&answer).into_owned();
            assert!(text.contains("wrong session id"), "{text}");
        }
        assert_is_open(&mut first, 3);
        "refused; the session goes on".into()
    });
}

#[test]
fn names_may_have_any_characters_but_must_be_utf_8() {
    let attack = Attack {
        name: "stream names with line ends, zero bytes, terminal codes; not UTF-8",
        limit: "UTF-8 of up to 255 bytes",
        setup: &PLAIN,
        memory: 256 << 10,
    };
    attack.run(TCP, |stage| {
        let odd = "a\nb\r\0\u{1b}[2J\u{202e}";
        let mut peer = joined(stage.server, &field(4, odd.as_bytes()));
        assert_is_open(&mut peer, 3);
        assert_not_found(&mut peer, 5, "\n\0\u{1b}");
        // The report is one line without terminal codes.
        let report = stage.server.report("\\n\\0\\u{1b}");
        assert!(!report.contains('\u{1b}'), "{report:?}");
        let mut peer = stage.server.peer();
        let answer = peer.ask(&[field(1, &[8; 16]), field(4, b"\xff\xfe")].concat());
        let text = String::from_utf8_lossy(&answer).into_owned();
        assert!(text.contains("payload"), "{text}");
        "accepted as they are; refused".into()
    });
}

/// A validator that would confuse a stream called `confirmSession` with a
/// session.
pub const VALIDATING: Setup = Setup {
    name: "validating",
    set: |builder| {
        builder.token_validator(|name, _, token| match (name, token) {
            ("confirmSession", b"stream's") => Err("seen by the validator".into()),
            _ => Ok(()),
        })
    },
};

#[test]
fn a_second_session_handshake_is_an_error_of_its_stream() {
    let attack = Attack {
        name: "a second session handshake on a session; streams named confirmSession and openSession",
        limit: "none is served",
        setup: &VALIDATING,
        memory: 256 << 10,
    };
    attack.run(TCP, |stage| {
        let mut peer = joined(stage.server, &[]);
        // The session is registered a little after it was confirmed.
        assert_is_open(&mut peer, 11);
        let sessions = stage.server.usage().sessions;
        let request = layer_2(OPEN_SESSION, "openSession", &field(1, &[9; 16]));
        let frames = opened(&mut peer, 3, request);
        assert!(frames.last().unwrap().has(RST), "{frames:?}");
        let report = stage.server.report("unexpected type of frame");
        assert!(report.contains("opening of a stream"), "{report}");
        for (id, name) in [(5, "confirmSession"), (7, "openSession")] {
            assert_not_found(&mut peer, id, name);
        }
        assert_eq!(stage.server.usage().sessions, sessions);
        assert_is_open(&mut peer, 9);
        "the stream is reset, or refused; the session goes on".into()
    });
}
