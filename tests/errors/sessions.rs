//! Sessions that are not opened, and what the two sides say about refusals.

use super::table::row;
use crate::support::{
    PATIENCE, in_time,
    wires::{addr_of, closing, echo, joining, mounting, started},
};
use crossbeam_channel::{Receiver, unbounded};
use std::{net::TcpListener, thread, time::Duration};
use wirenet::{Builder, Error, Wire};

/// A server, and what it reports.
fn reporting(server: Builder) -> (Wire, Receiver<String>) {
    let (tell, told) = unbounded();
    let server = server.on_error(move |error| tell.send(error.to_string()).unwrap());
    (started(server), told)
}

fn next(told: &Receiver<String>) -> String {
    told.recv_timeout(PATIENCE).expect("a report")
}

fn start_error(client: Builder) -> Error {
    client.build().unwrap().start().unwrap_err()
}

/// The error of a `start_within` with a short timeout.
fn start_within_error(client: Builder) -> Error {
    let client = client.build().unwrap();
    client.start_within(Duration::from_millis(500)).unwrap_err()
}

/// A row, after checking that the message has the address once.
#[track_caller]
fn row_with_address_once(input: &str, error: &Error, addr: &str, expected: &[&str]) {
    row(input, error, expected);
    let message = error.to_string();
    assert_eq!(message.matches(addr).count(), 1, "{message}");
}

#[test]
fn a_session_that_does_not_come_in_time_names_the_server_once() {
    in_time(|| {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = silent.local_addr().unwrap().to_string();
        let error = start_within_error(Wire::join(&addr));
        let expected = format!("no session within 500ms: the server at {addr} accepted");
        let parts = [&expected, "has not answered yet", "is it a wirenet server?"];
        row_with_address_once("start_within, a silent server", &error, &addr, &parts);

        let server = started(mounting().token_validator(|_, _, _| Err("bad token".into())));
        let addr = addr_of(&server).to_string();
        let error = start_within_error(Wire::join(&addr).retry_policy(|_| Some(PATIENCE)));
        let expected = format!("no session with {addr} within 500ms: session refused: bad token");
        row_with_address_once("start_within, a wrong token", &error, &addr, &[&expected]);

        let client = Wire::join(&addr).build().unwrap();
        client.start().unwrap_err();
        let error = client.wait_session(Duration::from_millis(10)).unwrap_err();
        let expected = "within 10ms: the client gave up: session refused: bad token";
        let input = "wait_session after the client gave up";
        row_with_address_once(input, &error, &addr, &[expected]);
    });
}

#[test]
fn a_wire_that_cannot_be_used_says_what_to_do() {
    in_time(|| {
        let client = Wire::join("127.0.0.1:1").build().unwrap();
        let error = client.wait_session(Duration::from_millis(10)).unwrap_err();
        let expected = "no session within 10ms: the wire does not run: call `start`";
        row("wait_session, not started", error, &[expected]);
        let policy = |_: &wirenet::Retry<'_>| Some(PATIENCE);
        let client = Wire::join("127.0.0.1:1").retry_policy(policy).build();
        let client = client.unwrap();
        client.start_within(Duration::from_millis(10)).unwrap_err();
        let again = client.start_within(Duration::from_millis(10)).unwrap_err();
        row(
            "start_within again",
            again,
            &["is closed", "build another one"],
        );

        let server = started(mounting());
        row(
            "start of a wire that runs",
            server.start().unwrap_err(),
            &["already runs", "build another one"],
        );
        let session = joining(&server).build().unwrap().start_within(PATIENCE);
        let session = session.unwrap();
        while !session.is_closed() {
            thread::yield_now();
        }
        let error = session.open_stream("echo").unwrap_err();
        let expected = ["closed on this side", "`Wire`", "dropped"];
        row("open_stream after the wire was dropped", error, &expected);
    });
}

#[test]
fn a_peer_that_closes_is_named_when_a_stream_is_opened() {
    in_time(|| {
        let server = started(
            mounting()
                .stream("echo", echo)
                .session_close_timeout(PATIENCE),
        );
        let client = started(joining(&server));
        let session = client.sessions()[0].clone();
        let stream = session.open_stream("echo").unwrap();
        let closer = closing(&server);
        while !session.is_closing() {
            thread::yield_now();
        }
        let error = session.open_stream("echo").unwrap_err();
        let expected = ["the peer is closing", "wait for the next one"];
        row("open_stream while the peer closes", error, &expected);
        drop(stream);
        closer.join().unwrap().unwrap();
    });
}

#[test]
fn the_side_that_refuses_reports_what_it_alone_knows() {
    in_time(|| {
        let (server, told) = reporting(mounting());
        let hub = reporting(Wire::hub("127.0.0.1:0").max_sessions(1));
        for (who, (wire, told)) in [("server", (server, &told)), ("hub", (hub.0, &hub.1))] {
            let client = started(joining(&wire));
            client.sessions()[0].open_stream("ecko").unwrap_err();
            let told = next(told);
            let expected = "open of stream \"ecko\" (127.0.0.1:";
            let ending = "): refused: no handler for this name";
            assert!(told.ends_with(ending), "{told}");
            row(
                format!("an unknown name, reported by the {who}"),
                told,
                &[expected],
            );
            if who == "hub" {
                start_error(joining(&wire).retry_max(0));
                let parts = ["too many sessions: 1 are open", "`Builder::max_sessions`"];
                row("a full hub, reported there", next(&hub.1), &parts);
            }
        }
        let (server, told) = reporting(mounting().handler_limit(1).stream("echo", echo));
        let client = started(joining(&server));
        let session = &client.sessions()[0];
        let _busy = session.open_stream("echo").unwrap();
        session.open_stream("echo").unwrap_err();
        let parts = ["all 1 handlers are busy", "`Builder::handler_limit`"];
        row("all handlers are busy, reported there", next(&told), &parts);
    });
}

#[test]
fn the_causes_of_a_refusal_are_reported_where_they_are_known_and_not_sent() {
    in_time(|| {
        let (server, told) = reporting(mounting().token_validator(|_, _, _| {
            Err(anyhow::anyhow!("db.internal:5432 refused").context("cannot look you up"))?
        }));
        let error = start_error(joining(&server).retry_max(0));
        let text = "session refused: cannot look you up (server: ";
        row("a validator that fails", &error, &[text]);
        assert!(!error.to_string().contains("db.internal"), "{error}");
        let expected = "session refused: cannot look you up: db.internal:5432 refused";
        row(
            "a validator that fails, reported there",
            next(&told),
            &[expected],
        );
    });
}

#[test]
fn a_name_that_is_taken_says_what_to_do() {
    in_time(|| {
        let hub = started(Wire::hub("127.0.0.1:0").stream("own", echo));
        let _owner = started(
            joining(&hub)
                .identification("box-1", "")
                .stream("backup", echo),
        );
        for (name, parts) in [
            (
                "backup",
                &["another session", "another name", "identification"][..],
            ),
            ("own", &["the hub's own", "another name"]),
        ] {
            let client = joining(&hub).retry_max(0).stream(name, echo);
            row(format!("offer of {name:?}"), start_error(client), parts);
        }
    });
}
