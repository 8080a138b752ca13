//! Every name has one owner.

use crate::{
    stage::{Client, Hub, client_of, connect, echo, eventually, start},
    support::{
        PATIENCE,
        encoding::field,
        fault_proxy::{FaultProxy, Profile},
        in_time,
    },
};
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use std::{
    net::{SocketAddr, TcpStream},
    thread::{self, JoinHandle},
    time::Duration,
};
use wirenet::{Builder, Error, Refusal, RefusalCode};

/// Offers a name and answers calls with `who`.
fn answers(who: &'static str, name: &str) -> impl FnOnce(Builder) -> Builder {
    let name = name.to_owned();
    move |client| client.stream(name, move |stream| stream.write_message(who.as_bytes()))
}

fn who(caller: &Client, name: &str) -> String {
    String::from_utf8(caller.ask(name, b"").unwrap()).unwrap()
}

/// The reason for which a session is refused.
fn refusal_of(builder: Builder) -> (Option<RefusalCode>, String) {
    match start(builder).map(|_| ()) {
        Err(Error::SessionRefused { code, text, .. }) => (code, text),
        other => panic!("not refused, but: {other:?}"),
    }
}

fn assert_taken(builder: Builder, name: &str) {
    let (code, text) = refusal_of(builder);
    assert_eq!(code, Some(RefusalCode::NameTaken));
    assert!(text.contains(&format!("{name:?}")), "{text}");
}

/// Accepts only the right token for each identification.
fn tokens(hub: Builder) -> Builder {
    hub.token_validator(|_, id, token| match (id, token) {
        (b"box-1", b"right") | (b"box-2" | b"", _) => Ok(()),
        _ => Err("bad token".into()),
    })
}

#[test]
fn a_name_of_another_client_is_refused_and_named() {
    in_time(|| {
        let hub = Hub::new();
        let _owner = hub.join(|client| answers("first", "a")(client.identification("box-1", "")));
        let second = answers("second", "a")(hub.client().identification("box-2", ""));
        assert_taken(answers("second", "b")(second), "a");
        // None of its names is registered.
        let caller = hub.caller();
        assert_eq!(who(&caller, "a"), "first");
        assert_eq!(caller.open("b").unwrap_err(), Refusal::HandlerNotFound);
    });
}

#[test]
fn a_refused_session_leaves_no_trace() {
    in_time(|| {
        let (told, hooked) = unbounded();
        let close_told = told.clone();
        let (failed, errors) = unbounded();
        let hub = Hub::with(|hub| {
            hub.on_session_open(move |session| told.send(session.id()).unwrap())
                .on_session_close(move |session| close_told.send(session.id()).unwrap())
                .on_error(move |error| {
                    let _ = failed.send(error.session);
                })
        });
        let owner = hub.join(answers("first", "a"));
        assert_eq!(hooked.recv_timeout(PATIENCE).unwrap(), owner.session.id());
        let (opened, client_hook) = unbounded::<()>();
        let refused =
            answers("second", "a")(hub.client()).on_session_open(move |_| opened.send(()).unwrap());
        assert_taken(refused, "a");
        // The hub reports it last.
        assert_eq!(errors.recv_timeout(PATIENCE).unwrap(), None);
        let sessions: Vec<_> = hub.wire.sessions().iter().map(|s| s.id()).collect();
        assert_eq!(sessions, [owner.session.id()]);
        assert_eq!(hub.wire.stats().sessions, 1);
        owner.wire.close().unwrap();
        // The next call of a hook is for the owner's end.
        assert_eq!(hooked.recv_timeout(PATIENCE).unwrap(), owner.session.id());
        assert!(hooked.is_empty());
        assert!(client_hook.recv().is_err(), "its own hook is not called");
    });
}

#[test]
fn the_refusal_names_the_first_name_that_is_taken() {
    in_time(|| {
        let hub = Hub::new();
        let _first = hub.join(answers("first", "b"));
        let _second = hub.join(answers("second", "d"));
        let mut third = hub.client();
        for name in ["a", "b", "c", "d"] {
            third = answers("third", name)(third);
        }
        assert_taken(third, "b");
    });
}

/// A hub whose validator blocks while it checks the first attempt of a client.
struct Slow {
    hub: Hub,
    /// The attempt, which offers the name "a".
    before: JoinHandle<Result<(), Error>>,
    /// The validator returns when this is dropped.
    release: Sender<()>,
    /// What the hub reports.
    errors: Receiver<String>,
}

