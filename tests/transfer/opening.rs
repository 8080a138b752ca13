//! Opening a stream: what a refusal looks like, and where it shows when the
//! opener did not wait for it.

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
use wirenet::{Error, Operation, Refusal, Stream, Wire};

/// The refusal inside of an I/O error.
fn refusal_in(error: &io::Error) -> &Refusal {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
    match cause {
        Some(Error::Refused { refusal, .. }) => refusal,
        _ => panic!("not a refusal: {error:?}"),
    }
}

fn assert_not_found<T: std::fmt::Debug>(outcome: io::Result<T>) {
    let error = outcome.expect_err("nobody is there");
    assert_eq!(*refusal_in(&error), Refusal::HandlerNotFound);
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

/// What the validator says to the stream `forbidden`.
const NO: &str = "not with this token";

/// A server that echoes a message, and whose validator forbids one stream;
/// it does so when the sender is dropped.
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
                        return Err(NO.into());
                    }
                    Ok(())
                })
        },
        |client| client,
    );
    (link, release)
}

/// A refusal can be matched on.
#[test]
fn a_refused_open_says_why() {
    in_time(|| {
        let (link, release) = guarded();
        drop(release);
        let outcome = link.near.open_stream("nobody");
        let Err(Error::Refused { name, refusal }) = outcome else {
            panic!("not refused: {outcome:?}");
        };
        assert_eq!((&*name, refusal), ("nobody", Refusal::HandlerNotFound));
        let outcome = link.near.open_stream("forbidden");
        let Err(Error::Refused { refusal, .. }) = outcome else {
            panic!("not refused: {outcome:?}");
        };
        assert_eq!(refusal, Refusal::Other(NO.into()));
    });
}

/// The side that accepted the connection is refused in the same way.
#[test]
fn either_side_refuses() {
    in_time(|| {
        let (link, _release) = guarded();
        let outcome = link.far.open_stream("nobody");
        let Err(Error::Refused { refusal, .. }) = outcome else {
            panic!("not refused: {outcome:?}");
        };
        assert_eq!(refusal, Refusal::HandlerNotFound);
    });
}

/// What is written before the answer has come is not lost.
#[test]
fn data_may_follow_an_open_at_once() {
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

/// Every way to read meets the refusal, and meets it again.
#[test]
fn a_refusal_shows_on_the_first_read() {
    in_time(|| {
        let (link, _release) = guarded();
        let open = || link.near.open_stream_nowait("nobody").unwrap();
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

/// A stream that is only written to meets the refusal with a write, not some
/// consequence of it.
#[test]
fn a_refusal_shows_on_the_first_write_that_meets_it() {
    fn write_on(mut stream: &Stream, bytes: &[u8]) -> io::Result<()> {
        loop {
            stream.write_all(bytes)?;
        }
    }
    in_time(|| {
        let (link, _release) = guarded();
        for len in [1, 1000, 100_000] {
            let stream = link.near.open_stream_nowait("nobody").unwrap();
            assert_not_found(write_on(&stream, &vec![0; len]));
        }
    });
}

/// A write that waits for room, which a refused stream never gets, is woken by
/// the refusal.
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
        // A round trip later the writer waits.
        link.near.open_stream("echo").unwrap();
        drop(release);
        let error = writer.join().unwrap().expect_err("the stream is refused");
        assert_eq!(*refusal_in(&error), Refusal::Other(NO.into()));
    });
}

/// The same with a peer that grants no more of the window once it has refused,
/// as hashicorp/yamux does not: there the refusal is all that can wake it.
#[test]
fn a_refusal_wakes_a_blocked_write_whose_peer_grants_no_more() {
    const WINDOW: usize = 262_144;
    /// Where there is less room, a whole chunk may not fit.
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
            Frame::data(3, layer_2(ERROR, "nobody", text)),
            Frame::flags(3, FIN),
        ];
        client.try_send(answer)
    }

    // Sooner than the keepalive finds that the server has stopped.
    within(Duration::from_secs(10), || {
        let server = ScriptedServer::listen(refuse_when_full);
        let client = Wire::join(server.addr.to_string()).build().unwrap();
        client.start().unwrap();
        let session = client.wait_session(PATIENCE).unwrap();
        let mut stream = session.open_stream_nowait("nobody").unwrap();
        // For ever, or as long as the test takes.
        assert_not_found(stream.write_all(&[0; 2 * WINDOW]));
        // The server hangs up, so that the client need not wait for it.
        drop(server.accepted.recv().unwrap());
    });
}

/// Whether a refusal says that there are too many handlers.
fn says_busy(text: &str) -> bool {
    text.contains("wirenet: ") && text.contains("handlers are busy")
}

/// Past the limit of handlers an open is refused, with an error that says so;
/// it does not wait for a handler that may wait for it.
#[test]
fn past_the_limit_of_handlers_an_open_is_refused() {
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
        let outcome = link.near.open_stream("busy");
        let Err(Error::Refused { refusal, .. }) = outcome else {
            panic!("not refused: {outcome:?}");
        };
        assert!(says_busy(&refusal.to_string()), "{refusal}");
        let (operation, cause) = told.recv().unwrap();
        assert!(
            matches!(operation, Operation::OpenStream(_)),
            "{operation:?}"
        );
        assert!(says_busy(&cause), "{cause}");
        drop(release);
        for stream in &running {
            assert_eq!(message(stream).unwrap(), b"done", "untouched by it");
        }
    });
}

/// The same without waiting: the refusal meets what was sent along.
#[test]
fn past_the_limit_of_handlers_data_that_follows_at_once_is_refused() {
    in_time(|| {
        let (_release, released) = bounded::<()>(0);
        let link = Link::new(
            |server| {
                server.handler_limit(1).stream("busy", move |_| {
                    // Until the test is over.
                    let _ = released.recv();
                    Ok(())
                })
            },
            |client| client,
        );
        let _running = link.near.open_stream("busy").unwrap();
        let stream = link.near.open_stream_nowait("busy").unwrap();
        let error = match stream.write_message(&[0; 3000]) {
            Ok(()) => message(&stream).expect_err("it is refused"),
            Err(error) => error,
        };
        assert!(says_busy(&refusal_in(&error).to_string()), "{error}");
    });
}
