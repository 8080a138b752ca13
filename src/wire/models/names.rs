//! The names of a hub: sessions reserve them, are established, are replaced and end, and
//! callers wait for their owners. Also the threads that wait for a wire.

use super::pending;
use crate::{
    sync::{Time, check, check_all, thread},
    transport::{Halves, Transport, memory},
    wire::{
        run::{inbound, serving::Established},
        session::{
            handshake_messages::Features,
            id::SessionId,
            session::{Agreed, Session},
        },
        state::{
            handlers::Handlers,
            options::Options,
            registry::{Conflict, NameOwner, Registry},
            wire_state::WireState,
        },
    },
    yamux::{Acceptor, Connection, Role},
};
use std::{sync::Arc, time::Duration};

const NAME: &str = "name";

fn hub() -> Arc<WireState> {
    let options = Options {
        keep_alive: false,
        ..Options::default()
    };
    WireState::new(
        options,
        Handlers::default(),
        Registry::of_hub,
        inbound::find_owner,
        None,
    )
}

/// The established owner of the name.
fn owner(hub: &WireState) -> Session {
    match hub.owner_of(NAME) {
        NameOwner::Session(owner) => owner,
        _ => panic!("no session owns the name"),
    }
}

fn id(number: u8) -> SessionId {
    SessionId::from_bytes(&[number; 16]).unwrap()
}

fn names() -> Vec<String> {
    vec![NAME.into()]
}

/// An established session, and the peer's end of its connection.
struct OpenSession {
    session: Session,
    /// The thread that serves the session until it ends.
    serving: thread::JoinHandle<()>,
    /// Dropping this ends the connection.
    peer: Halves,
}

/// Opens a session as a server does after it has received the request.
fn open(hub: &Arc<WireState>, number: u8, identification: &[u8]) -> Result<OpenSession, Conflict> {
    let id = id(number);
    let pending = pending(hub).map_err(|_| Conflict::Full)?;
    hub.reserve(id, identification, &names())?;
    let (ours, theirs) = memory::pair(1 << 10);
    let config = Arc::clone(&hub.connection);
    let acceptor = Acceptor::new(|_| false);
    let driven = Connection::driven(ours.split().unwrap(), Role::Server, config, acceptor);
    let (connection, reader) = driven.unwrap();
    let agreed = Agreed {
        id,
        identification: identification.into(),
        stream_names: names(),
        features: Features::OURS,
    };
    let host = Arc::<WireState>::downgrade(hub);
    let session = Session::new(
        host,
        hub.threads.clone(),
        hub.options.session(),
        connection,
        agreed,
    );
    if hub.enter(&session, &pending).is_err() {
        hub.release(id);
        return Err(Conflict::Full);
    }
    let established = Established {
        session: session.clone(),
        reader,
    };
    let serving = Arc::clone(hub);
    Ok(OpenSession {
        session,
        serving: thread::spawn(move || drop(serving.serve(established))),
        peer: theirs.split().unwrap(),
    })
}

impl OpenSession {
    fn end(self) {
        self.peer.closer.shutdown();
        self.serving.join().unwrap();
    }
}

#[test]
fn a_name_requested_by_two_clients_goes_to_one_and_is_free_after_its_session() {
    check(Time::Fixed, || {
        let hub = hub();
        let clients = [1, 2].map(|number| {
            let hub = Arc::clone(&hub);
            thread::spawn(move || open(&hub, number, &[number]))
        });
        let opened = clients.map(|client| client.join().unwrap());
        let owner = owner(&hub).id();
        assert_eq!(opened.iter().filter(|opened| opened.is_ok()).count(), 1);
        for opened in opened {
            match opened {
                Ok(opened) => {
                    assert_eq!(opened.session.id(), owner);
                    opened.end();
                }
                Err(conflict) => assert_eq!(conflict, Conflict::Name(NAME.into())),
            }
        }
        assert!(matches!(hub.owner_of(NAME), NameOwner::Nobody));
        open(&hub, 3, b"3").unwrap_or_else(|_| panic!()).end();
    });
}

/// The old session ends, or is replaced, while its client reconnects: in either order, the
/// new session owns the name.
#[test]
fn a_client_that_reconnects_gets_its_name_back() {
    check(Time::Fixed, || {
        let hub = hub();
        let old = open(&hub, 1, b"box").unwrap_or_else(|_| panic!());
        let leaving = {
            let closer = Arc::clone(&old.peer.closer);
            thread::spawn(move || closer.shutdown())
        };
        let new = open(&hub, 2, b"box").unwrap_or_else(|_| panic!());
        leaving.join().unwrap();
        old.end();
        let owner = owner(&hub);
        assert_eq!(owner.id(), id(2));
        assert!(!owner.is_closed());
        new.end();
        assert!(matches!(hub.owner_of(NAME), NameOwner::Nobody));
        assert!(hub.sessions().is_empty());
    });
}

/// If a client reconnects twice at the same time, one session owns the name, and no session
/// without it stays open.
#[test]
fn a_client_that_reconnects_twice_owns_its_name_once() {
    check(Time::Fixed, || {
        let hub = hub();
        let old = open(&hub, 1, b"box").unwrap_or_else(|_| panic!());
        let again = [2, 3].map(|number| {
            let hub = Arc::clone(&hub);
            thread::spawn(move || open(&hub, number, b"box"))
        });
        let again = again.map(|client| client.join().unwrap());
        old.end();
        let owner = owner(&hub);
        assert!(!owner.is_closed());
        let opened: Vec<_> = again.into_iter().filter_map(Result::ok).collect();
        for opened in &opened {
            let is_owner = opened.session.id() == owner.id();
            assert_ne!(is_owner, opened.session.is_closed());
        }
        opened.into_iter().for_each(OpenSession::end);
        assert!(matches!(hub.owner_of(NAME), NameOwner::Nobody));
    });
}

