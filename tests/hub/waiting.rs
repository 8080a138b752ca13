//! Clients that do not announce that they understand refusal codes, as go-wirenet's
//! do not, treat every refusal as permanent. A hub makes them wait for a condition
//! that may pass, and disconnects them without an answer if that takes too long.

use crate::{
    stage::{Hub, connect, echo, start},
    support::{
        PATIENCE,
        encoding::{FEATURES, request},
        in_time,
        peer::Peer,
    },
};
use crossbeam_channel::{Receiver, unbounded};
use std::{
    net::SocketAddr,
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};
use wirenet::{Builder, Denied, Error, Operation, RefusalCode};

const NEVER: Duration = Duration::from_secs(3600);

/// Sends reported errors to a channel, as text.
fn errors(hub: Builder) -> (Builder, Receiver<(Operation, String)>) {
    let (tell, told) = unbounded();
    let hub = hub.on_error(move |error| {
        let _ = tell.send((error.operation.clone(), error.cause.to_string()));
    });
    (hub, told)
}

/// A hub with the options of `set`, and its reported errors.
fn hub_with(set: impl FnOnce(Builder) -> Builder) -> (Hub, Receiver<(Operation, String)>) {
    let mut told = None;
    let hub = Hub::with(|hub| {
        let (hub, errors) = errors(set(hub));
        told = Some(errors);
        hub
    });
    (hub, told.expect("it was set"))
}

fn assert_let_in(mut newcomer: Peer) -> Peer {
    let answer = newcomer.answer().expect("an answer");
    assert_eq!(answer.len(), 18 + FEATURES.len(), "no error: {answer:?}");
    newcomer
}

/// The text and the code of the refusal.
fn refusal(mut newcomer: Peer) -> (String, u8) {
    let answer = newcomer.answer().expect("an answer");
    let text = &answer[18 + 2..answer.len() - 2 - FEATURES.len()];
    let code = answer[answer.len() - 1 - FEATURES.len()];
    (String::from_utf8_lossy(text).into_owned(), code)
}

/// Waits until the hub pings the owner: then a client waits for its name.
pub fn await_ping(owner: &mut Peer) {
    while !owner.receive().expect("a ping").is_ping() {}
}

/// The owner has a third of this time to answer a ping.
const HANDSHAKE: Duration = Duration::from_millis(900);

fn impatient(hub: Builder) -> Builder {
    // Nothing else may end the owner's session.
    hub.handshake_timeout(HANDSHAKE).keep_alive(false)
}

#[test]
fn a_frozen_owner_without_identification_is_evicted_by_its_successor() {
    in_time(|| {
        let (hub, told) = hub_with(impatient);
        let _frozen = hub.peer("", &["a"]);
        assert!(hub.sessions_are(1));
        let _successor = assert_let_in(hub.asking_peer("", &["a"]));
        let (operation, cause) = told.recv_timeout(PATIENCE).unwrap();
        assert_eq!(operation, Operation::Session);
        assert!(cause.contains("no answer to a ping in time"), "{cause}");
        assert!(hub.sessions_are(1));
    });
}

#[test]
fn an_owner_that_answers_keeps_its_name_and_the_new_client_gets_no_answer() {
    in_time(|| {
        let (hub, told) = hub_with(impatient);
        let owner = hub.owner("a", echo);
        let began = Instant::now();
        let mut newcomer = hub.asking_peer("", &["a"]);
        assert_eq!(newcomer.answer(), None);
        assert!(began.elapsed() >= HANDSHAKE);
        let (operation, cause) = told.recv_timeout(PATIENCE).unwrap();
        assert_eq!(operation, Operation::Handshake);
        let text = "session refused: wirenet: the stream name \"a\" belongs to another session; offer another \
            name, or, if this is the same client, present that session's identification";
        assert_eq!(cause, text);
        assert!(!owner.session.is_closed());
        assert_eq!(hub.caller().ask("a", b"hello").unwrap(), b"hello");
    });
}

#[test]
fn a_client_that_waits_for_a_name_gets_it_when_its_owner_leaves() {
    in_time(|| {
        let (hub, _told) = hub_with(|hub| hub.handshake_timeout(NEVER));
        let mut owner = hub.peer("", &["a"]);
        let newcomer = hub.asking_peer("", &["a"]);
        await_ping(&mut owner);
        drop(owner);
        let _newcomer = assert_let_in(newcomer);
    });
}

#[test]
fn clients_with_the_same_identification_at_once_are_not_refused() {
    in_time(|| {
        let hub = Hub::new();
        for _ in 0..20 {
            let barrier = Barrier::new(8);
            thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| {
                        barrier.wait();
                        // It may be disconnected when the next one takes over.
                        let answer = hub.asking_peer("box-1", &["a"]).answer();
                        let is_let_in = |answer: &Vec<u8>| answer.len() == 18 + FEATURES.len();
                        assert!(answer.as_ref().is_none_or(is_let_in), "{answer:?}");
                    });
                }
            });
        }
        let _last = assert_let_in(hub.asking_peer("box-1", &["a"]));
    });
}

