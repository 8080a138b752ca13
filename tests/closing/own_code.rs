//! A close that is called from code that the wire itself runs (a handler, a hook,
//! a validator, ...) does not wait for that code.

use super::{LateWire, NEVER, SHORT, SOON};
use crate::support::{
    PATIENCE,
    peer::{Peer, ScriptedServer},
    refusing::Refusing,
    threads,
    wires::{Link, addr_of, joining, mounting, started},
    within,
};
use crossbeam_channel::{Receiver, bounded};
use std::{
    io::{self, Read},
    sync::Arc,
    time::Duration,
};
use wirenet::{Builder, Error, ShutdownError, Wire};

/// Returns a function that waits for the wire and closes it, and the receiver of
/// the first call's result.
fn closer() -> (
    LateWire,
    impl Fn() + Clone + Send + Sync + 'static,
    Receiver<Result<(), ShutdownError>>,
) {
    let late = LateWire::default();
    let wire = Arc::clone(&late);
    let (sender, outcomes) = bounded(1);
    let close = move || {
        // It may be called again while the first call is still running.
        let _ = sender.try_send(wire.wait().close());
    };
    (late, close, outcomes)
}

/// Checks that the wire closes gracefully when `provoke` makes its own code call
/// the closer.
fn assert_closes(
    builder: Builder,
    late: &LateWire,
    outcomes: &Receiver<Result<(), ShutdownError>>,
    provoke: impl FnOnce(&Wire),
) {
    assert_returns(builder, late, outcomes, provoke).unwrap();
}

/// Like [`assert_closes`], but the close may have to cut streams. Returns its
/// result.
fn assert_returns(
    builder: Builder,
    late: &LateWire,
    outcomes: &Receiver<Result<(), ShutdownError>>,
    provoke: impl FnOnce(&Wire),
) -> Result<(), ShutdownError> {
    let wire = builder.build().unwrap();
    late.set(wire.clone()).unwrap();
    // A client may be closed before it has started.
    let _ = wire.start();
    provoke(&wire);
    let outcome = outcomes.recv_timeout(SOON).unwrap();
    assert_eq!(wire.wait().is_err(), outcome.is_err());
    // This call waits for the thread of the first one.
    wire.close().unwrap();
    assert!(wire.sessions().is_empty());
    assert!(matches!(wire.start(), Err(Error::Closed)));
    outcome
}

fn client_of(wire: &Wire) -> Wire {
    joining(wire).retry_max(0).build().unwrap()
}

#[test]
fn a_handler_may_close_its_wire() {
    within(SOON, || {
        let (late, close, outcomes) = closer();
        let builder = mounting().stream("close", move |_| {
            close();
            Ok(())
        });
        let mut client = None;
        assert_closes(builder, &late, &outcomes, |wire| {
            let caller = client_of(wire);
            caller.start().unwrap();
            let session = caller.wait_session(PATIENCE).unwrap();
            let _ = session.open_stream_nowait("close").unwrap();
            client = Some(caller);
        });
    });
}

/// Neither close waits for the handler's own stream.
#[test]
fn a_handler_may_close_its_session_or_its_wire_through_the_stream() {
    within(2 * SOON, || {
        for close_wire in [true, false] {
            let (outcome, outcomes) = bounded(1);
            let link = Link::new(
                |server| {
                    server
                        .session_close_timeout(NEVER)
                        .stream("close", move |stream| {
                            let session = stream.session();
                            let closed = match close_wire {
                                true => session.close_wire(),
                                false => session.close(),
                            };
                            assert!(session.is_closed());
                            outcome.send(closed).unwrap();
                            Ok(())
                        })
                },
                |client| client.retry_max(0),
            );
            let stream = link.near.open_stream_nowait("close").unwrap();
            outcomes.recv_timeout(SOON).unwrap().unwrap();
            drop(stream);
            assert!(link.server.start().is_err());
        }
    });
}

/// Each close waits for no handler, as all of them are closing the wire.
#[test]
fn many_handlers_may_close_their_wire_at_once() {
    within(2 * SOON, || {
        let (outcome, outcomes) = bounded(8);
        let (meet, met) = bounded::<()>(0);
        let link = Link::new(
            |server| {
                server.stream("close", move |stream| {
                    // Until all handlers run.
                    let _ = met.recv();
                    outcome.send(stream.session().close_wire()).unwrap();
                    Ok(())
                })
            },
            |client| client.retry_max(0),
        );
        let _streams = [(); 4].map(|()| link.near.open_stream("close").unwrap());
        drop(meet);
        for _ in 0..4 {
            outcomes.recv_timeout(SOON).unwrap().unwrap();
        }
    });
}

#[test]
fn a_session_hook_may_close_its_wire() {
    for ending in [false, true] {
        within(SOON, move || {
            let (late, close, outcomes) = closer();
            let builder = match ending {
                false => mounting().on_session_open(move |_| close()),
                true => mounting().on_session_close(move |_| close()),
            };
            assert_closes(builder, &late, &outcomes, |wire| {
                let client = client_of(wire);
                // The session may be cut before it is established.
                let _ = client.start();
                client.close().unwrap();
            });
        });
    }
}

