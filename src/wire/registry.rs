//! The sessions of a wire, and on a hub the names that they own.

use super::session::{Session, SessionId};
use std::collections::{BTreeMap, btree_map};

pub(super) struct Registry {
    sessions: BTreeMap<SessionId, Entry>,
    limit: usize,
    /// Whether a stream name has one owner, as on a hub.
    exclusive: bool,
    owners: BTreeMap<String, SessionId>,
}

struct Entry {
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
    /// There are as many as there may be.
    Full,
}

impl Registry {
    pub(super) fn new(limit: usize, exclusive: bool) -> Self {
        Self {
            sessions: BTreeMap::new(),
            limit,
            exclusive,
            owners: BTreeMap::new(),
        }
    }

    /// The sessions that stand.
    pub(super) fn standing(&self) -> impl Iterator<Item = &Session> {
        self.sessions
            .values()
            .filter_map(|entry| entry.session.as_ref())
    }

    pub(super) fn get(&self, id: SessionId) -> Option<&Session> {
        self.sessions.get(&id)?.session.as_ref()
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
        if self.sessions.len() - replaced.len() >= self.limit {
            return Err(Conflict::Full);
        }
        let btree_map::Entry::Vacant(vacant) = self.sessions.entry(id) else {
            return Err(Conflict::Id);
        };
        vacant.insert(Entry {
            session: None,
            names: names.into(),
        });
        for name in names {
            self.owners.insert(name.clone(), id);
        }
        Ok(replaced)
    }

    fn replaced(&self, identification: &[u8], names: &[String]) -> Result<Vec<Session>, Conflict> {
        let mut replaced: Vec<Session> = Vec::new();
        for name in names {
            let owner = self.owners.get(name).and_then(|id| self.sessions.get(id));
            let Some(owner) = owner else {
                continue;
            };
            let same = |session: &Session| {
                !identification.is_empty() && session.identification() == identification
            };
            match &owner.session {
                Some(session) if same(session) => {
                    if replaced.iter().all(|other| other.id() != session.id()) {
                        replaced.push(session.clone());
                    }
                }
                // One that is still being opened is as good a claim.
                _ => return Err(Conflict::Name(name.clone())),
            }
        }
        Ok(replaced)
    }

    /// The session that the id was kept for stands.
    pub(super) fn enter(&mut self, session: &Session) {
        let entry = self.sessions.entry(session.id()).or_insert_with(|| Entry {
            session: None,
            names: Vec::new(),
        });
        entry.session = Some(session.clone());
    }

    /// Takes a session out, or the place that was kept for one, with the names
    /// that are still its own.
    pub(super) fn remove(&mut self, id: SessionId) {
        let Some(entry) = self.sessions.remove(&id) else {
            return;
        };
        for name in entry.names {
            if self.owners.get(&name) == Some(&id) {
                self.owners.remove(&name);
            }
        }
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
