//! Golden bytes: wirenet takes the place of either side of a recorded session. It
//! understands the recorded bytes of the other side, and sends the recorded bytes of
//! its own side, except for what the protocol leaves open: the id of the session,
//! window updates, which frame carries an ACK, how Data is split into frames, a go-away
//! before the end; and except for the field that announces its features.
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

/// Replays the other side of a recording to `ours`, with whole frames and byte by byte.
/// Asserts that `ours` sends what was recorded.
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
fn a_client_of_an_echo_sends_what_was_recorded() {
    assert_as_recorded(ECHO_TEXT, Side::Client, ECHO);
}

#[test]
fn a_server_of_an_echo_sends_what_was_recorded() {
    assert_as_recorded(ECHO_TEXT, Side::Server, ECHO);
}

/// A stream whose name has no handler.
#[test]
fn a_client_of_an_unknown_stream_sends_what_was_recorded() {
    assert_as_recorded(UNKNOWN_TEXT, Side::Client, UNKNOWN);
}

#[test]
fn a_server_without_the_stream_sends_what_was_recorded() {
    assert_as_recorded(UNKNOWN_TEXT, Side::Server, UNKNOWN);
}

/// A stream that the server opens.
#[test]
fn a_client_that_is_called_sends_what_was_recorded() {
    assert_as_recorded(CALL_TEXT, Side::Client, CALL);
}

#[test]
fn a_server_that_calls_sends_what_was_recorded() {
    assert_as_recorded(CALL_TEXT, Side::Server, CALL);
}

/// A session that is refused.
#[test]
fn a_refused_client_sends_what_was_recorded() {
    assert_as_recorded(REFUSED_TEXT, Side::Client, REFUSED);
}

/// The protocol allows a difference from the recording: the answer has the names of the
/// handlers *or* `err`, and wirenet adds its `code`, 1 for a refused token.
#[test]
fn a_refusing_server_sends_what_was_recorded_except_names_and_code() {
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
