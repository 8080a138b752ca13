//! `on_error` reports every error that no call can return, with its context.

use crate::support::{
    PATIENCE, in_time,
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

/// An error that was reported to an error handler.
#[derive(Debug)]
struct Report {
    operation: Operation,
    session: Option<SessionId>,
    identification: Vec<u8>,
    addrs: [Option<SocketAddr>; 2],
    cause: String,
    refusal: Option<Refusal>,
    text: String,
}

fn reporting(builder: Builder) -> (Builder, Receiver<Report>) {
    let (sender, told) = unbounded();
    let handler = move |error: &OpError| {
        assert!(error.source().is_some());
        let refusal = match error.cause.downcast_ref() {
            Some(Error::Refused { refusal, .. }) => Some(refusal.clone()),
            _ => None,
        };
        // The test may have ended already.
        let _ = sender.send(Report {
            operation: error.operation.clone(),
            session: error.session,
            identification: error.identification.clone(),
            addrs: [error.local_addr, error.peer_addr],
            cause: error.cause.to_string(),
            refusal,
            text: error.to_string(),
        });
    };
    (builder.on_error(handler), told)
}

/// A server whose errors are received, and a client `box-1` with a session.
fn link(server: impl FnOnce(Builder) -> Builder) -> (Link, Receiver<Report>) {
    let mut told = None;
    let link = Link::new(
        |builder| {
            let (builder, errors) = reporting(server(builder));
            told = Some(errors);
            builder
        },
        |client| client.identification("box-1", ""),
    );
    (link, told.expect("it is set up"))
}

/// Checks the context of an error in this session.
fn assert_context(link: &Link, told: &Report) {
    assert_eq!(told.session, Some(link.far.id()));
    assert_eq!(told.identification, b"box-1");
    assert_eq!(told.addrs, [link.far.local_addr(), link.far.peer_addr()]);
    // The operation already names the stream.
    let cause = match told.refusal {
        Some(_) => "refused: ",
        None => &told.cause,
    };
    for part in ["box-1", cause, &told.operation.to_string()] {
        assert!(told.text.contains(part), "{}", told.text);
    }
}

#[test]
fn a_failed_handler_is_reported() {
    in_time(|| {
        let (link, told) = link(|server| {
            let server = server.stream("bad", |_| Err(io::Error::other("no disk")));
            server.stream("worse", |_| panic!("no memory"))
        });
        for (name, cause) in [("bad", "no disk"), ("worse", "panicked: no memory")] {
            link.near.open_stream(name).unwrap();
            let error = told.recv().unwrap();
            assert_eq!(error.operation, Operation::Handler(name.into()));
            assert_eq!(error.cause, cause);
            assert_context(&link, &error);
        }
    });
}

#[test]
fn a_refused_stream_is_reported() {
    in_time(|| {
        let (link, told) = link(|server| {
            server.token_validator(|name, _, _| match name {
                "secret" => Err("not for you".into()),
                _ => Ok(()),
            })
        });
        let not_for_you = Refusal::Other("not for you".into());
        for (name, refusal) in [
            ("missing", Refusal::HandlerNotFound),
            ("secret", not_for_you),
        ] {
            link.near.open_stream(name).unwrap_err();
            let error = told.recv().unwrap();
            assert_eq!(error.operation, Operation::OpenStream(name.into()));
            assert_eq!(error.refusal, Some(refusal));
            assert_context(&link, &error);
        }
    });
}

#[test]
fn a_failed_handshake_is_reported() {
    in_time(|| {
        let (serving, told) = reporting(mounting());
        let refuse = |_: &str, _: &[u8], _: &[u8]| Err("not you".into());
        let server = started(serving.token_validator(refuse));
        joining(&server).build().unwrap().start().unwrap_err();
        let error = told.recv().unwrap();
        assert_eq!(error.operation, Operation::Handshake);
        assert_eq!(error.session, None);
        assert_eq!(error.addrs[0], Some(addr_of(&server)));
        assert!(error.addrs[1].is_some() && error.cause.contains("not you"));
        // A client of another protocol.
        let mut unauthenticated = TcpStream::connect(addr_of(&server)).unwrap();
        unauthenticated
            .write_all(b"GET / HTTP/1.1\r\n\r\n")
            .unwrap();
        let error = told.recv().unwrap();
        assert_eq!(error.operation, Operation::Handshake);
        assert_eq!(error.addrs[1], unauthenticated.local_addr().ok());
    });
}

#[test]
fn a_lost_session_is_reported() {
    in_time(|| {
        let (serving, told) = reporting(mounting());
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
fn a_failed_dial_that_is_retried_is_reported() {
    in_time(|| {
        let server = started(mounting());
        let addr = addr_of(&server);
        server.close().unwrap();
        let joining = joining_at(addr).retry_max(2);
        let (joining, told) =
            reporting(joining.retry_wait(Duration::from_millis(1), Duration::from_millis(1)));
        let client = joining.build().unwrap();
        client.start().unwrap_err();
        drop(client);
        // The last error is returned to the caller of `start`.
        let told: Vec<Report> = told.iter().collect();
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
fn an_error_handler_that_panics_does_not_affect_the_session() {
    in_time(|| {
        let (sender, told) = unbounded();
        let server = |server: Builder| {
            server.stream("echo", echo).on_error(move |error| {
                sender.send(error.operation.clone()).unwrap();
                panic!("a broken error handler");
            })
        };
        let link = Link::new(server, as_it_is);
        for _ in 0..3 {
            link.near.open_stream("missing").unwrap_err();
            let operation = told.recv().unwrap();
            assert_eq!(operation, Operation::OpenStream("missing".into()));
            assert_echoes(&link.near);
        }
    });
}

#[test]
fn an_error_that_a_caller_gets_is_not_reported() {
    in_time(|| {
        let (client, told) = {
            let server = started(mounting().stream("echo", echo));
            let (client, told) = reporting(joining(&server).retry_max(0));
            let client = started(client);
            let session = client.wait_session(PATIENCE).unwrap();
            session.open_stream("missing").unwrap_err();
            assert_echoes(&session);
            server.close().unwrap();
            (client, told)
        };
        client.close().unwrap();
        drop(client);
        assert!(told.recv().is_err());
    });
}
