//! Closing: it wakes every waiter, can be done twice, and returns in its time
//! whatever the peer does.

use crate::support::{
    PATIENCE,
    peer::{Peer, ScriptedServer},
    tls,
    wires::{Link, message},
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

/// More than a close takes where nobody has to be waited for, and less than
/// any timeout that would end a wait too.
const SOON: Duration = Duration::from_secs(8);

/// A server with an echo, a handler that does nothing, and a validator that
/// keeps `slow` waiting; both until the sender is dropped, before the link is.
/// A close of either side cuts what runs.
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

/// Runs `blocked` on a thread, and `end` when it has begun to wait; what it
/// failed with.
fn woken<T: Debug + Send, E: Send>(
    session: &Session,
    blocked: impl FnOnce() -> Result<T, E> + Send,
    end: impl FnOnce(),
) -> E {
    let (sender, begun) = bounded(1);
    thread::scope(|scope| {
        let waiter = scope.spawn(move || {
            sender.send(()).expect("it is waited for");
            blocked()
        });
        begun.recv().expect("it begins");
        // Two round trips later it waits, if the machine is not all too busy.
        let stream = session.open_stream("echo").unwrap();
        stream.write_message(b"there and back").unwrap();
        message(&stream).unwrap();
        end();
        let outcome = waiter.join().expect("no panic");
        outcome.expect_err("what it waits for does not come")
    })
}

fn read(mut stream: &Stream) -> io::Result<usize> {
    stream.read(&mut [0; 8])
}

fn write_on(mut stream: &Stream) -> io::Result<()> {
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

/// A read that waits fails when the session ends, whoever ends it.
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

/// So does a write.
#[test]
fn closing_a_session_wakes_a_blocked_write() {
    within(SOON, || {
        for end in ENDS {
            let (link, _release) = link();
            let stream = link.near.open_stream("idle").unwrap();
            woken(&link.near, || write_on(&stream), || end(&link));
        }
    });
}

/// So does an open that waits for its answer.
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

/// Closing a stream wakes the thread that reads it and the one that writes it.
#[test]
fn closing_a_stream_wakes_its_reader_and_its_writer() {
    // An error where a thread is writing: its message does not end by it.
    let ends: [fn(&Stream); 2] = [|stream| drop(stream.close()), Stream::reset];
    within(SOON, move || {
        for end in ends {
            let (link, _release) = link();
            let open = || link.near.open_stream("idle").unwrap();
            let stream = open();
            woken(&link.near, || read(&stream), || end(&stream));
            let stream = open();
            woken(&link.near, || write_on(&stream), || end(&stream));
            assert!(stream.is_closed() && !link.near.is_closed());
        }
    });
}

/// A thread that waits for a session is woken when there will be none.
#[test]
fn closing_a_wire_wakes_who_waits_for_a_session() {
    within(SOON, || {
        let server = Wire::mount("127.0.0.1:0").build().unwrap();
        server.start().unwrap();
        let waiting = server.clone();
        let waiter = thread::spawn(move || waiting.wait_session(PATIENCE));
        server.close().unwrap();
        assert!(matches!(waiter.join().unwrap(), Err(Error::Closed)));
    });
}

/// `connect` returns on both sides when its wire is closed; that is no error.
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
        // Closed before it could begin, or while it accepted.
        let outcome = acceptor.join().unwrap();
        assert!(
            matches!(outcome, Ok(()) | Err(Error::Closed)),
            "{outcome:?}"
        );
    });
}

/// On a bare connection, `accept` and an open that waits for others to be
/// acknowledged.
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
        // What the server had not accepted yet is there; then comes the end.
        let ended = || (0..=4).find_map(|_| server.accept().err());
        assert!(ended().is_some());
    });
}

/// Everything that can be closed can be closed again, also at the same time.
#[test]
fn closing_twice_is_closing_once() {
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

/// A client whose server says nothing is closed at once: the call that waits
/// for the session fails long before its own timeout.
#[test]
fn closing_wakes_a_client_whose_server_does_not_answer() {
    within(SOON, || {
        let silent = ScriptedServer::silent();
        let client = Wire::join(silent.addr.to_string()).handshake_timeout(PATIENCE * 2);
        let client = client.build().unwrap();
        let starting = client.clone();
        let starter = thread::spawn(move || starting.start());
        // It has dialled, and asked.
        let mut connection = silent.accepted.recv().unwrap();
        connection.read_request().unwrap();
        client.close().unwrap();
        client.close().unwrap();
        assert!(matches!(starter.join().unwrap(), Err(Error::Closed)));
    });
}

/// Nobody waits for a server that says nothing longer than the handshake may
/// take.
#[test]
fn a_server_that_does_not_answer_is_given_up() {
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

/// A connection closes within its write timeout when the peer takes nothing
/// and answers nothing, and wakes the write that is blocked in the transport.
#[test]
fn closing_a_connection_returns_though_the_peer_takes_nothing() {
    within(SOON, || {
        let silent = ScriptedServer::silent();
        let socket = TcpStream::connect(silent.addr).unwrap();
        let config = Config::default().write_timeout(Duration::from_millis(500));
        let connection = Connection::client(socket, config).unwrap();
        let streams: Vec<_> = (0..32).map(|_| connection.open().unwrap()).collect();
        thread::scope(|scope| {
            for mut stream in &streams {
                // Together more than the kernel's buffers take.
                scope.spawn(move || stream.write_all(&[0; 1 << 20]).unwrap_err());
            }
            connection.close();
            connection.close();
        });
        assert!(connection.is_closed());
    });
}

/// A wire closes within its timeout though its peer has stopped, be it idle or
/// in the middle of a transfer; the transfer ends with an error.
#[test]
fn closing_a_wire_returns_though_its_peer_has_stopped() {
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
        // Together their windows are more than the kernel's buffers take.
        let streams: Vec<_> = (0..32)
            .map(|_| session.open_stream_nowait("anything").unwrap())
            .collect();
        thread::scope(|scope| {
            for stream in &streams {
                scope.spawn(move || write_on(stream).unwrap_err());
            }
            // It had nothing to lose.
            scope.spawn(|| idle.close().unwrap());
            let cut = busy.close().unwrap_err();
            assert_eq!(cut.sessions[0].streams, streams.len());
            busy.close().unwrap();
        });
    });
}
