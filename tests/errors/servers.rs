//! At which server something happened: each error that a client returns names the address that
//! was dialled, once, and so does each report.

use super::table::row;
#[cfg(feature = "tls")]
use super::tls::pair;
#[cfg(feature = "tls")]
use crate::support::wires::{addr_of, mounting};
use crate::support::{
    PATIENCE,
    encoding::{CONFIRM_SESSION, OPEN_SESSION, field, layer_2},
    frames::{ACK, FIN, Frame, SYN},
    in_time,
    peer::{Peer, ScriptedServer},
    refusing::Refusing,
    unreachable::Unreachable,
    wires::started,
};
use crossbeam_channel::unbounded;
use socket2::SockRef;
use std::{
    error::Error as _,
    io::{self, Write},
    time::Duration,
};
use wirenet::{Builder, Error, Malformed, RefusalCode, Wire, yamux};
#[cfg(feature = "tls")]
use wirenet::{TlsClient, TlsError};

/// A call that fails.
type Call = fn(&Wire) -> Error;

/// The calls that return an error of a client.
const CALLS: [(&str, Call); 3] = [
    ("start", |client| client.start().unwrap_err()),
    ("start_within", |client| {
        client.start_within(PATIENCE).unwrap_err()
    }),
    ("connect", |client| client.connect().unwrap_err()),
];

fn count(text: &str, addr: &str) -> usize {
    text.matches(addr).count()
}

/// Returns why TLS failed, if the error names the server.
#[cfg(feature = "tls")]
fn tls_cause(error: &Error) -> Option<&TlsError> {
    match error {
        Error::Tls {
            cause,
            addr: Some(_),
        } => Some(cause),
        _ => None,
    }
}

/// Adds rows for what a client of a server at this port returns. `matches` returns whether
/// the error has the expected variant.
#[track_caller]
fn rows(
    input: &str,
    port: u16,
    client: impl Fn(Builder) -> Builder,
    matches: fn(&Error) -> bool,
    expected: &[&str],
) {
    for host in ["127.0.0.1", "localhost"] {
        let addr = format!("{host}:{port}");
        let (tell, told) = unbounded();
        let joining = Wire::join(&addr)
            // The first failure is reported, and the second one is returned.
            .retry_policy(|retry| (retry.attempt == 1).then_some(Duration::ZERO))
            .on_error(move |error| tell.send(error.to_string()).unwrap());
        let client = client(joining).build().unwrap();
        for (call, fails) in CALLS {
            let error = fails(&client);
            let text = error.to_string();
            row(format!("{call} with {input}"), &text, expected);
            assert_eq!(count(&text, &addr), 1, "{input}: {text}");
            assert!(matches(&error), "{input}: {error:?}");
            assert_eq!(client.wait().unwrap_err().to_string(), text, "{input}");
            let report = told.recv_timeout(PATIENCE).expect("a report");
            let named = ["127.0.0.1", "localhost"].map(|host| format!("{host}:{port}"));
            let named = named.map(|addr| count(&report, &addr));
            assert!(named.contains(&1), "{input}: {report}");
            assert!(named.iter().all(|times| *times <= 1), "{input}: {report}");
            let timed_out = client.wait_session(Duration::ZERO).unwrap_err();
            assert_eq!(count(&timed_out.to_string(), &addr), 1, "{timed_out}");
        }
    }
}

/// Rows for a server that follows this script on each connection.
#[track_caller]
fn scripted(
    input: &str,
    script: impl FnMut(&mut Peer) -> io::Result<()> + Send + 'static,
    matches: fn(&Error) -> bool,
    expected: &[&str],
) {
    let server = ScriptedServer::listen(script);
    rows(
        input,
        server.addr.port(),
        |client| client,
        matches,
        expected,
    );
}

/// Answers a request for a session with these frames.
fn answering(
    frames: impl Fn() -> Vec<Frame> + Send + 'static,
) -> impl FnMut(&mut Peer) -> io::Result<()> + Send + 'static {
    move |peer| {
        peer.read_request()?;
        peer.try_send(frames())
    }
}

