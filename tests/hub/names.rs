//! A name has one owner.

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
    thread,
    time::Duration,
};
use wirenet::{Builder, Error, Refusal, RefusalCode};

/// Says who it is.
fn says(who: &'static str, name: &str) -> impl FnOnce(Builder) -> Builder {
    let name = name.to_owned();
    move |client| client.stream(name, move |stream| stream.write_message(who.as_bytes()))
}

fn who(caller: &Client, name: &str) -> String {
    String::from_utf8(caller.ask(name, b"").unwrap()).unwrap()
}

/// Why a session was refused.
fn refusal_of(builder: Builder) -> (Option<RefusalCode>, String) {
    match start(builder).map(|_| ()) {
        Err(Error::SessionRefused { code, text }) => (code, text),
        other => panic!("not refused, but: {other:?}"),
    }
}

fn assert_taken(builder: Builder, name: &str) {
    let (code, text) = refusal_of(builder);
    assert_eq!(code, Some(RefusalCode::NameTaken));
    assert!(text.contains(&format!("{name:?}")), "{text}");
}

/// What a validator knows: the token of each identification.
fn tokens(hub: Builder) -> Builder {
    hub.token_validator(|_, id, token| match (id, token) {
        (b"box-1", b"right") | (b"box-2" | b"", _) => Ok(()),
        _ => Err("bad token".into()),
    })
}

#[test]
fn a_name_that_another_client_owns_is_refused_by_name() {
    in_time(|| {
        let hub = Hub::new();
        let _owner = hub.join(|client| says("first", "a")(client.identification("box-1", "")));
        let second = says("second", "a")(hub.client().identification("box-2", ""));
        assert_taken(says("second", "b")(second), "a");
        // Nothing of what it offered is there.
        let caller = hub.caller();
        assert_eq!(who(&caller, "a"), "first");
        assert_eq!(caller.open("b").unwrap_err(), Refusal::HandlerNotFound);
    });
}

#[test]
fn a_refused_session_is_nowhere() {
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
        let owner = hub.join(says("first", "a"));
        assert_eq!(hooked.recv_timeout(PATIENCE).unwrap(), owner.session.id());
        let (opened, client_hook) = unbounded::<()>();
        let refused =
            says("second", "a")(hub.client()).on_session_open(move |_| opened.send(()).unwrap());
        assert_taken(refused, "a");
        // The hub is done with it when it has reported it.
        assert_eq!(errors.recv_timeout(PATIENCE).unwrap(), None);
        let sessions: Vec<_> = hub.wire.sessions().iter().map(|s| s.id()).collect();
        assert_eq!(sessions, [owner.session.id()]);
        assert_eq!(hub.wire.stats().sessions, 1);
        owner.wire.close().unwrap();
        // The next that the hooks tell of is the owner's end.
        assert_eq!(hooked.recv_timeout(PATIENCE).unwrap(), owner.session.id());
        assert!(hooked.is_empty());
        assert!(client_hook.recv().is_err(), "its own hook neither");
    });
}

#[test]
fn the_first_name_that_is_taken_is_the_one_that_is_named() {
    in_time(|| {
        let hub = Hub::new();
        let _first = hub.join(says("first", "b"));
        let _second = hub.join(says("second", "d"));
        let mut third = hub.client();
        for name in ["a", "b", "c", "d"] {
            third = says("third", name)(third);
        }
        assert_taken(third, "b");
    });
}

/// A client whose validator waits until what is given is dropped; the channels
/// tell when it does, and of errors.
fn slow(hub: Builder) -> (Builder, Sender<()>, Receiver<()>, Receiver<String>) {
    let (release, released) = bounded::<()>(0);
    let (began, asked) = unbounded();
    let (failed, errors) = unbounded();
    let hub = hub
        .token_validator(move |_, _, token| {
            if token == b"slow" {
                began.send(()).unwrap();
                let _ = released.recv();
            }
            Ok(())
        })
        .on_error(move |error| {
            let _ = failed.send(error.to_string());
        });
    (hub, release, asked, errors)
}

