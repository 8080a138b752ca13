//! Waiting for a session, for a limited time.

use crate::support::{
    in_time,
    peer::ScriptedServer,
    refusing::Refusing,
    unreachable::Unreachable,
    wires::{addr_of, joining, mounting, started},
};
use crossbeam_channel::unbounded;
use std::{error::Error as _, io, net::SocketAddr, thread, time::Duration};
use wirenet::{Error, RefusalCode, Wire};

/// Longer than a test may take.
const HOUR: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(500);

#[test]
fn start_within_returns_the_session_of_a_client() {
    in_time(|| {
        let server = started(mounting().stream("of-server", |_| Ok(())));
        let client = joining(&server).build().unwrap();
        let session = client.start_within(HOUR).unwrap();
        assert_eq!(session.stream_names(), ["of-server"]);
        assert_eq!(client.session(session.id()).unwrap().id(), session.id());
    });
}

#[test]
fn start_within_says_why_there_is_no_session_and_closes_the_wire() {
    in_time(|| {
        let refusing = Refusing::new();
        let addr = refusing.addr;
        let client = Wire::join(addr).build().unwrap();
        let error = client.start_within(SHORT).unwrap_err();
        let text = error.to_string();
        let expected = format!("no session within 500ms: cannot connect to {addr}: ");
        assert!(text.starts_with(&expected), "{text}");
        assert!(!error.is_permanent());
        let source = error.source().unwrap().downcast_ref::<Error>();
        assert!(source.unwrap().to_string().starts_with("cannot connect to"));
        let Error::TimedOut { cause, .. } = error else {
            panic!("{text}");
        };
        let Error::Dial { cause, .. } = &*cause.unwrap() else {
            panic!("{text}");
        };
        assert_eq!(cause.kind(), io::ErrorKind::ConnectionRefused);
        assert!(matches!(client.start(), Err(Error::Closed)));
        client.wait().unwrap();
    });
}

#[test]
fn the_cause_of_a_timeout_is_known_while_the_first_attempt_is_in_progress() {
    in_time(|| {
        let unreachable = Unreachable::new();
        let client = Wire::join(unreachable.addr).build().unwrap();
        let text = client.start_within(SHORT).unwrap_err().to_string();
        let cause = format!("cannot connect to {}: no answer yet", unreachable.addr);
        assert!(text.contains(&cause), "{text}");

        let silent = ScriptedServer::silent();
        let client = Wire::join(silent.addr).build().unwrap();
        let text = client.start_within(SHORT).unwrap_err().to_string();
        assert!(
            text.contains("accepted the connection, but has not answered yet"),
            "{text}"
        );
    });
}

#[test]
fn start_within_returns_a_permanent_failure_immediately_and_the_client_can_start_again() {
    in_time(|| {
        let refuse = |_: &str, _: &[u8], _: &[u8]| Err("wrong token".into());
        let server = started(mounting().token_validator(refuse));
        let client = joining(&server).build().unwrap();
        for _ in 0..2 {
            let error = client.start_within(HOUR).unwrap_err();
            let Error::SessionRefused { code, text, .. } = error else {
                panic!("{error}");
            };
            assert_eq!(code, Some(RefusalCode::TokenRefused));
            assert_eq!(text, "wrong token");
        }
        let taken = mounting_at(addr_of(&server)).start_within(HOUR);
        assert!(matches!(taken, Err(Error::Listen { .. })), "{taken:?}");
        let running = server.start_within(HOUR);
        assert!(matches!(running, Err(Error::AlreadyConnected)));
    });
}

fn mounting_at(addr: SocketAddr) -> Wire {
    Wire::mount(addr).build().unwrap()
}

#[test]
fn a_close_ends_start_within() {
    in_time(|| {
        let refusing = Refusing::new();
        let client = Wire::join(refusing.addr);
        let (fails, failed) = unbounded();
        let client = client.on_error(move |_| fails.send(()).unwrap());
        let client = client.build().unwrap();
        let starting = client.clone();
        let starting = thread::spawn(move || starting.start_within(HOUR));
        failed.recv().unwrap();
        client.close().unwrap();
        let outcome = starting.join().unwrap();
        assert!(matches!(outcome, Err(Error::Closed)), "{outcome:?}");
    });
}

#[test]
fn a_server_that_starts_within_a_time_waits_for_its_first_client() {
    in_time(|| {
        let (connects, connected) = unbounded();
        let connect = move |server: &Wire| {
            let client = joining(server).identification("box-1", "").build().unwrap();
            client.start().unwrap();
            connects.send(client).unwrap();
        };
        let server = mounting().on_connect(connect).build().unwrap();
        let session = server.start_within(HOUR).unwrap();
        assert_eq!(session.identification(), b"box-1");
        connected.recv().unwrap().close().unwrap();

        let lonely = mounting().build().unwrap();
        let error = lonely.start_within(SHORT).unwrap_err();
        assert_eq!(error.to_string(), "no session within 500ms");
        assert!(matches!(lonely.start(), Err(Error::Closed)));
    });
}

#[test]
fn wait_session_says_why_there_is_no_session() {
    in_time(|| {
        let refusing = Refusing::new();
        let addr = refusing.addr;
        let client = Wire::join(addr).build().unwrap();
        let connecting = client.clone();
        let connecting = thread::spawn(move || connecting.connect());
        let text = client.wait_session(SHORT).unwrap_err().to_string();
        assert!(
            text.contains(&format!("cannot connect to {addr}: ")),
            "{text}"
        );
        client.close().unwrap();
        connecting.join().unwrap().unwrap_err();
    });
}

#[test]
fn wait_session_of_a_server_says_why_the_last_client_has_none() {
    in_time(|| {
        let refuse = |_: &str, _: &[u8], _: &[u8]| Err("wrong token".into());
        let server = started(mounting().token_validator(refuse));
        joining(&server).build().unwrap().start().unwrap_err();
        let text = server.wait_session(SHORT).unwrap_err().to_string();
        assert_eq!(
            text,
            "no session within 500ms: session refused: wrong token"
        );
    });
}

#[test]
fn a_client_that_has_lost_its_session_says_so() {
    in_time(|| {
        let server = started(mounting());
        let client = joining(&server).build().unwrap();
        let session = client.start_within(HOUR).unwrap();
        assert!(client.wait_session(HOUR).is_ok());
        server.close().unwrap();
        while !session.is_closed() || !client.sessions().is_empty() {
            thread::yield_now();
        }
        let text = client.wait_session(SHORT).unwrap_err().to_string();
        // It may have dialled again, and been refused.
        let addr = addr_of(&server).to_string();
        assert!(
            text.starts_with("no session ") && text.contains("within 500ms: "),
            "{text}"
        );
        assert!(text.contains(&addr), "{text}");
    });
}

#[test]
fn a_wait_for_a_session_of_a_wire_that_was_not_started_says_so() {
    in_time(|| {
        let refusing = Refusing::new();
        let client = Wire::join(refusing.addr).retry_max(0).build().unwrap();
        let error = client.wait_session(SHORT).unwrap_err().to_string();
        let text =
            "no session within 500ms: the wire does not run: call `start` or `connect` first";
        assert_eq!(error, text);
        // It has given up.
        client.start().unwrap_err();
        let error = client.wait_session(SHORT).unwrap_err().to_string();
        assert!(error.contains("cannot connect to"), "{error}");
    });
}