#[test]
fn a_refusal_names_the_server() {
    in_time(|| {
        for (code, known) in [
            (0, None),
            (1, Some(RefusalCode::TokenRefused)),
            (8, Some(RefusalCode::TryLater)),
        ] {
            let server = ScriptedServer::listen(move |peer| peer.refuse_session(code, "not you"));
            let port = server.addr.port();
            let is_refused: fn(&Error) -> bool = |error| {
                matches!(error, Error::SessionRefused { text, addr: Some(_), .. }
                    if text == "not you")
            };
            let expected = ["session refused: not you (server: "];
            let input = format!("a server that refuses with the code {code}");
            rows(&input, port, |client| client, is_refused, &expected);
            let client = Wire::join(server.addr).retry_max(0).build().unwrap();
            let error = client.start().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
            assert_eq!(error.is_permanent(), code != 8);
            assert!(matches!(error, Error::SessionRefused { code, .. } if code == known));
        }
    });
}

fn cause(error: &Error) -> &Error {
    match error {
        Error::Explained { cause, .. } => cause,
        error => error,
    }
}

#[test]
fn a_handshake_that_fails_names_the_server() {
    in_time(|| {
        let at = "no session with ";
        let is_it = "is it a wirenet server?";
        let confirm = |payload: &[u8]| {
            let answer = layer_2(CONFIRM_SESSION, "confirmSession", payload);
            vec![
                Frame::flags(1, ACK),
                Frame::data(1, answer),
                Frame::flags(1, FIN),
            ]
        };
        scripted(
            "a server that answers with another session's id",
            answering(move || confirm(&field(1, &[0; 16]))),
            |error| {
                matches!(
                    cause(error),
                    Error::Malformed {
                        cause: Malformed::SessionId,
                        ..
                    }
                )
            },
            &["malformed session handshake: wrong session id", at, is_it],
        );
        scripted(
            "a server whose answer is cut",
            answering(move || confirm(b"\x0a\x50")),
            |error| {
                matches!(
                    cause(error),
                    Error::Malformed {
                        cause: Malformed::Payload(_),
                        ..
                    }
                )
            },
            &["malformed session handshake: payload", at, is_it],
        );
        scripted(
            "a server that answers nothing",
            answering(|| vec![Frame::flags(1, ACK), Frame::flags(1, FIN)]),
            |error| {
                matches!(
                    cause(error),
                    Error::Malformed {
                        cause: Malformed::EndedEarly,
                        ..
                    }
                )
            },
            &["the stream ended inside a frame", at, is_it],
        );
        scripted(
            "a server that asks for a session",
            answering(|| vec![Frame::data(1, layer_2(OPEN_SESSION, "openSession", b""))]),
            |error| matches!(cause(error), Error::Malformed { .. }),
            &["without wirenet's session handshake?", "the server at "],
        );
        scripted(
            "a server that goes away with an error",
            answering(|| vec![Frame::go_away(2)]),
            |error| matches!(cause(error), Error::Connection(yamux::Error::PeerFailed(2))),
            &["internal error", at],
        );
        scripted(
            "a server that violates the protocol",
            answering(|| vec![Frame::flags(3, SYN)]),
            |error| matches!(cause(error), Error::Connection(yamux::Error::Protocol(_))),
            &["protocol error by the peer", "parity", at],
        );
        scripted(
            "a server that resets the connection",
            |peer| {
                peer.read_request()?;
                peer.try_send(Frame::flags(1, ACK))?;
                let socket = SockRef::from(peer.socket());
                socket.set_linger(Some(Duration::ZERO))?;
                socket.shutdown(std::net::Shutdown::Both)
            },
            |error| matches!(cause(error), Error::Connection(_)),
            &["connection ", at],
        );
        scripted(
            "an HTTP server",
            |peer| peer.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
            |error| matches!(cause(error), Error::Connection(_)),
            &["the server at ", " speaks HTTP"],
        );
    });
}

