//! The sessions of a wire, and on a hub the owners of stream names.

use super::index::{Index, Order};
use crate::wire::session::{id::SessionId, session::Session};

/// What the registry needs to know of a session.
pub(crate) trait Member: Clone {
    fn id(&self) -> SessionId;
    fn identification(&self) -> &[u8];
    /// The streams that the peer handles.
    fn stream_names(&self) -> &[String];
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

    fn stream_names(&self) -> &[String] {
        self.stream_names()
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

impl Names {
    /// Returns the names of a session that are indexed while it is established.
    fn indexed(self, session: &impl Member) -> &[String] {
        match self {
            Self::Owned => &[],
            Self::Shared => session.stream_names(),
        }
    }
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
    /// `None` on a client. It has one session at a time, and an index of a server's names,
    /// which may be many, would cost more than it saves.
    indexes: Option<Indexes>,
    /// The position of the session that was established last.
    last: Order,
}

/// Finds sessions without looking at each.
struct Indexes {
    /// Invariant: contains exactly the established sessions.
    by_identification: Index,
    /// If names are shared, the established sessions by the names that their peers offer.
    /// If names are owned, the owner of each, which may still be being opened.
    by_name: Index,
}

impl Indexes {
    fn new() -> Self {
        Self {
            by_identification: Index::new(),
            by_name: Index::new(),
        }
    }
}

struct SessionEntry<S> {
    id: SessionId,
    /// `None` while the session is being opened.
    session: Option<S>,
    /// The position among the established sessions.
    order: Order,
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
    /// Returns the registry of a client, which has one session at a time.
    pub(crate) fn of_client(limit: usize) -> Self {
        Self::new(limit, Names::Shared, None)
    }

    /// Returns the registry of a server.
    pub(crate) fn of_server(limit: usize) -> Self {
        Self::new(limit, Names::Shared, Some(Indexes::new()))
    }

    /// Returns the registry of a hub.
    pub(crate) fn of_hub(limit: usize) -> Self {
        Self::new(limit, Names::Owned, Some(Indexes::new()))
    }

    fn new(limit: usize, names: Names, indexes: Option<Indexes>) -> Self {
        Self {
            entries: Vec::new(),
            departing: 0,
            limit,
            names,
            indexes,
            last: Order::default(),
        }
    }

    pub(super) fn names(&self) -> Names {
        self.names
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

    /// Returns the session of the client with this identification that was established
    /// last and has not ended.
    pub(crate) fn session_for(&self, identification: &[u8]) -> Option<&S> {
        match &self.indexes {
            Some(indexes) => {
                self.first_open(indexes.by_identification.latest_first(identification))
            }
            None => self.latest(|session| session.identification() == identification),
        }
    }

    /// Returns the session whose peer offers this stream name: on a hub the owner,
    /// otherwise the one that was established last and has not ended.
    pub(crate) fn session_offering(&self, name: &str) -> Option<&S> {
        match &self.indexes {
            Some(indexes) => self.first_open(indexes.by_name.latest_first(name.as_bytes())),
            None => self.latest(|session| session.stream_names().iter().any(|other| other == name)),
        }
    }

    /// Returns the session that was established last, of those that have not ended.
    fn latest(&self, is_wanted: impl Fn(&S) -> bool) -> Option<&S> {
        let mut latest: Option<(Order, &S)> = None;
        for entry in &self.entries {
            if let Some(session) = &entry.session
                && latest.is_none_or(|(order, _)| order < entry.order)
                && !session.is_closed()
                && is_wanted(session)
            {
                latest = Some((entry.order, session));
            }
        }
        latest.map(|(_, session)| session)
    }

    fn first_open(&self, ids: impl Iterator<Item = SessionId>) -> Option<&S> {
        let mut sessions = ids.filter_map(|id| self.get(id));
        sessions.find(|session| !session.is_closed())
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
            order: Order::default(),
            names: names.into(),
        };
        self.entries.insert(index, entry);
        if let Some(indexes) = &mut self.indexes {
            for name in names {
                indexes.by_name.set(name.as_bytes(), Order::default(), id);
            }
        }
        Ok(replaced)
    }

    fn replaced(&self, identification: &[u8], names: &[String]) -> Result<Vec<S>, Conflict> {
        let mut replaced: Vec<S> = Vec::new();
        for name in names {
            let owner = self.owner_id(name).and_then(|id| self.entry(id));
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
        let index = self.search(id).unwrap_or_else(|index| {
            // A client reserves nothing.
            let entry = SessionEntry {
                id,
                session: None,
                order: Order::default(),
                names: Vec::new(),
            };
            self.entries.insert(index, entry);
            index
        });
        self.last = self.last.next();
        self.entries[index].order = self.last;
        self.entries[index].session = Some(session.clone());
        let Some(indexes) = &mut self.indexes else {
            return;
        };
        let identification = session.identification();
        indexes.by_identification.add(identification, self.last, id);
        for name in self.names.indexed(session) {
            indexes.by_name.add(name.as_bytes(), self.last, id);
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
        let Some(indexes) = &mut self.indexes else {
            return;
        };
        for name in entry.names {
            let name = name.as_bytes();
            indexes.by_name.remove(name, Order::default(), id);
        }
        if let Some(session) = &entry.session {
            let (order, identification) = (entry.order, session.identification());
            indexes.by_identification.remove(identification, order, id);
            for name in self.names.indexed(session) {
                indexes.by_name.remove(name.as_bytes(), order, id);
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
        let are_empty =
            |indexes: &Indexes| indexes.by_identification.is_empty() && indexes.by_name.is_empty();
        self.entries.is_empty() && self.indexes.as_ref().is_none_or(are_empty)
    }

    pub(crate) fn owner(&self, name: &str) -> NameOwner<S> {
        match self.owner_id(name).map(|id| self.get(id)) {
            None => NameOwner::Nobody,
            Some(None) => NameOwner::Opening,
            Some(Some(session)) => NameOwner::Session(session.clone()),
        }
    }

    fn owner_id(&self, name: &str) -> Option<SessionId> {
        match (self.names, &self.indexes) {
            (Names::Owned, Some(indexes)) => indexes.by_name.latest_first(name.as_bytes()).next(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
