//! How a stream is opened through a hub, and which answer the caller gets.

use crate::{
    stage::{Hub, echo, refusal},
    support::{
        PATIENCE,
        encoding::layer_2,
        frames::{ACK, FIN, Frame, RST},
        in_time,
        pattern::Pattern,
        wires::message,
    },
};
use crossbeam_channel::{bounded, unbounded};
use std::{
    io::{Read, Write},
    thread,
    time::Duration,
};
use wirenet::{Error, Refusal};

#[test]
fn a_message_is_echoed_through_the_hub() {
    in_time(|| {
        let hub = Hub::new();
        let owner = hub.owner("echo", echo);
        let caller = hub.caller();
        assert_eq!(caller.ask("echo", b"hello").unwrap(), b"hello");
        caller.wire.close().unwrap();
        owner.wire.close().unwrap();
        hub.wire.close().unwrap();
    });
}

#[test]
fn the_caller_is_answered_only_after_the_owner_has_answered() {
    in_time(|| {
        let hub = Hub::new();
        let (entered, validating) = bounded(1);
        let (release, released) = bounded::<()>(0);
        let _owner = hub.join(|owner| {
            owner.stream("slow", echo).token_validator(move |_, _, _| {
                entered.send(()).unwrap();
                // Until it is released.
                let _ = released.recv();
                Ok(())
            })
        });
        let caller = hub.caller();
        let session = caller.session.clone();
        let (sender, answer) = bounded(1);
        thread::spawn(move || sender.send(session.open_stream("slow")));
        validating.recv_timeout(PATIENCE).unwrap();
        // The hub serves another call meanwhile, which takes as long as a
        // premature answer would.
        assert_eq!(
            caller.open("nothing").unwrap_err(),
            Refusal::HandlerNotFound
        );
        assert!(answer.is_empty(), "answered before the owner");
        drop(release);
        answer.recv_timeout(PATIENCE).unwrap().unwrap();
    });
}

#[test]
fn the_caller_gets_the_owners_refusal() {
    in_time(|| {
        let hub = Hub::new();
        let _owner = hub.join(|owner| {
            owner
                .stream("shy", echo)
                .token_validator(|name, _, _| Err(format!("{name}: not on Sundays").into()))
        });
        let refused = hub.caller().open("shy").unwrap_err();
        assert_eq!(refused, Refusal::Other("shy: not on Sundays".into()));
    });
}

#[test]
fn every_kind_of_refusal_is_relayed_unchanged() {
    in_time(|| {
        let hub = Hub::new();
        let mut owner = hub.peer("owner", &["name"]);
        let caller = hub.caller();
        for (text, refusal) in [
            (
                "wirenet: stream handler not found",
                Refusal::HandlerNotFound,
            ),
            ("wirenet: session closed", Refusal::SessionClosed),
            ("", Refusal::Other(String::new())),
            ("ü", Refusal::Other("ü".into())),
        ] {
            let session = caller.session.clone();
            let call = thread::spawn(move || session.open_stream("name"));
            let open = owner.next_open();
            owner.refuse(&open, text);
            let refused = crate::stage::refusal(call.join().unwrap().unwrap_err());
            assert_eq!(refused, refusal);
        }
    });
}

#[test]
fn an_owner_that_does_not_answer_is_an_error_to_the_caller() {
    in_time(|| {
        let hub = Hub::with(|hub| hub.handshake_timeout(Duration::from_millis(300)));
        let mut owner = hub.peer("mute", &["mute"]);
        let caller = hub.caller();
        let refused = caller.open("mute").unwrap_err();
        assert!(
            matches!(&refused, Refusal::Other(text) if text.contains("does not answer")),
            "{refused}"
        );
        // The owner's stream is reset, because the caller no longer waits.
        let open = owner.next_open();
        owner.expect_reset(open.stream);
    });
}

#[test]
fn an_owner_with_an_invalid_answer_gets_a_reset() {
    /// A type of frame that is no answer.
    const NO_ANSWER: u32 = 0x01;
    in_time(|| {
        let hub = Hub::new();
        let mut owner = hub.peer("odd", &["odd"]);
        thread::scope(|scope| {
            let caller = hub.caller();
            let refused = scope.spawn(move || caller.open("odd").unwrap_err());
            let open = owner.next_open();
            owner.send(Frame::flags(open.stream, ACK));
            owner.send(Frame::data(open.stream, layer_2(NO_ANSWER, "odd", b"")));
            // A graceful end would mean that the caller has sent everything.
            let next = owner.next_of(open.stream);
            assert!(next.has(RST) && !next.has(FIN), "{next:?}");
            let refused = refused.join().unwrap().to_string();
            assert!(refused.contains("no valid answer"), "{refused}");
        });
    });
}

#[test]
fn a_name_without_an_owner_is_refused() {
    in_time(|| {
        let hub = Hub::new();
        let _owner = hub.owner("echo", echo);
        let refused = hub.caller().open("nothing").unwrap_err();
        assert_eq!(refused, Refusal::HandlerNotFound);
    });
}

#[test]
fn the_hub_serves_its_own_names() {
    in_time(|| {
        let hub = Hub::with(|hub| hub.stream("own", |stream| stream.write_message(b"the hub's")));
        let _owner = hub.owner("echo", echo);
        assert_eq!(hub.caller().ask("own", b"").unwrap(), b"the hub's");
    });
}