#[test]
fn a_clients_session_hook_may_close_its_wire() {
    for ending in [false, true] {
        within(SOON, move || {
            let server = started(mounting());
            let (late, close, outcomes) = closer();
            let builder = match ending {
                false => joining(&server).on_session_open(move |_| close()),
                true => joining(&server).on_session_close(move |_| close()),
            };
            assert_closes(builder, &late, &outcomes, |_| {
                if let Ok(session) = server.wait_session(SHORT) {
                    session.abort();
                }
            });
        });
    }
}

#[test]
fn on_connect_may_close_the_wire_of_either_side() {
    within(SOON, || {
        let server = started(mounting());
        for builder in [mounting(), joining(&server)] {
            let (late, close, outcomes) = closer();
            let builder = builder.on_connect(move |_| close());
            assert_closes(builder, &late, &outcomes, |_| {});
        }
    });
}

/// The error handler runs on a handler's thread, on a handshake's, or on the one
/// that reads the session.
#[test]
fn the_error_handler_may_close_the_wire() {
    type Provoke = fn(&Wire) -> Wire;
    let provoking: [Provoke; 4] = [
        // A handler fails.
        |wire| {
            let client = client_of(wire);
            client.start().unwrap();
            let _ = client.sessions()[0].open_stream_nowait("bad").unwrap();
            client
        },
        // A stream is refused.
        |wire| {
            let client = client_of(wire);
            client.start().unwrap();
            let _ = client.sessions()[0].open_stream_nowait("missing").unwrap();
            client
        },
        // The handler limit is reached.
        |wire| {
            let client = client_of(wire);
            let session = client.start_within(PATIENCE).unwrap();
            let running = session.open_stream("wait").unwrap();
            let mut refused = session.open_stream_nowait("wait").unwrap();
            // Waits for the refusal, so that the first stream still occupies the
            // handler.
            refused.read(&mut [0]).unwrap_err();
            drop((running, refused));
            client
        },
        // A handshake fails.
        |wire| {
            let addr = addr_of(wire);
            let mut unauthenticated = std::net::TcpStream::connect(addr).unwrap();
            io::Write::write_all(&mut unauthenticated, b"x").unwrap();
            drop(unauthenticated);
            client_of(wire)
        },
    ];
    for provoke in provoking {
        within(SOON, move || {
            let (late, close, outcomes) = closer();
            let builder = mounting()
                .handler_limit(1)
                .session_close_timeout(PATIENCE)
                .on_error(move |_| close())
                .stream("bad", |_| Err(io::Error::other("bad")))
                .stream("wait", |stream| {
                    // Until the client is gone.
                    let _ = io::copy(stream, &mut io::sink());
                    Ok(())
                });
            let mut client = None;
            // If the close blocks the session's reader, streams may be cut.
            let _ = assert_returns(builder, &late, &outcomes, |wire| {
                client = Some(provoke(wire))
            });
        });
    }
}

#[test]
fn the_error_handler_of_a_client_may_close_it_when_a_session_is_lost_or_a_dial_fails() {
    within(2 * SOON, || {
        let refusing = Refusing::new();
        let (late, close, outcomes) = closer();
        let builder = Wire::join(refusing.addr).on_error(move |_| close());
        assert_closes(builder, &late, &outcomes, |_| {});

        let server = ScriptedServer::listen(Peer::confirm_session);
        let (late, close, outcomes) = closer();
        let builder = Wire::join(server.addr.to_string()).on_error(move |_| close());
        assert_closes(builder, &late, &outcomes, |wire| {
            let session = wire.wait_session(PATIENCE).unwrap();
            let _cut_in_the_middle = session.open_stream_nowait("any").unwrap();
            drop(server.accepted.recv().unwrap());
            session.open_stream("any").unwrap_err();
        });
    });
}

#[test]
fn a_validator_may_close_the_wire() {
    for name in ["confirmSession", "any"] {
        within(SOON, move || {
            let (late, close, outcomes) = closer();
            let builder = mounting().token_validator(move |asked, _, _| {
                if asked == name {
                    close();
                }
                Ok(())
            });
            let mut client = None;
            assert_closes(builder, &late, &outcomes, |wire| {
                let caller = client_of(wire);
                if caller.start().is_ok() {
                    let _ = caller.sessions()[0].open_stream_nowait("any");
                }
                client = Some(caller);
            });
        });
    }
}

#[test]
fn a_retry_policy_may_close_the_wire() {
    within(SOON, || {
        let server = started(mounting());
        let (late, close, outcomes) = closer();
        let builder = joining(&server).retry_policy(move |_| {
            close();
            Some(NEVER)
        });
        assert_closes(builder, &late, &outcomes, |_| {
            server.wait_session(PATIENCE).unwrap().abort();
        });
    });
}

