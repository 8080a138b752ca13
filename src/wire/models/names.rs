//! The names of a hub: who reserves, comes to stand, gives way, leaves and
//! waits, in many orders. And who waits for a wire.

use super::pending;
use crate::{
    sync::{Time, check, check_all, thread},
    transport::{Halves, Transport, memory},
    wire::{
        run::{inbound, serving::Established},
        session::{
            hello::Features,
            id::SessionId,
            session::{Agreed, Session},
        },
        state::{
            handlers::Handlers,
            options::Options,
            registry::{Conflict, NameOwner, Names},
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
        Names::Owned,
        inbound::find_owner,
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

/// A session that stands, and the peer's end of its connection.
struct Standing {
    session: Session,
    /// Serves it until it ends.
    serving: thread::JoinHandle<()>,
    /// The peer stays until this is dropped.
    peer: Halves,
}

/// Opens a session as a server does, from where the peer has asked.
fn open(hub: &Arc<WireState>, number: u8, identification: &[u8]) -> Result<Standing, Conflict> {
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
    Ok(Standing {
        session,
        serving: thread::spawn(move || drop(serving.serve(established))),
        peer: theirs.split().unwrap(),
    })
}

impl Standing {
    fn end(self) {
        self.peer.closer.shutdown();
        self.serving.join().unwrap();
    }
}

#[test]
fn a_name_that_two_want_goes_to_one_and_is_free_again_after_it() {
    check(Time::Stands, || {
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
                Ok(standing) => {
                    assert_eq!(standing.session.id(), owner);
                    standing.end();
                }
                Err(conflict) => assert_eq!(conflict, Conflict::Name(NAME.into())),
            }
        }
        assert!(matches!(hub.owner_of(NAME), NameOwner::Nobody));
        open(&hub, 3, b"3").unwrap_or_else(|_| panic!()).end();
    });
}

/// The old session ends by itself, or gives way, while the same client comes
/// back: whatever comes first, the new one has the name.
#[test]
fn a_client_that_comes_back_takes_its_name_over() {
    check(Time::Stands, || {
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

/// Of a client that comes back twice at once, one session has the name, and no
/// session without it stays.
#[test]
fn a_client_that_comes_back_twice_has_its_name_once() {
    check(Time::Stands, || {
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
        let standing: Vec<_> = again.into_iter().filter_map(Result::ok).collect();
        for standing in &standing {
            let has_it = standing.session.id() == owner.id();
            assert_ne!(has_it, standing.session.is_closed());
        }
        standing.into_iter().for_each(Standing::end);
        assert!(matches!(hub.owner_of(NAME), NameOwner::Nobody));
    });
}

/// A call of a name whose owner is being opened waits for what becomes of it.
#[test]
fn a_caller_of_a_name_that_is_being_opened_hears_what_becomes_of_it() {
    check(Time::Stands, || {
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
    check(Time::Stands, || {
        let hub = hub();
        let opening = {
            let hub = Arc::clone(&hub);
            thread::spawn(move || open(&hub, 1, b"box").unwrap_or_else(|_| panic!()))
        };
        let caller = {
            let hub = Arc::clone(&hub);
            thread::spawn(move || hub.owner_of(NAME))
        };
        // Before it was reserved, or when it stands.
        match caller.join().unwrap() {
            NameOwner::Nobody => {}
            NameOwner::Opening => panic!("it is established"),
            NameOwner::Session(owner) => assert_eq!(owner.id(), id(1)),
        }
        opening.join().unwrap().end();
    });
}

#[test]
fn a_close_wakes_who_waits_for_an_owner_or_a_session() {
    check(Time::Stands, || {
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
        // Another's name.
        assert!(opening.join().unwrap().is_err());
    });
}

#[test]
fn a_session_that_comes_to_stand_wakes_who_waits_for_one() {
    check(Time::Stands, || {
        let hub = hub();
        let waiting = {
            let hub = Arc::clone(&hub);
            thread::spawn(move || hub.wait_session(Duration::from_secs(1)))
        };
        let standing = open(&hub, 1, b"box").unwrap_or_else(|_| panic!());
        assert_eq!(waiting.join().unwrap().unwrap().id(), id(1));
        standing.end();
    });
}

#[test]
fn a_pause_ends_by_a_nudge_or_a_close_that_comes_before_or_in_it() {
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
fn who_waits_for_a_wire_to_end_hears_of_it_and_it_may_begin_again() {
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
