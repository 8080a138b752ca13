//! Streams and handlers that do not end in time are cut, and the error lists them.

use super::{NEVER, SHORT, SOON, await_closing};
use crate::support::{
    PATIENCE,
    frames::{Frame, SYN},
    in_time,
    peer::{Peer, ScriptedServer},
    wires::{Link, as_it_is, errors, joining, mounting, started},
    within,
};
use crossbeam_channel::{Sender, bounded, unbounded};
use std::{
    io::{self, Read, Write},
    net::Shutdown,
    thread,
    time::{Duration, Instant},
};
use wirenet::{Builder, Error, Operation, Stream, Wire};

/// A handler that waits for bytes that never arrive, and sends how its read ended.
fn reading(outcomes: Sender<io::Result<usize>>) -> impl Fn(&mut Stream) -> io::Result<()> {
    move |stream| {
        outcomes.send(stream.read(&mut [0])).unwrap();
        Ok(())
    }
}

/// A handler that returns each message.
fn echoing(stream: &mut Stream) -> io::Result<()> {
    while let Some(message) = stream.read_message(1000)? {
        stream.write_message(&message)?;
    }
    Ok(())
}

#[test]
fn the_error_lists_the_sessions_that_are_cut_at_the_deadline() {
    in_time(|| {
        let (outcome, outcomes) = unbounded();
        let server = mounting().session_close_timeout(3 * SHORT);
        let server = started(server.stream("read", reading(outcome)));
        let client = |id: &str| {
            let client = joining(&server).retry_max(0).identification(id, "");
            let client = started(client);
            let session = client.wait_session(PATIENCE).unwrap();
            (client, session)
        };
        let (idle, one, two) = (client("idle"), client("one"), client("two"));
        let open = |session: &wirenet::Session| session.open_stream("read").unwrap();
        let streams = [open(&one.1), open(&two.1), open(&two.1)];
        let begin = Instant::now();
        let mut error = server.close().unwrap_err();
        assert!(begin.elapsed() >= 3 * SHORT);
        error.sessions.sort_by_key(|cut| cut.streams);
        assert_eq!(error.running, 0);
        assert_eq!(error.sessions.len(), 2, "{error}");
        for (cut, (session, id, count)) in error
            .sessions
            .iter()
            .zip([(&one.1, "one", 1), (&two.1, "two", 2)])
        {
            assert_eq!(cut.id, session.id());
            assert_eq!(cut.identification, id.as_bytes());
            assert_eq!(cut.peer_addr, session.local_addr());
            assert_eq!(
                (cut.streams, &cut.stream_names[..]),
                (count, &["read".into()][..])
            );
            let peer = session.local_addr().unwrap();
            let shown = format!("session of {id:?} ({peer}): cut {count} stream");
            assert!(error.to_string().contains(&shown), "{error}");
        }
        assert!(error.to_string().contains("(\"read\")"), "{error}");
        // Both sides of a session print the client's identification and their peer's address.
        let shown = format!("\"one\" ({})", one.1.peer_addr().unwrap());
        assert_eq!(one.1.to_string(), shown);
        // Every stream has ended nevertheless, with an error.
        for _ in &streams {
            outcomes.recv().unwrap().unwrap_err();
        }
        for mut stream in streams {
            stream.read(&mut [0]).unwrap_err();
        }
        assert!(server.sessions().is_empty());
        server.close().unwrap();
        let as_io: io::Error = error.into();
        assert_eq!(as_io.kind(), io::ErrorKind::TimedOut);
        drop(idle);
    });
}

#[test]
fn a_timeout_of_zero_cuts_immediately() {
    within(SOON, || {
        let (outcome, outcomes) = bounded(1);
        let link = Link::new(
            |server| {
                let server = server.session_close_timeout(Duration::ZERO);
                server.stream("read", reading(outcome))
            },
            as_it_is,
        );
        let mut stream = link.near.open_stream("read").unwrap();
        let error = link.server.close().unwrap_err();
        assert_eq!((error.sessions.len(), error.running), (1, 0));
        outcomes.recv().unwrap().unwrap_err();
        stream.read(&mut [0]).unwrap_err();
    });
}

