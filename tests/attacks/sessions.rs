//! What a client may try with sessions, once it has one.

use crate::{
    attack::Attack,
    raw::Raw,
    server::{PLAIN, Server, Setup, TCP},
    support::{
        frames::{FIN, Frame, RST, SYN},
        hand::{ERROR, field, layer_2},
    },
};

const ID: [u8; 16] = [7; 16];

/// What an opener sends on its stream, and the frames that come for it until
/// one of its directions ends.
fn opened(raw: &mut Raw, id: u32, frame: Vec<u8>) -> Vec<Frame> {
    raw.send(&[Frame::flags(id, SYN), Frame::data(id, frame)])
        .unwrap();
    let mut frames = Vec::new();
    loop {
        let frame = Frame::read(&mut *raw).unwrap().expect("an answer");
        if frame.stream == id {
            let is_last = frame.has(FIN) || frame.has(RST);
            frames.push(frame);
            if is_last {
                return frames;
            }
        }
    }
}

/// Opens a stream of this name, which nobody has.
fn assert_not_found(raw: &mut Raw, id: u32, name: &str) {
    let frames = opened(raw, id, layer_2(0x16, name, b"stream's"));
    let bodies = frames.into_iter().map(|frame| frame.body);
    let refusal = b"wirenet: stream handler not found";
    let expected = layer_2(ERROR, name, refusal);
    assert_eq!(bodies.collect::<Vec<_>>().concat(), expected);
}

/// A session that stands, and whose streams are served.
fn assert_stands(raw: &mut Raw, id: u32) {
    assert_not_found(raw, id, "nobody's");
}

fn joined(server: &Server, fields: &[u8]) -> Raw {
    let mut raw = server.dial_raw();
    let answer = raw.join(ID, fields);
    assert!(answer.starts_with(&field(1, &ID)), "{answer:?}");
    raw
}

#[test]
fn an_id_that_a_session_has_is_refused_and_that_session_goes_on() {
    let attack = Attack {
        name: "100 requests with the id of another's session",
        limit: "one session an id",
        setup: &PLAIN,
        memory: 512 << 10,
    };
    attack.run(TCP, |stage| {
        let mut first = joined(stage.server, &[]);
        for _ in 0..100 {
            let mut raw = stage.server.dial_raw();
            let answer = raw.join(ID, &field(3, b"thief"));
            let text = String::from_utf8_lossy(&answer).into_owned();
            assert!(text.contains("wrong session id"), "{text}");
        }
        assert_stands(&mut first, 3);
        "refused; the session goes on".into()
    });
}

#[test]
fn names_may_have_any_characters_and_bytes_that_are_none_are_refused() {
    let attack = Attack {
        name: "stream names with line ends, zero bytes, terminal codes; not UTF-8",
        limit: "UTF-8 of up to 255 bytes",
        setup: &PLAIN,
        memory: 256 << 10,
    };
    attack.run(TCP, |stage| {
        let odd = "a\nb\r\0\u{1b}[2J\u{202e}";
        let mut raw = joined(stage.server, &field(4, odd.as_bytes()));
        assert_stands(&mut raw, 3);
        assert_not_found(&mut raw, 5, "\n\0\u{1b}");
        // In one line, and without anything that a terminal would do.
        let report = stage.server.report("\\n\\0\\u{1b}");
        assert!(!report.contains('\u{1b}'), "{report:?}");
        let mut raw = stage.server.dial_raw();
        let answer = raw.join([8; 16], &field(4, b"\xff\xfe"));
        let text = String::from_utf8_lossy(&answer).into_owned();
        assert!(text.contains("payload"), "{text}");
        "taken as they are; refused".into()
    });
}

/// A validator that would take a stream called `confirmSession` for a session.
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
fn a_second_handshake_on_a_session_is_an_error_of_its_stream() {
    let attack = Attack {
        name: "a second session handshake on a session; streams called confirmSession, openSession",
        limit: "none is served",
        setup: &VALIDATING,
        memory: 256 << 10,
    };
    attack.run(TCP, |stage| {
        let mut raw = joined(stage.server, &[]);
        // It is entered a little after it was confirmed.
        assert_stands(&mut raw, 11);
        let sessions = stage.server.usage().sessions;
        let request = layer_2(0x32, "openSession", &field(1, &[9; 16]));
        let frames = opened(&mut raw, 3, request);
        assert!(frames.last().unwrap().has(RST), "{frames:?}");
        let report = stage.server.report("unexpected type of frame");
        assert!(report.contains("opening of a stream"), "{report}");
        for (id, name) in [(5, "confirmSession"), (7, "openSession")] {
            assert_not_found(&mut raw, id, name);
        }
        assert_eq!(stage.server.usage().sessions, sessions);
        assert_stands(&mut raw, 9);
        "the stream is reset, or refused; the session goes on".into()
    });
}
