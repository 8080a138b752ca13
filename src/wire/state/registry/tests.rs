use super::*;
use proptest::{collection::vec, prelude::*};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

#[derive(Clone, Debug, PartialEq, Eq)]
struct Fake {
    id: SessionId,
    identification: &'static [u8],
    names: Vec<String>,
    is_closing: bool,
    is_closed: bool,
}

impl Member for Fake {
    fn id(&self) -> SessionId {
        self.id
    }

    fn identification(&self) -> &[u8] {
        self.identification
    }

    fn stream_names(&self) -> &[String] {
        &self.names
    }

    fn is_closing(&self) -> bool {
        self.is_closing
    }

    fn is_closed(&self) -> bool {
        self.is_closed
    }
}

fn fake(number: u8, identification: &'static [u8]) -> Fake {
    Fake {
        id: SessionId::from_bytes(&[number; 16]).unwrap(),
        identification,
        names: names(&["a"]),
        is_closing: false,
        is_closed: false,
    }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).into()).collect()
}

/// A hub on which this session owns the name "a".
fn hub(limit: usize, owner: &Fake) -> Registry<Fake> {
    let mut hub = Registry::of_hub(limit);
    let replaced = hub.reserve(owner.id, owner.identification, &names(&["a"]));
    assert_eq!(replaced, Ok(Vec::new()));
    hub.enter(owner);
    hub
}

#[test]
fn a_reserved_name_belongs_to_an_opening_session_until_that_is_entered() {
    let first = fake(1, b"first");
    let mut hub = Registry::of_hub(2);
    assert_eq!(hub.owner("a"), NameOwner::Nobody);
    hub.reserve(first.id, b"first", &names(&["a"])).unwrap();
    assert_eq!(hub.owner("a"), NameOwner::Opening);
    assert_eq!(hub.get(first.id), None);
    hub.enter(&first);
    assert_eq!(hub.owner("a"), NameOwner::Session(first.clone()));
    hub.remove(first.id);
    assert_eq!(hub.owner("a"), NameOwner::Nobody);
    assert!(hub.is_empty());
}

#[test]
fn a_name_of_another_client_is_refused_and_nothing_is_reserved() {
    let (owner, other) = (fake(1, b"owner"), fake(2, b"other"));
    let mut hub = hub(9, &owner);
    let refused = hub.reserve(other.id, other.identification, &names(&["b", "a"]));
    assert_eq!(refused, Err(Conflict::Name("a".into())));
    assert_eq!(hub.owner("b"), NameOwner::Nobody);
    let conflict = Conflict::Name("a".into());
    assert_eq!(
        hub.obstacle(&conflict, b"other"),
        Some(Obstacle::Owner(owner.clone()))
    );
    assert_eq!(hub.obstacle(&conflict, b"owner"), None);
}

#[test]
fn clients_without_an_identification_never_replace_each_other() {
    let (owner, other) = (fake(1, b""), fake(2, b""));
    let refused = hub(9, &owner).reserve(other.id, b"", &names(&["a"]));
    assert_eq!(refused, Err(Conflict::Name("a".into())));
}

#[test]
fn a_client_that_comes_back_replaces_its_session_once_and_keeps_the_name() {
    let (old, new) = (fake(1, b"client"), fake(2, b"client"));
    let mut hub = Registry::of_hub(1);
    hub.reserve(old.id, b"client", &names(&["a", "b"])).unwrap();
    hub.enter(&old);
    let replaced = hub.reserve(new.id, b"client", &names(&["a", "b"]));
    assert_eq!(replaced, Ok(vec![old.clone()]), "the limit counts it once");
    // The old session leaves later, and takes nothing with it.
    hub.leave(old.id);
    assert_eq!(hub.owner("a"), NameOwner::Opening);
    hub.enter(&new);
    assert_eq!(hub.owner("a"), NameOwner::Session(new));
}