#[test]
fn all_sessions_share_one_timeout() {
    const SESSIONS: u32 = 10;
    const TIMEOUT: Duration = Duration::from_millis(500);

    in_time(|| {
        let (outcome, outcomes) = unbounded();
        let server = mounting().session_close_timeout(TIMEOUT);
        let server = started(server.stream("read", reading(outcome)));
        let clients: Vec<Wire> = (0..SESSIONS).map(|_| started(joining(&server))).collect();
        let open = |client: &Wire| client.sessions()[0].open_stream("read").unwrap();
        let streams: Vec<Stream> = clients.iter().map(open).collect();
        let begin = Instant::now();
        let error = server.close().unwrap_err();
        let took = begin.elapsed();
        assert!(took >= TIMEOUT && took < SESSIONS / 2 * TIMEOUT, "{took:?}");
        assert_eq!(error.sessions.len() as u32, SESSIONS);
        assert_eq!(
            outcomes
                .iter()
                .take(streams.len())
                .filter(Result::is_err)
                .count(),
            10
        );
    });
}

/// The handler and the hook call nothing of the library, so that nothing wakes them.
#[test]
fn handlers_and_hooks_that_keep_running_are_counted() {
    in_time(|| {
        let (release, released) = bounded::<()>(0);
        let hooked = released.clone();
        let (entered, enters) = bounded(2);
        let also = entered.clone();
        let link = Link::new(
            |server| {
                server
                    .session_close_timeout(SHORT)
                    .on_session_open(move |_| {
                        entered.send(()).unwrap();
                        let _ = hooked.recv();
                    })
                    .stream("deaf", move |_| {
                        also.send(()).unwrap();
                        let _ = released.recv();
                        Ok(())
                    })
            },
            as_it_is,
        );
        let stream = link.near.open_stream("deaf").unwrap();
        enters.iter().take(2).for_each(drop);
        let begin = Instant::now();
        let error = link.server.close().unwrap_err();
        assert_eq!((error.sessions.len(), error.running), (1, 2), "{error}");
        assert!(begin.elapsed() < Duration::from_secs(10));
        let expected = [
            Operation::Hook("on_session_open"),
            Operation::Handler("deaf".into()),
        ];
        assert!(
            expected
                .iter()
                .all(|operation| error.operations.contains(operation))
        );
        for operation in expected {
            assert!(
                error.to_string().contains(&operation.to_string()),
                "{error}"
            );
        }
        drop((release, stream));
        // They can return now, and no longer cause an error.
        link.server.close().unwrap();
    });
}

/// Both sides of an idle stream have received everything. The last answer to a ping may be
/// older than the last bytes.
#[test]
fn what_the_peer_has_received_is_acknowledged_when_its_stream_is_cut() {
    in_time(|| {
        for closes in [
            |link: &Link| link.client.close(),
            |link: &Link| link.server.close(),
        ] {
            let quick = |wire: Builder| wire.session_close_timeout(4 * SHORT);
            let link = Link::new(|server| quick(server).stream("echo", echoing), quick);
            let stream = link.near.open_stream("echo").unwrap();
            stream.write_message(b"hello").unwrap();
            assert_eq!(stream.read_message(10).unwrap().unwrap(), b"hello");
            let error = closes(&link).unwrap_err();
            assert_eq!(error.sessions[0].streams, 1);
            assert_eq!(error.sessions[0].unacknowledged, 0, "{error}");
        }
    });
}

/// What is sent while the close waits is acknowledged, too.
#[test]
fn what_the_peer_receives_during_a_close_is_acknowledged() {
    in_time(|| {
        let quick = |wire: Builder| wire.session_close_timeout(5 * SHORT);
        let link = Link::new(|server| server.stream("echo", echoing), quick);
        let stream = link.near.open_stream("echo").unwrap();
        let error = thread::scope(|scope| {
            let close = scope.spawn(|| link.client.close());
            await_closing(&link.near);
            stream.write_message(b"hello").unwrap();
            assert_eq!(stream.read_message(10).unwrap().unwrap(), b"hello");
            close.join().unwrap().unwrap_err()
        });
        assert_eq!(error.sessions[0].unacknowledged, 0, "{error}");
    });
}

