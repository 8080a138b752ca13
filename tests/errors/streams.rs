//! Streams that are refused, reset, or too slow.

use crate::{
    support::{
        PATIENCE,
        encoding::request,
        frames::{FIN, Frame},
        in_time,
        peer::Peer,
        wires::{Link, addr_of, as_it_is, mounting, started},
    },
    table::row,
};
use std::{
    io::{self, ErrorKind, Read, Write},
    time::Duration,
};
use wirenet::{Stream, Wire, yamux};

const SHORT: Duration = Duration::from_millis(50);

/// A link whose handler "fails" returns an error, whose handler "waits" reads nothing until
/// its caller has left, and whose handler "answers" sends a message.
fn link() -> Link {
    Link::new(
        |server| {
            server
                .on_error(|_| {})
                .stream("fails", |_| Err(io::Error::other("no such file")))
                .stream("waits", |stream| {
                    stream.wait_for_peer_end(None);
                    Ok(())
                })
                .stream("answers", |stream| stream.write_message(b"an answer"))
        },
        as_it_is,
    )
}

fn open(link: &Link, name: &str) -> Stream {
    link.near.open_stream(name).unwrap()
}

/// Returns the error of this layer that `error` contains.
fn cause(error: &io::Error) -> Option<&yamux::Error> {
    error.get_ref()?.downcast_ref()
}

#[track_caller]
fn kind_is(error: &io::Error, kind: ErrorKind) {
    assert_eq!(error.kind(), kind, "{error}");
}

#[test]
fn a_timeout_says_how_long_and_on_which_stream() {
    in_time(|| {
        let link = link();
        let mut stream = open(&link, "waits");
        stream.set_read_timeout(Some(SHORT)).unwrap();
        let error = stream.read(&mut [0]).unwrap_err();
        kind_is(&error, ErrorKind::TimedOut);
        assert!(matches!(cause(&error), Some(yamux::Error::TimedOut(waited))
            if waited.timeout() == Some(SHORT)));
        row(
            "read, with a read timeout, from a peer that sends nothing",
            error,
            &["no data for 50 ms on stream \"waits\""],
        );

        stream.set_write_timeout(Some(SHORT)).unwrap();
        let error = stream.write_all(&[7; 1_000_000]).unwrap_err();
        kind_is(&error, ErrorKind::TimedOut);
        row(
            "write, with a write timeout, to a peer that does not read",
            error,
            &[
                "nothing could be sent for 50 ms",
                "\"waits\"",
                "does not read",
            ],
        );
        let error = stream.write(b"more").unwrap_err();
        kind_is(&error, ErrorKind::BrokenPipe);
        row(
            "write after a write that timed out",
            error,
            &["earlier write", ": timed out", "incomplete", "resume"],
        );
        let error = stream.finish().unwrap_err();
        kind_is(&error, ErrorKind::TimedOut);
        row(
            "finish after a write that timed out",
            error,
            &[
                "last write",
                ": timed out",
                "incomplete",
                "aborted",
                "another stream",
            ],
        );
        let stream = open(&link, "waits");
        stream.set_write_timeout(Some(SHORT)).unwrap();
        (&stream).write_all(&[7; 1_000_000]).unwrap_err();
        stream.reset();
        for error in [
            (&stream).write(b"more").unwrap_err(),
            stream.finish().unwrap_err(),
            (&stream).write(b"more").unwrap_err(),
        ] {
            kind_is(&error, ErrorKind::ConnectionAborted);
            row(
                "write or finish after a timeout and a reset",
                error,
                &["stream \"waits\" was reset on this side"],
            );
        }
        for error in [
            stream.set_read_timeout(Some(Duration::ZERO)),
            stream.set_write_timeout(Some(Duration::ZERO)),
        ] {
            row(
                "a timeout of zero",
                error.unwrap_err(),
                &["greater than zero", "None waits forever"],
            );
        }
    });
}

#[test]
fn a_reset_says_who_and_why() {
    in_time(|| {
        let link = link();
        let mut stream = open(&link, "fails");
        let id = stream.id();
        for error in [
            stream.read(&mut [0]).unwrap_err(),
            stream.write(b"more").unwrap_err(),
        ] {
            kind_is(&error, ErrorKind::ConnectionReset);
            assert!(matches!(
                cause(&error),
                Some(yamux::Error::ResetByPeer(about)) if about.id() == id
            ));
            row(
                "a call on a stream whose handler failed",
                error,
                &[
                    "stream \"fails\" was reset by the peer",
                    "its handler failed",
                    "left before it had read everything",
                    "peer's log",
                ],
            );
        }
        let mut stream = open(&link, "waits");
        stream.reset();
        for error in [
            stream.read(&mut [0]).unwrap_err(),
            stream.write(b"more").unwrap_err(),
        ] {
            kind_is(&error, ErrorKind::ConnectionAborted);
            row(
                "a call on a stream that was reset here",
                error,
                &["stream \"waits\" was reset on this side", "open another"],
            );
        }
    });
}

