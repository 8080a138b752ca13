//! `on_connect`, `on_session_open`, `on_session_close`.

use crate::support::{
    PATIENCE, in_time,
    peer::Peer,
    wires::{Link, addr_of, as_it_is, assert_echoes, echo, joining, mounting, started},
};
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use socket2::SockRef;
use std::{collections::HashMap, thread, time::Duration};
use wirenet::{Builder, Error, Operation, RefusalCode, SessionId};

#[test]
fn on_connect_is_called_for_each_session_of_a_client() {
    in_time(|| {
        let (connected, connects) = unbounded();
        let server = started(mounting());
        let client = started(
            joining(&server)
                .retry_policy(|_| Some(Duration::ZERO))
                .on_connect(move |wire| connected.send(wire.local_addr()).unwrap()),
        );
        for _ in 0..5 {
            assert!(connects.recv().unwrap().is_some());
            server.wait_session(PATIENCE).unwrap().abort();
        }
        drop(client);
    });
}

#[test]
fn on_connect_is_called_once_when_a_server_starts_to_listen() {
    in_time(|| {
        let (connected, connects) = unbounded();
        let server = started(mounting().on_connect(move |wire| {
            connected.send(wire.local_addr()).unwrap();
        }));
        assert_eq!(connects.recv().unwrap(), Some(addr_of(&server)));
        for _ in 0..3 {
            started(joining(&server)).close().unwrap();
        }
        server.close().unwrap();
        drop(server);
        connects.recv().unwrap_err();
    });
}

#[test]
fn on_connect_may_close_the_wire() {
    in_time(|| {
        let server = started(mounting());
        for builder in [joining(&server), mounting()] {
            let (closed, closes) = bounded(1);
            let hooked = builder.on_connect(move |wire| closed.send(wire.close()).unwrap());
            let wire = hooked.build().unwrap();
            wire.connect().unwrap();
            closes.recv().unwrap().unwrap();
            assert!(matches!(wire.connect(), Err(Error::Closed)));
        }
    });
}

