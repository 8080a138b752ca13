//! Sessions found by identification, by name and by id, and handlers that are removed.

use crate::support::{
    PATIENCE, in_time,
    wires::{Link, as_it_is, assert_echoes, echo, joining, message, mounting, started},
};
use crossbeam_channel::bounded;
use std::{thread, time::Duration};
use wirenet::{Error, Refusal, SessionId, Wire};

const SHORT: Duration = Duration::from_millis(50);

/// A client with this identification that offers this stream.
fn offering(server: &Wire, identification: &str, name: &str) -> Wire {
    let client = joining(server).identification(identification, "");
    started(client.stream(name, |_| Ok(())))
}

#[test]
fn a_session_is_found_by_the_identification_of_its_client() {
    in_time(|| {
        let server = started(mounting());
        assert!(server.session_for("box-1").is_none());
        let clients: Vec<Wire> = (0..5)
            .map(|number| offering(&server, &format!("box-{number}"), "a"))
            .collect();
        for (number, client) in clients.iter().enumerate() {
            let identification = format!("box-{number}");
            let session = server.wait_session_for(&identification, PATIENCE).unwrap();
            assert_eq!(session.identification(), identification.as_bytes());
            assert_eq!(
                server.session_for(&identification).unwrap().id(),
                session.id()
            );
            // On both sides.
            assert_eq!(
                client.session_for(identification).unwrap().id(),
                session.id()
            );
        }
        assert!(server.session_for("box-").is_none());
        assert!(server.session_for(b"").is_none());
    });
}

#[test]
fn of_several_sessions_of_a_client_the_last_is_found() {
    in_time(|| {
        let server = started(mounting());
        let first = offering(&server, "box-1", "a");
        let old = server.wait_session_for("box-1", PATIENCE).unwrap().id();
        let second = offering(&server, "box-1", "a");
        let new = second.sessions()[0].id();
        while server.session_for("box-1").unwrap().id() == old {
            thread::yield_now();
        }
        assert_eq!(server.session_for("box-1").unwrap().id(), new);
        assert_eq!(server.session_offering("a").unwrap().id(), new);
        assert_eq!(server.sessions().len(), 2);
        second.close().unwrap();
        while server.session_for("box-1").unwrap().id() != old {
            thread::yield_now();
        }
        first.close().unwrap();
    });
}

#[test]
fn a_session_is_found_by_a_stream_that_its_peer_offers() {
    in_time(|| {
        for server in [mounting(), Wire::hub("127.0.0.1:0")] {
            let server = started(server.stream("of-server", |_| Ok(())));
            let client = offering(&server, "box-1", "of-client");
            let session = server.wait_session(PATIENCE).unwrap();
            assert_eq!(
                server.session_offering("of-client").unwrap().id(),
                session.id()
            );
            assert_eq!(
                client.session_offering("of-server").unwrap().id(),
                session.id()
            );
            assert!(server.session_offering("of-server").is_none());
            assert!(client.session_offering("of-client").is_none());
            client.close().unwrap();
            while server.session_offering("of-client").is_some() {
                thread::yield_now();
            }
        }
    });
}