fn slow(set: impl FnOnce(Builder) -> Builder) -> Slow {
    let (release, released) = bounded::<()>(0);
    let (began, asked) = unbounded();
    let (failed, errors) = unbounded();
    let hub = Hub::with(|hub| {
        set(hub)
            .token_validator(move |_, _, token| {
                if token == b"slow" {
                    began.send(()).unwrap();
                    let _ = released.recv();
                }
                Ok(())
            })
            .on_error(move |error| {
                let _ = failed.send(error.to_string());
            })
    });
    let before = answers("before", "a")(hub.client().identification("box-1", "slow"));
    let before = thread::spawn(move || start(before).map(|_| ()));
    asked.recv_timeout(PATIENCE).unwrap();
    Slow {
        hub,
        before,
        release,
        errors,
    }
}

/// The first connection is evicted while the validator runs.
#[test]
fn an_evicted_attempt_takes_no_names_from_the_client_that_has_come_back() {
    in_time(|| {
        let Slow {
            hub,
            before,
            release,
            errors,
        } = slow(|hub| hub.max_handshakes(2));
        let _silent = TcpStream::connect(&hub.addr).unwrap();
        let _back = hub.peer_with("box-1", &["a"], |socket| {
            socket.bind(&SocketAddr::from(([127, 0, 0, 2], 0)).into())
        });
        assert!(hub.sessions_are(1));
        drop(release);
        let error = errors.recv_timeout(PATIENCE).unwrap();
        assert!(error.contains("evicted"), "{error}");
        before.join().unwrap().unwrap_err();
        let [session] = &hub.wire.sessions()[..] else {
            panic!("the client has lost its session");
        };
        assert!(!session.is_closed());
    });
}

/// The first attempt times out while the validator runs.
#[test]
fn an_attempt_that_timed_out_takes_no_names_from_the_client_that_has_come_back() {
    in_time(|| {
        let Slow {
            hub,
            before,
            release,
            errors,
        } = slow(|hub| hub.handshake_timeout(Duration::from_secs(2)));
        let back = hub.join(|client| answers("back", "a")(client.identification("box-1", "")));
        // It has as much time as the first attempt, and begins later.
        let _silent = TcpStream::connect(&hub.addr).unwrap();
        errors.recv_timeout(PATIENCE).unwrap();
        drop(release);
        let error = errors.recv_timeout(PATIENCE).unwrap();
        assert!(error.contains("no session handshake within"), "{error}");
        before.join().unwrap().unwrap_err();
        assert!(!hub.end_of(&back).is_closed());
        assert_eq!(who(&hub.caller(), "a"), "back");
    });
}

#[test]
fn the_same_client_with_an_accepted_token_takes_over_its_names() {
    in_time(|| {
        let hub = Hub::with(tokens);
        let client = |who| answers(who, "a")(hub.client().identification("box-1", "right"));
        let old = start(client("old")).unwrap();
        let caller = hub.caller();
        assert_eq!(who(&caller, "a"), "old");
        let _new = start(client("new")).unwrap();
        // At once: it does not wait for the end of the old session.
        assert_eq!(who(&caller, "a"), "new");
        assert!(eventually(|| old.session.is_closed()));
        assert!(hub.sessions_are(2));
        assert_eq!(who(&caller, "a"), "new");
    });
}

#[test]
fn the_same_client_with_a_rejected_token_takes_over_nothing() {
    in_time(|| {
        let hub = Hub::with(tokens);
        let client = |token| hub.client().identification("box-1", token);
        let old = start(answers("old", "a")(client("right"))).unwrap();
        let (code, text) = refusal_of(answers("new", "a")(client("wrong")));
        assert_eq!(code, Some(RefusalCode::TokenRefused));
        assert_eq!(text, "bad token");
        assert!(!old.session.is_closed());
        assert_eq!(who(&hub.caller(), "a"), "old");
    });
}

#[test]
fn without_a_validator_the_identification_alone_decides() {
    in_time(|| {
        let hub = Hub::new();
        let client = |token| hub.client().identification("box-1", token);
        let old = start(answers("old", "a")(client("one"))).unwrap();
        let _new = start(answers("new", "a")(client("another"))).unwrap();
        assert_eq!(who(&hub.caller(), "a"), "new");
        assert!(eventually(|| old.session.is_closed()));
    });
}

