//! A close at any time: before a start, during a handshake, during traffic.

use super::{NEVER, SOON};
use crate::support::{
    PATIENCE,
    frames::{Frame, PING, SYN},
    in_time, threads,
    wires::{Link, addr_of, closing, joining, mounting, started, starting},
    within,
};
use crossbeam_channel::bounded;
use std::{io::Write, net::TcpStream, thread};
use wirenet::{Error, Wire};

#[test]
fn a_wire_that_was_never_started_can_be_closed() {
    within(SOON, || {
        for wire in [
            mounting().build().unwrap(),
            Wire::join("host:1").build().unwrap(),
        ] {
            let waiting = wire.clone();
            let waiter = thread::spawn(move || waiting.wait_session(NEVER));
            wire.wait().unwrap();
            wire.close().unwrap();
            wire.close().unwrap();
            assert!(matches!(waiter.join().unwrap(), Err(Error::Closed)));
            assert!(matches!(wire.start(), Err(Error::Closed)));
            assert!(matches!(wire.connect(), Err(Error::Closed)));
            wire.reconnect_now();
        }
    });
}

#[test]
fn connect_and_wait_return_when_the_wire_is_closed() {
    within(SOON, || {
        let server = mounting().build().unwrap();
        let serving = server.clone();
        let acceptor = thread::spawn(move || serving.connect());
        let (up, ups) = bounded(1);
        // There is no other way to see that the server listens.
        while server.local_addr().is_none() {
            thread::yield_now();
        }
        let client = joining(&server).on_connect(move |_| up.send(()).unwrap());
        let client = client.build().unwrap();
        let dialling = client.clone();
        let reader = thread::spawn(move || dialling.connect());
        ups.recv().unwrap();
        let waiters = [&client, &server].map(|wire| {
            let wire = wire.clone();
            thread::spawn(move || wire.wait())
        });
        client.close().unwrap();
        reader.join().unwrap().unwrap();
        server.close().unwrap();
        acceptor.join().unwrap().unwrap();
        for waiter in waiters {
            waiter.join().unwrap().unwrap();
        }
    });
}

/// The clients have connected, and never send a request.
#[test]
fn a_closing_server_ends_handshakes_immediately() {
    within(SOON, || {
        let server = started(
            mounting()
                .handshake_timeout(NEVER)
                .session_close_timeout(NEVER)
                .thread_name("mo-hs"),
        );
        let clients = [(); 3].map(|()| {
            let mut client = TcpStream::connect(addr_of(&server)).unwrap();
            // The answer shows that the handshake is running.
            let ping = Frame {
                kind: PING,
                ..Frame::flags(0, SYN)
            };
            client.write_all(&ping.encode()).unwrap();
            assert_eq!(Frame::read(&client).unwrap().unwrap().kind, PING);
            client
        });
        server.close().unwrap();
        threads::await_none("mo-hs");
        for client in clients {
            assert!(matches!(Frame::read(&client), Ok(None) | Err(_)));
        }
    });
}

/// The wire closes while the validator runs.
#[test]
fn a_handshake_during_a_close_does_not_open_a_session() {
    in_time(|| {
        let (entered, enters) = bounded(1);
        let (release, released) = bounded::<()>(0);
        let (opened, open_events) = bounded::<()>(1);
        let server = started(
            mounting()
                .token_validator(move |_, _, _| {
                    entered.send(()).unwrap();
                    let _ = released.recv();
                    Ok(())
                })
                .on_session_open(move |_| opened.send(()).unwrap()),
        );
        let client = joining(&server).retry_max(0).build().unwrap();
        let starter = starting(&client);
        enters.recv().unwrap();
        let closer = closing(&server);
        // To every caller the server is closed.
        assert!(matches!(server.wait_session(PATIENCE), Err(Error::Closed)));
        drop(release);
        closer.join().unwrap().unwrap();
        starter.join().unwrap().unwrap_err();
        assert_eq!(server.stats().sessions, 0);
        drop(server);
        open_events.recv().unwrap_err();
    });
}

/// Clients connect while the server closes.
#[test]
fn a_server_that_closes_while_clients_connect_leaves_no_session() {
    in_time(|| {
        for _ in 0..10 {
            let server = started(mounting().thread_name("mo-arr"));
            let clients: Vec<Wire> = (0..8)
                .map(|_| joining(&server).retry_max(0).build().unwrap())
                .collect();
            let (outcome, outcomes) = bounded(clients.len());
            thread::scope(|scope| {
                for client in &clients {
                    let outcome = outcome.clone();
                    scope.spawn(move || {
                        let started = client.start().is_ok();
                        outcome.send(started).unwrap();
                        // The close cuts a session that is still being registered.
                        assert!(client.wait().is_err() || started);
                    });
                }
                assert!(outcomes.recv().unwrap());
                server.close().unwrap();
            });
            assert!(server.sessions().is_empty());
            for client in clients {
                assert!(client.sessions().is_empty());
            }
        }
        threads::await_none("mo-arr");
    });
}

#[test]
fn both_sides_may_close_at_once_while_streams_open_and_end() {
    in_time(|| {
        for _ in 0..5 {
            let link = Link::new(
                |server| server.stream("echo", crate::support::wires::echo),
                |client| {
                    client
                        .retry_max(0)
                        .stream("echo", crate::support::wires::echo)
                },
            );
            thread::scope(|scope| {
                for session in [&link.near, &link.far, &link.near, &link.far] {
                    scope.spawn(move || {
                        // Until no stream can be opened any longer. A stream that was
                        // opened always completes.
                        while let Ok(stream) = session.open_stream("echo") {
                            stream.write_message(b"all of it").unwrap();
                            let answer = crate::support::wires::message(&stream).unwrap();
                            assert_eq!(answer, b"all of it");
                        }
                    });
                }
                let one = scope.spawn(|| link.client.close());
                let other = scope.spawn(|| link.server.close());
                one.join().unwrap().unwrap();
                other.join().unwrap().unwrap();
            });
            assert!(link.near.is_closed() && link.far.is_closed());
        }
    });
}