#[test]
fn a_wait_for_a_client_ignores_other_clients_and_says_which_one_is_missing() {
    in_time(|| {
        let server = started(mounting());
        let _other = offering(&server, "box-1", "a");
        server.wait_session_for("box-1", PATIENCE).unwrap();
        for (identification, shown) in [
            (&b"box-2"[..], r#""box-2""#),
            (b"box\xff", r#"b"box\xff""#),
            (b"box\n", r#""box\n""#),
        ] {
            let error = server.wait_session_for(identification, SHORT).unwrap_err();
            let expected = format!("no session of {shown} within 50ms");
            assert_eq!(error.to_string(), expected);
        }
        let waiting = server.clone();
        let waiting = thread::spawn(move || waiting.wait_session_for("box-2", PATIENCE));
        let _client = offering(&server, "box-2", "a");
        let session = waiting.join().unwrap().unwrap();
        assert_eq!(session.identification(), b"box-2");
        server.close().unwrap();
        let closed = server.wait_session_for("box-1", PATIENCE);
        assert!(matches!(closed, Err(Error::Closed)), "{closed:?}");
    });
}

#[test]
fn the_id_of_a_session_survives_as_text() {
    in_time(|| {
        let link = Link::new(as_it_is, as_it_is);
        let id = link.near.id();
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.to_string().to_uppercase().parse(), Ok(id));
        let id: SessionId = id.to_string().parse().unwrap();
        assert!(link.server.session(id).is_some());
    });
    let id = "67e55044-10b1-426f-9247-bb680e5fe0c8";
    for wrong in [
        "",
        "box-1",
        "67e55044-10b1-426f-9247-bb680e5fe0c",
        "67e5504410b1426f9247bb680e5fe0c8",
        "67e55044-10b1-426f-9247-bb680e5fe0cg",
        "67e5504410b1-426f-9247-bb680e5fe0c8--",
        &format!("{{{id}}}"),
        &format!("urn:uuid:{id}"),
        &format!("{id}\n"),
    ] {
        let error = wrong.parse::<SessionId>().unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("{wrong:?} is not a session id")),
            "{error}"
        );
        assert!(error.contains(id), "{error}");
    }
}

#[test]
fn a_removed_handler_gets_no_new_streams_and_its_running_streams_continue() {
    in_time(|| {
        let (goes_on, may_go_on) = bounded::<()>(0);
        let link = Link::new(
            |server| {
                server.stream("echo", echo).stream("slow", move |stream| {
                    may_go_on.recv().unwrap();
                    echo(stream)
                })
            },
            as_it_is,
        );
        let running = link.near.open_stream("slow").unwrap();
        running.write_message(b"hello").unwrap();
        assert!(link.server.remove_stream("slow"));
        assert!(!link.server.remove_stream("slow"), "it is removed already");
        assert!(!link.server.remove_stream("unknown"));
        let refused = link.near.open_stream("slow");
        let Err(Error::Refused { refusal, .. }) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(refusal, Refusal::HandlerNotFound);
        assert_eq!(link.near.stream_names(), ["echo", "slow"], "as announced");
        goes_on.send(()).unwrap();
        assert_eq!(message(&running).unwrap(), b"hello");
        assert_echoes(&link.near);
        link.server.stream("slow", echo).unwrap();
        link.near.open_stream("slow").unwrap();
    });
}

#[test]
fn a_removed_handler_is_dropped_and_is_not_announced_again() {
    in_time(|| {
        let (owned, dropped) = bounded::<()>(0);
        let server = started(mounting().stream("a", move |_| {
            let _ = &owned;
            Ok(())
        }));
        assert!(server.remove_stream("a"));
        assert!(dropped.recv().is_err(), "the handler is gone");
        let session = joining(&server).build().unwrap().start_within(PATIENCE);
        assert!(session.unwrap().stream_names().is_empty());
    });
}

#[test]
fn a_hub_keeps_the_owner_of_a_name_whose_handler_was_removed() {
    in_time(|| {
        let hub = started(Wire::hub("127.0.0.1:0").stream("of-hub", echo));
        let owner = started(joining(&hub).identification("owner", "").stream("a", echo));
        let caller = started(joining(&hub).stream("unrelated", echo));
        let call = |name: &str| {
            let session = caller.wait_session(PATIENCE).unwrap();
            session.open_stream(name).map(drop)
        };
        call("a").unwrap();
        assert!(owner.remove_stream("a"));
        let refused = call("a");
        let Err(Error::Refused { refusal, .. }) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(refusal, Refusal::HandlerNotFound, "the owner's answer");
        assert_eq!(
            hub.session_offering("a").unwrap().identification(),
            b"owner"
        );

        call("of-hub").unwrap();
        assert!(hub.remove_stream("of-hub"));
        call("of-hub").unwrap_err();
        let _heir = started(joining(&hub).stream("of-hub", echo));
        call("of-hub").unwrap();
    });
}
