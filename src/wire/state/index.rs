//! Sessions by a key that several may share: an identification, or a stream name.

use crate::wire::session::id::SessionId;
use std::collections::BTreeMap;

/// The ids of sessions by a key, and for each key in the order in which the sessions were
/// established.
pub(super) struct Index {
    /// No list is empty.
    sessions: Box<dyn Map>,
}

type Sessions = Vec<(Order, SessionId)>;

/// A map that [`Index`] uses. `dyn`, so that a program that only dials does not link the
/// tree.
trait Map: Send {
    fn get(&self, key: &[u8]) -> Option<&Sessions>;
    fn get_mut(&mut self, key: &[u8]) -> Option<&mut Sessions>;
    fn insert(&mut self, key: Box<[u8]>, sessions: Sessions);
    fn remove(&mut self, key: &[u8]);
    #[cfg(any(test, fuzzing))]
    fn is_empty(&self) -> bool;
}

/// The position of a session in the order in which they were established.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Order(u64);

impl Order {
    pub(super) fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl Index {
    pub(super) fn new() -> Self {
        Self {
            sessions: Box::new(BTreeMap::new()),
        }
    }

    /// Adds a session, which was established after the others that have the key. A key may be
    /// given twice.
    pub(super) fn add(&mut self, key: &[u8], order: Order, id: SessionId) {
        match self.sessions.get_mut(key) {
            Some(sessions) if sessions.last() == Some(&(order, id)) => {}
            Some(sessions) => sessions.push((order, id)),
            None => self.sessions.insert(key.into(), vec![(order, id)]),
        }
    }

    /// Makes a session the only one that has the key.
    pub(super) fn set(&mut self, key: &[u8], order: Order, id: SessionId) {
        self.sessions.remove(key);
        self.add(key, order, id);
    }

    /// Removes a session, if it has the key.
    pub(super) fn remove(&mut self, key: &[u8], order: Order, id: SessionId) {
        let Some(sessions) = self.sessions.get_mut(key) else {
            return;
        };
        // Another session may have replaced this one. Moving entries costs little compared with
        // the thread that each session has.
        if let Ok(index) = sessions.binary_search(&(order, id)) {
            sessions.remove(index);
        }
        if sessions.is_empty() {
            self.sessions.remove(key);
        }
    }

    /// Returns the sessions with this key. The one that was established last comes first.
    pub(super) fn latest_first(&self, key: &[u8]) -> impl Iterator<Item = SessionId> {
        let sessions = self.sessions.get(key).into_iter().flatten();
        sessions.rev().map(|(_, id)| *id)
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }
}

impl Map for BTreeMap<Box<[u8]>, Sessions> {
    fn get(&self, key: &[u8]) -> Option<&Sessions> {
        self.get(key)
    }

    fn get_mut(&mut self, key: &[u8]) -> Option<&mut Sessions> {
        self.get_mut(key)
    }

    fn insert(&mut self, key: Box<[u8]>, sessions: Sessions) {
        self.insert(key, sessions);
    }

    fn remove(&mut self, key: &[u8]) {
        self.remove(key);
    }

    #[cfg(any(test, fuzzing))]
    fn is_empty(&self) -> bool {
        self.is_empty()
    }
}
