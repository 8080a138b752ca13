//! The sessions of a wire, and on a hub the owners of stream names.

use crate::wire::session::{id::SessionId, session::Session};
use std::collections::BTreeMap;

/// What the registry needs to know of a session.
pub(crate) trait Member: Clone {
    fn id(&self) -> SessionId;
    fn identification(&self) -> &[u8];
    fn is_closing(&self) -> bool;
    fn is_closed(&self) -> bool;
}

impl Member for Session {
    fn id(&self) -> SessionId {
        self.id()
    }

    fn identification(&self) -> &[u8] {
        self.identification()
    }

    fn is_closing(&self) -> bool {
        self.is_closing()
    }

    fn is_closed(&self) -> bool {
        self.is_closed()
    }
}

/// Whether several sessions may offer the same stream name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Names {
    /// Any number of sessions may offer it, on a server or a client.
    Shared,
    /// One session may offer it, the owner of the name, on a hub.
    Owned,
}

/// Sessions by their ids, and names by their owners.
pub(crate) struct Registry<S> {
    /// Sorted by id. Moving entries costs little compared with the thread that each
    /// session has.
    entries: Vec<SessionEntry<S>>,
    /// Sessions that have ended and whose hooks have not returned. Each still has a
    /// thread, so it counts towards the limit.
    departing: usize,
    limit: usize,
    names: Names,
    /// Invariant: empty if names are shared.
    owners: BTreeMap<String, SessionId>,
}

struct SessionEntry<S> {
    id: SessionId,
    /// `None` while the session is being opened.
    session: Option<S>,
    /// The names that were reserved for the session. Other sessions may own them in
    /// the meantime.
    names: Vec<String>,
}

/// Why a session cannot be registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Conflict {
    /// Another session has its id.
    Id,
    /// Another session owns this stream name.
    Name(String),
    /// The hub itself has a handler for this stream name.
    Own(String),
    /// The limit on sessions is reached.
    Full,
}

impl Conflict {
    /// Returns whether the conflict ends when other sessions do.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(self, Self::Name(_) | Self::Full)
    }
}

/// What prevents a session from being opened.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Obstacle<S> {
    /// An established session owns the name.
    Owner(S),
    /// A session that is being opened owns the name, or there are too many sessions.
    Other,
}

/// The owner of a stream name.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NameOwner<S> {
    Nobody,
    /// A session that is being opened.
    Opening,
    Session(S),
}

/// Returns whether the session belongs to the same client. Clients without an
/// identification are never the same.
fn is_same_client(session: &impl Member, identification: &[u8]) -> bool {
    !identification.is_empty() && session.identification() == identification
}

impl<S: Member> Registry<S> {
    pub(crate) fn new(limit: usize, names: Names) -> Self {
        Self {
            entries: Vec::new(),
            departing: 0,
            limit,
            names,
            owners: BTreeMap::new(),
        }
    }

    /// Returns the established sessions.
    pub(crate) fn established(&self) -> impl Iterator<Item = &S> {
        self.entries
            .iter()
            .filter_map(|entry| entry.session.as_ref())
    }

    /// Returns an established session that has not ended.
    pub(crate) fn open_session(&self) -> Option<&S> {
        self.established().find(|session| !session.is_closed())
    }

    /// Returns the index of the entry, or `Err` with where it belongs.
    fn search(&self, id: SessionId) -> Result<usize, usize> {
        self.entries.binary_search_by_key(&id, |entry| entry.id)
    }

    fn entry(&self, id: SessionId) -> Option<&SessionEntry<S>> {
        Some(&self.entries[self.search(id).ok()?])
    }

    pub(crate) fn get(&self, id: SessionId) -> Option<&S> {
        self.entry(id)?.session.as_ref()
    }

    fn is_full(&self) -> bool {
        self.entries.len() + self.departing >= self.limit
    }

    /// Reserves the id and the names for a session that is being opened. Returns the
    /// earlier sessions of the same client, which lose their names to it.
    pub(crate) fn reserve(
        &mut self,
        id: SessionId,
        identification: &[u8],
        names: &[String],
    ) -> Result<Vec<S>, Conflict> {
        let names = match self.names {
            Names::Owned => names,
            Names::Shared => &[],
        };
        let replaced = self.replaced(identification, names)?;
        if self.entries.len() - replaced.len() + self.departing >= self.limit {
            return Err(Conflict::Full);
        }
        let Err(index) = self.search(id) else {
            return Err(Conflict::Id);
        };
        let entry = SessionEntry {
            id,
            session: None,
            names: names.into(),
        };
        self.entries.insert(index, entry);
        for name in names {
            self.owners.insert(name.clone(), id);
        }
        Ok(replaced)
    }

