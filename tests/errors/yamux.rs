//! Connections and streams of yamux alone.

use super::table::row;
use crate::support::{
    frames::{DATA, FIN, Frame, PING, RST, SYN, encode_all},
    in_time,
    peer::Peer,
};
use std::{
    error::Error as _,
    io::{self, ErrorKind, Read, Write},
    time::Duration,
};
use wirenet::{
    transport::memory,
    yamux::{self, Connection},
};

const SHORT: Duration = Duration::from_millis(50);

/// Returns the error of yamux that `error` contains.
fn cause(error: &io::Error) -> Option<&yamux::Error> {
    error.get_ref()?.downcast_ref()
}

/// A stream without a name has its number.
#[test]
fn a_yamux_stream_says_its_number() {
    in_time(|| {
        let (ours, theirs) = memory::pair(1 << 16);
        let connection = Connection::client(ours, yamux::Config::default()).unwrap();
        let mut peer = Peer::in_memory(theirs);
        let mut stream = connection.open().unwrap();
        stream.set_read_timeout(Some(SHORT)).unwrap();
        let error = stream.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        row(
            "read from a yamux stream, with a read timeout",
            &error,
            &["no data for 50 ms on stream 1"],
        );
        assert!(error.source().is_none());
        stream.set_read_timeout(None).unwrap();
        peer.send(Frame::flags(1, RST));
        let error = stream.read(&mut [0]).unwrap_err();
        row(
            "read from a yamux stream that the peer resets",
            error,
            &["stream 1 was reset by the peer"],
        );
        drop(peer);
    });
}

/// A program that polls with a read timeout, and tries again after `TimedOut`, must not do so
/// forever on a lost connection.
#[test]
fn a_connection_that_ends_for_silence_is_no_timeout_of_a_call() {
    in_time(|| {
        let (ours, peer) = memory::pair(1 << 16);
        let config = yamux::Config::default()
            .keep_alive(Some(SHORT))
            .write_timeout(SHORT);
        let connection = Connection::client(ours, config).unwrap();
        let mut stream = connection.open().unwrap();
        stream.set_read_timeout(Some(SHORT / 10)).unwrap();
        let error = loop {
            match stream.read(&mut [0]) {
                Err(error) if error.kind() == ErrorKind::TimedOut => {}
                read => break read.unwrap_err(),
            }
        };
        assert_eq!(error.kind(), ErrorKind::ConnectionAborted);
        assert!(matches!(cause(&error), Some(yamux::Error::KeepAlive)));
        row(
            "read from a peer that answers no ping",
            error,
            &["no answer to a ping in time", "hangs", "network"],
        );
        drop(peer);
    });
}

/// Connects a client to a scripted peer, which sends `bytes`. Returns why the connection ends.
fn after(bytes: &[u8]) -> yamux::Error {
    let (ours, theirs) = memory::pair(1 << 16);
    let connection = Connection::client(ours, yamux::Config::default()).unwrap();
    let mut peer = Peer::in_memory(theirs);
    // The connection may end before all is sent.
    let _ = peer.write_all(bytes);
    loop {
        if let Err(error) = connection.accept() {
            return error;
        }
    }
}

#[test]
fn a_violation_of_yamux_says_what_the_peer_did() {
    const FAULTY: &str = "is the peer's implementation of yamux faulty?";
    let open = || Frame::flags(2, SYN);
    let much = || Frame::data(2, vec![7; 200_000]);
    for (input, frames, expected) in [
        (
            "an id of this side",
            vec![Frame::flags(3, SYN)],
            &["stream 3", "wrong parity", "the same role"][..],
        ),
        (
            "a stream opened twice",
            vec![open(), open()],
            &["stream 2 opened twice", FAULTY],
        ),
        (
            "data after the end",
            vec![open(), Frame::flags(2, FIN), Frame::data(2, vec![7])],
            &["data after the end of stream 2", FAULTY],
        ),
        (
            "data beyond the window",
            vec![open(), much(), much()],
            &["data beyond the window of stream 2", FAULTY],
        ),
        (
            "a window that overflows",
            vec![open(), Frame::grant(2, u32::MAX), Frame::grant(2, u32::MAX)],
            &["window of stream 2 overflows", FAULTY],
        ),
        (
            "a ping with a stream",
            vec![open(), Frame::header(PING, SYN, 2, 0)],
            &["invalid stream id 2", FAULTY],
        ),
        (
            "a frame that is too large",
            vec![open(), Frame::header(DATA, 0, 2, 1 << 30)],
            &["1073741824 bytes", "`Config::max_frame`", FAULTY],
        ),
    ] {
        in_time(move || {
            let error = after(&encode_all(frames));
            let source = error.source().map(|source| source.is::<yamux::Violation>());
            assert_eq!(source, Some(true), "{error:?}");
            let start = "protocol error by the peer: ";
            assert!(error.to_string().starts_with(start), "{error}");
            row(format!("from a yamux peer, {input}"), error, expected);
        });
    }
}

#[test]
fn a_peer_that_ends_the_connection_with_an_error_code_says_what_it_means() {
    for (code, expected) in [
        (1, "that this side sent a protocol error"),
        (2, "an internal error"),
        (7, "the error code 7; see"),
    ] {
        in_time(move || {
            let error = after(&Frame::go_away(code).encode());
            assert!(matches!(error, yamux::Error::PeerFailed(said) if said == code));
            let expected = ["connection ended by the peer", expected, "the peer's log"];
            row(format!("a go-away with the code {code}"), error, &expected);
        });
    }
}

#[test]
fn a_lost_transport_is_found_among_the_causes() {
    let lost = yamux::Error::Io(io::Error::from(ErrorKind::HostUnreachable).into());
    let cause = lost.source().and_then(|cause| cause.downcast_ref());
    assert_eq!(cause.map(io::Error::kind), Some(ErrorKind::HostUnreachable));
    row(
        "a lost transport",
        &lost,
        &["connection lost: ", "unreachable"],
    );
    let lost = wirenet::Error::from(lost);
    assert!(lost.source().is_some_and(|cause| cause.is::<io::Error>()));
}

#[test]
fn a_peer_that_accepts_no_data_is_named_as_the_reason() {
    in_time(|| {
        let (ours, _peer) = memory::pair(1 << 12);
        let config = yamux::Config::default()
            .keep_alive(None)
            .write_timeout(SHORT);
        let connection = Connection::client(ours, config).unwrap();
        let mut stream = connection.open().unwrap();
        let _ = stream.write_all(&[7; 1 << 16]);
        let error = connection.accept().unwrap_err();
        let expected = [
            "accepted no data within the write timeout",
            "hangs",
            "network",
        ];
        row("a yamux peer that reads nothing", error, &expected);
    });
}
