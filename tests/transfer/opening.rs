//! Refusals of streams, and which calls return them if the caller did not wait for the
//! answer.

use crate::support::{
    PATIENCE,
    encoding::{ERROR, layer_2},
    frames::{ACK, FIN, Frame},
    in_time,
    peer::{Peer, ScriptedServer},
    wires::{Link, errors, message},
    within,
};
use crossbeam_channel::{Sender, bounded};
use std::{
    io::{self, ErrorKind, Read, Write},
    thread,
    time::Duration,
};
use wirenet::{Error, Operation, Refusal, Session, Stream, Wire};

/// Returns the refusal inside an I/O error.
fn refusal_in(error: &io::Error) -> &Refusal {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
    match cause {
        Some(Error::Refused { refusal, .. }) => refusal,
        _ => panic!("expected a refusal, got {error:?}"),
    }
}

fn assert_not_found<T: std::fmt::Debug>(outcome: io::Result<T>) {
    let error = outcome.expect_err("the stream has no handler");
    assert_eq!(*refusal_in(&error), Refusal::HandlerNotFound);
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

/// Opens a stream that must be refused, and returns the refusal.
fn refusal_of(session: &Session, opened: &str) -> Refusal {
    let outcome = session.open_stream(opened);
    let Err(Error::Refused { name, refusal }) = outcome else {
        panic!("expected a refusal, got {outcome:?}");
    };
    assert_eq!(name, opened);
    refusal
}

/// The text with which the validator refuses the stream `forbidden`.
const DENIED: &str = "not with this token";

/// Returns a link to a server that echoes a message, and whose validator refuses the
/// stream `forbidden` when the sender is dropped.
fn guarded() -> (Link, Sender<()>) {
    let (release, released) = bounded::<()>(0);
    let link = Link::new(
        |server| {
            server
                .stream("echo", |stream| {
                    let bytes = message(stream)?;
                    stream.write_message(&bytes)
                })
                .token_validator(move |name, _, _| {
                    if name == "forbidden" {
                        // Until it is released.
                        let _ = released.recv();
                        return Err(DENIED.into());
                    }
                    Ok(())
                })
        },
        |client| client,
    );
    (link, release)
}

#[test]
fn a_refused_open_returns_the_reason() {
    in_time(|| {
        let (link, release) = guarded();
        drop(release);
        let refusal = refusal_of(&link.near, "missing");
        assert_eq!(refusal, Refusal::HandlerNotFound);
        let refusal = refusal_of(&link.near, "forbidden");
        assert_eq!(refusal, Refusal::Other(DENIED.into()));
    });
}

#[test]
fn either_side_may_refuse_a_stream() {
    in_time(|| {
        let (link, _release) = guarded();
        let refusal = refusal_of(&link.far, "missing");
        assert_eq!(refusal, Refusal::HandlerNotFound);
    });
}

#[test]
fn data_may_be_written_before_the_answer_arrives() {
    in_time(|| {
        let (link, _release) = guarded();
        for _ in 0..100 {
            let stream = link.near.open_stream_nowait("echo").unwrap();
            stream.write_message(b"at once").unwrap();
            assert_eq!(message(&stream).unwrap(), b"at once");
            assert!(!stream.next_message().unwrap());
        }
    });
}

/// Every way to read returns the refusal, and later calls return it again.
#[test]
fn the_first_read_returns_the_refusal() {
    in_time(|| {
        let (link, _release) = guarded();
        let open = || link.near.open_stream_nowait("missing").unwrap();
        assert_not_found(open().read(&mut [0; 8]));
        assert_not_found(open().next_message());
        assert_not_found(open().reader().read_to_end(&mut Vec::new()));
        let mut stream = open();
        assert_not_found(message(&stream));
        assert_not_found(stream.read(&mut [0; 8]));
        assert_not_found(stream.write(b"too late"));
        assert_not_found(stream.write_message(b"too late"));
        assert_not_found(stream.finish());
    });
}

/// The error is the refusal itself, not one of its consequences.
#[test]
fn a_write_after_the_refusal_returns_it() {
    fn write_until_error(mut stream: &Stream, bytes: &[u8]) -> io::Result<()> {
        loop {
            stream.write_all(bytes)?;
        }
    }
    in_time(|| {
        let (link, _release) = guarded();
        for len in [1, 1000, 100_000] {
            let stream = link.near.open_stream_nowait("missing").unwrap();
            assert_not_found(write_until_error(&stream, &vec![0; len]));
        }
    });
}

/// A refused stream gets no more credit.
#[test]
fn a_refusal_wakes_a_write_that_is_blocked_on_the_window() {
    in_time(|| {
        let (link, release) = guarded();
        let mut stream = link.near.open_stream_nowait("forbidden").unwrap();
        stream
            .set_write_timeout(Some(Duration::from_millis(20)))
            .unwrap();
        let full = loop {
            if let Err(error) = stream.write(&[0; 10_000]) {
                break error;
            }
        };
        assert_eq!(full.kind(), ErrorKind::TimedOut);
        stream.set_write_timeout(None).unwrap();
        stream.resume();
        let writer = thread::spawn(move || stream.write_all(&[0; 10_000_000]));
        // After a round trip the writer waits.
        link.near.open_stream("echo").unwrap();
        drop(release);
        let error = writer.join().unwrap().expect_err("the stream is refused");
        assert_eq!(*refusal_in(&error), Refusal::Other(DENIED.into()));
    });
}

/// Like hashicorp/yamux, the peer sends no credit once it has refused the stream, so that
/// only the refusal can wake the write.
#[test]
fn a_refusal_wakes_a_blocked_write_whose_peer_grants_no_more_credit() {
    const WINDOW: usize = 262_144;
    /// With less room than this, a whole chunk may not fit.
    const CHUNK: usize = 4 + 1024;

    fn refuse_when_full(client: &mut Peer) -> io::Result<()> {
        client.confirm_session()?;
        let mut received = 0;
        while received <= WINDOW - CHUNK {
            let frame = client.try_receive()?.expect("more of the stream");
            received += frame.body.len();
        }
        let text = b"wirenet: stream handler not found";
        let answer = [
            Frame::flags(3, ACK),
            Frame::data(3, layer_2(ERROR, "missing", text)),
            Frame::flags(3, FIN),
        ];
        client.try_send(answer)
    }

    // Before a keep-alive ping times out, as the server does not answer it.
    within(Duration::from_secs(10), || {
        let server = ScriptedServer::listen(refuse_when_full);
        let client = Wire::join(server.addr.to_string()).build().unwrap();
        client.start().unwrap();
        let session = client.wait_session(PATIENCE).unwrap();
        let mut stream = session.open_stream_nowait("missing").unwrap();
        // Without the refusal, this would wait until the test times out.
        assert_not_found(stream.write_all(&[0; 2 * WINDOW]));
        // The server closes the connection, so that the client need not wait for it.
        drop(server.accepted.recv().unwrap());
    });
}

/// Returns whether a refusal says that there are too many handlers.
fn is_busy(text: &str) -> bool {
    text.contains("wirenet: ") && text.contains("handlers are busy")
}

/// It does not wait for a handler, which may in turn wait for the new stream.
#[test]
fn an_open_beyond_the_handler_limit_is_refused() {
    in_time(|| {
        let (release, released) = bounded::<()>(0);
        let (on_error, told) = errors();
        let link = Link::new(
            |server| {
                server
                    .handler_limit(2)
                    .on_error(on_error)
                    .stream("busy", move |stream| {
                        // Until it is released.
                        let _ = released.recv();
                        stream.write_message(b"done")
                    })
            },
            |client| client,
        );
        let running: Vec<_> = (0..2)
            .map(|_| link.near.open_stream("busy").unwrap())
            .collect();
        let refusal = refusal_of(&link.near, "busy");
        assert!(is_busy(&refusal.to_string()), "{refusal}");
        let (operation, cause) = told.recv().unwrap();
        assert!(
            matches!(operation, Operation::OpenStream(_)),
            "{operation:?}"
        );
        let expected = "all 2 handlers are busy; see `Builder::handler_limit`";
        assert!(cause.contains(expected), "{cause}");
        drop(release);
        for stream in &running {
            assert_eq!(
                message(stream).unwrap(),
                b"done",
                "the other streams are not affected"
            );
        }
    });
}

#[test]
fn data_sent_without_waiting_beyond_the_handler_limit_is_refused() {
    in_time(|| {
        let (_release, released) = bounded::<()>(0);
        let link = Link::new(
            |server| {
                server.handler_limit(1).stream("busy", move |_| {
                    // Until the test has ended.
                    let _ = released.recv();
                    Ok(())
                })
            },
            |client| client,
        );
        let _running = link.near.open_stream("busy").unwrap();
        let stream = link.near.open_stream_nowait("busy").unwrap();
        let error = match stream.write_message([0; 3000]) {
            Ok(()) => message(&stream).expect_err("it is refused"),
            Err(error) => error,
        };
        assert!(is_busy(&refusal_in(&error).to_string()), "{error}");
    });
}