    fn replaced(&self, identification: &[u8], names: &[String]) -> Result<Vec<S>, Conflict> {
        let mut replaced: Vec<S> = Vec::new();
        for name in names {
            let owner = self.owners.get(name).and_then(|id| self.entry(*id));
            let Some(owner) = owner else {
                continue;
            };
            match &owner.session {
                // The closing session loses its names, and its streams may end
                // gracefully.
                Some(session)
                    if is_same_client(session, identification) && session.is_closing() => {}
                Some(session) if is_same_client(session, identification) => {
                    if replaced.iter().all(|other| other.id() != session.id()) {
                        replaced.push(session.clone());
                    }
                }
                // Its connection has ended, so it no longer needs its names.
                Some(session) if session.is_closed() => {}
                // A session that is being opened keeps its names, too.
                _ => return Err(Conflict::Name(name.clone())),
            }
        }
        Ok(replaced)
    }

    /// Returns what still prevents a session with this identification from being
    /// opened.
    pub(crate) fn obstacle(
        &self,
        conflict: &Conflict,
        identification: &[u8],
    ) -> Option<Obstacle<S>> {
        match conflict {
            Conflict::Id | Conflict::Own(_) => Some(Obstacle::Other),
            Conflict::Full => self.is_full().then_some(Obstacle::Other),
            Conflict::Name(name) => match self.owner(name) {
                NameOwner::Nobody => None,
                NameOwner::Opening => Some(Obstacle::Other),
                NameOwner::Session(owner)
                    if is_same_client(&owner, identification) || owner.is_closed() =>
                {
                    None
                }
                NameOwner::Session(owner) => Some(Obstacle::Owner(owner)),
            },
        }
    }

    /// Registers an established session, for which the id was reserved.
    pub(crate) fn enter(&mut self, session: &S) {
        let id = session.id();
        let established = Some(session.clone());
        match self.search(id) {
            Ok(index) => self.entries[index].session = established,
            // A client reserves nothing.
            Err(index) => {
                let entry = SessionEntry {
                    id,
                    session: established,
                    names: Vec::new(),
                };
                self.entries.insert(index, entry);
            }
        }
    }

    /// Removes a session or a reservation, with the names that it still owns.
    pub(crate) fn remove(&mut self, id: SessionId) {
        let Ok(index) = self.search(id) else {
            return;
        };
        let entry = self.entries.remove(index);
        if self.entries.len() < self.entries.capacity() / 8 {
            self.entries.shrink_to(2 * self.entries.len());
        }
        for name in entry.names {
            if self.owners.get(&name) == Some(&id) {
                self.owners.remove(&name);
            }
        }
    }

    /// Removes a session that has ended. It counts towards the limit until
    /// [`end_departure`](Self::end_departure).
    pub(crate) fn leave(&mut self, id: SessionId) {
        self.remove(id);
        self.departing += 1;
    }

    /// Ends the count of a session that has [left](Self::leave).
    pub(crate) fn end_departure(&mut self) {
        self.departing -= 1;
    }

    /// Returns whether there are neither sessions, nor reservations, nor names.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.owners.is_empty()
    }

    pub(crate) fn owner(&self, name: &str) -> NameOwner<S> {
        let Some(id) = self.owners.get(name) else {
            return NameOwner::Nobody;
        };
        match self.get(*id) {
            Some(session) => NameOwner::Session(session.clone()),
            None => NameOwner::Opening,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Debug, PartialEq, Eq)]
    struct Fake {
        id: SessionId,
        identification: &'static [u8],
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
            is_closing: false,
            is_closed: false,
        }
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).into()).collect()
    }

    /// A hub on which this session owns the name "a".
    fn hub(limit: usize, owner: &Fake) -> Registry<Fake> {
        let mut hub = Registry::new(limit, Names::Owned);
        let replaced = hub.reserve(owner.id, owner.identification, &names(&["a"]));
        assert_eq!(replaced, Ok(Vec::new()));
        hub.enter(owner);
        hub
    }

    #[test]
    fn a_reserved_name_belongs_to_an_opening_session_until_that_is_entered() {
        let first = fake(1, b"first");
        let mut hub = Registry::new(2, Names::Owned);
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
        let mut hub = Registry::new(1, Names::Owned);
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
        let mut server = Registry::new(9, Names::Shared);
        for number in [1, 2] {
            let session = fake(number, b"same");
            let replaced = server.reserve(session.id, b"same", &names(&["a"]));
            assert_eq!(replaced, Ok(Vec::new()));
            server.enter(&session);
        }
        assert_eq!(server.owner("a"), NameOwner::Nobody);
        assert_eq!(server.established().count(), 2);
    }
}
