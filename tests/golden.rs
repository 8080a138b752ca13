//! Golden bytes: our side, put in the place of either side of a recorded
//! session, understands the other's bytes, and sends what was recorded, up to
//! what the protocol leaves free: the session's id, window updates, where an
//! ACK rides, how Data is cut into frames, a go-away before the end; and up to
//! the one field that tells a peer of ours what this version understands.
//!
//! The recordings in `golden/` are of go-wirenet with itself.

mod support;

#[path = "golden/program.rs"]
mod program;
#[path = "golden/recording.rs"]
mod recording;
#[path = "golden/replay.rs"]
mod replay;
#[path = "golden/sent.rs"]
mod sent;

use program::{CALL, ECHO, Program, REFUSED, UNKNOWN};
use recording::{Recording, Side};
use replay::{Cut, replay};
use support::in_time;

/// Plays the other side of a recording to `ours`, with its frames whole and
/// with each byte by itself: what ours sends is what was recorded of it.
fn assert_as_recorded(text: &str, ours: Side, program: Program) {
    let recording = Recording::parse(text);
    in_time(move || {
        for cut in [Cut::Frames, Cut::Bytes] {
            let (sent, recorded) = replay(&recording, ours, program, cut);
            assert_eq!(sent, recorded);
        }
    });
}

const ECHO_TEXT: &str = include_str!("golden/echo.txt");
const UNKNOWN_TEXT: &str = include_str!("golden/unknown.txt");
const REFUSED_TEXT: &str = include_str!("golden/refused.txt");
const CALL_TEXT: &str = include_str!("golden/call.txt");

/// A session, a stream, a message of 1,500 bytes each way.
#[test]
fn an_echo_asked_for_is_as_recorded() {
    assert_as_recorded(ECHO_TEXT, Side::Client, ECHO);
}

#[test]
fn an_echo_served_is_as_recorded() {
    assert_as_recorded(ECHO_TEXT, Side::Server, ECHO);
}

/// A stream of a name that has no handler.
#[test]
fn an_unknown_stream_asked_for_is_as_recorded() {
    assert_as_recorded(UNKNOWN_TEXT, Side::Client, UNKNOWN);
}

#[test]
fn an_unknown_stream_refused_is_as_recorded() {
    assert_as_recorded(UNKNOWN_TEXT, Side::Server, UNKNOWN);
}

/// A stream that the accepting side opens.
#[test]
fn a_call_answered_is_as_recorded() {
    assert_as_recorded(CALL_TEXT, Side::Client, CALL);
}

#[test]
fn a_call_made_is_as_recorded() {
    assert_as_recorded(CALL_TEXT, Side::Server, CALL);
}

/// A session that is refused.
#[test]
fn a_session_asked_for_in_vain_is_as_recorded() {
    assert_as_recorded(REFUSED_TEXT, Side::Client, REFUSED);
}

/// Here the protocol lets us differ from what was recorded: the answer has the
/// handlers' names *or* `err`, and beside it our `code`, 1 for a refused token.
#[test]
fn a_session_refused_is_as_recorded_but_for_names_and_code() {
    let changes = [
        // The lengths of the frame's body and of its payload.
        ("00000000000000010000003d", "000000000000000100000039"),
        ("640000000e00000023000000", "640000000e0000001f000000"),
        // Without `remote_stream_names = ["echo"]`.
        ("12046563686f1a09", "1a09"),
        // With `code = 1` behind `err = "bad token"`.
        ("62616420746f6b656e", "62616420746f6b656e7801"),
    ];
    let mut text = REFUSED_TEXT.to_owned();
    for (recorded, ours) in changes {
        assert_eq!(text.matches(recorded).count(), 1, "{recorded}");
        text = text.replace(recorded, ours);
    }
    assert_as_recorded(&text, Side::Server, REFUSED);
}
