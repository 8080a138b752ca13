//! What a client retries after, and that it comes through.

use super::{
    NEVER, SHORT,
    policies::{Asked, at_once},
    servers::{break_handshake, is_broken, keep, refuse, stay},
};
use crate::support::{
    PATIENCE, in_time,
    peer::{Peer, Script, ScriptedServer, play},
    refusing::Refusing,
    unreachable::Unreachable,
    wires::{addr_of, assert_echoes, echo, joining, mounting, started, starting},
};
use crossbeam_channel::{bounded, unbounded};
use std::{
    io::{self, Write},
    net::Shutdown,
    time::Duration,
};
use wirenet::{Builder, Error, Operation, RefusalCode, Wire};

/// A client connects to a server with these scripts, until the last one succeeds.
/// Returns the calls of its policy.
fn comes_through(scripts: Vec<Script>) -> Vec<Asked> {
    let addr = play(scripts);
    let (policy, asked) = at_once();
    let (up, ups) = bounded(1);
    let client = Wire::join(addr.to_string())
        .retry_policy(policy)
        .session_close_timeout(Duration::ZERO)
        .on_connect(move |_| {
            // There may be more than one session.
            let _ = up.try_send(());
        });
    let client = client.build().unwrap();
    client.start().unwrap();
    ups.recv().unwrap();
    client.close().unwrap();
    asked.try_iter().collect()
}

#[test]
fn a_broken_handshake_is_retried() {
    in_time(|| {
        let scripts: Vec<Script> = vec![
            Box::new(break_handshake),
            Box::new(break_handshake),
            Box::new(stay),
        ];
        let asked = comes_through(scripts);
        assert_eq!(asked.len(), 2);
        for (number, asked) in (1..).zip(&asked) {
            assert_eq!(asked.attempt, number);
            assert!(is_broken(&asked.cause), "{asked:?}");
        }
    });
}