#[test]
fn a_cut_wakes_every_waiting_call() {
    in_time(|| {
        let (ended, ends) = unbounded();
        let (has_written, written) = (ended.clone(), ended.clone());
        let (release, released) = bounded::<()>(0);
        let server = |server: Builder| {
            server
                .session_close_timeout(3 * SHORT)
                .stream("read", move |stream| {
                    ended.send(stream.read(&mut [0]).is_err()).unwrap();
                    Ok(())
                })
                .stream("next", move |stream| {
                    has_written.send(stream.next_message().is_err()).unwrap();
                    Ok(())
                })
                .stream("write", move |stream| {
                    written
                        .send(stream.write_all(&[0; 1 << 20]).is_err())
                        .unwrap();
                    Ok(())
                })
                .token_validator(move |name, _, _| {
                    if name == "slow" {
                        let _ = released.recv();
                    }
                    Ok(())
                })
        };
        let link = Link::new(server, |client| client.retry_max(0));
        let open = |name: &str| link.near.open_stream(name).unwrap();
        let streams = ["read", "next", "write"].map(open);
        let waiting = link.server.clone();
        thread::scope(|scope| {
            let opener = scope.spawn(|| link.near.open_stream("slow"));
            let reader = scope.spawn(|| (&streams[0]).read(&mut [0]));
            let writer = scope.spawn(|| (&streams[2]).write_all(&[0; 1 << 20]));
            let closer = scope.spawn(|| link.server.close());
            await_closing(&link.near);
            opener.join().unwrap().unwrap_err();
            reader.join().unwrap().unwrap_err();
            writer.join().unwrap().unwrap_err();
            assert!(matches!(waiting.wait_session(NEVER), Err(Error::Closed)));
            for _ in 0..3 {
                assert!(ends.recv().unwrap());
            }
            drop(release);
            closer.join().unwrap().unwrap_err();
        });
    });
}

/// The clients no longer read or write, and so do not answer the go-away.
#[test]
fn a_server_closes_in_time_though_its_clients_are_unresponsive() {
    in_time(|| {
        let server = started(mounting().session_close_timeout(3 * SHORT));
        let clients = [1, 2, 3].map(|id| Peer::join(&server, [id; 16]));
        let begin = Instant::now();
        // There are no streams to cut.
        server.close().unwrap();
        let took = begin.elapsed();
        assert!(took >= 3 * SHORT && took < SOON, "{took:?}");
        assert!(server.sessions().is_empty());
        drop(clients);
    });
}

#[test]
fn a_server_closes_in_time_though_a_client_does_not_read() {
    in_time(|| {
        let (on_error, _told) = errors();
        let server = mounting()
            .session_close_timeout(3 * SHORT)
            .on_error(on_error);
        let server = started(server);
        let client = Peer::join(&server, [1; 16]);
        let session = server.wait_session(PATIENCE).unwrap();
        let streams: Vec<Stream> = (0..32)
            .map(|_| session.open_stream_nowait("any").unwrap())
            .collect();
        thread::scope(|scope| {
            for mut stream in &streams {
                scope.spawn(move || stream.write_all(&[0; 1 << 20]).unwrap_err());
            }
            let begin = Instant::now();
            let error = server.close().unwrap_err();
            assert!(begin.elapsed() < SOON);
            assert_eq!(error.sessions[0].streams, 32);
        });
        drop(client);
    });
}

#[test]
fn a_client_closes_in_time_though_its_server_is_unresponsive() {
    in_time(|| {
        let server = ScriptedServer::listen(Peer::confirm_session);
        let joining = Wire::join(server.addr.to_string());
        let client = started(joining.session_close_timeout(3 * SHORT));
        let mut stream = client.sessions()[0].open_stream_nowait("any").unwrap();
        let reader = thread::spawn(move || stream.read(&mut [0]));
        let begin = Instant::now();
        client.close().unwrap_err();
        let took = begin.elapsed();
        assert!(took >= 3 * SHORT && took < SOON, "{took:?}");
        reader.join().unwrap().unwrap_err();
        client.wait().unwrap_err();
    });
}

/// The client opens streams forever, and answers the go-away with more of them.
#[test]
fn a_peer_that_ignores_the_go_away_does_not_keep_a_wire_open() {
    in_time(|| {
        let server = started(mounting().session_close_timeout(3 * SHORT));
        let mut client = Peer::join(&server, [1; 16]);
        server.wait_session(PATIENCE).unwrap();
        let opening = client.socket().try_clone().unwrap();
        let opener = thread::spawn(move || {
            let ids = (0..).map(|number| 3 + 2 * number);
            for id in ids {
                if (&opening)
                    .write_all(&Frame::flags(id, SYN).encode())
                    .is_err()
                {
                    break;
                }
            }
        });
        let reader = thread::spawn(move || {
            // Up to the end of the connection, also if it is reset.
            let _ = io::copy(&mut client, &mut io::sink());
            // The opener may be blocked. The server has closed its socket, and Linux then
            // leaves a window closed that was full, for a minute.
            let _ = client.socket().shutdown(Shutdown::Both);
        });
        let begin = Instant::now();
        // Some streams may have been accepted before the close.
        let _ = server.close();
        assert!(begin.elapsed() < SOON);
        opener.join().unwrap();
        reader.join().unwrap();
    });
}
