//! Requests for a session that a server does not allow.

use super::{
    handshakes::{failure, reporting},
    table::row,
};
use crate::support::{
    encoding::{OPEN, OPEN_SESSION, field, fresh_id, layer_2},
    frames::{Frame, SYN},
    in_time,
    peer::Peer,
    wires::{addr_of, mounting},
};

#[test]
fn a_request_that_is_not_allowed_says_which_part_and_what_is() {
    in_time(|| {
        let (server, told) = reporting(mounting().max_names(1));
        let id = || field(1, &fresh_id());
        for (input, request, expected) in [
            (
                "an id of 3 bytes",
                field(1, b"abc"),
                &["wrong session id", "not 16 bytes"][..],
            ),
            (
                "a token of 5,000 bytes",
                [id(), field(2, &[7; 5000])].concat(),
                &["length of a token: 5000", "at most 4096 bytes"],
            ),
            (
                "an identification of 5,000 bytes",
                [id(), field(3, &[7; 5000])].concat(),
                &["length of an identification: 5000", "at most 4096 bytes"],
            ),
            (
                "an empty name",
                [id(), field(4, b"")].concat(),
                &["length of a stream's name: 0", "1 to 255 bytes"],
            ),
            (
                "a reserved name",
                [id(), field(4, b"confirmSession")].concat(),
                &["\"confirmSession\" is reserved", "choose another one"],
            ),
            (
                "too many names",
                [id(), field(4, b"a"), field(4, b"b")].concat(),
                &["a list of stream names: 2", "`Builder::max_names`"],
            ),
        ] {
            let (_client, answer) = Peer::request(addr_of(&server), &request);
            let answer = String::from_utf8_lossy(&answer).into_owned();
            let told = failure(&told);
            assert!(answer.contains(&told), "the client gets it too: {answer:?}");
            row(format!("a client that sends {input}"), told, expected);
        }
        for (input, frame, expected) in [
            (
                "a name of 300 bytes",
                layer_2(OPEN_SESSION, &"n".repeat(300), b""),
                &["a name of 300 bytes", "at most 255"][..],
            ),
            (
                "a payload of 5,000 bytes",
                layer_2(OPEN, "s", &[7; 5000]),
                &["a payload of 5000 bytes", "at most 4096", "262144"],
            ),
        ] {
            let mut client = Peer::dial(addr_of(&server));
            client.send([Frame::flags(1, SYN), Frame::data(1, frame)]);
            let input = format!("a client that sends a frame with {input}");
            row(input, failure(&told), expected);
        }
    });
}
