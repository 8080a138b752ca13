//! `on_error`: every error that no caller gets, with all that is known of it.

use crate::support::{
    in_time,
    peer::Peer,
    wires::{Link, addr_of, as_it_is, assert_echoes, echo, joining, mounting, started},
};
use crossbeam_channel::{Receiver, unbounded};
use socket2::SockRef;
use std::{
    error::Error as _,
    io::{self, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};
use wirenet::{Builder, Error, OpError, Operation, Refusal, SessionId};

/// What an error handler was told, with the types of its cause.
#[derive(Debug)]
struct Told {
    operation: Operation,
    session: Option<SessionId>,
    identification: Vec<u8>,
    addrs: [Option<SocketAddr>; 2],
    cause: String,
    refusal: Option<Refusal>,
    shown: String,
}

fn telling(builder: Builder) -> (Builder, Receiver<Told>) {
    let (sender, told) = unbounded();
    let handler = move |error: &OpError| {
        assert!(error.source().is_some());
        let refusal = match error.cause.downcast_ref() {
            Some(Error::Refused { refusal, .. }) => Some(refusal.clone()),
            _ => None,
        };
        // What comes after the test has seen enough is of no interest.
        let _ = sender.send(Told {
            operation: error.operation.clone(),
            session: error.session,
            identification: error.identification.clone(),
            addrs: [error.local_addr, error.peer_addr],
            cause: error.cause.to_string(),
            refusal,
            shown: error.to_string(),
        });
    };
    (builder.on_error(handler), told)
}

/// A server that tells, and a client called `box-1` with a session.
fn link(server: impl FnOnce(Builder) -> Builder) -> (Link, Receiver<Told>) {
    let mut told = None;
    let link = Link::new(
        |builder| {
            let (builder, errors) = telling(server(builder));
            told = Some(errors);
            builder
        },
        |client| client.identification("box-1", ""),
    );
    (link, told.expect("it is set up"))
}

/// All that there is to know of an error in this session.
fn assert_of(link: &Link, told: &Told) {
    assert_eq!(told.session, Some(link.far.id()));
    assert_eq!(told.identification, b"box-1");
    assert_eq!(told.addrs, [link.far.local_addr(), link.far.peer_addr()]);
    for part in ["box-1", &told.cause, &told.operation.to_string()] {
        assert!(told.shown.contains(part), "{}", told.shown);
    }
}

#[test]
fn it_is_told_of_a_handler_that_fails() {
    in_time(|| {
        let (link, told) = link(|server| {
            let server = server.stream("bad", |_| Err(io::Error::other("no disk")));
            server.stream("worse", |_| panic!("no brain"))
        });
        for (name, cause) in [("bad", "no disk"), ("worse", "panicked: no brain")] {
            link.near.open_stream(name).unwrap();
            let error = told.recv().unwrap();
            assert_eq!(error.operation, Operation::Handler(name.into()));
            assert_eq!(error.cause, cause);
            assert_of(&link, &error);
        }
    });
}

#[test]
fn it_is_told_of_a_stream_that_is_refused() {
    in_time(|| {
        let (link, told) = link(|server| {
            server.token_validator(|name, _, _| match name {
                "secret" => Err("not for you".into()),
                _ => Ok(()),
            })
        });
        let not_for_you = Refusal::Other("not for you".into());
        for (name, refusal) in [
            ("nobody", Refusal::HandlerNotFound),
            ("secret", not_for_you),
        ] {
            link.near.open_stream(name).unwrap_err();
            let error = told.recv().unwrap();
            assert_eq!(error.operation, Operation::OpenStream(name.into()));
            assert_eq!(error.refusal, Some(refusal));
            assert_of(&link, &error);
        }
    });
}

#[test]
fn it_is_told_of_a_handshake_that_fails() {
    in_time(|| {
        let (serving, told) = telling(mounting());
        let refuse = |_: &str, _: &[u8], _: &[u8]| Err("not you".into());
        let server = started(serving.token_validator(refuse));
        joining(&server).build().unwrap().start().unwrap_err();
        let error = told.recv().unwrap();
        assert_eq!(error.operation, Operation::Handshake);
        assert_eq!(error.session, None);
        assert_eq!(error.addrs[0], Some(addr_of(&server)));
        assert!(error.addrs[1].is_some() && error.cause.contains("not you"));
        // And by somebody who speaks something else.
        let mut stranger = TcpStream::connect(addr_of(&server)).unwrap();
        stranger.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        let error = told.recv().unwrap();
        assert_eq!(error.operation, Operation::Handshake);
        assert_eq!(error.addrs[1], stranger.local_addr().ok());
    });
}

#[test]
fn it_is_told_of_a_session_that_is_lost() {
    in_time(|| {
        let (serving, told) = telling(mounting());
        let server = started(serving);
        let client = Peer::join(&server, [9; 16]);
        let addr = client.socket().local_addr().unwrap();
        SockRef::from(client.socket())
            .set_linger(Some(Duration::ZERO))
            .unwrap();
        drop(client);
        let error = told.recv().unwrap();
        assert_eq!(error.operation, Operation::Session);
        assert_eq!(*error.session.unwrap().as_bytes(), [9; 16]);
        assert_eq!(error.addrs, [Some(addr_of(&server)), Some(addr)]);
    });
}

#[test]
fn it_is_told_of_a_dial_that_is_tried_again() {
    in_time(|| {
        let server = started(mounting());
        let addr = addr_of(&server);
        server.close().unwrap();
        let joining = joining_at(addr).retry_max(2);
        let (joining, told) =
            telling(joining.retry_wait(Duration::from_millis(1), Duration::from_millis(1)));
        let client = joining.build().unwrap();
        client.start().unwrap_err();
        drop(client);
        // The last one its caller gets.
        let told: Vec<Told> = told.iter().collect();
        assert_eq!(told.len(), 2);
        for error in told {
            assert_eq!(error.operation, Operation::Dial);
            assert!(error.cause.contains(&addr.to_string()), "{}", error.cause);
        }
    });
}

fn joining_at(addr: SocketAddr) -> Builder {
    wirenet::Wire::join(addr.to_string())
}

#[test]
fn an_error_handler_that_panics_does_no_harm() {
    in_time(|| {
        let (sender, told) = unbounded();
        let server = |server: Builder| {
            server.stream("echo", echo).on_error(move |error| {
                sender.send(error.operation.clone()).unwrap();
                panic!("it makes it worse");
            })
        };
        let link = Link::new(server, as_it_is);
        for _ in 0..3 {
            link.near.open_stream("nobody").unwrap_err();
            let operation = told.recv().unwrap();
            assert_eq!(operation, Operation::OpenStream("nobody".into()));
            assert_echoes(&link.near);
        }
    });
}

#[test]
fn what_its_caller_gets_it_is_not_told() {
    in_time(|| {
        let (client, told) = {
            let server = started(mounting().stream("echo", echo));
            let (client, told) = telling(joining(&server).retry_max(0));
            let client = started(client);
            let session = client.sessions().remove(0);
            session.open_stream("nobody").unwrap_err();
            assert_echoes(&session);
            server.close().unwrap();
            (client, told)
        };
        client.close().unwrap();
        drop(client);
        assert!(told.recv().is_err());
    });
}