#[test]
fn a_client_of_a_full_hub_is_accepted_when_another_leaves() {
    in_time(|| {
        let (ask, asked) = unbounded();
        let (hub, _told) = hub_with(|hub| {
            let hub = hub.max_sessions(2).handshake_timeout(NEVER);
            hub.token_validator(move |_, id, _| {
                let _ = ask.send(id.to_vec());
                Ok(())
            })
        });
        let _stays = hub.peer("1", &[]);
        let leaves = hub.peer("2", &[]);
        let newcomer = hub.asking_peer("3", &[]);
        while asked.recv_timeout(PATIENCE).unwrap() != b"3" {}
        drop(leaves);
        let _newcomer = assert_let_in(newcomer);
        assert!(hub.sessions_are(2));
    });
}

#[test]
fn a_temporary_refusal_is_not_sent_and_a_permanent_one_is() {
    in_time(|| {
        let (hub, told) = hub_with(|hub| {
            let hub = hub.stream("own", echo).access(|_| Ok(()));
            hub.token_validator(|_, id, _| match id {
                b"later" => Err(Denied::for_now("not now")),
                b"panic" => panic!("the validator fails"),
                b"never" => Err("never".into()),
                _ => Ok(()),
            })
        });
        for id in ["later", "panic"] {
            assert_eq!(hub.asking_peer(id, &[]).answer(), None);
            loop {
                let (operation, cause) = told.recv_timeout(PATIENCE).unwrap();
                if operation == Operation::Handshake {
                    assert!(cause.starts_with("session refused"), "{cause}");
                    break;
                }
            }
        }
        let never = refusal(hub.asking_peer("never", &[]));
        assert_eq!(never, ("never".into(), RefusalCode::TokenRefused as u8));
        let (text, code) = refusal(hub.asking_peer("box-1", &["own"]));
        assert_eq!(code, RefusalCode::NameTaken as u8);
        assert!(text.contains("is the hub's own; "), "{text}");
        let (_, code) = refusal(hub.asking_peer("box-1", &["confirmSession"]));
        assert_eq!(code, RefusalCode::Malformed as u8);
    });
}

#[test]
fn a_client_that_understands_codes_is_refused_at_once_and_accepted_when_the_owner_is_silent() {
    in_time(|| {
        let (hub, _told) = hub_with(|hub| {
            let hub = hub.handshake_timeout(Duration::from_secs(20));
            hub.keep_alive(false)
                .read_write_timeouts(None, Duration::from_millis(300))
        });
        let _frozen = hub.peer("", &["a"]);
        assert!(hub.sessions_are(1));
        let refused = start(hub.client().stream("a", echo)).map(|_| ());
        let Err(Error::SessionRefused { code, .. }) = refused else {
            panic!("not refused: {refused:?}");
        };
        assert_eq!(code, Some(RefusalCode::NameTaken));
        let patient = hub
            .client()
            .stream("a", echo)
            .retry_max(None)
            .retry_wait(Duration::from_millis(1), Duration::from_millis(50));
        start(patient).unwrap();
    });
}

#[test]
fn a_waiting_client_is_evicted_by_others_as_any_handshake_is() {
    in_time(|| {
        let (hub, told) = hub_with(|hub| hub.handshake_timeout(NEVER).max_handshakes(2));
        let mut owner = hub.peer("", &["a"]);
        let mut another = hub.peer("", &["b"]);
        // From here on, they take no handshake places.
        assert!(hub.sessions_are(2));
        let mut waiting = hub.asking_peer("", &["a"]);
        await_ping(&mut owner);
        let _second = hub.asking_peer("", &["b"]);
        await_ping(&mut another);
        let bind =
            |socket: &socket2::Socket| socket.bind(&SocketAddr::from(([127, 0, 0, 2], 0)).into());
        let mut other = connect(&hub.addr, bind);
        other.begin_ask(&request("", &["a"]));
        assert_eq!(waiting.answer(), None);
        let (operation, cause) = told.recv_timeout(PATIENCE).unwrap();
        assert_eq!(operation, Operation::Handshake);
        assert!(cause.contains("evicted"), "{cause}");
    });
}

#[test]
fn a_client_that_left_while_it_waited_takes_over_nothing() {
    in_time(|| {
        let (opened, sessions) = unbounded();
        let (hub, told) = hub_with(|hub| {
            let hub = hub.handshake_timeout(NEVER);
            hub.on_session_open(move |session| {
                let _ = opened.send(session.identification().to_vec());
            })
        });
        let mut owner = hub.peer("owner", &["a"]);
        // The hooks of different sessions run in any order.
        assert_eq!(sessions.recv_timeout(PATIENCE).unwrap(), b"owner");
        let waiting = hub.asking_peer("waits", &["a"]);
        await_ping(&mut owner);
        drop(waiting);
        drop(owner);
        let handshake = |told: &(Operation, String)| told.0 == Operation::Handshake;
        assert!(told.iter().any(|told| handshake(&told)));
        let _next = hub.peer("next", &["a"]);
        assert_eq!(sessions.recv_timeout(PATIENCE).unwrap(), b"next");
        assert_eq!(hub.wire.stats().sessions, 2);
    });
}

#[test]
fn a_close_wakes_waiting_clients() {
    in_time(|| {
        let (hub, _told) = hub_with(|hub| hub.handshake_timeout(NEVER));
        let mut owner = hub.peer("", &["a"]);
        let mut waiting = hub.asking_peer("", &["a"]);
        await_ping(&mut owner);
        hub.wire.close().unwrap();
        assert_eq!(waiting.answer(), None);
    });
}