#[test]
fn an_invalid_answer_is_retried() {
    in_time(|| {
        let nonsense = |mut client: Peer| {
            client.read_request()?;
            client.write_all(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")?;
            client.socket().shutdown(Shutdown::Write)?;
            // It may end with a reset.
            let _ = keep(client);
            Ok(())
        };
        let scripts: Vec<Script> = vec![Box::new(nonsense), Box::new(stay)];
        assert_eq!(comes_through(scripts).len(), 1);
    });
}

#[test]
fn a_temporary_refusal_is_retried() {
    in_time(|| {
        let codes = [
            (2, RefusalCode::NameTaken),
            (3, RefusalCode::TooManySessions),
            (4, RefusalCode::Closing),
        ];
        let mut scripts: Vec<Script> = codes.iter().map(|(code, _)| refuse(*code)).collect();
        scripts.push(Box::new(stay));
        let asked = comes_through(scripts);
        assert_eq!(asked.len(), codes.len());
        for (asked, (_, expected)) in asked.iter().zip(codes) {
            let Error::SessionRefused { code, text, .. } = &asked.cause else {
                panic!("not refused: {asked:?}");
            };
            assert_eq!((*code, &**text), (Some(expected), "no"));
            assert!(asked.wait.is_some() && !asked.cause.is_permanent());
        }
    });
}

#[test]
fn a_server_that_does_not_answer_is_retried() {
    in_time(|| {
        let server = ScriptedServer::silent();
        let (policy, asked) = at_once();
        let client = Wire::join(server.addr.to_string())
            .handshake_timeout(SHORT)
            .retry_policy(policy)
            .build()
            .unwrap();
        let starter = starting(&client);
        for number in 1..3 {
            let asked = asked.recv().unwrap();
            assert_eq!(asked.attempt, number);
            assert!(matches!(asked.cause, Error::TimedOut { .. }), "{asked:?}");
        }
        client.close().unwrap();
        assert!(matches!(starter.join().unwrap(), Err(Error::Closed)));
    });
}

/// Asserts that a client repeatedly dials an address. Returns the kind of error.
fn assert_redials(addr: &str) -> io::ErrorKind {
    let (policy, asked) = at_once();
    let client = Wire::join(addr).dial_timeout(SHORT).retry_policy(policy);
    let client = client.build().unwrap();
    let starter = starting(&client);
    let kinds = [1, 2, 3].map(|number| {
        let asked = asked.recv().unwrap();
        assert_eq!(asked.attempt, number);
        let Error::Dial { cause, .. } = asked.cause else {
            panic!("not a dial: {asked:?}");
        };
        cause.kind()
    });
    client.close().unwrap();
    assert!(matches!(starter.join().unwrap(), Err(Error::Closed)));
    kinds[2]
}

#[test]
fn a_refused_connection_is_retried() {
    in_time(|| {
        let refusing = Refusing::new();
        let addr = refusing.addr.to_string();
        assert_eq!(assert_redials(&addr), io::ErrorKind::ConnectionRefused);
    });
}

#[test]
fn a_dial_that_times_out_is_retried() {
    in_time(|| {
        let nobody = Unreachable::new();
        let kind = assert_redials(&nobody.addr.to_string());
        assert_eq!(kind, io::ErrorKind::TimedOut);
    });
}

#[test]
fn an_unreachable_network_is_retried() {
    in_time(|| {
        // Whatever error the system returns.
        assert_redials("255.255.255.255:9");
    });
}

#[test]
fn a_name_that_does_not_resolve_is_retried() {
    in_time(|| {
        assert_redials("no-such-host.invalid:9");
    });
}

/// The server starts later, and the next attempt finds it.
#[test]
fn a_client_may_be_started_before_its_server() {
    in_time(|| {
        let refusing = Refusing::new();
        let addr = refusing.addr.to_string();
        let (failed, fails) = unbounded();
        let client = Wire::join(&addr)
            .retry_wait(NEVER, NEVER)
            .retry_policy(|_| Some(NEVER))
            .on_error(move |error| failed.send(error.operation.clone()).unwrap());
        let client = client.build().unwrap();
        let starter = starting(&client);
        assert_eq!(fails.recv().unwrap(), Operation::Dial);
        let _server = started(Wire::mount(&addr).stream("echo", echo));
        client.reconnect_now();
        starter.join().unwrap().unwrap();
        assert_echoes(&client.sessions()[0]);
    });
}

#[test]
fn a_lost_session_is_followed_by_another() {
    in_time(|| {
        let server = started(mounting().stream("echo", echo));
        let client = started(joining(&server).retry_policy(|_| Some(Duration::ZERO)));
        let mut before = Vec::new();
        for end in [
            |server: &Wire| server.sessions()[0].abort(),
            |server: &Wire| server.sessions()[0].close().unwrap(),
        ] {
            let session = client.wait_session(PATIENCE).unwrap();
            assert_echoes(&session);
            end(&server);
            // The old session stays ended.
            session.open_stream("echo").unwrap_err();
            before.push(session.id());
        }
        let last = client.wait_session(PATIENCE).unwrap();
        assert_echoes(&last);
        assert!(!before.contains(&last.id()) && before[0] != before[1]);
    });
}

/// The listener is closed and opened again, in the same process.
#[test]
fn a_restarted_server_gets_its_clients_back() {
    in_time(|| {
        let first = started(Wire::mount("127.0.7.2:0").stream("echo", echo));
        let addr = addr_of(&first).to_string();
        let quickly = |client: Builder| client.retry_wait(SHORT / 10, SHORT);
        let clients: Vec<Wire> = (0..5)
            .map(|_| started(quickly(Wire::join(&addr))))
            .collect();
        first.close().unwrap();
        let (opened, opens) = unbounded();
        let second = Wire::mount(&addr).stream("echo", echo);
        let second = started(second.on_session_open(move |_| opened.send(()).unwrap()));
        opens.iter().take(clients.len()).for_each(drop);
        for session in second.sessions() {
            session.open_stream("nobody").unwrap_err();
        }
        for client in &clients {
            assert_echoes(&client.wait_session(PATIENCE).unwrap());
        }
    });
}
