//! A callback that blocks costs the resources that it runs on, and no more.

use super::{CLOSE, CULPRIT, lose_session};
use crate::{
    honest_client::HonestClient,
    server::{Kind, Place, TCP, echo},
    support::{PATIENCE, encoding::field, peer::Peer, threads, within},
};
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use std::{
    io::Read,
    net::{SocketAddr, TcpStream},
};
use wirenet::{Builder, Error, Operation, Session, Wire};

/// Blocks callbacks until its other end is dropped.
#[derive(Clone)]
struct Gate {
    began: Sender<()>,
    blocked: Receiver<()>,
}

impl Gate {
    fn block(&self) {
        // At the end of a test, the receiver may be gone.
        let _ = self.began.send(());
        let _ = self.blocked.recv();
    }
}

/// A server whose callbacks block.
struct Blocking {
    server: Wire,
    addr: SocketAddr,
    /// What the names of its threads begin with. Their purpose follows.
    prefix: String,
    began: Receiver<()>,
    release: Sender<()>,
}

impl Blocking {
    /// The names of its threads begin with a letter for the test, and one for the
    /// place.
    fn start(letter: char, place: Place, set: impl FnOnce(Builder, Gate) -> Builder) -> Self {
        let (release, blocked) = bounded(0);
        let (began, has_begun) = unbounded();
        let (builder, kind) = match place.kind {
            Kind::Mount => (Wire::mount("127.0.0.1:0"), 'm'),
            Kind::Hub => (Wire::hub("127.0.0.1:0"), 'h'),
        };
        let prefix = format!("{letter}{kind}-");
        let builder = builder
            .thread_name(&prefix[..2])
            .session_close_timeout(CLOSE)
            .stream("echo", echo);
        let server = set(builder, Gate { began, blocked }).build().unwrap();
        server.start().unwrap();
        Self {
            addr: server.local_addr().expect("it listens"),
            server,
            prefix,
            began: has_begun,
            release,
        }
    }

    fn await_blocked(&self) {
        self.began
            .recv_timeout(PATIENCE)
            .expect("the callback is called");
    }

    fn join(&self) -> (Wire, Session) {
        let client = Wire::join(self.addr.to_string())
            .identification(CULPRIT, "")
            .session_close_timeout(CLOSE)
            .build()
            .unwrap();
        client.start().unwrap();
        let session = client.wait_session(PATIENCE).unwrap();
        (client, session)
    }

    /// The numbers of session threads, of handler threads, and of all threads.
    fn threads(&self) -> [usize; 3] {
        let of = |what: &str| threads::named(&format!("{}{what}", self.prefix)).len();
        ["session", "handler", ""].map(of)
    }

    fn finish(self) {
        drop(self.release);
        let _ = self.server.close();
    }
}

/// Runs a test in each place, one after the other.
fn everywhere(test: fn(Place)) {
    within(PATIENCE, move || TCP.iter().for_each(|place| test(*place)));
}

/// Requests a session, whose validator blocks.
fn ask(addr: SocketAddr, id: u8) -> Peer {
    let mut peer = Peer::over(TcpStream::connect(addr).unwrap(), false);
    peer.begin_ask(&[field(1, &[id; 16]), field(3, CULPRIT)].concat());
    peer
}