/// A call to a name whose owner's session is being opened waits for the outcome.
#[test]
fn a_caller_of_a_name_waits_for_the_session_that_is_being_opened() {
    check(Time::Fixed, || {
        let hub = hub();
        hub.reserve(id(1), b"box", &names()).unwrap();
        let callers = [(); 2].map(|()| {
            let hub = Arc::clone(&hub);
            thread::spawn(move || hub.owner_of(NAME))
        });
        hub.release(id(1));
        for caller in callers {
            assert!(matches!(caller.join().unwrap(), NameOwner::Nobody));
        }
    });
    check(Time::Fixed, || {
        let hub = hub();
        let opening = {
            let hub = Arc::clone(&hub);
            thread::spawn(move || open(&hub, 1, b"box").unwrap_or_else(|_| panic!()))
        };
        let caller = {
            let hub = Arc::clone(&hub);
            thread::spawn(move || hub.owner_of(NAME))
        };
        // Either before the name was reserved, or after the session was established.
        match caller.join().unwrap() {
            NameOwner::Nobody => {}
            NameOwner::Opening => panic!("it is established"),
            NameOwner::Session(owner) => assert_eq!(owner.id(), id(1)),
        }
        opening.join().unwrap().end();
    });
}

#[test]
fn a_close_wakes_threads_that_wait_for_an_owner_or_a_session() {
    check(Time::Fixed, || {
        let hub = hub();
        hub.reserve(id(1), b"box", &names()).unwrap();
        let caller = {
            let hub = Arc::clone(&hub);
            thread::spawn(move || hub.owner_of(NAME))
        };
        let waiting = {
            let hub = Arc::clone(&hub);
            thread::spawn(move || hub.wait_session(Duration::from_secs(1)))
        };
        let opening = {
            let hub = Arc::clone(&hub);
            thread::spawn(move || open(&hub, 2, b"other"))
        };
        hub.stop();
        assert!(matches!(caller.join().unwrap(), NameOwner::Opening));
        assert!(waiting.join().unwrap().is_err());
        // The name belongs to another client.
        assert!(opening.join().unwrap().is_err());
    });
}

#[test]
fn an_established_session_wakes_threads_that_wait_for_one() {
    check(Time::Fixed, || {
        let hub = hub();
        let waiting = {
            let hub = Arc::clone(&hub);
            thread::spawn(move || hub.wait_session(Duration::from_secs(1)))
        };
        let opened = open(&hub, 1, b"box").unwrap_or_else(|_| panic!());
        assert_eq!(waiting.join().unwrap().unwrap().id(), id(1));
        opened.end();
    });
}

#[test]
fn a_nudge_or_a_close_ends_a_pause_that_has_or_has_not_begun() {
    for close in [false, true] {
        check_all(move || {
            let wire = hub();
            let pausing = {
                let wire = Arc::clone(&wire);
                thread::spawn(move || wire.pause(Duration::from_secs(1)))
            };
            match close {
                true => drop(wire.stop()),
                false => wire.nudge(),
            }
            pausing.join().unwrap();
        });
    }
}

#[test]
fn a_wait_returns_when_the_wire_stops_running_and_it_may_run_again() {
    check_all(|| {
        let wire = hub();
        let up = wire.begin().unwrap_or_else(|_| panic!());
        let waiting = {
            let wire = Arc::clone(&wire);
            thread::spawn(move || wire.wait())
        };
        drop(up);
        waiting.join().unwrap().unwrap();
        assert!(wire.begin().is_ok());
    });
}

#[test]
fn a_wait_for_a_client_ends_with_its_session_and_no_other() {
    check(Time::Fixed, || {
        let server = hub();
        let waiting = {
            let server = Arc::clone(&server);
            thread::spawn(move || server.wait_session_for(b"box", Duration::from_secs(1)))
        };
        let other = open(&server, 2, b"other").unwrap_or_else(|_| panic!());
        other.end();
        let opened = open(&server, 1, b"box").unwrap_or_else(|_| panic!());
        assert_eq!(waiting.join().unwrap().unwrap().id(), id(1));
        opened.end();
    });
}

#[test]
fn a_wait_for_the_first_session_ends_with_the_session_or_with_the_run() {
    check(Time::Fixed, || {
        let wire = hub();
        let up = wire.begin().unwrap_or_else(|_| panic!());
        let waiting = {
            let wire = Arc::clone(&wire);
            thread::spawn(move || wire.wait_first_session(Duration::from_secs(1)))
        };
        let opened = open(&wire, 1, b"box").unwrap_or_else(|_| panic!());
        assert!(waiting.join().unwrap().unwrap().is_some());
        opened.end();
        drop(up);
    });
    check_all(|| {
        let wire = hub();
        let up = wire.begin().unwrap_or_else(|_| panic!());
        let waiting = {
            let wire = Arc::clone(&wire);
            thread::spawn(move || wire.wait_first_session(Duration::from_secs(1)))
        };
        drop(up);
        assert!(waiting.join().unwrap().unwrap().is_none());
    });
}