#[test]
fn clients_without_an_identification_are_never_the_same() {
    in_time(|| {
        let hub = Hub::new();
        let old = hub.join(answers("old", "a"));
        assert_taken(answers("new", "a")(hub.client()), "a");
        let token = hub.client().identification("", "token");
        assert_taken(answers("new", "a")(token), "a");
        assert!(!old.session.is_closed());
    });
}

#[test]
fn a_client_comes_back_only_if_all_its_names_are_free_or_its_own() {
    in_time(|| {
        let hub = Hub::new();
        let mine = hub.join(|client| answers("mine", "a")(client.identification("box-1", "")));
        let theirs = hub.join(|client| answers("theirs", "b")(client.identification("box-2", "")));
        let again = answers("again", "a")(hub.client().identification("box-1", ""));
        assert_taken(answers("again", "b")(again), "b");
        // Nothing has changed.
        assert!(!mine.session.is_closed() && !theirs.session.is_closed());
        let caller = hub.caller();
        assert_eq!(
            (who(&caller, "a"), who(&caller, "b")),
            ("mine".into(), "theirs".into())
        );
    });
}

#[test]
fn a_session_that_ends_frees_only_names_that_it_still_owns() {
    in_time(|| {
        let (ended, ends) = unbounded();
        let hub = Hub::with(|hub| {
            hub.on_session_close(move |session| {
                // The test may have ended.
                let _ = ended.send(session.id());
            })
        });
        let client = |who| answers(who, "a")(hub.client().identification("box-1", ""));
        let old = start(answers("old", "b")(client("old"))).unwrap();
        let _new = start(client("new")).unwrap();
        assert_eq!(ends.recv_timeout(PATIENCE).unwrap(), old.session.id());
        let caller = hub.caller();
        // The hook runs after the session was removed.
        assert_eq!(who(&caller, "a"), "new");
        assert_eq!(caller.open("b").unwrap_err(), Refusal::HandlerNotFound);
        // A third client may offer what the second does not.
        let _third = hub.join(answers("third", "b"));
        assert_eq!(who(&caller, "b"), "third");
    });
}

#[test]
fn a_session_with_other_names_takes_over_nothing() {
    in_time(|| {
        let hub = Hub::new();
        let client = |name| answers("me", name)(hub.client().identification("box-1", ""));
        let one = start(client("a")).unwrap();
        let two = start(client("b")).unwrap();
        let _caller = start(hub.client().identification("box-1", "")).unwrap();
        assert!(hub.sessions_are(3));
        assert!(!one.session.is_closed() && !two.session.is_closed());
    });
}

#[test]
fn one_of_many_clients_that_offer_a_name_at_once_gets_it() {
    in_time(|| {
        let hub = Hub::new();
        let outcomes: Vec<_> = thread::scope(|scope| {
            let clients: Vec<_> = (0..16)
                .map(|number| {
                    let client = hub.client().identification(format!("box-{number}"), "");
                    scope.spawn(|| start(client.stream("a", echo)))
                })
                .collect();
            clients
                .into_iter()
                .map(|client| client.join().unwrap())
                .collect()
        });
        let open = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        assert_eq!(open, 1);
        for outcome in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
            let code = match outcome {
                Error::SessionRefused { code, .. } => *code,
                other => panic!("{other}"),
            };
            assert_eq!(code, Some(RefusalCode::NameTaken));
        }
        assert!(hub.sessions_are(1));
    });
}

#[test]
fn the_last_of_many_sessions_of_the_same_client_has_the_name() {
    in_time(|| {
        let hub = Hub::new();
        let wires: Vec<_> = (0..16)
            .map(|_| hub.client().identification("box-1", ""))
            .map(|client| client.stream("a", echo).build().unwrap())
            .collect();
        thread::scope(|scope| {
            for wire in &wires {
                // It fails if another session takes over.
                scope.spawn(|| wire.start());
            }
        });
        assert!(eventually(|| {
            let open = wires.iter().filter(|wire| !wire.sessions().is_empty());
            open.count() == 1 && hub.wire.sessions().len() == 1
        }));
        assert_eq!(hub.caller().ask("a", b"hello").unwrap(), b"hello");
    });
}