/// The reason for which a stream is refused.
fn refusal(session: &Session, name: &str) -> String {
    match session.open_stream(name) {
        Err(Error::Refused { refusal, .. }) => refusal.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_validator_of_sessions_that_blocks_costs_a_handshakes_place_and_its_thread() {
    everywhere(|place| {
        let (told, errors) = unbounded();
        let blocking = Blocking::start('a', place, |builder, gate| {
            let builder = builder.max_handshakes(2).on_error(move |error| {
                if matches!(error.operation, Operation::Accept) {
                    let _ = told.send(error.to_string());
                }
            });
            builder.token_validator(move |_, id, _| {
                if id == CULPRIT {
                    gate.block();
                }
                Ok(())
            })
        });
        let [_, _, before] = blocking.threads();
        let first = ask(blocking.addr, 1);
        blocking.await_blocked();
        assert_eq!(blocking.threads(), [1, 0, before + 1]);
        // The other place is free.
        HonestClient::join_at(blocking.addr, place).trips(20);
        let mut second = ask(blocking.addr, 2);
        blocking.await_blocked();
        // A peer that has left keeps its place until the validator returns.
        drop(first);
        Peer::over(TcpStream::connect(blocking.addr).unwrap(), false).read_to_close();
        let error = errors.recv_timeout(PATIENCE).unwrap();
        assert!(error.contains("2 handshakes are under way"), "{error}");
        drop(blocking.release);
        second.read_exact(&mut [0]).expect("it is answered");
        let _ = blocking.server.close();
    });
}

#[test]
fn a_validator_of_streams_or_a_handler_that_blocks_costs_one_of_the_handlers() {
    everywhere(|place| {
        let blocking = Blocking::start('b', place, |builder, gate| {
            let own = gate.clone();
            builder
                .handler_limit(3)
                .token_validator(move |name, _, _| {
                    if name == "guarded" {
                        own.block();
                    }
                    Ok(())
                })
                .stream("guarded", echo)
                .stream("deed", move |_| {
                    gate.block();
                    Ok(())
                })
        });
        let (client, session) = blocking.join();
        let [sessions, handlers, before] = blocking.threads();
        assert_eq!((sessions, handlers), (1, 0));
        let _guarded = session.open_stream_nowait("guarded").unwrap();
        blocking.await_blocked();
        assert_eq!(blocking.threads(), [1, 1, before + 1]);
        let _deed = session.open_stream("deed").unwrap();
        blocking.await_blocked();
        assert_eq!(blocking.threads(), [1, 2, before + 2]);
        let _echo = session.open_stream("echo").unwrap();
        assert_eq!(
            refusal(&session, "echo"),
            "wirenet: all 3 handlers are busy"
        );
        let _ = client.close();
        blocking.finish();
    });
}

#[test]
fn an_error_handler_that_blocks_on_a_stream_costs_one_of_the_handlers() {
    everywhere(|place| {
        let blocking = Blocking::start('c', place, |builder, gate| {
            builder.handler_limit(2).on_error(move |error| {
                if matches!(&error.operation, Operation::OpenStream(name) if name == "nobody's") {
                    gate.block();
                }
            })
        });
        let (client, session) = blocking.join();
        let [_, _, before] = blocking.threads();
        let _nobodys = session.open_stream_nowait("nobody's").unwrap();
        blocking.await_blocked();
        assert_eq!(blocking.threads(), [1, 1, before + 1]);
        let _echo = session.open_stream("echo").unwrap();
        assert_eq!(
            refusal(&session, "echo"),
            "wirenet: all 2 handlers are busy"
        );
        let _ = client.close();
        blocking.finish();
    });
}

#[test]
fn an_error_handler_that_blocks_on_a_session_costs_that_sessions_thread() {
    everywhere(|place| {
        let blocking = Blocking::start('d', place, |builder, gate| {
            builder.on_error(move |error| {
                if matches!(error.operation, Operation::Session) {
                    gate.block();
                }
            })
        });
        let [_, _, before] = blocking.threads();
        lose_session(&blocking.addr.to_string()).unwrap();
        blocking.await_blocked();
        assert_eq!(blocking.threads(), [1, 0, before + 1]);
        assert!(blocking.server.sessions().is_empty());
        // Other peers notice nothing.
        HonestClient::join_at(blocking.addr, place).trips(20);
        blocking.finish();
    });
}

/// The number of refused connections.
const REFUSED: usize = 300;

/// The number of errors that may wait for the error handler.
const WAITING: usize = 256;

/// It gets the first error, and no other until it returns. Then it gets those that waited,
/// and the number of those that were dropped.
#[test]
fn an_error_handler_that_blocks_on_refused_connections_costs_one_thread_in_all() {
    everywhere(|place| {
        let (tell, dropped) = unbounded();
        let blocking = Blocking::start('e', place, |builder, gate| {
            builder.max_handshakes(1).on_error(move |error| {
                match error.operation {
                    Operation::Accept => gate.block(),
                    // The test may have ended.
                    Operation::Report => drop(tell.send(error.cause.to_string())),
                    _ => {}
                }
            })
        });
        let [_, _, before] = blocking.threads();
        let silent = TcpStream::connect(blocking.addr).unwrap();
        let refused =
            || Peer::over(TcpStream::connect(blocking.addr).unwrap(), false).read_to_close();
        refused();
        blocking.await_blocked();
        (1..REFUSED).for_each(|_| drop(refused()));
        // The thread of the silent connection, and the one that blocks.
        assert_eq!(blocking.threads(), [1, 1, before + 2]);
        assert!(blocking.began.is_empty(), "it gets another error");
        drop(silent);
        HonestClient::join_at(blocking.addr, place).trips(20);
        drop(blocking.release);
        for _ in 0..WAITING {
            blocking
                .began
                .recv_timeout(PATIENCE)
                .expect("another error");
        }
        let dropped = dropped.recv_timeout(PATIENCE).expect("the count");
        let (count, text) = dropped.split_once(' ').expect("a count");
        assert!(text.starts_with("more reports were dropped"), "{dropped}");
        // The honest client is refused, too, until the server has noticed that the silent one
        // has left. It then tries again.
        let count: usize = count.parse().unwrap();
        let few = REFUSED - 1 - WAITING..REFUSED;
        assert!(few.contains(&count), "{dropped}");
        let _ = blocking.server.close();
        assert!(
            blocking.began.is_empty(),
            "it gets an error that was dropped"
        );
    });
}