#[test]
fn the_hubs_own_names_take_precedence_over_clients() {
    in_time(|| {
        let hub = Hub::new();
        let caller = hub.caller();
        let owner = hub.owner("who", |stream| stream.write_message(b"client"));
        assert_eq!(caller.ask("who", b"").unwrap(), b"client");
        hub.wire
            .stream("who", |stream| stream.write_message(b"hub"))
            .unwrap();
        assert_eq!(caller.ask("who", b"").unwrap(), b"hub");
        owner.wire.close().unwrap();
        assert!(hub.sessions_are(1));
        assert_eq!(caller.ask("who", b"").unwrap(), b"hub");
    });
}

#[test]
fn what_is_written_before_the_answer_arrives_whole() {
    in_time(|| {
        let hub = Hub::new();
        let (release, released) = bounded::<()>(0);
        let (sender, got) = bounded(1);
        let _owner = hub.join(|owner| {
            owner
                .stream("late", move |stream| {
                    sender.send(message(stream)?).unwrap();
                    Ok(())
                })
                .token_validator(move |_, _, _| {
                    let _ = released.recv();
                    Ok(())
                })
        });
        let caller = hub.caller();
        let stream = caller.session.open_stream_nowait("late").unwrap();
        // As much as the window has room for, and the end.
        let sent = Pattern::new(1).to_vec(200_000);
        stream.write_message(&sent).unwrap();
        stream.finish().unwrap();
        drop(release);
        assert!(got.recv_timeout(PATIENCE).unwrap() == sent);
    });
}

#[test]
fn a_refusal_reaches_a_caller_that_did_not_wait_for_the_answer() {
    in_time(|| {
        let hub = Hub::new();
        let _owner = hub.join(|owner| {
            owner
                .stream("shy", echo)
                .token_validator(|_, _, _| Err("no".into()))
        });
        let caller = hub.caller();
        let mut stream = caller.session.open_stream_nowait("shy").unwrap();
        // The refusal may have arrived already.
        let _ = stream.write_all(&[7; 10_000]);
        let error = stream.read(&mut [0; 1]).unwrap_err();
        let error = error.get_ref().and_then(|e| e.downcast_ref::<Error>());
        let refused = refusal(error.expect("an Error").clone());
        assert_eq!(refused, Refusal::Other("no".into()));
    });
}

#[test]
fn an_owner_gets_the_hubs_token_and_never_a_callers() {
    in_time(|| {
        let (seen_by_hub, at_hub) = unbounded();
        let (seen_by_owner, at_owner) = unbounded();
        let hub = Hub::with(|hub| {
            hub.identification("the hub", "hub's token")
                .token_validator(move |name, id, token| {
                    let seen = (name.to_owned(), id.to_vec(), token.to_vec());
                    seen_by_hub.send(seen).unwrap();
                    Ok(())
                })
        });
        let _owner = hub.join(|owner| {
            owner
                .stream("echo", echo)
                .token_validator(move |name, _, token| {
                    let seen = (name.to_owned(), token.to_vec());
                    seen_by_owner.send(seen).unwrap();
                    Ok(())
                })
        });
        let caller = hub.join(|caller| caller.identification("caller", "caller's token"));
        assert_eq!(caller.ask("echo", b"x").unwrap(), b"x");
        let seen: Vec<_> = at_hub.try_iter().collect();
        let of_caller = |name: &str| (name.into(), b"caller".to_vec(), b"caller's token".to_vec());
        assert_eq!(seen[1..], [of_caller("confirmSession"), of_caller("echo")]);
        let seen: Vec<_> = at_owner.try_iter().collect();
        assert_eq!(seen, [("echo".into(), b"hub's token".to_vec())]);
    });
}

#[test]
fn a_caller_whose_token_the_hub_rejects_never_reaches_the_owner() {
    in_time(|| {
        let hub = Hub::with(|hub| {
            hub.token_validator(|name, id, _| match (name, id) {
                ("echo", b"unknown") => Err("who are you?".into()),
                _ => Ok(()),
            })
        });
        let (called, calls) = unbounded();
        let _owner = hub.owner("echo", move |_| {
            called.send(()).unwrap();
            Ok(())
        });
        let unknown = hub.join(|caller| caller.identification("unknown", ""));
        let refused = unknown.open("echo").unwrap_err();
        assert_eq!(refused, Refusal::Other("who are you?".into()));
        assert!(calls.is_empty());
    });
}

#[test]
fn an_owner_can_be_called_as_soon_as_it_has_started() {
    in_time(|| {
        let hub = Hub::new();
        let caller = hub.caller();
        for round in 0..100 {
            let name = format!("owner-{round}");
            let _owner = hub.owner(&name, echo);
            let answer = caller.ask(&name, b"there?");
            assert_eq!(answer.unwrap(), b"there?", "{name}");
        }
    });
}

#[test]
fn a_client_reaches_its_own_streams_through_the_hub() {
    in_time(|| {
        let hub = Hub::new();
        let both = hub.owner("mine", echo);
        let sent = Pattern::new(3).to_vec(3 << 20);
        let stream = both.session.open_stream("mine").unwrap();
        let reader = stream.try_clone().unwrap();
        thread::scope(|scope| {
            scope.spawn(|| stream.write_message(&sent).unwrap());
            assert!(message(&reader).unwrap() == sent);
        });
    });
}

#[test]
fn the_hub_calls_its_clients_itself() {
    in_time(|| {
        let hub = Hub::new();
        let owner = hub.owner("echo", echo);
        let stream = hub.end_of(&owner).open_stream("echo").unwrap();
        let sent = Pattern::new(9).to_vec(1 << 20);
        stream.write_message(&sent).unwrap();
        assert!(message(&stream).unwrap() == sent);
    });
}
