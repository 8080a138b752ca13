//! A close wakes every waiter, can be repeated, and returns in time whatever the peer
//! does.

use crate::support::{
    PATIENCE,
    peer::{Peer, ScriptedServer},
    tls,
    wires::{Link, message, starting},
    within,
};
use crossbeam_channel::{Sender, bounded};
use std::{
    fmt::Debug,
    io::{self, Read, Write},
    net::TcpStream,
    thread,
    time::Duration,
};
use wirenet::{
    Builder, Error, Session, Stream, Wire,
    transport::memory,
    yamux::{self, Config, Connection},
};

/// Longer than a close that waits for nothing, and shorter than any timeout that could
/// end a wait too.
const SOON: Duration = Duration::from_secs(8);

/// Returns a link to a server with an echo, a handler `idle` that does nothing, and a
/// validator that blocks on `slow`. Both block until the sender is dropped, which must
/// be before the link is. A close of either side cuts running streams.
fn link() -> (Link, Sender<()>) {
    let (release, released) = bounded(0);
    let held = released.clone();
    let cuts = |builder: Builder| builder.session_close_timeout(Duration::ZERO);
    let link = Link::new(
        |server| {
            cuts(server)
                .stream("echo", |stream| {
                    let bytes = message(stream)?;
                    stream.write_message(&bytes)
                })
                .stream("idle", move |_| {
                    // Until it is released.
                    let _ = held.recv();
                    Ok(())
                })
                .token_validator(move |name, _, _| {
                    if name == "slow" {
                        let _ = released.recv();
                    }
                    Ok(())
                })
        },
        cuts,
    );
    (link, release)
}

/// Runs `blocked` on a thread, and `end` once it waits. Returns the error of `blocked`.
fn woken<T: Debug + Send, E: Send>(
    session: &Session,
    blocked: impl FnOnce() -> Result<T, E> + Send,
    end: impl FnOnce(),
) -> E {
    let (sender, started) = bounded(1);
    thread::scope(|scope| {
        let waiter = scope.spawn(move || {
            sender.send(()).expect("it is waited for");
            blocked()
        });
        started.recv().expect("it starts");
        // After two round trips it waits, unless the machine is very busy.
        let stream = session.open_stream("echo").unwrap();
        stream.write_message(b"round trip").unwrap();
        message(&stream).unwrap();
        end();
        let outcome = waiter.join().expect("no panic");
        outcome.expect_err("nothing else ends the wait")
    })
}

fn read(mut stream: &Stream) -> io::Result<usize> {
    stream.read(&mut [0; 8])
}

fn write_until_error(mut stream: &Stream) -> io::Result<()> {
    loop {
        stream.write_all(&[0; 10_000])?;
    }
}

/// The ways in which a session ends.
const ENDS: [fn(&Link); 5] = [
    |link| link.near.abort(),
    |link| link.far.abort(),
    |link| _ = link.client.close(),
    |link| _ = link.server.close(),
    |link| _ = link.near.close_wire(),
];

#[test]
fn closing_a_session_wakes_a_blocked_read() {
    within(SOON, || {
        for end in ENDS {
            let (link, _release) = link();
            let stream = link.near.open_stream("idle").unwrap();
            woken(&link.near, || read(&stream), || end(&link));
            assert!(stream.is_closed() && link.near.is_closed());
        }
    });
}

#[test]
fn closing_a_session_wakes_a_blocked_write() {
    within(SOON, || {
        for end in ENDS {
            let (link, _release) = link();
            let stream = link.near.open_stream("idle").unwrap();
            woken(&link.near, || write_until_error(&stream), || end(&link));
        }
    });
}

#[test]
fn closing_a_session_wakes_a_blocked_open() {
    within(SOON, || {
        for end in ENDS {
            let (link, _release) = link();
            let error = woken(&link.near, || link.near.open_stream("slow"), || end(&link));
            assert!(matches!(error, Error::Connection(_)), "{error:?}");
        }
    });
}

#[test]
fn closing_a_stream_wakes_its_reader_and_its_writer() {
    // `close` fails while a thread is writing, as it cannot end the message.
    let ends: [fn(&Stream); 2] = [|stream| drop(stream.close()), Stream::reset];
    within(SOON, move || {
        for end in ends {
            let (link, _release) = link();
            let open = || link.near.open_stream("idle").unwrap();
            let stream = open();
            woken(&link.near, || read(&stream), || end(&stream));
            let stream = open();
            woken(&link.near, || write_until_error(&stream), || end(&stream));
            assert!(stream.is_closed() && !link.near.is_closed());
        }
    });
}

#[test]
fn closing_a_wire_wakes_a_wait_for_a_session() {
    within(SOON, || {
        let server = Wire::mount("127.0.0.1:0").build().unwrap();
        server.start().unwrap();
        let waiting = server.clone();
        let waiter = thread::spawn(move || waiting.wait_session(PATIENCE));
        server.close().unwrap();
        assert!(matches!(waiter.join().unwrap(), Err(Error::Closed)));
    });
}

