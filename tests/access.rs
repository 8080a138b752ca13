//! `Builder::access` decides which clients may offer which stream names. No
//! client can take a name that the hub itself serves.

mod support;

use crossbeam_channel::{Receiver, bounded, unbounded};
use std::{net::SocketAddr, time::Duration};
use support::{
    in_time,
    wires::{as_it_is, joining, message, mounting, started},
};
use wirenet::{
    Builder, Denied, Error, Operation, Refusal, RefusalCode, Request, Session, Wire, same_token,
};

fn hub() -> Builder {
    Wire::hub("127.0.0.1:0").session_close_timeout(Duration::from_millis(200))
}

/// A client that does not retry. The stream that it offers answers with the
/// client's identification.
fn offering(hub: &Wire, id: &str, token: &str, name: &str) -> Wire {
    let who = id.to_owned();
    joining(hub)
        .identification(id, token)
        .retry_max(0)
        .stream(name, move |stream| stream.write_message(who.as_bytes()))
        .build()
        .unwrap()
}

fn session(wire: &Wire) -> Session {
    wire.start_within(support::PATIENCE).unwrap()
}

fn ask(session: &Session, name: &str) -> String {
    let stream = session.open_stream(name).unwrap();
    String::from_utf8(message(&stream).unwrap()).unwrap()
}

fn refusal_of(client: &Wire) -> (Option<RefusalCode>, String) {
    match client.start() {
        Err(Error::SessionRefused { code, text, .. }) => (code, text),
        other => panic!("expected a refusal, got {other:?}"),
    }
}

/// Requires each identification to present a token of its own.
fn with_tokens(builder: Builder) -> Builder {
    builder.token_validator(|_, id, token| {
        let expected = [b"token of ", id].concat();
        let known = same_token(token, &expected);
        known.then_some(()).ok_or("wrong token".into())
    })
}

/// Allows a client the names that begin with its identification.
fn own_names(request: &Request<'_>) -> Result<(), Denied> {
    let Request::Offer { who, name } = request else {
        return Err("not known here".into());
    };
    let whose = name.split_once(':').map(|(whose, _)| whose.as_bytes());
    match whose == Some(who.identification()) {
        true => Ok(()),
        false => Err("not yours".into()),
    }
}

#[test]
fn a_client_cannot_take_a_name_of_the_hub_or_of_a_client_that_is_offline() {
    in_time(|| {
        let hub = with_tokens(hub()).access(own_names);
        let hub = hub.stream("login", |stream| stream.write_message(b"the hub"));
        let hub = started(hub);
        let box_1 = || offering(&hub, "box-1", "token of box-1", "box-1:files");
        let caller = started(joining(&hub).identification("caller", "token of caller"));
        let caller = caller.wait_session(support::PATIENCE).unwrap();
        let offline = box_1();
        session(&offline);
        assert_eq!(ask(&caller, "box-1:files"), "box-1");
        offline.close().unwrap();
        for name in ["login", "box-1:files", "box-1", "", "box-2"] {
            let Ok(thief) = joining(&hub)
                .identification("box-2", "token of box-2")
                .retry_max(0)
                .stream(name, |stream| stream.write_message(b"box-2"))
                .build()
            else {
                continue;
            };
            let (code, text) = refusal_of(&thief);
            assert_eq!(code, Some(RefusalCode::NameNotAllowed), "{name}");
            let expected =
                format!("wirenet: the stream name {name:?} may not be offered: not yours");
            assert_eq!(text, expected);
        }
        assert_eq!(ask(&caller, "login"), "the hub");
        let refusal = match caller.open_stream("box-1:files") {
            Err(Error::Refused { refusal, .. }) => refusal,
            other => panic!("expected a refusal, got {other:?}"),
        };
        assert_eq!(refusal, Refusal::HandlerNotFound);
        let back = box_1();
        session(&back);
        assert_eq!(ask(&caller, "box-1:files"), "box-1");
    });
}

#[test]
fn a_name_that_the_hub_serves_is_taken_even_without_access_rules() {
    in_time(|| {
        let hub = hub().stream("login", |stream| stream.write_message(b"the hub"));
        let hub = started(hub);
        let (code, text) = refusal_of(&offering(&hub, "box-2", "", "login"));
        assert_eq!(code, Some(RefusalCode::NameTaken));
        assert_eq!(
            text,
            "wirenet: the stream name \"login\" is the hub's own; offer another name"
        );
        assert!(hub.sessions().is_empty());
    });
}

#[test]
fn a_handler_added_to_the_hub_later_takes_precedence_over_the_names_owner() {
    in_time(|| {
        let hub = started(hub());
        let owner = offering(&hub, "box-1", "", "status");
        session(&owner);
        let calling = started(joining(&hub));
        let caller = calling.wait_session(support::PATIENCE).unwrap();
        assert_eq!(ask(&caller, "status"), "box-1");
        hub.stream("status", |stream| stream.write_message(b"the hub"))
            .unwrap();
        assert_eq!(ask(&caller, "status"), "the hub");
    });
}

#[test]
fn a_client_and_its_server_may_both_serve_the_same_name() {
    in_time(|| {
        let server = mounting().stream("a", |stream| stream.write_message(b"the server"));
        let server = started(server);
        let client = offering(&server, "box-1", "", "a");
        assert_eq!(ask(&session(&client), "a"), "the server");
        let session = server.wait_session(support::PATIENCE).unwrap();
        assert_eq!(ask(&session, "a"), "box-1");
    });
}