#[test]
fn a_closing_or_closed_session_loses_its_names_and_is_not_replaced() {
    let closing = Fake {
        is_closing: true,
        ..fake(1, b"client")
    };
    let replaced = hub(9, &closing).reserve(fake(2, b"").id, b"client", &names(&["a"]));
    assert_eq!(replaced, Ok(Vec::new()));
    let closed = Fake {
        is_closed: true,
        ..fake(1, b"client")
    };
    let mut hub = hub(9, &closed);
    assert_eq!(hub.obstacle(&Conflict::Name("a".into()), b"other"), None);
    let replaced = hub.reserve(fake(2, b"").id, b"other", &names(&["a"]));
    assert_eq!(replaced, Ok(Vec::new()));
}

#[test]
fn sessions_count_towards_the_limit_until_they_are_given_up() {
    let (first, second) = (fake(1, b"1"), fake(2, b"2"));
    let mut hub = hub(1, &first);
    let reserve = |hub: &mut Registry<Fake>| hub.reserve(second.id, b"2", &names(&["b"]));
    assert_eq!(reserve(&mut hub), Err(Conflict::Full));
    hub.leave(first.id);
    assert_eq!(reserve(&mut hub), Err(Conflict::Full));
    assert_eq!(hub.obstacle(&Conflict::Full, b"2"), Some(Obstacle::Other));
    hub.end_departure();
    assert_eq!(hub.obstacle(&Conflict::Full, b"2"), None);
    assert_eq!(reserve(&mut hub), Ok(Vec::new()));
}

#[test]
fn an_id_is_reserved_once() {
    let first = fake(1, b"1");
    let refused = hub(9, &first).reserve(first.id, b"2", &names(&["b"]));
    assert_eq!(refused, Err(Conflict::Id));
}

#[test]
fn shared_names_have_no_owner() {
    let mut server = Registry::of_server(9);
    for number in [1, 2] {
        let session = fake(number, b"same");
        let replaced = server.reserve(session.id, b"same", &names(&["a"]));
        assert_eq!(replaced, Ok(Vec::new()));
        server.enter(&session);
    }
    assert_eq!(server.owner("a"), NameOwner::Nobody);
    assert_eq!(server.established().count(), 2);
}

#[test]
fn the_latest_open_session_of_a_client_is_found() {
    let mut server = Registry::of_server(9);
    let (second, first) = (fake(1, b"box"), fake(2, b"box"));
    let closed = Fake {
        is_closed: true,
        ..fake(3, b"box")
    };
    for session in [&first, &second, &closed, &fake(4, b"boxes"), &fake(5, b"")] {
        server.enter(session);
    }
    assert_eq!(server.session_for(b"box"), Some(&second));
    assert_eq!(server.session_for(b"bo"), None);
    assert_eq!(server.session_for(b""), Some(&fake(5, b"")));
    server.remove(second.id);
    assert_eq!(server.session_for(b"box"), Some(&first));
    server.remove(first.id);
    assert_eq!(server.session_for(b"box"), None);
}

#[test]
fn a_session_is_found_by_a_name_that_its_peer_offers() {
    let mut server = Registry::of_server(9);
    let (first, second) = (fake(2, b"1"), fake(1, b"2"));
    server.enter(&first);
    server.enter(&second);
    assert_eq!(server.session_offering("a"), Some(&second));
    assert_eq!(server.session_offering("b"), None);
    server.remove(second.id);
    assert_eq!(server.session_offering("a"), Some(&first));

    let mut hub = hub(9, &first);
    assert_eq!(hub.session_offering("a"), Some(&first));
    hub.reserve(second.id, b"2", &names(&["b"])).unwrap();
    assert_eq!(hub.session_offering("b"), None, "it is being opened");
    hub.remove(first.id);
    assert_eq!(hub.session_offering("a"), None);
}