#[test]
fn an_unauthenticated_session_owns_no_name() {
    in_time(|| {
        let (release, released) = bounded::<()>(0);
        let (entered, validating) = bounded(1);
        let hub = Hub::with(|hub| {
            hub.token_validator(move |_, id, _| {
                if id == b"slow" {
                    entered.send(()).unwrap();
                    let _ = released.recv();
                    return Err("after all, no".into());
                }
                Ok(())
            })
        });
        let slow = answers("slow", "a")(hub.client().identification("slow", ""));
        let slow = thread::spawn(move || refusal_of(slow));
        validating.recv_timeout(PATIENCE).unwrap();
        let caller = hub.caller();
        assert_eq!(caller.open("a").unwrap_err(), Refusal::HandlerNotFound);
        let _owner = hub.join(answers("quick", "a"));
        drop(release);
        assert_eq!(slow.join().unwrap().1, "after all, no");
        assert_eq!(who(&caller, "a"), "quick");
    });
}

#[test]
fn names_are_free_again_when_their_session_has_ended() {
    in_time(|| {
        let hub = Hub::new();
        for round in 0..20 {
            let owner = hub.owner("a", echo);
            // The client's session may be open a little earlier.
            assert!(hub.sessions_are(1));
            match round % 2 {
                0 => owner.wire.close().unwrap(),
                _ => owner.session.abort(),
            }
            assert!(hub.sessions_are(0));
        }
    });
}

#[test]
fn max_sessions_limits_sessions_but_not_a_client_that_takes_over_its_own() {
    in_time(|| {
        let hub = Hub::with(|hub| hub.max_sessions(2));
        let client = || hub.client().identification("box-1", "").stream("a", echo);
        let _old = start(client()).unwrap();
        let _other = hub.owner("b", echo);
        let (code, _) = refusal_of(hub.client());
        assert_eq!(code, Some(RefusalCode::TooManySessions));
        let _new = start(client()).unwrap();
        assert!(hub.sessions_are(2));
    });
}

/// The network goes silent: nothing gets through in either direction, and neither
/// end is notified.
#[test]
fn a_client_behind_a_dead_nat_entry_comes_back_and_is_reached() {
    in_time(|| {
        let hub = Hub::new();
        let nat = FaultProxy::to(hub.addr.parse().unwrap(), Profile::default()).unwrap();
        let client = client_of(&nat.addr.to_string())
            .identification("box-1", "")
            .keep_alive_interval(Duration::from_millis(100))
            .read_write_timeouts(None, Duration::from_millis(300))
            .retry_wait(Duration::from_millis(1), Duration::from_millis(20))
            .retry_max(None)
            .stream("box-1:who", |stream| {
                let id = stream.session().id();
                stream.write_message(id.as_bytes())
            });
        let client = start(client).unwrap();
        let caller = hub.caller();
        let old = caller.ask("box-1:who", b"").unwrap();
        assert_eq!(old, client.session.id().as_bytes());
        nat.silence();
        // The client notices it by its keepalive, and reconnects. The hub has not
        // noticed it, and must let the client take over.
        assert!(eventually(|| client.session.is_closed()));
        let new = client.wire.wait_session(PATIENCE).unwrap();
        let answer = caller.ask("box-1:who", b"").unwrap();
        assert_eq!(answer, new.id().as_bytes());
        assert!(hub.sessions_are(2));
    });
}

#[test]
fn a_client_whose_name_was_taken_gets_it_when_it_is_free() {
    in_time(|| {
        let hub = Hub::new();
        let first = hub.owner("a", echo);
        let second = hub
            .client()
            .retry_max(None)
            .retry_wait(Duration::from_millis(1), Duration::from_millis(20))
            .stream("a", |stream| stream.write_message(b"second"));
        let second = thread::spawn(|| start(second).unwrap());
        first.wire.close().unwrap();
        let _second = second.join().unwrap();
        assert_eq!(who(&hub.caller(), "a"), "second");
    });
}

#[test]
fn a_session_id_that_is_taken_is_refused() {
    in_time(|| {
        let hub = Hub::new();
        let owner = hub.owner("a", echo);
        let request = [field(1, owner.session.id().as_bytes()), field(4, b"b")];
        let answer = connect(&hub.addr, |_| Ok(())).ask(&request.concat());
        assert!(String::from_utf8_lossy(&answer).contains("session id"));
        // The owner knows of its session before the hub lists it.
        hub.wire.wait_session(PATIENCE).unwrap();
        assert_eq!(hub.wire.sessions().len(), 1);
        assert_eq!(hub.caller().ask("a", b"still").unwrap(), b"still");
    });
}