/// Records each question to the token validator and to `access`, as text.
fn recording(builder: Builder) -> (Builder, Receiver<(String, Option<SocketAddr>)>) {
    let (tell, told) = unbounded();
    let in_validator = tell.clone();
    let builder = builder
        .token_validator(move |name, _, token| {
            in_validator
                .send((format!("token for {name}"), None))
                .unwrap();
            let known = token == b"right";
            known.then_some(()).ok_or("wrong token".into())
        })
        .access(move |request| {
            if let Request::Offer { who, name } = request {
                let id = String::from_utf8_lossy(who.identification());
                tell.send((format!("{id} offers {name}"), who.addr()))
                    .unwrap();
            }
            Ok(())
        });
    (builder, told)
}

#[test]
fn access_is_asked_once_for_each_name_after_the_token_was_accepted() {
    in_time(|| {
        for serving in [mounting(), hub()] {
            let (serving, told) = recording(serving);
            let server = started(serving);
            let client = |token| {
                joining(&server)
                    .identification("box-1", token)
                    .retry_max(0)
                    .stream("b", |_| Ok(()))
                    .stream("a", |_| Ok(()))
                    .build()
                    .unwrap()
            };
            refusal_of(&client("wrong"));
            assert_eq!(told.try_iter().count(), 1, "no name was asked about");
            let client = client("right");
            let session = session(&client);
            let addr = session.local_addr();
            let asked: Vec<_> = told.try_iter().collect();
            let expected = [
                ("token for confirmSession".into(), None),
                ("box-1 offers a".into(), addr),
                ("box-1 offers b".into(), addr),
            ];
            assert_eq!(asked, expected);
            session.open_stream("missing").unwrap_err();
            let asked: Vec<_> = told.try_iter().collect();
            assert_eq!(asked, [("token for missing".into(), None)]);
        }
    });
}

/// Has `access` give `answer` to the first offer and allow the second. Returns
/// the errors that were reported to the client and to the hub.
fn answering_first(answer: fn() -> Result<(), Denied>) -> (Vec<String>, Vec<(Operation, String)>) {
    let (tell, told) = unbounded();
    let (client_tell, client_told) = unbounded();
    let (once, taken) = bounded(1);
    once.send(()).unwrap();
    let hub = hub().access(move |_| match taken.try_recv() {
        Ok(()) => answer(),
        Err(_) => Ok(()),
    });
    let hub = started(hub.on_error(move |error| {
        let _ = tell.send((error.operation.clone(), error.cause.to_string()));
    }));
    let client = joining(&hub)
        .stream("a", |_| Ok(()))
        .retry_max(1)
        .retry_wait(Duration::from_millis(1), Duration::from_millis(1))
        .on_error(move |error| client_tell.send(error.cause.to_string()).unwrap());
    let client = client.build().unwrap();
    client.start().unwrap();
    client.close().unwrap();
    // The hub reports every error before its close returns.
    hub.close().unwrap();
    (client_told.try_iter().collect(), told.try_iter().collect())
}

#[test]
fn an_offer_that_is_denied_for_now_is_retried() {
    in_time(|| {
        let (client_told, told) =
            answering_first(|| Err(Denied::for_now("the rules are not loaded")));
        let text = "session refused: wirenet: the stream name \"a\" may not be offered: \
                    the rules are not loaded";
        assert_eq!(client_told, [text]);
        assert_eq!(told, [(Operation::Handshake, text.into())]);
    });
}

#[test]
fn a_panic_in_access_refuses_for_now_and_is_reported() {
    in_time(|| {
        let (client_told, told) = answering_first(|| panic!("a rule is broken"));
        let text = "session refused: wirenet: the stream name \"a\" may not be offered: \
                    wirenet: the validator failed";
        assert_eq!(client_told, [text]);
        let panic_report = (
            Operation::Hook("access"),
            "panicked: a rule is broken".into(),
        );
        assert_eq!(told, [panic_report, (Operation::Handshake, text.into())]);
    });
}

#[test]
fn a_session_that_was_refused_keeps_none_of_its_names() {
    in_time(|| {
        let hub = hub().access(|request| match request {
            Request::Offer { name: "b", .. } => Err("no".into()),
            _ => Ok(()),
        });
        let hub = started(hub);
        let denied = joining(&hub)
            .retry_max(0)
            .stream("a", |_| Ok(()))
            .stream("b", |_| Ok(()));
        refusal_of(&denied.build().unwrap());
        assert!(hub.sessions().is_empty());
        // The name is still free.
        session(&offering(&hub, "box-1", "", "a"));
    });
}

/// No lock is held while `access` runs.
#[test]
fn access_may_block_and_call_the_wire() {
    in_time(|| {
        let (give_hub, given_hub) = bounded::<Wire>(1);
        let hub = hub().access(move |_| {
            let hub = given_hub.recv().expect("the hub");
            assert!(hub.sessions().is_empty());
            hub.stream("late", |_| Ok(())).unwrap();
            assert_eq!(hub.stats().sessions, 0);
            Ok(())
        });
        let hub = started(as_it_is(hub));
        give_hub.send(hub.clone()).unwrap();
        session(&offering(&hub, "box-1", "", "a"));
    });
}