/// `connect` returns `Ok` on both sides.
#[test]
fn closing_a_wire_ends_its_connect() {
    within(SOON, || {
        let (link, _release) = link();
        let addr = link.server.local_addr().expect("it listens");
        let client = tls::client(Wire::join(addr.to_string()), tls::is_selected());
        let client = client.build().unwrap();
        let connecting = client.clone();
        let reader = thread::spawn(move || connecting.connect());
        client.wait_session(PATIENCE).unwrap();
        client.close().unwrap();
        reader.join().unwrap().unwrap();

        let server = Wire::mount("127.0.0.1:0").build().unwrap();
        let accepting = server.clone();
        let acceptor = thread::spawn(move || accepting.connect());
        server.close().unwrap();
        // Closed before it started, or while it accepted.
        let outcome = acceptor.join().unwrap();
        assert!(
            matches!(outcome, Ok(()) | Err(Error::Closed)),
            "{outcome:?}"
        );
    });
}

/// On a raw connection; the open waits for other streams to be acknowledged.
#[test]
fn closing_a_connection_wakes_a_blocked_accept_and_open() {
    within(SOON, || {
        let (here, there) = memory::pair(64 * 1024);
        let client = Connection::client(here, Config::default().backlog(4)).unwrap();
        let server = Connection::server(there, Config::default()).unwrap();
        let unacknowledged: Vec<_> = (0..4).map(|_| client.open().unwrap()).collect();
        thread::scope(|scope| {
            let opener = scope.spawn(|| client.open());
            let acceptor = scope.spawn(|| client.accept());
            client.ping().unwrap();
            client.close();
            for outcome in [opener.join().unwrap(), acceptor.join().unwrap()] {
                assert!(matches!(outcome, Err(yamux::Error::Closed)), "{outcome:?}");
            }
        });
        assert!(unacknowledged.iter().all(yamux::Stream::is_closed));
        // The server still accepts streams that were opened before the end.
        let ended = || (0..=4).find_map(|_| server.accept().err());
        assert!(ended().is_some());
    });
}

/// From several threads at the same time, too.
#[test]
fn closing_again_has_no_effect() {
    within(SOON, || {
        let (link, _release) = link();
        let stream = link.near.open_stream("idle").unwrap();
        for _ in 0..2 {
            stream.close().unwrap();
        }
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| link.near.close());
                scope.spawn(|| link.far.close());
                scope.spawn(|| link.client.close());
                scope.spawn(|| link.server.close());
            }
        });
        link.near.close().unwrap();
        link.client.close().unwrap();
        assert!(matches!(link.client.start(), Err(Error::Closed)));
        assert!(link.client.sessions().is_empty());
        assert!(link.near.open_stream("idle").is_err());
    });
}

/// The call that waits for the session fails long before its own timeout.
#[test]
fn closing_wakes_a_client_whose_server_does_not_answer() {
    within(SOON, || {
        let silent = ScriptedServer::silent();
        let client = Wire::join(silent.addr.to_string()).handshake_timeout(PATIENCE * 2);
        let client = client.build().unwrap();
        let starter = starting(&client);
        // It has dialled and sent its request.
        let mut connection = silent.accepted.recv().unwrap();
        connection.read_request().unwrap();
        client.close().unwrap();
        client.close().unwrap();
        assert!(matches!(starter.join().unwrap(), Err(Error::Closed)));
    });
}

#[test]
fn a_server_that_does_not_answer_is_given_up_after_the_handshake_timeout() {
    within(SOON, || {
        let silent = ScriptedServer::silent();
        let client = Wire::join(silent.addr.to_string());
        let client = client.handshake_timeout(Duration::from_millis(100));
        let client = client.retry_max(0);
        let outcome = client.build().unwrap().start();
        assert!(
            matches!(outcome, Err(Error::TimedOut { .. })),
            "{outcome:?}"
        );
    });
}

/// The close returns within the write timeout, and wakes the write that is blocked in the
/// transport.
#[test]
fn closing_a_connection_returns_though_the_peer_does_not_read() {
    within(SOON, || {
        let silent = ScriptedServer::silent();
        let socket = TcpStream::connect(silent.addr).unwrap();
        let config = Config::default().write_timeout(Duration::from_millis(500));
        let connection = Connection::client(socket, config).unwrap();
        let streams: Vec<_> = (0..32).map(|_| connection.open().unwrap()).collect();
        thread::scope(|scope| {
            for mut stream in &streams {
                // Together more than the kernel's buffers hold.
                scope.spawn(move || stream.write_all(&[0; 1 << 20]).unwrap_err());
            }
            connection.close();
            connection.close();
        });
        assert!(connection.is_closed());
    });
}

/// The close returns within its timeout, while idle and during a transfer. The transfer
/// ends with an error.
#[test]
fn closing_a_wire_returns_though_its_peer_is_unresponsive() {
    within(SOON, || {
        let stalled = ScriptedServer::listen(Peer::confirm_session);
        let start = || {
            let client = Wire::join(stalled.addr.to_string());
            let client = client.session_close_timeout(Duration::from_millis(500));
            let client = client.build().unwrap();
            client.start().unwrap();
            client
        };
        let (idle, busy) = (start(), start());
        let session = busy.wait_session(PATIENCE).unwrap();
        // Together their windows exceed the kernel's buffers.
        let streams: Vec<_> = (0..32)
            .map(|_| session.open_stream_nowait("anything").unwrap())
            .collect();
        thread::scope(|scope| {
            for stream in &streams {
                scope.spawn(move || write_until_error(stream).unwrap_err());
            }
            // It has no streams to cut.
            scope.spawn(|| idle.close().unwrap());
            let cut = busy.close().unwrap_err();
            assert_eq!(cut.sessions[0].streams, streams.len());
            busy.close().unwrap();
        });
    });
}