/// Each hook closes its wire, which waits for the session, and so for the hook of the
/// peer. Neither may wait forever.
#[test]
fn two_hooks_may_close_two_wires_of_one_session() {
    within(SOON, || {
        let (outcome, outcomes) = bounded(2);
        let also = outcome.clone();
        let server = started(mounting().on_session_open(move |session| {
            outcome.send(session.close_wire()).unwrap();
        }));
        let client = joining(&server)
            .retry_max(0)
            .on_session_open(move |session| {
                also.send(session.close_wire()).unwrap();
            });
        let client = client.build().unwrap();
        // The session may be closed before it is established.
        if client.start().is_ok() {
            outcomes.recv_timeout(SOON).unwrap().unwrap();
        }
        outcomes.recv_timeout(SOON).unwrap().unwrap();
        server.close().unwrap();
        client.close().unwrap();
    });
}

// -- dropping the last handle --

#[test]
fn dropping_the_last_handle_closes_the_wire() {
    within(SOON, || {
        let server = started(mounting().thread_name("la-srv"));
        let addr = addr_of(&server);
        let client = started(joining(&server).retry_max(0).thread_name("la-cli"));
        let session = client.wait_session(PATIENCE).unwrap();
        let second = client.clone();
        drop(client);
        assert!(!session.is_closed() && second.sessions().len() == 1);
        drop(second);
        assert!(session.is_closed());
        threads::await_none("la-cli");
        drop(server);
        threads::await_none("la-srv");
        std::net::TcpStream::connect(addr).unwrap_err();
        // The session's handle remains usable, and has no effect.
        session.close().unwrap();
        session.close_wire().unwrap();
        session.abort();
        session.open_stream("any").unwrap_err();
    });
}

#[test]
fn dropping_the_last_handle_lets_running_streams_end() {
    within(SOON, || {
        let (read, reads) = bounded(1);
        let server = mounting().stream("take", move |stream| {
            read.send(crate::support::wires::message(stream)).unwrap();
            Ok(())
        });
        let server = started(server);
        let client = started(joining(&server).session_close_timeout(NEVER));
        let session = client.wait_session(PATIENCE).unwrap();
        let stream = session.open_stream("take").unwrap();
        let dropping = std::thread::spawn(move || drop(client));
        super::await_closing(&session);
        stream.write_message(b"the last message").unwrap();
        assert_eq!(reads.recv().unwrap().unwrap(), b"the last message");
        drop(stream);
        dropping.join().unwrap();
    });
}

#[test]
fn the_last_handle_may_be_dropped_in_a_hook_or_a_handler() {
    within(SOON, || {
        let (give, given) = bounded::<Wire>(1);
        let (gone, goes) = bounded(1);
        let server = started(mounting().thread_name("la-hnd").stream("drop", move |_| {
            drop(given.recv().unwrap());
            gone.send(()).unwrap();
            Ok(())
        }));
        let client = started(joining(&server).retry_max(0));
        let stream = client.sessions()[0].open_stream("drop").unwrap();
        give.send(server).unwrap();
        goes.recv_timeout(SOON).unwrap();
        client.wait().unwrap();
        drop(stream);
        threads::await_none("la-hnd");
    });
}

/// A clone that a hook keeps is a handle like any other.
#[test]
fn a_handle_that_on_connect_keeps_keeps_the_wire_open() {
    within(SOON, || {
        let (keep, kept) = bounded(1);
        let server = started(mounting());
        let client = started(joining(&server).on_connect(move |wire| {
            let _ = keep.try_send(wire.clone());
        }));
        let session = client.wait_session(PATIENCE).unwrap();
        let kept = kept.recv().unwrap();
        drop(client);
        assert!(!session.is_closed());
        drop(kept);
        // The hook may still have to drop its own handle, as the last one.
        while !session.is_closed() {
            std::thread::yield_now();
        }
    });
}

#[test]
fn a_closed_wire_leaves_no_threads() {
    within(SOON + Duration::from_secs(2), || {
        let server = started(
            mounting()
                .thread_name("no-srv")
                .stream("echo", crate::support::wires::echo),
        );
        let clients: Vec<Wire> = (0..8)
            .map(|_| started(joining(&server).thread_name("no-cli")))
            .collect();
        for client in &clients {
            crate::support::wires::assert_echoes(&client.sessions()[0]);
        }
        assert!(threads::named("no-cli").len() >= clients.len());
        server.close().unwrap();
        threads::await_none("no-srv");
        clients.iter().for_each(|client| client.close().unwrap());
        threads::await_none("no-cli");
    });
}

#[test]
fn a_handler_that_gets_the_wire_from_its_session_does_not_keep_it_open() {
    within(SOON, || {
        let (tell, told) = bounded(1);
        let server = mounting().stream("wire", move |stream| {
            let wire = stream.session().wire().expect("there is a handle");
            tell.send((wire.local_addr(), stream.session().clone()))
                .unwrap();
            Ok(())
        });
        let server = started(server);
        let addr = server.local_addr();
        let client = client_of(&server);
        let session = client.start_within(PATIENCE).unwrap();
        session.open_stream("wire").unwrap();
        let (late, far) = told.recv().unwrap();
        assert_eq!(late, addr);
        drop(server);
        // The wire has closed, and its handler is dropped.
        assert!(far.wire().is_none());
        assert!(told.recv().is_err());
    });
}
