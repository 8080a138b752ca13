//! `connect` and `wait` return when a close is complete, with the close's result.

use super::{LateWire, NEVER, SHORT, SOON, await_closing};
use crate::support::{
    PATIENCE,
    refusing::Refusing,
    wires::{Link, addr_of, as_it_is, joining, message, mounting, started},
    within,
};
use crossbeam_channel::{Receiver, RecvTimeoutError, bounded, unbounded};
use std::{io::Read, sync::Arc, thread, time::Duration};
use wirenet::{Builder, Error, Operation, Session, ShutdownError, Wire};

/// Runs `connect` on a thread of its own. The receiver gets its result.
fn connecting(wire: &Wire) -> Receiver<Result<(), Error>> {
    let (end, ended) = bounded(1);
    let wire = wire.clone();
    thread::spawn(move || end.send(wire.connect()));
    ended
}

fn waiting(wire: &Wire) -> Receiver<Result<(), ShutdownError>> {
    let (end, ended) = bounded(1);
    let wire = wire.clone();
    thread::spawn(move || end.send(wait(&wire)));
    ended
}

/// Waits for the wire's end, and returns what a close has cut.
fn wait(wire: &Wire) -> Result<(), ShutdownError> {
    wire.wait().map_err(|error| match error {
        Error::Shutdown(cut) => cut,
        other => panic!("not the error of a close: {other}"),
    })
}

/// A wire, the receiver of its `connect`'s result, and its session.
type Side = (Wire, Receiver<Result<(), Error>>, Session);

/// A server and a client that are both in `connect`. The server has a handler that
/// runs until the caller ends its message.
fn connected(set: fn(Builder) -> Builder) -> [Side; 2] {
    let server = set(mounting()).stream("until the end", |stream| {
        message(stream)?;
        stream.write_message(b"all of it arrived")
    });
    let server = server.build().unwrap();
    let serving = connecting(&server);
    // There is no other way to see that the server listens.
    while server.local_addr().is_none() {
        thread::yield_now();
    }
    let client = set(joining(&server)).retry_max(0).build().unwrap();
    let dialling = connecting(&client);
    let near = client.wait_session(PATIENCE).unwrap();
    let far = server.wait_session(PATIENCE).unwrap();
    [(server, serving, far), (client, dialling, near)]
}

#[test]
fn connect_returns_after_the_running_streams_have_ended() {
    within(SOON, || {
        for closes in [0, 1] {
            let sides = connected(|builder| builder.session_close_timeout(NEVER));
            let near = &sides[1].2;
            let stream = near.open_stream("until the end").unwrap();
            let waits = waiting(&sides[closes].0);
            let closing = sides[closes].0.clone();
            let closing = thread::spawn(move || closing.close());
            await_closing(near);
            let (wire, connect, _) = &sides[closes];
            let early = connect.recv_timeout(SHORT);
            assert!(matches!(early, Err(RecvTimeoutError::Timeout)), "{early:?}");
            assert!(waits.is_empty());
            stream.write_message(b"the end").unwrap();
            assert_eq!(message(&stream).unwrap(), b"all of it arrived");
            drop(stream);
            closing.join().unwrap().unwrap();
            connect.recv_timeout(PATIENCE).unwrap().unwrap();
            waits.recv_timeout(PATIENCE).unwrap().unwrap();
            wire.wait().unwrap();
            sides[1 - closes].0.close().unwrap();
        }
    });
}

#[test]
fn connect_and_wait_return_the_error_of_the_close() {
    within(SOON, || {
        for closes in [0, 1] {
            let sides = connected(|builder| builder.session_close_timeout(SHORT));
            let _stream = sides[1].2.open_stream("until the end").unwrap();
            let (wire, connect, session) = &sides[closes];
            let waits = waiting(wire);
            let error = wire.close().unwrap_err();
            assert_eq!(error.sessions[0].id, session.id());
            assert_eq!(waits.recv_timeout(PATIENCE).unwrap(), Err(error.clone()));
            match connect.recv_timeout(PATIENCE).unwrap() {
                Err(Error::Shutdown(told)) => assert_eq!(told, error),
                other => panic!("expected the close's error, got {other:?}"),
            }
            assert_eq!(wait(wire), Err(error), "later calls return it too");
        }
    });
}

/// Checks that `connect` returns when `provoke` makes the wire's own code close
/// the wire.
fn assert_connect_returns(wire: Wire, late: &LateWire, provoke: impl FnOnce(&Wire)) {
    let connect = connecting(&wire);
    late.set(wire.clone()).unwrap();
    provoke(&wire);
    // A client may be closed before its session is established.
    match connect.recv_timeout(SOON).unwrap() {
        Ok(()) | Err(Error::Closed) => {}
        other => panic!("{other:?}"),
    }
    assert!(matches!(wire.start(), Err(Error::Closed)));
}