#[test]
fn nothing_is_left_of_sessions_that_have_ended() {
    for (kind, new) in KINDS.into_iter().enumerate() {
        let mut registry = new(9);
        for number in 0..5 {
            registry.enter(&fake(number, b"same"));
        }
        for number in 0..5 {
            registry.remove(fake(number, b"same").id);
        }
        assert!(registry.is_empty(), "{kind}");
    }
}

/// A server may offer any number of names, and the wire is locked meanwhile. With the square
/// of the number, this would take a minute.
#[test]
fn the_names_of_a_server_cost_a_client_time_in_proportion_to_their_number() {
    let mut client = Registry::of_client(1);
    let session = Fake {
        names: (0..400_000)
            .rev()
            .map(|number| format!("{number:06}"))
            .collect(),
        ..fake(1, b"box")
    };
    let began = Instant::now();
    client.enter(&session);
    let last = session.names.last().unwrap();
    assert_eq!(client.session_offering(last), Some(&session));
    client.remove(session.id);
    assert!(client.is_empty());
    assert!(began.elapsed() < Duration::from_secs(5));
}

/// What a registry should contain, in the simplest form.
#[derive(Default)]
struct Model {
    /// In the order in which they were established.
    established: Vec<Fake>,
    owners: BTreeMap<String, SessionId>,
}

impl Model {
    fn last(&self, is_it: impl Fn(&Fake) -> bool) -> Option<&Fake> {
        self.established.iter().rev().find(|session| is_it(session))
    }

    fn remove(&mut self, id: SessionId) {
        self.established.retain(|session| session.id != id);
        self.owners.retain(|_, owner| *owner != id);
    }

    fn assert_is(&self, registry: &Registry<Fake>) {
        for identification in IDENTIFICATIONS {
            let last = self.last(|session| session.identification == identification);
            assert_eq!(registry.session_for(identification), last);
        }
        for name in NAMES {
            let offering = match registry.names {
                Names::Shared => self.last(|session| session.names.iter().any(|it| it == name)),
                Names::Owned => self.owners.get(name).and_then(|id| {
                    // A session that is being opened is not found.
                    self.last(|session| session.id == *id)
                }),
            };
            assert_eq!(registry.session_offering(name), offering, "{name}");
        }
        assert_eq!(registry.established().count(), self.established.len());
    }
}

const IDENTIFICATIONS: [&[u8]; 3] = [b"", b"box", b"box-1"];
/// Every kind of registry.
const KINDS: [fn(usize) -> Registry<Fake>; 3] =
    [Registry::of_client, Registry::of_server, Registry::of_hub];
const NAMES: [&str; 3] = ["a", "b", "ab"];

proptest! {
    /// Sessions are opened, given up while being opened, and end, in any order.
    #[test]
    fn lookups_find_what_a_plain_list_would(
        kind in 0..KINDS.len(),
        steps in vec((0..3, 0..12u8, 0..3usize, 0..8u8), 0..200),
    ) {
        let (mut registry, mut model) = (KINDS[kind](9), Model::default());
        for (step, number, identification, offered) in steps {
            let mut session = fake(number, IDENTIFICATIONS[identification]);
            let offers = |(bit, name): (usize, &&str)| {
                (offered & 1 << bit != 0).then(|| String::from(*name))
            };
            session.names = NAMES.iter().enumerate().filter_map(offers).collect();
            if step == 0 {
                registry.remove(session.id);
                model.remove(session.id);
            } else if registry.reserve(session.id, session.identification, &session.names).is_ok() {
                if registry.names == Names::Owned {
                    let owned = session.names.iter().map(|name| (name.clone(), session.id));
                    model.owners.extend(owned);
                }
                if step == 1 {
                    registry.enter(&session);
                    model.established.push(session);
                }
            }
            model.assert_is(&registry);
        }
        for number in 0..12 {
            registry.remove(fake(number, b"").id);
        }
        assert!(registry.is_empty());
    }
}