/// The hook that was called, and its session.
type Event = (&'static str, SessionId);

/// Records the hooks of each session of a side.
fn recording(builder: Builder) -> (Builder, Receiver<Event>) {
    let (sender, events) = unbounded();
    let also = sender.clone();
    let builder = builder
        .on_session_open(move |session| sender.send(("open", session.id())).unwrap())
        .on_session_close(move |session| also.send(("close", session.id())).unwrap());
    (builder, events)
}

#[test]
fn each_session_hook_is_called_once_and_open_before_close() {
    const SESSIONS: usize = 20;

    in_time(|| {
        let (serving, events) = recording(mounting());
        let server = started(serving);
        thread::scope(|scope| {
            for number in 0..SESSIONS {
                let server = &server;
                scope.spawn(move || {
                    let (client, events) = recording(joining(server));
                    let client = started(client);
                    let session = client.wait_session(PATIENCE).unwrap();
                    match number % 2 {
                        0 => session.abort(),
                        _ => session.close().unwrap(),
                    }
                    client.close().unwrap();
                    drop(client);
                    let hooks: Vec<&str> = events.iter().map(|(name, _)| name).collect();
                    // The client may have reconnected in between.
                    assert_eq!(hooks[..2], ["open", "close"]);
                });
            }
        });
        let mut by_session: HashMap<SessionId, Vec<&str>> = HashMap::new();
        let mut note = |(name, id)| by_session.entry(id).or_default().push(name);
        // A client may end a session before the server has listed it.
        for _ in 0..2 * SESSIONS {
            note(events.recv_timeout(PATIENCE).unwrap());
        }
        server.close().unwrap();
        drop(server);
        events.iter().for_each(note);
        assert!(by_session.len() >= SESSIONS);
        for hooks in by_session.values() {
            assert_eq!(hooks[..], ["open", "close"]);
        }
    });
}

#[test]
fn on_session_close_waits_for_on_session_open() {
    in_time(|| {
        let (event, events) = unbounded();
        let (release, released) = bounded::<()>(0);
        let (entered, has_entered) = bounded(1);
        let also = event.clone();
        let server = started(
            mounting()
                .on_session_open(move |session| {
                    entered.send(session.clone()).unwrap();
                    assert!(released.recv().is_err());
                    event.send("open returns").unwrap();
                })
                .on_session_close(move |_| also.send("close").unwrap()),
        );
        let client = started(joining(&server));
        let session = has_entered.recv().unwrap();
        client.close().unwrap();
        assert!(session.close().is_ok() && session.is_closed());
        drop(release);
        assert_eq!(events.recv().unwrap(), "open returns");
        assert_eq!(events.recv().unwrap(), "close");
    });
}

#[test]
fn a_hook_may_use_its_session() {
    in_time(|| {
        let (event, events) = unbounded();
        let also = event.clone();
        let server = started(mounting().stream("echo", echo));
        let _client = started(
            joining(&server)
                .retry_max(0)
                .on_session_open(move |session| {
                    assert_echoes(session);
                    event.send("an echo").unwrap();
                    session.close().unwrap();
                })
                .on_session_close(move |session| {
                    assert!(session.is_closed() && session.open_stream("echo").is_err());
                    assert!(session.stats().bytes_sent > 0);
                    session.close().unwrap();
                    also.send("an end").unwrap();
                }),
        );
        assert_eq!(events.recv().unwrap(), "an echo");
        assert_eq!(events.recv().unwrap(), "an end");
    });
}

fn panicking(builder: Builder, told: Sender<(Operation, String)>) -> Builder {
    builder
        .on_connect(|_| panic!("in the first"))
        .on_session_open(|_| panic!("in the second"))
        .on_session_close(|_| panic!("in the third"))
        .on_error(move |error| {
            let report = (error.operation.clone(), error.cause.to_string());
            told.send(report).unwrap();
        })
}

#[test]
fn a_panic_in_a_hook_is_caught_and_reported() {
    in_time(|| {
        let (told, errors) = unbounded();
        let link = Link::new(
            |server| server.stream("echo", echo),
            |client| panicking(client, told),
        );
        assert_echoes(&link.near);
        link.client.close().unwrap();
        drop(link);
        let mut panics: Vec<_> = errors.iter().collect();
        panics.sort_by_key(|(_, text)| text.clone());
        let expected = [
            ("on_connect", "panicked: in the first"),
            ("on_session_open", "panicked: in the second"),
            ("on_session_close", "panicked: in the third"),
        ];
        let expected = expected.map(|(hook, text)| (Operation::Hook(hook), text.to_owned()));
        assert_eq!(panics, expected);
    });
}

#[test]
fn a_refused_session_calls_no_hooks_and_is_not_listed() {
    in_time(|| {
        let (serving, at_server) = recording(mounting());
        let refuse = |_: &str, _: &[u8], _: &[u8]| Err("not you".into());
        let server = started(serving.token_validator(refuse));
        let (client, at_client) = recording(joining(&server));
        let (connected, connects) = bounded::<()>(1);
        let client = client.on_connect(move |_| connected.send(()).unwrap());
        let client = client.build().unwrap();
        client.start().unwrap_err();
        assert!(client.sessions().is_empty() && server.sessions().is_empty());
        assert_eq!((client.stats().sessions, server.stats().sessions), (0, 0));
        client.close().unwrap();
        server.close().unwrap();
        drop((client, server));
        at_server.recv().unwrap_err();
        at_client.recv().unwrap_err();
        connects.recv().unwrap_err();
    });
}

#[test]
fn hooks_of_different_sessions_run_concurrently() {
    in_time(|| {
        let (meet, met) = bounded::<()>(0);
        let server = started(mounting().on_session_open(move |_| {
            // Each of the two hooks waits for the other.
            crossbeam_channel::select! {
                send(meet, ()) -> sent => sent.unwrap(),
                recv(met) -> received => received.unwrap(),
            }
        }));
        let link = Link::new(as_it_is, as_it_is);
        let clients = [started(joining(&server)), started(joining(&server))];
        // A close waits for all hooks.
        clients.iter().for_each(|client| client.close().unwrap());
        server.close().unwrap();
        drop(link);
    });
}

/// The user's code that runs for a session, which may have ended by then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Called {
    Open,
    Close,
    Error,
}

/// So a client that connects and disconnects repeatedly cannot cause more of this code
/// to run at once than there may be sessions.
#[test]
fn a_session_counts_towards_the_limit_until_the_users_code_has_returned() {
    in_time(|| {
        for called in [Called::Open, Called::Close, Called::Error] {
            let (enter, entered) = unbounded();
            let (release, released) = bounded::<()>(0);
            let block = move || {
                enter.send(()).unwrap();
                // Until it is released.
                let _ = released.recv();
            };
            let server = mounting().max_sessions(2);
            let server = started(match called {
                Called::Open => server.on_session_open(move |_| block()),
                Called::Close => server.on_session_close(move |_| block()),
                Called::Error => server.on_error(move |error| {
                    if error.operation == Operation::Session {
                        block();
                    }
                }),
            });
            for number in 1..=2 {
                let client = Peer::join(&server, [number; 16]);
                let session = server.wait_session(PATIENCE).unwrap();
                let abrupt = Some(Duration::ZERO);
                SockRef::from(client.socket()).set_linger(abrupt).unwrap();
                drop(client);
                entered.recv().unwrap();
                // The session is no longer listed, though the code is running.
                session.close().unwrap();
                assert!(server.sessions().is_empty(), "{called:?}");
            }
            let refused = joining(&server).retry_max(0).build().unwrap().start();
            let Err(Error::SessionRefused { code, .. }) = refused else {
                panic!("{called:?}: {refused:?}");
            };
            assert_eq!(code, Some(RefusalCode::TooManySessions));
            drop(release);
            let soon = Duration::from_millis(10);
            let _back = started(joining(&server).retry_wait(soon, soon));
        }
    });
}