/// Connects a client to a server that is in `connect`.
fn join(server: &Wire) -> Wire {
    while server.local_addr().is_none() {
        thread::yield_now();
    }
    started(joining(server).retry_max(0).on_error(|_| {}))
}

#[test]
fn connect_returns_after_a_close_from_a_handler_a_hook_a_validator_or_the_error_handler() {
    within(PATIENCE, || {
        let late = LateWire::default();
        let close = {
            let late = Arc::clone(&late);
            move || late.wait().close().unwrap()
        };
        let server = mounting().stream("close", move |_| {
            close();
            Ok(())
        });
        assert_connect_returns(server.build().unwrap(), &late, |server| {
            let client = join(server);
            let _ = client.sessions()[0].open_stream("close").map(|mut stream| {
                let _ = stream.read(&mut [0]);
            });
        });

        let places: [fn(Builder, LateWire) -> Builder; 4] = [
            |server, late| server.on_session_open(move |_| drop(late.wait().close())),
            |server, late| {
                server.token_validator(move |_, _, _| {
                    let _ = late.wait().close();
                    Ok(())
                })
            },
            |server, late| {
                let refusing = server.token_validator(|_, _, _| Err("no".into()));
                refusing.on_error(move |_| drop(late.wait().close()))
            },
            |server, late| server.on_connect(move |_| drop(late.wait().close())),
        ];
        for place in places {
            let late = LateWire::default();
            let server = place(mounting(), Arc::clone(&late)).build().unwrap();
            assert_connect_returns(server, &late, |server| {
                while server.local_addr().is_none() {
                    thread::yield_now();
                }
                let _ = joining(server).retry_max(0).build().unwrap().start();
            });
        }
    });
}

/// The error handler and the retry policy of a client run inside `connect`.
#[test]
fn connect_returns_after_a_close_from_its_own_thread() {
    within(SOON, || {
        let refusing = Refusing::new();
        let addr = refusing.addr.to_string();
        let late = LateWire::default();
        let in_policy = Arc::clone(&late);
        let client = Wire::join(&addr).retry_policy(move |_| {
            in_policy.wait().close().unwrap();
            Some(Duration::ZERO)
        });
        assert_connect_returns(client.build().unwrap(), &late, |_| {});

        let late = LateWire::default();
        let in_handler = Arc::clone(&late);
        let client = Wire::join(&addr).on_error(move |_| in_handler.wait().close().unwrap());
        assert_connect_returns(client.build().unwrap(), &late, |_| {});
    });
}

#[test]
fn a_handler_may_wait_for_a_close_that_waits_for_handlers() {
    within(SOON, || {
        let (give_wire, given_wire) = bounded::<Wire>(1);
        let (tell, told) = unbounded();
        let link = Link::new(
            |server| {
                let server = server.session_close_timeout(SHORT);
                server.stream("wait", move |_| {
                    let wire = given_wire.recv().expect("the wire");
                    tell.send(None).unwrap();
                    tell.send(Some(wait(&wire))).unwrap();
                    Ok(())
                })
            },
            as_it_is,
        );
        give_wire.send(link.server.clone()).unwrap();
        let _stream = link.near.open_stream("wait").unwrap();
        assert_eq!(told.recv().unwrap(), None);
        let error = link.server.close().unwrap_err();
        assert_eq!((error.sessions.len(), error.running), (1, 0));
        assert_eq!(told.recv().unwrap(), Some(Err(error)));
    });
}

#[test]
fn streams_cut_by_dropping_the_last_handle_are_reported_to_the_error_handler() {
    within(SOON, || {
        let (tell, told) = unbounded();
        let server = mounting().stream("stuck", |stream| {
            // Until the stream is cut.
            let _ = stream.read(&mut [0]);
            Ok(())
        });
        let server = server.session_close_timeout(SHORT).on_error(move |error| {
            let _ = tell.send((error.operation.clone(), error.cause.to_string()));
        });
        let server = started(server);
        let client = Wire::join(addr_of(&server).to_string()).retry_max(0);
        let client = started(client.on_error(|_| {}));
        let _stream = client.sessions()[0].open_stream("stuck").unwrap();
        drop(server);
        let told: Vec<_> = told.iter().collect();
        let close = told
            .iter()
            .find(|(operation, _)| *operation == Operation::Close);
        let (_, cause) = close.expect("it is reported");
        assert!(cause.contains("cut 1 stream (\"stuck\")"), "{cause}");
    });
}