/// Its first connection lost its place, and nobody has told the validator.
#[test]
fn a_try_that_gave_way_takes_no_names_from_the_client_that_has_come_back() {
    in_time(|| {
        let mut parts = None;
        let hub = Hub::with(|hub| {
            let (hub, release, asked, errors) = slow(hub.max_handshakes(2));
            parts = Some((release, asked, errors));
            hub
        });
        let (release, asked, errors) = parts.expect("it was set");
        let before = says("before", "a")(hub.client().identification("box-1", "slow"));
        let before = thread::spawn(move || start(before).map(|_| ()));
        asked.recv_timeout(PATIENCE).unwrap();
        let _silent = TcpStream::connect(&hub.addr).unwrap();
        let _back = hub.peer_with("box-1", &["a"], |socket| {
            socket.bind(&SocketAddr::from(([127, 0, 0, 2], 0)).into())
        });
        assert!(hub.sessions_are(1));
        drop(release);
        let error = errors.recv_timeout(PATIENCE).unwrap();
        assert!(error.contains("gave way"), "{error}");
        before.join().unwrap().unwrap_err();
        let [session] = &hub.wire.sessions()[..] else {
            panic!("it has lost its session");
        };
        assert!(!session.is_closed());
    });
}

/// Its first try has run out of time, which nobody has told the validator.
#[test]
fn a_try_that_is_out_of_time_takes_no_names_from_the_client_that_has_come_back() {
    in_time(|| {
        let mut parts = None;
        let hub = Hub::with(|hub| {
            let (hub, release, asked, errors) = slow(hub.handshake_timeout(Duration::from_secs(2)));
            parts = Some((release, asked, errors));
            hub
        });
        let (release, asked, errors) = parts.expect("it was set");
        let before = says("before", "a")(hub.client().identification("box-1", "slow"));
        let before = thread::spawn(move || start(before).map(|_| ()));
        asked.recv_timeout(PATIENCE).unwrap();
        let back = hub.join(|client| says("back", "a")(client.identification("box-1", "")));
        // It has as much time as the first try had, and began later.
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
fn the_same_client_with_a_token_that_is_accepted_takes_its_names_over() {
    in_time(|| {
        let hub = Hub::with(tokens);
        let client = |who| says(who, "a")(hub.client().identification("box-1", "right"));
        let old = start(client("old")).unwrap();
        let caller = hub.caller();
        assert_eq!(who(&caller, "a"), "old");
        let _new = start(client("new")).unwrap();
        // At once: nobody has to wait for the old one's end.
        assert_eq!(who(&caller, "a"), "new");
        assert!(eventually(|| old.session.is_closed()));
        assert!(hub.sessions_are(2));
        assert_eq!(who(&caller, "a"), "new");
    });
}

#[test]
fn the_same_client_with_a_token_that_is_not_accepted_does_not() {
    in_time(|| {
        let hub = Hub::with(tokens);
        let client = |token| hub.client().identification("box-1", token);
        let old = start(says("old", "a")(client("right"))).unwrap();
        let (code, text) = refusal_of(says("new", "a")(client("wrong")));
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
        let old = start(says("old", "a")(client("one"))).unwrap();
        let _new = start(says("new", "a")(client("another"))).unwrap();
        assert_eq!(who(&hub.caller(), "a"), "new");
        assert!(eventually(|| old.session.is_closed()));
    });
}

#[test]
fn clients_without_an_identification_are_never_the_same() {
    in_time(|| {
        let hub = Hub::new();
        let old = hub.join(says("old", "a"));
        assert_taken(says("new", "a")(hub.client()), "a");
        let token = hub.client().identification("", "token");
        assert_taken(says("new", "a")(token), "a");
        assert!(!old.session.is_closed());
    });
}

#[test]
fn a_client_comes_back_only_if_all_its_names_are_free_or_its_own() {
    in_time(|| {
        let hub = Hub::new();
        let mine = hub.join(|client| says("mine", "a")(client.identification("box-1", "")));
        let theirs = hub.join(|client| says("theirs", "b")(client.identification("box-2", "")));
        let again = says("again", "a")(hub.client().identification("box-1", ""));
        assert_taken(says("again", "b")(again), "b");
        // Then nothing has changed.
        assert!(!mine.session.is_closed() && !theirs.session.is_closed());
        let caller = hub.caller();
        assert_eq!(
            (who(&caller, "a"), who(&caller, "b")),
            ("mine".into(), "theirs".into())
        );
    });
}

#[test]
fn a_session_that_ends_takes_only_names_away_that_are_still_its_own() {
    in_time(|| {
        let (ended, ends) = unbounded();
        let hub = Hub::with(|hub| {
            hub.on_session_close(move |session| {
                // A hub that ends later has nobody to tell.
                let _ = ended.send(session.id());
            })
        });
        let client = |who| says(who, "a")(hub.client().identification("box-1", ""));
        let old = start(says("old", "b")(client("old"))).unwrap();
        let _new = start(client("new")).unwrap();
        assert_eq!(ends.recv_timeout(PATIENCE).unwrap(), old.session.id());
        let caller = hub.caller();
        // The hook runs when the session has left.
        assert_eq!(who(&caller, "a"), "new");
        assert_eq!(caller.open("b").unwrap_err(), Refusal::HandlerNotFound);
        // A third one may have what the second does not offer.
        let _third = hub.join(says("third", "b"));
        assert_eq!(who(&caller, "b"), "third");
    });
}

#[test]
fn a_session_with_other_names_takes_nothing_over() {
    in_time(|| {
        let hub = Hub::new();
        let client = |name| says("me", name)(hub.client().identification("box-1", ""));
        let one = start(client("a")).unwrap();
        let two = start(client("b")).unwrap();
        let _caller = start(hub.client().identification("box-1", "")).unwrap();
        assert!(hub.sessions_are(3));
        assert!(!one.session.is_closed() && !two.session.is_closed());
    });
}

#[test]
fn of_many_that_want_a_name_at_once_one_gets_it() {
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
        let standing = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        assert_eq!(standing, 1);
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
fn of_many_of_the_same_client_the_one_that_is_left_has_the_name() {
    in_time(|| {
        let hub = Hub::new();
        let wires: Vec<_> = (0..16)
            .map(|_| hub.client().identification("box-1", ""))
            .map(|client| client.stream("a", echo).build().unwrap())
            .collect();
        thread::scope(|scope| {
            for wire in &wires {
                // Another may take over, or be a little earlier.
                scope.spawn(|| wire.start());
            }
        });
        assert!(eventually(|| {
            let standing = wires.iter().filter(|wire| !wire.sessions().is_empty());
            standing.count() == 1 && hub.wire.sessions().len() == 1
        }));
        assert_eq!(hub.caller().ask("a", b"hello").unwrap(), b"hello");
    });
}

#[test]
fn a_session_that_is_not_authenticated_owns_no_name() {
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
        let slow = says("slow", "a")(hub.client().identification("slow", ""));
        let slow = thread::spawn(move || refusal_of(slow));
        validating.recv_timeout(PATIENCE).unwrap();
        let caller = hub.caller();
        assert_eq!(caller.open("a").unwrap_err(), Refusal::HandlerNotFound);
        let _owner = hub.join(says("quick", "a"));
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
            // The client may know of it a little earlier.
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
fn a_hub_holds_as_many_sessions_as_it_may_and_a_client_that_comes_back_is_none_more() {
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

/// The way to the hub goes silent: nothing gets through any more, in either
/// direction, and neither end is told.
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
        // The client notices by its keepalive, and dials anew. The hub has not
        // noticed anything, and has to let it take over.
        assert!(eventually(|| client.session.is_closed()));
        let new = client.wire.wait_session(PATIENCE).unwrap();
        let answer = caller.ask("box-1:who", b"").unwrap();
        assert_eq!(answer, new.id().as_bytes());
        assert!(hub.sessions_are(2));
    });
}

#[test]
fn a_client_that_is_refused_its_name_gets_it_when_it_is_free() {
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
fn a_request_for_a_session_id_that_is_taken_is_refused() {
    in_time(|| {
        let hub = Hub::new();
        let owner = hub.owner("a", echo);
        let request = [field(1, owner.session.id().as_bytes()), field(4, b"b")];
        let answer = connect(&hub.addr, |_| Ok(())).ask(&request.concat());
        assert!(String::from_utf8_lossy(&answer).contains("session id"));
        assert_eq!(hub.wire.sessions().len(), 1);
        assert_eq!(hub.caller().ask("a", b"still").unwrap(), b"still");
    });
}
