//! `read_write_timeouts`, `handshake_timeout`, `dial_timeout`.

use crate::support::{
    PATIENCE, in_time,
    peer::{Peer, ScriptedServer},
    unreachable::Unreachable,
    wires::{Link, Told, addr_of, errors, joining, mounting, started},
    within,
};
use crossbeam_channel::{Receiver, bounded};
use std::{
    error::Error as _,
    io::{self, ErrorKind, Read, Write},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};
use wirenet::{Builder, Error, Operation, Session, Stream, Wire, yamux};

const SHORT: Duration = Duration::from_millis(100);

/// Longer than these tests take on a busy machine, and shorter than any default.
const SOON: Duration = Duration::from_secs(5);

/// Longer than any test runs.
const NEVER: Duration = Duration::from_secs(3600);

#[test]
fn every_new_stream_has_the_read_timeout() {
    in_time(|| {
        let (handled, handling) = bounded(1);
        let impatient = |side: Builder| side.read_write_timeouts(Some(SHORT), NEVER);
        let link = Link::new(
            |server| {
                impatient(server).stream("silent", move |stream| {
                    let begin = Instant::now();
                    let error = stream.read(&mut [0]).unwrap_err();
                    handled.send((error.kind(), begin.elapsed())).unwrap();
                    // The stream's own setting overrides it.
                    stream.set_read_timeout(None)?;
                    let read = stream.read(&mut [0]);
                    handled.send((read.unwrap_err().kind(), SHORT)).unwrap();
                    Ok(())
                })
            },
            impatient,
        );
        let read = |mut stream: Stream| {
            let begin = Instant::now();
            let error = stream.read(&mut [0]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
            assert!(begin.elapsed() >= SHORT);
            stream
        };
        let stream = read(link.near.open_stream("silent").unwrap());
        let (kind, after) = handling.recv().unwrap();
        assert_eq!(kind, ErrorKind::TimedOut);
        assert!(after >= SHORT);
        // Reset, not timed out again.
        stream.reset();
        assert_eq!(handling.recv().unwrap().0, ErrorKind::ConnectionReset);
    });
}

#[test]
fn streams_opened_without_waiting_have_the_read_timeout() {
    in_time(|| {
        let server = ScriptedServer::listen(Peer::confirm_session);
        let joining = Wire::join(server.addr.to_string())
            .read_write_timeouts(Some(SHORT), NEVER)
            .session_close_timeout(Duration::ZERO);
        let client = started(joining);
        let session = client.wait_session(PATIENCE).unwrap();
        let mut stream = session.open_stream_nowait("any").unwrap();
        let error = stream.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
        assert!(!session.is_closed());
    });
}

#[test]
fn streams_wait_forever_by_default() {
    in_time(|| {
        let (release, released) = bounded::<()>(0);
        let link = Link::serving("late", move |stream| {
            assert!(released.recv().is_err());
            stream.write_message(b"at last")
        });
        let mut stream = link.near.open_stream("late").unwrap();
        let reading = thread::spawn(move || stream.read(&mut [0; 7]));
        // Longer than every timeout of these tests.
        drop(released_after(SHORT, release));
        assert_eq!(reading.join().unwrap().unwrap(), 7);
    });
}

/// Waits for this time, and returns `value`.
fn released_after<T>(time: Duration, value: T) -> T {
    let (_sender, nothing) = bounded::<()>(0);
    nothing.recv_timeout(time).unwrap_err();
    value
}

fn write_until_error(mut stream: &Stream) -> io::Error {
    loop {
        if let Err(error) = stream.write_all(&[0; 10_000]) {
            return error;
        }
    }
}

fn assert_write_timeout(error: &io::Error) {
    assert_eq!(error.kind(), ErrorKind::ConnectionAborted, "{error}");
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
    assert!(
        matches!(cause, Some(yamux::Error::WriteTimeout)),
        "{error:?}"
    );
}

/// Opens enough streams for their windows together to exceed the kernel's buffers.
fn open_many(session: &Session) -> Vec<Stream> {
    let open = |_| session.open_stream_nowait("any").unwrap();
    (0..32).map(open).collect()
}

#[test]
fn an_opening_that_cannot_be_sent_ends_with_the_handshake_timeout() {
    in_time(|| {
        let server = ScriptedServer::listen(Peer::confirm_session);
        let joining = Wire::join(server.addr.to_string())
            .read_write_timeouts(None, NEVER)
            .handshake_timeout(3 * SHORT)
            .session_close_timeout(Duration::ZERO);
        let client = started(joining);
        let session = client.wait_session(PATIENCE).unwrap();
        // Fills all buffers.
        for stream in open_many(&session) {
            stream.set_write_timeout(Some(SHORT / 10)).unwrap();
            assert_eq!(write_until_error(&stream).kind(), ErrorKind::TimedOut);
            stream.reset();
        }
        let begin = Instant::now();
        let error = session.open_stream("any").unwrap_err();
        assert!(matches!(error, Error::TimedOut { .. }), "{error}");
        let nowait = session.open_stream_nowait("any").unwrap_err();
        assert!(matches!(nowait, Error::TimedOut { .. }), "{nowait}");
        assert!(begin.elapsed() >= 6 * SHORT && begin.elapsed() < SOON);
    });
}

/// A client whose write timeout is short, and that finds a silent server by nothing else.
fn without_pings(server: &ScriptedServer) -> Builder {
    Wire::join(server.addr.to_string())
        .read_write_timeouts(None, 3 * SHORT)
        .keep_alive(false)
}

/// The error handler gets the write timeout as the reason for the session's end.
#[track_caller]
fn assert_write_timeout_told(told: &Receiver<Told>) {
    let (operation, cause) = told.recv().unwrap();
    assert_eq!(operation, Operation::Session);
    assert_eq!(cause, yamux::Error::WriteTimeout.to_string());
}

#[test]
fn the_write_timeout_ends_a_connection_for_readers_and_writers() {
    in_time(|| {
        let (on_error, told) = errors();
        let server = ScriptedServer::listen(Peer::confirm_session);
        let joining = without_pings(&server)
            .retry_max(1)
            .retry_policy(|_| None)
            .on_error(on_error);
        let client = started(joining);
        let session = client.wait_session(PATIENCE).unwrap();
        let mut quiet = session.open_stream_nowait("any").unwrap();
        let streams = open_many(&session);
        let begin = Instant::now();
        thread::scope(|scope| {
            let reader = scope.spawn(|| quiet.read(&mut [0]).unwrap_err());
            let writers: Vec<_> = streams
                .iter()
                .map(|stream| scope.spawn(move || write_until_error(stream)))
                .collect();
            for writer in writers {
                assert_write_timeout(&writer.join().unwrap());
            }
            assert_write_timeout(&reader.join().unwrap());
        });
        assert!(begin.elapsed() >= 3 * SHORT);
        assert!(session.is_closed());
        let ended = client.wait().unwrap_err();
        let is_timeout = matches!(ended, Error::Connection(yamux::Error::WriteTimeout));
        assert!(is_timeout, "{ended}");
        assert_write_timeout_told(&told);
        // There is nothing left to cut.
        client.close().unwrap();
    });
}

/// The system has a timer too, which finds bytes that no write waits for any longer.
#[cfg(any(target_os = "linux", target_os = "android"))]
#[test]
fn a_connection_that_the_system_ends_at_the_write_timeout_ends_with_the_same_error() {
    in_time(|| {
        let (on_error, told) = errors();
        let server = ScriptedServer::listen(Peer::confirm_session);
        let joining = without_pings(&server)
            // More than the server's socket takes, and less than both sockets.
            .send_buffer(200_000)
            .retry_max(0)
            .on_error(on_error);
        let client = started(joining);
        let session = client.wait_session(PATIENCE).unwrap();
        let mut stream = session.open_stream_nowait("any").unwrap();
        stream.write_all(&[0; 250_000]).unwrap();
        assert_write_timeout(&stream.read(&mut [0]).unwrap_err());
        assert_write_timeout_told(&told);
    });
}

#[test]
fn the_write_timeout_ends_the_session_of_a_client_that_does_not_read() {
    in_time(|| {
        let (on_error, told) = errors();
        let (ended, ends) = bounded(1);
        let server = started(
            mounting()
                .read_write_timeouts(None, 3 * SHORT)
                .keep_alive(false)
                .on_error(on_error)
                .on_session_close(move |session| ended.send(session.id()).unwrap()),
        );
        let _client = Peer::join(&server, [4; 16]);
        let session = server.wait_session(PATIENCE).unwrap();
        let streams = open_many(&session);
        thread::scope(|scope| {
            for stream in &streams {
                scope.spawn(move || assert_write_timeout(&write_until_error(stream)));
            }
        });
        assert_eq!(told.recv().unwrap().0, Operation::Session);
        assert_eq!(ends.recv().unwrap(), session.id());
        assert!(server.sessions().is_empty());
    });
}

/// Reading a little now and then keeps a connection open.
#[test]
fn the_write_timeout_does_not_end_a_connection_to_a_slow_reader() {
    const PIECE: usize = 64 * 1024;

    in_time(|| {
        let (finished, sent) = bounded(1);
        let server = ScriptedServer::listen(Peer::confirm_session);
        let joining = Wire::join(server.addr.to_string())
            .read_write_timeouts(None, 10 * SHORT)
            .session_close_timeout(Duration::ZERO)
            .keep_alive(false)
            .send_buffer(PIECE);
        let client = started(joining);
        let session = client.wait_session(PATIENCE).unwrap();
        let mut connection: Peer = server.accepted.recv().unwrap();
        let streams = open_many(&session);
        let writing = thread::spawn(move || {
            thread::scope(|scope| {
                for mut stream in &streams {
                    // As much as fits into its window.
                    scope.spawn(move || stream.write_all(&[0; 250_000]).unwrap());
                }
            });
            finished.send(()).unwrap();
            streams
        });
        // Far longer than the timeout.
        let begin = Instant::now();
        let mut buf = vec![0; PIECE];
        while begin.elapsed() < 20 * SHORT {
            connection.read_exact(&mut buf).unwrap();
            // Often, so that the writers are woken in time even on a busy machine.
            if sent.recv_timeout(SHORT / 2).is_ok() {
                break;
            }
        }
        assert!(!session.is_closed());
        // Reads the rest without pauses.
        let rest = thread::spawn(move || io::copy(&mut connection, &mut io::sink()));
        drop(writing.join().unwrap());
        session.abort();
        // The connection may end with a reset.
        let _ = rest.join().unwrap();
    });
}

#[test]
fn a_silent_handshake_ends_after_the_handshake_timeout() {
    in_time(|| {
        let (on_error, told) = errors();
        let serving = mounting().handshake_timeout(SHORT).on_error(on_error);
        let server = started(serving);
        let begin = Instant::now();
        let mut client = TcpStream::connect(addr_of(&server)).unwrap();
        // Reads to the end of the connection.
        io::copy(&mut client, &mut io::sink()).unwrap();
        assert!(begin.elapsed() >= SHORT);
        let (operation, cause) = told.recv_timeout(SOON).unwrap();
        assert_eq!(operation, Operation::Handshake);
        assert_eq!(cause, "no session handshake within 100ms");
    });
}

/// Even if the client keeps its end of the connection open.
#[test]
fn a_silent_handshake_no_longer_counts_after_the_handshake_timeout() {
    within(SOON, || {
        let server = started(mounting().handshake_timeout(SHORT).max_handshakes(1));
        let _silent = TcpStream::connect(addr_of(&server)).unwrap();
        let client = joining(&server).retry_policy(|_| Some(Duration::ZERO));
        started(client).close().unwrap();
    });
}

/// There is one deadline for the whole handshake; a byte now and then does not extend it.
#[test]
fn a_slow_handshake_ends_after_the_handshake_timeout() {
    in_time(|| {
        let server = started(mounting().handshake_timeout(5 * SHORT));
        let begin = Instant::now();
        let mut client = TcpStream::connect(addr_of(&server)).unwrap();
        client.set_read_timeout(Some(SHORT / 2)).unwrap();
        let frame = window_update();
        let mut bytes = frame.iter().cycle();
        // Until the server closes the connection, which fails a read or a write.
        loop {
            let wrote = client.write(&[*bytes.next().unwrap()]);
            match client.read(&mut [0]) {
                Err(error) if is_timeout(&error) && wrote.is_ok() => {}
                Ok(count) if count > 0 && wrote.is_ok() => {}
                _ => break,
            }
        }
        assert!(begin.elapsed() >= 5 * SHORT);
    });
}

/// A window update for an unknown stream, which is a valid frame.
fn window_update() -> Vec<u8> {
    crate::support::frames::Frame::flags(99, 0).encode()
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

#[test]
fn an_unanswered_dial_ends_after_the_dial_timeout() {
    in_time(|| {
        let unreachable = Unreachable::new();
        let joining = Wire::join(unreachable.addr.to_string()).dial_timeout(SHORT);
        let begin = Instant::now();
        let error = joining.retry_max(0).build().unwrap().start().unwrap_err();
        // Some systems truncate the timeout to whole milliseconds.
        assert!(begin.elapsed() >= SHORT / 2);
        let Error::Dial { addr, cause } = &error else {
            panic!("expected a dial error, got {error}");
        };
        assert_eq!(*addr, unreachable.addr.to_string());
        assert_eq!(cause.kind(), ErrorKind::TimedOut);
        assert!(error.source().is_some());
    });
}