#[test]
fn a_server_that_does_not_answer_is_named() {
    in_time(|| {
        let short = |client: Builder| client.handshake_timeout(Duration::from_millis(20));
        let silent = ScriptedServer::silent();
        rows(
            "a silent server",
            silent.addr.port(),
            short,
            |error| matches!(error, Error::TimedOut { .. }),
            &["no answer from the server at ", "is it a wirenet server?"],
        );
        let server = ScriptedServer::listen(answering(|| vec![Frame::flags(1, ACK)]));
        rows(
            "a server that does not answer a request",
            server.addr.port(),
            short,
            |error| matches!(error, Error::TimedOut { .. }),
            &["no session handshake with the server at ", "within 20ms"],
        );
        let unreachable = Unreachable::new();
        let client = Wire::join(unreachable.addr).dial_timeout(Duration::from_millis(20));
        let error = client.retry_max(0).build().unwrap().start().unwrap_err();
        let expected = format!("cannot connect to {}: ", unreachable.addr);
        row(
            "a host that does not answer",
            error,
            &[&expected, "no answer; check the address, and firewalls"],
        );
        let refusing = Refusing::new();
        rows(
            "no server",
            refusing.addr.port(),
            |client| client,
            |error| matches!(error, Error::Dial { .. }),
            &["cannot connect to ", "nothing listens there"],
        );
    });
}

#[cfg(feature = "tls")]
#[test]
fn an_error_of_tls_names_the_server() {
    in_time(|| {
        let quiet = |server: Builder| started(server.on_error(|_| {}));
        let server = quiet(mounting().tls(pair::server()));
        rows(
            "a server whose certificate is not the pinned one",
            addr_of(&server).port(),
            |client| client.tls(TlsClient::pinned([7; 32])),
            |error| matches!(tls_cause(error), Some(TlsError::WrongPin { .. })),
            &["TLS with ", "pinned is", "pin the new one"],
        );
        let strict = pair::server().client_ca(pair::ca()).unwrap();
        let server = quiet(mounting().tls(strict));
        rows(
            "a server that requires a certificate",
            addr_of(&server).port(),
            |client| client.tls(pair::client()),
            |error| matches!(tls_cause(error), Some(TlsError::Handshake(_))),
            &["TLS with ", "requires a certificate"],
        );
        let server = quiet(mounting());
        rows(
            "a server without TLS",
            addr_of(&server).port(),
            |client| client.tls(pair::client()),
            |error| matches!(tls_cause(error), Some(TlsError::NotTls { .. })),
            &["TLS with ", "did not answer with TLS"],
        );
        let silent = ScriptedServer::silent();
        let short = Duration::from_millis(20);
        rows(
            "a silent server, over TLS",
            silent.addr.port(),
            |client| client.tls(pair::client()).handshake_timeout(short),
            |error| matches!(tls_cause(error), Some(TlsError::TimedOut)),
            &["TLS with ", "within the handshake timeout"],
        );
    });
}

/// A client that has had a session, and then gives up.
#[test]
fn a_later_failure_names_the_server_too() {
    in_time(|| {
        let mut connections = 0;
        let server = ScriptedServer::listen(move |peer| {
            connections += 1;
            match connections {
                1 => {
                    peer.confirm_session()?;
                    SockRef::from(peer.socket()).shutdown(std::net::Shutdown::Both)
                }
                _ => peer.refuse_session(1, "not you"),
            }
        });
        let addr = server.addr.to_string();
        let client = Wire::join(&addr)
            .retry_policy(|retry| match retry.cause {
                Error::SessionRefused { .. } => None,
                _ => Some(Duration::ZERO),
            })
            .on_error(|_| {});
        let error = started(client).wait().unwrap_err();
        let expected = format!("session refused: not you (server: {addr})");
        row("wait after a session", &error, &[&expected]);
    });
}

#[test]
fn the_causes_of_an_error_are_found_by_their_types() {
    in_time(|| {
        let client = Wire::join("127.0.0.1:1").build().unwrap();
        let error = client.start_within(Duration::from_millis(50)).unwrap_err();
        let cause = error.source().unwrap();
        let dial = cause.downcast_ref::<Error>().expect("the last failure");
        assert!(matches!(dial, Error::Dial { .. }), "{dial:?}");
        assert!(dial.source().unwrap().is::<io::Error>());

        let server = ScriptedServer::listen(|peer| peer.write_all(b"HTTP/1.1 400\r\n\r\n"));
        let client = Wire::join(server.addr).retry_max(0).build().unwrap();
        let error = client.start().unwrap_err();
        let cause = error.source().unwrap().downcast_ref::<Error>();
        assert!(matches!(cause, Some(Error::Connection(_))), "{error:?}");
    });
}
