//! The sessions of a wire, and on a hub the names that they own.

use super::session::{Session, SessionId};
use std::collections::BTreeMap;

pub(super) struct Registry {
    /// In the order of their ids. To move some of them costs nothing next to the
    /// thread that each has.
    sessions: Vec<Entry>,
    /// Sessions that have left, and of which the user's code still is told: it
    /// has a thread for each, so they have a place until it returns.
    left: usize,
    limit: usize,
    /// Whether a stream name has one owner, as on a hub.
    exclusive: bool,
    owners: BTreeMap<String, SessionId>,
}

struct Entry {
    id: SessionId,
    /// `None` while the session is being opened.
    session: Option<Session>,
    /// The names that it owned when it came.
    names: Vec<String>,
}

/// Why a session cannot be let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Conflict {
    /// A session has its id.
    Id,
    /// Another one owns this stream name.
    Name(String),
    /// The hub has a handler of this stream name.
    Own(String),
    /// There are as many as there may be.
    Full,
}

impl Conflict {
    /// Whether it goes away when others do.
    pub(super) fn may_pass(&self) -> bool {
        matches!(self, Self::Name(_) | Self::Full)
    }
}

/// What a session that is to be opened has in its way.
pub(super) enum Obstacle {
    /// A session that stands, and owns its name.
    Owner(Session),
    /// A session that is being opened, or too many of them.
    Other,
}

/// Whether the session is the same client's. Those that do not say who they are
/// never are.
fn is_same(session: &Session, identification: &[u8]) -> bool {
    !identification.is_empty() && session.identification() == identification
}

impl Registry {
    pub(super) fn new(limit: usize, exclusive: bool) -> Self {
        Self {
            sessions: Vec::new(),
            left: 0,
            limit,
            exclusive,
            owners: BTreeMap::new(),
        }
    }

    /// The sessions that stand.
    pub(super) fn standing(&self) -> impl Iterator<Item = &Session> {
        self.sessions
            .iter()
            .filter_map(|entry| entry.session.as_ref())
    }

    /// Where the session is, or would be.
    fn search(&self, id: SessionId) -> Result<usize, usize> {
        self.sessions.binary_search_by_key(&id, |entry| entry.id)
    }

    fn entry(&self, id: SessionId) -> Option<&Entry> {
        Some(&self.sessions[self.search(id).ok()?])
    }

    pub(super) fn get(&self, id: SessionId) -> Option<&Session> {
        self.entry(id)?.session.as_ref()
    }

    /// Keeps the id and the names for a session that is being opened. Gives
    /// the sessions that lose their names to it: those of the same client,
    /// which has come back.
    pub(super) fn reserve(
        &mut self,
        id: SessionId,
        identification: &[u8],
        names: &[String],
    ) -> Result<Vec<Session>, Conflict> {
        let names = if self.exclusive { names } else { &[] };
        let replaced = self.replaced(identification, names)?;
        if self.sessions.len() - replaced.len() + self.left >= self.limit {
            return Err(Conflict::Full);
        }
        let Err(index) = self.search(id) else {
            return Err(Conflict::Id);
        };
        let entry = Entry {
            id,
            session: None,
            names: names.into(),
        };
        self.sessions.insert(index, entry);
        for name in names {
            self.owners.insert(name.clone(), id);
        }
        Ok(replaced)
    }

    fn replaced(&self, identification: &[u8], names: &[String]) -> Result<Vec<Session>, Conflict> {
        let mut replaced: Vec<Session> = Vec::new();
        for name in names {
            let owner = self.owners.get(name).and_then(|id| self.entry(*id));
            let Some(owner) = owner else {
                continue;
            };
            match &owner.session {
                // It loses its names, and its streams may end in order.
                Some(session) if is_same(session, identification) && session.is_closing() => {}
                Some(session) if is_same(session, identification) => {
                    if replaced.iter().all(|other| other.id() != session.id()) {
                        replaced.push(session.clone());
                    }
                }
                // Its connection has ended: it no longer needs its names.
                Some(session) if session.is_closed() => {}
                // One that is still being opened is as good a claim.
                _ => return Err(Conflict::Name(name.clone())),
            }
        }
        Ok(replaced)
    }

    /// What is still in the way of a session with this identification.
    pub(super) fn obstacle(&self, conflict: &Conflict, identification: &[u8]) -> Option<Obstacle> {
        match conflict {
            Conflict::Id | Conflict::Own(_) => Some(Obstacle::Other),
            Conflict::Full => {
                let is_full = self.sessions.len() + self.left >= self.limit;
                is_full.then_some(Obstacle::Other)
            }
            Conflict::Name(name) => match self.owner(name)? {
                None => Some(Obstacle::Other),
                Some(owner) if is_same(&owner, identification) || owner.is_closed() => None,
                Some(owner) => Some(Obstacle::Owner(owner)),
            },
        }
    }

    /// The session that the id was kept for stands.
    pub(super) fn enter(&mut self, session: &Session) {
        let id = session.id();
        let standing = Some(session.clone());
        match self.search(id) {
            Ok(index) => self.sessions[index].session = standing,
            Err(index) => {
                let entry = Entry {
                    id,
                    session: standing,
                    names: Vec::new(),
                };
                self.sessions.insert(index, entry);
            }
        }
    }

    /// Takes a session out, or the place that was kept for one, with the names
    /// that are still its own.
    pub(super) fn remove(&mut self, id: SessionId) {
        let Ok(index) = self.search(id) else {
            return;
        };
        let entry = self.sessions.remove(index);
        if self.sessions.len() < self.sessions.capacity() / 8 {
            self.sessions.shrink_to(2 * self.sessions.len());
        }
        for name in entry.names {
            if self.owners.get(&name) == Some(&id) {
                self.owners.remove(&name);
            }
        }
    }

    /// Takes a session out, but for its place, which [`give_up`](Self::give_up)
    /// gives back.
    pub(super) fn leave(&mut self, id: SessionId) {
        self.remove(id);
        self.left += 1;
    }

    /// Gives back the place of a session that has left.
    pub(super) fn give_up(&mut self) {
        self.left -= 1;
    }

    /// Whether there are neither sessions nor names.
    #[cfg(any(test, fuzzing))]
    pub(super) fn is_empty(&self) -> bool {
        self.sessions.is_empty() && self.owners.is_empty()
    }

    /// The session that owns a stream name; the inner `None`: it does not
    /// stand yet.
    pub(super) fn owner(&self, name: &str) -> Option<Option<Session>> {
        let id = self.owners.get(name)?;
        Some(self.get(*id).cloned())
    }
}
