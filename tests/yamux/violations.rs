//! What a peer must not send, and how the connection ends then.

use super::{accepted, data, quiet, read_next_stream};
use crate::support::{
    frames::{DATA, FIN, Frame, GO_AWAY, PING, SYN, WINDOW_UPDATE},
    in_time,
};
use std::io::{self, Read};
use wirenet::yamux::{Error, INITIAL_WINDOW, Violation};

/// Violations of the protocol by a peer that has opened stream 1.
fn violations() -> Vec<(Vec<Frame>, Violation)> {
    use wirenet::yamux::StreamId;
    let one = StreamId(1);
    let window = vec![0; INITIAL_WINDOW as usize];
    vec![
        (vec![Frame::flags(1, SYN)], Violation::OpenedTwice(one)),
        (vec![data(SYN, 1, b"x")], Violation::OpenedTwice(one)),
        (
            vec![Frame::flags(2, SYN)],
            Violation::WrongParity(StreamId(2)),
        ),
        (
            vec![Frame::flags(0, SYN)],
            Violation::WrongStream(StreamId(0)),
        ),
        (vec![data(0, 0, b"x")], Violation::WrongStream(StreamId(0))),
        (
            vec![Frame::header(PING, SYN, 1, 0)],
            Violation::WrongStream(one),
        ),
        (
            vec![Frame::header(GO_AWAY, 0, 1, 0)],
            Violation::WrongStream(one),
        ),
        (
            vec![data(0, 1, &window), data(0, 1, b"x")],
            Violation::BeyondWindow(one),
        ),
        (
            vec![Frame::header(DATA, 0, 1, INITIAL_WINDOW + 1)],
            Violation::BeyondWindow(one),
        ),
        (
            vec![Frame::header(DATA, SYN, 3, u32::MAX)],
            Violation::FrameTooLarge(u32::MAX),
        ),
        (
            vec![Frame::header(DATA, SYN, 3, 1 << 24)],
            Violation::BeyondWindow(StreamId(3)),
        ),
        (
            vec![
                Frame::grant(1, u32::MAX - INITIAL_WINDOW),
                Frame::grant(1, 1),
            ],
            Violation::WindowOverflow(one),
        ),
        (
            vec![Frame::grant(1, u32::MAX)],
            Violation::WindowOverflow(one),
        ),
        (
            vec![Frame::flags(1, FIN), data(0, 1, b"x")],
            Violation::AfterFin(one),
        ),
    ]
}

#[test]
fn a_violation_is_answered_with_a_go_away_and_ends_the_connection() {
    in_time(|| {
        for (frames, violation) in violations() {
            let (connection, mut peer) = accepted(quiet());
            peer.send(Frame::flags(1, SYN));
            let mut stream = connection.accept().unwrap();
            for frame in &frames {
                peer.send(frame);
            }
            let last = peer.receive_all().pop();
            assert_eq!(last, Some(Frame::go_away(1)), "{violation}");
            let reason = connection.end_reason().unwrap();
            assert!(
                matches!(reason, Error::Protocol(found) if found == violation),
                "{reason} instead of {violation}"
            );
            if violation != (Violation::AfterFin(wirenet::yamux::StreamId(1))) {
                let error = stream.read_to_end(&mut Vec::new()).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{violation}");
            }
        }
    });
}

#[test]
fn a_complete_stream_can_be_accepted_though_the_same_bytes_end_the_connection() {
    in_time(|| {
        let endings = [Frame::header(PING, SYN, 9, 0), Frame::go_away(2)];
        for ending in endings {
            let (connection, mut peer) = accepted(quiet());
            let whole = data(SYN | FIN, 1, b"whole");
            peer.send_bytes(&[whole.encode(), ending.encode()].concat());
            assert_eq!(read_next_stream(&connection), "whole", "{ending:?}");
            assert!(connection.accept().is_err());
            assert!(connection.is_closed());
        }
    });
}

#[test]
fn a_stream_that_opens_with_a_violation_is_not_accepted() {
    in_time(|| {
        for opening in [
            data(SYN, 1, &vec![0; INITIAL_WINDOW as usize + 1]),
            Frame::header(WINDOW_UPDATE, SYN, 1, u32::MAX),
        ] {
            let (connection, mut peer) = accepted(quiet());
            peer.send_bytes(&opening.encode());
            assert_eq!(peer.receive_all(), [Frame::go_away(1)]);
            assert!(connection.accept().is_err(), "{}", opening.kind);
        }
    });
}

#[test]
fn bytes_that_are_not_a_frame_end_the_connection() {
    in_time(|| {
        for bytes in [*b"GET / HTTP/1", [0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]] {
            for begun in [false, true] {
                let (connection, mut peer) = accepted(quiet());
                if begun {
                    peer.send(Frame::pong(1));
                }
                peer.send_bytes(&bytes);
                assert_eq!(peer.receive_all(), [Frame::go_away(1)]);
                let Error::Protocol(violation) = connection.end_reason().unwrap() else {
                    panic!("{:?}", connection.end_reason());
                };
                match begun {
                    false => assert_eq!(violation, Violation::NotYamux(bytes)),
                    true => assert!(matches!(violation, Violation::Header(_)), "{violation:?}"),
                }
            }
        }
    });
}