#[test]
fn a_call_on_a_closed_stream_says_who_closed_it() {
    in_time(|| {
        let link = link();
        let mut stream = open(&link, "waits");
        stream.close().unwrap();
        for error in [
            stream.read(&mut [0]).unwrap_err(),
            stream.write(b"more").unwrap_err(),
            stream.writer().write(b"more").unwrap_err(),
        ] {
            kind_is(&error, ErrorKind::BrokenPipe);
            row(
                "a call on a stream that was closed here",
                error,
                &["stream \"waits\" was closed on this side", "open another"],
            );
        }
    });
}

#[test]
fn a_lost_connection_says_who_ended_it() {
    in_time(|| {
        let link = link();
        let mut stream = open(&link, "waits");
        link.far.abort();
        let error = stream.read(&mut [0]).unwrap_err();
        kind_is(&error, ErrorKind::ConnectionReset);
        row(
            "read from a connection that broke",
            error,
            &["connection cut by the peer", "died", "network"],
        );
    });
    in_time(|| {
        let link = link();
        let mut stream = open(&link, "waits");
        link.near.abort();
        let error = stream.read(&mut [0]).unwrap_err();
        kind_is(&error, ErrorKind::ConnectionAborted);
        row(
            "read from a session that was aborted here",
            error,
            &["connection closed on this side"],
        );
    });
}

/// Returns a stream to a scripted peer that announces no features, the peer, and the id.
fn to_old_peer() -> (Wire, Peer, Stream, u32) {
    let server = started(mounting());
    let mut old = Peer::dial(addr_of(&server));
    old.ask(&request("old", &["name"]));
    let session = server.wait_session(PATIENCE).unwrap();
    let (stream, id) = old.accept_from(&session, "name");
    (server, old, stream, id)
}

#[test]
fn a_truncated_message_says_how_the_stream_ended() {
    for (input, sent, expected) in [
        (
            "read from a stream that a go-wirenet style peer aborts",
            &b"\x03\0\0\0abc\x01\0\0\0"[..],
            &[
                "stream \"name\"",
                "inside a chunk",
                "handler failed",
                "peer's log",
            ][..],
        ),
        (
            "read from a stream that the peer ends without an end mark",
            b"\x03\0\0\0abc",
            &[
                "stream \"name\"",
                "without its end mark",
                "set_takes_unmarked_end",
            ],
        ),
    ] {
        in_time(move || {
            let (_server, mut old, mut stream, id) = to_old_peer();
            old.send([Frame::data(id, sent.to_vec()), Frame::flags(id, FIN)]);
            let error = stream.read_to_end(&mut Vec::new()).unwrap_err();
            kind_is(&error, ErrorKind::UnexpectedEof);
            row(input, error, expected);
        });
    }
}

#[test]
fn a_message_that_cannot_be_read_whole_says_what_to_do() {
    in_time(|| {
        let link = link();
        let mut stream = open(&link, "answers");
        stream.read_exact(&mut [0; 3]).unwrap();
        let error = stream.read_message(100).unwrap_err();
        kind_is(&error, ErrorKind::InvalidInput);
        row(
            "read_message after a part of the message was read",
            error,
            &["\"answers\"", "read in part", "read_to_end", "next_message"],
        );
        let error = open(&link, "answers").read_message(5).unwrap_err();
        kind_is(&error, ErrorKind::InvalidData);
        row(
            "read_message of a message that is too long",
            error,
            &["\"answers\"", "longer than the limit of 5 bytes", "skipped"],
        );
    });
}

#[test]
fn a_close_that_cuts_something_names_it() {
    in_time(|| {
        let (release, released) = crossbeam_channel::bounded::<()>(0);
        let (ran, runs) = crossbeam_channel::bounded(1);
        let link = Link::new(
            |server| {
                server.session_close_timeout(SHORT).stream("run", move |_| {
                    ran.send(()).unwrap();
                    let _ = released.recv();
                    Ok(())
                })
            },
            |client| {
                let client = client.identification("box-1", "");
                client.session_close_timeout(SHORT).retry_max(0)
            },
        );
        let stream = open(&link, "run");
        runs.recv().unwrap();
        let session = format!("session of {}: cut 1 stream (\"run\")", link.far);
        row(
            "close with a handler that does not return",
            link.server.close().unwrap_err(),
            &[&session, "; still running: handler of stream \"run\""],
        );
        drop((release, stream));
    });
}

#[test]
fn an_opening_that_is_not_answered_names_the_stream() {
    in_time(|| {
        let server = started(mounting().handshake_timeout(SHORT));
        let mut silent = Peer::join(&server, [1; 16]);
        let session = server.wait_session(PATIENCE).unwrap();
        let error = session.open_stream("log").unwrap_err();
        row(
            "open_stream at a peer that does not answer",
            error,
            &["no answer to the opening of stream \"log\" within 50ms"],
        );
        silent.next_open();
    });
}
